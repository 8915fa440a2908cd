"""The commands of the queue and of a server, with real processes where there are any."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.servers.process import free_port, until
from tests.servers.redis import RedisServer
from tests.worker.conftest import json_of
from worker.cli import run

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
CALL = [sys.executable, "-c", "from worker.cli import main; main()"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "run"))


def test_without_server_and_worker_a_completion_is_done_before_the_command_ends(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json_of(capsys, "complete", "mnist-7", "--model-path", str(model))
    assert (said["state"], said["experimentId"], said["trigger"]) == ("registered", "mnist-7", "completion")
    again = json_of(capsys, "complete", "mnist-7", "--model-path", str(model), beside="already reported")
    assert again["id"] == said["id"]


def test_a_report_that_was_made_before_says_when_and_how_to_make_it_anew(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json_of(capsys, "complete", "mnist-7", "--model-path", str(model))
    (model / "more.txt").write_text("changed since")
    assert run(["complete", "mnist-7", "--model-path", str(model)]) == 0
    told = capsys.readouterr().err
    at = str(said["dtCreated"])[:19].replace("T", " ")
    assert told == (
        f"modelport: already reported as {said['id']} at {at} UTC; --id NEW reports it anew, or use `modelport rescan`\n"
    )
    assert json_of(capsys, "complete", "mnist-7", "--model-path", str(model), "--id", "b")["reason"] == "new-content"


def test_a_report_that_was_made_before_with_another_path_is_refused_in_words(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json_of(capsys, "complete", "mnist-7", "--model-path", str(model))
    assert said["source"] == "modelport complete"
    assert run(["complete", "mnist-7", "--model-path", str(model.parent)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"modelport: mnist-7 was already reported as {said['id']} at ")
    assert told.endswith(" UTC, with another path or other options; --id NEW reports it anew\n")


def test_a_relative_path_is_meant_from_here(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker runs in another folder, and could do nothing with it."""
    monkeypatch.chdir(model.parent)
    assert json_of(capsys, "complete", "mnist-7", "--model-path", "run")["modelPath"] == str(model)


def test_a_relative_path_with_nothing_there_is_wrong_usage(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was meant from another folder, and a server would look somewhere else."""
    monkeypatch.chdir(tmp_path)
    assert run(["complete", "mnist-7", "--model-path", "nowhere"]) == 4
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"Error: Invalid value for --model-path: there is nothing at {tmp_path}/nowhere; a relative path is meant from the "
        "current folder, so name one that is there, or an absolute path as the workers see it"
    )
    assert json_of(capsys, "ingestions", "list")["ingestions"] == []


def test_a_run_that_failed_may_have_left_nothing_at_its_relative_path(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = json_of(capsys, "complete", "mnist-7", "--model-path", "nowhere", "--state", "failed")
    assert (said["state"], said["modelPath"]) == ("ignored", f"{tmp_path}/nowhere")


def test_an_empty_path_is_wrong_usage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It comes from a variable that is not set; the default would be another model."""
    assert run(["complete", "mnist-7", "--model-path", ""]) == 4
    assert "expected a path, found nothing" in capsys.readouterr().err


def test_a_report_without_a_path_is_listed_with_the_path_that_is_looked_at(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json_of(capsys, "complete", "e7", "--kind", "multinode", status=2)["modelPath"] == ""
    assert run(["ingestions", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("  e7          /storage/models/e7")


def test_an_experiment_that_failed_is_recorded_and_not_looked_at(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json_of(capsys, "complete", "mnist-7", "--model-path", str(model), "--state", "failed")
    assert (said["state"], said["reason"]) == ("ignored", "experiment-failed")


def test_a_rescan_reads_again_only_when_it_is_forced(home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json_of(capsys, "rescan", str(model))["state"] == "registered"
    assert json_of(capsys, "rescan", str(model))["reason"] == "same-listing"
    assert json_of(capsys, "rescan", str(model), "--force", "--wait")["reason"] == "same-content"


def test_doctor_counts_what_waits(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = str(json_of(capsys, "rescan", str(tmp_path / "late"), status=2)["id"])
    assert doctor_says(capsys) == "what runs has its process; nothing waits"
    assert run(["ingestions", "retry", failed]) == 0
    assert doctor_says(capsys) == "what runs has its process; 1 waits"


def test_doctor_names_every_team_whose_work_is_paused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["team", "create", "vision"]) == 0
    assert run(["queue", "pause", "--team", "vision"]) == 0
    capsys.readouterr()
    assert doctor_says(capsys).startswith(
        "what runs has its process; nothing waits; the work of the team vision is paused since "
    )
    assert run(["queue", "pause", "--all"]) == 0
    capsys.readouterr()
    assert "; the work of all teams is paused since " in doctor_says(capsys)


def doctor_says(capsys: pytest.CaptureFixture[str]) -> str:
    checks = json_of(capsys, "doctor")["checks"]
    return next(check["says"] for check in checks if check["name"] == "ingestions")  # type: ignore[attr-defined,no-any-return]


def test_a_path_that_is_not_there_fails_in_words(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = json_of(capsys, "complete", "x", "--model-path", str(tmp_path / "nowhere"), status=2)
    assert (said["state"], said["reason"]) == ("failed", "nothing-there")


def test_failed_ingestions_are_listed_shown_tried_again_and_discarded(
    home: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = json_of(capsys, "complete", "x", "--model-path", str(tmp_path / "late"), status=2)["id"]
    assert [one["id"] for one in json_of(capsys, "ingestions", "list", "--state", "failed")["ingestions"]] == [failed]  # type: ignore[index,attr-defined]
    assert json_of(capsys, "ingestions", "list", "--state", "failed", "--model-format", "onnx")["ingestions"] == []
    assert run(["ingestions", "list", "--model-format", "ONNX"]) == 4
    history = json_of(capsys, "ingestions", "show", str(failed))["history"]
    assert [step["state"] for step in history][-1] == "failed"  # type: ignore[index,attr-defined]
    model.rename(tmp_path / "late")
    assert run(["ingestions", "retry", str(failed)]) == 0
    assert json_of(capsys, "ingestions", "show", str(failed))["state"] == "received"
    assert run(["ingestions", "discard", str(failed)]) == 0
    assert run(["ingestions", "discard", str(failed)]) == 2
    assert "it has ended" in capsys.readouterr().err


def test_an_ingestion_that_nobody_knows_names_the_command_that_lists_them(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ingestions", "show", "in7"]) == 2
    assert (
        capsys.readouterr().err
        == "modelport: in7: no such ingestion of the team default; `modelport ingestions list` shows what is there\n"
    )


def test_the_verdict_stands_below_a_version_that_was_registered(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both ways: the report itself is taken, whatever the model is like."""
    assert run(["complete", "whole", "--model-path", str(model)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("  257 kB copied  ✓ clean")
    os.truncate(model / "digits.onnx", 5000)
    assert run(["complete", "cut", "--model-path", str(model)]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("cut@1  mo")
    assert said.endswith("  252 kB copied  ⬣ corrupt")


def test_teams_and_tokens_are_made_listed_and_revoked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["team", "create", "vision"]) == 0
    capsys.readouterr()
    assert run(["token", "create", "training", "--team", "vision", "--scope", "completion:write"]) == 0
    secret = capsys.readouterr().out.strip()
    listed = json_of(capsys, "token", "list", "--team", "vision")
    [row] = listed["tokens"]  # type: ignore[misc]
    assert secret.startswith("mp_")
    assert secret not in json.dumps(listed)
    assert run(["token", "revoke", row["id"], "--team", "vision"]) == 0  # type: ignore[index]
    [row] = json_of(capsys, "token", "list", "--team", "vision")["tokens"]  # type: ignore[misc]
    assert row["dtRevoked"] is not None  # type: ignore[index]


def test_what_looks_after_teams_tokens_and_the_queue_answers_a_program_in_json(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json_of(capsys, "team", "create", "vision")["name"] == "vision"
    made = json_of(capsys, "token", "create", "training", "--team", "vision", "--scope", "operate")
    assert (made["name"], made["scopes"], made["dtRevoked"]) == ("training", "operate", None)
    assert str(made["secret"]).startswith("mp_")
    revoked = json_of(capsys, "token", "revoke", str(made["id"]), "--team", "vision")
    assert revoked["dtRevoked"] is not None
    assert "secret" not in revoked
    failed = str(json_of(capsys, "rescan", str(tmp_path / "late"), status=2)["id"])
    assert json_of(capsys, "ingestions", "retry", failed)["state"] == "received"
    assert json_of(capsys, "ingestions", "discard", failed)["state"] == "discarded"


def test_a_port_that_is_taken_is_told_before_anything_is_served(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["api", "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.err == f"modelport: 127.0.0.1:{port} cannot be listened at: Address already in use; choose another --port\n"
    assert said.out == ""


def test_a_rescan_that_fails_says_why_to_a_person(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rescan", "http://host/run"]) == 2
    assert capsys.readouterr().out.splitlines()[-1].startswith("'http://host/run': expected a path or s3://BUCKET/KEY")


def test_a_completion_goes_over_a_real_server_to_a_real_worker(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reported while no server is there, spooled, sent with the next one, and worked off by a worker without a broker."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    reporting = dict(os.environ) | {"MODELPORT_API_URL": url, "MODELPORT_HOME": str(home.parent / "client")}
    report = [*CALL, "complete", "--model-path", str(model)]
    spooled = subprocess.run([*report, "first"], env=reporting, capture_output=True, text=True, check=True)
    assert "does not answer: [Errno 111] Connection refused; kept in" in spooled.stderr
    processes = [subprocess.Popen([*CALL, "api", "--port", str(port)]), subprocess.Popen([*CALL, "worker"])]
    try:
        assert until(lambda: answers(url), 30)
        sent = subprocess.run([*report, "second"], env=reporting, capture_output=True, text=True, check=True)
        assert sent.stdout.endswith(f": received; {model} will be looked at\n")
        again = subprocess.run([*report, "second"], env=reporting, capture_output=True, text=True, check=True)
        assert again.stderr == "modelport: already reported; --id NEW reports it anew\n"
        assert until(lambda: states(url) == ["registered", "registered"], 30), states(url)
        niceness = [os.getpriority(os.PRIO_PROCESS, process.pid) for process in processes]
        assert niceness[1] == min(19, niceness[0] + 10), "the API goes before the worker"
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
    assert list((home.parent / "client" / "spool").glob("*/*")) == []


@pytest.mark.slow
def test_a_worker_that_hears_bells_logs_the_same(home: Path, model: Path, redis: RedisServer) -> None:
    assert logged_by_a_worker(model, dict(os.environ) | {"MODELPORT_BROKER_URL": redis.url}) == EVENTS


def test_a_worker_logs_its_start_each_claim_each_end_and_its_stop(home: Path, model: Path) -> None:
    assert logged_by_a_worker(model, dict(os.environ)) == EVENTS


EVENTS = ["worker started", "claimed", "ended", "worker stopped"]


def logged_by_a_worker(model: Path, environment: dict[str, str]) -> list[str]:
    """Return what a real worker with these settings logged of itself while it worked on one completion; Celery's lines name
    their logger."""
    log = model.parent / "log"
    with log.open("wb") as lines:
        worker = subprocess.Popen([*CALL, "worker"], env=environment, stdout=lines, stderr=lines)
    try:
        assert until(lambda: "event='worker started'" in log.read_text(), 40), log.read_text()
        assert until(lambda: subprocess.run([*CALL, "worker", "--check"], env=environment).returncode == 0, 40)
        subprocess.run([*CALL, "complete", "mnist-7", "--model-path", str(model)], env=environment, check=True)
        assert until(lambda: "event='ended'" in log.read_text(), 40), log.read_text()
    finally:
        worker.terminate()
        worker.wait(40)
    ours = "\n".join(line for line in log.read_text().splitlines() if " logger=" not in line)
    return re.findall(r"^timestamp='[^']+' level='info' event='([^']+)'", ours, re.MULTILINE)


def test_a_level_that_nobody_knows_is_wrong_usage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["worker", "--log-level", "loud"]) == 4
    assert "'--log-level': 'loud' is not one of 'debug', 'info'" in capsys.readouterr().err


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        time.sleep(0.1)
        return False


def states(url: str) -> list[str]:
    rows = httpx.get(f"{url}/v1/ingestions").json()
    return [row["state"] for row in rows["ingestions"]]
