"""The commands of deliveries, and what other commands say of what they could not deliver."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.servers.fake_mlflow import FakeMlflow
from tests.servers.process import free_port
from tests.worker.conftest import json_of
from tests.worker.test_cli_queue import CALL
from worker import mlflow_sink
from worker.cli import run
from worker.mlflow_sink import Mlflow


@pytest.fixture
def nobody(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a MLflow that is away."""
    url = f"http://ann:s3cret@127.0.0.1:{free_port()}"
    monkeypatch.setenv("MODELPORT_MLFLOW_TRACKING_URI", url)
    return url.replace("ann:s3cret@", "")


@pytest.fixture
def back(nobody: str, monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    """A MLflow that is away until the test lets it come with `come`."""
    return FakeMlflow()


def come(fake: FakeMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_sink, "Mlflow", partial(Mlflow, transport=fake))


def test_a_command_that_works_on_the_spot_delivers_before_it_ends(
    home: Path, nobody: str, back: FakeMlflow, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    come(back, monkeypatch)
    version = json_of(capsys, "ingest", model, "--experiment", "net")["version"]
    [found] = back.versions
    assert found["name"] == "default.net"
    [row] = json_of(capsys, "deliveries", "list", "--version", version["id"])["deliveries"]
    assert (row["state"], row["message"], row["dtNextAttempt"]) == ("delivered", "models:/default.net/1", None)
    assert json_of(capsys, "models", "delete", version["id"], "--yes")["deleted"]["id"] == version["id"]
    assert "modelport.deleted" in {tag["key"] for tag in back.versions[0]["tags"]}
    assert run(["deliveries", "list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1:4] for line in shown] == [
        ["STATE", "TO", "WHAT"],
        ["delivered", "mlflow", "version.deleted"],
        ["delivered", "mlflow", "version.registered"],
    ]


@pytest.mark.parametrize("words", [("ingest", "net"), ("complete", "net", "--model-path", "net"), ("rescan", "net")])
def test_what_could_not_be_delivered_is_said_and_no_failure(
    words: tuple[str, ...], nobody: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_of(capsys, *words, beside=f"modelport: not delivered yet: MLflow at {nobody} does not answer: ")
    [row] = json_of(capsys, "deliveries", "list", "--state", "waiting")["deliveries"]
    assert (row["attempts"], row["destination"], row["dtDelivered"]) == (1, "mlflow", None)
    assert "s3cret" not in row["message"]


def test_a_run_tells_too_and_keeps_the_status_of_its_command(nobody: str, model: Path) -> None:
    """In a process of its own: from the end of its command on, a run ignores signals for good."""

    def ran(*command: str) -> tuple[int, str]:
        done = subprocess.run([*CALL, "run", "--model-path", str(model), "--", *command], capture_output=True, text=True)
        return done.returncode, done.stderr

    assert ran("sh", "-c", "exit 7")[0] == 7
    status, said = ran("true")
    assert (status, f"not delivered yet: MLflow at {nobody} does not answer" in said) == (0, True)


def test_a_sweep_delivers_what_is_due(
    nobody: str, back: FakeMlflow, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    json_of(capsys, "ingest", model, beside="not delivered yet")
    come(back, monkeypatch)
    assert json_of(capsys, "sweep")["delivered"] == 0, "it pauses"
    [row] = json_of(capsys, "deliveries", "list")["deliveries"]
    monkeypatch.delenv("MODELPORT_MLFLOW_TRACKING_URI")
    json_of(capsys, "deliveries", "retry", row["id"])
    assert back.versions == []
    monkeypatch.setenv("MODELPORT_MLFLOW_TRACKING_URI", nobody)
    assert run(["sweep"]) == 0
    assert capsys.readouterr().out == "0 freed; 0 may be worked on now; 1 delivered\n"
    assert len(back.versions) == 1


def test_a_retry_delivers_at_once(
    nobody: str, back: FakeMlflow, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    json_of(capsys, "ingest", model, beside="not delivered yet")
    [row] = json_of(capsys, "deliveries", "list")["deliveries"]
    come(back, monkeypatch)
    assert run(["deliveries", "retry", row["id"]]) == 0
    assert capsys.readouterr().out == "1 to be tried again, 1 of them delivered by now\n"
    assert json_of(capsys, "deliveries", "retry", "--all") == {"deliveries": []}


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("deliveries", "retry"), 4, "expected either the id of a delivery or --all"),
        (("deliveries", "retry", "de1", "--all"), 4, "expected either the id of a delivery or --all"),
        (("deliveries", "retry", "de1"), 2, "there is no delivery de1"),
        (("deliveries", "list", "--team", "red"), 2, "red"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: tuple[str, ...], status: int, says: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(list(words)) == status
    assert says in capsys.readouterr().err


def test_doctor_says_who_does_not_answer_and_what_was_given_up(
    nobody: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = {one["name"]: one for one in json_of(capsys, "doctor", status=1)["checks"]}
    assert checks["mlflow"]["state"] == "trouble"
    assert checks["mlflow"]["says"].startswith(f"MLflow at {nobody} does not answer")
    assert "deliveries" not in checks


@pytest.mark.parametrize("uri", ["databricks", "sqlite:///mlflow.db", "mlflow.example.org"])
def test_an_address_that_is_none_stops_the_start(
    uri: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELPORT_MLFLOW_TRACKING_URI", uri)
    assert run(["deliveries", "list"]) == 2
    assert "MODELPORT_MLFLOW_TRACKING_URI: expected http://… or https://…" in capsys.readouterr().err
