"""The folder of a SavedModel: which files belong to it, and whether everything that its graph names is there.

In go a tree's contents and the folder, out come paths, problems and findings, all from the listing alone; only the index of
the variables is read (`bundle`). What the graph means is left to `saved_model`.

    saved_model.pb | saved_model.pbtxt | saved_model.cpb     written last, under a temporary name first
    variables/variables.index, variables.data-NNNNN-of-MMMMM
    assets/  assets.extra/  debug/  fingerprint.pb  keras_metadata.pb
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from detectors.bundle import (
    Stored,
    completeness_of,
    leftover_problems,
    leftovers_of,
    read_bundle,
    starting_with,
    stored_tensors,
    sums_of,
)
from detectors.detection import Contents
from detectors.errors import MalformedModel, ModelLimit, Unreadable
from detectors.facts import Completeness, FileSums, Finding, Parameters, Problem, Severity, State
from detectors.protos.tensorflow_pb2 import FingerprintDef, SavedModel
from detectors.tf_assets import asset_files
from detectors.tree import readable

MAIN_NAMES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
"""In the order in which TensorFlow's loader looks for them (tensorflow/python/saved_model/loader_impl.py)."""

FOLDERS = ("assets", "assets.extra", "debug", "variables")

OWN_FILE = re.compile(r"(?:saved_model\.(?:pb|pbtxt|cpb)|fingerprint\.pb|keras_metadata\.pb)(?:\.tmp[^/]*)?")
UNFINISHED = re.compile(r"(?:saved_model\.(?:pb|pbtxt|cpb)|fingerprint\.pb)\.tmp[^/]*")
"""A name that TensorFlow writes under before it renames the file to its own name."""

SHARD = re.compile(r"\.data-\d{5,}-of-\d{5,}")

ESTIMATOR_TEMPORARY = re.compile(r"temp-(?:b')?\d{10,}'?")
"""The folder that an Estimator exports into and renames when it is done."""

MAX_FINGERPRINT_BYTES = 64 << 10
"""Bytes of fingerprint.pb; TensorFlow writes about 60."""

MAX_ASSETS_TOLD = 20
"""Missing assets, and assets outside, that are told one by one; the rest is a count."""


NOTHING_STORED = Stored((), Parameters(0, 0, 0), {})


@dataclass(frozen=True, slots=True)
class Variables:
    """What the checkpoint of a SavedModel holds: *stored* is None where that cannot be known."""

    stored: Stored | None
    completeness: Completeness
    unread: tuple[tuple[str, str], ...] = ()
    sums: tuple[FileSums, ...] = ()


def within(root: str, name: str) -> str:
    """Return the path of *name* in the folder *root*, "" being the tree itself."""
    return f"{root}/{name}" if root else name


def main_of(contents: Contents, root: str) -> str | None:
    """Return the path of the file that TensorFlow's loader would take in *root*, None where there is none."""
    paths = (within(root, name) for name in MAIN_NAMES)
    return next((path for path in paths if contents.find(path)), None)


def files_of(contents: Contents, root: str) -> tuple[str, ...]:
    """Return the paths of all files that belong to the SavedModel in *root*, sorted; its other neighbours do not."""
    named = [
        entry.path
        for stem in ("fingerprint.pb", "keras_metadata.pb", "saved_model.")
        for entry in starting_with(contents, within(root, stem))
        if OWN_FILE.fullmatch(entry.path, len(within(root, "")))
    ]
    below = [entry.path for folder in FOLDERS for entry in contents.below(within(root, folder))]
    return tuple(sorted(named + below))


def read_variables(contents: Contents, root: str, used: int | None) -> Variables:
    """Return what the checkpoint below *root* stores and whether it is whole. Reads the index and nothing else.

    *used* is how many variables the graph has, None where there is no graph to ask.
    """
    prefix = within(root, "variables/variables")
    index = contents.find(prefix + ".index")
    if index is None:
        completeness = _without_index(contents, prefix, used)
        return Variables(NOTHING_STORED if used == 0 and not completeness.problems else None, completeness)
    try:
        bundle = read_bundle(contents, index)
    except MalformedModel as exc:
        return Variables(None, Completeness(State.CORRUPT, (Problem(exc.path, exc.reason),)))
    except (ModelLimit, Unreadable) as exc:
        return Variables(None, Completeness(), ((exc.path, exc.reason),))
    return Variables(stored_tensors(bundle), completeness_of(contents, bundle), sums=sums_of(bundle))


def _without_index(contents: Contents, prefix: str, used: int | None) -> Completeness:
    problems = list(leftover_problems(leftovers_of(contents, prefix)))
    if any(SHARD.fullmatch(entry.path, len(prefix)) for entry in starting_with(contents, prefix + ".data-")):
        problems.insert(0, Problem(prefix + ".index", "is missing, its data files are there"))
    elif used:
        problems.insert(0, Problem(prefix + ".index", f"is missing, the graph has {used} variables"))
    return Completeness(State.INCOMPLETE, tuple(problems)) if problems else Completeness()


def unfinished(root: str, files: Iterable[str]) -> Iterator[Problem]:
    """Yield what says that the export into *root* has not finished: temporary names of the folder and of its *files*."""
    if ESTIMATOR_TEMPORARY.fullmatch(root.rpartition("/")[2]):
        yield Problem(root, "is the temporary folder of an export that has not finished")
    for path in files:
        if UNFINISHED.fullmatch(path, len(within(root, ""))):
            yield Problem(path, "left by an export that has not finished")


def assets_of(model: SavedModel) -> tuple[bytes, ...]:
    """Return the names of the asset files of all graphs of *model*, each once, sorted."""
    return tuple(sorted({asset.filename for meta in model.meta_graphs for asset in asset_files(meta)}))


def asset_problems(contents: Contents, root: str, names: Iterable[bytes]) -> Iterator[Problem]:
    """Yield the assets that are missing, at most `MAX_ASSETS_TOLD` and a count. What leads outside is not looked up."""
    paths = [within(root, f"assets/{posixpath.normpath(_path(name))}") for name in names if not _leads_outside(name)]
    missing = [path for path in paths if contents.find(path) is None]
    for path in missing[:MAX_ASSETS_TOLD]:
        yield Problem(path, "is missing, the graph names it as an asset")
    if len(missing) > MAX_ASSETS_TOLD:
        yield Problem(within(root, "assets"), f"lacks {len(missing) - MAX_ASSETS_TOLD} more assets")


def asset_findings(main: str, names: Iterable[bytes]) -> Iterator[Finding]:
    """Yield a finding per asset whose name leads outside the folder: loading the model would read that file."""
    outside = [readable(_path(name))[:200] for name in names if _leads_outside(name)]
    for shown in outside[:MAX_ASSETS_TOLD]:
        message = f"names an asset outside its folder: {shown}"
        yield Finding("tf-asset-outside", Severity.HIGH, main, f"asset {shown}", message)
    if len(outside) > MAX_ASSETS_TOLD:
        message = f"names {len(outside) - MAX_ASSETS_TOLD} more assets outside its folder"
        yield Finding("tf-asset-outside", Severity.HIGH, main, "", message)


def fingerprint_of(contents: Contents, root: str) -> tuple[str | None, tuple[Problem, ...]]:
    """Return TensorFlow's "singleprint" of the model, None where there is none, and what is wrong with the file.

    It stays the same from one export of equal content to the next; the checksum beside it does not.
    Source: tensorflow/python/saved_model/fingerprinting.py, Fingerprint.singleprint.
    """
    entry = contents.find(within(root, "fingerprint.pb"))
    if entry is None:
        return None, ()
    try:
        found = FingerprintDef.FromString(contents.read_whole(entry, "MAX_FINGERPRINT_BYTES", MAX_FINGERPRINT_BYTES))
    except (DecodeError, ModelLimit, Unreadable):
        return None, (Problem(entry.path, "is not a fingerprint"),)
    hashes = (found.graph_def_program_hash, found.signature_def_hash, found.saved_object_graph_hash, found.checkpoint_hash)
    return "/".join(str(one) for one in hashes), ()


def created_of(root: str) -> str | None:
    """Return when the model was exported, where its folder is named by the time as Estimators do; ISO 8601 in UTC."""
    name = root.rpartition("/")[2]
    if not re.fullmatch(r"[1-9]\d{9}", name, re.ASCII):
        return None
    return datetime.fromtimestamp(int(name), UTC).isoformat().replace("+00:00", "Z")


def version_folder_of(root: str) -> int | None:
    """Return the version that TensorFlow Serving would give the model: the number that its folder is named by."""
    name = root.rpartition("/")[2]
    return int(name) if re.fullmatch(r"\d{1,18}", name, re.ASCII) else None


def _path(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _leads_outside(name: bytes) -> bool:
    """Tell whether *name* is absolute, steps up, or ends for C at a zero byte; a backslash is a slash, as on Windows."""
    path = name.replace(b"\\", b"/")
    return path.startswith(b"/") or b".." in path.split(b"/") or path[1:2] == b":" or b"\0" in path
