"""Messages that are no bells, in the Redis of a real worker; `test_rabbitmq` has what that broker is left.

Law: whatever is left in the queue is set aside and counted, and the worker goes on with all its processes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kombu.asynchronous.semaphore import LaxBoundedSemaphore
from redis import Redis

from tests.chaos.stack import stack, until
from worker.celery_app import app
from worker.consumer import HEADERS, Worker, check
from worker.doorbell import QUEUE, SWEEP_TASK, TASK
from worker.set_aside import RedisSetAside
from worker.stranded import COUNTER, MAX_KEPT, MAX_KEPT_BYTES, SET_ASIDE

NO_MESSAGES = {
    "no JSON": b"garbage",
    "no object": b"[]",
    "bytes that are no text": b"\xff\xfe",
    "empty": b"",
}


def message(body: Any = ((), {}, {}), headers: Mapping[str, Any] | None = None, **more: Any) -> bytes:
    """Return a bell as Celery sends it, but for what is given; *more* are properties."""
    properties = {
        "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "delivery_tag": "1",
        "priority": 0,
    }
    envelope = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": TASK, "id": "1"} if headers is None else headers,
        "properties": properties | more,
    }
    return json.dumps(envelope).encode()


FORGED = {
    "no task": message(headers={"id": "1"}),
    "no id": message(headers={"task": TASK}),
    "no headers": message(headers={}),
    "headers that are none": message(headers=[]),  # type: ignore[arg-type]
    "a task that nobody knows": message(headers={"task": "os.system", "id": "1"}),
    "a task whose name is none": message(headers={"task": {"a": 1}, "id": "1"}),
    "a task of Celery's own": message([["modelport.ingest", [[]]], {}, {}], {"task": "celery.map", "id": "1"}),
    "a task as Celery 3 sent it": message({"task": TASK, "id": "1", "args": [], "kwargs": {}}, {}),
    "too many arguments": message([["in1", "in2"], {}, {}]),
    "an argument with another name": message([[], {"path": "/etc"}, {}]),
    "arguments that are none": message([None, None, None]),
    "a body that is none": message(7),
    "a body that is not base64": json.dumps(json.loads(message()) | {"body": "!"}).encode(),
    "a body of another type": message().replace(b"application/json", b"application/x-python-serialize"),
    "a number as its body": json.dumps(json.loads(message(body_encoding=None)) | {"body": 7}).encode(),
    "no body": json.dumps({key: value for key, value in json.loads(message()).items() if key != "body"}).encode(),
    "no properties": json.dumps(json.loads(message()) | {"properties": {}}).encode(),
    "no delivery": message(delivery_info={}),
    "a tag that is a list": message(delivery_tag=["1"]),
    "arguments that are text": message(["a", {}, {}]),
    "an argument that is a list": message([[["in1"]], {}, {}]),
    "an argument that is longer than any": message([["i" * 2049], {}, {}]),
    "the word args among the arguments' places": message(["args", {}, {}]),
    "a body of four parts": message([[], {}, {}, {}]),
    "a body with callbacks": message([[], {}, {"callbacks": [{"task": TASK}]}]),
    "a body with a chord": message([[], {}, {"chord": {"task": TASK}}]),
    "a body with a chain": message([[], {}, {"chain": 7}]),
    "a body that brings what it calls itself": message([[], {}, {"hostname": "elsewhere"}]),
    "text in an unknown encoding": json.dumps(json.loads(message()) | {"content-encoding": "no such one"}).encode(),
    "another queue": message(delivery_info={"exchange": "", "routing_key": "unacked"}),
    "a priority that is text": message(priority="high"),
    "an address for the answer that is a number": message(reply_to=7),
}


def with_header(**more: Any) -> bytes:
    """Return a bell with *more* headers."""
    return message(headers={"task": TASK, "id": "1"} | more)


DEAFENING = with_header(stamped_headers=5, stamps="x")
"""Each kept one process of the worker from any further work."""

DEADLY = with_header(timelimit=["a", "b"])
"""Ended the worker, and then the next one, to which Redis gave it again."""

FORGED_HEADERS = {
    "stamps that are text": DEAFENING,
    "limits of time that are text": DEADLY,
    "limits of time": with_header(timelimit=[0.001, 0.001]),
    "three limits of time": with_header(timelimit=[None, None, None]),
    "stamps": with_header(stamped_headers=["a"], stamps={"a": "b"}),
    "stamps that nobody named": with_header(stamps={"a": "b"}),
    "an id that is a list": with_header(id=["1"]),
    "an id that is none": with_header(id=None),
    "an id that is longer than any": with_header(id="1" * 2049),
    "an hour to come": with_header(eta="2999-01-01T00:00:00+00:00"),
    "an hour that is none": with_header(eta=7),
    "an hour in another form": with_header(eta={"__type__": "datetime", "__value__": "2999-01-01T00:00:00"}),
    "an end that is past": with_header(expires="1999-01-01T00:00:00+00:00"),
    "an end that is none": with_header(expires=["a"]),
    "a group": with_header(group="1"),
    "another name": with_header(shadow="os.system"),
    "tries before": with_header(retries=3),
    "tries that are text": with_header(retries="many"),
    "tasks that this one stands for": with_header(replaced_task_nesting=[]),
    "a result that is half wanted": with_header(ignore_result="perhaps"),
    "a parent that is none": with_header(parent_id={}),
    "arguments that are shown as a number": with_header(argsrepr=7),
    "a chord": with_header(chord={"task": TASK}),
    "headers within headers": with_header(headers={"a": 1}),
    "a method of what Celery makes of them": with_header(get=1, update=2),
}


HEARD_AGAIN = message(
    [["in1"], {}, {}],
    {"task": TASK, "id": "1", "redelivered": True},
    delivery_info={"exchange": "", "routing_key": QUEUE, "redelivered": True},
)
"""A bell that Redis gives to the next worker, because the one that heard it is gone."""


@pytest.mark.slow
def test_what_is_no_bell_is_set_aside_and_counted_and_the_worker_goes_on(server_folder: Path) -> None:
    bad = NO_MESSAGES | FORGED | FORGED_HEADERS
    with stack(server_folder, "sqlite") as standing, Redis.from_url(standing.redis.url) as redis:
        first, second = standing.make_models(2)
        worker = standing.start_worker(1)  # a single place for a task, so that none is left where one message keeps it
        standing.accept(first)
        assert standing.wait_until_done(60), standing.log()
        for number, (what, item) in enumerate(bad.items(), 1):
            redis.lpush(QUEUE, item)
            assert until(lambda: int(redis.get(COUNTER) or 0) == number, 10), f"{what}\n{standing.log()}"  # noqa: B023
        assert redis.llen(SET_ASIDE) == len(bad)
        kept = RedisSetAside(standing.redis.url).look(1000)
        assert (len(kept.messages), kept.kept, kept.ever) == (len(bad), len(bad), len(bad))
        assert (kept.messages[-1].body, kept.messages[-1].queue, kept.messages[-1].size) == (b"garbage", QUEUE, 7)
        assert all(one.why and one.at for one in kept.messages)
        assert (redis.llen(QUEUE), redis.hlen("unacked")) == (0, 0)
        standing.accept(second)
        redis.lpush(QUEUE, HEARD_AGAIN)
        assert standing.wait_until_done(5), standing.log()
        assert worker.poll() is None
        assert int(redis.get(COUNTER) or 0) == len(bad)


@pytest.mark.slow
def test_what_is_set_aside_is_bounded_in_number_and_size(server_folder: Path) -> None:
    with stack(server_folder, "sqlite") as standing, Redis.from_url(standing.redis.url) as redis:
        standing.start_worker()
        long = message([["x" * 2 * MAX_KEPT_BYTES, ""], {}, {}])
        for item in (b"x" * 2 * MAX_KEPT_BYTES, long):
            redis.lpush(QUEUE, item)
        assert until(lambda: redis.llen(SET_ASIDE) == 2, 60), standing.log()
        found = RedisSetAside(standing.redis.url).look(2).messages
        assert [(len(one.body), (one.size or 0) >= 2 * MAX_KEPT_BYTES) for one in found] == [(MAX_KEPT_BYTES, True)] * 2
        redis.lpush(QUEUE, *[FORGED["a task that nobody knows"]] * MAX_KEPT)
        assert until(lambda: int(redis.get(COUNTER) or 0) == MAX_KEPT + 2, 60), standing.log()
        assert redis.llen(SET_ASIDE) == MAX_KEPT


@pytest.mark.slow
def test_a_worker_goes_on_where_nothing_can_be_set_aside(server_folder: Path) -> None:
    """Other keys had the names of the list and of the counter: the first bad message ended the worker."""
    with stack(server_folder, "sqlite") as standing, Redis.from_url(standing.redis.url) as redis:
        redis.set(SET_ASIDE, "no list")
        redis.set(COUNTER, "many")
        worker = standing.start_worker(1)
        for bad in (b"garbage", FORGED["a task that nobody knows"]):
            redis.lpush(QUEUE, bad)
        standing.accept(*standing.make_models(1))
        assert standing.wait_until_done(60), standing.log()
        assert until(lambda: standing.log().count("a message is lost that was to be set aside") == 2, 30), standing.log()
        assert (worker.poll(), redis.llen(QUEUE), redis.get(SET_ASIDE)) == (None, 0, b"no list")


def sent(task: str, **options: Any) -> Any:
    """Return what comes out of the queue when Celery sends *task*."""
    with app.connection_for_write() as connection:
        queue = app.amqp.queues[QUEUE](connection.default_channel)
        queue.declare()
        queue.purge()
        app.send_task(task, queue=QUEUE, connection=connection, **options)
        return queue.get(no_ack=True)


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (TASK, {"ignore_result": True, "retry": False}),
        (TASK, {"args": ["in1"]}),
        (TASK, {"kwargs": {"id": "in1"}, "parent_id": "1", "root_id": "1"}),
        (SWEEP_TASK, {}),
    ],
)
def test_what_celery_sends_is_a_bell(task: str, options: dict[str, Any]) -> None:
    bell = sent(task, **options)
    check(bell, app.tasks)
    assert set(bell.headers) <= set(HEADERS)


class Unwilling:
    """A request that no process takes, and a consumer that remembers what it refused."""

    message = "its message"
    connection_errors = channel_errors = (ConnectionError,)

    def __init__(self, raised: Exception) -> None:
        self.raised = raised
        self.refused: list[tuple[Any, Exception]] = []

    def execute_using_pool(self, pool: Any) -> None:
        raise self.raised

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self.refused.append((message, exc))


def worker_of(unwilling: Unwilling) -> Any:
    """Return a worker with one place for a task, as far as handing over needs it."""
    worker: Any = object.__new__(Worker)
    worker.pool, worker.consumer = None, unwilling
    worker.semaphore = LaxBoundedSemaphore(1)
    worker._quick_acquire, worker._quick_release = worker.semaphore.acquire, worker.semaphore.release
    return worker


def test_what_cannot_be_handed_to_a_process_is_refused_and_its_place_is_free_again() -> None:
    unwilling = Unwilling(TypeError("no list"))
    worker = worker_of(unwilling)
    worker._process_task_sem(unwilling)
    assert worker.semaphore.value == 1
    assert unwilling.refused == [("its message", unwilling.raised)]


def test_what_waits_for_a_place_and_cannot_be_handed_over_ends_nothing() -> None:
    unwilling = Unwilling(ValueError("no number"))
    worker = worker_of(unwilling)
    worker.semaphore.acquire(lambda: None)
    worker._process_task_sem(unwilling)
    worker.semaphore.release()
    assert worker.semaphore.value == 1
    assert unwilling.refused == [("its message", unwilling.raised)]


def test_a_connection_that_is_lost_meanwhile_is_told_and_frees_the_place() -> None:
    unwilling = Unwilling(ConnectionError("lost"))
    worker = worker_of(unwilling)
    with pytest.raises(ConnectionError):
        worker._process_task_sem(unwilling)
    assert worker.semaphore.value == 1
    assert unwilling.refused == []
