"""The composition root: how locations are opened; and with PostgreSQL the same service, where leases decide who lives."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest
from alembic import command
from structlog.testing import capture_logs

from detectors.detection import Contents
from detectors.errors import TreeChanged, TreeUnavailable, Unreadable
from detectors.facts import Detection, Extraction, ModelType
from detectors.open import open_path
from detectors.scan import DETECTORS
from detectors.tree import FileEntry, FileTree
from tests.builders import onnx
from tests.contracts.registry import event
from tests.servers.postgresql import PostgresServer
from tests.servers.process import free_port
from tests.worker.test_mlflow_words import VERSION
from worker import filesystems, reach
from worker.bootstrap import check_start, embedded, examine, migrate_database
from worker.cli import run
from worker.errors import InspectorLost, NothingThere, RejectedLocation, UnsafeHome
from worker.ingest import ingest
from worker.inspector.in_process import InProcessInspector
from worker.lifecycle import LEASE_SECONDS
from worker.locations import Mount, Places, resolve
from worker.mlflow_sink import Mlflow
from worker.reach import open_location
from worker.records import IngestionState, Location, StoreMode, VersionQuery
from worker.registry.engine import open_engine
from worker.registry.migrate import REVISIONS, configuration, pending


@pytest.fixture
def unmigrated(postgres: PostgresServer, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Settings for an empty database of one's own on a server; it says which password was given, and trusts everybody."""
    name = f"test_{uuid4().hex}"
    postgres.create_database(name)
    url = postgres.url(name, scheme="postgresql").replace("postgres@", "postgres:hunter2@")
    yield {"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_DATABASE_URL": url, "MODELPORT_SETTLE_SECONDS": "0"}
    postgres.drop_database(name)


@pytest.fixture
def environment(unmigrated: Mapping[str, str], tmp_path: Path) -> Mapping[str, str]:
    """The same, with its tables."""
    migrate_database(unmigrated, tmp_path)
    return unmigrated


@pytest.mark.parametrize("found", ["no revision", "revision 0002"])
def test_a_database_on_a_server_is_changed_by_migrate_alone(
    unmigrated: Mapping[str, str],
    tmp_path: Path,
    found: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An operator with a newer release looks at the queue while workers of the older one are at it."""
    url = unmigrated["MODELPORT_DATABASE_URL"]
    if found == "revision 0002":
        migrate_to("0002", url)
    for key, value in unmigrated.items():
        monkeypatch.setenv(key, value)
    shown = url.replace("hunter2", "***")
    says = f"MODELPORT_DATABASE_URL={shown}: the database has {found}, expected {REVISIONS[-1]}; run `modelport migrate`, "
    says += "which may be done while an older release works on it"
    for words in (["ingestions", "list"], ["worker"], ["sweep"], ["ingest", str(tmp_path)]):
        assert run(words) == 2
        assert capsys.readouterr().err == f"modelport: {says}\n"
    assert ("database", "trouble", says) in [(one.name, one.state, one.says) for one in examine(unmigrated, tmp_path, False)]
    assert len(pending(url)) == (len(REVISIONS) if found == "no revision" else len(REVISIONS) - 2)
    assert run(["migrate"]) == 0
    assert run(["ingestions", "list"]) == 0


def migrate_to(revision: str, url: str) -> None:
    """Give an empty database the tables of an older release."""
    engine, config = open_engine(url), configuration()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_an_older_database_in_a_file_is_migrated_by_any_command(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/modelport.db"
    migrate_to("0002", url)
    with embedded({"MODELPORT_HOME": str(tmp_path)}, tmp_path) as service:
        assert service.registry.counters() == []
    assert pending(url) == ()


def test_a_worker_waits_for_a_database_that_does_not_answer_yet(tmp_path: Path) -> None:
    away = f"postgresql://nobody@127.0.0.1:{free_port()}/nowhere"
    check_start({"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_DATABASE_URL": away}, tmp_path)


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


@pytest.mark.parametrize(("api_url", "page"), [("http://here:8000/", "http://here:8000/versions/mo1"), ("", None)])
def test_mlflow_is_told_the_page_that_a_browser_opens(tmp_path: Path, api_url: str, page: str | None) -> None:
    environment = {"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_MLFLOW_TRACKING_URI": "http://mlflow.example"}
    with embedded(environment | ({"MODELPORT_API_URL": api_url} if api_url else {}), tmp_path) as service:
        mlflow = service.rounds.deliverer.destinations["mlflow"]
    assert isinstance(mlflow, Mlflow)
    assert mlflow.page(replace(VERSION, id="mo1")) == page


@pytest.mark.parametrize("kind", sorted(filesystems.NETWORK)[:1])
def test_home_may_lie_on_a_network_where_the_database_is_a_server(
    environment: Mapping[str, str], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystems, "filesystem_of", lambda folder: kind)
    with embedded(environment, tmp_path) as service:
        assert service.registry.owned() == []
    with pytest.raises(UnsafeHome, match="where SQLite may lose data"), embedded({**environment, **sqlite(tmp_path)}, tmp_path):
        pass


def sqlite(folder: Path) -> Mapping[str, str]:
    return {"MODELPORT_DATABASE_URL": f"sqlite:///{folder}/modelport.db"}


def test_no_command_shows_the_password(environment: Mapping[str, str], tmp_path: Path) -> None:
    said = [migrate_database(environment, tmp_path)[0] for _ in range(2)]
    said += [f"{check.name}: {check.says}" for check in examine(environment, tmp_path, repair=False)]
    assert "postgres:***@127.0.0.1" in said[0]
    assert "home: the database is a server" in said
    assert "hunter2" not in "\n".join(said)


def listed(location: Location) -> list[str]:
    with open_location(location) as tree:
        return [entry.path for entry in tree.files()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An allowed root with a model, reached by a link, and a secret beside it."""
    (tmp_path / "disk" / "m").mkdir(parents=True)
    (tmp_path / "disk" / "m" / "model.onnx").write_bytes(onnx.model())
    (tmp_path / "root").symlink_to("disk")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "model.onnx").write_bytes(onnx.model())
    (tmp_path / "outside" / "secret").write_text("secret")
    return tmp_path / "root"


@pytest.mark.parametrize(("name", "files"), [("m", ["model.onnx"]), ("m/model.onnx", ["model.onnx"]), ("", ["m/model.onnx"])])
def test_a_location_inside_its_root_is_opened(root: Path, name: str, files: list[str]) -> None:
    assert listed(Location("file:///", str(root / name), StoreMode.COPY, str(root))) == files


def test_a_lone_file_is_looked_at_by_the_inspector_and_nowhere_else(tmp_path: Path) -> None:
    """A stranger's file is not parsed in the worker's own process, not even to tell whether it is a whole model."""

    class Refusing(InProcessInspector):
        def inspect(self, tree: FileTree, declared_type: ModelType | None, entries: Sequence[FileEntry], team: str) -> NoReturn:
            raise InspectorLost("crashed", ", ".join(entry.path for entry in entries))

    (tmp_path / "model.onnx").write_bytes(onnx.model())
    location = Location("file:///", str(tmp_path / "model.onnx"), StoreMode.COPY)
    with embedded({"MODELPORT_HOME": str(tmp_path / "home")}, tmp_path, role="worker") as service:
        strict = replace(service, inspector=Refusing())
        with pytest.raises(InspectorLost, match=r"model\.onnx"), strict.open_location(location):
            pass


def test_a_link_that_a_team_called_like_its_experiment_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    onnx.run_at(tmp_path / "blue")
    (tmp_path / "default" / "e7").symlink_to(tmp_path / "blue")
    places = Places((Mount("/artifacts", f"{tmp_path}/{{team}}/{{experiment_id}}"),), roots=())
    with pytest.raises(RejectedLocation), open_location(resolve(event(model_path="/artifacts", experiment="e7"), places)):
        pass


def test_a_link_inside_the_root_is_followed_and_one_that_leads_out_is_not(root: Path) -> None:
    (root / "inside").symlink_to("m")
    (root / "out").symlink_to("../outside")
    assert listed(Location("file:///", str(root / "inside"), StoreMode.COPY, str(root))) == ["model.onnx"]
    with pytest.raises(RejectedLocation, match="outside the allowed root"):
        listed(Location("file:///", str(root / "out"), StoreMode.COPY, str(root)))


@pytest.mark.parametrize("behind", ["", "/secret", "/missing", "/link", "/model.onnx", "/../outside/secret", "/home"])
@pytest.mark.parametrize("service_looks", [False, True])
def test_a_link_that_leads_out_tells_nothing_of_what_is_there(root: Path, behind: str, service_looks: bool) -> None:
    """Not whether it exists, not where its links lead, not that it holds modelport's own home."""
    (root.parent / "outside" / "link").symlink_to("secret")
    (root / "peek").symlink_to(f"../outside{behind}")
    location = Location("file:///", str(root / "peek"), StoreMode.COPY, str(root))
    with embedded({"MODELPORT_HOME": str(root.parent / "outside" / "home")}, root.parent, role="worker") as service:
        opened = service.open_location if service_looks else open_location
        with pytest.raises(RejectedLocation) as caught, opened(location):
            pass
        assert service.borders().quiet_seconds(location) == 5.0
    assert type(caught.value) is RejectedLocation
    assert str(caught.value) == f"{root}/peek leads through a link to a place outside the allowed root {root}"


@pytest.mark.parametrize("name", ["missing", "m/missing", "m/model.onnx/below", "dangling", "dangling/below", "loop"])
def test_what_is_missing_in_the_root_is_not_there(root: Path, name: str) -> None:
    (root / "dangling").symlink_to("m/gone")
    (root / "loop").symlink_to("loop")
    with pytest.raises(NothingThere, match="there is nothing at this path"):
        listed(Location("file:///", str(root / name), StoreMode.COPY, str(root)))


@pytest.mark.parametrize(("code", "kind"), [(errno.EACCES, Unreadable), (errno.EIO, TreeUnavailable)])
def test_storage_that_fails_on_the_way_is_not_taken_for_nothing(
    root: Path, code: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    readlink = os.readlink

    def fails_below(path: str, *, dir_fd: int | None = None) -> str:
        if dir_fd is None:
            return readlink(path)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "readlink", fails_below)
    with pytest.raises(kind, match=os.strerror(code)):
        listed(Location("file:///", str(root / "m"), StoreMode.COPY, str(root)))


@pytest.mark.parametrize("name", ["m", "m/model.onnx"])
def test_a_folder_swapped_for_a_link_after_the_look_lists_nothing_from_outside(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap_and_open(path: str, *more: str, **named: str) -> AbstractContextManager[FileTree]:
        (root / "m").rename(root / "moved")
        (root / "m").symlink_to("../outside")
        return open_path(path, *more, **named)

    monkeypatch.setattr(reach, "open_path", swap_and_open)
    with pytest.raises((TreeChanged, Unreadable)):
        listed(Location("file:///", str(root / name), StoreMode.COPY, str(root)))


@pytest.mark.parametrize("way", ["real", "link"])
def test_a_path_that_holds_a_home_reached_by_a_link_is_refused(way: str, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for home in ("real/home", "link/home"):
        with embedded({"MODELPORT_HOME": str(tmp_path / home)}, tmp_path) as service:
            location = Location("file:///", str(tmp_path / way), StoreMode.COPY)
            with pytest.raises(RejectedLocation, match="holds modelport's own files"), service.open_location(location):
                pass


@pytest.mark.errs_on_purpose
def test_an_error_in_one_reader_is_told_in_the_log_and_its_model_is_registered_as_not_fully_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(contents: Contents, detection: Detection) -> Extraction:
        raise KeyError(f"token=hunter2 {detection.main}")

    table = tuple(replace(one, extract=fail) if one.name == "onnx" else one for one in DETECTORS)
    monkeypatch.setattr("detectors.scan.DETECTORS", table)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "m.onnx").write_bytes(onnx.model())
    settings = {"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_SETTLE_SECONDS": "0"}
    with capture_logs() as logs, embedded(settings, tmp_path) as service:
        outcome = ingest(event(model_path=str(tmp_path / "run")), service.borders())
    assert outcome.version is not None
    assert outcome.version.verdict == "inconclusive"
    (told,) = [line for line in logs if line["event"] == "error in a reader"]
    assert (told["reader"], told["path"], told["log_level"]) == ("onnx", "m.onnx", "error")
    assert told["why"].startswith("KeyError: ")
    assert "hunter2" not in told["why"]
    assert told["backtrace"].endswith("in fail")
