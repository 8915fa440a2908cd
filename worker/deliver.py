"""Delivers: takes what is due from the outbox and tells it to the destination that it is for, after the commit, at least once.

In go the outbox and the destinations, out come deliveries that were taken, wait for their next try, or were given up. Rounds
run in a thread of their own beside the work of whoever looks after the queue, so that a destination which is slow or away
delays no ingestion; a destination that does not answer ends the round, and the rest waits for the next one.

Laws (each has a test of the same name):
    a destination that is away delays no ingestion and loses nothing;
    a destination that is away is not asked once for each delivery;
    what one delivery raises ends or delays that delivery and no other;
    one that is killed between telling and noting is told again.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock, Thread

import structlog

from worker import delivery as steps
from worker.delivery import Delivery, DeliveryQuery, DeliveryState
from worker.errors import NotFound, NotTaken, RegistryUnavailable, ServerUnavailable, WorkerError, WrongState
from worker.operations import Check
from worker.ports import Clock, Destination, Notice, Registry

LOOK_SECONDS = 1.0
"""How often it is looked whether anything is due."""

END_SECONDS = 5.0
"""How long the end of a process waits for a delivery that is on its way; what is cut off is told again."""

MOST_COUNTED = 10_000
"""Deliveries that a check or a retry of all looks at."""

log = structlog.get_logger("modelport.deliver")


def _tell(delivery: Delivery) -> None:
    """Write into the log how *delivery* stands."""
    told = {"delivery": delivery.id, "destination": delivery.destination, "version": delivery.version_id}
    if delivery.state is DeliveryState.DELIVERED:
        log.info("delivered", **told, to=delivery.message)
    elif delivery.state is DeliveryState.WAITING:
        log.warning("not delivered yet", **told, attempts=delivery.attempts, why=delivery.message)
    else:
        log.error("given up", **told, attempts=delivery.attempts, why=delivery.message)


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Who delivers: the registry, the destinations by name, a clock, and a name that nobody else has. tell hears of each that
    is over or waits for its next try.
    """

    registry: Registry
    destinations: Mapping[str, Destination]
    clock: Clock
    name: str
    chance: Callable[[], float] = random.random
    step: Callable[[str], object] = lambda name: None
    tell: Callable[[Delivery], object] = _tell

    def work_off(self, is_over: Callable[[], bool] = lambda: False) -> int:
        """Deliver what is due until nothing is, or *is_over*; return how many were taken.

        Raises:
            RegistryUnavailable: the database did not answer; what was claimed is due again when its lease has run out.
        """
        return sum(self._work_off(name, is_over) for name in self.destinations)

    def _work_off(self, destination: str, is_over: Callable[[], bool]) -> int:
        taken = 0
        while not is_over():
            owner = f"{self.name}.d{next(_claims)}"
            claimed = self.registry.outbox.claim(destination, owner, self.clock.now())
            after = None if claimed is None else self._try(claimed)
            if after is None or not self.registry.outbox.keep(after, owner):
                return taken
            self.tell(after)
            if after.state is DeliveryState.WAITING:
                return taken
            taken += after.state is DeliveryState.DELIVERED
        return taken

    def _try(self, delivery: Delivery) -> Delivery:
        """Return how *delivery* stands after one try.

        Raises:
            RegistryUnavailable: nobody knows what there is to tell.
        """
        destination = self.destinations[delivery.destination]
        try:
            message = destination.take(self._notice(delivery))
            self.step("told")
            return steps.told(delivery, message, self.clock.now())
        except RegistryUnavailable:
            raise
        except ServerUnavailable as exc:
            return steps.failed(delivery, str(exc), self.clock.now(), self.chance())
        except NotTaken as exc:
            return steps.given_up(delivery, str(exc), self.clock.now())
        except Exception as exc:
            log.exception("unforeseen", delivery=delivery.id)
            return steps.given_up(delivery, f"unforeseen: {type(exc).__name__}: {exc}", self.clock.now())

    def _notice(self, delivery: Delivery) -> Notice:
        if delivery.version_id is None:
            return Notice(delivery, None, None)
        version = self.registry.version(delivery.team, delivery.version_id)
        return Notice(delivery, version, None if version is None else self.registry.metrics(version.id))


_claims = itertools.count(1)


def retry(registry: Registry, team: str, delivery_id: str, now: datetime) -> Delivery:
    """Have a delivery of the team tried anew at once, and return it; what was delivered is delivered again.

    Raises:
        NotFound: there is no such delivery.
        WrongState: somebody delivers it just now.
    """
    again = registry.outbox.retry(team, delivery_id, now)
    if again is not None:
        return again
    if registry.outbox.delivery(team, delivery_id) is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    raise WrongState(f"{delivery_id} is being delivered just now")


def retry_given_up(registry: Registry, team: str, now: datetime) -> Sequence[Delivery]:
    """Have the team's deliveries that were given up tried anew, and return them."""
    lost = registry.outbox.deliveries(DeliveryQuery(team, DeliveryState.GIVEN_UP, limit=MOST_COUNTED))
    again = (registry.outbox.retry(team, one.id, now) for one in lost)
    return [one for one in again if one is not None]


@dataclass(slots=True)
class Rounds:
    """Runs a deliverer's rounds in a thread, which ends when nothing is due; several threads may ask for one."""

    deliverer: Deliverer
    _lock: Lock = field(default_factory=Lock)
    _over: Event = field(default_factory=Event)
    _thread: Thread | None = None
    _looked: float = -math.inf

    def look(self) -> None:
        """Begin a round unless one goes on, or began a moment ago; nobody waits for it. Costs nothing without destinations."""
        if not self.deliverer.destinations or self._over.is_set():
            return
        with self._lock:
            is_on = self._thread is not None and self._thread.is_alive()
            if not is_on and time.monotonic() - self._looked >= LOOK_SECONDS:
                self._looked = time.monotonic()
                self._thread = Thread(target=self._run, name="deliveries", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Begin no more, and wait a moment for what is on its way."""
        self._over.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(END_SECONDS)

    def _run(self) -> None:
        try:
            self.deliverer.work_off(self._over.is_set)
        except WorkerError as exc:
            log.error("cannot deliver", why=str(exc))
        except Exception:
            log.exception("unforeseen")


def examine(deliverer: Deliverer) -> Iterator[Check]:
    """Yield a check of each destination, and one of the deliveries of every team where any was given up."""
    for name, destination in deliverer.destinations.items():
        try:
            destination.check()
        except WorkerError as exc:
            yield Check(name, "trouble", str(exc))
        else:
            yield Check(name, "ok", "it answers and lets us in")
    outbox = deliverer.registry.outbox
    lost = [
        one
        for team in deliverer.registry.teams()
        for one in outbox.deliveries(DeliveryQuery(team.name, DeliveryState.GIVEN_UP, limit=MOST_COUNTED))
    ]
    if lost:
        advice = "see `modelport deliveries list --state given_up`, and have them tried again with `modelport deliveries retry`"
        yield Check("deliveries", "trouble", f"{len(lost)} were given up, the last because {lost[0].message}; {advice}")
