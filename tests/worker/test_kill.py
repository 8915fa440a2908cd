"""The process is killed between any two steps of `ingest`: registry and store are right after the next run."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from detectors.tree import FileTree
from tests.builders import onnx
from tests.worker.test_ingest import clock_in_an_hour, event
from worker import liveness, operations
from worker.ingest import Borders, ingest
from worker.inspector.in_process import InProcessInspector
from worker.locations import Places, resolve
from worker.reach import open_location
from worker.records import IngestionState, Location, ModelVersion, StoreMode, VersionQuery
from worker.registry.migrate import migrate
from worker.registry.sql import SqlRegistry
from worker.storage.local import LocalStore

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


class Countdown:
    """Kills this process, or strikes it otherwise, at the n-th call."""

    def __init__(self, calls: int, blow: signal.Signals = signal.SIGKILL) -> None:
        self.left = calls
        self.blow = blow

    def __call__(self, *arguments: object) -> None:
        self.left -= 1
        if self.left == 0:
            signal.pthread_kill(threading.get_ident(), self.blow)  # struck here, and not one step further on


class Deadly:
    """Any border, with a chance to die before and after each of its calls, and inside each of its contexts."""

    def __init__(self, inner: Any, tick: Countdown) -> None:
        self._inner = inner
        self._tick = tick

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self._tick()
            result = found(*arguments, **named)
            self._tick()
            return self._entered(result) if name == "writing" else result

        return call

    @contextmanager
    def _entered(self, inner: Any) -> Iterator[Any]:
        with inner as opened:
            self._tick()
            yield opened
            self._tick()
        self._tick()


@contextmanager
def service(home: Path, owner: str, mode: StoreMode) -> Iterator[Borders]:
    """The real borders below *home*, with time that does not wait."""
    with liveness.working_as(owner, home / "owners"):
        registry = SqlRegistry(f"sqlite:///{home}/modelport.db")
        yield Borders(
            registry=registry,
            store=LocalStore(home / "store"),
            open_tree=open_location,
            inspect=InProcessInspector().inspect,
            resolve=partial(resolve, places=Places(mode=mode)),
            clock=clock_in_an_hour(),
            owner=owner,
            is_dead=partial(liveness.is_dead, folder=home / "owners"),
            quiet_seconds=lambda location: 5.0,
            patience_seconds=60.0,
        )
        registry.close()


def in_child(work: Callable[[], None]) -> int:
    """Run *work* in a forked process and return how it ended: 0, or the negative number of the signal that killed it."""
    child = start(work)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def start(work: Callable[[], None]) -> int:
    """Run *work* in a forked process, whose exit status is 0 unless it raises, and return its number."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def run_and_die(home: Path, run: Path, calls: int, mode: StoreMode) -> None:
    tick = Countdown(calls)
    with service(home, f"mortal-{calls}", mode) as borders:
        deadly: Any = replace(
            borders,
            registry=Deadly(borders.registry, tick),
            store=Deadly(borders.store, tick),
            step=tick,
            progress=tick,
        )
        ingest(event(run, calls), deadly)


def make_onnx(run: Path) -> None:
    run.mkdir()
    (run / "model.onnx").write_bytes(onnx.model())


def make_example(run: Path) -> None:
    shutil.copytree(EXAMPLE, run)


@pytest.mark.parametrize("mode", StoreMode)
@pytest.mark.parametrize("make", [make_onnx, pytest.param(make_example, marks=pytest.mark.slow)])
def test_whenever_the_process_dies_the_next_run_puts_everything_right(
    make: Callable[[Path], None], mode: StoreMode, tmp_path: Path
) -> None:
    run, homes = tmp_path / "run", tmp_path / "homes"
    make(run)
    empty = tmp_path / "empty"
    empty.mkdir()
    migrate(f"sqlite:///{empty}/modelport.db")
    deaths, calls = 0, 0
    while True:
        calls += 1
        home = homes / str(calls)
        shutil.copytree(empty, home)
        status = in_child(partial(run_and_die, home, run, calls, mode))
        assert status in (0, -signal.SIGKILL)
        audit_after_next_run(home, run, calls, mode)
        shutil.rmtree(home)
        if status == 0:
            break
        deaths += 1
    assert deaths > 20


def audit_after_next_run(home: Path, run: Path, calls: int, mode: StoreMode) -> None:
    """After one more run: one version, its files as they are in the run, nothing left over, nothing under way."""
    with service(home, "survivor", mode) as borders:
        outcome = ingest(event(run, 100_000 + calls), borders)
        assert outcome.ingestion.state in (IngestionState.REGISTERED, IngestionState.UNCHANGED), calls
        (version,) = borders.registry.versions(VersionQuery(limit=10))
        assert version == outcome.version
        assert unended(home) == [], calls
        assert {check.state for check in checks_of(borders)} == {"ok"}, calls
        expected = digests_of(run)
        assert {file.path: file.sha256 for file in borders.registry.files(version.id)} == expected
        if mode is StoreMode.COPY:
            assert kept_files(home / "store", version.id) == expected
        else:
            assert list(borders.store.prefixes()) == []


def unended(home: Path) -> list[tuple[str, str]]:
    """Return every ingestion that is not at an end, asked of the database itself."""
    with closing(sqlite3.connect(home / "modelport.db")) as database:
        ends = ("registered", "unchanged", "nothing_found", "failed", "discarded", "ignored")
        return database.execute(f"SELECT id, state FROM ingestions WHERE state NOT IN {ends}").fetchall()


def checks_of(borders: Borders) -> list[operations.Check]:
    return list(operations.examine(borders, lambda version: open_kept(borders, version), repair=False))


def open_kept(borders: Borders, version: ModelVersion) -> AbstractContextManager[FileTree]:
    if version.store is StoreMode.COPY:
        return borders.store.opened(version.url)
    return open_location(Location(version.location, version.location.removeprefix("file://"), version.store))


def kept_files(store: Path, version_id: str) -> dict[str, str]:
    (model,) = store.glob(f"*/*/*/{version_id}/model")
    assert [path.name for path in model.parent.iterdir()] == ["model"]
    return digests_of(model)


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256, in hex, of every file below *folder* by its path in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
