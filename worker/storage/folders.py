"""Folders by their handles: open, make, empty and sync them, with no link followed and no path too long.

In go the handle of a folder (`opened_folder` gives the first one) and names below it. What is swapped for a link meanwhile
is refused, and a tree of any depth works, without recursion. Errors come as they are (`OSError`); `local` says what they mean.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from detectors.beneath import FOLDER_FLAGS, open_beneath

CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP})
"""What some network file systems answer when a folder is to be synced. They make its names durable by themselves."""


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """Give the handle of the folder at *path*, which may be reached through links."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def opened(top: int, parts: Sequence[str]) -> Iterator[int]:
    """Give the handle of the folder *parts* below the folder *top*, of *top* itself where there are none."""
    handle = open_beneath(top, "/".join(parts) or ".", os.O_RDONLY | FOLDER_FLAGS)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def made(top: int, parts: Iterable[str]) -> Iterator[int]:
    """Give the handle of the folder *parts* below *top*; those of its folders that are not there are made."""
    here = os.dup(top)
    try:
        for part in parts:
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=here)
            above, here = here, os.open(part, os.O_RDONLY | FOLDER_FLAGS, dir_fd=here)
            os.close(above)
        yield here
    finally:
        os.close(here)


def folder_names(folder: int) -> list[str]:
    """Return the names of the folders in *folder*; links are none."""
    return [name for name, is_folder in _listed(folder).items() if is_folder]


def remove_folder(above: int, name: str) -> None:
    """Remove the folder *name* in *above* with everything in it; harmless where there is none."""
    with suppress(FileNotFoundError):
        with opened(above, [name]) as folder:
            empty(folder)
        os.rmdir(name, dir_fd=above)


def empty(top: int) -> None:
    """Remove everything in the folder *top*, but not the folder itself. Links are removed, what they lead to is not.

    However deep it goes, two handles are open at most.
    """
    below: list[tuple[str, ...]] = [()]
    for parts in below:
        with opened(top, parts) as folder:
            below.extend((*parts, name) for name in _unlink_files(folder))
    for *above, name in reversed(below[1:]):
        with opened(top, above) as folder:
            os.rmdir(name, dir_fd=folder)


def _unlink_files(folder: int) -> list[str]:
    """Remove what is no folder, and return the names of the folders."""
    names = _listed(folder)
    for name, is_folder in names.items():
        if not is_folder:
            os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in names.items() if is_folder]


def _listed(folder: int) -> dict[str, bool]:
    """Return each name in *folder*, and whether it is a folder."""
    with os.scandir(folder) as found:
        return {item.name: item.is_dir(follow_symlinks=False) for item in found}


def sync(folder: int) -> None:
    """Return once the names in *folder* are durable."""
    try:
        os.fsync(folder)
    except OSError as exc:
        if exc.errno not in CANNOT_SYNC:
            raise
