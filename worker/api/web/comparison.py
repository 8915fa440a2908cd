"""What the page of a comparison shows: whether the new version is better, and whether who calls the old one breaks.

In go versions with their reports and files, out come plain values for `compare.html`; what differs `worker.compare` tells.
Nothing is read here. Pure.

Law (with a test of the same name):
    what is better one way is worse the other way.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from detectors.metrics.sessions import is_evaluation
from worker.api.web import pictures, wording
from worker.api.web.format import format_name, size
from worker.api.web.model_page import Picture, first_of, framework, primary_of
from worker.api.web.pictures import Curve
from worker.api.web.reported import Reported, Value, curves, direction, number_of, reported
from worker.compare import compared, signatures
from worker.figures import NBSP
from worker.records import FileDigest, ModelVersion

MOST_ROWS = 100
"""Rows of each table; how many more there are is told."""

MOST_CHARTS = 4
MOST_COMPARED = 6
"""Versions side by side: more do not fit a screen."""


@dataclass(frozen=True, slots=True)
class Side:
    """One version of a comparison, and what it is called there."""

    label: str
    version: ModelVersion
    report: Mapping[str, Any]
    files: Sequence[FileDigest]

    @property
    def primary(self) -> Mapping[str, Any]:
        return primary_of(self.report) or {}

    @property
    def facts(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.primary.get("facts") or {}
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """One difference of a signature: how grave it is, in words, and the tensor before and after, None where there was none."""

    is_breaking: bool
    signature: str
    words: Markup
    old: str | None = None
    new: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: what it is about, where that is from, a value for each version, and what changed in words; good is 1
    for better, -1 for worse, 0 for neither. is_code is a name from a model; is_words has words and no numbers as values.
    """

    name: str
    sub: str
    values: tuple[Any, ...]
    change: str = ""
    good: int = 0
    is_code: bool = False
    is_words: bool = False


def labels(versions: Sequence[ModelVersion]) -> list[str]:
    """Return what each version is called: `v12` among versions of one model, else its name too."""
    is_one_model = len({(one.project, one.model_name) for one in versions}) == 1
    return [f"v{one.number}" if is_one_model else f"{wording.clean(one.model_name)} v{one.number}" for one in versions]


def context(sides: Sequence[Side]) -> dict[str, Any]:
    """Return what the template shows of two versions or more; the first is what the others are compared with."""
    old, new = sides[0], sides[-1]
    differences = [compared(old.report, side.report, old.files, side.files) for side in sides[1:]]
    rows, operators = metric_rows(sides), operator_rows(sides)
    is_pair = len(sides) == 2
    changes = list(signature_changes(old, new, differences[0])) if is_pair else []
    return {
        "sides": sides,
        "columns": [{"title": side.label, "cls": "num words"} for side in sides],
        "best": best,
        "wording": wording,
        "is_pair": is_pair,
        "verdict": sentence(old, new, differences[0], rows) if is_pair else None,
        "signatures": [difference["signature"] for difference in differences],
        "breaking": sum(change.is_breaking for change in changes),
        **first_of("changes", changes, MOST_ROWS),
        "same": list(unchanged(old, new, differences[0])) if is_pair else [],
        "charts": charts(sides),
        **first_of("rows", rows, MOST_ROWS),
        "facts": list(fact_rows(sides)),
        **first_of("operators", operators, MOST_ROWS),
        "operators_same": len(_operator_names(sides)) - len(operators),
        **(file_rows(differences[0]) if is_pair else {"files": [], "files_more": 0, "files_same": 0}),
    }


def sentence(old: Side, new: Side, difference: Mapping[str, Any], rows: Sequence[Row]) -> Markup:
    """Return the verdict: whether the new one is better, whether it is larger, and whether it can take the old one's place."""
    breaking = sum(change["breaking"] for change in difference["signatureChanges"])
    place = "a drop-in replacement"
    if breaking:
        changes = f"{breaking} breaking change{'' if breaking == 1 else 's'} of its signatures"
        last = Markup("<strong>not {}</strong>: {}").format(place, changes)
    elif old.facts.get("signatures") and new.facts.get("signatures"):
        last = Markup.escape(place)
    else:
        last = Markup.escape("nobody knows whether it is " + place + ": not both have signatures")
    return Markup("{}, {}, and {}.").format(_goodness(rows), _growth(old, new), last)


def _goodness(rows: Sequence[Row]) -> str:
    judged = [row for row in rows if row.sub and is_evaluation(row.sub.split(",")[0]) and len(row.values) == 2]
    told = [row for row in judged or rows if None not in row.values and direction(row.name)]
    if not told:
        return "Not known to be better or worse"
    of = "eval metric" if judged else "metric"
    better, worse = (sum(row.good == way for row in told) for way in (1, -1))
    if not better and not worse:
        return f"The same on {wording.plural(len(told), of)}"
    if len(told) == 1:
        return f"{'Better' if better else 'Worse'} on the only {of}"
    if better == len(told) or worse == len(told):
        return f"{'Better' if better else 'Worse'} on {'both' if len(told) == 2 else f'all {len(told)}'} {of}s"
    return f"Better on {better} and worse on {worse} of {wording.plural(len(told), of)}"


def _growth(old: Side, new: Side) -> str:
    by = new.version.size_bytes - old.version.size_bytes
    if abs(by) * 1000 < max(old.version.size_bytes, 1):
        return "the same size" if by == 0 else "about the same size"
    return f"{size(abs(by))} {'larger' if by > 0 else 'smaller'}"


SAYS = {
    ("input", "added"): ("input {} is wanted that {old} did not take", "A caller of {old} gets an error from {new}."),
    ("input", "removed"): ("input {} is not taken any more", "A caller that sends it gets an error from {new}."),
    ("output", "added"): ("output {} was added", "Callers that do not read it see no difference."),
    ("output", "removed"): ("output {} is not given any more", "A caller that reads it gets an error from {new}."),
}


def signature_changes(old: Side, new: Side, difference: Mapping[str, Any]) -> Iterator[Change]:
    """Yield each change of a signature in words, breaking ones first."""
    before, after = _signatures(old, new)
    for change in sorted(difference["signatureChanges"], key=lambda one: not one["breaking"]):
        name, side, tensor = change["signature"], change["side"], change["tensor"]
        words, ends = _said(change, old, new), (before.get(name), after.get(name))
        if side is None:
            shown = (None if one is None else str(one) for one in ends)
        else:
            shown = (None if one is None else _tensor_of(one, side, tensor) for one in ends)
        yield Change(change["breaking"], wording.clean(name), words, *shown)


def _said(change: Mapping[str, Any], old: Side, new: Side) -> Markup:
    named = {"old": old.label, "new": new.label}
    side, kind = change["side"], change["change"]
    if side is None:
        if kind == "removed":
            return Markup("was removed. A caller of it gets an error from {new}.").format(**named)
        return Markup("was added. Callers of {old} see no difference.").format(**named)
    tensor = Markup("<code>{}</code>").format(wording.clean(change["tensor"]))
    if (side, kind) in SAYS:
        what, then = SAYS[side, kind]
        return Markup.escape(what + ". " + then).format(tensor, **named)
    verb, before = ("wants", "took") if side == "input" else ("gives", "gave")
    then = _consequence(side, change["breaking"]).format(**named)
    values = {"side": side, "tensor": tensor, "verb": verb, "before": before, "then": then, **_sizes(change), **named}
    return Markup("{side} {tensor} {verb} {now} where {old} {before} {was}. {then}").format(**values)


def _sizes(change: Mapping[str, Any]) -> dict[str, str]:
    """Return what a tensor was and is now, in the fewest words that tell the difference."""
    was, now = change["old"], change["new"]
    if change["change"] == "dtype":
        return {"was": wording.clean(was), "now": wording.clean(now)}
    if was is None or now is None:
        return {"was": _rank(was), "now": _rank(now)}
    if len(was) != len(now):
        return {"was": f"rank {len(was)}", "now": f"rank {len(now)}"}
    pairs = [(a, b) for a, b in zip(was, now, strict=True) if a != b]
    told = [", ".join(_size(pair[side]) for pair in pairs) for side in (0, 1)]
    return {"was": told[0], "now": told[1]}


def _rank(shape: Sequence[Any] | None) -> str:
    return "any rank" if shape is None else f"rank {len(shape)}"


def _size(size: Any) -> str:
    return "any size" if not isinstance(size, int) else f"size {size}"


def _consequence(side: str, is_breaking: bool) -> str:
    if side == "input":
        return "A caller of {old} may get an error from {new}." if is_breaking else "It takes all that {old} took."
    return "A caller that reads it may not understand {new}." if is_breaking else "It promises all that {old} promised."


def unchanged(old: Side, new: Side, difference: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the signatures that are the same, each with how much goes in and out."""
    changed = {change["signature"] for change in difference["signatureChanges"]}
    before, after = _signatures(old, new)
    for name, signature in before.items():
        if name in after and name not in changed:
            ends = (wording.plural(len(signature.inputs), "input"), wording.plural(len(signature.outputs), "output"))
            yield wording.clean(name), ", ".join(ends)


def _signatures(old: Side, new: Side) -> Iterator[dict[str, wording.Signature]]:
    """Yield the signatures of both by the names that go together."""
    for found in signatures(old.report, new.report):
        yield {name: wording.signature(one) for name, one in found.items()}


def _tensor_of(signature: wording.Signature, side: str, name: str) -> str | None:
    tensors = signature.inputs if side == "input" else signature.outputs
    return next((str(one) for one in tensors if one.name == wording.clean(name)), None)


def metric_rows(sides: Sequence[Side]) -> list[Row]:
    """Return each number that any of the versions reported, those that speak for a run first."""
    found = [{row.key: row for row in reported(side.report.get("metrics") or {})} for side in sides]
    keys = list(dict.fromkeys(key for rows in found for key in rows))
    return [_metric_row([rows.get(key) for rows in found], *key) for key in keys]


def _metric_row(told: Sequence[Reported | None], session: str, name: str) -> Row:
    values = tuple(None if one is None else one.value for one in told)
    change, good = _compared(values[0], values[-1], direction(name)) if len(values) == 2 else ("", 0)
    steps = {one.step for one in told if one is not None}
    step = f", step {next(iter(steps)):,}" if len(steps) == 1 and None not in steps else ""
    return Row(name, f"{session or 'the run'}{step}", values, change, good)


def _compared(old: Value | None, new: Value | None, way: int) -> tuple[str, int]:
    """Return the change of a value in words, and whether it is a good one."""
    if old is None or new is None:
        return ("new" if old is None else "gone"), 0
    if old == new:
        return "same", 0
    before, after = number_of(old), number_of(new)
    if not math.isfinite(before) or not math.isfinite(after):
        return "not comparable", 0
    if isinstance(old, int) and isinstance(new, int):
        return signed(new - old), way * (1 if new > old else -1)
    return wording.change(before, after), way * (1 if after > before else -1)


def best(row: Row) -> int | None:
    """Return which of the values of a row is the best, None where none is alone, or nobody knows which way is better."""
    way = direction(row.name)
    numbers = [None if value is None else number_of(value) for value in row.values]
    known = [number for number in numbers if number is not None and math.isfinite(number)]
    if not way or len(known) < 2:
        return None
    top = max(known, key=lambda number: way * number)
    return numbers.index(top) if known.count(top) == 1 else None


def charts(sides: Sequence[Side]) -> list[Picture]:
    """Return a chart for each metric whose steps several of the versions tell: a curve each, the newest first."""
    found = [curves(side.report.get("metrics") or {}) for side in sides]
    counts = Counter(name for one in found for name in one)
    names = [name for name in dict.fromkeys(name for one in reversed(found) for name in one) if counts[name] > 1]
    pictured = []
    for at, name in enumerate(names[:MOST_CHARTS]):
        session = next(one[name][0].name for one in reversed(found) if name in one)
        series = [
            Curve(side.label, curve.points)
            for side, one in reversed(list(zip(sides, found, strict=True)))
            for curve in one.get(name, ())
            if curve.name == session
        ]
        title = f"{session} {name} by step, {' against '.join(curve.name for curve in series)}"
        pictured.append(Picture(f"{name}, {session}", pictures.curves(title, series, f"vs{at}", is_named=True)))
    return pictured


def fact_rows(sides: Sequence[Side]) -> Iterator[Row]:
    """Yield parameters, sizes and what else tells versions apart."""
    for name, key in (("Parameters", "stored"), ("Trainable", "trainable")):
        yield _counted(name, [(side.facts.get("parameters") or {}).get(key) for side in sides])
    sizes = [side.version.size_bytes for side in sides]
    by = sizes[-1] - sizes[0]
    change = "same" if by == 0 else ("+" if by > 0 else wording.MINUS) + size(abs(by))
    yield Row("Size", "", tuple(map(wording.size, sizes)), change if len(sides) == 2 else "")
    yield _counted("Operators", [sum((side.facts.get("operators") or {}).values()) for side in sides])
    yield _counted("Files", [len(side.files) for side in sides])
    yield _counted("Findings", [len(side.report["findings"]) for side in sides], way=-1)
    yield _worded("Completeness", [side.version.completeness for side in sides])
    yield _worded("Format", [format_name(side.version.format) for side in sides])
    yield _worded("Made by", [framework(side.facts) or None for side in sides])


def _counted(name: str, counts: Sequence[int | str | None], way: int = 0) -> Row:
    change, good = _compared(counts[0], counts[-1], way) if len(counts) == 2 else ("", 0)
    shown = tuple(wording.unknown("not known") if count is None else _exact(count) for count in counts)
    return Row(name, "", shown, "" if counts[0] is None and counts[-1] is None else change, good)


def _exact(count: int | str) -> str:
    return f"{count:,}" if isinstance(count, int) else wording.clean(count)


def _worded(name: str, words: Sequence[str | None]) -> Row:
    change = ("same" if words[0] == words[-1] else "changed") if len(words) == 2 else ""
    return Row(name, "", tuple(wording.unknown("not known") if word is None else word for word in words), change, is_words=True)


def operator_rows(sides: Sequence[Side]) -> list[Row]:
    """Return the operators of which the versions have different counts."""
    counts = [side.facts.get("operators") or {} for side in sides]
    rows = []
    for name in _operator_names(sides):
        values = tuple(one.get(name, 0) for one in counts)
        if len(set(values)) > 1:
            new = f"{NBSP}new" if not values[0] else f"{NBSP}gone" if not values[-1] else ""
            change = signed(values[-1] - values[0]) + new if len(sides) == 2 else ""
            rows.append(Row(name, "", tuple(f"{value:,}" for value in values), change, is_code=True))
    return rows


def _operator_names(sides: Sequence[Side]) -> list[str]:
    return sorted({name for side in sides for name in side.facts.get("operators") or {}})


def signed(count: int) -> str:
    """Return a change of a count with its sign."""
    return f"{count:+,}".replace("-", wording.MINUS)


def file_rows(difference: Mapping[str, Any]) -> dict[str, Any]:
    """Return the files that differ, by path, how many more there are, and how many are the same."""
    found = difference["files"]
    pairs = [
        *((None, file) for file in found["added"]),
        *((file, None) for file in found["removed"]),
        *found["changed"],
    ]
    rows = sorted((_file_row(old, new) for old, new in pairs), key=lambda row: row.name)
    return {**first_of("files", rows, MOST_ROWS), "files_same": found["same"]}


def _file_row(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Row:
    name = (new or old or {})["path"]
    shown = tuple(None if one is None else wording.size(one["size"]) for one in (old, new))
    if old is None or new is None:
        return Row(name, "", shown, "added" if old is None else "removed")
    by = new["size"] - old["size"]
    told = f", {'+' if by > 0 else wording.MINUS}{size(abs(by))}" if by else ""
    return Row(name, "", shown, f"changed{told}")
