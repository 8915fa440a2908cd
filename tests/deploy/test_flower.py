"""Flower beside modelport: a real one, on a real Redis, that watches a real worker; and who asks it without a password."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.test_grafana import working
from tests.deploy.test_prometheus import ROOT, modelport
from tests.servers.process import Server, until
from tests.servers.redis import redis_server
from worker.doorbell import QUEUE, SWEEP_TASK, TASK

PASSWORD = ("flower", "hunter2")
HOWTO = ROOT / "docs" / "howto" / "flower.md"


class Flower(Server):
    """Flower as docker-compose.yml starts it, with the settings of *environment*."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__(folder)
        self._told = {**environment, "FLOWER_BASIC_AUTH": ":".join(PASSWORD), "PYTHONPATH": str(ROOT)}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        celery = [sys.executable, "-m", "celery", "--app", "worker.celery_app"]
        told = [f"{name}={value}" for name, value in self._told.items()]
        return ["/usr/bin/env", *told, *celery, "flower", "--address=127.0.0.1", f"--port={self.port}"]

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthcheck").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def watching(folder: Path, environment: Mapping[str, str]) -> Iterator[Flower]:
    flower = Flower(folder, environment)
    try:
        flower.start()
        yield flower
    finally:
        flower.stop()


@pytest.mark.slow
def test_flower_shows_real_tasks_with_their_times_to_who_has_the_password(
    server_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, bells, own = (server_folder / name for name in ("home", "redis", "flower"))
    bells.mkdir()
    own.mkdir()
    with redis_server(bells) as redis:
        told = {"MODELPORT_BROKER_URL": redis.url, "MODELPORT_SETTLE_SECONDS": "0", "MODELPORT_HOME": str(home)}
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        modelport(home, "ingestions", "list")
        with watching(own, told) as flower, working(home):
            assert until(lambda: len(asked(flower, "/api/workers?refresh=1")) == 1, 60)
            modelport(home, "rescan", str(ROOT / "examples" / "digits"), "--force", "--wait")
            assert until(lambda: bool(succeeded(flower)), 60), asked(flower, "/api/tasks")
            one = max(succeeded(flower), key=lambda bell: bell["runtime"])
            assert one["received"] <= one["started"] <= one["succeeded"]
            assert 0 < one["runtime"] < 60
            assert abs(one["sent"] - one["received"]) < 10
            (worker,) = asked(flower, "/api/workers").values()
            assert set(worker["registered"]) == {TASK, SWEEP_TASK}
            assert [queue["name"] for queue in worker["active_queues"]] == [QUEUE]
            assert asked(flower, "/api/queues/length") == {"active_queues": [{"name": QUEUE, "messages": 0}]}
            guarded = (*PAGES, f"/api/task/info/{one['uuid']}")
            for path in guarded:
                assert httpx.get(f"{flower.url}{path}", auth=PASSWORD).status_code == 200, path
                for auth in (None, ("flower", "wrong")):
                    assert httpx.get(f"{flower.url}{path}", auth=auth).status_code == 401, path
            for path in (f"/api/worker/shutdown/{one['worker']}", f"/api/task/apply/{TASK}", f"/api/task/revoke/{one['uuid']}"):
                assert httpx.post(f"{flower.url}{path}").status_code == 401, path
            assert_open(flower)


PAGES = ("/api/workers", "/api/tasks", "/api/task/types", "/api/queues/length", "/workers", "/tasks", "/broker")


def assert_open(flower: Flower) -> None:
    """What Flower tells everybody, the page of the documentation says, and no name of ours is in it but those of tasks."""
    for path in ("/metrics", "/healthcheck"):
        assert httpx.get(f"{flower.url}{path}").status_code == 200
        assert f"`{path}`" in HOWTO.read_text(encoding="utf-8")


def test_without_a_password_nothing_is_answered() -> None:
    """The service of docker-compose.yml is not started without one, and listens to this machine alone."""
    flower = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["flower"]
    assert flower["environment"]["FLOWER_BASIC_AUTH"] == "flower:${FLOWER_PASSWORD:?set it in .env}"
    assert all(port.startswith("127.0.0.1:") for port in flower["ports"])
    assert "FLOWER_UNAUTHENTICATED_API" not in flower["environment"]


def asked(flower: Flower, path: str) -> Any:
    return httpx.get(f"{flower.url}{path}", auth=PASSWORD, timeout=30).raise_for_status().json()


def succeeded(flower: Flower) -> list[dict[str, Any]]:
    """Return the bells that were heard out, by their real name."""
    return [one for one in asked(flower, f"/api/tasks?taskname={TASK}").values() if one["state"] == "SUCCESS"]
