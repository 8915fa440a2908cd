"""Opens the place that a location names, on disk or on object storage, and nothing outside of its root.

In goes a location; out comes a tree, or what is in the way, in words. On disk a root is kept to by walking from it without
following a link; on object storage a key leads nowhere else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from detectors.errors import TreeError, TreeUnavailable, Unreadable
from detectors.follow import follow
from detectors.open import open_path
from detectors.scan import Scan, scan
from detectors.tree import FileTree, readable
from worker import filesystems
from worker.errors import NothingThere, RejectedLocation, WorkerError
from worker.explain import Neighbours
from worker.records import Location
from worker.s3_url import is_s3, parse_s3
from worker.storage.s3.client import S3Connection
from worker.storage.s3.open import open_s3

MAX_NEIGHBOURS = 10_000
"""Names that are looked at to tell what may have been meant."""

MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""What the system says of a path that leads to nothing."""


@contextmanager
def open_location(
    location: Location, look: Callable[[FileTree], Scan] = scan, connection: S3Connection | None = None
) -> Iterator[FileTree]:
    """Open the files at *location*; *look* scans a lone file, as in `open_path`. Object storage is reached by *connection*.

    Where it has a root, they are opened from there without following a link, so that nothing outside is even listed,
    whatever is swapped for a link meanwhile. Of a link that leads out nobody learns what it names, or whether that is there.

    Raises:
        NothingThere: there is nothing there.
        RejectedLocation: a link leads out of the allowed root.
        TreeError: it may not be read, or the storage did not answer.
    """
    if is_s3(location.path):
        assert connection is not None, "object storage is reached by a connection"
        root = None if location.root is None else parse_s3(location.root)
        opened = open_s3(connection, parse_s3(location.path), look, root)
    elif location.root is not None:
        opened = open_path(_real_path(location, location.root), beneath=os.path.realpath(location.root), look=look)
    elif os.path.lexists(location.path):
        opened = open_path(location.path, look=look)
    else:
        raise _nothing_at(location)
    with opened as tree:
        yield tree


def neighbours(location: Location) -> Neighbours | None:
    """Return the nearest folder above *location* that is there, and at most `MAX_NEIGHBOURS` names in it. None where there is
    none that may be looked into, and for object storage. Nothing outside of the root is listed.
    """
    if is_s3(location.path):
        return None
    top = Path(location.root or "/")
    for folder in Path(location.path).parents:
        if folder != top and top not in folder.parents:
            return None
        with suppress(OSError):
            real = str(folder) if location.root is None else follow(location.root, os.path.relpath(folder, location.root))
            with os.scandir(real) as entries:
                return Neighbours(str(folder), [entry.name for entry in islice(entries, MAX_NEIGHBOURS)])
    return None


def _real_path(location: Location, root: str) -> str:
    """Return where *location* really is, in *root*. Nothing outside is looked up.

    Raises:
        NothingThere, RejectedLocation, TreeError: as `open_location`.
    """
    try:
        return follow(root, os.path.relpath(location.path, root))
    except OSError as exc:
        raise _without_way(location, root, exc) from exc


def _without_way(location: Location, root: str, exc: OSError) -> WorkerError | TreeError:
    """Return what *exc*, met on the way from *root* to *location*, means."""
    path = readable(location.path)
    if exc.errno == errno.EXDEV:
        return RejectedLocation(f"{path} leads through a link to a place outside the allowed root {readable(root)}")
    if exc.errno in MISSING:
        return _nothing_at(location)
    if exc.errno in (errno.EACCES, errno.EPERM):
        return Unreadable("", f"{path}: a folder on the way may not be entered: {exc.strerror}")
    return TreeUnavailable("", f"{path} could not be looked up: {exc.strerror}")


def _nothing_at(location: Location) -> NothingThere:
    return NothingThere(f"{readable(location.path)}: there is nothing at this path")


def is_on_network(location: Location) -> bool:
    """Tell whether the files at *location* come over a network, where a change may be seen late or file by file."""
    return is_s3(location.path) or filesystems.is_network(Path(_known_path(location)))


def holds(location: Location, own: str) -> bool:
    """Tell whether *own*, a folder or a place on object storage, lies at *location* or below it.

    Raises:
        NothingThere, RejectedLocation, TreeError: as `open_location`.
    """
    if is_s3(location.path) or is_s3(own):
        return f"{own}/".startswith(f"{location.path}/")
    place = os.path.realpath(location.path) if location.root is None else _real_path(location, location.root)
    return Path(os.path.realpath(own)).is_relative_to(place)


def lies_in(location: Location, own: str) -> bool:
    """Tell whether *location* is in *own*, a folder or a place on object storage, or is it.

    Raises:
        NothingThere, RejectedLocation, TreeError: as `open_location`.
    """
    if is_s3(location.path) or is_s3(own):
        return f"{location.path}/".startswith(f"{own}/")
    place = os.path.realpath(location.path) if location.root is None else _real_path(location, location.root)
    return Path(place).is_relative_to(os.path.realpath(own))


def _known_path(location: Location) -> str:
    """Return a path on the file system of *location*: that of its root, where a link leads out or nobody can say."""
    if location.root is None:
        return location.path
    try:
        return _real_path(location, location.root)
    except NothingThere:
        return location.path
    except (RejectedLocation, TreeError):
        return location.root
