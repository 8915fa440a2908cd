"""Which bytes are fetched when a few are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.storage.s3.read_ahead import LAST_WINDOW_BYTES, MAX_JUMPS_AHEAD, WINDOWS_AHEAD, Range, ReadAhead

MB = 1 << 20
SIZES = st.integers(1, 1 << 32)


class Fetched:
    """A reader that keeps all that was ever fetched, and counts requests and those that it had to wait for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.plan = ReadAhead(size)
        self.ranges: list[Range] = []
        self.waited = 0

    def read(self, start: int, stop: int) -> None:
        """Read bytes [start, stop), piece by piece."""
        end = self._there_up_to(start)
        if end is not None:
            self.ranges += self.plan.met(start, stop)
        else:
            self.waited += 1
            new = self.plan.missed(start, stop)
            assert new[0][0] == start
            assert new[0][1] >= stop
            self.ranges += new
        if end is not None and end < stop:
            self.read(end, stop)

    def read_all(self, ranges: Iterable[Range]) -> Fetched:
        for one in ranges:
            self.read(*one)
        return self

    @property
    def bytes(self) -> int:
        return sum(stop - start for start, stop in self.ranges)

    def _there_up_to(self, position: int) -> int | None:
        """Return where the range ends that holds the byte at *position*, None where none does."""
        return max((last for first, last in self.ranges if first <= position < last), default=None)


@st.composite
def ways(draw: st.DrawFn) -> tuple[int, list[Range]]:
    """A file's size, and ranges in it in any order."""
    size = draw(SIZES)
    starts = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=40))
    return size, [(start, min(size, start + draw(st.integers(1, 1 << 20)))) for start in starts]


@settings(deadline=None)
@given(ways())
def test_the_first_range_begins_where_it_was_asked_and_holds_all_that_was_asked_for(way: tuple[int, list[Range]]) -> None:
    size, ranges = way
    Fetched(size).read_all(ranges)


@settings(deadline=None)
@given(ways())
def test_no_range_leaves_the_file(way: tuple[int, list[Range]]) -> None:
    size, ranges = way
    fetched = Fetched(size).read_all(ranges)
    assert all(0 <= start < stop <= size for start, stop in fetched.ranges)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 2 * MB))
def test_in_order_the_bytes_fetched_in_vain_are_at_most_the_windows_ahead_and_what_remains_of_one(
    count: int, step: int
) -> None:
    fetched = Fetched(1 << 40).read_all((place * step, (place + 1) * step) for place in range(count))
    assert fetched.bytes - count * step <= (WINDOWS_AHEAD + 1) * LAST_WINDOW_BYTES


@settings(deadline=None)
@given(ways())
def test_one_read_fetches_no_more_than_the_windows_ahead_and_one_more_or_the_places_ahead(way: tuple[int, list[Range]]) -> None:
    size, ranges = way
    fetched = Fetched(size)
    for one in ranges:
        before = len(fetched.ranges)
        fetched.read(*one)
        assert len(fetched.ranges) - before <= 2 * (1 + max(WINDOWS_AHEAD + 1, MAX_JUMPS_AHEAD))


def test_going_back_to_what_is_kept_at_the_end_of_a_large_file_fetches_nothing_in_between() -> None:
    fetched = Fetched(5 << 30).read_all([((5 << 30) - 4096, 5 << 30), *((place * MB, (place + 1) * MB) for place in range(3))])
    before = fetched.bytes
    fetched.read_all([((5 << 30) - 4096, 5 << 30)] * 3)
    assert fetched.bytes - before <= 3 * (WINDOWS_AHEAD + 1) * LAST_WINDOW_BYTES


def test_a_small_file_takes_one_request() -> None:
    assert Fetched(60_000).read_all([(0, 4096), (59_000, 60_000), (0, 60_000)]).ranges == [(0, 60_000)]


def test_a_file_that_is_read_in_order_takes_a_request_for_four_megabytes_and_is_waited_for_at_its_beginning_only() -> None:
    fetched = Fetched(400 * MB).read_all((place * MB, (place + 1) * MB) for place in range(400))
    assert len(fetched.ranges) == 105
    assert fetched.waited == 5
    assert fetched.bytes == 400 * MB


def test_small_gaps_are_read_along() -> None:
    """200 headers in 20 MB: each gap costs less than a request."""
    fetched = Fetched(20 * MB).read_all((place * 100_000, place * 100_000 + 200) for place in range(200))
    assert len(fetched.ranges) < 15


def test_equal_jumps_are_fetched_ahead_several_at_a_time() -> None:
    """200 tensors of 5 MB: as many requests as headers, of which six are waited for."""
    places = [place * 5_000_117 for place in range(200)]
    fetched = Fetched(1_000_100_000).read_all((place, place + 4096) for place in places)
    assert fetched.waited == 4
    assert len(fetched.ranges) == 201
    assert fetched.bytes < 15 * MB


def test_jumps_that_repeat_like_the_layers_of_a_network_are_fetched_ahead() -> None:
    layer = (2_359_296, 2_359_300, 590_000, 9_437_184, 9_437_180, 700_000)
    places, place = [], 0
    for number in range(240):
        places.append(place)
        place += layer[number % 6] + number % 7
    fetched = Fetched(place).read_all((one, one + 4096) for one in places)
    assert fetched.waited < 25
    assert len(fetched.ranges) < 250


@settings(deadline=None)
@given(st.lists(st.integers(600_000, 50_000_000), min_size=50, max_size=200))
def test_jumps_without_a_rule_cost_at_most_a_few_requests_in_vain(jumps: list[int]) -> None:
    places = [sum(jumps[:count]) for count in range(len(jumps))]
    fetched = Fetched(sum(jumps) + 4096).read_all((place, place + 4096) for place in places)
    assert len(fetched.ranges) <= 1.5 * len(places) + 8
