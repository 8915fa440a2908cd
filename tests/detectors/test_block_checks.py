"""The checksums of blocks, verified while a file streams by."""

from __future__ import annotations

import itertools
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import block_checks
from detectors.block_checks import BlockChecks
from detectors.facts import FileSums
from tests.builders import bundle as build


def blocks_of(bodies):
    """A file of blocks one after the other, each of type 0, and their handles."""
    data, handles = b"", []
    for body in bodies:
        handles.append((len(data), len(body)))
        data += body + b"\0" + struct.pack("<I", build.masked(body + b"\0"))
    return data, handles


def problems(data, handles, size=1000):
    checks = BlockChecks(FileSums("m.ckpt", blocks=tuple(handles)))
    for at in range(0, len(data), size):
        checks.update(data[at : at + size])
    return [problem.problem for problem in checks.problems()]


DATA, HANDLES = blocks_of([b"abc", b"", b"x" * 50, b"yz"])


def test_the_right_bytes_pass_whatever_lies_around_them():
    assert problems(DATA, HANDLES) == []
    assert problems(b"before" + DATA + b"behind", [(offset + 6, size) for offset, size in HANDLES]) == []


def test_a_block_that_has_a_flipped_bit_is_always_told():
    for position, bit in itertools.product(range(len(DATA)), range(8)):
        flipped = bytearray(DATA)
        flipped[position] ^= 1 << bit
        begin = max(offset for offset, _ in HANDLES if offset <= position)
        assert problems(bytes(flipped), HANDLES, 20) == [f"the checksum of the block at byte {begin} differs from its bytes"]


def test_a_block_that_lacks_a_byte_is_always_told():
    for length in range(len(DATA)):
        cut = [f"the block at byte {offset} is cut off" for offset, size in HANDLES if offset + size + 5 > length]
        assert problems(DATA[:length], HANDLES, 7) == cut


@given(st.lists(st.integers(0, len(DATA)), max_size=6).map(sorted), st.binary(min_size=len(DATA), max_size=len(DATA)))
@settings(max_examples=100)
def test_how_the_file_is_cut_into_chunks_changes_nothing_to_the_blocks(cuts, other):
    for data in (DATA, other):
        pieces = BlockChecks(FileSums("m.ckpt", blocks=tuple(HANDLES)))
        for start, stop in itertools.pairwise([0, *cuts, len(data)]):
            pieces.update(data[start:stop])
        assert [problem.problem for problem in pieces.problems()] == problems(data, HANDLES)
    assert problems(DATA, HANDLES) == []


def test_problems_may_be_asked_twice_and_are_counted_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(block_checks, "MAX_PROBLEMS", 2)
    checks = BlockChecks(FileSums("m.ckpt", blocks=tuple(HANDLES)))
    assert checks.problems() == checks.problems()
    assert [problem.problem for problem in checks.problems()][-1] == "and 2 more blocks"
