"""Whether a file is laid out as an ONNX model: there is no magic number, so the fields themselves must tell.

In goes a window on a file, out comes where its graph lies and what its first node does. That a protobuf parse succeeds
proves nothing (of 723 real `.pb` files that parse as a ModelProto, seven are one), so numbers and wire types of the
top-level fields, the version, the graph and its first node are looked at. Whether the whole of it holds is left to
`detectors.onnx`.

    ModelProto   1 ir_version (varint)   2 producer_name   3 producer_version   4 domain   5 model_version (varint)
                 6 doc_string   7 graph   8 opset_import   14 metadata_props   20 training_info   25 functions
                 26 configuration
    GraphProto   1 node   2 name   5 initializer   10 doc_string   11 input   12 output   13 value_info
                 14 quantization_annotation   15 sparse_initializer   16 metadata_props
    NodeProto    4 op_type

Writers put the fields in any order.

Source: onnx/onnx.proto of onnx 1.23 (IR version 13).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from detectors.errors import MalformedModel
from detectors.wire import LEN, VARINT, Field, Window, hop

MODEL_FIELDS = {1: VARINT, 5: VARINT, **dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), LEN)}
GRAPH_FIELDS = dict.fromkeys((1, 2, 5, 10, 11, 12, 13, 14, 15, 16), LEN)
"""Wire types by field number."""

IR_VERSION, GRAPH, OPSET_IMPORT = 1, 7, 8
NODE, OP_TYPE = 1, 4

MAX_IR_VERSION = 64
"""The newest is 13; a larger number than this is another file's first field."""

FIRST_IR_WITH_OPSETS = 3
"""From this IR version on a model says which operator sets it needs."""

MAX_FIELDS_LOOKED_AT = 100_000
"""Fields of one message that are looked at to recognise a file; about 0.2 s. Extraction looks at all of them."""

MAX_OP_TYPE_BYTES = 256
"""The longest name of an operator that is taken for one; real ones stay below 100."""


@dataclass(frozen=True, slots=True)
class Structure:
    """The layout of a recognised model: its IR version, where its (first) graph begins, and its first operator."""

    ir_version: int
    graph_offset: int
    first_op: str


def read_structure(window: Window) -> Structure:
    """Return the layout of the model in *window*.

    Reads the keys of the top-level fields, and of the graph's fields up to its first node; jumps over all else.

    Raises:
        MalformedModel: this is not an ONNX model, or a broken one.
    """
    seen = _last_by_number(_fields(window, 0, window.size, MODEL_FIELDS, "an ONNX model"))
    version = _ir_version(window, seen)
    if GRAPH not in seen:
        raise MalformedModel(window.path, None, "expected a graph, found none")
    if version >= FIRST_IR_WITH_OPSETS and OPSET_IMPORT not in seen:
        raise MalformedModel(window.path, None, f"expected an opset import, as of IR version {version}, found none")
    graph = seen[GRAPH]
    return Structure(version, graph.begin, _first_op(window, graph))


def _ir_version(window: Window, seen: dict[int, Field]) -> int:
    found = seen.get(IR_VERSION)
    version = found.value if found is not None else None
    if version is None or not 1 <= version <= MAX_IR_VERSION:
        raise MalformedModel(window.path, None, f"expected an IR version from 1 to {MAX_IR_VERSION}, found {version}")
    return version


def _first_op(window: Window, graph: Field) -> str:
    for found in _fields(window, graph.start, graph.stop, GRAPH_FIELDS, "an ONNX graph"):
        if found.number == NODE:
            return _op_type(window, found)
    raise MalformedModel(window.path, graph.begin, "expected a graph with a node, found none")


def _op_type(window: Window, node: Field) -> str:
    named = [found for found in islice(hop(window, node.start, node.stop), MAX_FIELDS_LOOKED_AT) if found.number == OP_TYPE]
    if not named or named[-1].wire_type != LEN or not 0 < named[-1].stop - named[-1].start <= MAX_OP_TYPE_BYTES:
        raise MalformedModel(window.path, node.begin, "expected a node with an op_type, found none")
    name = window.bytes(named[-1].start, named[-1].stop)
    if not is_op_type(name):
        raise MalformedModel(window.path, named[-1].start, f"expected a printable op_type, found {name[:20]!r}")
    return name.decode()


def is_op_type(name: bytes) -> bool:
    """Tell whether *name* can be that of an operator: printable text, and not empty."""
    try:
        return name != b"" and name.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _fields(window: Window, start: int, stop: int, known: dict[int, int], what: str) -> Iterator[Field]:
    for found in islice(hop(window, start, stop), MAX_FIELDS_LOOKED_AT):
        if known.get(found.number) != found.wire_type:
            reason = f"expected a field of {what}, found field {found.number} of wire type {found.wire_type}"
            raise MalformedModel(window.path, found.begin, reason)
        yield found


def _last_by_number(fields: Iterator[Field]) -> dict[int, Field]:
    return {found.number: found for found in fields}
