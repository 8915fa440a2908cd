"""Which release of this program runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

FROM_SOURCE = "0.0.0"


def release() -> str:
    """Return the version of this program, `FROM_SOURCE` where it was not installed."""
    try:
        return version("modelport")
    except PackageNotFoundError:
        return FROM_SOURCE
