"""The API put together: routes with their policies, problems for every error, one description of it all.

Endpoints that ask the registry for themselves are plain functions and run in threads, because it blocks; each opens one
transaction at a time. What is asked all the time is asked at the desk, together with others.

Law (with a test of the same name):
    no route is without a policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from worker.api import (
    audit,
    completions,
    deliveries,
    gradient,
    gradient_uploads,
    health,
    ingestions,
    models,
    projects,
    queue,
    releases,
    scrapes,
    undecodable,
    uploads,
    versions,
)
from worker.api.auth import Policy, policy_of
from worker.api.desk import Desk
from worker.api.limits import MAX_HEADERS, MAX_TARGET_BYTES, Bounds, Limits
from worker.api.problems import MEDIA_TYPE, add_handlers
from worker.api.request_ids import RequestIds
from worker.api.schemas import BODIES
from worker.api.service import Service
from worker.api.spans import telemetry_of
from worker.api.web import assets, compare_page, failures, messages_page, operations_page, sign_in, upload_page, version_pages
from worker.api.web import models as models_page
from worker.api.web.sessions import OnceOnly
from worker.events import MAX_ID_CHARACTERS, MAX_PATH_CHARACTERS

VERSION = "1"

SECURITY = {"bearer": {"type": "http", "scheme": "bearer"}, "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}

ANYWHERE = {
    400: "What came cannot be read: it is no HTTP request, its head is too long, its address is not in UTF-8, or its body is "
    "not what it is announced as",
    414: f"The address with its query is longer than {MAX_TARGET_BYTES} bytes",
    431: f"There are more than {MAX_HEADERS} headers",
    500: "Something went wrong that nobody foresaw; `reference` names the line of the log that tells more",
}
"""What any request may be answered."""

TOO_OFTEN = {429: "Asked too often; `Retry-After` says when to come again"}
"""What any caller may be answered."""

TOO_SLOW = {408: "The body took too long to come"}
"""What whoever sends a body may be answered."""

RETRY_AFTER = {"Retry-After": {"description": "Seconds", "required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}}


PROGRAMS: tuple[ModuleType, ...] = (
    completions,
    ingestions,
    queue,
    undecodable,
    deliveries,
    models,
    versions,
    releases,
    uploads,
    projects,
    audit,
    gradient,
    gradient_uploads,
    health,
    scrapes,
)
"""The faces for programs, each with a router."""

PAGES: tuple[ModuleType, ...] = (
    assets,
    sign_in,
    models_page,
    version_pages,
    compare_page,
    upload_page,
    operations_page,
    messages_page,
)
"""The face for people."""


def make_app(service: Service) -> FastAPI:
    """Return the API for *service*.

    Raises:
        TypeError: a route declares no policy.
    """
    app = FastAPI(
        title="modelport", version=VERSION, openapi_url=None, redirect_slashes=False, telemetry=telemetry_of(service.traces)
    )
    app.state.service, app.state.desk, app.state.limits = service, Desk(service), Limits(service.rates)
    app.state.face = failures.face
    if service.is_loopback:
        app.state.once = OnceOnly(service.clock.now().timestamp())
    # Routes are put in one by one, not router by router: so a walk over them sees every one.
    for part in (*PROGRAMS, *PAGES):
        app.router.routes.extend(part.router.routes)
    check_policies(app)
    app.add_middleware(Bounds)
    add_handlers(app)
    app.add_middleware(RequestIds)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def check_policies(app: FastAPI) -> None:
    """Raise TypeError where *app* has a route that declares no policy: it would be open to everybody."""
    for route in app.routes:
        if not isinstance(route, APIRoute) or policy_of(route) is None:
            raise TypeError(f"{getattr(route, 'path', route)}: expected a route with a policy")


def _described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description, made once: errors are problems, and each operation says which scope it needs. What any
    of them may answer is described once. An operation is called as its function is: clients are generated from that.
    """
    if app.openapi_schema is None:
        described = get_openapi(title=app.title, version=app.version, routes=app.routes)
        components = described.setdefault("components", {})
        components["securitySchemes"] = SECURITY
        components["schemas"] |= BODIES
        components["responses"] = _shared(ANYWHERE | TOO_SLOW) | _shared(TOO_OFTEN, headers=RETRY_AFTER)
        for route in app.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                for method in route.methods or ():
                    _complete(described["paths"][route.path_format][method.lower()], route)
        app.openapi_schema = described
    return app.openapi_schema


def _shared(meanings: Mapping[int, str], **more: Any) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {f"Problem{status}": {"description": said, "content": content, **more} for status, said in meanings.items()}


def _complete(operation: dict[str, Any], route: APIRoute) -> None:
    operation["operationId"] = route.name
    for status, answer in operation["responses"].items():
        if int(status) >= 400:
            answer["content"] = {MEDIA_TYPE: answer["content"]["application/json"]}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":  # nothing is called by more
            longest = MAX_PATH_CHARACTERS if parameter["name"] == "path" else MAX_ID_CHARACTERS
            parameter["schema"].setdefault("maxLength", longest)
    policy = policy_of(route)
    if isinstance(policy, Policy):
        operation["security"] = [{name: []} for name in SECURITY]
        operation["x-scopes"] = sorted(scope.value for scope in policy.scopes)
        scopes = (" and " if policy.needs_all else " or ").join(f"`{scope}`" for scope in operation["x-scopes"])
        operation["description"] = f"{operation.get('description', '')}\n\nNeeds the scope {scopes}.".strip()
    for status in (
        ANYWHERE | (TOO_OFTEN if isinstance(policy, Policy) else {}) | (TOO_SLOW if "requestBody" in operation else {})
    ):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
