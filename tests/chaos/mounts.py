"""A mount that hangs, for tests that have nothing to say where none can be made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.chaos.hanging import HangingMount, Hangs, hanging_mount


@contextmanager
def hanging_mount_or_skip(folder: Path, hangs: Hangs) -> Iterator[HangingMount]:
    """As `hanging_mount`, with an empty file; where that cannot be, the test is skipped."""
    with ExitStack() as mounts:
        try:
            mount = mounts.enter_context(hanging_mount(folder, b"", hangs))
        except OSError as exc:
            pytest.skip(f"no file system that hangs can be mounted: {exc}")
        yield mount
