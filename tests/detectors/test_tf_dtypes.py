"""TensorFlow's numbers for dtypes."""

from __future__ import annotations

import pytest

from detectors import tf_dtypes


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (1, "float32"),
        (7, "string"),
        (9, "int64"),
        (14, "bfloat16"),
        (19, "float16"),
        (20, "resource"),
        (24, "float8_e5m2"),
        (101, "float32"),
        (109, "int64"),
        (0, "dtype_0"),
        (97, "dtype_97"),
        (100, "dtype_100"),
        (199, "dtype_199"),
        (-1, "dtype_-1"),
    ],
)
def test_a_dtype_has_the_name_of_numpy_or_keeps_its_number(dtype, name):
    assert tf_dtypes.dtype_name(dtype) == name


@pytest.mark.parametrize(
    ("dtype", "width"), [(1, 4), (2, 8), (10, 1), (14, 2), (18, 16), (101, 4), (7, None), (29, None), (97, None)]
)
def test_an_element_has_its_width_or_none_is_known(dtype, width):
    assert tf_dtypes.element_bytes(dtype) == width


@pytest.mark.parametrize(
    ("dtype", "number"), [(1, True), (10, True), (101, True), (7, False), (20, False), (21, False), (0, False), (97, False)]
)
def test_strings_resources_variants_and_the_unknown_are_no_numbers(dtype, number):
    assert tf_dtypes.is_number(dtype) is number


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_name_and_width_is_tensorflows():
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    for number in tf_dtypes.NAMES:
        assert number in types_pb2.DataType.values()
        dtype = tf.dtypes.as_dtype(number)
        assert tf_dtypes.dtype_name(number) == dtype.name
        if (width := tf_dtypes.element_bytes(number)) is not None:
            assert width == dtype.size
    known = {number for number in types_pb2.DataType.values() if 0 < number < tf_dtypes.REF}
    assert known == set(tf_dtypes.NAMES)
