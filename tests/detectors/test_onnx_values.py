"""Whether tensors have as many values as their dimensions ask for, in the field of their type, in files small and large."""

from __future__ import annotations

import warnings

import pytest

from detectors.detection import Contents
from detectors.onnx import DETECTOR
from detectors.tree import MemoryTree
from detectors.wrapped_tree import CountingTree
from tests.builders import onnx as build

DOUBLE, BOOL, UINT32, UINT64, COMPLEX64, COMPLEX128, BFLOAT16, FLOAT6 = 11, 9, 12, 13, 14, 15, 16, 27


@pytest.fixture(params=["whole", "walked"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read models as small files, which are parsed whole, and as large ones, whose weights are left out."""
    if request.param == "walked":
        monkeypatch.setattr("detectors.wire.WHOLE_MESSAGE_BYTES", -1)


def told(*tensors: bytes) -> tuple[str, list[str]]:
    """Return the completeness of a model with such initializers, and its problems."""
    tree = MemoryTree({"m.onnx": build.model(build.small_graph(initializers=tensors))})
    contents = Contents(tree, tree.files())
    completeness = DETECTOR.extract(contents, next(iter(DETECTOR.match(contents)))).completeness
    return completeness.state.value, [problem.problem for problem in completeness.problems]


def state(*tensors: bytes) -> str:
    return told(*tensors)[0]


TYPED = [
    (build.FLOAT, 4, bytes(4), 1, 1),
    (COMPLEX64, 4, bytes(4), 2, 1),
    (DOUBLE, 10, bytes(8), 1, 1),
    (COMPLEX128, 10, bytes(8), 2, 1),
    (build.INT64, 7, b"\x05", 1, 1),
    (UINT32, 11, b"\x05", 1, 1),
    (UINT64, 11, b"\x05", 1, 1),
    (6, 5, b"\x05", 1, 1),
    (build.INT8, 5, b"\x05", 1, 1),
    (BOOL, 5, b"\x01", 1, 1),
    (build.FLOAT16, 5, b"\x05", 1, 1),
    (BFLOAT16, 5, b"\x05", 1, 1),
    (FLOAT6, 5, b"\x05", 1, 1),
    (build.INT4, 5, b"\x05", 1, 2),
    (build.UINT2, 5, b"\x05", 1, 4),
]
"""Element type, number of its field, one value, and how many values stand for how many elements."""


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize(("dtype", "number", "value", "values", "elements"), TYPED)
@pytest.mark.parametrize("times", [3, 2000])
def test_one_value_less_is_incomplete(dtype: int, number: int, value: bytes, values: int, elements: int, times: int) -> None:
    dims = [times, elements]
    assert state(build.typed_tensor(number, value * values * times, dims, dtype)) == "complete"
    assert state(build.typed_tensor(number, value * (values * times - 1), dims, dtype)) == "incomplete"


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize(("dtype", "number", "value"), [(build.FLOAT, 4, bytes(4)), (DOUBLE, 10, bytes(8))])
def test_one_value_more_is_corrupt(dtype: int, number: int, value: bytes) -> None:
    assert state(build.typed_tensor(number, value * 2001, [2000], dtype)) == "corrupt"


@pytest.mark.usefixtures("reading")
def test_varints_of_ten_bytes_are_not_taken_for_ten_values() -> None:
    """Their number is not known where they are left unread, so only what cannot be is told."""
    assert state(build.typed_tensor(7, build.varint(-1) * 2000, [2000], build.INT64)) == "complete"
    assert state(build.typed_tensor(7, build.varint(-1) * 2001, [2000], build.INT64)) == "corrupt"


@pytest.mark.usefixtures("reading")
def test_strings_are_counted_long_ones_too() -> None:
    strings = [build.field(6, text) for text in ("a", "", "b" * 2000)]
    assert state(build.tensor("w", [3], build.STRING, None, b"".join(strings))) == "complete"
    assert state(build.tensor("w", [4], build.STRING, None, b"".join(strings))) == "incomplete"
    assert state(build.tensor("w", [2], build.STRING, None, b"".join(strings))) == "corrupt"


@pytest.mark.usefixtures("reading")
def test_values_that_are_not_packed_and_values_in_two_rows_count_as_well() -> None:
    single = b"".join(b"\x25" + bytes(4) for _ in range(3))
    rows = build.field(4, bytes(4 * 1000)) + build.field(4, bytes(4 * 500))
    assert state(build.tensor("w", [3], raw=None, more=single)) == "complete"
    assert state(build.tensor("w", [1500], raw=None, more=rows)) == "complete"
    assert state(build.tensor("w", [1501], raw=None, more=rows)) == "incomplete"


@pytest.mark.usefixtures("reading")
def test_a_weight_without_any_value_is_incomplete_and_named() -> None:
    assert told(build.tensor("dense/kernel", [2, 3], raw=None)) == (
        "incomplete",
        ["graph → initializer dense/kernel: expected 6 values for [2, 3] of float32, found none"],
    )


@pytest.mark.usefixtures("reading")
def test_an_empty_tensor_needs_no_value_and_may_have_none() -> None:
    assert state(build.tensor("w", [2, 0], raw=None)) == "complete"
    assert state(build.tensor("w", [2, 0], raw=b"")) == "complete"
    assert state(build.typed_tensor(4, bytes(4), [2, 0])) == "corrupt"


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize(
    "tensor",
    [
        build.typed_tensor(10, bytes(48)),
        build.typed_tensor(4, bytes(24), dtype=build.INT64),
        build.tensor(more=build.field(4, bytes(24))),
        build.tensor("w", [2, 3], raw=None, more=build.field(4, bytes(24)) + build.field(5, bytes(6))),
        build.tensor("w", [6], build.STRING, b"abcdef"),
        build.tensor("w", [6], 0, bytes(24)),
        build.typed_tensor(4, bytes(24), dtype=0),
    ],
    ids=["wrong field", "field of another type", "raw and typed", "two fields", "raw strings", "raw of no type", "no type"],
)
def test_values_that_cannot_be_those_of_the_tensor_are_corrupt(tensor: bytes) -> None:
    assert state(tensor) == "corrupt"


def test_a_type_that_is_not_known_here_is_not_judged() -> None:
    assert state(build.tensor("w", [6], 99, bytes(7))) == "complete"
    assert state(build.typed_tensor(5, bytes(2), [6], 99)) == "complete"


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("number", [100_004, 100_009])
@pytest.mark.parametrize("padding", [0, 600])
def test_a_file_that_tells_sizes_of_its_own_is_not_believed(number: int, padding: int) -> None:
    claims = build.number(number, 4000) + build.field(12, bytes(padding))
    assert state(build.tensor("w", [1000], raw=None, more=claims)) != "complete"


def test_the_cost_does_not_grow_with_typed_values() -> None:
    tensors = [build.typed_tensor(4, bytes(8_000_000), [2_000_000]) for _ in range(4)]
    tree = CountingTree(MemoryTree({"m.onnx": build.model(build.small_graph(initializers=tensors))}))
    contents = Contents(tree, tree.files())
    extraction = DETECTOR.extract(contents, next(iter(DETECTOR.match(contents))))
    assert (extraction.completeness.state.value, extraction.facts.parameters.stored) == ("complete", 8_000_000)
    assert tree.bytes < 200_000


@pytest.mark.oracle
def test_what_onnx_makes_is_complete_for_every_type_and_what_its_checker_refuses_is_not() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        onnx = pytest.importorskip("onnx")
        from onnx import checker, helper
    kinds = [kind for kind in onnx.TensorProto.DataType.values() if kind]
    for kind in kinds:
        values = [b"a"] * 5 if kind == onnx.TensorProto.STRING else [1] * 5
        tensor = helper.make_tensor("w", kind, [5], values)
        checker.check_tensor(tensor)
        assert state(tensor.SerializeToString()) == "complete", kind
        for name in ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data", "raw_data"):
            tensor.ClearField(name)
        with pytest.raises(checker.ValidationError):
            checker.check_tensor(tensor)
        assert state(tensor.SerializeToString()) == "incomplete", kind
