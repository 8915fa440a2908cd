"""A real MLflow server beside a real service: what is registered here appears there, whoever is away or killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.mlflow import MlflowServer, mlflow_server, skip_without_mlflow
from tests.servers.process import until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"
CALL = [sys.executable, "-c", "from worker.cli import main; main()"]

SIGNATURE = "serving_default(image: float32[?, 8, 8]) -> (probabilities: float32[?, 10])"

Modelport = Callable[..., Any]


@pytest.fixture
def server(server_folder: Path) -> Any:
    """A MLflow of one's own, to be stopped and started."""
    skip_without_mlflow()
    with mlflow_server(server_folder) as server:
        yield server


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"MODELPORT_HOME": str(tmp_path / "home"), "MODELPORT_SETTLE_SECONDS": "0"}


@pytest.fixture
def modelport(environment: dict[str, str], tmp_path: Path) -> Modelport:
    """Runs a command and gives its JSON, its status and what it says besides."""

    def call(*words: str, uri: str | None = None) -> Any:
        given = environment if uri is None else environment | {"MODELPORT_MLFLOW_TRACKING_URI": uri}
        command = [*CALL, *words, "--format", "json"]
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=180, cwd=tmp_path)
        return json.loads(done.stdout or "null"), done.returncode, done.stderr

    return call


def versions_of(server: MlflowServer, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("model-versions/search", filter=f"name='{name}'").get("model_versions", [])
    return found


def tags_of(version: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in version["tags"]}


def test_an_example_appears_with_everything_that_is_known_of_it(mlflow: MlflowServer, modelport: Modelport) -> None:
    words = ("ingest", str(DIGITS), "--project", "shown", "--experiment", "digits")
    report, status, said = modelport(*words, uri=mlflow.url)
    assert (status, said) == (0, "")
    version = report["version"]
    [found] = versions_of(mlflow, "shown.digits")
    tags = tags_of(found)
    assert (found["version"], found["source"], found["status"]) == ("1", f"modelport:/{version['id']}", "READY")
    assert tags["modelport.version"] == version["id"]
    assert (tags["modelport.digest"], tags["modelport.url"]) == (version["digest"], version["url"])
    assert (tags["modelport.format"], tags["modelport.verdict"]) == ("tensorflow_savedmodel", "clean")
    assert (tags["modelport.experiment"], tags["modelport.completeness"]) == ("digits", "complete")
    assert SIGNATURE in tags["modelport.signature"]
    run = mlflow.get("runs/get", run_id=found["run_id"])["run"]
    assert found["run_link"] == f"{mlflow.url}/#/experiments/{run['info']['experiment_id']}/runs/{found['run_id']}"
    assert run["info"]["status"] == "FINISHED"
    logged = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    reported = {f"{one['session']}/{one['name']}": one["value"] for one in report["metrics"]["values"]}
    assert logged == reported
    assert "eval/accuracy" in logged

    again, status, _ = modelport(*words, uri=mlflow.url)
    assert (status, again["ingestion"]["answer"]) == (0, "unchanged")
    [delivered] = modelport("deliveries", "list")[0]["deliveries"]
    assert (delivered["state"], delivered["message"]) == ("delivered", "models:/shown.digits/1")
    modelport("deliveries", "retry", delivered["id"], uri=mlflow.url)
    assert versions_of(mlflow, "shown.digits") == [found]

    assert modelport("models", "delete", version["id"], "--yes", uri=mlflow.url)[1] == 0
    [gone] = versions_of(mlflow, "shown.digits")
    assert tags_of(gone) == tags | {"modelport.deleted": tags_of(gone)["modelport.deleted"]}


def test_a_team_has_models_of_its_own(mlflow: MlflowServer, modelport: Modelport) -> None:
    modelport("team", "create", "red")
    for team in ("default", "red"):
        words = ("ingest", str(DIGITS), "--team", team, "--project", "teams", "--experiment", "digits")
        assert modelport(*words, uri=mlflow.url)[1] == 0
    [ours], [theirs] = versions_of(mlflow, "teams.digits"), versions_of(mlflow, "red.teams.digits")
    assert (tags_of(ours)["modelport.team"], tags_of(theirs)["modelport.team"]) == ("default", "red")


def test_doctor_tells_who_answers(mlflow: MlflowServer, modelport: Modelport) -> None:
    checks, status, _ = modelport("doctor", uri=mlflow.url)
    assert (status, checks["checks"][-1]) == (0, {"name": "mlflow", "state": "ok", "says": "it answers and lets us in"})


KILLED = """
import os, sys
from dataclasses import replace
from pathlib import Path
from worker.bootstrap import embedded

def die(step):
    if step == "told":
        os._exit(9)

with embedded(os.environ, Path.cwd()) as service:
    replace(service.rounds.deliverer, step=die).work_off()
"""


def test_who_is_killed_between_making_and_noting_makes_no_second_version(
    mlflow: MlflowServer, modelport: Modelport, environment: dict[str, str], tmp_path: Path
) -> None:
    words = ("ingest", str(DIGITS), "--project", "killed", "--experiment", "digits")
    _, status, said = modelport(*words, uri="http://127.0.0.1:9")
    assert status == 0
    assert "not delivered yet: MLflow at http://127.0.0.1:9 does not answer" in said
    [waiting] = modelport("deliveries", "list")[0]["deliveries"]
    modelport("deliveries", "retry", waiting["id"])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        env=environment | {"MODELPORT_MLFLOW_TRACKING_URI": mlflow.url, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        timeout=120,
    )
    assert killed.returncode == 9
    assert len(versions_of(mlflow, "killed.digits")) == 1
    assert modelport("deliveries", "list")[0]["deliveries"][0]["state"] == "running"
    due_again(tmp_path / "home" / "modelport.db")
    swept, status, _ = modelport("sweep", uri=mlflow.url)
    assert (status, swept["delivered"]) == (0, 1)
    assert len(versions_of(mlflow, "killed.digits")) == 1
    [done] = modelport("deliveries", "list")[0]["deliveries"]
    assert (done["state"], done["attempts"]) == ("delivered", 2)


def due_again(database: Path) -> None:
    """Let the leases of deliveries run out now, which takes five minutes."""
    import sqlite3

    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE deliveries SET due = '2026-01-01T00:00:00.000000Z' WHERE due IS NOT NULL")
    connection.close()


def test_a_version_that_was_registered_while_mlflow_was_away_appears_when_it_is_back(
    server: MlflowServer, modelport: Modelport, environment: dict[str, str], tmp_path: Path
) -> None:
    server.stop()
    given = environment | {"MODELPORT_MLFLOW_TRACKING_URI": server.url}
    log = tmp_path / "worker.log"
    with log.open("wb") as written:
        worker = subprocess.Popen([*CALL, "worker"], env=given, cwd=tmp_path, stderr=written, start_new_session=True)
    try:
        words = ("complete", "digits", "--project", "away", "--model-path", str(DIGITS))
        check = [*CALL, "worker", "--check"]
        assert until(lambda: subprocess.run(check, env=given, cwd=tmp_path, capture_output=True).returncode == 0, 90)
        assert modelport(*words, uri=server.url)[0]["state"] in ("received", "running", "registered")
        assert until(lambda: "not delivered yet" in log.read_text(), 90)
        [ingestion] = modelport("ingestions", "list")[0]["ingestions"]
        assert ingestion["state"] == "registered"
        server.start()
        assert until(lambda: "event='delivered'" in log.read_text(), 120)
        [found] = versions_of(server, "away.digits")
        assert tags_of(found)["modelport.version"] == ingestion["versionId"]
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.wait(60)
