"""How people read counts and sizes, and months. Pure; numbers in, text out."""

from __future__ import annotations

from collections.abc import Sequence

THOUSAND = 1000
"""From here on a count is told in units of thousands."""

NBSP = "\N{NO-BREAK SPACE}"

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def exact(number: int) -> str:
    """Return a number with its thousands set apart: `3,274,634`."""
    return f"{number:,}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number and its noun: `1 model`, `1,394 versions`."""
    return f"{exact(number)} {one if number == 1 else many or one + 's'}"


def size(count: int) -> str:
    """Return a count of bytes in decimal units: `13.2 MB`."""
    return f"{count} B" if count < THOUSAND else _in_units(count, ("kB", "MB", "GB", "TB", "PB"))


def short(number: int) -> str:
    """Return a number as people say it: `3.27 M`."""
    return str(number) if abs(number) < THOUSAND else _in_units(number, ("k", "M", "G", "T"))


def _in_units(count: int, units: Sequence[str]) -> str:
    """Return *count*, a thousand at least, in the largest of *units* that leaves at least one."""
    value, unit = count / THOUSAND, units[0]
    for larger in units[1:]:
        if value < THOUSAND - 0.5:
            break
        value, unit = value / THOUSAND, larger
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f} {unit}"
