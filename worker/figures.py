"""How people read counts and sizes: three digits and a unit. Pure; numbers in, text out."""

from __future__ import annotations

from collections.abc import Sequence

THOUSAND = 1000
"""From here on a count is told in units of thousands."""


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
