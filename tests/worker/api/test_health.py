"""Whether it lives, and whether it can work."""

from __future__ import annotations

from datetime import datetime

from tests.worker.api.conftest import Door
from worker.errors import RegistryUnavailable
from worker.registry.memory import MemoryRegistry


class Away(MemoryRegistry):
    def is_due(self, now: datetime) -> bool:
        raise RegistryUnavailable("the disk is gone")


def test_health_is_told_without_a_token(door: Door) -> None:
    for path in ("/livez", "/readyz"):
        answer = door.client().get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_the_description_is_told_without_a_token(door: Door) -> None:
    assert door.client().get("/openapi.json").json()["openapi"].startswith("3.")


def test_without_its_registry_it_lives_and_is_not_ready() -> None:
    client = Door(Away()).client()
    assert client.get("/livez").status_code == 200
    answer = client.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "disk" not in answer.text
