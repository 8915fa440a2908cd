"""What real processes log: an API, a worker and their deliveries, line by line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.builders import onnx
from tests.servers.fake_mlflow import FakeMlflow, served
from tests.servers.process import free_port, until
from tests.servers.redis import RedisServer
from tests.worker.conftest import without_settings

MODELPORT = [sys.executable, "-c", "from worker.cli import main; main()"]

CANARY = "c4n4ryC4N4RYc4n4ryC4N4RYc4n4ryC4N4RYc4n4ry"

SECRETS = {
    "AWS_ACCESS_KEY_ID": f"AKIA{CANARY}",
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_SESSION_TOKEN": CANARY,
    "MLFLOW_TRACKING_TOKEN": CANARY,
    "MODELPORT_TOKEN": f"mp_{CANARY}",
}

pytestmark = pytest.mark.slow

Line = dict[str, Any]


def environment_of(home: Path, **more: str) -> dict[str, str]:
    given = {"MODELPORT_HOME": str(home), "MODELPORT_SETTLE_SECONDS": "0", "MODELPORT_LOG_FORMAT": "json"}
    return without_settings() | given | more


@contextmanager
def running(words: list[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as written:
        process = subprocess.Popen([*MODELPORT, *words], env=environment, stdout=subprocess.DEVNULL, stderr=written)
    try:
        yield
    finally:
        process.terminate()
        process.wait(40)


@contextmanager
def api(environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Give the address of a real API."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(["api", "--port", str(port)], environment, log):
        assert until(lambda: answers(url), 60), log.read_text()
        yield url


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.HTTPError:
        return False


def lines_of(log: Path) -> list[Line]:
    """Return the lines of *log*; each is one object."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def ended(log: Path) -> list[Line]:
    return [line for line in lines_of(log) if line["event"] == "ended"]


def report(url: str, name: str, path: Path, **headers: str) -> str:
    """Report a completion, and return its ingestion."""
    said = {"id": name, "experimentId": name, "modelPath": str(path)}
    answer = httpx.post(f"{url}/v1/completions", json=said, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("broker", [False, True], ids=["loop", "celery"])
def test_every_line_between_claim_and_end_names_its_ingestion(broker: bool, redis: RedisServer, tmp_path: Path) -> None:
    environment = environment_of(tmp_path / "home", **({"MODELPORT_BROKER_URL": redis.url} if broker else {}))
    model, worker, door = tmp_path / "run" / "model.onnx", tmp_path / "worker.log", tmp_path / "api.log"
    model.parent.mkdir()
    model.write_bytes(onnx.model())
    with api(environment, door) as url:
        ids = {report(url, f"e{number}", model.parent, **{"X-Request-ID": f"r{number}"}) for number in range(6)}
        ids |= {report(url, f"gone{number}", tmp_path / "gone") for number in range(2)}
        with running(["worker"], environment, worker):
            assert until(lambda: len(ended(worker)) == 8, 90), worker.read_text()
    accepted = {line["ingestion"]: line["request"] for line in lines_of(door) if line["event"] == "accepted"}
    assert set(accepted) == ids
    assert {f"r{number}" for number in range(6)} < set(accepted.values())

    attempts = 0
    of_owner: dict[str, set[str]] = defaultdict(set)
    current: Line | None = None
    for line in lines_of(worker):
        if "logger" in line:  # Celery's own, of another process
            continue
        if line["event"] == "claimed":
            assert current is None
            current, attempts = line, attempts + 1
        if current is None:
            assert "ingestion" not in line, line
            continue
        bound = ("ingestion", "team", "attempt", "owner")
        assert [line[name] for name in bound] == [current[name] for name in bound], line
        of_owner[line["owner"]].add(line["ingestion"])
        if line["event"] in ("ended", "waits"):
            current = None
    assert attempts >= 8
    assert {line["ingestion"] for line in ended(worker)} == ids
    assert all(len(one) == 1 for one in of_owner.values())


def test_no_secret_gets_into_a_log(tmp_path: Path) -> None:
    """Through the API, the worker, which says all it can, and a destination that is away."""
    fake = FakeMlflow()
    with served(fake) as mlflow:
        bad = mlflow.replace("://", f"://user:{CANARY}@").replace(mlflow.rpartition(":")[2], str(free_port()))
        environment = environment_of(tmp_path / "home", **SECRETS, MODELPORT_MLFLOW_TRACKING_URI=bad)
        model, worker, door = tmp_path / "run" / "model.onnx", tmp_path / "worker.log", tmp_path / "api.log"
        model.parent.mkdir()
        model.write_bytes(onnx.model())
        create = ["token", "create", "hooks", "--scope", "completion:write", "--scope", "model:write", "--format", "json"]
        made = subprocess.run([*MODELPORT, *create], env=environment, check=True, capture_output=True)
        token = json.loads(made.stdout)["secret"]
        secrets = {CANARY, token}
        with api(environment, door) as url, running(["worker", "--log-level", "DEBUG"], environment, worker):
            report(url, "e1", model.parent, Authorization=f"Bearer {token}")
            report(url, "e2", tmp_path / "gone", Authorization=f"Bearer {token}")
            httpx.post(f"{url}/v1/completions", json={}, headers={"Authorization": f"Bearer mp_{CANARY}"})
            httpx.post(f"{url}/v1/completions", json={"source": CANARY}, headers={"X-API-Key": token})
            httpx.put(f"{url}/mlModels/uploads/default/mo1/model.onnx?expires=1&signature={CANARY}", content=b"x")
            httpx.get(f"{url}/mlModels/files/default/mo1/model.onnx?expires=1&signature={CANARY}")
            httpx.get(f"{url}/sign-in?once={CANARY}")
            assert until(lambda: "not delivered yet" in worker.read_text(), 90), worker.read_text()
            assert until(lambda: len(ended(worker)) == 2, 90), worker.read_text()
        said = worker.read_text() + door.read_text()
        assert "delivery" in said
        assert not [secret for secret in secrets if secret in said]
