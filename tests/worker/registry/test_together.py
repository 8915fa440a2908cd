"""Calls that come at the same time are one piece of work, and each caller has its own answer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from worker.registry.together import Together

SECONDS = 10.0


class Slow:
    """Doubles numbers; keeps the first caller until it is let go, and notes what it was asked together."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.began, self.go_on = Event(), Event()

    def __call__(self, questions: Sequence[int]) -> list[int | Exception]:
        self.asked.append(list(questions))
        self.began.set()
        assert self.go_on.wait(SECONDS)
        return [ValueError(f"{number} is odd") if number % 2 else 2 * number for number in questions]


def ask_while_first_is_served(slow: Slow, together: Together[int, int], others: Sequence[int]) -> list[int]:
    """Ask 0, and *others* while that is served; return all answers, errors as -1."""
    with ThreadPoolExecutor(1 + len(others)) as pool:
        first = pool.submit(together, 0)
        assert slow.began.wait(SECONDS)
        more = [pool.submit(together, number) for number in others]
        while len(together._line) < len(others):
            pass
        slow.go_on.set()
        return [-1 if one.exception(SECONDS) else one.result() for one in (first, *more)]


def test_each_caller_gets_the_answer_to_its_own_question() -> None:
    slow = Slow()
    assert ask_while_first_is_served(slow, Together(slow), [2, 4, 5, 6]) == [0, 4, 8, -1, 12]


def test_who_comes_while_others_are_served_is_served_next_together_with_all_who_came() -> None:
    slow = Slow()
    ask_while_first_is_served(slow, Together(slow), [2, 4, 6])
    assert [sorted(asked) for asked in slow.asked] == [[0], [2, 4, 6]]


def test_no_more_than_so_many_are_served_at_once() -> None:
    slow = Slow()
    assert ask_while_first_is_served(slow, Together(slow, most=2), [2, 4, 6]) == [0, 4, 8, 12]
    assert [len(asked) for asked in slow.asked] == [1, 2, 1]


def test_what_the_work_raises_is_raised_for_all_and_the_next_call_is_served() -> None:
    def work(questions: Sequence[int]) -> list[int | Exception]:
        if 0 in questions:
            raise ZeroDivisionError
        return list(questions)

    together: Together[int, int] = Together(work)
    with pytest.raises(ZeroDivisionError):
        together(0)
    assert together(1) == 1
