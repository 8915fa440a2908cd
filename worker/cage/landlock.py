"""Landlock: what of the file system a process may still touch, decided by itself and never taken back.

This is what the cage is made of where namespaces are not allowed. It covers opening, making, removing and renaming; signals
and abstract sockets where the kernel is new enough. What it leaves open (looking whether a file is there, changing its mode)
is for the seccomp filter or is told in docs/howto/verify.md.

Source: Linux, Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The numbers of the calls, on every processor."""

VERSION, PATH_BENEATH = 1, 1
"""LANDLOCK_CREATE_RULESET_VERSION; LANDLOCK_RULE_PATH_BENEATH."""

WRITE_FILE, READ_FILE, READ_FOLDER, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
REMOVE_FOLDER, REMOVE_FILE, MAKE_FOLDER, MAKE_FILE = 1 << 4, 1 << 5, 1 << 7, 1 << 8

READ = READ_FILE | READ_FOLDER
WRITE = READ | WRITE_FILE | TRUNCATE | REMOVE_FOLDER | REMOVE_FILE | MAKE_FOLDER | MAKE_FILE
OF_FILES = WRITE_FILE | READ_FILE | TRUNCATE
"""Rights that a rule about a file may name; the others are those of folders."""

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """Return the version of Landlock that this kernel has; 0 where it has none, or it is turned off."""
    found = _call(CREATE_RULESET, None, 0, VERSION, may_fail=True)
    return max(found, 0)


def restrict(readable: Iterable[str], writable: Iterable[str], beside: Iterable[str] = ()) -> None:
    """Let this thread, and what it starts, open nothing but what lies in *readable* and *writable*; *beside* are single files
    that may be read and written, such as devices.

    A path that is not there is left out. The process must have given up new privileges already.

    Raises:
        OSError: the kernel has no Landlock.
    """
    version = abi()
    ruleset = _call(CREATE_RULESET, *_attributes(version))
    try:
        for path in readable:
            _allow(ruleset, path, READ)
        for path in writable:
            _allow(ruleset, path, WRITE & _files(version))
        for path in beside:
            _allow(ruleset, path, READ_FILE | WRITE_FILE)
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _files(version: int) -> int:
    """Return all rights over files that this version can take away."""
    last = {1: 12, 2: 13, 3: 14, 4: 14}.get(version, 15)
    return (1 << (last + 1)) - 1


def _attributes(version: int) -> tuple[bytes, int, int]:
    """Return struct landlock_ruleset_attr as this version has it, with all that it can take away, its size, and no flags."""
    network = [3] if version >= 4 else []
    scopes = [3] if version >= 6 else []
    packed = struct.pack(f"={1 + len(network) + len(scopes)}Q", _files(version), *network, *scopes)
    return packed, len(packed), 0


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        granted = rights if os.path.isdir(path) else rights & OF_FILES
        rule = struct.pack("=Qi", granted, descriptor)
        _call(ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: int | bytes | None, may_fail: bool = False) -> int:
    """Make the system call *number* and return its result.

    Raises:
        OSError: it failed, and may not.
    """
    whole = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *whole))
    if result < 0 and not may_fail:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return result
