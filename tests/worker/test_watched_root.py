"""One watched root on a real folder with real inotify; time is what the test says it is."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.servers.process import until
from worker.errors import RegistryUnavailable
from worker.hints import Hints
from worker.records import CompletionEvent, Ingestion, IngestionQuery
from worker.registry.memory import MemoryRegistry
from worker.submission import submit
from worker.watch_due import Rule, WatchTrigger
from worker.watch_roots import root_of
from worker.watched_root import Outside, Watch, WatchedRoot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUIET = Rule(WatchTrigger.QUIET, 0)
STOP = threading.Event()


@dataclass
class World:
    """A folder, a registry, and clocks that stand still; *file_time* is ahead by an hour, so that every file has rested."""

    folder: Path
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    seconds: float = 0.0
    worked: float = 0.0
    trouble: Exception | None = None
    watched: list[WatchedRoot] = field(default_factory=list)

    def watch(self, path: str = "", rule: Rule = QUIET, **more: Any) -> WatchedRoot:
        outside = Outside(
            self.submit,
            lambda: self.seconds,
            lambda: self.worked,
            lambda: datetime.now(UTC).timestamp() + 3600,
            more.pop("filesystem", lambda path: "ext4"),
            more.pop("listen", Hints),
        )
        root = WatchedRoot(Watch(root_of(str(self.folder) + path, "default"), rule, "default", **more), outside)
        self.watched.append(root)
        return root

    def submit(self, event: CompletionEvent) -> tuple[Ingestion, bool]:
        if self.trouble is not None:
            raise self.trouble
        return submit(event, self.registry, NOW, lambda: None)

    def make(self, name: str, content: bytes = b"x") -> Path:
        run = self.folder / name
        run.mkdir(parents=True)
        (run / "model.onnx").write_bytes(content)
        return run

    def reported(self) -> list[str]:
        """Return the names of the runs that were reported, the oldest report first."""
        ingestions = self.registry.ingestions(IngestionQuery(team="default", limit=10_000))
        return [os.path.relpath(one.event.model_path, self.folder) for one in reversed(ingestions)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "runs")
    world.folder.mkdir()
    yield world
    for root in world.watched:
        root.close()


def looks_until(root: WatchedRoot, holds: Callable[[], bool]) -> bool:
    """Look again and again, without any time passing for the watcher, until *holds*; at most five seconds."""

    def looked() -> bool:
        root.look(STOP)
        return holds()

    return until(looked, 5)


def test_what_is_there_at_the_start_is_reported_at_once(world: World) -> None:
    world.make("a"), world.make("b")
    world.watch().look(STOP)
    assert world.reported() == ["a", "b"]


def test_what_is_there_when_a_listing_is_made_is_reported_whatever_was_told_of_it(world: World) -> None:
    class Deaf(Hints):
        def take(self) -> frozenset[str]:
            super().take()
            return frozenset()

    root = world.watch(listen=Deaf)
    root.look(STOP)
    for number in range(2000):
        world.make(f"r{number:04}")
    world.seconds += 1
    root.look(STOP)
    assert world.reported() == []
    world.seconds += 20
    root.look(STOP)
    assert world.reported() == [f"r{number:04}" for number in range(2000)]


def test_a_hint_is_looked_at_without_a_listing(world: World) -> None:
    root = world.watch()
    root.look(STOP)
    world.make("late")
    assert looks_until(root, lambda: world.reported() == ["late"])


def test_a_hint_above_the_runs_leads_to_a_listing(world: World, tmp_path: Path) -> None:
    root = world.watch("/{project_id}/{experiment_id}")
    root.look(STOP)
    (tmp_path / "prepared" / "e1").mkdir(parents=True)
    (tmp_path / "prepared" / "e1" / "model.onnx").write_bytes(b"x")
    (tmp_path / "prepared").rename(world.folder / "p1")
    assert looks_until(root, lambda: world.reported() == ["p1/e1"])


def test_the_same_content_is_reported_once_and_a_change_again(world: World) -> None:
    run, root = world.make("a"), world.watch()
    for _ in range(3):
        root.look(STOP)
        world.seconds += 60
    assert world.reported() == ["a"]
    (run / "model.onnx").write_bytes(b"another")
    world.seconds += 60
    root.look(STOP)
    assert world.reported() == ["a", "a"]


def test_a_second_start_reports_nothing_anew(world: World) -> None:
    world.make("a")
    world.watch().look(STOP)
    with capture_logs() as said:
        world.watch().look(STOP)
    assert world.reported() == ["a"]
    assert [(one["new"], one["known"]) for one in said if one["event"] == "reported"] == [(0, 1)]


def test_a_marker_is_waited_for_and_then_seen_at_once(world: World) -> None:
    run, root = world.make("a"), world.watch(rule=Rule(WatchTrigger.MARKER, 900))
    root.look(STOP)
    assert world.reported() == []
    (run / "_SUCCESS").touch()
    assert looks_until(root, lambda: world.reported() == ["a"])


def test_a_folder_that_changes_at_the_last_moment_is_not_reported(world: World) -> None:
    run, root = (
        world.make("a"),
        world.watch(rule=Rule(WatchTrigger.QUIET, 900), filesystem=lambda path: "nfs4", list_seconds=86_400),
    )
    os.utime(run / "model.onnx")
    root.look(STOP)
    (run / "model.onnx").write_bytes(b"another")
    world.seconds += 86_400
    root.look(STOP)
    assert world.reported() == ["a"]
    (run / "model.onnx").write_bytes(b"a third one")
    world.seconds += 86_400
    root.look(STOP)
    (run / "model.onnx").write_bytes(b"a fourth one")
    world.seconds += 901
    root.look(STOP)
    assert world.reported() == ["a"]


def test_empty_and_hidden_folders_links_and_files_are_no_runs(world: World, tmp_path: Path) -> None:
    (world.folder / "empty").mkdir()
    world.make(".hidden")
    (world.folder / "loose.onnx").write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.onnx").write_bytes(b"x")
    (world.folder / "link").symlink_to(tmp_path / "elsewhere")
    root = world.watch()
    root.look(STOP)
    (world.folder / "later.onnx").write_bytes(b"x")
    (world.folder / "link again").symlink_to(tmp_path / "elsewhere")
    world.make("run")
    assert looks_until(root, lambda: world.reported() == ["run"])


def test_what_we_write_ourselves_is_no_run(world: World) -> None:
    world.make("home/store")
    world.make("run")
    world.watch(own=(str(world.folder / "home" / "store"),)).look(STOP)
    assert world.reported() == ["run"]


def test_a_root_that_vanishes_and_comes_back_loses_nothing(world: World) -> None:
    world.make("before")
    root = world.watch()
    root.look(STOP)
    shutil.rmtree(world.folder)
    with capture_logs() as said:
        assert looks_until(root, lambda: "nothing to watch" in [one["event"] for one in said])
        world.make("after")
        assert looks_until(root, lambda: world.reported() == ["before", "after"])
        world.make("told")
        assert looks_until(root, lambda: world.reported() == ["before", "after", "told"])
    assert [one["by"] for one in said if one["event"] == "watching"] == ["inotify"]


def test_another_folder_in_the_place_of_the_root_is_watched(world: World, tmp_path: Path) -> None:
    root = world.watch()
    root.look(STOP)
    world.folder.rename(tmp_path / "put away")
    world.make("new")
    assert looks_until(root, lambda: world.reported() == ["new"])


def test_a_root_that_is_made_after_the_start_is_found(world: World) -> None:
    world.folder.rmdir()
    root = world.watch()
    with capture_logs() as said:
        root.look(STOP)
        root.look(STOP)
    assert [one["event"] for one in said] == ["nothing to watch"]
    world.make("first")
    assert looks_until(root, lambda: world.reported() == ["first"])


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        ("ext4", "inotify"),
        ("xfs", "inotify"),
        ("tmpfs", "inotify"),
        ("nfs4", "polling"),
        ("cifs", "polling"),
        ("fuse.sshfs", "polling"),
        ("fuse.unheard_of", "polling"),
        ("overlay", "polling"),
        (None, "polling"),
    ],
)
def test_the_file_system_decides_how_to_watch_and_it_is_said_at_the_start(world: World, kind: str | None, by: str) -> None:
    with capture_logs() as said:
        world.watch(filesystem=lambda path: kind).look(STOP)
    assert [(one["by"], (kind or "unknown") in one["why"]) for one in said if one["event"] == "watching"] == [(by, True)]


def test_polling_finds_what_comes_later_and_lists_twice_as_often(world: World) -> None:
    root = world.watch(filesystem=lambda path: "nfs4")
    root.look(STOP)
    world.make("a")
    world.seconds += 9
    root.look(STOP)
    assert world.reported() == []
    world.seconds += 2
    root.look(STOP)
    assert world.reported() == ["a"]


def test_a_limit_of_inotify_makes_it_poll_and_say_so(world: World) -> None:
    def exhausted(folder: str) -> Hints:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    with capture_logs() as said:
        root = world.watch(listen=exhausted)
        root.look(STOP)
        world.make("a")
        world.seconds += 11
        root.look(STOP)
    (line,) = [one for one in said if one["event"] == "watching"]
    assert (line["by"], line["log_level"]) == ("polling", "warning")
    assert "raise fs.inotify.max_user_watches" in line["why"]
    assert world.reported() == ["a"]


def test_a_limit_that_is_reached_later_makes_it_poll_and_say_so(world: World) -> None:
    heard: list[Hints] = []

    def listen(folder: str) -> Hints:
        heard.append(Hints(folder))
        return heard[-1]

    root = world.watch(listen=listen)
    root.look(STOP)
    heard[0].exhausted = OSError(errno.ENOSPC, "inotify watch limit reached")
    world.make("a")
    with capture_logs() as said:
        root.look(STOP)
    assert [one["by"] for one in said if one["event"] == "watching"] == ["polling"]
    assert world.reported() == ["a"]
    assert not heard[0].is_alive()


def test_listening_that_broke_is_begun_again(world: World) -> None:
    heard: list[Hints] = []

    def listen(folder: str) -> Hints:
        heard.append(Hints(folder))
        return heard[-1]

    root = world.watch(listen=listen)
    root.look(STOP)
    heard[0].failed = KeyError("watchdog")
    world.make("a")
    root.look(STOP)
    assert world.reported() == ["a"]
    root.look(STOP)
    assert [one.is_alive() for one in heard] == [False, True]


def test_what_the_registry_does_not_take_is_reported_later(world: World) -> None:
    world.make("a"), world.make("b")
    root, world.trouble = world.watch(), RegistryUnavailable("away")
    with capture_logs() as said:
        root.look(STOP), root.look(STOP)
    assert [one["why"] for one in said if one["event"] == "cannot watch"] == ["away"]
    world.trouble = None
    root.look(STOP)
    assert world.reported() == ["a", "b"]


def test_a_name_that_cannot_be_kept_is_told_and_holds_up_no_other(world: World) -> None:
    world.make("x" * 250 + "é" * 2), world.make("y")
    os.mkdir(os.fsencode(world.folder) + b"/\xff")
    Path(os.fsdecode(os.fsencode(world.folder) + b"/\xff/model.onnx")).write_bytes(b"x")
    root = world.watch("/{experiment_id}")
    with capture_logs() as said:
        root.look(STOP), root.look(STOP)
    assert "y" in world.reported()
    assert len([one for one in said if one["event"] == "cannot watch"]) == 1


def test_a_folder_that_cannot_be_listed_is_told_once_and_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.make("p1/e1"), world.make("p2/e2")
    root, genuine = world.watch("/{project_id}/{experiment_id}"), os.scandir

    def refused(folder: Any) -> Any:
        if str(folder).endswith("p1"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return genuine(folder)

    monkeypatch.setattr("worker.watched_root.os.scandir", refused)
    with capture_logs() as said:
        root.look(STOP)
        world.seconds += 60
        root.look(STOP)
    assert [one["why"] for one in said if one["event"] == "cannot watch"] == ["Permission denied"]
    assert world.reported() == ["p2/e2"]
    monkeypatch.undo()
    world.seconds += 60
    root.look(STOP)
    assert world.reported() == ["p2/e2", "p1/e1"]


def test_a_report_is_not_begun_once_it_is_to_stop(world: World) -> None:
    world.make("a")
    stop = threading.Event()
    stop.set()
    world.watch().look(stop)
    assert world.reported() == []


def test_looking_takes_a_fifth_of_one_processor_at_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing that works for 10 s is followed by 40 s of rest, although one is due every 10 s."""
    root = world.watch(filesystem=lambda path: "nfs4")
    run = world.make("a")
    genuine = os.scandir

    def slow(folder: Any) -> Any:
        world.worked += 10 if str(folder) == str(world.folder) else 0
        return genuine(folder)

    monkeypatch.setattr("worker.watched_root.os.scandir", slow)
    root.look(STOP)
    assert root.rest_seconds == 40
    (run / "model.onnx").write_bytes(b"another")
    world.seconds += 39
    root.look(STOP)
    assert world.reported() == ["a"]
    world.seconds += 2
    root.look(STOP)
    assert world.reported() == ["a", "a"]


def test_a_process_that_was_stopped_in_the_middle_of_a_look_does_not_rest_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = world.watch()
    genuine = os.scandir

    def stopped(folder: Any) -> Any:
        world.seconds += 3600
        return genuine(folder)

    monkeypatch.setattr("worker.watched_root.os.scandir", stopped)
    root.look(STOP)
    assert root.rest_seconds == 1


def test_what_goes_wrong_in_one_look_does_not_end_the_watching(world: World) -> None:
    world.make("a")
    root, stop = world.watch(), threading.Event()
    root.rest_seconds = 0.01
    world.trouble = ValueError("a bug")
    with capture_logs() as said:
        thread = threading.Thread(target=root.run, args=(stop,))
        thread.start()
        assert until(lambda: "unforeseen" in [one["event"] for one in said], 5)
        world.trouble = None
        assert until(lambda: world.reported() == ["a"], 5)
        stop.set()
        thread.join()
