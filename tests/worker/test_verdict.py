"""What an exception means for an ingestion."""

from __future__ import annotations

import inspect

import pytest

import detectors.errors
import worker.errors
from detectors.errors import TreeChanged, TreeLimit, TreeUnavailable, Unreadable
from worker.errors import (
    InspectorLost,
    NotSettled,
    RegistryUnavailable,
    RejectedEvent,
    RejectedLocation,
    StorageHangs,
    StorageUnavailable,
)
from worker.records import SoFar
from worker.verdict import RULES, Again, Patience, Reject, decide

PATIENCE = Patience(60.0, 60.0)

ALL = [
    kind
    for module in (detectors.errors, worker.errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_the_table_knows_every_exception_of_ours(kind: type[Exception]) -> None:
    assert any(issubclass(kind, known) for known in RULES)


def test_the_table_runs_from_the_special_to_the_general() -> None:
    kinds = list(RULES)
    for place, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) and later is not kind for later in kinds[place + 1 :]), kind


def test_a_wait_is_no_attempt() -> None:
    error = NotSettled(3.0, "still changing: a", None)
    assert decide(error, SoFar(waited_seconds=3.0), PATIENCE) == Again(3.0, False, "not-settled", "still changing: a")


def test_patience_ends() -> None:
    error = NotSettled(3.0, "still changing: a", None)
    decision = decide(error, SoFar(waited_seconds=61.0), PATIENCE)
    assert decision == Reject("kept-changing", "the files did not come to rest within 60 s; still changing: a")


def test_a_change_while_reading_is_looked_at_again_five_times() -> None:
    error = TreeChanged("a", "has 3 bytes now")
    assert decide(error, SoFar(changes=4), PATIENCE) == Again(1.0, False, "changed", "a: has 3 bytes now")
    assert decide(error, SoFar(changes=5), PATIENCE).reason == "kept-changing"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TreeUnavailable("a", "input/output error"), "source-unavailable"),
        (StorageUnavailable("disk full"), "store-unavailable"),
        (RegistryUnavailable("locked"), "registry-unavailable"),
    ],
)
def test_what_does_not_answer_is_tried_with_growing_pauses_and_costs_no_attempt(error: Exception, reason: str) -> None:
    decisions = [decide(error, SoFar(failed=tries), Patience(60.0, 800.0)) for tries in range(1, 9)]
    pauses = (0.5, 2.0, 8.0, 30.0, 120.0, 300.0, 300.0)
    assert decisions[:7] == [Again(seconds, False, reason, str(error)) for seconds in pauses]
    assert decisions[7] == Reject(reason, f"{error} (tried 8 times)")


def test_a_person_is_kept_waiting_for_no_more_than_a_few_tries() -> None:
    decisions = [decide(StorageUnavailable("disk full"), SoFar(failed=tries), Patience(3600.0, 15.0)) for tries in (3, 4)]
    assert decisions == [
        Again(8.0, False, "store-unavailable", "disk full"),
        Reject("store-unavailable", "disk full (tried 4 times)"),
    ]


@pytest.mark.parametrize(("cause", "tries"), [("memory", 2), ("time", 2), ("crashed", 4)])
def test_a_lost_inspection_is_tried_again_but_only_once_where_it_reached_a_limit(cause: str, tries: int) -> None:
    error = InspectorLost(cause, "it was ended")
    last_but_one = decide(error, SoFar(failed=tries - 1), PATIENCE)
    assert isinstance(last_but_one, Again)
    assert (last_but_one.is_attempt, last_but_one.reason) == (True, "inspector-lost")
    words = f"the inspection was lost ({cause}): it was ended (tried {tries} times)"
    assert decide(error, SoFar(failed=tries), PATIENCE) == Reject("inspector-lost", words)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RejectedEvent("x"), "rejected-event"),
        (RejectedLocation("x"), "rejected-location"),
        (TreeLimit("", "too many"), "tree-limit"),
        (Unreadable("a", "denied"), "unreadable"),
        (RuntimeError("boom"), "unforeseen"),
    ],
)
def test_what_will_not_change_by_itself_is_rejected(error: Exception, reason: str) -> None:
    decision = decide(error, SoFar(failed=1), PATIENCE)
    assert isinstance(decision, Reject)
    assert decision.reason == reason


def test_what_hangs_pauses_for_as_long_and_ends_at_the_fourth_try() -> None:
    error = StorageHangs(55.0, "in the step 'detect' of /mnt/a")
    said = "the storage hangs: nothing came back for 55 s in the step 'detect' of /mnt/a"
    decisions = [decide(error, SoFar(failed=tries), PATIENCE) for tries in (1, 2, 3, 4)]
    assert decisions == [
        Again(55.0, True, "storage-hangs", said),
        Again(110.0, True, "storage-hangs", said),
        Again(220.0, True, "storage-hangs", said),
        Reject("storage-hangs", f"{said} (tried 4 times)"),
    ]
