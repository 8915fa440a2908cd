"""The folder that a version is downloaded to: whole, or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.contracts.store import entry
from worker.errors import RejectedLocation, StorageUnavailable
from worker.storage.download import new_folder


def write(path: Path) -> None:
    with new_folder(path) as open_sink:
        for name in ("a", "deep/b"):
            with open_sink(entry(name)) as sink:
                sink.write(name.encode())


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["out", "new/out", "there", "there/../out", "there/sub/.."])
def test_the_folder_stands_where_nothing_was_or_an_empty_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    write(Path(name))
    assert everything((tmp_path / name).resolve()) == ["a", "deep", "deep/b"]
    assert not [found for found in everything(tmp_path) if found.endswith(".part")]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out") as open_sink, open_sink(entry("a")):
        raise RuntimeError
    assert everything(tmp_path) == []


@pytest.mark.parametrize("name", [".", "", "../here", "../here/sub/.."])
def test_the_folder_that_one_is_in_is_not_replaced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(RejectedLocation, match="is the folder that you are in"):
        write(Path(name))
    assert everything(tmp_path) == ["here"]


def test_a_folder_that_a_disk_is_mounted_on_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "disk")
    with pytest.raises(RejectedLocation, match="a disk is mounted there"):
        write(tmp_path / "disk")
    assert everything(tmp_path) == ["disk"]


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere"), os.mkfifo])
def test_what_is_there_is_never_replaced(make: object, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path / "out")
    with pytest.raises(RejectedLocation, match="there is something already"):
        write(tmp_path / "out")
    assert everything(tmp_path) == ["out"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match="Not a directory"):
        write(tmp_path / "file" / "out")
