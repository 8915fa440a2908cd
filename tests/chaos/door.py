"""The API of a stack as a process of its own, and clients that take next to no time themselves.

A client keeps one connection and knows just enough HTTP for this server: what a library would take for each request is a
large part of what is measured here.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.stack import ROOT, Stack
from tests.servers.process import Server

PROGRAM = "from worker.cli import main; main()"

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

ANSWER_SECONDS = 60.0
"""How long a client waits for an answer; then it is as if the connection had ended."""


class Door(Server):
    """`modelport api` with the environment of a stack."""

    def __init__(self, standing: Stack) -> None:
        folder = standing.folder / "api"
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self.environment = {"PYTHONPATH": str(ROOT), **standing.environment}

    def command(self) -> list[str]:
        told = [f"{name}={value}" for name, value in self.environment.items()]
        return ["/usr/bin/env", "-i", *told, sys.executable, "-c", PROGRAM, "api", "--port", str(self.port)]

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def door(standing: Stack) -> Iterator[Door]:
    """Serve the API of *standing* while the block runs."""
    server = Door(standing)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Answer:
    """What the server said, and how long it took, in seconds."""

    status: int
    body: Mapping[str, Any]
    seconds: float


class Client:
    """One connection to *port*, made anew where it ended. Not for two coroutines at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, completion: Mapping[str, Any]) -> Answer:
        """Post *completion*.

        Raises:
            OSError, EOFError: no whole answer came; it may have been accepted.
        """
        began = time.perf_counter()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, body = await self._exchange(json.dumps(completion).encode())
        except BaseException:
            self.close()
            raise
        return Answer(status, json.loads(body), time.perf_counter() - began)

    async def _exchange(self, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        writer.write(head.encode() + b"\r\n\r\n" + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        answer = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return int(first.split()[1]), answer

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def completion_of(run: Path, id: str | None = None) -> dict[str, Any]:
    """Return the completion that reports *run*."""
    return {"id": id or run.name, "source": "chaos", "experimentId": run.name, "modelPath": str(run)}
