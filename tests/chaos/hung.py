"""Storage that hangs: who waits for it cannot be killed, so it is left behind, said aloud, and other work goes on."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from tests.builders import onnx
from tests.chaos.hanging import Hangs, hanging_run
from tests.chaos.row import Row
from tests.chaos.stack import Stack, stack, until
from worker.lifecycle import is_end
from worker.operations import check_promise
from worker.records import Ingestion, IngestionState

LEASE_SECONDS = 6.0
END_SECONDS = 20 * LEASE_SECONDS
"""Four attempts of nearly a lease each, and pauses of one, two and four times that."""

STOP_SECONDS = 45.0
"""How long a worker may take to end that was told to, whatever hangs: Celery waits for what runs (`celery_app`)."""

CONCURRENCY = len(Hangs) + 1
CAUSE = "the storage hangs: nothing came back for "


def hang(folder: Path, others: int, with_broker: bool = True) -> Row:
    """Return what became of three runs whose storage hangs, and of *others* that came while it did."""
    with stack(folder, "sqlite", {"MODELPORT_LEASE_SECONDS": str(LEASE_SECONDS)}) as standing, ExitStack() as storage:
        if not with_broker:
            standing.environment = {key: value for key, value in standing.environment.items() if key != "MODELPORT_BROKER_URL"}
        paths = {hangs: folder / "hung" / hangs.value for hangs in Hangs}
        is_mount = [storage.enter_context(hanging_run(path, onnx.model(), hangs)) for hangs, path in paths.items()]
        hung = [standing.accept(path).id for path in paths.values()]
        worker = standing.start_worker(CONCURRENCY, "tests.chaos.stuck")
        if not until(lambda: all(_state(standing, id) is IngestionState.RUNNING for id in hung), 30):
            raise AssertionError(f"the worker does not run what hangs\n{standing.log()}")
        seconds = _work_beside(standing, others)
        still_hung = sum(not is_end(_state(standing, id)) for id in hung)
        until(lambda: standing.unfinished() == 0, END_SECONDS)
        ends = [_standing(standing, id) for id in hung]
        said = sum(one.reason == "storage-hangs" and CAUSE in (one.message or "") for one in ends)
        stop_seconds = _stopped(standing, worker)
        storage.close()
        standing.kill_workers()
        audit = standing.audit()
    fault = (
        f"storage of 3 runs that hangs in read, stat and list ({'FUSE' if all(is_mount) else 'no FUSE'}), "
        f"{others} others beside it, {'Celery' if with_broker else 'no broker'}"
    )
    wanted = f"others registered meanwhile, 3 failed that say why, worker ends within {STOP_SECONDS:.0f} s of SIGTERM"
    seen = (
        f"{audit.registered} registered within {seconds:.1f} s while {still_hung} hung; {said} failed that say why, "
        f"after {max(one.attempts for one in ends)} attempts; the worker ended after {stop_seconds:.1f} s"
    )
    whole = audit.is_clean and (audit.registered, audit.failed, said, still_hung) == (others, 3, 3, 3)
    return Row(fault, wanted, seen, whole, stop_seconds <= STOP_SECONDS)


def hang_store(folder: Path, others: int, with_broker: bool = True) -> Row:
    """Return what became of *others*, which need no copy, while the store hangs under two runs that do.

    The first worker is killed over these, so that the second one's sweep has something to remove from a store that hangs.
    """
    runs, store = folder / "runs", folder / "store"
    more = {
        "MODELPORT_LEASE_SECONDS": str(LEASE_SECONDS),
        "MODELPORT_STORE_URL": store.as_uri(),
        "MODELPORT_MOUNTS": json.dumps({str(runs): {"at": str(runs), "store": "reference"}}),
    }
    with stack(folder, "sqlite", more) as standing, ExitStack() as storage:
        if not with_broker:
            standing.environment = {key: value for key, value in standing.environment.items() if key != "MODELPORT_BROKER_URL"}
        is_mount = storage.enter_context(hanging_run(store, b"", Hangs.STAT))
        hung = [standing.accept(_copied(folder, name)).id for name in ("a", "b")]
        standing.start_worker(2, "tests.chaos.stuck")
        if not until(lambda: all(_has_begun(standing, id) for id in hung), 30):
            raise AssertionError(f"the worker does not run what is to be copied\n{standing.log()}")
        standing.kill_workers()
        worker = standing.start_worker(3, "tests.chaos.stuck")
        is_late = until(lambda: "the store is late" in _log(standing), END_SECONDS)
        seconds = _work_beside(standing, others)
        until(lambda: all(_standing(standing, id).reason == "storage-hangs" for id in hung), END_SECONDS)
        said = sum("in the step 'store'" in (_standing(standing, id).message or "") for id in hung)
        stop_seconds = _stopped(standing, worker)
        storage.close()
        standing.kill_workers()
        registered = sum(_state(standing, id) is IngestionState.REGISTERED for id in standing.journal)
        promise = check_promise(standing.service.borders())
    fault = (
        f"a store that hangs ({'FUSE' if is_mount else 'no FUSE'}) under 2 runs, whose first worker is killed, "
        f"{others} others beside it, {'Celery' if with_broker else 'no broker'}"
    )
    wanted = f"others registered meanwhile, 2 wait and say why, worker ends within {STOP_SECONDS:.0f} s of SIGTERM"
    seen = (
        f"{registered} registered within {seconds:.1f} s; {said} say why; "
        f"the sweep {'went on without' if is_late else 'did not notice'} the store; the worker ended after {stop_seconds:.1f} s"
    )
    whole = (registered, said, is_late, promise.state) == (others, 2, True, "ok") and "Traceback" not in _log(standing)
    return Row(fault, wanted, seen, whole, stop_seconds <= STOP_SECONDS)


def _log(standing: Stack) -> str:
    return (standing.folder / "workers.log").read_text(errors="replace")


def _copied(folder: Path, name: str) -> Path:
    """Return a run with a small model, which is copied because it lies on no mount."""
    return onnx.run_at(folder / "copied" / name)


def _has_begun(standing: Stack, id: str) -> bool:
    """Tell whether the attempt is past its claim by so much that it writes."""
    running = _standing(standing, id)
    age = standing.service.clock.now() - running.updated
    return running.state is IngestionState.RUNNING and age.total_seconds() > 1


def _work_beside(standing: Stack, others: int) -> float:
    """Accept *others* and return how many seconds they took."""
    began = time.monotonic()
    ids = [standing.accept(run).id for run in standing.make_models(others)]
    if not until(lambda: all(is_end(_state(standing, id)) for id in ids), END_SECONDS):
        raise AssertionError(f"what does not hang waits for what does\n{standing.log()}")
    return time.monotonic() - began


def _stopped(standing: Stack, worker: subprocess.Popen[bytes]) -> float:
    """Tell *worker* to end, and return how many seconds that took."""
    began = time.monotonic()
    worker.terminate()
    until(lambda: worker.poll() is not None, 2 * STOP_SECONDS)
    return time.monotonic() - began


def _standing(standing: Stack, id: str) -> Ingestion:
    found = standing.service.registry.ingestion("default", id)
    assert found is not None
    return found


def _state(standing: Stack, id: str) -> IngestionState:
    return _standing(standing, id).state
