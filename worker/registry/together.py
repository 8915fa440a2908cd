"""Makes one piece of work out of calls that come at the same time, so that they share what it costs: a commit, above all.

Who comes first does the work for itself. Those who come meanwhile wait, and then one of them does it for all of them. Nobody
waits for others to come, so a call that comes alone takes no longer than without this.

Laws (each has a test of the same name):
    each caller gets the answer to its own question;
    who comes while others are served is served next, together with all who came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

MOST = 100
"""Questions that are answered at once: enough to make a commit cheap for each, few enough to keep nobody waiting for long."""


@dataclass(slots=True, eq=False)
class _Asked(Generic[Q, A]):
    """A question; once it was served, *answer* is a list of one, or *error* is what answering it raised."""

    question: Q
    answer: list[A]
    error: Exception | None = None

    @property
    def is_served(self) -> bool:
        return bool(self.answer) or self.error is not None


class Together(Generic[Q, A]):
    """*work* answers several questions at once, in their order; an exception among the answers is raised for its caller alone.

    What *work* itself raises is raised for all whom it was to answer.
    """

    def __init__(self, work: Callable[[Sequence[Q]], Sequence[A | Exception]], most: int = MOST) -> None:
        self._work = work
        self._most = most
        self._line: deque[_Asked[Q, A]] = deque()
        self._turn = Lock()

    def __call__(self, question: Q) -> A:
        """Return the answer to *question*."""
        mine: _Asked[Q, A] = _Asked(question, [])
        self._line.append(mine)
        with self._turn:
            while not mine.is_served:
                self._serve([self._line.popleft() for _ in range(min(len(self._line), self._most))])
        if mine.error is not None:
            raise mine.error
        return mine.answer[0]

    def _serve(self, asked: Sequence[_Asked[Q, A]]) -> None:
        try:
            answers = self._work([one.question for one in asked])
        except Exception as exc:  # noqa: BLE001 - it is raised where the question came from
            for one in asked:
                one.error = exc
            return
        for one, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Exception):
                one.error = answer
            else:
                one.answer.append(answer)
