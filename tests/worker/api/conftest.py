"""The API on the registry in memory and on SQLite, with a clock that stands and a bell that counts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from tests.worker.api.client import Client
from worker.api.app import make_app
from worker.api.limits import Rates
from worker.api.service import Service, Uploading
from worker.connections import Connection
from worker.locations import Places
from worker.ports import Registry, SetAside, Store
from worker.registry.memory import MemoryRegistry
from worker.registry.migrate import migrate
from worker.registry.sql import SqlRegistry
from worker.s3_events import RunsBelow
from worker.set_aside import NothingSetAside
from worker.storage.memory import MemoryStore
from worker.teams import create_token

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANYWHERE = Places(roots=("/",))
AT_ONCE = Uploading(wait_seconds=0.0)


@dataclass
class StandingClock:
    """Time that passes only when a test says so."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Door:
    """The API, and what a test looks at behind it."""

    registry: Registry
    store: Store = field(default_factory=MemoryStore)
    clock: StandingClock = field(default_factory=StandingClock)
    rung: list[int] = field(default_factory=list)
    is_loopback: bool = False
    is_failed_scanned: bool = False
    places: Places = ANYWHERE
    s3_runs: tuple[RunsBelow, ...] = ()
    uploading: Uploading = AT_ONCE
    rates: Rates = field(default_factory=Rates)
    connections: tuple[Connection, ...] = ()
    set_aside: SetAside = field(default_factory=NothingSetAside)
    secrets: Iterator[int] = field(default_factory=lambda: count(1))

    def ring(self) -> None:
        """Note how many ingestions were committed by now."""
        self.rung.append(sum(self.registry.queue(self.clock.now()).states.values()))

    @property
    def service(self) -> Service:
        ids = count(1)
        return Service(
            registry=self.registry,
            store=self.store,
            open_version=lambda version: self.store.opened(version.url),
            clock=self.clock,
            ring=self.ring,
            new_id=lambda: f"new-{next(ids)}",
            places=self.places,
            living_workers=lambda: 2,
            is_failed_scanned=self.is_failed_scanned,
            is_loopback=self.is_loopback,
            s3_runs=self.s3_runs,
            quiet_seconds=60.0,
            set_aside=self.set_aside,
            uploading=self.uploading,
            rates=self.rates,
            connections=lambda: self.connections,
        )

    def client(self) -> Client:
        """Return a client without a token."""
        return Client(make_app(self.service))

    def token(self, *scopes: str, team: str = "default", days: float | None = None) -> str:
        """Return a new token of the team."""
        number = next(self.secrets).to_bytes(32)
        return create_token(self.registry, team, "test", scopes, self.clock.now(), lambda size: number, days).secret

    def admin(self, team: str = "default") -> Client:
        """Return a client that may do everything in the team."""
        return self.client().with_token(self.token("admin", team=team))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the tables of this code, and no rows."""
    path = tmp_path_factory.mktemp("migrated") / "registry.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite(migrated: Path, tmp_path: Path) -> Iterator[Callable[[], SqlRegistry]]:
    """Opens a registry on a SQLite file of one's own."""
    opened: list[SqlRegistry] = []

    def build() -> SqlRegistry:
        opened.append(SqlRegistry(f"sqlite:///{shutil.copy(migrated, tmp_path / 'registry.db')}"))
        return opened[-1]

    yield build
    for registry in opened:
        registry.close()


@pytest.fixture(params=["memory", "sqlite"])
def door(request: pytest.FixtureRequest, sqlite: Callable[[], SqlRegistry]) -> Door:
    return Door(MemoryRegistry() if request.param == "memory" else sqlite())


@pytest.fixture
def admin(door: Door) -> Client:
    return door.admin()
