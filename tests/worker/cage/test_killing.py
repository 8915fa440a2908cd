"""Whoever is killed while a cage is there, nothing is left of it; `make cage` kills two hundred times."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.cage.killing import kill_once
from tests.worker.cage.seat import BOTH, HERE, Kind
from worker.cage.scratch import PREFIX, new_folder, remove_left

KILLS = int(os.environ.get("KILLS", "5"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a name of its own, with the module that sleeps."""
    with tempfile.TemporaryDirectory(prefix="modelport-killing-") as name:
        os.chmod(name, 0o755)
        shutil.copy(Path(HERE) / "hostile.py", name)
        yield Path(name)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("is_keeper", [False, True], ids=["parent", "keeper"])
def test_no_orphan_is_left(kind: Kind, is_keeper: bool, folder: Path) -> None:
    rung, chance = kind.cage().rung, random.Random(7)
    assert rung is not None
    for _ in range(KILLS):
        assert kill_once(rung, folder, chance, is_keeper) == []


def test_folders_of_killed_processes_are_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, held, made, others = (tmp_path / f"{PREFIX}{name}" for name in ("left", "held", "made", "link"))
    for one, mode in ((left, 0o755), (held, 0o755), (made, 0o700)):
        one.mkdir()
        one.chmod(mode)
        (one / "file").write_text("x")
    others.symlink_to(held)
    lock = os.open(held, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    remove_left()
    os.close(lock)
    assert not left.exists()
    assert (held / "file").exists()
    assert (made / "file").exists()
    with new_folder() as own:
        assert os.stat(own).st_mode & 0o777 == 0o755
    assert not os.path.exists(own)
