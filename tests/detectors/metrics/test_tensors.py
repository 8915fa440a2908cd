"""The number in a rank-0 tensor, for each dtype and way of writing it."""

import struct

import pytest

from detectors.metrics.tensors import scalar_of
from detectors.protos.event_pb2 import Tensor
from tests.builders import events as build


def parsed(body: bytes) -> Tensor:
    return Tensor.FromString(body)


@pytest.mark.parametrize(
    ("dtype", "content", "number"),
    [
        (build.FLOAT, bytes.fromhex("0000c03f"), 1.5),
        (build.DOUBLE, bytes.fromhex("000000000000f8bf"), -1.5),
        (build.INT32, bytes.fromhex("feffffff"), -2.0),
        (build.UINT8, b"\xfe", 254.0),
        (build.INT16, b"\xfe\xff", -2.0),
        (build.INT8, b"\xfe", -2.0),
        (build.INT64, bytes.fromhex("feffffffffffffff"), -2.0),
        (build.HALF, bytes.fromhex("003e"), 1.5),
    ],
)
def test_tensor_content_is_little_endian(dtype, content, number):
    assert scalar_of(parsed(build.tensor(dtype, content))) == number


@pytest.mark.parametrize(
    ("dtype", "rest", "number"),
    [
        (build.FLOAT, build.field(5, struct.pack("<f", 1.5)), 1.5),
        (build.FLOAT, b"\x2d" + struct.pack("<f", 1.5), 1.5),
        (build.DOUBLE, build.field(6, struct.pack("<d", -1.5)), -1.5),
        (build.INT32, build.field(7, build.varint(-2)), -2.0),
        (build.INT64, build.field(10, build.varint(-2)), -2.0),
        (build.HALF, build.field(13, build.varint(0x3E00)), 1.5),
    ],
)
def test_the_repeated_field_of_the_dtype_is_read_where_there_is_no_content(dtype, rest, number):
    assert scalar_of(parsed(build.tensor(dtype, rest=rest))) == number


@pytest.mark.parametrize("dtype", [build.FLOAT, build.INT64, build.HALF])
def test_a_zero_may_be_left_out(dtype):
    assert scalar_of(parsed(build.tensor(dtype))) == 0.0


@pytest.mark.parametrize(
    "body",
    [
        build.tensor(build.FLOAT, bytes(4), dims=(1,)),
        build.tensor(build.FLOAT, bytes(4), dims=(0,)),
        build.tensor(build.FLOAT, bytes(3)),
        build.tensor(build.FLOAT, bytes(8)),
        build.tensor(build.FLOAT, rest=build.field(5, bytes(8))),
        build.tensor(build.STRING, b"text"),
        build.tensor(build.BOOL, b"\x01"),
        build.tensor(99, bytes(4)),
        b"\x08\x01" + build.field(2, b"\x18\x01") + build.field(4, bytes(4)),
        b"",
    ],
    ids=["rank 1", "no elements", "short", "long", "two values", "string", "bool", "unknown dtype", "unknown rank", "empty"],
)
def test_anything_else_is_no_scalar(body):
    assert scalar_of(parsed(body)) is None
