"""Delivers: takes what is due from the outbox and tells it to the destination that it is for, after the commit, at least once.

In go the outbox and the destinations, out come deliveries that were taken, wait for their next try, or were given up. Rounds
run in threads of their own beside the work of whoever looks after the queue, so that a destination which is slow or away
delays no ingestion and no other destination; one that does not answer ends its round, and the rest waits for the next.

Laws (each has a test of the same name):
    a destination that is away delays no ingestion and loses nothing;
    a destination that is away is not asked once for each delivery;
    what one delivery raises ends or delays that delivery and no other;
    one that is killed between telling and noting is told again;
    what failed is told as it failed, whatever became of it since.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event, Lock, Thread

import structlog

from worker import bound
from worker import delivery as steps
from worker.delivery import Delivery, DeliveryKind, DeliveryQuery, DeliveryState
from worker.errors import NotFound, NotTaken, RegistryUnavailable, ServerUnavailable, WorkerError, WrongState
from worker.operations import Check
from worker.ports import Clock, Destination, Notice, Registry
from worker.records import Ingestion, IngestionState

LOOK_SECONDS = 1.0
"""How often it is looked whether anything is due."""

MOST_SECONDS = 60.0
"""How long a destination that is away is left alone at most, whatever else is due to it; the pause doubles up to that."""

END_SECONDS = 5.0
"""How long the end of a process waits for a delivery that is on its way; what is cut off is told again."""

MOST_COUNTED = 10_000
"""Deliveries that a check or a retry of all looks at."""

FAILED = IngestionState.FAILED

log = structlog.get_logger("modelport.deliver")


def _tell(delivery: Delivery) -> None:
    """Write into the log how *delivery* stands."""
    if delivery.state is DeliveryState.DELIVERED:
        log.info("delivered", to=delivery.message)
    elif delivery.state is DeliveryState.WAITING:
        log.warning("not delivered yet", attempts=delivery.attempts, why=delivery.message)
    else:
        log.error("given up", attempts=delivery.attempts, why=delivery.message)


@dataclass(frozen=True, slots=True)
class Round:
    """How many deliveries a destination has taken, and whether it ended that by not answering."""

    taken: int
    is_away: bool


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
        return sum(self.deliver(name, is_over).taken for name in self.destinations)

    def deliver(self, destination: str, is_over: Callable[[], bool] = lambda: False) -> Round:
        """As `work_off`, for one destination; return how that went."""
        taken = 0
        while not is_over():
            owner = f"{self.name}.d{next(_claims)}"
            claimed = self.registry.outbox.claim(destination, owner, self.clock.now())
            if claimed is None:
                break
            with bound.to_delivery(claimed):
                after = self._try(claimed)
                if not self.registry.outbox.keep(after, owner):
                    break
                self.tell(after)
            if after.state is DeliveryState.WAITING:
                return Round(taken, is_away=True)
            taken += after.state is DeliveryState.DELIVERED
        return Round(taken, is_away=False)

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
            return steps.failed(delivery, str(exc), self.clock.now(), self.chance(), exc.after_seconds)
        except NotTaken as exc:
            return steps.given_up(delivery, str(exc), self.clock.now())
        except Exception as exc:
            log.exception("unforeseen")
            return steps.given_up(delivery, f"unforeseen: {type(exc).__name__}: {exc}", self.clock.now())

    def _notice(self, delivery: Delivery) -> Notice:
        ingestion = self._ingestion(delivery)
        if delivery.version_id is None:
            return Notice(delivery, None, None, ingestion)
        version = self.registry.version(delivery.team, delivery.version_id)
        return Notice(delivery, version, None if version is None else self.registry.metrics(version.id), ingestion)

    def _ingestion(self, delivery: Delivery) -> Ingestion | None:
        """Return the ingestion that *delivery* names. One that failed may go on since: it is told as it failed."""
        if delivery.ingestion_id is None:
            return None
        found = self.registry.ingestion(delivery.team, delivery.ingestion_id)
        if found is None or delivery.kind is not DeliveryKind.FAILED:
            return found
        then = [one for one in self.registry.history(found.id) if one.state is FAILED and one.at == delivery.created]
        return replace(found, state=FAILED, reason=then[0].reason, message=then[0].message) if then else found


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


def retry_given_up(registry: Registry, team: str, now: datetime, destination: str | None = None) -> Sequence[Delivery]:
    """Have the team's deliveries that were given up tried anew, those for *destination* or all, and return them."""
    lost = registry.outbox.deliveries(DeliveryQuery(team, DeliveryState.GIVEN_UP, destination, limit=MOST_COUNTED))
    again = (registry.outbox.retry(team, one.id, now) for one in lost)
    return [one for one in again if one is not None]


class Rounds:
    """Runs a deliverer's rounds, those of each destination in a thread that ends when nothing is due; several threads may ask
    for them.
    """

    def __init__(self, deliverer: Deliverer) -> None:
        self.deliverer = deliverer
        self._over = Event()
        self._lines = [_Line(deliverer, name, self._over) for name in deliverer.destinations]

    def look(self) -> None:
        """Begin the rounds whose time it is; nobody waits for them. Costs nothing without destinations."""
        for line in self._lines:
            line.look()

    def close(self) -> None:
        """Begin no more, and wait a moment for what is on its way."""
        self._over.set()
        until = time.monotonic() + END_SECONDS
        for line in self._lines:
            line.join(max(0.0, until - time.monotonic()))


class _Line:
    """The rounds of one destination, one at a time, at most one a second; fewer while it is away."""

    def __init__(self, deliverer: Deliverer, destination: str, over: Event) -> None:
        self._deliverer, self._destination, self._over = deliverer, destination, over
        self._lock = Lock()
        self._thread: Thread | None = None
        self._next, self._pause_seconds = -math.inf, LOOK_SECONDS

    def look(self) -> None:
        """Begin a round where none goes on and it is time for one."""
        with self._lock:
            is_on = self._thread is not None and self._thread.is_alive()
            if not (is_on or self._over.is_set()) and time.monotonic() >= self._next:
                self._thread = Thread(target=self._run, name=f"deliveries to {self._destination}", daemon=True)
                self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the round that goes on, if one does."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _run(self) -> None:
        is_away = True
        try:
            is_away = self._deliverer.deliver(self._destination, self._over.is_set).is_away
        except WorkerError as exc:
            log.error("cannot deliver", why=str(exc))
        except Exception:
            log.exception("unforeseen")
        self._pause_seconds = min(2 * self._pause_seconds, MOST_SECONDS) if is_away else LOOK_SECONDS
        self._next = time.monotonic() + self._pause_seconds


def examine(deliverer: Deliverer) -> Iterator[Check]:
    """Yield a check of each destination, and of what was given up or waits for one that is not configured here."""
    for name, destination in deliverer.destinations.items():
        try:
            yield Check(name, "ok", destination.check())
        except WorkerError as exc:
            yield Check(name, "trouble", str(exc))
    lost = _standing(deliverer.registry, DeliveryState.GIVEN_UP)
    if lost:
        advice = "see `modelport deliveries list --state given_up`, and have them tried again with `modelport deliveries retry`"
        yield Check("deliveries", "trouble", f"{len(lost)} were given up, the last because {lost[0].message}; {advice}")
    waiting = _standing(deliverer.registry, DeliveryState.WAITING)
    strange = sorted({one.destination for one in waiting} - deliverer.destinations.keys())
    if strange:
        yield Check("deliveries", "trouble", f"some wait for {', '.join(strange)}, which no setting of this process names")


def _standing(registry: Registry, state: DeliveryState) -> Sequence[Delivery]:
    """Return the deliveries of all teams in this state, those of each team newest first."""
    teams = [team.name for team in registry.teams()]
    return [one for team in teams for one in registry.outbox.deliveries(DeliveryQuery(team, state, limit=MOST_COUNTED))]
