"""`python -m detectors PATH`: print the scan report of a folder or a file, without the service."""

from __future__ import annotations

import sys

from detectors.errors import TreeError
from detectors.open import scan_path
from detectors.report import scan_report, to_json


def main(arguments: list[str]) -> int:
    """Print the report of the one path in *arguments*; return 0, 2 for an error, 4 for a wrong call."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m detectors PATH", file=sys.stderr)
        return 4
    try:
        print(to_json(scan_report(scan_path(arguments[0]), arguments[0])))
    except TreeError as exc:
        print(f"detectors: {exc}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
