"""The clock of a registry: its own time, carried on by a counter, whatever the machine's clock says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from tests.contracts.registry import LEASE_END, NOON, event
from tests.servers.postgresql import PostgresServer
from worker.errors import RegistryUnavailable
from worker.ports import Clock
from worker.records import IngestionState
from worker.registry import sql
from worker.registry.clock import SYNC_SECONDS, RegistryClock
from worker.registry.memory import MemoryRegistry
from worker.registry.sql import SqlRegistry


@dataclass
class World:
    """True time, and a machine whose counter began somewhere. *asked* counts the questions to the registry."""

    seconds: float = 0.0
    counter_began: float = 1234.5
    asked: int = 0
    answers: bool = True
    answer_takes_seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def registry_now(self) -> datetime:
        self.asked += 1
        if not self.answers:
            raise RegistryUnavailable("the registry's database did not answer")
        said = NOON + timedelta(seconds=self.seconds)
        self.seconds += self.answer_takes_seconds
        return said

    def monotonic(self) -> float:
        return self.counter_began + self.seconds

    def clock(self) -> Clock:
        return RegistryClock(self.registry_now, self.monotonic, self.slept.append)


def test_it_says_what_the_registry_says() -> None:
    assert World().clock().now() == NOON


def test_between_two_questions_the_counter_goes_on() -> None:
    world = World()
    clock = world.clock()
    clock.now()
    world.seconds = SYNC_SECONDS - 0.5
    assert clock.now() == NOON + timedelta(seconds=59.5)
    assert world.asked == 1


def test_after_a_minute_the_registry_is_asked_anew() -> None:
    """The counter ran ten seconds behind; the registry is right."""
    world = World()
    clock = world.clock()
    clock.now()
    world.seconds, world.counter_began = SYNC_SECONDS + 10, world.counter_began - 10
    assert clock.now() == NOON + timedelta(seconds=70)
    assert clock.now() == NOON + timedelta(seconds=70)
    assert world.asked == 2


def test_a_registry_that_never_answered_is_unavailable() -> None:
    world = World(answers=False)
    clock = world.clock()
    with pytest.raises(RegistryUnavailable):
        clock.now()
    world.answers = True
    assert clock.now() == NOON


def test_a_registry_that_answers_no_more_is_asked_once_a_minute() -> None:
    world = World()
    clock = world.clock()
    clock.now()
    world.answers = False
    for seconds in (60, 61, 119, 120, 121):
        world.seconds = seconds
        assert clock.now() == NOON + timedelta(seconds=seconds)
    assert world.asked == 3


def test_it_is_never_ahead_of_the_registrys_time() -> None:
    """An answer that took three seconds is three seconds old: the clock lags, and so lets go too early, not too late."""
    world = World(answer_takes_seconds=3.0)
    clock = world.clock()
    assert clock.now() == NOON
    world.seconds += 10
    assert clock.now() == NOON + timedelta(seconds=10)
    assert NOON + timedelta(seconds=world.seconds) == NOON + timedelta(seconds=13)


def test_sleeping_is_the_machines() -> None:
    world = World()
    world.clock().sleep(2.5)
    assert world.slept == [2.5]


@pytest.mark.parametrize("off", [timedelta(hours=2), timedelta(hours=-2)])
def test_a_machine_clock_that_is_two_hours_off_changes_nothing_for_leases(
    off: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second machine, its clock off and its counter begun elsewhere, neither takes a lease early nor leaves it for long."""

    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return NOON + off

    monkeypatch.setattr("worker.registry.clock.datetime", WrongClock)
    registry, here = MemoryRegistry(), World()
    there = World(counter_began=here.counter_began + off.total_seconds())
    clock, other = here.clock(), there.clock()
    ingestion, _ = registry.submit(event(), clock.now())
    running = registry.claim(ingestion.id, "here", clock.now())
    assert running is not None
    assert running.lease_until == LEASE_END
    for seconds, freed in ((1, 0), (59, 0), (61, 1)):
        here.seconds = there.seconds = seconds
        assert len(registry.free(other.now())) == freed
    again = registry.ingestion("default", ingestion.id)
    assert again is not None
    assert again.state is not IngestionState.RUNNING


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_a_registry_on_one_machine_goes_by_its_clock(kind: str, build: Callable[[], SqlRegistry]) -> None:
    registry = build() if kind == "sqlite" else MemoryRegistry()
    before = datetime.now(UTC)
    assert before <= registry.now() <= datetime.now(UTC)


def test_postgresql_goes_by_its_own_clock(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            raise AssertionError("this machine's clock was asked")

    registry = SqlRegistry(postgres.url())
    monkeypatch.setattr(sql, "datetime", Wrong)
    before = datetime.now(UTC)
    found = [registry.now(), registry.now()]
    assert found[0].tzinfo is UTC
    assert before < found[0] < found[1] < datetime.now(UTC)
    registry.close()
