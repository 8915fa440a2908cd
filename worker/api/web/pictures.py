"""Pictures as SVG that the server draws, so that they are there without a script and say in words what they show.

In go numbers and names, names from outside too; out comes mark-up without any style attribute, so a strict content policy takes
it. What is no finite number is never drawn: a line has a gap there, and the words count it. Pure.

Laws (each has a test of the same name):
    whatever is drawn is well-formed;
    whatever is drawn lies inside its frame;
    the last value is written at its point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from markupsafe import Markup

from worker.api.web.wording import MINUS, clean, metric_text, plural
from worker.figures import NBSP

Point = tuple[float, float]
"""A place in user units of a picture, or a step and its value."""

WIDTH, HEIGHT = 380, 188
TOP, BOTTOM = 12.0, 166.0
LEAST_LEFT, LEAST_RIGHT = 40.0, 56.0
LABEL_UNITS = 6.2
"""Width of a character of a label, roughly: they are 11 units high."""

LINE_UNITS = 13.0
"""How far labels stand apart that would else lie on each other."""

TICKS = 4
"""How many spaces the axes are divided into, roughly."""

FAR = 1e100
"""Values further from zero than this, and spans closer to it than its inverse, get no round ticks: sums would overflow."""

MOST_POINTS = 400
"""Points of a line. Of more, the least and the greatest of each stretch are drawn: the picture has as many columns."""

SPARK_WIDTH, SPARK_HEIGHT = 96, 24


CHART = Markup(
    '<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{id}-t {id}-d">'
    '<title id="{id}-t">{title}</title><desc id="{id}-d">{said}</desc>{drawn}</svg>'
)
GRID = Markup(
    '<path class="grid" d="{lines}"/><path class="axis" d="M{start:.1f} {bottom:.1f}H{stop:.1f}"/>'
    '<g text-anchor="end">{across}</g><g text-anchor="middle">{below}</g>'
    '<text x="{step:.1f}" y="182" text-anchor="end">step</text>'
)
TEXT = Markup('<text x="{:.1f}" y="{:.1f}">{}</text>')
LINE = Markup('<polyline class="line-{}" points="{}"/>')
DOT = Markup('<circle class="dot-{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>')
END = Markup('<text{} x="{:.1f}" y="{:.1f}">{}</text>')
SPARK = Markup('<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
BAR = Markup(
    '<svg class="hist" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
    '<rect width="{:.1f}" height="8"/></svg>'
)
STACK = Markup('<svg class="parts" viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>')
PART = Markup('<rect class="p{}" x="{:.1f}" width="{:.1f}" height="14"/>')
SWATCH = Markup('<svg class="swatch" viewBox="0 0 22 8" aria-hidden="true"><path class="line-{}" d="M0 4h22"/></svg>')
KEY = Markup('<svg class="key" viewBox="0 0 10 10" aria-hidden="true"><rect class="p{}" width="10" height="10" rx="2"/></svg>')
LAST = Markup(' class="last"')
NO_MARKUP = Markup("")


@dataclass(frozen=True, slots=True)
class Curve:
    """What one session reported under one name: its name, and values by step, in order. NaN and infinities are gaps."""

    name: str
    points: tuple[Point, ...]

    @property
    def finite(self) -> tuple[Point, ...]:
        """The points that can be drawn."""
        return tuple(point for point in self.points if math.isfinite(point[1]))


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from *low* to *high*, with the *ticks* that are labelled, on the way from unit *start* to unit *stop*."""

    low: float
    high: float
    ticks: tuple[float, ...]
    start: float
    stop: float

    def at(self, value: float) -> float:
        """Return the unit at which *value* lies. Halves, because the span of doubles may be no double."""
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return self.start + min(1.0, max(0.0, share)) * (self.stop - self.start)


def curves(title: str, series: Sequence[Curve], id: str, is_named: bool = False) -> Markup:
    """Return a chart of values by step, the first of *series* before the others, which are dashed; *id* is unique on its page.

    is_named writes the name of a curve behind its last value. Where nothing can be drawn, the words alone are there.
    """
    drawn = [(at, curve) for at, curve in enumerate(series) if curve.finite]
    if not drawn:
        return _chart(title, series, id, NO_MARKUP)
    labels = [_label(curve, is_named) for _, curve in drawn]
    steps, values = zip(*(point for _, curve in drawn for point in curve.finite), strict=True)
    y_low, y_high, y_ticks = _domain(min(values), max(values))
    told = [_tick(tick, y_ticks) for tick in y_ticks]
    left = max(LEAST_LEFT, 8 + LABEL_UNITS * max(map(len, told)))
    right = WIDTH - max(LEAST_RIGHT, 14 + LABEL_UNITS * 1.1 * max(map(len, labels)))
    x = Axis(*_domain(min(steps), max(steps), is_tight=True), start=left, stop=max(right, left + 40))
    y = Axis(y_low, y_high, y_ticks, start=BOTTOM, stop=TOP)
    lines = (_line(curve, x, y, is_first=at == 0) for at, curve in reversed(drawn))
    return _chart(title, series, id, NO_MARKUP.join((_grid(x, y, told), *lines, *_ends(drawn, labels, x, y))))


def described(title: str, series: Sequence[Curve]) -> str:
    """Return in words what a chart of *series* shows: how each goes, where it ends, and what of it cannot be drawn."""
    told = [_course(curve, is_whole=at == 0) for at, curve in enumerate(series)]
    return "; ".join(told) + "." if told else f"{clean(title)}: no values."


def _course(curve: Curve, is_whole: bool) -> str:
    name, points = clean(curve.name) or "the run", curve.finite
    if not points:
        gone = f"; {_not_drawn(len(curve.points))}" if curve.points else ""
        return f"{name} has no value that can be drawn{gone}"
    (first_step, first), (last_step, last) = points[0], points[-1]
    end = f"{metric_text(last)} at step {_step(last_step)}"
    way = "rises" if last > first else "falls" if last < first else "goes"
    whole = f"{way} from {metric_text(first)} at step {_step(first_step)} to"
    told = f"{name} {'is' if len(points) == 1 else whole if is_whole else 'ends at'} {end}"
    gaps = len(curve.points) - len(points)
    return f"{told}, {_not_drawn(gaps)}" if gaps else told


def _not_drawn(gaps: int) -> str:
    return f"{plural(gaps, 'value')} not drawn because {'it is' if gaps == 1 else 'they are'} no finite number"


def _chart(title: str, series: Sequence[Curve], id: str, drawn: Markup) -> Markup:
    return CHART.format(
        width=WIDTH,
        height=HEIGHT if drawn else 24,
        id=id,
        title=clean(title),
        said=described(title, series),
        drawn=drawn or TEXT.format(0, 16, "nothing that can be drawn"),
    )


def _grid(x: Axis, y: Axis, told: Sequence[str]) -> Markup:
    across = (TEXT.format(x.start - 6, y.at(tick) + 4, text) for tick, text in zip(y.ticks, told, strict=True))
    below = (TEXT.format(x.at(tick), 182, _short_step(tick)) for tick in x.ticks)
    return GRID.format(
        lines=" ".join(f"M{x.start:.1f} {y.at(tick):.1f}H{x.stop:.1f}" for tick in y.ticks),
        start=x.start,
        stop=x.stop,
        bottom=BOTTOM,
        across=NO_MARKUP.join(across),
        below=NO_MARKUP.join(below),
        step=max(24.0, x.at(x.ticks[0]) - 6 - LABEL_UNITS * len(_short_step(x.ticks[0])) / 2),
    )


def _line(curve: Curve, x: Axis, y: Axis, is_first: bool) -> Markup:
    """Return a curve as polylines, one for each stretch without a gap; a stretch of one point is a dot."""
    letter, pieces = "a" if is_first else "b", []
    for is_drawn, group in groupby(curve.points, lambda point: math.isfinite(point[1])):
        if is_drawn:
            stretch = [(x.at(step), y.at(value)) for step, value in _thinned(list(group))]
            points = " ".join(f"{across:.1f},{up:.1f}" for across, up in stretch)
            pieces.append(LINE.format(letter, points) if len(stretch) > 1 else DOT.format(letter, *stretch[0], 2.5))
    return NO_MARKUP.join(pieces)


def _thinned(points: list[Point]) -> list[Point]:
    """Return *points*, of many only the least and the greatest of each stretch of equally many, and the last."""
    if len(points) <= MOST_POINTS:
        return points
    length = math.ceil(2 * len(points) / MOST_POINTS)
    kept: list[Point] = []
    for start in range(0, len(points), length):
        piece = points[start : start + length]
        extremes = {piece.index(pick(piece, key=lambda point: point[1])) for pick in (min, max)}
        kept += [piece[at] for at in sorted(extremes)]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _ends(drawn: Sequence[tuple[int, Curve]], labels: Sequence[str], x: Axis, y: Axis) -> Iterator[Markup]:
    """Yield the last point of each curve with its value, no label upon another."""
    ends = [(x.at(curve.finite[-1][0]), y.at(curve.finite[-1][1])) for _, curve in drawn]
    heights = _apart([place[1] for place in ends])
    for (at, _), place, height, label in reversed(list(zip(drawn, ends, heights, labels, strict=True))):
        letter, kind = ("a", LAST) if at == 0 else ("b", NO_MARKUP)
        yield DOT.format(letter, *place, 3.5) + END.format(kind, x.stop + 8, height + 4, label)


def _apart(heights: Sequence[float]) -> list[float]:
    """Return *heights*, moved as little as it takes that each stands `LINE_UNITS` from the next, inside the frame if it can."""
    order = sorted(range(len(heights)), key=lambda at: heights[at])
    moved = list(heights)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + LINE_UNITS)
    over = max(moved, default=0.0) - (BOTTOM - 2)
    for at in reversed(order):
        if over <= 0:
            break
        moved[at] -= over
        above_it = [moved[other] for other in order[: order.index(at)]]
        over = max(above_it) + LINE_UNITS - moved[at] if above_it else 0.0
    return moved


def _label(curve: Curve, is_named: bool) -> str:
    told = metric_text(curve.finite[-1][1])
    name = clean(curve.name)
    return f"{told} {name if len(name) <= 12 else name[:11] + '…'}" if is_named else told


def _domain(low: float, high: float, is_tight: bool = False) -> tuple[float, float, tuple[float, ...]]:
    """Return the ends of an axis for values from *low* to *high*, and its ticks; a tight one ends where the values do.

    Where the values are so far apart, so close together or so far from zero that round ticks cannot be told, the ends are.
    """
    if low == high:
        low, high = _widened(low)
    greatest, span = max(abs(low), abs(high)), high / 2 - low / 2
    if greatest > FAR or span < 1 / FAR or span < greatest * 1e-9:
        return (low, high, (low, high)) if span > 0 else (low, low + 1, (low, low + 1))
    if is_tight and 0 < low <= 0.25 * high:
        low = 0.0
    step = _round_step((high - low) / TICKS)
    first, last = (
        (math.ceil(low / step), math.floor(high / step)) if is_tight else (math.floor(low / step), math.ceil(high / step))
    )
    ticks = tuple(at * step for at in range(first, last + 1))
    if not ticks:
        return low, high, (low, high)
    return (low, high, ticks) if is_tight else (ticks[0], ticks[-1], ticks)


def _widened(value: float) -> tuple[float, float]:
    """Return ends around one value: a little below and above, or to zero where that would leave the range of doubles."""
    if abs(value) > FAR:
        return min(value, 0.0), max(value, 0.0)
    by = abs(value) / 10 or 1.0
    return value - by, value + by


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is not below *least*, about."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= least * 0.999)


def _tick(value: float, ticks: Sequence[float]) -> str:
    """Return the label of a tick, with as many decimals as tell it from the next."""
    gap = ticks[1] / 2 - ticks[0] / 2 if len(ticks) > 1 else abs(value) / 2
    greatest = max(map(abs, ticks))
    if greatest >= 1e6 or gap < 5e-6:
        mantissa, e, exponent = f"{value:.3g}".partition("e")
        return (f"{mantissa}e{int(exponent)}" if e else mantissa).replace("-", MINUS)
    decimals = max(0, -math.floor(math.log10(2 * gap) + 1e-9))
    return "0" if abs(value) < gap / 1000 else f"{value:,.{decimals}f}".replace("-", MINUS)


def _step(step: float) -> str:
    return f"{step:,.0f}".replace("-", MINUS) if abs(step) < 1e15 else f"{step:.3g}".replace("-", MINUS)


def _short_step(step: float) -> str:
    """Return a step as an axis shows it: `12k`, `1.5M`."""
    if abs(step) >= 1e15:
        return _step(step)
    for least, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(step) >= least:
            return f"{step / least:.4g}{letter}".replace("-", MINUS)
    return f"{step:.4g}".replace("-", MINUS)


def sparkline(name: str, values: Sequence[float | None]) -> Markup:
    """Return how *values* went, in a picture as high as a line of text; None and what is not finite is a gap."""
    numbers = [value if value is not None and math.isfinite(value) else None for value in values]
    known = [(at, value) for at, value in enumerate(numbers) if value is not None]
    if not known:
        return SPARK.format(SPARK_WIDTH, SPARK_HEIGHT, f"{clean(name)}: no values", NO_MARKUP)
    place, drawn = _spark_places(numbers), []
    for is_known, group in groupby(enumerate(numbers), lambda one: one[1] is not None):
        stretch = [place(at) for at, _ in group] if is_known else []
        if len(stretch) == 1:
            drawn.append(DOT.format("a", *stretch[0], 1.5))
        elif stretch:
            drawn.append(LINE.format("a", " ".join(f"{across:.1f},{up:.1f}" for across, up in stretch)))
    drawn.append(DOT.format("a", *place(known[-1][0]), 2.75))
    ends = " to ".join(metric_text(float(value)) for _, value in (known[0], known[-1]))
    label = f"{clean(name)} over {plural(len(numbers), 'version')}, {ends}"
    return SPARK.format(SPARK_WIDTH, SPARK_HEIGHT, label, NO_MARKUP.join(drawn))


def _spark_places(numbers: Sequence[float | None]) -> Callable[[int], Point]:
    """Return what tells the place of the n-th of *numbers*, which has a value."""
    known = [value for value in numbers if value is not None]
    low, high = min(known), max(known)
    half = high / 2 - low / 2

    def place(at: int) -> Point:
        value = numbers[at]
        assert value is not None
        across = 3 + 90 * (at / (len(numbers) - 1) if len(numbers) > 1 else 1)
        return across, 20 - 16 * ((value / 2 - low / 2) / half) if half > 0 else 12

    return place


def bar(share: float) -> Markup:
    """Return a bar as long as *share* of its cell, from 0 to 1; its number stands beside it."""
    return BAR.format(100 * min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0)


PARTS = 4
"""Parts of a bar that are told apart by colour; what is more is one part."""


def parts(counts: Sequence[tuple[str, int]]) -> Markup:
    """Return one bar divided into the parts of a whole, in the order given; empty where there is nothing."""
    total = sum(count for _, count in counts)
    if total <= 0:
        return NO_MARKUP
    shown, at, drawn = list(counts[:PARTS]), 0.0, []
    if len(counts) > PARTS:
        shown = [*counts[: PARTS - 1], ("others", sum(count for _, count in counts[PARTS - 1 :]))]
    for number, (_, count) in enumerate(shown, 1):
        width = 1000 * (count / total)
        drawn.append(PART.format(number, at, max(width - 2, min(width, 1))))
        at += width
    said = ", ".join(f"{clean(name)} {percent(count, total)}" for name, count in shown)
    return STACK.format(said, NO_MARKUP.join(drawn))


def key(number: int) -> Markup:
    """Return the sign that tells which part of a bar a row is, counted from 1."""
    return KEY.format(min(number, PARTS))


def swatch(is_first: bool) -> Markup:
    """Return a piece of the line of the first curve of a chart, or of the others."""
    return SWATCH.format("a" if is_first else "b")


def percent(count: int, total: int) -> str:
    """Return a share in percent: `98.1 %`, `< 0.1 %`."""
    share = 100 * count / total if total else 0.0
    return f"< 0.1{NBSP}%" if 0 < share < 0.05 else f"{share:.1f}{NBSP}%"
