"""Deliveries at the door: whom what was told, page by page, and nothing of another team."""

from __future__ import annotations

import pytest

from tests.contracts.registry import LATER, register
from tests.worker.api.conftest import Door
from worker import delivery as steps
from worker.delivery import LIFE
from worker.registry.memory import MemoryRegistry


@pytest.fixture
def door() -> Door:
    return Door(MemoryRegistry(destinations={"mlflow": LIFE, "webhook": LIFE}))


def test_a_delivery_shows_what_is_told_to_whom_and_how_that_stands(door: Door) -> None:
    version = register(door.registry).version
    claimed = door.registry.outbox.claim("mlflow", "me", LATER)
    assert claimed is not None
    door.registry.outbox.keep(steps.failed(claimed, "MLflow does not answer", LATER, 0.0), "me")
    found = door.admin().get("/v1/deliveries", params={"destination": "mlflow", "versionId": version.id}).json()
    assert found == {
        "deliveries": [
            {
                "id": claimed.id,
                "kind": "version.registered",
                "destination": "mlflow",
                "ingestionId": claimed.ingestion_id,
                "versionId": version.id,
                "state": "waiting",
                "attempts": 1,
                "message": "MLflow does not answer",
                "dtCreated": "2026-11-20T12:00:01.123Z",
                "dtModified": "2026-11-20T12:00:01.123Z",
                "dtNextAttempt": "2026-11-20T12:00:06.123Z",
                "dtDelivered": None,
            }
        ],
        "next": None,
    }


def test_deliveries_come_page_by_page_by_what_is_asked_for(door: Door) -> None:
    for n in range(3):
        register(door.registry, str(n), f"d{n}")
    admin = door.admin()
    first = admin.get("/v1/deliveries", params={"state": "waiting", "destination": "webhook", "limit": 2}).json()
    assert first["next"].startswith("/v1/deliveries?state=waiting&destination=webhook&after=")
    second = admin.get(first["next"]).json()
    assert [len(first["deliveries"]), len(second["deliveries"]), second["next"]] == [2, 1, None]
    assert admin.get("/v1/deliveries", params={"state": "given_up"}).json()["deliveries"] == []
    assert admin.get("/v1/deliveries", params={"state": "lost"}).status_code == 422


def test_nothing_of_another_team_is_listed_or_begun_after(door: Door) -> None:
    door.registry.create_team("red", door.clock.now())
    theirs = register(door.registry, team="red").version
    admin, red = door.admin(), door.admin("red")
    assert admin.get("/v1/deliveries").json()["deliveries"] == []
    [one, _] = red.get("/v1/deliveries").json()["deliveries"]
    assert one["versionId"] == theirs.id
    answer = admin.get("/v1/deliveries", params={"after": one["id"]})
    assert (answer.status_code, answer.json()["detail"]) == (422, f"after: there is no delivery {one['id']!r}")
