"""The plain text in which values are stored that databases do not agree on; pure.

Laws (each has a test of the same name):
    any text comes back as it was;
    no two texts are stored alike;
    moments sort as their stored text does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MARK = "escaped:"
"""Begins the stored form of a text that databases do not take, and of one that begins so itself."""

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""What PostgreSQL refuses in text: the zero character, and surrogates, which stand for no character."""

MOMENT_CHARS = len("2026-01-02T03:04:05.000006Z")
"""Characters of a stored moment: years have four digits, seconds six decimals."""


def is_storable(text: str) -> bool:
    """Tell whether every database takes *text* as it is: no zero character, no lone surrogate."""
    return UNSTORABLE.search(text) is None


def stored_text(text: str) -> str:
    """Return the form in which *text* is stored: itself, or `MARK` and its backslash-escaped form. No two share a form."""
    if is_storable(text) and not text.startswith(MARK):
        return text
    return MARK + text.encode("unicode_escape").decode("ascii")


def original_text(stored: str) -> str:
    """Return the text whose stored form is *stored*."""
    if not stored.startswith(MARK):
        return stored
    return stored.removeprefix(MARK).encode("ascii").decode("unicode_escape")


def stored_moment(moment: datetime) -> str:
    """Return *moment* in UTC, to the microsecond.

    Raises:
        ValueError: it has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with its zone, found {moment.isoformat()}")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def json_text(value: Any) -> str:
    """Return *value* as ASCII JSON; any mapping is an object, a tuple is a list, NaN is written as Python writes it."""
    return json.dumps(value, ensure_ascii=True, default=_object)


def _object(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"expected plain JSON, found {type(value).__name__}")
