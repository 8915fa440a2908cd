"""How things are written on pages: numbers, sizes, ages, names from outside. Pure; text in, text out.

Laws (each has a test of the same name):
    what is visible has no character that steers a terminal or turns the direction of text, and is UTF-8;
    text without such characters is visible as it is.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime

from worker import figures
from worker.figures import MONTHS, NBSP, counted, exact

NOTHING = "–"

STEERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of the text around them. Source: Unicode TR 9, "explicit directional formatting"."""

INVISIBLE = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Categories of what is not to be seen and not written: control characters, halves of surrogate pairs, ends of lines."""


def visible(text: str) -> str:
    """Return *text* with control characters, bytes that are not UTF-8, and turns of direction escaped with a backslash."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _is_hidden(c) else c for c in text)


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in INVISIBLE or character in STEERING


def short(number: int) -> str:
    """Return a number with three digits and a unit: `3.27 M`."""
    return figures.short(number).replace(" ", NBSP)


def size(count: int) -> str:
    """Return a count of bytes in decimal units, with three digits: `13.2 MB`."""
    return figures.size(count).replace(" ", NBSP)


def metric(value: float | int | str) -> str:
    """Return a number that a run reported, with four decimals; a very large or small one in powers of ten, NaN in a word.

    Reports hold what is no number in JSON as text: `NaN`, `Infinity`, `-Infinity`, integers beyond 64 bits.
    """
    if isinstance(value, str):
        return WORDS.get(value, value)
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite" if value > 0 else "minus infinite"
    is_plain = value == 0 or 1e-4 <= abs(value) < 1e7
    return (f"{value:,d}" if isinstance(value, int) else f"{value:,.4f}") if is_plain else f"{value:.4g}"


WORDS = {"NaN": "not a number", "Infinity": "infinite", "-Infinity": "minus infinite"}

UNITS = ((86_400 * 365, "y"), (86_400, "d"), (3600, "h"), (60, "min"))


def age(moment: datetime, now: datetime) -> str:
    """Return how long ago *moment* was, in one unit: `41 min ago`; `just now` below ten seconds, or where a clock is behind."""
    seconds = int((now - moment).total_seconds())
    if seconds < 10:
        return "just now"
    for unit, word in UNITS:
        if seconds >= unit:
            return f"{seconds // unit}{NBSP}{word} ago"
    return f"{seconds}{NBSP}s ago"


def utc(moment: datetime) -> str:
    """Return a moment as people write it: `20 Nov 2026, 11:04:12 UTC`."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment:%Y, %H:%M:%S} UTC"


def time_of_day(moment: datetime) -> str:
    """Return the time of a moment in UTC: `11:04:12`."""
    return f"{moment.astimezone(UTC):%H:%M:%S}"


def iso(moment: datetime) -> str:
    """Return a moment as `<time datetime>` wants it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


FORMATS = {
    "tensorflow_savedmodel": "SavedModel",
    "tensorflow_checkpoint": "TF checkpoint",
    "tensorflow_graphdef": "TF graph",
    "onnx": "ONNX",
    "keras": "Keras",
    "tflite": "TF Lite",
    "safetensors": "safetensors",
    "pytorch": "PyTorch",
    "pickle": "Pickle",
    "gguf": "GGUF",
    "custom": "Custom",
}


def format_name(format: str) -> str:
    """Return a format as people call it: `SavedModel`."""
    return FORMATS.get(format, format.replace("_", " "))


def software(name: str) -> str:
    """Return the name of a framework as it writes itself: `TensorFlow`."""
    return SOFTWARE.get(name.lower(), name)


SOFTWARE = {"tensorflow": "TensorFlow", "pytorch": "PyTorch", "keras": "Keras", "onnx": "ONNX"}


def merged(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Return what both mappings say; where they differ, the *other*."""
    return {**one, **other}


FILTERS = {
    "age": age,
    "counted": counted,
    "exact": exact,
    "format_name": format_name,
    "iso": iso,
    "merged": merged,
    "metric": metric,
    "short": short,
    "size": size,
    "software": software,
    "time_of_day": time_of_day,
    "utc": utc,
    "visible": visible,
}
"""What templates call these."""
