"""Commands work for one team, which an option or a setting names; care is for all of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.builders import onnx
from tests.servers.process import free_port, until
from tests.worker.conftest import json_of
from tests.worker.test_cli_queue import CALL, EXAMPLE
from worker.cli import run


@pytest.fixture(autouse=True)
def vision(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A team beside `default`."""
    assert run(["team", "create", "vision"]) == 0
    capsys.readouterr()


def names(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    return [one["name"] for one in json_of(capsys, "models", "list", *words)["models"]]


def experiments(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    return [one["experimentId"] for one in json_of(capsys, "ingestions", "list", *words)["ingestions"]]


def test_lists_show_one_team_only(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "ingest", str(model), "--experiment", "ours")
    json_of(capsys, "ingest", str(model), "--experiment", "theirs", "--team", "vision")
    assert (names(capsys), names(capsys, "--team", "vision")) == (["ours"], ["theirs"])
    assert (experiments(capsys), experiments(capsys, "--team", "vision")) == (["ours"], ["theirs"])


def test_a_setting_names_the_team_and_the_option_wins(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_TEAM", "vision")
    json_of(capsys, "complete", "theirs", "--model-path", str(model))
    json_of(capsys, "rescan", str(model), "--experiment", "ours", "--team", "default")
    assert names(capsys) == experiments(capsys) == ["theirs"]
    assert names(capsys, "--team", "default") == experiments(capsys, "--team", "default") == ["ours"]


def test_a_version_of_a_team_is_shown_tagged_renamed_downloaded_and_deleted(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of = ("--team", "vision")
    version = json_of(capsys, "ingest", str(model), "--name", "net", *of)["version"]["id"]
    assert json_of(capsys, "models", "show", "net", *of)["version"]["id"] == version
    assert json_of(capsys, "models", "tag", "net", "--add", "good", *of)["version"]["tags"] == ["good"]
    assert json_of(capsys, "models", "rename", "net", "web", *of)["version"]["name"] == "web"
    assert len(json_of(capsys, "models", "download", "web", "--to", str(tmp_path / "out"), *of)["files"]) == 1
    assert json_of(capsys, "models", "delete", "web", "--yes", *of)["deleted"]["id"] == version
    assert run(["models", "show", version]) == 2


def test_an_ingestion_of_a_team_is_shown_tried_again_and_discarded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = ("--team", "vision")
    failed = json_of(capsys, "complete", "x", "--model-path", str(tmp_path / "late"), *of, status=2)["id"]
    assert run(["ingestions", "show", failed]) == 2
    assert capsys.readouterr().err.startswith(f"modelport: {failed}: no such ingestion of the team default; ")
    assert json_of(capsys, "ingestions", "show", failed, *of)["state"] == "failed"
    assert json_of(capsys, "ingestions", "retry", failed, *of)["state"] == "received"
    assert json_of(capsys, "ingestions", "discard", failed, *of)["state"] == "discarded"


@pytest.mark.parametrize(
    "words",
    [
        "models list",
        "ingestions list",
        "ingest net",
        "complete e --model-path net",
        "rescan net",
        "watch",
        "token list",
        "run true",
    ],
)
def test_a_team_that_nobody_made_is_refused_with_those_that_are_there(
    words: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_TEAM", "visoin")
    assert run(words.split()) == 2
    assert capsys.readouterr().err == "modelport: there is no team visoin; there are default, vision\n"
    monkeypatch.delenv("MODELPORT_TEAM")
    assert run(["ingestions", "list", "--team", ""]) == 2
    assert capsys.readouterr().err == "modelport: there is no team without a name; there are default, vision\n"


def test_the_team_of_the_setting_may_be_made_after_it_was_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_TEAM", "audio")
    assert run(["team", "create", "audio"]) == 0
    capsys.readouterr()
    assert experiments(capsys) == []


@pytest.mark.parametrize("words", ["complete e --model-path net", "run true"])
def test_a_server_is_not_asked_for_a_team(
    words: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_API_URL", f"http://127.0.0.1:{free_port()}")
    command, *others = words.split()
    assert run([command, "--team", "vision", *others]) == 4
    assert "the server of MODELPORT_API_URL takes the team from the token; leave the option out" in capsys.readouterr().err


def test_a_run_is_of_its_team_also_when_the_next_one_delivers_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = dict(os.environ)
    away = ours | {"MODELPORT_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/nowhere"}
    train = ["--", "sh", "-c", f"cp -r {EXAMPLE}/. $PS_MODEL_PATH/"]
    first = [*CALL, "run", "--team", "vision", "--experiment", "theirs", *train]
    assert "kept in" in subprocess.run(first, env=away, capture_output=True, text=True, check=True).stderr
    subprocess.run([*CALL, "run", "--experiment", "ours", *train], env=ours, capture_output=True, check=True)
    assert (experiments(capsys), experiments(capsys, "--team", "vision")) == (["ours"], ["theirs"])


def test_doctor_finds_a_damaged_copy_of_any_team(home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = json_of(capsys, "ingest", str(model), "--team", "vision")["version"]["id"]
    [kept] = (home / "store").rglob("model.onnx")
    kept.chmod(0o644)
    kept.write_bytes(onnx.model().replace(b"hand", b"HAND"))
    checks = {one["name"]: one for one in json_of(capsys, "doctor", "--digests", status=1)["checks"]}
    assert checks["digests of copies"]["state"] == "trouble"
    assert f"bytes of {version} (team vision) are not those that were registered" in checks["digests of copies"]["says"]


def test_a_watcher_reports_for_its_team(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "runs" / "vision" / "e1")
    watch = [{"path": str(tmp_path / "runs" / "{team}" / "{experiment_id}"), "quiet_seconds": 0}]
    environment = dict(os.environ) | {"MODELPORT_WATCH": json.dumps(watch)}
    watcher = subprocess.Popen([*CALL, "watch", "--team", "vision"], env=environment, stderr=subprocess.DEVNULL)
    try:
        assert until(lambda: experiments(capsys, "--team", "vision") == ["e1"], 30)
    finally:
        watcher.terminate()
        watcher.wait(20)
    assert experiments(capsys) == []
