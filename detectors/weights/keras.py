"""Keras models: `.keras` (a zip), and HDF5 files that Keras has marked as its own.

In goes the file, out come the Keras version and whether the file is whole. Of the zip two small JSON members are read; of
HDF5 only the superblock and the bytes behind it, since a library for the rest is large and fed hostile input. A Lambda
layer is code that runs when the model is loaded, and so a finding.

    HDF5 superblock 0 and 1: signature 8 | version u8 | 4 bytes | bytes of an offset u8 | … | base, free space, end of file
    HDF5 superblock 2 and 3: signature 8 | version u8 | bytes of an offset u8 | … 2 bytes | base, extension, end of file

Source: HDF5 File Format Specification 3.0, section II.A; keras/src/saving/saving_lib.py, Keras 3.15.
"""

from __future__ import annotations

from typing import Any

from detectors.detection import suffix
from detectors.errors import MalformedModel, ModelLimit
from detectors.facts import (
    Completeness,
    Extraction,
    Finding,
    Framework,
    ModelFacts,
    Problem,
    Severity,
    State,
)
from detectors.json_text import JsonError, parse_json
from detectors.tree import FileEntry
from detectors.weights.single_file import NAME_NOTE, EndsEarly, FileFormat, begins, number, piece
from detectors.weights.zip_listing import LOCAL, Member, list_members, read_member
from detectors.wire import Window

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"

HDF5_SUFFIXES = frozenset({".h5", ".hdf5", ".keras", ".hdf"})

HDF5_ATTRIBUTE_BYTES = 256 << 10
"""How far from the start of an HDF5 file a Lambda layer is looked for; `h5py` writes the model's configuration there."""

MAX_JSON_BYTES = 8 << 20
"""Of `metadata.json` and `config.json`, unpacked."""

LAMBDA = b'"class_name": "Lambda"'


def recognise_zip(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of a `.keras` file: its suffix on a zip, or the names of its first members."""
    if head[:4] != LOCAL:
        return None
    if suffix(entry.path) == ".keras":
        return "a zip with the suffix .keras"
    is_named = head[30:43] == b"metadata.json" and b"config.json" in head
    return "a zip that begins with metadata.json and config.json" if is_named else None


def read_zip(window: Window) -> Extraction:
    """Return what `metadata.json` and `config.json` say. Reads these two and the zip's directory.

    Raises:
        EndsEarly: the zip has no directory.
        MalformedModel: one of the two is missing or is not JSON.
        ModelLimit: one of the two is larger than `MAX_JSON_BYTES`.
    """
    members = {member.name: member for member in list_members(window)}
    metadata, config = (_json_member(window, members, name) for name in ("metadata.json", "config.json"))
    version, saved, layers = metadata.get("keras_version"), metadata.get("date_saved"), _class_names(config)
    facts = ModelFacts(
        framework=Framework("keras", str(version)[:100] if version else None),
        details={
            "note": NAME_NOTE,
            "date_saved": str(saved)[:100] if saved else None,
            "class_name": str(config.get("class_name"))[:100],
            "weights": sorted(name for name in members if name.endswith(".weights.h5"))[:20],
        },
    )
    return Extraction(facts, findings=(_lambda_finding(window.path, "config.json"),) if "Lambda" in layers else ())


def recognise_hdf5(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of an HDF5 file of Keras: an attribute's name, or the suffix that Keras wants for weights."""
    if head[:8] != HDF5_MAGIC or suffix(entry.path) not in HDF5_SUFFIXES:
        return None
    if entry.path.endswith(".weights.h5"):
        return "an HDF5 file with the suffix .weights.h5"
    marks = [mark for mark in ("keras_version", "model_config", "layer_names") if mark.encode() in head]
    return f"an HDF5 file that names {marks[0]}" if marks else None


def may_begin_hdf5(window: Window) -> bool:
    """Tell whether a short file is HDF5 that was cut off: before its marks, so nobody knows whether it was one of Keras."""
    if not HDF5_MAGIC.startswith(window.bytes(0, min(window.size, len(HDF5_MAGIC)))):
        return False
    try:
        return _hdf5_end(window) > window.size
    except EndsEarly:
        return True
    except MalformedModel:
        return False


def read_hdf5(window: Window) -> Extraction:
    """Return whether the file reaches its own end. Reads the superblock and `HDF5_ATTRIBUTE_BYTES` at most.

    Raises:
        EndsEarly: the superblock does not fit into the file.
        MalformedModel: another signature, or a version or a size of offsets that HDF5 does not have.
    """
    signature = piece(window, 0, len(HDF5_MAGIC))
    if signature != HDF5_MAGIC:
        raise MalformedModel(window.path, 0, f"expected the signature of HDF5, found {signature.hex(' ')}")
    end = _hdf5_end(window)
    problem = Problem(window.path, f"the superblock says {end} bytes, the file ends at {window.size}")
    has_lambda = LAMBDA in piece(window, 0, min(HDF5_ATTRIBUTE_BYTES, window.size))
    return Extraction(
        ModelFacts(framework=Framework("keras", None), details={"note": NAME_NOTE}),
        Completeness(State.INCOMPLETE, (problem,)) if end > window.size else Completeness(),
        (_lambda_finding(window.path, "model_config"),) if has_lambda else (),
    )


def _hdf5_end(window: Window) -> int:
    """Return the address of the first byte behind all data, as the superblock has it."""
    version = number(window, 8, 1)
    if version > 3:
        raise MalformedModel(window.path, 8, f"expected a superblock of version 0 to 3, found {version}")
    place, first = (13, 24 + 4 * version) if version < 2 else (9, 12)
    width = number(window, place, 1)
    if width not in (2, 4, 8):
        raise MalformedModel(window.path, place, f"expected offsets of 2, 4 or 8 bytes, found {width}")
    return number(window, first, width) + number(window, first + 2 * width, width)


def _json_member(window: Window, members: dict[str, Member], name: str) -> dict[str, Any]:
    if name not in members:
        raise MalformedModel(window.path, None, f"expected {name} in the zip, found none")
    member = members[name]
    if member.size > MAX_JSON_BYTES:
        raise ModelLimit(window.path, member.start, "MAX_JSON_BYTES", f"{name} of {member.size} bytes")
    try:
        value, _ = parse_json(read_member(window, member, MAX_JSON_BYTES), window.path)
    except JsonError as exc:
        raise MalformedModel(window.path, member.start, f"{name}: {exc.reason}") from exc
    if not isinstance(value, dict):
        raise MalformedModel(window.path, member.start, f"expected an object in {name}")
    return value


def _class_names(config: Any) -> set[str]:
    """Return every `class_name` in a configuration, however deep."""
    found, pending = set(), [config]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.values())
            if isinstance(name := value.get("class_name"), str):
                found.add(name)
        elif isinstance(value, list):
            pending.extend(value)
    return found


def _lambda_finding(path: str, place: str) -> Finding:
    message = "a Lambda layer is Python code that runs when the model is loaded without safe mode"
    return Finding("keras-lambda", Severity.MEDIUM, path, place, message)


HDF5 = FileFormat("keras", recognise_hdf5, read_hdf5, frozenset({".h5", ".hdf5", ".keras"}), may_begin_hdf5)
FORMATS = (FileFormat("keras", recognise_zip, read_zip, frozenset({".keras"}), begins(LOCAL)), HDF5)
