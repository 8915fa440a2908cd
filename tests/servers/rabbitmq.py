"""A real RabbitMQ: Debian's, with names, ports, data and cookie of its own, so that it meets no other one.

It needs Erlang's port mapper, which would outlive it as a daemon; here it runs in the foreground, and ends with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amqp import Connection
from amqp.exceptions import AMQPError

from tests.servers.process import NoServer, Server, free_port, is_listened_to, skip_without

DEBIANS = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The program itself: the one in /usr/sbin takes another user where root starts it."""

NOTHING_MORE = "[]."
"""The list of plug-ins."""


class PortMapper(Server):
    """Erlang's `epmd`, through which nodes find each other."""

    def command(self) -> list[str]:
        return ["epmd", "-port", str(self.port), "-address", "127.0.0.1"]

    def answers(self) -> bool:
        return is_listened_to(self.port)


class RabbitServer(Server):
    """Keeps durable queues and persistent messages over a kill. Its guest may do everything."""

    def __init__(self, folder: Path, program: Path, mapper: PortMapper) -> None:
        super().__init__(folder)
        self.program = program
        self.mapper = mapper
        self.own_port = free_port()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def command(self) -> list[str]:
        settings = {
            "PATH": "/usr/bin:/bin",
            "HOME": self.folder,
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": self.mapper.port,
            "RABBITMQ_NODENAME": f"modelport{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": self.own_port,
            "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_LOG_BASE": self.folder / "log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": self.folder / "pid",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": self.folder / "rabbitmq-env.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "enabled_plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
        }
        return ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in settings.items()), str(self.program)]

    def start(self) -> None:
        (self.folder / "enabled_plugins").write_text(NOTHING_MORE)
        super().start()

    def answers(self) -> bool:
        connection = Connection(f"127.0.0.1:{self.port}", connect_timeout=1, read_timeout=5)
        try:
            connection.connect()
        except (OSError, AMQPError):
            return False
        connection.close()
        return True

    def stop(self) -> None:
        """End it at once: nobody wants its data any more, and good order takes it seconds."""
        self.kill()


@contextmanager
def rabbitmq_server(folder: Path, program: Path | None = None) -> Iterator[RabbitServer]:
    """Run a RabbitMQ with its data below *folder* while the block runs, as who runs the tests.

    Raises:
        NoServer: there is none on this machine, or it did not start.
    """
    mapper = PortMapper(folder)
    server = RabbitServer(folder, program or find_rabbitmq(), mapper)
    try:
        mapper.start()
        server.start()
        yield server
    finally:
        server.stop()
        mapper.stop()


def skip_without_rabbitmq() -> None:
    """Skip the test where there is none; see `skip_without`."""
    skip_without(find_rabbitmq, "WITHOUT_RABBITMQ")


def find_rabbitmq() -> Path:
    """Return the program.

    Raises:
        NoServer: there is none.
    """
    if not DEBIANS.exists() or shutil.which("epmd") is None:
        raise NoServer("there is no rabbitmq-server: install Debian's rabbitmq-server")
    return DEBIANS
