"""The lock of the one that sweeps, between processes on one SQLite file; `test_postgresql` does the same."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers.process import until
from worker.errors import RegistryUnavailable
from worker.registry.sql import SqlRegistry

SWEEPS = """
import sys, time
from worker.registry.sql import SqlRegistry
with SqlRegistry(sys.argv[1]).sweeping() as is_mine:
    print(is_mine, flush=True)
    time.sleep(60)
"""


def check_that_a_killed_process_keeps_nobody_out(database: str) -> None:
    def may_sweep() -> bool:
        with registry.sweeping() as is_mine:
            return is_mine

    with closing(SqlRegistry(database)) as registry:
        sweeper = subprocess.Popen([sys.executable, "-c", SWEEPS, database], stdout=subprocess.PIPE)
        assert sweeper.stdout is not None
        assert sweeper.stdout.readline() == b"True\n"
        assert not may_sweep()
        sweeper.kill()
        sweeper.communicate()
        assert until(may_sweep, 10)


def test_a_killed_process_keeps_nobody_out(database: str) -> None:
    check_that_a_killed_process_keeps_nobody_out(database)


def test_a_lock_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    with (
        closing(SqlRegistry(f"sqlite:///{tmp_path / 'gone' / 'registry.db'}")) as registry,
        pytest.raises(RegistryUnavailable, match=r"registry\.db-sweep cannot be opened: No such file or directory"),
        registry.sweeping(),
    ):
        pass
