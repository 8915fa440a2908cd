"""The process beside a Celery worker: it says that the worker lives only while that is so."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from ctypes import c_uint64
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.servers.process import free_port, until
from tests.servers.redis import RedisServer
from tests.worker.conftest import without_settings
from worker.bootstrap import embedded
from worker.sweeper import Pulse, sweep_for

MODELPORT = [sys.executable, "-c", "from worker.cli import main; main()"]
CALL = [*MODELPORT, "worker"]
EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


def test_a_pulse_is_felt_once_for_each_move() -> None:
    beats = c_uint64(0)
    is_well = Pulse(beats)
    assert not is_well(), "a worker whose event loop never turned is not well"
    beats.value += 1
    assert is_well()
    assert not is_well()


@pytest.fixture
def environment(redis: RedisServer, tmp_path: Path) -> Mapping[str, str]:
    return without_settings() | {"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_BROKER_URL": redis.url}


@pytest.fixture
def celery(environment: Mapping[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker; its process is the one whose event loop hears the bells."""
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(CALL, env=environment, stdout=log, stderr=log)
    yield worker
    worker.send_signal(signal.SIGCONT)
    worker.terminate()
    worker.wait(40)


def check(environment: Mapping[str, str]) -> tuple[int, str]:
    """Return what `modelport worker --check` ends with and says."""
    done = subprocess.run([*CALL, "--check"], env=environment, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout


@pytest.mark.slow
def test_a_celery_worker_that_is_stopped_is_not_healthy_though_its_sweeper_goes_on(
    celery: subprocess.Popen[bytes], environment: Mapping[str, str], tmp_path: Path
) -> None:
    healthy, dead = (0, "1 living here\n"), (1, "0 living here\n")
    assert until(lambda: check(environment) == healthy, 40), (tmp_path / "log").read_text()
    celery.send_signal(signal.SIGSTOP)
    assert until(lambda: check(environment) == dead, 24)
    celery.send_signal(signal.SIGCONT)
    assert until(lambda: check(environment) == healthy, 10)


@pytest.mark.slow
def test_a_celery_worker_is_known_by_the_name_that_its_claims_begin_with(
    celery: subprocess.Popen[bytes], environment: Mapping[str, str], tmp_path: Path
) -> None:
    assert until(lambda: check(environment) == (0, "1 living here\n"), 40), (tmp_path / "log").read_text()
    complete("named", environment)
    assert until(lambda: state("named", environment) == "registered", 30), (tmp_path / "log").read_text()
    with embedded(environment, tmp_path) as service:
        [worker] = service.registry.workers(service.clock.now() - timedelta(minutes=1))
    assert worker.pid == celery.pid
    [owner] = re.findall(r"event='claimed' .*owner='([^']+)'", (tmp_path / "log").read_text())
    assert owner.startswith(f"{worker.name}-child-")


@pytest.mark.slow
def test_ingestion_goes_on_while_the_broker_is_gone_and_once_it_is_back(
    celery: subprocess.Popen[bytes], redis: RedisServer, environment: Mapping[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    assert until(lambda: check(environment) == (0, "1 living here\n"), 40), log.read_text()
    redis.kill()
    complete("while-gone", environment)
    assert until(lambda: state("while-gone", environment) == "registered", 30), log.read_text()
    assert re.search(r"event='claimed' .*owner='worker-[0-9a-f]{8}-sweep-", log.read_text())
    redis.start()
    assert until(lambda: check(environment) == (0, "1 living here\n"), 60), log.read_text()
    complete("once-back", environment)
    assert until(lambda: state("once-back", environment) == "registered", 30), log.read_text()
    assert celery.poll() is None


def test_a_worker_that_never_met_its_broker_works_all_the_same(tmp_path: Path) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    environment = {"PATH": os.environ["PATH"], "MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_BROKER_URL": nowhere}
    complete("lonely", environment)
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(CALL, env=environment, stdout=log, stderr=log)
    try:
        assert until(lambda: state("lonely", environment) == "registered", 30), (tmp_path / "log").read_text()
    finally:
        worker.terminate()
        worker.wait(40)


def complete(experiment: str, environment: Mapping[str, str]) -> None:
    """Report that *experiment* has finished with the example as its model."""
    subprocess.run([*MODELPORT, "complete", experiment, "--model-path", str(EXAMPLE)], env=environment, check=True, timeout=60)


def state(experiment: str, environment: Mapping[str, str]) -> str:
    """Return the state of the only ingestion of *experiment*."""
    command = [*MODELPORT, "ingestions", "list", "--experiment", experiment, "--format", "json"]
    (found,) = json.loads(subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60).stdout)[
        "ingestions"
    ]
    return str(found["state"])


def test_a_sweeper_that_cannot_begin_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away while a worker starts must not leave it without its sweeper for ever."""
    home = tmp_path / "home"
    home.write_text("a file where the home should be")
    monkeypatch.setenv("MODELPORT_HOME", str(home))
    context = get_context("spawn")
    sweeper = context.Process(target=sweep_for, args=("worker-1", os.getpid(), context.Value(c_uint64, 0, lock=False)))
    sweeper.start()
    try:
        sweeper.join(4)
        assert sweeper.is_alive()
        home.unlink()
        assert until(lambda: any(home.rglob("*.db")), 20)
    finally:
        sweeper.terminate()
        sweeper.join()
