"""Makes one piece of work out of requests that wait at the same time, so that they share what it costs: a thread, a commit.

The registry blocks, so it is asked in a thread, and to go there and back takes a busy server longer than what it asks. Who
comes first goes at once; those who come meanwhile, or too soon after, go next, all together. So a request that comes alone
takes no longer than without this, and many that come one by one are still only as many groups as there are paces.

Laws (each has a test of the same name):
    each request gets the answer to its own question;
    who comes while others are served is served next, together with all who came;
    groups begin at least a pace apart, the first one at once;
    a request that is given up disturbs no other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

Q = TypeVar("Q")
A = TypeVar("A")

MOST = 100
"""Questions that are answered at once: enough to make a commit cheap for each, few enough to keep nobody waiting for long."""

PACE_SECONDS = 0.01
"""From the beginning of one group to that of the next, at least: about as long as one request that comes alone takes."""


class Grouped(Generic[Q, A]):
    """*work* answers several questions at once, in their order; an exception among the answers is raised for its asker alone.

    What *work* itself raises is raised for all whom it was to answer. For one event loop.
    """

    def __init__(
        self, work: Callable[[Sequence[Q]], Sequence[A | Exception]], most: int = MOST, pace_seconds: float = PACE_SECONDS
    ) -> None:
        self._work = work
        self._most = most
        self._pace_seconds = pace_seconds
        self._next = 0.0
        self._line: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._server: asyncio.Task[None] | None = None

    async def __call__(self, question: Q) -> A:
        """Return the answer to *question*."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._line.append((question, answer))
        if self._server is None:
            self._server = asyncio.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        """Serve all who stand in line, those too who come meanwhile."""
        try:
            while self._line:
                await self._keep_pace()
                asked = [self._line.popleft() for _ in range(min(len(self._line), self._most))]
                answers = await self._answered([question for question, _ in asked])
                for (_, waits), answer in zip(asked, answers, strict=True):
                    _give(waits, answer)
        finally:
            self._server = None

    async def _keep_pace(self) -> None:
        """Wait until it is time for the next group."""
        loop = asyncio.get_running_loop()
        if (early := self._next - loop.time()) > 0:
            await asyncio.sleep(early)
        self._next = loop.time() + self._pace_seconds

    async def _answered(self, questions: Sequence[Q]) -> Sequence[A | Exception]:
        try:
            return await run_in_threadpool(self._work, questions)
        except Exception as exc:  # noqa: BLE001 - it is raised where each question came from
            return [exc] * len(questions)


def _give(waits: asyncio.Future[A], answer: A | Exception) -> None:
    """Hand *answer* to whoever *waits*, unless the request was given up."""
    if waits.done():
        return
    if isinstance(answer, Exception):
        waits.set_exception(answer)
    else:
        waits.set_result(answer)
