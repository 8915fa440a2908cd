"""Processes that live and end together: real ones, killed, deaf and left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.chaos.hanging import HangingMount, Hangs
from tests.chaos.mounts import hanging_mount_or_skip
from tests.servers.process import is_running, until
from tests.worker.test_stuck import LEAVES_A_THREAD
from worker import up
from worker.up import Part, running


class Log:
    """Every line that was said, by part."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def of(self, name: str) -> list[str]:
        return [line for who, line in self.lines if who == name]


def shell(name: str, script: str) -> Part:
    return Part(name, ("bash", "-c", script))


def test_lines_of_all_parts_come_into_one_log_under_their_names() -> None:
    log = Log()
    with running([shell("a", "echo one; echo two >&2; sleep 60"), shell("b", "printf 'three\\xff\\n'; sleep 60")], log):
        assert until(lambda: len(log.lines) == 3, 10)
    assert log.of("a")[:2] == ["one", "two"]
    assert log.of("b")[0] == "three\\xff"


def test_a_part_that_dies_is_started_again_each_time_a_little_later_while_it_does_not_live_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(up, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(up, "LONGEST_PAUSE_SECONDS", 0.15)
    log = Log()
    with running([shell("a", "exit 3"), Part("b", ("/nowhere/worker",)), shell("c", "kill -9 $$")], log):
        assert until(lambda: len(log.of("a")) >= 4, 10)
    told = [f"ended with status 3; it is started again in {pause:g} s" for pause in (0.05, 0.1, 0.15, 0.15)]
    assert log.of("a")[:4] == told
    assert log.of("b")[0] == "could not be started: No such file or directory; it is started again in 0.05 s"
    assert log.of("c")[0] == "was ended by SIGKILL; it is started again in 0.05 s"


def test_a_part_that_lived_for_long_is_started_again_as_after_its_first_death(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(up, "STEADY_SECONDS", 0.1)
    log = Log()
    with running([shell("a", "sleep 0.2; exit 1")], log):
        assert until(lambda: len(log.of("a")) >= 3, 10)
    assert log.of("a")[:3] == ["ended with status 1; it is started again in 0.05 s"] * 3


def test_all_parts_are_gone_when_it_is_over_those_that_do_not_listen_too() -> None:
    """One ends at once, one takes its time, one does not listen, and one has a child."""
    log = Log()
    parts = [
        shell("quick", "echo $$; sleep 60"),
        shell("slow", "trap 'sleep 0.3; echo done; exit 0' TERM; echo $$; while :; do sleep 0.05; done"),
        shell("deaf", "trap '' TERM; echo $$; while :; do sleep 0.05; done"),
        shell("parent", "sleep 60 & echo $!; wait"),
    ]
    with running(parts, log, grace_seconds=2):
        assert until(lambda: len(log.lines) == 4, 10)
        pids = [int(line) for _, line in log.lines]
        began = time.monotonic()
    assert 1.5 < time.monotonic() - began < 10
    assert not any(map(is_running, pids))
    assert log.of("slow")[1:] == ["done"]
    assert log.of("deaf")[1:] == ["did not end in time; killed"]
    assert log.of("quick")[1:] == []


def test_what_a_dead_part_left_behind_ends_and_does_not_keep_it_from_being_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(up, "FIRST_PAUSE_SECONDS", 0.05)
    log = Log()
    with running([shell("a", "sleep 60 & echo $!; wait")], log):
        assert until(lambda: len(log.of("a")) == 1, 10)
        left = int(log.of("a")[0])
        os.kill(parent_of(left), signal.SIGKILL)
        assert until(lambda: len(log.of("a")) == 3, 10)
        assert not is_running(left)


ASKS_IN_A_THREAD = """
import sys, threading, time
threading.Thread(target=os.listdir, args=(sys.argv[1],)).start()
time.sleep(60)
"""
ASKS_IN_THE_FIRST_THREAD = "import sys; os.listdir(sys.argv[1])"


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[HangingMount]:
    """A folder whose listing never comes; who waits for it cannot be killed."""
    with hanging_mount_or_skip(tmp_path / "mount", Hangs.LIST) as mounted:
        yield mounted


def test_what_is_stuck_is_left_behind_and_another_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "FIRST_PAUSE_SECONDS", 0.05)
    log = Log()
    with running([Part("a", (sys.executable, "-c", "import os; print(os.getpid(), flush=True)" + LEAVES_A_THREAD))], log):
        assert until(lambda: len(log.of("a")) >= 4, 20), log.lines
    first, left, told, second = log.of("a")[:4]
    assert left == f"left behind: process {first} waits for storage that hangs, and nothing can end it"
    assert told == "ended but for what hangs; it is started again in 0.05 s"
    assert int(second) != int(first)


KILLED = "did not end in time; killed"
LEFT = "left behind: process {} waits for storage that hangs, and nothing can end it"


@pytest.mark.parametrize(("script", "told"), [(ASKS_IN_A_THREAD, [LEFT]), (ASKS_IN_THE_FIRST_THREAD, [KILLED, LEFT])])
def test_the_end_waits_for_none_that_waits_for_storage_that_hangs(
    mount: HangingMount, script: str, told: Sequence[str]
) -> None:
    """What hangs in a thread ends but for that; of what hangs in its first thread nothing ends, and it must be killed."""
    part = Part("a", (sys.executable, "-c", f"import os; print(os.getpid(), flush=True); {script}", str(mount.folder)))
    log = Log()
    with running([part, shell("b", "sleep 60")], log, grace_seconds=3):
        assert until(lambda: mount.waiting == 1, 20)
        began = time.monotonic()
    assert time.monotonic() - began < 3 + up.KILLED_SECONDS + 1
    pid, *said = log.of("a")
    assert said == [one.format(pid) for one in told]
    assert log.of("b") == []


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    log = Log()
    endless = Part("a", (sys.executable, "-c", f"import sys; sys.stdout.write('x' * {3 * up.MAX_LINE_BYTES})"))
    with running([endless], log):
        assert until(lambda: len(log.of("a")) >= 3, 10)
    assert {len(line) for line in log.of("a")[:3]} == {up.MAX_LINE_BYTES}


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
