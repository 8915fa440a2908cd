"""What a load check found: the records, what a caged child may claim, and what follows from it.

The child runs a stranger's model, so its answer is the word of a stranger: at most `MAX_ANSWER_BYTES` of strict JSON, of the
exact shape, with bounded texts in which no control character is left. A model that took the process over can still lie about
loading and running. What it cannot touch is seen from outside: seconds, memory, how it ended, and what it tried.

Laws (each has a test of the same name):
    any bytes are claims or are refused, with a reason;
    no text of a claim holds a control character.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from detectors.facts import Shape, Signature, TensorSpec
from detectors.json_text import JsonError, JsonLimit, parse_json
from detectors.printable import printable

SCHEMA = "modelport.verification/1"

MAX_ANSWER_BYTES = 1 << 20
MAX_TEXT, MAX_ERROR = 256, 2000
"""Characters of a name, and of an error, that are kept."""
MAX_SIGNATURES, MAX_OUTPUTS, MAX_RANK, MAX_TRIED = 200, 1000, 64, 50
MAX_SECONDS = 1e6
MAX_BEGUN = 3
"""How often the check of one version is begun by itself; its process was killed each time before it ended."""
WINDOW = 10_000
"""How many versions, the last ones registered, are looked through for such as were never checked."""
MAX_KEPT = 1 << 18
"""Characters of a report that the registry keeps whole."""

UNKNOWN = "unknown"
"""The dtype of a tensor of which the files do not say it (`detectors.tf_dtypes`)."""


class Outcome(StrEnum):
    """What a load check came to."""

    VERIFIED = "verified"
    """It loads and runs, and its outputs are those that its signatures declare."""
    FAILED = "failed"
    """It does not load, does not run, or gives something else."""
    NOT_VERIFIED = "not-verified"
    """It could not be tried: no cage, no framework, or a limit."""
    NOTHING = "nothing"
    """There is no model of a format that can be tried."""


EXIT_STATUS: Mapping[Outcome, int] = {
    Outcome.VERIFIED: 0,
    Outcome.FAILED: 1,
    Outcome.NOT_VERIFIED: 2,
    Outcome.NOTHING: 3,
}
"""What `modelport verify` returns."""


class Rung(StrEnum):
    """What a cage is made of, best first."""

    BUBBLEWRAP = "bubblewrap"
    """Namespaces and a root of its own, with the seccomp filter and limits."""
    BUBBLEWRAP_AS_ROOT = "bubblewrap-as-root"
    """The same where only root may make namespaces; it gives its rights up inside."""
    LANDLOCK = "landlock"
    """Landlock with the seccomp filter and limits."""


class BadClaims(Exception):
    """What came out of the cage is no answer. The message says why."""


@dataclass(frozen=True, slots=True)
class Tried:
    """Something that a caged model tried *count* times and was kept from: to read or write a path, or a call."""

    what: str
    target: str
    count: int


@dataclass(frozen=True, slots=True)
class Run:
    """One signature, run once. *filled* says what its made-up inputs held; *seconds* is None where it did not run."""

    name: str
    runs: bool
    seconds: float | None
    filled: str
    error: str
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Claims:
    """What the child says. *lacks* is why the framework could not be imported, empty where it was."""

    lacks: str
    framework: str
    loads: bool
    load_seconds: float
    error: str
    runs: tuple[Run, ...]


class Ending(StrEnum):
    """How a caged child ended."""

    ANSWERED = "answered"
    CRASHED = "crashed"
    """A signal, or an exit without an answer."""
    NONSENSE = "nonsense"
    """What it said is no answer."""
    TIME = "time"
    MEMORY = "memory"
    DISK = "disk"
    NOT_CONFINED = "not-confined"
    """It could still get out, so that nothing was loaded."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a child from outside. *claims* is there where it *ending* is `ANSWERED`.

    seconds counts from its start, peak_bytes is resident memory. is_watched tells whether the kernel said what it tried.
    is_begun tells whether it came as far as the model; where it did not, only Python and the framework ran.
    """

    rung: Rung
    ending: Ending
    detail: str
    seconds: float
    peak_bytes: int
    is_watched: bool
    tried: tuple[Tried, ...]
    claims: Claims | None = None
    is_begun: bool = True


@dataclass(frozen=True, slots=True)
class Withheld:
    """A file that was not shown to the model, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class LoadCheck:
    """The load check of one model at *root*. *why* is a sentence, empty where all is well; *seen* is None where none ran."""

    root: str
    format: str
    outcome: Outcome
    why: str
    seen: Seen | None = None
    mismatches: tuple[str, ...] = ()
    withheld: tuple[Withheld, ...] = ()


@dataclass(frozen=True, slots=True)
class Verified:
    """What the registry keeps of the last load check of a version: the *report* as JSON text, and when it ended."""

    outcome: Outcome
    report: str
    at: datetime


def worst(checks: Iterable[LoadCheck]) -> Outcome:
    """Return the outcome of several models: failed before not verified before verified; nothing where there is none."""
    found = {check.outcome for check in checks}
    order = (Outcome.FAILED, Outcome.NOT_VERIFIED, Outcome.VERIFIED)
    return next((outcome for outcome in order if outcome in found), Outcome.NOTHING)


def parse_claims(body: bytes) -> Claims:
    """Return what the child claims in *body*.

    Raises:
        BadClaims: it is no strict JSON, not of this shape, or more than a limit allows.
    """
    if len(body) > MAX_ANSWER_BYTES:
        raise BadClaims(f"it is longer than {MAX_ANSWER_BYTES} bytes")
    try:
        value, notes = parse_json(body)
    except (JsonError, JsonLimit) as exc:
        raise BadClaims(_clean(str(exc), MAX_TEXT)) from exc
    if notes:
        raise BadClaims(_clean(notes[0].reason, MAX_TEXT))
    said = _object(value, "the answer")
    if set(said) == {"lacks"}:
        return Claims(_text(said, "lacks", MAX_ERROR), "", False, 0.0, "", ())
    _keys(said, {"framework", "loads", "load_seconds", "error", "signatures"}, "the answer")
    runs = _list(said, "signatures", MAX_SIGNATURES)
    return Claims(
        lacks="",
        framework=_text(said, "framework", MAX_TEXT),
        loads=_bool(said, "loads"),
        load_seconds=_seconds(said, "load_seconds"),
        error=_text(said, "error", MAX_ERROR),
        runs=tuple(_run(run) for run in runs),
    )


def _run(value: Any) -> Run:
    said = _object(value, "a signature")
    _keys(said, {"name", "runs", "seconds", "filled", "error", "outputs"}, "a signature")
    runs = _bool(said, "runs")
    return Run(
        name=_text(said, "name", MAX_TEXT),
        runs=runs,
        seconds=_seconds(said, "seconds") if runs else None,
        filled=_text(said, "filled", MAX_TEXT),
        error=_text(said, "error", MAX_ERROR),
        outputs=tuple(_output(output) for output in _list(said, "outputs", MAX_OUTPUTS)),
    )


def _output(value: Any) -> TensorSpec:
    said = _object(value, "an output")
    _keys(said, {"name", "dtype", "shape"}, "an output")
    axes = None if said["shape"] is None else _list(said, "shape", MAX_RANK)
    if axes is not None and not all(type(axis) is int and axis >= 0 for axis in axes):
        raise BadClaims("a shape holds something else than sizes")
    return TensorSpec(_text(said, "name", MAX_TEXT), _text(said, "dtype", 64), None if axes is None else tuple(axes))


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadClaims(f"{what} is no object")
    return value


def _keys(said: Mapping[str, Any], wanted: set[str], what: str) -> None:
    if set(said) != wanted:
        raise BadClaims(f"{what} does not have the keys {', '.join(sorted(wanted))}")


def _list(said: Mapping[str, Any], key: str, most: int) -> Sequence[Any]:
    value = said[key]
    if not isinstance(value, list) or len(value) > most:
        raise BadClaims(f"{key} is no list of at most {most}")
    return value


def _bool(said: Mapping[str, Any], key: str) -> bool:
    value = said[key]
    if not isinstance(value, bool):
        raise BadClaims(f"{key} is neither true nor false")
    return value


def _seconds(said: Mapping[str, Any], key: str) -> float:
    value = said[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_SECONDS:
        raise BadClaims(f"{key} is no number of seconds")
    return float(value)


def _text(said: Mapping[str, Any], key: str, most: int) -> str:
    value = said[key]
    if not isinstance(value, str):
        raise BadClaims(f"{key} is no text")
    return _clean(value, most)


def _clean(text: str, most: int) -> str:
    """Return *text* cut to *most* characters, printable."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return printable(cut)


def judge(
    root: str, format: str, declared: Sequence[Signature], seen: Seen, extra: str, withheld: tuple[Withheld, ...] = ()
) -> LoadCheck:
    """Return the check of the model at *root*, whose files declare the signatures *declared*.

    *extra* is what to install where the framework is missing.
    """

    def check(outcome: Outcome, why: str, mismatches: tuple[str, ...] = ()) -> LoadCheck:
        spoiled = outcome is Outcome.FAILED and withheld
        because = f"{why}; {len(withheld)} of its files were withheld" if spoiled else why
        return LoadCheck(root, format, Outcome.NOT_VERIFIED if spoiled else outcome, because, seen, mismatches, withheld)

    if not seen.is_begun and seen.ending in _UNBEGUN:
        return check(
            Outcome.NOT_VERIFIED, f"not verified: {_UNBEGUN[seen.ending]}, and nothing of the model was opened: {seen.detail}"
        )
    if seen.ending in _LIMITS:
        return check(Outcome.NOT_VERIFIED, f"{_LIMITS[seen.ending]}{': ' if seen.detail else ''}{seen.detail}")
    claims = seen.claims
    if claims is None:
        return check(Outcome.FAILED, f"{_LOST[seen.ending]}: {seen.detail}")
    if claims.lacks:
        return check(Outcome.NOT_VERIFIED, f"not verified: {claims.lacks.strip()}; pip install 'modelport[{extra}]' brings it")
    if not claims.loads:
        return check(Outcome.FAILED, f"it does not load: {claims.error}")
    broken = [run for run in claims.runs if not run.runs]
    mismatches = tuple(_mismatches(declared, claims.runs))
    if broken:
        return check(Outcome.FAILED, f"{_called(broken[0].name)} does not run: {broken[0].error}", mismatches)
    if mismatches:
        return check(Outcome.FAILED, mismatches[0], mismatches)
    if not claims.runs:
        return check(Outcome.NOT_VERIFIED, "it loads, and has no signature that could be run")
    return check(Outcome.VERIFIED, "")


_LIMITS: Mapping[Ending, str] = {
    Ending.TIME: "not verified: it took longer than it may",
    Ending.MEMORY: "not verified: it took more memory than it may",
    Ending.DISK: "not verified: it wrote more to its temporary folder than it may",
    Ending.NOT_CONFINED: "not verified (no sandbox): what was to be caged could still get out, so nothing was loaded",
}
_UNBEGUN: Mapping[Ending, str] = {
    Ending.TIME: "its limit of time is too short for Python and the framework to start",
    Ending.MEMORY: "its limit of memory is too small for Python and the framework to start",
    Ending.CRASHED: "Python or the framework ended while it started",
    Ending.NONSENSE: "Python or the framework did not start as it should",
}
"""What is said of an end before the model was begun: it says nothing of the model."""

_LOST: Mapping[Ending, str] = {
    Ending.CRASHED: "the framework ended without an answer",
    Ending.NONSENSE: "what came out of the cage is no answer",
}


def _called(name: str) -> str:
    return f"signature {name}" if name else "the model"


def _mismatches(declared: Sequence[Signature], runs: Sequence[Run]) -> Iterable[str]:
    """Yield where what came out is not what is declared. A lone signature is compared whatever it is called."""
    lone = len(declared) == len(runs) == 1
    by_name = {run.name: run for run in runs}
    for signature in declared:
        run = runs[0] if lone else by_name.get(_clean(signature.name, MAX_TEXT))
        if run is None:
            yield f"{_called(signature.name)} is declared, and the loaded model does not have it"
        elif run.runs:
            yield from _of_one(signature, run)


def _of_one(signature: Signature, run: Run) -> Iterable[str]:
    outputs = {output.name: output for output in run.outputs}
    for wanted in signature.outputs:
        found = outputs.get(_clean(wanted.name, MAX_TEXT))
        name = f"output {_clean(wanted.name, MAX_TEXT)} of {_called(_clean(signature.name, MAX_TEXT))}"
        if found is None:
            yield f"{name} is declared, and did not come out"
        elif wanted.dtype not in (found.dtype, UNKNOWN):
            yield f"{name}: declared as {wanted.dtype}, {found.dtype} came out"
        elif not fits(wanted.shape, found.shape):
            yield f"{name}: declared with shape {shape_text(wanted.shape)}, {shape_text(found.shape)} came out"


def fits(declared: Shape, found: Shape) -> bool:
    """Tell whether a tensor of the shape *found* is what was *declared*: unknown and symbolic sizes fit every size."""
    if declared is None or found is None:
        return True
    known = zip(declared, found, strict=False)
    return len(declared) == len(found) and all(not isinstance(size, int) or size == real for size, real in known)


def shape_text(shape: Shape) -> str:
    """Return a shape as a person reads it, `[?, 10]`."""
    return "of any rank" if shape is None else f"[{', '.join('?' if axis is None else str(axis) for axis in shape)}]"


def verification_json(path: str, checks: Sequence[LoadCheck]) -> dict[str, Any]:
    """Return the report of *checks* as plain JSON values; docs/howto/verify.md names the keys."""
    return {
        "schema": SCHEMA,
        "path": _clean(path, MAX_ERROR),
        "outcome": worst(checks).value,
        "models": [_check_json(check) for check in checks],
    }


def kept_text(report: Mapping[str, Any]) -> str:
    """Return *report* as the text that is kept, without what is longest where it is longer than `MAX_KEPT`."""
    for spared in ((), ("outputs",), ("outputs", "runs", "mismatches", "tried")):
        text = json.dumps(_without(report, spared), allow_nan=False)
        if len(text) <= MAX_KEPT:
            break
    return text


def _without(report: Mapping[str, Any], spared: Collection[str]) -> dict[str, Any]:
    def thinned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: [] if key in spared else thinned(item) for key, item in value.items()}
        return [thinned(item) for item in value] if isinstance(value, list) else value

    thin: dict[str, Any] = thinned(dict(report))
    return thin


def _check_json(check: LoadCheck) -> dict[str, Any]:
    seen, claims = check.seen, None if check.seen is None else check.seen.claims
    return {
        "root": _clean(check.root, MAX_ERROR),
        "format": check.format,
        "outcome": check.outcome.value,
        "why": _clean(check.why, MAX_ERROR),
        "sandbox": None if seen is None else seen.rung.value,
        "framework": claims.framework if claims else None,
        "loads": claims.loads if claims and not claims.lacks else None,
        "loadSeconds": claims.load_seconds if claims and claims.loads else None,
        "runs": [_run_json(run) for run in claims.runs] if claims else [],
        "mismatches": list(check.mismatches),
        "seconds": None if seen is None else round(seen.seconds, 3),
        "peakBytes": None if seen is None else seen.peak_bytes,
        "ended": None if seen is None else seen.ending.value,
        "begun": seen is not None and seen.is_begun,
        "watched": seen is not None and seen.is_watched,
        "tried": [_tried_json(tried) for tried in seen.tried] if seen else [],
        "withheld": [{"path": _clean(one.path, MAX_ERROR), "reason": one.reason} for one in check.withheld],
    }


def _tried_json(tried: Tried) -> dict[str, Any]:
    return asdict(tried) | {"target": _clean(tried.target, MAX_ERROR)}


def _run_json(run: Run) -> dict[str, Any]:
    seconds = None if run.seconds is None or not math.isfinite(run.seconds) else round(run.seconds, 6)
    outputs = [{"name": o.name, "dtype": o.dtype, "shape": None if o.shape is None else list(o.shape)} for o in run.outputs]
    return {
        "name": run.name,
        "runs": run.runs,
        "seconds": seconds,
        "filled": run.filled,
        "error": run.error,
        "outputs": outputs,
    }
