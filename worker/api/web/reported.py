"""What the run of a version reported, as its page shows it: curves, a row for every value, and the few that stand first.

In go the `metrics` of a scan report. A value is the last that was written of its name in its session, as every door tells it; a
curve is of means, because several values may be written at one step. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from detectors.metrics.sessions import telling
from worker.api.web.pictures import Curve

Value = float | int | str
"""A number; text where JSON has none: NaN, the infinities, integers beyond 64 bits."""

LOWER = frozenset("loss error err mse mae rmse mape perplexity entropy wer cer fid nll kl divergence distance regret".split())
HIGHER = frozenset(
    "accuracy acc auc auroc f1 precision recall map ap iou dice bleu rouge r2 psnr ssim score reward top1 top5 correct".split()
)
"""Words in names of metrics that say which way is better; where neither is in a name, nobody is told better from worse."""

LEADING = ("accuracy", "acc", "f1", "auc", "iou", "map", "recall", "precision", "r2", "loss", "mse", "mae")
"""Words in the name of the number that stands for a model, the best first."""


@dataclass(frozen=True, slots=True)
class Reported:
    """One number: the last *value* of *name* in *session*; where others were written at that step, their *mean* with it, from
    *least* to *greatest*.

    best and best_step tell the best one of the run, None where the report tells the last step alone, or not which way is
    better. step is None where the run did not say. source is the file, empty where it is not told.
    """

    session: str
    name: str
    value: Value
    step: int | None
    source: str = ""
    mean: Value | None = None
    least: Value | None = None
    greatest: Value | None = None
    best: Value | None = None
    best_step: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What the same number of another version has too."""
        return self.session, self.name


def direction(name: str) -> int:
    """Return 1 where more of a metric is better, -1 where less is, and 0 where its name does not say."""
    words = set(re.findall(r"[a-z]+\d*|\d+", name.lower()))
    is_lower, is_higher = bool(words & LOWER), bool(words & HIGHER)
    return 0 if is_lower == is_higher else -1 if is_lower else 1


def place(session: str, name: str) -> tuple[object, ...]:
    """Return what sorts numbers, the one that stands for a model first: by how much a session speaks for the run."""
    return *telling(session), _place(name), name


def reported(metrics: Mapping[str, Any]) -> list[Reported]:
    """Return every number, those that speak for the run first."""
    told = {(session, name): _means(scalar) for session, name, scalar in _scalars(metrics)}
    spread = {(session, name): _spread(scalar) for session, name, scalar in _scalars(metrics)}
    rows: dict[tuple[str, str], Reported] = {}
    for value in metrics.get("values", ()):
        key = (value["session"], value["name"])
        if key not in rows:
            last = Reported(*key, value["value"], value["step"], value["source"])
            rows[key] = _with_steps(last, told[key], spread[key]) if told.get(key) else last
    return sorted(rows.values(), key=lambda row: place(*row.key))


def curves(metrics: Mapping[str, Any]) -> dict[str, list[Curve]]:
    """Return for each name of a metric its curve in each session, those that speak for the run first."""
    found: dict[str, list[Curve]] = {}
    for session, name, scalar in sorted(_scalars(metrics), key=lambda one: telling(one[0])):
        points = tuple((step, number_of(value)) for step, value in _means(scalar))
        if points:
            found.setdefault(name, []).append(Curve(session, points))
    return dict(sorted(found.items(), key=lambda one: (_place(one[0]), one[0])))


def headlines(rows: Sequence[Reported], most: int = 2) -> list[Reported]:
    """Return the numbers that tell at a glance how good a model is: those of the session that speaks for its run."""
    speaking = rows[0].session if rows else ""
    return [row for row in rows if row.session == speaking][:most]


def number_of(value: Value) -> float:
    """Return a value of a report as a number; NaN for text that is none."""
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _scalars(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for detail in metrics.get("detail", ()):
        for scalar in detail["scalars"]:
            yield detail["session"], scalar["scalar"], {one["operation"]: one["checkpoints"] for one in scalar["data"]}


def _means(operations: Mapping[str, Any]) -> list[tuple[int, Value]]:
    """Return the steps and their means; a step that is beyond 64 bits, and so text, is left out."""
    return [(one["checkpoint"], one["value"]) for one in operations.get("mean", ()) if isinstance(one["checkpoint"], int)]


def _spread(operations: Mapping[str, Any]) -> tuple[Value | None, Value | None]:
    """Return the least and the greatest that were written at the last step, None where all were the same."""
    ends = [operations[name][-1]["value"] for name in ("amin", "amax") if operations.get(name)]
    return (ends[0], ends[1]) if len(ends) == 2 and ends[0] != ends[1] else (None, None)


def _with_steps(last: Reported, means: list[tuple[int, Value]], spread: tuple[Value | None, Value | None]) -> Reported:
    mean = means[-1][1] if spread[0] is not None else None
    way, finite = direction(last.name), [one for one in means if math.isfinite(number_of(one[1]))]
    best = max(finite, key=lambda one: way * number_of(one[1])) if way and finite else None
    return replace(last, mean=mean, least=spread[0], greatest=spread[1], best=best and best[1], best_step=best and best[0])


def _place(name: str) -> int:
    words = re.findall(r"[a-z]+\d*", name.lower())
    return min((LEADING.index(word) for word in words if word in LEADING), default=len(LEADING))
