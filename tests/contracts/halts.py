"""The contract of a queue that is paused: who is kept from beginning, what goes on, and what is told of it.

A registry joins by subclassing `RegistryContract`, which makes it, and `HaltsContract`.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contracts.registry import LATER, NOON, PAUSE, claimed, claimed_ids, event, failed, in_threads, new_version
from worker.ports import Registry
from worker.records import UNSAID, AuditQuery, Halt, Ingestion, Trigger

ANN = "the token ann (tk1)"
FULL = Halt(None, NOON, ANN, "the store moves")
MINUTE = NOON + timedelta(minutes=1)


def pause_all(registry: Registry) -> Halt | None:
    return registry.pause_queue("default", True, NOON, ANN, "the store moves")


def pause(registry: Registry, team: str) -> Halt | None:
    return registry.pause_queue(team, False, NOON, ANN)


def resume(registry: Registry, team: str | None = None) -> Halt | None:
    return registry.resume_queue(team or "default", team is None, MINUTE, ANN)


def received(registry: Registry, *names: str) -> list[Ingestion]:
    """Return ingestions that wait; a name is that of a team and a number, as in `red-1`."""
    return [registry.submit(event(name, team=name.partition("-")[0]), NOON)[0] for name in names]


class HaltsContract:
    """The laws of any registry's pause."""

    @pytest.fixture
    def registry(self) -> Registry:
        raise NotImplementedError("the contract of the registry makes one")

    def test_nothing_begins_while_all_is_paused_and_all_is_accepted(self, registry: Registry) -> None:
        [first] = received(registry, "default-1")
        assert registry.is_due(NOON)
        assert pause_all(registry) == FULL
        [later] = received(registry, "red-1")
        assert registry.claim_next("me", LATER) is None
        assert [registry.claim(one.id, "me", LATER) for one in (first, later)] == [None, None]
        assert not registry.is_due(LATER)
        assert registry.queue(LATER).due == 2
        assert resume(registry) == FULL
        assert registry.is_due(LATER)
        assert claimed_ids(registry, LATER) == ["default-1", "red-1"]

    def test_who_asks_of_any_team_is_told_what_is_paused_anywhere(self, registry: Registry) -> None:
        registry.create_team("red", NOON)
        assert registry.halts(None) == []
        pause(registry, "red")
        pause(registry, "default")
        pause_all(registry)
        assert [halt.team for halt in registry.halts(None)] == [None, "default", "red"]
        assert registry.halts(None) == list(registry.standing(None, NOON, NOON).halts)
        assert [halt.team for halt in registry.halts("red")] == [None, "red"]

    def test_what_runs_goes_on_to_its_end(self, registry: Registry) -> None:
        ends, registers, waits = (claimed(registry, id, trigger=Trigger.COMPLETION) for id in ("1", "2", "3"))
        pause_all(registry)
        assert registry.beat(ends.id, "me", LATER)
        assert registry.finish(ends.id, "me", failed(), LATER)
        assert registry.register(registers.id, "me", new_version(registers), LATER) is not None
        assert registry.wait(waits.id, "me", PAUSE, LATER)
        assert registry.claim_next("me", MINUTE) is None
        resume(registry)
        assert claimed_ids(registry, MINUTE) == ["3"]

    def test_a_person_who_watches_goes_on_and_what_is_begun_on_the_spot_begins(self, registry: Registry) -> None:
        """A command in a process of its own is no worker: who typed it wants it now, and sees what becomes of it."""
        watched = claimed(registry, "1")
        pause_all(registry)
        registry.wait(watched.id, "me", PAUSE, NOON)
        assert registry.claim(watched.id, "you", MINUTE) is None
        again = registry.claim(watched.id, "me", MINUTE)
        assert again is not None
        assert registry.submit(event("2"), MINUTE, "me")[0].owner == "me"

    def test_a_team_is_paused_by_itself(self, registry: Registry) -> None:
        ours = received(registry, "red-1", "red-2", "default-1", "blue-1", "red-3", "default-2")
        assert pause(registry, "red") == Halt("red", NOON, ANN, None)
        assert registry.claim(ours[0].id, "me", LATER) is None
        assert registry.is_due(LATER)
        assert claimed_ids(registry, LATER) == ["default-1", "blue-1", "default-2"]
        assert not registry.is_due(LATER)
        received(registry, "red-4", "blue-2")
        assert registry.is_due(LATER)
        assert claimed_ids(registry, LATER) == ["blue-2"]
        assert resume(registry, "red") is not None
        assert claimed_ids(registry, LATER) == ["red-1", "red-2", "red-3", "red-4"]

    def test_whose_pause_is_over_stands_in_line_beside_a_team_that_is_paused(self, registry: Registry) -> None:
        for name in ("red", "blue"):
            waits = claimed(registry, name, team=name, trigger=Trigger.COMPLETION)
            registry.wait(waits.id, "me", PAUSE, NOON)
        pause(registry, "red")
        assert (registry.is_due(NOON), registry.is_due(MINUTE)) == (False, True)
        assert claimed_ids(registry, MINUTE) == ["blue"]
        assert not registry.is_due(MINUTE)
        resume(registry, "red")
        assert claimed_ids(registry, MINUTE) == ["red"]

    def test_a_team_stays_paused_when_all_is_resumed_and_the_other_way_round(self, registry: Registry) -> None:
        received(registry, "red-1")
        pause(registry, "red")
        pause_all(registry)
        assert [halt.team for halt in registry.halts("red")] == [None, "red"]
        assert [halt.team for halt in registry.halts("blue")] == [None]
        resume(registry)
        assert claimed_ids(registry, LATER) == []
        pause_all(registry)
        resume(registry, "red")
        assert claimed_ids(registry, LATER) == []
        resume(registry)
        assert registry.halts("red") == []
        assert claimed_ids(registry, LATER) == ["red-1"]

    def test_to_pause_or_resume_twice_is_to_do_it_once(self, registry: Registry) -> None:
        assert resume(registry) is resume(registry, "red") is None
        pause_all(registry)
        assert registry.pause_queue("red", True, LATER, "another", "another reason") is None
        assert registry.halts("red") == [FULL]
        assert registry.resume_queue("red", True, LATER, "another") == FULL
        assert resume(registry) is None

    def test_one_of_many_threads_pauses(self, registry: Registry) -> None:
        assert len([one for one in in_threads(4, lambda number: pause_all(registry)) if one]) == 1
        assert len([one for one in in_threads(4, lambda number: resume(registry)) if one]) == 1

    def test_who_paused_and_resumed_and_why_stands_in_the_log_of_their_team(self, registry: Registry) -> None:
        pause_all(registry)
        registry.pause_queue("red", False, LATER, "kim")
        registry.resume_queue("red", True, MINUTE, "kim", "it has moved")
        registry.resume_queue("red", False, MINUTE)
        told = [
            (one.team, one.who, one.action.value, one.object_id, one.object_name, dict(one.details))
            for team in ("default", "red")
            for one in reversed(registry.audit(AuditQuery(team)))
        ]
        everybodys, theirs, since = "the queue of all teams", "the queue of the team red", "2026-11-20T12:00:0%d+00:00"
        assert told == [
            ("default", ANN, "queue.paused", "queue", everybodys, {"note": "the store moves"}),
            ("red", "kim", "queue.paused", "queue", theirs, {}),
            ("red", "kim", "queue.resumed", "queue", everybodys, {"note": "it has moved", "since": since % 0}),
            ("red", UNSAID, "queue.resumed", "queue", theirs, {"since": since % 1}),
        ]

    def test_the_standing_of_a_team_tells_what_is_paused_and_what_waits_for_that(self, registry: Registry) -> None:
        received(registry, "red-1")
        pause(registry, "red")
        told = registry.standing("red", LATER, NOON)
        assert (told.halts, told.due, told.due_since) == ((Halt("red", NOON, ANN, None),), 1, NOON)
        assert registry.standing("default", LATER, NOON).halts == ()

    def test_the_pulse_leaves_out_what_a_paused_team_has(self, registry: Registry) -> None:
        """An alarm about work that waits is not to be told of work that a person has paused."""
        received(registry, "red-1", "blue-1")
        pause(registry, "red")
        told = registry.pulse(LATER, NOON)
        assert (told.due, told.due_since, told.is_paused, told.paused_teams) == (1, NOON, False, 1)
        pause_all(registry)
        told = registry.pulse(LATER, NOON)
        assert (told.due, told.is_paused, told.paused_teams) == (1, True, 1)

    def test_why_a_person_retried_or_discarded_stands_in_the_log(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        registry.finish(ingestion.id, "me", failed(), NOON)
        registry.retry("default", ingestion.id, ANN, NOON, "the disk is back")
        registry.discard("default", ingestion.id, ANN, NOON, "nobody needs it \udcff")
        assert [dict(line.details) for line in registry.audit(AuditQuery("default"))] == [
            {"note": "nobody needs it \udcff"},
            {"note": "the disk is back"},
        ]
