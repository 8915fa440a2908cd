"""The store below a folder of this machine: plain files that any tool can read.

In go the bytes of a version, file by file; out come URLs and trees. Files are written to `.incoming` beside the place where
they will be, synced, and shown by one rename to `model`: whoever sees `model` sees all of it, after a power cut too.
Which versions there should be is left to the registry.

Laws (each has a test of the same name):
    a process that is killed at any moment leaves nothing visible, or everything;
    an operation of the system that fails leaves nothing visible;
    a version that is written anew is there all the time, as it was or as it is now;
    nothing is written or removed outside the version's own folder.

The files are read-only from the start. A version never changes, so an open for writing is a mistake, and fails as one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from detectors.errors import TreeError
from detectors.local_tree import LocalTree
from detectors.tree import FileEntry, readable
from worker.errors import NothingStored, StorageUnavailable
from worker.ports import Alive, OpenSink, Sink, silent
from worker.records import StoreKey
from worker.storage.folders import empty, folder_names, made, opened, opened_folder, remove_folder, sync
from worker.storage.layout import MODEL, PREFIX_PARTS, Parts, file_parts, is_part, parts_of, prefix_parts, url_of

INCOMING, OUTGOING = ".incoming", ".outgoing"
"""The folders of a version in which its files lie while they are being written, and while they are being removed."""

FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE = 0o444

WRITEBACK_BYTES = 64 << 20
"""How often what was written is synced, so that no call, not even the last one of a file, waits for the disk to take more than
this: a sign of life follows each. A disk of 2 MB/s takes half a minute for it, which is healthy.

Measured on 1.5 GB beside other work: 4.1 and 5.1 s, where the disk was only told to begin 7.3 and 8.7 s; no call took more than
a quarter of a second.
"""

MAKE_TRIES = 10
"""How often the folders above a version are made, should another version's removal take an empty one away meanwhile."""

ADVICE = {
    errno.ENOSPC: "free space on the disk of the store, or give it a larger one",
    errno.EDQUOT: "raise the quota of the user that runs the worker, or remove versions",
    errno.EROFS: "mount the disk of the store for writing",
    errno.EACCES: "let the user that runs the worker write there",
    errno.EPERM: "let the user that runs the worker write there",
    errno.EIO: "the disk reports an error; look into the system's log",
    errno.ENAMETOOLONG: "the file system of the store takes no name this long",
    errno.EMFILE: "let the worker open more files",
}
OTHER_ADVICE = "see that the folder of the store is there and can be written to"


class LocalStore:
    """The versions below the folder *root*, which is made when it is first needed. Processes may share it."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.path.abspath(root)
        self._root_url = Path(self._root).as_uri()

    @contextmanager
    def writing(
        self, key: StoreKey, size_bytes: int = 0, alive: Alive = silent, earlier: Sequence[str] = ()
    ) -> Iterator[OpenSink]:
        """See `worker.ports.Store`. Each file is synced when its sink closes, the folders when the context ends."""
        parts = prefix_parts(key)
        self._check_room(size_bytes)
        try:
            with self._incoming(parts) as incoming:
                yield incoming.open
                incoming.publish(alive)
        except BaseException:
            self._prune(parts)
            raise

    def takes_up(self) -> bool:
        """Say no: all must be read anew, and to write it takes no longer; half a copy less leaves room for the next."""
        return False

    def url(self, key: StoreKey) -> str:
        """Return the `file://` URL of the version's `model` folder."""
        return url_of(self._root_url, prefix_parts(key))

    def opened(self, url: str) -> LocalTree:
        """Return the files of the version at *url*; the tree is closed when its context ends.

        Raises:
            NothingStored: there is nothing.
            StorageUnavailable: *url* is not one of this store, or it may not be read, or the store itself is not there.
        """
        path = self._path(parts_of(self._root_url, url))
        is_between = not os.path.lexists(os.path.join(path, MODEL)) and os.path.lexists(os.path.join(path, OUTGOING))
        try:
            return LocalTree(os.path.join(path, OUTGOING if is_between else MODEL))
        except TreeError as exc:
            is_gone = not os.path.lexists(os.path.join(path, MODEL)) and os.path.isdir(self._root)
            raise (NothingStored if is_gone else StorageUnavailable)(f"{url}: {exc.reason}") from exc

    def remove(self, url: str) -> None:
        """Remove the files of the version at *url*, finished or not, and the folders above that are empty then.

        Raises:
            StorageUnavailable: *url* is not one of this store, or they could not be removed. What is left is not visible, or
                still whole.
        """
        parts = parts_of(self._root_url, url)
        gone = suppress(FileNotFoundError)
        with _translated(self._path(parts)), gone, self._opened_root() as root, opened(root, parts) as version:
            _vacate(version)
        self._prune(parts)

    def prefixes(self) -> Iterable[tuple[str, str]]:
        """Return (version id, URL) of every version's folder, in no order; an empty one counts too. Reads no file.

        Version ids are letters and digits, so the folder bears the very id. Folders that no key leads to are passed over.
        """
        with _translated(self._root):
            return [(parts[-1], url_of(self._root_url, parts)) for parts in self._versions()]

    def _versions(self) -> list[Parts]:
        level: list[Parts] = [()]
        with suppress(FileNotFoundError), self._opened_root() as root:
            for _ in range(PREFIX_PARTS):
                level = [(*parts, name) for parts in level for name in _part_names(root, parts)]
            return level
        return []

    @contextmanager
    def _incoming(self, parts: Parts) -> Iterator[_Incoming]:
        """Begin the version at *parts* anew, beside its old files; what an error leaves of the new ones is removed."""
        with ExitStack() as handles:
            with _translated(self._path(parts)):
                self._make_root()
                root = handles.enter_context(self._opened_root())
                version = _enter_version(handles, root, parts)
                for depth in range(PREFIX_PARTS):
                    with opened(root, parts[:depth]) as above:
                        sync(above)
                remove_folder(version, INCOMING)
                folder = handles.enter_context(made(version, [INCOMING]))
            incoming = _Incoming(self._path(parts), version, folder)
            try:
                yield incoming
            except BaseException:
                incoming.discard()
                raise

    def _make_root(self) -> None:
        """Make the root where it is not there. Before the first version is in it, see that its own name is durable.

        So are the names of the folders above it on the same file system; the process that made them may have been killed.
        Those that may not be opened are not ours.
        """
        if not os.path.isdir(self._root):
            os.makedirs(self._root, exist_ok=True)
        root = os.path.realpath(self._root)
        if os.listdir(root):
            return
        disk = os.stat(root).st_dev
        for folder in takewhile(lambda above: os.stat(above).st_dev == disk, Path(root).parents):
            with suppress(PermissionError), opened_folder(folder) as handle:
                sync(handle)

    @contextmanager
    def _opened_root(self) -> Iterator[int]:
        """Give the handle of the root, which, unlike anything below it, may be a link."""
        with opened_folder(Path(self._root)) as handle:
            yield handle

    def _check_room(self, size_bytes: int) -> None:
        """Raise where the disk has less room than a version of *size_bytes* takes; a sparse terabyte is one too."""
        there = next(folder for folder in (Path(self._root), *Path(self._root).parents) if folder.exists())
        with _translated(self._root):
            disk = os.statvfs(there)
        free = disk.f_bavail * disk.f_frsize
        if size_bytes > free:
            raise StorageUnavailable(
                f"{self._root}: a copy takes {size_bytes} bytes, {free} are free; {ADVICE[errno.ENOSPC]},"
                " or let the files be referenced where they are (MODELPORT_STORE_MODE)"
            )

    def _prune(self, parts: Parts) -> None:
        """Remove the folders of a version and those above it as far as they are empty, from below."""
        above = [parts[:depth] for depth in range(PREFIX_PARTS, 0, -1)]
        with suppress(OSError), self._opened_root() as root:
            for *way, name in [(*parts, INCOMING), (*parts, OUTGOING), (*parts, MODEL), *above]:
                with suppress(OSError), opened(root, way) as folder:
                    os.rmdir(name, dir_fd=folder)

    def _path(self, parts: Parts) -> str:
        return os.path.join(self._root, *parts)


class _Incoming:
    """A version that is being written: *version* is the handle of its folder, *folder* the one of `.incoming` in it."""

    def __init__(self, path: str, version: int, folder: int) -> None:
        self._path = path
        self._version = version
        self._folder = folder
        self._made: set[Parts] = {()}
        self._unfinished: set[str] = set()

    @contextmanager
    def open(self, entry: FileEntry) -> Iterator[Sink]:
        """Give the sink of one file; the bytes are durable when the context ends. A file that fails spoils the version."""
        place = f"{self._path}/{INCOMING}/{entry.path}"
        *above, name = file_parts(entry.path)
        self._unfinished.add(entry.path)
        with _translated(place):
            handle = self._create(tuple(above), name)
        try:
            yield _FileSink(handle, place)
            with _translated(place):
                os.fsync(handle)
        finally:
            os.close(handle)
        self._unfinished.remove(entry.path)

    def _create(self, above: Parts, name: str) -> int:
        if above in self._made:
            way = opened(self._folder, above)
        else:
            way = made(self._folder, above)
            self._made.update(above[:depth] for depth in range(1, len(above) + 1))
        with way as folder:
            return os.open(name, FILE_FLAGS, FILE_MODE, dir_fd=folder)

    def publish(self, alive: Alive) -> None:
        """Make the names of all files durable, and then the version visible; *alive* is called for each folder.

        Raises:
            StorageUnavailable: also where another process began the same version anew, and has the place now.
        """
        if self._unfinished:
            raise StorageUnavailable(f"{self._path}: {readable(min(self._unfinished))} was not written to its end")
        with _translated(self._path):
            for parts in self._made:
                with opened(self._folder, parts) as folder:
                    sync(folder)
                alive()
            if not os.path.samestat(os.fstat(self._folder), os.stat(INCOMING, dir_fd=self._version, follow_symlinks=False)):
                raise StorageUnavailable(f"{self._path}: another process began to write the same version")
            _hide(self._version)
            _rename(self._version, INCOMING, MODEL)
            try:
                sync(self._version)
            except BaseException:
                _rename(self._version, MODEL, INCOMING)
                _show_again(self._version)
                raise
            remove_folder(self._version, OUTGOING)

    def discard(self) -> None:
        """Remove what was written. It goes by the handle, so that what another process put there meanwhile stays."""
        with suppress(OSError):
            empty(self._folder)


class _FileSink:
    """Appends to an open file, and syncs it now and then."""

    __slots__ = ("_handle", "_place", "_synced", "_written")

    def __init__(self, handle: int, place: str) -> None:
        self._handle = handle
        self._place = place
        self._written = self._synced = 0

    def write(self, data: bytes) -> None:
        """Append all of *data*; the system may take it in several pieces."""
        with _translated(self._place):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            self._written += len(data)
            if self._written - self._synced >= WRITEBACK_BYTES:
                self._sync()

    def _sync(self) -> None:
        """Make what was written durable, and say that it is not read again soon, so that it need not stay in memory."""
        os.fsync(self._handle)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._handle, self._synced, self._written - self._synced, os.POSIX_FADV_DONTNEED)
        self._synced = self._written


@contextmanager
def _translated(place: str) -> Iterator[None]:
    """Turn an error of the system at *place* into StorageUnavailable with a word on what to do."""
    try:
        yield
    except OSError as exc:
        advice = ADVICE.get(exc.errno or 0, OTHER_ADVICE)
        raise StorageUnavailable(f"{readable(place)}: {exc.strerror or exc}; {advice}") from exc


def _enter_version(handles: ExitStack, root: int, parts: Parts) -> int:
    """Return the handle of a version's folder, made where it is not there, and owned by *handles*."""
    for _ in range(MAKE_TRIES - 1):
        with suppress(FileNotFoundError):
            return handles.enter_context(made(root, parts))
    return handles.enter_context(made(root, parts))


def _vacate(version: int) -> None:
    """Remove the files of a version. A finished one is hidden first, so that half of it is never seen."""
    remove_folder(version, INCOMING)
    with suppress(FileNotFoundError):
        _rename(version, MODEL, INCOMING)
    remove_folder(version, INCOMING)
    remove_folder(version, OUTGOING)


def _hide(version: int) -> None:
    """Put the files of a finished version aside, where there are any; they can still be opened."""
    with suppress(FileNotFoundError):
        os.stat(MODEL, dir_fd=version, follow_symlinks=False)
        remove_folder(version, OUTGOING)
        _rename(version, MODEL, OUTGOING)


def _show_again(version: int) -> None:
    """Take back what `_hide` did."""
    with suppress(OSError):
        _rename(version, OUTGOING, MODEL)


def _rename(folder: int, before: str, after: str) -> None:
    os.rename(before, after, src_dir_fd=folder, dst_dir_fd=folder)


def _part_names(root: int, parts: Parts) -> list[str]:
    """Return the folders below *parts* that a key may lead to; none where it is gone."""
    with suppress(FileNotFoundError), opened(root, parts) as folder:
        return [name for name in folder_names(folder) if is_part(name)]
    return []
