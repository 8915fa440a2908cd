"""`modelport`: the door for people and scripts.

Each command translates its arguments, calls one use case, and shows the result: tables for people, JSON alone on stdout for
programs, progress and errors on stderr. Heavy imports wait until a command needs them, so that `--help` stays quick.

Exit status: 0 clean, registered or unchanged; 1 findings, a model that is not whole, or a gate that failed; 2 an error, or not
fully read; 3 nothing recognisable; 4 wrong usage.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from detectors.printable import printable
from worker.cli import (
    access,
    auditing,
    bills,
    code_scanning,
    comparing,
    deliveries,
    explaining,
    linking,
    projects,
    publishing,
    queue,
    releasing,
    reports,
    signing,
    signing_in,
    steering,
    up,
    uploading,
    verifying,
    watch,
    wrapping,
)
from worker.cli.common import (
    ERROR,
    EXPERIMENT,
    FORMAT,
    FOUND,
    GATES,
    INTERRUPTED,
    MODEL,
    OK,
    OUTPUT,
    PATH,
    PROJECT,
    SKIPPED,
    TEAM,
    TYPE,
    USAGE,
    acting,
    answer,
    can_ask,
    complain,
    complain_of,
    emit,
    gates_in,
    person,
    progress_bar,
    say,
    tell,
    terminal,
    write,
    write_json,
)
from worker.cli.stopping import heed_sigterm
from worker.s3_url import is_s3

if TYPE_CHECKING:
    from rich.console import Console

    from detectors.facts import ModelType
    from detectors.scan import Scan
    from worker.bootstrap import Embedded
    from worker.records import ModelVersion


def _version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"modelport {version('modelport')}")
        context.exit(OK)


HELP_OPTIONS = {"-h", "--help"}


@click.group(context_settings={"help_option_names": sorted(HELP_OPTIONS, key=len)})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version and exit."
)
def app() -> None:
    """Brings the models that finished experiments leave behind into a model repository.

    Shell completion: eval "$(_MODELPORT_COMPLETE=bash_source modelport)", and likewise for zsh and fish.
    """


@app.command(
    short_help="Look only: find models, read and judge them.", epilog="Example: modelport scan runs/mnist --format json"
)
@PATH
@TYPE
@SKIPPED
@click.option(
    "--format",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="How to write it; sarif is what code scanning reads.",
)
@OUTPUT
def scan(path: str, declared: str | None, allow_skipped: bool, format: str, output: Path | None) -> int:
    """Look at PATH, a folder, a file or s3://BUCKET/KEY: find models, read their facts, judge them. Registers nothing."""
    from detectors.open import scan_path
    from detectors.report import scan_report
    from worker.model_types import model_type

    _refuse_url(path)
    found = _scan_place(path, model_type(declared)) if is_s3(path) else scan_path(path, model_type(declared))
    report = scan_report(found, path)
    if format == "sarif":
        write_json(code_scanning.sarif_of(found, path), output)
    else:
        write(report, format, output, lambda console: terminal().show_report(console, report))
    return _status_of(report, allow_skipped)


def _refuse_url(path: str) -> None:
    """Say what to do with a URL, which would be looked for in vain on the disk.

    Raises:
        RejectedLocation: *path* is one, and nothing on disk has this name.
    """
    scheme, separator, _ = path.partition("://")
    if separator and scheme.isalnum() and not is_s3(path) and not os.path.lexists(path):
        from worker.errors import RejectedLocation

        raise RejectedLocation(f"{path}: expected a path on disk or s3://BUCKET/KEY, found another URL")


def _scan_place(url: str, declared: ModelType | None) -> Scan:
    """Look at a place on object storage, and say so while that goes on."""
    from worker.bootstrap import scan_place

    return scan_place(url, declared, os.environ, Path.cwd())


@app.command(
    short_help="Look, keep the files, register a version.",
    epilog="Example: modelport ingest runs/mnist --experiment mnist-7 --project digits",
)
@PATH
@TEAM
@PROJECT
@EXPERIMENT
@click.option("--name", help="Name of the registered model.")
@TYPE
@GATES
@SKIPPED
@FORMAT
@OUTPUT
def ingest(
    path: str,
    team: str | None,
    project: str | None,
    experiment: str | None,
    name: str | None,
    declared: str | None,
    gates: Path | None,
    allow_skipped: bool,
    format: str,
    output: Path | None,
) -> int:
    """Look at PATH, keep its files, and register one version of its model.

    Unchanged content of an experiment is not registered twice. Waits until the files have settled. A gate that fails keeps
    nothing from being registered; the exit status is 1 then.
    """
    from worker.events import event_of_path
    from worker.ingest import ingest as bring_in
    from worker.model_types import model_type
    from worker.views import ingest_report

    kind, keeps_to = model_type(declared), gates_in(gates)
    with acting(team) as service, progress_bar() as (step, expect, progress):
        event = event_of_path(path, service.new_id(), os.getcwd(), project, experiment, name, kind, service.team, keeps_to)
        outcome = bring_in(event, service.borders(step, expect, progress))
        report, twin = ingest_report(outcome, path), _twin(outcome.version, service)
        deliveries.deliver_here(service)

    def show(console: Console) -> None:
        if report["models"] or report["findings"]:
            terminal().show_report(console, report, is_earlier=report["ingestion"]["reason"] == "same-listing")
            console.print()
        terminal().show_outcome(console, report, twin)
        if report["ingestion"]["answer"] == "created":
            terminal().show_arrival(console, report["diff"])
        terminal().show_gates(console, report["gates"])

    write(report, format, output, show)
    return _status_of_ingestion(report, allow_skipped)


def _twin(version: ModelVersion | None, service: Embedded) -> str:
    """Return how the version is called that *version* is equal to; empty where there is none, or it was deleted."""
    if version is None or version.duplicate_of is None:
        return ""
    twin = service.registry.version(service.team, version.duplicate_of)
    return "" if twin is None else f"{twin.model_name}@{twin.number}"


STATES = ("needs-look", "incomplete", "findings", "not-fully-read", "quarantined", "gate-failed")
"""The words of `records.Attention`, which is imported only where something is listed; a test compares."""


@app.group(short_help="List, show, compare, upload, download, sign, tag, publish, release and delete models.")
def models() -> None:
    """The repository: list, show, compare (diff), upload, download and link to models, write what they are made of (bom), sign
    them and check signatures, rename, tag, publish, release and delete them.

    A model is named by its id (mo…), by NAME@NUMBER, or by NAME: its latest version, of those that are not in quarantine.
    """


@models.command("list", epilog="Example: modelport models list --tag production")
@TEAM
@PROJECT
@EXPERIMENT
@TYPE
@click.option("--tag", help="Only versions with this tag.")
@click.option("-q", "--query", help="Only names that hold this text, or what has this id or beginning of a digest.")
@click.option("--state", type=click.Choice(STATES), help="Only what somebody should look at, for this reason.")
@click.option("--published", is_flag=True, help="What all teams published, instead of the team's own.")
@click.option("--sort", help="created, name, size or metric:NAME; after a - the other way round.  [default: -created]")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="The most rows.")
@FORMAT
@OUTPUT
def models_list(
    team: str | None,
    project: str | None,
    experiment: str | None,
    declared: str | None,
    tag: str | None,
    query: str | None,
    state: str | None,
    published: bool,
    sort: str | None,
    limit: int,
    format: str,
    output: Path | None,
) -> None:
    """List the registered versions, newest first."""
    from worker.model_types import model_type
    from worker.ordering import parse_order
    from worker.projects import renamed_of
    from worker.records import Attention, VersionQuery
    from worker.views import version_json, with_project

    kind, order = model_type(declared), parse_order(sort)
    with acting(team) as service:
        everything = VersionQuery(team=service.team, limit=limit, order=order, is_published=published, is_brief=True)
        wanted = replace(everything, project=project, experiment=experiment, model_type=kind, tag=tag, text=query)
        wanted = replace(wanted, attention=None if state is None else Attention(state))
        found = service.registry.versions(wanted)
        names = renamed_of(service.registry, found)
        severities = service.registry.severities([version.id for version in found])
        rows = [
            with_project(version_json(version), names[version.team]) | {"severities": severities.get(version.id, {})}
            for version in found
        ]
    is_filtered = wanted != everything
    write({"models": rows}, format, output, lambda console: terminal().show_versions(console, rows, is_filtered))


models.add_command(comparing.models_diff)
models.add_command(uploading.models_upload)
models.add_command(publishing.models_publish)
models.add_command(releasing.models_release)
models.add_command(linking.models_links)
models.add_command(bills.models_bom)
models.add_command(signing.models_sign)
models.add_command(signing.models_check_signature)


@models.command("show", short_help="Show one version: facts, origin, files.", epilog="Example: modelport models show mnist@3")
@MODEL
@TEAM
@PROJECT
@FORMAT
@OUTPUT
def models_show(model: str, team: str | None, project: str | None, format: str, output: Path | None) -> None:
    """Show one version: what it is, where it came from, how good it is, and its files."""
    from worker.gates import gates_json
    from worker.manifest import file_json
    from worker.repository import find_readable, newer_in_quarantine
    from worker.views import verified_json, version_json, with_project

    with acting(team) as service:
        version = find_readable(service.registry, service.team, model, project)
        newer = newer_in_quarantine(service.registry, version, model)
        files = [file_json(file) for file in service.registry.files(version.id)]
        verified = verified_json(service.registry.verifications.of(version.id))
        row = with_project(version_json(version), service.registry.renamed_projects(version.team))
        twin = _twin(version, service)
    said = {"gates": gates_json(version.gates), "diff": version.arrival, "verification": verified}
    report: dict[str, Any] = json.loads(version.report) | {"version": row, **said, "files": files}
    if newer is not None:
        complain(newer)

    def show(console: Console) -> None:
        terminal().show_version(console, report["version"], twin)
        terminal().show_arrival(console, report["diff"])
        terminal().show_gates(console, report["gates"])
        console.print()
        terminal().show_report(console, report, is_earlier=True)
        console.print()
        verifying.show_kept(console, verified)
        terminal().show_files(console, files)

    write(report, format, output, show)


def _on_disk(context: click.Context, parameter: click.Parameter, folder: str) -> Path:
    """Return *folder* as a path.

    Raises:
        BadParameter: it is a URL, which would become a folder with a colon in its name.
    """
    if "://" in folder:
        raise click.BadParameter(f"expected a folder on disk, found {folder!r}")
    return Path(folder)


@models.command(
    "download",
    short_help="Write the files of one version to a folder.",
    epilog="Example: modelport models download mnist@3 --to serving/mnist/3",
)
@MODEL
@click.option(
    "--to", type=click.Path(), callback=_on_disk, required=True, help="A folder that does not exist yet, or is empty."
)
@click.option("--quarantined", is_flag=True, help="Also where it is in quarantine: to look into it, and not to serve it.")
@TEAM
@PROJECT
@FORMAT
def models_download(model: str, to: Path, quarantined: bool, team: str | None, project: str | None, format: str) -> None:
    """Write the files of one version to a folder, each checked against its digest."""
    from worker.manifest import file_json
    from worker.repository import check_taken, download, find_readable, newer_in_quarantine
    from worker.views import version_json

    with acting(team) as service, progress_bar() as (step, expect, progress):
        version = find_readable(service.registry, service.team, model, project)
        check_taken(service.registry, version, quarantined, service.team, service.clock.now(), person())
        newer = newer_in_quarantine(service.registry, version, model)
        step("download")
        expect(version.size_bytes)
        files = download(service.registry, service.open_version, version, service.new_folder(to), progress)
    if newer is not None:
        complain(newer)
    value = {"folder": str(to.absolute()), "version": version_json(version), "files": [file_json(file) for file in files]}
    answer(value, format, f"{version.id}: {len(files)} file{'' if len(files) == 1 else 's'} written to {to}")


@models.command("rename", epilog="Example: modelport models rename mo4x8d3k2m9p1q digits")
@MODEL
@click.argument("name")
@TEAM
@PROJECT
@FORMAT
def models_rename(model: str, name: str, team: str | None, project: str | None, format: str) -> None:
    """Give a model another NAME; all its versions follow."""
    from worker.repository import find, rename
    from worker.views import version_json

    with acting(team) as service:
        version = find(service.registry, service.team, model, project)
        renamed = rename(service.registry, version, name, service.clock.now(), person())
    answer({"version": version_json(renamed)}, format, f"{version.id}: {version.model_name} is now {renamed.model_name}")


@models.command("tag", epilog="Example: modelport models tag mnist --add production --remove candidate")
@MODEL
@click.option("--add", multiple=True, help="A tag to add; may be repeated.")
@click.option("--remove", multiple=True, help="A tag to remove; may be repeated.")
@TEAM
@PROJECT
@FORMAT
def models_tag(
    model: str, add: tuple[str, ...], remove: tuple[str, ...], team: str | None, project: str | None, format: str
) -> None:
    """Add tags to a version and remove them.

    With neither, the tags that it has are shown.
    """
    from worker.repository import find_one, tag
    from worker.views import version_json

    with acting(team) as service:
        version = find_one(service.registry, service.team, model, project)
        tagged = tag(service.registry, version, add, remove, service.clock.now(), person())
    answer({"version": version_json(tagged)}, format, f"{tagged.id}: {', '.join(tagged.tags) or 'no tags'}")


@models.command("delete", epilog="Example: modelport models delete mnist@3 --yes")
@MODEL
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal to ask at.")
@TEAM
@PROJECT
@FORMAT
def models_delete(model: str, yes: bool, team: str | None, project: str | None, format: str) -> None:
    """Delete one version and its copy. Referenced files stay where they are."""
    from worker.repository import delete, find_one
    from worker.views import version_json

    if not yes and not can_ask():
        raise click.UsageError("expected --yes: there is no terminal to ask at whether to delete", click.get_current_context())

    with acting(team) as service:
        version = find_one(service.registry, service.team, model, project)
        what = f"{version.model_name}@{version.number} ({version.id})"
        if not yes and not click.confirm(f"Delete {printable(what)}?", err=True):
            return answer({"deleted": None}, format, "nothing was deleted")
        delete(service.registry, service.store, version, service.clock.now(), person())
        deliveries.deliver_here(service)
    return answer({"deleted": version_json(version)}, format, f"{what} deleted")


@app.command(short_help="Bring the database up to date.", epilog="Example: modelport migrate")
@FORMAT
def migrate(format: str) -> None:
    """Bring the database to the state that this version of modelport needs. Does nothing where it is there already."""
    from worker.bootstrap import migrate_database

    database, applied = migrate_database(os.environ, Path.cwd())
    done = f"applied {', '.join(applied)}" if applied else "nothing to do"
    answer({"database": database, "applied": list(applied)}, format, f"{database}: {done}")


@app.command(short_help="Check home, database and store.", epilog="Example: modelport doctor --repair")
@click.option("--repair", is_flag=True, help="Put right what can be put right safely.")
@click.option("--digests", is_flag=True, help="Also read every file of every version and compare it with its digest.")
@click.option(
    "--drift",
    is_flag=True,
    help="Also compare when the files of every version were written, and note what was found; its page shows it.",
)
@FORMAT
@OUTPUT
def doctor(repair: bool, digests: bool, drift: bool, format: str, output: Path | None) -> int:
    """Check home, database and store against each other, and say what is wrong and what to do."""
    from worker.bootstrap import examine

    with progress_bar() as shown:
        checks = [check.as_json() for check in examine(os.environ, Path.cwd(), repair, digests, drift, *shown)]
    write({"checks": checks}, format, output, lambda console: terminal().show_checks(console, checks))
    return FOUND if any(check["state"] == "trouble" for check in checks) else OK


PARTS = (queue, steering, deliveries, explaining, reports, projects, access, auditing, wrapping, up, watch, signing_in)
for part in (*PARTS, verifying):
    for command in part.COMMANDS:
        app.add_command(command)


def main() -> NoReturn:
    """Run the command line and leave with its status; whatever a user can cause ends in a sentence, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    heed_sigterm()
    status = run(sys.argv[1:])
    if status == INTERRUPTED and threading.active_count() > 1:  # they wait for a server that may never answer
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    try:
        result = app(arguments, prog_name="modelport", standalone_mode=False)
        return result if isinstance(result, int) else OK
    except click.exceptions.NoArgsIsHelpError as exc:
        emit(exc.format_message() + "\n")
        return USAGE
    except click.ClickException as exc:
        return _complain_of_usage(exc)
    except (click.Abort, KeyboardInterrupt):
        complain("stopped")
        return INTERRUPTED
    except SystemExit:  # click's answer where nobody reads the help text, which it writes by itself
        if HELP_OPTIONS & set(arguments):
            return OK
        raise
    except Exception as exc:  # noqa: BLE001 - the last resort: told as a bug, never as a traceback
        return complain_of(exc)


def _complain_of_usage(exc: click.ClickException) -> int:
    """Say how the command is used and what was wrong, on a line that whatever was typed cannot break."""
    context = exc.ctx if isinstance(exc, click.UsageError) else None
    if context is not None:
        tell(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n\n")
    tell(f"Error: {printable(' '.join(exc.format_message().split()))}\n")
    return USAGE


def _status_of(report: dict[str, Any], allow_skipped: bool) -> int:
    from detectors.scan import EXIT_STATUS, Verdict

    verdict = Verdict(report["verdict"])
    return OK if verdict is Verdict.INCONCLUSIVE and allow_skipped else EXIT_STATUS[verdict]


def _status_of_ingestion(report: dict[str, Any], allow_skipped: bool) -> int:
    from worker.gates import is_any_failed, results_of

    if report["version"] is not None:
        return FOUND if is_any_failed(results_of(report["gates"])) else _status_of(report, allow_skipped)
    return _status_of(report, allow_skipped) if report["ingestion"]["state"] == "nothing_found" else ERROR
