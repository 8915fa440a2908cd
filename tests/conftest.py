"""Fixtures that any test may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from detectors.unforeseen import Readers

pytest_plugins = ("tests.servers.fixtures",)

settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")
"""No single example has a time limit, as Hypothesis has it in CI: a busy machine is no counter-example."""


@pytest.fixture(autouse=True)
def log_as_nobody_configured() -> Iterator[None]:
    """Forget how a command that ran in this process set up its log: the stderr that it wrote to was the test's own."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def no_error_of_ours_is_taken_for_a_fact(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an error that nobody foresaw in a reader fail the test, as it would without the guard that keeps it in production."""
    if request.node.get_closest_marker("errs_on_purpose") is None:

        def fail(readers: Readers, reader: str, path: str, error: Exception) -> None:
            raise error

        monkeypatch.setattr(Readers, "_keep", fail)
