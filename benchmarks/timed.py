"""`python -I -S timed.py REPORT COMMAND…`: run a command, write what it cost to the file REPORT, leave with its status.

The report is one line: processor seconds, wall seconds, peak resident bytes. A program of its own, because Linux counts into
the peak of a child what its parent had resident when it was started: this parent is nothing but a bare interpreter.
"""

import os
import sys
import time


def main(report: str, command: list[str]) -> int:
    began = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - began
    with open(report, "w") as file:
        file.write(f"{usage.ru_utime + usage.ru_stime} {wall} {usage.ru_maxrss * 1024}")
    return max(0, os.waitstatus_to_exitcode(status)) if os.WIFEXITED(status) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
