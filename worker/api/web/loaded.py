"""What the page of a version says of its load check, in the words of the page.

In go what is kept of the last one and the time, out come states and sentences. Nothing is read here. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.api.web import wording
from worker.api.web.wording import clean
from worker.health import State
from worker.load_check import FORMATS
from worker.verification import Outcome, Verified
from worker.verification_words import Mark, lines

SHOWN = {
    Mark.GOOD: State("ok", "", ""),
    Mark.BAD: State("bad", "is-bad", ""),
    Mark.UNKNOWN: State("unknown", "is-warn", ""),
    Mark.NOTE: State("info", "is-none", ""),
}
"""The sign of each sentence. Its words are beside it, so that the colour is on the sign alone."""

OUTCOMES = {
    Outcome.VERIFIED: State("ok", "", "Loads and runs"),
    Outcome.FAILED: State("bad", "is-bad", "Load check failed"),
    Outcome.NOT_VERIFIED: State("unknown", "is-warn", "Not verified"),
    Outcome.NOTHING: State("info", "is-none", "No model in it that can be loaded"),
}
"""How each outcome is shown."""

MOST_LINES = 50
"""Sentences of one model."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The load check of one model: which one, its sentences with their signs, and how many are left out."""

    root: str
    lines: Sequence[tuple[State, str]]
    more: int


def context(verified: Verified | None, report: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return what the template shows: what the last load check came to, when it was, and its models; where none was, whether
    there is anything in the *report* that can be loaded.
    """
    if verified is None:
        can_be_loaded = any(model["format"] in FORMATS for model in report["models"])
        return {"load_state": None, "loaded_at": None, "loaded": [], "can_be_loaded": can_be_loaded}
    models = json.loads(verified.report)["models"]
    return {
        "load_state": OUTCOMES[verified.outcome],
        "load_verb": "Loaded" if any(model["loads"] for model in models) else "Tried",
        "loaded_at": wording.age(verified.at, now),
        "loaded": [_loaded(model) for model in models],
    }


def _loaded(model: Mapping[str, Any]) -> Loaded:
    told = [(SHOWN[line.mark], clean(line.text)) for line in lines(model)]
    return Loaded(clean(model["root"]), told[:MOST_LINES], max(0, len(told) - MOST_LINES))


def states(verified: Verified | None, others: Sequence[State]) -> tuple[State, ...]:
    """Return *others*, the worst first, and where the load check failed that word behind what is as bad: it informs."""
    if not _is_failed(verified):
        return tuple(others)
    bad = [state for state in others if state.level == "is-bad"]
    return (*bad, OUTCOMES[Outcome.FAILED], *others[len(bad) :])


def use(verified: Verified | None, otherwise: str) -> str:
    """Return whether the model may be used: what *otherwise* says no more than that it can where its load check failed."""
    is_usable = otherwise.startswith("It can be used")
    return "Look at its load check before you use it." if is_usable and _is_failed(verified) else otherwise


def _is_failed(verified: Verified | None) -> bool:
    return verified is not None and verified.outcome is Outcome.FAILED
