"""Care: what `doctor` looks at, and what it can put right.

In go the borders, out come checks as values. A repair only removes what no version needs and ends what nobody works on;
it never touches a file of a living version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NoReturn

from detectors.scan import RULES_VERSION
from worker import lifecycle
from worker.drift import OpenVersion, Seen, look, noted
from worker.errors import NotFound, RegistryUnavailable, RejectedEvent, WrongState
from worker.ingest import Borders, recover
from worker.lifecycle import Mover, is_end
from worker.ports import Registry, SetAside
from worker.records import (
    DEFAULT_TEAM,
    DRIFTED,
    Condition,
    Halt,
    Ingestion,
    IngestionQuery,
    IngestionState,
    Keep,
    ModelVersion,
    StoreMode,
    VersionQuery,
)

MOST_NAMED = 5
"""How many ids a sentence names before it counts the rest."""


class Depth(StrEnum):
    """What of files is compared with what was registered."""

    NAMES = "names"
    """Names and sizes."""
    TIMES = "times"
    """Also when they were written."""
    BYTES = "bytes"
    """Also every byte."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: *state* is `ok`, `repaired` or `trouble`; *says* is a sentence for an operator."""

    name: str
    state: str
    says: str

    def as_json(self) -> dict[str, Any]:
        """Return the check as plain values."""
        return {"name": self.name, "state": self.state, "says": self.says}


MAX_NOTE_CHARACTERS = 500
"""Length of what a person says of why they do something."""


def note_of(note: str | None) -> str | None:
    """Return what is kept of a *note* that a person wrote, None for nothing: the log has one line for it, in UTF-8.

    Raises:
        RejectedEvent: it is too long.
    """
    said = " ".join((note or "").encode("utf-8", "backslashreplace").decode().split())
    if len(said) > MAX_NOTE_CHARACTERS:
        raise RejectedEvent(f"note: expected at most {MAX_NOTE_CHARACTERS} characters, found {len(said)}")
    return said or None


def pause(registry: Registry, team: str, is_all: bool, who: str, now: datetime, note: str | None = None) -> Halt:
    """Let no worker begin anything of the team, or of any if *is_all*, and return since when that is so, and by whom.

    Where it was so before, nothing is changed.

    Raises:
        RejectedEvent: the note is too long.
    """
    kept = note_of(note)
    while True:
        begun = registry.pause_queue(team, is_all, now, who, kept)
        found = [halt for halt in registry.halts(team) if (halt.team is None) == is_all] if begun is None else [begun]
        if found:  # else somebody resumed it in between
            return found[0]


def resume(registry: Registry, team: str, is_all: bool, who: str, now: datetime, note: str | None = None) -> Halt | None:
    """Let workers begin again what `pause` kept them from, and return what that was; None where nothing did.

    Raises:
        RejectedEvent: the note is too long.
    """
    return registry.resume_queue(team, is_all, now, who, note_of(note))


def remove_messages(
    set_aside: SetAside,
    registry: Registry,
    team: str,
    message_id: str | None,
    who: str,
    now: datetime,
    note: str | None = None,
) -> int:
    """Remove a message that no worker could read, None for all, and return how many that were. The log of *team* says so.

    Raises:
        NotFound: there is no such message.
        RejectedEvent: the note is too long.
        ServerUnavailable: the broker did not answer in time.
    """
    kept = note_of(note)
    if message_id is not None and set_aside.find(message_id) is None:
        raise NotFound(f"there is no message {message_id[:80]!a}")
    if message_id is None and not set_aside.count():
        return 0
    registry.note_removal(team, message_id, now, who, kept)
    return set_aside.remove(message_id)


def retry(registry: Registry, team: str, ingestion_id: str, who: str, now: datetime, note: str | None = None) -> Ingestion:
    """Let a failed ingestion of the team be tried again, and return it; *note* is why.

    Raises:
        NotFound: there is no such ingestion.
        WrongState: it has not failed.
        RejectedEvent: the note is too long.
    """
    again = registry.retry(team, ingestion_id, who, now, note_of(note))
    return again or _refuse(registry, team, ingestion_id, "only a failed one can be tried again")


def discard(registry: Registry, team: str, ingestion_id: str, who: str, now: datetime, note: str | None = None) -> Ingestion:
    """End an ingestion of the team that has not ended well, and return it; *note* is why.

    Raises:
        NotFound: there is no such ingestion.
        WrongState: it has ended well.
        RejectedEvent: the note is too long.
    """
    gone = registry.discard(team, ingestion_id, who, now, note_of(note))
    return gone or _refuse(registry, team, ingestion_id, "it has ended, and there is nothing to discard")


def _refuse(registry: Registry, team: str, ingestion_id: str, why: str) -> NoReturn:
    found = registry.ingestion(team, ingestion_id)
    if found is None:
        raise NotFound(f"there is no ingestion {ingestion_id}")
    raise WrongState(f"{ingestion_id} is {found.state.value}: {why}")


MOST_AT_ONCE = 1000
"""Ingestions that one call moves; each is a transaction of its own."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The ids of what was moved. more_are_left tells whether the call is to be made again for the rest.

    trouble tells why it ended before its time, None where it did not. The next one after those of the ids may or may not have
    been moved then. last is the id of the last one that was looked at, behind which a further call goes on.
    """

    ids: tuple[str, ...]
    more_are_left: bool
    trouble: str | None = None
    last: str | None = None


def further(move_all: Callable[[IngestionQuery], Moved], query: IngestionQuery, moved: Moved) -> Iterator[Moved]:
    """Call *move_all* again and again for what *moved* left of *query*, which asks for one state; yield what each call moved.

    Each is looked at once: what fails again meanwhile is not moved again. Nothing is done after trouble.
    """
    while moved.more_are_left and moved.trouble is None:
        moved = move_all(replace(query, after=moved.last))
        yield moved


def retry_all(registry: Registry, query: IngestionQuery, who: str, now: datetime, note: str | None = None) -> Moved:
    """Let the failed ingestions that *query* finds be tried again, newest first, at most `MOST_AT_ONCE`; *note* is why,
    and is told of each in the log of its own team.

    Raises:
        RejectedEvent: the query asks for another state, or the note is too long.
        RegistryUnavailable: it did not answer before the first one was known to be moved.
    """
    return _move_all(registry, query, IngestionState.RECEIVED, registry.retry, who, now, note_of(note))


def discard_all(registry: Registry, query: IngestionQuery, who: str, now: datetime, note: str | None = None) -> Moved:
    """End the ingestions that *query* finds and that have not ended well, newest first, at most `MOST_AT_ONCE`; *note* is why,
    and is told of each in the log of its own team.

    Raises:
        RejectedEvent: the query asks for those in a state that nothing leaves, or the note is too long.
        RegistryUnavailable: it did not answer before the first one was known to be moved.
    """
    return _move_all(registry, query, IngestionState.DISCARDED, registry.discard, who, now, note_of(note))


MoveOne = Callable[[str, str, str, datetime, str | None], Ingestion | None]


def _move_all(
    registry: Registry, query: IngestionQuery, to: IngestionState, move: MoveOne, who: str, now: datetime, note: str | None
) -> Moved:
    movable = lifecycle.movable(to, Mover.PERSON)
    if query.state is not None and query.state not in movable:
        expected = ", ".join(state.value for state in movable)
        raise RejectedEvent(f"state: expected one of {expected}, found {query.state.value}")
    found: list[Ingestion] = []
    for state in movable:
        if query.state in (None, state):
            found += registry.ingestions(replace(query, state=state, limit=MOST_AT_ONCE + 1 - len(found)))
    moved: list[str] = []
    for one in found[:MOST_AT_ONCE]:
        try:
            if move(one.event.team, one.id, who, now, note) is not None:
                moved.append(one.id)
        except RegistryUnavailable as exc:
            if not moved:
                raise
            return Moved(tuple(moved), more_are_left=True, trouble=str(exc), last=moved[-1])
    looked_at = found[:MOST_AT_ONCE]
    return Moved(tuple(moved), len(found) > MOST_AT_ONCE, last=looked_at[-1].id if looked_at else None)


UPLOAD_PATIENCE = timedelta(days=1)
"""How long a promised id waits for its files. Then what was brought of them is removed, and nothing else is lost."""


def check_ingestions(borders: Borders, repair: bool) -> Check:
    """Tell whether every ingestion that runs has its process, how many wait, and whose work is paused."""
    lost = [ingestion.id for ingestion in borders.registry.owned() if borders.is_dead(ingestion.owner or "")]
    if not lost:
        return Check("ingestions", "ok", f"what runs has its process; {_waiting(borders)}{_paused(borders)}")
    if repair:
        recover(borders)
        return Check("ingestions", "repaired", f"ended {_named(lost)}, whose process is gone")
    return Check("ingestions", "trouble", f"the process of {_named(lost)} is gone; the next ingest or --repair ends them")


def _waiting(borders: Borders) -> str:
    states = borders.registry.queue(borders.clock.now()).states
    count = sum(states.get(state, 0) for state in (IngestionState.RECEIVED, IngestionState.WAITING))
    return f"{count} {'waits' if count == 1 else 'wait'}" if count else "nothing waits"


def _paused(borders: Borders) -> str:
    """Return whose work a person has paused: a doctor looks at all teams, whatever team a command is of."""
    return "".join(
        f"; the work of {'all teams' if halt.team is None else f'the team {halt.team}'} is paused "
        f"since {halt.since:%Y-%m-%d %H:%M} UTC by {halt.by}"
        for halt in borders.registry.halts(None)
    )


def check_promise(borders: Borders) -> Check:
    """Tell whether everything that was accepted has ended in one way, or is on its way to it."""
    now = borders.clock.now()
    wrong = borders.registry.contradictions(now)
    if wrong:
        return Check("promise", "trouble", f"{len(wrong)} contradictions; the first: {wrong[0]}")
    states = borders.registry.queue(now).states
    told = ", ".join(f"{count} {state.value}" for state, count in sorted(states.items()))
    return Check("promise", "ok", f"{sum(states.values())} accepted: {told or 'none'}")


def check_leftovers(borders: Borders, repair: bool) -> Check:
    """Tell whether the store holds only what a version needs, or somebody is writing."""
    ours, strange = unneeded(borders)
    if ours and repair:
        for _, url in ours:
            borders.store.remove(url)
        removed, (ours, strange) = ours, unneeded(borders)
        if not ours and not strange:
            return Check("leftovers", "repaired", f"removed {_named([one for one, _ in removed])} from the store")
    if ours:
        found = _named([one for one, _ in ours])
        advice = "files that modelport did not write are among them; remove them by hand" if repair else "see --repair"
        return Check("leftovers", "trouble", f"the store holds {found}, which no version needs; {advice}")
    if strange:
        found = _named([url.rpartition("/")[0] for _, url in strange])  # with the folder that bears the id
        return Check("leftovers", "trouble", f"this database knows nothing of {found} in the store; {STRANGE}")
    return Check("leftovers", "ok", "the store holds nothing that no version needs")


STRANGE = (
    "they may be another installation's, or newer than the backup that this one was restored from, so they stay: remove by hand"
    " what nobody needs"
)


def unneeded(borders: Borders) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (version id, URL) of what the store holds for no version and for nobody at work: what attempts of this registry
    wrote, and what this registry knows nothing of, which may be somebody else's.
    """
    left, registered, tried = _left(borders)
    ours = registered | tried
    return [one for one in left if one[0] in ours], [one for one in left if one[0] not in ours]


def abandoned(borders: Borders) -> list[tuple[str, str]]:
    """Return (version id, URL) of the copies that nobody needs or works on any more: those of deleted versions, and those that
    attempts left which came to nothing.

    Nobody will: what is deleted stays so, each attempt has an id of its own, and who does not own its ingestion registers
    nothing. A living version is never among them: a reference may just be getting a copy of its own (`ingest`).
    """
    left, registered, tried = _left(borders)
    deleted = borders.registry.care.deleted_among([id for id, _ in left if id in registered])
    return [one for one in left if one[0] in deleted or (one[0] in tried and one[0] not in registered)]


def _left(borders: Borders) -> tuple[list[tuple[str, str]], frozenset[str], frozenset[str]]:
    """Return (version id, URL) of what the store holds for no version and for nobody at work, the ids that were ever
    registered, and those of what is left that an attempt or an upload had.

    What the next attempt at an ingestion may take up is for somebody at work, though it waits.
    The store is asked first and the registry last: what is registered in between is needed, and must not be in the list.
    """
    held = list(borders.store.prefixes())
    in_work = {ingestion.version_id for ingestion in borders.registry.owned()}
    in_work |= borders.registry.kept_uploads(borders.clock.now() - UPLOAD_PATIENCE)
    keys = dict(borders.registry.store_keys())
    left = [(version_id, url) for version_id, url in held if not keys.get(version_id) and version_id not in in_work]
    tried = borders.registry.attempts_among([version_id for version_id, _ in left])
    if borders.store.takes_up():
        left = [one for one in left if one[0] not in tried or is_end(tried[one[0]])]
    uploaded = borders.registry.uploads_among([version_id for version_id, _ in left])
    return left, frozenset(keys), uploaded | tried.keys()


ADVICE = {
    StoreMode.COPY: ("copies", "restore them from a backup, or delete the version and ingest its path again"),
    StoreMode.REFERENCE: ("references", "they changed where they are since they were registered; ingest the path again"),
}

NOTHING_OLD = Keep()

PAGE = 200
"""Versions that are in memory at a time; each is looked at before the next page is asked for."""

FOUND_WRONG = {Depth.NAMES: frozenset({Condition.CHANGED, Condition.MISSING}), Depth.TIMES: DRIFTED, Depth.BYTES: DRIFTED}
"""What counts as trouble, by what was compared."""


def check_versions(borders: Borders, open_version: OpenVersion, depth: Depth, is_noted: bool = False) -> Iterator[Check]:
    """Look at the files of every living version of all teams, and yield a check for each way in which they are kept.

    Where it *is_noted*, what was found of one is, before the next is looked at: who is stopped has not looked in vain.
    """
    tallies = {mode: _Tally() for mode in StoreMode}
    for version in _every_version(borders):
        borders.step(f"{'read' if depth is Depth.BYTES else 'look at'} {version.id}")
        files = borders.registry.files(version.id)
        seen = look(version, files, open_version, depth is Depth.BYTES, borders.progress)
        if is_noted:
            note(borders, version, seen)
        tallies[version.store].add(version, seen.condition, depth)
    for mode in StoreMode:
        yield tallies[mode].check(mode, depth)


def note(borders: Borders, version: ModelVersion, seen: Seen) -> None:
    """Have it noted that the files of *version* were *seen* so."""
    files_seen, mark = noted(version.files_seen, version.mark, seen, borders.clock.now())
    borders.registry.care.note_files(version, files_seen, mark)


@dataclass(slots=True)
class _Tally:
    """What was found of the versions that are kept in one way; of those that are not well only what is named, and how many."""

    amount: int = 0
    wrong: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)

    def add(self, version: ModelVersion, condition: Condition, depth: Depth) -> None:
        self.amount += 1
        if depth is Depth.TIMES and condition is Condition.TOUCHED:
            self.touched.append(_called(version))
        elif condition in FOUND_WRONG[depth]:
            self.wrong.append(_called(version))
        elif condition is Condition.UNREACHABLE:
            self.unreached.append(_called(version))

    def check(self, mode: StoreMode, depth: Depth) -> Check:
        kept, advice = ADVICE[mode]
        name, what, how = SHOWN_AS[depth]
        said = []
        if self.wrong:
            said.append(f"{what} of {_named(self.wrong)} are not those that were registered; {advice}")
        if self.touched:
            said.append(
                f"files of {_named(self.touched)} were written since; --drift --digests tells whether they are the same"
            )
        if self.unreached:
            said.append(f"those of {_named(self.unreached)} could not be looked at")
        if said:
            return Check(name.format(kept), "trouble", "; ".join(said))
        whole = f"{self.amount} of {self.amount} have their files, {how}"
        return Check(name.format(kept), "ok", whole if self.amount else "none are kept")


SHOWN_AS = {
    Depth.NAMES: ("{}", "files", "by name and size"),
    Depth.TIMES: ("{}", "files", "by name, size and time"),
    Depth.BYTES: ("digests of {}", "bytes", "byte for byte"),
}
"""The name of a check, what it is about, and how it was looked, by what was compared."""


def _every_version(borders: Borders) -> Iterator[ModelVersion]:
    """Yield the living versions of all teams, newest first in each, without their reports, a page at a time."""
    for team in borders.registry.teams():
        after, is_more = None, True
        while is_more:
            page = borders.registry.versions(VersionQuery(team.name, limit=PAGE, after=after, is_brief=True))
            yield from page
            is_more = len(page) == PAGE
            after = page[-1].id if page else None


def _called(version: ModelVersion) -> str:
    """Return the id of *version*, with the team whose commands find it where that is not the first one."""
    return version.id if version.team == DEFAULT_TEAM else f"{version.id} (team {version.team})"


def outdated(counts: Mapping[str, int]) -> dict[str, int]:
    """Return how many versions were judged by which older rules; what newer ones judged, on another machine, is none."""
    return {rules: amount for rules, amount in sorted(counts.items()) if is_outdated(rules)}


def is_outdated(rules_version: str) -> bool:
    """Tell whether the rules of this code are newer."""
    is_newer = rules_version.isdecimal() and int(rules_version) > int(RULES_VERSION)
    return rules_version != RULES_VERSION and not is_newer


def check_rules(borders: Borders) -> Check:
    """Tell how many versions older rules of the scanner judged."""
    old = sum(outdated(borders.registry.care.judged_by()).values())
    says = f"{old} judged by older rules than {RULES_VERSION}; `modelport rescan --outdated` judges them anew"
    return Check("rules", "ok", says if old else f"every version was judged by rules {RULES_VERSION}, or newer ones")


def check_retention(borders: Borders, keep: Keep) -> Check:
    """Tell how much is older than it is kept for; sweeps remove it, a portion at a time."""
    old = borders.registry.care.removable(keep)
    kinds = {
        "ingestions that led to nothing": old.history,
        "deliveries": old.deliveries,
        "lines of the log": old.audit,
        "workers that died": old.workers,
    }
    told = ", ".join(f"{amount} {kind}" for kind, amount in kinds.items() if amount)
    return Check("retention", "ok", f"{told} are older than they are kept for; sweeps remove them" if told else NOT_OLD)


NOT_OLD = "nothing is older than it is kept for"


def examine(
    borders: Borders,
    open_version: OpenVersion,
    repair: bool,
    with_digests: bool = False,
    with_drift: bool = False,
    keep: Keep = NOTHING_OLD,
) -> Iterator[Check]:
    """Yield every check of registry and store, of all teams, in the order in which they are best read.

    The bytes are read only *with_digests*; whoever watches is told how many there are and how many were read. *with_drift* the
    times are compared too, and what was found is noted for each version.
    """
    yield check_ingestions(borders, repair)
    yield check_promise(borders)
    yield check_leftovers(borders, repair)
    yield check_retention(borders, keep)
    yield check_rules(borders)
    if not (with_drift and with_digests):
        yield from check_versions(borders, open_version, Depth.TIMES if with_drift else Depth.NAMES, with_drift)
    if with_digests:
        borders.expect(sum(version.size_bytes for version in _every_version(borders)))
        yield from check_versions(borders, open_version, Depth.BYTES, with_drift)


def _named(ids: Sequence[str]) -> str:
    shown = ", ".join(sorted(ids)[:MOST_NAMED])
    return shown + (f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else "")
