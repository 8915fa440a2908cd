"""The frames of an event file: what is given out is what was written, up to the first damage."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import ModelLimit
from detectors.metrics.budget import Budget
from detectors.metrics.record_file import MAX_RECORD_BYTES, MAX_SMALL_RECORD_BYTES, RecordFile, _good
from detectors.tree import MemoryTree
from detectors.wire import Window
from tests.builders.events import masked_crc, record

LARGE = b"x" * (MAX_SMALL_RECORD_BYTES + 1)


class Counting(MemoryTree):
    """A tree that counts the bytes it gave."""

    count = 0

    def read(self, path: str, start: int, stop: int) -> bytes:
        self.count += stop - start
        return super().read(path, start, stop)


def records_of(data: bytes, condense=lambda window, start, stop: b"", budget=None, tree=None):
    """Return all records of *data* and the reader after the last one."""
    tree = tree or MemoryTree({"f": data})
    records = RecordFile(Window(tree, "f", len(data), 64), budget or Budget(), condense)
    return [item for batch in records.batches() for item in batch], records


def test_records_come_out_in_order():
    found, records = records_of(record(b"one") + record(b"two") + record(b"three"))
    assert found == [b"one", b"two", b"three"]
    assert (records.count, records.problem) == (3, None)


def test_empty_records_are_counted_and_not_given_out():
    found, records = records_of(record(b"one") + record(b"") + record(b"three"))
    assert (found, records.count, records.problem) == ([b"one", b"three"], 3, None)


def test_an_empty_file_has_no_records_and_no_problem():
    assert records_of(b"")[1].problem is None


@pytest.mark.parametrize(
    ("length", "problem"),
    [
        (20, "1 records read, then at byte 19: cut off: a header needs 12 bytes, 1 are left"),
        (30, "1 records read, then at byte 19: cut off: a header needs 12 bytes, 11 are left"),
        (31, "1 records read, then at byte 19: cut off: the record would end at byte 38, the file ends at 31"),
        (37, "1 records read, then at byte 19: cut off: the record would end at byte 38, the file ends at 37"),
    ],
)
def test_a_torn_end_keeps_what_was_read_and_tells_where(length, problem):
    found, records = records_of((record(b"one") + record(b"two"))[:length])
    assert found == [b"one"]
    assert records.problem == problem


def test_a_wrong_length_stops():
    data = bytearray(record(b"one") + record(b"two") + record(b"three"))
    data[19] ^= 1
    found, records = records_of(bytes(data))
    assert found == [b"one"]
    assert records.problem == "1 records read, then at byte 19: corrupt: the length does not match its checksum"


def test_wrong_data_stop_and_are_not_given_out():
    data = bytearray(record(b"one") + record(b"two") + record(b"three"))
    data[19 + 12] ^= 1
    found, records = records_of(bytes(data))
    assert found == [b"one"]
    assert records.problem == "1 records read, then at byte 19: corrupt: the data do not match their checksum"


def test_a_length_of_2_to_the_63_is_cut_off_not_read():
    length = struct.pack("<Q", 2**63)
    assert "cut off" in records_of(length + masked_crc(length) + b"rest")[1].problem


def test_large_records_are_passed_without_being_read():
    data = record(b"one") + record(b"x" * 1_000_000) + record(b"three")
    tree = Counting({"f": data})
    found, _ = records_of(data, tree=tree)
    assert found == [b"one", b"three"]
    assert tree.count < 1_000


def test_what_is_wanted_of_a_large_record_is_given_out():
    found, _ = records_of(record(LARGE) + record(b"two"), lambda window, start, stop: window.bytes(start, start + 2))
    assert found == [b"xx", b"two"]


def test_nothing_is_given_out_of_a_large_record_with_wrong_data():
    data = bytearray(record(b"one") + record(LARGE) + record(b"three"))
    data[-30] ^= 1
    found, records = records_of(bytes(data), lambda window, start, stop: b"wanted")
    assert found == [b"one"]
    assert records.problem == "1 records read, then at byte 19: corrupt: the data do not match their checksum"


def test_a_record_beyond_the_limit_is_passed_without_a_look():
    def condense(window: Window, start: int, stop: int) -> bytes:
        raise AssertionError

    length = struct.pack("<Q", MAX_RECORD_BYTES + 1)
    data = length + masked_crc(length) + bytes(MAX_RECORD_BYTES + 5) + record(b"two")
    found, records = records_of(data, condense)
    assert (found, records.passed_over) == ([b"two"], 1)


def test_the_budget_ends_a_file_of_empty_records():
    with pytest.raises(ModelLimit, match="MAX_LOOKS"):
        records_of(record(b"") * 1_000, budget=Budget(looks=500))


def test_the_budget_ends_a_file_of_many_bytes():
    with pytest.raises(ModelLimit, match="MAX_EVENT_BYTES"):
        records_of(record(bytes(1_000)) * 10, budget=Budget(bytes=5_000))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=12), st.data())
def test_what_is_given_out_is_what_was_written_up_to_the_first_damage(written, data):
    whole = b"".join(map(record, written))
    place = data.draw(st.integers(0, max(0, len(whole) - 1)))
    damaged = bytearray(whole)
    if damaged:
        damaged[place] ^= data.draw(st.integers(1, 255))
    before = 0
    while sum(len(item) + 16 for item in written[: before + 1]) <= place and before < len(written):
        before += 1
    found, records = records_of(bytes(damaged))
    assert found == [item for item in written[:before] if item]
    assert records.count == before
    assert (records.problem is None) == (not written)


@pytest.mark.parametrize("place", [0, 1, 63, 64, 65, 500, 4095, 4096, 5000, 9999])
@pytest.mark.parametrize("byte", [0, 8, 12, 19, 20])
def test_damage_anywhere_in_a_long_file_is_found_where_it_is(place, byte):
    written = [b"%08d" % number for number in range(10_000)]
    data = bytearray(b"".join(map(record, written)))
    data[place * 24 + byte] ^= 0x40
    found, records = records_of(bytes(data))
    assert found == written[:place]
    assert records.problem.startswith(f"{place} records read, then at byte {place * 24}: corrupt:")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=9), min_size=1, max_size=9), st.integers(0, 31), st.data())
def test_a_wrong_bit_of_any_stored_checksum_is_found(written, bit, data):
    index = data.draw(st.integers(0, len(written) - 1))
    stored = [int.from_bytes(masked_crc(item), "little") for item in written]
    assert _good(written, stored) == len(written)
    stored[index] ^= 1 << bit
    assert _good(written, stored) == index


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_records_or_a_problem(data):
    found, records = records_of(data)
    assert (records.position == len(data)) == (records.problem is None)
    assert sum(len(item) + 16 for item in found) <= len(data)
