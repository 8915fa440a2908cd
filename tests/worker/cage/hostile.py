"""Runs in the cage: what a model might do that has taken the process over. `how` says what."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Mapping
from typing import Any

OPENAT2, AT_FDCWD = 437, -100
"""The number of the call is the same on every processor. Source: asm-generic/unistd.h, linux/fcntl.h."""

HONEST: dict[str, Any] = {"framework": "hostile", "loads": True, "load_seconds": 0.0, "error": "", "signatures": []}


def prepare() -> None:
    """Need nothing."""


def look(model: Mapping[str, Any]) -> dict[str, Any]:
    how = model["how"]
    if how == "sleep":
        time.sleep(600)
    if how == "spin":
        while True:
            pass
    if how == "heap":
        _heap()
    if how == "mapped":
        _mapped(model["bytes"])
    if how == "disk":
        _disk()
    if how == "threads":
        return HONEST | {"framework": str(_threads())}
    if how == "crash":
        os.kill(os.getpid(), 11)
    if how == "exit":
        os._exit(3)
    if how == "stdout":
        _stdout(model["bytes"])
    if how in ("raw", "long"):
        _say(bytes.fromhex(model["hex"]), model.get("times", 1))
    if how == "hang up":
        _hang_up()
    if how == "allocate":
        return HONEST | {"framework": f"took {len(bytearray(model['bytes']))}"}
    if how == "read":
        return HONEST | {"error": _read(model["wanted_path"])}
    if how == "openat2":
        return HONEST | {"error": " ".join(_openat2(path, flags) for path, flags in model["opened"])}
    return HONEST | {"framework": "did nothing"}


def _openat2(path: str, flags: int | None) -> str:
    """Open *path* by the call that hands its flags over in memory, at an address that is none for None; say what came of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    how = ctypes.c_void_p(1) if flags is None else struct.pack("=QQQ", flags, 0, 0)
    result = libc.syscall(OPENAT2, ctypes.c_long(AT_FDCWD), os.fsencode(path), how, ctypes.c_long(24))
    return "opened" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def _heap() -> None:
    kept = []
    while True:
        kept.append(b"x" * (8 << 20))


def _mapped(size: int) -> None:
    """Use memory that counts as no heap: shared pages."""
    import mmap

    with mmap.mmap(-1, size) as pages:
        for start in range(0, size, 4096):
            pages[start] = 1
        time.sleep(2)


def _disk() -> None:
    for place in range(10_000):
        with open(os.path.join(os.environ["TMPDIR"], f"f{place}"), "wb") as file:
            file.write(bytes(1 << 20))
        time.sleep(0.005)


def _threads() -> int:
    made, stop = 0, threading.Event()
    try:
        for _ in range(10_000):
            threading.Thread(target=stop.wait, daemon=True).start()
            made += 1
    except RuntimeError:
        pass
    stop.set()
    return made


def _stdout(size: int) -> None:
    block = b"a" * (1 << 20)
    for _ in range(size >> 20):
        os.write(1, block)


def _hang_up() -> None:
    """End the conversation, and go on."""
    conversation = next(fd for fd in range(3, 64) if _is_socket(fd))
    with socket.socket(fileno=conversation) as one:
        one.shutdown(socket.SHUT_RDWR)
        time.sleep(600)


def _say(body: bytes, times: int) -> None:
    """Answer with *body*, again and again, on the conversation, and end."""
    conversation = next(fd for fd in range(3, 64) if _is_socket(fd))
    with socket.socket(fileno=conversation) as one:
        for _ in range(times):
            one.sendall(body)
    os._exit(0)


def _is_socket(descriptor: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    except OSError:
        return False


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return f"read {file.read(50)}"
    except OSError as exc:
        return repr(exc)
