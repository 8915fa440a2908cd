"""Numbers side by side in one large number."""

from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.metrics.lanes import every, lanes_of, numbers_in

numbers = st.lists(st.integers(0, 2**64 - 1), max_size=9)


def test_every_lane_holds_the_number():
    assert every(0x80, 3) == 0x80 | 0x80 << 64 | 0x80 << 128


def test_no_numbers_are_no_lanes():
    assert (lanes_of([]), every(7, 0), numbers_in(0, 0)) == (0, 0, [])


@settings(max_examples=100, deadline=None)
@given(numbers)
def test_what_is_put_into_lanes_comes_out_of_them(numbers):
    assert numbers_in(lanes_of(numbers), len(numbers)) == numbers


@settings(max_examples=100, deadline=None)
@given(numbers, st.integers(0, 63))
def test_what_leaves_a_lane_is_masked_away(numbers, shift):
    moved = lanes_of(numbers) >> shift & every((2**64 - 1) >> shift, len(numbers))
    assert numbers_in(moved, len(numbers)) == [number >> shift for number in numbers]
