"""`modelport sign-in`: a link that signs a browser of this machine in, once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.common import FORMAT, answer

if TYPE_CHECKING:
    from worker.bootstrap import Embedded


@click.command(
    "sign-in", short_help="Print a link that signs a browser in, once.", epilog="Example: modelport sign-in --port 8000"
)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Where the page is served.")
@FORMAT
def sign_in(port: int, format: str) -> None:
    """Print a link that signs a browser of this machine in, once, to the page that `modelport up` serves here.

    That is for servers that nobody made a token for; else a token signs in.
    """
    from worker.bootstrap import embedded
    from worker.errors import WrongState

    with embedded(os.environ, Path.cwd()) as service:
        link = link_to(f"http://127.0.0.1:{port}", service)
    if link is None:
        raise WrongState("there are tokens; sign in with one, made with `modelport token create`")
    answer({"link": link}, format, link)


def link_to(address: str, service: Embedded) -> str | None:
    """Return a link to the page at *address* that signs in once; None where there are tokens, and it would open nothing."""
    from worker.api.web.sessions import link_address

    if service.registry.has_tokens():
        return None
    return address + link_address(service.registry.signing_key(), service.clock.now().timestamp(), os.urandom)


COMMANDS: tuple[click.Command, ...] = (sign_in,)
