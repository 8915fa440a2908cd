"""`modelport run` with real children: what it tells them, what it passes on, and that the word of their end is never lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers.process import free_port, until
from tests.worker.conftest import without_settings
from tests.worker.test_cli_queue import CALL, EXAMPLE, answers, states
from worker.spool import spool_of

TRAIN = f"cp -r {EXAMPLE}/. $PS_MODEL_PATH/"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return without_settings() | {"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_SETTLE_SECONDS": "0"}


def modelport(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CALL, *arguments], env=environment, capture_output=True, text=True, timeout=120)


def started(environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*CALL, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ingestions(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    listed = modelport(environment, "ingestions", "list", "--format", "json")
    rows: list[dict[str, Any]] = json.loads(listed.stdout)["ingestions"]
    return rows


def test_with_no_server_at_all_the_ingestion_is_done_before_it_exits(environment: dict[str, str], tmp_path: Path) -> None:
    done = modelport(
        environment, "run", "--project", "digits", "--experiment", "e7", "--", "sh", "-c", f"{TRAIN}; echo trained"
    )
    assert (done.returncode, done.stdout) == (0, "trained\n")
    [row] = ingestions(environment)
    assert (row["state"], row["experimentId"], row["modelPath"]) == ("registered", "e7", str(tmp_path / "home" / "runs" / "e7"))
    assert f"{row['id']}: registered" in done.stderr
    assert list(spool_of(tmp_path / "home").iterdir()) == []


def test_a_version_that_is_not_whole_is_told_with_the_command_that_shows_it(environment: dict[str, str]) -> None:
    weights = "$PS_MODEL_PATH/1767261900/variables/variables.data-00000-of-00001"
    script = f"{TRAIN}; printf '\\377' | dd of={weights} seek=99 bs=1 conv=notrunc"
    done = modelport(environment, "run", "--experiment", "e7", "--", "sh", "-c", script)
    [row] = ingestions(environment)
    assert done.returncode == 0
    assert f"(registered as e7 version 1); corrupt, `modelport models show {row['versionId']}` tells more\n" in done.stderr


def test_each_run_of_an_experiment_is_reported(environment: dict[str, str]) -> None:
    for number in (1, 2):
        assert (
            modelport(
                environment, "run", "--experiment", "e7", "--", "sh", "-c", f"{TRAIN} && echo {number} > $PS_MODEL_PATH/run"
            ).returncode
            == 0
        )
    assert [row["state"] for row in ingestions(environment)] == ["registered", "registered"]


def test_the_options_come_with_the_completion(environment: dict[str, str], tmp_path: Path) -> None:
    where = tmp_path / "elsewhere" / "run"
    told = ["--project", "p", "--experiment", "a/b", "--name", "digits-net", "--type", "ONNX", "--path", str(where)]
    assert modelport(environment, "run", *told, "sh", "-c", TRAIN).returncode == 0
    shown = json.loads(modelport(environment, "models", "show", "digits-net", "--project", "p", "--format", "json").stdout)
    assert (shown["version"]["experimentId"], shown["version"]["projectId"]) == ("a/b", "p")


def test_a_command_that_fails_is_recorded_as_failed_and_scanned_only_by_setting(environment: dict[str, str]) -> None:
    script = f"{TRAIN}; exit 3"
    assert modelport(environment, "run", "--experiment", "a", "--", "sh", "-c", script).returncode == 3
    assert modelport(environment | {"MODELPORT_SCAN_FAILED": "true"}, "run", "--", "sh", "-c", script).returncode == 3
    scanned, recorded = ingestions(environment)
    assert (recorded["state"], recorded["reason"]) == ("ignored", "experiment-failed")
    assert scanned["state"] == "registered"


def test_sigterm_reaches_the_command_and_the_completion_is_reported(environment: dict[str, str]) -> None:
    """As a scheduler that preempts a run: the training saves its model and ends well."""
    script = f"trap '{TRAIN}; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    process = started(environment, "run", "--experiment", "e", "--", "bash", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "saved\n")
    assert [row["state"] for row in ingestions(environment)] == ["registered"]


def test_a_place_on_object_storage_is_passed_on_as_it_is_and_no_folder_is_made(
    environment: dict[str, str], tmp_path: Path
) -> None:
    away = environment | {"MODELPORT_API_URL": f"http://127.0.0.1:{free_port()}"}
    arguments = ["run", "--model-path", "s3://models/runs/out/", "--", "sh", "-c", "echo $PS_MODEL_PATH"]
    done = subprocess.run([*CALL, *arguments], env=away, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "s3://models/runs/out/\n")
    [kept] = spool_of(tmp_path / "home", away["MODELPORT_API_URL"]).iterdir()
    assert json.loads(kept.read_text())["modelPath"] == "s3://models/runs/out/"
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert not (tmp_path / "home" / "runs").exists()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, 137), (signal.SIGSEGV, 139)])
def test_a_command_that_is_killed_is_reported(environment: dict[str, str], number: signal.Signals, status: int) -> None:
    process = started(environment, "run", "--experiment", "e", "--", "bash", "-c", "echo $$; exec sleep 60")
    assert process.stdout is not None
    os.kill(int(process.stdout.readline()), number)
    process.communicate(timeout=60)
    assert process.returncode == status
    assert [(row["state"], row["reason"]) for row in ingestions(environment)] == [("ignored", "experiment-failed")]


def test_a_server_that_is_down_leads_to_a_spooled_completion_which_the_next_call_delivers(
    environment: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    reporting = environment | {"MODELPORT_API_URL": url, "MODELPORT_HOME": str(tmp_path / "client")}
    spool = spool_of(tmp_path / "client", url)
    down = modelport(reporting, "run", "--experiment", "first", "--", "sh", "-c", f"{TRAIN}; exit 0")
    assert (down.returncode, len(list(spool.glob("*.json")))) == (0, 1)
    assert f"kept in {spool}" in down.stderr
    processes = [subprocess.Popen([*CALL, "api", "--port", str(port)], env=environment), started(environment, "worker")]
    try:
        assert until(lambda: answers(url), 30)
        failed = modelport(reporting, "run", "--experiment", "second", "--", "sh", "-c", "exit 5")
        assert (failed.returncode, list(spool.iterdir())) == (5, [])
        assert until(lambda: sorted(states(url)) == ["ignored", "registered"], 30), states(url)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate(timeout=30)


def test_a_database_that_does_not_answer_keeps_no_completion_from_the_next_run(
    environment: dict[str, str], tmp_path: Path
) -> None:
    away = environment | {"MODELPORT_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/nowhere"}
    kept = modelport(away, "run", "--experiment", "first", "--", "sh", "-c", f"{TRAIN}; exit 0")
    assert kept.returncode == 0
    assert f"kept in {spool_of(tmp_path / 'home')}" in kept.stderr
    assert modelport(environment, "run", "--experiment", "second", "--", "sh", "-c", TRAIN).returncode == 0
    assert [(row["experimentId"], row["state"]) for row in ingestions(environment)] == [
        ("first", "registered"),
        ("second", "registered"),
    ]


def test_runs_that_end_at_once_share_one_spool(environment: dict[str, str], tmp_path: Path) -> None:
    processes = [started(environment, "run", "--experiment", f"e{number}", "--", "sh", "-c", TRAIN) for number in range(3)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert "kept in" not in "".join(said)
    assert {(row["experimentId"], row["state"]) for row in ingestions(environment)} == {
        ("e0", "registered"),
        ("e1", "registered"),
        ("e2", "registered"),
    }
    assert list(spool_of(tmp_path / "home").iterdir()) == []


def test_ctrl_c_while_the_model_is_taken_leaves_the_status_and_the_completion(environment: dict[str, str]) -> None:
    """The files have to rest for an hour; who does not want to wait finds the ingestion in the queue."""
    waiting = environment | {"MODELPORT_SETTLE_SECONDS": "3600"}
    process = started(waiting, "run", "--experiment", "e", "--", "sh", "-c", f"{TRAIN}; exit 0")
    assert until(lambda: bool(ingestions(environment)), 30)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "the completion waits" in said
    [row] = ingestions(environment)
    assert row["state"] in ("received", "waiting")


@pytest.mark.parametrize("name", ["INT", "TERM", "USR1", "USR2", "HUP", "QUIT", "XCPU", "ALRM", "RTMIN"])
def test_no_signal_after_the_end_of_the_command_replaces_its_status(
    environment: dict[str, str], tmp_path: Path, name: str
) -> None:
    """The server takes the connection and says nothing; the signal comes twice while we wait for its answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        reporting = environment | {"MODELPORT_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        process = started(reporting, "run", "--experiment", "e", "--", "sh", "-c", "exit 7")
        connection, _ = silent.accept()
        for _ in range(2):
            process.send_signal(signal.Signals[f"SIG{name}"])
        _, said = process.communicate(timeout=60)
        connection.close()
    assert (process.returncode, said) == (7, "modelport: stopped; the completion waits, in the spool or in the queue\n")
    assert len(list((tmp_path / "home" / "spool").rglob("*.json"))) == 1


def test_what_was_never_started_is_not_reported(environment: dict[str, str]) -> None:
    missing = modelport(environment, "run", "--", "/nowhere/train")
    assert missing.returncode == 127
    reason = "could not be started: No such file or directory; nothing is reported, because nothing ran"
    assert missing.stderr == f"modelport: /nowhere/train {reason}\n"
    assert ingestions(environment) == []


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("--experiment", ".."), 4, "name one with --model-path"),
        (("--experiment", "a/b"), 4, "name one with --model-path"),
        (("--experiment", "e", "--name", "\x1b"), 2, "name: expected printable text"),
        (("--model-path", "/proc/nowhere"), 2, "/proc/nowhere cannot be made"),
        (("--model-path", "gs://bucket/out"), 4, "expected a folder or s3://BUCKET/KEY, found 'gs://bucket/out'"),
        (("--model-path", "s3://bucket//out"), 4, "'s3://bucket//out': expected a key whose parts are names"),
    ],
)
def test_what_could_not_be_reported_is_refused_before_the_run(
    environment: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], status: int, word: str
) -> None:
    refused = modelport(environment, "run", *arguments, "--", "touch", str(tmp_path / "ran"))
    assert (refused.returncode, (tmp_path / "ran").exists()) == (status, False)
    assert word in refused.stderr


def test_options_of_the_command_are_its_own(environment: dict[str, str]) -> None:
    done = modelport(environment, "run", sys.executable, "-c", "import sys; print(sys.argv[1:])", "--name", "x", "--help")
    assert (done.returncode, done.stdout) == (0, "['--name', 'x', '--help']\n")


def test_the_input_is_the_commands_own(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*CALL, "run", "--", "cat"], env=environment, input="data", capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "data")


def test_a_disk_that_takes_nothing_changes_no_status(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "spool").write_text("in the way")
    done = modelport(environment, "run", "--experiment", "e", "--", "sh", "-c", "exit 6")
    assert done.returncode == 6
    assert "spool/here does not take the completion of e: " in done.stderr
    assert [(row["experimentId"], row["state"]) for row in ingestions(environment)] == [("e", "ignored")]
    shutil.rmtree(tmp_path / "home")
