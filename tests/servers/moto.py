"""An S3 server that any user starts in a second: moto's, from its wheel. It imitates S3, and takes every secret for right."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import NoServer
from tests.servers.s3 import S3Server

PARTS = ("moto", "flask", "flask_cors")
"""What `moto[server]` brings, and `moto` alone does not."""


class MotoServer(S3Server):
    """Keeps everything in memory: a kill, or a stop, loses it."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]


@contextmanager
def moto_server(folder: Path) -> Iterator[MotoServer]:
    """Run moto's server with its log in *folder* while the block runs.

    Raises:
        NoServer: it is not installed, or it did not start.
    """
    find_moto()
    server = MotoServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()  # nobody wants its data, and a frozen one would not hear a word


def find_moto() -> None:
    """Make sure that moto's server is installed.

    Raises:
        NoServer: it is not.
    """
    if not all(map(importlib.util.find_spec, PARTS)):
        raise NoServer("there is no moto_server: `pip install modelport[test]`")
