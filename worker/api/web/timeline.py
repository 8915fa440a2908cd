"""What happened each minute of the last hour, as a picture that the server draws and words that say the same.

In go counts by the minute, out comes mark-up as in `pictures`. A minute of which nothing is known is a gap, and the one that
is not over yet is left out: it would look like a fall. Pure.

Laws (each has a test of the same name):
    a minute that nobody counted is a gap;
    the drawing stays inside its frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from markupsafe import Markup

from worker.api.web.pictures import CHART, DOT, END, LAST, LINE, NO_MARKUP, TEXT, Axis
from worker.api.web.wording import clean
from worker.figures import exact

MINUTES = 60
"""How far back it goes."""

WIDTH, HEIGHT = 360, 150
TOP, BOTTOM = 12.0, 128.0
LEFT, RIGHT = 40.0, 314.0
BELOW = 144.0

MOST_LINES = 4
"""Spaces between the lines across, roughly."""

QUARTERS = (0, 15, 30, 45, 60)
"""The minutes that are labelled."""

GRID = Markup(
    '<path class="grid" d="{lines}"/><path class="axis" d="M{start:.1f} {bottom:.1f}H{stop:.1f}"/>'
    '<g text-anchor="end">{across}</g><g text-anchor="middle">{below}</g>'
)

MINUTE = timedelta(minutes=1)


def whole_minutes(now: datetime) -> list[datetime]:
    """Return the beginnings of the minutes of the last hour that are over, oldest first."""
    end = now.astimezone(UTC).replace(second=0, microsecond=0)
    return [end - minute * MINUTE for minute in range(MINUTES, 0, -1)]


def timeline(title: str, counts: Sequence[int | None], now: datetime, id: str) -> Markup:
    """Return a chart of *counts*, one for each of `whole_minutes(now)`, None where nobody knows; *id* is unique on its page."""
    top, step = _scale(max((count for count in counts if count is not None), default=0))
    x = Axis(0, MINUTES - 1, (), start=LEFT, stop=RIGHT)
    y = Axis(0, top, tuple(range(0, top + 1, step)), start=BOTTOM, stop=TOP)
    drawn = NO_MARKUP.join((_grid(y, now), *_lines(counts, x, y), _end(counts, x, y)))
    return CHART.format(
        width=WIDTH, height=HEIGHT, id=id, title=f"{clean(title)}, last hour", said=described(counts), drawn=drawn
    )


def described(counts: Sequence[int | None]) -> str:
    """Return in words what a chart of *counts* shows."""
    known = [count for count in counts if count is not None]
    if not known:
        return "Not known for any minute of the hour."
    lost = len(counts) - len(known)
    gap = f" Not known for the first {lost} minutes: there are too many to count." if lost else ""
    if not any(known):
        return f"None in the last {len(known)} minutes.{gap}"
    most, last = exact(max(known)), exact(known[-1])
    return f"{exact(sum(known))} in {len(known)} minutes, {most} a minute at most, {last} in the last.{gap}"


def _scale(most: int) -> tuple[int, int]:
    """Return the end of an axis for counts up to *most*, and how far its lines stand apart: 1, 2 or 5 times a power of ten."""
    if most <= MOST_LINES:
        return max(most, 2), 1
    least = most / MOST_LINES
    power = 10 ** math.floor(math.log10(least))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= least)
    return step * math.ceil(most / step), step


def _grid(y: Axis, now: datetime) -> Markup:
    end = now.astimezone(UTC).replace(second=0, microsecond=0)
    places = Axis(0, MINUTES, (), start=LEFT, stop=RIGHT)
    return GRID.format(
        lines=" ".join(f"M{LEFT:.1f} {y.at(tick):.1f}H{RIGHT:.1f}" for tick in y.ticks[1:]),
        start=LEFT,
        stop=RIGHT,
        bottom=BOTTOM,
        across=NO_MARKUP.join(TEXT.format(LEFT - 6, y.at(tick) + 4, _short(int(tick))) for tick in y.ticks),
        below=NO_MARKUP.join(
            TEXT.format(places.at(minute), BELOW, f"{end - (MINUTES - minute) * MINUTE:%H:%M}") for minute in QUARTERS
        ),
    )


def _short(count: int) -> str:
    return f"{count / 1000:g}k" if count >= 10_000 else f"{count:,}"


def _lines(counts: Sequence[int | None], x: Axis, y: Axis) -> list[Markup]:
    """Return the line, in a piece for each stretch that is known; a stretch of one minute is a dot."""
    pieces = []
    for is_known, group in groupby(enumerate(counts), lambda one: one[1] is not None):
        stretch = [(x.at(at), y.at(count or 0)) for at, count in group] if is_known else []
        if len(stretch) == 1:
            pieces.append(DOT.format("a", *stretch[0], 2))
        elif stretch:
            pieces.append(LINE.format("a", " ".join(f"{across:.1f},{up:.1f}" for across, up in stretch)))
    return pieces


def _end(counts: Sequence[int | None], x: Axis, y: Axis) -> Markup:
    last = counts[-1] if counts else None
    if last is None:
        return NO_MARKUP
    place = x.at(len(counts) - 1), y.at(last)
    return DOT.format("a", *place, 3.5) + END.format(LAST, RIGHT + 8, place[1] + 4, exact(last))
