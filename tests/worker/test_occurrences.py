"""What is worth telling: of a version, of a judgement, of a step."""

from __future__ import annotations

import pytest

from detectors.facts import Finding, Metadata, Severity
from tests.contracts.registry import LATER, NOON, claimed, event, failed, new_version
from worker import lifecycle, occurrences
from worker.delivery import DeliveryKind
from worker.gates import evaluate, parse_gates
from worker.records import Ingestion, IngestionState
from worker.registry.memory import MemoryRegistry


@pytest.fixture
def running() -> Ingestion:
    return claimed(MemoryRegistry())


def found(*severities: Severity) -> tuple[Finding, ...]:
    return tuple(Finding("a-rule", severity, "a", "", "so") for severity in severities)


@pytest.mark.parametrize(
    ("severities", "is_worth_it"),
    [
        ([], False),
        ([Severity.MEDIUM, Severity.LOW, Severity.INFO], False),
        ([Severity.HIGH], True),
        ([Severity.INFO, Severity.CRITICAL], True),
    ],
)
def test_serious_findings_are_told_besides(running: Ingestion, severities: list[Severity], is_worth_it: bool) -> None:
    told = occurrences.of_version(new_version(running, findings=found(*severities)))
    assert told == [DeliveryKind.REGISTERED, *[DeliveryKind.FINDING] * is_worth_it]
    assert occurrences.of_judgement(found(*severities), False, False) == [DeliveryKind.FINDING] * is_worth_it
    assert occurrences.of_judgement(found(*severities), True, False) == []
    assert occurrences.of_judgement(found(*severities), True, True) == [DeliveryKind.FINDING] * is_worth_it


def test_a_gate_that_failed_is_told_last(running: Ingestion) -> None:
    wanted = {"tensorflow:loss": "..0.5", "tensorflow:accuracy": "0.5.."}
    gates = parse_gates({name: {"target": target, "aggregate": "mean"} for name, target in wanted.items()})
    judged = evaluate(gates, {"loss": {"scalar": "loss", "result": {"mean": 0.1}}}, Metadata())
    version = new_version(running, findings=found(Severity.HIGH), gates=judged)
    assert [gate.is_passed for gate in judged] == [True, False]
    assert list(map(str, occurrences.of_version(version))) == ["version.registered", "finding.raised", "gate.failed"]
    passed = new_version(running, findings=(), gates=judged[:1])
    assert list(map(str, occurrences.of_version(passed))) == ["version.registered"]


def test_of_all_steps_a_failure_alone_is_told(running: Ingestion) -> None:
    moves = [
        lifecycle.receive(event(), "in1", "mo1", NOON, 1),
        lifecycle.end(running, "me", failed(), LATER),
        lifecycle.discard(running, "ann", LATER),
    ]
    told = [(move.ingestion.state, list(occurrences.of_move(move))) for move in moves if move is not None]
    assert told == [
        (IngestionState.RECEIVED, []),
        (IngestionState.FAILED, [DeliveryKind.FAILED]),
        (IngestionState.DISCARDED, []),
    ]
