"""How the work of a team is, in the words in which an operator reads it: one sentence first, then who works, then what fails.

In go the records of the registry and the time, out come plain values for the page of operations and for a terminal. Nothing is
read here. Pure.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from worker.figures import MONTHS, NBSP, counted
from worker.lifecycle import LOST
from worker.records import Halt, Ingestion, IngestionState, Standing, Trigger, Worker

STALLED_AFTER = timedelta(minutes=5)
"""What may begin for so long waits too long; where nothing finished meanwhile either, the work stands still."""


@dataclass(frozen=True, slots=True)
class State:
    """Something that is so: the name of its sign, how urgent it is (`is-bad`, `is-warn`, `is-none` or empty), and its words."""

    sign: str
    level: str
    words: str


LATELY = timedelta(hours=1)
"""How far back it is counted what finished."""

REMEMBERED = timedelta(minutes=15)
"""How long a worker is shown that has fallen silent."""

MOST_HELD = 100
"""What runs that is shown with who holds it; and those who hold it."""

START_ONE = "start one with modelport worker or modelport up"

IN_FLIGHT = {
    IngestionState.RECEIVED: State("wait", "is-none", "Queued"),
    IngestionState.WAITING: State("wait", "is-none", "Waiting"),
    IngestionState.RUNNING: State("run", "", "Running"),
}
SHOWN = {
    **IN_FLIGHT,
    IngestionState.REGISTERED: State("ok", "", "Registered"),
    IngestionState.UNCHANGED: State("ok", "", "Unchanged"),
    IngestionState.NOTHING_FOUND: State("warn", "is-warn", "Nothing found"),
    IngestionState.FAILED: State("bad", "is-bad", "Failed"),
    IngestionState.DISCARDED: State("gone", "is-none", "Discarded"),
    IngestionState.IGNORED: State("gone", "is-none", "Ignored"),
}
"""How each state of an ingestion is shown."""

MEANING: Mapping[str, str] = {
    "broken": "No whole model was there within the time that is waited for one. Retry once it is written anew.",
    "changed": "The files did not come to rest. Retry once nobody writes them any more.",
    "incomplete": "A part that the model names never came. Retry once it is there.",
    "inspector-lost": "The inspection crashed, or reached a limit of memory or time. It most likely does so again: look first.",
    "interrupted": "Somebody stopped the command that worked on it. A retry begins anew.",
    "kept-changing": "The files changed each time that they were read. Retry once nobody writes them any more.",
    "not-settled": "The files did not come to rest in time. Retry once nobody writes them any more.",
    "nothing-there": "Nothing lies at the path. A retry fails again until something does.",
    "registry-unavailable": "The database did not answer for too long. Safe to retry once it does.",
    "rejected-event": "What the event says cannot be. A retry fails again; report it anew instead.",
    "rejected-location": "The path may not be read. A retry fails again until MODELPORT_ROOTS or MODELPORT_MOUNTS allow it.",
    "source-unavailable": "The files could not be read where they are. Safe to retry once that place answers.",
    "storage-hangs": "Reading or storing stood still several times. Retry once the storage answers again.",
    "store-unavailable": "The model was read, but its copy could not be stored. Safe to retry once the store answers.",
    "tree-limit": "There are more files, or larger ones, than is allowed. A retry fails again until the limit is another one.",
    "unforeseen": "Nobody foresaw this. Tell its calls to whoever looks after the code; a retry most likely fails again.",
    "unreadable": "A part of the files could not be read. Retry once it can be: its owner or its rights may be wrong.",
    "worker-lost": "The workers that tried it died or hung, so it was taken out. It may be what kills them: look first.",
}
"""What the reasons of failures mean, and what a retry is worth; a test holds them to what the code ends failures with."""


DEAD_LETTERED = LOST
"""The reason of what was taken out of the queue because its workers died."""


PAUSE = "pause"
"""The sign of a verdict that says that the queue is paused."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the work is: the sign, how urgent it is (`is-bad`, `is-warn` or empty), one word, and a sentence or two."""

    sign: str
    level: str
    title: str
    says: str

    @property
    def is_pause(self) -> bool:
        """Whether it says that a person has paused the queue."""
        return self.sign == PAUSE


@dataclass(frozen=True, slots=True)
class Hand:
    """Who works, as an operator sees it: *worker* is None for who holds work and gave no sign of life lately; *holds* is what
    of the team's it works on now. *is_living* tells whether its sign of life is a young one.
    """

    name: str
    worker: Worker | None
    holds: tuple[Ingestion, ...]
    is_living: bool

    @property
    def state(self) -> State:
        """How it is shown."""
        if self.is_living:
            return State("run", "", "Working") if self.holds else State("idle", "is-none", "Idle")
        if self.worker is None and all(one.event.trigger is Trigger.CLI for one in self.holds):
            return State("run", "is-none", "A command")
        return State("gone", "is-bad", "Silent")


def hands(workers: Sequence[Worker], running: Sequence[Ingestion], living_since: datetime) -> list[Hand]:
    """Return who works, and who should: those that are silent first, then by name. *running* is what of the team's is held."""
    known = {worker.name: worker for worker in workers}
    held: dict[str, list[Ingestion]] = {name: [] for name in known}
    for one in running:
        if one.owner is not None:
            held.setdefault(_worker_of(one.owner, known), []).append(one)
    found = [
        Hand(name, known.get(name), tuple(holds), name in known and known[name].seen >= living_since)
        for name, holds in held.items()
    ]
    return sorted(found, key=lambda hand: (hand.state.level != "is-bad", hand.name))


def _worker_of(owner: str, known: Container[str]) -> str:
    """Return the name of the worker that a claim was made by: each claim has an owner of its own, `worker-5f1e.17`.

    A worker of several processes is *known* by what their names begin with: `worker-5f1e` of `worker-5f1e-child-93ab.17`.
    """
    process = owner.rpartition(".")[0] or owner
    name = process
    while name and name not in known:
        name = name.rpartition("-")[0]
    return name or process


def verdict(standing: Standing, hands: Sequence[Hand], now: datetime, is_over_all: bool = False) -> Verdict:
    """Return how the work of the team is; the worst that is so is what is said. A pause comes first: it is meant.

    Who paused the work of all teams is named to who *is_over_all* alone: it may be another team's operator.
    """
    living = sum(hand.is_living for hand in hands)
    if standing.halts:
        return Verdict(PAUSE, "is-warn", "Paused", _paused(standing, now, is_over_all))
    since, last = standing.due_since, standing.last_finish
    is_late = since is not None and now - since >= STALLED_AFTER
    if since is not None and is_late and (last is None or now - last >= STALLED_AFTER):
        says = f"{_waits(standing, since, now)} {_finished(last, now)} {_why(standing, living)}"
        return Verdict("bad", "is-bad", "Stalled", says)
    if standing.due and not living:
        return Verdict("warn", "is-warn", "Nobody works", f"{_may_begin(standing.due)}. {_why(standing, living)}")
    if since is not None and is_late:
        says = f"{_waits(standing, since, now)} Work goes on all the same; more workers would help."
        return Verdict("warn", "is-warn", "Behind", says)
    if not standing.in_flight:
        return Verdict("ok", "", "Quiet", f"Nothing waits, nothing runs. {_answering(living)}")
    return Verdict("ok", "", "Healthy", f"Nothing waits for long. {_answering(living)}")


def verdict_of_all(standing: Standing, hands: Sequence[Hand], now: datetime, is_over_all: bool = False) -> Verdict:
    """Return how the work of all teams is: as `verdict`, behind that some of them are paused, where not all are."""
    if any(halt.team is None for halt in standing.halts):
        return verdict(standing, hands, now, is_over_all)
    return partly_paused(verdict(replace(standing, halts=()), hands, now, is_over_all), standing.halts, now)


def partly_paused(said: Verdict, halts: Sequence[Halt], now: datetime) -> Verdict:
    """Return what is *said* of the work of all teams, behind that those of the *halts* are paused; none where all are."""
    if not halts:
        return said
    first, *others = halts
    why = "" if first.note is None else f": “{first.note}”"
    more = f" So {'is' if len(others) == 1 else 'are'} {counted(len(others), 'other team')}." if others else ""
    says = f"Since {clock(first.since, now)}, by {first.by}{why}, no worker begins anything of the team {first.team}.{more}"
    return Verdict(PAUSE, said.level or "is-warn", "Partly paused", f"{says} {said.says}")


def _paused(standing: Standing, now: datetime, is_over_all: bool) -> str:
    halt, *others = standing.halts
    by = halt.by if halt.team is not None or is_over_all else "whoever looks after all teams"
    why = "." if halt.note is None else f": “{halt.note}”."
    whose = "anything of any team" if halt.team is None else f"anything of the team {halt.team}"
    running = standing.in_flight.get(IngestionState.RUNNING, 0)
    to_the_end = "runs, to its end" if running == 1 else "run, to their end"
    goes_on = f"; {counted(running, 'ingestion')} still {to_the_end}" if running else ""
    waits = f"{counted(standing.due, 'ingestion')} may begin once it is resumed. " if standing.due else ""
    one = f" The team {others[0].team} is paused by itself as well." if others else ""
    also = f" {counted(len(others), 'team')} are paused by themselves as well." if len(others) > 1 else one
    return (
        f"Since {clock(halt.since, now)}, by {by}{why} No worker begins {whose}{goes_on}. {waits}"
        f"What is reported is accepted all the same.{also}"
    )


def _may_begin(due: int) -> str:
    return f"{counted(due, 'ingestion')} may begin now"


def _waits(standing: Standing, since: datetime, now: datetime) -> str:
    return f"{_may_begin(standing.due)}, the first of them since {clock(since, now)}."


def _finished(last: datetime | None, now: datetime) -> str:
    return "Nothing has finished yet." if last is None else f"Nothing has finished since {clock(last, now)}."


def _why(standing: Standing, living: int) -> str:
    if not living:
        return f"No worker gives a sign of life: {START_ONE}. Nothing is lost meanwhile."
    if standing.in_flight.get(IngestionState.RUNNING, 0):
        return "What runs takes long, or hangs: see below who holds what."
    return f"{_answering(living)} Their logs tell why they take none of it."


def _answering(living: int) -> str:
    if not living:
        return "No worker runs."
    return f"{counted(living, 'worker')} {'gives a sign' if living == 1 else 'give signs'} of life."


def clock(moment: datetime, now: datetime) -> str:
    """Return when *moment* was, in UTC, with the day where it was another one: `13:21`, `19 Nov 13:21`."""
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    day = "" if moment.date() == now.date() else f"{moment.day}{NBSP}{MONTHS[moment.month - 1]} "
    return f"{day}{moment:%H:%M}"
