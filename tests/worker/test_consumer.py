"""A message that leaves out what every task has, in the Redis of a real worker; `test_rabbitmq` has more of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from redis import Redis

from tests.chaos.stack import stack, until
from worker.doorbell import QUEUE, TASK


@pytest.mark.slow
def test_a_message_without_an_id_is_refused_and_the_worker_goes_on(server_folder: Path) -> None:
    delivery = {"exchange": "", "routing_key": QUEUE}
    message = {
        "body": base64.b64encode(b"[[], {}, {}]").decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": TASK},
        "properties": {"body_encoding": "base64", "delivery_info": delivery, "delivery_tag": "1", "priority": 0},
    }
    with stack(server_folder, "sqlite") as standing, Redis.from_url(standing.redis.url) as redis:
        first, second = standing.make_models(2)
        worker = standing.start_worker()
        standing.accept(first)
        assert standing.wait_until_done(60), standing.log()
        redis.lpush(QUEUE, json.dumps(message))
        assert until(lambda: "set aside" in standing.log(), 10), standing.log()
        standing.accept(second)
        assert standing.wait_until_done(15), standing.log()
        assert worker.poll() is None
        assert redis.llen(QUEUE) == 0
