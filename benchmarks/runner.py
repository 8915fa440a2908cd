"""Runs the two sides of a case in turn, each in a fresh process, and takes the fastest run of each, and its largest size.

In turns (ours, theirs, ours, theirs), so that a machine that is busy for a while is unfair to neither. Whoever else works on
the host only ever adds to a time, and to an interpreter's more than to that of a copy in memory: the same scan was seen to
take 7 and 12 ms within a second, while nothing else ran here. So the fastest run says most about the work itself. Before that
each side runs once without being counted, so that files and compiled modules are in memory for both.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

from benchmarks.case import Case, Command, Cost, Input, Row

ROOT = Path(__file__).parents[1]
TIMED = (sys.executable, "-I", "-S", str(Path(__file__).with_name("timed.py")))
BARE = Command("bare interpreter", (sys.executable, "-c", "pass"))

TIMEOUT_SECONDS = 600
"""For one run; the slowest that is known takes half a minute."""

COMPLAINT_CHARACTERS = 2000
"""How much of what a failed command said goes to stderr; it may hold paths, so none of it goes into the table."""


class NotMeasured(Exception):
    """A command could not be run, or did not end well; the message says why."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Measures below *folder*; *is_quick* runs each side once, for a look whether everything works."""

    folder: Path
    is_quick: bool = False

    def make(self, inputs: Iterable[Input]) -> None:
        """Make those *inputs* that are not there yet, all in one process."""
        missing = sorted({f"{one.kind}:{one.size}" for one in inputs if not (self.folder / one.name).exists()})
        if missing:
            self._run(Command("inputs", (sys.executable, "-m", "benchmarks.inputs", str(self.folder), *missing)))
            self._rest()

    def rows(self, case: Case) -> Iterator[Row]:
        """Yield a row for each goal of *case*; where a side cannot be measured, the rows say why."""
        beside = "" if case.theirs is None else case.theirs.label
        try:
            ours, theirs = self._measure(case)
        except NotMeasured as exc:
            yield from (Row(case.what, goal, beside, None, None, str(exc)) for goal in case.goals)
            return
        yield from (Row(case.what, goal, beside, ours, theirs) for goal in case.goals)

    def _measure(self, case: Case) -> tuple[Cost, Cost | None]:
        sides = [(case.ours, case.input)]
        if case.theirs is not None:
            sides.append((case.theirs, case.other or case.input))
        runs: list[list[Cost]] = [[] for _ in sides]
        for turn in range(1 if self.is_quick else 1 + case.repeats):
            for (command, made), costs in zip(sides, runs, strict=True):
                cost = self.cost(command, str(self.folder / made.name))
                if turn or self.is_quick:
                    costs.append(cost)
        bare = best_cost([self.cost(BARE) for _ in range(1 if self.is_quick else 3)])
        costs_above = [above(best_cost(costs), bare) for costs in runs]
        return costs_above[0], costs_above[1] if len(costs_above) > 1 else None

    def cost(self, command: Command, made: str = "") -> Cost:
        """Return what one run of *command* on the input at *made* cost.

        Raises:
            NotMeasured: the command is not there, took too long or failed.
        """
        if command.needs is not None and not command.needs.exists():
            raise NotMeasured(f"{command.needs.name} is not installed")
        scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=self.folder))
        try:
            return self._timed(command, made, scratch)
        finally:
            shutil.rmtree(scratch)
            self._rest()

    def _rest(self) -> None:
        """Return when the disk has taken what was written, so that the next run does not pay for the last."""
        if not self.is_quick:
            os.sync()

    def _timed(self, command: Command, made: str, scratch: Path) -> Cost:
        report = scratch / "cost"
        said = self._run(_in_place(replace(command, arguments=(*TIMED, str(report), *command.arguments)), made, scratch))
        cpu, wall, peak = map(float, report.read_text().split())
        return Cost(cpu, wall, peak, **(json.loads(said) if command.is_probe else {}))

    def _run(self, command: Command) -> str:
        """Return what a probe printed; what other commands print goes to the null device."""
        out = subprocess.PIPE if command.is_probe else subprocess.DEVNULL
        environment = _environment() | command.environment
        with tempfile.TemporaryFile("w+", dir=self.folder) as complaints:
            try:
                done = subprocess.run(
                    command.arguments,
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=complaints,
                    text=True,
                    timeout=TIMEOUT_SECONDS,
                )
            except subprocess.TimeoutExpired as exc:
                raise NotMeasured(f"{command.label} took more than {TIMEOUT_SECONDS} s") from exc
            if done.returncode:
                complaints.seek(0)
                print(complaints.read()[-COMPLAINT_CHARACTERS:], file=sys.stderr)
                raise NotMeasured(f"{command.label} ended with status {done.returncode}")
            return done.stdout or ""


def _environment() -> dict[str, str]:
    """Return the environment of this process without what changes how Python starts, such as forbidding compiled modules."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _in_place(command: Command, made: str, scratch: Path) -> Command:
    """Return *command* with the paths of this run in its arguments and its environment."""

    def fill(word: str) -> str:
        return word.replace("{input}", made).replace("{scratch}", str(scratch))

    environment = {name: fill(value) for name, value in command.environment.items()}
    return replace(command, arguments=tuple(map(fill, command.arguments)), environment=environment)


SIZES = frozenset({"peak", "read", "requests"})


def best_cost(costs: list[Cost]) -> Cost:
    """Return the least of each time and the most of each size; None for a figure that not every run has."""
    columns = {field.name: [getattr(cost, field.name) for cost in costs] for field in fields(Cost)}
    chosen = {name: max if name in SIZES else min for name in columns}
    return Cost(**{name: None if None in column else chosen[name](column) for name, column in columns.items()})


def above(cost: Cost, bare: Cost) -> Cost:
    """Return *cost* with its peak counted from that of a bare interpreter."""
    assert cost.peak is not None
    assert bare.peak is not None
    return replace(cost, peak=max(0.0, cost.peak - bare.peak))
