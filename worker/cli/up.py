"""`modelport up`: the whole service with one command, as processes that live and end together."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, NoReturn

import click

from worker.cli.common import OK, free_port, say, tell

if TYPE_CHECKING:
    from worker.settings import Settings
    from worker.up import Part

SWEEP_SECONDS = 10
"""How often what was lost is looked for."""

LOOK_SECONDS = 0.2
"""How often it is looked whether the API answers yet, and in a part whether we still live."""

START = "from worker.cli.up import part; part()"


@click.command(short_help="Run API, worker and sweep until stopped.", epilog="Example: modelport up --port 8000")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; beyond this machine tokens are asked for."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 takes a free one.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=1, show_default=True, help="Ingestions at a time.")
def up(host: str, port: int, concurrency: int) -> int:
    """Run the API, a worker, the sweep and, where MODELPORT_WATCH is set, the watcher, until stopped.

    Their log goes to stderr; what dies is started again.
    """
    from worker.bootstrap import migrate_database
    from worker.settings import load
    from worker.up import running

    settings = load(os.environ, Path.cwd())
    port = free_port(host, port)
    migrate_database(os.environ, Path.cwd())
    parts, stop = _parts(settings, host, port, concurrency), Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    tell(f"modelport: starting {', '.join(part.name for part in parts)}\n")
    with running(parts, _log):
        if _answers(host, port, stop):
            _greet(host, port)
        stop.wait()
        tell("modelport: stopping\n")
    return OK


def _greet(host: str, port: int) -> None:
    """Say where the page is, and how to sign in where nobody made a token."""
    from worker.api.service import is_loopback
    from worker.bootstrap import embedded
    from worker.cli.signing_in import link_to

    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    say(f"modelport is at {address}")
    if is_loopback(host):
        with embedded(os.environ, Path.cwd()) as service:
            link = link_to(address, service)
        if link is not None:
            say(f"open {link} in a browser; it signs in once, `modelport sign-in --port {port}` prints another")


def part() -> NoReturn:
    """Run the command line of one part, which ends when the process that is named first has ended."""
    from worker.cli import main

    parent = int(sys.argv.pop(1))
    Thread(target=_end_after, args=(parent,), name="end with parent", daemon=True).start()
    main()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _parts(settings: Settings, host: str, port: int, concurrency: int) -> list[Part]:
    """Return the processes of the service, those first that others hand work to."""
    from worker.up import Part

    commands: dict[str, tuple[str, ...]] = {
        "worker": ("worker", "--concurrency", str(concurrency)),
        "sweep": ("sweep", "--every", str(SWEEP_SECONDS)),
        "api": ("api", "--host", host, "--port", str(port)),
    }
    if settings.watch:
        commands["watch"] = ("watch",)
    begin = (sys.executable, "-P", "-c", START, str(os.getpid()))
    return [Part(name, (*begin, *words)) for name, words in commands.items()]


def _log(name: str, line: str) -> None:
    """Write a line of a part into the one log; what is JSON stays so."""
    tell(f"{line}\n" if line.startswith("{") else f"{name:6} | {line}\n")


def _answers(host: str, port: int, stop: Event) -> bool:
    """Return True once the API can work, False where it is told to *stop* before."""
    import httpx

    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked of ourselves, not listened at
    url = f"http://[{here}]:{port}/readyz" if ":" in here else f"http://{here}:{port}/readyz"
    with httpx.Client(trust_env=False, timeout=5) as client:
        while not stop.wait(LOOK_SECONDS):
            try:
                if client.get(url).status_code == httpx.codes.OK:
                    return True
            except httpx.HTTPError:
                continue
    return False


COMMANDS: tuple[click.Command, ...] = (up,)
