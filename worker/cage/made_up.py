"""Made-up inputs: what a signature is run on once, so that it can be seen to run.

In go the axes of an input, out come sizes and what to fill them with. Zeros and size one suit nearly every model; the other
fillings are for those that divide by what they are given, or that shrink an image until nothing is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Axes = Sequence[int | str | None]
"""Known sizes, symbolic ones, and None; a size below zero is unknown, too."""


@dataclass(frozen=True, slots=True)
class Filling:
    """Numbers, texts, and the size of axes that are unknown: *batch* for the first, *size* for the others."""

    number: int
    text: str
    batch: int
    size: int
    most_elements: int = 1 << 26

    @property
    def told(self) -> str:
        """What a person is told of it."""
        unknown = f"{self.batch}" if self.size == self.batch else f"{self.batch}, then {self.size}"
        return f"inputs of {self.number} and {self.text!r}, unknown sizes {unknown}"

    def sizes(self, axes: Axes) -> list[int]:
        """Return the axes with all sizes known."""
        return [self._size(place, axis) for place, axis in enumerate(axes)]

    def _size(self, place: int, axis: int | str | None) -> int:
        if isinstance(axis, int) and axis >= 0:
            return axis
        return self.batch if place == 0 else self.size


FILLINGS = (Filling(0, "", 1, 1), Filling(1, "0", 1, 1), Filling(0, "", 1, 32), Filling(0, "", 1, 224), Filling(0, "", 2, 2))
"""What is tried, in this order, until one runs."""


def size_of(axes: Axes, filling: Filling) -> int:
    """Return how many elements an input of these axes has, filled so."""
    return math.prod(filling.sizes(axes))
