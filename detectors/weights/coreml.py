"""CoreML models: a `.mlmodel` file, or a `.mlpackage` folder whose manifest names its parts.

In goes the file or the folder, out comes the specification version, and whether all parts are there and whole.

    Model: 1 specificationVersion i32 | 2 description | 200 and up: the model itself, one of many kinds

    weights of a package, everything at multiples of 64 bytes:
    header 64 bytes: u32 count | u32 version 2 | …      then count times
    metadata 64 bytes: u32 0xdeadbeef | u32 type | u64 bytes | u64 place of the data | …      data

A file of weights that is laid out in another way is not proven to be whole.

Source: coremltools, mlmodel/format/Model.proto; modelpackage/src/ModelPackage.cpp; mlmodel/src/MILBlob/Blob/StorageFormat.hpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectors.detection import Contents, Detector, folder_of, suffix
from detectors.errors import MalformedModel, ModelLimit
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
from detectors.json_text import JsonError, parse_json
from detectors.tree import FileEntry
from detectors.weights.folders import free_below, is_there, outermost
from detectors.weights.single_file import NAME_NOTE, EndsEarly, FileFormat, begins, number
from detectors.wire import Window, hop

MANIFEST = "Manifest.json"
MAX_MANIFEST_BYTES = 1 << 20

MAX_TOP_FIELDS = 1000
"""Fields of a model at the top; there are four or five."""

MAX_BLOBS = 50_000
"""Blobs of weights in one package; a large model has a few thousand."""

ALIGNMENT = 64
BLOB_VERSION = 2
SENTINEL = 0xDEADBEEF

FIRST_KIND = 200
"""The number of the first kind of model; the highest is about 3000."""


def recognise(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of a `.mlmodel`: a small specification version, then a description."""
    if suffix(entry.path) != ".mlmodel" or head[:1] != b"\x08" or head[2:3] != b"\x12" or not 1 <= head[1] <= 20:
        return None
    return f"specification version {head[1]}"


def read(window: Window) -> Extraction:
    """Return the specification version and the number of the model's kind. Hops over the few fields at the top.

    Raises:
        EndsEarly: a field goes beyond the end of the file, or there is no model behind the description.
        ModelLimit: more than `MAX_TOP_FIELDS`.
    """
    version, kind = None, None
    try:
        for count, found in enumerate(hop(window, 0, window.size)):
            if count >= MAX_TOP_FIELDS:
                raise ModelLimit(window.path, found.begin, "MAX_TOP_FIELDS", f"more than {MAX_TOP_FIELDS} fields at the top")
            version = found.value if found.number == 1 else version
            kind = found.number if found.number >= FIRST_KIND else kind
    except MalformedModel as exc:
        raise EndsEarly(exc.path, exc.offset, exc.reason) from exc
    if kind is None:
        raise EndsEarly(window.path, window.size, "expected the model behind its description, found the end of the file")
    return Extraction(ModelFacts(details={"note": NAME_NOTE, "specification_version": version, "kind": kind}))


def _match_packages(contents: Contents) -> Iterator[Detection]:
    for entry in outermost(one for one in contents.free() if one.path.endswith(f".mlpackage/{MANIFEST}")):
        folder = folder_of(entry.path)
        evidence = (Evidence(entry.path, 0, "the manifest of a .mlpackage"),)
        yield Detection("coreml", ModelType.CUSTOM, folder, entry.path, evidence, free_below(contents, folder))


def _extract_package(contents: Contents, detection: Detection) -> Extraction:
    """Return whether every part that the manifest names is there and whole. Reads the manifest and the outline of parts.

    Raises:
        MalformedModel: the manifest is not one.
        ModelLimit: it is larger than `MAX_MANIFEST_BYTES`, or a limit of its parts was reached.
    """
    entry = contents.find(detection.main)
    assert entry is not None
    parts = _parts(contents, entry)
    data = f"{detection.root}/Data"
    missing = tuple(part for part in parts if not is_there(contents, f"{data}/{part}"))
    problems = tuple(Problem(f"{data}/{part}", "the manifest names it, it is not there") for part in missing)
    proven = True
    for one in contents.below(data):
        try:
            proven &= _is_whole(contents, one)
        except EndsEarly as exc:
            place = "" if exc.offset is None else f"at byte {exc.offset}: "
            problems = (*problems, Problem(exc.path, place + exc.reason))
    size = sum(one.size for one in contents.below(detection.root))
    facts = ModelFacts(size_bytes=size, details={"note": NAME_NOTE, "completeness_checked": proven, "parts": parts})
    return Extraction(facts, Completeness(State.INCOMPLETE, problems) if problems else Completeness())


def _is_whole(contents: Contents, entry: FileEntry) -> bool:
    """Tell whether one file of a package is proven to be whole; it is not where its layout is not known.

    Raises:
        EndsEarly: it was cut off.
        ModelLimit: a limit of its format was reached.
    """
    window = contents.window(entry)
    if suffix(entry.path) == ".mlmodel":
        read(window)
        return True
    return suffix(entry.path) == ".bin" and _ends_with_its_blobs(window)


def _ends_with_its_blobs(window: Window) -> bool:
    """Tell whether all blobs of a file of weights lie inside; not where it is laid out in another way. Reads no blob.

    Raises:
        EndsEarly: the file ends before its header, or before a blob.
        ModelLimit: there are more than `MAX_BLOBS`.
    """
    count, position = number(window, 0, 4), ALIGNMENT
    if number(window, 4, 4) != BLOB_VERSION:
        return False
    if count > MAX_BLOBS:
        raise ModelLimit(window.path, 0, "MAX_BLOBS", f"{count} blobs of weights")
    for _ in range(count):
        size, start = number(window, position + 8, 8), number(window, position + 16, 8)
        if number(window, position, 4) != SENTINEL or start < position:
            return False
        if start + size > window.size:
            raise EndsEarly(window.path, start, f"expected a blob of {size} bytes, found the end of the file at {window.size}")
        position = -(-(start + size) // ALIGNMENT) * ALIGNMENT
    return True


def _parts(contents: Contents, entry: FileEntry) -> list[str]:
    """Return the paths that the manifest names, relative to the folder `Data`."""
    try:
        manifest, _ = parse_json(contents.read_whole(entry, "MAX_MANIFEST_BYTES", MAX_MANIFEST_BYTES), entry.path)
    except JsonError as exc:
        raise MalformedModel(entry.path, exc.offset, exc.reason) from exc
    items: Any = manifest.get("itemInfoEntries") if isinstance(manifest, dict) else None
    if not isinstance(items, dict) or not items:
        raise MalformedModel(entry.path, None, "expected itemInfoEntries, found none")
    return [item["path"] for item in items.values() if isinstance(item, dict) and isinstance(item.get("path"), str)]


FORMAT = FileFormat("coreml", recognise, read, frozenset({".mlmodel"}), begins(b"\x08", needed=3))
PACKAGES = Detector("coreml", _match_packages, _extract_package)
