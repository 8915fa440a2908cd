"""Scan every bomb in a process of its own, and print what it cost and what was said: `python -m tests.attacks.scan_bombs`.

{"name": …, "seconds": …, "bytes": …, "verdict": …, "findings": …}        seconds of the processor, bytes of memory
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

from detectors.scan import scan
from detectors.tree import MemoryTree
from tests.attacks.bombs import bombs

MOST_BYTES = 4 << 30
"""Address space of one scan; it ends by a signal or an error where it wants more."""


def main() -> int:
    """Print a line for each bomb; one that broke its process has no verdict."""
    for name, make in bombs():
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
            tree = MemoryTree(make())
            began = time.process_time()
            found = scan(tree)
            said = {"seconds": time.process_time() - began, "verdict": found.verdict, "findings": len(found.findings)}
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = json.loads(pipe.read() or b'{"seconds": 0, "verdict": "", "findings": 0}')
        used = os.wait4(child, 0)[2]
        print(json.dumps({"name": name, **said, "bytes": used.ru_maxrss << 10}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
