"""Failed ingestions, moved on the command line: one, or all that a filter finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.conftest import json_of
from worker import operations
from worker.cli import run
from worker.records import Ingestion
from worker.registry.sql import SqlRegistry

pytestmark = pytest.mark.usefixtures("home")


def test_all_that_failed_for_a_reason_are_tried_again_or_discarded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        json_of(capsys, "complete", name, "--model-path", str(tmp_path / name), status=2)
    json_of(capsys, "rescan", "/etc/hostname", status=3)
    assert json_of(capsys, "ingestions", "retry", "--all", "--reason", "unreadable", "--yes") == {"count": 0}
    assert json_of(capsys, "ingestions", "retry", "--all", "--reason", "nothing-there", "--yes") == {"count": 2}
    assert states(capsys) == ["nothing_found", "received", "received"]
    assert json_of(capsys, "ingestions", "discard", "--all", "--yes") == {"count": 0}
    for name in ("c", "d"):
        json_of(capsys, "complete", name, "--model-path", str(tmp_path / name), status=2)
    assert json_of(capsys, "ingestions", "discard", "--all", "--experiment", "c", "--yes") == {"count": 1}
    assert "discarded" in states(capsys)
    assert json_of(capsys, "ingestions", "discard", "--all", "--model-format", "onnx", "--yes") == {"count": 0}
    assert json_of(capsys, "ingestions", "discard", "--all", "--model-format", "none", "--yes") == {"count": 1}


def states(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [one["state"] for one in json_of(capsys, "ingestions", "list")["ingestions"]]


def test_each_is_tried_again_once_though_it_fails_again_meanwhile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = [json_of(capsys, "complete", name, "--model-path", str(tmp_path / name), status=2)["id"] for name in "abc"]
    tried: list[str] = []

    def retry_and_fail(self: SqlRegistry, team: str, ingestion_id: str, *how: object) -> Ingestion | None:
        tried.append(ingestion_id)
        return self.ingestion(team, ingestion_id)

    monkeypatch.setattr(operations, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(SqlRegistry, "retry", retry_and_fail)
    assert json_of(capsys, "ingestions", "retry", "--all", "--yes") == {"count": 3}
    assert tried == failed[::-1]


@pytest.mark.parametrize(
    "words",
    [
        ("retry",),
        ("retry", "in1", "--all"),
        ("discard", "in1", "--reason", "x"),
        ("retry", "in1", "--model-format", "onnx"),
        ("retry", "--all"),
    ],
    ids=" ".join,
)
def test_what_is_to_be_moved_is_said_in_one_way(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert run(["ingestions", *words]) == 4
    assert "expected " in capsys.readouterr().err
