"""A worker in which a file named `poison` kills the process that is about to store it: what a bug of ours would do.

`python -m tests.chaos.poisoned ARGUMENTS` is `modelport ARGUMENTS` otherwise.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from worker import ingest
from worker.cli import main
from worker.records import Look

healthy_keep = ingest._keep


def keep(ingestion: Any, location: Any, tree: Any, look: Look, *more: Any) -> Any:
    if any(entry.path == "poison" for entry in look.entries):
        os.kill(os.getpid(), signal.SIGKILL)
    return healthy_keep(ingestion, location, tree, look, *more)


if __name__ == "__main__":
    ingest._keep = keep
    sys.argv[0] = "modelport"
    main()
