"""Messages that are no bells, in the Redis of a real worker; `test_rabbitmq` has what that broker is left."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.chaos.stack import stack, until
from worker.doorbell import QUEUE, TASK
from worker.redis_transport import COUNTER, MAX_QUARANTINED, MAX_QUARANTINED_BYTES, QUARANTINE

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
}


@pytest.mark.slow
def test_what_is_no_bell_is_set_aside_and_counted_and_the_worker_goes_on(server_folder: Path) -> None:
    bad = NO_MESSAGES | FORGED
    with stack(server_folder, "sqlite") as standing, Redis.from_url(standing.redis.url) as redis:
        first, second = standing.make_models(2)
        worker = standing.start_worker()
        standing.accept(first)
        assert standing.wait_until_done(60), standing.log()
        for number, (what, item) in enumerate(bad.items(), 1):
            redis.lpush(QUEUE, item)
            assert until(lambda: int(redis.get(COUNTER) or 0) == number, 10), f"{what}\n{standing.log()}"  # noqa: B023
        assert redis.llen(QUARANTINE) == len(bad)
        assert redis.lindex(QUARANTINE, -1) == b"garbage"
        assert (redis.llen(QUEUE), redis.hlen("unacked")) == (0, 0)
        standing.accept(second)
        redis.lpush(QUEUE, message([["in1"], {}, {}]))
        assert standing.wait_until_done(5), standing.log()
        assert worker.poll() is None
        assert int(redis.get(COUNTER) or 0) == len(bad)


@pytest.mark.slow
def test_what_is_set_aside_is_bounded_in_number_and_size(server_folder: Path) -> None:
    with stack(server_folder, "sqlite") as standing, Redis.from_url(standing.redis.url) as redis:
        standing.start_worker()
        long = message([["x" * 2 * MAX_QUARANTINED_BYTES, ""], {}, {}])
        for item in (b"x" * 2 * MAX_QUARANTINED_BYTES, long):
            redis.lpush(QUEUE, item)
        assert until(lambda: redis.llen(QUARANTINE) == 2, 60), standing.log()
        assert [len(item) for item in redis.lrange(QUARANTINE, 0, -1)] == [MAX_QUARANTINED_BYTES] * 2
        redis.lpush(QUEUE, *[FORGED["a task that nobody knows"]] * MAX_QUARANTINED)
        assert until(lambda: int(redis.get(COUNTER) or 0) == MAX_QUARANTINED + 2, 60), standing.log()
        assert redis.llen(QUARANTINE) == MAX_QUARANTINED
