"""Each recipe as it stands, against a real `modelport api`: what it reports of runs that ended well, and of others."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import httpx
import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from tests.servers.process import Server, free_port
from tests.worker.test_cli_queue import CALL, answers

RECIPES = Path(__file__).parents[2] / "recipes"
TRAIN = "import os, sys; os.makedirs(sys.argv[2]); open(sys.argv[2] + '/model.onnx', 'w').write('x')\n"
FAIL = "import sys; sys.exit(3)\n"


class Api(Server):
    """A real `modelport api` on a home of its own."""

    token = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return ["/usr/bin/env", f"MODELPORT_HOME={self.folder / 'home'}", *CALL, "api", "--port", str(self.port)]

    def answers(self) -> bool:
        return answers(self.url)

    def make_token(self) -> None:
        """Close the door to all who have no token, and keep one."""
        scopes = ["--scope", "completion:write", "--scope", "model:read"]
        environment = os.environ | {"MODELPORT_HOME": str(self.folder / "home")}
        made = subprocess.run(
            [*CALL, "token", "create", "test", *scopes], env=environment, capture_output=True, text=True, check=True
        )
        self.token = made.stdout.strip()

    def of(self, experiment: str) -> list[dict[str, Any]]:
        listed = httpx.get(
            f"{self.url}/v1/ingestions", params={"experimentId": experiment}, headers={"X-API-Key": self.token}
        ).json()
        rows: list[dict[str, Any]] = listed["ingestions"]
        return rows


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"))
    server.start()
    server.make_token()
    yield server
    server.kill()


@pytest.fixture
def client(api: Api, tmp_path: Path) -> dict[str, str]:
    """The environment of a job: nothing but a path, and where the server is."""
    home = {"MODELPORT_HOME": str(tmp_path / "client"), "MODELPORT_API_URL": api.url, "MODELPORT_TOKEN": api.token}
    return {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)} | home


def run(command: list[str], environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60)


def told(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(row["state"], row["projectId"], row["modelPath"]) for row in rows]


# Slurm


def slurm(client: Mapping[str, str], folder: Path, job: str, **told: str) -> subprocess.CompletedProcess[str]:
    """Run the epilog as Slurm does: with no path, and with what the job's variables are."""
    settings = folder / "client.env"
    told_by_file = {key: value for key, value in client.items() if key.startswith("MODELPORT_")}
    told_by_file["MODELPORT_RUNS"] = f"{folder}/runs"
    settings.write_text("".join(f"{key}={value}\n" for key, value in told_by_file.items()))
    ours = {"MODELPORT_CLIENT_ENV": str(settings), "MODELPORT_BIN": str(Path(sys.executable).parent)}
    return run([str(RECIPES / "slurm_epilog.sh")], ours | {"SLURM_JOB_ID": job, "SLURM_CLUSTER_NAME": "c"} | told, folder)


@pytest.mark.parametrize(("code", "state"), [("0:0", "received"), ("1:0", "ignored"), ("0:15", "ignored")])
def test_the_slurm_epilog_reports_a_job_that_left_a_folder(
    api: Api, client: dict[str, str], tmp_path: Path, code: str, state: str
) -> None:
    job = f"17{code.replace(':', '')}"
    (tmp_path / "runs" / job).mkdir(parents=True)
    done = slurm(client, tmp_path, job, SLURM_JOB_EXIT_CODE2=code, SLURM_JOB_ACCOUNT="vision")
    assert done.returncode == 0, done.stderr
    assert told(api.of(f"slurm-{job}")) == [(state, "vision", str(tmp_path / "runs" / job))]


def test_the_slurm_epilog_leaves_other_jobs_alone(api: Api, client: dict[str, str], tmp_path: Path) -> None:
    assert slurm(client, tmp_path, "18", SLURM_JOB_EXIT_CODE2="0:0").returncode == 0
    assert api.of("slurm-18") == []


def test_the_slurm_epilog_never_fails_and_keeps_what_no_server_takes(client: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "runs" / "19").mkdir(parents=True)
    away = client | {"MODELPORT_API_URL": f"http://127.0.0.1:{free_port()}"}
    assert slurm(away, tmp_path, "19", SLURM_JOB_EXIT_CODE2="0:0").returncode == 0
    [kept] = (tmp_path / "client" / "spool").glob("*/*.json")
    assert json.loads(kept.read_text())["experimentId"] == "slurm-19"


# Plain shell


def shell(client: Mapping[str, str], folder: Path, experiment: str) -> dict[str, str]:
    return dict(client) | {"EXPERIMENT": experiment, "PS_MODEL_PATH": str(folder / "run")}


@pytest.mark.parametrize(
    ("script", "status", "state"), [("exit 0", 0, "received"), ("exit 3", 3, "ignored"), ("kill -9 $$", 137, "ignored")]
)
def test_the_shell_recipe_reports_however_the_command_ends(
    api: Api, client: dict[str, str], tmp_path: Path, script: str, status: int, state: str
) -> None:
    name = f"shell-{status}"
    done = run([str(RECIPES / "shell.sh"), "sh", "-c", script], shell(client, tmp_path, name), tmp_path)
    assert (done.returncode, told(api.of(name))) == (status, [(state, "default", str(tmp_path / "run"))]), done.stderr


def test_the_shell_recipe_passes_sigterm_on_and_reports(api: Api, client: dict[str, str], tmp_path: Path) -> None:
    script = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        [str(RECIPES / "shell.sh"), "bash", "-c", script],
        env=shell(client, tmp_path, "shell-term"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "saved\n")
    assert [row["state"] for row in api.of("shell-term")] == ["received"]


# Airflow


@pytest.fixture
def airflow(client: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for key, value in (client | {"MODELPORT_RUNS": str(tmp_path / "runs")}).items():
        monkeypatch.setenv(key, value)
    spec = importlib.util.spec_from_file_location("airflow_callback", RECIPES / "airflow_callback.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context(run_id: str, **more: object) -> dict[str, object]:
    ran = SimpleNamespace(dag_id="digits", task_id="train", run_id=run_id, try_number=1, map_index=-1)
    return {"ti": ran} | more


def test_the_airflow_callback_reports_how_the_task_ended(api: Api, airflow: ModuleType, tmp_path: Path) -> None:
    run_id = "scheduled__2026-11-20T00:00:00+00:00"
    airflow.report_completion(context(run_id))
    airflow.report_completion(context("manual__1", exception=RuntimeError("no data")))
    path = str(tmp_path / "runs" / "digits" / run_id / "train")
    assert told(api.of(f"digits.train.{run_id}")) == [("received", "digits", path)]
    assert [row["state"] for row in api.of("digits.train.manual__1")] == ["ignored"]


def test_the_airflow_callback_is_one_report_however_often_it_is_called(api: Api, airflow: ModuleType) -> None:
    for _ in range(2):
        airflow.report_completion(context("twice"))
    assert len(api.of("digits.train.twice")) == 1


def test_the_airflow_callback_never_fails_the_task(
    airflow: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MODELPORT_API_URL", "")
    monkeypatch.setenv("MODELPORT_LEASE_SECONDS", "soon")
    with caplog.at_level(logging.ERROR):
        airflow.report_completion(context("wrong"))
        monkeypatch.setenv("PATH", "/nowhere")
        airflow.report_completion(context("wrong"))
    assert "the completion was not taken" in caplog.messages[0]
    assert "the completion was not reported" in caplog.messages[1]


# Kubernetes and Argo


class Strict(BaseModel):
    """A part of a manifest as its API describes it, with the fields that the recipes use; any other is a slip of the pen."""

    model_config = ConfigDict(extra="forbid")


class Reference(Strict):
    fieldRef: dict[Literal["fieldPath"], str] | None = None
    secretKeyRef: dict[Literal["name", "key"], str] | None = None


class Variable(Strict):
    name: str
    value: str | None = None
    valueFrom: Reference | None = None


class Container(Strict):
    name: str | None = None
    image: str
    command: list[str]
    args: list[str] = []
    source: str | None = None
    env: list[Variable] = []
    volumeMounts: list[dict[Literal["name", "mountPath"], str]] = []


class Volume(Strict):
    name: str
    persistentVolumeClaim: dict[Literal["claimName"], str]


class Pod(Strict):
    restartPolicy: Literal["Never", "OnFailure"]
    terminationGracePeriodSeconds: int
    containers: list[Container]
    volumes: list[Volume]


class JobSpec(Strict):
    backoffLimit: int
    template: dict[Literal["spec"], Pod]


class Job(Strict):
    """Source: Kubernetes API, batch/v1."""

    apiVersion: Literal["batch/v1"]
    kind: Literal["Job"]
    metadata: dict[Literal["name"], str]
    spec: JobSpec


class Template(Strict):
    name: str
    container: Container | None = None
    script: Container | None = None
    retryStrategy: dict[Literal["limit", "retryPolicy"], str] | None = None


class WorkflowSpec(Strict):
    entrypoint: str
    onExit: str
    volumes: list[Volume]
    templates: list[Template]


class Workflow(Strict):
    """Source: Argo Workflows, "Field Reference"."""

    apiVersion: Literal["argoproj.io/v1alpha1"]
    kind: Literal["Workflow"]
    metadata: dict[Literal["generateName"], str]
    spec: WorkflowSpec


def test_the_manifests_have_the_fields_of_their_apis_and_no_others() -> None:
    job = Job.model_validate(document("kubernetes_job.yaml"))
    workflow = Workflow.model_validate(document("argo_exit_handler.yaml"))
    assert {workflow.spec.entrypoint, workflow.spec.onExit} == {template.name for template in workflow.spec.templates}
    for volumes, container in [
        (job.spec.template["spec"].volumes, job.spec.template["spec"].containers[0]),
        (workflow.spec.volumes, workflow.spec.templates[1].script),
    ]:
        assert container is not None
        assert [volume.name for volume in volumes] == [mount["name"] for mount in container.volumeMounts]


def document(name: str) -> Any:
    return yaml.safe_load((RECIPES / name).read_text(encoding="utf-8"))


def environment_of(container: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that the container would get; *given* stands for what the cluster knows."""
    return {one["name"]: given.get(one["name"], one.get("value", "")) for one in container["env"]}


def expanded(word: str, environment: Mapping[str, str]) -> str:
    """Return *word* as the kubelet gives it to the container."""
    return re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], word)


@pytest.mark.parametrize(("training", "status", "state"), [(TRAIN, 0, "received"), (FAIL, 3, "ignored")])
def test_the_kubernetes_job_reports_how_its_training_ended(
    api: Api, client: dict[str, str], tmp_path: Path, training: str, status: int, state: str
) -> None:
    [container] = document("kubernetes_job.yaml")["spec"]["template"]["spec"]["containers"]
    (tmp_path / "train.py").write_text(training.replace("os.makedirs(sys.argv[2])", "os.listdir(sys.argv[2])"))
    name = f"job-{status}"
    here = environment_of(container, client | {"JOB": name, "RUNS": str(tmp_path / "runs")})
    words = [expanded(word, here) for word in (*container["command"], *container["args"])]
    done = run(words, client | here, tmp_path)
    assert done.returncode == status, done.stderr
    assert told(api.of(name)) == [(state, "digits", str(tmp_path / "runs" / name))]


@pytest.mark.parametrize(("status", "state"), [("Succeeded", "received"), ("Failed", "ignored"), ("Error", "ignored")])
def test_the_argo_exit_handler_reports_how_the_workflow_ended(
    api: Api, client: dict[str, str], tmp_path: Path, status: str, state: str
) -> None:
    workflow = document("argo_exit_handler.yaml")["spec"]
    [handler] = [one for one in workflow["templates"] if one["name"] == workflow["onExit"]]
    variables = {"status": status, "name": f"mnist-{status}", "uid": f"u-{status}", "namespace": "digits"}
    here = {
        key: re.sub(r"\{\{workflow\.(\w+)\}\}", lambda found: variables[found[1]], value)
        for key, value in environment_of(handler["script"], client).items()
    }
    (tmp_path / "script").write_text(handler["script"]["source"])
    for _ in range(2):
        done = run([*handler["script"]["command"], str(tmp_path / "script")], client | here, tmp_path)
        assert done.returncode == 0, done.stderr
    assert told(api.of(f"mnist-{status}")) == [(state, "digits", f"/shared/runs/mnist-{status}")]


def test_every_recipe_is_explained_and_holds_no_secret() -> None:
    page = (RECIPES.parent / "docs" / "recipes.md").read_text(encoding="utf-8")
    for recipe in sorted(path for path in RECIPES.iterdir() if path.is_file()):
        assert f"recipes/{recipe.name}" in page
        assert "mp_" not in recipe.read_text(encoding="utf-8")


def test_the_scripts_are_good_shell() -> None:
    """Read without running, by the strictest shell that is there."""
    shell_of = shutil.which("dash") or "/bin/sh"
    handler = next(one for one in document("argo_exit_handler.yaml")["spec"]["templates"] if one["name"] == "report")
    scripts = [path.read_text() for path in RECIPES.glob("*.sh")] + [handler["script"]["source"]]
    for script in scripts:
        assert subprocess.run([shell_of, "-n"], input=script, text=True, env=os.environ).returncode == 0
