"""Frames whose headers are known are cut, by rounds where they repeat."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.metrics import frames
from detectors.metrics.frames import EVIDENCE, MAX_PERIOD, ROUND, Cutter
from tests.builders.events import masked_crc, record

EVERY = 10**9


def cutter_for(*written: bytes) -> Cutter:
    cutter = Cutter()
    for data in written:
        cutter.known(record(data)[:12], len(data))
    return cutter


def stored_crc(data: bytes) -> int:
    return struct.unpack("<I", masked_crc(data))[0]


def cut_in_pieces(written: list[bytes], pieces: list[int], cutter: Cutter) -> list[bytes]:
    """Cut all of *written*, at most so many records at a time as *pieces* say in turn, and check what comes with the data."""
    buffer, index, found = b"".join(map(record, written)), 0, []
    while index < len(buffer):
        cut, index = cutter.cut(buffer, index, pieces[len(found) % len(pieces)])
        assert cut.crcs == [stored_crc(data) for data in cut.data]
        assert cut.data
        found += cut.data
    return found


def singly(cutter: Cutter) -> list[int]:
    """Return a list that grows by one with each attempt of *cutter* to cut one by one, from now on."""
    calls, cut = [], cutter._one_by_one
    cutter._one_by_one = lambda *arguments: calls.append(1) or cut(*arguments)
    return calls


def test_an_unknown_header_ends_the_cut():
    data = record(b"one") + record(b"three")
    cut, index = cutter_for(b"one").cut(data, 0, EVERY)
    assert (cut.data, cut.crcs, index) == ([b"one"], [stored_crc(b"one")], 19)


def test_a_frame_that_is_cut_off_ends_the_cut():
    data = (record(b"one") * 2)[:-1]
    assert cutter_for(b"one").cut(data, 0, EVERY)[1] == 19


def test_an_unknown_header_inside_a_round_ends_the_cut():
    known, other = [b"%03d" % number for number in range(200)], b"other"
    data = b"".join(map(record, [*known, other, *known]))
    cut, index = cutter_for(b"one").cut(data, 0, EVERY)
    assert (cut.data, index) == (known, 200 * 19)


def test_what_repeats_is_cut_by_rounds():
    step = [b"a", b"bb", b"ccc"]
    buffer, cutter = b"".join(map(record, step * 10_000)), cutter_for(*step)
    calls = singly(cutter)
    cut, index = cutter.cut(buffer, 0, EVERY)
    assert (len(cut.data), index) == (30_000, len(buffer))
    assert len(calls) == 2  # the evidence at the beginning, and what is left of a round at the end


def test_what_repeats_goes_on_in_the_next_buffer():
    step = [b"a", b"bb", b"ccc"]
    buffer, cutter = b"".join(map(record, step * 100)), cutter_for(*step)
    cutter.cut(buffer, 0, EVERY)
    calls = singly(cutter)
    cut, _ = cutter.cut(buffer, 0, EVERY)
    assert cut.data == step * 100
    assert len(calls) == 1


def test_a_cut_ends_soon_after_the_count():
    cut, _ = cutter_for(b"a").cut(record(b"a") * 10_000, 0, 1_000)
    assert 1_000 <= len(cut.data) <= 1_000 + EVIDENCE + ROUND


def test_a_longest_period_is_seen_twice():
    assert EVIDENCE >= 2 * MAX_PERIOD
    assert MAX_PERIOD >= ROUND


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.binary(max_size=3), min_size=1, max_size=5), st.integers(1, 90)), max_size=5),
    st.lists(st.integers(1, 300), min_size=1, max_size=3),
)
def test_the_rounds_change_nothing_but_the_time_it_takes(runs, pieces):
    written = [data for period, times in runs for data in period * times]
    assert cut_in_pieces(written, pieces, cutter_for(*written)) == written


def test_without_a_period_records_are_cut_one_by_one(monkeypatch):
    monkeypatch.setattr(frames, "MAX_PERIOD", 0)
    assert cut_in_pieces([b"a"] * 500, [70], cutter_for(b"a")) == [b"a"] * 500
