"""`modelport scan --format sarif`: what code scanning of other projects is given."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from detectors.scan import scan
from detectors.tree import MemoryTree
from tests.builders import onnx
from tests.detectors.sarif_schema import mistakes
from worker.cli import run
from worker.cli.code_scanning import base_of

pytestmark = pytest.mark.usefixtures("home")

OUTSIDE = onnx.model(onnx.small_graph(initializers=[onnx.external_tensor(location="../../etc/passwd")]))


def log_of(capsys: pytest.CaptureFixture[str], *words: str, status: int) -> dict[str, Any]:
    assert run(["scan", *words, "--format", "sarif"]) == status
    captured = capsys.readouterr()
    assert captured.err == ""
    log: dict[str, Any] = json.loads(captured.out)
    assert mistakes(log) == []
    return log


def places(log: dict[str, Any]) -> set[str]:
    results = log["runs"][0]["results"]
    return {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in results}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    (tmp_path / "nets" / "a b").mkdir(parents=True)
    (tmp_path / "nets" / "a b" / "m.onnx").write_bytes(OUTSIDE)
    return tmp_path / "nets"


@pytest.mark.parametrize("path", ["nets", "nets/", "./nets/a b", "nets/a b/m.onnx", "../{here}/nets", "{absolute}/nets", "."])
def test_places_are_seen_from_the_current_folder(
    path: str, hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(capsys, path.format(here=tmp_path.name, absolute=tmp_path), status=1)
    assert places(log) == {"nets/a%20b/m.onnx"}


def test_a_link_is_followed(hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link").symlink_to("nets/a b")
    (tmp_path / "m.onnx").symlink_to("nets/a b/m.onnx")
    assert places(log_of(capsys, "link", status=1)) == {"nets/a%20b/m.onnx"}
    assert places(log_of(capsys, "m.onnx", status=1)) == {"nets/a%20b/m.onnx"}


def test_what_lies_elsewhere_has_a_whole_uri(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    assert places(log_of(capsys, "../nets", status=1)) == {f"file://{os.path.realpath(hostile)}/a%20b/m.onnx"}


def test_on_object_storage_an_object_lies_in_its_prefix() -> None:
    alone, several = scan(MemoryTree({"m.onnx": OUTSIDE})), scan(MemoryTree({"net/m.onnx": OUTSIDE}))
    assert base_of("s3://bucket/a b/m.onnx", alone) == "s3://bucket/a%20b/"
    assert base_of("s3://bucket/runs/", several) == "s3://bucket/runs/"
    assert base_of("s3://bucket", several) == "s3://bucket/"


def test_a_clean_model_is_a_log_without_results(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [looked] = log_of(capsys, "net", status=0)["runs"]
    assert (looked["results"], looked["properties"]["verdict"]) == ([], "clean")
    assert looked["automationDetails"] == {"id": "modelport/net/"}
    assert looked["tool"]["driver"]["version"]


def test_the_log_goes_to_a_file_and_the_status_stays(hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", "nets", "--format", "sarif", "--output", "models.sarif"]) == 1
    assert capsys.readouterr().out == ""
    assert places(json.loads((tmp_path / "models.sarif").read_text())) == {"nets/a%20b/m.onnx"}


def test_no_other_command_writes_it(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ingest", "net", "--format", "sarif"]) == 4
    assert "'sarif' is not one of 'text', 'json'" in capsys.readouterr().err
