"""The side that reports: sends a completion to a server, and keeps it on disk for as long as none answers; and asks it for a
rescan, and how that stands, which nothing is kept of.

In goes a completion as a JSON object; out comes what the server said. What cannot be sent lies in the spool, and is sent by
whoever reports next to the same server with the same token, oldest first. The same completion sent twice is one ingestion
there, so sending again does no harm.

Laws (each has a test of the same name):
    what was reported is answered for by the server or lies in the spool;
    a file of the spool goes only when the server has answered for it, or has refused it for good;
    two processes may send one spool at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from worker.errors import NotFound, RejectedEvent, ServerUnavailable
from worker.spool import BadFile, keep, put_aside, read, waiting

PAUSES_SECONDS = (1.0, 2.0)
"""Pauses between the tries to send a completion, before it is left in the spool."""

TIMEOUT_SECONDS = 10.0

ACCEPTED = 202
REFUSING = frozenset({400, 409, 413, 415, 422})
"""The answers to a completion that will never be taken. Every other may be another one tomorrow: a token that has expired, an
address that is not modelport's, a server that is busy."""

COME_BACK = frozenset({408, 429})
"""The answers below 500 to a question that may be asked again."""

UPLOAD_SECONDS = 3600.0
"""How long a server may take to keep what was uploaded, which it reads twice, before it answers."""

KNOWN = frozenset({"id", "state", "known"})
ROW = frozenset({"id", "state", "reason", "message", "modelPath", "experimentId", "attempts", "dtCreated"})
QUEUE = frozenset({"workers"})
"""What is wanted of an answer to a report, of an ingestion and of the queue: a page of something else is not taken for them."""


class Receiver(Protocol):
    """Takes completions for good: a server, or the database of this machine."""

    def report(self, completion: Mapping[str, Any]) -> dict[str, Any]:
        """Take *completion* and return the answer: `id`, `state`, `known`.

        Raises:
            RejectedEvent: it was refused; another try would be refused too.
            ServerUnavailable: it could not be taken just now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A server of modelport: its address, the token that opens it, and the span that what is asked of it follows from."""

    url: str
    token: str | None = None
    transport: httpx.BaseTransport | None = None
    traceparent: str | None = None

    def report(self, completion: Mapping[str, Any]) -> dict[str, Any]:
        """Report *completion*, as `Receiver.report`."""
        return _answered(self.url, self._ask("POST", "/v1/completions", dict(completion)))

    def rescan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for another look at the `path` in *request* and return the answer: `id`, `state`, `known`.

        Raises:
            RejectedEvent: it was refused; another try would be refused too.
            ServerUnavailable: it was not taken.
        """
        return _answered(self.url, self._ask("POST", "/v1/rescans", dict(request)))

    def upload(self, said: Sequence[tuple[str, str]], body: Iterator[bytes], size: int, media_type: str) -> dict[str, Any]:
        """Upload a *body* of *size* bytes, with what is *said* of it, and return the answer: `id`, `ingestion`.

        Raises:
            RejectedEvent: it was refused; another try would be refused too.
            ServerUnavailable: it was not taken, or nobody knows whether it was.
        """
        headers = self._headers() | {"Content-Type": media_type, "Content-Length": str(size)}
        timeout = httpx.Timeout(TIMEOUT_SECONDS, write=UPLOAD_SECONDS, read=UPLOAD_SECONDS)
        url = f"{self.url.rstrip('/')}/v1/uploads"
        try:
            with httpx.Client(timeout=timeout, transport=self.transport) as client:
                answer = client.post(url, params=list(said), content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise ServerUnavailable(f"{self.url} did not take it: {exc or type(exc).__name__}") from exc
        return _answered(self.url, answer, {"id", "ingestion"})

    def ingestion(self, ingestion_id: str) -> dict[str, Any]:
        """Return how an ingestion stands there, as `worker.views.ingestion_row` tells it.

        Raises:
            NotFound: who has this token is not told.
            ServerUnavailable: there is no answer just now.
        """
        return _told(self.url, self._ask("GET", f"/v1/ingestions/{ingestion_id}"), ROW)

    def living_workers(self) -> int:
        """Return how many workers there gave a sign of life a moment ago.

        Raises:
            NotFound, ServerUnavailable: as `ingestion`.
        """
        return int(_told(self.url, self._ask("GET", "/v1/queue"), QUEUE)["workers"])

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        headers = self._headers() | {"Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        try:
            with httpx.Client(timeout=TIMEOUT_SECONDS, transport=self.transport) as client:
                return client.request(method, f"{self.url.rstrip('/')}{path}", content=content, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise ServerUnavailable(f"{self.url} does not answer: {exc or type(exc).__name__}") from exc

    def _headers(self) -> dict[str, str]:
        named = {"traceparent": self.traceparent} if self.traceparent else {}
        return named | ({"Authorization": f"Bearer {self.token}"} if self.token else {})


def _told(url: str, answer: httpx.Response, wanted: Set[str]) -> dict[str, Any]:
    """Return the object that a server answered with, which has the *wanted* members.

    Raises:
        NotFound: it tells us nothing, and will not tomorrow.
        ServerUnavailable: it does not work just now, or is not modelport's.
    """
    if answer.is_client_error and answer.status_code not in COME_BACK:
        raise NotFound(f"{url} does not tell how it stands: {answer.status_code} {_detail(answer)}")
    said = _json(answer) if answer.status_code == httpx.codes.OK else None
    if not isinstance(said, dict) or not wanted <= said.keys():
        raise ServerUnavailable(f"{url} did not tell how it stands: {answer.status_code} {_detail(answer)}")
    return said


def _answered(url: str, answer: httpx.Response, wanted: Set[str] = KNOWN) -> dict[str, Any]:
    """Return what the server says of a request that it took, which has the *wanted* members. Only what is wrong with the
    request itself is final.
    """
    if answer.status_code in REFUSING:
        raise RejectedEvent(f"{url} refused it: {answer.status_code} {_detail(answer)}")
    said = _json(answer) if answer.status_code == ACCEPTED else None
    if not isinstance(said, dict) or not wanted <= said.keys():
        raise ServerUnavailable(f"{url} did not take it: {answer.status_code} {_detail(answer)}")
    return said


def _detail(answer: httpx.Response) -> str:
    """Return the sentence of a problem detail, or what stands for it."""
    said = _json(answer)
    if isinstance(said, dict) and (told := said.get("detail") or said.get("title")):
        return str(told)[:500]
    return answer.reason_phrase


def _json(answer: httpx.Response) -> Any:
    """Return the JSON of an answer; None where it holds none."""
    try:
        return answer.json()
    except ValueError:
        return None


def report(server: Server, completion: Mapping[str, Any], spool: Path, sleep: Any = time.sleep) -> dict[str, Any] | None:
    """Send *completion*, and then what waits in *spool*; return the answer, None where another process sent it for us.

    Raises:
        RejectedEvent: the server refused it.
        ServerUnavailable: it was not taken, and lies in the spool.
        OSError: it could be neither sent nor written.
    """
    try:
        kept = keep(completion, spool)
    except OSError as exc:
        try:
            return deliver(server, completion, spool, sleep)
        except ServerUnavailable as away:
            raise OSError(exc.errno, f"{away}, and it cannot be kept: {exc.strerror}", str(spool)) from away
    return deliver(server, kept, spool, sleep)


def deliver(server: Receiver, kept: Path | Mapping[str, Any], spool: Path, sleep: Any = time.sleep) -> dict[str, Any] | None:
    """Send *kept*, then what else waits in *spool*; return the answer to *kept*.

    *kept* is a file of the spool, or a completion that the spool did not take. None where another process, which shares the
    spool, was quicker.

    Raises:
        RejectedEvent: the server refused it.
        ServerUnavailable: it was not taken; a file still lies there.
        OSError: the file cannot be read.
    """
    for pause_seconds in PAUSES_SECONDS:
        with suppress(ServerUnavailable):
            return _send_with_others(server, kept, spool)
        sleep(pause_seconds)
    return _send_with_others(server, kept, spool)


def _send_with_others(server: Receiver, kept: Path | Mapping[str, Any], spool: Path) -> dict[str, Any] | None:
    answer = _send(server, kept) if isinstance(kept, Path) else server.report(kept)
    send_all(server, spool)
    return answer


def send_all(server: Receiver, spool: Path) -> int:
    """Send what waits in *spool*, oldest first, until the server does not answer; return how many were sent."""
    sent = 0
    for path in waiting(spool):
        try:
            sent += _send(server, path) is not None
        except (RejectedEvent, OSError):  # nothing that lies there keeps the others from being sent
            continue
        except ServerUnavailable:
            break
    return sent


def _send(server: Receiver, path: Path) -> dict[str, Any] | None:
    """Send one file of the spool and remove it; None where another process did so already."""
    try:
        completion = read(path)
    except FileNotFoundError:
        return None
    except BadFile as exc:
        put_aside(path)
        raise RejectedEvent(f"{path}: not a completion: {exc}") from exc
    try:
        answer = server.report(completion)
    except RejectedEvent:
        put_aside(path)
        raise
    path.unlink(missing_ok=True)
    return answer
