"""The registry in a database does what every registry does, and keeps it whole whatever fails."""

from __future__ import annotations

import pytest

from tests.contracts.registry import Build, RegistryContract


class TestSqlRegistry(RegistryContract):
    @pytest.fixture
    def build(self, build: Build) -> Build:
        return build
