"""Judging anew: the same version, other words about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from detectors.facts import Finding, Severity
from detectors.scan import RULES_VERSION
from detectors.tree import FileTree
from tests.builders import onnx
from tests.worker.conftest import json_of
from tests.worker.test_ingest import event, make_borders
from tests.worker.test_signatures import KEY, TRUSTED
from worker import rejudging
from worker.bootstrap import embedded
from worker.cli import run
from worker.drift import Seen
from worker.errors import RegistryUnavailable
from worker.ingest import Borders, ingest
from worker.operations import check_rules, is_outdated, outdated
from worker.records import Condition, Judgement, ModelVersion, Policy, StoreMode
from worker.registry.memory import MemoryRegistry
from worker.rejudging import InItsOwnTime, judge_anew, judge_outdated
from worker.signatures import FILE_NAME, signed_bundle
from worker.storage.memory import MemoryStore


@dataclass(frozen=True)
class At:
    """A clock that stands still."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


LINK = Finding("link-outside", Severity.HIGH, "weights", "", "left out: leads to /etc/passwd")


@pytest.fixture
def borders() -> Borders:
    made = make_borders(MemoryRegistry(), MemoryStore())

    @contextmanager
    def open_version(version: ModelVersion) -> Iterator[FileTree]:
        with made.store.opened(version.url) as tree:
            yield tree

    return replace(made, open_version=open_version)


def old(borders: Borders, tmp_path: Path, experiment: str = "e1", **judged: object) -> ModelVersion:
    """Return a version that rules of long ago judged."""
    found = ingest(replace(event(onnx.run_at(tmp_path / experiment), experiment=experiment), id=experiment), borders).version
    assert found is not None
    metrics = borders.registry.metrics(found.id)
    assert metrics is not None
    said = {name: getattr(found, name) for name in ("model_type", "format", "completeness", "verdict", "report")}
    plain = Judgement(
        **said | {"rules_version": "0", "summary": metrics.summary, "detail": (), "metadata_raw": None},
        metrics=metrics.values,
        findings=tuple(borders.registry.findings(found.id)),
    )
    assert borders.registry.care.judge(found, replace(plain, **judged), borders.clock.now())
    return now(borders, found)


def now(borders: Borders, version: ModelVersion) -> ModelVersion:
    found = borders.registry.version(version.team, version.id)
    assert found is not None
    return found


def test_older_rules_are_outdated_and_newer_ones_are_not() -> None:
    newer = str(int(RULES_VERSION) + 1)
    assert outdated({"0": 3, RULES_VERSION: 2, newer: 1, "draft": 4}) == {"0": 3, "draft": 4}
    assert not is_outdated("10")


def test_a_version_is_judged_by_the_rules_of_today_and_stays_the_same_version(borders: Borders, tmp_path: Path) -> None:
    version = old(borders, tmp_path, verdict="findings", completeness="corrupt", format="custom")
    borders.registry.tag("default", version.id, ["production"], [])
    assert check_rules(borders).says.startswith(f"1 judged by older rules than {RULES_VERSION}")
    [judged] = judge_outdated(borders)
    assert (judged.is_judged, judged.says) == (True, f"rules 0: findings, rules {RULES_VERSION}: clean")
    found = now(borders, version)
    said = (found.verdict, found.completeness, found.format, found.rules_version)
    assert said == ("clean", "complete", "onnx", RULES_VERSION)
    for name in ("id", "number", "model_name", "digest", "url", "created", "location"):
        assert getattr(found, name) == getattr(version, name)
    assert found.tags == ("production",)
    assert found.files_seen is not None
    assert found.files_seen.says == "as registered, byte for byte"
    assert list(judge_outdated(borders)) == []
    assert borders.registry.contradictions(borders.clock.now()) == []


def test_only_what_is_byte_for_byte_what_was_registered_is_judged_anew(borders: Borders, tmp_path: Path) -> None:
    version = old(borders, tmp_path)
    (parts,) = borders.store._finished  # type: ignore[attr-defined]
    files = borders.store._finished[parts]  # type: ignore[attr-defined]
    (path,) = [path for path in files if path.endswith(".onnx")]
    files[path] = bytes(len(files[path]))
    [told] = judge_outdated(borders)
    assert (told.is_judged, told.says) == (False, "its bytes are not those that were registered")
    found = now(borders, version)
    assert (found.rules_version, found.verdict) == ("0", version.verdict)
    assert found.files_seen is not None
    assert found.files_seen.condition is Condition.CHANGED


def test_what_is_gone_or_deleted_is_told_and_not_judged(borders: Borders, tmp_path: Path) -> None:
    gone, deleted = old(borders, tmp_path), old(borders, tmp_path, "e2")
    borders.store.remove(gone.url)
    [told, _] = judge_outdated(borders)
    assert (told.version_id, told.is_judged) == (gone.id, False)
    borders.registry.delete("default", deleted.id, borders.clock.now())
    assert judge_anew(deleted, borders).says == "it was deleted meanwhile"


def test_what_lay_beside_a_copy_at_its_origin_is_not_forgotten(borders: Borders, tmp_path: Path) -> None:
    note = {"path": "more", "reason": "left out: a link to data, which is looked at where it lies"}
    report = json.dumps({"path": "/runs/e1", "coverage": {"skipped": [note]}})
    version = old(borders, tmp_path, findings=(LINK,), verdict="findings", report=report)
    assert judge_anew(version, borders).is_judged
    found = now(borders, version)
    assert found.verdict == "findings"
    assert list(borders.registry.findings(version.id)) == [LINK]
    told = json.loads(found.report)
    assert (told["path"], note in told["coverage"]["skipped"]) == ("/runs/e1", True)
    borders.registry.kept_at(version.id, StoreMode.REFERENCE, version.url, version.location)


def test_the_signature_of_a_run_is_checked_against_the_keys_of_today(borders: Borders, tmp_path: Path) -> None:
    unsigned = old(borders, tmp_path)
    assert list(borders.registry.findings(unsigned.id)) == []
    signed = onnx.run_at(tmp_path / "e2")
    (signed / FILE_NAME).write_text(signed_bundle(borders.registry.files(unsigned.id), "e1", KEY))
    version = ingest(replace(event(signed, experiment="e2"), id="e2"), borders).version
    assert version is not None
    assert [one.rule for one in borders.registry.findings(version.id)] == ["signature-not-checked"]
    assert judge_anew(version, replace(borders, trusted_keys=TRUSTED)).is_judged
    assert [one.rule for one in borders.registry.findings(version.id)] == ["signature-matches"]


def test_a_portion_is_judged_at_a_time_and_new_work_comes_first(
    borders: Borders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejudging, "PAGE", 2)
    versions = [old(borders, tmp_path, f"e{number}") for number in range(5)]
    steps: list[str] = []
    for one in judge_outdated(borders, 3, lambda: steps.append("gives way")):
        steps.append(one.version_id)
    assert steps == [word for version in versions[:3] for word in ("gives way", version.id)]
    assert [one.version_id for one in judge_outdated(borders)] == [version.id for version in versions[3:]]


def test_the_command_judges_what_is_outdated_and_says_so(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worker.ingest.RULES_VERSION", "0")
    id = json_of(capsys, "ingest", str(model))["version"]["id"]
    shown = json_of(capsys, "models", "show", id)["version"]
    assert (shown["rulesVersion"], shown["newestRulesVersion"]) == ("0", RULES_VERSION)
    found = json_of(capsys, "rescan", "--outdated")
    assert (found["judged"], found["outdated"], [one["id"] for one in found["versions"]]) == (1, 0, [id])
    assert json_of(capsys, "models", "show", id)["version"]["rulesVersion"] == RULES_VERSION
    assert json_of(capsys, "rescan", "--outdated", "--limit", "5")["versions"] == []


@pytest.mark.parametrize("words", [(), ("/x", "--outdated"), ("/x", "--limit", "1"), ("--outdated", "--wait")])
def test_what_does_not_go_together_is_wrong_usage(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rescan", *words]) == 4
    capsys.readouterr()


BAD = {"verdict": "findings", "findings": (LINK,)}
"""What rules of long ago, or a copy's origin, say against a version: `link-outside` stays with its copy."""


@pytest.mark.parametrize("policy", Policy)
def test_what_is_judged_anew_is_judged_by_the_policy(borders: Borders, tmp_path: Path, policy: Policy) -> None:
    version = old(borders, tmp_path, **BAD)
    assert (version.held, version.warning) == (None, None)
    assert [one.is_judged for one in judge_outdated(replace(borders, policy=policy))] == [True]
    found = now(borders, version)
    assert found.verdict == "findings"
    assert found.is_quarantined == (policy is Policy.QUARANTINE)
    assert found.warning == ("1 high finding (link-outside)" if policy is Policy.WARN else None)


def test_newer_rules_put_a_released_version_back_only_for_something_new(borders: Borders, tmp_path: Path) -> None:
    strict, registry = replace(borders, policy=Policy.QUARANTINE), borders.registry
    version = old(borders, tmp_path, **BAD)
    list(judge_outdated(strict))
    free = registry.release("default", version.id, "our own", borders.clock.now(), who="ann")
    assert free is not None
    for findings, is_held in (((LINK,), False), ((), False), ((LINK, replace(LINK, path="other")), True)):
        aged(borders, version, findings)
        list(judge_outdated(strict))
        assert now(borders, version).is_quarantined == is_held


def aged(borders: Borders, version: ModelVersion, findings: tuple[Finding, ...]) -> None:
    """Let older rules have judged *version* since, and have found these."""
    known = now(borders, version)
    metrics = borders.registry.metrics(version.id)
    assert metrics is not None
    said = {name: getattr(known, name) for name in ("model_type", "format", "completeness", "verdict", "report")}
    plain = Judgement(
        **said | {"rules_version": "0", "summary": metrics.summary, "detail": (), "metadata_raw": None},
        metrics=metrics.values,
        findings=findings,
    )
    assert borders.registry.care.judge(known, plain, borders.clock.now())


def test_in_its_own_time_everything_old_is_judged_and_nothing_keeps_the_rest_from_it(
    borders: Borders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejudging, "MOST_A_TURN", 2)
    gone, *others = (old(borders, tmp_path, f"e{number}") for number in range(5))
    borders.store.remove(gone.url)
    slow = InItsOwnTime()
    turns = [slow.turn(borders) for _ in range(5)]
    assert [len(judged) for judged in turns] == [2, 2, 1, 0, 0]
    assert [one.version_id for judged in turns for one in judged if not one.is_judged] == [gone.id]
    assert {now(borders, version).rules_version for version in others} == {RULES_VERSION}
    assert outdated(borders.registry.care.judged_by()) == {"0": 1}
    tomorrow = replace(borders, clock=At(borders.clock.now() + rejudging.PAUSE))
    assert [one.version_id for one in slow.turn(tomorrow)] == [gone.id]


def test_one_that_raises_what_nobody_thought_of_keeps_no_other_from_being_judged(borders: Borders, tmp_path: Path) -> None:
    odd, *others = (old(borders, tmp_path, f"e{number}") for number in range(3))

    @contextmanager
    def open_version(version: ModelVersion) -> Iterator[FileTree]:
        if version.id == odd.id:
            raise ZeroDivisionError("who would have thought")
        with borders.open_version(version) as tree:
            yield tree

    met = replace(borders, open_version=open_version)
    with capture_logs() as logs:
        first, *rest = InItsOwnTime().turn(met)
    assert (first.version_id, first.is_judged) == (odd.id, False)
    assert first.says == "unforeseen: ZeroDivisionError: who would have thought"
    assert [(one.version_id, one.is_judged) for one in rest] == [(version.id, True) for version in others]
    assert [(one["version"], one["exc_info"]) for one in logs if one["event"] == "unforeseen"] == [(odd.id, True)]
    assert [one.version_id for one in judge_outdated(met)] == [odd.id]
    assert [one.is_judged for one in judge_outdated(borders)] == [True]


def test_the_command_goes_on_after_one_that_raises_what_nobody_thought_of(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as then:
        then.setattr("worker.ingest.RULES_VERSION", "0")
        ids = [json_of(capsys, "ingest", str(model), "--experiment", name)["version"]["id"] for name in ("e1", "e2")]

    def look(version: ModelVersion, *given: object) -> Seen:
        if version.id == ids[0]:
            raise ZeroDivisionError
        return Seen(Condition.FINE, "", None)

    monkeypatch.setattr(rejudging, "look", look)
    assert run(["rescan", "--outdated", "--format", "json"]) == 2
    told = capsys.readouterr()
    assert "unforeseen" in told.err
    found = json.loads(told.out)
    assert [(one["id"], one["judged"]) for one in found["versions"]] == [(ids[0], False), (ids[1], True)]


def test_in_its_own_time_means_after_what_waits(borders: Borders, tmp_path: Path) -> None:
    version = old(borders, tmp_path)
    slow = InItsOwnTime()
    waiting, _ = borders.registry.submit(replace(event(tmp_path / "later"), id="later"), borders.clock.now())
    assert slow.turn(borders) == ()
    assert borders.registry.claim(waiting.id, borders.owner, borders.clock.now()) is not None
    assert [one.version_id for one in slow.turn(borders)] == [version.id]


def test_a_database_that_goes_away_in_the_middle_ends_the_round_and_the_next_turn_begins_one(
    borders: Borders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = old(borders, tmp_path)
    slow = InItsOwnTime()
    with monkeypatch.context() as away:

        def fail(*given: object) -> None:
            raise RegistryUnavailable("away")

        away.setattr(borders.registry.care, "judged_before", fail)
        with pytest.raises(RegistryUnavailable):
            slow.turn(borders)
    assert [one.version_id for one in slow.turn(borders)] == [version.id]


@pytest.mark.parametrize(("setting", "is_wanted"), [({}, True), ({"MODELPORT_RESCAN_OUTDATED": "off"}, False)])
def test_who_sweeps_judges_anew_unless_the_setting_says_no(tmp_path: Path, setting: dict[str, str], is_wanted: bool) -> None:
    with embedded({"MODELPORT_HOME": str(tmp_path)} | setting, tmp_path) as service:
        judge_some = service.borders().judge_some
        assert (judge_some is not None) is is_wanted
        assert judge_some is None or judge_some() == ()
