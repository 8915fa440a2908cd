"""Upkeep: what a sweep removes and looks at beside its work, and that neither keeps it up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from detectors.tree import FileTree
from tests.builders import onnx
from tests.contracts.care import ended
from tests.worker.test_ingest import event, make_borders
from worker import upkeep
from worker.ingest import Borders, ingest
from worker.operations import check_retention
from worker.records import Condition, FilesSeen, IngestionQuery, Keep, ModelVersion, Removed, Retention
from worker.registry.memory import MemoryRegistry
from worker.runner import Runner
from worker.storage.memory import MemoryStore
from worker.upkeep import BEGAN, Upkeep, keep_of, look_at_some, remove_old


@pytest.fixture
def borders(tmp_path: Path) -> Borders:
    made = make_borders(MemoryRegistry(), MemoryStore())

    @contextmanager
    def open_version(version: ModelVersion) -> Iterator[FileTree]:
        with made.store.opened(version.url) as tree:
            yield tree

    return replace(made, open_version=open_version, retention=Retention(90, 90, 0), drift_days=7)


def kept(borders: Borders, tmp_path: Path, experiment: str) -> ModelVersion:
    run = onnx.run_at(tmp_path / experiment)
    found = ingest(replace(event(run, experiment=experiment), id=experiment), borders).version
    assert found is not None
    return found


def seen(borders: Borders, version: ModelVersion) -> FilesSeen | None:
    found = borders.registry.version(version.team, version.id)
    assert found is not None
    return found.files_seen


def later(borders: Borders, days: float) -> Borders:
    """Return *borders* some days later."""

    class Later:
        def now(self):  # type: ignore[no-untyped-def]
            return borders.clock.now() + timedelta(days=days)

        def sleep(self, seconds: float) -> None:
            borders.clock.sleep(seconds)

    return replace(borders, clock=Later())


def test_what_is_old_follows_from_the_settings_and_0_is_for_ever(borders: Borders) -> None:
    now = borders.clock.now()
    week = now - timedelta(days=7)
    assert keep_of(Retention(90, 0, 1), now) == Keep(now - timedelta(days=90), None, now - timedelta(days=1), week)
    assert keep_of(Retention(), now) == Keep(workers=week)


def test_a_sweep_removes_a_bounded_portion_of_what_is_old(borders: Borders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MOST_REMOVED", 2)
    monkeypatch.setattr(upkeep, "PORTIONS", 3)
    for number in range(7):
        ended(borders.registry, f"run-{number}")
    young, old = later(borders, 0), later(borders, 10_000)
    assert remove_old(young) == Removed()
    assert check_retention(old, keep_of(old.retention, old.clock.now())).says == (
        "7 ingestions that led to nothing are older than they are kept for; sweeps remove them"
    )
    runner = Runner(old, "me")
    runner.sweep()
    assert borders.registry.count_ingestions(IngestionQuery()) == 7  # not right at the start
    monkeypatch.setattr(upkeep, "PAUSE_SECONDS", 0.0)
    runner.sweep()
    assert borders.registry.count_ingestions(IngestionQuery()) == 1
    runner.sweep()
    assert borders.registry.count_ingestions(IngestionQuery()) == 0
    assert borders.registry.contradictions(old.clock.now()) == []


def test_files_are_looked_at_again_after_a_while_and_no_sooner(borders: Borders, tmp_path: Path) -> None:
    version = kept(borders, tmp_path, "e1")
    look_at_some(borders)
    first = seen(borders, version)
    assert first is not None
    assert first.condition is Condition.FINE
    borders.store.remove(version.url)
    look_at_some(borders)
    assert seen(borders, version) == first
    look_at_some(later(borders, 8))
    found = seen(borders, version)
    assert found is not None
    assert found.condition is Condition.MISSING


def test_what_hangs_is_not_looked_at_again_before_all_others(borders: Borders, tmp_path: Path) -> None:
    first, second = kept(borders, tmp_path, "e1"), kept(borders, tmp_path, "e2")
    over, reached = threading.Event(), threading.Event()

    def hangs(version: ModelVersion) -> AbstractContextManager[FileTree]:
        if version.id == first.id:
            reached.set()
            over.wait(30)
        return borders.store.opened(version.url)

    hanging, mine = replace(borders, open_version=hangs), Upkeep()
    try:
        mine.turn(hanging)
        assert reached.wait(10)
        began = seen(borders, first)
        assert began is not None
        assert (began.condition, began.says) == (Condition.UNREACHABLE, BEGAN)
        mine.turn(hanging)  # does not wait, and begins no second look beside the first
        assert seen(borders, second) is None
        look_at_some(hanging)  # as another process, after this one was killed
        other = seen(borders, second)
        assert other is not None
        assert other.condition is Condition.FINE
    finally:
        over.set()
