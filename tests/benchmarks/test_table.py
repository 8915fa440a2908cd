from __future__ import annotations

import os
import socket
from datetime import date
from pathlib import Path

import pytest

from benchmarks.case import AtMost, Cost, Figure, Goal, Row, TimesLess, Within
from benchmarks.table import machine, page, table

OURS = Cost(cpu=0.0512, wall=0.2, peak=12_340_000.0, work_cpu=0.005, work_wall=0.006, read=1_500_000.0)
THEIRS = Cost(cpu=2.0, wall=3.0, peak=1_050_000_000.0, work_cpu=1.25, work_wall=1.5, read=1_000_000_000.0)

MISSED = Row("Structure", Goal(Figure.WORK_CPU, TimesLess(300)), "`onnx.load`", OURS, THEIRS)


def line(goal: Goal, ours: Cost | None = OURS, theirs: Cost | None = THEIRS, problem: str = "") -> str:
    return table([Row("what", goal, "beside", ours, theirs, problem)])[-1]


def test_a_goal_that_is_met() -> None:
    assert line(Goal(Figure.WORK_CPU, TimesLess(150))) == (
        "| what | CPU without imports | 0.0050 / 0.0060 / 12.3 | 1.25 / 1.50 / 1050.0 | beside"
        " | 250 times less | at least 150 times less | yes |"
    )


def test_a_missed_goal_is_told_as_missed() -> None:
    assert line(Goal(Figure.CPU, TimesLess(150))).endswith("| 39.1 times less | at least 150 times less | **no** |")


def test_a_bound_upwards_is_told_as_a_part_of_theirs() -> None:
    assert line(Goal(Figure.WALL, Within(1.3)), Cost(wall=6.0), Cost(wall=5.0)).endswith(
        "| 1.20 of theirs | at most 1.3 of theirs | yes |"
    )


def test_a_bound_on_ours_alone() -> None:
    assert line(Goal(Figure.PEAK, AtMost(25e6)), OURS, None).endswith("| – | beside | – | at most 25 MB | yes |")


def test_bytes_read_stand_beside_the_time() -> None:
    assert "| 0.0050 / 0.0060 / 12.3; 1.500 MB read |" in line(Goal(Figure.READ, Within(1.25)))


def test_requests_stand_beside_the_time_and_are_wanted_by_number() -> None:
    ours = Cost(work_cpu=0.2, work_wall=0.7, peak=50_000_000.0, requests=17)
    assert line(Goal(Figure.REQUESTS, AtMost(40)), ours, None).endswith(
        "| requests | 0.20 / 0.70 / 50.0; 17 requests | – | beside | – | at most 40 requests | yes |"
    )


def test_what_was_not_measured_says_why() -> None:
    assert line(Goal(Figure.CPU, TimesLess(8)), None, None, "it is not installed").endswith(
        "| – | at least 8 times less | not measured: it is not installed |"
    )


def test_the_page_counts_what_was_missed() -> None:
    text = page([MISSED], date(2026, 1, 2), "2 cores")
    assert text.startswith("# Benchmarks, 2026-01-02\n")
    assert "\n0 goals met, 1 missed, 0 not measured.\n" in text


@pytest.mark.oracle
def test_the_machine_is_told_without_its_name_and_without_paths(tmp_path: Path) -> None:
    told = machine(tmp_path / "absent")
    assert told.startswith(f"{os.cpu_count()} cores, ")
    assert ", onnx 1." in told
    assert "/" not in told
    assert f" {socket.gethostname()} " not in told
