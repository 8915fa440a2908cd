"""Delivering: what becomes of what is due, whoever is away, slow, wrong or killed meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.builders import onnx
from tests.contracts.registry import LATER, LEASE_END, claimed, register
from tests.servers.process import until
from tests.worker.api.conftest import StandingClock
from tests.worker.test_ingest import make_borders
from worker.deliver import Deliverer, Rounds, examine, retry, retry_given_up
from worker.delivery import LEASE_SECONDS, LIFE, Delivery, DeliveryKind, DeliveryQuery, DeliveryState
from worker.errors import NotFound, NotTaken, RegistryUnavailable, ServerUnavailable, WrongState
from worker.ports import Notice, Registry
from worker.records import CompletionEvent, End, IngestionState, Trigger
from worker.registry.memory import MemoryRegistry
from worker.runner import Runner
from worker.storage.memory import MemoryStore


class Died(BaseException):
    """The process ends here, and cleans nothing up."""


@dataclass
class Shelf:
    """A destination that keeps what it is told by version; *fails* is raised before, for as long as it says so."""

    fails: Callable[[Notice], BaseException | None] = lambda notice: None
    wants: Collection[DeliveryKind] = LIFE
    asked: list[str | None] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def take(self, notice: Notice) -> str:
        self.asked.append(notice.delivery.version_id)
        error = self.fails(notice)
        if error is not None:
            raise error
        about = notice.delivery.version_id or notice.delivery.ingestion_id
        assert about is not None
        self.kept[about] = "gone" if notice.version is None else notice.version.model_name
        return f"shelf {about}"

    def check(self) -> str:
        return "it stands"


@pytest.fixture
def registry() -> Registry:
    return MemoryRegistry(destinations={"shelf": LIFE})


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def deliverer(registry: Registry, clock: StandingClock, shelf: Shelf) -> Deliverer:
    clock.sleep(1.2)  # what is registered is so a second after noon
    return Deliverer(registry, {"shelf": shelf}, clock, "me", lambda: 0.0)


def all_of(registry: Registry) -> list[Delivery]:
    """Return the deliveries of the team `default`, oldest first."""
    return list(reversed(registry.outbox.deliveries(DeliveryQuery("default"))))


def states(registry: Registry) -> list[str]:
    return [one.state.value for one in all_of(registry)]


def test_what_is_due_is_told_and_noted_with_where_it_is(registry: Registry, deliverer: Deliverer, shelf: Shelf) -> None:
    versions = [register(registry, str(n), f"d{n}").version for n in range(3)]
    with capture_logs(processors=[merge_contextvars]) as logs:
        assert deliverer.work_off() == 3
    assert shelf.kept == {version.id: "mnist" for version in versions}
    assert [(one.state, one.message) for one in all_of(registry)] == [
        (DeliveryState.DELIVERED, f"shelf {version.id}") for version in versions
    ]
    assert [(line["event"], line["version"]) for line in logs] == [("delivered", version.id) for version in versions]
    assert deliverer.work_off() == 0


def test_who_has_no_destination_delivers_nothing(registry: Registry, clock: StandingClock) -> None:
    register(registry)
    assert Deliverer(registry, {}, clock, "me").work_off() == 0
    assert states(registry) == ["waiting"]


def test_a_version_that_is_gone_is_told_as_gone(registry: Registry, deliverer: Deliverer, shelf: Shelf) -> None:
    version = register(registry).version
    registry.delete("default", version.id, deliverer.clock.now())
    assert deliverer.work_off() == 2
    assert shelf.kept == {version.id: "gone"}


def test_a_destination_that_is_away_is_not_asked_once_for_each_delivery(
    registry: Registry, deliverer: Deliverer, shelf: Shelf
) -> None:
    for n in range(5):
        register(registry, str(n), f"d{n}")
    shelf.fails = lambda notice: ServerUnavailable("away")
    with capture_logs() as logs:
        assert deliverer.work_off() == 0
    assert len(shelf.asked) == 1
    assert states(registry) == ["waiting"] * 5
    assert [(line["event"], line["why"]) for line in logs] == [("not delivered yet", "away")]
    shelf.fails = lambda notice: None
    assert deliverer.work_off() == 4
    deliverer.clock.sleep(5.0)
    assert deliverer.work_off() == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NotTaken("no such name"), "no such name"),
        (RuntimeError("nobody thought of this"), "unforeseen: RuntimeError: nobody thought of this"),
    ],
)
def test_what_one_delivery_raises_ends_or_delays_that_delivery_and_no_other(
    registry: Registry, deliverer: Deliverer, shelf: Shelf, error: Exception, message: str
) -> None:
    first, second = (register(registry, str(n), f"d{n}").version for n in range(2))
    shelf.fails = lambda notice: error if notice.delivery.version_id == first.id else None
    with capture_logs():
        assert deliverer.work_off() == 1
    assert shelf.kept == {second.id: "mnist"}
    [lost, _] = all_of(registry)
    assert (lost.state, lost.message) == (DeliveryState.GIVEN_UP, message)


def test_one_that_is_killed_between_telling_and_noting_is_told_again(
    registry: Registry, clock: StandingClock, shelf: Shelf
) -> None:
    clock.sleep(2)
    version = register(registry).version

    def die(step: str) -> None:
        raise Died

    with pytest.raises(Died):
        Deliverer(registry, {"shelf": shelf}, clock, "dead", step=die).work_off()
    next_one = Deliverer(registry, {"shelf": shelf}, clock, "next")
    assert next_one.work_off() == 0
    clock.sleep(LEASE_SECONDS)
    assert next_one.work_off() == 1
    assert shelf.asked == [version.id, version.id]
    assert [(one.state, one.attempts) for one in all_of(registry)] == [(DeliveryState.DELIVERED, 2)]


def test_what_failed_is_told_as_it_failed_whatever_became_of_it_since(clock: StandingClock) -> None:
    registry, told = MemoryRegistry(destinations={"shelf": {DeliveryKind.FAILED}}), list[Notice]()
    lost = claimed(registry)
    registry.finish(lost.id, "me", End(IngestionState.FAILED, "first", "it may not be read"), LATER)
    registry.retry("default", lost.id, "ann", LATER)
    registry.claim(lost.id, "me", LATER)
    registry.finish(lost.id, "me", End(IngestionState.FAILED, "second", "nor may it now"), LEASE_END)
    registry.retry("default", lost.id, "ann", LEASE_END)
    clock.sleep(LEASE_SECONDS)
    assert Deliverer(registry, {"shelf": Shelf(lambda notice: told.append(notice))}, clock, "me").work_off() == 2
    found = [one.ingestion for one in told if one.ingestion is not None]
    assert [(one.id, one.state, one.reason, one.message) for one in found] == [
        (lost.id, IngestionState.FAILED, "first", "it may not be read"),
        (lost.id, IngestionState.FAILED, "second", "nor may it now"),
    ]
    assert {one.version for one in told} == {None}


def test_a_destination_may_say_when_it_wants_to_be_asked_again(registry: Registry, deliverer: Deliverer, shelf: Shelf) -> None:
    register(registry)
    for wish, pause in ((0.5, 5.0), (700.0, 700.0), (1e9, 3600.0)):
        shelf.fails = lambda notice, wish=wish: ServerUnavailable("later", wish)
        with capture_logs():
            assert deliverer.work_off() == 0
        [one] = all_of(registry)
        assert one.due == deliverer.clock.now() + timedelta(seconds=pause)
        registry.outbox.retry("default", one.id, deliverer.clock.now())


def test_who_hung_for_longer_than_the_lease_notes_nothing(registry: Registry, deliverer: Deliverer, shelf: Shelf) -> None:
    register(registry)

    def hang(notice: Notice) -> None:
        deliverer.clock.sleep(LEASE_SECONDS)
        claimed = registry.outbox.claim("shelf", "another", deliverer.clock.now())
        assert claimed is not None

    shelf.fails = hang
    assert deliverer.work_off() == 0
    assert [(one.state, one.owner) for one in all_of(registry)] == [(DeliveryState.RUNNING, "another")]


def test_what_the_registry_cannot_tell_is_tried_again_later(
    registry: Registry, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(registry)

    def away(*arguments: object) -> None:
        raise RegistryUnavailable("locked")

    with monkeypatch.context() as patched:
        patched.setattr(registry, "version", away)
        with pytest.raises(RegistryUnavailable):
            deliverer.work_off()
    assert states(registry) == ["running"]
    deliverer.clock.sleep(LEASE_SECONDS)
    assert deliverer.work_off() == 1


def test_a_person_may_have_it_tried_again(registry: Registry, deliverer: Deliverer, shelf: Shelf) -> None:
    register(registry)
    register(registry, "2", "d2")
    shelf.fails = lambda notice: NotTaken("no")
    with capture_logs():
        deliverer.work_off()
    assert states(registry) == ["given_up", "given_up"]
    shelf.fails = lambda notice: None
    now = deliverer.clock.now()
    assert len(retry_given_up(registry, "red", now)) == 0
    assert len(retry_given_up(registry, "default", now)) == 2
    assert deliverer.work_off() == 2
    one = all_of(registry)[0]
    assert retry(registry, "default", one.id, now).state is DeliveryState.WAITING
    registry.outbox.claim("shelf", "me", now)
    with pytest.raises(WrongState, match="is being delivered just now"):
        retry(registry, "default", one.id, now)
    with pytest.raises(NotFound):
        retry(registry, "red", one.id, now)


def test_the_check_tells_who_does_not_answer_and_what_was_given_up(
    registry: Registry, deliverer: Deliverer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [(one.name, one.state) for one in examine(deliverer)] == [("shelf", "ok")]
    registry.create_team("red", deliverer.clock.now())
    register(registry, team="red")
    shelf.fails = lambda notice: NotTaken("no such name")
    with capture_logs():
        deliverer.work_off()

    def away() -> None:
        raise ServerUnavailable("nobody answers")

    monkeypatch.setattr(shelf, "check", away)
    [server, lost] = examine(deliverer)
    assert (server.state, server.says) == ("trouble", "nobody answers")
    assert (lost.name, lost.state) == ("deliveries", "trouble")
    assert lost.says.startswith("1 were given up, the last because no such name; see `modelport deliveries list")


def test_the_check_tells_what_waits_for_one_that_is_not_configured_here(registry: Registry, clock: StandingClock) -> None:
    assert list(examine(Deliverer(registry, {}, clock, "me"))) == []
    register(registry)
    [strange] = examine(Deliverer(registry, {}, clock, "me"))
    assert (strange.state, strange.says) == ("trouble", "some wait for shelf, which no setting of this process names")


# Beside the work


@pytest.fixture
def rounds(deliverer: Deliverer) -> Iterator[Rounds]:
    rounds = Rounds(deliverer)
    yield rounds
    rounds.close()


def test_a_round_runs_beside_whoever_asks_for_it(registry: Registry, rounds: Rounds, shelf: Shelf) -> None:
    comes_back = threading.Event()

    def hang(notice: Notice) -> None:
        assert comes_back.wait(20)

    shelf.fails = hang
    register(registry)
    for _ in range(3):
        rounds.look()
    assert until(lambda: bool(shelf.asked), 10)
    assert states(registry) == ["running"]
    comes_back.set()
    assert until(lambda: states(registry) == ["delivered"], 10)
    assert len(shelf.asked) == 1


def test_a_round_that_is_over_takes_no_more(registry: Registry, rounds: Rounds, shelf: Shelf) -> None:
    shelf.fails = lambda notice: rounds._over.set()
    for n in range(3):
        register(registry, str(n), f"d{n}")
    rounds.look()
    rounds.close()
    assert states(registry) == ["delivered", "waiting", "waiting"]
    rounds.look()
    assert len(shelf.asked) == 1


def test_a_round_outlives_what_the_registry_does_not_answer(
    registry: Registry, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(registry)

    def away(*arguments: object) -> None:
        raise RegistryUnavailable("locked")

    with capture_logs() as logs, monkeypatch.context() as patched:
        patched.setattr(registry.outbox, "claim", away)
        rounds.look()
        assert until(lambda: bool(logs), 10)
    assert [(line["event"], line["why"]) for line in logs] == [("cannot deliver", "locked")]
    rounds._lines[0]._next = 0.0
    assert until(lambda: (rounds.look(), states(registry) == ["delivered"])[1], 10)


def test_a_destination_that_hangs_delays_no_other(clock: StandingClock) -> None:
    registry, comes_back, well = MemoryRegistry(destinations={"hung": LIFE, "well": LIFE}), threading.Event(), Shelf()

    def hang(notice: Notice) -> None:
        assert comes_back.wait(20)

    clock.sleep(2)
    register(registry)
    rounds = Rounds(Deliverer(registry, {"hung": Shelf(hang), "well": well}, clock, "me"))
    rounds.look()
    assert until(lambda: states(registry) == ["running", "delivered"], 10)
    comes_back.set()
    rounds.close()
    assert states(registry) == ["delivered", "delivered"]


def test_a_destination_that_is_away_is_left_alone_for_longer_each_time(
    registry: Registry, rounds: Rounds, shelf: Shelf
) -> None:
    for n in range(4):
        register(registry, str(n), f"d{n}")
    shelf.fails = lambda notice: ServerUnavailable("away")
    [line], pauses = rounds._lines, []
    with capture_logs():
        for _ in range(3):
            line._next = 0.0
            rounds.look()
            line.join(10)
            pauses.append(line._pause_seconds)
    assert pauses == [2.0, 4.0, 8.0]
    shelf.fails, line._next = (lambda notice: None), 0.0
    rounds.look()
    line.join(10)
    assert line._pause_seconds == 1.0


def test_a_destination_that_is_away_delays_no_ingestion_and_loses_nothing(tmp_path: Path) -> None:
    registry, shelf = MemoryRegistry(destinations={"shelf": LIFE}), Shelf(lambda notice: ServerUnavailable("away"))
    borders = make_borders(registry, MemoryStore())
    rounds = Rounds(Deliverer(registry, {"shelf": shelf}, borders.clock, "me", lambda: 0.0))
    runner = Runner(borders, "w", deliver=rounds.look)
    onnx.run_at(tmp_path / "a")
    event = CompletionEvent("test", "1", str(tmp_path / "a"), experiment="a", trigger=Trigger.COMPLETION)
    ingestion, _ = registry.submit(event, borders.clock.now())
    with capture_logs():
        assert runner.work_next()
        runner.look()
        assert until(lambda: states(registry) == ["waiting"] and all_of(registry)[0].attempts == 1, 10)
    now = registry.ingestion("default", ingestion.id)
    assert now is not None
    assert now.state is IngestionState.REGISTERED
    shelf.fails = lambda notice: None
    borders.clock.sleep(10)
    rounds._lines[0]._next = 0.0
    assert until(lambda: (runner.look(), states(registry) == ["delivered"])[1], 10)
    assert list(shelf.kept) == [now.answered_version]
    [told] = all_of(registry)
    assert (told.kind, told.attempts) == (DeliveryKind.REGISTERED, 2)
    assert told.due is None
    assert timedelta(0) <= told.updated - told.created
    rounds.close()
