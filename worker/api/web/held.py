"""What the page of a version says of its quarantine, and of what its findings mean, in the words of the page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from detectors.rules import RULES
from worker.api.web import wording
from worker.api.web.wording import clean
from worker.health import State
from worker.records import ModelVersion

IN_QUARANTINE = State("bad", "is-bad", "In quarantine")
USE = "It is not served: it is in quarantine until a person releases it."


def context(version: ModelVersion, now: datetime) -> dict[str, Any]:
    """Return what the template shows: why it is in quarantine and since when; or who released it, when and why."""
    held, release = version.held, None if version.held is None else version.held.released
    return {
        "is_in": version.is_quarantined,
        "why": "" if held is None else clean(held.why),
        "since": None if held is None else wording.age(held.since, now),
        "released": None if release is None else wording.age(release.at, now),
        "by": None if release is None or release.by is None else clean(release.by),
        "reason": "" if release is None else clean(release.reason),
        "warning": None if version.warning is None else clean(version.warning),
    }


def first(version: ModelVersion, states: Sequence[State], use: str) -> dict[str, Any]:
    """Return *states* and *use* of a version as they read where it is in quarantine: that stands before all else."""
    return {"states": (IN_QUARANTINE, *states), "use": USE} if version.is_quarantined else {"states": states, "use": use}


def explained(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return *findings* with why each matters, and what to do about it; empty where this release knows no such rule."""
    return [dict(one) | {"why": _sentence(_why(one["rule"])), "advice": _sentence(one.get("advice", ""))} for one in findings]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _why(rule: str) -> str:
    known = RULES.get(rule)
    return "" if known is None else known.why
