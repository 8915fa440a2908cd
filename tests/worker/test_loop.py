"""Workers without a broker, as real processes over storage that hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import onnx
from tests.chaos.hanging import MARKER, Hangs
from tests.chaos.stack import Stack, stack, until
from worker.records import IngestionState

LEASE_SECONDS = 3.0


def stuck_run(folder: Path, name: str) -> Path:
    """Make a run that hangs in a worker of `tests.chaos.stuck`, and is whole for all others."""
    run = onnx.run_at(folder / "stuck" / name)
    (run / MARKER).write_text(Hangs.READ.value)
    return run


def log(standing: Stack) -> str:
    return (standing.folder / "workers.log").read_text(errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("with_broker", [True, False])
def test_a_process_in_which_attempts_hang_is_replaced_and_work_goes_on(server_folder: Path, with_broker: bool) -> None:
    with stack(server_folder, "sqlite", {"MODELPORT_LEASE_SECONDS": str(LEASE_SECONDS)}) as standing:
        if not with_broker:
            standing.environment = {key: value for key, value in standing.environment.items() if key != "MODELPORT_BROKER_URL"}
        hung = [standing.accept(stuck_run(server_folder, name)).id for name in ("a", "b", "c")]
        worker = standing.start_worker(1, "tests.chaos.stuck")
        assert until(lambda: "process replaced" in log(standing) or "worker replaced" in log(standing), 60), log(standing)
        assert all(standing.service.registry.ingestion("default", id).reason == "storage-hangs" for id in hung)  # type: ignore[union-attr]
        (run,) = standing.make_models(1)
        well = standing.accept(run)
        assert until(lambda: state(standing, well.id) is IngestionState.REGISTERED, 60), log(standing)
        worker.terminate()
        assert until(lambda: worker.poll() is not None, 45), log(standing)


def state(standing: Stack, id: str) -> IngestionState:
    found = standing.service.registry.ingestion("default", id)
    assert found is not None
    return found.state
