"""Whether the files of a version are still those that were registered, looked at where they are kept; pure but for the reading.

A look lists them and compares names, sizes, and what the storage says of when they were written (`mark_of`). Only with digests
is their content read. Storage that does not answer says nothing of the files: what was found before stands.

Laws (each has a test of the same name):
    what could not be looked at is never fine;
    a failed look takes back nothing that was found;
    bytes that were found wrong are fine again only byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from detectors.errors import TreeChanged, TreeError
from detectors.local_tree import written
from detectors.tree import FileEntry, FileTree, readable
from worker.errors import NothingStored, NothingThere, RejectedLocation, StorageUnavailable
from worker.manifest import read_once
from worker.records import DRIFTED, Condition, FileDigest, FilesSeen, ModelVersion, StoreMode

OpenVersion = Callable[[ModelVersion], AbstractContextManager[FileTree]]
"""Opens the files of a version, wherever they are kept."""


def nowhere(version: ModelVersion) -> AbstractContextManager[FileTree]:
    """Be the `OpenVersion` of who looks at no files.

    Raises:
        StorageUnavailable: always.
    """
    raise StorageUnavailable(f"{version.url}: nobody said how to reach it")


MOST_NAMED = 3
"""Files that a sentence names."""

WRONG = "-"
"""The mark of files whose names and sizes are right and whose bytes are not: no listing has it."""


STILL_WRONG = "its bytes were found to be others than were registered; only the digests tell whether they are right again"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look found: condition, sentence, and the mark of the listing, None where it says nothing of the content."""

    condition: Condition
    says: str
    mark: str | None = None


def mark_of(entries: Iterable[FileEntry]) -> str:
    """Return a digest of names, sizes and times of writing (ETags on object storage); the same again means: nothing written."""
    hasher = hashlib.sha256()
    for entry in sorted(entries):
        hasher.update(f"{entry.path}\0{entry.size}\0{written(entry.version)}\0".encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()


def look(
    version: ModelVersion,
    files: Sequence[FileDigest],
    open_version: OpenVersion,
    with_digests: bool = False,
    progress: Callable[[int], object] = lambda count: None,
) -> Seen:
    """Return how the files of *version*, registered as *files*, are now. Reads them only *with_digests*, each once."""
    try:
        with open_version(version) as tree:
            paths = {file.path for file in files}
            listed = list(tree.files())
            entries = [entry for entry in listed if entry.path in paths]
            seen = _listed(version, files, entries, len(listed) - len(entries))
            if with_digests and seen.condition not in (Condition.MISSING, Condition.CHANGED):
                return _read(files, tree, entries, progress)
            return seen
    except (NothingThere, NothingStored) as exc:
        return Seen(Condition.MISSING, str(exc))
    except TreeChanged as exc:
        return Seen(Condition.CHANGED, f"changed while it was looked at: {exc}")
    except (StorageUnavailable, RejectedLocation, TreeError) as exc:
        return Seen(Condition.UNREACHABLE, f"could not be looked at: {exc}")


def noted(before: FilesSeen | None, known_mark: str | None, seen: Seen, now: datetime) -> tuple[FilesSeen, str | None]:
    """Return what is noted of a look that found *seen*, after what was noted *before*, and the mark for the next one."""
    if seen.condition is Condition.UNREACHABLE and before is not None and before.condition in DRIFTED:
        return replace(before, looked=now, trouble=seen.says), known_mark
    if seen.condition is Condition.TOUCHED and known_mark == WRONG:
        at = before.at if before is not None and before.condition is Condition.CHANGED else now
        return FilesSeen(Condition.CHANGED, STILL_WRONG, at, now), known_mark
    return FilesSeen(seen.condition, seen.says, now, now), seen.mark or known_mark


def _listed(version: ModelVersion, files: Sequence[FileDigest], entries: Sequence[FileEntry], others: int) -> Seen:
    """Return what the listing alone says: *entries* are those of its *files*; beside a copy nobody puts *others*."""
    sizes = {entry.path: entry.size for entry in entries}
    gone = [file.path for file in files if file.path not in sizes]
    if gone:
        return Seen(Condition.MISSING, f"{_counted(gone, len(files))} gone")
    other = [file.path for file in files if file.size != sizes[file.path]]
    if other:
        return Seen(Condition.CHANGED, f"{_counted(other, len(files))} of another size")
    if others and version.store is StoreMode.COPY:
        return Seen(Condition.CHANGED, f"{others} of {others + len(entries)} files were never registered")
    mark = mark_of(entries)
    if version.mark in (None, mark):
        compared = "names and sizes" if version.mark is None else "names, sizes and times"
        return Seen(Condition.FINE, f"as registered, by {compared}", mark)
    return Seen(Condition.TOUCHED, "written since, with the names and sizes that were registered; only the digests tell more")


def _read(files: Sequence[FileDigest], tree: FileTree, entries: Sequence[FileEntry], progress: Callable[[int], object]) -> Seen:
    """Return what the bytes say, each read once."""
    manifest, _ = read_once(tree, entries, None, lambda entry: None, progress)
    found = set(manifest.files)
    wrong = [file.path for file in files if file not in found]
    if wrong:
        return Seen(Condition.CHANGED, f"{_counted(wrong, len(files))} of other bytes", WRONG)
    return Seen(Condition.FINE, "as registered, byte for byte", mark_of(entries))


def _counted(paths: Sequence[str], whole: int) -> str:
    named = ", ".join(readable(path) for path in sorted(paths)[:MOST_NAMED])
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    return f"{len(paths)} of {whole} file{'' if whole == 1 else 's'} ({named}{more}) {'is' if len(paths) == 1 else 'are'}"
