"""The load checks that wait: made after registration by whoever sweeps, and by nobody who registers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from detectors.local_tree import LocalTree
from detectors.scan import scan
from tests.builders import onnx
from tests.servers.process import skip_without, until
from tests.worker.cage.seat import find
from tests.worker.conftest import json_of
from worker.bootstrap import Embedded, embedded
from worker.cage.ladder import Cage, find_cage
from worker.errors import StorageUnavailable
from worker.load_check import FORMATS
from worker.upkeep import Upkeep
from worker.verification import Outcome, Rung
from worker.verify import LIMITS, verify_tree, verify_waiting

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def cage() -> Cage:
    skip_without(lambda: find(*Rung), "WITHOUT_LANDLOCK")
    return find_cage()


@pytest.fixture
def service(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedded]:
    monkeypatch.setenv("MODELPORT_VERIFY", "after-registration")
    with embedded(os.environ, Path.cwd()) as service:
        yield service


def registered(capsys: pytest.CaptureFixture[str], folder: Path, name: str, operator: str = "Relu") -> str:
    run = onnx.run_at(folder / name)
    (run / "model.onnx").write_bytes(onnx.model(onnx.small_graph(nodes=[onnx.node(operator)])))
    return str(json_of(capsys, "ingest", str(run), "--name", name)["version"]["id"])


def outcome(service: Embedded, version_id: str) -> Outcome | None:
    kept = service.registry.verifications.of(version_id)
    return None if kept is None else kept.outcome


def test_what_waits_is_checked_once(service: Embedded, cage: Cage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = registered(capsys, tmp_path, "good"), registered(capsys, tmp_path, "bad", "NoSuchOperator")
    assert outcome(service, good) is None  # registering waits for nothing

    def wait() -> int:
        return verify_waiting(service.registry, service.open_version, scan, service.clock, service.owner, cage)

    assert wait() == 2
    assert (outcome(service, good), outcome(service, bad)) == (Outcome.VERIFIED, Outcome.FAILED)
    assert wait() == 0


def test_where_there_is_no_cage_nothing_is_claimed(
    service: Embedded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = registered(capsys, tmp_path, "net")
    none = Cage(None, {Rung.LANDLOCK: "none"})
    assert verify_waiting(service.registry, service.open_version, scan, service.clock, service.owner, none) == 0
    claimed = service.registry.verifications.claim("me", FORMATS, service.clock.now(), 1.0)
    assert claimed is not None
    assert claimed.id == version


def test_what_cannot_be_read_now_is_left_to_its_claim(
    service: Embedded, cage: Cage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = registered(capsys, tmp_path, "net")

    def away(version: object) -> object:
        raise StorageUnavailable("the store is away")

    assert verify_waiting(service.registry, away, scan, service.clock, service.owner, cage) == 0  # type: ignore[arg-type]
    assert outcome(service, version) is None
    assert service.registry.verifications.claim("me", FORMATS, service.clock.now(), 1.0) is None


def test_whoever_sweeps_makes_them_beside_its_work(
    service: Embedded, cage: Cage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = registered(capsys, tmp_path, "net")
    upkeep = Upkeep()
    upkeep.turn(service.borders())
    assert until(lambda: outcome(service, version) is Outcome.VERIFIED, 30.0)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "load checks")


def test_nobody_makes_them_where_nobody_wants_them(home: Path) -> None:
    with embedded(os.environ, Path.cwd()) as service:
        assert service.borders().verify_waiting is None


def test_files_that_nobody_may_read_but_their_owner_are_verified_too(cage: Cage, tmp_path: Path) -> None:
    """Who starts it may read them; who is in the cage of root is another user, and gets copies."""
    run = onnx.run_at(tmp_path / "own")
    (run / "model.onnx").chmod(0o600)
    run.chmod(0o700)
    with LocalTree(run) as tree:
        (check,) = verify_tree(tree, str(run), cage, LIMITS)
    assert check.outcome is Outcome.VERIFIED, check.why
    assert check.seen is not None
    assert check.seen.tried == ()
