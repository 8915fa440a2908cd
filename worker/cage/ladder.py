"""Which cage this machine allows: each rung is tried once, with everything that it consists of, and the first that holds is it.

A rung that cannot be had says why. Where none can be had, nothing is loaded: there is no rung without a cage.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.cage import landlock, seccomp
from worker.cage.launcher import Limits, Subject, run
from worker.verification import Ending, Rung, Seen

TRIAL = Limits(seconds=20.0)
NOTHING = Subject("worker.cage.nothing_check", {}, {})


@dataclass(frozen=True, slots=True)
class Cage:
    """What this machine allows. *rung* is None where it is nothing; refused says of each better rung why it was not had."""

    rung: Rung | None
    refused: Mapping[Rung, str]
    bwrap: str = "bwrap"

    @property
    def why(self) -> str:
        """Why there is no cage, as a sentence; empty where there is one."""
        if self.rung is not None:
            return ""
        return "not verified (no sandbox): " + "; ".join(f"{rung.value}: {reason}" for rung, reason in self.refused.items())

    def run(self, subject: Subject, limits: Limits) -> Seen:
        """Return what was seen of *subject* in this cage, which there must be."""
        assert self.rung is not None, self.why
        return run(subject, self.rung, limits, self.bwrap)


def find_cage(path: str | None = None, rungs: Iterable[Rung] = tuple(Rung)) -> Cage:
    """Return the best of *rungs* that holds here. *path* is where programs are looked for, None for PATH."""
    refused: dict[Rung, str] = {}
    bwrap = shutil.which("bwrap", path=path)
    for rung in rungs:
        reason = _reason_against(rung, bwrap)
        if reason is None:
            return Cage(rung, refused, bwrap or "bwrap")
        if reason:
            refused[rung] = reason
    return Cage(None, refused)


def _reason_against(rung: Rung, bwrap: str | None) -> str | None:
    """Return why *rung* cannot be had, None where it can; empty where it is not for us, and nobody needs to be told."""
    if os.uname().machine not in seccomp.ARCHITECTURES:
        return f"no filter is known for the processor {os.uname().machine}"
    if rung is Rung.BUBBLEWRAP_AS_ROOT and os.getuid() != 0:
        return ""
    if rung is not Rung.LANDLOCK and bwrap is None:
        return "the program bwrap is not there; Debian's package bubblewrap brings it"
    if rung is Rung.LANDLOCK and landlock.abi() < 1:
        return "the kernel has none, or it is turned off"
    try:
        seen = run(NOTHING, rung, TRIAL, bwrap or "bwrap")
    except OSError as exc:
        return str(exc)
    return None if seen.ending is Ending.ANSWERED else seen.detail or seen.ending.value
