"""The use case with an isolated inspector: what it makes of a model that costs the child its life."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from detectors.tree import MemoryTree
from tests.builders import onnx
from tests.contracts.inspector import inspect
from tests.worker.inspector import hostile
from tests.worker.inspector.test_isolated import BOMB
from tests.worker.test_ingest import end_of, event, make_borders
from worker.bootstrap import embedded
from worker.ingest import Borders, ingest
from worker.inspector import isolated
from worker.inspector.confine import Limits
from worker.inspector.in_process import InProcessInspector
from worker.inspector.isolated import STALL_SECONDS, IsolatedInspector, Patience
from worker.records import IngestionState
from worker.registry.memory import MemoryRegistry
from worker.storage.memory import MemoryStore


@pytest.fixture(scope="module")
def inspector() -> Iterator[IsolatedInspector]:
    """Children with little memory, that misbehave where a file tells them to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolated, "START", hostile.START)
        inspector = IsolatedInspector(Limits(memory_bytes=64 << 20), Patience(stall_seconds=1.0))
        inspect(inspector, MemoryTree({}))
    yield inspector
    inspector.close()


@pytest.fixture
def borders(inspector: IsolatedInspector) -> Borders:
    return replace(make_borders(MemoryRegistry(), MemoryStore()), inspect=inspector.inspect)


def folder(at: Path, **files: bytes) -> Path:
    at.mkdir()
    for name, data in {"model.onnx": onnx.model(), **files}.items():
        (at / name).write_bytes(data)
    return at


def test_an_honest_model_is_registered(borders: Borders, tmp_path: Path) -> None:
    assert end_of(ingest(event(folder(tmp_path / "run")), borders)) == (IngestionState.REGISTERED, "new-content")


@pytest.mark.parametrize(
    ("files", "tries", "cause"),
    [
        ({"killed": b""}, 2, "memory"),
        ({"sleep": b""}, 2, "time"),
        ({"segfault": b""}, 4, "crashed"),
        ({"pickle": b""}, 4, "crashed"),
    ],
    ids=["killed", "sleep", "segfault", "pickle"],
)
def test_what_costs_a_child_its_life_ends_visibly_and_the_next_model_is_registered(
    borders: Borders, tmp_path: Path, files: dict[str, bytes], tries: int, cause: str
) -> None:
    outcome = ingest(event(folder(tmp_path / "bad", **files)), borders)
    assert end_of(outcome) == (IngestionState.FAILED, "inspector-lost")
    assert outcome.ingestion.attempts == tries
    message = outcome.ingestion.message or ""
    assert message.startswith(f"the inspection was lost ({cause}): ")
    assert message.endswith(f"(tried {tries} times)")
    assert list(borders.store.prefixes()) == []
    good = ingest(event(folder(tmp_path / "good"), 2), borders)
    assert end_of(good) == (IngestionState.REGISTERED, "new-content")


def test_a_model_that_takes_all_memory_is_registered_as_not_looked_at(borders: Borders, tmp_path: Path) -> None:
    outcome = ingest(event(folder(tmp_path / "bad", **BOMB)), borders)
    assert end_of(outcome) == (IngestionState.REGISTERED, "new-content")
    assert outcome.version is not None
    assert outcome.version.verdict == "inconclusive"


def test_a_person_looks_in_process_and_a_worker_in_a_child(tmp_path: Path) -> None:
    environment = {"MODELPORT_HOME": str(tmp_path / "home")}
    with embedded(environment, tmp_path) as service:
        assert isinstance(service.inspector, InProcessInspector)
    for role in ("worker", "sweep"):
        with embedded(environment, tmp_path, role=role) as service:
            assert isinstance(service.inspector, IsolatedInspector)
            assert service.inspector._server is None, "nothing is started before the first look"


@pytest.mark.parametrize(("lease", "stall"), [("30", 20.0), ("60", 40.0), ("600", STALL_SECONDS)])
def test_a_child_that_hangs_is_given_up_before_the_lease_runs_out(tmp_path: Path, lease: str, stall: float) -> None:
    environment = {"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_LEASE_SECONDS": lease}
    with embedded(environment, tmp_path, role="worker") as service:
        assert isinstance(service.inspector, IsolatedInspector)
        assert service.inspector._patience.stall_seconds == stall


def test_a_worker_ends_its_server_when_it_ends(tmp_path: Path) -> None:
    run = folder(tmp_path / "run")
    environment = {"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_SETTLE_SECONDS": "0"}
    with embedded(environment, tmp_path, role="worker") as service:
        assert end_of(ingest(event(run), service.borders()))[0] is IngestionState.REGISTERED
        assert isinstance(service.inspector, IsolatedInspector)
        assert service.inspector._server is not None
        server = service.inspector._server._process
        assert server.poll() is None
    assert server.poll() is not None
