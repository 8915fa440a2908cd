"""`modelport rescan`: on a server, where one is named, and here; and what becomes of it when nobody works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.servers.process import Server, free_port
from tests.worker.conftest import json_of, without_settings
from tests.worker.test_cli_queue import CALL, answers
from worker import bootstrap
from worker.bootstrap import embedded
from worker.cli import remote, run

ROOT = Path(__file__).parents[2]


class Api(Server):
    """A real `modelport api` on a home of its own, without a worker."""

    @property
    def environment(self) -> dict[str, str]:
        return without_settings() | {"MODELPORT_HOME": str(self.folder / "server"), "MODELPORT_SETTLE_SECONDS": "0"}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        told = [f"{key}={self.environment[key]}" for key in ("MODELPORT_HOME", "MODELPORT_SETTLE_SECONDS")]
        return ["/usr/bin/env", *told, *CALL, "api", "--port", str(self.port)]

    def answers(self) -> bool:
        return answers(self.url)

    def token(self, *scopes: str) -> str:
        words = [word for scope in scopes for word in ("--scope", scope)]
        made = subprocess.run(
            [*CALL, "token", "create", "test", *words], env=self.environment, capture_output=True, text=True, check=True
        )
        return made.stdout.strip()


@pytest.fixture
def api(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    server = Api(tmp_path)
    monkeypatch.setenv("MODELPORT_API_URL", server.url)
    server.start()
    yield server
    server.stop()


def test_a_server_is_asked_and_answers_as_without_one(
    api: Api, home: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no registry of our own is begun beside it."""
    worker = subprocess.Popen([*CALL, "worker"], env=api.environment, stderr=subprocess.DEVNULL)
    try:
        there = json_of(capsys, "rescan", "net", "--experiment", "e7", "--project", "p", "--wait")
        forced = json_of(capsys, "rescan", "net", "--experiment", "e7", "--project", "p", "--wait", "--force")
    finally:
        worker.terminate()
        worker.wait(30)
    told = ("state", "source", "trigger", "modelPath", "projectId", "experimentId")
    assert [there[key] for key in told] == ["registered", "rescan", "rescan", str(model), "p", "e7"]
    assert forced["reason"] == "same-content"
    assert not home.exists()
    monkeypatch.delenv("MODELPORT_API_URL")
    assert json_of(capsys, "rescan", "net").keys() == there.keys()


def test_a_rescan_that_is_not_waited_for_stands_in_the_servers_queue(
    api: Api, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rescan", str(model)]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["ID", "STATE", "REASON", "ACCEPTED", "ATTEMPTS", "EXPERIMENT", "PATH"]
    assert row.split()[1] == "received"
    assert row.endswith(str(model))


def test_who_waits_for_a_server_without_workers_is_told(
    api: Api, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 1.0)
    assert run(["rescan", str(model), "--wait"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("modelport: in")
    assert said.endswith(f" is queued, but no worker lives at {api.url}; nobody does it until one is started\n")


def test_a_token_that_may_ask_and_not_look_says_what_it_lacks(
    api: Api, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_TOKEN", api.token("model:write"))
    assert json_of(capsys, "rescan", str(model)).keys() == {"id", "state", "known"}
    assert run(["rescan", str(model)]) == 0
    assert capsys.readouterr().out.endswith(f": received; {model} will be looked at\n")
    assert run(["rescan", str(model), "--wait"]) == 2
    lacks = "the token lacks the scope completion:write or model:read or operate"
    assert f" is queued, but {api.url} does not tell how it stands: 403 {lacks}\n" in capsys.readouterr().err


def test_what_the_server_does_not_take_is_told(
    api: Api, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rescan", str(model), "--project", "p" * 300]) == 2
    said = capsys.readouterr().err
    assert said == f"modelport: {api.url} refused it: 422 projectId: expected 1 to 255 characters, found 300\n"
    monkeypatch.setenv("MODELPORT_TOKEN", api.token("completion:write"))
    assert run(["rescan", str(model)]) == 2
    said = capsys.readouterr().err
    assert said == f"modelport: {api.url} did not take it: 403 the token lacks the scope model:write\n"


def test_a_server_that_is_away_keeps_nothing(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_API_URL", f"http://127.0.0.1:{free_port()}")
    assert run(["rescan", str(model)]) == 2
    assert "does not answer: [Errno 111] Connection refused" in capsys.readouterr().err
    assert not home.exists()


@pytest.mark.parametrize(("words", "says"), [(["nowhere"], "there is nothing at "), (["net", "--team", "vision"], "the token")])
def test_wrong_usage_is_told_before_a_server_is_asked(
    words: list[str], says: str, home: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_API_URL", f"http://127.0.0.1:{free_port()}")
    assert run(["rescan", *words]) == 4
    assert says in capsys.readouterr().err


def test_what_a_worker_leaves_that_goes_is_done_by_who_waits(
    home: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker is there when the rescan is queued, takes nothing, and ends."""
    lives, has_rescan = Event(), Event()

    def idle() -> None:
        with embedded(os.environ, tmp_path, role="idle") as service, service.seen_as_worker():
            while not service.living_workers():
                service.clock.sleep(0.05)
            lives.set()
            while not service.registry.is_due(service.clock.now()):
                service.clock.sleep(0.05)
            has_rescan.set()

    worker = Thread(target=idle)
    worker.start()
    assert lives.wait(30)
    assert json_of(capsys, "rescan", str(model), "--wait")["state"] == "registered"
    assert has_rescan.is_set()
    worker.join()


KILLED = """
import os, sys
from pathlib import Path
from worker.bootstrap import embedded
from worker.records import IngestionQuery
with embedded(os.environ, Path.cwd(), role="worker") as service, service.seen_as_worker():
    while not service.living_workers():
        service.clock.sleep(0.05)
    print("lives", flush=True)
    while not (found := service.registry.ingestions(IngestionQuery())):
        service.clock.sleep(0.05)
    assert service.registry.claim(found[0].id, service.owner, service.clock.now())
    os.kill(os.getpid(), 9)
"""


def test_what_a_worker_had_that_was_killed_is_done_by_who_waits(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "LIVING_SECONDS", 3.0)
    worker = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "lives\n"
    said = json_of(capsys, "rescan", str(model), "--wait")
    assert (said["state"], said["attempts"]) == ("registered", 2)
    assert worker.wait(10) == -9
    worker.stdout.close()
