"""TensorFlow SavedModels: where they lie, what they say of themselves, and whether they are whole.

In goes the contents of a tree, out come one detection per folder and its facts. The file is walked without its weights
(`wire`), so a model of many gigabytes costs a few small reads. A folder with variables and no saved_model file is an export
that was interrupted: TensorFlow writes that file last. Which of several version folders is the one to serve is left to
`scan`.

What is shown of several graphs in one model is the one tagged {serve}, else the first. All tags are told.

Laws (each has a test of the same name):
    a file named saved_model is a SavedModel, whole or broken;
    a prefix of a saved_model.pb with one graph is never complete;
    any bytes give facts or a `DetectorError`.

Two prefixes cannot be told from whole models, for both occur in the wild: one that ends between two graphs, and one that
lacks only the schema version where a writer put it last.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from detectors.bounds import MAX_GRAPHS, MAX_NAMES, check_count
from detectors.detection import LFS_POINTER, Contents, Detector
from detectors.errors import MalformedModel, ModelError, Unreadable
from detectors.facts import (
    Completeness,
    Detection,
    Evidence,
    Extraction,
    Finding,
    Framework,
    ModelFacts,
    ModelType,
    Parameters,
    Problem,
    Severity,
    State,
)
from detectors.pbtxt import read_text
from detectors.protos.tensorflow_pb2 import MetaGraphDef, SavedModel
from detectors.safety.tensorflow import judge_saved_model
from detectors.saved_model_folder import (
    MAIN_NAMES,
    Variables,
    asset_findings,
    asset_problems,
    assets_of,
    created_of,
    files_of,
    fingerprint_of,
    main_of,
    read_variables,
    unfinished,
    version_folder_of,
    within,
)
from detectors.signatures import signatures_of
from detectors.tf_assets import asset_files
from detectors.tf_operators import count_operators, custom_operators, uses_variables
from detectors.tf_parameters import constants_of, parameters_of
from detectors.tree import FileEntry
from detectors.wire import LEN, Skeleton, Window, hop, layout_of, parse, skeleton, text

FORMAT = "tensorflow_savedmodel"

MARK = re.compile(
    r"(?:(.*)/)?(?:saved_model\.(?:pb|pbtxt|cpb)(?:\.tmp[^/]*)?"
    r"|variables/variables(?:\.index|\.data-\d{5,}-of-\d{5,}|_temp[^/]*/.*))",
    re.DOTALL,
)
"""A path that tells of a SavedModel, or of one that is being written; the first group is its folder."""

WEIGHTS = frozenset({"TensorProto.tensor_content", "TensorProto.string_val"})
LAYOUT = layout_of(SavedModel.DESCRIPTOR, WEIGHTS)

MAX_EVIDENCE_FIELDS = 1000
"""Fields that are hopped over to see what a file is, without reading what they hold."""

SCHEMA_VERSION, META_GRAPHS = 1, 2
META_GRAPH_FIELDS = {field.number: field.name for field in MetaGraphDef.DESCRIPTOR.fields}

MAX_LOADABLE_BYTES = (2 << 30) - 1
"""The longest message that any protobuf runtime parses (protobuf.dev, "Proto Limits")."""

SPLIT_SIGNATURE = bytes.fromhex("83af70d10d884a3f")
"""The first bytes of a Riegeli file, at the start of a split SavedModel (github.com/google/riegeli, records file format)."""


def match(contents: Contents) -> Iterator[Detection]:
    """Yield a detection per folder that is, or is becoming, a SavedModel; what lies inside another one is part of it."""
    claimed: set[str] = set()
    for root, mark in sorted(_marked(contents).items()):  # an outer folder comes before what lies inside it
        detection = _detection(contents, root) if mark not in claimed else None
        if detection is not None:
            claimed.update(detection.files)
            yield detection


def extract(contents: Contents, detection: Detection) -> Extraction:
    """Return the facts of a detected SavedModel. Reads its graph without the weights, the variables index, the fingerprint.

    Raises:
        MalformedModel: the saved_model file is not a SavedModel, or is cut off.
        ModelLimit: its structure, or its text, is larger than a named limit.
    """
    main = contents.find(detection.main)
    if main is None or main.path.rpartition("/")[2] not in MAIN_NAMES:
        return _interrupted(contents, detection)
    if main.path.endswith(".cpb"):
        return _split(contents, detection, main)
    model, findings, window, lost = _read(contents, main)
    return _whole(contents, detection, model, findings, window, lost)


def _marked(contents: Contents) -> dict[str, str]:
    """Return the folders that look like a SavedModel, each with the path of a file that says so."""
    roots: dict[str, str] = {}
    for entry in contents.free():
        if "saved_model." in entry.path or "variables/variables" in entry.path:
            found = MARK.fullmatch(entry.path)
            if found:
                roots.setdefault(found[1] or "", entry.path)
    return roots


def _detection(contents: Contents, root: str) -> Detection | None:
    main = main_of(contents, root)
    if main is None and contents.find(within(root, "variables/checkpoint")):
        return None  # a training loop keeps its checkpoints there; an export has no such file
    files = files_of(contents, root)
    if main is None:
        main, saw = _first_trace(files), "part of an export, no saved_model file"
        return Detection(FORMAT, ModelType.TENSORFLOW, root, main, (Evidence(main, 0, saw),), files)
    return Detection(FORMAT, ModelType.TENSORFLOW, root, main, (_evidence(contents, main),), files)


def _first_trace(files: Iterable[str]) -> str:
    """Return the file that best stands for an interrupted export: the index of the variables, else the first."""
    files = tuple(files)
    return next((path for path in files if path.endswith("variables/variables.index")), files[0])


def _evidence(contents: Contents, path: str) -> Evidence:
    """Return what the file *path* was seen to be; what it turns out not to be is for `extract` to say."""
    entry = contents.find(path)
    named = Evidence(path, 0, f"a file named {path.rpartition('/')[2]}")
    if entry is None or not path.endswith(".pb"):
        return named
    try:
        return _meta_graph_seen(contents.window(entry)) or named
    except (ModelError, Unreadable):
        return named


def _meta_graph_seen(window: Window) -> Evidence | None:
    for found in islice(hop(window, 0, window.size), MAX_EVIDENCE_FIELDS):
        if found.number == META_GRAPHS and found.wire_type == LEN:
            numbers = {field.number for field in islice(hop(window, found.start, found.stop), MAX_EVIDENCE_FIELDS)}
            names = [name for number, name in META_GRAPH_FIELDS.items() if number in numbers]
            return Evidence(window.path, found.begin, f"MetaGraphDef with {', '.join(names)}") if names else None
    return None


def _read(contents: Contents, main: FileEntry) -> tuple[SavedModel, tuple[Finding, ...], Window | None, frozenset[str]]:
    """Return the model without its weights, what is odd about the file itself, the file where the weights are still there,
    and the fields of which some were left out."""
    findings: tuple[Finding, ...] = ()
    lost: frozenset[str] = frozenset()
    window: Window | None = None
    if main.path.endswith(".pbtxt"):
        model = read_text(contents, main, SavedModel())
    else:
        whole = contents.window(main)
        found = skeleton(whole, LAYOUT)
        model, findings = parse(found, SavedModel()), tuple(_oddities(main, found))
        window, lost = None if found.is_whole else whole, found.lost
    _check_counts(main.path, model)
    if not any(meta.HasField("graph_def") for meta in model.meta_graphs):
        raise MalformedModel(main.path, None, f"expected a MetaGraphDef with a graph, found {_instead(contents, main)}")
    return model, findings, window, lost


def _check_counts(path: str, model: SavedModel) -> None:
    """Raise ModelLimit where the model lists more than any real one."""
    check_count(path, "meta graphs", len(model.meta_graphs), MAX_GRAPHS, "MAX_GRAPHS")
    for meta in model.meta_graphs:
        objects = (node.user_object.identifier for node in meta.object_graph_def.nodes)
        check_count(path, "assets", len(asset_files(meta)), MAX_NAMES, "MAX_NAMES")
        check_count(path, "collections", len(meta.collection_def), MAX_NAMES, "MAX_NAMES")
        check_count(path, "kinds of objects", len(set(objects)), MAX_NAMES, "MAX_NAMES")


def _oddities(main: FileEntry, found: Skeleton) -> Iterator[Finding]:
    if found.counts.get(SCHEMA_VERSION, 0) > 1:
        message = "holds its schema version more than once: several files were joined into one"
        yield Finding("tf-duplicate-field", Severity.MEDIUM, main.path, "saved_model_schema_version", message)
    if main.size > MAX_LOADABLE_BYTES:
        message = f"has {main.size} bytes; no runtime can parse more than {MAX_LOADABLE_BYTES}"
        yield Finding("tf-too-large", Severity.MEDIUM, main.path, "", message)


def _instead(contents: Contents, main: FileEntry) -> str:
    if main.size == 0:
        return "an empty file"
    if contents.head(main).startswith(LFS_POINTER):
        return "a Git LFS pointer, whose file was never downloaded"
    return "none"


def _whole(
    contents: Contents,
    detection: Detection,
    model: SavedModel,
    findings: tuple[Finding, ...],
    window: Window | None,
    lost: frozenset[str],
) -> Extraction:
    meta = shown_graph(model)
    operators = count_operators(detection.main, meta.graph_def)
    if "" in operators:
        raise MalformedModel(detection.main, None, "a node of the graph has no operator")
    variables = read_variables(contents, detection.root, uses_variables(operators))
    fingerprint, contradictions = fingerprint_of(contents, detection.root)
    version = text(meta.meta_info_def.tensorflow_version)
    facts = ModelFacts(
        signatures=signatures_of(detection.main, meta),
        parameters=parameters_of(meta, variables.stored),
        size_bytes=_size(contents, detection),
        framework=Framework("tensorflow", version or None),
        style="object_graph" if meta.HasField("object_graph_def") else "graph",
        tags=tuple(_tags(each) for each in model.meta_graphs),
        operators=operators,
        custom_operators=custom_operators(meta.graph_def, operators),
        dtypes=variables.stored.dtypes if variables.stored else {},
        fingerprint=fingerprint,
        created=created_of(detection.root),
        details=_details(model, meta, detection.root),
    )
    judged = judge_saved_model(detection.main, model, window, lost)
    assets = assets_of(model)
    incomplete = (*unfinished(detection.root, detection.files), *asset_problems(contents, detection.root, assets))
    return Extraction(
        facts,
        _completeness(variables, incomplete, contradictions),
        (*findings, *judged.findings, *asset_findings(detection.main, assets), *_equal_tags(detection.main, facts.tags)),
        (*variables.unread, *judged.unread),
        variables.sums,
    )


def shown_graph(model: SavedModel) -> MetaGraphDef:
    """Return the graph of *model* that is shown: the one tagged {serve}, else the first that has a graph."""
    graphs = [meta for meta in model.meta_graphs if meta.HasField("graph_def")]
    return next((meta for meta in graphs if _tags(meta) == ("serve",)), graphs[0])


def _tags(meta: MetaGraphDef) -> tuple[str, ...]:
    return tuple(sorted({text(tag) for tag in meta.meta_info_def.tags}))


def _equal_tags(path: str, tags: Iterable[tuple[str, ...]]) -> Iterator[Finding]:
    for each, count in Counter(tags).items():
        if count > 1:
            message = f"{count} graphs are tagged {{{', '.join(each)}}}; a loader takes the first of them"
            yield Finding("tf-equal-tags", Severity.INFO, path, "", message)


def _completeness(variables: Variables, incomplete: tuple[Problem, ...], corrupt: tuple[Problem, ...]) -> Completeness:
    found = variables.completeness
    if incomplete:
        found = found.and_also(State.INCOMPLETE, *incomplete)
    return found.and_also(State.CORRUPT, *corrupt) if corrupt else found


def _details(model: SavedModel, meta: MetaGraphDef, root: str) -> dict[str, Any]:
    constants = constants_of(meta.graph_def)
    return {
        "schema_version": model.saved_model_schema_version,
        "meta_graphs": len(model.meta_graphs),
        "version_folder": version_folder_of(root),
        "assets": [text(name) for name in assets_of(model)],
        "functions": len(meta.graph_def.library.function),
        "constants": {"tensors": constants.tensors, "elements": constants.elements},
        "collections": sorted(text(entry.key) for entry in meta.collection_def),
        "objects": _objects(meta),
        "git_version": text(meta.meta_info_def.tensorflow_git_version) or None,
    }


def _objects(meta: MetaGraphDef) -> dict[str, int]:
    """Return how many objects of each kind the model saved; Keras 2 names its own `_tf_keras_layer`, `_tf_keras_model`, …"""
    kinds = Counter(text(node.user_object.identifier) for node in meta.object_graph_def.nodes if node.HasField("user_object"))
    return dict(sorted(kinds.items()))


def _interrupted(contents: Contents, detection: Detection) -> Extraction:
    """Return what an export left that never came to its saved_model file."""
    name = within(detection.root, MAIN_NAMES[0])
    missing = Problem(name, "is missing: it is written last, so the export has not finished")
    return _without_graph(contents, detection, (missing,))


def _split(contents: Contents, detection: Detection, main: FileEntry) -> Extraction:
    """Return what can be said of a model that was split into chunks because it is larger than 2 GiB: only that it is one."""
    if not contents.head(main).startswith(SPLIT_SIGNATURE):
        raise MalformedModel(
            main.path, 0, f"expected the signature of a Riegeli file, found {contents.head(main)[:8].hex(' ')}"
        )
    return _without_graph(contents, detection, (), note="split SavedModel, not parsed")


def _without_graph(contents: Contents, detection: Detection, problems: tuple[Problem, ...], **details: str) -> Extraction:
    """Return what the files beside the graph tell; *problems* make the model incomplete."""
    variables = read_variables(contents, detection.root, None)
    facts = ModelFacts(
        parameters=variables.stored.parameters if variables.stored else Parameters(),
        size_bytes=_size(contents, detection),
        framework=Framework("tensorflow", None),
        dtypes=variables.stored.dtypes if variables.stored else {},
        fingerprint=fingerprint_of(contents, detection.root)[0],
        created=created_of(detection.root),
        details={"version_folder": version_folder_of(detection.root), **details},
    )
    completeness = _completeness(variables, (*problems, *unfinished(detection.root, detection.files)), ())
    return Extraction(facts, completeness, unread=variables.unread, sums=variables.sums)


def _size(contents: Contents, detection: Detection) -> int:
    entries = (contents.find(path) for path in detection.files)
    return sum(entry.size for entry in entries if entry is not None)


DETECTOR = Detector(FORMAT, match, extract)
