"""`modelport run`: a training command with a place for its model, and the word of its end to whoever ingests models.

The exit status and the output are the command's own; we speak on stderr only. The completion is in the spool before anything
else can happen to us, and from there it goes to the server, or into the database of this machine and through to its end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli import remote
from worker.cli.common import EXPERIMENT, GATES, PROJECT, TEAM, TYPE, acting, complain, complain_of, gates_said, refuse_team
from worker.cli.deliveries import deliver_here
from worker.s3_url import is_s3, parse_s3

if TYPE_CHECKING:
    from worker.bootstrap import Embedded
    from worker.records import Ingestion
    from worker.settings import Settings

Kept = Path | dict[str, Any]
"""A completion: its file in the spool, or itself where the spool did not take it."""

SOURCE = "modelport run"
"""Who says so, in the events."""

MODEL_PATH_VARIABLE = "PS_MODEL_PATH"
"""Where training code looks for the folder of its model. Source: the original platform."""


def _folder_or_s3(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Return *path*: a folder without dots and from the root, a place on object storage as it stands.

    Raises:
        BadParameter: it is another URL, or names no place on object storage.
    """
    if path is None:
        return None
    if not is_s3(path):
        if "://" in path:
            raise click.BadParameter(f"expected a folder or s3://BUCKET/KEY, found {path!r}")
        return os.path.abspath(path)
    try:
        parse_s3(path)
    except ValueError as exc:
        raise click.BadParameter(f"{path!r}: {exc}") from exc
    return path


@click.command(
    context_settings={"allow_interspersed_args": False},
    short_help="Run a command, then report its completion.",
    epilog="Example: modelport run --experiment mnist-7 -- python train.py --epochs 3",
)
@TEAM
@PROJECT
@EXPERIMENT
@click.option("--name", help="Name of the registered model.")
@click.option(
    "--model-path",
    "--path",
    "model_path",
    type=click.Path(file_okay=False),
    callback=_folder_or_s3,
    help="Where the command leaves its model, a folder or s3://BUCKET/KEY; HOME/runs/EXPERIMENT if not given.",
)
@TYPE
@GATES
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    team: str | None,
    project: str | None,
    experiment: str | None,
    name: str | None,
    model_path: str | None,
    declared: str | None,
    gates: Path | None,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND with PS_MODEL_PATH set, then report its completion, however it ended.

    The exit status is the command's own, 128 and more where a signal ended it. A command that fails is reported as failed.
    """
    from worker.settings import load

    settings = load(os.environ, Path.cwd())
    said: dict[str, Any] = {"projectId": project, "experimentId": experiment, "name": name, "modelType": declared}
    said |= {"gates": gates_said(gates), "team": _team_here(team, settings)}
    planned = _planned({key: value for key, value in said.items() if value is not None}, model_path, settings)
    _make_folder(planned["modelPath"])
    return _run_and_report(command, planned, settings)


def _make_folder(path: str) -> None:
    """Have the folder *path* there. On object storage there are none: a prefix is there with its first object.

    Raises:
        OSError: it cannot be made.
    """
    if is_s3(path):
        return
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise OSError(f"{path} cannot be made: {exc.strerror}; name another folder with --model-path") from exc


def _team_here(team: str | None, settings: Settings) -> str | None:
    """Return the team that the completion is of, checked where the database answers; None where a server decides.

    Raises:
        NotFound: there is no such team.
        BadParameter: one is named, and a server decides.
    """
    from worker.errors import MigrationNeeded, RegistryUnavailable
    from worker.records import DEFAULT_TEAM

    if settings.api_url is not None:
        refuse_team(team)
        return None
    wanted = settings.team if team is None else team
    if wanted != DEFAULT_TEAM:
        with suppress(MigrationNeeded, RegistryUnavailable), acting(wanted):
            pass
    return wanted


def _planned(said: dict[str, Any], model_path: str | None, settings: Settings) -> dict[str, Any]:
    """Return the completion as far as it is known before the run, checked, so that no run is made in vain.

    Raises:
        RejectedEvent: a name in it cannot be kept.
        BadParameter: no folder can be named after the experiment.
    """
    from secrets import token_hex

    from worker.events import completion_from_json
    from worker.records import DEFAULT_TEAM

    experiment = said.setdefault("experimentId", f"run-{time.strftime('%Y%m%d-%H%M%S')}-{token_hex(2)}")
    place = _folder_of(experiment, settings.home) if model_path is None else model_path
    planned = said | {"source": SOURCE, "id": token_hex(16), "modelPath": place}
    completion_from_json(planned, DEFAULT_TEAM)
    return planned


def _folder_of(experiment: str, home: Path) -> str:
    if "/" in experiment or experiment in (".", ".."):
        raise click.BadParameter(
            f"no folder can be called {experiment!r}; name one with --model-path", param_hint="--experiment"
        )
    return str(home / "runs" / experiment)


def _run_and_report(command: tuple[str, ...], planned: dict[str, Any], settings: Settings) -> int:
    """Run *command*, deliver its completion, and return its status, whatever becomes of the completion."""
    from worker.spool import spool_of
    from worker.wrapped_command import ignore_signals, run_command, status_without_start, stop_once

    spool = spool_of(settings.home, settings.api_url, settings.token)
    ends: list[tuple[int, Kept]] = []

    def ended(status: int) -> None:
        stop_once()
        ends.append((status, _kept(planned | {"state": "failed" if status else "stopped"}, spool)))

    try:
        run_command(command, os.environ | {MODEL_PATH_VARIABLE: planned["modelPath"]}, ended)
        _deliver(ends[0][1], spool, settings)
        ignore_signals()
    except OSError as exc:
        complain(f"{command[0]} could not be started: {exc.strerror}; nothing is reported, because nothing ran")
        return status_without_start(exc)
    except SystemExit:  # a signal, once the command has ended
        if not ends:
            raise
        complain(_stopped(ends[0][1]))
    return ends[0][0]


def _kept(completion: dict[str, Any], spool: Path) -> Kept:
    """Return *completion* as it is kept in *spool*, or itself, with a complaint, where the spool does not take it."""
    from worker.spool import keep

    try:
        return keep(completion, spool)
    except OSError as exc:
        complain(f"{spool} does not take the completion of {completion['experimentId']}: {exc.strerror or exc}")
        return completion


def _stopped(kept: Kept) -> str:
    """Return what is to be said where a signal ended the delivery of *kept*."""
    if isinstance(kept, Path):
        return "stopped; the completion waits, in the spool or in the queue"
    return "stopped; the completion is lost unless it is in the queue"


def _deliver(kept: Kept, spool: Path, settings: Settings) -> None:
    """Deliver the completion *kept* and say what became of it; nothing that happens here changes the status of the command."""
    from worker.errors import MigrationNeeded, RegistryUnavailable, ServerUnavailable

    try:
        remote.tell_what_waits_beside(spool)
        told = _to_server(kept, spool, settings) if settings.api_url else _to_here(kept, spool)
        if told is not None:
            complain(told)
    except ServerUnavailable as exc:
        complain(f"{exc}; {_fate(kept, spool)}sent with the next report")
    except (MigrationNeeded, RegistryUnavailable) as exc:
        complain(f"{exc}; {_fate(kept, spool)}done with the next run")
    except Exception as exc:  # noqa: BLE001 - the status is the command's own, whatever goes wrong here
        complain_of(exc)


def _fate(kept: Kept, spool: Path) -> str:
    """Return the beginning of a sentence that ends with when it is done."""
    return f"the completion is kept in {spool}, and " if isinstance(kept, Path) else "the completion is lost; earlier ones are "


def _to_server(kept: Kept, spool: Path, settings: Settings) -> str | None:
    """Send *kept* to the server; return what it said, None where another process sent it for us."""
    from worker.client import deliver

    answer = deliver(remote.server_of(settings), kept, spool)
    return None if answer is None else f"{answer['id']}: {answer['state']}"


def _to_here(kept: Kept, spool: Path) -> str | None:
    """Put *kept* and what else the spool holds into the queue of this machine; where no worker lives, see it through.

    Returns how that of *kept* stands, None where another process took it.
    """
    from worker.bootstrap import embedded
    from worker.client import deliver
    from worker.ingest import until_the_end

    with embedded(os.environ, Path.cwd()) as service:
        here = _Here(service)
        answer = deliver(here, kept, spool)
        if not service.living_workers():
            for ingestion in here.accepted:
                until_the_end(ingestion, service.borders())
            deliver_here(service)
        return None if answer is None else _told(service, next(one for one in here.accepted if one.id == answer["id"]))


def _told(service: Embedded, ingestion: Ingestion) -> str:
    standing = service.registry.ingestion(ingestion.event.team, ingestion.id) or ingestion
    message = f" ({standing.message})" if standing.message else ""
    return f"{standing.id}: {standing.state.value}{message}{_warning(service, standing)}"


def _warning(service: Embedded, standing: Ingestion) -> str:
    """Return what is to be known of the version of *standing* before it is used; empty for nothing, or for no version."""
    from worker.gates import failed

    version = service.registry.version(standing.event.team, standing.answered_version) if standing.answered_version else None
    if version is None:
        return ""
    names = failed(version.gates)
    if (version.completeness, version.verdict, names) == ("complete", "clean", []):
        return ""
    why = version.verdict if version.completeness == "complete" else version.completeness
    if names:
        why = ", ".join(([] if why == "clean" else [why]) + [f"the gate {name} failed" for name in names])
    option = "" if version.team == service.settings.team else f" --team {version.team}"
    return f"; {why}, `modelport models show {version.id}{option}` tells more"


@dataclass(frozen=True, slots=True)
class _Here:
    """Takes completions into the queue of this machine, each for the team that it names, and remembers which."""

    service: Embedded
    accepted: list[Ingestion] = field(default_factory=list)

    def report(self, completion: Mapping[str, Any]) -> dict[str, Any]:
        from worker.errors import NotFound, RegistryUnavailable, RejectedEvent, ServerUnavailable
        from worker.events import completion_from_json
        from worker.loop import doorbell
        from worker.submission import submit
        from worker.teams import existing_team

        service = self.service
        try:
            team = existing_team(service.registry, str(completion.get("team", service.settings.team)))
            event = completion_from_json(completion, team)
            now, ring = service.clock.now(), doorbell(service).ring
            ingestion, known = submit(event, service.registry, now, ring, service.settings.scan_failed)
        except NotFound as exc:
            raise RejectedEvent(str(exc)) from exc
        except RegistryUnavailable as exc:
            raise ServerUnavailable(str(exc)) from exc
        self.accepted.append(ingestion)
        return {"id": ingestion.id, "state": ingestion.state.value, "known": known}


COMMANDS: tuple[click.Command, ...] = (run,)
