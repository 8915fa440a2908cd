"""Which cage is chosen, and that none is chosen where none holds: never is anything loaded bare."""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.cage.seat import BUBBLES, BUBBLEWRAP, LANDLOCK
from worker.cage import ladder, seccomp
from worker.cage.ladder import Cage, find_cage
from worker.verification import Ending, Rung

ROOT = Path(__file__).parents[3]

NO_LANDLOCK = 444
"""landlock_create_ruleset."""

WITHOUT_CALLS = """
import ctypes, json, os, struct, sys
program = bytes.fromhex(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(program, len(program))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer)), 0, 0) == 0
from worker.cage.ladder import find_cage
found = find_cage()
print(json.dumps({"rung": found.rung, "refused": found.refused, "why": found.why}))
"""
"""A process whose kernel does not know some calls says which cage it finds."""


CLONE, CLONE3 = 56, 435
"""Their numbers on x86_64."""

CLONE_NAMESPACES = 0x7E020000
"""The flags CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""


def found_without(*calls: int, namespaces: bool = True) -> dict[str, object]:
    """Return what `find_cage` says where the kernel refuses *calls*, and without *namespaces* each clone that makes one."""
    lines = [(seccomp.LOAD, 0, 0, seccomp.NUMBER_AT)]
    for number in calls:
        lines += [(seccomp.JUMP_EQUAL, 0, 1, number), (seccomp.RETURN, 0, 0, seccomp.ERRNO | 1)]
    if not namespaces:
        # A filter cannot see the flags of clone3; where it is unknown, the C library takes clone.
        lines += [(seccomp.JUMP_EQUAL, 0, 1, CLONE3), (seccomp.RETURN, 0, 0, seccomp.ERRNO | errno.ENOSYS)]
        lines += [(seccomp.JUMP_EQUAL, 0, 3, CLONE), (seccomp.LOAD, 0, 0, seccomp.FIRST_ARGUMENT_AT)]
        lines += [(seccomp.JUMP_ANY_BIT, 0, 1, CLONE_NAMESPACES), (seccomp.RETURN, 0, 0, seccomp.ERRNO | 1)]
    program = b"".join(struct.pack("=HBBI", *line) for line in [*lines, (seccomp.RETURN, 0, 0, seccomp.ALLOW)])
    command = [sys.executable, "-c", WITHOUT_CALLS, program.hex()]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 0, said.stderr
    return dict(json.loads(said.stdout))


@pytest.mark.slow
def test_bubblewrap_is_the_first_choice() -> None:
    BUBBLEWRAP.cage()
    assert find_cage().rung in BUBBLES


def test_without_the_program_landlock_is_next(tmp_path: Path) -> None:
    LANDLOCK.cage()
    cage = find_cage(path=str(tmp_path))
    assert cage.rung is Rung.LANDLOCK
    assert "bwrap is not there" in cage.refused[Rung.BUBBLEWRAP]


def test_without_namespaces_landlock_is_next(tmp_path: Path) -> None:
    """A bwrap that fails as the real one does where a system forbids user namespaces."""
    LANDLOCK.cage()
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    cage = find_cage(path=str(tmp_path))
    assert cage.rung is Rung.LANDLOCK
    if os.getuid() != 0:
        assert cage.refused[Rung.BUBBLEWRAP] == "exit status 1: bwrap: setting up uid map: Permission denied"


@pytest.mark.slow
def test_where_the_kernel_refuses_namespaces_landlock_is_next() -> None:
    """The real program on a kernel that makes no namespaces for it."""
    BUBBLEWRAP.cage()
    if os.uname().machine == "x86_64":
        assert found_without(namespaces=False)["rung"] == "landlock"
    script = f'echo 0 > /proc/sys/user/max_user_namespaces; exec {sys.executable} -c "$0"'
    code = "from worker.cage.ladder import find_cage; c = find_cage(); print(c.rung.value, *c.refused)"
    found = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script, code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if found.returncode != 0:
        pytest.skip(f"no namespace can be had to take them away in: {found.stderr[:200]}")
    assert found.stdout.split()[0] in ("landlock", "bubblewrap-as-root")
    assert "bubblewrap" in found.stdout.split()[1:]


def test_without_landlock_and_bubblewrap_there_is_no_cage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    said = found_without(NO_LANDLOCK)
    assert said["rung"] is None
    assert str(said["why"]).startswith("not verified (no sandbox): bubblewrap: the program bwrap is not there")
    assert "landlock: the kernel has none, or it is turned off" in str(said["why"])


def test_a_cage_that_does_not_hold_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bwrap that runs the command and cages nothing is found out by the child itself, before anything is loaded."""
    program = tmp_path / "bwrap"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "words = sys.argv[sys.argv.index('--') + 1:]\n"
        f"words[words.index('-c') + 2] = words[words.index('-c') + 2].replace('/cage', {str(ROOT)!r})\n"
        "os.execv(words[0], words)\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(ladder.landlock, "abi", lambda: 0)
    cage = find_cage(path=str(tmp_path))
    assert cage.rung is None
    reasons = {reason for rung, reason in cage.refused.items() if rung is not Rung.LANDLOCK}
    assert reasons <= {Ending.NOT_CONFINED.value, *(reason for reason in reasons if "Permission denied" in reason)}
    assert Ending.NOT_CONFINED.value in reasons


def test_nothing_runs_without_a_cage() -> None:
    cage = Cage(None, {Rung.LANDLOCK: "none"})
    assert cage.why == "not verified (no sandbox): landlock: none"
    with pytest.raises(AssertionError):
        cage.run(ladder.NOTHING, ladder.TRIAL)
