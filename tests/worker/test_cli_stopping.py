"""A command that is told to end does, whatever it is doing in that moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worker.cli.stopping import Stopped

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, signal, sys, threading, weakref
from worker import cli

class Thing:
    def __del__(self):
        if sys.argv[1] == "finalizer":
            end()

def end(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    [None for _ in range(1000)]

def work(arguments):
    thing = Thing()
    kept = weakref.ref(thing, end) if arguments == ["weak reference"] else None
    if arguments == ["anywhere else"]:
        end()
    del thing
    threading.Event().wait(30)
    return 0

cli.run = work
cli.main()
"""
"""A command that gets a SIGTERM at the place that the first argument names, and would then go on for half a minute."""


@pytest.mark.parametrize("place", ["weak reference", "finalizer", "anywhere else"])
def test_no_sigterm_is_forgotten(place: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, place], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")


def test_a_command_may_catch_it_as_what_leaves_the_program() -> None:
    with pytest.raises(SystemExit) as left:
        raise Stopped(143)
    assert left.value.code == 143


def test_what_else_is_dropped_is_told() -> None:
    program = "from worker import cli\nclass Thing:\n    def __del__(self): raise ValueError('here')\n"
    program += "def work(arguments):\n    Thing()\n    return 0\ncli.run = work\ncli.main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "ValueError: here" in done.stderr
