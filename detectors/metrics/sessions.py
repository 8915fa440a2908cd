"""Sessions: which folders hold the metrics of a run, what they are called, and which of them speak for the run.

A session is the folder of an event file, named by its last part: an Estimator's `mnist/eval` is "eval". Where two folders
end alike, both are called by their whole path, so that a name means one folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from detectors.detection import Contents, folder_of
from detectors.errors import Unreadable
from detectors.facts import Note
from detectors.metrics.budget import Budget, BudgetSpent
from detectors.metrics.events import EventReader
from detectors.metrics.series import Room, Series
from detectors.tree import FileEntry, readable

MAX_EVENT_FILES = 5_000
"""Event files read in one scan; the others are told as a number."""

EVALUATIONS = ("eval", "eval_*", "validation", "val", "test")
"""Folders that hold evaluations, the most telling first; eval_* is an Estimator's named evaluation."""

ROOT = ""


def read_sessions(contents: Contents) -> tuple[tuple[Series, ...], tuple[Note, ...]]:
    """Return the series of all event files of a tree, folder by folder, and what a reader should know about the files.

    A file counts by its name, which contains "tfevents", and by its first record. See `EventReader.read` for what is read.
    """
    entries = [entry for entry in contents.entries if "tfevents" in entry.path.rpartition("/")[2].lower()]
    room = Room()
    notes = []
    if len(entries) > MAX_EVENT_FILES:
        notes.append(
            Note(
                entries[MAX_EVENT_FILES].path,
                f"{len(entries) - MAX_EVENT_FILES} event files from here on are not read (limit MAX_EVENT_FILES)",
            )
        )
    readers: dict[str, EventReader] = {}
    notes.extend(_read_all(contents, entries[:MAX_EVENT_FILES], readers, room))
    if room.left_out:
        notes.append(Note("", f"{room.left_out} values of further tags are left out (limit MAX_SERIES)"))
    return tuple(series for reader in readers.values() for series in reader.series()), tuple(notes)


def session_names(folders: Iterable[str]) -> dict[str, str]:
    """Return the session name of each of *folders*: its last part, or its whole path where several share that part."""
    unique = sorted(set(folders))
    shared = Counter(last_part(folder) for folder in unique)
    return {folder: readable(last_part(folder) if shared[last_part(folder)] == 1 else folder) for folder in unique}


def headline(folders: Iterable[str]) -> str | None:
    """Return the folder that speaks for the run; None for no folders."""
    return min(folders, key=telling, default=None)


def telling(folder: str) -> tuple[int, int, str]:
    """Return what sorts folders, or the names of sessions, the one that speaks for the run first.

    The evaluations, `train`, the root, then any other. Of equals the one nearest to the root, then by path.
    """
    return _rank(folder), folder.count("/"), folder


def is_evaluation(folder: str) -> bool:
    """Tell whether *folder* is named as one that holds evaluations."""
    return _rank(folder) < len(EVALUATIONS)


def last_part(folder: str) -> str:
    """Return the name of *folder* without the folders above it."""
    return folder.rpartition("/")[2]


def _rank(folder: str) -> int:
    name = "eval_*" if last_part(folder).startswith("eval_") else last_part(folder)
    order = (*EVALUATIONS, "train", ROOT)
    return order.index(name) if name in order else len(order)


def _read_all(contents: Contents, entries: list[FileEntry], readers: dict[str, EventReader], room: Room) -> Iterator[Note]:
    """Read *entries* in order into one reader for each folder. A limit ends the reading, one unreadable file does not."""
    budget = Budget()
    for place, entry in enumerate(entries):
        folder = folder_of(entry.path)
        reader = readers.setdefault(folder, EventReader(folder, budget, room))
        try:
            yield from reader.read(contents.tree, entry)
        except Unreadable as exc:
            yield Note(entry.path, f"not read: {exc.reason}")
        except BudgetSpent as exc:
            yield Note(entry.path, f"{exc}; {len(entries) - place - 1} event files after it are not read")
            return
