"""What is kept of the difference from the version before: a sentence, and lists that end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.registry import claimed, new_version, register
from worker.arrival import MAX_LISTED, arrival
from worker.compare import compared
from worker.records import FileDigest, ModelVersion, NewVersion
from worker.registry.memory import MemoryRegistry


def report(values: Any = (), findings: Any = (), roots: Any = ("1",), **model: Any) -> dict[str, Any]:
    models = [{"root": root, "primary": root == roots[0], "format": "onnx", "facts": {}} | model for root in roots]
    return {"models": models, "metrics": {"values": list(values)}, "findings": list(findings)}


def metric(name: str, value: Any, session: str = "eval") -> dict[str, Any]:
    return {"session": session, "name": name, "value": value}


def finding(rule: str = "tf-file-write", path: str = "1/saved_model.pb", place: str = "node w") -> dict[str, Any]:
    return {"rule": rule, "severity": "high", "path": path, "place": place, "message": "m", "advice": "a"}


@pytest.fixture
def before() -> ModelVersion:
    return register(MemoryRegistry()).version


def new(report: dict[str, Any], files: tuple[FileDigest, ...] = ()) -> NewVersion:
    return replace(new_version(claimed(MemoryRegistry())), report=json.dumps(report), files=files)


def says(before: ModelVersion, old: dict[str, Any], now: dict[str, Any]) -> str:
    found = arrival(replace(before, number=3, report=json.dumps(old)), (), new(now))
    assert found["with"] == before.id
    return str(found["says"])


@pytest.mark.parametrize(
    ("old", "now", "told"),
    [
        (report(), report(), "signature the same"),
        (report([metric("loss", 0.5)]), report([metric("loss", 0.25)]), "signature the same, loss 0.5 → 0.25"),
        (report(), report([metric("loss", 0.123456)]), "signature the same, loss none → 0.1235"),
        (report([metric("loss", 0.5)]), report([metric("loss", "NaN")]), "signature the same, loss 0.5 → NaN"),
        (
            report([metric(name, 1) for name in "abcde"]),
            report([metric(name, 2) for name in "abcde"]),
            "signature the same, a 1 → 2, b 1 → 2, c 1 → 2, 2 more metrics",
        ),
        (
            report([metric("loss", 1, "train"), metric("loss", 1)]),
            report([metric("loss", 2, "train"), metric("loss", 2)]),
            "signature the same, loss 1 → 2, 1 more metric",
        ),
        (report(), report(format="keras"), "signature the same, format onnx → keras"),
        (report(), report(findings=[finding()]), "signature the same, +1 finding"),
        (
            report(findings=[finding(), finding("x")]),
            report(findings=[finding("y")]),
            "signature the same, +1 finding, −2 findings",
        ),
    ],
)
def test_the_sentence_tells_what_a_person_asks_first(before: ModelVersion, old: Any, now: Any, told: str) -> None:
    assert says(before, old, now) == f"against @3: {told}"


def test_the_lists_end_and_the_sentence_counts_all(before: ModelVersion) -> None:
    many = MAX_LISTED + 5
    now = report([metric(f"m{at:03}", at) for at in range(many)], [finding(place=f"{at}") for at in range(many)])
    files = tuple(FileDigest(f"f{at}", 1, "0" * 64) for at in range(many))
    found = arrival(replace(before, report=json.dumps(report())), (FileDigest("old", 1, "1" * 64),), new(now, files))
    assert (len(found["metrics"]), len(found["findings"]["new"])) == (MAX_LISTED, MAX_LISTED)
    assert found["files"] == {"added": many, "removed": 1, "changed": 0, "same": 0}
    assert found["says"].endswith(f"{many - 3} more metrics, +{many} findings")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def findings(old: dict[str, Any], now: dict[str, Any]) -> tuple[list[str], list[str]]:
    found = compared(old, now, None, None)["findings"]
    new, gone = ([one["path"] for one in found[side]] for side in ("new", "gone"))
    return new, gone


def test_a_finding_in_another_export_of_the_model_is_the_same_one() -> None:
    old = report(findings=[finding(path="1557442950/saved_model.pb")], roots=["1557442950"])
    now = report(findings=[finding(path="1557449999/saved_model.pb")], roots=["1557449999"])
    assert findings(old, now) == ([], [])
    elsewhere = report(findings=[finding(path="1557449999/assets/a.pb")], roots=["1557449999"])
    assert findings(old, elsewhere) == (["1557449999/assets/a.pb"], ["1557442950/saved_model.pb"])


def test_findings_are_told_apart_by_rule_and_place_and_counted() -> None:
    one, other, third = finding(), finding(place="node v"), finding("tf-file-read")
    assert findings(report(findings=[one]), report(findings=[one, other, third])) == (["1/saved_model.pb"] * 2, [])
    assert findings(report(findings=[one, one]), report(findings=[one])) == ([], ["1/saved_model.pb"])
    assert findings(report(findings=[one | {"message": "in other words"}]), report(findings=[one])) == ([], [])


def test_the_deepest_model_that_holds_a_path_is_the_one_that_it_is_below() -> None:
    old = report(findings=[finding(path="a/1/m")], roots=["a", "a/1"])
    now = report(findings=[finding(path="a/2/m")], roots=["a", "a/2"])
    assert findings(old, now) == ([], [])
    assert findings(report(findings=[finding(path="m")], roots=[""]), report(findings=[finding(path="m")], roots=["m"])) == (
        [],
        [],
    )
