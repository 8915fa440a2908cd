"""Processes that have ended but for a thread that waits in the kernel, for storage that hangs.

Nobody can kill such a thread, and nobody can wait for the end of its process, which does nothing any more. In goes the number
of a process, out comes whether it is one of them; to go on without it is left to whoever started it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Protocol

ENDED = "Z"
"""The state of a process whose first thread has ended. Source: proc(5), /proc/PID/stat."""

LOOK_SECONDS = 0.5


class Process(Protocol):
    """What `multiprocessing` calls a process, or a thread that waits for one and knows its number."""

    @property
    def pid(self) -> int | None: ...
    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...


def is_stuck(pid: int | None) -> bool:
    """Tell whether the process has ended but for threads that do not; False where there is none."""
    with suppress(OSError):
        folder = Path(f"/proc/{pid}")
        state = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        return state == ENDED and len(list((folder / "task").iterdir())) > 1
    return False


def join(process: Process) -> bool:
    """Wait until *process* has ended; False where it is stuck, and so never will.

    It is so at two looks in a row: whatever ends is for a moment, until its last thread is gone.
    """
    was_stuck = False
    while process.is_alive():
        stuck = is_stuck(process.pid)
        if stuck and was_stuck:
            return False
        was_stuck = stuck
        process.join(LOOK_SECONDS)
    return True
