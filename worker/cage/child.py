"""What runs in the cage: it locks itself in, shows that it is locked in, loads one model, and says how it went.

Nothing of a stranger is opened before the last lock. The framework is imported before that, since it starts threads and opens
its own files; it was installed by whoever runs this.

    child ──> launcher   b"H"                        it runs, and whatever ends the launcher ends it
    launcher ──> child   the job: u32 length, JSON
    child ──> launcher   b"L" with a descriptor      the filter is on, and this is where it tells; b"N" where it cannot
    launcher ──> child   b"G"                        go: somebody listens
    child ──> launcher   b"R", then the answer       it is ready: it has tried to get out and could not; JSON, and hangs up

It imports the standard library and what lies beside it.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import os
import resource
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from worker.cage import landlock, seccomp

HELLO, HEARD, UNHEARD, GO, READY = b"H", b"L", b"N", b"G", b"R"
LENGTH = struct.Struct("=I")

NOT_CONFINED = 97
"""Exit status of a child that could get out, so that nothing was loaded."""

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SET_MODE_FILTER, TSYNC, NEW_LISTENER, TSYNC_ESRCH = 1, 1 << 0, 1 << 3, 1 << 4
"""Source: Linux, linux/prctl.h and linux/seccomp.h."""

CAPABILITY_VERSION = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3 of linux/capability.h."""

SECCOMP_CALL = {"x86_64": 317, "aarch64": 277}

MAX_TRACEBACK_CHARACTERS = 4_000

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> NoReturn:
    """Take part in the conversation on the descriptor that is the first argument, and end."""
    conversation = socket.socket(fileno=int(arguments[0]))
    if "dies-with" in arguments:
        _die_with(int(arguments[2]))
    conversation.sendall(HELLO)
    job = json.loads(_received(conversation, *LENGTH.unpack(_received(conversation, LENGTH.size))))
    answer = _answer(conversation, job)
    conversation.sendall(json.dumps(answer).encode())
    conversation.shutdown(socket.SHUT_WR)
    conversation.recv(1)  # until the launcher has looked how much memory it took
    os._exit(0)


def _die_with(parent: int) -> None:
    """End when *parent* does."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked to be told


def _received(conversation: socket.socket, size: int) -> bytes:
    """Return the next *size* bytes; where nobody is there to send them, end."""
    body = bytearray()
    while len(body) < size:
        piece = conversation.recv(size - len(body))
        if not piece:
            os._exit(1)
        body += piece
    return bytes(body)


def _answer(conversation: socket.socket, job: Mapping[str, Any]) -> dict[str, Any]:
    """Confine this process as *job* says, let its module look, and return what it says."""
    _limit(job["limits"], job["processors"])
    _give_up_rights(job["user"])
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if job["landlock"] is not None:
        landlock.restrict(**job["landlock"])
    module = importlib.import_module(job["module"])
    try:
        module.prepare()
    except ImportError as exc:
        return _lacking(conversation, exc)
    _filter(conversation, may_listen=job["may_listen"])
    if _received(conversation, 1) != GO or not _is_confined(job["outside"]):
        os._exit(NOT_CONFINED)
    conversation.sendall(READY)
    answer: dict[str, Any] = module.look(job["model"])
    return answer


def _lacking(conversation: socket.socket, exc: ImportError) -> dict[str, Any]:
    """Say that the framework cannot be imported. Nothing of the model was opened."""
    conversation.sendall(UNHEARD)
    if _received(conversation, 1) != GO:
        os._exit(NOT_CONFINED)
    conversation.sendall(READY)
    return {"lacks": "".join(traceback.format_exception_only(exc))[-MAX_TRACEBACK_CHARACTERS:]}


def _give_up_rights(user: int | None) -> None:
    """Be *user* for good, for None who this is; and have no capability, which root would have."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    nobody_else = struct.pack("=II", CAPABILITY_VERSION, 0)
    if _libc.capset(nobody_else, bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _limit(limits: Mapping[str, int], processors: int) -> None:
    """Obey *limits*, and use as many *processors* alone, any: frameworks make a thread for each that they see."""
    mine = sorted(os.sched_getaffinity(0))
    first = int.from_bytes(os.urandom(2), "big") % len(mine)
    os.sched_setaffinity(0, [*mine, *mine][first : first + processors])
    cpu = limits["cpu_seconds"]
    most = {
        resource.RLIMIT_AS: (limits["address_bytes"],) * 2,
        resource.RLIMIT_DATA: (limits["memory_bytes"],) * 2,
        resource.RLIMIT_CPU: (cpu, cpu + 2),
        resource.RLIMIT_FSIZE: (limits["file_bytes"],) * 2,
        resource.RLIMIT_NOFILE: (limits["descriptors"],) * 2,
        resource.RLIMIT_NPROC: (limits["threads"],) * 2,
        resource.RLIMIT_CORE: (0, 0),
    }
    for what, (soft, hard) in most.items():
        _, highest = resource.getrlimit(what)
        if highest != resource.RLIM_INFINITY:
            soft, hard = min(soft, highest), min(hard, highest)
        resource.setrlimit(what, (soft, hard))


def _filter(conversation: socket.socket, may_listen: bool) -> None:
    """Put the filter on every thread of this process, and tell the launcher where it can be listened to."""
    listener = _installed(is_heard=True) if may_listen else -1
    if listener < 0:
        if _installed(is_heard=False) != 0:
            os._exit(NOT_CONFINED)
        conversation.sendall(UNHEARD)
        return
    socket.send_fds(conversation, [HEARD], [listener])
    os.close(listener)


def _installed(is_heard: bool) -> int:
    """Return what the kernel says to our filter: 0, the descriptor of its listener, or less than 0 where it takes none."""
    machine = os.uname().machine
    code = seccomp.program(seccomp.Filter(machine, os.getpid(), is_heard))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    flags = TSYNC | TSYNC_ESRCH | NEW_LISTENER if is_heard else TSYNC
    return int(_libc.syscall(ctypes.c_long(SECCOMP_CALL[machine]), SET_MODE_FILTER, flags, program))


def _is_confined(outside: str) -> bool:
    """Tell whether this process can neither read the file *outside* nor make a socket. The launcher made that file for all."""
    return _fails(lambda: os.close(os.open(outside, os.O_RDONLY))) and _fails(lambda: socket.socket().close())


def _fails(attempt: Any) -> bool:
    try:
        attempt()
    except OSError as exc:
        return exc.errno in (errno.ENOENT, errno.EPERM, errno.EACCES, errno.ENOTDIR)
    return False


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


if __name__ == "__main__":
    main(sys.argv[1:])
