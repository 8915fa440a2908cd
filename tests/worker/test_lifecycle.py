"""The states of an ingestion: the table of moves, and every step by everybody from every state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import lifecycle
from worker.lifecycle import Move, Mover
from worker.records import CompletionEvent, End, HistoryEntry, Ingestion, IngestionState

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
EVENT = CompletionEvent(source="test", id="run-1", model_path="/runs/mnist")


def received() -> Ingestion:
    return lifecycle.receive(EVENT, "in1", "mo1", NOON).ingestion


def running(owner: str = "me") -> Ingestion:
    return moved(lifecycle.claim(received(), owner, NOON))


def moved(move: Move | None) -> Ingestion:
    assert move is not None
    return move.ingestion


def ended(state: IngestionState) -> Ingestion:
    return moved(lifecycle.end(running(), "me", End(state, "why", "so"), NOON))


@pytest.mark.parametrize("state", ["registered", "unchanged", "nothing_found", "failed", "discarded", "ignored"])
def test_six_states_are_ends(state: str) -> None:
    assert lifecycle.is_end(IngestionState(state))


@pytest.mark.parametrize("state", ["received", "waiting", "running"])
def test_three_states_are_none(state: str) -> None:
    assert not lifecycle.is_end(IngestionState(state))


def test_every_state_has_its_moves() -> None:
    assert set(lifecycle.MOVES) == set(IngestionState)


def test_every_state_but_the_first_is_reached() -> None:
    reached = {to for moves in lifecycle.MOVES.values() for to in moves}
    assert reached == set(IngestionState) - {IngestionState.RECEIVED}


def test_what_nobody_owns_is_moved_by_anyone_and_only_to_running() -> None:
    for state in (IngestionState.RECEIVED, IngestionState.WAITING):
        assert lifecycle.MOVES[state] == {IngestionState.RUNNING: Mover.ANYONE}


@pytest.mark.parametrize("state", sorted(lifecycle.ENDS))
def test_an_end_is_final(state: IngestionState) -> None:
    over = ended(state)
    assert lifecycle.MOVES[state] == {}
    assert lifecycle.claim(over, "me", LATER) is None
    assert lifecycle.wait(over, "me", "why", "so", LATER) is None
    assert lifecycle.take_over(over, "me", "you", LATER) is None
    assert lifecycle.end(over, "me", End(IngestionState.FAILED, "why", "so"), LATER) is None


def test_what_runs_is_moved_by_its_owner_alone() -> None:
    mine = running("me")
    assert lifecycle.claim(mine, "you", LATER) is None
    assert lifecycle.wait(mine, "you", "why", "so", LATER) is None
    assert lifecycle.take_over(mine, "you", "another", LATER) is None
    assert lifecycle.end(mine, "you", End(IngestionState.FAILED, "why", "so"), LATER) is None


def test_a_wait_is_not_an_attempt() -> None:
    waiting = moved(lifecycle.wait(running(), "me", "not-settled", "two files grew", LATER))
    assert (waiting.state, waiting.attempts) == (IngestionState.WAITING, 0)
    assert moved(lifecycle.claim(waiting, "you", LATER)).attempts == 1


def test_a_claim_writes_its_line_and_leaves_no_reason_behind() -> None:
    waiting = moved(lifecycle.wait(running(), "me", "not-settled", "two files grew", NOON))
    move = lifecycle.claim(waiting, "you", LATER)
    assert move is not None
    assert (move.ingestion.reason, move.ingestion.message, move.ingestion.updated) == (None, None, LATER)
    assert move.entry == HistoryEntry(LATER, IngestionState.RUNNING, "claimed", "attempt 1 by you")


def test_taking_over_changes_the_owner_and_nothing_else() -> None:
    move = lifecycle.take_over(running("dead"), "dead", "me", LATER)
    assert move is not None
    assert move.ingestion == replace(running("dead"), owner="me", updated=LATER)
    assert move.entry == HistoryEntry(LATER, IngestionState.RUNNING, "taken-over", "by me from dead")


@pytest.mark.parametrize("state", ["received", "waiting", "running"])
def test_an_ingestion_does_not_end_in_a_state_that_is_no_end(state: str) -> None:
    with pytest.raises(ValueError, match=f"{state} is not an end"):
        lifecycle.end(running(), "me", End(IngestionState(state), "why", "so"), LATER)


steps = st.lists(
    st.tuples(
        st.sampled_from(["claim", "wait", "take over", "end"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(sorted(lifecycle.ENDS)),
    ),
    max_size=12,
)


@given(steps)
def test_an_ingestion_has_an_owner_exactly_while_it_runs(steps: list[tuple[str, str, IngestionState]]) -> None:
    ingestion = received()
    for step, who, state in steps:
        move = take(ingestion, step, who, state)
        if move is not None:
            assert move.ingestion.state in lifecycle.MOVES[ingestion.state]
            assert move.entry.state is move.ingestion.state
            ingestion = move.ingestion
        assert (ingestion.owner is not None) == (ingestion.state is IngestionState.RUNNING)
        assert ingestion.attempts >= 0


def take(ingestion: Ingestion, step: str, who: str, state: IngestionState) -> Move | None:
    if step == "claim":
        return lifecycle.claim(ingestion, who, LATER)
    if step == "wait":
        return lifecycle.wait(ingestion, who, "why", "so", LATER)
    if step == "take over":
        return lifecycle.take_over(ingestion, who, "b" if who == "a" else "a", LATER)
    return lifecycle.end(ingestion, who, End(state, "why", "so"), LATER)
