"""Which processes still work, told by locks that the kernel takes back when a process ends.

An owner is a name; its file below HOME is locked for as long as the process lives. Whoever gets the lock knows that the
owner is gone, whatever became of its process number. For processes of one machine that share one HOME.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWNER = re.compile(r"[a-z0-9-]{1,64}")
"""What a name of an owner may look like, so that it is one file name."""


@contextmanager
def working_as(owner: str, folder: Path) -> Iterator[str]:
    """Hold the lock of *owner* below *folder* while the block runs, and remove it afterwards."""
    if not OWNER.fullmatch(owner):
        raise ValueError(f"not a name for an owner: {owner!r}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / owner
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield owner
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def is_dead(owner: str, folder: Path) -> bool:
    """Tell whether *owner*, which worked beside this very folder, has ended."""
    return not is_alive(owner, folder)


def is_alive(owner: str, folder: Path) -> bool:
    """Tell whether the process of *owner* holds its lock; what follows a dot tells its claims apart.

    A lock file that is left over without its process is removed.
    """
    process, _, _ = owner.partition(".")
    if not OWNER.fullmatch(process):
        return False
    path = folder / process
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)
