"""The checksum that an index promises for a tensor."""

from __future__ import annotations

import itertools
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.sstable import mask
from detectors.tensor_sums import sum_for
from tests.builders import bundle as build

BYTES = {build.FLOAT: lambda values, order: (b"".join(values), build.masked(b"".join(values)))}
BYTES |= {build.STRING: build.string_bytes, build.VARIANT: build.variant_bytes}
VALUES = [[], [b""], [b"a"], [b"", b"xy", b""], [b"x" * 300, b"y"]]


def summed(dtype, elements, body, size=1000, order="little"):
    """The masked crc of *body*, fed in pieces of *size*; None where it is no such tensor."""
    total = sum_for(dtype, elements, len(body), order)
    for at in range(0, len(body), size):
        total.feed(body[at : at + size])
    value = total.value()
    return None if value is None else mask(value)


@pytest.mark.parametrize("dtype", BYTES)
@pytest.mark.parametrize("values", VALUES)
def test_how_the_bytes_are_cut_into_pieces_changes_nothing(dtype, values):
    body, crc = BYTES[dtype](values, "<")
    assert {summed(dtype, len(values), body, size) for size in (1, 2, 3, 7, 1000)} == {crc}


@pytest.mark.parametrize("dtype", [build.STRING, build.VARIANT])
def test_a_big_endian_writer_is_read_by_its_order(dtype):
    body, crc = BYTES[dtype]([b"abc", b"x" * 200], ">")
    assert summed(dtype, 2, body, order="big") == crc
    assert summed(dtype, 2, body) is None


def test_variants_that_tensorflow_wrote_pass():
    """Written by TensorFlow 2.21 (SaveV2) for a scalar: a list of one tensor, [1, 2]."""
    stored = (
        "350a1674656e736f72666c6f773a3a54656e736f724c6973741207000105120208021a1208011204120208022a080000803f000000400c591820"
    )
    assert summed(build.VARIANT, 1, bytes.fromhex(stored)) == 2486794364


def test_every_flipped_bit_of_variants_gives_another_sum():
    body, crc = build.variant_bytes([b"abc", b"", b"x" * 130])
    for position, bit in itertools.product(range(len(body)), range(8)):
        flipped = bytearray(body)
        flipped[position] ^= 1 << bit
        assert summed(build.VARIANT, 3, bytes(flipped), 50) != crc


@pytest.mark.parametrize("elements", [0, 1, 3])
def test_another_number_of_variants_than_promised_has_no_sum(elements):
    body, _ = build.variant_bytes([b"abc", b"d"])
    assert summed(build.VARIANT, elements, body) is None


def test_a_cut_off_variant_has_no_sum():
    body, _ = build.variant_bytes([b"abc"])
    assert [summed(build.VARIANT, 1, body[:size]) for size in range(len(body))] == [None] * len(body)


@pytest.mark.parametrize("length", [b"\x83\x00", b"\xff" * 9 + b"\x01", b"\xe8\x07", b"\x7f"])
def test_a_length_that_is_longer_than_it_needs_to_be_or_leaves_the_tensor_is_wrong_at_once(length):
    """Also where all checksums agree with it."""
    first = build.masked(struct.pack("<Q", 3) + b"abc")
    assert summed(build.VARIANT, 1, length + b"abc" + struct.pack("<I", first)) is None
    lengths = struct.pack("<I", build.masked(struct.pack("<I", 3)))
    assert summed(build.STRING, 1, length + lengths + b"abc") is None


def test_megabytes_of_a_wrong_length_take_no_time():
    started = time.process_time()
    assert summed(build.VARIANT, 1, b"\xff" * (8 << 20), 1 << 20) is None
    assert time.process_time() - started < 1


@given(st.binary(max_size=300), st.integers(0, 50), st.integers(1, 100), st.sampled_from([build.STRING, build.VARIANT]))
def test_any_bytes_give_a_sum_or_none(data, elements, size, dtype):
    assert isinstance(summed(dtype, elements, data, size), int | None)


@pytest.mark.parametrize("dtype", [build.STRING, build.VARIANT])
@pytest.mark.parametrize("elements", [-1, -(1 << 63) - 1])
def test_a_negative_number_of_elements_has_no_sum(dtype, elements):
    assert summed(dtype, elements, b"\0") is None
