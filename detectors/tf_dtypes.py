"""TensorFlow's numbers for dtypes, in the words of numpy.

In goes the number from a protobuf message, out comes a name that people and other tools know, and how many bytes one
element takes in a checkpoint. A number that this version does not know keeps its number: `dtype_97`.
"""

from __future__ import annotations

STRING, VARIANT = 7, 21

REF = 100
"""TF1's `float32_ref` is `float32` plus this number (tensorflow/core/framework/types.h, kDataTypeRefOffset)."""

NAMES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    14: "bfloat16",
    15: "qint16",
    16: "quint16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
    24: "float8_e5m2",
    25: "float8_e4m3fn",
    26: "float8_e4m3fnuz",
    27: "float8_e4m3b11fnuz",
    28: "float8_e5m2fnuz",
    29: "int4",
    30: "uint4",
    31: "int2",
    32: "uint2",
    33: "float4_e2m1fn",
}
"""tensorflow/core/framework/types.proto, TensorFlow 2.21; names of `tf.DType.name`, float16 instead of half."""

ELEMENT_BYTES = {
    **dict.fromkeys((4, 6, 10, 11, 12, 24, 25, 26, 27, 28), 1),
    **dict.fromkeys((5, 14, 15, 16, 17, 19), 2),
    **dict.fromkeys((1, 3, 13, 22), 4),
    **dict.fromkeys((2, 8, 9, 23), 8),
    18: 16,
}
"""Bytes of one stored element. Absent where it varies (strings) or where writers may pack several into a byte (int4)."""

NOT_NUMBERS = frozenset({0, STRING, 20, VARIANT})
"""Invalid, string, resource and variant: elements of these are no parameters."""


def base_of(dtype: int) -> int:
    """Return the dtype that *dtype* refers to: `float32` for `float32_ref`, itself otherwise."""
    return dtype - REF if dtype - REF in NAMES else dtype


def dtype_name(dtype: int) -> str:
    """Return the name of *dtype*: `float32`, `string`, …; a reference dtype has the name of its base.

    Whether a TF1 graph passes a tensor by reference says nothing about its numbers, so `float32_ref` is `float32`.
    """
    return NAMES.get(base_of(dtype), f"dtype_{dtype}")


def is_number(dtype: int) -> bool:
    """Tell whether elements of *dtype* are numbers: floats, integers, booleans, complex and quantized ones."""
    return base_of(dtype) in NAMES and base_of(dtype) not in NOT_NUMBERS


def element_bytes(dtype: int) -> int | None:
    """Return how many bytes one element of *dtype* takes in a checkpoint; None where that is not fixed or not known."""
    return ELEMENT_BYTES.get(base_of(dtype))
