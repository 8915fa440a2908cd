"""What is said where a version cannot be given or its files cannot be removed, and that what is advised then helps."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from detectors.tree import FileTree, MemoryTree
from tests.builders import onnx
from tests.worker.test_ingest import content, event, make_borders
from worker.errors import StorageUnavailable
from worker.ingest import Borders, ingest
from worker.operations import check_leftovers
from worker.records import ModelVersion
from worker.registry.memory import MemoryRegistry
from worker.repository import delete, download
from worker.storage.download import new_folder
from worker.storage.memory import MemoryStore


class Stubborn(MemoryStore):
    """A store that removes nothing for as long as it is asked to refuse."""

    refuses = True

    def remove(self, url: str) -> None:
        if self.refuses:
            raise StorageUnavailable(f"{url}: access is refused")
        super().remove(url)


@pytest.fixture
def store() -> Stubborn:
    return Stubborn()


@pytest.fixture
def borders(store: Stubborn) -> Borders:
    return make_borders(MemoryRegistry(), store)


@pytest.fixture
def version(borders: Borders, tmp_path: Path) -> ModelVersion:
    """A version of five files: a, b, c, d and model.onnx."""
    run = onnx.run_at(tmp_path / "run")
    for name in "abcd":
        (run / name).write_text(name)
    registered = ingest(event(run), borders).version
    assert registered is not None
    return registered


def test_files_that_a_delete_leaves_are_removed_as_it_says(borders: Borders, store: Stubborn, version: ModelVersion) -> None:
    with pytest.raises(StorageUnavailable) as told:
        delete(borders.registry, store, version, borders.clock.now())
    assert str(told.value) == (
        f"{version.id} is deleted, but its files are left: {version.url}: access is refused; "
        "`modelport doctor --repair` removes them once the store lets it"
    )
    store.refuses = False
    assert check_leftovers(borders, repair=True).state == "repaired"
    assert list(store.prefixes()) == []


def told_by_download(borders: Borders, version: ModelVersion, out: Path, **changes: bytes | None) -> str:
    """Return what a download of *version* says where its files a to d were changed, or are gone for None."""
    with borders.store.opened(version.url) as tree:
        kept = content(tree) | changes

    def opened(asked: ModelVersion) -> AbstractContextManager[FileTree]:
        return nullcontext(MemoryTree({path: data for path, data in kept.items() if data is not None}))

    with pytest.raises(StorageUnavailable) as told:
        download(borders.registry, opened, version, new_folder(out), lambda count: None)
    assert not out.exists()
    return str(told.value)


def test_a_file_that_is_gone_is_named_with_what_can_be_done(borders: Borders, version: ModelVersion, tmp_path: Path) -> None:
    assert told_by_download(borders, version, tmp_path / "out", b=None) == (
        f"{version.id}: 1 file (b) is gone; `modelport doctor` tells what is missing, "
        "`modelport ingest` its path again registers what is there now"
    )


def test_of_many_files_that_are_gone_the_first_are_named(borders: Borders, version: ModelVersion, tmp_path: Path) -> None:
    assert "4 files (a, b, c and 1 more) are gone" in told_by_download(
        borders, version, tmp_path / "out", a=None, b=None, c=None, d=None
    )


def test_files_that_changed_are_told_from_files_that_are_gone(borders: Borders, version: ModelVersion, tmp_path: Path) -> None:
    assert told_by_download(borders, version, tmp_path / "out", a=b"A", c=b"longer") == (
        f"{version.id}: 2 files (a, c) are not what was registered; "
        "`modelport ingest` its path again registers what is there now"
    )
