"""TensorFlow checkpoints: the numbers of a model as training left them, with or without the graph beside them.

In goes a tree, out comes one detection per checkpoint prefix X: `X.index`, its data files, its graph `X.meta`, what an
unfinished save of it left, and the text file `checkpoint` where that names X as the latest. Names only group the files; what a
file is, its bytes decide, for many `.index`, `.meta` and `.ckpt` belong to somebody else. Data files without an index are an
interrupted save: TensorFlow writes the index last.

What the index holds is read by `bundle`, the older single-file format by `tensor_slices`, the graph by `meta_graph`. Whether
running that graph is safe is judged by `safety.tensorflow`.

Laws (each has a test of the same name):
    any bytes give facts or a `DetectorError`;
    a checkpoint that lost a byte of its index or its data is never complete;
    the cost does not grow with the data files.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import google_crc32c

from detectors import bundle as bundles
from detectors.bundle import Stored
from detectors.checkpoint_state import is_cut_off, latest_of, state_path
from detectors.detection import Contents, Detector, folder_of, may_be_model
from detectors.errors import MalformedModel, ModelLimit, TreeChanged, Unreadable
from detectors.facts import (
    Completeness,
    Detection,
    Evidence,
    Extraction,
    Framework,
    ModelFacts,
    ModelType,
    Parameters,
    Problem,
    State,
)
from detectors.meta_graph import lacking, may_be_meta_graph, read_meta_graph
from detectors.protos.tensorflow_pb2 import MetaGraphDef
from detectors.safety.tensorflow import judge_meta_graph
from detectors.slots import optimizer_variables
from detectors.sstable import MAGIC, has_magic, mask, value_of_empty_key
from detectors.tensor_slices import may_list_tensors, missing_parts, prefix_of, read_tensors, sums_of
from detectors.tf_operators import count_operators, custom_operators
from detectors.tf_parameters import parameters_of
from detectors.tree import FileEntry
from detectors.wire import text

FORMAT = "tensorflow_checkpoint"
BUNDLE_LAYOUT = "TF V2 checkpoint"
SINGLE_FILE_LAYOUT = "TF V1 checkpoint"

DATA = re.compile(r"(?P<prefix>.+)\.data-\d{5,}-of-\d{5,}", re.DOTALL)
LEFTOVER = re.compile(rf"(?P<prefix>.+?)(?:{bundles.LEFTOVER.pattern})", re.DOTALL)

BUNDLE_HEADER_KEYS = frozenset({0x08, 0x10, 0x1A})
"""First byte of a BundleHeaderProto: num_shards, endianness or version, whichever its writer put first."""

RECORD_HEADER_BYTES = 12
"""A TFRecord begins with a length of 8 bytes and its masked crc32c of 4."""


@dataclass(slots=True)
class _Group:
    """The files of one prefix, by what their names say."""

    index: FileEntry | None = None
    data: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)


def match(contents: Contents) -> Iterable[Detection]:
    """Return a detection per checkpoint. Reads the head and the last 8 bytes of an index, and small text files."""
    groups, others = _grouped(contents.free())
    found = [one for prefix, group in groups.items() if (one := _of_group(contents, prefix, group)) is not None]
    known = frozenset(detection.root for detection in found)
    return _with_state_files(contents, [*found, *_single_files(contents, others, known)])


def extract(contents: Contents, detection: Detection) -> Extraction:
    """Return what is known of a checkpoint. Reads its index and its graph, never its data.

    Raises:
        MalformedModel: the index is broken.
        ModelLimit: a limit of `bundle`, `sstable` or `tensor_slices` was reached.
        Unreadable: the index may not be read.
        TreeChanged: a file of it is not listed any more.
    """
    entries = [_entry(contents, path) for path in detection.files]
    extraction, stored = _read(contents, detection)
    facts = replace(
        extraction.facts,
        framework=Framework("tensorflow", None),
        size_bytes=sum(entry.size for entry in entries),
        details=MappingProxyType({**extraction.facts.details, **_latest(contents, detection)}),
    )
    return _with_state(contents, detection, _with_graph(contents, detection, replace(extraction, facts=facts), stored))


DETECTOR = Detector(FORMAT, match, extract)


# Matching.


def _grouped(entries: Iterable[FileEntry]) -> tuple[dict[str, _Group], list[FileEntry]]:
    """Return the files whose names tell a prefix, by prefix, and the others."""
    groups: dict[str, _Group] = defaultdict(_Group)
    others = []
    for entry in entries:
        if leftover := _prefix(LEFTOVER, entry.path, "temp"):
            groups[leftover].leftovers.append(entry.path)
        elif data := _prefix(DATA, entry.path, ".data-"):
            groups[data].data.append(entry.path)
        elif entry.path.endswith(".index"):
            groups[entry.path.removesuffix(".index")].index = entry
        else:
            others.append(entry)
    return groups, others


def _prefix(pattern: re.Pattern[str], path: str, hint: str) -> str | None:
    """Return the prefix that *path* has by *pattern*, None where it has none. Without *hint* in it, no pattern is tried."""
    found = pattern.fullmatch(path) if hint in path else None
    return found["prefix"] if found else None


def _of_group(contents: Contents, prefix: str, group: _Group) -> Detection | None:
    evidence = _evidence_of_index(contents, group.index)
    is_foreign = not evidence and group.data and _holds_records(contents, group.data[0])
    files = group.leftovers if is_foreign else [*group.data, *group.leftovers]
    if group.index is not None and (evidence or files):
        main = group.index.path
        files = [*files, main]
        evidence = evidence or (Evidence(main, 0, "the name of an index, beside data files of a checkpoint"),)
    elif files:
        main = files[0]
        evidence = (Evidence(main, 0, "the name of a data file of a checkpoint, without an index"),)
    else:
        return None
    return Detection(FORMAT, ModelType.TENSORFLOW, prefix, main, evidence, _with_meta(contents, prefix, files))


def _evidence_of_index(contents: Contents, index: FileEntry | None) -> tuple[Evidence, ...]:
    """Return what shows that *index* is one, nothing where it is a foreign file."""
    value = value_of_empty_key(contents.head(index)) if index is not None else b""
    if index is None or not value or value[0] not in BUNDLE_HEADER_KEYS or not _ends_as_table(contents, index):
        return ()
    header = Evidence(index.path, 0, "BundleHeaderProto under the empty key")
    return header, Evidence(index.path, index.size - len(MAGIC), f"table magic {MAGIC.hex()}")


def _ends_as_table(contents: Contents, entry: FileEntry) -> bool:
    try:
        return has_magic(contents.window(entry))
    except Unreadable as exc:
        contents.unread[entry.path] = exc.reason
        return False


def _holds_records(contents: Contents, path: str) -> bool:
    """Tell whether *path* holds TFRecords: data sets are sharded under the same kind of name."""
    head = contents.head(_entry(contents, path))[:RECORD_HEADER_BYTES]
    return len(head) == RECORD_HEADER_BYTES and mask(google_crc32c.value(head[:8])) == int.from_bytes(head[8:], "little")


def _with_meta(contents: Contents, prefix: str, files: Iterable[str]) -> tuple[str, ...]:
    """Return *files*, and the graph of *prefix* where there is one or nothing was written of it yet, sorted."""
    meta = contents.find(f"{prefix}.meta")
    if meta is None or not contents.is_free(meta.path):
        return tuple(sorted(files))
    has_graph = meta.size == 0 or may_be_meta_graph(contents.head(meta))
    return tuple(sorted([*files, meta.path] if has_graph else files))


def _single_files(contents: Contents, others: list[FileEntry], known: frozenset[str]) -> Iterator[Detection]:
    """Yield V1 checkpoints. They may have any name, so they are looked for where a name or a neighbour hints at one."""
    graphs = {entry.path.removesuffix(".meta") for entry in others if entry.path.endswith(".meta")}
    folders = {folder_of(entry.path) for entry in others if entry.path.endswith("checkpoint")}
    parts: dict[str, list[str]] = defaultdict(list)
    for entry in others:
        prefix, folder = prefix_of(entry.path), folder_of(entry.path)
        hinted = prefix in graphs or folder in folders or "ckpt" in entry.path[len(folder) :]
        if hinted and prefix not in known and may_be_model(entry) and may_list_tensors(contents.head(entry)):
            parts[prefix].append(entry.path)
    for prefix, paths in parts.items():
        evidence = (Evidence(paths[0], 0, "SavedTensorSlices under the empty key"),)
        yield Detection(FORMAT, ModelType.TENSORFLOW, prefix, paths[0], evidence, _with_meta(contents, prefix, paths))


def _with_state_files(contents: Contents, found: Iterable[Detection]) -> Iterator[Detection]:
    """Yield *found*; the text file `checkpoint` of a folder goes to the one that it names.

    Where it was cut off and names none of them, it goes to the last by name.
    """
    found = sorted(found, key=lambda detection: detection.root)
    roots = frozenset(detection.root for detection in found)
    last = {folder_of(root): root for root in sorted(roots)}
    latest: dict[str, str | None] = {}
    for detection in found:
        folder = folder_of(detection.root)
        if folder not in latest:
            latest[folder] = latest_of(contents, folder) if contents.is_free(state_path(folder)) else None
            if latest[folder] not in roots and contents.is_free(state_path(folder)) and is_cut_off(contents, folder):
                latest[folder] = last[folder]
        if detection.root == latest[folder]:
            yield replace(detection, files=tuple(sorted([*detection.files, state_path(folder)])))
        else:
            yield detection


# Extraction.


def _read(contents: Contents, detection: Detection) -> tuple[Extraction, Stored | None]:
    """Return what the files of the weights say, and what they store."""
    main = _entry(contents, detection.main)
    is_index = main.path == f"{detection.root}.index"
    if is_index and main.size:
        return _read_bundle(contents, main)
    if not is_index and prefix_of(main.path) == detection.root:
        return _read_single_files(contents, detection)
    reason = "is empty: its save has not finished" if is_index else "is missing: its save has not finished"
    leftovers = bundles.leftover_problems(bundles.leftovers_of(contents, detection.root))
    problems = (Problem(f"{detection.root}.index", reason), *leftovers)
    return Extraction(ModelFacts(), Completeness(State.INCOMPLETE, problems)), None


def _read_bundle(contents: Contents, index: FileEntry) -> tuple[Extraction, Stored]:
    bundle = bundles.read_bundle(contents, index)
    stored = bundles.stored_tensors(bundle)
    details: dict[str, Any] = {"layout": BUNDLE_LAYOUT, "num_shards": bundle.num_shards}
    if bundle.big_endian:
        details["byte_order"] = "big"
    if not bundle.has_object_graph:
        details |= _estimate(stored)
    style = "object_graph" if bundle.has_object_graph else "graph"
    completeness, sums = bundles.completeness_of(contents, bundle), bundles.sums_of(bundle)
    return Extraction(_facts(stored, style, details), completeness, sums=sums), stored


def _read_single_files(contents: Contents, detection: Detection) -> tuple[Extraction, Stored]:
    """Return what a V1 checkpoint lists. Whether two of its tensors are equal is not known without reading them."""
    paths = [path for path in detection.files if path != f"{detection.root}.meta" and prefix_of(path) == detection.root]
    by_name = {tensor.name: tensor for path in paths for tensor in read_tensors(contents, _entry(contents, path))}
    tensors = tuple(by_name.values())
    count = sum(tensor.elements for tensor in tensors if tensor.is_number)
    stored = Stored(tensors, Parameters(stored=count), bundles.dtypes_of(tensors))
    details = {"layout": SINGLE_FILE_LAYOUT, "num_shards": len(paths), **_estimate(stored)}
    sums = tuple(sums_of(contents, _entry(contents, path)) for path in paths)
    return Extraction(_facts(stored, "graph", details), _completeness_of_parts(paths), sums=sums), stored


def _completeness_of_parts(paths: Iterable[str]) -> Completeness:
    named, count = missing_parts(paths)
    problems = [Problem(path, "is missing") for path in named]
    if count > len(named):
        problems.append(Problem(named[-1], f"and {count - len(named)} more files after this one"))
    return Completeness(State.INCOMPLETE, tuple(problems)) if problems else Completeness()


def _facts(stored: Stored, style: str, details: Mapping[str, Any]) -> ModelFacts:
    details = {"tensors": len(stored.tensors), **details}
    return ModelFacts(parameters=stored.parameters, style=style, dtypes=stored.dtypes, details=details)


def _estimate(stored: Stored) -> dict[str, Any]:
    """Return how many numbers are left without what optimizers added, as far as TF1's names tell; nothing where none did."""
    numbers = [tensor for tensor in stored.tensors if tensor.is_number]
    added = optimizer_variables({tensor.name: tensor.shape for tensor in numbers})
    left = sum(tensor.elements for tensor in numbers if tensor.name not in added)
    return {"estimated_model_parameters": left} if added else {}


def _latest(contents: Contents, detection: Detection) -> Mapping[str, bool]:
    """Return whether this is the checkpoint that its folder calls the latest; nothing where the folder does not say."""
    folder = folder_of(detection.root)
    state = state_path(folder)
    is_latest = state in detection.files and latest_of(contents, folder) == detection.root
    return {"latest": is_latest} if contents.find(state) else {}


def _with_state(contents: Contents, detection: Detection, extraction: Extraction) -> Extraction:
    """Return *extraction*, incomplete where the text file `checkpoint` belongs to it and was cut off."""
    folder = folder_of(detection.root)
    state = state_path(folder)
    if state not in detection.files or not is_cut_off(contents, folder):
        return extraction
    reason = f"at byte {_entry(contents, state).size}: expected the path of a checkpoint in quotes, found the end of the file"
    completeness = extraction.completeness.and_also(State.INCOMPLETE, Problem(state, reason))
    return replace(extraction, completeness=completeness)


def _with_graph(contents: Contents, detection: Detection, extraction: Extraction, stored: Stored | None) -> Extraction:
    """Return *extraction* with what the graph beside the checkpoint adds, or what is wrong with that graph."""
    path = f"{detection.root}.meta"
    if path not in detection.files:
        return extraction
    entry = _entry(contents, path)
    if entry.size == 0:
        problem = Problem(path, "is empty: its save has not finished")
        return replace(extraction, completeness=extraction.completeness.and_also(State.INCOMPLETE, problem))
    try:
        meta, window = read_meta_graph(contents, entry)
        facts = _facts_with_graph(path, extraction.facts, meta, stored)
        judged = judge_meta_graph(path, meta, window)
    except MalformedModel as exc:
        completeness = extraction.completeness.and_also(State.CORRUPT, Problem(path, exc.reason))
        return replace(extraction, completeness=completeness)
    except (ModelLimit, Unreadable) as exc:
        return replace(extraction, unread=((path, exc.reason),))
    told = replace(extraction, facts=facts, findings=judged.findings, unread=(*extraction.unread, *judged.unread))
    if (lack := lacking(meta, facts.operators)) is None:
        return told
    problem = Problem(path, f"{lack}: its save has not finished, or it was cut off")
    return replace(told, completeness=told.completeness.and_also(State.INCOMPLETE, problem))


def _facts_with_graph(path: str, facts: ModelFacts, meta: MetaGraphDef, stored: Stored | None) -> ModelFacts:
    operators = count_operators(path, meta.graph_def)
    told = {
        "git_version": text(meta.meta_info_def.tensorflow_git_version),
        "graph_producer": meta.graph_def.versions.producer,
    }
    return replace(
        facts,
        framework=Framework("tensorflow", text(meta.meta_info_def.tensorflow_version) or None),
        parameters=parameters_of(meta, stored),
        operators=operators,
        custom_operators=custom_operators(meta.graph_def, operators),
        details=MappingProxyType({**facts.details, **{name: value for name, value in told.items() if value}}),
    )


def _entry(contents: Contents, path: str) -> FileEntry:
    entry = contents.find(path)
    if entry is None:
        raise TreeChanged(path, "is not listed any more")
    return entry
