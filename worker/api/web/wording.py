"""How facts read on a page: plain values in, text or mark-up out that can stand in HTML as it is.

Whatever came from outside is escaped here, control characters with a backslash, so a template may print all that this module
gives. Numbers that are shortened carry the exact one in `title`; numbers and units are joined by a no-break space. Pure: the
time is an argument.

Laws (each has a test of the same name):
    whatever comes from outside, what is told is well-formed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from worker.api.web import format
from worker.api.web.format import NOTHING
from worker.figures import NBSP, THOUSAND, exact
from worker.health import State
from worker.records import Ingestion, Trigger
from worker.wholeness import CUSTOM, Wholeness, is_told_by_name, wholeness

MINUS = "\N{MINUS SIGN}"
MINUTE, HOUR, DAY = 60, 3600, 86_400

DIGEST_DIGITS = 8
"""Digits of a digest that are shown; the whole one is in its title."""


NO_XML = re.compile("[\ufffe\uffff]")
"""What is a character, and cannot stand in XML."""


def clean(text: str) -> str:
    """Return a text from outside as it can stand on a page and in a picture: what is not to be seen is escaped."""
    return NO_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", format.visible(text))


DASH = Markup('<span class="quiet" title="{0}"><span aria-hidden="true">{1}</span><span class="sr">{0}</span></span>')


@dataclass(frozen=True, slots=True)
class Figure:
    """A number as it is shown, and the exact one, empty where that is what is shown; of an unknown one, why it is not known.

    It prints itself in a template: as text with a title; `big` is how it stands in a strip, its unit in smaller letters.
    """

    text: str
    title: str = ""
    is_unknown: bool = False

    def __str__(self) -> str:
        return self.text

    def __html__(self) -> str:
        if self.is_unknown:
            return DASH.format(self.title, self.text)
        return Markup("<span{}>{}</span>").format(self._title(), self.text) if self.title else Markup.escape(self.text)

    @property
    def big(self) -> Markup:
        """The figure in large letters."""
        head, space, unit = self.text.rpartition(NBSP)
        shown = Markup('{} <span class="unit">{}</span>').format(head, unit) if space else Markup.escape(self.text)
        return Markup('<span class="big"{}>{}</span>').format(self._title(), self if self.is_unknown else shown)

    def _title(self) -> Markup:
        return Markup(' title="{}"').format(self.title) if self.title and not self.is_unknown else Markup("")


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as people read it: its name, and `float32[batch, 28, 28]`."""

    name: str
    type: str

    def __str__(self) -> str:
        return f"{self.name}: {self.type}"


@dataclass(frozen=True, slots=True)
class Signature:
    """A callable of the model as people read it."""

    name: str
    method: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.inputs))} → {', '.join(map(str, self.outputs))}".strip()


def plural(count: int, noun: str, many: str = "") -> str:
    """Return a count with its noun: `1 file`, `1,024 files`."""
    return f"{count:,}{NBSP}{noun if count == 1 else many or noun + 's'}"


def unknown(why: str) -> Figure:
    """Return the dash of what is not known; *why* is spoken, and shown where somebody points at it."""
    return Figure(NOTHING, clean(why), is_unknown=True)


def size(count: int | None) -> Figure:
    """Return a count of bytes: `13.2 MB`."""
    if count is None:
        return unknown("size not known")
    return Figure(format.size(count), "" if count < THOUSAND else plural(count, "byte"))


def number(count: int | str | None) -> Figure:
    """Return a count: `3.27 M`. Text is a number beyond 64 bits, told as it stands."""
    if count is None:
        return unknown("not known")
    if isinstance(count, str):
        return Figure(clean(count))
    return Figure(format.short(count), "" if abs(count) < THOUSAND else exact(count))


def in_lines(text: str) -> Markup:
    """Return a text of several lines as it can stand on a page; elsewhere the end of a line is a character to be escaped."""
    return Markup("\n").join(clean(line) for line in text.split("\n"))


def in_full(count: int | str | None) -> str:
    """Return a count in full: `3,274,634`. Text is a number beyond 64 bits, told as it stands."""
    return NOTHING if count is None else clean(count) if isinstance(count, str) else exact(count)


def age(moment: datetime, now: datetime) -> Markup:
    """Return how long ago *moment* was; when it was is shown where somebody points at it."""
    tag = Markup('<time datetime="{}" title="{}">{}</time>')
    return tag.format(format.iso(moment), format.utc(moment), format.age(moment, now))


def duration(seconds: float) -> str:
    """Return a time: `44.9 ms`, `1.4 s`, `2 min 10 s`, `3 h 5 min`."""
    if seconds < MINUTE - 0.5:
        return f"{seconds:.3g}{NBSP}s" if seconds >= 1 else f"{seconds * 1000:.3g}{NBSP}ms"
    whole = round(seconds)
    for unit_seconds, unit, below_seconds, below in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= unit_seconds:
            first, rest = divmod(whole, unit_seconds)
            more = f"{NBSP}{rest // below_seconds}{NBSP}{below}" if rest >= below_seconds else ""
            return f"{first}{NBSP}{unit}{more}"
    raise AssertionError("a minute is the smallest of the units above")


def whole_seconds(seconds: float) -> str:
    """Return a time of which less than a second does not matter: `under 1 s`, `4 s`, `2 min 10 s`."""
    return duration(int(seconds)) if seconds >= 1 else f"under 1{NBSP}s"


def digest(text: str) -> Markup:
    """Return the beginning of a digest, the whole in its title: `sha256:9f2c41d7…`."""
    algorithm, colon, digits = clean(text).rpartition(":")
    shown = algorithm + colon + (digits if len(digits) <= DIGEST_DIGITS else digits[:DIGEST_DIGITS] + "…")
    return Markup('<code title="{}">{}</code>').format(clean(text), shown)


def metric(value: float | int | str | None) -> Figure:
    """Return a number that a run reported: a broken one with four decimals, a whole one as a count.

    Text is what no JSON number can be: NaN and the infinities are told in words, and a large integer as it stands.
    """
    if value is None:
        return unknown("not reported")
    is_rounded = isinstance(value, float) and math.isfinite(value)
    return Figure(metric_text(value), str(value) if is_rounded else "")


def metric_text(value: float | int | str) -> str:
    """Return what `metric` tells, without mark-up."""
    return clean(format.metric(value)).replace("-", MINUS) if isinstance(value, (int, float)) else clean(format.metric(value))


def change(old: float, new: float) -> str:
    """Return by how much *new* is more than *old*, with its sign: `+0.0016`."""
    by = new - old
    told = metric_text(by)
    return told if told.startswith(MINUS) else f"+{told}"


def signature(raw: Mapping[str, Any]) -> Signature:
    """Return a signature of a scan report as people read it.

    A first size that none of its tensors says is `batch`; any other unknown one is `?`.
    """
    tensors = [*raw["inputs"], *raw["outputs"]]
    first = "batch" if all(tensor["shape"] and tensor["shape"][0] is None for tensor in tensors) else "?"
    inputs, outputs = (tuple(_tensor(tensor, first) for tensor in raw[side]) for side in ("inputs", "outputs"))
    return Signature(clean(raw["name"]), clean(raw["method"]), inputs, outputs)


def _tensor(raw: Mapping[str, Any], first: str) -> Tensor:
    shape: Sequence[Any] | None = raw["shape"]
    sizes = ["…"] if shape is None else [_dimension(size, first if at == 0 else "?") for at, size in enumerate(shape)]
    return Tensor(clean(raw["name"]), f"{clean(raw['dtype'])}[{', '.join(sizes)}]")


def _dimension(size: Any, otherwise: str) -> str:
    return otherwise if size is None else clean(str(size))


SEVERITIES = {
    "critical": ("bad", "is-bad"),
    "high": ("bad", "is-bad"),
    "medium": ("warn", "is-warn"),
    "low": ("info", "is-none"),
    "info": ("info", "is-none"),
}
"""The sign of each severity, worst first, and how urgent it is."""


def severity(word: str) -> State:
    """Return how a severity is shown."""
    sign, level = SEVERITIES.get(word, ("info", "is-none"))
    return State(sign, level, clean(word.capitalize()))


def place(finding: Mapping[str, Any]) -> str:
    """Return where a finding is: the file, and the way to it inside the file."""
    return " · ".join(clean(part) for part in (finding["path"], finding["place"]) if part)


COMPLETENESS = {
    Wholeness.COMPLETE: State("ok", "", "Complete"),
    Wholeness.NOT_CHECKED: State("unknown", "is-none", "Not checked"),
    Wholeness.AS_FAR_AS_READ: State("unknown", "is-warn", "Complete as far as it was read"),
    Wholeness.INCOMPLETE: State("warn", "is-warn", "Incomplete"),
    Wholeness.CORRUPT: State("bad", "is-bad", "Corrupt"),
}


def states(report: Mapping[str, Any]) -> tuple[State, ...]:
    """Return what a scan report says of its models, worst first: whether they are whole, what was found, what was not read."""
    told = (*_wholeness(report), _findings(report["findings"]), *_unread(report))
    return tuple(sorted(told, key=lambda state: ("is-bad", "is-warn", "is-none", "").index(state.level)))


def _wholeness(report: Mapping[str, Any]) -> Iterator[State]:
    """Yield how whole the models are: the worst that there is, and how many are so where they are several."""
    wholes = wholeness(report)
    for whole in (Wholeness.CORRUPT, Wholeness.INCOMPLETE):
        if whole in wholes:
            shown = COMPLETENESS[whole]
            told = shown.words if len(wholes) == 1 else f"{wholes.count(whole)} of {plural(len(wholes), 'model')} {whole}"
            yield State(shown.sign, shown.level, told)
            return
    if not wholes:
        yield State("unknown", "is-warn", "No model recognised")
    elif wholes[0] is Wholeness.NOT_CHECKED:
        yield State("unknown", "is-none", "Not checked for missing parts")
    else:
        yield COMPLETENESS[wholes[0]]


def completeness(report: Mapping[str, Any]) -> list[State]:
    """Return how whole each model is."""
    return [COMPLETENESS[whole] for whole in wholeness(report)]


def _findings(findings: Sequence[Mapping[str, Any]]) -> State:
    if not findings:
        return State("ok", "", "No findings")
    worst = severity(findings[0]["severity"])
    told = f"{worst.words.lower()} finding" if len(findings) == 1 else f"findings, {worst.words.lower()} at worst"
    return State(worst.sign, worst.level, f"{len(findings)}{NBSP}{told}")


def _unread(report: Mapping[str, Any]) -> Iterator[State]:
    if report["coverage"]["inconclusive"] and wholeness(report)[:1] != [Wholeness.AS_FAR_AS_READ]:
        yield State("unknown", "is-warn", "Not fully read")


def use(report: Mapping[str, Any]) -> str:
    """Return in one sentence whether the model may be used."""
    primary = next((model for model in report["models"] if model["primary"]), None)
    found = {primary["completeness"]["state"]} if primary else set()
    custom = len((primary or {}).get("facts", {}).get("custom_operators") or ())
    worst = report["findings"][0]["severity"] if report["findings"] else ""
    if worst in ("critical", "high"):
        return "Read the findings before anybody loads it."
    if "corrupt" in found:
        return "Do not use it: its bytes contradict each other."
    if "incomplete" in found:
        return "Do not use it as it is: parts that it names are missing."
    if primary is None:
        return "There is no model in it that is known."
    if report["coverage"]["inconclusive"]:
        return "Take care: nothing bad was found, but not everything could be read."
    if primary.get("format") == CUSTOM:
        return "It is called a model by who left it: its format is not known, and nothing in it was checked."
    if is_told_by_name(primary):
        return "It is known by its name only: nothing says that it is whole, or safe to load."
    if worst == "medium":
        return "It can be used; look at the findings first."
    if custom:
        return f"It can be used where its {plural(custom, 'custom operator')} {'is' if custom == 1 else 'are'} installed."
    return "It can be used: nothing speaks against it."


def is_trouble(report: Mapping[str, Any]) -> bool:
    """Tell whether findings and missing parts come first on the page of a model."""
    broken = any(model["completeness"]["state"] != "complete" for model in report["models"])
    return broken or bool(report["findings"] or report["coverage"]["inconclusive"])


CAME_BY = {
    Trigger.CLI: "by <code>modelport ingest</code>",
    Trigger.COMPLETION: "when its path was reported as finished",
    Trigger.RESCAN: "when somebody asked for another look at its path",
    Trigger.WATCH: "when its folder had come to rest",
    Trigger.NOTIFICATION: "when object storage told of it",
    Trigger.UPLOAD: "when somebody uploaded it",
}
TRIGGERS = {
    Trigger.CLI: "Command line",
    Trigger.COMPLETION: "Completion event",
    Trigger.RESCAN: "Scan again, asked by somebody",
    Trigger.WATCH: "Watched folder",
    Trigger.NOTIFICATION: "Message of object storage",
    Trigger.UPLOAD: "Upload",
}


def lineage(created: datetime, experiment: str | None, origin: Ingestion | None, now: datetime) -> Markup:
    """Return in one sentence when a version was registered, and why then; *origin* is the ingestion that did it."""
    why = Markup("")
    if origin is not None and origin.event.trigger is Trigger.COMPLETION and experiment is not None:
        why = Markup(' when experiment <span class="mono">{}</span> finished').format(clean(experiment))
    elif origin is not None:
        why = Markup(" ") + Markup(CAME_BY[origin.event.trigger])  # noqa: S704 # one of the constants above
    return Markup("Registered {}{}.").format(age(created, now), why)


def trigger(origin: Ingestion) -> str:
    """Return through which door an ingestion came, and who sent it, if that is another name."""
    event = origin.event
    said = TRIGGERS[event.trigger]
    return said if event.source in (event.trigger.value, "http") else f"{said} from {clean(event.source)}"


def several(texts: Iterable[str], most: int) -> str:
    """Return the first *most* of *texts*, and how many more there are."""
    told = list(texts)
    more = f" and {len(told) - most} more" if len(told) > most else ""
    return ", ".join(told[:most]) + more


def parameters(counts: Mapping[str, Any], is_whole: bool = False) -> str:
    """Return how many of the parameters are trained, in a few words, or is_whole all that is known of them."""
    known = {name: counts.get(name) for name in ("stored", "distinct", "trainable")}
    if is_whole:
        return ", ".join(f"{in_full(count)} {name}" for name, count in known.items() if count is not None) + "."
    if known["stored"] is None:
        return "not told by the format"
    if known["trainable"] is None:
        return "stored"
    return "all trainable" if known["trainable"] == known["stored"] else f"{in_full(known['trainable'])} trainable"


CALLABLE = frozenset(("tensorflow_savedmodel", "onnx"))


def no_signatures(format: str) -> str:
    """Return why a version has no signatures."""
    return "The model offers none to a serving system." if format in CALLABLE else "This format does not tell of any."
