"""What `modelport explain` prints, and what it leaves with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.conftest import json_of
from worker.cli import run

pytestmark = pytest.mark.usefixtures("home")


def test_a_path_is_explained_before_and_after_it_is_registered(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = json_of(capsys, "explain", model)
    assert (before["outcome"], before["near"]) in [("registered", []), ("waiting", [])]
    version = json_of(capsys, "ingest", model)["version"]["id"]
    after = json_of(capsys, "explain", model)
    assert (after["path"], after["outcome"], after["reason"]) == (str(model), "unchanged", "same-listing")
    assert any(version in line["says"] for line in after["lines"])


def test_people_are_told_what_was_nearly_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs" / "mnist-7").mkdir(parents=True)
    assert run(["explain", str(tmp_path / "runs" / "mnist-8")]) == 2
    said = capsys.readouterr().out
    assert f"→ {tmp_path}/runs has no mnist-8; it has mnist-7\n" in said
    assert said.endswith(f"{tmp_path}/runs/mnist-8 would fail (nothing-there)\n")


def test_an_empty_folder_holds_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert run(["explain", str(tmp_path / "empty")]) == 3
    assert "holds no model (nothing-found)" in capsys.readouterr().out
