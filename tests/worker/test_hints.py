"""What inotify tells, with the kernel's own; its limits are reached by the error that it would give."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.events import DirCreatedEvent
from watchdog.observers import inotify_c

from tests.servers.process import until
from worker import hints
from worker.hints import Hints, limit_of


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Hints]:
    ear = Hints(str(tmp_path))
    yield ear
    ear.close()


def hears(ear: Hints, *places: Path) -> bool:
    """Tell whether *places* are among what is told within five seconds."""
    told: set[str] = set()

    def all_told() -> bool:
        told.update(ear.take() or ())
        return told >= set(map(str, places))

    return until(all_told, 5)


def test_what_happens_below_is_told_with_its_place(ear: Hints, tmp_path: Path) -> None:
    (tmp_path / "run" / "variables").mkdir(parents=True)
    assert hears(ear, tmp_path / "run")
    (tmp_path / "run" / "variables" / "index").write_bytes(b"x")
    assert hears(ear, tmp_path / "run" / "variables" / "index")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert hears(ear, tmp_path / "run", tmp_path / "moved")


def test_names_that_are_not_utf8_are_told(ear: Hints, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    assert hears(ear, folder)


def test_what_was_told_is_told_once(ear: Hints, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert hears(ear, tmp_path / "run")
    assert ear.take() == frozenset()


def test_more_places_than_are_kept_are_anywhere(ear: Hints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "MAX_HINTS", 3)
    for number in range(4):
        ear.dispatch(DirCreatedEvent(str(tmp_path / str(number))))
    assert ear.take() is None
    assert ear.take() == frozenset()


def test_folders_in_folders_bring_no_flood_of_warnings(ear: Hints, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Warnings are errors here, and an error in its thread would end the listening."""
    for number in range(200):
        (tmp_path / f"r{number}" / "a" / "b").mkdir(parents=True)
    assert hears(ear, tmp_path / "r199")
    assert ear.is_alive()
    assert capfd.readouterr() == ("", "")


def test_once_the_folder_is_gone_nothing_more_is_told(ear: Hints, tmp_path: Path) -> None:
    assert ear.is_alive()
    shutil.rmtree(tmp_path)
    assert until(lambda: not ear.is_alive(), 5)


def test_a_folder_that_is_not_there_cannot_be_listened_to(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(FileNotFoundError):
        Hints(str(tmp_path / "nowhere"))
    assert threading.active_count() == before


def test_a_limit_that_is_reached_at_the_start_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reach_limit(monkeypatch, after=0)
    with pytest.raises(OSError, match="limit") as caught:
        Hints(str(tmp_path))
    assert limit_of(caught.value) == "fs.inotify.max_user_watches"


def test_a_limit_that_is_reached_below_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    reach_limit(monkeypatch, after=2)
    ear = Hints(str(tmp_path))
    assert ear.exhausted is None
    (tmp_path / "one more").mkdir()
    assert until(lambda: ear.exhausted is not None, 5)
    ear.close()


def test_a_process_without_an_inotify_instance_left_says_which_limit_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify_c, "inotify_init", lambda: refused(errno.EMFILE))
    with pytest.raises(OSError, match="limit") as caught:
        Hints(str(tmp_path))
    assert limit_of(caught.value) == "fs.inotify.max_user_instances"


def test_other_errors_are_no_limits() -> None:
    assert limit_of(PermissionError(errno.EACCES, "no")) is None


def test_an_error_in_the_listening_ends_it_without_a_traceback(
    ear: Hints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(self: object, event: object) -> None:
        raise KeyError("watchdog")

    monkeypatch.setattr(inotify_c.InotifyFD, "handle_event", broken)
    (tmp_path / "run").mkdir()
    assert until(lambda: not ear.is_alive(), 5)
    assert capfd.readouterr().err == ""


def reach_limit(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the kernel's call fail as it does at its limit, once it has given *after* watches."""
    genuine, given = inotify_c.inotify_add_watch, []

    def add_watch(*arguments: object) -> int:
        if len(given) == after:
            return refused(errno.ENOSPC)
        given.append(1)
        return int(genuine(*arguments))

    monkeypatch.setattr(inotify_c, "inotify_add_watch", add_watch)


def refused(error: int) -> int:
    ctypes.set_errno(error)
    return -1
