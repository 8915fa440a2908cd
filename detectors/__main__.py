"""`python -m detectors PATH`: print the scan report of a folder or a file, without the service."""

from __future__ import annotations

import sys
from contextlib import suppress

from detectors.errors import TreeError
from detectors.open import scan_path
from detectors.printable import printable
from detectors.report import scan_report, to_json
from detectors.scan import EXIT_STATUS

USAGE = "usage: python -m detectors PATH"


def main(arguments: list[str]) -> int:
    """Print the report of the one path in *arguments* and return the status that its verdict stands for."""
    if arguments in (["--help"], ["-h"]):
        print(USAGE)
        return 0
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 4
    try:
        found = scan_path(arguments[0])
    except TreeError as exc:
        print(f"detectors: {printable(str(exc))}", file=sys.stderr)
        return 2
    with suppress(BrokenPipeError):
        print(to_json(scan_report(found, arguments[0])), flush=True)
    return EXIT_STATUS[found.verdict]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
