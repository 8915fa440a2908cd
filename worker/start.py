"""Where `modelport` starts: a Ctrl-C while the command line is still being imported ends the process without a word.

Python would end with a traceback out of whatever was imported just then. The command line itself meets Ctrl-C once it is there.
In comes nothing, out goes the exit status; everything else is left to `worker.cli`. What this module imports is imported
unprotected, so it is next to nothing, not even `typing`; before that Python itself starts, which is out of our hands.
"""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of SIGINT, as a shell shows it."""


def main() -> None:
    """Import the command line and run it; what ignores SIGINT when it starts, as below nohup or `&`, goes on to ignore it."""
    met = signal.getsignal(signal.SIGINT)
    if met is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)
    from worker.cli import main as run

    signal.signal(signal.SIGINT, met)
    run()


def _leave(number: int, frame: object) -> None:
    """Leave at once. An exception would go through the modules that are being imported, and nothing is written yet."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
