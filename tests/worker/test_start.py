"""The start of `modelport`, with a Ctrl-C at chosen imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, signal, sys
name = sys.argv.pop(1)
class Interrupting:
    def find_spec(self, wanted, path=None, target=None):
        if wanted == name:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from worker.start import main
main()
"""
"""`modelport` with a SIGINT when the module that the first argument names is imported."""


def interrupted(tmp_path: Path, module: str, *arguments: str, **options: object) -> tuple[int, str, str]:
    call = [sys.executable, "-c", PROGRAM, module, *arguments]
    environment = os.environ | {"MODELPORT_HOME": str(tmp_path / "home")}
    done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload]
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", ["click", "worker.cli.reports", "worker.cli.watch"])
def test_ctrl_c_while_the_command_line_is_imported_ends_without_a_word(tmp_path: Path, module: str) -> None:
    assert interrupted(tmp_path, module, "migrate") == (130, "", "")


def test_ctrl_c_once_the_command_line_is_there_is_met_by_it(tmp_path: Path) -> None:
    assert interrupted(tmp_path, "worker.bootstrap", "migrate") == (130, "", "\nmodelport: stopped\n")


def test_what_ignores_ctrl_c_goes_on_to_ignore_it(tmp_path: Path) -> None:
    """As below `nohup`, or with `&` in a script."""
    status, said, trouble = interrupted(
        tmp_path, "click", "--version", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    )
    assert (status, said.split()[0], trouble) == (0, "modelport", "")


def test_it_is_what_the_installed_command_starts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"modelport": "worker.start:main"}
