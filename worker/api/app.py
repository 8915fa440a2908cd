"""The API put together: routes with their policies, problems for every error, one description of it all.

Endpoints that ask the registry for themselves are plain functions and run in threads, because it blocks; each opens one
transaction at a time. What is asked all the time is asked at the desk, together with others.

Law (with a test of the same name):
    no route is without a policy.
"""

from __future__ import annotations

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
    uploads,
    versions,
)
from worker.api.auth import Policy, policy_of
from worker.api.desk import Desk
from worker.api.limits import Bounds, Limits
from worker.api.problems import MEDIA_TYPE, add_handlers
from worker.api.service import Service
from worker.api.web import assets, compare_page, failures, sign_in, upload_page, version_pages
from worker.api.web import models as models_page
from worker.api.web.sessions import OnceOnly

VERSION = "1"

SECURITY = {"bearer": {"type": "http", "scheme": "bearer"}, "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}


PROGRAMS: tuple[ModuleType, ...] = (
    completions,
    ingestions,
    deliveries,
    models,
    versions,
    uploads,
    projects,
    audit,
    gradient,
    gradient_uploads,
    health,
)
"""The faces for programs, each with a router."""

PAGES: tuple[ModuleType, ...] = (assets, sign_in, models_page, version_pages, compare_page, upload_page)
"""The face for people."""


def make_app(service: Service) -> FastAPI:
    """Return the API for *service*.

    Raises:
        TypeError: a route declares no policy.
    """
    app = FastAPI(title="modelport", version=VERSION, openapi_url=None, redirect_slashes=False)
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
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def check_policies(app: FastAPI) -> None:
    """Raise TypeError where *app* has a route that declares no policy: it would be open to everybody."""
    for route in app.routes:
        if not isinstance(route, APIRoute) or policy_of(route) is None:
            raise TypeError(f"{getattr(route, 'path', route)}: expected a route with a policy")


def _described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description, made once: errors are problems, and each operation says which scope it needs."""
    if app.openapi_schema is None:
        described = get_openapi(title=app.title, version=app.version, routes=app.routes)
        described.setdefault("components", {})["securitySchemes"] = SECURITY
        for route in app.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                for method in route.methods or ():
                    _complete(described["paths"][route.path_format][method.lower()], route)
        app.openapi_schema = described
    return app.openapi_schema


def _complete(operation: dict[str, Any], route: APIRoute) -> None:
    for status, answer in operation["responses"].items():
        if int(status) >= 400:
            answer["content"] = {MEDIA_TYPE: answer["content"]["application/json"]}
    policy = policy_of(route)
    if isinstance(policy, Policy):
        operation["responses"]["429"] = operation["responses"]["401"] | {"description": "Too Many Requests"}
        operation["security"] = [{name: []} for name in SECURITY]
        scopes = " or ".join(f"`{scope.value}`" for scope in sorted(policy.scopes))
        operation["description"] = f"{operation.get('description', '')}\n\nNeeds the scope {scopes}.".strip()
