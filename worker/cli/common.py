"""What all commands share: their options, and how a result is written.

JSON goes to stdout alone; text is tables for people, without colours where nobody looks; progress and errors go to stderr.
What is written is flushed at once, so that a reader who went away or a full disk is met here, and not at the exit.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from detectors.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from worker.bootstrap import Embedded
    from worker.records import CompletionEvent, Gate, Ingestion

OK, FOUND, ERROR, NOTHING, USAGE, INTERRUPTED = 0, 1, 2, 3, 4, 130

TYPES = click.Choice(["Tensorflow", "ONNX", "Custom"], case_sensitive=False)


def _given(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value:
        raise click.BadParameter("expected a folder or a file, found nothing")
    return value


def _named(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value:
        raise click.BadParameter("expected an id (mo…), NAME or NAME@NUMBER, found nothing")
    return value


def _writable(context: click.Context, parameter: click.Parameter, output: Path | None) -> Path | None:
    """Return *output* where the result can go there, so that no work is done in vain.

    Raises:
        BadParameter: no file can be written there.
        OSError: no file is named, and stdout is closed.
    """
    if output is None:
        _open_stdout()
    elif not output.name:
        raise click.BadParameter("expected a file, found nothing")
    elif not output.exists() and not output.parent.is_dir():
        raise click.BadParameter(f"{output.parent} is no folder; make it first, or name another file")
    elif not output.exists() and not _may_be_written(output.parent):
        raise click.BadParameter(f"no file can be made in {output.parent}; name another one")
    return output


def _may_be_written(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


PATH = click.argument("path", callback=_given)
MODEL = click.argument("model", callback=_named)
TYPE = click.option("--type", "declared", type=TYPES, help="What the model is said to be.")
TEAM = click.option("--team", help="The team that it is done for; that of MODELPORT_TEAM if not given.")
PROJECT = click.option("--project", help="The project that the model belongs to.")
EXPERIMENT = click.option("--experiment", help="The experiment that left the model.")


def _known_format(context: click.Context, parameter: click.Parameter, format: str | None) -> str | None:
    from worker.registry.counters import SOUGHT_FORMATS

    if format is not None and format not in SOUGHT_FORMATS:
        raise click.BadParameter(f"expected one of {', '.join(SOUGHT_FORMATS)}, found {format!a}")
    return format


MODEL_FORMAT = click.option(
    "--model-format",
    callback=_known_format,
    help="Only those at which a model of this format was found, such as onnx; none for those of which none is known.",
)


def gates_in(path: Path | None) -> tuple[Gate, ...]:
    """Return the gates in the file at *path*; none for None.

    Raises:
        BadParameter: it cannot be read, or holds something else.
    """
    if path is None:
        return ()
    from worker.errors import RejectedEvent
    from worker.gate_files import gates_at

    try:
        return gates_at(path)
    except RejectedEvent as exc:
        raise click.BadParameter(str(exc), click.get_current_context(), param_hint="--gates") from exc


def gates_said(path: Path | None) -> dict[str, Any] | None:
    """Return the gates in the file at *path* as a completion says them; None for none.

    Raises:
        BadParameter: as `gates_in`.
    """
    from worker.gates import declared

    return declared(gates_in(path)) or None


GATES = click.option(
    "--gates",
    type=click.Path(path_type=Path),
    help="JSON or YAML file of what its numbers must keep to, such as a .ps_project/config.yaml with checks.",
)
SKIPPED = click.option("--allow-skipped", is_flag=True, help="Exit 0 although a part could not be read.")
FORMAT = click.option(
    "--format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to write it."
)
OUTPUT = click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_writable,
    help="Write the result to this file.",
)


WIDE = 1_000_000
"""Columns of a text result that goes to a file or a pipe: no line is broken where `grep` and `awk` read."""


def write(value: dict[str, Any], format: str, output: Path | None, show: Callable[[Console], None]) -> None:
    """Write a result as JSON, or as *show* shows it, to stdout or to the file *output*.

    Raises:
        OSError: it could not be written. What was to go to a file stands on stderr, so that no work is lost.
    """
    if format == "json":
        text = as_json(value)
    elif output is None and _open_stdout().isatty():
        from rich.console import Console

        return show(Console(highlight=False))
    else:
        text = as_text(show)
    return put_text(text, output)


def write_json(value: dict[str, Any], output: Path | None) -> None:
    """Write a result that is for programs alone, as `write` does.

    Raises:
        OSError: as `write`.
    """
    put_text(as_json(value), output)


def put_text(text: str, output: Path | None) -> None:
    """Write *text* to stdout, or to the file *output*.

    Raises:
        OSError: as `write`.
    """
    if output is None:
        return emit(text)
    try:
        _write_file(output, text)
    except OSError as exc:
        tell(text)
        raise OSError(f"{output} could not be written: {exc.strerror or exc}; the result stands above") from exc
    return None


def answer(value: dict[str, Any], format: str, sentence: str) -> None:
    """Write what has been done to stdout: *value* as JSON, or *sentence* for a person."""
    if format == "json":
        emit(as_json(value))
    else:
        say(sentence)


def as_json(value: dict[str, Any]) -> str:
    """Return *value* as every command prints JSON."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def emit(text: str) -> None:
    """Write *text* to stdout, all of it. Whoever closed the pipe has read enough, and the status stays the command's own.

    Raises:
        OSError: stdout is closed, or what is behind it takes no more.
    """
    stdout = _open_stdout()
    try:
        stdout.write(text)
        stdout.flush()
    except BrokenPipeError:
        discard_rest(stdout)
    except OSError as exc:
        discard_rest(stdout)
        raise OSError(f"the result could not be written: {exc.strerror or exc}") from exc


def discard_rest(stream: TextIO) -> None:
    """Let *stream* lead to nowhere: what its buffer still holds would fail once more at the exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _open_stdout() -> TextIO:
    """Return stdout, which is None in a process that was started without one.

    Raises:
        OSError: it is closed.
    """
    stdout: TextIO | None = sys.stdout
    if stdout is None:
        raise OSError("standard output is closed; there is nowhere to write the result")
    return stdout


def _write_file(output: Path, text: str) -> None:
    """Put *text* in the place of *output* at once, so that nobody reads half of it. A pipe or a device stays what it is."""
    from secrets import token_hex
    from shutil import copymode

    target = Path(os.path.realpath(output))
    if (output.exists() and not output.is_file()) or not _may_be_written(target.parent):
        output.write_text(text, encoding="utf-8", errors="backslashreplace")
        return
    incoming = target.with_name(f".modelport-{token_hex(8)}.part")
    try:
        incoming.write_text(text, encoding="utf-8", errors="backslashreplace")
        if target.exists():
            copymode(target, incoming)
        incoming.replace(target)
    finally:
        incoming.unlink(missing_ok=True)


def as_text(show: Callable[[Console], None]) -> str:
    """Return what *show* shows without colours, and without the spaces that fill a terminal's lines."""
    from io import StringIO

    from rich.console import Console

    page = StringIO()
    show(Console(file=page, highlight=False, width=WIDE))
    return "".join(line.rstrip() + "\n" for line in page.getvalue().splitlines())


PATHS = ("/", "./", "../")
"""How a path begins where a model could be named as well."""


def names_a_path(text: str) -> bool:
    """Tell whether *text*, which may be a model or a path, is a path."""
    from worker.s3_url import is_s3

    return is_s3(text) or text.startswith(PATHS) or text in (".", "..")


@contextmanager
def or_a_path(text: str) -> Iterator[None]:
    """Say of *text* that is called no such model in this block how it is named as a path, where there is one on this disk."""
    from worker.errors import NotFound

    try:
        yield
    except NotFound as exc:
        if not os.path.lexists(text):
            raise
        raise NotFound(f"{text}: no such model; what lies on this disk is named ./{text}") from exc


def free_port(host: str, port: int) -> int:
    """Return *port*, or a free one for 0.

    Raises:
        OSError: nobody can listen there now.
    """
    import errno
    import socket

    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
            return int(listening.getsockname()[1])
    except OSError as exc:
        why = str(exc.strerror or exc).partition(" (while")[0]
        advice = "--host is to be an address of this machine" if exc.errno == errno.EADDRNOTAVAIL else "choose another --port"
        raise OSError(f"{host}:{port} cannot be listened at: {why}; {advice}") from exc


@contextmanager
def acting(team: str | None, role: str = "cli") -> Iterator[Embedded]:
    """Give the service of this machine to a command that works for *team*, for None for the team of the settings.

    Raises:
        NotFound: there is no such team.
        WorkerError: as `embedded`.
    """
    from worker.bootstrap import embedded

    with embedded(os.environ, Path.cwd(), role) as service:
        yield service.acting_for(team)


def person() -> str:
    """Return who works at this command line, as logs name them: the user that the process belongs to, whatever it is told."""
    import pwd

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that was given a number and no name
        user = f"user {os.getuid()}"
    return f"{user} at the command line"


def status_of_end(state: str) -> int:
    """Return the exit status of a command whose ingestion stands so."""
    return {"failed": ERROR, "nothing_found": NOTHING}.get(state, OK)


def refuse_team(team: str | None) -> None:
    """Say that a server does not ask for a team.

    Raises:
        BadParameter: one is given.
    """
    if team is not None:
        raise click.BadParameter(
            "the server of MODELPORT_API_URL takes the team from the token; leave the option out",
            click.get_current_context(),
            param_hint="--team",
        )


@contextmanager
def progress_bar() -> Iterator[tuple[Callable[[str], None], Callable[[int], None], Callable[[int], None]]]:
    """Give (step, expected bytes, bytes read) that draw a progress bar on stderr where that is a terminal, or do nothing."""
    if sys.stderr is None or not sys.stderr.isatty():
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


def row_for_people(ingestion: Ingestion) -> dict[str, Any]:
    """Return *ingestion* as lists show it: where no path was named, with the one that follows from what it ran on."""
    from worker.views import ingestion_row

    return ingestion_row(ingestion) | {"modelPath": path_of(ingestion.event)}


def path_of(event: CompletionEvent) -> str:
    """Return the path that is looked at for *event*: the one it names, or what follows from what it ran on; empty for none."""
    from worker.errors import RejectedLocation
    from worker.locations import default_path

    with suppress(RejectedLocation):
        return event.model_path or default_path(event)
    return ""


def say(sentence: str) -> None:
    """Write *sentence* to stdout, as `emit` does."""
    emit(printable(sentence) + "\n")


def can_ask() -> bool:
    """Tell whether somebody can be asked: stdin is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(question: str) -> None:
    """Go on where a person at the terminal says so.

    Raises:
        UsageError: there is nobody to ask.
        Abort: they say no.
    """
    if not can_ask():
        raise click.UsageError("expected --yes: there is no terminal to ask at", click.get_current_context())
    click.confirm(question, err=True, abort=True)


def say_progress(sentence: str) -> None:
    """Write *sentence* to stderr where that is a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        tell(f"{printable(sentence)}\n")


def complain(sentence: str) -> None:
    """Write *sentence* to stderr."""
    tell(f"modelport: {printable(sentence)}\n")


def complain_of(exc: Exception) -> int:
    """Say what *exc* is, as a sentence where it is one of ours, and return the status. Anything else is a bug, and told so."""
    from detectors.errors import DetectorError
    from worker.errors import RegistryUnavailable, WorkerError

    if isinstance(exc, (DetectorError, WorkerError, OSError)):
        complain(f"{exc}; `modelport doctor` looks closer" if isinstance(exc, RegistryUnavailable) else str(exc))
        return ERROR
    if os.environ.get("MODELPORT_DEBUG"):
        raise exc
    complain(f"unforeseen {type(exc).__name__}: {exc}")
    complain("this is a bug; MODELPORT_DEBUG=1 shows where it happened")
    return ERROR


def tell(text: str) -> None:
    """Write *text* to stderr; where nobody reads that, there is nobody to tell it to."""
    stderr: TextIO | None = sys.stderr
    if stderr is not None:
        try:
            stderr.write(text)
            stderr.flush()
        except OSError:
            with suppress(OSError):
                discard_rest(stderr)


def write_log(level: str = "INFO") -> None:
    """Let this process write a log, as the settings say.

    Raises:
        BadSetting: a setting cannot be used.
    """
    from worker import logs
    from worker.settings import load

    logs.configure(level, load(os.environ, Path.cwd()).log_format)
