"""Every route, whoever calls: what each policy lets in is asked of the routes themselves, so none can be forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi.routing import APIRoute

from tests.contracts.registry import event
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import put
from worker import tokens
from worker.api.app import make_app
from worker.api.auth import Policy, policy_of
from worker.records import NewUpload, TokenScope, Trigger
from worker.registry.memory import MemoryRegistry
from worker.teams import create_token

Kind = Callable[[Door, Policy], str | None]
"""Makes a token of one kind for a policy; None for no token at all."""

IN_BODY = {"POST", "PATCH", "PUT", "DELETE"}


def routes() -> Iterator[tuple[str, str, Policy]]:
    """Yield method, path and policy of every route that asks who calls."""
    for route in make_app(Door(MemoryRegistry()).service).routes:
        assert isinstance(route, APIRoute)
        policy = policy_of(route)
        if isinstance(policy, Policy):
            yield from ((method, route.path_format, policy) for method in sorted(route.methods or ()))


ROUTES = list(routes())
NAMES = [f"{method} {path}" for method, path, _ in ROUTES]


def none(door: Door, policy: Policy) -> str | None:
    return None


def bad(door: Door, policy: Policy) -> str | None:
    return "mp_" + "0" * 49


def unknown(door: Door, policy: Policy) -> str | None:
    return tokens.make(b"u" * 32)


def expired(door: Door, policy: Policy) -> str | None:
    secret = door.token("admin", days=1)
    door.clock.sleep(86_400)
    return secret


def revoked(door: Door, policy: Policy) -> str | None:
    made = create_token(door.registry, "default", "x", ("admin",), door.clock.now(), lambda size: b"r" * size)
    door.registry.revoke_token("default", made.token.id, door.clock.now())
    return made.secret


def too_small(door: Door, policy: Policy) -> str | None:
    others = [scope.value for scope in TokenScope if scope not in policy.scopes and scope is not TokenScope.ADMIN]
    return door.token(*others)


def enough(door: Door, policy: Policy) -> str | None:
    return door.token(*sorted(policy.scopes)[: len(policy.scopes) if policy.needs_all else 1])


def admin(door: Door, policy: Policy) -> str | None:
    """An admin may do all that a team may."""
    return door.token("admin", *(["operate:all"] if policy.scopes == {TokenScope.OPERATE_ALL} or policy.needs_all else []))


def status(door: Door, method: str, path: str, secret: str | None, team: str = "default") -> int:
    """Return what the route answers when it is asked about things of *team*."""
    version = put(door, files={"a": b"1"}, team=team)
    ingestion = door.registry.submit(event("waiting", team=team, trigger=Trigger.UPLOAD), door.clock.now())[0]
    upload = door.registry.begin_upload(NewUpload(team), door.clock.now())
    filled = path.format(version_id=version.id, model=version.id, path="a", ingestion_id=ingestion.id, project="default")
    client = Client(make_app(door.service), {} if secret is None else {"X-API-Key": secret})
    asked = {"with": version.id, "fileName": "m", "modelHandle": upload.id}
    if path == "/v1/uploads":
        return client.request(method, path, params=asked, content=b"1").status_code
    if path == "/upload":
        return client.request(method, path, files={"file": ("m", b"1")} if method == "POST" else None).status_code
    body: dict[str, object] = {}
    if path.startswith(("/versions/", "/operations/")):
        body = (
            {"data": {"name": version.model_name, "add": "x", "reason": "x", "state": "failed", "all": "yes"}}
            if method == "POST"
            else {}
        )
    elif method in IN_BODY or path.startswith("/mlModels/listFiles"):
        body = {"json": body_for(path, version.id)}
    return client.request(method, filled, params=asked, **body).status_code


def body_for(path: str, version_id: str) -> dict[str, object]:
    if path.startswith("/entityTags/"):
        return {"entity": "mlModel", "entityId": version_id, "tags": []}
    if path.startswith("/mlModels/"):
        return {"id": version_id, "upd": {"name": "other"}}
    if path == "/v1/queue/undecodable/discard":
        return {"all": True}
    if path.endswith("/release"):
        return {"reason": "looked at"}
    if path.endswith(("/{ingestion_id}/retry", "/{ingestion_id}/discard")) or path.startswith("/v1/queue/"):
        return {"note": "x"}
    if path.startswith("/v1/ingestions/"):
        return {"reason": "x"}
    if path == "/v1/rescans":
        return {"path": "/x"}
    return {"experimentId": "e"} if path == "/v1/completions" else {"name": "other"}


@pytest.mark.parametrize(("method", "path", "policy"), ROUTES, ids=NAMES)
@pytest.mark.parametrize(
    ("kind", "expected"),
    [(none, 401), (bad, 401), (unknown, 401), (expired, 401), (revoked, 401)],
    ids=["none", "bad", "unknown", "expired", "revoked"],
)
def test_who_may_not_is_turned_away(method: str, path: str, policy: Policy, kind: Kind, expected: int) -> None:
    door = Door(MemoryRegistry())
    assert status(door, method, path, kind(door, policy)) == expected


@pytest.mark.parametrize(("method", "path", "policy"), [one for one in ROUTES if one[2].scopes != frozenset(TokenScope)])
def test_who_may_do_something_else_is_turned_away(method: str, path: str, policy: Policy) -> None:
    door = Door(MemoryRegistry())
    assert status(door, method, path, too_small(door, policy)) == 403


@pytest.mark.parametrize(("method", "path", "policy"), [one for one in ROUTES if one[2].needs_all])
def test_one_of_several_scopes_that_are_needed_is_not_enough(method: str, path: str, policy: Policy) -> None:
    for scope in policy.scopes:
        door = Door(MemoryRegistry())
        assert status(door, method, path, door.token(scope)) == 403


@pytest.mark.parametrize(("method", "path", "policy"), ROUTES, ids=NAMES)
@pytest.mark.parametrize("kind", [enough, admin], ids=["enough", "admin"])
def test_who_may_is_served(method: str, path: str, policy: Policy, kind: Kind) -> None:
    door = Door(MemoryRegistry())
    assert status(door, method, path, kind(door, policy)) in (200, 201, 202, 204, 303, 409)


BY_QUERY_OR_BODY = """
/mlModels/getPresignedModelUrl /mlModels/deleteModel /mlModels/updateModel /mlModels/listFiles /entityTags/updateTags
""".split()
"""Routes that name one thing that must be there, and not in their path."""

NAMING = [(method, path) for method, path, _ in ROUTES if "{" in path or path.rstrip("/") in BY_QUERY_OR_BODY]
"""Routes that name one thing that must be there, in the address or in the body."""

LISTS = """
/ /compare /upload /operations /operations/ingestions /v1/audit /v1/deliveries /v1/ingestions /v1/models /v1/projects /v1/queue
/v1/totals /v1/versions /v1/queue/undecodable /operations/messages
/mlModels/getModelList /mlModels/getModelList/ /entityTags/getTags /entityTags/getTags/
""".split()
MAKES = """
/sign-out /upload /v1/completions /v1/projects /v1/rescans /v1/uploads /mlModels/createModelV2 /mlModels/createModelV2/
/v1/ingestions/retry /v1/ingestions/discard /operations/retry /operations/discard
/v1/queue/pause /v1/queue/resume /operations/pause /operations/resume
/v1/queue/undecodable/discard /operations/messages/discard
""".split()
"""Routes that name nothing that must be there: they find what there is, or make it. `test_two_teams.py` compares them all."""


def test_every_route_is_known_by_whether_it_names_something() -> None:
    others = {(method, path) for method, path, _ in ROUTES} - set(NAMING)
    assert others - {("GET", "/metrics")} == {("GET", path) for path in LISTS} | {("POST", path) for path in MAKES}


def test_an_admin_of_a_team_is_not_told_of_all() -> None:
    door = Door(MemoryRegistry())
    assert status(door, "GET", "/metrics", door.token("admin")) == 403


@pytest.mark.parametrize(("method", "path"), NAMING, ids=[" ".join(one) for one in NAMING])
def test_what_another_team_has_is_not_there(method: str, path: str) -> None:
    door = Door(MemoryRegistry())
    door.registry.create_team("red", door.clock.now())
    assert status(door, method, path, door.token("admin"), team="red") == 404


def test_what_another_team_has_is_not_there_to_compare_with() -> None:
    door = Door(MemoryRegistry())
    door.registry.create_team("red", door.clock.now())
    mine, theirs = put(door).id, put(door, team="red").id
    asked = [(mine, theirs), (theirs, mine)]
    answers = [door.admin().get(f"/v1/versions/{one}/diff", params={"with": other}) for one, other in asked]
    assert [answer.status_code for answer in answers] == [404, 404]
