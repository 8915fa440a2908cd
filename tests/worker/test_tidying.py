"""Tidying: what is removed from the store, and what never is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detectors.tree import FileEntry
from tests.builders import onnx
from tests.worker.test_ingest import event, make_borders
from worker.ingest import Borders, ingest
from worker.locations import Places, resolve
from worker.operations import discard
from worker.ports import Store
from worker.records import Ingestion, StoreKey, StoreMode, Trigger
from worker.registry.memory import MemoryRegistry
from worker.runner import Runner
from worker.storage.local import LocalStore
from worker.storage.memory import MemoryStore
from worker.tidying import LOOK_SECONDS, Tidying


@pytest.fixture(params=["memory", "disk"])
def borders(request: pytest.FixtureRequest, tmp_path: Path) -> Borders:
    store = MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "store")
    return make_borders(MemoryRegistry(), store)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return onnx.run_at(tmp_path / "run")


def begin(borders: Borders, version_id: str, experiment: str | None = "e1") -> None:
    """Leave half a copy in the store, as a process does that is killed while it writes."""
    writing(borders, version_id, experiment).__next__()


KEPT: list[Iterator[None]] = []
"""Generators that are not closed, because closing one would clean up what a killed process leaves."""


def writing(borders: Borders, version_id: str, experiment: str | None) -> Iterator[None]:
    def write() -> Iterator[None]:
        key = StoreKey("default", "default", experiment, version_id)
        with borders.store.writing(key) as open_sink, open_sink(FileEntry("model.onnx", 6, "v1")) as sink:
            sink.write(b"hal")
            yield

    KEPT.append(write())
    return KEPT[-1]


def claimed(borders: Borders, run: Path, id: str = "1") -> Ingestion:
    """Return an ingestion that a worker runs, which has written half a copy."""
    borders.registry.submit(replace(event(run, trigger=Trigger.COMPLETION), id=id), borders.clock.now())
    ingestion = borders.registry.claim_next("mortal", borders.clock.now())
    assert ingestion is not None
    begin(borders, ingestion.version_id)
    return ingestion


def held(borders: Borders) -> set[str]:
    return {version_id for version_id, _ in borders.store.prefixes()}


def look(borders: Borders, times: int = 2) -> None:
    tidying = Tidying()
    for _ in range(times):
        tidying.look(borders)


def test_what_is_nobodys_is_removed(borders: Borders, run: Path) -> None:
    """Only what two looks in a row saw deleted, or unregistered and unowned, is removed, and only what a known attempt
    wrote.
    """
    lost, later, running = (claimed(borders, run, id) for id in ("a", "b", "c"))
    begin(borders, "mo-of-another")
    with borders.store.writing(StoreKey("default", "default", "e1", "mo-of-a-later-backup")):
        pass
    strangers = {"mo-of-another", "mo-of-a-later-backup"}
    tidying = Tidying()
    discard(borders.registry, "default", lost.id, "a person", borders.clock.now())
    tidying.look(borders)
    discard(borders.registry, "default", later.id, "a person", borders.clock.now())
    assert held(borders) == {lost.version_id, later.version_id, running.version_id} | strangers
    tidying.look(borders)
    assert held(borders) == {later.version_id, running.version_id} | strangers
    tidying.look(borders)
    assert held(borders) == {running.version_id} | strangers


def test_the_files_of_a_deleted_version_go_though_its_deleter_died(borders: Borders, run: Path) -> None:
    """Killed after the version was deleted, and before its files were; another that has the same content keeps its own."""
    version = ingest(event(run), borders).version
    twin = ingest(replace(event(run, experiment="e2"), id="2"), borders).version
    assert version is not None
    assert twin is not None
    assert twin.duplicate_of == version.id
    look(borders, 3)
    assert held(borders) == {version.id, twin.id}
    borders.registry.delete(version.team, version.id, borders.clock.now())
    look(borders, 1)
    assert held(borders) == {version.id, twin.id}
    look(borders)
    assert held(borders) == {twin.id}
    again = ingest(replace(event(run), id="3"), borders).version
    assert again is not None
    assert again.number == 2
    look(borders, 3)
    assert held(borders) == {again.id, twin.id}


def test_what_is_registered_while_a_look_goes_on_stays(borders: Borders, run: Path) -> None:
    """Deleted and registered anew between two looks, and while one lists the store: only the old files go."""
    version = ingest(event(run), borders).version
    assert version is not None
    borders.registry.delete(version.team, version.id, borders.clock.now())
    tidying, again = Tidying(), []
    tidying.look(borders)
    prefixes = borders.store.prefixes

    def slow() -> list[tuple[str, str]]:
        found = list(prefixes())
        again.append(ingest(replace(event(run), id=f"again-{len(again)}"), borders).version)
        return found

    racing = Racing(borders.store, slow)
    tidying.look(replace(borders, store=racing))
    tidying.look(replace(borders, store=racing))
    tidying.look(borders)
    (kept,) = {one.id for one in again if one is not None}
    assert held(borders) == {kept}


class Racing:
    """A store in which something happens while it is listed."""

    def __init__(self, store: Store, prefixes: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._store, self.prefixes = store, prefixes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_reference_that_is_just_getting_a_copy_keeps_it(borders: Borders, run: Path) -> None:
    referencing = replace(borders, resolve=lambda event: resolve(event, Places(mode=StoreMode.REFERENCE)))
    version = ingest(event(run), referencing).version
    assert version is not None
    begin(borders, version.id)
    look(borders, 3)
    assert held(borders) == {version.id}


def test_a_discarded_ingestion_whose_worker_died_leaves_nothing(borders: Borders, run: Path) -> None:
    ingestion = claimed(borders, run)
    discard(borders.registry, "default", ingestion.id, "a person", borders.clock.now())
    runner = Runner(borders, "w")
    for _ in range(2):
        runner.sweep()
        assert held(borders) == {ingestion.version_id}
        borders.clock.sleep(LOOK_SECONDS)
    runner.sweep()
    assert held(borders) == set()


def test_a_finished_copy_of_an_attempt_whose_worker_and_sweeper_died_is_removed(borders: Borders, run: Path) -> None:
    ingestion = claimed(borders, run)
    with borders.store.writing(StoreKey("default", "default", "e1", ingestion.version_id)):
        pass
    borders.clock.sleep(borders.lease_seconds + 1)
    assert [one.id for one in borders.registry.free(borders.clock.now())] == [ingestion.id]
    again = borders.registry.claim_next("another", borders.clock.now())
    assert again is not None
    assert again.version_id != ingestion.version_id
    look(borders, 1)
    assert held(borders) == {ingestion.version_id}
    look(borders, 2)
    assert held(borders) == set()


def test_a_look_is_due_twice_after_a_minute_and_then_once_in_ten(borders: Borders) -> None:
    tidying, due = Tidying(), []
    for minute in range(24):
        if tidying.is_due(borders.clock.now()):
            due.append(minute)
        borders.clock.sleep(60.0)
    assert due == [1, 2, 12, 22]
