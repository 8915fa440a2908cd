"""Every process that looks after the queue delivers what is due, beside its work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.fake_mlflow import FakeMlflow, served
from tests.servers.process import until
from tests.servers.redis import RedisServer
from tests.worker.conftest import ROOT, without_settings

MODELPORT = [sys.executable, "-c", "from worker.cli import main; main()"]
EXAMPLE = ROOT / "examples" / "digits"

pytestmark = pytest.mark.slow


@pytest.fixture
def fake() -> FakeMlflow:
    return FakeMlflow()


@pytest.fixture
def environment(fake: FakeMlflow, tmp_path: Path) -> Iterator[dict[str, str]]:
    with served(fake) as url:
        home = {"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_SETTLE_SECONDS": "0"}
        yield without_settings() | home | {"MODELPORT_MLFLOW_TRACKING_URI": url}


@contextmanager
def running(words: list[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as written:
        process = subprocess.Popen([*MODELPORT, *words], env=environment, stdout=written, stderr=written)
    try:
        yield
    finally:
        process.terminate()
        process.wait(40)


def call(environment: Mapping[str, str], *words: str) -> None:
    subprocess.run([*MODELPORT, *words], env=environment, check=True, timeout=90, capture_output=True)


def is_seen(environment: Mapping[str, str]) -> bool:
    """Tell whether a worker is known to live; as long as none is, commands do everything themselves."""
    check = [*MODELPORT, "worker", "--check"]
    return subprocess.run(check, env=environment, timeout=90, capture_output=True).returncode == 0


@pytest.mark.parametrize("broker", [False, True], ids=["loop", "celery"])
def test_a_worker_delivers_what_it_registers(
    broker: bool, fake: FakeMlflow, environment: dict[str, str], redis: RedisServer, tmp_path: Path
) -> None:
    if broker:
        environment["MODELPORT_BROKER_URL"] = redis.url
    log = tmp_path / "log"
    with running(["worker"], environment, log):
        assert until(lambda: is_seen(environment), 90), log.read_text()
        call(environment, "complete", "digits", "--model-path", str(EXAMPLE))
        assert until(lambda: "event='delivered'" in log.read_text(), 90), log.read_text()
    assert [(one["name"], one["version"]) for one in fake.versions] == [("default.digits", "1")]
    assert "Traceback" not in log.read_text()


def test_a_sweep_that_goes_on_delivers_what_another_left(fake: FakeMlflow, environment: dict[str, str], tmp_path: Path) -> None:
    away = environment | {"MODELPORT_MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    call(away, "ingest", str(EXAMPLE), "--experiment", "digits")
    log = tmp_path / "log"
    with running(["sweep", "--every", "1"], environment, log):
        assert until(lambda: bool(fake.versions), 90), log.read_text()
        assert until(lambda: "event='delivered'" in log.read_text(), 30), log.read_text()
    assert len(fake.versions) == 1
