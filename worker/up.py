"""Several processes as one: started together, written into one log, started again when one dies, ended together.

In go the parts, each a name and the words of a command, and where lines of the log go; nothing comes out. What the parts do,
and when it is time to end, is for others. Each part is a process group of its own, so that a key at the terminal reaches only
us, and what a part leaves behind ends with it.

Laws (each has a test of the same name):
    a part that dies is started again, each time a little later while it does not live for long;
    all parts are gone when it is over, those that do not listen too;
    what is stuck is left behind, and another takes its place;
    the end waits for none that waits for storage that hangs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread

from worker.stuck import join

GRACE_SECONDS = 28.0
"""How long parts may finish what they do when it is over; the API gives its requests ten seconds, a worker its attempt."""

KILLED_SECONDS = 2.0
"""How long what was killed then may take to be gone; what takes longer is left behind."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""How long after its death a part is started again: twice as long each time, up to a minute."""

STEADY_SECONDS = 60.0
"""How long a part must have lived for its next death to count as its first."""

MAX_LINE_BYTES = 64 << 10
"""A longer line of a part is broken in the log."""

LEFT_BEHIND = "left behind: process {} waits for storage that hangs, and nothing can end it"

Say = Callable[[str, str], None]
"""Takes the name of a part and a line of its log."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process: the name that its lines in the log begin with, and the words that start it."""

    name: str
    command: tuple[str, ...]


@contextmanager
def running(parts: Sequence[Part], say: Say, grace_seconds: float = GRACE_SECONDS) -> Iterator[None]:
    """Keep *parts* running while the block runs; when it is left, end them, after *grace_seconds* by force.

    Parts are told to end in the opposite order, so that who gives work ends before who does it. What is not gone
    `KILLED_SECONDS` after it was killed is left behind.
    """
    keepers = [_Keeper(part, say) for part in parts]
    for keeper in keepers:
        keeper.start()
    try:
        yield
    finally:
        for keeper in reversed(keepers):
            keeper.tell_to_end()
        for keeper in _alive_after(keepers, grace_seconds):
            keeper.kill()
        for keeper in _alive_after(keepers, KILLED_SECONDS):
            keeper.leave()


def _alive_after(keepers: Sequence[_Keeper], seconds: float) -> list[_Keeper]:
    """Wait until all parts have ended, at most *seconds*; return the keepers of those that have not."""
    until = time.monotonic() + seconds
    for keeper in keepers:
        keeper.join(max(0.0, until - time.monotonic()))
    return [keeper for keeper in keepers if keeper.is_alive()]


class _Keeper(Thread):
    """Keeps one part running, in a thread of its own, until it is told to end."""

    def __init__(self, part: Part, say: Say) -> None:
        super().__init__(name=f"keeper of {part.name}", daemon=True)
        self._part, self._say = part, say
        self._over = Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._over.is_set():
            began = time.monotonic()
            why = self._run_once()
            if self._over.is_set():
                return
            if time.monotonic() - began >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._say(self._part.name, f"{why}; it is started again in {pause:g} s")
            self._over.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def tell_to_end(self) -> None:
        """Let the part end in good order, and start it no more."""
        self._over.set()
        self._terminate()

    def kill(self) -> None:
        """End the part and its children by force, and say so."""
        self._say(self._part.name, "did not end in time; killed")
        self._signal_group(signal.SIGKILL)

    def leave(self) -> None:
        """Say that the part was killed and has not ended."""
        if self._process is not None:
            self._say(self._part.name, LEFT_BEHIND.format(self._process.pid))

    def _run_once(self) -> str:
        """Run the part once, to its end, or until it is stuck; return how it ended."""
        try:
            process = self._process = subprocess.Popen(  # noqa: S603 - our own words
                self._part.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        except OSError as exc:
            return f"could not be started: {exc.strerror}"
        reader = Thread(target=self._read, args=(process,), name=f"log of {self._part.name}", daemon=True)
        reader.start()
        if self._over.is_set():
            self._terminate()
        wait = _Wait(process)
        wait.start()
        has_ended = join(wait)
        how = _how_it_ended(process.returncode if has_ended else None)  # before our own signal gives another status
        self._signal_group(signal.SIGTERM)  # its children
        reader.join(timeout=1.0)
        if not has_ended:
            self._say(self._part.name, LEFT_BEHIND.format(process.pid))
        return how

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            while line := lines.readline(MAX_LINE_BYTES):
                self._say(self._part.name, line.decode(errors="backslashreplace").rstrip("\r\n"))

    def _terminate(self) -> None:
        """Tell the process itself, not its children: those it ends when they have done their work."""
        if self._process is not None:
            self._process.terminate()

    def _signal_group(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


class _Wait(Thread):
    """Waits for one process, as long as that takes: what is stuck may end one day, when the storage answers."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(name=f"wait for {process.pid}", daemon=True)
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self) -> None:
        self._process.wait()


def _how_it_ended(status: int | None) -> str:
    """Return what is said of a part with that *status*, None where it has none."""
    if status is None:
        return "ended but for what hangs"
    return f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
