"""Works off the queue: claims the one whose turn it is, makes an attempt, looks after what was lost. Celery's tasks and the
loop of the embedded default call the same functions.

A claim has an owner name of its own, so that a thread which hung and comes back is as much a stranger to the registry as a
process that died. Work that gives no sign of life for nearly the length of a lease is abandoned: its thread is left behind,
its ingestion is told why, the worker goes on. Only attempts and errands touch tree and store. Who watches, sweeps or claims
does not, so that nothing which hangs there stops a worker.

Laws (each has a test of the same name):
    what one attempt raises ends or delays its ingestion and never the worker;
    work that hangs is abandoned, and other work goes on;
    a worker that always has work sweeps all the same;
    a sweep frees what was lost and removes what it wrote;
    a sweep does not wait for a store that hangs;
    one sweeps at a time;
    a worker in which attempts hang gives way to a new one.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from worker import bound
from worker.errands import Errands
from worker.errors import WorkerError
from worker.ingest import Borders, Step, forget_lost, give_up, recover, work
from worker.records import Ingestion
from worker.stopwatch import Stopwatch
from worker.tidying import Tidying
from worker.upkeep import Upkeep

LOOK_SECONDS = 1.0
LOOKS_PER_LEASE = 24
"""How often it is looked whether work that takes long still gets on: every second, and often enough where a lease is short."""

IDLE_SECONDS = 1.0
"""How long the loop sleeps where nothing is to be done."""

SILENCE_PER_LEASE = 11 / 12
"""How much of a lease may pass without a sign of life. Less than all of it, so that who saw what hangs says so before a sweep
frees it as lost; more than an inspection may take without a word (`bootstrap`) after the last beat."""

SWEEPS_PER_LEASE = 6
"""How often what was lost is looked for while a lease lasts."""

STORE_SECONDS = 5.0
"""How long a sweep waits for the store to remove what was left there."""

COUNT_SECONDS = 5.0
"""How often a worker that always has work has the times of its steps counted."""

MOST_ABANDONED = 3
"""Attempts that may hang in a process, each with a thread, its memory and its open files, before another process goes on."""

log = structlog.get_logger("modelport.runner")


@dataclass(frozen=True, slots=True)
class Runner:
    """One worker's hands. name tells workers apart; more_waits is told that work may be left for others; deliver begins, in a
    thread of its own, to tell others what has happened."""

    borders: Borders
    name: str
    more_waits: Callable[[], None] = lambda: None
    errands: Errands = field(default_factory=Errands)
    tidying: Tidying = field(default_factory=Tidying)
    upkeep: Upkeep = field(default_factory=Upkeep)
    deliver: Callable[[], None] = lambda: None
    stopwatch: Stopwatch = field(default_factory=lambda: Stopwatch(time.monotonic))

    def work_next(self, is_first: bool = False) -> bool:
        """Make one attempt at the ingestion whose turn it is; False where nothing may be claimed now.

        Where it *is_first* of several and more waits, others are told before it begins: once, because each of them tells
        others too, and to look and to tell takes as long as a small ingestion.

        Raises:
            RegistryUnavailable: the database did not answer; nothing was claimed, or its lease will run out.
        """
        mine = replace(self.borders, owner=f"{self.name}.{next(_claims)}")
        ingestion = mine.registry.claim_next(mine.owner, mine.clock.now())
        if ingestion is None:
            self.stopwatch.count(mine.registry.took)
            return False
        if is_first and mine.registry.is_due(mine.clock.now()):
            self.more_waits()
        with bound.to_attempt(ingestion), mine.attempt(ingestion) as told:
            _attempt_watched(ingestion, mine, self.stopwatch, told)
        if self.stopwatch.is_due(COUNT_SECONDS):
            self.stopwatch.count(mine.registry.took)
        return True

    def work_off(self, most: int, seconds: float = math.inf) -> int:
        """Make attempts until nothing may be claimed, and return how many were made.

        At most *most* of them, none that would begin after *seconds*, and none once too many hang: where work may be left,
        others are told.
        """
        done, began = 0, self.borders.clock.now()
        while done < most and (self.borders.clock.now() - began).total_seconds() < seconds and not is_worn_out():
            if not self.work_next(is_first=done == 0):
                return done
            done += 1
        self.more_waits()
        return done

    def sweep(self) -> int:
        """Free what its owner was lost to, and tell that work waits where it does; return how many were freed.

        Nothing is done where another does it just now, on whatever machine. What they wrote is removed in a thread of its own,
        which is waited for no longer than `STORE_SECONDS`.

        Raises:
            RegistryUnavailable: the database did not answer; what was freed by then is seen to all the same.
        """
        with self.borders.registry.sweeping() as is_mine:
            freed = self._sweep_alone() if is_mine else ()
        self.errands.wait(STORE_SECONDS)
        return len(freed)

    def _sweep_alone(self) -> Sequence[Ingestion]:
        freed = recover(self.borders, self._send_to_forget)
        self.look()
        if not self.errands.is_late and self.tidying.is_due(self.borders.clock.now()):
            self.errands.send(partial(self.tidying.look, self.borders))
        if self.upkeep.is_due(self.borders.clock.now()):
            self.upkeep.turn(self.borders)
        return freed

    def _send_to_forget(self, ingestion: Ingestion) -> None:
        """Have what it wrote seen to before the next one is freed: who is killed in between leaves one copy, not all.

        That is to remove it, unless the next attempt has a use for it (`ingest.forget_lost`).
        """
        with bound.to_ingestion(ingestion):
            log.warning("freed", state=ingestion.state.value, why=ingestion.message)
            self.errands.send(partial(forget_lost, ingestion, self.borders))
            self.errands.wait(STORE_SECONDS)

    def look(self) -> None:
        """Tell that work waits where it does, since a pause that is over makes no noise, and have delivered what is due."""
        self.deliver()
        if self.borders.registry.is_due(self.borders.clock.now()):
            self.more_waits()

    @property
    def sweep_seconds(self) -> float:
        """How long to wait between two sweeps."""
        return self.borders.lease_seconds / SWEEPS_PER_LEASE

    def run(self, stop: threading.Event) -> None:
        """Work and sweep until *stop* is set, or too many attempts hang; what the database does not answer is tried again."""
        swept = None
        while not (stop.is_set() or is_worn_out()):
            is_busy = False
            try:
                now = self.borders.clock.now()
                if swept is None or (now - swept).total_seconds() >= self.sweep_seconds:
                    self.sweep()
                    swept = now
                is_busy = self.work_next()
                self.deliver()
            except WorkerError as exc:
                log.error("cannot work", why=str(exc))
            if not is_busy:
                stop.wait(IDLE_SECONDS)
        if is_worn_out():
            log.error("gives way", hanging=abandoned(), why="what hangs keeps memory and open files until its process ends")


_claims = itertools.count(1)


def _attempt_watched(ingestion: Ingestion, borders: Borders, stopwatch: Stopwatch, told: Step) -> None:
    """Make the attempt in a thread of its own, and leave it behind where it hangs or loses its lease; *told* hears of steps."""
    done, steps, timed = threading.Event(), ["claim"], stopwatch.attempt()

    def step(name: str) -> None:
        steps.append(name)
        timed.step(name)
        told(name)
        borders.step(name)

    def attempt() -> None:
        try:
            work(ingestion, replace(borders, step=step))
        except Exception:
            log.exception("unforeseen")
        finally:
            timed.end()
            done.set()

    threading.Thread(target=bound.here(attempt), name=f"attempt {ingestion.id}", daemon=True).start()
    while not done.wait(min(LOOK_SECONDS, borders.lease_seconds / LOOKS_PER_LEASE)):
        silent_seconds = _silent_seconds(ingestion, borders)
        if silent_seconds == math.inf and done.wait(LOOK_SECONDS):
            return
        if silent_seconds >= borders.lease_seconds * SILENCE_PER_LEASE:
            _abandon(ingestion, steps[-1], silent_seconds, borders)
            return


def _abandon(ingestion: Ingestion, step: str, silent_seconds: float, borders: Borders) -> None:
    """Leave the attempt behind, and say where it hangs unless the ingestion is another's already."""
    log.error("abandoned", step=step, why="it gave no sign of life for the length of its lease")
    if silent_seconds < math.inf:
        try:
            give_up(ingestion, silent_seconds, step, borders)
        except WorkerError as exc:
            log.error("cannot say that it hangs", why=str(exc))


def _silent_seconds(ingestion: Ingestion, borders: Borders) -> float:
    """Return how long the attempt gave no sign of life; infinite where it does not own its ingestion any more.

    0 where the registry does not answer: nobody can tell then.
    """
    try:
        now = borders.registry.ingestion(ingestion.event.team, ingestion.id)
    except WorkerError:
        return 0.0
    if now is None or now.owner != borders.owner or now.lease_until is None:
        return math.inf
    return borders.lease_seconds - (now.lease_until - borders.clock.now()).total_seconds()


def abandoned() -> list[str]:
    """Return the names of the attempts whose threads still run; a process that ends must not wait for them."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("attempt ")]


def is_worn_out() -> bool:
    """Tell whether so many attempts hang here that another process is to go on; to be asked between two attempts."""
    return len(abandoned()) >= MOST_ABANDONED
