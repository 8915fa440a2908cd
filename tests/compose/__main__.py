"""`make compose-bare`: the services of docker-compose.yml as plain processes, and one completion through all of them."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.compose.bare import running
from tests.compose.way import bring_one_through


def main() -> None:
    """Start the services, bring one completion to its end, and say how."""
    with TemporaryDirectory(prefix="modelport-compose-") as folder, running(Path(folder)) as stack:
        print("healthy:", ", ".join(["postgres", *stack.running]))
        print("left out, because their program is not on this machine:", ", ".join(stack.left_out) or "none")
        print("the completion of e1 ended as", bring_one_through(stack, "e1"))
    print("all ended")


if __name__ == "__main__":
    sys.exit(main())
