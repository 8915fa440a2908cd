"""Gates and the version before, from the file of gates to the exit status and what is shown, on the example run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders import onnx
from tests.worker.conftest import ROOT, json_of
from worker.cli import run
from worker.errors import BadSetting
from worker.settings import load

CALL = [sys.executable, "-c", "from worker.cli import main; main()"]
EXAMPLE = ROOT / "examples" / "digits"
ACCURACY = {"tensorflow:accuracy": {"target": "0.9..", "aggregate": "mean"}}
LOSS = {"tensorflow:loss": {"target": "..0.1", "aggregate": "max"}}
INGEST = ("ingest", EXAMPLE, "--experiment", "e1", "--name", "digits")

pytestmark = pytest.mark.usefixtures("home")


def written(path: Path, gates: Any) -> Path:
    path.write_text(json.dumps(gates), encoding="utf-8")
    return path


@pytest.fixture
def passing(tmp_path: Path) -> Path:
    return written(tmp_path / "passing.json", ACCURACY)


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    return written(tmp_path / "failing.json", ACCURACY | LOSS)


def outcomes(gates: list[dict[str, Any]]) -> dict[str, tuple[str, bool, str | None]]:
    return {one["name"]: (one["outcome"], one["passed"], one["rounded"]) for one in gates}


def text_of(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    capsys.readouterr()
    assert run([str(word) for word in words]) == status
    return capsys.readouterr().out


def test_gates_that_pass_are_told_and_kept(passing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json_of(capsys, *INGEST, "--gates", passing)
    assert outcomes(report["gates"]) == {"tensorflow:accuracy": ("passed", True, "0.94")}
    assert report["version"]["gates"] == report["gates"]
    shown = json_of(capsys, "models", "show", "digits")
    assert shown["gates"] == shown["version"]["gates"] == report["gates"]
    told = "✓ gate tensorflow:accuracy mean 0.9..: 0.9450000077486038 rounded down is 0.94, which lies in 0.9.."
    assert told in text_of(capsys, "models", "show", "digits").splitlines()


def test_a_gate_that_fails_keeps_nothing_from_being_registered(failing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json_of(capsys, *INGEST, "--gates", failing, status=1)
    assert (report["verdict"], report["ingestion"]["state"], report["version"]["number"]) == ("clean", "registered", 1)
    assert outcomes(report["gates"]) == {
        "tensorflow:accuracy": ("passed", True, "0.94"),
        "tensorflow:loss": ("failed", False, "0.17"),
    }
    lines = text_of(capsys, "models", "show", "digits").splitlines()
    [first, second] = [line for line in lines if " gate " in line]
    assert first == "⬣ gate tensorflow:loss max ..0.1: 0.17417654 rounded down is 0.17, which is not below 0.1"
    assert second.startswith("✓ gate tensorflow:accuracy")


def test_a_gate_about_nothing_fails_unless_it_says_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    f1 = {"target": "0.5..", "aggregate": "/f1"}
    strict = written(tmp_path / "strict.json", {"custom:f1": f1})
    assert outcomes(json_of(capsys, *INGEST, "--gates", strict, status=1)["gates"]) == {"custom:f1": ("not-found", False, None)}
    mild = written(tmp_path / "mild.json", {"custom:f1": f1 | {"if-not-found": "success"}})
    assert outcomes(json_of(capsys, *INGEST, "--gates", mild)["gates"]) == {"custom:f1": ("not-found", True, None)}


def test_the_same_files_are_judged_anew_by_what_the_version_reported(
    passing: Path, failing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json_of(capsys, *INGEST)["gates"] == []
    again = json_of(capsys, *INGEST, "--gates", failing, status=1)
    assert (again["ingestion"]["reason"], again["gates"][1]["outcome"]) == ("same-listing", "failed")
    assert outcomes(json_of(capsys, *INGEST, status=1)["gates"]) == outcomes(again["gates"]), "without gates nothing changes"
    milder = json_of(capsys, *INGEST, "--gates", passing)
    assert outcomes(milder["gates"]) == {"tensorflow:accuracy": ("passed", True, "0.94")}
    assert json_of(capsys, "models", "show", "digits")["gates"] == milder["gates"]


def test_the_same_content_elsewhere_is_judged_anew_too(
    tmp_path: Path, failing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = json_of(capsys, *INGEST)
    copy = shutil.copytree(EXAMPLE, tmp_path / "copy")
    again = json_of(capsys, "ingest", copy, "--experiment", "e1", "--gates", failing, status=1)
    assert (again["ingestion"]["reason"], again["version"]["id"]) == ("same-content", first["version"]["id"])
    assert [one["passed"] for one in again["gates"]] == [True, False]


def test_custom_metadata_are_looked_at_also_where_nothing_is_read_again(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(model / "gradient-model-metadata.json", {"test": {"f1": [0.5, 0.912]}})
    gates = written(tmp_path / "gates.json", {"custom:f1": {"target": "0.9..", "aggregate": "/test/f1/1"}})
    for reason in ("new-content", "same-listing"):
        report = json_of(capsys, "ingest", model, "--gates", gates)
        assert report["ingestion"]["reason"] == reason
        assert outcomes(report["gates"]) == {"custom:f1": ("passed", True, "0.91")}


def test_the_gates_of_the_setting_hold_beside_those_of_the_run(
    tmp_path: Path, passing: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = {"tensorflow:accuracy": {"target": "0.99..", "aggregate": "mean"}}
    standing = {"checks": strict, "projects": {"digits": LOSS}}
    monkeypatch.setenv("MODELPORT_GATES", json.dumps(standing))
    everywhere = json_of(capsys, "ingest", EXAMPLE, status=1)
    assert outcomes(everywhere["gates"]) == {"tensorflow:accuracy": ("failed", False, "0.94")}
    monkeypatch.setenv("MODELPORT_GATES", str(written(tmp_path / "standing.json", standing)))
    both = json_of(capsys, *INGEST, "--project", "digits", "--gates", passing, status=1)
    assert outcomes(both["gates"]) == {
        "tensorflow:accuracy": ("passed", True, "0.94"),
        "tensorflow:loss": ("failed", False, "0.17"),
    }


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{", "MODELPORT_GATES: gates at byte 1: not JSON: "),
        ('{"onnx:a": {}}', "MODELPORT_GATES: gates.onnx:a.target: expected a range such as 0.7.., ..0.025 or 0.99..1.00"),
        ('{"projects": {"p": {"b": {}}}}', "MODELPORT_GATES: gates.projects.p: expected names such as tensorflow:loss"),
        ("/nowhere/gates.json", "MODELPORT_GATES: /nowhere/gates.json: cannot be read: No such file or directory"),
        ("", "MODELPORT_GATES: .: cannot be read: Is a directory"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_says_where(value: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting) as refused:
        load({"MODELPORT_GATES": value}, tmp_path)
    assert str(refused.value).startswith(told)


def test_gates_may_stand_in_the_file_of_settings(tmp_path: Path) -> None:
    said = '[gates.projects.digits."tensorflow:loss"]\ntarget = "..0.1"\naggregate = "max"\n'
    (tmp_path / "modelport.toml").write_text(said, encoding="utf-8")
    [gate] = load({}, tmp_path).standing_gates().of("digits")
    assert (gate.name, gate.target) == ("tensorflow:loss", "..0.1")
    assert load({}, tmp_path).standing_gates().of("other") == ()


@pytest.mark.parametrize("command", [("ingest", EXAMPLE), ("complete", "e1"), ("run", "--experiment", "e1")])
def test_a_wrong_file_of_gates_is_wrong_usage_and_nothing_is_done(
    command: tuple[str, ...], tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = written(tmp_path / "wrong.json", {"tensorflow:loss": {"target": "..0.1"}})
    behind = ("--", "touch", str(tmp_path / "ran")) if command[0] == "run" else ()
    assert run([*map(str, command), "--gates", str(wrong), *behind]) == 4
    told = "Invalid value for --gates: " + f"{wrong}: gates.tensorflow:loss.aggregate: expected one of mean, stddev"
    assert told in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert not (home / "modelport.db").exists()


def test_a_completion_brings_its_gates(failing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = text_of(capsys, "complete", "e7", "--model-path", EXAMPLE, "--gates", failing)
    assert "⬣ gate tensorflow:loss max ..0.1: " in shown
    assert outcomes(json_of(capsys, "models", "show", "e7")["gates"])["tensorflow:loss"] == ("failed", False, "0.17")


def test_a_command_that_is_run_is_told_which_gate_failed_and_keeps_its_status(tmp_path: Path, failing: Path) -> None:
    """In a process of its own: at the end of `run` no signal is heard any more."""
    copy = f"import os, shutil; shutil.copytree({str(EXAMPLE)!r}, os.environ['PS_MODEL_PATH'], dirs_exist_ok=True)"
    words = ("run", "--experiment", "e8", "--model-path", str(tmp_path / "out"), "--gates", str(failing))
    done = subprocess.run([*CALL, *words, "--", sys.executable, "-c", copy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the gate tensorflow:loss failed, `modelport models show mo" in done.stderr


def test_a_version_tells_what_differs_from_the_one_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "net"
    folder.mkdir()

    def grow(accuracy: float, dims: list[int | None], link: bool = False) -> dict[str, Any]:
        inputs = [onnx.value("x", dims=dims)]
        (folder / "m.onnx").write_bytes(onnx.model(onnx.small_graph(inputs=inputs, nodes=[onnx.node("Relu")])))
        written(folder / "metrics.json", {"accuracy": accuracy})
        if link:
            (folder / "away").symlink_to("/etc/passwd")
        return json_of(capsys, "ingest", folder, "--experiment", "e1", "--name", "net", status=1 if link else 0)

    assert grow(0.91, [8, 3])["diff"] is None
    second = grow(0.93, [None, 3])
    assert second["diff"]["says"] == "against @1: signature compatible, accuracy 0.91 → 0.93"
    third = grow(0.93, [8, 3], link=True)["diff"]
    assert third["says"] == "against @2: signature breaking, +1 finding"
    assert (third["with"], third["number"]) == (second["version"]["id"], 2)
    assert [one["rule"] for one in third["findings"]["new"]] == ["link-outside"]
    (folder / "away").unlink()
    assert grow(0.8, [8, 3])["diff"]["says"] == "against @3: signature the same, accuracy 0.93 → 0.8, −1 finding"
    shown = text_of(capsys, "models", "show", "net@3")
    assert "against @2: signature breaking, +1 finding" in shown.splitlines()
    assert json_of(capsys, "models", "show", "net@3")["diff"] == third
