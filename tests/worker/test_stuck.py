"""Processes that have ended but for one of their threads."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context

from tests.servers.process import until
from worker.stuck import is_stuck, join

LEAVES_A_THREAD = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""
"""Source: pthread_exit(3): the end of the first thread ends no other one."""


@contextmanager
def process(code: str) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def test_a_process_is_stuck_whose_first_thread_has_ended_and_another_has_not() -> None:
    with process(LEAVES_A_THREAD) as left:
        assert until(lambda: is_stuck(left.pid), 10)


def test_a_process_is_not_stuck_that_works_or_that_has_ended() -> None:
    with process("import time; time.sleep(60)") as works, process("") as ended:
        assert not until(lambda: is_stuck(works.pid) or is_stuck(ended.pid), 1)
    assert not is_stuck(ended.pid)
    assert not is_stuck(None)


def test_the_end_of_a_process_is_waited_for() -> None:
    ends = get_context("spawn").Process(target=time.sleep, args=(0.1,))
    ends.start()
    assert join(ends)
    assert ends.exitcode == 0


def exit_in_the_first_thread() -> None:
    exec(LEAVES_A_THREAD)


def test_what_is_stuck_is_not_waited_for() -> None:
    stays = get_context("spawn").Process(target=exit_in_the_first_thread)
    stays.start()
    try:
        assert not join(stays)
    finally:
        stays.kill()
        stays.join()
