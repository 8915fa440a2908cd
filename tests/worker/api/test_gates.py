"""Gates at the door: what a completion may bring, what is refused with its place, and what is shown of them."""

from __future__ import annotations

from typing import Any

import pytest

from detectors.facts import Metadata
from tests.contracts.registry import event, new_version
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import REPORT, put
from worker.api.schemas import Difference, VersionPage, VersionReport, VersionWithFiles
from worker.arrival import arrival
from worker.gates import evaluate, parse_gates
from worker.records import ModelVersion

GATES = {
    "onnx:accuracy": {"target": "0.9..", "aggregate": "mean", "precision": 3},
    "custom:f1": {"target": "..1", "aggregate": "/f1", "if-not-found": "success"},
}
COMPLETION: dict[str, Any] = {"id": "run-1", "source": "ci", "experimentId": "mnist-7"}


def judged(accuracy: float) -> Any:
    return evaluate(parse_gates(GATES), {"accuracy": {"result": {"mean": accuracy}}}, Metadata())


@pytest.mark.parametrize("given", [GATES, {"checks": GATES}, {"version": 1, "checks": GATES | {"defaults": {"round": "down"}}}])
def test_a_completion_may_bring_gates(door: Door, admin: Client, given: Any) -> None:
    answer = admin.post("/v1/completions", COMPLETION | {"gates": given})
    assert answer.status_code == 202
    kept = door.registry.ingestion("default", answer.json()["id"])
    assert kept is not None
    assert kept.event.gates == parse_gates(GATES)
    again = admin.post("/v1/completions", COMPLETION | {"gates": given})
    assert (again.status_code, again.json()["known"]) == (202, True)
    assert admin.post("/v1/completions", COMPLETION).status_code == 409, "without its gates it says something else"


@pytest.mark.parametrize("none", [None, {}])
def test_no_gates_say_as_much_as_nothing(admin: Client, none: Any) -> None:
    assert admin.post("/v1/completions", COMPLETION).json()["known"] is False
    assert admin.post("/v1/completions", COMPLETION | {"gates": none}).json()["known"] is True


def test_a_cloudevent_may_bring_gates(door: Door, admin: Client) -> None:
    envelope = {"specversion": "1.0", "type": "experiment.completed", "source": "ci", "id": "1"}
    data = {"experimentId": "mnist-7", "gates": GATES}
    headers = {"Content-Type": "application/cloudevents+json"}
    accepted = admin.post("/v1/completions", envelope | {"data": data}, headers=headers).json()
    kept = door.registry.ingestion("default", accepted["id"])
    assert kept is not None
    assert kept.event.gates == parse_gates(GATES)


@pytest.mark.parametrize(
    ("gates", "told"),
    [
        ([], "gates: expected a JSON object, found a list"),
        (
            {"onnx:a": {"target": "1..0", "aggregate": "mean"}},
            "gates.onnx:a.target: expected the lower end first, found '1..0'",
        ),
        ({"a": {}}, "gates: expected names such as tensorflow:loss, onnx:loss or custom:loss, found 'a'"),
        ({"checks": {"custom:a": {"target": 1}}}, "gates.checks.custom:a.aggregate: expected a JSON pointer such as /test/f1"),
    ],
)
def test_gates_that_cannot_be_read_are_refused_with_their_place(door: Door, admin: Client, gates: Any, told: str) -> None:
    answer = admin.post("/v1/completions", COMPLETION | {"gates": gates})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(told)
    assert sum(door.registry.queue(door.clock.now()).states.values()) == 0


def two(door: Door) -> tuple[ModelVersion, ModelVersion]:
    """Two versions, the second with gates, one of which failed, and with what differs from the first."""
    first = put(door, "run-1", {"m": b"1"})
    ingestion, _ = door.registry.submit(event("another"), door.clock.now())
    difference = arrival(first, door.registry.files(first.id), new_version(ingestion, report=REPORT))
    return first, put(door, "run-2", {"m": b"2"}, gates=judged(0.5), arrival=difference)


def test_a_version_shows_its_gates_and_what_differs_from_the_one_before(door: Door, admin: Client) -> None:
    first, second = two(door)
    shown = VersionWithFiles.model_validate(admin.get(f"/v1/versions/{second.id}").json())
    assert [(one.name, one.outcome.value, one.passed, one.rounded) for one in shown.gates] == [
        ("onnx:accuracy", "failed", False, "0.5"),
        ("custom:f1", "not-found", True, None),
    ]
    assert shown.diff is not None
    assert (shown.diff.with_, shown.diff.number, shown.diff.says) == (first.id, 1, "against @1: signature the same")
    before = VersionWithFiles.model_validate(admin.get(f"/v1/versions/{first.id}").json())
    assert (before.gates, before.diff) == ([], None)


def test_the_report_has_them_too_and_lists_have_the_gates(door: Door, admin: Client) -> None:
    _, second = two(door)
    report = VersionReport.model_validate(admin.get(f"/v1/versions/{second.id}/report").json())
    assert report.gates == report.version.gates
    assert report.diff is not None
    page = VersionPage.model_validate(admin.get("/v1/versions").json())
    assert [len(row.gates) for row in page.versions] == [2, 0]


def test_a_difference_tells_of_findings(door: Door, admin: Client) -> None:
    report = REPORT.replace(
        '"findings": []', '"findings": [{"rule": "r", "severity": "low", "path": "m", "place": "", "message": "x"}]'
    )
    old, new = put(door, "run-1", {"m": b"1"}), put(door, "run-2", {"m": b"2"}, report=report)
    found = Difference.model_validate(admin.get(f"/v1/versions/{old.id}/diff", params={"with": new.id}).json())
    assert ([one.rule for one in found.findings.new], found.findings.gone) == (["r"], [])
