"""How whole the models of a scan report are, in the one word that every door shows.

In go the models of a report and what its coverage calls inconclusive, also of an older release; out comes a word for each. A
state of `complete` says that nothing is missing of what was looked at; how much that is, the coverage knows, so one is never
shown without the other. Pure.

Laws (each has a test of the same name):
    a model of which something was not read is never called complete without that;
    a model that is not whole is called so whatever was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

Model = Mapping[str, Any]

CUSTOM = "custom"
"""The format of what somebody declared to be a model, or left metadata beside, and that is of no format we know."""


class Wholeness(StrEnum):
    """How whole a model is, from the best to the worst."""

    COMPLETE = "complete"
    NOT_CHECKED = "not checked"
    """Nothing speaks against it and nobody looked: it is known by its name only, or its reader stopped."""
    AS_FAR_AS_READ = "complete as far as it was read"
    """Nothing is missing of what was read, and something was not."""
    INCOMPLETE = "incomplete"
    CORRUPT = "corrupt"


def wholeness(report: Mapping[str, Any]) -> list[Wholeness]:
    """Return how whole each model of *report* is, in their order."""
    models: Sequence[Model] = report.get("models") or ()
    coverage = report.get("coverage") or {}
    unread = {root for one in coverage.get("inconclusive") or () for root in _concerned(one["path"], models)}
    return [_of(model, _root(model) in unread) for model in models]


def of_primary(report: Mapping[str, Any]) -> Wholeness:
    """Return how whole the model is that speaks for the run; `NOT_CHECKED` where the report has none."""
    return next(iter(wholeness(report)), Wholeness.NOT_CHECKED)


def _of(model: Model, is_unread: bool) -> Wholeness:
    state = (model.get("completeness") or {}).get("state", "complete")
    if state != "complete":
        return Wholeness(state)
    if is_told_by_name(model):
        return Wholeness.NOT_CHECKED
    return Wholeness.AS_FAR_AS_READ if is_unread else Wholeness.COMPLETE


def is_told_by_name(model: Model) -> bool:
    """Tell whether nothing proves that the model is whole: its format is known by name only, or not at all."""
    details = (model.get("facts") or {}).get("details") or {}
    return model.get("format") == CUSTOM or details.get("completeness_checked") is False


def _root(model: Model) -> str:
    return str(model.get("root") or "")


def _concerned(path: str, models: Sequence[Model]) -> set[str]:
    """Return the roots of the models that may be read by *path*: the innermost that holds it; where none does, those that lie
    below it, are a file beside it, or name it as their data; all of them for the path itself.
    """
    roots = {_root(model) for model in models}
    if path in ("", "."):
        return roots
    holding = [root for root in roots if root in ("", path) or path.startswith(f"{root}/")]
    if holding:
        return {max(holding, key=len)}
    below = {root for root in roots if root.startswith(f"{path}/")}
    return below | {_root(model) for model in models if _may_read(model, path)}


def _may_read(model: Model, path: str) -> bool:
    """Tell whether *model* is a file that lies beside *path*, or names it as its data."""
    root = _root(model)
    if all(one["path"] != root for one in model.get("evidence") or ()):
        return False
    folder, name = root.rpartition("/")[0], path.rpartition("/")[2]
    inside = path.removeprefix(f"{folder}/") if folder else path
    details = (model.get("facts") or {}).get("details") or {}
    named = {one["location"] for one in details.get("external_data") or ()}
    return (path.startswith(f"{folder}/") or not folder) and (inside == name or inside in named)
