"""The use case of an upload: an id is promised, the files come, they are ingested where the store keeps them.

Somebody who sends files is told the id of their model before its first byte. So the files are brought to the very place in
the store that a version of this id has, whole or not at all, and only then is the event accepted. Its ingestion is like every
other, but that it copies nothing. Until it has ended, and as long as a person may have it tried again, the files stay
(`operations`).

Laws (each has a test of the same name):
    an upload is accepted when all its files are there, and not before;
    two who bring the files at once do not mix them;
    what is given up leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from detectors.tree import FileEntry, FileTree
from worker.archive import ZipTree
from worker.errors import LeaseLost, NotFound, RejectedUpload, WrongState
from worker.events import checked_model_name, checked_name
from worker.fields import json_text_of
from worker.heartbeat import BeatingTree, Heartbeat
from worker.lifecycle import LEASE_SECONDS
from worker.manifest import read_once
from worker.model_types import model_type
from worker.ports import Clock, Registry, Store
from worker.records import DEFAULT_PROJECT, CompletionEvent, Ingestion, NewUpload, StoreKey, Trigger, Upload

SOURCE = "upload"
"""The source of the event of every upload; its id is the one that was promised."""

FOLDER = "model.zip"
"""The name under which a client sends a folder: all its files, with their paths below it."""

MAX_FILE_NAME_BYTES = 255

GIVEN = ("project", "name", "type", "summary", "notes")
"""What a sender may say of a model before its files come, by name."""


@dataclass(frozen=True, slots=True)
class Borders:
    """What an upload touches. ring tells the workers that there is work; lease_seconds is how long who brings files may be
    silent."""

    registry: Registry
    store: Store
    clock: Clock
    ring: Callable[[], None]
    new_id: Callable[[], str]
    lease_seconds: float = LEASE_SECONDS


def file_name(given: str) -> str:
    """Return the name that a file is kept under, which is the last part of the *given* one.

    Raises:
        RejectedUpload: it is none that a file can have.
    """
    name = given.rsplit("/", 1)[-1]
    if not name or name in (".", "..") or "\0" in name:
        raise RejectedUpload(f"the name of the file: expected one like model.onnx, found {given[:80]!a}")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_FILE_NAME_BYTES:
        raise RejectedUpload(f"the name of the file: expected at most {MAX_FILE_NAME_BYTES} bytes, found more")
    return name


def said_of(team: str, given: Mapping[str, Any], tags: Sequence[str] = (), tag_field: str = "tag") -> NewUpload:
    """Return what is *given* of a model of *team*, by `GIVEN`, and its *tags*; nothing and no text say nothing.

    A summary that is text is read as JSON.

    Raises:
        RejectedEvent: one of them says what cannot be; its message begins with the name of the field.
    """
    project, name, declared, summary, notes = (given.get(field) or None for field in GIVEN)
    return NewUpload(
        team,
        checked_name("project", project) or DEFAULT_PROJECT,
        checked_model_name(name),
        model_type(declared),
        json_text_of("summary", summary) if isinstance(summary, str) else summary,
        notes,
        tuple(checked_name(tag_field, tag) or "" for tag in tags),
    )


class OneFile:
    """An open *file* of *size* bytes, as a tree of one file called *name*."""

    def __init__(self, file: BinaryIO, name: str, size: int) -> None:
        self._file, self._entry = file, FileEntry(name, size, "1")

    def files(self) -> Iterator[FileEntry]:
        """Yield the file."""
        yield self._entry

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of it; shorter only at its end."""
        self._file.seek(start)
        return self._file.read(stop - start)


@contextmanager
def sent_tree(file: BinaryIO, name: str, size: int, is_folder: bool) -> Iterator[FileTree]:
    """Give what was sent as a tree: the files of a zip where it *is_folder*, otherwise one file called *name*.

    Raises:
        RejectedUpload: it is a zip that is not taken.
    """
    if not is_folder:
        yield OneFile(file, name, size)
        return
    with ZipTree(file) as tree:
        yield tree


def bring(upload: Upload, tree: FileTree, name: str, borders: Borders) -> Ingestion:
    """Keep the files of *tree* as those of *upload*, and return the ingestion that was accepted for them; *name* is what a
    person calls them.

    Raises:
        NotFound: the upload was given up, or is registered.
        WrongState: its files are there already, or somebody brings them just now.
        RejectedUpload: a file is damaged.
        StorageUnavailable, RegistryUnavailable: nothing was accepted, and the files may be brought again.
    """
    registry, writer = borders.registry, borders.new_id()
    if not registry.take_upload(upload.said.team, upload.id, writer, borders.clock.now()):
        raise _not_taken(upload, registry)
    try:
        _write(upload, tree, writer, borders)
        ingestion = registry.seal_upload(upload.id, writer, event_of(upload, name), borders.clock.now())
    except LeaseLost as exc:
        raise _overtaken(upload) from exc
    finally:
        registry.leave_upload(upload.id, writer)
    if ingestion is None:
        raise _overtaken(upload)
    borders.ring()
    return ingestion


def _write(upload: Upload, tree: FileTree, writer: str, borders: Borders) -> None:
    """Write the files of *tree* to the store; they are there whole when this comes back.

    Raises:
        LeaseLost: another brings them by now.
    """
    beat = partial(borders.registry.beat_upload, upload.id, writer)
    alive = Heartbeat(beat, borders.clock.now, borders.lease_seconds)
    beating = BeatingTree(tree, alive)
    entries: Sequence[FileEntry] = tuple(beating.files())
    with borders.store.writing(key_of(upload), sum(entry.size for entry in entries), alive) as open_sink:
        read_once(beating, entries, open_sink, lambda entry: None, lambda count: None)
        if not beat(borders.clock.now()):
            raise LeaseLost("another brings the files of the upload now")


def give_up(upload: Upload, borders: Borders, who: str) -> None:
    """Give *upload* up: its files are removed, and its ingestion ends, where it has not; what a worker made of it at the same
    moment is deleted.

    Raises:
        NotFound: it is given up, or registered, by now.
        StorageUnavailable: its files could not be removed; a look through the store does it later.
    """
    now = borders.clock.now()
    given_up = borders.registry.end_upload(upload.said.team, upload.id, now, who)
    if given_up is None:
        raise NotFound(f"there is no upload {upload.id}")
    if given_up.ingestion_id is not None:
        borders.registry.discard(upload.said.team, given_up.ingestion_id, who, now)
        borders.registry.delete(upload.said.team, upload.id, now, who)  # no worker registers it from here on
    borders.store.remove(borders.store.url(key_of(upload)))


def event_of(upload: Upload, name: str) -> CompletionEvent:
    """Return the event of *upload*, whose files a person calls *name*."""
    said = upload.said
    return CompletionEvent(
        source=SOURCE,
        id=upload.id,
        model_path=name,
        team=said.team,
        project=said.project,
        declared_type=said.declared_type,
        name=said.name,
        trigger=Trigger.UPLOAD,
    )


def key_of(upload: Upload) -> StoreKey:
    """Return where the store keeps the files of *upload*."""
    return StoreKey(upload.said.team, upload.said.project, None, upload.id)


def _not_taken(upload: Upload, registry: Registry) -> NotFound | WrongState:
    now = registry.upload(upload.said.team, upload.id)
    if now is None:
        return NotFound(f"there is no upload {upload.id}")
    return (
        WrongState(f"the files of {upload.id} are there already; they cannot be changed")
        if now.ingestion_id
        else _overtaken(now)
    )


def _overtaken(upload: Upload) -> WrongState:
    return WrongState(f"somebody else brings the files of {upload.id} just now")
