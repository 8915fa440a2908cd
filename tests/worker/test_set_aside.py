"""What workers set aside, looked at and removed where it is: in memory, in a Redis, in a RabbitMQ, and nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis

from tests.servers.process import free_port
from tests.servers.rabbitmq import rabbitmq_server, skip_without_rabbitmq
from tests.servers.redis import RedisServer
from worker.errors import ServerUnavailable
from worker.ports import SetAside
from worker.set_aside import (
    MemorySetAside,
    NothingSetAside,
    RabbitSetAside,
    RedisSetAside,
    _taken,
    set_aside_at,
)
from worker.stranded import COUNTER, MAX_KEPT_BYTES, MAX_WRAPPED_BYTES, SET_ASIDE, wrapped

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Fill = Callable[[Sequence[bytes]], SetAside]
"""Sets messages aside, the last one last, and returns where."""


@pytest.fixture
def redis_url(redis: RedisServer) -> Iterator[str]:
    with Redis.from_url(redis.url) as client:
        client.delete(SET_ASIDE, COUNTER)
        yield redis.url
        client.delete(SET_ASIDE, COUNTER)


@pytest.fixture(params=["memory", "redis"])
def fill(request: pytest.FixtureRequest, redis_url: str) -> Fill:
    def fill(bodies: Sequence[bytes]) -> SetAside:
        kept = [wrapped(body, "modelport", "why", NOON + timedelta(seconds=place)) for place, body in enumerate(bodies)]
        if request.param == "memory":
            return MemorySetAside(kept[::-1])
        with Redis.from_url(redis_url) as client:
            for item in kept:
                client.lpush(SET_ASIDE, item)
                client.incr(COUNTER)
        return RedisSetAside(redis_url)

    return fill


def test_the_newest_are_shown_with_their_bytes_and_all_are_counted(fill: Fill) -> None:
    set_aside = fill([b"first", b"\xff\x00", b"last"])
    found = set_aside.look(2)
    assert ([one.body for one in found.messages], found.kept, set_aside.count()) == ([b"last", b"\xff\x00"], 3, 3)
    last = found.messages[0]
    assert (last.queue, last.why, last.size, last.at) == ("modelport", "why", 4, NOON + timedelta(seconds=2))
    assert set_aside.find(last.id) == last
    assert set_aside.look(0).messages == ()


def test_one_or_all_are_removed(fill: Fill) -> None:
    set_aside = fill([b"a", b"b", b"c"])
    ids = {one.body: one.id for one in set_aside.look(10).messages}
    assert (set_aside.remove(ids[b"b"]), set_aside.remove(ids[b"b"])) == (1, 0)
    assert set_aside.find(ids[b"b"]) is None
    assert [one.body for one in set_aside.look(10).messages] == [b"c", b"a"]
    assert (set_aside.remove(None), set_aside.remove(None), set_aside.count()) == (2, 0, 0)


def test_what_is_there_and_was_not_set_aside_by_us_is_cut_by_redis(redis_url: str) -> None:
    """As what an earlier release left, or anybody else: fifty megabytes are not sent."""
    huge = 50_000_000
    with Redis.from_url(redis_url) as client:
        client.lpush(SET_ASIDE, b"garbage", b"x" * huge)
    set_aside = RedisSetAside(redis_url)
    began = time.monotonic()
    first, second = set_aside.look(10).messages
    assert (len(first.body), first.size, second.body, second.size) == (MAX_KEPT_BYTES, huge, b"garbage", 7)
    assert MAX_KEPT_BYTES <= MAX_WRAPPED_BYTES
    assert set_aside.find(first.id) == first
    assert set_aside.remove(first.id) == 1
    assert time.monotonic() - began < 30


def test_how_many_there_ever_were_is_told(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.set(COUNTER, 7)
    assert (RedisSetAside(redis_url).look(1).ever, RedisSetAside(redis_url).look(1).kept) == (7, 0)


def test_what_is_no_count_is_none(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.set(COUNTER, b"many\xff")
    assert RedisSetAside(redis_url).look(1).ever is None


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_does_not_answer_is_told_in_time(scheme: str) -> None:
    set_aside = set_aside_at(f"{scheme}://127.0.0.1:{free_port()}/")
    began = time.monotonic()
    for ask in (lambda: set_aside.look(1), set_aside.count, lambda: set_aside.remove(None), lambda: set_aside.find("x")):
        with pytest.raises(ServerUnavailable, match="the broker does not tell what was set aside"):
            ask()
    assert time.monotonic() - began < 20


def test_without_a_broker_there_is_nothing() -> None:
    set_aside = set_aside_at(None)
    assert isinstance(set_aside, NothingSetAside)
    told = set_aside.look(10)
    assert (told.messages, told.kept, told.broker) == ((), 0, None)
    assert (set_aside.count(), set_aside.find("x"), set_aside.remove(None)) == (0, None, 0)


def test_text_in_an_odd_encoding_hides_no_other_message() -> None:
    """A sender may name an encoding by which the client of RabbitMQ makes text that UTF-8 has not."""
    odd = SimpleNamespace(body=b"\\ud800".decode("raw_unicode_escape"), headers=None, delivery_tag=1)
    plain = SimpleNamespace(body=b"plain", headers={}, delivery_tag=2)
    left = iter([odd, plain, None])
    channel = SimpleNamespace(basic_get=lambda queue, no_ack: next(left))
    assert [one.body for _, one in _taken(channel, 10)] == [b"\xed\xa0\x80", b"plain"]


@pytest.mark.slow
def test_rabbitmq_gives_back_what_is_looked_at(server_folder: Path) -> None:
    skip_without_rabbitmq()
    with rabbitmq_server(server_folder) as server:
        set_aside = RabbitSetAside(server.url)
        assert set_aside.look(10).kept == 0
        publish(server.url, [b"first", b"\xff\x00", b"x" * 5_000_000])
        for _ in range(2):
            found = set_aside.look(2)
            assert [len(one.body) for one in found.messages] == [MAX_KEPT_BYTES, 2]
            assert (found.kept, found.broker, found.messages[0].size) == (3, "rabbitmq", 5_000_000)
        middle = found.messages[1]
        assert set_aside.find(middle.id) == middle
        assert (set_aside.remove(middle.id), set_aside.remove(middle.id)) == (1, 0)
        assert [one.body[:5] for one in set_aside.look(10).messages] == [b"xxxxx", b"first"]
        assert (set_aside.remove(None), set_aside.count()) == (2, 0)


def publish(url: str, bodies: Sequence[bytes]) -> None:
    from kombu import Connection

    with Connection(url) as connection:
        channel: Any = connection.default_channel
        for body in bodies:
            channel.basic_publish(channel.prepare_message(body), exchange="", routing_key=SET_ASIDE)
