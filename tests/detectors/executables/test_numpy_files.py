"""Which arrays of numpy are of numbers, by the spelling of their type."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest

from detectors.executables.numpy_files import start_of_objects
from detectors.tree import MemoryTree
from detectors.wire import Window
from tests.attacks.pickles import OBJECTS, array_of_objects


def start(data: bytes) -> int | None:
    return start_of_objects(Window(MemoryTree({"a": data}), "a", len(data)))


@pytest.mark.parametrize(
    "dtype",
    [
        "<f4", ">f8", "?", "u1", "c16", "S10", "U5", "V8", "M8[ns]", "m8[25s]", "M8", [("a", "<f4"), ("b", "S3", (2, 3))],
        [("a", [("b", [("it's", "i4"), ('"', "u2")], (2,))]), ("M", "M8[D]")], [(("title", "name"), "i8")],
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(), (2,), (1, 2, 3)])
def test_what_numpy_writes_of_numbers_is_known(dtype: object, shape: tuple[int, ...]) -> None:
    out = io.BytesIO()
    np.save(out, np.zeros(shape, np.dtype(dtype)))  # type: ignore[call-overload]
    assert start(out.getvalue()) is None


@pytest.mark.parametrize("spelled", OBJECTS)
def test_any_other_spelling_may_have_a_pickle_behind_it(spelled: str) -> None:
    data = array_of_objects(b"PICKLE", spelled)
    assert start(data) == len(data) - 6


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
        header = b"{" + part * (600_000 // len(part))
        assert start(b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header) is not None
    assert time.perf_counter() - began < 5
