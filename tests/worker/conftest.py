"""What people have who use the program: a home, a model, and the commands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.builders import onnx
from worker.cli import run

ROOT = Path(__file__).parents[2]


def without_settings() -> dict[str, str]:
    """Return the environment of this process without what steers modelport."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MODELPORT_")}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, no other setting, and no waiting for files to rest. A process started elsewhere runs this code."""
    for key in os.environ.keys() - without_settings().keys():
        monkeypatch.delenv(key)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MODELPORT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELPORT_SETTLE_SECONDS", "0")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder `net` with one small ONNX model, beside the home."""
    return onnx.run_at(tmp_path / "net")


def json_of(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0, beside: str = "") -> dict[str, Any]:
    """Run a command with `--format json`; what it prints must be JSON alone, and on stderr nothing but a line with *beside*."""
    capsys.readouterr()
    assert run([str(word) for word in (*words, "--format", "json")]) == status
    captured = capsys.readouterr()
    assert (captured.err.count("\n") == 1 and beside in captured.err) if beside else captured.err == ""
    value: dict[str, Any] = json.loads(captured.out)
    return value
