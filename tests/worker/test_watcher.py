"""The door of folders: settings, the registry, and the command as a process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.watch import run_out_of_watches, stand_still, watching
from tests.servers.process import until
from worker.bootstrap import Embedded, embedded
from worker.cli import run
from worker.errors import BadSetting
from worker.records import Ingestion, IngestionQuery
from worker.runner import Runner
from worker.settings import WatchSetting, load
from worker.settle import MARKERS
from worker.submission import submit
from worker.watch_due import Rule, WatchTrigger
from worker.watched_root import LIST_SECONDS, LIST_SECONDS_WITHOUT_HINTS, Outside, WatchedRoot
from worker.watcher import NO_WORKER_SECONDS, watches_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
STOP = threading.Event()


def settings_of(folder: Path, watch: object, **more: str) -> dict[str, str]:
    return {
        "MODELPORT_HOME": str(folder / "home"),
        "MODELPORT_WATCH": json.dumps(watch),
        "MODELPORT_SETTLE_SECONDS": "0",
        **more,
    }


@contextmanager
def watched(folder: Path) -> Iterator[tuple[Embedded, Callable[[], WatchedRoot]]]:
    """Give a service on `folder/runs` and what makes a watcher of it."""
    (folder / "runs").mkdir(exist_ok=True)
    watch = [{"path": str(folder / "runs" / "{experiment_id}"), "project": "digits", "quiet_seconds": 0, "list_seconds": 1}]
    with embedded(settings_of(folder, watch), folder, role="watch") as service:
        outside = Outside(lambda event: submit(event, service.registry, service.clock.now(), lambda: None))
        [one] = watches_of(service.settings, service.team)
        yield service, lambda: WatchedRoot(one, outside)


def ingestions(service: Embedded) -> list[Ingestion]:
    """Return all ingestions, the oldest first."""
    return list(reversed(service.registry.ingestions(IngestionQuery(team="default", limit=1000))))


def test_settings_become_watches(tmp_path: Path) -> None:
    mounts = '{"/storage": {"at": "/mnt/{team}/storage"}}'
    watch = [
        {"path": "/storage/models/{experiment_id}", "project": "P", "trigger": "marker", "quiet_seconds": 90, "depth": 2},
        {"path": "/runs", "marker": "DONE", "list_seconds": 300},
    ]
    first, second = watches_of(load(settings_of(tmp_path, watch, MODELPORT_MOUNTS=mounts), tmp_path), "red")
    assert (first.root.folder, first.root.project, first.team) == ("/mnt/red/storage/models", "P", "red")
    assert first.rule == Rule(WatchTrigger.MARKER, 90, 2, MARKERS)
    assert first.list_seconds is None
    assert second.root.folder == "/runs"
    assert second.rule == Rule(WatchTrigger.QUIET, 900, 0, frozenset({"DONE"}))
    assert second.list_seconds == 300
    assert second.own == (str(tmp_path / "home"), str(tmp_path / "home"), str(tmp_path / "home" / "store"))


@pytest.mark.parametrize(
    ("watch", "says"),
    [
        ('[{"path": "relative"}]', "MODELPORT_WATCH.0.path: 'relative': expected an absolute path"),
        ('[{"path": "/a/{run}"}]', "{run} is not one of"),
        ('[{"path": "/a", "trigger": "both"}]', "'marker' or 'quiet'"),
        ('[{"path": "/a", "quiet_seconds": -1}]', "greater than or equal to 0"),
        ('[{"path": "/a", "project": "x\\u0007"}]', "project: expected printable text"),
        ('[{"path": "/a", "marker": "a/b"}]', "MODELPORT_WATCH.0.marker"),
        ('[{"path": "/a", "quiet": 9}]', "MODELPORT_WATCH.0.quiet"),
        ('[{"trigger": "quiet"}]', "MODELPORT_WATCH.0.path"),
        ("/a", "expected JSON"),
    ],
)
def test_a_wrong_setting_says_what_was_wanted(tmp_path: Path, watch: str, says: str) -> None:
    with pytest.raises(BadSetting) as caught:
        load({"MODELPORT_WATCH": watch}, tmp_path)
    assert says in str(caught.value)


def test_every_key_of_the_setting_is_documented_with_its_default() -> None:
    page = (EXAMPLE.parents[1] / "docs" / "watching.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert rows.keys() == WatchSetting.model_fields.keys()
    example = WatchSetting(path="/runs")
    assert {key: rows[key] for key in ("trigger", "quiet_seconds", "depth")} == {
        key: f"`{getattr(example, key)}`" for key in ("trigger", "quiet_seconds", "depth")
    }
    assert all(f"`{marker}`" in rows["marker"] for marker in MARKERS)
    assert rows["list_seconds"] == f"`{LIST_SECONDS:g}`, without inotify `{LIST_SECONDS_WITHOUT_HINTS:g}`"


@pytest.mark.parametrize("watch", [None, "[]"])
def test_without_folders_to_watch_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], watch: str | None
) -> None:
    monkeypatch.setenv("MODELPORT_HOME", str(tmp_path))
    monkeypatch.delenv("MODELPORT_WATCH", raising=False)
    if watch is not None:
        monkeypatch.setenv("MODELPORT_WATCH", watch)
    assert run(["watch"]) == 2
    assert "MODELPORT_WATCH: expected folders to watch" in capsys.readouterr().err


def test_the_same_content_is_reported_once_by_any_number_of_watchers_and_starts(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "runs" / "e1")
    for _ in range(2):
        with watched(tmp_path) as (service, watcher):
            roots = [watcher(), watcher()]
            for root in roots:
                root.look(STOP)
                root.close()
            [one] = ingestions(service)
            assert (one.state.value, one.event.experiment, one.event.project) == ("received", "e1", "digits")


def test_what_is_reported_is_registered_and_a_change_of_nothing_but_times_is_unchanged(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "runs" / "e1")
    with watched(tmp_path) as (service, watcher):
        root, runner = watcher(), Runner(service.borders(), service.owner)
        root.look(STOP)
        runner.work_off(5)
        os.utime(tmp_path / "runs" / "e1" / "digits.onnx")
        assert until(lambda: root.look(STOP) or len(ingestions(service)) == 2, 10)
        runner.work_off(5)
        ends = [(one.state.value, one.event.trigger.value) for one in ingestions(service)]
        root.close()
    assert ends == [("registered", "watch"), ("unchanged", "watch")]


def test_a_watcher_that_stood_still_misses_nothing(tmp_path: Path) -> None:
    found = stand_still(tmp_path, files=2000, runs=200)
    assert (found.missed, found.twice) == (0, 0), found
    assert found.seconds < 60


@pytest.mark.slow
def test_a_watcher_that_stood_still_while_the_kernels_queue_overflowed_misses_nothing(tmp_path: Path) -> None:
    found = stand_still(tmp_path, files=30_000, runs=3_000)
    assert (found.missed, found.twice) == (0, 0), found
    assert found.seconds < 60
    assert "events were lost" in found.told


@pytest.mark.slow
def test_a_watcher_without_watches_left_polls_says_so_and_misses_nothing(tmp_path: Path) -> None:
    """With a limit of five watches, set for a user namespace of its own."""
    missed, log = run_out_of_watches(tmp_path, runs=20)
    assert missed == 0
    assert "by='polling'" in log
    assert "raise fs.inotify.max_user_watches" in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with watching(tmp_path, quiet_seconds=0) as watcher:
        watcher.process.send_signal(number)
        assert watcher.process.wait(20) == 0
    assert f"by={number.name!r}" in watcher.log
    assert "Traceback" not in watcher.log


@pytest.mark.slow
def test_it_says_after_a_while_that_no_worker_lives_and_goes_on_although_it_was_stopped(tmp_path: Path) -> None:
    with watching(tmp_path, quiet_seconds=0) as watcher:
        watcher.process.send_signal(signal.SIGSTOP)
        time.sleep(NO_WORKER_SECONDS + 1)
        watcher.process.send_signal(signal.SIGCONT)
        assert until(lambda: "no worker lives" in watcher.log, 10)
        watcher.make_runs(1)
        watcher.fill_runs(1)
        assert watcher.has_reported(1, 30)
        assert watcher.process.poll() is None


def test_what_it_says_goes_to_stderr(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from worker.cli import main; main()", "watch"]
    environment = dict(os.environ) | settings_of(tmp_path, [{"path": str(tmp_path / "runs")}])
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "nothing to watch" in process.stderr.readline()
    process.terminate()
    assert process.communicate(timeout=20)[0] == ""
