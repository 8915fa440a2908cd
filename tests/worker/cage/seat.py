"""What the tests of the cage share: rungs that must be there, and subjects that are modules of the tests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.process import NoServer, skip_without
from worker.cage.ladder import Cage, find_cage
from worker.cage.launcher import Subject
from worker.verification import Rung

HERE = str(Path(__file__).parent)
BUBBLES = (Rung.BUBBLEWRAP, Rung.BUBBLEWRAP_AS_ROOT)


def find(*rungs: Rung) -> Cage:
    cage = find_cage(rungs=rungs)
    if cage.rung is None:
        raise NoServer(cage.why)
    return cage


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of cage, with what CI says where it cannot be had."""

    rungs: tuple[Rung, ...]
    excuse: str

    def cage(self) -> Cage:
        """Return the cage, or skip the test where there is none and need not be."""
        skip_without(lambda: find(*self.rungs), self.excuse)
        return find(*self.rungs)


BUBBLEWRAP, LANDLOCK = Kind(BUBBLES, "WITHOUT_BUBBLEWRAP"), Kind((Rung.LANDLOCK,), "WITHOUT_LANDLOCK")

BOTH = [
    pytest.param(BUBBLEWRAP, id="bubblewrap", marks=pytest.mark.slow),  # Debian's program alone
    pytest.param(LANDLOCK, id="landlock"),
]


def subject(module: str, files: Mapping[str, str] | None = None, **model: Any) -> Subject:
    return Subject(module, model, files or {}, (HERE,))


def model_file(folder: Path) -> dict[str, str]:
    """Return the files of a model of one file that everybody may read."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.getuid() and each.stat().st_mode & 0o055 != 0o055 and str(each) != "/":
            each.chmod(0o755)
        if each == Path("/tmp"):
            break
    path = folder / "model.bin"
    path.write_text("the model")
    path.chmod(0o644)
    return {"model.bin": str(path)}
