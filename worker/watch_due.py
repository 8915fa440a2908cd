"""When the folder of a run is done: it holds a marker, or it has rested long enough. Then it is reported, once.

In go listings of one folder, the rule for it, and two clocks: one that only counts seconds, and the one that files change by.
Out comes what is known of the folder, with the moment at which it is due. Nobody lists, sleeps or reports here. Whether what
is reported has come to rest for good, and is whole, is decided by whoever ingests it.

Laws (each has a test of the same name):
    a folder that changes before it is due is not due;
    the same listing is due once;
    equal listings of one run make one event.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from enum import StrEnum

from worker.records import CompletionEvent, Look, Trigger
from worker.settle import MARKERS, rest_of
from worker.watch_roots import Run

SOURCE = "watch"
"""The source of every event that a watcher makes."""

NEVER = math.inf
"""When a folder is due that waits for its marker."""


class WatchTrigger(StrEnum):
    """What says that a run is done."""

    MARKER = "marker"
    """A file that the writer leaves last. What changes after that is done when it has rested, or when the marker is new."""
    QUIET = "quiet"
    """Nothing changed for a while, whatever the files are called."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a folder is done. A marker counts in the folder itself and in *depth* levels of folders below it."""

    trigger: WatchTrigger
    quiet_seconds: float
    depth: int = 0
    markers: frozenset[str] = MARKERS


@dataclass(frozen=True, slots=True)
class Listing:
    """What counts of one look at a folder: a digest, when its files and its marker last changed by the files' clock.

    changed is None where no file but markers says so; marked is None where there is no marker.
    """

    digest: str
    changed: float | None
    marked: float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a folder: its last listing's digest, from when on (by the clock that counts) it is due, and whether it
    was reported."""

    digest: str
    due: float
    is_reported: bool = False


def listing_of(look: Look, rule: Rule) -> Listing | None:
    """Return what counts of *look*; None for a folder without a file, where nobody has begun yet."""
    if not look.entries:
        return None
    marks = [entry for entry in look.entries if _is_marker(entry.path, rule)]
    others = [entry.changed for entry in look.entries if entry.changed is not None and not _is_marker(entry.path, rule)]
    marked = max((entry.changed or 0.0 for entry in marks), default=None)
    return Listing(rest_of(look).digest, max(others, default=None), marked)


def see(before: Seen | None, listing: Listing, rule: Rule, now: float, file_time: float) -> Seen:
    """Return what is known after another look. *now* is by the clock that counts, *file_time* by the files'."""
    if before is not None and before.digest == listing.digest:
        return before
    return Seen(listing.digest, now + _seconds_left(before, listing, rule, file_time))


def is_due(seen: Seen, now: float) -> bool:
    """Tell whether the folder is to be reported at *now*."""
    return not seen.is_reported and seen.due <= now


def reported(seen: Seen) -> Seen:
    """Return *seen* as it stands once it was reported."""
    return replace(seen, is_reported=True)


def event_of(run: Run, seen: Seen, team: str) -> CompletionEvent:
    """Return the event that reports *run* as it was seen; equal for every watcher that sees the same."""
    hasher = hashlib.sha256()
    for part in (team, run.path, run.project, run.experiment or "", seen.digest):
        hasher.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return CompletionEvent(
        source=SOURCE,
        id=hasher.hexdigest(),
        model_path=run.path,
        team=team,
        project=run.project,
        experiment=run.experiment,
        trigger=Trigger.WATCH,
    )


def _seconds_left(before: Seen | None, listing: Listing, rule: Rule, file_time: float) -> float:
    """Return how long the folder must rest as it is listed now.

    At the first look the files say how long they have rested. Later a change was just seen, and it need not show in the time
    of a file: one may be gone.
    """
    if rule.trigger is WatchTrigger.MARKER:
        if listing.marked is None:
            return NEVER
        if listing.changed is None or listing.marked >= listing.changed:
            return 0.0
    if before is not None or listing.changed is None or listing.changed > file_time:
        return rule.quiet_seconds
    return max(0.0, rule.quiet_seconds - (file_time - listing.changed))


def _is_marker(path: str, rule: Rule) -> bool:
    *folders, name = path.split("/")
    return name in rule.markers and len(folders) <= rule.depth
