"""A worker in which a file named `poison` kills the process that looks at it: what a bug in a parser would do.

`python -m tests.chaos.poisoned ARGUMENTS` is `modelport ARGUMENTS` otherwise.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from detectors.scan import Scan
from detectors.tree import FileEntry, FileTree
from worker import ingest
from worker.cli import main

healthy_scan = ingest.scan


def scan(tree: FileTree, declared: Any, entries: Sequence[FileEntry]) -> Scan:
    if any(entry.path == "poison" for entry in entries):
        os.kill(os.getpid(), signal.SIGKILL)
    return healthy_scan(tree, declared, entries)


if __name__ == "__main__":
    ingest.scan = scan
    sys.argv[0] = "modelport"
    main()
