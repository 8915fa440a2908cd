"""The API as a whole: no route without a policy, and a description that holds."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from worker.api.app import check_policies, make_app
from worker.api.auth import PUBLIC, Policy, Public, policy_of
from worker.api.problems import OLD_FACES
from worker.records import TokenScope
from worker.registry.memory import MemoryRegistry


@pytest.fixture
def app() -> FastAPI:
    return make_app(Door(MemoryRegistry()).service)


def test_no_route_is_without_a_policy(app: FastAPI) -> None:
    declared = {}
    for route in app.routes:
        assert isinstance(route, APIRoute)
        policy = policy_of(route)
        if route.path.startswith(OLD_FACES):
            continue  # docs/gradient.md and its test
        for method in route.methods or ():
            scopes = sorted(policy.scopes) if isinstance(policy, Policy) else isinstance(policy, Public)
            declared[f"{method} {route.path_format}"] = scopes
    reading = ["model:read", "operate"]
    assert declared == {
        "POST /v1/completions": ["completion:write"],
        "POST /v1/rescans": ["model:write"],
        "POST /v1/uploads": ["model:write"],
        "GET /v1/ingestions": reading,
        "GET /v1/ingestions/{ingestion_id}": ["completion:write", *reading],
        "POST /v1/ingestions/retry": ["operate"],
        "POST /v1/ingestions/discard": ["operate"],
        "POST /v1/ingestions/{ingestion_id}/retry": ["operate"],
        "POST /v1/ingestions/{ingestion_id}/discard": ["operate"],
        "GET /v1/deliveries": reading,
        "GET /v1/queue": reading,
        "GET /v1/queue/undecodable": ["operate", "operate:all"],
        "POST /v1/queue/undecodable/discard": ["operate", "operate:all"],
        "POST /v1/queue/pause": ["operate"],
        "POST /v1/queue/resume": ["operate"],
        "GET /v1/audit": ["operate"],
        "GET /v1/projects": reading,
        "POST /v1/projects": ["model:write"],
        "PATCH /v1/projects/{project}": ["model:write"],
        "GET /v1/models": reading,
        "GET /v1/models/{model}": reading,
        "PATCH /v1/models/{model}": ["model:write"],
        "GET /v1/totals": reading,
        "GET /v1/versions": reading,
        "GET /v1/versions/{version_id}": reading,
        "PATCH /v1/versions/{version_id}": ["model:write"],
        "DELETE /v1/versions/{version_id}": ["model:write"],
        "GET /v1/versions/{version_id}/report": reading,
        "GET /v1/versions/{version_id}/manifest": reading,
        "GET /v1/versions/{version_id}/bom": reading,
        "GET /v1/versions/{version_id}/diff": reading,
        "GET /v1/versions/{version_id}/files": reading,
        "GET /v1/versions/{version_id}/files/{path}": reading,
        "GET /v1/versions/{version_id}/archive": reading,
        "POST /v1/versions/{version_id}/release": ["operate"],
        "GET /": reading,
        "GET /models/{model}": reading,
        "GET /versions/{version_id}": reading,
        "GET /versions/{version_id}/report": reading,
        "GET /versions/{version_id}/bom": reading,
        "GET /versions/{version_id}/archive": reading,
        "POST /versions/{version_id}/archive": reading,
        "GET /versions/{version_id}/files/{path}": reading,
        "POST /versions/{version_id}/name": ["model:write"],
        "POST /versions/{version_id}/tags": ["model:write"],
        "POST /versions/{version_id}/published": ["model:write"],
        "POST /versions/{version_id}/release": ["operate"],
        "POST /versions/{version_id}/notes": ["model:write"],
        "POST /versions/{version_id}/rescan": ["model:write"],
        "POST /versions/{version_id}/delete": ["model:write"],
        "GET /compare": reading,
        "GET /upload": reading,
        "GET /upload/{ingestion_id}": reading,
        "POST /upload": ["model:write"],
        "GET /operations": ["operate"],
        "GET /operations/messages": ["operate", "operate:all"],
        "POST /operations/messages/discard": ["operate", "operate:all"],
        "POST /operations/pause": ["operate"],
        "POST /operations/resume": ["operate"],
        "GET /operations/ingestions": ["operate"],
        "GET /operations/ingestions/{ingestion_id}": ["operate"],
        "POST /operations/ingestions/{ingestion_id}/retry": ["operate"],
        "POST /operations/ingestions/{ingestion_id}/discard": ["operate"],
        "POST /operations/retry": ["operate"],
        "POST /operations/discard": ["operate"],
        "GET /static/{digest}/{name}": True,
        "GET /sign-in": True,
        "POST /sign-in": True,
        "GET /sign-in/once": True,
        "POST /sign-out": sorted(TokenScope),
        "GET /livez": True,
        "GET /readyz": True,
        "GET /metrics": ["operate:all"],
        "GET /openapi.json": True,
    }


def test_a_route_without_a_policy_stops_the_start(app: FastAPI) -> None:
    app.add_api_route("/open", lambda: None)
    with pytest.raises(TypeError, match="/open: expected a route with a policy"):
        check_policies(app)


def test_a_route_of_another_kind_stops_the_start(app: FastAPI) -> None:
    app.mount("/files", FastAPI())
    with pytest.raises(TypeError, match="/files: expected a route with a policy"):
        check_policies(app)


def test_a_public_route_may_be_declared(app: FastAPI) -> None:
    app.add_api_route("/public", lambda: None, dependencies=[PUBLIC])
    check_policies(app)


def test_the_description_names_every_route_its_scopes_and_its_problems(app: FastAPI) -> None:
    described = Client(app).get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/v1/completions",
        "/v1/rescans",
        "/v1/uploads",
        "/v1/deliveries",
        "/v1/ingestions",
        "/v1/ingestions/{ingestion_id}",
        "/v1/ingestions/retry",
        "/v1/ingestions/discard",
        "/v1/ingestions/{ingestion_id}/retry",
        "/v1/ingestions/{ingestion_id}/discard",
        "/v1/queue",
        "/v1/queue/pause",
        "/v1/queue/resume",
        "/v1/queue/undecodable",
        "/v1/queue/undecodable/discard",
        "/v1/audit",
        "/v1/projects",
        "/v1/projects/{project}",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/totals",
        "/v1/versions",
        "/v1/versions/{version_id}",
        "/v1/versions/{version_id}/report",
        "/v1/versions/{version_id}/manifest",
        "/v1/versions/{version_id}/bom",
        "/v1/versions/{version_id}/diff",
        "/v1/versions/{version_id}/files",
        "/v1/versions/{version_id}/files/{path}",
        "/v1/versions/{version_id}/archive",
        "/v1/versions/{version_id}/release",
        "/livez",
        "/readyz",
        "/metrics",
    }
    report = described["paths"]["/v1/completions"]["post"]
    assert " ".join(sorted(report["responses"])) == "202 400 401 403 408 409 413 414 415 422 429 431 500 503"
    assert list(report["responses"]["409"]["content"]) == ["application/problem+json"]
    assert sorted(report["requestBody"]["content"]) == ["application/cloudevents+json", "application/json"]
    assert "Needs the scope `completion:write`." in report["description"]
    assert report["security"] == [{"bearer": []}, {"apiKey": []}]
    assert "security" not in described["paths"]["/livez"]["get"]
    given = described["paths"]["/v1/versions/{version_id}/files/{path}"]["get"]["responses"]["200"]["content"]
    assert given == {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    assert "content" not in described["paths"]["/v1/versions/{version_id}"]["delete"]["responses"]["204"]
