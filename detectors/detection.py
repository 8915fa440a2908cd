"""Which models lie below a path: the ordered table of detectors, and the one loop over it.

In goes a tree with its listing, out come detections. A detector is a record of two functions; built-in ones and plug-ins
enter by the same table. An earlier detector takes its files, so that the checkpoint inside a SavedModel is not reported
as another model. What the facts are worth is left to `detectors.scan`.

Laws (each has a test of the same name):
    the order of listing never matters;
    a file belongs to one detection at most.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from detectors.errors import ModelLimit, Unreadable
from detectors.facts import Detection, Extraction
from detectors.tree import FileEntry, FileTree
from detectors.wire import Window

LFS_POINTER = b"version https://git-lfs.github.com/spec"
"""How a Git LFS pointer begins, which may stand in place of any file. `weights.git_lfs` tells what it is."""

HEAD_BYTES = 4096
"""How much of a file is looked at to tell its format."""

MAX_HEADS = 20_000
"""Files whose head is read in one scan; the others are told as not looked at."""

NEVER_MODELS = frozenset(
    ".txt .md .rst .log .py .pyc .c .cc .cpp .h .java .js .ts .css .html .htm .sh .ipynb .csv .tsv .png .jpg .jpeg .gif .svg"
    " .webp .bmp .wav .mp3 .mp4 .pdf .lock .cfg .ini .toml".split()
)
"""Suffixes whose files are not opened to look for a model; their content is what the suffix says, or nobody's business."""


class Contents:
    """A tree with its listing: entries by path and by folder, heads read once, and which files are taken."""

    def __init__(self, tree: FileTree, entries: Iterable[FileEntry]) -> None:
        self.tree = tree
        self.entries = tuple(sorted(entries))
        self._paths = [entry.path for entry in self.entries]
        self._by_path = {entry.path: entry for entry in self.entries}
        self._children: dict[str, list[FileEntry]] | None = None
        self._heads: dict[str, bytes] = {}
        self._taken: set[str] = set()
        self.unread: dict[str, str] = {}
        self._spent: Counter[str] = Counter()

    def find(self, path: str) -> FileEntry | None:
        """Return the entry of the file *path*, or None."""
        return self._by_path.get(path)

    def below(self, folder: str) -> tuple[FileEntry, ...]:
        """Return all files below *folder* ("" is the whole tree), sorted by path."""
        if not folder:
            return self.entries
        first = bisect_left(self._paths, folder + "/")
        return self.entries[first : bisect_left(self._paths, folder + "0", first)]  # "0" follows "/" in ASCII

    def children(self, folder: str) -> tuple[FileEntry, ...]:
        """Return the files right inside *folder* ("" is the tree itself), sorted by path, whatever lies deeper."""
        if self._children is None:
            self._children = {}
            for entry in self.entries:
                self._children.setdefault(folder_of(entry.path), []).append(entry)
        return tuple(self._children.get(folder, ()))

    def free(self) -> Iterator[FileEntry]:
        """Yield the files that no detection has taken yet, sorted by path."""
        return (entry for entry in self.entries if entry.path not in self._taken)

    def is_free(self, path: str) -> bool:
        """Tell whether *path* is a listed file that no detection has taken."""
        return path in self._by_path and path not in self._taken

    @property
    def has_taken(self) -> bool:
        """Tell whether any detection has taken a file."""
        return bool(self._taken)

    def take(self, paths: Iterable[str]) -> None:
        """Mark files as belonging to a detection."""
        self._taken.update(paths)

    def head(self, entry: FileEntry) -> bytes:
        """Return the first `HEAD_BYTES` of a file, read once; empty where the file may not be read, which is noted."""
        if entry.path not in self._heads:
            self._heads[entry.path] = self._read_head(entry)
        return self._heads[entry.path]

    def known_head(self, entry: FileEntry) -> bytes | None:
        """Return what `head` has read of a file, None where nobody asked for it."""
        return self._heads.get(entry.path)

    def _read_head(self, entry: FileEntry) -> bytes:
        if len(self._heads) >= MAX_HEADS:
            self.unread[entry.path] = f"not looked at: more than {MAX_HEADS} files to tell apart (limit MAX_HEADS)"
            return b""
        try:
            return self.tree.read(entry.path, 0, min(HEAD_BYTES, entry.size))
        except Unreadable as exc:
            self.unread[entry.path] = exc.reason
            return b""

    def left(self, limit: str, most: int) -> int:
        """Return what is left of *most*, the limit of the whole scan that the constant named *limit* sets."""
        return most - self._spent[limit]

    def spend(self, path: str, limit: str, amount: int, most: int) -> None:
        """Count *amount*, spent or about to be spent on the file *path*, towards what all files of this scan may cost.

        Raises:
            ModelLimit: it is more than what was left of *most*. A file that is refused leaves nothing to the others.
        """
        self._spent[limit] += amount
        if self._spent[limit] > most:
            raise ModelLimit(path, None, limit, f"not read: expected at most {most} in all files together, found more")

    def window(self, entry: FileEntry) -> Window:
        """Return byte access to a file through bounded windows."""
        return Window(self.tree, entry.path, entry.size)

    def read_whole(self, entry: FileEntry, limit: str, max_bytes: int) -> bytes:
        """Return all bytes of a small file.

        Raises:
            ModelLimit: the file is larger than *max_bytes*; *limit* is the name of that constant.
        """
        if entry.size > max_bytes:
            raise ModelLimit(entry.path, None, limit, f"expected at most {max_bytes} bytes, found {entry.size}")
        return self.tree.read(entry.path, 0, entry.size)


def suffix(path: str) -> str:
    """Return the lower-case suffix of a file name with its dot, or ""."""
    name = path.rpartition("/")[2]
    return "." + name.rpartition(".")[2].lower() if "." in name[1:] else ""


def folder_of(path: str) -> str:
    """Return the folder that *path* lies in, "" at the root of the tree."""
    return path.rpartition("/")[0]


def may_be_model(entry: FileEntry) -> bool:
    """Tell whether it is worth opening *entry* to look for a model in one file."""
    return entry.size > 0 and suffix(entry.path) not in NEVER_MODELS


@dataclass(frozen=True, slots=True)
class Detector:
    """A format: *match* is cheap and silent on foreign files, *extract* reads ranges and may raise a `ModelError`."""

    name: str
    match: Callable[[Contents], Iterable[Detection]]
    extract: Callable[[Contents, Detection], Extraction]


Guard = Callable[[str], AbstractContextManager[None]]
"""Opens a block in which the reader of this name runs; what ends the block need not leave it (`detectors.unforeseen`)."""


def unguarded(reader: str) -> AbstractContextManager[None]:
    """Be the `Guard` that lets everything pass."""
    return nullcontext()


def detect(contents: Contents, detectors: Iterable[Detector], guarded: Guard = unguarded) -> list[tuple[Detector, Detection]]:
    """Return what was recognised, in the order of the table and then by path; each detector matches in a block of *guarded*."""
    found = []
    for detector in detectors:
        detections: list[Detection] = []
        with guarded(detector.name):
            detections = sorted(detector.match(contents), key=lambda d: (d.root, d.main))
        for detection in detections:
            contents.take(detection.files)
            found.append((detector, detection))
    return found
