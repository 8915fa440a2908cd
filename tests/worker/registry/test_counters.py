"""What a step adds to the counters, and that their labels have few words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contracts.registry import NOON, event
from worker import lifecycle
from worker.records import Count, Counted, ExperimentState, Ingestion, IngestionState
from worker.registry.counters import FORMATS, REASONS, disagreements, labels_of, labels_text, of_step
from worker.submission import end_at_once

ROOT = Path(__file__).parents[3]

PLACE_OF_REASON = {"End": 1, "Reject": 0, "Again": 2, "Pause": 2, "NotSettled": 3, "_retry": 0, "_reject": 0, "_moved": 2}
"""Who is told the reason of an end or a pause, and as which argument."""

NO_ENDS = {"claimed", "retried"}
"""What the history says of steps that neither end nor pause anything."""


def received(at: int = 0) -> Ingestion:
    return lifecycle.receive(event(), "in1", "mo1", NOON + timedelta(seconds=at)).ingestion


def said_in(path: Path) -> Iterator[str]:
    """Yield the reasons that stand in the calls of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PLACE_OF_REASON:
            place = PLACE_OF_REASON[node.func.id]
            given = [*node.args[place : place + 1], *(word.value for word in node.keywords if word.arg in ("reason", "code"))]
            yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_every_reason_of_the_code_is_a_word_of_its_own() -> None:
    said = {reason for path in (ROOT / "worker").rglob("*.py") for reason in said_in(path)} - NO_ENDS
    ended = [end_at_once(event(state=state)) for state in ExperimentState]
    said |= {"unforeseen", *(end.reason for end in ended if end is not None)}
    assert len(said) > 20
    assert said - REASONS == set()


def test_every_format_of_the_report_is_a_word_of_its_own() -> None:
    report = (ROOT / "docs/reference/scan-report.md").read_text(encoding="utf-8")
    row = next(line for line in report.splitlines() if line.startswith("| `format` |"))
    assert set(re.findall(r"`(\w+)`", row)) - {"format"} == FORMATS


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(-5, "0.1"), (0, "0.1"), (0.1, "0.1"), (0.100001, "0.5"), (1, "1"), (2.5, "2.5"), (1800, "1800"), (1800.1, "+Inf")],
)
def test_a_wait_is_counted_in_the_lowest_bucket_that_holds_it(seconds: float, bucket: str) -> None:
    before = received()
    move = lifecycle.claim(before, "me", "mo2", NOON + timedelta(seconds=seconds))
    assert move is not None
    found = {labels: amount for (name, labels), amount in of_step(before, move).items() if name is Counted.WAITED}
    assert found == {(("le", bucket),): 1}


def test_only_the_first_claim_is_counted_as_a_wait() -> None:
    waiting = replace(received(), state=IngestionState.WAITING)
    move = lifecycle.claim(waiting, "me", "mo2", NOON)
    assert move is not None
    assert of_step(waiting, move) == {(Counted.CLAIMED, (("trigger", "cli"),)): 1}


def test_a_retried_one_waits_from_its_retry_on() -> None:
    failed = replace(received(), state=IngestionState.FAILED)
    again = lifecycle.retry(failed, "a person", NOON + timedelta(seconds=100), turn=2)
    assert again is not None
    move = lifecycle.claim(again.ingestion, "me", "mo2", NOON + timedelta(seconds=103))
    assert move is not None
    assert of_step(again.ingestion, move)[Counted.WAITED_MICROSECONDS, ()] == 3_000_000


def test_equal_labels_are_equal_text() -> None:
    labels = (("outcome", "failed"), ("trigger", "cli"))
    assert labels_text(labels) == labels_text(labels[::-1]) == '{"outcome":"failed","trigger":"cli"}'
    assert labels_of(labels_text(labels)) == labels
    assert labels_text(()) == "{}"


def test_what_failed_and_was_put_away_is_discarded() -> None:
    counted = [
        Count(Counted.ACCEPTED, (("trigger", "cli"),), 2),
        Count(Counted.ENDED, (("outcome", "failed"),), 1),
        Count(Counted.PUT_AWAY, (("trigger", "cli"),), 1),
    ]
    states = {IngestionState.DISCARDED: 1, IngestionState.WAITING: 1}
    assert list(disagreements(counted, states)) == []
    assert list(disagreements(counted, {IngestionState.FAILED: 1, IngestionState.RUNNING: 1})) == [
        "the counters say 0 failed, and there are 1",
        "the counters say 1 discarded, and there are 0",
    ]
