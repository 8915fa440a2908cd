"""Whoever is killed while a cage is there, nothing is left of it; `make cage` kills two hundred times."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.process import until
from tests.worker.cage.killing import GONE_SECONDS, ROOT, kill_once, left_of
from tests.worker.cage.seat import BOTH, HERE, Kind
from worker.cage.launcher import Limits, Subject, run
from worker.cage.scratch import PREFIX, new_folder, remove_left
from worker.verification import Ending, Rung

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


ORPHANING = """#!{python}
import os, sys, time
words = sys.argv[sys.argv.index("--") + 1:]
words[words.index("-c") + 2] = words[words.index("-c") + 2].replace("/cage", {root!r})
if os.fork() == 0:
    time.sleep({seconds})
    os.execv(words[0], words)
"""
"""A bwrap that is gone before the child says hello, and takes it not along."""


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_child_whose_keeper_died_first_gets_no_job(seconds: float, folder: Path) -> None:
    program = folder / "bwrap"
    program.write_text(ORPHANING.format(python=sys.executable, root=str(ROOT), seconds=seconds))
    program.chmod(0o755)
    rung = Rung.BUBBLEWRAP_AS_ROOT if os.getuid() == 0 else Rung.BUBBLEWRAP
    seen = run(Subject("hostile", {"how": "sleep"}, {}, (str(folder),)), rung, Limits(seconds=20), str(program))
    assert (seen.ending, seen.detail) == (Ending.CRASHED, "exit status 0")
    assert until(lambda: left_of(str(folder)) == [], GONE_SECONDS)


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
