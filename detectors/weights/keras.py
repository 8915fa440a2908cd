"""Keras models: `.keras` (a zip), and HDF5 files that Keras has marked as its own.

In goes the file, out come the Keras version and whether the file is whole. Of the zip two small JSON members are read; of
HDF5 only what leads to the configuration (`hdf5`) and to other files (`keras_links`), since a library for the rest is large
and fed hostile input. What a configuration makes a loader do is told by `keras_traps`.

Source: keras/src/saving/saving_lib.py, Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from detectors.detection import suffix
from detectors.errors import MalformedModel, ModelError, ModelLimit
from detectors.facts import (
    Completeness,
    Extraction,
    Framework,
    ModelFacts,
    Problem,
    State,
)
from detectors.json_text import JsonError, JsonLimit, parse_json
from detectors.tree import FileEntry
from detectors.weights.hdf5 import MAGIC, read_superblock, read_text, root_texts
from detectors.weights.hdf5_text import MAX_CONFIG_BYTES, config_texts, named_layers
from detectors.weights.keras_links import MAX_ALL_MEMBER_BYTES, unpacked_bytes, with_links, with_links_inside
from detectors.weights.keras_traps import traps_of
from detectors.weights.single_file import CONFIG_NOTE, HEADER_NOTE, EndsEarly, FileFormat, Spend, begins
from detectors.wire import Window
from detectors.zips import LOCAL_MAGIC, ZipTree, entries_of, of_window

HDF5_SUFFIXES = frozenset({".h5", ".hdf5", ".keras", ".hdf"})

MEMBERS = ("metadata.json", "config.json")

MAX_JSON_BYTES = 8 << 20
"""Of `metadata.json` and `config.json`, unpacked."""

CONFIG = "model_config"
CONFIGS = frozenset({CONFIG, "training_config"})
"""The attributes in which HDF5 files have what `.keras` files have in `config.json`."""

MAX_ALL_JSON_BYTES = 10 << 20
"""Of these, and of configurations in HDF5, in all files of a scan: two seconds of the densest JSON, one of such as Keras
writes. Real ones have some hundred KB."""


def recognise_zip(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of a `.keras` file: its suffix on a zip, or the names of its first members."""
    if head[:4] != LOCAL_MAGIC:
        return None
    if suffix(entry.path) == ".keras":
        return "a zip with the suffix .keras"
    is_named = head[30:43] == b"metadata.json" and b"config.json" in head
    return "a zip that begins with metadata.json and config.json" if is_named else None


def read_zip(window: Window) -> Extraction:
    """Return what `metadata.json` and `config.json` say. Reads these two, the zip's directory and the headers of its files.

    Raises:
        AmbiguousZip, ClosedZip, CutOffZip: as `ZipTree`.
        MalformedModel: one of the two is missing, damaged or not JSON.
        ModelLimit: one of the two is larger than `MAX_JSON_BYTES`.
    """
    members = ZipTree(of_window(window), window.size, window.path, on_the_way=False)
    sizes = {entry.path: entry.size for entry in members.files()}
    metadata, config = (_json_member(members, sizes, window.path, name) for name in MEMBERS)
    version, saved = metadata.get("keras_version"), metadata.get("date_saved")
    facts = ModelFacts(
        framework=Framework("keras", str(version)[:100] if version else None),
        details={
            "note": CONFIG_NOTE,
            "date_saved": str(saved)[:100] if saved else None,
            "class_name": str(config.get("class_name"))[:100],
            "weights": sorted(name for name in sizes if name.endswith(".weights.h5"))[:20],
        },
    )
    return _with_traps(Extraction(facts), window.path, [("config.json", config)])


def recognise_hdf5(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of an HDF5 file of Keras: an attribute's name, or the suffix that Keras wants for weights."""
    if head[:8] != MAGIC or suffix(entry.path) not in HDF5_SUFFIXES:
        return None
    if entry.path.endswith(".weights.h5"):
        return "an HDF5 file with the suffix .weights.h5"
    marks = [mark for mark in ("keras_version", "model_config", "layer_names") if mark.encode() in head]
    return f"an HDF5 file that names {marks[0]}" if marks else None


def may_begin_hdf5(window: Window) -> bool:
    """Tell whether a short file is HDF5 that was cut off: before its marks, so nobody knows whether it was one of Keras."""
    if not MAGIC.startswith(window.bytes(0, min(window.size, len(MAGIC)))):
        return False
    try:
        return read_superblock(window).end > window.size
    except EndsEarly:
        return True
    except MalformedModel:
        return False


def read_hdf5(window: Window) -> Extraction:
    """Return whether the file reaches its own end. Reads the superblock and the attributes of the root.

    Raises:
        EndsEarly: the superblock does not fit into the file.
        MalformedModel: another signature, or a version or a size of offsets that HDF5 does not have.
    """
    end = read_superblock(window).end
    problem = Problem(window.path, f"the superblock says {end} bytes, the file ends at {window.size}")
    found = Extraction(
        ModelFacts(framework=Framework("keras", None), details={"note": HEADER_NOTE}),
        Completeness(State.INCOMPLETE, (problem,)) if end > window.size else Completeness(),
    )
    try:
        texts = sorted(root_texts(window, CONFIGS).items())
        configs = [(name, parse_json(read_text(window, text), window.path)[0]) for name, text in texts]
    except ModelError as exc:
        if not _is_guessed_at(window):
            return found
        guessed = _with_traps(found, window.path, [(CONFIG, config) for config in _guessed_configs(window)])
        return replace(guessed, unread=((window.path, f"not looked at: its configuration: {exc.reason}"),))
    if configs:
        found = replace(found, facts=replace(found.facts, details={"note": CONFIG_NOTE}))
    return _with_traps(found, window.path, configs)


def _is_guessed_at(window: Window) -> bool:
    """Tell whether a configuration that cannot be read is looked for: to a file that was cut off it may still come."""
    return read_superblock(window).end <= window.size


def _guessed_configs(window: Window) -> list[Any]:
    """Return what looks like configurations in a file that keeps them in a way that is not read."""
    found = []
    for text in config_texts(window):
        try:
            found.append(parse_json(text, window.path)[0])
        except (JsonError, JsonLimit):
            continue
    return found or [{"class_name": name} for name in named_layers(window)]


def _with_traps(found: Extraction, path: str, configs: list[tuple[str, Any]]) -> Extraction:
    """Return *found* with what the configurations, each with its place, make a loader do."""
    traps = [traps_of(config, path, place) for place, config in configs]
    unknown = list(dict.fromkeys(reason for one in traps for reason in one.unknown))
    return replace(
        found,
        findings=tuple(finding for one in traps for finding in one.findings),
        unread=((path, f"not looked at: {', '.join(unknown)}"),) if unknown else (),
    )


def _json_member(members: ZipTree, sizes: Mapping[str, int], path: str, name: str) -> dict[str, Any]:
    """Return the object in the file *name* of the zip at *path*."""
    if name not in sizes:
        raise MalformedModel(path, None, f"expected {name} in the zip, found none")
    if sizes[name] > MAX_JSON_BYTES:
        raise ModelLimit(path, None, "MAX_JSON_BYTES", f"{name} of {sizes[name]} bytes")
    try:
        value, _ = parse_json(members.read(name, 0, sizes[name]), path)
    except JsonError as exc:
        raise MalformedModel(path, None, f"{name}: {exc.reason}") from exc
    if not isinstance(value, dict):
        raise MalformedModel(path, None, f"expected an object in {name}")
    return value


def _charge(window: Window, spend: Spend) -> None:
    """Count the JSON of a `.keras` file, unpacked, towards what all files may cost: a few KB make megabytes of it."""
    entries = entries_of(window)
    sizes = [entry.size for entry in entries if entry.name in MEMBERS]
    spend("MAX_ALL_JSON_BYTES", sum(min(size, MAX_JSON_BYTES) for size in sizes), MAX_ALL_JSON_BYTES)
    spend("MAX_ALL_MEMBER_BYTES", unpacked_bytes(entries), MAX_ALL_MEMBER_BYTES)


def _charge_hdf5(window: Window, spend: Spend) -> None:
    """Count the configurations of an HDF5 file; where it has to be guessed at, as much as is looked at for that."""
    try:
        amount = sum(text.length for text in root_texts(window, CONFIGS).values())
    except ModelError:
        amount = min(window.size, MAX_CONFIG_BYTES) if _is_guessed_at(window) else 0
    spend("MAX_ALL_JSON_BYTES", amount, MAX_ALL_JSON_BYTES)


HDF5 = FileFormat(
    "keras", recognise_hdf5, with_links(read_hdf5), frozenset({".h5", ".hdf5", ".keras"}), may_begin_hdf5, _charge_hdf5
)
ZIP = FileFormat("keras", recognise_zip, with_links_inside(read_zip), frozenset({".keras"}), begins(LOCAL_MAGIC), _charge)
FORMATS = (ZIP, HDF5)
