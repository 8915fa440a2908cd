from __future__ import annotations

import pytest

from benchmarks.case import AtMost, Cost, Figure, Goal, Row, TimesLess, Within


def row(goal: Goal, ours: Cost | None, theirs: Cost | None) -> Row:
    return Row("what", goal, "beside", ours, theirs)


@pytest.mark.parametrize(("ours", "is_met"), [(0.5, True), (1.0, True), (1.1, False)])
def test_times_less_wants_theirs_through_ours(ours: float, is_met: bool) -> None:
    assert row(Goal(Figure.CPU, TimesLess(8)), Cost(cpu=ours), Cost(cpu=8.0)).is_met is is_met


@pytest.mark.parametrize(("ours", "is_met"), [(9.0, True), (13.0, True), (13.1, False)])
def test_within_lets_ours_take_a_little_more(ours: float, is_met: bool) -> None:
    assert row(Goal(Figure.WALL, Within(1.3)), Cost(wall=ours), Cost(wall=10.0)).is_met is is_met


@pytest.mark.parametrize(("ours", "is_met"), [(24e6, True), (26e6, False)])
def test_at_most_looks_at_ours_alone(ours: float, is_met: bool) -> None:
    assert row(Goal(Figure.PEAK, AtMost(25e6)), Cost(peak=ours), None).is_met is is_met


def test_a_figure_for_information_is_neither_met_nor_missed() -> None:
    assert row(Goal(Figure.CPU), Cost(cpu=1.0), Cost(cpu=2.0)).is_met is None


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert row(Goal(Figure.CPU, TimesLess(1)), None, None).is_met is None
    assert row(Goal(Figure.CPU, AtMost(1)), None, None).is_met is None
    assert row(Goal(Figure.WORK_CPU, TimesLess(1)), Cost(cpu=1.0), Cost(cpu=1.0)).is_met is None
