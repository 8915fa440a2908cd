"""`modelport up` on the embedded default: the whole way of a completion, a part that is killed, and the end of it all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.chaos.hanging import Hangs
from tests.chaos.mounts import hanging_mount_or_skip
from tests.servers.process import children, is_running, until
from tests.worker.conftest import without_settings
from tests.worker.test_cli_queue import CALL, EXAMPLE, answers, states


class Up:
    """A running `modelport up` with its log in a file."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.environment = (
            without_settings() | settings | {"MODELPORT_HOME": str(folder / "home"), "MODELPORT_SETTLE_SECONDS": "0"}
        )
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*CALL, "up", "--port", "0"], env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        said = re.fullmatch(r"modelport is at (http://127\.0\.0\.1:\d+)\n", self.process.stdout.readline())
        assert said is not None, self.log()
        self.url = said[1]

    def log(self) -> str:
        return self._log.read_text()

    def family(self) -> list[int]:
        parts = list(children(self.process.pid))
        return parts + [pid for part in parts for pid in children(part)]

    def pid_of(self, part: str) -> int:
        return next(pid for pid in children(self.process.pid) if part in words_of(pid))


def words_of(pid: int) -> list[str]:
    """Return the command line of the process *pid*, empty where it has ended meanwhile."""
    with suppress(ProcessLookupError, FileNotFoundError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path)
    yield up
    up.process.kill()
    up.process.communicate(timeout=30)


def report(up: Up, experiment: str) -> None:
    completion = {"experimentId": experiment, "modelPath": str(EXAMPLE)}
    assert httpx.post(f"{up.url}/v1/completions", json=completion, timeout=30).status_code == 202


def test_it_works_alone_with_the_embedded_default_and_ends_in_good_order(up: Up) -> None:
    assert answers(up.url), "the address is told once it answers"
    report(up, "e1")
    assert until(lambda: states(up.url) == ["registered"], 30), up.log()
    family = up.family()
    assert len(family) >= 4
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(30) == 0
    assert not any(map(is_running, family))
    assert "Traceback" not in up.log()


def test_it_prints_a_link_that_signs_a_browser_in_once(up: Up) -> None:
    assert up.process.stdout is not None
    said = re.fullmatch(
        r"open (http://127\.0\.0\.1:\d+/sign-in/once\?link=\S+) in a browser; it signs in once, "
        r"`modelport sign-in --port \d+` prints another\n",
        up.process.stdout.readline(),
    )
    assert said is not None
    with httpx.Client(headers={"Accept": "text/html"}, follow_redirects=True) as browser:
        assert "No models yet" in browser.get(said[1]).text
    port = up.url.rpartition(":")[2]
    another = subprocess.run([*CALL, "sign-in", "--port", port], env=up.environment, capture_output=True, text=True, check=True)
    for link, status in ((said[1], 401), (another.stdout.strip(), 303), (another.stdout.strip(), 401)):
        assert httpx.get(link).status_code == status


def test_a_part_that_is_killed_is_started_again_and_work_goes_on(up: Up) -> None:
    for part in ("api", "worker", "sweep"):
        os.kill(up.pid_of(part), signal.SIGKILL)
    assert until(lambda: up.log().count("was ended by SIGKILL; it is started again in 1 s") == 3, 20), up.log()
    assert until(lambda: answers(up.url), 30), up.log()
    report(up, "e1")
    assert until(lambda: states(up.url) == ["registered"], 30), up.log()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == 0


def test_its_parts_end_when_it_is_killed(up: Up) -> None:
    family = up.family()
    up.process.kill()
    assert until(lambda: not any(map(is_running, family)), 30), up.log()


def test_watched_folders_are_watched(tmp_path: Path) -> None:
    watched = [{"path": f"{tmp_path}/runs/{{experiment_id}}", "trigger": "marker", "list_seconds": 1}]
    up = Up(tmp_path, MODELPORT_WATCH=json.dumps(watched))
    try:
        shutil.copytree(EXAMPLE, tmp_path / "runs" / "e1")
        (tmp_path / "runs" / "e1" / "_SUCCESS").touch()
        assert until(lambda: states(up.url) == ["registered"], 40), up.log()
    finally:
        up.process.terminate()
        up.process.communicate(timeout=40)


@pytest.mark.slow
def test_it_ends_within_30_seconds_while_its_watcher_hangs(tmp_path: Path) -> None:
    watched = [{"path": f"{tmp_path}/runs/{{experiment_id}}", "trigger": "marker", "list_seconds": 1}]
    with hanging_mount_or_skip(tmp_path / "runs", Hangs.LIST) as mount:
        up = Up(tmp_path, MODELPORT_WATCH=json.dumps(watched))
        try:
            assert until(lambda: mount.waiting > 0, 40), up.log()
            watcher = up.pid_of("watch")
            began = time.monotonic()
            up.process.terminate()
            assert up.process.wait(40) == 0
            assert time.monotonic() - began < 30
        finally:
            up.process.kill()
            up.process.communicate(timeout=40)
    assert f"left behind: process {watcher} waits for storage that hangs" in up.log()


def test_a_worker_is_healthy_while_it_gives_signs_of_life(up: Up) -> None:
    """Not while its process is there: one that is stopped says nothing."""
    check = [*CALL, "worker", "--check"]

    def says() -> tuple[int, str]:
        done = subprocess.run(check, env=up.environment, capture_output=True, text=True)
        return done.returncode, done.stdout

    assert until(lambda: says() == (0, "1 living here\n"), 40)
    parts = [pid for pid in up.family() if pid not in (up.pid_of("api"), up.pid_of("sweep"))]
    for pid in parts:
        os.kill(pid, signal.SIGSTOP)
    assert until(lambda: says() == (1, "0 living here\n"), 40)
    for pid in parts:
        os.kill(pid, signal.SIGCONT)


def test_a_port_that_is_taken_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = os.environ | {"MODELPORT_HOME": str(tmp_path / "home")}
        told = subprocess.run([*CALL, "up", "--port", str(port)], env=environment, capture_output=True, text=True, timeout=60)
    assert told.returncode == 2
    assert told.stderr.startswith(f"modelport: 127.0.0.1:{port} cannot be listened at: Address already in use")
