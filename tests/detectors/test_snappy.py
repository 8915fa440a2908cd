"""The bounded decoder of Snappy blocks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.snappy import CorruptSnappy, decode, first_literal, uncompressed_length
from tests.builders import bundle as build


def test_a_literal_is_copied():
    assert decode(b"\x05\x10hello", 100) == b"hello"


def test_a_copy_with_one_byte_of_offset_may_overlap_what_it_writes():
    # Length 8; literal "ab"; copy 6 from 2 before: kind 1, (6 - 4) << 2.
    assert decode(b"\x08\x04ab" + bytes([1 | 2 << 2, 2]), 100) == b"abababab"


def test_a_copy_with_one_byte_has_three_high_bits_of_offset():
    literal = bytes(range(256)) * 2
    block = build.varint(516) + bytes([61 << 2]) + (511).to_bytes(2, "little") + literal + bytes([1 | 1 << 5, 0xFF])
    assert decode(block, 516) == literal + literal[1:5]


def test_copies_with_two_and_four_bytes_of_offset():
    assert decode(b"\x07\x08abc" + bytes([2 | 1 << 2, 3, 0]) + bytes([3 | 1 << 2, 2, 0, 0, 0]), 7) == b"abcabab"


def test_a_long_literal_has_its_length_in_following_bytes():
    assert decode(build.varint(100) + bytes([60 << 2, 99]) + b"x" * 100, 100) == b"x" * 100


def test_an_empty_block_declares_nothing():
    assert decode(b"\x00", 0) == b""


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"", id="no length"),
        pytest.param(b"\xff" * 6, id="endless length"),
        pytest.param(b"\x05\x10hell", id="literal leaves the block"),
        pytest.param(b"\x04\x10hello", id="more than declared"),
        pytest.param(b"\x06\x10hello", id="less than declared"),
        pytest.param(b"\x08\x04ab\x09\x00", id="offset 0"),
        pytest.param(b"\x08\x04ab\x09\x03", id="offset before the output"),
        pytest.param(b"\x05\x04ab\x09\x02", id="copy above the declared length"),
        pytest.param(b"\x08\x04ab\x09", id="copy cut off"),
        pytest.param(b"\x08\xf0", id="length of a literal cut off"),
    ],
)
def test_a_broken_block_is_refused(block):
    with pytest.raises(CorruptSnappy):
        decode(block, 100)


def test_a_block_that_declares_too_much_is_refused_before_anything_is_unpacked():
    with pytest.raises(CorruptSnappy, match="at most 10"):
        decode(b"\x0b" + b"\x28" + b"x" * 11, 10)


def test_the_first_literal_of_a_cut_off_block_is_read_as_far_as_it_goes():
    assert first_literal(b"\x64\x14he") == b"he"


def test_a_block_that_begins_with_a_copy_has_no_first_literal():
    with pytest.raises(CorruptSnappy):
        first_literal(b"\x08\x09\x02")


@given(st.binary(max_size=2000) | st.lists(st.sampled_from([b"abcd", b"ab", b"xyz"])).map(b"".join))
@settings(max_examples=150)
def test_what_the_builder_compresses_is_decoded(data):
    assert decode(build.snappy(data), len(data)) == data


@given(st.binary(max_size=300))
def test_any_bytes_give_bytes_of_the_declared_length_or_corrupt_snappy(data):
    try:
        out = decode(data, 1 << 20)
    except CorruptSnappy:
        return
    assert len(out) == uncompressed_length(data)[0]


def test_no_more_memory_is_used_than_the_declared_length():
    """A thousand copies of 64 bytes after a length of 70 stop at once."""
    with pytest.raises(CorruptSnappy, match="leaves the output"):
        decode(b"\x46\x00a" + bytes([2 | 63 << 2, 1, 0]) * 1000, 1 << 30)
