"""Problems as pages, for browsers: what happened, what became of the data, what to do. Programs get JSON as before."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from fastapi import Request, Response

from worker.api.problems import Problem
from worker.api.web.render import is_part, page

MACHINE_FACES = ("/v1/", "/static/", "/livez", "/readyz", "/openapi.json", "/metrics")
"""Where programs call, whatever they say they accept; those of the old face were told apart before."""


DEFAULT_PORT = 8000
"""Where the commands serve, and look for a server, unless they are told otherwise."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a page says of a problem: a title, what it means, and what to do next."""

    title: str
    meaning: str
    advice: str


NOT_FOUND = Words(
    "Nothing is here",
    "There is no such page, or what it showed was deleted, or belongs to another team.",
    "Look for it in the list of models.",
)
SAID = {
    400: Words("This request cannot be read", "Nothing was changed.", "Go back and try again."),
    403: Words("This is not allowed", "Nothing was changed.", "Sign out, and sign in with a token that may do it."),
    404: NOT_FOUND,
    405: Words("This address does not take that", "Nothing was changed.", "Go to the list of models."),
    408: Words("This took too long to come", "Nothing was changed.", "Send it again."),
    409: Words("This is not possible now", "Nothing was changed.", "Reload the page that you came from: it may have changed."),
    413: Words("This is too much at once", "Nothing was changed.", "Send less."),
    414: Words("This address is too long", "Nothing was changed.", "Go to the list of models."),
    415: Words("This kind of body is not taken", "Nothing was changed.", "Go back and try again."),
    416: Words("The file has no such part", "Nothing was changed.", "Download all of it."),
    422: Words("This cannot be understood", "Nothing was changed.", "Go back and correct it."),
    429: Words("Too many requests came at once", "Nothing was changed.", "Wait for as long as it says, and reload the page."),
    431: Words("This request has too many headers", "Nothing was changed.", "Go to the list of models."),
    503: Words("A part of the service does not answer", "What was registered is safe.", "Try again in a few seconds."),
    507: Words("There is no room for this", "Nothing was kept.", "Tell who runs the service, and send it again later."),
}
"""What is said by status; a test holds it to what the API answers."""

UNFORESEEN = Words(
    "Something went wrong that nobody foresaw",
    "What was registered is safe. Whether what you asked for was done is not known.",
    "Reload the page. If it happens again, tell who runs the service; the log has the details under the reference below.",
)


def wants_page(request: Request) -> bool:
    """Tell whether a person with a browser asked, at an address for people."""
    is_for_people = not (request.url.path + "/").startswith(MACHINE_FACES) and request.url.path not in MACHINE_FACES
    return is_for_people and "text/html" in request.headers.get("accept", "")


def face(request: Request, problem: Problem, reference: str | None) -> Response | None:
    """Return *problem* as a page, None where who asked reads JSON. Who has not signed in is asked to.

    Part of a page is asked for by a page that is still there; where its session is over, it reloads and asks to sign in.
    """
    if is_part(request):
        return Response(None, problem.status, {"HX-Refresh": "true"}) if problem.status == 401 else None
    if not wants_page(request):
        return None
    if problem.status == 401:
        answer: Response = sign_in_page(request, problem.detail, 401, _here(request))
    else:
        words = SAID.get(problem.status, UNFORESEEN)
        answer = page(request, "failure.html", status=problem.status, words=words, problem=problem, reference=reference)
    answer.headers.update(problem.headers)
    return answer


def sign_in_page(request: Request, trouble: str, status: int = 200, then: str = "/") -> Response:
    """Return the page on which a person signs in and then goes on to the page *then*; *trouble* says why they must, or is
    empty.
    """
    context = {"trouble": trouble, "then": then, "is_loopback": request.app.state.service.is_loopback}
    return page(request, "sign_in.html", None, status, **context, command=_command(request))


def _command(request: Request) -> str:
    """Return the command that prints a link to this server."""
    try:
        port = urlsplit("//" + request.headers.get("host", "")).port
    except ValueError:
        port = None
    return "modelport sign-in" + ("" if port in (None, DEFAULT_PORT) else f" --port {port}")


def _here(request: Request) -> str:
    """Return the address that was asked for, to go on to; the first page where that cannot be asked for again."""
    if request.method != "GET" or request.url.path.startswith("/sign-"):
        return "/"
    return quote(request.url.path) + (f"?{request.url.query}" if request.url.query else "")
