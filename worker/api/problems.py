"""Whatever goes wrong, said in one shape: problem details, with a status, a code, and a sentence that shows no insides.

The code stands in `type`; a program decides by it, a person reads `detail`. What nobody thought of is logged under a reference,
and only the reference is told.

Source: RFC 9457.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from traceback import format_exception
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.errors import (
    ConflictingEvent,
    NameTaken,
    NotFound,
    Quarantined,
    RegistryUnavailable,
    RejectedEvent,
    RejectedLocation,
    RejectedUpload,
    ServerUnavailable,
    StorageUnavailable,
    WorkerError,
    WrongState,
)
from worker.fields import shown

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:modelport:problem:"

RETRY_SECONDS = 5
"""When a sender may come again whom the registry did not answer."""

TITLES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
"""Names of statuses as RFC 9110 gives them, where Pythons differ."""

HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""What every answer says that does not say otherwise: it is one team's alone, and nothing else than its type says."""

log = structlog.get_logger("modelport.api")


class Problem(Exception):
    """An answer that is not what was wished for."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, dict(headers or {})


MEANINGS: tuple[tuple[type[WorkerError], int, str], ...] = (
    (ConflictingEvent, 409, "conflicting-event"),
    (NameTaken, 409, "name-taken"),
    (RejectedUpload, 422, "rejected-upload"),
    (RejectedEvent, 422, "rejected"),
    (RejectedLocation, 422, "rejected-location"),
    (Quarantined, 409, "quarantined"),
    (WrongState, 409, "wrong-state"),
    (NotFound, 404, "not-found"),
    (StorageUnavailable, 503, "storage-unavailable"),
    (ServerUnavailable, 503, "broker-unavailable"),
)
"""What an exception of ours is to a sender, the most special first. Any other is not theirs to know."""


def reply(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    """Return *value* as JSON. ASCII, because text from outside may hold half a surrogate pair, which no encoding takes."""
    return Response(json.dumps(value, ensure_ascii=True, allow_nan=False), status, headers, media_type)


def problem_reply(problem: Problem, **more: str) -> Response:
    """Return *problem* as an answer, with *more* members."""
    body = {
        "type": TYPE_PREFIX + problem.code,
        "title": TITLES.get(problem.status) or HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    return reply(body | more, problem.status, problem.headers, MEDIA_TYPE)


OLD_FACES = ("/mlModels/", "/entityTags/")
"""Where the client of the original system calls, which prints the `message` of an error and nothing else."""


Face = Callable[[Request, Problem, str | None], Response | None]
"""Shows a problem to who reads no JSON, with the reference to a line of the log if there is one; None where JSON will do."""


def answer_to(request: Request, problem: Problem, **more: str) -> Response:
    """Return *problem* as an answer to *request*, in the shape that its sender reads."""
    if request.url.path.startswith(OLD_FACES):
        return reply({"status": problem.status, "message": problem.detail} | more, problem.status, problem.headers)
    face: Face | None = getattr(request.app.state, "face", None)
    shown = None if face is None else face(request, problem, more.get("reference"))
    return problem_reply(problem, **more) if shown is None else shown


READS = frozenset({"GET", "HEAD"})
"""Methods of requests that ask and change nothing."""

READ_FAILED = "the registry does not answer; nothing was changed, try again"
WRITE_FAILED = "the registry does not answer; what was asked for may or may not have been done, send the same request again"
"""Where the connection to a database is lost while it commits, nobody knows whether it did."""


def meaning(error: WorkerError, method: str) -> Problem | None:
    """Return what *error* is to the sender of a request with this *method*, None where it is none of theirs."""
    if isinstance(error, RegistryUnavailable):
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return Problem(503, "registry-unavailable", READ_FAILED if method in READS else WRITE_FAILED, headers)
    found = next(((status, code) for kind, status, code in MEANINGS if isinstance(error, kind)), None)
    return None if found is None else Problem(*found, str(error))


def unforeseen(error: BaseException, request: Request) -> Response:
    """Log what nobody thought of, and return the answer that names the line in the log.

    The traceback is made here: those that loggers make may show the values of variables, and one of them may be a token.
    """
    reference = secrets.token_hex(8)
    where = {"method": request.method, "path": request.url.path}
    log.error("unforeseen", reference=reference, **where, traceback="".join(format_exception(error)))
    detail = f"something went wrong that nobody foresaw; the log of the server tells more under {reference}"
    return answer_to(request, Problem(500, "unforeseen", detail), reference=reference)


def add_handlers(app: FastAPI) -> None:
    """Let *app* answer every error as a problem."""
    app.add_exception_handler(Problem, _of_problem)
    app.add_exception_handler(WorkerError, _of_worker_error)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_middleware(LastResort)


async def _of_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return answer_to(request, error)


async def _of_worker_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, WorkerError)
    if isinstance(error, RegistryUnavailable):
        log.error("the registry does not answer", why=str(error))
    problem = meaning(error, request.method)
    return unforeseen(error, request) if problem is None else answer_to(request, problem)


async def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    said = (f"{one['loc'][-1]}: {_lower(one['msg'])}, found {shown(one.get('input'))}" for one in error.errors())
    return answer_to(request, Problem(422, "rejected", "; ".join(said)))


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


DETAILS = {
    404: ("not-found", "there is nothing at this address"),
    405: ("method-not-allowed", "this address does not take this method"),
}


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, detail = DETAILS.get(error.status_code, ("refused", str(error.detail)))
    headers = {"Allow": ", ".join(_allowed(request))} if error.status_code == 405 else error.headers
    return answer_to(request, Problem(error.status_code, code, detail, headers))


def _allowed(request: Request) -> list[str]:
    """Return the methods that the address of *request* takes: of all its routes, where the router tells those of one. Where
    an address is itself a route, it is not taken for the name of something.

    Source: RFC 9110, 10.2.1 "Allow".
    """
    found = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    same = [route for route in found if route.path == request.url.path]
    return sorted({method for route in same or found for method in route.methods})


class BrokenOff(Exception):
    """What goes out cannot be brought to its end; who waits for it sees the connection close too early."""


class LastResort:
    """Answers where everything else failed, and gives every answer `HEADERS`. A sender who went away gets nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        has_begun = False

        async def send_on(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message["headers"] = given + [header for header in HEADERS if header[0] not in names]
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except (ClientDisconnect, BrokenOff):
            return None
        except Exception as exc:
            if has_begun:
                raise
            await unforeseen(exc, Request(scope))(scope, receive, send_on)
