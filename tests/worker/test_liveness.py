"""Which processes still work."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worker.liveness import is_alive, working_as

HOLD = """
import sys, time
from pathlib import Path
from worker.liveness import working_as
with working_as("b", Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(60)
"""


def test_an_owner_is_alive_while_its_block_runs(tmp_path: Path) -> None:
    with working_as("a-1", tmp_path):
        assert is_alive("a-1", tmp_path)
    assert not is_alive("a-1", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_is_known_to_be_gone(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child, child.stdout:
        assert child.stdout.readline() == "up\n"
        assert is_alive("b", tmp_path)
        child.send_signal(signal.SIGKILL)
    assert not is_alive("b", tmp_path)


@pytest.mark.parametrize("owner", ["", "../x", "A", "x" * 65])
def test_a_name_that_is_no_file_name_is_nobody(owner: str, tmp_path: Path) -> None:
    assert not is_alive(owner, tmp_path)
    with pytest.raises(ValueError, match="not a name"), working_as(owner, tmp_path):
        pass
