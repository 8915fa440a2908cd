"""What a caged process tried: each call that its filter refuses or tells, as the kernel hands it over.

The kernel stops the caller until it is answered, so this is seen by a process outside, and nothing inside can hide a call
that was made. What a call named (a path, how it is opened) is read from the caller's memory while it waits. Another of its
threads could change it before the kernel reads it, so it says what was shown to us; what is allowed does not depend on it.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst, "Userspace Notification".
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from worker.cage import seccomp
from worker.verification import MAX_TRIED, Tried

RECEIVE, SEND = 0xC0502100, 0xC0182101
"""SECCOMP_IOCTL_NOTIF_RECV and _SEND: _IOWR('!', 0, 80 bytes) and _IOWR('!', 1, 24 bytes)."""

_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
GO_ON = 1
"""SECCOMP_USER_NOTIF_FLAG_CONTINUE: the kernel makes the call."""

EPERM = 1
AT_FDCWD = -100
MAX_PATH_BYTES = 4096

PATHS: Mapping[str, tuple[tuple[int | None, int], ...]] = {
    "open": ((None, 0),),
    "creat": ((None, 0),),
    "openat": ((0, 1),),
    "openat2": ((0, 1),),
    "mkdir": ((None, 0),),
    "mkdirat": ((0, 1),),
    "rmdir": ((None, 0),),
    "unlink": ((None, 0),),
    "unlinkat": ((0, 1),),
    "rename": ((None, 0), (None, 1)),
    "renameat": ((0, 1), (2, 3)),
    "renameat2": ((0, 1), (2, 3)),
    "link": ((None, 0), (None, 1)),
    "linkat": ((0, 1), (2, 3)),
    "symlink": ((None, 1),),
    "symlinkat": ((1, 2),),
}
"""Where the paths of a call that is told stand among its arguments: the folder that it is relative to (None for the working
folder), and the path."""

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
FLAGS = {"open": 1, "openat": 2}
"""Where the flags of a call that opens stand."""

HOW, HOW_FLAGS = 2, struct.Struct("=Q")
"""Where `openat2` is told the address of its struct open_how, and what that begins with. Source: linux/openat2.h."""

_WORDS = {
    "mkdir": "make a folder", "mkdirat": "make a folder",
    "rmdir": "remove", "unlink": "remove", "unlinkat": "remove",
    "rename": "rename", "renameat": "rename", "renameat2": "rename",
    "link": "link", "linkat": "link", "symlink": "link", "symlinkat": "link",
}  # fmt: skip
READING, WRITING, CALLING = "read", "write", "call"

FAMILIES = {1: "unix", 2: "internet", 10: "internet", 16: "netlink", 17: "packet", 40: "vsock"}
"""Families of sockets. Source: linux/socket.h."""


@dataclass(slots=True)
class Watch:
    """Answers a filter's calls, and keeps what went beyond *own* places (to read) and *writable* ones (to write).

    Calls before `begin` are answered and not kept: they are those of the child that locks itself in.
    """

    listener: int
    own: tuple[str, ...]
    writable: tuple[str, ...]
    machine: str
    is_kept: bool = False
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def begin(self) -> None:
        """Keep from now on what is tried."""
        self.is_kept = True

    def tried(self) -> tuple[Tried, ...]:
        """Return what was tried, in the order in which it was first; `MAX_TRIED` different things at most."""
        return tuple(Tried(what, target, count) for (what, target), count in self._counts.items())

    def answer(self) -> None:
        """Answer one call, if one waits."""
        asked = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self.listener, RECEIVE, asked)
        except OSError:  # the caller was killed meanwhile
            return
        cookie, pid, _, number, _, _, *arguments = _NOTIFICATION.unpack(asked)
        call = seccomp.name_of(number, self.machine)
        is_told = call in seccomp.TOLD
        if self.is_kept:
            self._keep(call, pid, arguments)
        reply = _ANSWER.pack(cookie, 0, 0, GO_ON) if is_told else _ANSWER.pack(cookie, 0, -EPERM, 0)
        with suppress(OSError):  # the caller is gone; others may be there
            fcntl.ioctl(self.listener, SEND, reply)

    def _keep(self, call: str, pid: int, arguments: list[int]) -> None:
        if call not in seccomp.TOLD:
            self._count(CALLING, _named(call, arguments))
            return
        writes, what = _use(call, pid, arguments)
        for folder, path in PATHS[call]:
            name = _path(pid, None if folder is None else arguments[folder], arguments[path])
            if not _lies_in(name, self.writable if writes else (*self.own, *self.writable)):
                self._count(what, name)

    def _count(self, what: str, target: str) -> None:
        if (what, target) in self._counts or len(self._counts) < MAX_TRIED:
            self._counts[what, target] = self._counts.get((what, target), 0) + 1


def _use(call: str, pid: int, arguments: list[int]) -> tuple[bool, str]:
    """Return whether a call changes something, and what it is called."""
    if call in _WORDS:
        return True, _WORDS[call]
    writes = bool(_flags(call, pid, arguments) & WRITES)
    return writes, WRITING if writes else READING


def _flags(call: str, pid: int, arguments: list[int]) -> int:
    """Return the flags of a call that opens; where they cannot be read, all of those that write."""
    if call == "creat":
        return WRITES
    if call != "openat2":
        return arguments[FLAGS[call]]
    body = _bytes_at(pid, arguments[HOW], HOW_FLAGS.size)
    return WRITES if body is None else int(HOW_FLAGS.unpack(body)[0])


def _named(call: str, arguments: list[int]) -> str:
    return f"{call} ({FAMILIES.get(arguments[0], 'other')})" if call == "socket" else call


def _lies_in(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(place.rstrip("/") + "/") for place in places)


def _path(pid: int, folder: int | None, address: int) -> str:
    """Return the absolute path that the caller named, as far as it can be told: its memory may be closed to us."""
    named = _text_at(pid, address)
    if named is None or named.startswith("/"):
        return "a path that could not be read" if named is None else os.path.normpath(named)
    handle = "cwd" if folder is None or _signed(folder) == AT_FDCWD else f"fd/{_signed(folder)}"
    try:
        return os.path.normpath(os.path.join(os.readlink(f"/proc/{pid}/{handle}"), named))
    except OSError:
        return os.path.join("…", named)


def _signed(value: int) -> int:
    """Return the lower half of an argument as the int that it is for the kernel."""
    return int(struct.unpack("=i", struct.pack("=I", value & 0xFFFFFFFF))[0])


def _bytes_at(pid: int, address: int, count: int) -> bytes | None:
    """Return *count* bytes from *address* of the process on; None where they cannot be read."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            body = memory.read(count)
    except (OSError, OverflowError, ValueError):
        return None
    return body if len(body) == count else None


def _text_at(pid: int, address: int) -> str | None:
    """Return the text that ends with a zero byte at *address* of the process; None where it cannot be read."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            body = memory.read(MAX_PATH_BYTES - address % MAX_PATH_BYTES)  # up to the end of its page, which is there
            if b"\0" not in body:
                body += memory.read(MAX_PATH_BYTES)
    except (OSError, OverflowError, ValueError):
        return None
    return body.partition(b"\0")[0].decode("utf-8", "backslashreplace")
