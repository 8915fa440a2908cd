"""Writers of one process stand in line."""

from __future__ import annotations

import time
from threading import Thread

import pytest

from worker.errors import RegistryUnavailable
from worker.registry.turns import Turns


def test_who_came_first_is_served_first() -> None:
    turns = Turns(10.0)
    served: list[int] = []
    threads: list[Thread] = []

    def serve(number: int) -> None:
        with turns.taken():
            served.append(number)

    with turns.taken():
        for number in range(20):
            threads.append(Thread(target=serve, args=(number,)))
            threads[-1].start()
            while len(turns) < number + 2:
                time.sleep(0.001)
        assert served == []
    for thread in threads:
        thread.join()
    assert served == list(range(20))


def test_one_is_served_at_a_time() -> None:
    turns, inside, most = Turns(10.0), [0], [0]

    def serve() -> None:
        for _ in range(50):
            with turns.taken():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0)
                inside[0] -= 1

    threads = [Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_nobody_waits_without_an_end_and_who_gave_up_is_not_waited_for() -> None:
    turns = Turns(0.01)
    with turns.taken():
        with pytest.raises(RegistryUnavailable, match=r"the registry's database was busy for 0\.01 s"), turns.taken():
            pytest.fail("two were served at once")
        assert len(turns) == 1
    with turns.taken():
        assert len(turns) == 1


def test_an_error_ends_a_turn() -> None:
    turns = Turns(0.01)
    with pytest.raises(ZeroDivisionError), turns.taken():
        raise ZeroDivisionError
    with turns.taken():
        assert len(turns) == 1
