"""What became of the gates of a version, and what differed from the one before it, in the words of the page.

In go a version and the one before it, out come rows, states and sentences. Nothing is read here. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from worker.api.web.wording import clean
from worker.gates import aggregate_words, failed, is_any_failed
from worker.health import State
from worker.records import GateOutcome, GateResult, ModelVersion

PASSED = State("ok", "", "Passed")
FAILED = State("bad", "is-bad", "Failed")
NOT_FOUND = State("unknown", "is-none", "Not found, passes")


@dataclass(frozen=True, slots=True)
class Row:
    """A gate with what became of it, as the table shows it."""

    name: str
    aggregate: str
    target: str
    state: State
    says: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """What differed when a version came: a sentence, and where both are compared; empty where the other is gone."""

    says: str
    href: str


def context(version: ModelVersion, before: ModelVersion | None) -> Mapping[str, Any]:
    """Return what the template shows; *before* is the version that this one was compared with when it came, None where there
    is none any more."""
    return {"gates": [_row(result) for result in _failed_first(version)], "arrival": arrival(version, before)}


def states(version: ModelVersion, others: Sequence[State]) -> tuple[State, ...]:
    """Return *others* behind the word that gates failed, where some did."""
    return (state(version.gates), *others) if is_any_failed(version.gates) else tuple(others)


def state(results: Sequence[GateResult]) -> State:
    """Return the word that some of *results* failed."""
    count = len(failed(results))
    return State("bad", "is-bad", "A gate failed" if count == 1 else f"{count} gates failed")


def use(version: ModelVersion, otherwise: str) -> str:
    """Return whether the model may be used: what *otherwise* counts says no more than that it can where a gate failed."""
    is_usable = otherwise.startswith("It can be used")
    return "Look at its gates before you use it." if is_usable and is_any_failed(version.gates) else otherwise


def arrival(version: ModelVersion, before: ModelVersion | None) -> Arrival | None:
    """Return what differed when *version* came, None where it was the first of its name."""
    if version.arrival is None:
        return None
    says = str(version.arrival["says"]).partition(": ")[2]
    href = "" if before is None else f"/compare?{urlencode({'a': before.id, 'b': version.id})}"
    return Arrival(clean(f"Against v{version.arrival['number']} when it came: {says}."), href)


def _failed_first(version: ModelVersion) -> Sequence[GateResult]:
    return sorted(version.gates, key=lambda result: result.is_passed)


def _row(result: GateResult) -> Row:
    gate = result.gate
    state = FAILED if not result.is_passed else PASSED if result.outcome is GateOutcome.PASSED else NOT_FOUND
    return Row(clean(gate.name), clean(aggregate_words(gate)), clean(gate.target), state, clean(result.says))
