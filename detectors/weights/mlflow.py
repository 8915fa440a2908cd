"""MLflow models: a folder with a file `MLmodel` that names the flavors in which it can be loaded.

In goes the folder, out come flavors, run and version. `MLmodel` is YAML; only lines of the shape that MLflow writes are
looked at. Where the folder holds a model that another detector reads, that model is reported and the wrapping is not.

YAML may end behind any line. MLflow writes its keys in order and `utc_time_created` always, as the last of them but for keys
of its own to come: without that the end is not proven, and where another key shows that MLflow wrote the file it was cut off.
A file of flavors alone may be written by hand; it was cut off where its last line has no value or does not end.

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
from detectors.weights.single_file import TEXTS_NOTE

FILE_NAME = "MLmodel"
MAX_BYTES = 256 << 10
"""Of `MLmodel`; the largest part is a signature, a few KB."""

MAX_FLAVORS = 50

KEYS = (
    b"artifact_path:", b"auth_policy:", b"databricks_runtime:", b"env_vars:", b"flavors:", b"metadata:", b"mlflow_version:",
    b"model_id:", b"model_size_bytes:", b"model_uuid:", b"run_id:", b"utc_time_created:",
)  # fmt: skip
"""One of these comes first, as the file's keys are sorted."""

READ_BY_OTHERS = frozenset({".onnx", ".pb", ".pbtxt"})
"""A folder with such a file is left to the detectors of that format."""

FLAVOR = re.compile(r"^  ([A-Za-z_]\w*): *$", re.MULTILINE)
PART = re.compile(r"^    (?:data|pickled_model|model_data): (\S.*)$", re.MULTILINE)
TOP = re.compile(r"^(mlflow_version|run_id|utc_time_created|model_uuid|model_size_bytes): (\S.*)$", re.MULTILINE)
FLAVORS = re.compile(r"^flavors:[ \t]*(\S.*)?\n((?:[ #].*\n?|\n)*)", re.MULTILINE)
"""What stands behind the key, which MLflow leaves empty, and the lines that belong to it."""

WRITTEN = re.compile(r"^(artifact_path|mlflow_version|model_id|model_size_bytes|model_uuid|run_id):", re.MULTILINE)
"""Keys that MLflow writes and that nobody needs who writes such a file by hand."""

CREATED = re.compile(r"""^utc_time_created: *(?:'[^'\n]+'|"[^"\n]+"|[^'"\s].*)$""", re.MULTILINE)
BARE_KEY = re.compile(r"\s*[\w.-]+:\s*")
"""A key without a value: MLflow writes `null` where there is none."""


def _match(contents: Contents) -> Iterator[Detection]:
    for entry in outermost(one for one in contents.free() if _is_mark(contents, one)):
        folder = folder_of(entry.path)
        files = free_below(contents, folder)
        if len(files) == len(contents.below(folder)) and not any(suffix(path) in READ_BY_OTHERS for path in files):
            evidence = (Evidence(entry.path, 0, "flavors of an MLflow model"),)
            yield Detection("mlflow", ModelType.CUSTOM, folder, entry.path, evidence, files)


def _is_mark(contents: Contents, entry: FileEntry) -> bool:
    """Tell whether a file is the `MLmodel` of a model, or the beginning of one."""
    if entry.path.rpartition("/")[2] != FILE_NAME:
        return False
    head = contents.head(entry)
    is_unreadable = not head and entry.size > 0
    return b"flavors:" in head or (not is_unreadable and any(head[: len(key)] == key[: len(head)] for key in KEYS))


def _extract(contents: Contents, detection: Detection) -> Extraction:
    """Return flavors, run and version, and whether the files that the flavors name are there. Reads `MLmodel`.

    Raises:
        ModelLimit: it is larger than `MAX_BYTES`.
    """
    entry = contents.find(detection.main)
    assert entry is not None
    text = contents.read_whole(entry, "MAX_BYTES", MAX_BYTES).decode("utf-8", "replace").replace("\r\n", "\n")
    flavors = found[2] if (found := FLAVORS.search(text)) else ""
    top = {key: _plain(value) for key, value in TOP.findall(text)}
    parts = [_plain(part) for part in PART.findall(flavors)]
    reason = _why_cut_off(text)
    cut_off = (Problem(entry.path, f"at byte {entry.size}: {reason}"),) if reason else ()
    problems = (*cut_off, *_missing(contents, detection.root, parts))
    facts = ModelFacts(
        size_bytes=sum(one.size for one in contents.below(detection.root)),
        framework=Framework("mlflow", top.get("mlflow_version")),
        details={
            "note": TEXTS_NOTE,
            "completeness_checked": bool(parts) and CREATED.search(text) is not None,
            "flavors": FLAVOR.findall(flavors)[:MAX_FLAVORS],
            **{key: top[key] for key in ("run_id", "utc_time_created", "model_uuid") if key in top},
        },
    )
    return Extraction(facts, Completeness(State.INCOMPLETE, problems) if problems else Completeness())


def _why_cut_off(text: str) -> str | None:
    """Return what a whole `MLmodel` has and *text* has not, None where it is whole or cannot be told from a whole one."""
    found = FLAVORS.search(text)
    if found is None or not (found[1] or found[2].strip()):
        return "expected flavors, found the end of the file"
    if CREATED.search(text):
        return None
    if written := WRITTEN.search(text):
        return f"expected utc_time_created, which MLflow writes behind {written[1]}, found the end of the file"
    last_line = text.rstrip("\n").rpartition("\n")[2]
    if BARE_KEY.fullmatch(last_line):
        return f"expected a value of {last_line.strip()[:100]}, found the end of the file"
    return None if text.endswith("\n") else "expected the end of the last line, found the end of the file"


def _missing(contents: Contents, root: str, parts: list[str]) -> Iterator[Problem]:
    for part in dict.fromkeys(parts):
        if not is_there(contents, below(root, part)):
            yield Problem(below(root, part), "a flavor names it, it is not there")


def _plain(value: str) -> str:
    """Return a YAML scalar without its quotes, cut to a length that is shown."""
    return value.strip().strip("'\"")[:500]


DETECTOR = Detector("mlflow", _match, _extract)
