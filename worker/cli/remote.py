"""What commands ask of a server, where MODELPORT_API_URL names one; the work is done there.

A report that no server takes is kept and sent later, because a run ends once; a rescan is a person's, who is told and asks
again.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.cli.common import OK, complain, path_of, status_of_end, terminal, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from worker.client import Server
    from worker.settings import Settings

LOOK_SECONDS = 0.5
"""How often who waits asks how it stands."""

PATIENCE_SECONDS = 30.0
"""How long a server may be silent or without a worker while somebody waits; a restart of either is over by then."""


def send(completion: dict[str, Any], settings: Settings, format: str, output: Path | None) -> int:
    """Send *completion* to the server, or leave it in the spool for the next command that sends."""
    from worker.client import report
    from worker.errors import ServerUnavailable
    from worker.spool import spool_of

    spool = spool_of(settings.home, settings.api_url, settings.token)
    tell_what_waits_beside(spool)
    try:
        answer = report(server_of(settings), completion, spool)
    except ServerUnavailable as exc:
        complain(f"{exc}; kept in {spool}, sent with the next report")
        return OK
    if answer is None:
        complain("another process that shares the spool has sent it")
        return OK
    if answer["known"]:
        complain("already reported; --id NEW reports it anew")
    write(answer, format, output, lambda console: terminal().show_answer(console, answer, _looked_at(completion)))
    return OK


def tell_what_waits_beside(spool: Path) -> None:
    """Say where reports wait that were kept for another server, or with another token, and how they get on their way."""
    from worker.spool import waiting_beside

    for folder in waiting_beside(spool):
        complain(
            f"reports wait in {folder} for another server, or for the team of another token; "
            f"they are sent when both are set again, or with the next report if you move them to {spool}"
        )


def _looked_at(completion: dict[str, Any]) -> str:
    """Return the path that the server will look at, as experiments see it; empty where the completion does not tell."""
    from worker.events import completion_from_json
    from worker.records import DEFAULT_TEAM

    return path_of(completion_from_json(completion, DEFAULT_TEAM))


def rescan(request: dict[str, Any], settings: Settings, wait: bool, format: str, output: Path | None) -> int:
    """Ask the server for the rescan *request*, show how it stands there, after its end if we *wait*, and return the status.

    Raises:
        RejectedEvent: the server refuses it.
        ServerUnavailable: it was not taken; or nobody is there who could end what we wait for.
        NotFound: the token does not let us see what we wait for.
    """
    from secrets import token_hex

    server = server_of(settings)
    answer = server.rescan({"id": token_hex(16)} | request)
    row = _at_the_end(server, answer["id"]) if wait else _as_it_stands(server, answer["id"])
    return _shown(answer, row, request["path"], format, output)


def upload(
    said: Sequence[tuple[str, str]], body: Iterator[bytes], size: int, media_type: str, settings: Settings,
    format: str, output: Path | None,
) -> int:  # fmt: skip
    """Send a *body* of *size* bytes to the server with what is *said* of it, show how it ended, and return the status.

    Raises:
        RejectedEvent: the server refuses it.
        ServerUnavailable: it was not taken; or nobody is there who could end what we wait for.
        NotFound: the token does not let us see it.
    """
    server = server_of(settings)
    answer = server.upload(said, body, size, media_type)
    row = _at_the_end(server, answer["ingestion"]["id"])
    return _shown(answer["ingestion"], row, "", format, output)


def _shown(answer: dict[str, Any], row: dict[str, Any] | None, path: str, format: str, output: Path | None) -> int:
    """Show how an ingestion stands by *row*, or as the server answered, where it told no more; return the status."""

    def show(console: Console) -> None:
        if row is None:
            terminal().show_answer(console, answer, path)
        else:
            terminal().show_end(console, row)

    write(answer if row is None else row, format, output, show)
    return status_of_end(answer["state"] if row is None else row["state"])


def server_of(settings: Settings) -> Server:
    """Return the server of the settings."""
    from worker.client import Server
    from worker.tracing import traceparent_in

    return Server(settings.api_url or "", settings.token, traceparent=traceparent_in(os.environ.get("TRACEPARENT")))


def _as_it_stands(server: Server, ingestion_id: str) -> dict[str, Any] | None:
    """Return how an ingestion stands; None where the server does not tell, which may be for the token to say."""
    from worker.errors import NotFound, ServerUnavailable

    try:
        return _row(server, ingestion_id)
    except (NotFound, ServerUnavailable):
        return None


def _at_the_end(server: Server, ingestion_id: str) -> dict[str, Any]:
    """Return how an ingestion ended, once it has.

    Raises:
        ServerUnavailable: for `PATIENCE_SECONDS`, the server did not answer or no worker lived there.
        NotFound: the token does not let us see it.
    """
    from worker.errors import NotFound, ServerUnavailable

    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        why = f"no worker lives at {server.url}; nobody does it until one is started"
        try:
            row = _row(server, ingestion_id)
            if row["state"] not in terminal().UNDER_WAY:
                return row
            if server.living_workers():
                until = time.monotonic() + PATIENCE_SECONDS
        except ServerUnavailable as exc:
            why = str(exc)
        except NotFound as exc:
            raise NotFound(f"{ingestion_id} is queued, but {exc}") from exc
        if time.monotonic() >= until:
            raise ServerUnavailable(f"{ingestion_id} is queued, but {why}")
        time.sleep(LOOK_SECONDS)


def _row(server: Server, ingestion_id: str) -> dict[str, Any]:
    """Return how an ingestion stands, without the way there, as commands show it that ask no server."""
    return {key: value for key, value in server.ingestion(ingestion_id).items() if key != "history"}
