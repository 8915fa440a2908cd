"""What a list shows of a version, from reports of every age."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from detectors.facts import Metadata
from tests.contracts.registry import NOON, OBJECTION
from tests.worker.api.conftest import Door
from tests.worker.api.web.shelf import finding, put, report
from worker.api.web.reported import headlines, reported
from worker.api.web.rows import Headline, State, headline, made_by, parameters, row_of, state_of
from worker.gates import evaluate, parse_gates
from worker.policy import released
from worker.records import Condition, FilesSeen
from worker.registry.memory import MemoryRegistry

UNREAD = [{"path": "a", "reason": "size limit"}]
PROBLEMS = [{"path": "a/v", "problem": "1 of 2 shards missing"}]


def state(**judged: Any) -> State:
    version = put(Door(MemoryRegistry()), "m", **judged)
    return state_of(version, json.loads(version.report))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Condition.FINE, State("ok", "Complete", "no findings")),
        (Condition.TOUCHED, State("warn", "Files written since", "says")),
        (Condition.CHANGED, State("bad", "Files changed", "says")),
        (Condition.MISSING, State("bad", "Files gone", "says")),
        (Condition.UNREACHABLE, State("unknown", "Files not reached", "says")),
    ],
)
def test_a_version_whose_files_drifted_is_never_shown_as_complete_alone(condition: Condition, expected: State) -> None:
    version = put(Door(MemoryRegistry()), "m")
    found = replace(version, files_seen=FilesSeen(condition, "says", NOON, NOON))
    assert state_of(found, json.loads(version.report)) == expected


@pytest.mark.parametrize(
    ("completeness", "verdict", "given", "expected"),
    [
        ("complete", "clean", {}, State("ok", "Complete", "no findings")),
        ("complete", "clean", {"findings": [finding("low")]}, State("ok", "Complete", "1 finding")),
        (
            "complete",
            "clean",
            {"findings": [finding("medium", "pickle-not-opened")]},
            State("warn", "1 medium", "pickle-not-opened"),
        ),
        ("complete", "inconclusive", {"unread": UNREAD}, State("unknown", "Not fully read", "1 file not read")),
        (
            "complete",
            "inconclusive",
            {"unread": UNREAD, "findings": [finding("medium")]},
            State("unknown", "Not fully read", "1 file not read"),
        ),
        ("incomplete", "findings", {"problems": PROBLEMS}, State("warn", "Incomplete", "v: 1 of 2 shards missing")),
        ("incomplete", "findings", {"problems": PROBLEMS * 3}, State("warn", "Incomplete", "v: 1 of 2 shards missing, 2 more")),
        ("corrupt", "findings", {"problems": PROBLEMS}, State("bad", "Corrupt", "v: 1 of 2 shards missing")),
        (
            "incomplete",
            "findings",
            {"findings": [finding("critical")]},
            State("bad", "1 critical", "tf-file-write, incomplete"),
        ),
        ("complete", "findings", {"findings": [finding("low"), finding("high")]}, State("bad", "1 high", "tf-file-write")),
        ("complete", "findings", {}, State("bad", "Findings", "")),
        ("complete", "nothing", {}, State("unknown", "Not known", "nothing")),
    ],
)
def test_the_worst_comes_first(completeness: str, verdict: str, given: dict[str, Any], expected: State) -> None:
    assert state(completeness=completeness, verdict=verdict, report=report(**given)) == expected


def test_a_version_of_which_something_was_not_read_is_never_shown_as_complete_alone() -> None:
    severities = ("critical", "high", "medium", "low")
    for completeness, severity, unread in itertools.product(("complete", "incomplete", "corrupt"), severities, (UNREAD, [])):
        given = report(findings=[finding(severity)], unread=unread)
        assert state(completeness=completeness, verdict="inconclusive", report=given).kind != "ok"


def test_a_version_in_quarantine_is_shown_as_such_before_all_else() -> None:
    version = put(Door(MemoryRegistry()), "m", objection=OBJECTION, report=report(findings=[finding("critical")]))
    gone = replace(version, files_seen=FilesSeen(Condition.MISSING, "says", NOON, NOON))
    for one, also in ((version, ("1 critical",)), (gone, ("Files gone", "1 critical"))):
        assert state_of(one, json.loads(one.report)) == State("bad", "In quarantine", OBJECTION.why, also)
    assert version.held is not None
    free = replace(version, held=released(version.held, NOON, "ann", "fine"))
    assert state_of(free, json.loads(free.report)).word == "1 critical"


def test_what_is_bad_beside_the_worst_is_marked() -> None:
    judged = {"report": report(findings=[finding("high")], problems=PROBLEMS), "completeness": "corrupt", "verdict": "findings"}
    version = put(Door(MemoryRegistry()), "m", **judged)
    gates = parse_gates({f"onnx:{name}": {"target": "0.9..", "aggregate": "mean"} for name in ("accuracy", "<f1>")})
    failed = replace(version, gates=evaluate(gates, {"accuracy": {"result": {"mean": 0.95}}}, Metadata()))
    assert state_of(failed, json.loads(version.report)) == State("bad", "1 high", "tf-file-write", ("A gate failed", "Corrupt"))
    whole = replace(failed, completeness="complete", verdict="clean")
    assert state_of(whole, json.loads(report())) == State("bad", "A gate failed", "onnx:<f1>")


def test_a_model_that_is_known_by_its_name_only_is_not_shown_as_complete() -> None:
    told = report({"format": "keras", "facts": {"details": {"completeness_checked": False}}})
    assert state(report=told) == State("unknown", "Not checked", "known by its name only")


@pytest.mark.parametrize("text", ["{}", '{"schema": "modelport.scan/0"}', '{"models": [], "metrics": null, "findings": null}'])
def test_what_a_report_does_not_say_is_not_known(text: str) -> None:
    row = row_of(put(Door(MemoryRegistry()), "m", report=text))
    assert (row.made_by, row.metric, row.parameters, row.picture) == ("", None, None, None)
    assert row.state == State("ok", "Complete", "no findings")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"opset_imports": {"": 17, "com.microsoft": 1}}, "opset 17"),
        ({"opset_imports": {"ai.onnx": 21}}, "opset 21"),
        ({"framework": {"name": "tensorflow", "version": "2.21.0"}}, "TensorFlow 2.21.0"),
        ({"framework": {"name": "joblib", "version": None}}, "joblib"),
        ({}, ""),
    ],
)
def test_what_wrote_a_model_is_said_as_it_writes_itself(facts: dict[str, Any], said: str) -> None:
    assert made_by({"facts": facts}) == said


@pytest.mark.parametrize(
    ("known", "found"),
    [
        ({"distinct": 5, "stored": 9}, 5),
        ({"distinct": None, "stored": 9}, 9),
        ({"stored": 9}, 9),
        ({"distinct": None}, None),
        ({}, None),
    ],
)
def test_parameters_are_counted_once(known: dict[str, Any], found: int | None) -> None:
    assert parameters({"facts": {"parameters": known}}) == found


def value(name: str, session: str = "eval", number: float = 0.5) -> dict[str, Any]:
    return {"name": name, "value": number, "step": 7, "session": session, "source": "f"}


@pytest.mark.parametrize(
    ("values", "name", "session"),
    [
        ([value("loss"), value("epoch_accuracy")], "epoch_accuracy", "eval"),
        ([value("accuracy", "train"), value("loss", "eval")], "loss", "eval"),
        ([value("accuracy", "train"), value("accuracy", "eval_holdout")], "accuracy", "eval_holdout"),
        ([value("zeta"), value("beta")], "beta", "eval"),
        ([value("accuracy", "somewhere"), value("loss", "")], "loss", ""),
        ([value("epochs", ""), value("loss", "train")], "loss", "train"),
        ([value("auc"), value("f1_score"), value("mape"), value("recall")], "f1_score", "eval"),
    ],
)
def test_one_number_stands_for_a_version(values: list[dict[str, Any]], name: str, session: str) -> None:
    for order in (values, values[::-1]):
        assert headline({"metrics": {"values": order}}) == Headline(name, 0.5, session, 7)
        assert headlines(reported({"values": order}))[0].key == (session, name), "the page of the version shows the same first"


@pytest.mark.parametrize(
    ("course", "ends"),
    [
        ((), None),
        ((0.5,), None),
        ((0.5, None), None),
        ((0.5, math.nan, math.inf, 10**400), None),
        ((None, 0.5, None, 0.25, math.nan), (0.5, 0.25)),
        ((3, 10**30), (3, 10**30)),
    ],
)
def test_a_course_has_two_ends_that_are_numbers_or_none(
    course: tuple[float | None, ...], ends: tuple[float, float] | None
) -> None:
    assert replace(row_of(put(Door(MemoryRegistry()), "m")), course=course).ends == ends
