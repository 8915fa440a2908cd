"""MLflow models: a folder with a file `MLmodel` that names the flavors in which it can be loaded.

In goes the folder, out come flavors, run and version. `MLmodel` is YAML; only lines of the shape that MLflow writes are
looked at. Where the folder holds a model that another detector reads, that model is reported and the wrapping is not.

    artifact_path: model
    flavors:
      python_function:
        data: model.pkl
        …
    mlflow_version: 3.1.0
    run_id: 0123456789abcdef

Source: mlflow/models/model.py, `Model.to_yaml`, MLflow 1 to 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.detection import Contents, Detector, folder_of, suffix
from detectors.facts import (
    Completeness,
    Detection,
    Evidence,
    Extraction,
    Framework,
    ModelFacts,
    ModelType,
    Problem,
    State,
)
from detectors.tree import FileEntry
from detectors.weights.folders import below, free_below, is_there, outermost
from detectors.weights.single_file import NAME_NOTE

FILE_NAME = "MLmodel"
MAX_BYTES = 256 << 10
"""Of `MLmodel`; the largest part is a signature, a few KB."""

MAX_FLAVORS = 50

READ_BY_OTHERS = frozenset({".onnx", ".pb", ".pbtxt"})
"""A folder with such a file is left to the detectors of that format."""

FLAVOR = re.compile(r"^  ([A-Za-z_]\w*): *$", re.MULTILINE)
PART = re.compile(r"^    (?:data|pickled_model|model_data): (\S.*)$", re.MULTILINE)
TOP = re.compile(r"^(mlflow_version|run_id|utc_time_created|model_uuid|model_size_bytes): (\S.*)$", re.MULTILINE)
FLAVORS = re.compile(r"^flavors:\s*\n((?:[ #].*\n?|\n)*)", re.MULTILINE)


def _match(contents: Contents) -> Iterator[Detection]:
    for entry in outermost(one for one in contents.free() if _is_mark(contents, one)):
        folder = folder_of(entry.path)
        files = free_below(contents, folder)
        if len(files) == len(contents.below(folder)) and not any(suffix(path) in READ_BY_OTHERS for path in files):
            evidence = (Evidence(entry.path, 0, "flavors of an MLflow model"),)
            yield Detection("mlflow", ModelType.CUSTOM, folder, entry.path, evidence, files)


def _is_mark(contents: Contents, entry: FileEntry) -> bool:
    return entry.path.rpartition("/")[2] == FILE_NAME and b"flavors:" in contents.head(entry)


def _extract(contents: Contents, detection: Detection) -> Extraction:
    """Return flavors, run and version, and whether the files that the flavors name are there. Reads `MLmodel`.

    Raises:
        ModelLimit: it is larger than `MAX_BYTES`.
    """
    entry = contents.find(detection.main)
    assert entry is not None
    text = contents.read_whole(entry, "MAX_BYTES", MAX_BYTES).decode("utf-8", "replace")
    flavors = found[1] if (found := FLAVORS.search(text)) else ""
    top = {key: _plain(value) for key, value in TOP.findall(text)}
    parts = [_plain(part) for part in PART.findall(flavors)]
    problems = tuple(_missing(contents, detection.root, parts))
    facts = ModelFacts(
        size_bytes=sum(one.size for one in contents.below(detection.root)),
        framework=Framework("mlflow", top.get("mlflow_version")),
        details={
            "note": NAME_NOTE,
            "completeness_checked": bool(parts),
            "flavors": FLAVOR.findall(flavors)[:MAX_FLAVORS],
            **{key: top[key] for key in ("run_id", "utc_time_created", "model_uuid") if key in top},
        },
    )
    return Extraction(facts, Completeness(State.INCOMPLETE, problems) if problems else Completeness())


def _missing(contents: Contents, root: str, parts: list[str]) -> Iterator[Problem]:
    for part in dict.fromkeys(parts):
        if not is_there(contents, below(root, part)):
            yield Problem(below(root, part), "a flavor names it, it is not there")


def _plain(value: str) -> str:
    """Return a YAML scalar without its quotes, cut to a length that is shown."""
    return value.strip().strip("'\"")[:500]


DETECTOR = Detector("mlflow", _match, _extract)
