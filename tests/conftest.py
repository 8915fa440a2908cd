"""Fixtures that any test may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

pytest_plugins = ("tests.servers.fixtures",)


@pytest.fixture(autouse=True)
def log_as_nobody_configured() -> Iterator[None]:
    """Forget how a command that ran in this process set up its log: the stderr that it wrote to was the test's own."""
    yield
    structlog.reset_defaults()
