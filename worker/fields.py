"""The fields of a JSON object that a stranger sent, each of the type it must be, or a rejection in words.

In goes a JSON value that was parsed already; out come plain values. Null is the same as absent. A rejection names the field,
what was expected, and what was found, in characters that no terminal obeys.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeGuard, TypeVar

from detectors.errors import ModelError
from detectors.json_text import parse_json
from worker.errors import RejectedEvent

Object = Mapping[str, Any]
T = TypeVar("T")

MAX_SHOWN_CHARACTERS = 80
"""How much of a wrong value a rejection repeats."""


def object_of(where: str, value: Any) -> Object:
    """Return *value*, which must be a JSON object; *where* names it."""
    if not isinstance(value, dict):
        raise RejectedEvent(f"{where}: expected a JSON object, found {shown(value)}")
    return value


def object_with(where: str, value: Any, names: Collection[str]) -> Object:
    """Return *value*, which must be a JSON object with one of the fields *names* at least, and no others."""
    fields = object_of(where, value)
    others = sorted(fields.keys() - names)
    if others or not fields:
        found = ", ".join(others)[:MAX_SHOWN_CHARACTERS]
        raise RejectedEvent(f"{where}: expected {' or '.join(sorted(names))}, found {found or 'nothing'}")
    return fields


def text(fields: Object, key: str, most: int, where: str | None = None) -> str | None:
    """Return the text at *key*, of *most* characters at most; None where there is none. *where* names the field in words."""
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise RejectedEvent(f"{where or key}: expected text, found {shown(value)}")
    if len(value) > most:
        raise RejectedEvent(f"{where or key}: expected at most {most} characters, found {len(value)}")
    return value


def json_text_of(key: str, given: str) -> Any:
    """Return the JSON value that the text *given* for *key* is."""
    try:
        value, _ = parse_json(given.encode("utf-8", "surrogatepass"))
    except ModelError as exc:
        raise RejectedEvent(f"{key}: expected JSON: {exc}") from exc
    return value


def required_text(fields: Object, key: str, most: int, where: str | None = None) -> str:
    """Return the text at *key*, which must be there and not empty."""
    value = text(fields, key, most, where)
    if not value:
        raise RejectedEvent(f"{where or key}: expected text, found {'nothing' if value is None else 'none in it'}")
    return value


def number(fields: Object, key: str, most: int, where: str | None = None) -> int | None:
    """Return the whole number at *key*, from 0 to *most*; None where there is none."""
    value = fields.get(key)
    if value is None:
        return None
    if not is_number(value) or not 0 <= value <= most:
        raise RejectedEvent(f"{where or key}: expected a whole number from 0 to {most}, found {shown(value)}")
    return int(value)


def is_words(value: Any, most: int) -> TypeGuard[list[str]]:
    """Tell whether *value* is a list of texts, *most* of them at most."""
    return isinstance(value, list) and len(value) <= most and all(isinstance(one, str) for one in value)


def is_number(value: Any) -> bool:
    """Tell whether *value* is a whole number; Python takes true and false for numbers, JSON does not."""
    return isinstance(value, int) and not isinstance(value, bool)


def flag(fields: Object, key: str) -> bool:
    """Return the truth at *key*, False where there is none."""
    value = fields.get(key)
    if value is not None and not isinstance(value, bool):
        raise RejectedEvent(f"{key}: expected true or false, found {shown(value)}")
    return bool(value)


def word(fields: Object, key: str, words: Mapping[str, T]) -> T | None:
    """Return what the word or number at *key* means, in any case and with or without spaces, dashes and underscores."""
    value = fields.get(key)
    if value is None:
        return None
    given = re.sub(r"[\s_-]", "", str(value)).lower() if isinstance(value, str) or is_number(value) else None
    if given is None or given not in words:
        raise RejectedEvent(f"{key}: expected one of {', '.join(words)}, found {shown(value)}")
    return words[given]


def only(fields: Object, key: str, wanted: str) -> None:
    """Raise RejectedEvent unless *wanted* stands at *key*."""
    value = fields.get(key)
    if value != wanted:
        raise RejectedEvent(f"{key}: expected {wanted}, found {shown(value)}")


def shown(value: Any) -> str:
    """Return *value* as a person may read it in a sentence."""
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    said = ascii(value) if isinstance(value, str) else str(value).lower()
    return said if len(said) <= MAX_SHOWN_CHARACTERS else said[: MAX_SHOWN_CHARACTERS - 1] + "…"
