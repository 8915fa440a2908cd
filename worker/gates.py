"""Gates: conditions on the numbers of a run, in the grammar of GradientCI's `checks`, and what becomes of them. Pure.

    checks:
      tensorflow:accuracy: {target: 0.99..1.00, aggregate: mean}
      custom:f1: {target: 0.9.., aggregate: /test/f1, precision: 3, round: up, if-not-found: success}
      defaults: {precision: 2}

In go the plain values that JSON or YAML held, and later the summary of the metrics and the custom metadata; out come `Gate`
and `GateResult`. `tensorflow:` and `onnx:` name a metric of the summary, whatever reported it; the aggregate of `custom:` is a
JSON pointer into the metadata, and what stands behind the colon is only a name. Between two numbers means above the one and
below the other; a number alone is what must be passed.

The number is rounded first, then compared, all in decimals: down is towards minus infinity and up towards plus infinity, so
that rounding down never makes a number greater. A float is the shortest decimal that reads as it; one that 32 bits hold, as
event files have them, the shortest that reads so in 32 bits: who wrote 0.7 finds 0.7, and not 0.699999988. Whole numbers are
exact. What is no finite number passes nothing.

Laws (each has a test of the same name):
    any value gives gates or a RejectedEvent;
    gates that are written and read again are the same;
    rounding down never raises a number, and rounding up never lowers it;
    what is no finite number passes no gate.

Source: GradientCI's documentation, "Metrics Checks"; RFC 6901 for pointers.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

from detectors.facts import Metadata
from detectors.report import plain
from worker.errors import RejectedEvent
from worker.fields import Object, object_of, shown
from worker.records import Gate, GateOutcome, GateResult

MAX_GATES = 50
"""Gates of one event, or of one project in the setting; each row of a list of versions tells what became of all."""

MAX_TEXT_CHARACTERS = 255
"""Length of a name, and of a pointer."""

MAX_NUMBER_CHARACTERS = 64
MAX_EXPONENT = 400
"""How a bound of a range may be written; beyond every double."""

MAX_RANGE_CHARACTERS = 2 * MAX_NUMBER_CHARACTERS + 10

MAX_PRECISION = 20
"""Decimal places; a double tells seventeen digits apart."""

MAX_SHOWN_CHARACTERS = 40
"""How much of a long number is told."""

SOURCES = ("tensorflow", "onnx", "custom")
CUSTOM = "custom"
AGGREGATES = ("mean", "stddev", "max", "min", "var", "median")
"""The statistics of a metric at its last step, by the names of the summary."""

CHECKS, WORKFLOWS, DEFAULTS, PROJECTS = "checks", "workflows", "defaults", "projects"

ROUNDINGS = {"down": False, "up": True}
IF_NOT_FOUND = {"failure": False, "success": True}
PASSED_OVER = frozenset({"only-pulls", "only-prs", "comment-on-pr"})
"""What GradientCI reads too, and is about pull requests alone."""

OPTIONS = frozenset({"precision", "round", "if-not-found"}) | PASSED_OVER
FIELDS = OPTIONS | {"target", "aggregate", "aggregation"}
"""`aggregation` is how GradientCI's own examples write `aggregate`."""

NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
RANGE = re.compile(rf"(?P<above>{NUMBER})?(?: *(?P<dots>\.\.) *(?P<below>{NUMBER})?)?")
RANGE_WORDS = "a range such as 0.7.., ..0.025 or 0.99..1.00"
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
BAD_ESCAPE = re.compile(r"~(?![01])")
INDEX = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class StandingGates:
    """The gates of a setting: those that hold *everywhere*, and by id those of *projects*."""

    everywhere: tuple[Gate, ...] = ()
    projects: Mapping[str, tuple[Gate, ...]] = field(default_factory=dict)

    def of(self, project: str, sent: Iterable[Gate] = ()) -> tuple[Gate, ...]:
        """Return the gates of a run of *project* that *sent* some of its own: all of them, each name once.

        Where two have one name, that of the run counts before that of the project, and that before the one for all.
        """
        return tuple({gate.name: gate for gate in (*self.everywhere, *self.projects.get(project, ()), *sent)}.values())


def parse_standing(value: Any, where: str = "gates") -> StandingGates:
    """Return the gates that a setting names: those for all projects, or `{"checks": …, "projects": {ID: …}}`.

    Raises:
        RejectedEvent: it is none of that; the message names the place.
    """
    fields = object_of(where, value)
    if PROJECTS not in fields:
        return StandingGates(parse_gates(fields, where))
    _refuse_others(fields, frozenset({CHECKS, PROJECTS}), where)
    everywhere = parse_gates(fields[CHECKS], f"{where}.{CHECKS}") if CHECKS in fields else ()
    projects = object_of(f"{where}.{PROJECTS}", fields[PROJECTS])
    return StandingGates(
        everywhere, {str(name): parse_gates(one, f"{where}.{PROJECTS}.{_named(name)}") for name, one in projects.items()}
    )


def parse_gates(value: Any, where: str = "gates") -> tuple[Gate, ...]:
    """Return the gates in *value*: an object of them by name, or one in which `checks` holds them, as GradientCI's file does at
    its top or in a step of a workflow; *where* names it.

    Raises:
        RejectedEvent: it is none of that; the message names the place, what was expected and what was found.
    """
    where, checks = _checks(object_of(where, value), where)
    options = object_of(f"{where}.{DEFAULTS}", checks[DEFAULTS]) if DEFAULTS in checks else {}
    _refuse_others(options, OPTIONS, f"{where}.{DEFAULTS}")
    named = [(name, given) for name, given in checks.items() if name != DEFAULTS]
    if len(named) > MAX_GATES:
        raise RejectedEvent(f"{where}: expected at most {MAX_GATES} gates, found {len(named)}")
    _options(options, f"{where}.{DEFAULTS}")
    return tuple(_gate(name, given, options, where) for name, given in named)


def declared(gates: Iterable[Gate]) -> dict[str, Any]:
    """Return *gates* as JSON in the grammar that `parse_gates` reads, with nothing left to defaults."""
    return {
        gate.name: {
            "target": gate.target,
            "aggregate": gate.aggregate,
            "precision": gate.precision,
            "round": "up" if gate.is_rounded_up else "down",
            "if-not-found": "success" if gate.passes_if_not_found else "failure",
        }
        for gate in gates
    }


def evaluate(gates: Iterable[Gate], summary: Mapping[str, Any], metadata: Metadata) -> tuple[GateResult, ...]:
    """Return what becomes of each of *gates* by the *summary* of a run's metrics and its custom *metadata*."""
    return tuple(_judged(gate, *_found(gate, summary, metadata)) for gate in gates)


def failed(results: Iterable[GateResult]) -> list[str]:
    """Return the names of the gates that do not let the version pass, in their order."""
    return [result.gate.name for result in results if not result.is_passed]


def is_any_failed(results: Iterable[GateResult]) -> bool:
    """Tell whether one of *results* does not let the version pass."""
    return bool(failed(results))


def aggregate_words(gate: Gate) -> str:
    """Return which number *gate* judges, in a few words: not the last value, which the report shows of a metric."""
    is_pointer = gate.name.partition(":")[0] == CUSTOM
    return gate.aggregate if is_pointer else f"{gate.aggregate} of the values at the last step"


def gates_json(results: Iterable[GateResult]) -> list[dict[str, Any]]:
    """Return *results* as plain JSON: what each gate asked for, and what became of it."""
    return [
        {
            "name": result.gate.name,
            **declared((result.gate,))[result.gate.name],
            "outcome": result.outcome.value,
            "passed": result.is_passed,
            "value": result.value,
            "rounded": result.rounded,
            "says": plain(result.says),
        }
        for result in results
    ]


def results_of(values: Iterable[Mapping[str, Any]]) -> tuple[GateResult, ...]:
    """Return the results that `gates_json` made *values* of."""
    return tuple(
        GateResult(
            parse_gates({one["name"]: {key: one[key] for key in WRITTEN}})[0],
            GateOutcome(one["outcome"]),
            one["value"],
            one["rounded"],
            one["says"],
        )
        for one in values
    )


WRITTEN = ("target", "aggregate", "precision", "round", "if-not-found")


def _checks(fields: Object, where: str) -> tuple[str, Object]:
    """Return the object of gates in *fields*, and where it stands."""
    if CHECKS not in fields and WORKFLOWS not in fields:
        return where, fields
    found = list(_checks_in(fields, where))
    if len(found) != 1:
        places = " and ".join(place for place, _ in found[:2]) or "nowhere"
        raise RejectedEvent(f"{where}: expected {CHECKS} in one place, found {places}")
    place, checks = found[0]
    return place, object_of(place, checks)


def _checks_in(fields: Object, where: str) -> Iterator[tuple[str, Any]]:
    """Yield each `checks` of a file of GradientCI, with where it stands: at the top, in a workflow, or in one of its steps."""
    if CHECKS in fields:
        yield f"{where}.{CHECKS}", fields[CHECKS]
    workflows = fields.get(WORKFLOWS)
    for name, workflow in workflows.items() if isinstance(workflows, dict) else ():
        place = f"{where}.{WORKFLOWS}.{_named(name)}"
        steps = workflow.get("steps") if isinstance(workflow, dict) else None
        listed = steps if isinstance(steps, list) else []
        holders = [(place, workflow), *((f"{place}.steps[{at}]", step) for at, step in enumerate(listed))]
        for holder, one in holders:
            if isinstance(one, dict) and CHECKS in one:
                yield f"{holder}.{CHECKS}", one[CHECKS]


def _gate(name: Any, value: Any, defaults: Object, where: str) -> Gate:
    name = _checked_name(name, where)
    where = f"{where}.{_named(name)}"
    given = object_of(where, value)
    _refuse_others(given, FIELDS, where)
    above, below = _range(given.get("target"), f"{where}.target")
    return Gate(name, _aggregate(name, given, where), above, below, **_options({**defaults, **given}, where))


def _checked_name(name: Any, where: str) -> str:
    """Return the name of a gate, which says where its number comes from."""
    if isinstance(name, str) and len(name) <= MAX_TEXT_CHARACTERS and not UNPRINTABLE.search(name):
        source, _, rest = name.partition(":")
        if source in SOURCES and rest.strip():
            return name
    raise RejectedEvent(f"{where}: expected names such as tensorflow:loss, onnx:loss or custom:loss, found {shown(name)}")


def _aggregate(name: str, given: Object, where: str) -> str:
    said = [key for key in ("aggregate", "aggregation") if given.get(key) is not None]
    if len(said) > 1:
        raise RejectedEvent(f"{where}: expected aggregate, found aggregation besides")
    value = given[said[0]] if said else None
    if name.partition(":")[0] != CUSTOM:
        if value not in AGGREGATES:
            raise RejectedEvent(f"{where}.aggregate: expected one of {', '.join(AGGREGATES)}, found {shown(value)}")
        return str(value)
    pointer = value if isinstance(value, str) and len(value) <= MAX_TEXT_CHARACTERS else ""
    if not pointer.startswith("/") or BAD_ESCAPE.search(pointer) or UNPRINTABLE.search(pointer):
        raise RejectedEvent(f"{where}.aggregate: expected a JSON pointer such as /test/f1, found {shown(value)}")
    return pointer


def _options(given: Object, where: str) -> dict[str, Any]:
    """Return what a gate may leave out, each as said or as it is without being said."""
    return {
        "precision": _precision(given.get("precision"), f"{where}.precision"),
        "is_rounded_up": _word(given.get("round"), ROUNDINGS, "down", f"{where}.round"),
        "passes_if_not_found": _word(given.get("if-not-found"), IF_NOT_FOUND, "failure", f"{where}.if-not-found"),
    }


def _precision(value: Any, where: str) -> int:
    if value is None:
        return 2
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not re.fullmatch("[0-9]{1,2}", text) or int(text) > MAX_PRECISION:
        raise RejectedEvent(f"{where}: expected a whole number from 0 to {MAX_PRECISION}, found {shown(value)}")
    return int(text)


def _word(value: Any, words: Mapping[str, bool], otherwise: str, where: str) -> bool:
    word = otherwise if value is None else value
    if not isinstance(word, str) or word not in words:
        raise RejectedEvent(f"{where}: expected {' or '.join(words)}, found {shown(value)}")
    return words[word]


def _range(value: Any, where: str) -> tuple[Decimal | None, Decimal | None]:
    """Return the bounds of a range: a number alone, or before two dots, is to be passed."""
    text = str(value).strip() if isinstance(value, (int, float, str)) and not isinstance(value, bool) else ""
    found = RANGE.fullmatch(text) if len(text) <= MAX_RANGE_CHARACTERS else None
    if found is None or not (found["above"] or found["below"]):
        raise RejectedEvent(f"{where}: expected {RANGE_WORDS}, found {shown(value)}")
    above, below = (None if found[side] is None else _bound(found[side], where) for side in ("above", "below"))
    if above is not None and below is not None and above >= below:
        raise RejectedEvent(f"{where}: expected the lower end first, found {shown(value)}")
    return above, below


def _bound(text: str, where: str) -> Decimal:
    exponent = re.split("[eE]", text)[-1] if re.search("[eE]", text) else "0"
    if len(text) > MAX_NUMBER_CHARACTERS or abs(int(exponent)) > MAX_EXPONENT:
        raise RejectedEvent(f"{where}: expected numbers that a double can hold, found {shown(text)}")
    return Decimal(text)


def _refuse_others(given: Object, known: frozenset[str], where: str) -> None:
    """Raise where something else is said than what is *known*: a word with a slip in it would be no gate at all."""
    others = [name for name in given if name not in known]
    if others:
        raise RejectedEvent(f"{where}: expected {', '.join(sorted(known - PASSED_OVER))}, found {shown(others[0])}")


def _named(name: Any) -> str:
    """Return a key as it may stand in a sentence."""
    return str(name) if isinstance(name, str) and len(name) <= 80 and name.isprintable() else shown(name)


NOTHING = object()
"""Stands for a number that is not there; JSON's null is as good as none."""


def _found(gate: Gate, summary: Mapping[str, Any], metadata: Metadata) -> tuple[Any, str]:
    """Return what *gate* is about, `NOTHING` where there is none, and what to say then."""
    source, _, name = gate.name.partition(":")
    if source == CUSTOM:
        if not metadata.used:
            return NOTHING, f"there are no custom metadata to look at ({metadata.why})"
        value = _pointed(metadata.value, gate.aggregate)
        return (NOTHING if value is None else value), f"the custom metadata have nothing at {gate.aggregate}"
    reported = summary.get(name)
    result = reported.get("result") if isinstance(reported, Mapping) else None
    value = result.get(gate.aggregate) if isinstance(result, Mapping) else None
    return (NOTHING if value is None else value), f"the summary of the run has no {name}"


def _pointed(value: Any, pointer: str) -> Any:
    """Return what stands at *pointer* in *value*, `NOTHING` where nothing does."""
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return NOTHING
    return value


def _judged(gate: Gate, value: Any, if_nothing: str) -> GateResult:
    if value is NOTHING:
        says = f"{if_nothing}; the gate {'passes' if gate.passes_if_not_found else 'fails'} then"
        return GateResult(gate, GateOutcome.NOT_FOUND, None, None, says)
    number = exact(value)
    if number is None:
        found = str(plain(value)) if isinstance(value, float) else shown(value)
        return GateResult(gate, GateOutcome.FAILED, found, None, f"expected a finite number in {gate.target}, found {found}")
    near = rounded(number, gate.precision, gate.is_rounded_up)
    told, compared = _told(number), _told(near)
    wrong = _wrong(gate, near)
    lies = f"{compared} {wrong or f'lies in {gate.target}'}"
    way = "up" if gate.is_rounded_up else "down"
    says = lies if near == number else f"{told} rounded {way} is {compared}, which {wrong or f'lies in {gate.target}'}"
    return GateResult(gate, GateOutcome.FAILED if wrong else GateOutcome.PASSED, told, compared, says)


def _wrong(gate: Gate, number: Decimal) -> str:
    """Return which bound *number* does not keep to, in words; empty where it keeps to both."""
    if gate.above is not None and not number > gate.above:
        return f"is not above {gate.above}"
    if gate.below is not None and not number < gate.below:
        return f"is not below {gate.below}"
    return ""


def exact(value: Any) -> Decimal | None:
    """Return the decimal that a number means (see above), None where *value* is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int) or (math.isfinite(value) and value.is_integer()):
        return Decimal(int(value))
    if not math.isfinite(value):
        return None
    return _shortest_of_32_bits(value) if _in_32_bits(value) == value else Decimal(repr(value))


def _shortest_of_32_bits(value: float) -> Decimal:
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))  # nine digits tell any two of them apart
    return Decimal(next((text for text in texts if _in_32_bits(float(text)) == value), repr(value)))


def _in_32_bits(value: float) -> float:
    """Return the float of 32 bits that is nearest to *value*, or infinity beyond them."""
    with suppress(OverflowError):
        (narrow,) = struct.unpack("<f", struct.pack("<f", value))
        return float(narrow)
    return math.inf


PLACES = Context(prec=60)
"""Room for the digits of a double and `MAX_PRECISION` more: what is rounded is no whole number, and so below 2**53."""


def rounded(number: Decimal, precision: int, is_up: bool) -> Decimal:
    """Return *number* with so many decimal places, rounded towards plus infinity or else towards minus infinity."""
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -precision:
        return number
    near = number.quantize(Decimal(1).scaleb(-precision), ROUND_CEILING if is_up else ROUND_FLOOR, PLACES)
    return near if near else near.copy_abs()


def _told(number: Decimal) -> str:
    text = str(number)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"
