"""Which checks a pass over all bytes can make of a scanned model."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.block_checks import BlockChecks
from detectors.checks import tensor_checks
from detectors.facts import FileSums, TensorRange
from detectors.range_checks import RangeChecks
from detectors.scan import scan
from detectors.tree import MemoryTree
from tests.builders import bundle as build

TENSORS = [("dense/kernel", build.FLOAT, (2, 3)), ("step", build.INT64, ())]
BUNDLE = build.Bundle([build.Tensor("w", build.FLOAT, (2,), bytes(8)), build.Tensor("b", build.FLOAT, (1,), bytes(4), 1)], 2)


def problems_of(files, changed=None):
    """What the checks that follow from a scan of *files* say of the bytes of *changed*, by path."""
    tree = MemoryTree(files)
    checks = tensor_checks(scan(tree))
    found = {}
    for entry in tree.files():
        if check := checks(entry):
            check.update((changed or files)[entry.path])
            found[entry.path] = [problem.problem for problem in check.problems()]
    return found


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def test_the_data_files_of_an_index_are_checked_and_nothing_else():
    assert problems_of(BUNDLE.files("m")) == {"m.data-00000-of-00002": [], "m.data-00001-of-00002": []}


@pytest.mark.parametrize("compress", [False, True])
def test_a_flipped_bit_in_any_block_of_a_v1_checkpoint_is_told(compress):
    whole = build.single_file(TENSORS, compress)
    assert problems_of({"m.ckpt": whole}) == {"m.ckpt": []}
    at = whole.index(b"data")
    assert problems_of({"m.ckpt": whole}, {"m.ckpt": flipped(whole, at)})["m.ckpt"][0].startswith("the checksum of the block")


def test_a_broken_index_gives_no_checks_for_the_scan_told_it():
    assert problems_of(BUNDLE.files("m") | {"m.index": flipped(BUNDLE.files("m")["m.index"], 3)}) == {}
    whole = build.single_file(TENSORS)
    assert problems_of({"m.ckpt": whole[:-1]}) == {}


NUMBERS = st.integers(-(1 << 70), 1 << 70) | st.integers(-3, 40)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, st.sampled_from([1, 7, 21, -5]), NUMBERS)), st.binary(max_size=60))
def test_whatever_is_promised_of_a_file_gives_problems_and_no_error(promised, data):
    """The promises may come from a process that strangers' files were parsed in."""
    tensors = tuple(TensorRange(start, stop, crc, "w", dtype, elements) for start, stop, crc, dtype, elements in promised)
    blocks = tuple((start, stop) for start, stop, *_ in promised)
    for checks in (RangeChecks(FileSums("m", tensors)), BlockChecks(FileSums("m", blocks=blocks))):
        checks.update(data[:7])
        checks.update(data[7:])
        assert all(problem.path == "m" for problem in checks.problems())


def test_an_index_of_many_data_files_takes_one_pass_over_its_entries():
    """20,000 entries in 20,000 data files: looking through all entries for each file would take minutes."""
    number = 20_000
    tensors = [build.Tensor(f"w{i:05d}", build.FLOAT, (1,), bytes(4), i) for i in range(number)]
    files = build.Bundle(tensors, number).files("m")
    started = time.process_time()
    assert len(problems_of(files)) == number
    assert time.process_time() - started < 8
