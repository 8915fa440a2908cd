"""Runs in the cage: looks at nothing. That it answers shows that such a cage can be had here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def prepare() -> None:
    """Need no framework."""


def look(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer of the right shape."""
    return {"framework": "", "loads": True, "load_seconds": 0.0, "error": "", "signatures": []}
