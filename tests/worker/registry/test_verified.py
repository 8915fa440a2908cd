"""What load checks came to is kept by the same contract in memory and in a database."""

from __future__ import annotations

import pytest

from tests.contracts.registry import Build
from tests.contracts.verifications import VerificationsContract
from worker.registry.memory import MemoryRegistry


class TestMemoryVerifications(VerificationsContract):
    @pytest.fixture
    def build(self) -> Build:
        return MemoryRegistry


class TestSqlVerifications(VerificationsContract):
    @pytest.fixture
    def build(self, build: Build) -> Build:
        return build
