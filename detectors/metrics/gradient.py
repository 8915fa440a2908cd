"""The metrics of a run in the shape that Gradient's clients know: `summary` and `detail`.

    summary = {"loss": {"scalar": "loss", "result": {"max": …, "min": …, "var": …, "mean": …, "median": …, "stddev": …}}}
    detail = ({"session": "eval", "scalars": [
        {"scalar": "loss", "data": [{"operation": "mean", "checkpoints": [{"checkpoint": 1175, "value": 0.0621}, …]}, …]}]},)

The six operations are population statistics over the values written at one step, so where one value is written at a step,
as nearly always, four of them are that value and two are 0. The result of the summary is that of the last checkpoint.

Law (has a test of the same name): the summary equals the last checkpoint of the detail.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from detectors.metrics.series import MAX_CHECKPOINTS, Checkpoint, Series
from detectors.metrics.sessions import headline, is_evaluation

MAX_DETAIL_CHECKPOINTS = 20_000
"""Checkpoints of one detail over all its scalars; each is told six times. With many scalars each keeps its last ones."""

NOT_SHOWN = frozenset({"global_step", "checkpoint_path"})
"""What an Estimator writes beside its metrics; Gradient shows neither."""


class Statistics(NamedTuple):
    """The six operations, named and ordered as in `detail`."""

    mean: float
    amin: float
    amax: float
    median: float
    std: float
    var: float


def statistics_of(values: Sequence[float]) -> Statistics:
    """Return the population statistics of at least one value; all are NaN where one of the values is."""
    if any(map(math.isnan, values)):
        return Statistics(*[math.nan] * 6)
    ordered = sorted(values)
    mean = ordered[0] if ordered[0] == ordered[-1] else _sum(ordered) / len(ordered)
    var = _sum([(value - mean) * (value - mean) for value in ordered]) / len(ordered)
    return Statistics(mean, ordered[0], ordered[-1], _median(ordered), math.sqrt(var), var)


def summary_of(series: Iterable[Series]) -> dict[str, Any]:
    """Return the `summary`: the last checkpoint of each scalar of the session that speaks for the run, by name.

    A scalar without steps has its last value. Of several sources in one session the first counts.
    """
    shown = [item for item in series if item.name not in NOT_SHOWN]
    folder = headline(item.folder for item in shown)
    summary: dict[str, Any] = {}
    for item in shown:
        if item.folder == folder:
            summary.setdefault(item.name, {"scalar": item.name, "result": _result(item)})
    return summary


def detail_of(series: Iterable[Series], names: Mapping[str, str]) -> tuple[Mapping[str, Any], ...]:
    """Return the `detail`: the evaluation sessions, and only where there is none the others, sorted by name.

    *names* are the names of the sessions by folder. A scalar without steps has no checkpoints, so the summary alone has it.
    """
    shown = [item for item in series if item.checkpoints and item.name not in NOT_SHOWN]
    wanted = [item for item in shown if is_evaluation(item.folder)] or shown
    most = checkpoints_shown(len(wanted))
    sessions: dict[str, dict[str, Any]] = {}
    for item in wanted:
        scalars = sessions.setdefault(names[item.folder], {})
        if item.name not in scalars:
            scalars[item.name] = {"scalar": item.name, "data": _operations(item.checkpoints[-most:])}
    return tuple({"session": name, "scalars": list(sessions[name].values())} for name in sorted(sessions))


def checkpoints_shown(scalars: int) -> int:
    """Return how many checkpoints each of so many scalars has in a detail, at least 1."""
    return max(1, min(MAX_CHECKPOINTS, MAX_DETAIL_CHECKPOINTS // max(1, scalars)))


def _result(series: Series) -> dict[str, float]:
    values = series.checkpoints[-1].values if series.checkpoints else (series.last.value,)
    found = statistics_of(values)
    return {
        "max": found.amax,
        "min": found.amin,
        "var": found.var,
        "mean": found.mean,
        "median": found.median,
        "stddev": found.std,
    }


def _operations(checkpoints: Sequence[Checkpoint]) -> list[dict[str, Any]]:
    steps = [checkpoint.step for checkpoint in checkpoints]
    columns = zip(*(statistics_of(checkpoint.values) for checkpoint in checkpoints), strict=True)
    return [
        {
            "operation": operation,
            "checkpoints": [{"checkpoint": step, "value": value} for step, value in zip(steps, column, strict=True)],
        }
        for operation, column in zip(Statistics._fields, columns, strict=True)
    ]


def _sum(values: Sequence[float]) -> float:
    """Return the exact sum; where it leaves the range of a double or infinities meet, what plain addition says."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
