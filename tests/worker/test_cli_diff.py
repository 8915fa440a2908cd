"""`modelport models diff`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import onnx
from tests.worker.conftest import json_of
from worker.cli import run

pytestmark = pytest.mark.usefixtures("home")

Files = tuple[str, str]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Two files, the second of which takes only batches of eight and has an operator more."""
    return write(tmp_path / "old.onnx", [None, 3], ["Relu"]), write(tmp_path / "new.onnx", [8, 3], ["Relu", "Tanh"])


def write(path: Path, dims: list[int | None], operators: list[str]) -> str:
    inputs, nodes = [onnx.value("x", dims=dims)], [onnx.node(name) for name in operators]
    path.write_bytes(onnx.model(onnx.small_graph(inputs=inputs, nodes=nodes)))
    return f"./{path.name}"


def test_paths_are_compared_without_their_files(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    difference = json_of(capsys, "models", "diff", *files, status=1)
    assert (difference["old"], difference["new"], difference["signature"]) == ("./old.onnx", "./new.onnx", "breaking")
    assert (difference["operators"], difference["files"]) == ({"Tanh": [0, 1]}, None)
    assert json_of(capsys, "models", "diff", *files[::-1])["signature"] == "compatible"
    assert json_of(capsys, "models", "diff", files[0], files[0])["signature"] == "same"


def test_versions_are_compared_with_their_files(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [json_of(capsys, "ingest", path, "--name", "net")["version"]["id"] for path in files]
    difference = json_of(capsys, "models", "diff", "net@1", ids[1], status=1)
    assert (difference["old"], difference["new"]) == (f"net@1 ({ids[0]})", f"net@2 ({ids[1]})")
    assert difference["signature"] == "breaking"
    assert [one["path"] for one in difference["files"]["added"]] == ["new.onnx"]
    assert [one["path"] for one in difference["files"]["removed"]] == ["old.onnx"]
    mixed = json_of(capsys, "models", "diff", "net@1", files[1], status=1)
    assert (mixed["new"], mixed["files"]) == ("./new.onnx", None)


def test_a_person_reads_what_breaks_first(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "diff", *files]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "./old.onnx  →  ./new.onnx"
    assert lines[1] == "▲ breaking: who calls the old one may fail with the new one"
    assert lines[2] == "  ▲ g  input x  [?, 3] → [8, 3]"
    assert any(line.split() == ["operators", "Tanh", "0", "→", "1"] for line in lines)
    assert run(["models", "diff", files[0], files[0]]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{files[0]}  →  {files[0]}", "✓ the signatures are the same"]


def test_what_is_not_there_is_told(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "diff", files[0], "./none"]) == 2
    assert "none" in capsys.readouterr().err
    assert run(["models", "diff", "nobody", files[0]]) == 2
    assert "nobody: no such model; `modelport models list`" in capsys.readouterr().err
    Path("nobody").mkdir()
    assert run(["models", "diff", "nobody", "net"]) == 2
    assert "nobody: no such model; what lies on this disk is named ./nobody" in capsys.readouterr().err


def test_findings_that_are_new_or_gone_are_told_by_their_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "m.onnx", [8, 3], ["Relu"])
    (tmp_path / "new" / "away").symlink_to("/etc/passwd")
    assert run(["models", "diff", "./old", "./new"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["new", "findings", "link-outside", "1"]
    assert run(["models", "diff", "./new", "./old"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["gone", "findings", "link-outside", "1"]
