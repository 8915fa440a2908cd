"""`modelport rescan --outdated`: what older rules judged is judged anew, here, one version after the other."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.cli.common import ERROR, OK, progress_bar, terminal, write, write_log

if TYPE_CHECKING:
    from rich.console import Console

    from worker.bootstrap import Embedded

GIVE_WAY_SECONDS, LOOK_SECONDS = 60.0, 0.5
"""How long work that waits for living workers comes first, before each version, and how often it is looked whether it does."""


def rescan_outdated(limit: int | None, format: str, output: Path | None) -> int:
    """Judge anew what older rules judged, of all teams, at most *limit*, None for all; return the status.

    The files are those of strangers, and so looked at in a child, as by a worker.
    """
    from worker.bootstrap import embedded
    from worker.operations import outdated
    from worker.rejudging import judge_outdated

    write_log("WARNING")
    with embedded(os.environ, Path.cwd(), role="rescan") as service, progress_bar() as shown:
        borders = service.borders(*shown)
        found = [one.as_json() for one in judge_outdated(borders, limit, lambda: _give_way(service))]
        left = sum(outdated(service.registry.care.judged_by()).values())
    judged = sum(one["judged"] for one in found)
    value: dict[str, Any] = {"judged": judged, "outdated": left, "versions": found}

    def show(console: Console) -> None:
        if found:
            terminal().show_records(console, found, "")
        console.print(f"{judged} judged anew; {left} are left that older rules judged")

    write(value, format, output, show)
    return OK if judged == len(found) else ERROR


def _give_way(service: Embedded) -> None:
    """Return when no worker has new work to begin, or has had it for so long that waiting does not help."""
    until = time.monotonic() + GIVE_WAY_SECONDS
    while time.monotonic() < until and service.registry.is_due(service.clock.now()) and service.living_workers():
        service.clock.sleep(LOOK_SECONDS)
