"""What all commands share: their options, and how a result is written.

JSON goes to stdout alone; text is tables for people, without colours where nobody looks; progress and errors go to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

OK, FOUND, ERROR, NOTHING, USAGE, INTERRUPTED = 0, 1, 2, 3, 4, 130

TYPES = click.Choice(["Tensorflow", "ONNX", "Custom"], case_sensitive=False)


def _given(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value:
        raise click.BadParameter("expected a folder or a file, found nothing")
    return value


PATH = click.argument("path", callback=_given)
MODEL = click.argument("model")
TYPE = click.option("--type", "declared", type=TYPES, help="What the model is said to be.")
PROJECT = click.option("--project", help="The project that the model belongs to.")
EXPERIMENT = click.option("--experiment", help="The experiment that left the model.")
SKIPPED = click.option("--allow-skipped", is_flag=True, help="Exit 0 although a part could not be read.")
FORMAT = click.option(
    "--format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to write it."
)
OUTPUT = click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the result to this file.")


WIDE = 160
"""Columns of a text result that goes to a file or a pipe, where nothing tells the width."""


def write(value: dict[str, Any], format: str, output: Path | None, show: Callable[[Console], None]) -> None:
    """Write a result as JSON, or as *show* shows it, to stdout or to the file *output*."""
    if format == "json":
        text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    elif output is None and sys.stdout.isatty():
        from rich.console import Console

        return show(Console(highlight=False))
    else:
        text = _as_text(show)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
    return None


def _as_text(show: Callable[[Console], None]) -> str:
    """Return what *show* shows without colours, and without the spaces that fill a terminal's lines."""
    from io import StringIO

    from rich.console import Console

    page = StringIO()
    show(Console(file=page, highlight=False, width=WIDE))
    return "".join(line.rstrip() + "\n" for line in page.getvalue().splitlines())


@contextmanager
def progress_bar() -> Iterator[tuple[Callable[[str], None], Callable[[int], None], Callable[[int], None]]]:
    """Give (step, expected bytes, bytes read) that draw a progress bar on stderr where that is a terminal, or do nothing."""
    if not sys.stderr.isatty():
        yield (lambda name: None), (lambda size: None), (lambda count: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("begin", total=None)
        yield (
            lambda name: bar.update(task, description=name),
            lambda size: bar.reset(task, total=size, description="read every byte once"),
            lambda count: bar.advance(task, count),
        )


def terminal() -> Any:
    """Return the module that draws tables; it is imported when something is drawn."""
    from worker import terminal

    return terminal


def say(sentence: str) -> None:
    """Write *sentence* to stdout."""
    print(printable(sentence))


def complain(sentence: str) -> None:
    """Write *sentence* to stderr."""
    print(f"modelport: {printable(sentence)}", file=sys.stderr)


def printable(text: str) -> str:
    """Return *text* as one line, with what a terminal must not see escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
