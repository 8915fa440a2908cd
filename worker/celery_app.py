"""The door of Celery: an app, two tasks, and the settings under which a broker may lose whatever it likes.

A message is a bell: the worker that hears it works off what the registry says is next. Settings are those measured to come
back by themselves from killed servers and silently cut connections.

Source of the settings: kombu 5.7 `transport/redis.py`; without `socket_timeout` a connection that is cut without a word is
never noticed. RabbitMQ 3.10, "Consumers", "Delivery Acknowledgement Timeout": it closes the channel of who keeps a message for
30 minutes, so a bell is acknowledged as soon as it is heard; what is lost after that the next sweep rings for.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
from contextlib import ExitStack
from ctypes import c_uint64
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import structlog
from billiard.pool import RUN
from celery import Celery, bootsteps
from celery.signals import setup_logging, worker_process_shutdown, worker_ready, worker_shutdown
from kombu import Queue
from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.url import maybe_sanitize_url

from worker import logs
from worker.bootstrap import embedded
from worker.consumer import Worker
from worker.doorbell import QUEUE, QUEUE_ARGUMENTS, SWEEP_TASK, TASK, CeleryDoorbell, broker_ssl
from worker.logged_registry import logged
from worker.runner import Runner, abandoned, is_worn_out
from worker.set_aside import QUEUE_ARGUMENTS as KEPT_ARGUMENTS
from worker.settings import Settings, check_limits, load
from worker.stranded import SET_ASIDE
from worker.stuck import is_stuck, join
from worker.sweeper import sweep_for

ATTEMPTS_PER_BELL, SECONDS_PER_BELL = 25, 300.0
"""Attempts that one bell may lead to, and how long after it a last one may begin, before it is rung again: a warm shutdown need
not wait for a whole queue."""

HEARD_SECONDS = 7200
"""After this, Redis rings a bell anew that nobody has heard out yet. The attempt goes on: a bell too many does no harm."""

SOCKET_SECONDS = 5

BEAT_SECONDS = 1.0
"""How often the event loop of a worker shows that it turns."""

REDIS_OPTIONS = {
    "visibility_timeout": HEARD_SECONDS,
    "socket_timeout": SOCKET_SECONDS,
    "socket_connect_timeout": SOCKET_SECONDS,
    "socket_keepalive": True,
    "health_check_interval": SOCKET_SECONDS,
    "retry_on_timeout": True,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
}

OUR_TRANSPORTS = dict.fromkeys(("redis", "rediss"), "worker.redis_transport:Transport")
"""What stands for these schemes. Named as the transport of the app, it would take the place of the scheme: `rediss` would speak
no TLS, and Flower not know what broker it is. Source: kombu 5.7 `connection.py`, `_init_params` and `as_uri`."""

AMQP_OPTIONS = {
    "confirm_publish": True,
    "read_timeout": SOCKET_SECONDS,
    "write_timeout": SOCKET_SECONDS,
}

AMQP_HEARTBEAT_SECONDS = 5
"""How often either side of a connection to RabbitMQ says that it is there; after two silent ones it counts as cut."""


class SetAside(bootsteps.StartStopStep):
    """Makes the queue for what is set aside, at every new connection: what is refused before it is there is lost."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, parent: Any) -> None:
        """Make the queue unless it is there."""
        channel = parent.connection.default_channel
        channel.queue_declare(queue=SET_ASIDE, durable=True, auto_delete=False, arguments=KEPT_ARGUMENTS)


def make_app(settings: Settings) -> Celery:
    """Return the app for the broker of *settings*; nothing is connected yet.

    Raises:
        BadSetting: its limits of time contradict each other.
    """
    TRANSPORT_ALIASES.update(OUR_TRANSPORTS)
    app = Celery("modelport", broker=settings.broker_url or "memory://")
    app.conf.update(
        task_default_queue=QUEUE,
        task_queues=[Queue(QUEUE, durable=True, queue_arguments=QUEUE_ARGUMENTS)],
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=not _is_amqp(settings),
        task_reject_on_worker_lost=False,
        task_ignore_result=True,
        task_soft_time_limit=None,
        task_time_limit=None,
        worker_consumer="worker.consumer:Consumer",
        worker_prefetch_multiplier=1,
        worker_max_tasks_per_child=200,
        worker_max_memory_per_child=1_000_000,
        worker_soft_shutdown_timeout=30,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=True,
        task_send_sent_event=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_use_ssl=broker_ssl(settings.broker_url or ""),
        broker_transport_options=_transport_options(settings),
        broker_heartbeat=AMQP_HEARTBEAT_SECONDS,
    )
    visibility_seconds = app.conf.broker_transport_options.get("visibility_timeout")
    check_limits(settings.lease_seconds, app.conf.task_soft_time_limit, app.conf.task_time_limit, visibility_seconds)
    if _is_amqp(settings):
        app.steps["consumer"].add(SetAside)
    return app


def _transport_options(settings: Settings) -> dict[str, Any]:
    if _is_amqp(settings):
        return AMQP_OPTIONS
    return REDIS_OPTIONS if _is_redis(settings) else {}


def _is_redis(settings: Settings) -> bool:
    return (settings.broker_url or "").startswith("redis")


def _is_amqp(settings: Settings) -> bool:
    return (settings.broker_url or "").startswith("amqp")


class _Process:
    """What one process of the worker holds for as long as it lives; a forked child makes its own."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._runner: Runner | None = None
        self._pid = 0

    def runner(self) -> Runner:
        """Return the hands of this process, made at their first use."""
        if self._runner is None or self._pid != os.getpid():
            self._stack = ExitStack()
            service = self._stack.enter_context(embedded(os.environ, Path.cwd(), role="child", worker=NAME))
            borders = logged(service.borders())
            self._runner = Runner(borders, service.owner, CeleryDoorbell(app, service.living_workers).ring)
            self._pid = os.getpid()
            _outlast_soft_limits()
            gc.freeze()  # what is there by now stays; to look through it again and again takes a tenth of a second each time
        return self._runner

    def close(self) -> None:
        """Let go of everything that this very process made."""
        if self._pid == os.getpid():
            self._runner = None
            self._stack.close()


def _outlast_soft_limits() -> None:
    """Let a soft limit, which a control command may set though we set none, not be felt in this process.

    It would be raised out of the thread that watches the attempt, and leave that one alone. An attempt is bounded by its lack
    of progress. Source: billiard 4.3 `pool.py`, `soft_timeout_sighandler`.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


NAME = f"worker-{secrets.token_hex(4)}"
"""What a worker is known by; the children that it forks have it too, and its sweeper is told."""

log = structlog.get_logger("modelport.worker")
process = _Process()
settings = load(os.environ, Path.cwd())
app = make_app(settings)


@app.task(name=TASK)
def ingest(id: str | None = None) -> None:
    """Hear a bell: work off what is next. *id* names the ingestion that it was rung for, which need not be the next.

    Raises:
        SystemExit: too many attempts hang in this process; Celery starts another in its place.
    """
    process.runner().work_off(ATTEMPTS_PER_BELL, SECONDS_PER_BELL)
    if is_worn_out():
        log.error("process replaced", process=os.getpid(), hanging=len(abandoned()))
        raise SystemExit(0)


@app.task(name=SWEEP_TASK)
def sweep() -> None:
    """Free what was lost, and ring for what waits."""
    process.runner().sweep()


@setup_logging.connect
def _write_log(loglevel: int, **_: Any) -> None:
    """Write the log as all our processes do. Celery then leaves it alone, in the children too."""
    logs.configure(logging.getLevelName(loglevel), settings.log_format)


@worker_ready.connect
def _started(sender: Any, **_: Any) -> None:
    log.info("worker started", worker=sender.hostname, broker=maybe_sanitize_url(app.conf.broker_url))


@worker_shutdown.connect
def _stopped(sender: Any, **_: Any) -> None:
    log.info("worker stopped", worker=sender.hostname)


@worker_process_shutdown.connect
def _close(**_: Any) -> None:
    process.close()


class Sweeper(bootsteps.StartStopStep):
    """Sweeps beside the worker for as long as it runs, whether its children work or hang, and stands in while it is deaf.

    In a process of its own: the worker forks its children again and again, and a thread that just then holds a lock would
    leave it locked in them for ever. That the worker is well it learns from a number in shared memory, which needs no lock
    either.
    """

    def __init__(self, parent: Any, **options: Any) -> None:
        spawn = get_context("spawn")
        self._beats: c_uint64 = spawn.RawValue(c_uint64, 0)
        level = logging.getLevelName(parent.loglevel)
        given = (NAME, os.getpid(), self._beats, parent.concurrency, level, settings.log_format)
        self._process = spawn.Process(target=sweep_for, args=given, name="sweeper", daemon=True)
        self._worker = parent
        super().__init__(parent, **options)

    def start(self, parent: Any) -> None:
        """Begin to sweep."""
        self._process.start()

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        """Let the event loop show that it turns. Celery asks for this at each new connection, and forgets the last one's."""
        hub.call_repeatedly(BEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        self._beats.value += 1
        _leave_stuck(self._worker.pool._pool)

    def stop(self, parent: Any) -> None:
        """Stop sweeping; a sweeper under which the store hangs is not waited for, here or when this process ends."""
        self._process.terminate()
        if not join(self._process):
            _leave(self._process)


def _leave_stuck(pool: Any) -> None:
    """Go on without the children of Celery's *pool* that are stuck: others take their place, and the end waits for none.

    Celery waits for a child's end before it replaces it, and for that of all before it ends itself; a thread of its own calls
    this meanwhile. Source: celery 5.7 `concurrency/prefork.py` (`on_stop`), billiard 4.2 `pool.py` (`_join_exited_workers`).
    """
    children = list(getattr(pool, "_pool", ()))  # another kind of pool has no processes
    stuck = [child for child in children if is_stuck(child.pid)]
    for child in stuck:
        if child._popen.returncode is None:
            _leave(child)
    if stuck and pool._state != RUN and not any(child.is_alive() for child in children):
        log.info("worker stopped", worker=None)
        os._exit(0)


def _leave(child: Any) -> None:
    """Count the process *child* as ended, so that nobody waits for it any more."""
    log.error("left behind", process=child.pid, why="it waits for storage that hangs, and nothing can end it")
    child._popen.returncode = 0


app.Worker = app.subclass_with_self(Worker)  # type: ignore[misc]  # kombu's cached properties can be set
app.steps["worker"].add(Sweeper)
