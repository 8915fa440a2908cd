"""One server process of a test: started, killed and started again on the same data, and gone afterwards.

Whoever derives from `Server` says how it is started and how to tell that it answers.
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

START_SECONDS = 60.0
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.02

ENDS_WITH_ITS_THREAD = ("setpriv", "--pdeathsig", "KILL", "--")
"""Starts a program that the kernel kills when the thread that started it ends, even by kill -9. Source: prctl(2)."""


class NoServer(RuntimeError):
    """There is no program to start, or it did not start; the message says what to install, or what it said."""


def skip_without(find: Callable[[], object], excuse: str) -> None:
    """Skip the test where *find* finds no server on a developer's own machine, or where CI said in the variable *excuse*
    that it could not be had; else that is a failure.
    """
    try:
        find()
    except NoServer as exc:
        if "CI" in os.environ and excuse not in os.environ:
            raise
        pytest.skip(str(exc))


class Server:
    """A process that writes only below *folder*. Not thread-safe."""

    stop_signal = signal.SIGTERM
    """What lets it end in good order at once, whoever is connected."""

    start_seconds = START_SECONDS
    """How long it may take until it answers."""

    started_through: Sequence[str] = ()
    """What its command is put behind."""

    def __init__(self, folder: Path, user: str | None = None) -> None:
        self.folder = folder
        self.user = user
        self.log = folder / "server.log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was not started"
        return self._process.pid

    def start(self) -> None:
        """Start it on the data that it left; it answers when this returns."""
        command = [*self.started_through, *self.command()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_user(self.user)
            )
        until(lambda: self._has_ended() or self.answers(), self.start_seconds)
        if self._has_ended() or not self.answers():
            self.kill()
            raise NoServer(f"{self.command()[0]} did not start: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End it in good order; harmless where it does not run."""
        if self._process is not None and not self._has_ended():
            self._process.send_signal(self.stop_signal)
            until(self._has_ended, STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it and its children as kill -9 does; harmless where it does not run."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)  # so that no child is born between the look and the kill
            family = descendants(self._process.pid)
            for pid in family:
                kill(pid)
            until(lambda: not any(map(is_running, family)), STOP_SECONDS)
        self._process.wait()
        self._process = None

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None


def as_user(name: str | None) -> dict[str, object]:
    """Return how `subprocess` is told to run a program as *name*; nothing for None."""
    return {} if name is None else {"user": name, "group": group_of(name), "extra_groups": []}


def group_of(name: str) -> int:
    return pwd.getpwnam(name).pw_gid


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listened_to(port: int) -> bool:
    """Tell whether somebody takes connections at a port of the loopback interface."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def until(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until *holds*, at most *seconds*; tell whether it does."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def children(parent: int) -> Iterable[int]:
    """Return the processes whose parent is *parent*."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if (found := state_and_parent(pid)) is not None and found[1] == parent]


def descendants(ancestor: int) -> list[int]:
    """Return *ancestor*, its children, theirs, and so on."""
    return [ancestor, *(pid for child in children(ancestor) for pid in descendants(child))]


def is_running(pid: int) -> bool:
    """Tell whether *pid* runs; a process that has ended and was not waited for does not."""
    found = state_and_parent(pid)
    return found is not None and found[0] not in "ZX"


def state_and_parent(pid: int) -> tuple[str, int] | None:
    """Return a process's state letter and its parent, None where there is none. Source: proc(5), /proc/PID/stat."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = said.rpartition(")")[2].split()[:2]
    return state, int(parent)


def processor_seconds(pid: int) -> float:
    """Return the processor time of *pid* and of those of its children that have ended; 0 where it is gone. Source: proc(5)."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, said.rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
