"""One loop for all formats that are a single file: who recognises it, who reads what little is read of it.

In goes a table of `FileFormat`, out comes a `Detector`. Each file is looked at once; the first format that knows it takes it.
A reader raises `EndsEarly` where the file ends before bytes that it speaks of, and that becomes `incomplete`: a copy that is
still running looks the same, so waiting may help. Bytes that contradict each other are `MalformedModel`, as everywhere; but
of a zip in which two readers may see different files nobody knows whether it is whole, and it is told as not looked at.

A file that was cut off before its format shows is told by its suffix, where that is used for models alone and what is there
of the file may be the beginning of one. Files that are shards of one set by their names (`detectors.weights.shards`) are
one model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from detectors.detection import HEAD_BYTES, Contents, Detector, may_be_model, suffix
from detectors.errors import MalformedModel, ModelError
from detectors.facts import (
    Completeness,
    Detection,
    Evidence,
    Extraction,
    ModelFacts,
    ModelType,
    Parameters,
    Problem,
    State,
)
from detectors.tree import FileEntry
from detectors.weights.shards import ShardSet, missing_shards, shard_set_of
from detectors.wire import Window
from detectors.zips import AmbiguousZip, ClosedZip, CutOffZip

NAME_NOTE = "told by its name or its beginning; weights not opened"
TEXTS_NOTE = "its texts were searched for code that they name; weights not opened"
LISTED_NOTE = "told by what the zip lists; weights not opened"
HEADER_NOTE = "told by its header; weights not opened"
CONFIG_NOTE = "its configuration was read; weights not opened"


COUNTED = ("tensors", "storages", "storage_bytes")
"""Details that are added up over the files of a model."""

ByteOrder = Literal["little", "big"]


class EndsEarly(ModelError):
    """The file ends before bytes that it speaks of; *offset* is where they would be."""


Spend = Callable[[str, int, int], None]
"""Counts an amount towards the limit of the whole scan with this name and height; raises ModelLimit where it is more."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format of one file.

    recognise gets the entry and its first bytes and returns what it saw there, or None; it reads nothing.
    read gets the whole file through a window and returns facts and completeness; the size is filled in later.
    suffixes are those that files of this format alone have; may_begin gets a file of such a name that is too short for
    recognise, and tells whether it may be the beginning of one that was cut off.
    charge, where a format has it, counts what reading the file costs beyond its bytes, before it is read.
    """

    name: str
    recognise: Callable[[FileEntry, bytes], str | None]
    read: Callable[[Window], Extraction]
    suffixes: frozenset[str] = frozenset()
    may_begin: Callable[[Window], bool] = lambda window: False
    charge: Callable[[Window, Spend], None] | None = None


def single_files(name: str, formats: tuple[FileFormat, ...]) -> Detector:
    """Return the detector of all *formats*, in their order."""

    def match(contents: Contents) -> Iterator[Detection]:
        return _match(formats, contents)

    def extract(contents: Contents, detection: Detection) -> Extraction:
        return _extract(formats, contents, detection)

    return Detector(name, match, extract)


def _match(formats: tuple[FileFormat, ...], contents: Contents) -> Iterator[Detection]:
    """Yield each file that a format knows, with the other files of its set where it is a shard."""
    sets: dict[ShardSet, list[str]] = defaultdict(list)
    for entry in contents.free():
        if shards := shard_set_of(entry.path):
            sets[shards].append(entry.path)
    taken: set[str] = set()
    for entry in contents.free():
        if entry.path not in taken and (found := _format_of(formats, contents, entry)):
            one, saw = found
            shards = shard_set_of(entry.path)
            files = tuple(sets[shards]) if shards else (entry.path,)
            taken.update(files)
            yield Detection(one.name, ModelType.CUSTOM, entry.path, entry.path, (Evidence(entry.path, 0, saw),), files)


def _format_of(formats: tuple[FileFormat, ...], contents: Contents, entry: FileEntry) -> tuple[FileFormat, str] | None:
    """Return the format of a file, by its bytes or, where it was cut off before they tell, by its name; and what was seen."""
    if may_be_model(entry) and (found := identify(formats, contents, entry)):
        return found
    if one := _by_name(formats, contents, entry):
        return one, f"the suffix {suffix(entry.path)}, and {entry.size} bytes"
    return None


def _by_name(formats: tuple[FileFormat, ...], contents: Contents, entry: FileEntry) -> FileFormat | None:
    """Return the format that an empty or short file must have by its suffix, None for none."""
    likely = [one for one in formats if suffix(entry.path) in one.suffixes]
    if not likely or entry.size >= HEAD_BYTES:
        return None
    head = contents.head(entry)
    if entry.path in contents.unread:
        return None
    window = contents.window(entry)
    window.begin_with(head)
    return next((one for one in likely if one.may_begin(window)), None)


def _extract(formats: tuple[FileFormat, ...], contents: Contents, detection: Detection) -> Extraction:
    """Return the facts of one file, or those of all shards of a set together.

    Raises:
        MalformedModel, ModelLimit: as the reader of the format.
    """
    main = contents.find(detection.main)
    assert main is not None
    found = _format_of(formats, contents, main)
    assert found is not None
    entries = [entry for path in detection.files if (entry := contents.find(path))]
    read = [_read_one(formats, contents, entry, found[0]) for entry in entries]
    missing = tuple(missing_shards(detection.files))
    whole = read[0] if len(read) == 1 else _together(read)
    return replace(whole, completeness=whole.completeness.and_also(State.INCOMPLETE, *missing)) if missing else whole


def _read_one(formats: tuple[FileFormat, ...], contents: Contents, entry: FileEntry, otherwise: FileFormat) -> Extraction:
    """Return what one file says: of its own format, or as one of the format *otherwise* where it shows none."""
    if found := identify(formats, contents, entry):
        return read_file(found[0], contents, entry)
    if one := _by_name(formats, contents, entry):
        reason = f"expected a file of the format {one.name}, found {entry.size} bytes, too few to begin one"
        facts = ModelFacts(size_bytes=entry.size, details={"note": NAME_NOTE})
        return Extraction(facts, Completeness(State.INCOMPLETE, (Problem(entry.path, reason),)))
    return read_file(otherwise, contents, entry)


def _together(read: list[Extraction]) -> Extraction:
    """Return what was read of several files as of one model; what the first tells of the model stands for all."""
    details = dict(read[0].facts.details)
    for name in COUNTED:
        if name in details:
            details[name] = sum(one.facts.details.get(name, 0) for one in read)
    details["files"] = len(read)
    details["completeness_checked"] = all(one.facts.details.get("completeness_checked", True) for one in read)
    stored = [one.facts.parameters.stored for one in read]
    dtypes: Counter[str] = Counter()
    completeness = Completeness()
    for one in read:
        dtypes.update(one.facts.dtypes)
        completeness = completeness.and_also(one.completeness.state, *one.completeness.problems)
    facts = replace(
        read[0].facts,
        size_bytes=sum(one.facts.size_bytes for one in read),
        parameters=Parameters(stored=None if None in stored else sum(count or 0 for count in stored)),
        dtypes=dict(dtypes),
        details=details,
    )
    findings = tuple(finding for one in read for finding in one.findings)
    return Extraction(facts, completeness, findings, tuple(reason for one in read for reason in one.unread))


def identify(formats: tuple[FileFormat, ...], contents: Contents, entry: FileEntry) -> tuple[FileFormat, str] | None:
    """Return the first format that recognises *entry*, and what it saw. Reads the head of the file at most."""
    head = contents.head(entry)
    for one in formats:
        if saw := one.recognise(entry, head):
            return one, saw
    return None


def read_file(one: FileFormat, contents: Contents, entry: FileEntry) -> Extraction:
    """Return facts and completeness of one file of a known format.

    Raises:
        MalformedModel, ModelLimit: as the reader of the format.
    """
    window = contents.window(entry)
    try:
        if one.charge:
            one.charge(window, lambda limit, amount, most: contents.spend(entry.path, limit, amount, most))
        found = one.read(window)
    except (EndsEarly, CutOffZip) as exc:
        facts = ModelFacts(details={"note": NAME_NOTE})
        found = Extraction(facts, Completeness(State.INCOMPLETE, (Problem(exc.path, _told(exc)),)))
    except (AmbiguousZip, ClosedZip) as exc:
        found = replace(end_not_proven(), unread=((entry.path, f"not looked at: {exc.reason}"),))
    return replace(found, facts=replace(found.facts, size_bytes=entry.size))


def told_by_name(**details: object) -> Extraction:
    """Return the facts of a file of which nothing but the name of its format is told."""
    return Extraction(ModelFacts(details={"note": NAME_NOTE, **details}))


def end_not_proven(**details: object) -> Extraction:
    """The same for a format, or a file, whose end cannot be proven without reading all of it."""
    return told_by_name(completeness_checked=False, **details)


def begins(magic: bytes, place: int = 0, needed: int = 0) -> Callable[[Window], bool]:
    """Return a test of whether a file may be the beginning of one that has *magic* at *place*.

    It must be shorter than *needed* bytes, at the least than up to the end of *magic*, for a longer one shows what it is.
    """
    needed = max(needed, place + len(magic))

    def may_begin(window: Window) -> bool:
        data = window.bytes(0, min(window.size, needed))
        return len(data) < needed and magic.startswith(data[place : place + len(magic)])

    return may_begin


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
