"""How the work is said to be: a table of what is so, and the sentence that an operator reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.worker.registry.test_counters import ROOT, said_in
from worker.health import MEANING, Hand, Verdict, clock, hands, partly_paused, verdict
from worker.lifecycle import LOST, claim, receive
from worker.records import CompletionEvent, Halt, Ingestion, IngestionState, Standing, Trigger, Worker
from worker.verdict import UNFORESEEN, Reject

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG, SHORT = timedelta(minutes=5), timedelta(minutes=4, seconds=59)
RECEIVED, RUNNING = IngestionState.RECEIVED, IngestionState.RUNNING


def worker(name: str = "w1", seen: datetime = NOON) -> Worker:
    return Worker(name, "node-a", 1, NOON - timedelta(days=1), seen)


def running(id: str, owner: str, trigger: Trigger = Trigger.COMPLETION) -> Ingestion:
    received = receive(CompletionEvent("test", id, "/m", trigger=trigger), id, f"mo{id}", NOON)
    move = claim(received.ingestion, owner, f"mo{id}", NOON)
    assert move is not None
    return move.ingestion


def said(hands: Sequence[Hand], **known: Any) -> tuple[str, str, str]:
    found = verdict(replace(Standing({}, 0, None, {}, None, ()), **known), hands, NOON)
    return found.title, found.level, found.says


LIVES = [Hand("w1", worker(), (), is_living=True)]
LATE = "7 ingestions may begin now, the first of them since 11:55."
QUEUED = {"in_flight": {RECEIVED: 7}, "due": 7}


@pytest.mark.parametrize(
    ("hands", "known", "expected"),
    [
        ([], {}, ("Quiet", "", "Nothing waits, nothing runs. No worker runs.")),
        (LIVES, {}, ("Quiet", "", "Nothing waits, nothing runs. 1 worker gives a sign of life.")),
        (
            LIVES * 2,
            QUEUED | {"due_since": NOON - SHORT},
            ("Healthy", "", "Nothing waits for long. 2 workers give signs of life."),
        ),
        (
            [],
            QUEUED | {"due_since": NOON},
            (
                "Nobody works",
                "is-warn",
                "7 ingestions may begin now. No worker gives a sign of life: start one with modelport worker or modelport up. "
                "Nothing is lost meanwhile.",
            ),
        ),
        (
            LIVES,
            QUEUED | {"due_since": NOON - LONG, "last_finish": NOON - SHORT},
            (
                "Behind",
                "is-warn",
                f"{LATE} Work goes on all the same; more workers would help.",
            ),
        ),
        (
            LIVES,
            QUEUED | {"due_since": NOON - LONG, "last_finish": NOON - LONG},
            (
                "Stalled",
                "is-bad",
                f"{LATE} Nothing has finished since 11:55. 1 worker gives a sign of "
                "life. Their logs tell why they take none of it.",
            ),
        ),
        (
            LIVES,
            {"in_flight": {RECEIVED: 1, RUNNING: 1}, "due": 1, "due_since": NOON - timedelta(days=1)},
            (
                "Stalled",
                "is-bad",
                "1 ingestion may begin now, the first of them since 19\N{NO-BREAK SPACE}Nov 12:00. Nothing has finished yet. "
                "What runs takes long, or hangs: see below who holds what.",
            ),
        ),
        (
            [],
            QUEUED | {"due_since": NOON - LONG},
            (
                "Stalled",
                "is-bad",
                f"{LATE} Nothing has finished yet. No worker gives a sign of life: "
                "start one with modelport worker or modelport up. Nothing is lost meanwhile.",
            ),
        ),
        (LIVES, {"in_flight": {RUNNING: 1}}, ("Healthy", "", "Nothing waits for long. 1 worker gives a sign of life.")),
    ],
)
def test_the_worst_that_is_so_is_what_is_said(
    hands: Sequence[Hand], known: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert said(hands, **known) == expected


HALT = Halt(None, NOON - timedelta(minutes=6), "the token ops (tk1)", "the store moves")


@pytest.mark.parametrize(
    ("halts", "is_over_all", "expected"),
    [
        (
            (HALT,),
            True,
            "Since 11:54, by the token ops (tk1): “the store moves”. No worker begins anything of any team. "
            "7 ingestions may begin once it is resumed. What is reported is accepted all the same.",
        ),
        (
            (HALT, replace(HALT, team="red")),
            False,
            "Since 11:54, by whoever looks after all teams: “the store moves”. No worker begins anything of any team. "
            "7 ingestions may begin once it is resumed. What is reported is accepted all the same. "
            "The team red is paused by itself as well.",
        ),
        (
            (replace(HALT, team="red", note=None),),
            False,
            "Since 11:54, by the token ops (tk1). No worker begins anything of the team red. 7 ingestions may begin once it is "
            "resumed. What is reported is accepted all the same.",
        ),
    ],
)
def test_a_pause_is_said_before_everything_else(halts: tuple[Halt, ...], is_over_all: bool, expected: str) -> None:
    standing = replace(Standing({}, 0, None, {}, None, ()), **QUEUED, due_since=NOON - LONG, halts=halts)
    found = verdict(standing, [], NOON, is_over_all)
    assert (found.sign, found.level, found.title, found.says) == ("pause", "is-warn", "Paused", expected)


def test_who_is_silent_stands_first_with_what_it_still_holds() -> None:
    one, two, three = running("1", "w2.17"), running("2", "gone.1"), running("3", "cli-5", Trigger.CLI)
    workers = [worker("w1"), worker("w2"), worker("w3", NOON - timedelta(seconds=16))]
    found = hands(workers, [one, two, three], NOON - timedelta(seconds=15))
    assert [(hand.name, hand.state.words, [held.id for held in hand.holds]) for hand in found] == [
        ("gone", "Silent", ["2"]),
        ("w3", "Silent", []),
        ("cli-5", "A command", ["3"]),
        ("w1", "Idle", []),
        ("w2", "Working", ["1"]),
    ]


def test_a_worker_of_several_processes_holds_what_any_of_them_holds() -> None:
    owners = ("worker-5f1e-child-93ab.1", "worker-5f1e-sweep-44aa.2", "worker-5f1f-child-93ab.1", "cli-5")
    held = [running(str(number), owner) for number, owner in enumerate(owners)]
    found = hands([worker("worker-5f1e")], held, NOON - timedelta(seconds=15))
    assert {hand.name: [one.id for one in hand.holds] for hand in found} == {
        "worker-5f1e": ["0", "1"],
        "worker-5f1f-child-93ab": ["2"],
        "cli-5": ["3"],
    }


def test_teams_that_are_paused_among_all_are_said_before_how_the_others_are() -> None:
    red, blue = (Halt(team, NOON, "ann", "the disk moves") for team in ("red", "blue"))
    well, bad = Verdict("ok", "", "Healthy", "All is well."), Verdict("bad", "is-bad", "Stalled", "It stands still.")
    assert partly_paused(well, [], NOON) == well
    told = partly_paused(well, [red, blue], NOON)
    assert (told.title, told.level) == ("Partly paused", "is-warn")
    assert told.says == (
        "Since 12:00, by ann: “the disk moves”, no worker begins anything of the team red. So is 1 other team. All is well."
    )
    assert partly_paused(bad, [red], NOON).level == "is-bad"


def test_a_time_of_another_day_has_its_day() -> None:
    assert clock(NOON, NOON) == "12:00"
    assert clock(NOON - timedelta(hours=13), NOON) == "19\N{NO-BREAK SPACE}Nov 23:00"


def test_every_reason_of_a_failure_has_a_meaning() -> None:
    """What ends as failed is rejected by the verdict, but for workers that were lost and files that could not be looked at."""
    rejecting = {"Reject", "_retry", "_reject"}
    assert Reject.__name__ in rejecting
    ends = said_in(ROOT / "worker/verdict.py")
    expected = {*ends, LOST, UNFORESEEN, "unreadable", "interrupted", "incomplete", "broken", "source-unavailable"}
    expected |= {"store-unavailable", "registry-unavailable"}
    assert expected - set(MEANING) == set()
