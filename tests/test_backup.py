"""docs/howto/backup.md, done: its commands back up and restore, and `doctor` tells and repairs what differs after that."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.builders import onnx
from tests.servers.postgresql import PostgresServer, of_wheel
from tests.worker.conftest import json_of
from worker.bootstrap import embedded
from worker.cli import run
from worker.records import CompletionEvent, Ingestion, IngestionState
from worker.runner import Runner

STORE = "/backup/store"
"""Names, in the commands of the page, what was kept of the store."""

PAGE = (Path(__file__).parents[1] / "docs" / "howto" / "backup.md").read_text(encoding="utf-8")


def block(section: str, number: int) -> list[str]:
    """Return the commands of the block with that *number* below a heading of the page."""
    return re.findall(r"```sh\n(.*?)```", PAGE.partition(f"## On {section}\n")[2], re.DOTALL)[number].splitlines()


@dataclass(frozen=True)
class Site:
    """An installation: what its settings are, and where what the page names lies here."""

    section: str
    folder: Path
    environment: Mapping[str, str]
    places: Mapping[str, str]

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def kept(self) -> Path:
        return self.folder / "backup" / "store"

    def do(self, number: int, is_for: Callable[[str], bool] = lambda line: True) -> None:
        """Run the commands of a block of the page as they stand, but for the places; ours run in this process."""
        for line in filter(is_for, block(self.section, number)):
            if line.startswith("modelport"):
                continue
            for there, here in self.places.items():
                line = line.replace(there, here)
            subprocess.run(["sh", "-euc", line], check=True, env=dict(self.environment))

    def back_up(self) -> None:
        self.do(0)

    def restore(self, with_database: bool, with_store: bool) -> None:
        """Restore one of both, or both; a store that is restored holds what was backed up, and nothing newer."""
        if with_database:
            self.do(1, lambda line: STORE not in line)
        if with_store:
            shutil.rmtree(self.store)
            self.store.mkdir()
            self.do(1, lambda line: STORE in line)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A new installation, at which the commands of this process work."""
    environment = {"MODELPORT_HOME": str(tmp_path), "MODELPORT_SETTLE_SECONDS": "0", "PATH": os.environ["PATH"]}
    places = {"~/.modelport": str(tmp_path), "$HOME/.modelport": str(tmp_path), "/backup": str(tmp_path / "backup")}
    name = f"backup_{uuid4().hex}"
    if request.param == "PostgreSQL":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        environment |= {"MODELPORT_DATABASE_URL": postgres.create_database(name)}
        programs = (postgres.programs.folder, environment["PATH"], *of_wheel())
        environment["PATH"] = ":".join(map(str, programs))
        server = postgres.url("", scheme="postgresql")
        places |= {
            "postgresql://modelport@localhost/modelport": f"{server}{name}",
            "postgresql://modelport@localhost/postgres modelport": f"{server}postgres {name}",
            "/srv/modelport": str(tmp_path),
        }
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert run(["migrate"]) == 0
    yield Site(request.param, tmp_path, environment, places)
    if request.param == "PostgreSQL":
        postgres.drop_database(name)


@dataclass(frozen=True)
class Past:
    """What happened around the backup, by ids: *early* was registered before and deleted after, *late* registered after.

    *accepted* is what nobody had worked on when the database was backed up, though somebody has by now.
    """

    early: str
    stayed: str
    late: str
    accepted: Ingestion


def live(site: Site, capsys: pytest.CaptureFixture[str]) -> Past:
    """Register, back up, and go on."""

    def registered(name: str) -> str:
        run_at = site.folder / "runs" / name
        if not run_at.exists():
            onnx.run_at(run_at)
            (run_at / "notes.txt").write_text(name)
        return str(json_of(capsys, "ingest", run_at, "--experiment", name)["version"]["id"])

    early, stayed = registered("early"), registered("stayed")
    onnx.run_at(site.folder / "runs" / "accepted")
    with embedded(site.environment, site.folder) as service:
        event = CompletionEvent("test", "1", str(site.folder / "runs" / "accepted"), experiment="accepted")
        accepted, _ = service.registry.submit(event, service.clock.now())
    site.back_up()
    assert work(site, accepted) is IngestionState.REGISTERED
    late = registered("late")
    json_of(capsys, "models", "delete", early, "--yes")
    assert troubles(capsys) == {}
    return Past(early, stayed, late, accepted)


def work(site: Site, ingestion: Ingestion) -> IngestionState:
    """Do what waits; return the state that *ingestion* is in then."""
    with embedded(site.environment, site.folder) as service:
        runner = Runner(service.borders(), service.owner)
        while runner.work_next():
            pass
        found = service.registry.ingestion("default", ingestion.id)
    assert found is not None
    return found.state


def troubles(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    """Return what `doctor` says of what is wrong, by the name of the check; what it repaired is not wrong."""
    capsys.readouterr()
    status = run(["doctor", "--digests", "--format", "json", "--output", "doctor.json", *words])
    assert status in (0, 1)
    capsys.readouterr()
    checks = json.loads(Path("doctor.json").read_text())["checks"]
    wrong = {check["name"]: check["says"] for check in checks if check["state"] == "trouble"}
    assert bool(wrong) == (status == 1)
    return wrong


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_both_restored_are_as_they_were(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """What was accepted and not finished is done; what came later can be ingested again."""
    past = live(site, capsys)
    site.restore(with_database=True, with_store=True)
    assert troubles(capsys) == {}
    versions = json_of(capsys, "models", "list")["models"]
    assert {version["id"] for version in versions} == {past.early, past.stayed}
    assert work(site, past.accepted) is IngestionState.REGISTERED
    assert json_of(capsys, "ingest", site.folder / "runs" / "late", "--experiment", "late")["ingestion"]["answer"] == "created"
    assert troubles(capsys) == {}


def test_a_store_newer_than_the_database_is_told_and_put_right(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    past = live(site, capsys)
    site.restore(with_database=True, with_store=False)
    for words in ((), ("--repair",)):
        wrong = troubles(capsys, *words)
        assert set(wrong) == {"leftovers", "copies", "digests of copies"}, wrong
        assert "this database knows nothing of" in wrong["leftovers"]
        assert past.late in wrong["leftovers"]
        assert past.early in wrong["copies"]
        assert past.stayed not in "".join(wrong.values())
    assert list(site.store.rglob(past.late)), "what may be another's stays"
    for kept in site.kept.rglob(past.early):
        shutil.copytree(kept, site.store / kept.relative_to(site.kept), dirs_exist_ok=True)
    assert set(troubles(capsys)) == {"leftovers"}
    assert json_of(capsys, "ingest", site.folder / "runs" / "late", "--experiment", "late")["ingestion"]["answer"] == "created"
    for strange in re.findall(r"file://([^\s,]+)", troubles(capsys)["leftovers"]):
        shutil.rmtree(strange)
    assert troubles(capsys) == {}


def test_a_store_older_than_the_database_is_told_and_put_right(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    past = live(site, capsys)
    site.restore(with_database=False, with_store=True)
    wrong = troubles(capsys)
    assert set(wrong) == {"leftovers", "copies", "digests of copies"}, wrong
    assert f"the store holds {past.early}, which no version needs" in wrong["leftovers"]
    assert past.late in wrong["copies"]
    assert "restore them from a backup, or delete the version and ingest its path again" in wrong["copies"]
    wrong = troubles(capsys, "--repair")
    assert set(wrong) == {"copies", "digests of copies"}, "what no version needs is removed, and what is lost is told"
    assert not list(site.store.rglob(past.early))
    lost = re.findall(r"mo[0-9a-z]+", wrong["copies"].partition(" are not ")[0])
    assert past.late in lost
    for version in lost:
        json_of(capsys, "models", "delete", version, "--yes")
    for name in ("late", "accepted"):
        again = json_of(capsys, "ingest", site.folder / "runs" / name, "--experiment", name)
        assert again["ingestion"]["answer"] == "created"
    assert troubles(capsys) == {}
