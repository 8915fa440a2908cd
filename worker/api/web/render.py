"""Templates and what they know: who looks, where the way leads, how things are written; and the headers of every page.

All text that a template shows is escaped, and characters that are not to be seen are shown by their numbers (`format.visible`),
whichever template it is and whoever wrote it. A name that a template does not know is an error, not nothing.

Source: CSP Level 3; HTML, 7.1.3 "Cross-origin opener policies".
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from worker import tokens
from worker.api.web import format
from worker.api.web.assets import static
from worker.api.web.sessions import COOKIE
from worker.records import TokenScope

SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing comes from elsewhere, nothing runs that is not one of our files, and nobody frames a page of ours."""

HEADERS = {
    "Content-Security-Policy": SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Cookie, HX-Request",
}
"""What every page says. A page is one team's alone and is kept nowhere."""

NAVIGATION = (("Models", "/"), ("Compare", "/compare"), ("Upload", "/upload"), ("Operations", "/operations"))
"""The sections of the pages; one that the app has no route for is not shown."""

STEERED, STEERERS = frozenset({"/operations"}), frozenset({TokenScope.OPERATE})
"""The sections that only some may see, and what they must be allowed to do."""


def _release() -> str:
    try:
        return version("modelport")
    except PackageNotFoundError:
        return "from source"


def _finalized(value: Any) -> Any:
    """Return what a template shows of *value*: markup of ours as it is, any other text with nothing invisible in it."""
    if isinstance(value, Markup):
        return value
    return format.visible(value) if isinstance(value, str) else value


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= format.FILTERS
    environment.globals |= {"static": static, "release": _release()}
    return environment


ENVIRONMENT = _environment()


def page(request: Request, template: str, section: str | None = None, status: int = 200, **context: Any) -> HTMLResponse:
    """Return the page that *template* makes of *context*, in the *section* of the navigation that is marked, None for none.

    Every template knows besides: `visit`, who looks, None for nobody; `request`; `has`, which tells whether the app has a page
    at an address; `navigation`, and `is_known`, which tells whether to show it where nobody was asked who they are; `section`.
    """
    paths = {getattr(route, "path", "") for route in request.app.routes}
    known = {
        "request": request,
        "visit": getattr(request.state, "visit", None),
        "is_known": COOKIE in request.cookies,
        "section": section,
        "navigation": [(title, path) for title, path in NAVIGATION if path in paths and _may_go(request, path)],
        "has": paths.__contains__,
    }
    text = ENVIRONMENT.get_template(template).render(known | context)
    return HTMLResponse(text, status, HEADERS)


def _may_go(request: Request, path: str) -> bool:
    """Tell whether to show the way to *path*; where nobody was asked who they are, all ways are shown."""
    visit = getattr(request.state, "visit", None)
    return visit is None or path not in STEERED or tokens.allows(visit.caller.scopes, STEERERS)


def is_part(request: Request) -> bool:
    """Tell whether htmx asks for a part of a page; a browser that goes back through its history wants all of it."""
    return "hx-request" in request.headers and "hx-history-restore-request" not in request.headers
