"""Scan every folder below a folder, each for itself, in this one process: `python -m tests.attacks.scan_each FOLDER`.

What is opened after the file `BEGIN` was asked for is opened because of what is scanned; a tracer of system calls sees that.
"""

from __future__ import annotations

import sys
from pathlib import Path

from detectors.local_tree import LocalTree
from detectors.scan import scan

BEGIN = "/the-scan-begins-here"


def main(above: Path) -> None:
    """Print the name and the verdict of each folder."""
    folders = sorted(path for path in above.iterdir() if path.is_dir())
    scan_of(folders[0])  # so that what Python reads of itself for a scan is read
    Path(BEGIN).exists()
    for folder in folders:
        print(scan_of(folder), folder.name)


def scan_of(folder: Path) -> str:
    """Return the verdict on one folder."""
    with LocalTree(folder) as tree:
        return scan(tree).verdict.value


if __name__ == "__main__":
    main(Path(sys.argv[1]))
