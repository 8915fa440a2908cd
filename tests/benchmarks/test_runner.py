from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.case import AtMost, Case, Command, Cost, Figure, Goal, Input, TimesLess
from benchmarks.cases import QUICK, cases
from benchmarks.runner import NotMeasured, Runner, best_cost

NOTHING = Input("files", 1)
WITHOUT_TENSORFLOW = [case for case in cases(QUICK) if {made.kind for made in case.inputs()} <= {"onnx", "files"}]


def python(script: str, *arguments: str, needs: Path | None = None) -> Command:
    return Command("python", (sys.executable, "-c", script, *arguments), needs=needs)


def test_the_processor_time_of_a_command_is_seen(tmp_path: Path) -> None:
    busy = python("import time\nwhile time.process_time() < 0.3: pass")
    cost = Runner(tmp_path).cost(busy)
    assert cost.cpu is not None
    assert 0.3 <= cost.cpu < 1.0


def test_the_peak_is_that_of_the_command_alone(tmp_path: Path) -> None:
    ballast = bytearray(200_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    cost = Runner(tmp_path).cost(python("b'x' * 50_000_000"))
    assert cost.peak is not None
    assert 50_000_000 < cost.peak < 90_000_000


def test_each_run_has_its_own_scratch_folder_and_leaves_none(tmp_path: Path) -> None:
    once = python("import sys, os; os.mkdir(sys.argv[1])", "{scratch}/made")
    for _ in range(2):
        Runner(tmp_path).cost(once)
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match=r"^python ended with status 3$"):
        Runner(tmp_path).cost(python("raise SystemExit(3)"))


def test_a_command_that_is_killed_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured):
        Runner(tmp_path).cost(python("import os; os.abort()"))


def test_a_tool_that_is_not_there_becomes_a_row_that_says_so(tmp_path: Path) -> None:
    absent = python("pass", needs=tmp_path / "modelscan")
    case = Case("name", "what", NOTHING, python("pass"), absent, (Goal(Figure.CPU, TimesLess(8)),))
    (row,) = Runner(tmp_path, is_quick=True).rows(case)
    assert (row.ours, row.is_met, row.problem) == (None, None, "modelscan is not installed")


def test_of_times_the_least_counts_and_of_sizes_the_most() -> None:
    costs = [Cost(cpu=1.0, wall=9.0, peak=5.0), Cost(cpu=3.0, wall=7.0, peak=6.0), Cost(cpu=2.0, wall=8.0, peak=4.0, read=1.0)]
    assert best_cost(costs) == Cost(cpu=1.0, wall=7.0, peak=6.0, read=None)


@pytest.mark.oracle
def test_every_comparison_without_tensorflow_gives_rows_with_figures(tmp_path: Path) -> None:
    runner = Runner(tmp_path, is_quick=True)
    runner.make(made for case in WITHOUT_TENSORFLOW for made in case.inputs())
    rows = [(case, row) for case in WITHOUT_TENSORFLOW for row in runner.rows(case)]
    assert {case.name for case, _ in rows} == {"onnx", "listing", "growth", "start"}
    for case, row in rows:
        assert row.problem in ("", "modelport is not installed"), case.what
        if row.problem == "":
            assert row.ours is not None
            assert row.goal.figure.of(row.ours) is not None, case.what
            assert (row.ratio is not None and row.ratio > 0) == (case.theirs is not None), case.what
            assert (row.is_met is None) == (row.goal.wanted is None), case.what


def test_every_goal_has_something_to_be_held_against() -> None:
    for case in cases():
        assert case.goals
        assert case.theirs is not None or all(isinstance(goal.wanted, AtMost) for goal in case.goals)
