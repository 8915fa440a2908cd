"""Folders that are one model as a whole: which of them count where one lies inside another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from detectors.detection import Contents, folder_of
from detectors.tree import FileEntry


def free_below(contents: Contents, folder: str) -> tuple[str, ...]:
    """Return the paths of all files below *folder* that no detection has taken, sorted."""
    return tuple(entry.path for entry in contents.below(folder) if contents.is_free(entry.path))


def is_there(contents: Contents, path: str) -> bool:
    """Tell whether *path* is a listed file, or a folder with listed files."""
    return contents.find(path) is not None or bool(contents.below(path.rstrip("/")))


def below(root: str, path: str) -> str:
    """Return *path*, which is relative to the folder *root*, relative to the tree."""
    return f"{root}/{path}" if root else path


def outermost(marks: Iterable[FileEntry]) -> Iterator[FileEntry]:
    """Yield those *marks* (files that make their folder a model) whose folder lies in no other such folder."""
    found = {folder_of(mark.path): mark for mark in marks}
    for folder, mark in found.items():
        if not any(outer in found for outer in _outside(folder)):
            yield mark


def _outside(folder: str) -> Iterator[str]:
    """Yield the folders that *folder* lies in, the tree itself last."""
    while folder:
        folder = folder_of(folder)
        yield folder
