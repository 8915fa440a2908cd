"""A worker of the queue is killed between any two steps: the next one finishes what was accepted, exactly once."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.builders import bundle
from tests.servers.postgresql import PostgresServer
from tests.worker.test_ingest import clock_in_an_hour, event
from tests.worker.test_kill import (
    Countdown,
    Deadly,
    checks_of,
    digests_of,
    in_child,
    kept_files,
    make_example,
    make_onnx,
    start,
)
from worker.ingest import Borders
from worker.inspector.in_process import InProcessInspector
from worker.locations import Places, resolve
from worker.reach import open_location
from worker.records import IngestionState, Trigger, VersionQuery
from worker.registry.migrate import migrate
from worker.registry.sql import SqlRegistry
from worker.runner import Runner
from worker.storage.local import LocalStore

HALF_A_LEASE = timedelta(seconds=30)


@dataclass(frozen=True)
class Place:
    """A database and a store."""

    url: str
    store: Path

    @contextmanager
    def borders(self, owner: str, later: timedelta = timedelta()) -> Iterator[Borders]:
        """The real borders; nobody knows who is dead but by leases, and *later* is added to the clock."""
        clock = clock_in_an_hour()
        clock.at += later
        registry = SqlRegistry(self.url)
        yield Borders(
            registry=registry,
            store=LocalStore(self.store),
            open_tree=open_location,
            inspect=InProcessInspector().inspect,
            resolve=partial(resolve, places=Places()),
            clock=clock,
            owner=owner,
            is_dead=lambda owner: False,
            quiet_seconds=lambda location: 5.0,
            patience_seconds=60.0,
        )
        registry.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/modelport.db"
        migrate(url)
        yield Place(url, tmp_path / "store")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{uuid4().hex}"
    url = server.create_database(name)
    migrate(url)
    yield Place(url, tmp_path / "store")
    server.drop_database(name)


def make_checkpoint(run: Path) -> None:
    run.mkdir()
    tensors = [bundle.Tensor("w", bundle.FLOAT, (64,), bytes(range(256))), bundle.Tensor("b", bundle.FLOAT, (1,), bytes(4), 1)]
    for name, data in bundle.Bundle(tensors, 2).files("model.ckpt").items():
        (run / name).write_bytes(data)


@pytest.mark.parametrize(
    "make",
    [
        make_onnx,
        pytest.param(make_checkpoint, marks=pytest.mark.slow),
        pytest.param(make_example, marks=pytest.mark.slow),
    ],
)
def test_wherever_a_worker_dies_the_next_one_finishes_its_work(
    make: Callable[[Path], None], place: Place, tmp_path: Path
) -> None:
    assert kill_at_every_step(make, place, tmp_path) > 20


def kill_at_every_step(make: Callable[[Path], None], place: Place, folder: Path) -> int:
    """Kill a worker at its first step, another at its second, and so on; return how many were, each put right by the next."""
    for calls in itertools.count(1):
        run = folder / f"run-{calls}"
        make(run)
        accepted = accept(place, run, calls)
        status = in_child(partial(work_and_strike, place, calls, signal.SIGKILL))
        assert status in (0, -signal.SIGKILL)
        finish_and_audit(place, run, accepted)
        if status == 0:
            break
    check_nothing_is_left(place)
    return calls - 1


def accept(place: Place, run: Path, number: int) -> str:
    """Return the id of an accepted completion of *run*."""
    with place.borders("sender") as borders:
        completion = event(run, number, experiment=run.name, trigger=Trigger.COMPLETION)
        ingestion, _ = borders.registry.submit(completion, borders.clock.now())
    return ingestion.id


def check_nothing_is_left(place: Place) -> None:
    with place.borders("auditor") as borders:
        assert [check for check in checks_of(borders) if check.state != "ok"] == []


def work_and_strike(place: Place, calls: int, blow: signal.Signals) -> None:
    tick = Countdown(calls, blow)
    with place.borders("mortal") as borders:
        registry, store = Deadly(borders.registry, tick), Deadly(borders.store, tick)
        deadly: Any = replace(borders, registry=registry, store=store, step=tick, progress=tick)
        Runner(deadly, f"mortal-{calls}").work_off(5)


@pytest.mark.slow
def test_a_worker_that_was_stopped_past_its_lease_registers_nothing(place: Place, tmp_path: Path) -> None:
    """It is stopped at every step in turn and goes on when another has done its work. By its own clock no time passed."""
    assert stop_at_every_step(place, tmp_path) > 20


def stop_at_every_step(place: Place, folder: Path) -> int:
    """Stop a worker past its lease at its first step, another at its second, and so on; return how many were refused."""
    for calls in itertools.count(1):
        run = folder / f"run-{calls}"
        make_onnx(run)
        accepted = accept(place, run, calls)
        zombie = start(partial(work_and_strike, place, calls, signal.SIGSTOP))
        _, status = os.waitpid(zombie, os.WUNTRACED)
        if os.WIFEXITED(status):
            break
        finish_and_audit(place, run, accepted)
        os.kill(zombie, signal.SIGCONT)
        assert os.waitstatus_to_exitcode(os.waitpid(zombie, 0)[1]) == 0
        audit(place, run, accepted)
    check_nothing_is_left(place)
    return calls - 1


def finish_and_audit(place: Place, run: Path, ingestion_id: str) -> None:
    """The lease holds while it lasts; after it, one version of exactly these files, by at most two attempts."""
    with place.borders("early", HALF_A_LEASE) as borders:
        assert Runner(borders, "early").sweep() == 0
    with place.borders("survivor", 3 * HALF_A_LEASE) as borders:
        runner = Runner(borders, "survivor")
        runner.sweep()
        runner.work_off(5)
    audit(place, run, ingestion_id)


def audit(place: Place, run: Path, ingestion_id: str) -> None:
    with place.borders("auditor") as borders:
        ingestion = borders.registry.ingestion("default", ingestion_id)
        assert ingestion is not None
        assert ingestion.state is IngestionState.REGISTERED, ingestion
        assert ingestion.attempts <= 2
        versions = borders.registry.versions(VersionQuery(experiment=ingestion.event.experiment))
        assert [version.id for version in versions] == [ingestion.version_id]
        assert {file.path: file.sha256 for file in borders.registry.files(ingestion.version_id)} == digests_of(run)
        assert kept_files(place.store, ingestion.version_id) == digests_of(run)
