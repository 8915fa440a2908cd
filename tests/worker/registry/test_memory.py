"""The registry in memory does what every registry does."""

from __future__ import annotations

import pytest

from tests.contracts.audit import AuditContract
from tests.contracts.gates import GatesContract
from tests.contracts.halts import HaltsContract
from tests.contracts.lists import ListsContract
from tests.contracts.projects import ProjectsContract
from tests.contracts.quarantine import QuarantineContract
from tests.contracts.registry import Build, RegistryContract
from worker.registry.memory import MemoryRegistry


class TestMemoryRegistry(RegistryContract, AuditContract, ProjectsContract, HaltsContract, GatesContract, QuarantineContract):
    @pytest.fixture
    def build(self) -> Build:
        return MemoryRegistry


class TestMemoryLists(ListsContract):
    @pytest.fixture
    def build(self) -> Build:
        return MemoryRegistry
