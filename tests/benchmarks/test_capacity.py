"""What one core does: the table, and where it is written."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from benchmarks import capacity
from benchmarks.capacity import Line, Told, main, measure, table

WHATS = (
    "Completions accepted, from 8 senders at once",
    "Small models registered as copies, by N processes",
    "Memory, the worker's with all its processes for N at a time",
    "Room in the database for each of them, with its ingestion and history",
    "A model of N GB, copied, hashed and synced",
    "A model of N GB, hashed where it is",
)


def without_sizes(what: str) -> str:
    return re.sub(r"(by|of|for) [0-9.]+ (processes|GB|at)", r"\1 N \2", what)


def test_a_row_tells_what_each_of_many_took() -> None:
    told = Told(seconds=2.0, used={"worker": 1.0, "PostgreSQL": 0.25})
    assert str(told.line("models", 100)) == (
        "| models | 50 a second | 12.5 ms each (worker 10.0, PostgreSQL 2.5): 80 a second and core |"
    )


def test_the_table_says_when_and_on_what_it_was_measured() -> None:
    about, empty, head, rule, *rows = table([Line("a", "b", "c")], date(2026, 1, 2)).splitlines()
    assert about.startswith("Measured on 2026-01-02: ")
    assert (empty, head, rule, rows) == ("", "| what | on the clock | processor time |", "|---|---|---|", ["| a | b | c |"])


def test_the_page_has_the_rows_that_are_measured() -> None:
    text = capacity.PAGE.read_text(encoding="utf-8").partition(capacity.BEGIN)[2].partition(capacity.END)[0]
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:]
    assert tuple(map(without_sizes, rows)) == WHATS


def test_only_the_table_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "capacity.md"
    page.write_text(f"before\n{capacity.BEGIN}\nold\n{capacity.END}\nafter\n")
    monkeypatch.setattr(capacity, "PAGE", page)
    monkeypatch.setattr(capacity, "measure", lambda models, gigabytes: [Line(f"{models}", f"{gigabytes}", "c")])
    assert main(["--models", "7", "--gigabytes", "0.5", "--write"]) == 0
    text = page.read_text()
    assert text.startswith(f"before\n{capacity.BEGIN}\nMeasured on ")
    assert text.endswith(f"\n| 7 | 0.5 | c |\n{capacity.END}\nafter\n")
    assert "old" not in text
    assert "| 7 | 0.5 | c |" in capsys.readouterr().out


@pytest.mark.slow
def test_it_measures() -> None:
    rows = list(measure(models=40, gigabytes=0.01))
    assert tuple(without_sizes(row.what) for row in rows) == WHATS
    for row in rows:
        assert re.search("[1-9]", row.clock)
