"""What is said of a version's files as they were found later, and of the rules that judged it, in the words of the page.

In go a version and the time, out come states and sentences. Nothing is read here. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from detectors.scan import RULES_VERSION
from worker.api.web import wording
from worker.api.web.wording import clean
from worker.health import State
from worker.records import Condition, ModelVersion

SHOWN = {
    Condition.MISSING: State("bad", "is-bad", "Files gone"),
    Condition.CHANGED: State("bad", "is-bad", "Files changed"),
    Condition.TOUCHED: State("warn", "is-warn", "Files written since"),
    Condition.UNREACHABLE: State("unknown", "is-warn", "Files not reached"),
}
"""How each condition is shown beside what the scan said; nothing is said of files that are fine."""

USE = {
    Condition.MISSING: "It cannot be used as it lies: its files are gone.",
    Condition.CHANGED: "It is not to be used as it lies: its files are not those that were registered.",
    Condition.TOUCHED: "It is to be looked at first: its files were written since it was registered.",
    Condition.UNREACHABLE: "Whether it can be used is not known: its files could not be reached.",
}
"""Whether such a version can be used, in place of what the scan report alone would say."""

IS_FINE = State("ok", "", "As registered")


def drift(version: ModelVersion) -> State | None:
    """Return what is to be said of the files of *version*, None where they are fine, or nobody looked."""
    return None if version.files_seen is None else SHOWN.get(version.files_seen.condition)


def context(version: ModelVersion, now: datetime, states: Sequence[State], use: str) -> Mapping[str, Any]:
    """Return what the template shows: how the files were found and when, and whether newer rules would judge the version.

    What is wrong with the files stands before the *states* that the scan report tells, and in place of the *use* that it sees.
    """
    seen = version.files_seen
    found = drift(version)
    return {
        "states": tuple(states) if found is None else (found, *states),
        "use": use if found is None or seen is None else USE[seen.condition],
        "drift_state": IS_FINE if seen is None else SHOWN.get(seen.condition, IS_FINE),
        "drift_lines": [] if seen is None else list(_lines(version, now)),
        "is_looked_at": seen is not None,
        "rules": clean(version.rules_version),
        "newest_rules": None if version.rules_version == RULES_VERSION else clean(RULES_VERSION),
    }


def _lines(version: ModelVersion, now: datetime) -> Iterator[tuple[str, Any]]:
    """Yield a sentence and the age of what it says."""
    seen = version.files_seen
    if seen is not None:
        yield clean(seen.says), wording.age(seen.at, now)
        if seen.trouble is not None:
            yield clean(seen.trouble), wording.age(seen.looked, now)
