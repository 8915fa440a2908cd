"""The states of an ingestion: the table of moves, and every step by everybody from every state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import lifecycle
from worker.lifecycle import Move, Mover
from worker.records import CompletionEvent, End, HistoryEntry, Ingestion, IngestionState, Pause, SoFar, Trigger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
LONG_AFTER = NOON + timedelta(hours=1)
EVENT = CompletionEvent(source="test", id="run-1", model_path="/runs/mnist", trigger=Trigger.COMPLETION)


def received() -> Ingestion:
    return lifecycle.receive(EVENT, "in1", "mo1", NOON).ingestion


def running(owner: str = "me") -> Ingestion:
    return moved(lifecycle.claim(received(), owner, "mo1", NOON))


def pause(seconds: float = 1.0) -> Pause:
    return Pause(seconds, False, "not-settled", "two files grew", SoFar(waited_seconds=seconds))


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


def test_every_state_is_reached() -> None:
    assert {to for moves in lifecycle.MOVES.values() for to in moves} == set(IngestionState)


def test_what_nobody_owns_is_run_by_anyone_and_discarded_by_a_person() -> None:
    for state in (IngestionState.RECEIVED, IngestionState.WAITING):
        moves = lifecycle.MOVES[state]
        assert moves[IngestionState.RUNNING] == {Mover.ANYONE}
        assert moves[IngestionState.DISCARDED] == {Mover.PERSON}


@pytest.mark.parametrize("state", sorted(lifecycle.ENDS))
def test_an_end_is_final_for_every_worker(state: IngestionState) -> None:
    over = ended(state)
    assert lifecycle.claim(over, "me", "mo2", LATER) is None
    assert lifecycle.wait(over, "me", pause(), LATER) is None
    assert lifecycle.beat(over, "me", LATER) is None
    assert lifecycle.free(over, LONG_AFTER, is_dead=True) is None
    assert lifecycle.end(over, "me", End(IngestionState.FAILED, "why", "so"), LATER) is None


@pytest.mark.parametrize("state", sorted(lifecycle.ENDS - {IngestionState.FAILED}))
def test_an_end_is_final_but_that_a_person_may_have_a_failed_one_tried_again_or_put_away(state: IngestionState) -> None:
    assert lifecycle.retry(ended(state), "a person", LATER, 7) is None
    assert lifecycle.discard(ended(state), "a person", LATER) is None
    failed = ended(IngestionState.FAILED)
    again = moved(lifecycle.retry(failed, "a person", LATER, 7))
    assert (again.state, again.attempts, again.so_far, again.reason) == (IngestionState.RECEIVED, 0, SoFar(), None)
    assert moved(lifecycle.discard(failed, "a person", LATER)).state is IngestionState.DISCARDED


def test_what_runs_is_moved_by_its_owner_alone_but_for_a_lease_that_ran_out_and_a_person_who_discards_it() -> None:
    mine = running("me")
    assert lifecycle.claim(mine, "you", "mo2", LATER) is None
    assert lifecycle.claim(mine, "me", "mo2", LATER) is None
    assert lifecycle.wait(mine, "you", pause(), LATER) is None
    assert lifecycle.beat(mine, "you", LATER) is None
    assert lifecycle.end(mine, "you", End(IngestionState.FAILED, "why", "so"), LATER) is None
    assert lifecycle.free(mine, LATER) is None
    assert lifecycle.free(mine, LONG_AFTER) is not None
    assert moved(lifecycle.discard(mine, "a person", LATER)).owner is None


def test_a_wait_is_not_an_attempt() -> None:
    waiting = moved(lifecycle.wait(running(), "me", pause(seconds=5.0), LATER))
    assert (waiting.state, waiting.attempts, waiting.run_after) == (IngestionState.WAITING, 0, LATER + timedelta(seconds=5))
    assert moved(lifecycle.claim(waiting, "you", "mo2", LATER)).attempts == 1


def test_a_pause_ends_a_turn() -> None:
    """What stands instead is beyond all turns, and lower the sooner the pause is over."""
    soon, late = (moved(lifecycle.wait(running(), "me", pause(seconds), LATER)).turn for seconds in (1.0, 2.0))
    freed = moved(lifecycle.free(running(), LATER, is_dead=True)).turn
    assert lifecycle.PAUSED < freed < soon < late < 2**63
    assert (freed, soon) == (lifecycle.paused_turn(LATER), lifecycle.paused_turn(LATER + timedelta(seconds=1)))


def test_a_retry_is_an_attempt() -> None:
    waiting = moved(lifecycle.wait(running(), "me", replace(pause(), is_attempt=True, so_far=SoFar(failed=1)), LATER))
    assert (waiting.attempts, waiting.so_far.failed) == (1, 1)


def test_a_claim_writes_its_line_and_leaves_no_reason_behind() -> None:
    waiting = moved(lifecycle.wait(running(), "me", pause(), NOON))
    move = lifecycle.claim(waiting, "you", "mo2", LATER)
    assert move is not None
    assert (move.ingestion.reason, move.ingestion.message, move.ingestion.updated) == (None, None, LATER)
    assert move.entry == HistoryEntry(LATER, IngestionState.RUNNING, "claimed", "attempt 1 by you", "mo2")


def test_each_attempt_registers_under_an_id_of_its_own() -> None:
    first = running()
    second = moved(lifecycle.claim(moved(lifecycle.free(first, LONG_AFTER)), "you", "mo2", LONG_AFTER))
    assert (first.version_id, second.version_id) == ("mo1", "mo2")


def test_a_lease_lasts_from_the_claim_and_from_each_beat() -> None:
    mine = running()
    assert mine.lease_until == NOON + timedelta(seconds=lifecycle.LEASE_SECONDS)
    beaten = lifecycle.beat(mine, "me", LATER)
    assert beaten is not None
    assert beaten.lease_until == LATER + timedelta(seconds=lifecycle.LEASE_SECONDS)


def test_a_lost_worker_costs_one_attempt_and_five_of_them_the_ingestion() -> None:
    ingestion, now = received(), NOON
    for attempt in range(1, 6):
        ingestion = moved(lifecycle.claim(ingestion, f"worker {attempt}", f"mo{attempt}", now))
        now += timedelta(seconds=lifecycle.LEASE_SECONDS)
        ingestion = moved(lifecycle.free(ingestion, now))
        assert ingestion.attempts == attempt
    assert (ingestion.state, ingestion.reason) == (IngestionState.FAILED, "worker-lost")
    assert ingestion.message == "5 workers died or hung over it; the last was worker 5"


def test_only_attempts_that_others_ended_are_lost() -> None:
    """The second one said itself that it waits, and the fourth one runs."""
    move = lifecycle.receive(EVENT, "in1", "mo0", NOON)
    steps = [move]

    def take(step: Move | None) -> Ingestion:
        assert step is not None
        steps.append(step)
        return step.ingestion

    ingestion = take(lifecycle.claim(move.ingestion, "one", "mo1", NOON))
    ingestion = take(lifecycle.claim(take(lifecycle.free(ingestion, LONG_AFTER)), "two", "mo2", LONG_AFTER))
    ingestion = take(lifecycle.claim(take(lifecycle.wait(ingestion, "two", pause(), LONG_AFTER)), "three", "mo3", LONG_AFTER))
    hangs = replace(pause(), is_attempt=True, reason="storage-hangs")
    take(lifecycle.claim(take(lifecycle.wait(ingestion, "three", hangs, LONG_AFTER)), "four", "mo4", LONG_AFTER))
    assert lifecycle.lost_attempts([step.entry for step in steps]) == ("mo1", "mo3")


def test_what_a_person_watched_is_not_tried_again_by_itself() -> None:
    watched = replace(running(), event=replace(EVENT, trigger=Trigger.CLI))
    assert moved(lifecycle.free(watched, LATER, is_dead=True)).state is IngestionState.FAILED


@pytest.mark.parametrize("state", ["received", "waiting", "running"])
def test_an_ingestion_does_not_end_in_a_state_that_is_no_end(state: str) -> None:
    with pytest.raises(ValueError, match=f"{state} is not an end"):
        lifecycle.end(running(), "me", End(IngestionState(state), "why", "so"), LATER)


steps = st.lists(
    st.tuples(
        st.sampled_from(["claim", "wait", "beat", "free", "retry", "discard", "end"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(sorted(lifecycle.ENDS)),
        st.integers(0, 100),
    ),
    max_size=20,
)


@given(steps)
def test_an_ingestion_has_an_owner_and_a_lease_exactly_while_it_runs(
    steps: list[tuple[str, str, IngestionState, int]],
) -> None:
    ingestion, now = received(), NOON
    for step, who, state, seconds in steps:
        now += timedelta(seconds=seconds)
        move = take(ingestion, step, who, state, now)
        if move is not None:
            assert move.ingestion.state in lifecycle.MOVES[ingestion.state]
            assert move.entry.state is move.ingestion.state
            ingestion = move.ingestion
        is_running = ingestion.state is IngestionState.RUNNING
        assert (ingestion.owner is not None, ingestion.lease_until is not None) == (is_running, is_running)
        assert 0 <= ingestion.attempts <= lifecycle.MAX_ATTEMPTS or step == "claim"


def take(ingestion: Ingestion, step: str, who: str, state: IngestionState, now: datetime) -> Move | None:
    if step == "claim":
        return lifecycle.claim(ingestion, who, "mo2", now)
    if step == "wait":
        return lifecycle.wait(ingestion, who, pause(), now)
    if step == "free":
        return lifecycle.free(ingestion, now)
    if step == "retry":
        return lifecycle.retry(ingestion, who, now, 1)
    if step == "discard":
        return lifecycle.discard(ingestion, who, now)
    if step == "end":
        return lifecycle.end(ingestion, who, End(state, "why", "so"), now)
    return None


def test_a_person_may_try_failed_ones_again_and_discard_what_has_not_ended_well() -> None:
    states = IngestionState
    assert lifecycle.movable(states.RECEIVED, Mover.PERSON) == (states.FAILED,)
    open_ones = {states.RECEIVED, states.WAITING, states.RUNNING, states.FAILED}
    assert set(lifecycle.movable(states.DISCARDED, Mover.PERSON)) == open_ones
