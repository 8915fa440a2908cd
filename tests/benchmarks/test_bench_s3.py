from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bench_s3 import rows
from benchmarks.case import Figure, Row
from benchmarks.runner import Runner
from tests.servers.ceph import skip_without_ceph

SIZE = 2_000_000


def test_where_ceph_is_missing_the_rows_say_so_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = list(rows(Runner(tmp_path, is_quick=True), SIZE))
    assert len(found) == 4 * 3 + 3 + 2
    assert {(row.ours, row.theirs, row.problem) for row in found} == {(None, None, "Ceph is not installed")}
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    skip_without_ceph()
    return list(rows(Runner(tmp_path_factory.mktemp("bench"), is_quick=True), SIZE))


@pytest.mark.slow
@pytest.mark.oracle
def test_every_scan_and_copy_is_measured_on_a_real_server(found: list[Row]) -> None:
    for row in found:
        assert row.problem in ("", "aws is not installed"), row.what
        if row.problem == "":
            assert row.ratio is not None, row.what
            assert row.ratio > 0, row.what


@pytest.mark.slow
@pytest.mark.oracle
def test_a_scan_is_counted_by_what_went_through_the_proxy(found: list[Row]) -> None:
    (row,) = [row for row in found if "in one file beside it" in row.what and row.goal.figure is Figure.READ]
    assert row.ours is not None
    assert row.theirs is not None
    assert 200 * 1024 * 2 * 4 < row.theirs.read < 1_700_000  # the tensors, and a graph
    assert 0 < row.ours.read < 160_000  # the graph, and of the tensors the last 64 KiB, where a hidden zip would end
    assert 0 < row.ours.requests <= 40
