"""Processes that deliver from one outbox at once, or die in the middle; run by `test_outbox.py`.

python -m tests.worker.registry.outbox_processes deliver DATABASE   prints the ids that each process delivered
python -m tests.worker.registry.outbox_processes killed DATABASE    kills a process before each statement of register,
                                                                    delete, claim, keep and finish; prints how many were
                                                                    killed
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from typing import Any

from tests.contracts.registry import LATER, claimed, failed, new_version
from tests.worker.registry.processes import at_once, die_before
from worker import delivery as steps
from worker.delivery import LIFE, DeliveryKind
from worker.registry.sql import SqlRegistry

EACH = 15
"""Versions that each process registers, one between two claims."""

TO = {"mlflow": LIFE, "webhook": {DeliveryKind.FAILED}}

LONG_AFTER = LATER + timedelta(days=1)


def deliver(database: str) -> list[Any]:
    def work(number: int) -> list[str]:
        registry, told = SqlRegistry(database, destinations=TO), list[str]()
        for turn in range(EACH):
            register(registry, f"{number}-{turn}")
            told += deliver_next(registry, f"{number}-{turn}")
        return told

    return at_once(work)


def register(registry: SqlRegistry, id: str) -> str:
    ingestion = claimed(registry, id, experiment=id)
    registration = registry.register(ingestion.id, "me", new_version(ingestion, digest=id), LATER)
    assert registration is not None
    return registration.version.id


def deliver_next(registry: SqlRegistry, owner: str) -> list[str]:
    """Return the id of what was delivered, or nothing."""
    found = registry.outbox.claim("mlflow", owner, LATER)
    if found is None:
        return []
    assert registry.outbox.keep(steps.told(found, "there", LATER), owner)
    return [found.id]


def killed(database: str) -> int:
    """Kill a process before its n-th statement, for each n, until one comes through; return how many were killed."""
    statement = 0
    while dies(database, statement):
        statement += 1
    return statement


def dies(database: str, statement: int) -> bool:
    child = os.fork()
    if child == 0:
        registry = SqlRegistry(database, destinations=TO)
        die_before(registry, statement)
        made = register(registry, f"killed {statement}")
        deliver_next(registry, f"killed {statement}")
        registry.delete("default", made, LATER)
        lost = claimed(registry, f"lost {statement}")
        registry.finish(lost.id, "me", failed(), LATER)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    print(json.dumps({"deliver": deliver, "killed": killed}[sys.argv[1]](sys.argv[2])))
