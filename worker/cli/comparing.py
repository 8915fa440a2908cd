"""`modelport models diff`: two versions, or what lies at two paths, side by side."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli.common import FORMAT, FOUND, OK, OUTPUT, PROJECT, TEAM, acting, names_a_path, or_a_path, terminal, write
from worker.s3_url import is_s3

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.records import FileDigest

Side = tuple[dict[str, Any], "Sequence[FileDigest] | None", str]
"""A report, the files with their digests where they are known, and how the side is called."""


@click.command(
    "diff",
    short_help="Compare two versions or paths.",
    epilog="Example: modelport models diff mnist@2 mnist@3",
)
@click.argument("old")
@click.argument("new")
@TEAM
@PROJECT
@FORMAT
@OUTPUT
def models_diff(old: str, new: str, team: str | None, project: str | None, format: str, output: Path | None) -> int:
    """Compare NEW with OLD: signatures, operators, parameters, metrics, files.

    Each is a version, or a path that begins with `/`, `./`, `../` or `s3://`. Of paths no byte of the weights is read, so
    their files are not compared. The exit status is 1 where who calls OLD may break with NEW.
    """
    from worker.compare import compared

    (old_report, old_files, old_name), (new_report, new_files, new_name) = (_side(one, team, project) for one in (old, new))
    found = {"old": old_name, "new": new_name, **compared(old_report, new_report, old_files, new_files)}
    write(found, format, output, lambda console: terminal().show_difference(console, found))
    return FOUND if found["signature"] == "breaking" else OK


def _side(text: str, team: str | None, project: str | None) -> Side:
    if names_a_path(text):
        return _at(text), None, text
    from worker.repository import find_readable

    with acting(team) as service:
        with or_a_path(text):
            version = find_readable(service.registry, service.team, text, project)
        files = service.registry.files(version.id)
    return json.loads(version.report), files, f"{version.model_name}@{version.number} ({version.id})"


def _at(path: str) -> dict[str, Any]:
    from detectors.open import scan_path
    from detectors.report import scan_report
    from worker.bootstrap import scan_place

    found = scan_place(path, None, os.environ, Path.cwd()) if is_s3(path) else scan_path(path)
    return scan_report(found, path)
