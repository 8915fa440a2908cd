"""Opening what lies below a folder with no link followed in any part of the name.

In goes the handle of a folder and a relative path, out comes a file descriptor. `O_NOFOLLOW` guards only the last part of
a name, so a folder that is swapped for a link between listing and reading would lead out of the tree. Linux 5.6 has
`openat2`, which refuses that in one call; elsewhere each part is opened by itself. What the descriptor is good for is left
to the caller.

Law (has a test of the same name): both ways open the same files and refuse the same files.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import sys
from collections.abc import Callable

SYS_OPENAT2 = 437
"""Number of the system call on x86_64 and aarch64 alike. Source: Linux, scripts/syscall.tbl."""

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
"""Source: openat2(2), "how.resolve"."""

MAX_STEP_BYTES = 4000
"""Bytes of a path that go into one system call; Linux takes 4,095. A longer path is opened in several steps."""

FOLDER_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""Without O_NONBLOCK the opening of a FIFO waits for a writer, perhaps for ever."""

PASSAGE_FLAGS = FOLDER_FLAGS | getattr(os, "O_PATH", os.O_RDONLY)
"""For a folder that is only passed through: as with any path, it need not be listable."""

Step = Callable[[int, bytes, int], int]
"""Opens a path relative to a folder's descriptor: folder, path, flags."""


class _OpenHow(ctypes.Structure):
    """`struct open_how`: three 64-bit words."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(folder: int, path: str, flags: int) -> int:
    """Return a new descriptor of *path*, which is relative to the open *folder* and has no `..` in it.

    Raises:
        OSError: as open(2); ELOOP or ENOTDIR where any part of the path is a link.
    """
    if _has_openat2():
        return _open_in_steps(folder, _long_steps(os.fsencode(path)), flags, _openat2)
    return _open_in_steps(folder, os.fsencode(path).split(b"/"), flags, _openat)


def _open_in_steps(folder: int, steps: list[bytes], flags: int, step: Step) -> int:
    here = folder
    try:
        for passage in steps[:-1]:
            deeper = step(here, passage, PASSAGE_FLAGS)
            if here != folder:
                os.close(here)
            here = deeper
        return step(here, steps[-1], flags)
    finally:
        if here != folder:
            os.close(here)


def _long_steps(path: bytes) -> list[bytes]:
    """Return *path* cut at slashes into pieces of `MAX_STEP_BYTES` at most."""
    steps = []
    while len(path) > MAX_STEP_BYTES:
        cut = path.rfind(b"/", 0, MAX_STEP_BYTES)
        if cut < 0:
            break
        steps.append(path[:cut])
        path = path[cut + 1 :]
    return [*steps, path]


def _openat(folder: int, name: bytes, flags: int) -> int:
    return os.open(name, flags, dir_fd=folder)


def _openat2(folder: int, path: bytes, flags: int) -> int:
    how = _OpenHow(flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
    while True:
        opened = _libc().syscall(SYS_OPENAT2, folder, path, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
        if opened >= 0:
            return int(opened)
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code), os.fsdecode(path))


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
    return libc


@functools.cache
def _has_openat2() -> bool:
    """Tell whether the kernel has `openat2` and lets us call it; a container's filter may not. Asked once."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return False
    here = os.open("/", PASSAGE_FLAGS)
    try:
        os.close(_openat2(here, b".", PASSAGE_FLAGS))
    except OSError:
        return False
    finally:
        os.close(here)
    return True
