"""Fixtures that any test may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

pytest_plugins = ("tests.servers.fixtures",)

settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")
"""No single example has a time limit, as Hypothesis has it in CI: a busy machine is no counter-example."""


@pytest.fixture(autouse=True)
def log_as_nobody_configured() -> Iterator[None]:
    """Forget how a command that ran in this process set up its log: the stderr that it wrote to was the test's own."""
    yield
    structlog.reset_defaults()
