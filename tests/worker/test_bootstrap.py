"""The composition root with PostgreSQL: the same service, and leases decide where nobody can tell who lives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tests.builders import onnx
from tests.contracts.registry import event
from tests.servers.postgresql import PostgresServer
from worker import filesystems
from worker.bootstrap import embedded, examine, migrate_database
from worker.errors import UnsafeHome
from worker.ingest import ingest
from worker.lifecycle import LEASE_SECONDS
from worker.records import IngestionState, VersionQuery


@pytest.fixture
def environment(postgres: PostgresServer, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Settings for a database of one's own on a server; it says which password was given, and trusts everybody."""
    name = f"test_{uuid4().hex}"
    postgres.create_database(name)
    url = postgres.url(name, scheme="postgresql").replace("postgres@", "postgres:hunter2@")
    yield {"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_DATABASE_URL": url, "MODELPORT_SETTLE_SECONDS": "0"}
    postgres.drop_database(name)


def test_a_model_is_registered_in_postgresql(environment: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx.model())
    with embedded(environment, tmp_path) as service:
        outcome = ingest(event(model_path=str(tmp_path / "model.onnx")), service.borders())
        assert outcome.ingestion.state is IngestionState.REGISTERED
        assert list(service.registry.versions(VersionQuery())) == [outcome.version]
    assert [entry.name for entry in (tmp_path / "home").iterdir()] == ["store"]


def test_who_shares_a_server_is_dead_only_when_its_lease_has_run_out(environment: Mapping[str, str], tmp_path: Path) -> None:
    """The owner may work on another machine, where no lock of ours is seen."""
    with embedded(environment, tmp_path) as service:
        borders, registry, now = service.borders(), service.registry, service.clock.now()
        ingestion, _ = registry.submit(event(), now, "cli-elsewhere")
        assert not borders.is_dead("cli-elsewhere")
        assert list(registry.free(service.clock.now(), borders.is_dead)) == []
        freed = registry.free(now + timedelta(seconds=LEASE_SECONDS), borders.is_dead)
        assert [one.id for one in freed] == [ingestion.id]


def test_with_sqlite_an_owner_without_its_lock_is_dead_at_once(tmp_path: Path) -> None:
    with embedded({"MODELPORT_HOME": str(tmp_path / "home")}, tmp_path) as service:
        ingestion, _ = service.registry.submit(event(), service.clock.now(), "cli-gone")
        freed = service.registry.free(service.clock.now(), service.borders().is_dead)
        assert [one.id for one in freed] == [ingestion.id]


@pytest.mark.parametrize("kind", sorted(filesystems.NETWORK)[:1])
def test_home_may_lie_on_a_network_where_the_database_is_a_server(
    environment: Mapping[str, str], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystems, "filesystem_of", lambda folder: kind)
    with embedded(environment, tmp_path) as service:
        assert service.registry.running() == []
    with pytest.raises(UnsafeHome, match="where SQLite may lose data"), embedded({**environment, **sqlite(tmp_path)}, tmp_path):
        pass


def sqlite(folder: Path) -> Mapping[str, str]:
    return {"MODELPORT_DATABASE_URL": f"sqlite:///{folder}/modelport.db"}


def test_no_command_shows_the_password(environment: Mapping[str, str], tmp_path: Path) -> None:
    said = [migrate_database(environment, tmp_path), migrate_database(environment, tmp_path)]
    said += [f"{check.name}: {check.says}" for check in examine(environment, tmp_path, repair=False)]
    assert "postgres:***@127.0.0.1" in said[0]
    assert "home: the database is a server" in said
    assert "hunter2" not in "\n".join(said)
