"""The command that loads a model once in a cage and says what happened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detectors.printable import printable
from worker.cli.common import FORMAT, OUTPUT, PROJECT, TEAM, acting, write
from worker.s3_url import is_s3
from worker.verification_words import Mark, lines

if TYPE_CHECKING:
    from rich.console import Console

    from worker.cage.launcher import Limits
    from worker.verification import LoadCheck

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "": 1}


def _bytes(context: click.Context, parameter: click.Parameter, text: str) -> int:
    """Return a size as bytes: 4G, 512M, 4294967296.

    Raises:
        BadParameter: it is none.
    """
    number, unit = text[:-1], text[-1:].upper()
    if unit not in UNITS:
        number, unit = text, ""
    if not (number.isascii() and number.isdigit() and int(number) > 0):
        raise click.BadParameter(f"expected a size such as 4G or 512M, found {text!r}")
    return int(number) * UNITS[unit]


def _named(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value:
        raise click.BadParameter("expected a path, an id (mo…), NAME or NAME@NUMBER, found nothing")
    return value


@click.command(
    short_help="Load the model once in a sandbox and say what happened.",
    epilog="Example: modelport verify runs/mnist --seconds 60 --memory 2G",
)
@click.argument("model", metavar="ID|PATH", callback=_named)
@TEAM
@PROJECT
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=120.0, show_default=True, help="How long one model may take."
)
@click.option("--memory", default="4G", show_default=True, callback=_bytes, help="How much memory one model may take.")
@FORMAT
@OUTPUT
def verify(
    model: str, team: str | None, project: str | None, seconds: float, memory: int, format: str, output: Path | None
) -> int:
    """Load the models of ID or PATH in a sandbox, run each signature once on made-up inputs, and say what happened.

    ID is a registered version: its id, NAME or NAME@NUMBER. PATH is a folder, a file or s3://BUCKET/KEY; what is on disk comes
    first. SavedModels and frozen graphs are loaded by TensorFlow, ONNX models by onnxruntime: pip install 'modelport[verify]'.

    Of a version it is kept, and `modelport models show` tells it.

    Exit status: 0 it loads and runs, and its outputs are those declared; 1 it does not; 2 it could not be verified; 3 nothing
    is there that can be.
    """
    from worker.cage.launcher import Limits
    from worker.verification import EXIT_STATUS, verification_json, worst

    checks = _checks(model, team, project, Limits(seconds=seconds, memory_bytes=memory))
    report = verification_json(model, checks)
    write(report, format, output, lambda console: show(console, report))
    return EXIT_STATUS[worst(checks)]


def _checks(model: str, team: str | None, project: str | None, limits: Limits) -> tuple[LoadCheck, ...]:
    from worker.cage.ladder import find_cage
    from worker.verify import keep, verify_path, verify_version

    if is_s3(model):
        from worker.bootstrap import opened_place
        from worker.verify import verify_tree

        with opened_place(model, os.environ, Path.cwd()) as tree:
            return verify_tree(tree, None, find_cage(), limits)
    if os.path.lexists(model):
        return verify_path(model, find_cage(), limits)
    from worker.repository import find_readable

    with acting(team) as service:
        version = find_readable(service.registry, service.team, model, project)
        checks = verify_version(version, service.open_version, find_cage(), limits)
        if version.team == service.team:
            keep(service.registry, version, checks, service.clock.now())
        return checks


def show(console: Console, report: dict[str, Any]) -> None:
    """Draw the report of a load check for a person."""
    from rich.text import Text

    if not report["models"]:
        console.print(Text("There is no model here that can be loaded: no SavedModel, no ONNX model, no frozen graph."))
    for model in report["models"]:
        console.print(Text(printable(f"{model['root'] or report['path']}  ({model['format']})"), style="bold"))
        for line in lines(model):
            sign, style = MARKS[line.mark]
            console.print(Text.assemble((f"  {sign} ", style), printable(line.text)))


def show_kept(console: Console, report: dict[str, Any] | None) -> None:
    """Draw what is kept of the last load check of a version; nothing where there was none."""
    if report is not None:
        console.print(f"Load check of {report['dtVerified'][:16].replace('T', ' ')} UTC:")
        show(console, report)
        console.print()


MARKS = {Mark.GOOD: ("✓", "green"), Mark.BAD: ("✗", "red"), Mark.UNKNOWN: ("?", "yellow"), Mark.NOTE: ("·", "dim")}
"""How the mark of a sentence looks at a terminal."""

COMMANDS: tuple[click.Command, ...] = (verify,)
