"""The table of trust in short: the first samples of every set, by ours alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.trust.__main__ import OURS, THEIRS, Row, ours, page, table
from benchmarks.trust.sets import SETS, Sample, SampleSet, first


@pytest.mark.parametrize("of", SETS, ids=lambda of: of.what)
def test_ours_is_right_about_the_first_of_every_set(of: SampleSet, tmp_path: Path) -> None:
    if not of.is_there:
        pytest.skip(f"{of.needs} is not set")
    samples = first(of.write(tmp_path), 25)
    assert samples
    row = Row(of, samples, {OURS: [ours(sample.path) for sample in samples]})
    assert row.mistakes() == []


def test_a_mistake_would_be_told_and_who_is_not_installed_is_named() -> None:
    attack, honest = (SampleSet(what, what == "good", lambda folder: iter(())) for what in ("bad", "good"))
    samples = [Sample(name, Path(name)) for name in "abc"]
    scan, audit = THEIRS
    rows = [
        Row(attack, samples, {OURS: ["none", "high", "unsure"], scan: None, audit: ["none"] * 3}),
        Row(honest, samples, {OURS: ["none", "medium", "high"], scan: None, audit: ["critical"] * 3}),
    ]
    assert [row.mistakes() for row in rows] == [["a"], ["c"]]
    assert table(rows)[2:] == ["| bad | 3 | 2 | not installed | 0 | 3 |", "| good | 3 | 1 | not installed | 3 | 0 |"]
    assert page(rows).count("not installed") == 2
