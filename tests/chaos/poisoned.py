"""A worker in which a file named `poison` kills the process that is about to store it: what a bug of ours would do.

`python -m tests.chaos.poisoned ARGUMENTS` is `modelport ARGUMENTS` otherwise. The clock of its machine is off by as many
seconds as the environment says.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from worker import ingest
from worker.cli import main
from worker.records import Look

CLOCK_IS_OFF = "CHAOS_CLOCK_IS_OFF_SECONDS"

healthy_keep = ingest._keep


def keep(ingestion: Any, location: Any, tree: Any, look: Look, *more: Any) -> Any:
    if any(entry.path == "poison" for entry in look.entries):
        os.kill(os.getpid(), signal.SIGKILL)
    return healthy_keep(ingestion, location, tree, look, *more)


def set_clock(off_seconds: float) -> None:
    """Let the clock of this machine be off. Where the registry is PostgreSQL, a worker looks at it by this function alone."""
    right_time = time.time
    time.time = lambda: right_time() + off_seconds


if CLOCK_IS_OFF in os.environ:  # here, so that the processes which a worker starts have it too
    set_clock(float(os.environ[CLOCK_IS_OFF]))

if __name__ == "__main__":
    ingest._keep = keep
    sys.argv[0] = "modelport"
    main()
