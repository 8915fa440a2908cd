"""RabbitMQ as the broker of a real worker: what it brings, what its loss costs, and what anybody may have left in its queue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from amqp import Connection, Message

from tests.chaos.stack import Stack, stack, until
from tests.servers.rabbitmq import RabbitServer, rabbitmq_server, skip_without_rabbitmq
from worker.celery_app import make_app
from worker.doorbell import QUEUE, CeleryDoorbell
from worker.settings import load
from worker.stranded import SET_ASIDE

pytestmark = pytest.mark.slow

START_SECONDS = 60.0
AT_ONCE_SECONDS = 5.0
"""How long work takes that is told of: far below the lease, after which it would be found without a bell."""

AGAIN_SECONDS = 60.0
MODELS = 61


@dataclass(frozen=True, slots=True)
class Standing:
    """An installation, its RabbitMQ, what rings there, and runs that nobody has reported."""

    stack: Stack
    rabbit: RabbitServer
    bell: CeleryDoorbell
    runs: Iterator[Path]

    def accept(self, count: int) -> None:
        """Accept *count* runs and ring for them."""
        for run in islice(self.runs, count):
            self.stack.accept(run)
        self.bell.ring()


@pytest.fixture
def standing(server_folder: Path) -> Iterator[Standing]:
    """An installation whose worker has done its first work."""
    skip_without_rabbitmq()
    for name in ("rabbitmq", "stack"):
        (server_folder / name).mkdir()
    server_folder.chmod(0o711)
    with (
        rabbitmq_server(server_folder / "rabbitmq") as rabbit,
        stack(server_folder / "stack", "sqlite", {"MODELPORT_BROKER_URL": rabbit.url}) as installation,
    ):
        service = installation.service
        bell = CeleryDoorbell(make_app(service.settings), service.living_workers)
        standing = Standing(installation, rabbit, bell, iter(installation.make_models(MODELS)))
        installation.start_worker()
        standing.accept(1)
        assert installation.wait_until_done(START_SECONDS), installation.log()
        yield standing


def test_a_bell_brings_work_at_once(standing: Standing) -> None:
    standing.accept(20)
    assert standing.stack.wait_until_done(AT_ONCE_SECONDS), standing.stack.log()
    assert "Task modelport.ingest" in standing.stack.log()
    assert "set aside" not in standing.stack.log()


def test_a_killed_worker_and_a_killed_rabbitmq_lose_nothing_and_do_nothing_twice(standing: Standing) -> None:
    standing.accept(20)
    standing.stack.kill_workers()
    standing.accept(10)
    standing.stack.start_worker()
    assert until(lambda: standing.stack.unfinished() < 30, START_SECONDS), standing.stack.log()
    standing.rabbit.kill()
    standing.accept(20)
    assert standing.stack.wait_until_done(AGAIN_SECONDS), "a worker without its broker goes on"
    standing.rabbit.start()
    standing.accept(10)
    assert standing.stack.wait_until_done(AGAIN_SECONDS), standing.stack.log()
    standing.stack.kill_workers()
    audit = standing.stack.audit()
    assert (audit.accepted, audit.registered, audit.lost, audit.duplicated) == (61, 61, 0, 0), audit
    assert audit.is_clean, audit


HEADERS = {"task": "modelport.ingest", "id": "1"}
BELL = {"content_type": "application/json", "content_encoding": "utf-8", "application_headers": HEADERS}

UNREADABLE: Sequence[tuple[bytes, dict[str, Any]]] = (
    (b"garbage", {}),
    (b"[]", {"content_type": "application/json", "content_encoding": "utf-8"}),
    (b"{", {"content_type": "application/json", "content_encoding": "utf-8"}),
    (b"\xff\xfe", {"content_type": "application/json", "content_encoding": "no such one", "application_headers": HEADERS}),
    (b"cos\nsystem\n", {"content_type": "application/x-python-serialize", "application_headers": HEADERS}),
    (b"[[], {}, {}]", {"content_type": "application/json", "application_headers": {"task": "modelport.ingest"}}),
    (b"[[], {}, {}]", {"content_type": "application/json", "application_headers": {"task": "os.system", "id": "1"}}),
    (b"[[], {}, {}]", {"content_type": "application/json", "application_headers": {"task": "celery.map", "id": "1"}}),
    (b'[["a", "b"], {}, {}]', {"content_type": "application/json", "application_headers": HEADERS}),
    (b'[[], {"path": "/etc"}, {}]', {"content_type": "application/json", "application_headers": HEADERS}),
    (b"[[], {}, {}]", BELL | {"application_headers": HEADERS | {"stamped_headers": 5, "stamps": "x"}}),
    (b"[[], {}, {}]", BELL | {"application_headers": HEADERS | {"stamped_headers": 5, "stamps": "x"}}),
    (b"[[], {}, {}]", BELL | {"application_headers": HEADERS | {"timelimit": ["a", "b"]}}),
    (b"[[], {}, {}]", BELL | {"application_headers": HEADERS | {"eta": "2999-01-01T00:00:00"}}),
    (b"[[], {}, {}]", BELL | {"application_headers": HEADERS, "priority": 9}),
    (b'[[], {}, {"chord": 7}]', BELL | {"application_headers": HEADERS}),
)


def test_what_cannot_be_read_is_set_aside_and_counted_and_the_worker_goes_on(standing: Standing) -> None:
    with Connection(f"127.0.0.1:{standing.rabbit.port}") as connection:
        channel = connection.channel()

        def waiting(queue: str) -> int:
            return int(channel.queue_declare(queue=queue, passive=True).message_count)

        for body, properties in UNREADABLE:
            channel.basic_publish(Message(body, **properties), routing_key=QUEUE)
        assert until(lambda: waiting(SET_ASIDE) == len(UNREADABLE), AT_ONCE_SECONDS), waiting(SET_ASIDE)
        assert waiting(QUEUE) == 0
    standing.accept(5)
    assert standing.stack.wait_until_done(AT_ONCE_SECONDS), standing.stack.log()
    assert [worker.poll() for worker in standing.stack.workers] == [None]


def test_a_worker_that_nothing_rings_for_keeps_its_connection(standing: Standing) -> None:
    """Longer than its time-outs and two heartbeats."""
    time.sleep(15)
    standing.accept(1)
    assert standing.stack.wait_until_done(AT_ONCE_SECONDS), standing.stack.log()
    assert "onnection to broker lost" not in standing.stack.log()


def test_a_bell_is_acknowledged_when_it_is_heard_but_on_redis(tmp_path: Path) -> None:
    """RabbitMQ closes the channel of who keeps a message for 30 minutes, and a bell may be worked on for an hour."""
    settings = load({"MODELPORT_HOME": str(tmp_path), "MODELPORT_BROKER_URL": "amqp://127.0.0.1:1//"}, tmp_path)
    on_redis = load({"MODELPORT_HOME": str(tmp_path), "MODELPORT_BROKER_URL": "redis://127.0.0.1:1/0"}, tmp_path)
    assert (make_app(settings).conf.task_acks_late, make_app(on_redis).conf.task_acks_late) == (False, True)
