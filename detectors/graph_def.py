"""Frozen TensorFlow graphs: a GraphDef in one file, its variables turned into constants.

In goes the contents of a tree, out come a detection per file and what the graph says: what it is fed, what it gives, how many
numbers its constants hold. A GraphDef has no signatures: its inputs are the placeholders, its outputs what nobody consumes.
There is no magic number either, so a file counts as a graph when its first nodes look like nodes and one of them is an operator
that TensorFlow has. Graphs beside checkpoints or event files (`graph.pbtxt` of an Estimator) are notes of a training run, not
models; MetaGraphDef files (`.meta`) belong to checkpoints.

Whether the file ends where the graph ends can only be told by the version that follows the nodes; writers put it last. Three of
the eleven public graphs at hand have one; four more end with a library, which stands before the version. A graph without a
version is `incomplete`: it cannot be told from one that was cut off.

Laws (each has a test of the same name):
    any bytes give facts or a `DetectorError`;
    a graph cut inside a node is corrupt;
    a graph cut between two nodes is incomplete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from heapq import nsmallest
from itertools import islice

from detectors.bounds import MAX_RANK, check_count
from detectors.detection import Contents, Detector, folder_of, may_be_model, suffix
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
    Shape,
    Signature,
    State,
    TensorSpec,
)
from detectors.pbtxt import read_text
from detectors.protos.tensorflow_pb2 import AttrValue, GraphDef, NodeDef, TensorShapeProto
from detectors.safety.tensorflow import judge_graph
from detectors.signatures import shape_of
from detectors.tf_operators import VARIABLE_OPS, count_operators, custom_operators, uses_variables
from detectors.tf_ops import has_outputs, is_registered, output_dtypes
from detectors.tf_parameters import constants_of
from detectors.tree import FileEntry
from detectors.wire import LEN, VARINT, Field, Window, hop, layout_of, parse, shown, skeleton, text

FORMAT = "tensorflow_graphdef"

WEIGHTS = frozenset({"TensorProto.tensor_content", "TensorProto.string_val"})
LAYOUT = layout_of(GraphDef.DESCRIPTOR, WEIGHTS)

NODE, LIBRARY, VERSION, VERSIONS = 1, 2, 3, 4
FIELDS = {NODE: LEN, LIBRARY: LEN, VERSION: VARINT, VERSIONS: LEN}
"""GraphDef's fields and their wire types (tensorflow/core/framework/graph.proto)."""

FIRST_BYTES = frozenset(number << 3 | wire_type for number, wire_type in FIELDS.items())

NODE_FIELDS = frozenset(range(1, 9))
"""NodeDef's fields (tensorflow/core/framework/node_def.proto); all are messages or strings."""

MAX_FIELDS_SEEN = 64
"""Fields of a file, and of a node, that are looked at to tell whether it is a graph."""

MAX_NAME_BYTES = 1 << 10
"""Bytes of a node's name or operator that are looked at; TensorFlow's own names stay far below."""

NODE_NAME = re.compile(rb"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
"""tensorflow/core/framework/node_def_util.cc, IsValidNodeName; internal names may begin with "_" as well."""

OP_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_>]*")

TEXT_START = re.compile(rb"(?:\s|#[^\n]*\n)*(?:node|library|versions)\s*:?\s*[{<]")
TEXT_OP = re.compile(rb'\bop\s*:\s*"([A-Za-z0-9_>]+)"')

INPUT_OPS = frozenset({b"Placeholder", b"PlaceholderV2"})

SOURCE_OPS = INPUT_OPS | {op.encode() for op in VARIABLE_OPS} | {b"Const"}
"""What a graph begins with: nodes that are there only to be consumed."""

LEGACY_PLACEHOLDER_PRODUCER = 21
"""Up to this version a placeholder without axes may have any shape (tensorflow/core/ops/array_ops.cc, Placeholder)."""

NEVER_GRAPHS = frozenset({".meta", ".index"})
TRAINING_RUN = re.compile(r"checkpoint|.*\.(?:meta|index|data-\d{5,}-of-\d{5,})|.*tfevents.*", re.DOTALL)
"""Names that a training run keeps beside its `graph.pbtxt`."""

MAX_NODES = 250_000
"""Nodes and functions of one graph; one costs up to 15 µs. The largest public graph at hand has 548."""

MAX_ALL_NODES = 500_000
"""The same for all graphs of one scan together."""

MAX_INPUTS = 1_000_000
"""Inputs of all nodes of one graph. A node has two of them, more or less."""

MAX_TENSORS = 1000
"""Inputs, and outputs, that are told one by one; the rest is a count. A few bytes of a node may claim a thousand outputs."""

MAX_PROBLEMS = 20
"""Missing nodes that are told one by one; the rest is a count."""


def match(contents: Contents) -> Iterator[Detection]:
    """Yield a detection per file that is a GraphDef. Reads heads, and a little more of what begins like a graph."""
    keeps_run = cache(lambda folder: _keeps_training_run(contents, folder))
    for entry in contents.free():
        if suffix(entry.path) in NEVER_GRAPHS or not may_be_model(entry):
            continue
        is_text = suffix(entry.path) == ".pbtxt"
        seen = _seen_as_text(contents, entry) if is_text else _seen(contents, entry)
        if seen is not None and not (is_text and keeps_run(folder_of(entry.path))):
            yield Detection(FORMAT, ModelType.TENSORFLOW, entry.path, entry.path, (seen,), (entry.path,))


def extract(contents: Contents, detection: Detection) -> Extraction:
    """Return the facts of a detected GraphDef. Reads its structure, not its constants.

    Raises:
        MalformedModel: the file is cut off or contradicts itself.
        ModelLimit: its structure, or its text, is larger than a named limit.
    """
    entry = contents.find(detection.main)
    if entry is None:
        raise MalformedModel(detection.main, None, "is not in this tree")
    graph, has_end, window = _read(contents, entry)
    _check_counts(contents, entry.path, graph)
    operators = count_operators(entry.path, graph)
    if not graph.node or "" in operators:
        raise MalformedModel(entry.path, None, "expected nodes with operators")
    constants = constants_of(graph)
    consumed = _consumed(graph)
    inputs, more_inputs = _first(
        (node for node in graph.node if node.op in INPUT_OPS), lambda node: _fed(entry.path, graph, node)
    )
    outputs, more_outputs = _first(_ends(graph, consumed), lambda node: _given(entry.path, node))
    untold = {"input_nodes_not_told": more_inputs, "output_nodes_not_told": more_outputs}
    facts = ModelFacts(
        signatures=(Signature("graph", "", inputs, outputs),),
        parameters=Parameters(stored=constants.elements),
        size_bytes=entry.size,
        framework=Framework("tensorflow", None),
        style="graph",
        operators=operators,
        custom_operators=custom_operators(graph, operators),
        dtypes=constants.dtypes,
        details={
            "versions": {"producer": graph.versions.producer, "min_consumer": graph.versions.min_consumer},
            "functions": len(graph.library.function),
            **{key: count for key, count in untold.items() if count},
        },
    )
    completeness = _completeness(entry.path, consumed - {node.name for node in graph.node}, has_end)
    judged = judge_graph(entry.path, graph, [node.name for node in _ends(graph, consumed)], window)
    return Extraction(facts, completeness, (*_findings(entry.path, operators), *judged.findings), judged.unread)


def _seen(contents: Contents, entry: FileEntry) -> Evidence | None:
    """Return the evidence that *entry* is a serialized GraphDef, None where it is not."""
    head = contents.head(entry)
    if not head or head[0] not in FIRST_BYTES:
        return None
    window, nodes = contents.window(entry), list[tuple[int, bytes]]()
    try:
        for found in islice(hop(window, 0, window.size), MAX_FIELDS_SEEN):
            if FIELDS.get(found.number) != found.wire_type:
                return None
            if found.number == NODE:
                nodes.append((found.begin, _op_of(window, found)))
    except ModelError:
        pass  # cut off somewhere: what was seen before that counts, `extract` says where it ends
    except Unreadable:
        return None
    ops = [text(op) for _, op in nodes]
    if not all(ops) or not any(map(is_registered, ops)):
        return None
    return Evidence(entry.path, nodes[0][0], f"NodeDef of {ops[0]}")


def _op_of(window: Window, node: Field) -> bytes:
    """Return the operator of *node*, b"" where it is no NodeDef."""
    found: dict[int, bytes] = {}
    for part in islice(hop(window, node.start, node.stop), MAX_FIELDS_SEEN):
        if part.wire_type != LEN or part.number not in NODE_FIELDS:
            return b""
        if part.number <= 2:
            found[part.number] = window.bytes(part.start, min(part.stop, part.start + MAX_NAME_BYTES))
    name, op = found.get(1, b""), found.get(2, b"")
    return op if NODE_NAME.fullmatch(name.lstrip(b"_")) and OP_NAME.fullmatch(op) else b""


def _seen_as_text(contents: Contents, entry: FileEntry) -> Evidence | None:
    """Return the evidence that *entry* is a GraphDef as text, None where it is not."""
    head = contents.head(entry)
    ops = [text(op) for op in TEXT_OP.findall(head)]
    if not TEXT_START.match(head) or not any(map(is_registered, ops)):
        return None
    return Evidence(entry.path, 0, f"NodeDef of {ops[0]} as text")


def _keeps_training_run(contents: Contents, folder: str) -> bool:
    start = len(folder) + 1 if folder else 0
    return any(TRAINING_RUN.fullmatch(other.path, start) for other in contents.children(folder))


def _read(contents: Contents, entry: FileEntry) -> tuple[GraphDef, bool, Window | None]:
    """Return the graph without its weights, and whether something follows its nodes that shows where they end.

    The window is the file where weights were left out, None where the graph has them all.
    """
    if suffix(entry.path) == ".pbtxt":
        graph = read_text(contents, entry, GraphDef())
        return graph, graph.HasField("versions") or graph.version > 0, None
    window = contents.window(entry)
    found = skeleton(window, LAYOUT)
    check_count(entry.path, "nodes", found.counts.get(NODE, 0), MAX_NODES, "MAX_NODES")
    nodes_first = found.data[:1] == bytes([NODE << 3 | LEN])  # writers keep nodes together, so the others come after them
    has_end = nodes_first and any(number in found.counts for number in (VERSION, VERSIONS))
    return parse(found, GraphDef()), has_end, None if found.is_whole else window


def _check_counts(contents: Contents, path: str, graph: GraphDef) -> None:
    """Raise ModelLimit where *graph* holds more than any real one, or all graphs of this scan together do."""
    nodes = len(graph.node) + len(graph.library.function) + sum(len(one.node_def) for one in graph.library.function)
    check_count(path, "nodes and functions", nodes, MAX_NODES, "MAX_NODES")
    contents.spend(path, "MAX_ALL_NODES", nodes, MAX_ALL_NODES)
    check_count(path, "inputs of nodes", sum(len(node.input) for node in graph.node), MAX_INPUTS, "MAX_INPUTS")


def _first(
    nodes: Iterable[NodeDef], tensors_of: Callable[[NodeDef], Iterator[TensorSpec]]
) -> tuple[tuple[TensorSpec, ...], int]:
    """Return the first `MAX_TENSORS` tensors of *nodes*, and of how many nodes not all are among them."""
    told, untold = list[TensorSpec](), 0
    for node in nodes:
        if len(told) == MAX_TENSORS:
            untold += has_outputs(node)
            continue
        tensors = tensors_of(node)
        told += islice(tensors, MAX_TENSORS - len(told))
        untold += len(told) == MAX_TENSORS and next(tensors, None) is not None
    return tuple(told), untold


def _fed(path: str, graph: GraphDef, node: NodeDef) -> Iterator[TensorSpec]:
    yield TensorSpec(shown(text(node.name)), output_dtypes(node)[0], _fed_shape(path, graph, node))


def _fed_shape(path: str, graph: GraphDef, node: NodeDef) -> Shape:
    value = _attribute(node, b"shape")
    shape = _bounded_shape(path, value.shape) if value is not None else None
    return None if shape == () and graph.versions.producer <= LEGACY_PLACEHOLDER_PRODUCER else shape


def _bounded_shape(path: str, shape: TensorShapeProto) -> Shape:
    check_count(path, "axes on one tensor", len(shape.dim), MAX_RANK, "MAX_RANK")
    return shape_of(shape)


def _consumed(graph: GraphDef) -> frozenset[bytes]:
    """Return the names of the nodes that other nodes name as their inputs, there or not."""
    inputs = {name for node in graph.node for name in node.input}
    return frozenset(map(_producer, inputs))


def _ends(graph: GraphDef, consumed: frozenset[bytes]) -> Iterator[NodeDef]:
    """Yield the nodes that nobody consumes, in the order of the file."""
    return (node for node in graph.node if node.name not in consumed and node.op not in SOURCE_OPS)


def _given(path: str, node: NodeDef) -> Iterator[TensorSpec]:
    """Yield the outputs of *node*. The first has the node's own name."""
    name, shapes = shown(text(node.name)), _attribute(node, b"_output_shapes")
    for place, dtype in enumerate(output_dtypes(node)):
        shape = (
            _bounded_shape(path, shapes.list.shape[place]) if shapes is not None and place < len(shapes.list.shape) else None
        )
        yield TensorSpec(name + (f":{place}" if place else ""), dtype, shape)


def _attribute(node: NodeDef, name: bytes) -> AttrValue | None:
    found = [entry.value for entry in node.attr if entry.key == name]  # of equal keys of a map, the last counts
    return found[-1] if found else None


def _producer(name: bytes) -> bytes:
    """Return the node that the input *name* comes from: `node`, `node:1`, or `^node` for one that must only run before."""
    return name.removeprefix(b"^").partition(b":")[0]


def _completeness(path: str, missing: frozenset[bytes], has_end: bool) -> Completeness:
    """Return what is to be said of a graph; *missing* are the nodes that inputs name and that do not exist."""
    whole = Completeness()
    if not has_end:
        problem = "no version follows its nodes, so it cannot be told from a graph that was cut off"
        whole = Completeness(State.INCOMPLETE, (Problem(path, problem),), has_end=False)
    if missing:
        first = nsmallest(MAX_PROBLEMS, missing)
        problems = [Problem(path, f"an input names the node {shown(text(name))}, which does not exist") for name in first]
        if len(missing) > MAX_PROBLEMS:
            problems.append(Problem(path, f"inputs name {len(missing) - MAX_PROBLEMS} more nodes that do not exist"))
        whole = whole.and_also(State.CORRUPT, *problems)
    return whole


def _findings(path: str, operators: Mapping[str, int]) -> Iterable[Finding]:
    variables = uses_variables(operators)
    if variables:
        message = f"is not frozen: the values of its {variables} variables are not in this file"
        yield Finding("tf-graph-not-frozen", Severity.LOW, path, "", message)


DETECTOR = Detector(FORMAT, match, extract)
