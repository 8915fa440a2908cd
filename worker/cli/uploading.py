"""`modelport models upload`: a file or a folder of this machine becomes a version, here or on a server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import click

from worker.cli import remote
from worker.cli.common import FORMAT, OUTPUT, PATH, PROJECT, TEAM, TYPE, acting, person, progress_bar, refuse_team
from worker.cli.reports import see_through

if TYPE_CHECKING:
    from detectors.tree import FileEntry, FileTree
    from worker.bootstrap import Embedded
    from worker.records import Ingestion, NewUpload

Progress = Callable[[int], None]


@click.command(
    "upload",
    short_help="Upload a file or a folder as a version.",
    epilog="Example: modelport models upload model.onnx --name digits --notes 'for the fair'",
)
@PATH
@click.option("--name", help="Name of the registered model; that of the file where it is not given.")
@TYPE
@click.option("--summary", help="What is known of its metrics, as JSON.")
@click.option("--notes", help="What people should know of it.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be repeated.")
@TEAM
@PROJECT
@FORMAT
@OUTPUT
def models_upload(
    path: str,
    name: str | None,
    declared: str | None,
    summary: str | None,
    notes: str | None,
    tags: tuple[str, ...],
    team: str | None,
    project: str | None,
    format: str,
    output: Path | None,
) -> int:
    """Upload PATH, a file or a folder: its files are copied, scanned, and registered as a version of their own.

    It goes to the server of MODELPORT_API_URL where that is set; a folder goes as a zip. With a file go those that belong to
    it, such as the data of an ONNX model.
    """
    from detectors.open import open_path
    from worker.settings import load
    from worker.uploads import file_name, said_of

    settings, called = load(os.environ, Path.cwd()), file_name(Path(path).resolve().name)
    with open_path(path) as tree:
        entries = tuple(tree.files())
        given = {"project": project, "name": name, "type": declared, "summary": summary, "notes": notes}
        if settings.api_url is None:
            with acting(team) as service:
                said = said_of(service.team, given, tags)
                ingestion = _kept(tree, called, said, service)
                return see_through(ingestion, service, True, format, output)
        refuse_team(team)
        told = {"fileName": called, **given}
        asked = [(key, value) for key, value in told.items() if value is not None] + [("tag", tag) for tag in tags]
        with progress_bar() as (_, expect, progress), _body(tree, entries) as (file, media_type):
            size = file.seek(0, os.SEEK_END)
            expect(size)
            return remote.upload(asked, _chunks(file, progress), size, media_type, settings, format, output)


def _kept(tree: FileTree, called: str, said: NewUpload, service: Embedded) -> Ingestion:
    """Return the ingestion that was accepted here for the files of *tree*."""
    from worker.loop import doorbell
    from worker.uploads import Borders, bring

    borders = Borders(
        service.registry, service.store, service.clock, doorbell(service).ring, service.new_id, service.settings.lease_seconds
    )
    return bring(service.registry.begin_upload(said, service.clock.now(), person()), tree, called, borders)


@contextmanager
def _body(tree: FileTree, entries: Sequence[FileEntry]) -> Iterator[tuple[BinaryIO, str]]:
    """Give the file to send and its type: the bytes of the only file of *tree*, or all of them as a zip.

    Raises:
        RejectedUpload: a name is none that a zip can hold.
    """
    from worker.manifest import chunks_of

    with tempfile.TemporaryFile(prefix="modelport-upload-") as kept:
        file = cast("BinaryIO", kept)
        if len(entries) == 1 and "/" not in entries[0].path:
            for chunk in chunks_of(tree, entries[0]):
                file.write(chunk)
            yield file, "application/octet-stream"
        else:
            _pack(tree, entries, file)
            yield file, "application/zip"


def _pack(tree: FileTree, entries: Sequence[FileEntry], file: BinaryIO) -> None:
    """Write the files of *tree* to *file* as a zip, stored and not packed: weights hardly get smaller.

    Raises:
        RejectedUpload: a name is not in UTF-8, and a zip could not say what it is.
    """
    from zipfile import ZipFile

    from detectors.tree import readable
    from worker.errors import RejectedUpload
    from worker.manifest import chunks_of

    with ZipFile(file, "w") as archive:
        for entry in entries:
            if readable(entry.path) != entry.path:
                raise RejectedUpload(f"{readable(entry.path)}: expected a name in UTF-8; rename the file")
            with archive.open(entry.path, "w", force_zip64=True) as target:
                for chunk in chunks_of(tree, entry):
                    target.write(chunk)


def _chunks(file: BinaryIO, progress: Progress) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(1 << 20):
        yield chunk
        progress(len(chunk))
