"""Requests that wait at the same time are one piece of work, and each has its own answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise
from threading import Event

from worker.api.grouped import Grouped

SECONDS = 10.0


class Slow:
    """Doubles even numbers; keeps the first one until it is let go, and notes what it was asked together."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.go_on = Event()

    def __call__(self, questions: Sequence[int]) -> list[int | Exception]:
        self.asked.append(list(questions))
        assert self.go_on.wait(SECONDS)
        return [ValueError(f"{number} is odd") if number % 2 else 2 * number for number in questions]


async def ask_while_first_is_served(slow: Slow, others: Sequence[int], most: int = 100) -> list[int | BaseException]:
    """Ask 0, and *others* while that is served; return all answers."""
    grouped: Grouped[int, int] = Grouped(slow, most)
    tasks = [asyncio.create_task(grouped(0))]
    while not slow.asked:
        await asyncio.sleep(0.001)
    tasks += [asyncio.create_task(grouped(number)) for number in others]
    await asyncio.sleep(0)
    slow.go_on.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_each_request_gets_the_answer_to_its_own_question() -> None:
    answers = asyncio.run(ask_while_first_is_served(Slow(), [2, 4, 5, 6]))
    assert [repr(answer) for answer in answers] == ["0", "4", "8", "ValueError('5 is odd')", "12"]


def test_who_comes_while_others_are_served_is_served_next_together_with_all_who_came() -> None:
    slow = Slow()
    asyncio.run(ask_while_first_is_served(slow, [2, 4, 6]))
    assert slow.asked == [[0], [2, 4, 6]]


def test_groups_begin_at_least_a_pace_apart_the_first_one_at_once() -> None:
    pace_seconds, begun, asked = 0.2, [], []

    def work(questions: Sequence[int]) -> list[int | Exception]:
        begun.append(time.monotonic())
        asked.append(list(questions))
        return list(questions)

    async def ask_one_by_one() -> float:
        grouped: Grouped[int, int] = Grouped(work, pace_seconds=pace_seconds)
        came = time.monotonic()
        tasks = []
        for number in range(10):
            tasks.append(asyncio.create_task(grouped(number)))
            await asyncio.sleep(pace_seconds / 4)
        await asyncio.gather(*tasks)
        return came

    came = asyncio.run(ask_one_by_one())
    assert asked[0] == [0]
    assert begun[0] - came < pace_seconds
    assert all(later - sooner > pace_seconds / 2 for sooner, later in pairwise(begun))
    assert 2 <= len(begun) <= 5


def test_no_more_than_so_many_are_served_at_once() -> None:
    slow = Slow()
    assert asyncio.run(ask_while_first_is_served(slow, [2, 4, 6], most=2)) == [0, 4, 8, 12]
    assert slow.asked == [[0], [2, 4], [6]]


def test_a_request_that_is_given_up_disturbs_no_other() -> None:
    slow = Slow()

    async def give_up_the_first() -> tuple[bool, int]:
        grouped: Grouped[int, int] = Grouped(slow)
        first, second = asyncio.create_task(grouped(0)), asyncio.create_task(grouped(2))
        while not slow.asked:
            await asyncio.sleep(0.001)
        first.cancel()
        slow.go_on.set()
        return (await asyncio.wait([first]))[0].pop().cancelled(), await second

    assert asyncio.run(give_up_the_first()) == (True, 4)


def test_what_the_work_raises_is_raised_for_all_and_the_next_request_is_served() -> None:
    def work(questions: Sequence[int]) -> list[int | Exception]:
        if 0 in questions:
            raise ZeroDivisionError
        return list(questions)

    async def ask() -> list[int | BaseException]:
        grouped: Grouped[int, int] = Grouped(work)
        failed = await asyncio.gather(grouped(0), grouped(1), return_exceptions=True)
        return [*failed, await grouped(1)]

    answers = asyncio.run(ask())
    assert [type(answer) for answer in answers] == [ZeroDivisionError, ZeroDivisionError, int]
