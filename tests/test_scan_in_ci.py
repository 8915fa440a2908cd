"""docs/howto/scan-in-ci.md and the hook for pre-commit: files that their readers take, and commands that stop what they say."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.builders import onnx
from tests.detectors.sarif_schema import mistakes
from worker.cli import run

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "howto" / "scan-in-ci.md").read_text(encoding="utf-8")
HOOKS = ROOT / ".pre-commit-hooks.yaml"
GITHUB, GITLAB, PRE_COMMIT = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))

OUTSIDE = onnx.model(onnx.small_graph(initializers=[onnx.external_tensor(location="../../etc/passwd")]))
MISSING = onnx.model(onnx.small_graph(initializers=[onnx.external_tensor(location="w.bin")]))


def problems_of(document: Any, schema: str) -> list[str]:
    """Return what *schema*, which check-jsonschema ships, has against *document*. YAML 1.1 takes the key `on` for true."""
    kept = files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{schema}.json"
    keys = {"on" if key is True else key: value for key, value in document.items()}
    errors = Draft7Validator(json.loads(kept.read_text(encoding="utf-8"))).iter_errors(keys)
    return [f"{error.json_path}: {error.message}" for error in errors]


def commands() -> list[str]:
    """Return the commands of ours that the jobs on the page run."""
    steps = [step.get("run", "") for job in GITHUB["jobs"].values() for step in job["steps"]]
    return [line for line in (*steps, *GITLAB["scan-models"]["script"]) if line.startswith("modelport ")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of another project, where its jobs run, with a model that is fine."""
    monkeypatch.chdir(tmp_path)
    onnx.run_at(tmp_path / "models")
    return tmp_path


def statuses(capsys: pytest.CaptureFixture[str]) -> list[int]:
    """Run the commands of the page, as a shell does, and return what each ends with."""
    found = [run(shlex.split(command.partition("||")[0])[1:]) for command in commands()]
    capsys.readouterr()
    return found


def test_the_workflow_and_the_pipeline_follow_the_schemas_of_their_forges() -> None:
    assert problems_of(GITHUB, "github-workflows") == []
    assert problems_of(GITLAB, "gitlab-ci") == []


def test_a_slip_in_them_would_be_noticed() -> None:
    assert problems_of({**GITHUB, "jobz": {}}, "github-workflows")
    assert problems_of({"scan-models": {"script": [7]}}, "gitlab-ci")


def test_the_commands_pass_what_is_clean(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert statuses(capsys) == [0, 0, 0]
    assert json.loads((project / "modelport.json").read_text())["verdict"] == "clean"
    log = json.loads((project / "modelport.sarif").read_text())
    assert (mistakes(log), log["runs"][0]["results"]) == ([], [])


@pytest.mark.parametrize(
    ("data", "status", "rule"), [(OUTSIDE, 1, "onnx-external-data-outside"), (MISSING, 1, "model-incomplete")]
)
def test_the_commands_stop_what_is_unsafe_or_broken(
    data: bytes, status: int, rule: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "models" / "m.onnx").write_bytes(data)
    assert statuses(capsys) == [status] * 3
    log = json.loads((project / "modelport.sarif").read_text())
    assert mistakes(log) == []
    assert rule in [result["ruleId"] for result in log["runs"][0]["results"]]


def test_the_commands_stop_where_there_is_no_model(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / "models")
    (project / "models").mkdir()
    assert statuses(capsys) == [3, 3, 3]


def test_the_log_is_uploaded_where_it_was_written() -> None:
    *_, scanning, upload = GITHUB["jobs"]["scan"]["steps"]
    assert f"--output {upload['with']['sarif_file']}" in scanning["run"]
    assert "!cancelled()" in upload["if"]
    assert GITHUB["permissions"] == {"contents": "read", "security-events": "write"}


# --- the hook


def pre_commit(*words: object, at: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"PATH": path, "HOME": str(at), "PRE_COMMIT_HOME": str(at / "kept"), "GIT_CONFIG_NOSYSTEM": "1"}
    call = [sys.executable, "-m", "pre_commit", *map(str, words)]
    return subprocess.run(call, cwd=at, env=settings, capture_output=True, text=True, check=False)


def test_the_hook_is_one_that_pre_commit_takes(tmp_path: Path) -> None:
    told = pre_commit("validate-manifest", HOOKS, at=tmp_path)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    [hook] = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    [used] = PRE_COMMIT["repos"][0]["hooks"]
    assert used["id"] == hook["id"] == "modelport-scan"


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja", "chat_template.json"),
        *("modules.json", "genai_config.json", "MLmodel", "lib.so", "model.ckpt", "model.onnx.data", "model.sig"),
        *("saved_model.pb", "variables.data-00000-of-00001", "model.safetensors"),
    ],
)
def test_the_hook_looks_when_a_file_changes_that_a_scan_reads(name: str) -> None:
    [hook] = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    assert re.search(hook["files"], name)
    assert re.search(hook["files"], f"models/deep/{name}")
    assert not re.search(hook["files"], "src/notes.txt")


def test_the_hook_stops_a_commit_of_what_is_unsafe(tmp_path: Path) -> None:
    """The hook runs as the page says, but for the environment that pre-commit would make for it, which is this one."""
    [hook] = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    [used] = PRE_COMMIT["repos"][0]["hooks"]
    local = {"repo": "local", "hooks": [hook | used | {"language": "system"}]}
    (tmp_path / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [local]}))
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "models" / "deep").mkdir(parents=True)

    def tried(name: str, data: bytes) -> tuple[int, str]:
        (tmp_path / name).write_bytes(data)
        subprocess.run(["git", "-C", tmp_path, "add", name], check=True)
        done = pre_commit("run", at=tmp_path)
        return done.returncode, done.stdout

    assert "(no files to check)Skipped" in tried("models/notes.txt", b"no model")[1]
    status, said = tried("models/deep/m.onnx", onnx.model())
    assert (status, "Passed" in said) == (0, True), said
    status, said = tried("models/deep/m.onnx", OUTSIDE)
    assert (status, "onnx-external-data-outside" in said) == (1, True), said


@pytest.mark.parametrize(
    "path",
    [
        "a/saved_model.pb",
        "saved_model.pbtxt",
        "m.onnx",
        "v/variables.data-00000-of-00001",
        "v/variables.index",
        "w.safetensors",
    ],
)
def test_the_hook_looks_when_a_part_of_a_model_changes(path: str) -> None:
    [hook] = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    assert re.search(hook["files"], path)
    assert not re.search(hook["files"], f"{path}.md")
