"""One loop for all formats that are a single file: who recognises it, who reads what little is read of it.

In goes a table of `FileFormat`, out comes a `Detector`. Each file is looked at once; the first format that knows it takes it.
A reader raises `EndsEarly` where the file ends before bytes that it speaks of, and that becomes `incomplete`: a copy that is
still running looks the same, so waiting may help. Bytes that contradict each other are `MalformedModel`, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from detectors.detection import Contents, Detector, may_be_model
from detectors.errors import MalformedModel, ModelError
from detectors.facts import (
    Completeness,
    Detection,
    Evidence,
    Extraction,
    ModelFacts,
    ModelType,
    Problem,
    State,
)
from detectors.tree import FileEntry, FileTree
from detectors.wire import Window

NAME_NOTE = "told by name; content not opened"
HEADER_NOTE = "told by its header; weights not opened"


ByteOrder = Literal["little", "big"]


class EndsEarly(ModelError):
    """The file ends before bytes that it speaks of; *offset* is where they would be."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format of one file.

    recognise gets the entry and its first bytes and returns what it saw there, or None; it reads nothing.
    read gets the whole file through a window and returns facts and completeness; the size is filled in later.
    """

    name: str
    recognise: Callable[[FileEntry, bytes], str | None]
    read: Callable[[Window], Extraction]


def single_files(name: str, formats: tuple[FileFormat, ...]) -> Detector:
    """Return the detector of all *formats*, in their order."""

    def match(contents: Contents) -> Iterator[Detection]:
        for entry in contents.free():
            if may_be_model(entry) and (found := identify(formats, contents, entry)):
                recognised, saw = found
                evidence = (Evidence(entry.path, 0, saw),)
                yield Detection(recognised.name, ModelType.CUSTOM, entry.path, entry.path, evidence, (entry.path,))

    def extract(contents: Contents, detection: Detection) -> Extraction:
        entry = contents.find(detection.main)
        assert entry is not None
        found = identify(formats, contents, entry)
        assert found is not None
        return read_file(found[0], contents.tree, entry)

    return Detector(name, match, extract)


def identify(formats: tuple[FileFormat, ...], contents: Contents, entry: FileEntry) -> tuple[FileFormat, str] | None:
    """Return the first format that recognises *entry*, and what it saw. Reads the head of the file at most."""
    head = contents.head(entry)
    for one in formats:
        if saw := one.recognise(entry, head):
            return one, saw
    return None


def read_file(one: FileFormat, tree: FileTree, entry: FileEntry) -> Extraction:
    """Return facts and completeness of one file of a known format.

    Raises:
        MalformedModel, ModelLimit: as the reader of the format.
    """
    try:
        found = one.read(Window(tree, entry.path, entry.size))
    except EndsEarly as exc:
        facts = ModelFacts(details={"note": NAME_NOTE})
        found = Extraction(facts, Completeness(State.INCOMPLETE, (Problem(exc.path, _told(exc)),)))
    return replace(found, facts=replace(found.facts, size_bytes=entry.size))


def told_by_name(**details: object) -> Extraction:
    """Return the facts of a file of which nothing but the name of its format is told."""
    return Extraction(ModelFacts(details={"note": NAME_NOTE, **details}))


def end_not_proven(**details: object) -> Extraction:
    """The same for a format, or a file, whose end cannot be proven without reading all of it."""
    return told_by_name(completeness_checked=False, **details)


def number(window: Window, start: int, count: int, byteorder: ByteOrder = "little") -> int:
    """Return the unsigned integer of *count* bytes at *start*.

    Raises:
        MalformedModel: *start* lies before the file.
        EndsEarly: the file ends before it.
    """
    return int.from_bytes(piece(window, start, count), byteorder)


def piece(window: Window, start: int, count: int) -> bytes:
    """Return *count* bytes at *start*; as `number` where there are none. The caller has bounded *count*."""
    if start < 0:
        raise MalformedModel(window.path, None, f"expected a place inside the file, found byte {start}")
    if start + count > window.size:
        raise EndsEarly(window.path, start, f"expected {count} bytes, found the end of the file at {window.size}")
    return window.bytes(start, start + count)


def _told(exc: ModelError) -> str:
    return exc.reason if exc.offset is None else f"at byte {exc.offset}: {exc.reason}"
