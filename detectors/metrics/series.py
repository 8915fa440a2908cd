"""The words of this package: a point, a checkpoint, a series; and the growing series that a reader fills.

A series is what one session reported under one name. Readers of event files and of tables fill a `GrowingSeries`, whose
memory is bounded however many points come; the frozen `Series` it gives is all that the rest of the package knows.

Laws (each has a test of the same name):
    the memory of a growing series does not depend on the number of points;
    of equal steps the later file wins.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MAX_CHECKPOINTS = 1_000
"""Checkpoints kept of one series, the highest steps; also the points kept of one file, the last written."""

MAX_SERIES = 10_000
"""Series that one `Room` holds; further names are told as a number."""

MAX_KEPT_POINTS = 100_000
"""Points that the series of one `Room` keep together, roughly: the n-th series keeps no more than an n-th of them."""


@dataclass(frozen=True, slots=True)
class Point:
    """One number: step is None where the source has none, wall_time (seconds since 1970) likewise."""

    step: int | None
    value: float
    wall_time: float | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The values that were written at one step, in the order of writing."""

    step: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """What one session reported under one name.

    folder is where its files lie, "" at the root; source is the file that holds the last point.
    checkpoints ascend by step and are the most recent ones; where some were dropped, is_cut is true.
    count is the number of points read. least and greatest leave NaN out where there is anything else.
    """

    name: str
    folder: str
    source: str
    last: Point
    checkpoints: tuple[Checkpoint, ...]
    is_cut: bool
    count: int
    least: Point
    greatest: Point


@dataclass(slots=True, eq=False)
class GrowingSeries:
    """A series while it is read, file after file, each from its beginning.

    A reader adds points to the three lists `steps`, `values` and `wall_times` and calls `fold` now and then. Three lists of
    numbers are extended and folded faster than one of points. A wall time of 0 is none.
    stepless is the last point that has no step; it counts where no point has one.
    """

    name: str
    folder: str
    max_points: int = MAX_CHECKPOINTS
    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    wall_times: list[float] = field(default_factory=list)
    count: int = 0
    source: str = ""
    stepless: Point | None = None
    _last: Point | None = None
    _least: Point | None = None
    _greatest: Point | None = None
    _recent: deque[tuple[int, float]] = field(init=False)
    _in_file: int = 0
    _kept: dict[int, tuple[float, ...]] = field(default_factory=dict)
    _is_cut: bool = False

    def __post_init__(self) -> None:
        self._recent = deque(maxlen=self.max_points)

    def add(self, step: int, value: float, wall_time: float) -> None:
        """Append one point."""
        self.steps.append(step)
        self.values.append(value)
        self.wall_times.append(wall_time)

    def extend(self, steps: Sequence[int], values: Sequence[float], wall_times: Sequence[float]) -> None:
        """Append points, given as three columns of equal length."""
        self.steps.extend(steps)
        self.values.extend(values)
        self.wall_times.extend(wall_times)

    def fold(self, source: str) -> None:
        """Take the points of the lists, which come from the file *source*, and forget all but the most recent of them."""
        if not self.steps:
            return
        self.count += len(self.steps)
        self._in_file += len(self.steps)
        self._recent.extend(zip(self.steps[-self.max_points :], self.values[-self.max_points :], strict=True))
        self._keep_last(source)
        self._keep_extremes()
        self.steps.clear()
        self.values.clear()
        self.wall_times.clear()

    def close_file(self, source: str) -> None:
        """Merge what *source* gave into the checkpoints: a step that an earlier file had too has the values of this one."""
        self.fold(source)
        steps = _by_step(self._recent)
        if self._in_file > self.max_points:
            self._is_cut = True
            if len(steps) > 1:
                del steps[self._recent[0][0]]  # some of its values may be among the forgotten ones
        self._kept.update(steps)
        for step in sorted(self._kept)[: -self.max_points]:
            del self._kept[step]
            self._is_cut = True
        self._recent.clear()
        self._in_file = 0

    def close(self) -> Series | None:
        """Return the series, None where no point ever came."""
        last = self._last or self.stepless
        if last is None:
            return None
        checkpoints = tuple(Checkpoint(step, self._kept[step]) for step in sorted(self._kept))
        found = (last, checkpoints, self._is_cut, max(1, self.count), self._least or last, self._greatest or last)
        return Series(self.name, self.folder, self.source, *found)

    def _keep_last(self, source: str) -> None:
        """Keep the point with the highest step; of equal steps the one written last."""
        top = max(self.steps)
        if self._last is None or self._last.step is None or top >= self._last.step:
            self._last = self._point(len(self.steps) - 1 - self.steps[::-1].index(top))
            self.source = source

    def _keep_extremes(self) -> None:
        values = self.values if not math.isnan(sum(self.values)) else [value for value in self.values if value == value]
        if not values:
            return
        least, greatest = min(values), max(values)
        if self._least is None or least < self._least.value:
            self._least = self._point(self.values.index(least))
        if self._greatest is None or greatest > self._greatest.value:
            self._greatest = self._point(self.values.index(greatest))

    def _point(self, index: int) -> Point:
        return Point(self.steps[index], self.values[index], self.wall_times[index] or None)


@dataclass(slots=True)
class Room:
    """How many series may still begin in one scan, and how many points were left out since there was none for theirs."""

    left: int = MAX_SERIES
    left_out: int = 0

    def grow(self, name: str, folder: str) -> GrowingSeries | None:
        """Return a new series, or None where there is no room, which is counted."""
        if self.left <= 0:
            self.left_out += 1
            return None
        self.left -= 1
        return GrowingSeries(name, folder, max(1, min(MAX_CHECKPOINTS, MAX_KEPT_POINTS // (MAX_SERIES - self.left))))


def _by_step(points: Iterable[tuple[int, float]]) -> dict[int, tuple[float, ...]]:
    values: dict[int, list[float]] = {}
    for step, value in points:
        values.setdefault(step, []).append(value)
    return {step: tuple(found) for step, found in values.items()}
