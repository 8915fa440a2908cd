"""Work of a team as operators meet it, put straight into the registry of a door."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from tests.contracts.registry import PAUSE, claimed, event
from tests.worker.api.conftest import Door
from worker.records import End, Ingestion, IngestionState, Trigger, Worker

STORE = "PUT s3://models/vision/es0x94tq2m7a/model/variables/variables.data-00000-of-00001: no answer within 10 s (tried 6)"
SHARD = "the files did not come to rest within 1800 s; incomplete: variables/variables.data-00001-of-00002: it is missing"
OUTSIDE = "/home/kim/out/model is below none of /artifacts, /shared/models"


def fail(door: Door, ids: Iterable[str], reason: str, message: str, **changes: Any) -> list[Ingestion]:
    """Let events with these *ids* fail for *reason* now; *changes* are of the events."""
    end = End(IngestionState.FAILED, reason, message)
    found = []
    for id in ids:
        given = {"trigger": Trigger.COMPLETION, "experiment": f"es{id}", "model_path": f"/artifacts/{id}"} | changes
        one = claimed(door.registry, id, owner="worker-gone", **given)
        assert door.registry.finish(one.id, "worker-gone", end, door.clock.now())
        found.append(one)
    return found


def finish(door: Door, ids: Iterable[str], **changes: Any) -> None:
    """Let events with these *ids* end without a model, now."""
    for id in ids:
        one = claimed(door.registry, id, trigger=Trigger.COMPLETION, **changes)
        door.registry.finish(one.id, "me", End(IngestionState.NOTHING_FOUND, "nothing-found", "no model"), door.clock.now())


def queue(door: Door, ids: Iterable[str], **changes: Any) -> list[Ingestion]:
    """Let events with these *ids* wait for a worker from now on."""
    given: dict[str, Any] = {"trigger": Trigger.COMPLETION} | changes
    return [door.registry.submit(event(id, **given), door.clock.now())[0] for id in ids]


def pause(door: Door, id: str, **changes: Any) -> Ingestion:
    """Let an event wait for its files from now on."""
    one = claimed(door.registry, id, trigger=Trigger.COMPLETION, **changes)
    door.registry.wait(one.id, "me", PAUSE, door.clock.now())
    return one


def run(door: Door, id: str, owner: str, **changes: Any) -> Ingestion:
    """Let *owner* work on an event from now on."""
    [one] = queue(door, [id], **changes)
    running = door.registry.claim(one.id, owner, door.clock.now())
    assert running is not None
    return running


def see(door: Door, name: str, host: str = "node-a", ago: float = 2.0) -> None:
    """Let a worker have given a sign of life so many seconds ago."""
    now = door.clock.now()
    door.registry.see(Worker(name, host, 4711, now - timedelta(hours=2), now - timedelta(seconds=ago)))


def trouble(door: Door) -> None:
    """Let the work stand still: the store does not answer, one worker of two is silent."""
    fail(door, (f"17951800{number:02}" for number in range(11)), "incomplete", SHARD)
    fail(door, ("1795161377", "1795161378"), "rejected-location", OUTSIDE)
    finish(door, (f"done {number}" for number in range(8)))
    door.clock.sleep(60)
    fail(door, (f"179517{number:04}" for number in range(40)), "store-unavailable", STORE)
    queue(door, (f"179519{number:04}" for number in range(20)), experiment="es0x94tq2m7a", model_path="/artifacts/1795190001")
    run(door, "1795182140", "worker-5f1e.3", experiment="es9h6u3j2skq", model_path="/shared/models/es9h6u3j2skq/model")
    pause(door, "1795182141")
    door.clock.sleep(24 * 60)
    see(door, "worker-5f1e")
    see(door, "worker-93ab", "node-b", ago=11 * 60)


def health(door: Door) -> None:
    """Let all be well, with two failures to decide about."""
    fail(door, ("1795180001",), "incomplete", SHARD)
    fail(door, ("1795161377",), "rejected-location", OUTSIDE)
    door.clock.sleep(40 * 60)
    finish(door, (f"done {number}" for number in range(41)))
    queue(door, ("1795190001", "1795190002"))
    run(door, "1795182140", "worker-5f1e.3", experiment="es9h6u3j2skq", model_path="/shared/models/es9h6u3j2skq/model")
    door.clock.sleep(4)
    see(door, "worker-5f1e")
    see(door, "worker-93ab", "node-b", ago=7)
