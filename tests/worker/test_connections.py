"""Who looks at what the service leans on: nobody waits for long, nothing is asked too often, and what is told is what is so."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers.process import free_port, until
from tests.servers.rabbitmq import rabbitmq_server
from tests.servers.redis import redis_server
from worker.bootstrap import embedded, examine
from worker.connections import PATIENCE_SECONDS, Answer, Asked, Connection, Connections, Leaned, Probe, Room
from worker.doorbell import broker_shown, look_at_broker
from worker.errors import RegistryUnavailable

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Time that passes only when a test says so."""

    seconds: float = 0.0

    def elapsed(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


@dataclass
class Door:
    """A probe that answers what it is told to, and counts; while it is shut, nobody comes through."""

    answer: Callable[[], Answer] = Answer
    asked: int = 0
    opened: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.opened.set()

    def __call__(self) -> Answer:
        self.asked += 1
        assert self.opened.wait(30)
        return self.answer()


def looking(probe: Probe, clock: Clock, patience_seconds: float = 5.0) -> Callable[[], Connection]:
    connections = Connections([Asked(Leaned.STORE, "/store", probe)], 4.0, patience_seconds, clock.elapsed, clock.now)

    def look() -> Connection:
        (found,) = connections.look()
        return found

    return look


@pytest.fixture
def hanging() -> Iterator[Door]:
    door = Door()
    door.opened.clear()
    yield door
    door.opened.set()


def test_what_answers_is_up() -> None:
    look = looking(lambda: Answer(room=Room(100, 25)), Clock())
    found = look()
    assert (found.what, found.where, found.is_up, found.seconds, found.since) == (Leaned.STORE, "/store", True, 0.0, NOON)
    assert found.room is not None
    assert found.room.free_ratio == 0.25


def test_a_volume_without_a_size_has_nothing_free() -> None:
    assert Room(0, 0).free_ratio == 0.0


def test_what_a_probe_raises_is_why_it_cannot_be_used() -> None:
    def answer() -> Answer:
        raise RegistryUnavailable("the database is away")

    def slip() -> Answer:
        raise KeyError("x")

    assert looking(answer, Clock())().trouble == "the database is away"
    assert looking(slip, Clock())().trouble == "KeyError: 'x'"


def test_nothing_is_asked_more_often_than_once_in_the_time_that_an_answer_is_fresh() -> None:
    clock, door = Clock(), Door()
    look = looking(door, clock)
    for clock.seconds in (0, 1, 3.9):
        look()
    assert door.asked == 1
    clock.seconds = 4
    look()
    assert door.asked == 2


def test_it_is_told_since_when_it_is_so() -> None:
    clock, door = Clock(), Door()
    look = looking(door, clock)
    assert look().since == NOON
    door.answer = lambda: Answer("it is away")
    clock.seconds = 10
    assert (look().trouble, look().since) == ("it is away", clock.now())
    clock.seconds = 20
    assert look().since == NOON + timedelta(seconds=10)
    door.answer = Answer
    clock.seconds = 40
    assert (look().is_up, look().since) == (True, clock.now())


def test_what_is_down_is_waited_for_once() -> None:
    clock, door = Clock(), Door(lambda: Answer("it is away"))
    look = looking(door, clock, patience_seconds=30.0)
    assert not look().is_up
    door.opened.clear()
    door.answer = Answer
    clock.seconds = 5
    assert not look().is_up, "it is asked, and what is known is told meanwhile"
    door.opened.set()
    assert until(lambda: look().is_up, 10)
    assert door.asked == 2


def test_that_it_was_down_long_ago_is_not_told() -> None:
    clock, door = Clock(), Door(lambda: Answer("it is away"))
    look = looking(door, clock)
    assert not look().is_up
    door.answer = Answer
    clock.seconds = 15
    assert look().is_up


def test_a_probe_that_hangs_keeps_nobody_waiting_for_longer_than_the_patience_and_only_once(hanging: Door) -> None:
    connections = Connections(
        [Asked(Leaned.STORE, "/store", hanging), Asked(Leaned.HOME, "/home", Answer)], fresh_seconds=0.0, patience_seconds=0.2
    )
    took = []
    for _ in range(20):
        begun = time.monotonic()
        store, home = connections.look()
        took.append(time.monotonic() - begun)
        assert (store.trouble, store.seconds, home.is_up) == ("no answer within 0.2 s", None, True)
    assert took[0] < 2
    assert sum(took[1:]) < 2
    assert hanging.asked == 1
    hanging.opened.set()
    assert until(lambda: connections.look()[0].is_up, 10)


def test_many_that_look_at_once_are_told_what_one_found() -> None:
    door, found = Door(), []
    door.opened.clear()
    look = looking(door, Clock())
    threads = [threading.Thread(target=lambda: found.append(look())) for _ in range(8)]
    for thread in threads:
        thread.start()
    door.opened.set()
    for thread in threads:
        thread.join(30)
    assert (door.asked, len(found), {one.is_up for one in found}) == (1, 8, {True})


def looked(home: Path, **settings: str) -> dict[Leaned, Connection]:
    told = {"MODELPORT_HOME": str(home)} | {f"MODELPORT_{name}": value for name, value in settings.items()}
    with embedded(told, home.parent) as service:
        return {one.what: one for one in service.connections.look()}


def test_the_embedded_default_leans_on_its_database_its_store_and_its_home(tmp_path: Path) -> None:
    found = looked(tmp_path / "home")
    assert [(what, one.is_up) for what, one in found.items()] == [
        (Leaned.DATABASE, True),
        (Leaned.STORE, True),
        (Leaned.HOME, True),
    ]
    assert found[Leaned.STORE].where == str(tmp_path / "home" / "store")
    for what in (Leaned.STORE, Leaned.HOME):
        room = found[what].room
        assert room is not None
        assert 0 < room.free_bytes <= room.size_bytes


def test_a_store_on_object_storage_that_is_away_and_a_broker_that_is_away_are_told_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    nobody = f"127.0.0.1:{free_port()}"
    begun = time.monotonic()
    found = looked(
        tmp_path / "home",
        STORE_URL="s3://models/kept",
        S3_ENDPOINT_URL=f"http://{nobody}",
        BROKER_URL=f"redis://:hunter2@{nobody}/0",
    )
    assert time.monotonic() - begun < 6
    assert found[Leaned.STORE].room is None
    assert "s3://models/kept" in str(found[Leaned.STORE].trouble) or "no answer within" in str(found[Leaned.STORE].trouble)
    assert found[Leaned.BROKER].where == f"redis://{nobody}/0"
    assert not found[Leaned.BROKER].is_up
    assert "hunter2" not in str(found)


def test_a_store_that_takes_connections_and_says_nothing_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = {
            "MODELPORT_HOME": str(tmp_path / "home"),
            "MODELPORT_STORE_URL": "s3://models",
            "MODELPORT_S3_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        with embedded(told, tmp_path) as service:
            begun = time.monotonic()
            assert not {one.what: one for one in service.connections.look()}[Leaned.STORE].is_up
            first = time.monotonic() - begun
            for _ in range(10):
                service.connections.look()
            assert first < PATIENCE_SECONDS + 2
            assert time.monotonic() - begun - first < 1


def test_the_url_of_a_broker_is_shown_without_user_and_password() -> None:
    assert broker_shown("rediss://me:hunter2@cache:6380/0?ssl_cert_reqs=none") == "rediss://cache:6380/0"
    assert broker_shown("amqp://me:hunter2@rabbit:5672//") == "amqp://rabbit:5672//"
    for odd in (
        "redis://:hunter2/x@cache/0",
        "redis://:hunter2#x@cache/0",
        "redis://:hunter2?x@cache/0",
        "redis://:hunter2@[x/0",
    ):
        assert "hunter2" not in broker_shown(odd)
    assert "hunter2" not in broker_shown("redis://:hunter2@first/0;redis://:hunter2@second/0")


def test_a_redis_is_reached_and_one_that_is_gone_is_not(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        assert look_at_broker(server.url, 2.0) == Answer()
        refused = look_at_broker(server.url.replace("://", "://me:hunter2@"), 2.0)
        assert "the broker refuses the user or the password" in str(refused.trouble)
        assert "hunter2" not in str(refused.trouble)
    assert "no broker answers; look at MODELPORT_BROKER_URL" in str(look_at_broker(server.url, 2.0).trouble)


def test_the_doctor_looks_at_the_broker_where_one_is_set(tmp_path: Path) -> None:
    told = {"MODELPORT_HOME": str(tmp_path / "home")}
    assert "broker" not in [check.name for check in examine(told, tmp_path, False)]
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        told["MODELPORT_BROKER_URL"] = server.url
        (check,) = (check for check in examine(told, tmp_path, False) if check.name == "broker")
        assert (check.state, check.says) == ("ok", f"{server.url} answers")
    found = list(examine(told, tmp_path, False))
    assert [(check.name, check.state) for check in found if check.state != "ok"] == [("broker", "trouble")]
    assert found[-1].name != "broker", "the rest is looked at all the same"


@pytest.mark.slow
def test_a_rabbitmq_is_reached_and_one_that_is_gone_is_not(tmp_path: Path) -> None:
    with rabbitmq_server(tmp_path) as server:
        assert look_at_broker(server.url, 2.0) == Answer()
        refused = look_at_broker(server.url.replace("guest:guest", "guest:hunter2"), 2.0)
        assert "the broker refuses the user or the password" in str(refused.trouble)
    assert "no broker answers" in str(look_at_broker(server.url, 2.0).trouble)
