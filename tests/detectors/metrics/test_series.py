"""A growing series keeps what matters of any number of points."""

import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.metrics.series import MAX_CHECKPOINTS, MAX_SERIES, Checkpoint, GrowingSeries, Point, Room, Series


def grown(*files: list[tuple[int, float]], max_points: int = MAX_CHECKPOINTS) -> Series:
    """Return the series of points given file by file; the wall time is the number of the file, from 1."""
    growing = GrowingSeries("loss", "eval", max_points)
    for number, points in enumerate(files, 1):
        for step, value in points:
            growing.add(step, value, float(number))
        growing.close_file(f"f{number}")
    series = growing.close()
    assert series is not None
    return series


def test_without_points_there_is_no_series():
    assert GrowingSeries("loss", "").close() is None


def test_the_last_point_has_the_highest_step():
    assert grown([(1, 0.5), (9, 0.25), (3, 0.75)]).last == Point(9, 0.25, 1.0)


def test_of_equal_steps_the_last_written_is_the_last():
    assert grown([(9, 0.5), (9, 0.25), (-1, 7.0)]).last == Point(9, 0.25, 1.0)


def test_of_equal_steps_the_later_file_wins():
    series = grown([(1, 0.5), (2, 0.25)], [(2, 8.0), (2, 9.0), (3, 1.0)])
    assert series.checkpoints == (Checkpoint(1, (0.5,)), Checkpoint(2, (8.0, 9.0)), Checkpoint(3, (1.0,)))
    assert (series.last, series.source, series.count) == (Point(3, 1.0, 2.0), "f2", 5)


def test_a_restart_that_got_less_far_leaves_the_last_point_to_the_earlier_file():
    series = grown([(1, 0.5), (100, 0.25)], [(50, 8.0)])
    assert (series.last, series.source) == (Point(100, 0.25, 1.0), "f1")


def test_least_and_greatest_come_with_their_steps_and_leave_nan_out():
    series = grown([(1, math.nan), (2, 0.5), (3, -1.5)], [(4, math.nan), (5, 2.5)])
    assert (series.least, series.greatest) == (Point(3, -1.5, 1.0), Point(5, 2.5, 2.0))


def test_infinities_are_least_and_greatest():
    series = grown([(1, math.inf), (2, 0.5), (3, -math.inf)])
    assert (series.least.step, series.greatest.step) == (3, 1)


def test_where_all_is_nan_the_last_stands_in():
    series = grown([(1, math.nan), (2, math.nan)])
    assert (series.least.step, series.greatest.step) == (2, 2)


def test_a_wall_time_of_0_is_none():
    growing = GrowingSeries("loss", "")
    growing.add(1, 0.5, 0.0)
    growing.close_file("f")
    assert growing.close().last == Point(1, 0.5, None)


def test_a_point_without_step_counts_where_no_point_has_one():
    growing = GrowingSeries("loss", "")
    growing.stepless = Point(None, 0.5)
    assert growing.close().last == Point(None, 0.5)
    growing.add(1, 0.25, 0.0)
    growing.close_file("f")
    assert growing.close().last == Point(1, 0.25)


def test_the_highest_steps_are_kept():
    series = grown([(step, float(step)) for step in range(10)], max_points=3)
    assert [checkpoint.step for checkpoint in series.checkpoints] == [8, 9]
    assert series.is_cut


def test_exactly_as_many_points_as_are_kept_are_not_cut():
    series = grown([(step, float(step)) for step in range(3)], max_points=3)
    assert [checkpoint.step for checkpoint in series.checkpoints] == [0, 1, 2]
    assert not series.is_cut


def test_a_single_step_written_for_ever_keeps_its_last_values():
    series = grown([(0, float(value)) for value in range(10)], max_points=3)
    assert series.checkpoints == (Checkpoint(0, (7.0, 8.0, 9.0)),)
    assert series.is_cut


def test_over_many_files_the_highest_steps_are_kept():
    series = grown([(1, 1.0), (2, 2.0)], [(3, 3.0), (4, 4.0)], max_points=3)
    assert [checkpoint.step for checkpoint in series.checkpoints] == [2, 3, 4]


def test_the_memory_of_a_growing_series_does_not_depend_on_the_number_of_points():
    growing = GrowingSeries("loss", "", 100)
    for step in range(10_000):
        growing.add(step, 0.5, 1.0)
        if step % 500 == 499:
            growing.fold("f")
    growing.close_file("f")
    assert growing.steps == growing.values == growing.wall_times == []
    assert len(growing.close().checkpoints) == 99
    assert sys.getsizeof(growing._recent) < 10_000


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(-9, 9)), min_size=1, max_size=20), st.integers(1, 6))
def test_folding_at_any_time_changes_nothing(points, every):
    whole, folded = GrowingSeries("a", ""), GrowingSeries("a", "")
    for index, (step, value) in enumerate(points):
        whole.add(step, value, float(index + 1))
        folded.add(step, value, float(index + 1))
        if index % every == 0:
            folded.fold("f")
    whole.close_file("f")
    folded.close_file("f")
    assert whole.close() == folded.close()


def test_columns_are_points():
    one, all_at_once = GrowingSeries("a", ""), GrowingSeries("a", "")
    for point in ((1, 0.5, 7.0), (2, 0.25, 8.0)):
        one.add(*point)
    all_at_once.extend((1, 2), [0.5, 0.25], (7.0, 8.0))
    one.close_file("f")
    all_at_once.close_file("f")
    assert one.close() == all_at_once.close()


def test_a_room_gives_a_bounded_number_of_series_and_counts_the_rest():
    room = Room(left=2)
    assert [room.grow(name, "") is None for name in "abcd"] == [False, False, True, True]
    assert room.left_out == 2


@pytest.mark.parametrize(("taken", "points"), [(0, 1_000), (99, 1_000), (199, 500), (9_999, 10)])
def test_the_more_series_the_fewer_points_each_keeps(taken, points):
    assert Room(left=MAX_SERIES - taken).grow("a", "").max_points == points
