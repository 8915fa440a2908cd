"""Temporary folders that are gone even where their process was killed: whoever makes the next one removes what was left.

A folder is held by a lock that ends with its process, whatever namespace that is in, so only what nobody holds is removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PREFIX = "modelport-cage-"


@contextmanager
def new_folder() -> Iterator[str]:
    """Give a folder that every user may look into, removed afterwards. Such as were left behind are removed before."""
    remove_left()
    folder = tempfile.mkdtemp(prefix=PREFIX)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # on file systems without locks none is removed but by its own process
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.chmod(folder, 0o755)  # noqa: S103 - who is in the cage must be able to read it
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_left() -> None:
    """Remove what is ours and nobody holds. One that is being made is not opened to others before it is held."""
    top = tempfile.gettempdir()
    with suppress(OSError), os.scandir(top) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _remove_where_left(entry)


def _remove_where_left(entry: os.DirEntry[str]) -> None:
    status = entry.stat(follow_symlinks=False)
    if status.st_uid != os.getuid() or status.st_mode & 0o777 == 0o700:  # another's, or just being made
        return
    lock = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(entry.path, ignore_errors=True)
    finally:
        os.close(lock)
