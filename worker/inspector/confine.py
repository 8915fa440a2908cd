"""What a process gives up before it reads what strangers wrote: descriptors, memory, time, files, and what outlives it.

Linux only. None of it can be taken back by the process itself.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from dataclasses import dataclass

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
"""Source: Linux, include/uapi/linux/prctl.h."""

OOM_SCORE = "1000"
"""Where the machine runs out of memory, the kernel takes this process before any other. Source: proc_pid_oom_score_adj(5)."""

CONVERSATION = 3
"""The one descriptor beside standard input, output and error, which lead nowhere."""

_prctl = ctypes.CDLL(None, use_errno=True).prctl


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use in its life: bytes of address space, seconds of processor time, open descriptors.

    wait_seconds is how long it waits for bytes that it asked for. A worker whose storage hangs for longer has lost its lease.
    """

    memory_bytes: int = 2 << 30
    cpu_seconds: int = 1200
    descriptors: int = 32
    wait_seconds: float = 120.0


def confine(conversation: int, parent: int, limits: Limits) -> None:
    """Keep of all descriptors only *conversation*, as `CONVERSATION`; obey *limits*; die with the process *parent*."""
    _set(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked to be told
    _set(PR_SET_NO_NEW_PRIVS, 1)
    _keep_only(conversation)
    os.chdir("/")
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write(OOM_SCORE)
    for what, most in _rlimits(limits).items():
        resource.setrlimit(what, most)


def _set(option: int, value: int) -> None:
    if _prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _keep_only(conversation: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.dup2(conversation, CONVERSATION)
    os.closerange(CONVERSATION + 1, os.sysconf("SC_OPEN_MAX"))


def _rlimits(limits: Limits) -> dict[int, tuple[int, int]]:
    """Return soft and hard limits. The soft one of time comes first, and says by its signal that it was time."""
    return {
        resource.RLIMIT_AS: (limits.memory_bytes, limits.memory_bytes),
        resource.RLIMIT_CPU: (limits.cpu_seconds, limits.cpu_seconds + 5),
        resource.RLIMIT_NOFILE: (limits.descriptors, limits.descriptors),
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_CORE: (0, 0),
    }
