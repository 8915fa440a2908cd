"""Which arrays of numpy are of numbers, by the spelling of their type."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest

from detectors.executables.numpy_files import Array, read_header
from detectors.tree import MemoryTree
from detectors.wire import Window
from tests.attacks.pickles import OBJECTS, array_of_objects


def header(data: bytes, start: int = 0) -> Array:
    return read_header(Window(MemoryTree({"a": data}), "a", len(data)), start)


@pytest.mark.parametrize(
    "dtype",
    [
        "<f4", ">f8", "?", "u1", "c16", "S10", "U5", "V8", "M8[ns]", "m8[25s]", "M8", [("a", "<f4"), ("b", "S3", (2, 3))],
        [("a", [("b", [("it's", "i4"), ('"', "u2")], (2,))]), ("M", "M8[D]")], [(("title", "name"), "i8")],
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(), (2,), (1, 2, 3)])
def test_what_numpy_writes_of_numbers_is_known_to_its_end(dtype: object, shape: tuple[int, ...]) -> None:
    out = io.BytesIO()
    np.save(out, np.zeros(shape, np.dtype(dtype)))  # type: ignore[call-overload]
    first = header(out.getvalue())
    assert first.data_bytes is not None
    assert first.stop + first.data_bytes == len(out.getvalue())
    assert header(out.getvalue() * 2, len(out.getvalue())).data_bytes == first.data_bytes


def test_a_structure_with_room_between_its_fields_is_known_to_its_end() -> None:
    out = io.BytesIO()
    np.save(out, np.zeros(3, np.dtype([("a", "u1"), ("b", "<f8")], align=True)))
    found = header(out.getvalue())
    assert found.data_bytes == 3 * 16


@pytest.mark.parametrize(
    "shape", [b"(" + b"9" * 20 + b",)", b"(" + b"9" * 5000 + b",)", b"(" + b"9" * 19 + b",9" * 9999 + b")"]
)
def test_a_shape_beyond_all_numbers_costs_nothing(shape: bytes) -> None:
    spelled = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + b"}"
    data = b"\x93NUMPY\x02\x00" + len(spelled).to_bytes(4, "little") + spelled
    found = header(data)
    assert found.data_bytes is None or found.data_bytes >= 1 << 63


@pytest.mark.parametrize("spelled", OBJECTS)
def test_any_other_spelling_may_have_a_pickle_behind_it(spelled: str) -> None:
    data = array_of_objects(b"PICKLE", spelled)
    assert header(data) == Array(len(data) - 6, None)


def test_a_header_that_is_not_known_costs_no_time() -> None:
    began = time.perf_counter()
    for part in (
        b"[(",
        b"[('",
        b"[('a','f4'),",
        b"{'shape': (",
        b"{'shape': (1,",
        b"'descr': '<f4', ",
        b"[('a','f4',(1",
        b"\\'",
    ):
        spelled = b"{" + part * (600_000 // len(part))
        assert header(b"\x93NUMPY\x02\x00" + len(spelled).to_bytes(4, "little") + spelled).data_bytes is None
    assert time.perf_counter() - began < 5
