"""`modelport doctor --drift`: found, noted, shown, and found fine again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.builders import onnx
from tests.worker.test_cli import json_of, text_of


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELPORT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELPORT_SETTLE_SECONDS", "0")
    return tmp_path / "home"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return onnx.run_at(tmp_path / "run")


def drift_of(capsys: pytest.CaptureFixture[str], id: str) -> Any:
    return json_of(capsys, "models", "show", id)["version"]["drift"]


def checks(capsys: pytest.CaptureFixture[str], *options: str, status: int = 0) -> dict[str, str]:
    return {one["name"]: one["state"] for one in json_of(capsys, "doctor", "--drift", *options, status=status)["checks"]}


def test_drift_of_a_reference_is_found_shown_and_gone_again(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_STORE_MODE", "reference")
    id = json_of(capsys, "ingest", str(run_folder))["version"]["id"]
    assert drift_of(capsys, id) is None
    assert checks(capsys)["references"] == "ok"
    assert drift_of(capsys, id)["says"] == "as registered, by names, sizes and times"
    model = next(run_folder.rglob("model.onnx"))
    os.utime(model, ns=(1, 1))
    assert checks(capsys, status=1)["references"] == "trouble"
    told = json_of(capsys, "doctor", "--drift", status=1)["checks"]
    [says] = [one["says"] for one in told if one["name"] == "references"]
    assert says == f"files of {id} were written since; --drift --digests tells whether they are the same"
    assert drift_of(capsys, id)["state"] == "touched"
    assert "files written since" in text_of(capsys, "models", "list")
    assert checks(capsys, "--digests")["digests of references"] == "ok"
    assert drift_of(capsys, id)["state"] == "fine"
    kept = model.read_bytes()
    model.unlink()
    checks(capsys, status=1)
    found = drift_of(capsys, id)
    assert found["state"] == "missing"
    assert "is gone" in found["says"]
    shown = text_of(capsys, "models", "show", id)
    assert "files now" in shown
    assert "missing at" in shown
    model.write_bytes(kept)
    os.utime(model, ns=(1, 1))
    assert checks(capsys)["references"] == "ok"
    assert drift_of(capsys, id)["state"] == "fine"


def test_a_copy_that_is_gone_from_the_store_is_missing_and_a_store_that_is_away_is_not_reached(
    home: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    id = json_of(capsys, "ingest", str(run_folder))["version"]["id"]
    assert checks(capsys)["copies"] == "ok"
    (home / "store").rename(home / "elsewhere")
    assert checks(capsys, status=1)["copies"] == "trouble"
    assert drift_of(capsys, id)["state"] == "unreachable"
    (home / "elsewhere").rename(home / "store")
    (kept,) = (home / "store").rglob("model")
    kept.rename(home / "aside")
    checks(capsys, status=1)
    assert drift_of(capsys, id)["state"] == "missing"
    (home / "store").rename(home / "elsewhere")
    checks(capsys, status=1)
    found = drift_of(capsys, id)
    assert (found["state"], found["trouble"] is None) == ("missing", False)
    (home / "elsewhere").rename(home / "store")
    (home / "aside").rename(kept)
    assert checks(capsys)["copies"] == "ok"
    assert drift_of(capsys, id)["state"] == "fine"


def test_a_copy_can_be_ingested_from_the_store_and_not_referenced_there(
    home: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the files of one version would go when another one is deleted."""
    json_of(capsys, "ingest", str(run_folder))
    (kept,) = (home / "store").rglob("model")
    assert json_of(capsys, "ingest", str(kept))["version"]["store"] == "copy"
    monkeypatch.setenv("MODELPORT_STORE_MODE", "reference")
    report = json_of(capsys, "ingest", str(kept), "--experiment", "e9", status=2)
    assert report["ingestion"]["reason"] == "rejected-location"
    assert "lies in modelport's own store" in report["ingestion"]["message"]


def test_doctor_alone_notes_nothing(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    id = json_of(capsys, "ingest", str(run_folder))["version"]["id"]
    json_of(capsys, "doctor", "--digests")
    assert drift_of(capsys, id) is None
