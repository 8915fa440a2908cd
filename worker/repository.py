"""The other use cases: find, download, link to, rename, tag and delete what was registered.

In go names as people write them and the borders; out come records. How they are shown is left to the doors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from detectors.tree import FileTree, readable
from worker.errors import NotFound, Quarantined, RejectedEvent, StorageUnavailable, WrongState
from worker.events import VERSION_ID, checked_model_name, checked_name
from worker.manifest import read_once
from worker.ports import GivesLinks, OpenSink, Registry, Store
from worker.projects import project_id
from worker.records import UNSAID, Attention, FileDigest, ModelVersion, StoreMode, VersionQuery

LEFT = "`modelport doctor --repair` removes them once the store lets it"
"""What becomes of the files of a deleted version; a look of a sweep removes them too, some twenty minutes later (`tidying`)."""

AGAIN = "`modelport ingest` its path again registers what is there now"
"""What can be done about a version whose files are not those that were registered."""

MAX_REASON_CHARACTERS = 500
"""Length of what a person says when they release a version."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")

HOW_TO_RELEASE = (
    "a person may release it (`modelport models release {id} --reason TEXT`), or take its files to look into them "
    "(`modelport models download {id} --quarantined --to DIR`, by the API `?quarantined=true`)"
)
"""What can be done about a version in quarantine."""

MOST_NAMED = 3
"""Files that one sentence names."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A model as a person names it: an id, a name (its latest version), or `NAME@NUMBER`."""

    id: str | None = None
    name: str | None = None
    number: int | None = None


def parse_reference(text: str) -> Reference:
    """Return what *text* names. A name may hold `@`; only a number behind the last one is a version."""
    if VERSION_ID.fullmatch(text):
        return Reference(id=text)
    name, at, number = text.rpartition("@")
    if at and name and number.isascii() and number.isdigit() and len(number) < 10:
        return Reference(name=name, number=int(number))
    return Reference(name=text)


def find(registry: Registry, team: str, text: str, project: str | None = None) -> ModelVersion:
    """Return the version that *text* names. A name alone is the newest version that may be served; where all are in quarantine,
    the newest.

    Raises:
        NotFound: there is none in this team.
        RejectedEvent: models of several projects have this name, or it can be read in two ways.
    """
    newest, is_named = _newest(registry, team, text, project)
    return _served(registry, newest) or newest if is_named and newest.is_quarantined else newest


def find_one(registry: Registry, team: str, text: str, project: str | None = None) -> ModelVersion:
    """As `find`, for what cannot be taken back or is about one version: a name alone must not mean two.

    Raises:
        NotFound: there is none in this team.
        RejectedEvent: as for `find`; or the newest version is in quarantine, and an older one may be served.
    """
    newest, is_named = _newest(registry, team, text, project)
    older = served(registry, newest) if is_named and newest.is_quarantined else None
    if older is not None:
        raise RejectedEvent(
            f"{text}: its newest version {_called(newest)} is in quarantine, and {_called(older)} is what is served; say which"
        )
    return newest


def find_held(registry: Registry, team: str, text: str, project: str | None = None) -> ModelVersion:
    """As `find`, for who releases: a name alone is the newest version in quarantine; where none is, the newest."""
    newest, is_named = _newest(registry, team, text, project)
    if not is_named or newest.is_quarantined:
        return newest
    query = replace(_of_model(newest), attention=Attention.QUARANTINED, limit=1)
    held = registry.versions(query)
    return _still(held[0], registry.version(team, held[0].id)) if held else newest


def newer_in_quarantine(registry: Registry, version: ModelVersion, text: str) -> str | None:
    """Return what is to be said to who named *version* by *text*, which is no more than the name of its model, and got an older
    one than its newest; None where that is not so.
    """
    if text != version.model_name:
        return None
    named = (one for one in registry.named(version.team, text) if one.project == version.project)
    newest = next(named, version)
    if newest.number <= version.number or newest.held is None:
        return None
    return f"{_called(newest)} is newer than {_called(version)}, and in quarantine: {newest.held.why}"


def served(registry: Registry, version: ModelVersion) -> ModelVersion | None:
    """Return the newest version of the same model that may be served, without its report; None where all are in quarantine."""
    query = _of_model(version)
    while page := registry.versions(query):
        found = next((one for one in page if not one.is_quarantined), None)
        if found is not None:
            return found
        query = replace(query, after=page[-1].id)
    return None


def _served(registry: Registry, newest: ModelVersion) -> ModelVersion | None:
    found = served(registry, newest)
    return None if found is None else registry.version(found.team, found.id)


def _of_model(version: ModelVersion) -> VersionQuery:
    """Return the query for all versions of the same model, newest first."""
    return VersionQuery(version.team, version.project, name=version.model_name, is_brief=True)


def _called(version: ModelVersion) -> str:
    return f"{version.model_name}@{version.number}"


def _newest(registry: Registry, team: str, text: str, project: str | None) -> tuple[ModelVersion, bool]:
    """Return the version that *text* names, of a model the newest, and whether a model is all that it names."""
    reference, project = parse_reference(text), project_id(registry, team, project)
    if reference.id and (version := registry.version(team, reference.id)):
        return version, False
    whole = _of(project, registry.named(team, text))
    numbered = (
        _of(project, registry.named(team, reference.name, reference.number)) if reference.name not in (None, text) else []
    )
    if whole and numbered:
        raise RejectedEvent(f"{text}: a model has this name, and {reference.name} has this version; say which with its id")
    found = whole or numbered
    projects = sorted({version.project for version in found})
    if len(projects) > 1:
        raise RejectedEvent(f"{text}: projects {', '.join(projects)} each have a model of this name; name the project too")
    if not found:
        raise NotFound(f"{text}: no such model; `modelport models list` shows what is there")
    return max(found, key=lambda version: version.number), bool(whole)


def find_readable(registry: Registry, team: str, text: str, project: str | None = None) -> ModelVersion:
    """As `find`, to look and not to change: an id may also be that of a version that another team published."""
    reference = parse_reference(text)
    if reference.id and (version := registry.readable(team, reference.id)):
        return version
    return find(registry, team, text, project)


def _of(project: str | None, versions: Iterable[ModelVersion]) -> list[ModelVersion]:
    return [version for version in versions if project in (None, version.project)]


def rename(registry: Registry, version: ModelVersion, name: str, now: datetime, who: str = UNSAID) -> ModelVersion:
    """Give the model of *version* another name, for *who*.

    Raises:
        RejectedEvent: the name cannot be used.
        NameTaken: another model of the project has it.
        NotFound: the version was deleted meanwhile.
    """
    return _still(version, registry.rename(version.team, version.id, checked_model_name(name) or "", now, who))


def publish(registry: Registry, version: ModelVersion, is_published: bool, now: datetime, who: str = UNSAID) -> ModelVersion:
    """Let all teams read the model of *version*, or no team but its own, for *who*.

    Raises:
        Quarantined: the version is not to be served; later ones may be.
        NotFound: it was deleted meanwhile.
    """
    if is_published:
        check_served(version)
    return _still(version, registry.publish(version.team, version.id, is_published, now, who))


def tag(
    registry: Registry,
    version: ModelVersion,
    add: Iterable[str],
    remove: Iterable[str],
    now: datetime | None = None,
    who: str = UNSAID,
) -> ModelVersion:
    """Add and remove tags of *version*, for *who*; *now* is None for the registry's own time."""
    added = [checked_name("tag", one) or "" for one in add]
    return _still(version, registry.tag(version.team, version.id, added, remove, now, who))


def note(registry: Registry, version: ModelVersion, notes: str, now: datetime, who: str) -> ModelVersion:
    """Keep *notes* on *version* for *who*; none where they are empty.

    Raises:
        NotFound: the version was deleted meanwhile.
    """
    return _still(version, registry.note(version.team, version.id, notes or None, now, who))


def release(registry: Registry, version: ModelVersion, reason: str, now: datetime, who: str) -> ModelVersion:
    """Let *version* go that is in quarantine, for *who*; one that somebody released before stays as they did.

    Raises:
        RejectedEvent: no reason is given, or it is too long.
        WrongState: it was never in quarantine.
        NotFound: it was deleted meanwhile.
    """
    said = reason.strip()
    if not said or len(said) > MAX_REASON_CHARACTERS or CONTROL.search(said):
        found = f"found {len(said)}" if len(said) > MAX_REASON_CHARACTERS else f"found {reason[:40]!a}"
        raise RejectedEvent(f"reason: expected a sentence of at most {MAX_REASON_CHARACTERS} characters in one line, {found}")
    if version.held is None:
        raise WrongState(f"{version.id} ({_called(version)}) is in no quarantine")
    return _still(version, registry.release(version.team, version.id, said, now, who))


def check_served(version: ModelVersion, is_insisted: bool = False, team: str | None = None) -> None:
    """Return where *version* may be taken: it is in no quarantine, or who asks *insists* on taking it to look into it, which
    only its own team may; *team* is theirs, None for that one.

    Raises:
        Quarantined: it may not.
    """
    is_ours = team in (None, version.team)
    if not version.is_quarantined or (is_insisted and is_ours) or version.held is None:
        return
    said = f"{version.id} ({_called(version)}) is in quarantine and not served: {version.held.why}"
    raise Quarantined(f"{said}; {HOW_TO_RELEASE.format(id=version.id)}" if is_ours else f"{said}; its team may release it")


def check_taken(registry: Registry, version: ModelVersion, is_insisted: bool, team: str, now: datetime, who: str) -> None:
    """Return where *who* of *team* may take files of *version*, as `check_served` has it; that somebody insisted on what is in
    quarantine stands in the log of the team then.

    Raises:
        Quarantined: they may not.
        NotFound: it was deleted meanwhile.
    """
    check_served(version, is_insisted, team)
    if version.is_quarantined:
        _still(version, registry.note_taking(version.team, version.id, now, who))


def delete(registry: Registry, store: Store, version: ModelVersion, now: datetime, who: str = UNSAID) -> None:
    """Delete *version* for *who*, and then its copy. Referenced files stay where they are.

    Raises:
        NotFound: it was deleted meanwhile.
        StorageUnavailable: it is deleted, but the store did not let its files be removed.
    """
    _still(version, registry.delete(version.team, version.id, now, who))
    if version.store is StoreMode.COPY:
        try:
            store.remove(version.url)
        except StorageUnavailable as exc:
            raise StorageUnavailable(f"{version.id} is deleted, but its files are left: {exc}; {LEFT}") from exc


def download(
    registry: Registry,
    open_version: Callable[[ModelVersion], AbstractContextManager[FileTree]],
    version: ModelVersion,
    destination: AbstractContextManager[OpenSink],
    progress: Callable[[int], None],
) -> Sequence[FileDigest]:
    """Write the files of *version* to *destination* and return them; each is compared with its digest on the way. Whether they
    may be taken is the caller's to ask (`check_served`).

    Raises:
        StorageUnavailable: a file is gone or is not what was registered; nothing is left at the destination.
        TreeError: the files could not be opened or read.
    """
    files = registry.files(version.id)
    wanted = {file.path for file in files}
    with open_version(version) as tree, destination as open_sink:
        entries = [entry for entry in tree.files() if entry.path in wanted]
        _check_there(version, wanted - {entry.path for entry in entries})
        manifest, _ = read_once(tree, entries, open_sink, lambda entry: None, progress)
        _check_equal(version, {file.path for file in set(files) ^ set(manifest.files)})
    return files


def links(
    registry: Registry,
    open_version: Callable[[ModelVersion], AbstractContextManager[FileTree]],
    version: ModelVersion,
    seconds: int,
) -> Sequence[tuple[FileDigest, str]]:
    """Return the files of *version*, each with a link with which anybody may read it for *seconds*.

    The files are listed and not read, so who follows a link is to compare what comes with the digest.

    Raises:
        Quarantined: the version is not to be served: whoever has a link could serve it.
        RejectedEvent: the version is kept where no links can be given.
        StorageUnavailable: a file is gone, or has another size than was registered.
        TreeError: the files could not be listed.
    """
    check_served(version)
    files = registry.files(version.id)
    with open_version(version) as tree:
        if not isinstance(tree, GivesLinks):
            raise RejectedEvent(f"{version.id} is kept at {version.url}: links are given for what is on object storage alone")
        there = {entry.path: entry.size for entry in tree.files()}
        _check_there(version, {file.path for file in files} - there.keys())
        _check_equal(version, {file.path for file in files if file.size != there[file.path]})
        return [(file, tree.link(file.path, seconds)) for file in files]


def _check_there(version: ModelVersion, gone: Collection[str]) -> None:
    if gone:
        raise StorageUnavailable(f"{version.id}: {_counted(gone)} gone; `modelport doctor` tells what is missing, {AGAIN}")


def _check_equal(version: ModelVersion, changed: Collection[str]) -> None:
    if changed:
        raise StorageUnavailable(f"{version.id}: {_counted(changed)} not what was registered; {AGAIN}")


def _counted(paths: Collection[str]) -> str:
    """Return how many files *paths* are and the first of their names, up to the verb: `2 files (a, b) are`."""
    named = ", ".join(readable(path) for path in sorted(paths)[:MOST_NAMED])
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    return f"{len(paths)} file{'' if len(paths) == 1 else 's'} ({named}{more}) {'is' if len(paths) == 1 else 'are'}"


def _still(version: ModelVersion, changed: ModelVersion | None) -> ModelVersion:
    if changed is None:
        raise NotFound(f"{version.id} was deleted meanwhile")
    return changed
