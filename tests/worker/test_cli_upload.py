"""`modelport models upload`: a file and a folder, here and on a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import onnx
from tests.worker.conftest import json_of
from tests.worker.test_cli_queue import EXAMPLE
from tests.worker.test_cli_up import Up
from worker.cli import run


def test_a_file_is_uploaded_here(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(onnx.model())
    said = ("--name", "digits", "--notes", "for the fair", "--summary", '{"f1": 0.5}', "--tag", "gold")
    row = json_of(capsys, "models", "upload", "net.onnx", *said)
    assert (row["state"], row["trigger"], row["modelPath"]) == ("registered", "upload", "net.onnx")
    shown = json_of(capsys, "models", "show", "digits@1")
    version = shown["version"]
    assert (version["id"], version["notes"], version["tags"]) == (row["versionId"], "for the fair", ["gold"])
    assert [file["path"] for file in shown["files"]] == ["net.onnx"]


def test_what_is_uploaded_again_is_the_next_version(home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (json_of(capsys, "models", "upload", model, "--name", "net")["versionId"] for _ in range(2))
    assert json_of(capsys, "models", "show", "net@2")["version"]["duplicateOf"] == first != second


def test_what_holds_no_model_is_told(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("none")
    assert run(["models", "upload", "notes.txt"]) == 3
    assert "no model in notes.txt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing-here",), "there is nothing at this path"),
        (("net.onnx", "--summary", "{"), "summary: expected JSON"),
        (("net.onnx", "--name", "mo0123456789ab"), "name"),
    ],
)
def test_what_cannot_be_uploaded_is_told_in_words(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "net.onnx").write_bytes(onnx.model())
    assert run(["models", "upload", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_is_uploaded_to_a_server(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    up = Up(tmp_path / "there")
    try:
        monkeypatch.setenv("MODELPORT_API_URL", up.url)
        row = json_of(capsys, "models", "upload", EXAMPLE, "--name", "digits")
        assert (row["state"], row["message"]) == ("registered", "registered as digits version 1")
        assert run(["models", "upload", str(EXAMPLE), "--team", "red"]) == 4
        (tmp_path / "net.onnx").write_bytes(onnx.model())
        assert (
            json_of(capsys, "models", "upload", "net.onnx", "--name", "digits")["message"] == "registered as digits version 2"
        )
    finally:
        up.process.terminate()
        up.process.wait(60)
        assert up.process.stdout is not None
        up.process.stdout.close()
