"""ONNX's words for element types and value types, in the words of numpy and of the report.

In go the lean messages `TensorProto`, `TypeProto`, `ValueInfoProto`; out come names, sizes and `TensorSpec`. Where these
stand in a model is left to `detectors.onnx_inventory`.

Source: onnx/onnx.proto of onnx 1.23, `TensorProto.DataType` and `TypeProto`; names of the small floats as in ml_dtypes.
"""

from __future__ import annotations

from typing import NamedTuple

from detectors.facts import Dimension, Shape, TensorSpec
from detectors.protos import onnx_pb2
from detectors.wire import text


class Element(NamedTuple):
    """An element type: *bits* of one element in raw data, None where raw data cannot hold it."""

    name: str
    bits: int | None


ELEMENTS = {
    1: Element("float32", 32),
    2: Element("uint8", 8),
    3: Element("int8", 8),
    4: Element("uint16", 16),
    5: Element("int16", 16),
    6: Element("int32", 32),
    7: Element("int64", 64),
    8: Element("string", None),
    9: Element("bool", 8),
    10: Element("float16", 16),
    11: Element("float64", 64),
    12: Element("uint32", 32),
    13: Element("uint64", 64),
    14: Element("complex64", 64),
    15: Element("complex128", 128),
    16: Element("bfloat16", 16),
    17: Element("float8_e4m3fn", 8),
    18: Element("float8_e4m3fnuz", 8),
    19: Element("float8_e5m2", 8),
    20: Element("float8_e5m2fnuz", 8),
    21: Element("uint4", 4),
    22: Element("int4", 4),
    23: Element("float4_e2m1fn", 4),
    24: Element("float8_e8m0fnu", 8),
    25: Element("uint2", 2),
    26: Element("int2", 2),
    27: Element("float6_e2m3fn", None),
    28: Element("float6_e3m2fn", None),
}
"""Elements below a byte are packed, the last byte filled up. How six-bit floats are packed is not relied on here."""

UNDEFINED, STRING = 0, 8
NEVER_RAW = frozenset({UNDEFINED, STRING})
"""Element types whose values stand neither in raw data nor in another file. Source: onnx/checker.cc, `check_tensor`."""


def dtype_name(number: int) -> str:
    """Return the name of an element type; a number that this version does not know keeps its number: `dtype_99`."""
    return ELEMENTS[number].name if number in ELEMENTS else f"dtype_{number}"


def raw_bytes_of(number: int, elements: int) -> int | None:
    """Return how many bytes of raw data *elements* take, None where that is not known."""
    bits = ELEMENTS[number].bits if number in ELEMENTS else None
    return None if bits is None else (elements * bits + 7) // 8


def tensor_spec(value: onnx_pb2.ValueInfoProto) -> TensorSpec:
    """Return a graph input or output.

    A tensor has its element type as dtype. Other kinds are written as ONNX does: `seq(tensor(float32))`,
    `map(int64,tensor(float32))`, `optional(tensor(float32))`, `sparse_tensor(float32)`; a type that is not given is "".
    Of those, only a sparse tensor and an optional one have a shape.
    """
    kind = value.type
    if kind.WhichOneof("value") == "tensor_type":
        return TensorSpec(text(value.name), dtype_name(kind.tensor_type.elem_type), _shape(kind))
    return TensorSpec(text(value.name), _type_name(kind), _shape(kind))


def _type_name(kind: onnx_pb2.TypeProto) -> str:
    match kind.WhichOneof("value"):
        case "tensor_type":
            return f"tensor({dtype_name(kind.tensor_type.elem_type)})"
        case "sparse_tensor_type":
            return f"sparse_tensor({dtype_name(kind.sparse_tensor_type.elem_type)})"
        case "sequence_type":
            return f"seq({_type_name(kind.sequence_type.elem_type)})"
        case "optional_type":
            return f"optional({_type_name(kind.optional_type.elem_type)})"
        case "map_type":
            return f"map({dtype_name(kind.map_type.key_type)},{_type_name(kind.map_type.value_type)})"
        case "opaque_type":
            return f"opaque({text(kind.opaque_type.domain)},{text(kind.opaque_type.name)})"
        case _:
            return ""


def _shape(kind: onnx_pb2.TypeProto) -> Shape:
    match kind.WhichOneof("value"):
        case "optional_type":
            return _shape(kind.optional_type.elem_type)
        case "tensor_type":
            tensor = kind.tensor_type
        case "sparse_tensor_type":
            tensor = kind.sparse_tensor_type
        case _:
            return None
    return tuple(_dimension(dim) for dim in tensor.shape.dim) if tensor.HasField("shape") else None


def rank_of(kind: onnx_pb2.TypeProto) -> int:
    """Return how many axes a type lists, 0 where it has no shape. Builds nothing."""
    while kind.WhichOneof("value") == "optional_type":
        kind = kind.optional_type.elem_type
    if kind.WhichOneof("value") == "sparse_tensor_type":
        return len(kind.sparse_tensor_type.shape.dim)
    return len(kind.tensor_type.shape.dim)


def _dimension(dim: onnx_pb2.TensorShapeProto.Dimension) -> Dimension:
    """Return a size or a symbolic name; None for an empty dimension and for the -1 that some exporters write for "any"."""
    if dim.WhichOneof("value") == "dim_value":
        return dim.dim_value if dim.dim_value >= 0 else None
    return text(dim.dim_param) or None
