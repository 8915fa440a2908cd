"""Kills who watches a cage, or the cage's own keeper, at random moments; and counts what is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.servers.process import children, until
from worker.verification import Rung

ROOT = Path(__file__).parents[3]
GONE_SECONDS = 2.0

PARENT = """
import sys
from worker.cage.launcher import Limits, Subject, run
from worker.verification import Rung
run(Subject("hostile", {"how": "sleep"}, {}, (sys.argv[2],)), Rung(sys.argv[1]), Limits(seconds=60))
"""
"""A process that watches a cage in which somebody sleeps."""


def left_of(token: str) -> list[int]:
    """Return the processes that name *token* in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if token.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def kill_once(rung: Rung, folder: Path, chance: random.Random, is_keeper: bool) -> list[int]:
    """Start a process that watches a cage, kill it (or what it started) after a moment; return what is left after 2 s.

    *folder* holds the module that sleeps, and its name is nobody else's.
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, rung.value, str(folder)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: len(left_of(str(folder))) > 1 or parent.poll() is not None, 20.0)
        assert parent.poll() is None, "it ended before it was killed"
        time.sleep(chance.uniform(0, 0.3))
        if is_keeper:
            for pid in children(parent.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            parent.wait(20.0)
        else:
            parent.kill()
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not left_of(str(folder)), GONE_SECONDS)
    return left_of(str(folder))
