"""Gates and the version before in the use case, on the shipped fakes and on the real borders alike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.builders import onnx
from tests.worker.test_ingest import Changed, borders, clock_in_an_hour, event, run
from worker.errors import RegistryUnavailable
from worker.gates import parse_gates
from worker.ingest import Borders, Ingested, ingest
from worker.records import GateOutcome, IngestionState, ModelVersion

__all__ = ["borders", "run"]  # fixtures

GATES = parse_gates(
    {
        "onnx:accuracy": {"target": "0.9..", "aggregate": "mean"},
        "custom:f1": {"target": "0.5..", "aggregate": "/f1"},
    }
)


def reported(run: Path, accuracy: object, f1: object = 0.6) -> Path:
    (run / "metrics.json").write_text(json.dumps({"accuracy": accuracy}), encoding="utf-8")
    (run / "gradient-model-metadata.json").write_text(json.dumps({"f1": f1}), encoding="utf-8")
    return run


def version_of(outcome: Ingested) -> ModelVersion:
    assert outcome.version is not None
    return outcome.version


def outcomes(outcome: Ingested) -> list[str]:
    return [result.outcome.value for result in version_of(outcome).gates]


def test_a_gate_that_fails_keeps_no_version_from_being_registered(borders: Borders, run: Path) -> None:
    outcome = ingest(event(reported(run, 0.5), gates=GATES), borders)
    assert (outcome.ingestion.state, outcomes(outcome)) == (IngestionState.REGISTERED, ["failed", "passed"])
    assert borders.registry.version("default", version_of(outcome).id) == version_of(outcome)


@pytest.mark.parametrize("accuracy", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_passes_nothing_the_second_time_either(
    borders: Borders, run: Path, accuracy: float
) -> None:
    """The registry keeps what was reported as JSON, and the file may hold NaN bare."""
    reported(run, 0.95, accuracy)
    for number, reason in ((1, "new-content"), (2, "same-listing")):
        outcome = ingest(event(run, number, gates=GATES), borders)
        assert (outcome.ingestion.reason, outcomes(outcome)) == (reason, ["passed", "failed"])


def test_gates_are_those_that_the_borders_say(borders: Borders, run: Path) -> None:
    standing = replace(borders, gates=lambda event: (*event.gates, *GATES[1:]))
    assert outcomes(ingest(event(reported(run, 0.95), gates=GATES[:1]), standing)) == ["passed", "passed"]


def test_metadata_that_do_not_count_are_not_looked_at_the_second_time_either(borders: Borders, run: Path) -> None:
    (run / "gradient-model-metadata.json").write_text("no JSON", encoding="utf-8")
    first = version_of(ingest(event(run, 1, gates=GATES[1:]), borders)).gates
    again = version_of(ingest(event(run, 2, gates=GATES[1:]), borders)).gates
    assert first == again
    assert first[0].outcome is GateOutcome.NOT_FOUND
    assert "not used: not valid JSON" in first[0].says


def test_who_lost_the_lease_says_nothing_about_gates(borders: Borders, run: Path) -> None:
    ingest(event(reported(run, 0.5), 1), borders)
    noted: list[object] = []
    registry: Any = Changed(borders.registry, beat=lambda *_: False, note_gates=lambda *said: noted.append(said))
    ingest(event(run, 2, gates=GATES), replace(borders, registry=registry))
    assert noted == []


def test_a_database_that_is_away_costs_an_attempt_and_no_word_about_gates(borders: Borders, run: Path) -> None:
    ingest(event(reported(run, 0.5), 1), borders)
    tries = iter([RegistryUnavailable("away"), None])

    def note(*said: Any) -> None:
        if (error := next(tries)) is not None:
            raise error
        borders.registry.note_gates(*said)

    registry: Any = Changed(borders.registry, note_gates=note)
    outcome = ingest(event(run, 2, gates=GATES), replace(borders, registry=registry, clock=clock_in_an_hour()))
    assert (outcome.ingestion.state, outcomes(outcome)) == (IngestionState.UNCHANGED, ["failed", "passed"])


def test_what_differs_is_told_of_the_version_that_was_the_newest_then(borders: Borders, run: Path) -> None:
    first = version_of(ingest(event(reported(run, 0.5), 1), borders))
    assert first.arrival is None
    second = version_of(ingest(event(reported(run, 0.75), 2), borders))
    assert second.arrival is not None
    assert (second.arrival["with"], second.arrival["number"]) == (first.id, 1)
    assert second.arrival["says"] == "against @1: signature the same, accuracy 0.5 → 0.75"
    borders.registry.rename("default", first.id, "another", borders.clock.now())
    (run / "model.onnx").write_bytes(onnx.model(onnx.small_graph(inputs=[onnx.value("z", dims=[2])])))
    third = version_of(ingest(event(run, 3), borders))
    assert third.arrival is not None
    assert (third.model_name, third.arrival["with"], third.arrival["signature"]) == ("another", second.id, "breaking")


def test_the_same_content_again_keeps_what_differed_when_it_came(borders: Borders, run: Path) -> None:
    ingest(event(reported(run, 0.5), 1), borders)
    second = version_of(ingest(event(reported(run, 0.75), 2), borders))
    (run / "model.onnx").touch()
    again = ingest(event(run, 3, is_forced=True), borders)
    assert (again.ingestion.reason, version_of(again).arrival) == ("same-content", second.arrival)
