from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import bench_lists, bench_s3
from benchmarks.bench_lists import Found, Times
from benchmarks.case import Row
from benchmarks.cases import cases


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(bench.tempfile, "tempdir", str(tmp_path))
    return tmp_path / "RESULTS.md"


def test_one_group_is_printed_and_nothing_is_written_or_left(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--quick", "--only", "listing"]) == 0
    assert "| Listing 1,000 files with size and version | wall without imports | " in capsys.readouterr().out
    assert list(results.parent.iterdir()) == []


@pytest.mark.slow
def test_the_rows_of_the_queue_are_measured(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--quick", "--only", "queue"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| From accepted to registered, a small model, workers: 1",
        "| From accepted to registered, a small model, workers: 2",
    ]
    assert all("not measured" not in row for row in rows)


def test_the_rows_of_lists_are_those_of_many_versions_beside_few(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many, few = (Found({"first page": Times(half, 0.09)}, listed, 7e7) for half, listed in ((0.03, 9), (0.01, 1)))
    monkeypatch.setattr(bench_lists, "measure", lambda versions: (many, few))
    assert bench.main(["--quick", "--only", "lists"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [(row[0], row[-3], row[-1]) for row in rows] == [
        ("| Lists of 20,000 versions: first page, 99 of 100", "–", "yes |"),
        ("| Lists of 20,000 versions: first page, half", "3.00 of theirs", "**no** |"),
        ("| The old face's list of all of 9 models", "1.00 of theirs", "yes |"),
    ]


@pytest.mark.slow
def test_lists_are_measured_over_http(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench_lists, "REQUESTS", 20)
    assert bench_lists.main(["2000"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {*bench_lists.ASKED, "list without an end"}
    assert 1500 < found["list without an end"]["models"] < 2000


def test_a_full_run_writes_the_page(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goal = cases()[0].goals[0]
    monkeypatch.setattr(
        bench, "measure", lambda runner, sizes, only: iter([Row("what", goal, "", None, None, "not installed")])
    )
    monkeypatch.setattr(bench, "FREE_BYTES", 0)
    assert bench.main([]) == 0
    assert "0 goals met, 0 missed, 1 not measured." in results.read_text(encoding="utf-8")


def test_too_little_room_is_told_before_anything_is_made(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "FREE_BYTES", 10**18)
    assert bench.main([]) == 1
    assert capsys.readouterr().err.startswith("needs 1e+09 GB of room")
    assert list(results.parent.iterdir()) == []


@pytest.mark.slow
@pytest.mark.oracle
def test_every_comparison_runs_on_small_inputs(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for lists, which compare with themselves and have a test of their own, above."""
    monkeypatch.setattr(bench, "list_rows", lambda versions: iter(()))
    assert bench.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    problems = [line for line in printed.splitlines() if "not measured" in line]
    assert all("is not installed" in line for line in problems)
    compared = (*cases(), *bench_s3.scans(1), *bench_s3.uploads(1))
    assert len(printed.splitlines()) == 2 + 2 + 2 + sum(len(case.goals) for case in compared)
