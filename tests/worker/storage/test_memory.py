"""The store in memory: the contract suite."""

from __future__ import annotations

import pytest

from tests.contracts.store import StoreContract
from worker.storage.memory import MemoryStore


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
