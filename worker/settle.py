"""Whether a tree has come to rest: two looks at it, what the event named, and a clock.

In goes what was listed, now and before; out comes a decision. Nobody sleeps here: the caller waits and looks again. Whether
what came to rest is also whole is for the detectors to prove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from detectors.tree import FileEntry, Passed, readable
from worker.records import FileDigest, Look, NamedFile, Rest

MARKERS = frozenset({"_SUCCESS", "commit_success.txt", ".complete"})
"""Files at the top that a writer leaves when all others are there. Source: Hadoop's committer; Orbax on object storage.

One that is older than another file is of an earlier run into the same folder, and says nothing.
"""


BROKEN_PER_QUIET, BROKEN_SECONDS = 12, 60.0
"""How many quiet periods the files must have rested where no whole model is seen among them, and the most seconds of that.

A model whose writer pauses in its middle looks like a broken one, or like none.
"""


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing has changed for the quiet period, or the writer said that it is done."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after *seconds* and compare with *since*; *reason* says what is still moving."""

    seconds: float
    reason: str
    since: Rest


def settle(before: Rest | None, now: Look, quiet_seconds: float, named: Sequence[NamedFile] = ()) -> Settled | Wait:
    """Return whether the tree has rested for *quiet_seconds*.

    It has when an earlier, equal listing is that old; or at the first look, when every file says that it last changed that
    long ago. A file that says nothing, or claims to come from the future, is looked at twice, and so is an empty tree.
    Where the event has *named* files, they alone decide: each there with its size is settled at once (their digests are
    compared when they are read, by `first_contradicted`). So is a tree whose newest file is a marker. Otherwise a file that is
    still being uploaded is waited for.
    """
    seen = rest_of(now)
    if named:
        missing = _first_missing(now.entries, named)
        return Settled() if missing is None else Wait(quiet_seconds, missing, seen)
    if _is_marked(now.entries):
        return Settled()
    unfinished = next((one for one in now.passed_over if one.why is Passed.UNFINISHED), None)
    if unfinished is not None:
        return Wait(quiet_seconds, f"{readable(unfinished.path)} {unfinished.reason}", seen)
    if before is None:
        rest = max((_rest(entry, now.file_time, quiet_seconds) for entry in now.entries), default=quiet_seconds)
        return Settled() if rest <= 0 else Wait(rest, "files changed a moment ago", seen)
    if before.digest != seen.digest:
        return Wait(quiet_seconds, f"still changing: {_size(before)} before, {_size(seen)} now", seen)
    rest = quiet_seconds - (now.at - before.at)
    return Settled() if rest <= 0 else Wait(rest, "waiting for a second look", before)


def rest_of_broken(now: Look, quiet_seconds: float, most_seconds: float, named: Sequence[NamedFile] = ()) -> float:
    """Return how many seconds settled files must still rest before they are taken for a broken model, or for none.

    At most *most_seconds*. None where the writer said that it is done, or the files do not say when they changed (storage
    that keeps no times takes whole objects only) or claim to come from the future.
    """
    if named or _is_marked(now.entries):
        return 0.0
    wanted = min(max(quiet_seconds, min(BROKEN_PER_QUIET * quiet_seconds, BROKEN_SECONDS)), most_seconds)
    ages = (now.file_time - entry.changed for entry in now.entries if entry.changed is not None)
    return max((wanted - age for age in ages if age >= 0), default=0.0)


def have_rested(now: Look, seconds: float) -> bool:
    """Tell whether every file says that it last changed at least *seconds* ago."""
    return all(_rest(entry, now.file_time, seconds) <= 0 for entry in now.entries)


def rest_of(look: Look) -> Rest:
    """Return what is kept of *look* to compare the next one with."""
    hasher = hashlib.sha256()
    for entry in look.entries:
        hasher.update(f"{entry.path}\0{entry.size}\0{entry.version}\0".encode("utf-8", "surrogateescape"))
    for passed in look.passed_over:
        hasher.update(f"{passed.path}\0{passed.why}\0{passed.reason}\0".encode("utf-8", "surrogateescape"))
    return Rest(look.at, hasher.hexdigest(), len(look.entries), sum(entry.size for entry in look.entries))


def first_contradicted(kept: Iterable[FileDigest], named: Sequence[NamedFile]) -> str | None:
    """Return how the content of the first *named* file differs from what its sender said, None where all *kept* ones agree.

    A file may have its full size long before its last byte is written: only its digest says that it is there.
    """
    found = {file.path: file.sha256 for file in kept}
    for file in named:
        if file.sha256 is not None and found.get(file.path) != file.sha256:
            return f"{readable(file.path)}: expected SHA-256 {file.sha256}, found {found.get(file.path, 'no such file')}"
    return None


def _is_marked(entries: Sequence[FileEntry]) -> bool:
    """Tell whether a marker is there and nothing changed after it, as far as the files say when they changed."""
    if all(entry.path not in MARKERS for entry in entries):
        return False
    marked = max((entry.changed for entry in entries if entry.path in MARKERS and entry.changed is not None), default=inf)
    return all(entry.changed is None or entry.changed <= marked for entry in entries)


def _first_missing(entries: Sequence[FileEntry], named: Sequence[NamedFile]) -> str | None:
    """Return what the first named file that is not there in its size still lacks, None where all are there."""
    sizes = {entry.path: entry.size for entry in entries}
    for file in named:
        if sizes.get(file.path) != file.size:
            found = f"found {sizes[file.path]}" if file.path in sizes else "found no such file"
            return f"{readable(file.path)}: expected {file.size} bytes, {found}"
    return None


def _rest(entry: FileEntry, now: float, quiet_seconds: float) -> float:
    """Return how many seconds *entry* must still rest; at most the whole quiet period."""
    if entry.changed is None or entry.changed > now:
        return quiet_seconds
    return quiet_seconds - (now - entry.changed)


def _size(rest: Rest) -> str:
    return f"{rest.files} files of {rest.size_bytes} bytes"
