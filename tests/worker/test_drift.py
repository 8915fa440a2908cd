"""Drift: what a look at the files of a version finds, and what is noted of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from detectors.errors import TreeUnavailable
from detectors.local_tree import LocalTree
from detectors.tree import FileTree, MemoryTree
from tests.contracts.registry import register
from worker.drift import WRONG, Seen, look, mark_of, noted
from worker.errors import NothingStored, NothingThere, RejectedLocation, StorageUnavailable
from worker.records import Condition, FileDigest, FilesSeen, ModelVersion, StoreMode
from worker.registry.memory import MemoryRegistry

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)

CONTENT = {"a": b"aaa", "b/c": b"cccc"}
FILES = [FileDigest(path, len(data), sha256(data).hexdigest()) for path, data in CONTENT.items()]

Open = Callable[[ModelVersion], AbstractContextManager[FileTree]]


@pytest.fixture
def version() -> ModelVersion:
    return replace(register(MemoryRegistry()).version, store=StoreMode.REFERENCE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run" / "b").mkdir(parents=True)
    for path, data in CONTENT.items():
        (tmp_path / "run" / path).write_bytes(data)
    return tmp_path / "run"


def opens(tree: FileTree) -> Open:
    return lambda version: nullcontext(tree)


def on_disk(folder: Path) -> Open:
    return lambda version: LocalTree(str(folder))


def marked(version: ModelVersion, folder: Path) -> ModelVersion:
    with LocalTree(str(folder)) as tree:
        return replace(version, mark=mark_of(tree.files()))


@pytest.mark.parametrize(
    ("files", "condition", "says"),
    [
        (CONTENT, Condition.FINE, "as registered, by names and sizes"),
        ({"a": b"aaa"}, Condition.MISSING, "1 of 2 files (b/c) is gone"),
        ({}, Condition.MISSING, "2 of 2 files (a, b/c) are gone"),
        (CONTENT | {"a": b"aa"}, Condition.CHANGED, "1 of 2 files (a) is of another size"),
        (CONTENT | {"next": b"n"}, Condition.FINE, "as registered, by names and sizes"),
    ],
)
def test_names_and_sizes_are_compared(version: ModelVersion, files: dict[str, bytes], condition: Condition, says: str) -> None:
    seen = look(version, FILES, opens(MemoryTree(files)))
    assert (seen.condition, seen.says) == (condition, says)


def test_a_copy_has_its_own_files_and_no_others(version: ModelVersion) -> None:
    seen = look(replace(version, store=StoreMode.COPY), FILES, opens(MemoryTree(CONTENT | {"next": b"n"})))
    assert (seen.condition, seen.says) == (Condition.CHANGED, "1 of 3 files were never registered")


def test_nothing_is_read_unless_digests_are_asked_for(version: ModelVersion) -> None:
    class Unread(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            raise AssertionError(path)

    assert look(version, FILES, opens(Unread(CONTENT))).condition is Condition.FINE
    with pytest.raises(AssertionError):
        look(version, FILES, opens(Unread(CONTENT)), with_digests=True)


def test_what_was_written_since_is_not_fine_until_its_bytes_are_compared(version: ModelVersion, folder: Path) -> None:
    known = marked(version, folder)
    assert look(known, FILES, on_disk(folder)).says == "as registered, by names, sizes and times"
    os.utime(folder / "a", ns=(1, 1))
    assert look(known, FILES, on_disk(folder)).condition is Condition.TOUCHED
    read: list[int] = []
    seen = look(known, FILES, on_disk(folder), with_digests=True, progress=read.append)
    assert (seen.condition, seen.says, sum(read)) == (Condition.FINE, "as registered, byte for byte", 7)
    assert look(replace(known, mark=seen.mark), FILES, on_disk(folder)).condition is Condition.FINE


def test_a_file_that_is_put_back_as_it_was_is_fine_again(version: ModelVersion, folder: Path) -> None:
    known, status = marked(version, folder), os.stat(folder / "a")
    (folder / "a").unlink()
    assert look(known, FILES, on_disk(folder)).condition is Condition.MISSING
    (folder / "a").write_bytes(CONTENT["a"])
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert look(known, FILES, on_disk(folder)).condition is Condition.FINE


def test_bytes_that_were_found_wrong_are_fine_again_only_byte_for_byte(version: ModelVersion, folder: Path) -> None:
    known, status = marked(version, folder), os.stat(folder / "a")
    (folder / "a").write_bytes(b"AAA")
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert look(known, FILES, on_disk(folder)).condition is Condition.FINE  # as a bit that fell over would not be seen
    seen = look(known, FILES, on_disk(folder), with_digests=True)
    assert (seen.condition, seen.says, seen.mark) == (Condition.CHANGED, "1 of 2 files (a) is of other bytes", WRONG)
    note, mark = noted(None, known.mark, seen, NOON)
    wrong = replace(known, mark=mark, files_seen=note)
    after, mark = noted(note, mark, look(wrong, FILES, on_disk(folder)), LATER)
    assert (after.condition, after.at, after.looked, mark) == (Condition.CHANGED, NOON, LATER, WRONG)
    (folder / "a").write_bytes(CONTENT["a"])
    still, mark = noted(after, mark, look(wrong, FILES, on_disk(folder)), LATER)
    assert still.condition is Condition.CHANGED
    fine, mark = noted(still, mark, look(wrong, FILES, on_disk(folder), with_digests=True), LATER)
    assert (fine.condition, mark) == (Condition.FINE, marked(version, folder).mark)


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (NothingThere("gone"), Condition.MISSING),
        (NothingStored("gone"), Condition.MISSING),
        (StorageUnavailable("away"), Condition.UNREACHABLE),
        (RejectedLocation("refused"), Condition.UNREACHABLE),
        (TreeUnavailable("", "away"), Condition.UNREACHABLE),
    ],
)
def test_what_could_not_be_looked_at_is_never_fine(version: ModelVersion, error: Exception, condition: Condition) -> None:
    def fails(version: ModelVersion) -> AbstractContextManager[FileTree]:
        raise error

    seen = look(version, FILES, fails)
    assert seen.condition is condition
    fine = FilesSeen(Condition.FINE, "as registered", NOON, NOON)
    assert noted(fine, "m", seen, LATER)[0].condition is condition
    assert noted(None, "m", seen, LATER) == (FilesSeen(condition, seen.says, LATER, LATER), "m")


@pytest.mark.parametrize("condition", [Condition.TOUCHED, Condition.CHANGED, Condition.MISSING])
def test_a_failed_look_takes_back_nothing_that_was_found(condition: Condition) -> None:
    before = FilesSeen(condition, "as it was found", NOON, NOON)
    note, mark = noted(before, "m", Seen(Condition.UNREACHABLE, "could not be looked at: away"), LATER)
    assert (note, mark) == (replace(before, looked=LATER, trouble="could not be looked at: away"), "m")


def test_the_mark_does_not_depend_on_the_order_of_the_listing(folder: Path) -> None:
    with LocalTree(str(folder)) as tree:
        entries = list(tree.files())
    assert mark_of(entries) == mark_of(reversed(entries))
