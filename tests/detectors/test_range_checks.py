"""Checksums verified while a file streams by."""

from __future__ import annotations

import itertools
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import range_checks
from detectors.facts import CutOff, FileSums, Problem, TensorRange
from detectors.range_checks import RangeChecks
from tests.builders import bundle as build


def plain(data, start, stop, name="w"):
    return TensorRange(start, stop, build.masked(data[start:stop]), name, build.FLOAT, 1)


def problems(data, checks, size=1000, big_endian=False):
    checks = RangeChecks(FileSums("d", tuple(checks), big_endian))
    for at in range(0, len(data), size):
        checks.update(data[at : at + size])
    return [problem.problem for problem in checks.problems()]


DATA = bytes(range(200))


def test_the_right_bytes_pass():
    assert problems(DATA, [plain(DATA, 0, 200)]) == []


def test_the_crc_of_the_check_value_passes():
    """The crc32c of 123456789 is e3069283 (RFC 3720, B.4); masked it is c78ab0e5."""
    assert problems(b"123456789", [TensorRange(0, 9, 0xC78AB0E5, "w", build.FLOAT, 1)]) == []
    assert len(problems(b"123456788", [TensorRange(0, 9, 0xC78AB0E5, "w", build.FLOAT, 1)])) == 1


def test_a_flipped_bit_names_the_tensor_and_its_range():
    flipped = bytes([*DATA[:50], DATA[50] ^ 1, *DATA[51:]])
    checks = [plain(DATA, 0, 40, "before"), plain(DATA, 40, 60, "dense/kernel"), plain(DATA, 60, 200, "after")]
    assert problems(flipped, checks) == ["tensor dense/kernel: the checksum of bytes [40, 60) differs from the index"]


def test_bytes_in_no_range_are_not_checked():
    flipped = bytes([1, *DATA[1:]])
    assert problems(flipped, [plain(DATA, 10, 20), plain(DATA, 30, 40)]) == []


def test_ranges_may_overlap_and_contain_each_other():
    checks = [plain(DATA, 0, 200), plain(DATA, 0, 10), plain(DATA, 5, 15), plain(DATA, 5, 15), plain(DATA, 199, 200)]
    assert problems(DATA, checks, 7) == []


def test_ranges_may_come_in_any_order():
    for order in itertools.permutations([plain(DATA, 0, 10), plain(DATA, 10, 20), plain(DATA, 20, 200)]):
        assert problems(DATA, order, 11) == []


def test_an_empty_range_has_the_checksum_of_nothing():
    nothing = 0xA282EAD8  # crc 0, masked
    inside, end = TensorRange(5, 5, nothing, "a", build.FLOAT, 0), TensorRange(200, 200, nothing, "b", build.FLOAT, 0)
    assert problems(DATA, [inside, end]) == []
    assert problems(b"", [TensorRange(0, 0, nothing, "a", build.FLOAT, 0)]) == []


def test_an_empty_range_with_another_checksum_is_a_problem():
    assert len(problems(DATA, [TensorRange(5, 5, 0, "a", build.FLOAT, 0), TensorRange(200, 200, 0, "b", build.FLOAT, 0)])) == 2


def test_a_file_that_ends_too_early_is_a_problem_for_each_tensor_behind_its_end():
    checks = [plain(DATA, 0, 50), plain(DATA, 50, 100, "cut"), plain(DATA, 150, 200, "gone")]
    assert problems(DATA[:60], checks) == [
        "tensor cut wants bytes [50, 100), the file has 60",
        "tensor gone wants bytes [150, 200), the file has 60",
    ]


def test_only_a_file_that_is_right_as_far_as_it_goes_is_cut_off():
    promised = FileSums("d", (plain(DATA, 0, 50), plain(DATA, 50, 100)))
    for data, kind in ((DATA[:60], CutOff), (b"\xff" + DATA[1:60], Problem)):
        checks = RangeChecks(promised)
        checks.update(data)
        assert {type(problem) for problem in checks.problems()} == {kind}


def test_problems_may_be_asked_twice():
    checks = RangeChecks(FileSums("d", (plain(DATA, 0, 300),)))
    checks.update(DATA)
    assert checks.problems() == checks.problems()


def test_more_overlaps_than_the_limit_are_told_as_not_verified(monkeypatch):
    monkeypatch.setattr(range_checks, "MAX_OVERLAPS", 2)
    told = problems(DATA, [plain(DATA, 0, 100, name) for name in "abc"])
    assert told == ["tensor c: not verified, more than 2 tensors share its bytes"]


def test_many_small_ranges_in_one_chunk_are_no_overlap():
    assert problems(DATA, [plain(DATA, at, at + 1) for at in range(200)], 200) == []


def test_many_problems_are_counted():
    told = problems(bytes(200), [plain(DATA, at, at + 1, str(at)) for at in range(1, 151)])
    assert len(told) == range_checks.MAX_PROBLEMS + 1
    assert told[-1] == "and 50 more tensors"


def text(values, order="<"):
    body, crc = build.string_bytes(values, order)
    return body, TensorRange(0, len(body), crc, "s", build.STRING, len(values))


@pytest.mark.parametrize("values", [[], [b""], [b"a"], [b"", b"xy", b""], [b"x" * 300, b"y"]])
def test_strings_pass_by_their_own_rule(values):
    body, check = text(values)
    for size in (1, 2, 3, 1000):
        assert problems(body, [check], size) == []


def test_strings_of_known_bytes_pass():
    """Two strings, "ab" and "c": lengths 2 and 1, the masked crc of 02000000 01000000, then abc."""
    lengths = build.masked(bytes.fromhex("0200000001000000"))
    stored = struct.pack("<I", lengths)
    body = b"\x02\x01" + stored + b"abc"
    whole = build.masked(bytes.fromhex("0200000001000000") + stored + b"abc")
    assert problems(body, [TensorRange(0, len(body), whole, "s", build.STRING, 2)]) == []


def test_strings_of_a_big_endian_writer_pass():
    body, check = text([b"abc", b"x" * 200], ">")
    assert problems(body, [check], 3, big_endian=True) == []
    assert len(problems(body, [check], 3)) == 1


def test_every_flipped_bit_of_strings_is_a_problem():
    body, check = text([b"abc", b"", b"x" * 130])
    for position, bit in itertools.product(range(len(body)), range(8)):
        flipped = bytearray(body)
        flipped[position] ^= 1 << bit
        assert problems(bytes(flipped), [check], 50)


def test_lengths_that_do_not_add_up_are_a_problem():
    body, check = text([b"abc"])
    longer = TensorRange(0, len(body) + 1, check.crc32c, "s", build.STRING, 1)
    assert problems(body + b"x", [longer])


def test_more_strings_declared_than_bytes_is_a_problem_and_no_hang():
    assert problems(bytes(1000), [TensorRange(0, 1000, 0, "s", build.STRING, 1 << 60)])


def test_an_endless_length_is_a_problem():
    assert problems(b"\xff" * 500_000 + b"\x01", [TensorRange(0, 500_001, 0, "s", build.STRING, 1)], 100_000)


@pytest.mark.parametrize("length", [b"\x83\x00", b"\xff" * 9 + b"\x01", b"\xe8\x07", b"\x7f"])
def test_a_length_that_is_padded_or_leaves_its_range_is_a_problem(length):
    """Also where all checksums agree with it."""
    stored = struct.pack("<I", build.masked(struct.pack("<I", 3)))
    body = length + stored + b"abc"
    crc = build.masked(struct.pack("<I", 3) + stored + b"abc")
    assert problems(body, [TensorRange(0, len(body), crc, "s", build.STRING, 1)])


def test_strings_that_share_bytes_are_told_as_not_verified():
    """Their lengths are read in plain Python; sixteen tensors on the same bytes would cost that sixteen times."""
    body, check = text([b"abc"])
    other = TensorRange(check.start, check.stop, check.crc32c, "t", check.dtype, check.elements)
    assert problems(body, [check, other]) == ["tensor t: not verified, another tensor of strings or variants shares its bytes"]


def test_strings_one_after_the_other_share_no_bytes():
    first, check = text([b"abc"])
    second, other = text([b"d", b"e" * 200])
    moved = TensorRange(len(first), len(first) + len(second), other.crc32c, "t", build.STRING, 2)
    for size in (1, 5, 1000):
        assert problems(first + second, [check, moved], size) == []


@pytest.mark.parametrize("length", [b"\x00", b"\x80\x01", b"\x80"])
def test_megabytes_of_lengths_take_no_time(length):
    started = time.process_time()
    data = length * ((8 << 20) // len(length))
    assert problems(data, [TensorRange(0, len(data), 0, "s", build.STRING, len(data) - 4)], 1 << 20)
    assert time.process_time() - started < 2


RANGES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)).map(sorted), max_size=8)


@given(RANGES, st.lists(st.integers(0, 200), max_size=6).map(sorted), st.binary(min_size=200, max_size=200))
@settings(max_examples=150)
def test_how_the_file_is_cut_into_chunks_changes_nothing(ranges, cuts, other):
    """The data at hand, and other data, have the same problems whole and in pieces."""
    checks = [plain(DATA, start, stop, str(number)) for number, (start, stop) in enumerate(ranges)]
    for data in (DATA, other):
        pieces = RangeChecks(FileSums("d", tuple(checks)))
        for start, stop in itertools.pairwise([0, *cuts, 200]):
            pieces.update(data[start:stop])
        whole = RangeChecks(FileSums("d", tuple(checks)))
        whole.update(data)
        assert sorted(p.problem for p in pieces.problems()) == sorted(p.problem for p in whole.problems())
    assert problems(DATA, checks) == []


@given(st.integers(0, 199), st.integers(0, 7), st.integers(0, 199), RANGES)
@settings(max_examples=150)
def test_a_range_that_lacks_a_byte_or_has_a_flipped_bit_is_always_a_problem(position, bit, length, ranges):
    flipped = bytearray(DATA)
    flipped[position] ^= 1 << bit
    checks = [plain(DATA, start, stop) for start, stop in ranges]
    assert len(problems(bytes(flipped), checks, 37)) == sum(start <= position < stop for start, stop in ranges)
    assert len(problems(DATA[:length], checks, 37)) == sum(stop > length for start, stop in ranges)


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 50), st.integers(1, 100))
def test_any_bytes_as_strings_give_problems_and_no_error(data, stop, elements, size):
    assert isinstance(problems(data, [TensorRange(0, stop, 1, "s", build.STRING, elements)], size), list)


def test_memory_does_not_grow_with_the_chunks_that_went_by():
    """Nothing of a chunk is kept: a thousand chunks later no more bytes are held than after the first."""
    import tracemalloc

    checks = RangeChecks(FileSums("d", (TensorRange(0, 1 << 40, 0, "w", build.FLOAT, 1),)))
    chunk = bytes(1 << 16)
    checks.update(chunk)
    tracemalloc.start()
    for _ in range(1000):
        checks.update(chunk)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 4096
