"""A migrated SQLite file is made once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from worker.lifecycle import LEASE_SECONDS
from worker.registry.migrate import migrate
from worker.registry.sql import SqlRegistry
from worker.registry.words import Destinations, NewId, random_id


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the tables of this code, and no rows."""
    path = tmp_path_factory.mktemp("migrated") / "registry.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> str:
    """The URL of a migrated database of one's own."""
    return f"sqlite:///{shutil.copy(migrated, tmp_path / 'registry.db')}"


@pytest.fixture
def build(database: str) -> Iterator[Callable[..., SqlRegistry]]:
    """Opens registries on the one database of this test, and closes them."""
    opened: list[SqlRegistry] = []

    def build(
        new_id: NewId = random_id,
        busy_seconds: float = 30.0,
        lease_seconds: float = LEASE_SECONDS,
        destinations: Destinations = MappingProxyType({}),
    ) -> SqlRegistry:
        opened.append(SqlRegistry(database, new_id, busy_seconds, lease_seconds, destinations))
        return opened[-1]

    yield build
    for registry in opened:
        registry.close()
