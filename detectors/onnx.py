"""ONNX models: found by their structure under any name, read without their weights.

In goes a tree's listing; out come one detection per model file and its facts: signature, operators, operator sets, element
types, parameters, external data, and whether all of it is there. A 1 GB model costs a few hundred small reads. Whether a
runtime can load it is left to the load check.

What "complete" promises: every prefix of a model's file is corrupt, but for prefixes that are whole models themselves. A file
cut between two top-level fields may be one, when all that is lost is metadata, a description or functions of an operator
set that is imported; onnx's own checker takes these too. It refuses one more kind that is a finding here
(`onnx-opset-missing`): nodes of a custom domain without an opset import, which runtimes fill in when they load the operators,
as in 4 of 315 honest models. A missing import of one of ONNX's own domains is corrupt.

Source: onnx/onnx.proto and onnx/docs/IR.md of onnx 1.23.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from detectors import onnx_duplicates, onnx_external, onnx_operators
from detectors.bounds import MAX_NAMES, MAX_RANK, MAX_SPECS, check_count
from detectors.detection import LFS_POINTER, Contents, Detector, folder_of, may_be_model, suffix
from detectors.errors import ModelError, ModelLimit, TreeChanged, Unreadable
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
    Signature,
    State,
)
from detectors.onnx_inventory import Inventory, Role, domain_name, elements_of, operator_name, take_inventory
from detectors.onnx_operators import OWN_DOMAINS
from detectors.onnx_structure import FIRST_IR_WITH_OPSETS, MAX_IR_VERSION, is_op_type, read_structure
from detectors.onnx_types import dtype_name, rank_of, tensor_spec
from detectors.onnx_values import VALUE_FIELDS, wrong_values
from detectors.protos import onnx_pb2
from detectors.tree import FileEntry
from detectors.weights import ort
from detectors.wire import Skeleton, layout_of, parse, skeleton, text

SUFFIX = ".onnx"

MAX_INLINE_BYTES = 2**31 - 1
"""The longest message that any protobuf runtime parses."""

MAX_OPERATOR_TYPES = 20_000
"""Operators told by name; more types than that are no model that anybody runs."""

MAX_PROBLEMS = 100
"""Problems of one kind that are told one by one."""

MAX_PROPERTIES = 1000
MAX_PROPERTY_CHARACTERS = 4096
"""How much of `metadata_props` is told: pairs, and characters of each value."""

QUANTISING = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "MatMulNBits")
QUANTISING_PREFIXES = ("QLinear", "QGemm", "QAttention", "QMoE")
"""Operators that only quantised models hold; onnx itself and com.microsoft."""

FRAMEWORKS = {
    "pytorch": "pytorch",
    "onnx-caffe2": "caffe2",
    "cntk": "cntk",
    "chainer": "chainer",
    "paddlepaddle": "paddlepaddle",
    "ml.net": "ml.net",
}
CONVERTED_FROM = {"tf2onnx": "tensorflow", "keras2onnx": "keras", "skl2onnx": "scikit-learn"}
"""Producers (in lower case) that name a framework: with its version, or as a converter whose version is not the framework's."""

PLAIN_ATTRIBUTE = (1, 2, 3, 4, 20, 21)
"""Fields of an AttributeProto without tensor or graph: name, f, i, s, type, ref_attr_name. The lean message has none."""

LAYOUT = layout_of(
    onnx_pb2.ModelProto.DESCRIPTOR,
    weights=frozenset(f"TensorProto.{name}" for name in VALUE_FIELDS.values()),
    also={"AttributeProto": PLAIN_ATTRIBUTE},
)

MAY_BE_LARGE = frozenset({"StringStringEntryProto.value"})
"""Texts that people write without end into metadata. Of external data they are missed, which is told as such."""

SINGULAR_FIELDS = {
    1: "ir_version",
    2: "producer_name",
    3: "producer_version",
    4: "domain",
    5: "model_version",
    6: "doc_string",
    7: "graph",
}


def match(contents: Contents) -> Iterator[Detection]:
    """Yield the models among the free files: those laid out as ONNX, and those named so whose layout is broken.

    Reads the head of each candidate, hops over its top-level fields, and walks a recognised model where other files lie
    beside it, to learn which of them hold its external data. A shared data file goes to the first model by path.
    """
    whole: dict[FileEntry, Evidence] = {}
    broken: dict[FileEntry, Evidence] = {}
    for entry in contents.free():
        if not _is_candidate(contents, entry):
            continue
        try:
            whole[entry] = _look(contents, entry)
        except ModelError as exc:
            if suffix(entry.path) == SUFFIX:
                broken[entry] = Evidence(entry.path, exc.offset or 0, f"named {SUFFIX}, but {exc.reason}")
        except Unreadable as exc:
            contents.unread[entry.path] = exc.reason
    claimed = {entry.path for entry in whole}
    for entry, evidence in whole.items():
        parts = [path for path in _external_files(contents, entry) if contents.is_free(path) and path not in claimed]
        claimed.update(parts)
        yield _detection(entry, evidence, parts)
    yield from (_detection(entry, evidence, []) for entry, evidence in broken.items() if entry.path not in claimed)


def extract(contents: Contents, detection: Detection) -> Extraction:
    """Return the facts of one model; its weights stay unread.

    size_bytes counts the model file and every external data file it names that is there, shared ones included.

    Raises:
        MalformedModel: the file is not a protobuf message, or cut off.
        ModelLimit: the model's structure is beyond a named limit.
        TreeChanged, TreeUnavailable, Unreadable: as of reading the tree.
    """
    entry = contents.find(detection.main)
    if entry is None:
        raise TreeChanged(detection.main, "is not in this tree")
    found = skeleton(contents.window(entry), LAYOUT)
    duplicates = list(onnx_duplicates.findings(found))
    model = parse(found, onnx_pb2.ModelProto())
    _check_counts(entry.path, model)
    inventory = take_inventory(model, entry.path, onnx_operators.WATCHED)
    if len(inventory.operators) > MAX_OPERATOR_TYPES:
        raise ModelLimit(entry.path, None, "MAX_OPERATOR_TYPES", f"more than {MAX_OPERATOR_TYPES} types of operators")
    external = onnx_external.examine(contents, entry.path, inventory.tensors)
    wrong = _wrong_tensors(entry.path, inventory, found.is_whole)
    corrupt = [*_wrong_structure(entry.path, model, inventory), *wrong[State.CORRUPT], *external.contradictory]
    return Extraction(
        facts=_facts(model, inventory, external, entry.size + sum(external.files.values())),
        completeness=_completeness(corrupt, [*wrong[State.INCOMPLETE], *external.missing]),
        findings=(
            *_findings(entry, found, inventory),
            *duplicates,
            *onnx_operators.findings(entry.path, model, inventory),
            *external.findings,
        ),
        unread=external.unread,
    )


def _check_counts(path: str, model: onnx_pb2.ModelProto) -> None:
    """Raise ModelLimit where the model lists more than any real one."""
    given = (*model.graph.input, *model.graph.output)
    check_count(path, "inputs and outputs", len(given), MAX_SPECS, "MAX_SPECS")
    axes = max((rank_of(value.type) for value in given), default=0)
    check_count(path, "axes on one tensor", axes, MAX_RANK, "MAX_RANK")
    check_count(path, "opset imports", len(model.opset_import), MAX_NAMES, "MAX_NAMES")


def _is_candidate(contents: Contents, entry: FileEntry) -> bool:
    """Tell whether *entry* may be ours: worth opening, and not plainly something else. Reads its head."""
    if suffix(entry.path) != SUFFIX and not may_be_model(entry):
        return False
    head = contents.head(entry)
    unreadable = not head and entry.size > 0
    return not (unreadable or head.startswith(LFS_POINTER) or head[4:8] == ort.MAGIC)


def _look(contents: Contents, entry: FileEntry) -> Evidence:
    """Return what shows that *entry* is an ONNX model; raises MalformedModel where it is not, or is broken."""
    window = contents.window(entry)
    window.begin_with(contents.head(entry))
    seen = read_structure(window)
    saw = f"ModelProto of IR version {seen.ir_version} with a graph whose first node is {seen.first_op}"
    return Evidence(entry.path, seen.graph_offset, saw)


def _detection(entry: FileEntry, evidence: Evidence, parts: list[str]) -> Detection:
    return Detection("onnx", ModelType.ONNX, entry.path, entry.path, (evidence,), tuple(sorted([entry.path, *parts])))


def _external_files(contents: Contents, entry: FileEntry) -> Iterable[str]:
    """Return the listed files that hold external data of the model; none where the model is broken inside, or too large."""
    if len(contents.below(folder_of(entry.path))) < 2:
        return ()
    try:
        found = skeleton(contents.window(entry), LAYOUT)
        if b"location" not in found.data:
            return ()
        tensors = take_inventory(parse(found, onnx_pb2.ModelProto()), entry.path).tensors
        return onnx_external.files_named(contents, entry.path, tensors)
    except (ModelError, Unreadable):
        return ()


def _completeness(corrupt: Iterable[Problem], missing: Iterable[Problem]) -> Completeness:
    completeness = Completeness()
    for state, problems in ((State.CORRUPT, tuple(corrupt)), (State.INCOMPLETE, tuple(missing))):
        if problems:
            completeness = completeness.and_also(state, *problems)
    return completeness


def _wrong_structure(path: str, model: onnx_pb2.ModelProto, inventory: Inventory) -> Iterator[Problem]:
    """Yield what every ONNX model has and this one lacks."""
    if not 1 <= model.ir_version <= MAX_IR_VERSION:
        yield Problem(path, f"expected an IR version from 1 to {MAX_IR_VERSION}, found {model.ir_version}")
    if not model.HasField("graph"):
        yield Problem(path, "expected a graph, found none")
    elif not model.graph.node and not model.graph.output:
        yield Problem(path, "expected a graph with nodes or outputs, found neither")
    if model.ir_version >= FIRST_IR_WITH_OPSETS and not model.opset_import:
        yield Problem(path, f"expected an opset import, as of IR version {model.ir_version}, found none")
    elif model.ir_version >= FIRST_IR_WITH_OPSETS:
        for domain in sorted(inventory.unimported & OWN_DOMAINS):
            yield Problem(path, f"expected an opset import for the nodes of domain {domain_name(domain)}, found none")
    unnamed = sum(count for (_, op_type), count in inventory.operators.items() if not is_op_type(op_type))
    if unnamed:
        yield Problem(path, f"expected a printable op_type on every node, found {unnamed} without")


def _wrong_tensors(path: str, inventory: Inventory, is_whole: bool) -> dict[State, list[Problem]]:
    """Return the problems of tensors whose values stand in the model file, by what they make of the model.

    Where the skeleton *is_whole*, sizes are no sizes of what was left out.
    """
    problems: dict[State, list[Problem]] = {State.CORRUPT: [], State.INCOMPLETE: []}
    for held in inventory.tensors:
        wrong = wrong_values(held.tensor, is_whole)
        if wrong is not None and len(problems[wrong.state]) < MAX_PROBLEMS:
            problems[wrong.state].append(Problem(path, f"{held.place}: {wrong.reason}"))
    return problems


def _findings(entry: FileEntry, found: Skeleton, inventory: Inventory) -> Iterator[Finding]:
    for number, name in SINGULAR_FIELDS.items():
        if found.counts.get(number, 0) > 1:
            message = f"holds {name} {found.counts[number]} times: readers merge them or take the last, as of two files in one"
            yield Finding("onnx-duplicate-field", Severity.MEDIUM, entry.path, name, message)
    if entry.size > MAX_INLINE_BYTES:
        message = f"is over 2 GiB inline ({entry.size} bytes): no runtime can load it"
        yield Finding("onnx-over-2gib", Severity.HIGH, entry.path, "", message)
    for left in found.left_out:
        if left.name not in MAY_BE_LARGE:
            message = f"has {left.size} bytes of {left.name} at byte {left.begin}: it was not looked at"
            yield Finding("onnx-oversized-field", Severity.MEDIUM, entry.path, left.name, message)
    for domain in sorted(inventory.unimported - OWN_DOMAINS)[:MAX_PROBLEMS]:
        message = f"has nodes of domain {domain_name(domain)} and no opset import for it"
        yield Finding("onnx-opset-missing", Severity.MEDIUM, entry.path, "opset_import", message)


def _facts(
    model: onnx_pb2.ModelProto, inventory: Inventory, external: onnx_external.ExternalData, size_bytes: int
) -> ModelFacts:
    weights = [held.tensor for held in inventory.tensors if held.role is Role.INITIALIZER]
    return ModelFacts(
        signatures=(_signature(model.graph),) if model.HasField("graph") else (),
        parameters=Parameters(stored=_elements(weights)),
        size_bytes=size_bytes,
        framework=_framework(text(model.producer_name), text(model.producer_version)),
        producer=f"{text(model.producer_name)} {text(model.producer_version)}".strip() or None,
        opset_imports={domain_name(opset.domain): opset.version for opset in model.opset_import},
        operators={operator_name(operator): count for operator, count in sorted(inventory.operators.items())},
        custom_operators=tuple(map(operator_name, onnx_operators.custom_operators(model, inventory.operators))),
        dtypes=_dtypes(weights),
        details=_details(model, inventory, external),
    )


def _signature(graph: onnx_pb2.GraphProto) -> Signature:
    """Return the signature of a graph: its inputs are those without an initializer (older models list both)."""
    given = {tensor.name for tensor in graph.initializer} | {sparse.values.name for sparse in graph.sparse_initializer}
    return Signature(
        name=text(graph.name),
        method="",
        inputs=tuple(tensor_spec(value) for value in graph.input if value.name not in given),
        outputs=tuple(tensor_spec(value) for value in graph.output),
    )


def _elements(tensors: Iterable[onnx_pb2.TensorProto]) -> int | None:
    """Return how many elements all *tensors* have, None where the dimensions of one make no sense."""
    counts = [elements_of(tensor) for tensor in tensors]
    return None if None in counts else sum(count for count in counts if count is not None)


def _dtypes(tensors: Iterable[onnx_pb2.TensorProto]) -> dict[str, int]:
    counted = Counter(tensor.data_type for tensor in tensors)
    return {dtype_name(number): count for number, count in sorted(counted.items())}


def _framework(producer: str, version: str) -> Framework | None:
    """Return the framework where the producer names one plainly; a converter's own version says nothing of it."""
    name = producer.lower()
    if name in FRAMEWORKS:
        return Framework(FRAMEWORKS[name], version or None)
    return Framework(CONVERTED_FROM[name], None) if name in CONVERTED_FROM else None


def _details(model: onnx_pb2.ModelProto, inventory: Inventory, external: onnx_external.ExternalData) -> dict[str, Any]:
    constants = [held.tensor for held in inventory.tensors if held.role is Role.CONSTANT]
    return {
        "ir_version": model.ir_version,
        "model_version": model.model_version,
        "domain": text(model.domain),
        "nodes": sum(inventory.operators.values()),
        "constants": {"tensors": len(constants), "elements": _elements(constants)},
        "functions": len(model.functions),
        "training": bool(model.training_info),
        "quantization": _quantization(model, inventory),
        "metadata_props": _metadata_props(model),
        "external_data": list(external.details),
    }


def _quantization(model: onnx_pb2.ModelProto, inventory: Inventory) -> dict[str, Any]:
    """Return hints of quantisation: operators that only quantised models hold, and annotated tensors."""
    counted: Counter[str] = Counter()
    for (_, op_type), count in inventory.operators.items():
        name = text(op_type)
        if name in QUANTISING or name.startswith(QUANTISING_PREFIXES):
            counted[name] += count
    return {"operators": dict(sorted(counted.items())), "annotations": len(model.graph.quantization_annotation)}


def _metadata_props(model: onnx_pb2.ModelProto) -> dict[str, str]:
    shown = islice(model.metadata_props, MAX_PROPERTIES)
    return {text(entry.key)[:MAX_PROPERTY_CHARACTERS]: text(entry.value)[:MAX_PROPERTY_CHARACTERS] for entry in shown}


DETECTOR = Detector("onnx", match, extract)
