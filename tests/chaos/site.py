"""The API and the pages of an installation, as a process of their own, and a token that opens them to an operator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.chaos.stack import ROOT, Stack, until
from tests.servers.process import free_port
from worker.records import TokenScope
from worker.teams import create_token


def operator_token(standing: Stack) -> str:
    """Return the secret of a new token for who steers the queue and watches all teams."""
    service = standing.service
    scopes = (TokenScope.OPERATE, TokenScope.OPERATE_ALL)
    return create_token(service.registry, service.team, "operator", scopes, service.clock.now(), os.urandom).secret


@contextmanager
def served(standing: Stack) -> Iterator[str]:
    """Serve the API of the installation, and give its address."""
    port = free_port()
    command = [sys.executable, "-c", "from worker.cli import main; main()", "api", "--port", str(port)]
    with (standing.folder / "api.log").open("ab") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=dict(standing.environment), stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        if not until(lambda: _answers(url), 60):
            raise AssertionError("the API does not answer")
        yield url
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez").status_code == 200
    except httpx.TransportError:
        return False
