"""The list of TensorFlow's operators: complete, and telling of every kind of output."""

from __future__ import annotations

import pytest

from detectors.protos.tensorflow_pb2 import NodeDef
from detectors.tf_ops import is_registered, output_dtypes, registered_ops
from tests.builders import saved_model as sm
from tests.builders.bundle import FLOAT, INT32, INT64


def outputs(op: str, **attributes: bytes) -> tuple[str, ...]:
    return output_dtypes(NodeDef.FromString(sm.node("n", op, **attributes)))


def test_all_operators_of_tensorflow_are_listed() -> None:
    assert len(registered_ops()) == 1908
    assert all(map(is_registered, ["MatMul", "VarHandleOp", "PyFunc", "_Send"]))


@pytest.mark.parametrize("op", ["", "#", "matmul", "ZeroOut", "SimpleMLInferenceOpWithHandle"])
def test_others_are_not(op: str) -> None:
    assert not is_registered(op)


def test_a_fixed_dtype_does_not_depend_on_the_inputs() -> None:
    assert outputs("Equal", T=sm.type_attr(FLOAT)) == ("bool",)


def test_an_attribute_names_the_dtype() -> None:
    assert outputs("Softmax", T=sm.type_attr(FLOAT)) == ("float32",)


def test_a_default_counts_where_the_attribute_was_left_out() -> None:
    assert outputs("ArgMax", T=sm.type_attr(FLOAT)) == ("int64",)
    assert outputs("ArgMax", output_type=sm.type_attr(INT32)) == ("int32",)


def test_an_attribute_tells_how_many() -> None:
    assert outputs("Split", num_split=sm.int_attr(3), T=sm.type_attr(INT64)) == ("int64",) * 3


@pytest.mark.parametrize("claimed", [-1, 2**62])
def test_a_claim_of_absurdly_many_outputs_is_bounded(claimed: int) -> None:
    assert len(outputs("Split", num_split=sm.int_attr(claimed), T=sm.type_attr(INT64))) <= 1000


def test_a_list_of_dtypes_is_told_in_order() -> None:
    assert outputs("IdentityN", T=sm.types_attr(FLOAT, INT64)) == ("float32", "int64")


def test_an_operator_may_have_no_outputs() -> None:
    assert outputs("NoOp") == ()
    assert outputs("SaveV2") == ()


def test_what_is_not_told_is_unknown() -> None:
    assert (outputs("ZeroOut"), outputs("Softmax")) == (("unknown",), ("unknown",))
