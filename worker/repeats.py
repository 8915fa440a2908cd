"""Steps that come to the same again and again, told once. Pure.

What waits for its files for an hour is looked at a hundred times: a claim and a wait each time, which say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Step = TypeVar("Step")

FEWEST_FOLDED = 4
"""Fewer steps than this are shown, though they are alike."""


def told_once(steps: Sequence[Step], said: Callable[[Step], object]) -> Iterator[Step | int]:
    """Yield the *steps*, but of pairs that say the same again and again only the first and the last, and between them how many
    steps there were. *said* is what a step says.
    """
    place = 0
    while place < len(steps):
        end = place + 2
        while end < len(steps) and said(steps[end]) == said(steps[end - 2]):
            end += 1
        end -= (end - place) % 2
        left = end - place - 4
        if left >= FEWEST_FOLDED:
            yield from steps[place : place + 2]
            yield left
            yield from steps[end - 2 : end]
            place = end
        else:
            yield steps[place]
            place += 1
