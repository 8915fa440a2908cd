"""Whether a tensor of an ONNX model has the values that its dimensions and type ask for.

In goes a lean `TensorProto`, out comes what is wrong with its values, without reading them: the walk leaves large ones out and
notes their sizes in bytes (`detectors.wire`). Values stand in raw data, or in the field of their type:

    float_data    float32; complex64 as two of them              4 bytes each
    double_data   float64; complex128 as two of them             8 bytes each
    int32_data    integers up to 32 bits, bool, floats up to 16 bits; of those below a byte, a byte full each      varints
    int64_data    int64                                          varints
    uint64_data   uint32, uint64                                 varints
    string_data   strings                                        one field each

A varint has 1 to 10 bytes, so the size of a row of them bounds their number and does not tell it. External data is left to
`detectors.onnx_external`.

Source: onnx/onnx.proto of onnx 1.23, `TensorProto`; onnx/checker.cc, `check_tensor`, which counts fields and no values.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any, NamedTuple

from detectors.facts import State
from detectors.onnx_inventory import EXTERNAL, elements_in
from detectors.onnx_types import ELEMENTS, NEVER_RAW, UNDEFINED, dtype_name, raw_bytes_of
from detectors.protos import onnx_pb2

VALUE_FIELDS = {
    4: "float_data",
    5: "int32_data",
    6: "string_data",
    7: "int64_data",
    9: "raw_data",
    10: "double_data",
    11: "uint64_data",
}
"""Where values may stand, by the number of the field."""

DIMS, DATA_TYPE, INT32_DATA, STRING_DATA, RAW_DATA, DATA_LOCATION = 1, 2, 5, 6, 9, 14

SIZE = 100_000
"""What the number of a field of sizes has more than that of the field which was left out (`detectors/protos/onnx.proto`)."""

SIZES = frozenset(number + SIZE for number in VALUE_FIELDS)
TYPED = (SIZES | frozenset(VALUE_FIELDS)) - {RAW_DATA, RAW_DATA + SIZE}

BYTES_PER_VALUE = {4: (4, 4), 5: (1, 10), 7: (1, 10), 10: (8, 8), 11: (1, 10)}
"""The least and the most bytes that one value takes in a packed field."""

FIELD_OF = {1: 4, 14: 4, 11: 10, 15: 10, 7: 7, 12: 11, 13: 11, 8: STRING_DATA}
"""The field of an element type; of the others that ONNX has it is `int32_data`."""

COMPLEX = frozenset({14, 15})

Fields = dict[int, Any]
"""The fields that a tensor has, by number."""


class Wrong(NamedTuple):
    """What is wrong with the values of a tensor, and what that makes of its model: incomplete or corrupt."""

    state: State
    reason: str


def wrong_values(tensor: onnx_pb2.TensorProto, is_whole: bool) -> Wrong | None:
    """Return what is wrong with the dimensions and values of *tensor*, None where nothing is. Too few values are incomplete.

    *is_whole* tells that the walk left nothing out, so that any sizes are the file's own, which ONNX does not have.
    """
    fields: Fields = {descriptor.number: value for descriptor, value in tensor.ListFields()}
    elements = elements_in(fields.get(DIMS, ()))
    if elements is None:
        return Wrong(State.CORRUPT, f"expected dimensions of a tensor, found {list(tensor.dims[:8])}")
    if fields.get(DATA_LOCATION) == EXTERNAL:
        return None
    if is_whole and not SIZES.isdisjoint(fields):
        return Wrong(State.CORRUPT, f"has the field {max(fields)}, which ONNX does not have")
    data_type = fields.get(DATA_TYPE, UNDEFINED)
    if (RAW_DATA in fields or RAW_DATA + SIZE in fields) and TYPED.isdisjoint(fields):
        return _wrong_raw(fields, data_type, elements)
    filled = [number for number in VALUE_FIELDS if fields.get(number) or number + SIZE in fields]
    if len(filled) > 1:
        return Wrong(State.CORRUPT, f"its values stand in {VALUE_FIELDS[filled[0]]} and in {VALUE_FIELDS[filled[1]]}")
    if not filled:
        return Wrong(State.INCOMPLETE, f"{_asked(fields, data_type, elements)}, found none") if elements else None
    return _wrong_typed(fields, data_type, elements, filled[0])


def _raw_bytes(fields: Fields) -> int:
    """Return the size of the raw data in the model file."""
    size: int = fields.get(RAW_DATA + SIZE, 0)
    return size or len(fields.get(RAW_DATA, b""))


def _wrong_raw(fields: Fields, data_type: int, elements: int) -> Wrong | None:
    if RAW_DATA in fields and RAW_DATA + SIZE in fields:
        return Wrong(State.CORRUPT, "raw data stands there twice")
    raw = _raw_bytes(fields)
    if raw and data_type in NEVER_RAW:
        return Wrong(State.CORRUPT, f"expected no raw data of {dtype_name(data_type)}, found {raw} bytes")
    expected = raw_bytes_of(data_type, elements)
    if expected is None and elements and not raw:
        return Wrong(State.INCOMPLETE, f"{_asked(fields, data_type, elements)}, found none")
    if expected is None or raw == expected:
        return None
    return Wrong(State.CORRUPT, f"{_shape(fields)} of {dtype_name(data_type)} take {expected} bytes, its raw data has {raw}")


def _wrong_typed(fields: Fields, data_type: int, elements: int, number: int) -> Wrong | None:
    """Return what is wrong with values in the one typed field *number*; nothing is known of types that are not known here."""
    if data_type not in ELEMENTS:
        return Wrong(State.CORRUPT, "expected an element type, found none") if data_type == UNDEFINED else None
    wanted = FIELD_OF.get(data_type, INT32_DATA)
    if number != wanted:
        names = VALUE_FIELDS[wanted], VALUE_FIELDS[number]
        return Wrong(State.CORRUPT, f"expected values of {dtype_name(data_type)} in {names[0]}, found them in {names[1]}")
    least, most = _values_in(number, fields.get(number, ()), fields.get(number + SIZE, ()))
    fewest, largest = _values_for(data_type, elements)
    if most < fewest:
        return Wrong(State.INCOMPLETE, f"{_asked(fields, data_type, fewest)}, found at most {most}")
    if least > largest:
        return Wrong(State.CORRUPT, f"{_asked(fields, data_type, largest)}, found at least {least}")
    return None


def _values_in(number: int, kept: Sized, sizes: Sequence[int]) -> tuple[int, int]:
    """Return the least and the most values of a field: those that were *kept*, and those left out whose *sizes* are known."""
    if number == STRING_DATA:
        return len(kept) + len(sizes), len(kept) + len(sizes)
    shortest, longest = BYTES_PER_VALUE[number]
    size = sum(sizes)
    return len(kept) + -(-size // longest), len(kept) + size // shortest


def _values_for(data_type: int, elements: int) -> tuple[int, int]:
    """Return the least and the most values that so many elements take; writers of small ones may fill bytes or not."""
    if data_type in COMPLEX:
        return 2 * elements, 2 * elements
    bits = ELEMENTS[data_type].bits
    return (elements * bits + 7) // 8 if bits is not None and bits < 8 else elements, elements


def _asked(fields: Fields, data_type: int, values: int) -> str:
    return f"expected {values} values for {_shape(fields)} of {dtype_name(data_type)}"


def _shape(fields: Fields) -> list[int]:
    return list(fields.get(DIMS, ())[:8])
