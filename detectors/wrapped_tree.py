"""Trees around another tree: one that counts, one that fails, one that shows only some files.

In goes any `FileTree`, out comes another one; each passes the contract suite in `tests/contracts/tree.py`, as far as it
applies. They ship with the code: the report's "read" figures come from `CountingTree`, and whoever writes a detector
can try it on `FlakyTree`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from detectors.errors import DetectorError, TreeChanged
from detectors.tree import FileEntry, FileTree, PassedOver, check_range


class CountingTree:
    """The same tree, which counts what was read.

    reads is the number of calls of `read`, bytes the sum of what they returned, files how many files they touched. error is
    what the tree inside raised last, None once somebody has forgotten it: who catches an error can tell whose it is.
    """

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
        self._touched: set[str] = set()
        self.reads = 0
        self.bytes = 0
        self.error: BaseException | None = None

    @property
    def files_read(self) -> int:
        """How many different files were read, in whole or in part."""
        return len(self._touched)

    def was_read(self, path: str) -> bool:
        """Tell whether any of the file *path* was read."""
        return path in self._touched

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """What the tree inside passed over; nothing where it cannot say."""
        return passed_over_by(self._tree)

    def files(self) -> Iterator[FileEntry]:
        """Yield what the tree inside yields."""
        return self._tree.files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of *path* and count them."""
        self.reads += 1
        self._touched.add(path)
        try:
            data = self._tree.read(path, start, stop)
        except BaseException as exc:
            self.error = exc
            raise
        self.bytes += len(data)
        return data


class FlakyTree:
    """The same tree, whose call number *fail_at* raises *error* once. Listings and reads count alike, from 1."""

    def __init__(self, tree: FileTree, fail_at: int, error: DetectorError) -> None:
        self._tree = tree
        self._fail_at = fail_at
        self._error = error
        self.calls = 0

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """What the tree inside passed over; nothing where it cannot say."""
        return passed_over_by(self._tree)

    def files(self) -> Iterator[FileEntry]:
        """Yield what the tree inside yields, or fail."""
        self._call()
        return self._tree.files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return what the tree inside returns, or fail."""
        self._call()
        return self._tree.read(path, start, stop)

    def _call(self) -> None:
        self.calls += 1
        if self.calls == self._fail_at:
            raise self._error


class SubTree:
    """Only the files *paths* of another tree; the rest is neither listed nor read.

    Links and the like are told where they lie in one of *folders* or below it ("" is the whole tree), as far as the tree
    inside tells them; what else was passed over is not this tree's.
    """

    def __init__(self, tree: FileTree, paths: Iterable[str], folders: Iterable[str] = ()) -> None:
        self._tree = tree
        self._paths = frozenset(paths)
        self._beginnings = tuple(folder and folder + "/" for folder in folders)

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """What the tree inside passed over in the chosen folders."""
        return tuple(one for one in passed_over_by(self._tree) if one.path.startswith(self._beginnings))

    def files(self) -> Iterator[FileEntry]:
        """Yield the chosen files, as far as the tree inside lists them."""
        return (entry for entry in self._tree.files() if entry.path in self._paths)

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of a chosen file.

        Raises:
            TreeChanged: *path* was not chosen; otherwise as the tree inside.
        """
        check_range(start, stop)
        if path not in self._paths:
            raise TreeChanged(path, "is not in this tree")
        return self._tree.read(path, start, stop)


def passed_over_by(tree: FileTree) -> tuple[PassedOver, ...]:
    """Return what *tree* passed over; nothing where it cannot say."""
    found: tuple[PassedOver, ...] = getattr(tree, "passed_over", ())
    return found
