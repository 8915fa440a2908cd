"""The tree on a disk: lists a folder and reads its files, and never follows a link.

In goes the path of a folder, out come the two methods of `FileTree`. Everything is listed, hidden files and folders too:
what belongs to a model is for the detectors to say. What vanishes while a listing runs is not listed; whether a tree has
come to rest is for the caller to find out by listing it twice. A tree may be read from several threads at once.

Laws (each has a test of the same name):
    no byte from outside the root is ever read, whatever is swapped for a link in the meantime;
    reading never waits for anything but the disk;
    a tree keeps at most `MAX_OPEN_FILES` files open, and none after `close`.

A change that leaves size, inode and both times as they were cannot be seen; on older kernels a second write within the
same tick of the clock (4 ms) is such a change. The settling period of the caller is longer than that.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from operator import attrgetter
from threading import Lock
from types import TracebackType
from typing import Self

from detectors.beneath import FILE_FLAGS, FOLDER_FLAGS, PASSAGE_FLAGS, open_beneath
from detectors.errors import TreeChanged, TreeError, TreeLimit, TreeUnavailable, Unreadable
from detectors.tree import MAX_FILES, FileEntry, Passed, PassedOver, check_range, readable

MAX_NAMES_PER_FILE = 2
"""Names of any kind (files, folders, links, …) that a listing may meet, as a multiple of the files it may hold."""

MAX_PATH_BYTES = 256 << 20
"""Characters of all paths of a listing together. Bounds memory and, since each folder is opened by its path, the depth."""

MAX_LINK_HOPS = 40
"""Links that one link may lead through. Source: Linux, path_resolution(7)."""

MAX_LINK_STEPS = 2_000_000
"""Names that the kernel looks up in one listing to learn where its links lead; seconds. Later links count as outside."""

MAX_OPEN_FILES = 16
"""Files kept open between reads."""

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ESRCH})
"""ESRCH: a file of /proc whose process has ended."""

SWAPPED = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EXDEV})
"""What the opening of a folder without following links says where something else has taken its place."""

REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENODEV, errno.EINVAL})
"""ENXIO and ENODEV: a socket or a device that nobody serves has taken the place of the file. EINVAL: a file of /proc or /sys
that is none to be read like this."""


class LocalTree:
    """The regular files below a folder of this machine, seen through one handle that is opened once.

    *root* itself may be reached through links; below it none is followed. Where it is to lie *beneath* a folder, which then
    may be reached through links, none is followed on the way from there either; both are absolute names without links, as
    `os.path.realpath` gives them. Use it as a context manager, or `close` it.

    Raises:
        Unreadable: *root* is not a folder, may not be listed, or does not lie where it is to.
        TreeChanged: a folder on the way from *beneath* was swapped for a link.
        TreeUnavailable: there is nothing at *root*, or the storage did not answer.
    """

    def __init__(self, root: str | os.PathLike[str], max_files: int = MAX_FILES, beneath: str | None = None) -> None:
        self._handle = -1
        self._name = os.fspath(root)
        self._handle = _open_root(self._name) if beneath is None else _open_root_beneath(beneath, self._name)
        self._max_files = max_files
        self._only: str | None = None
        self._listed: dict[str, FileEntry] = {}
        self._passed_over: tuple[PassedOver, ...] = ()
        self._open = _OpenFiles()

    @classmethod
    def of_file(cls, path: str | os.PathLike[str], beneath: str | None = None) -> Self:
        """Return the tree that holds the one file at *path*, under its own name; its neighbours are not listed."""
        folder, name = os.path.split(os.fspath(path))
        tree = cls(folder or ".", beneath=beneath)
        tree._only = name
        return tree

    def files(self) -> Iterator[FileEntry]:
        """Yield every regular file, sorted by path. The whole listing is made before the first file comes out.

        Makes one system call per name and none per byte; 100,000 files take about half a second.

        Raises:
            TreeUnavailable: the storage did not answer.
            TreeLimit: there are more files than allowed, or a limit of this module was reached.
            ValueError: the tree is closed.
        """
        listing = _Listing(self._root(), self._max_files)
        try:
            listing.run(self._only)
        except OSError as exc:
            raise TreeUnavailable("", f"{readable(self._name)} could not be listed: {exc.strerror}") from exc
        entries = sorted(listing.files, key=attrgetter("path"))
        self._listed = {entry.path: entry for entry in entries}
        self._passed_over = tuple(sorted(listing.passed_over, key=attrgetter("path")))
        return iter(entries)

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """What the last complete listing passed over, sorted by path."""
        return self._passed_over

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of the file *path*; shorter only at the end of the file.

        The file must be the one that was listed: when it is opened, before anything is read of it, and after each read.

        Raises:
            ValueError: the range is negative or reversed, or the tree is closed.
            TreeChanged: the file is not the one that was listed, or was never listed.
            TreeUnavailable: the storage did not answer.
            Unreadable: this file may not be read, is no regular file any more, or has fewer bytes than it claims, as in /sys.
        """
        check_range(start, stop)
        entry = self._listed.get(path)
        if entry is None:
            raise TreeChanged(path, "is not in the listing of this tree")
        try:
            return self._read(entry, start, min(stop, entry.size))
        except OSError as exc:
            raise _translated(path, exc) from exc

    def close(self) -> None:
        """Close every descriptor; the tree cannot be used afterwards. Closing twice is harmless."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)
            self._open.close()

    def _root(self) -> int:
        if self._handle < 0:
            raise ValueError("the tree is closed")
        return self._handle

    def _read(self, entry: FileEntry, start: int, stop: int) -> bytes:
        descriptor = self._open.take(entry.path)
        is_new = descriptor is None
        if descriptor is None:
            descriptor = open_beneath(self._root(), entry.path, FILE_FLAGS)
        try:
            if is_new:
                _check_same(entry, descriptor)
            data = _pread(descriptor, start, stop)
            _check_same(entry, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._open.keep(entry.path, descriptor)
        if len(data) < stop - start:
            raise Unreadable(entry.path, f"claims {entry.size} bytes and ends at {start + len(data)}, though it did not change")
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _open_root(name: str) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ValueError) as exc:
        raise TreeUnavailable("", f"{readable(name)}: expected a folder, found nothing") from exc
    except NotADirectoryError as exc:
        raise Unreadable("", f"{readable(name)}: expected a folder, found a file or a path that leads through one") from exc
    except PermissionError as exc:
        raise Unreadable("", f"{readable(name)} may not be listed: {exc.strerror}") from exc
    except OSError as exc:
        raise TreeUnavailable("", f"{readable(name)} could not be opened: {exc.strerror}") from exc


def _open_root_beneath(base: str, name: str) -> int:
    """Return a handle of the folder *name*, reached from the folder *base* without following a link."""
    way = os.path.relpath(name, base)
    if way.split("/")[0] == "..":
        raise Unreadable("", f"{readable(name)} lies outside {readable(base)}")
    try:
        handle = os.open(base, PASSAGE_FLAGS)
        try:
            return open_beneath(handle, way, os.O_RDONLY | FOLDER_FLAGS)
        finally:
            os.close(handle)
    except OSError as exc:
        if exc.errno in SWAPPED:
            raise TreeChanged("", f"{readable(name)} or a folder above it was swapped for a link or a file") from exc
        if exc.errno in REFUSED:
            raise Unreadable("", f"{readable(name)} may not be listed: {exc.strerror}") from exc
        raise TreeUnavailable("", f"{readable(name)} could not be opened: {exc.strerror}") from exc


def _translated(path: str, exc: OSError) -> TreeError:
    """Return what *exc*, raised while the listed file *path* was read, means for the caller."""
    if exc.errno in GONE:
        return TreeChanged(path, f"was listed and is gone or replaced by a link ({exc.strerror})")
    if exc.errno in REFUSED:
        return Unreadable(path, f"may not be read ({exc.strerror})")
    return TreeUnavailable(path, f"could not be read ({exc.strerror})")


def _version(status: os.stat_result) -> str:
    return "%x-%x-%x" % (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)  # noqa: UP031 - a third of an f-string's time


def written(version: str) -> str:
    """Return the part of a listed file's *version* that changes when its content is written; all of it, where it is not ours.

    That is the time of the last write. Unlike the whole it stays where a file is moved, or put back as it was from a backup.
    """
    found = VERSION.fullmatch(version)
    return version if found is None else found[1]


VERSION = re.compile("[0-9a-f]+-(-?[0-9a-f]+)-[0-9a-f]+")
"""What `_version` gives. An ETag, which may look alike, stands in quotation marks."""


def _check_same(entry: FileEntry, descriptor: int) -> None:
    """Raise unless the open file is still the regular file that was listed."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(entry.path, "was listed as a regular file and is none any more")
    if status.st_size != entry.size:
        raise TreeChanged(entry.path, f"listed with {entry.size} bytes, has {status.st_size} now")
    if _version(status) != entry.version or not status.st_nlink:
        raise TreeChanged(entry.path, "is not the file that was listed: inode or times differ")


def _pread(descriptor: int, start: int, stop: int) -> bytes:
    """Return bytes [start, stop); a system call may give less than asked before the end, so it is asked again."""
    if start >= stop:
        return b""
    data = os.pread(descriptor, stop - start, start)
    if not data or len(data) == stop - start:
        return data
    return data + _pread_rest(descriptor, start + len(data), stop)


def _pread_rest(descriptor: int, start: int, stop: int) -> bytes:
    rest = bytearray()
    while start + len(rest) < stop:
        data = os.pread(descriptor, stop - start - len(rest), start + len(rest))
        if not data:
            break
        rest += data
    return bytes(rest)


class _OpenFiles:
    """Descriptors of files that were read a moment ago, the oldest given up first.

    A descriptor is taken out while it is in use, so that no other thread can close it in the middle of a read.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._descriptors: OrderedDict[str, int] | None = OrderedDict()

    def take(self, path: str) -> int | None:
        """Return the descriptor of *path*, now the caller's, or None."""
        with self._lock:
            return self._descriptors.pop(path, None) if self._descriptors else None

    def keep(self, path: str, descriptor: int) -> None:
        """Take over *descriptor*; whatever is one too many is closed."""
        surplus: int | None = descriptor
        with self._lock:
            if self._descriptors is not None:
                surplus = self._descriptors.pop(path, None)
                self._descriptors[path] = descriptor
                if len(self._descriptors) > MAX_OPEN_FILES:
                    surplus = self._descriptors.popitem(last=False)[1]
        if surplus is not None:
            os.close(surplus)

    def close(self) -> None:
        """Close all descriptors, and later those that are in use now."""
        with self._lock:
            descriptors = list(self._descriptors.values()) if self._descriptors else []
            self._descriptors = None
        for descriptor in descriptors:
            os.close(descriptor)


class _Listing:
    """One pass over a tree: a row of folders still to be listed, never a recursion, and one folder open at a time."""

    def __init__(self, root: int, max_files: int) -> None:
        self._root = root
        self._max_files = max_files
        self._names = 0
        self._path_bytes = 0
        self._pending: list[str] = []
        self._links = _Links(root)
        self._linked: list[tuple[int, int, tuple[int, int]]] = []
        self.files: list[FileEntry] = []
        self.passed_over: list[PassedOver] = []

    def run(self, only: str | None) -> None:
        """List the tree, or just the file *only* at its root."""
        if only is not None:
            self._meet("", only, self._root)
        else:
            self._pending.append("")
        while self._pending:
            self._list_folder(self._pending.pop())
        self._tell_links_inside()

    def _list_folder(self, folder: str) -> None:
        """List the names of one folder; a refusal leaves the whole folder out, and that is remarked on."""
        try:
            descriptor = open_beneath(self._root, folder or ".", os.O_RDONLY | os.O_NONBLOCK | FOLDER_FLAGS)
        except OSError as exc:
            self._forgive(folder, exc)
            return
        prefix = folder and folder + "/"
        try:
            with os.scandir(descriptor) as names:
                for name in names:
                    self._meet(prefix, name.name, descriptor)
        except OSError as exc:
            self._forgive(folder, exc)
        finally:
            os.close(descriptor)

    def _meet(self, prefix: str, name: str, folder: int) -> None:
        """Put one name where it belongs. One system call; two and more for a link."""
        path = prefix + name
        self._count(path)
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as exc:
            self._forgive(path, exc)
            return
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            self._add_file(path, status)
        elif kind == stat.S_IFDIR:
            self._pending.append(path)
        elif kind == stat.S_IFLNK:
            self.passed_over.append(self._links.remark(prefix, name, folder))
        else:
            self.passed_over.append(PassedOver(path, Passed.SPECIAL, "is a FIFO, a socket or a device"))

    def _add_file(self, path: str, status: os.stat_result) -> None:
        is_shared = status.st_nlink > 1
        if is_shared:
            self._linked.append((len(self.files), status.st_nlink, (status.st_dev, status.st_ino)))
        self.files.append(FileEntry(path, status.st_size, _version(status), status.st_ctime, is_shared))
        if len(self.files) > self._max_files:
            raise TreeLimit(path, f"the tree holds more than {self._max_files} files (limit MAX_FILES)")

    def _tell_links_inside(self) -> None:
        """Take the mark from the files whose names were all met: they are shared with nobody outside."""
        met = Counter([file for _, _, file in self._linked])
        for index, names, file in self._linked:
            if met[file] == names:
                self.files[index] = replace(self.files[index], is_shared=False)

    def _count(self, path: str) -> None:
        self._names += 1
        self._path_bytes += len(path)
        if self._names > self._max_files * MAX_NAMES_PER_FILE:
            raise TreeLimit(path, f"the tree holds more than {self._names - 1} names of any kind (limit MAX_NAMES_PER_FILE)")
        if self._path_bytes > MAX_PATH_BYTES:
            raise TreeLimit(path, f"the paths of the tree take more than {MAX_PATH_BYTES} bytes (limit MAX_PATH_BYTES)")

    def _forgive(self, path: str, exc: OSError) -> None:
        """Remark on what may not be listed, and pass over what has vanished; anything else is raised."""
        if exc.errno in REFUSED:
            self.passed_over.append(PassedOver(path, Passed.UNREADABLE, f"may not be listed ({exc.strerror})"))
        elif exc.errno not in GONE:
            raise exc


class _Links:
    """Tells where links lead, by looking up names and without opening anything."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._steps_left = MAX_LINK_STEPS

    def remark(self, prefix: str, name: str, folder: int) -> PassedOver:
        """Return what is to be said about the link *name* in the open *folder*, whose path is *prefix*."""
        try:
            target = os.readlink(name, dir_fd=folder)
        except OSError as exc:
            return PassedOver(prefix + name, Passed.LINK_OUTSIDE, f"a link that cannot be read ({exc.strerror})")
        trouble = self._trouble(prefix.split("/")[:-1], target)
        if trouble is None:
            return PassedOver(prefix + name, Passed.LINK_INSIDE, f"a link to {readable(target)}")
        return PassedOver(prefix + name, Passed.LINK_OUTSIDE, f"a link to {readable(target)}, which {trouble}")

    def _trouble(self, here: list[str], target: str) -> str | None:
        """Return why *target*, seen from the folder *here*, does not lead to something inside, or None where it does."""
        pending: list[str] = []
        for hop in range(MAX_LINK_HOPS):
            if target.startswith("/"):
                return "leads to an absolute path" if hop else "is an absolute path"
            pending.extend(reversed(target.split("/")))
            try:
                found = self._next_link(here, pending)
            except OSError as exc:
                return f"leads nowhere ({exc.strerror})"
            except _Leaves as exc:
                return str(exc)
            if found is None:
                return None
            target = found
        return f"leads through more than {MAX_LINK_HOPS} links"

    def _next_link(self, here: list[str], pending: list[str]) -> str | None:
        """Walk *pending* (last name first) from *here* up to the next link and return its target; None at the end."""
        while pending:
            name = pending.pop()
            self._spend(len(here) + 1)
            if name == "..":
                if not here:
                    raise _Leaves("leaves the tree")
                here.pop()
            elif name not in ("", "."):
                path = "/".join([*here, name])
                mode = os.stat(path, dir_fd=self._root, follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    return os.readlink(path, dir_fd=self._root)
                if pending and not stat.S_ISDIR(mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
                here.append(name)
        return None

    def _spend(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise _Leaves("was not looked up (limit MAX_LINK_STEPS)")


class _Leaves(Exception):
    """A link does not lead to something inside; says why."""
