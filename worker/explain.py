"""Why a path would be ingested now, or would not: the steps of an attempt, up to the one that reads every byte, in words.

It takes the same decisions by the same functions as an attempt (`worker.ingest`), but that it writes nothing, claims nothing
and reads no file whole. Where an attempt would stop it says what was nearly there.

Laws (each has a test of the same name):
    what is said to be registered is registered, and what is said to stop stops for the same reason;
    nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from detectors.errors import DetectorError
from detectors.facts import State
from detectors.scan import Scan
from detectors.tree import FileEntry, FileTree, readable
from worker.errors import NothingThere, NotSettled, WorkerError
from worker.figures import size
from worker.ingest import Borders, check_listed, check_whole, known_answer, listing_key, look_now, nothing_in
from worker.near_misses import GRAPHS, closest, near_misses
from worker.records import CompletionEvent, Ingestion, IngestionState, Location, Look, Rest, SoFar, StoreMode
from worker.settle import Wait, rest_of, settle
from worker.verdict import Patience, Reject, decide

SECOND_LOOK_SECONDS = 1.0
"""How long is waited to see what still moves."""

MOST_LINES = 10
"""Models, and things that were passed over, that are told one by one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at: *state* is `ok`, `note`, `waits` or `stops`; *says* is a sentence for a person."""

    about: str
    state: str
    says: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an attempt would come to now: `registered`, `unchanged`, `nothing_found`, `failed`, or `waiting` where it would
    look again later; with the reason that an ingestion would have. near are sentences about what is nearly a model."""

    outcome: IngestionState
    reason: str
    lines: tuple[Line, ...]
    near: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as plain values."""
        lines = [{"about": line.about, "state": line.state, "says": line.says} for line in self.lines]
        return {"outcome": self.outcome.value, "reason": self.reason, "lines": lines, "near": list(self.near)}


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest folder above a place that is there, and the names in it."""

    folder: str
    names: Sequence[str]


def explain(
    event: CompletionEvent,
    borders: Borders,
    last: Ingestion | None = None,
    neighbours: Callable[[Location], Neighbours | None] = lambda location: None,
) -> Explanation:
    """Return what an attempt at *event* would come to now.

    *last* is the latest ingestion of the same path, None where there is none. *neighbours* looks at what lies beside a place.
    """
    lines = list(_history(last))
    try:
        location = borders.resolve(event)
        lines.append(_place(event, location))
        try:
            with borders.open_tree(location) as tree:
                return _seen(event, location, tree, borders, last, lines, neighbours)
        except NothingThere as exc:
            near = tuple(_beside(location, neighbours(location)))
            return Explanation(IngestionState.FAILED, "nothing-there", (*lines, Line("files", "stops", str(exc))), near)
    except (DetectorError, WorkerError) as exc:
        return _stopped(exc, lines, borders)


def _seen(
    event: CompletionEvent,
    location: Location,
    tree: FileTree,
    borders: Borders,
    last: Ingestion | None,
    lines: list[Line],
    neighbours: Callable[[Location], Neighbours | None],
) -> Explanation:
    look, quiet_seconds = look_now(tree, borders), borders.quiet_seconds(location)
    lines += _listed(look)
    waiting = settle(_before(look, last, quiet_seconds), look, quiet_seconds, event.files)
    if isinstance(waiting, Wait):
        moving = list(_moving(look, tree, borders))
        why = [f"{waiting.reason}; it would be looked at again after {waiting.seconds:.1f} s"]
        lines += [Line("settled", "waits", says) for says in moving or why]
        return Explanation(IngestionState.WAITING, "not-settled", tuple(lines))
    check_listed(look)
    lines.append(Line("settled", "ok", f"nothing has changed for {quiet_seconds:g} s, or the writer said that it is done"))
    same = known_answer(event, location, listing_key(location, look, event), borders)
    if same is not None:
        says = f"the same files as {same.id}, {same.model_name} version {same.number}; none would be read"
        return Explanation(IngestionState.UNCHANGED, "same-listing", (*lines, Line("known", "stops", says)))
    found = borders.inspect(tree, event.declared_type, look.entries, event.team)
    lines += _models(found)
    check_whole(event, found, look, quiet_seconds, borders.patience_seconds)
    if not found.models:
        end = nothing_in(location, found, look)
        near = (*near_misses(look.entries), *_above(location, neighbours(location)))
        return Explanation(end.state, end.reason, (*lines, Line("models", "stops", end.message)), near)
    lines.append(Line("registered", "ok", "a version would be registered"))
    return Explanation(IngestionState.REGISTERED, "new-content", tuple(lines))


def _stopped(error: Exception, lines: list[Line], borders: Borders) -> Explanation:
    """Return what *error* means for an attempt, decided as for a first one."""
    decision = decide(error, SoFar(failed=1, changes=1), Patience(borders.patience_seconds, borders.patience_seconds))
    if isinstance(decision, Reject):
        line = Line("stopped", "stops", decision.message)
        return Explanation(IngestionState.FAILED, decision.reason, (*lines, line))
    reason = error.code if isinstance(error, NotSettled) else decision.reason
    line = Line("stopped", "waits", f"{decision.message}; it would be looked at again after {decision.seconds:g} s")
    return Explanation(IngestionState.WAITING, reason, (*lines, line))


def _history(last: Ingestion | None) -> Iterator[Line]:
    if last is not None:
        why = f": {last.message}" if last.message else ""
        yield Line("history", "note", f"ingestion {last.id} of this path is {last.state.value.replace('_', ' ')}{why}")


def _place(event: CompletionEvent, location: Location) -> Line:
    where = readable(location.path)
    mapped = f"{readable(event.model_path)} is {where} here" if event.model_path != location.path else where
    kept = "its files would stay there" if location.mode is StoreMode.REFERENCE else "its files would be copied"
    return Line("place", "note", f"{mapped}; {kept}")


def _before(look: Look, last: Ingestion | None, quiet_seconds: float) -> Rest | None:
    """Return the look that this one is compared with: that of an ingestion that waits. What is empty is taken for settled."""
    if last is not None and last.rest is not None:
        return last.rest
    return None if look.entries else rest_of(replace(look, at=look.at - quiet_seconds))


def _listed(look: Look) -> Iterator[Line]:
    count, size_bytes = len(look.entries), sum(entry.size for entry in look.entries)
    yield Line("files", "ok" if count else "note", f"{count} {'file' if count == 1 else 'files'}, {size(size_bytes)}")
    for passed in look.passed_over[:MOST_LINES]:
        yield Line("files", "note", f"{readable(passed.path)}: passed over: {passed.reason}")
    if len(look.passed_over) > MOST_LINES:
        yield Line("files", "note", f"{len(look.passed_over) - MOST_LINES} more were passed over")


def _moving(before: Look, tree: FileTree, borders: Borders) -> Iterator[str]:
    """Yield what changed in a moment, one sentence for each file, the first few."""
    borders.clock.sleep(SECOND_LOOK_SECONDS)
    old, new = _by_path(before.entries), _by_path(tuple(tree.files()))
    changes = [_change(path, old.get(path), new.get(path)) for path in sorted(old.keys() | new.keys())]
    told = [change for change in changes if change is not None]
    yield from told[:MOST_LINES]


def _by_path(entries: Sequence[FileEntry]) -> Mapping[str, FileEntry]:
    return {entry.path: entry for entry in entries}


def _change(path: str, old: FileEntry | None, new: FileEntry | None) -> str | None:
    if old is None or new is None:
        return f"{readable(path)} {'came' if old is None else 'went'} just now"
    if old.size < new.size:
        return f"{readable(path)} is still growing: {size(old.size)} before, {size(new.size)} now"
    return None if old.version == new.version else f"{readable(path)} was changed just now"


def _models(found: Scan) -> Iterator[Line]:
    for model in found.models[:MOST_LINES]:
        detection, whole = model.detection, model.extraction.completeness
        name = f"{detection.format} at {readable(detection.root) or '.'}"
        if whole.state is State.COMPLETE:
            yield Line("models", "ok", f"{name}, complete")
        for problem in whole.problems[:MOST_LINES]:
            yield Line("models", "note", f"{name}, {whole.state.value}: {readable(problem.path)}: {problem.problem}")
    if len(found.models) > MOST_LINES:
        yield Line("models", "note", f"{len(found.models) - MOST_LINES} more models")


def _beside(location: Location, found: Neighbours | None) -> Iterator[str]:
    """Yield what may have been meant by a place that is not there."""
    if found is None:
        return
    rest = location.path.removeprefix(found.folder).strip("/").split("/")
    names = closest(rest[0], found.names)
    folder = readable(found.folder)
    if names:
        yield f"{folder} has no {readable(rest[0])}; it has {', '.join(map(readable, names))}"
    else:
        count = len(found.names)
        yield f"{folder} is there, with {count} other names in it, none of them like {readable(rest[0])}"


def _above(location: Location, found: Neighbours | None) -> Iterator[str]:
    """Yield that the folder above is a SavedModel, of which the place is a part."""
    if found is not None:
        graph = next((name for name in GRAPHS if name in found.names), None)
        if graph is not None:
            yield f"{readable(found.folder)} holds {graph}: this is a part of that model, give {readable(found.folder)}"
