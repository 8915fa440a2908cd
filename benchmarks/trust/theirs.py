"""Run by the Python of another scanner's environment: `python theirs.py NAME < paths`, a path a line, gives a word a line.

The word is the worst severity that the scanner NAME tells of what lies there: critical, high, medium, low, none; or `error`
where it raised. Notes of a scanner about itself are no findings.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterable

ORDER = ("critical", "high", "medium", "low")


def worst(severities: Iterable[str]) -> str:
    """Return the worst of *severities*."""
    found = set(severities)
    return next((one for one in ORDER if one in found), "none")


def modelscan() -> Callable[[str], str]:
    """Return what modelscan says of a path."""
    from modelscan.modelscan import ModelScan
    from modelscan.settings import DEFAULT_SETTINGS

    def look(path: str) -> str:
        found = ModelScan(settings=DEFAULT_SETTINGS).scan(path)
        return worst(str(issue["severity"]).lower() for issue in found["issues"])

    return look


def modelaudit() -> Callable[[str], str]:
    """Return what modelaudit says of a path; its `warning` stands between critical and info, and counts as medium."""
    os.environ["PROMPTFOO_DISABLE_TELEMETRY"] = "1"
    from modelaudit.core import scan_model_directory_or_file

    words = {"critical": "critical", "warning": "medium"}

    def look(path: str) -> str:
        found = scan_model_directory_or_file(path, skip_file_types=False)
        return worst(words.get(issue.severity.value, "none") for issue in found.issues)

    return look


SCANNERS = {"modelscan": modelscan, "modelaudit": modelaudit}


def main(name: str) -> None:
    """Read paths, and write a word for each as soon as it is known."""
    logging.disable(logging.CRITICAL)
    words = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a scanner prints is none of ours
    look = SCANNERS[name]()
    for path in map(str.rstrip, sys.stdin):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                word = look(path)
        except Exception:  # noqa: BLE001 (a scanner that raises is a result like any other)
            word = "error"
        print(word, file=words, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
