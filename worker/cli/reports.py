"""The commands that ask for work: a completion and a rescan, sent to a server, queued for workers, or done on the spot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli import remote
from worker.cli.common import (
    EXPERIMENT,
    FORMAT,
    GATES,
    OUTPUT,
    PROJECT,
    TEAM,
    TYPE,
    acting,
    complain,
    gates_said,
    refuse_team,
    row_for_people,
    status_of_end,
    terminal,
    write,
)
from worker.cli.deliveries import deliver_here
from worker.cli.rejudging import rescan_outdated

if TYPE_CHECKING:
    from rich.console import Console

    from worker.bootstrap import Embedded
    from worker.records import CompletionEvent, Ingestion

SOURCE = "modelport complete"
"""Who says so, in the events."""

KINDS = click.Choice(["singlenode", "multinode", "hyperparameter"])
CLUSTERS = click.Choice(["public", "private"])
STATES = click.Choice(["stopped", "failed", "error", "canceled"])
LOOK_SECONDS = 0.5
"""How often who waits looks how it stands."""

WENT_WELL = "stopped"
"""The state of an experiment that ended by itself, so that its model is looked for."""


def _given_path(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Return *path*; an empty one comes from a variable that is not set, and would mean the default.

    Raises:
        BadParameter: it is empty.
    """
    if path == "":
        raise click.BadParameter("expected a path, found nothing; without the option, the default is taken")
    return path


@click.command(
    short_help="Report that an experiment has finished.",
    epilog="Example: modelport complete mnist-7 --project digits --model-path /mnt/runs/mnist-7",
)
@click.argument("experiment")
@TEAM
@PROJECT
@click.option("--kind", type=KINDS, help="What the experiment ran on; decides where its model lies if no path is given.")
@click.option("--cluster", type=CLUSTERS, help="Whose machines it ran on.")
@click.option(
    "--model-path",
    callback=_given_path,
    help="Where its model lies; a relative path is meant from the current folder, and must be there unless the run failed. "
    "If not given: /artifacts; /storage/models/EXPERIMENT for what ran on several machines; /shared/models/EXPERIMENT on a "
    "private cluster.",
)
@TYPE
@click.option("--state", type=STATES, default=WENT_WELL, show_default=True, help="How it ended.")
@click.option(
    "--id",
    "event_id",
    help="The id of this report; the same id again is the same report. If not given, it is made of EXPERIMENT and --state.",
)
@GATES
@FORMAT
@OUTPUT
def complete(
    experiment: str,
    team: str | None,
    project: str | None,
    kind: str | None,
    cluster: str | None,
    model_path: str | None,
    declared: str | None,
    state: str,
    event_id: str | None,
    gates: Path | None,
    format: str,
    output: Path | None,
) -> int:
    """Report that EXPERIMENT has finished, so that its model is ingested."""
    said = {
        "source": SOURCE,
        "experimentId": experiment,
        "projectId": project,
        "kind": kind,
        "cluster": cluster,
        "modelPath": _from_here(model_path, "--model-path", must_be_there=state == WENT_WELL),
        "modelType": declared,
        "state": state,
        "id": event_id,
        "gates": gates_said(gates),
    }
    return _report({key: value for key, value in said.items() if value is not None}, team, format, output)


def _from_here(path: str | None, hint: str, must_be_there: bool) -> str | None:
    """Return *path* as whoever works on it must name it, who runs in another folder or on another machine.

    An absolute path is not looked for: it may be there for the workers alone. A failed run may have left nothing.

    Raises:
        BadParameter: a relative path that *must be there* is not, so it was meant from another folder. *hint* names where it
            was given.
    """
    if path is None or "://" in path:
        return path
    absolute = os.path.abspath(path)
    if must_be_there and not os.path.isabs(path) and not os.path.exists(absolute):
        raise click.BadParameter(
            f"there is nothing at {absolute}; a relative path is meant from the current folder, so name one that is there, "
            "or an absolute path as the workers see it",
            click.get_current_context(),
            param_hint=hint,
        )
    return absolute


def _path_or_outdated(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    if path == "":
        raise click.BadParameter("expected a folder or a file, found nothing")
    return path


@click.command(epilog="Example: modelport rescan /mnt/runs/mnist-7 --wait")
@click.argument("path", required=False, callback=_path_or_outdated)
@TEAM
@PROJECT
@EXPERIMENT
@TYPE
@click.option("--force", is_flag=True, help="Look at every byte again, even where nothing changed.")
@click.option("--wait", is_flag=True, help="Return when it has ended.")
@click.option(
    "--outdated",
    is_flag=True,
    help="Instead of a path: judge anew, here and for all teams, what older rules of the scanner judged. The files are read "
    "where they are kept; each stays the same version, and new work of the workers comes first.",
)
@click.option("--limit", type=click.IntRange(1), help="With --outdated: the most versions; the next call goes on.")
@FORMAT
@OUTPUT
def rescan(
    path: str | None,
    team: str | None,
    project: str | None,
    experiment: str | None,
    declared: str | None,
    force: bool,
    wait: bool,
    outdated: bool,
    limit: int | None,
    format: str,
    output: Path | None,
) -> int:
    """Queue another look at PATH.

    The server of MODELPORT_API_URL is asked for it. Without one it is queued here, and done here where no worker lives.
    """
    from worker.settings import load

    _check_use(path, outdated, limit, alone=any((team, project, experiment, declared, force, wait)))
    if outdated:
        return rescan_outdated(limit, format, output)
    settings = load(os.environ, Path.cwd())
    said = {
        "path": _from_here(path, "PATH", must_be_there=settings.api_url is not None),
        "projectId": project,
        "experimentId": experiment,
        "modelType": declared,
        "force": force,
    }
    request = {key: value for key, value in said.items() if value is not None}
    if settings.api_url is not None:
        refuse_team(team)
        return remote.rescan(request, settings, wait, format, output)
    from worker.events import rescan_from_json

    with acting(team) as service:
        return _accept(rescan_from_json(request, service.team, service.new_id()), service, wait, format, output)


def _check_use(path: str | None, outdated: bool, limit: int | None, alone: bool) -> None:
    """Return where the options go together.

    Raises:
        UsageError: they do not.
    """
    context = click.get_current_context()
    if path is None and not outdated:
        raise click.UsageError("Missing argument 'PATH'.", context)
    if outdated and (path is not None or alone):
        raise click.UsageError("expected --outdated alone, or with --limit: it is about versions of all teams", context)
    if limit is not None and not outdated:
        raise click.UsageError("expected --limit with --outdated", context)


def _report(completion: dict[str, Any], team: str | None, format: str, output: Path | None) -> int:
    from worker.settings import load

    settings = load(os.environ, Path.cwd())
    if settings.api_url is not None:
        refuse_team(team)
        return remote.send(completion, settings, format, output)
    from worker.events import completion_from_json

    with acting(team) as service:
        return _accept(completion_from_json(completion, service.team), service, False, format, output)


def _accept(event: CompletionEvent, service: Embedded, wait: bool, format: str, output: Path | None) -> int:
    """Accept *event* here. Where no worker lives, or somebody waits, see it through before returning."""
    accepted, known = _submitted(event, service)
    if known:
        complain(f"already reported as {_told(accepted)}; --id NEW reports it anew, or use `modelport rescan`")
    return see_through(accepted, service, wait, format, output)


def see_through(accepted: Ingestion, service: Embedded, wait: bool, format: str, output: Path | None) -> int:
    """Show how an ingestion that was *accepted* here stands once it was seen through, and return the status."""
    from worker.views import ingestion_row, version_json

    standing = _seen_through(accepted, service, wait)
    deliver_here(service)
    answered = standing.answered_version
    version = None if answered is None else service.registry.version(standing.event.team, answered)

    def show(console: Console) -> None:
        terminal().show_end(console, row_for_people(standing), None if version is None else version_json(version))

    write(ingestion_row(standing), format, output, show)
    return status_of_end(standing.state.value)


def _seen_through(ingestion: Ingestion, service: Embedded, wait: bool) -> Ingestion:
    """Return how *ingestion* stands after it was worked on here, if no worker lives; where we *wait*, once it has ended.

    Workers may go while we wait. What they leave is freed when it is known that they are gone, and then done here.
    """
    from worker.ingest import recover, until_the_end
    from worker.lifecycle import is_end

    while True:
        if not service.living_workers():
            recover(service.borders())
            until_the_end(ingestion, service.borders())
        standing = _standing(ingestion, service)
        if not wait or is_end(standing.state):
            return standing
        service.clock.sleep(LOOK_SECONDS)


def _submitted(event: CompletionEvent, service: Embedded) -> tuple[Ingestion, bool]:
    """Return the ingestion of *event*, and whether it was known before.

    Raises:
        ConflictingEvent: the same report said something else before.
    """
    from worker.errors import ConflictingEvent
    from worker.loop import doorbell
    from worker.submission import submit

    now, ring = service.clock.now(), doorbell(service).ring
    try:
        return submit(event, service.registry, now, ring, service.settings.scan_failed)
    except ConflictingEvent as exc:
        before = _reported_before(event, service)
        if before is None:
            raise
        raise ConflictingEvent(
            f"{event.experiment} was already reported as {_told(before)}, with another path or other options; "
            "--id NEW reports it anew"
        ) from exc


def _reported_before(event: CompletionEvent, service: Embedded) -> Ingestion | None:
    """Return the ingestion of the report with the source and id of *event*, None where it was of another experiment."""
    from worker.records import IngestionQuery

    query = IngestionQuery(team=event.team, experiment=event.experiment, limit=10_000)
    same = (one for one in service.registry.ingestions(query) if (one.event.source, one.event.id) == (event.source, event.id))
    return next(same, None)


def _told(ingestion: Ingestion) -> str:
    return f"{ingestion.id} at {ingestion.created:%Y-%m-%d %H:%M:%S} UTC"


def _standing(ingestion: Ingestion, service: Embedded) -> Ingestion:
    return service.registry.ingestion(ingestion.event.team, ingestion.id) or ingestion


COMMANDS: tuple[click.Command, ...] = (complete, rescan)
