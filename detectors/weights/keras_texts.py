"""Configurations of Keras outside of what shows to be its own: in a SavedModel's `keras_metadata.pb`, in architectures saved as
JSON, and in HDF5 without its marks.

In goes a tree, out come the same findings as for `.keras` and HDF5 (`keras_traps`), and the files that were not looked at.
TensorFlow Serving reads neither; who loads the model with Keras does.

    keras_metadata.pb: SavedMetadata { repeated SavedObject nodes = 1 { string metadata = 5 (JSON) } }

Source: tf_keras/src/protobuf/saved_metadata.proto, tf_keras 2.20; `Model.to_json`, Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectors.detection import Contents, folder_of, suffix
from detectors.errors import MalformedModel, ModelError, Unreadable
from detectors.facts import Finding
from detectors.json_text import parse_json
from detectors.tree import FileEntry
from detectors.weights import keras
from detectors.weights.hdf5 import MAGIC, read_text, root_texts
from detectors.weights.hdf5_links import data_outside
from detectors.weights.keras_traps import traps_of
from detectors.wire import hop

METADATA = "keras_metadata.pb"
HDF5 = keras.HDF5_SUFFIXES - {".keras"}
BESIDE, CONFIG = keras.MEMBERS
"""What Keras loads from a folder with the other in it: a `.keras` file that was unpacked."""

WEIGHTS = ".weights.h5"

NODES, TEXT = 1, 5

MAX_TEXT_BYTES = 16 << 20
"""Of one such file; real ones have some hundred KB."""

MAX_TEXTS_BYTES = 64 << 20
"""Of all such files of a scan."""


def look(contents: Contents) -> tuple[tuple[Finding, ...], dict[str, str]]:
    """Return what the configurations make a loader do, and by path why a file was not looked at.

    Raises:
        TreeChanged, TreeUnavailable: as the tree.
    """
    findings: list[Finding] = []
    unread: dict[str, str] = {}
    of_weights = {folder_of(entry.path) for entry in contents.entries if entry.path.endswith(WEIGHTS)}
    for entry in contents.entries:
        if not _is_configuration(contents, entry, folder_of(entry.path) in of_weights):
            continue
        if suffix(entry.path) in HDF5:
            outside, reasons = data_outside(contents.window(entry))
            findings += outside
            unread.update((entry.path, reason) for reason in reasons[:1])
        try:
            traps = [traps_of(config, entry.path, place) for place, config in _configurations(contents, entry)]
        except (ModelError, Unreadable) as exc:
            unread[entry.path] = f"not looked at: {exc.reason}"
            continue
        findings += {(one.rule, one.place, one.message): one for trap in traps for one in trap.findings}.values()
        unknown = dict.fromkeys(reason for trap in traps for reason in trap.unknown)
        if unknown:
            unread[entry.path] = f"not looked at: {', '.join(unknown)}"
    return tuple(findings), unread


def _is_configuration(contents: Contents, entry: FileEntry, is_beside_weights: bool) -> bool:
    """Tell whether a file is one of Keras by its name, by what it lies beside, or by its first bytes where these were read.

    Beside weights of Keras, and in a `.keras` file that was unpacked, JSON is one however it begins. A file called HDF5 that
    no format knows is one as well: a configuration may stand behind its head.
    """
    folder, slash, name = entry.path.rpartition("/")
    is_unpacked = name == CONFIG and contents.find(f"{folder}{slash}{BESIDE}") is not None
    if name == METADATA or is_unpacked or (is_beside_weights and suffix(name) == ".json"):
        return entry.size > 0
    head = contents.known_head(entry) or b""
    if suffix(entry.path) in HDF5:
        return bool(head) and contents.is_free(entry.path)
    return (
        suffix(entry.path) == ".json"
        and head.lstrip()[:1] == b"{"
        and all(word in head for word in (b'"class_name"', b'"config"', b"keras"))
    )


def _configurations(contents: Contents, entry: FileEntry) -> Iterator[tuple[str, Any]]:
    """Yield the configurations in a file, each with its place.

    Raises:
        ModelError: it is larger than a named limit, damaged, or laid out in a way that is not read here.
    """
    if suffix(entry.path) in HDF5:
        window = contents.window(entry)
        if window.bytes(0, len(MAGIC)) != MAGIC:
            raise MalformedModel(
                entry.path, None, "its name says HDF5, and it does not begin so; a user block is not read here"
            )
        for name, text in sorted(root_texts(window, keras.CONFIGS).items()):
            contents.spend(entry.path, "MAX_TEXTS_BYTES", text.length, MAX_TEXTS_BYTES)
            yield name, parse_json(read_text(window, text), entry.path)[0]
        return
    contents.spend(entry.path, "MAX_TEXTS_BYTES", min(entry.size, MAX_TEXT_BYTES), MAX_TEXTS_BYTES)
    data = contents.read_whole(entry, "MAX_TEXT_BYTES", MAX_TEXT_BYTES)
    if suffix(entry.path) == ".json":
        yield "", parse_json(data, entry.path)[0]
        return
    window = contents.window(entry)
    window.begin_with(data)
    for number, node in enumerate(found for found in hop(window, 0, window.size) if found.number == NODES):
        for inner in hop(window, node.start, node.stop):
            if inner.number == TEXT:
                yield f"node {number}", parse_json(data[inner.start : inner.stop], entry.path)[0]
