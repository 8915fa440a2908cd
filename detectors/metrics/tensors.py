"""The number in a rank-0 tensor: how TensorFlow 2 writes a scalar.

A tensor holds its value in `tensor_content`, little-endian, or in the repeated field of its dtype; a zero may be left out.

Source: tensorflow/core/framework/{tensor,types}.proto.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from detectors.protos import event_pb2

DT_FLOAT = 1


class _Dtype(NamedTuple):
    """How a dtype is laid out in `tensor_content`, and in which repeated field its values stand otherwise."""

    content: Struct
    field: str


_HALF = Struct("<e")
_DTYPES = {
    DT_FLOAT: _Dtype(Struct("<f"), "float_val"),
    2: _Dtype(Struct("<d"), "double_val"),
    3: _Dtype(Struct("<i"), "int_val"),
    4: _Dtype(Struct("<B"), "int_val"),
    5: _Dtype(Struct("<h"), "int_val"),
    6: _Dtype(Struct("<b"), "int_val"),
    9: _Dtype(Struct("<q"), "int64_val"),
    19: _Dtype(_HALF, "half_val"),
}


def scalar_of(tensor: event_pb2.Tensor) -> float | None:
    """Return the number in *tensor*; None where its rank is not 0, its dtype no real number, or its bytes too many or few."""
    dtype = _DTYPES.get(tensor.dtype)
    shape = tensor.tensor_shape
    if dtype is None or shape.dim or shape.unknown_rank:
        return None
    content = tensor.tensor_content
    if content:
        return float(dtype.content.unpack(content)[0]) if len(content) == dtype.content.size else None
    values = getattr(tensor, dtype.field)
    if len(values) > 1:
        return None
    value = values[0] if values else 0
    return float(value) if dtype.content is not _HALF else _half(value)


def _half(bits: int) -> float:
    """Return the half-precision number whose 16 bits stand in the low end of an int32."""
    return float(_HALF.unpack((bits & 0xFFFF).to_bytes(2, "little"))[0])
