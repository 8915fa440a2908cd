"""Custom metadata: the `gradient-model-metadata.json` that training code leaves in the model path.

In go the listing and the type of the model; out comes one record that says what was found, whether it counts and why.
The file holds any JSON (see `detectors.json_text` for what "any" means), so what the value says is left to its readers,
but for the one shape that carries numbers: `{"metrics": [{"name": "test-f1", "numberValue": 0.91}]}`.

    declared type   the file
    none            is read
    Custom, ONNX    is read: clients could not send a path without a type, so the file would be dead otherwise
    Tensorflow      is ignored, not even opened: a TensorFlow model's metadata are generated from it
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detectors.detection import Contents
from detectors.errors import ModelError, Unreadable
from detectors.facts import Metadata, Metric, ModelType, Note
from detectors.json_text import JsonError, as_number, parse_json
from detectors.tree import FileEntry

FILE_NAME = "gradient-model-metadata.json"

MAX_METADATA_BYTES = 16 << 20
"""Size of the file; a larger one is named and not read."""

MAX_METADATA_METRICS = 1_000
"""Numbers taken from `metrics`; the value itself is kept whole."""

MAX_METRIC_NAME = 1_024
"""Characters of the name of a number; one with a longer name is not taken."""

MAX_NOTES = 20
"""Further files of the same name that are told one by one."""


def read_metadata(contents: Contents, declared: ModelType | None, detected: ModelType | None = None) -> Metadata:
    """Return the custom metadata of the run; without the file, the empty record.

    The file directly in the model path counts; else the one with the fewest folders above it, then the first by name.
    Others are noted. *detected* only goes into the words of `why`: the declared type decides.
    """
    found = sorted(_places(contents), key=lambda entry: (entry.path.count("/"), entry.path))
    if not found:
        return Metadata()
    entry, *others = found
    notes = tuple(Note(other.path, f"not read: {entry.path} lies nearer to the model path") for other in others[:MAX_NOTES])
    if declared is ModelType.TENSORFLOW:
        why = "ignored: the declared type is Tensorflow, whose metadata are generated from the model"
        return Metadata(source=entry.path, why=why, notes=notes)
    return _read(contents, entry, _why_read(declared, detected), notes)


def metadata_metrics(metadata: Metadata) -> Iterator[Metric]:
    """Yield the numbers under `metrics` of metadata that count, within the limits of this module; no step, no session."""
    if not metadata.used or metadata.source is None:
        return
    for item in _listed(metadata.value)[:MAX_METADATA_METRICS]:
        name, value = _named_number(item)
        if name is not None and value is not None and len(name) <= MAX_METRIC_NAME:
            yield Metric(name, value, None, "", metadata.source)


def _listed(value: Any) -> list[Any]:
    listed = value.get("metrics") if isinstance(value, dict) else None
    return listed if isinstance(listed, list) else []


def _left_out(value: Any, path: str) -> Iterator[Note]:
    """Yield what a limit leaves out of `metrics`."""
    listed = _listed(value)
    if len(listed) > MAX_METADATA_METRICS:
        surplus = len(listed) - MAX_METADATA_METRICS
        yield Note(path, f"{surplus} entries of metrics are left out (limit MAX_METADATA_METRICS)")
    names = [name for name, _ in map(_named_number, listed[:MAX_METADATA_METRICS]) if name is not None]
    too_long = sum(len(name) > MAX_METRIC_NAME for name in names)
    if too_long:
        yield Note(path, f"{too_long} metrics with long names are left out (limit MAX_METRIC_NAME)")


def _places(contents: Contents) -> Iterator[FileEntry]:
    return (entry for entry in contents.entries if entry.path.rpartition("/")[2] == FILE_NAME)


def _why_read(declared: ModelType | None, detected: ModelType | None) -> str:
    if declared is not None:
        return f"read: the declared type is {declared}"
    return "read: no type is declared" + (f", and {detected} is detected" if detected is not None else "")


def _read(contents: Contents, entry: FileEntry, why: str, notes: tuple[Note, ...]) -> Metadata:
    """Return what *entry* holds; one that is too large, unreadable or no JSON is not used, and `why` says so."""
    raw = None
    try:
        raw = contents.read_whole(entry, "MAX_METADATA_BYTES", MAX_METADATA_BYTES)
        value, remarks = parse_json(raw, entry.path)
    except (ModelError, Unreadable) as exc:
        kind = "not valid JSON" if isinstance(exc, JsonError) else "not read"
        return Metadata(source=entry.path, raw=raw, why=f"not used: {kind}: {exc}", notes=(*notes, Note(entry.path, str(exc))))
    return Metadata(value, entry.path, raw, used=True, why=why, notes=(*notes, *remarks, *_left_out(value, entry.path)))


def _named_number(item: Any) -> tuple[str | None, float | None]:
    if not isinstance(item, dict):
        return None, None
    name = item.get("name")
    return name if isinstance(name, str) else None, as_number(item.get("numberValue"))
