"""Processes that use one registry at once, or die in the middle; run by `test_processes.py`.

    python -m tests.worker.registry.processes same-event DATABASE     prints one [ingestion id, known] of each process
    python -m tests.worker.registry.processes same-content DATABASE   prints one [version id, is_new] of each process
    python -m tests.worker.registry.processes queue DATABASE          prints the ids that each process submitted and claimed
    python -m tests.worker.registry.processes migrate DATABASE        prints the pending revisions that each process found
    python -m tests.worker.registry.processes killed DATABASE         kills a process before each statement of `register`
    python -m tests.worker.registry.processes killed-on-the-way DATABASE    and of everything that is done to one ingestion

Each process is a fork of this small one, so that a new one costs milliseconds, and opens connections of its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy import event as hooks

from tests.contracts.registry import LATER, NOON, PAUSE, claimed, event, failed, new_version
from worker.records import End, IngestionState, Trigger
from worker.registry.migrate import migrate
from worker.registry.sql import SqlRegistry

PROCESSES = 6
"""How many work at once."""

EACH = 20
"""Events that each process submits, one between two claims."""

MOST_STATEMENTS = 20
"""More than one registration has; the kill comes later than its last statement."""


def same_event(database: str) -> list[Any]:
    def work(number: int) -> Any:
        ingestion, known = SqlRegistry(database).submit(event(), NOON)
        return ingestion.id, known

    return at_once(work)


def same_content(database: str) -> list[Any]:
    def work(number: int) -> Any:
        registry = SqlRegistry(database)
        ingestion = claimed(registry, f"run-{number}")
        registration = registry.register(ingestion.id, "me", new_version(ingestion), LATER)
        assert registration is not None
        return registration.version.id, registration.is_new

    return at_once(work)


def queue(database: str) -> list[Any]:
    def work(number: int) -> Any:
        registry = SqlRegistry(database)
        submitted, found = [], []
        for turn in range(EACH):
            submitted.append(registry.submit(event(f"run-{number}-{turn}"), NOON)[0].id)
            found.append(registry.claim_next(f"worker-{number}", LATER))
        return submitted, [ingestion.id for ingestion in found if ingestion is not None]

    return at_once(work)


def migrated(database: str) -> list[Any]:
    return at_once(lambda number: migrate(database))


def killed(database: str) -> list[Any]:
    """Return, for each n, the ids of an ingestion whose registration was killed before its n-th statement."""
    return [killed_before(database, statement) for statement in range(MOST_STATEMENTS)]


def killed_before(database: str, statement: int) -> list[str]:
    registry = SqlRegistry(database)
    ingestion = claimed(registry, f"run-{statement}", experiment=f"e{statement}")
    registry.close()
    in_a_process_that_dies(database, statement, lambda mine: mine.register(ingestion.id, "me", new_version(ingestion), LATER))
    return [ingestion.id, ingestion.version_id]


def killed_on_the_way(database: str) -> int:
    """Kill a process before its n-th statement, for each n, until one comes through; return how many were killed."""
    statement = 0
    while in_a_process_that_dies(database, statement, lambda registry, n=statement: whole_way(registry, str(n))):
        statement += 1
    return statement


def whole_way(registry: SqlRegistry, id: str) -> None:
    """Take every step that is counted: accept, claim, wait, lose, fail, retry, put away; register, and once more."""
    for again in ("first", "second"):
        lost = claimed(registry, f"{id} lost {again}", experiment=id, trigger=Trigger.COMPLETION)
        registry.wait(lost.id, "me", PAUSE, NOON)
        registry.claim(lost.id, "me", LATER)
        registry.free(LATER, lambda owner: True)
        running = registry.claim(lost.id, "me", LATER)
        assert running is not None
        if not registry.register(lost.id, "me", new_version(running), LATER).is_new:  # type: ignore[union-attr]
            registry.finish(lost.id, "me", End(IngestionState.UNCHANGED, "same-content", ""), LATER)
    unread = claimed(registry, f"{id} unread")
    for _ in range(2):
        registry.finish(unread.id, "me", failed(), LATER)
        registry.retry("default", unread.id, "a person", LATER)
        registry.claim(unread.id, "me", LATER)
    registry.finish(unread.id, "me", failed(), LATER)
    registry.discard("default", unread.id, "a person", LATER)
    registry.submit(event(f"{id} ignored"), LATER, end=End(IngestionState.IGNORED, "experiment-failed", ""))


def in_a_process_that_dies(database: str, statement: int, work: Callable[[SqlRegistry], object]) -> bool:
    """Do *work* in a process that is killed before its n-th statement; tell whether it had so many."""
    child = os.fork()
    if child == 0:
        registry = SqlRegistry(database)
        die_before(registry, statement)
        work(registry)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def die_before(registry: SqlRegistry, statement: int) -> None:
    seen = 0

    def count(*arguments: object) -> None:
        nonlocal seen
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    hooks.listen(registry.engine, "before_cursor_execute", count)
    hooks.listen(registry.engine, "commit", count)


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """Return what *work* gives in each of `PROCESSES` processes that begin at the same moment."""
    reading, starting = os.pipe()
    pipes = [fork(number, work, reading, starting) for number in range(PROCESSES)]
    os.close(starting)
    os.close(reading)
    return [json.loads(pipe.read()) for pipe in pipes]


def fork(number: int, work: Callable[[int], Any], start: int, starting: int) -> Any:
    """Return a file from which the answer of process *number* can be read. It begins when *starting* is closed by all."""
    answer, answering = os.pipe()
    if os.fork() == 0:
        os.close(starting)
        os.read(start, 1)
        os.write(answering, json.dumps(work(number)).encode())
        os._exit(0)
    os.close(answering)
    return os.fdopen(answer)


if __name__ == "__main__":
    modes = {
        "same-event": same_event,
        "same-content": same_content,
        "queue": queue,
        "migrate": migrated,
        "killed": killed,
        "killed-on-the-way": killed_on_the_way,
    }
    print(json.dumps(modes[sys.argv[1]](sys.argv[2])))
