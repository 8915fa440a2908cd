"""What is compared with what, and what is wanted of it: the words of all benchmarks.

A `Case` runs two commands on one input. Each of its goals looks at one figure of both and becomes one `Row` of the table.
How they are run is left to `runner`, how a row is written to `table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a command cost; None where it was not measured.

    cpu (user and system) and wall are in seconds, of the whole process with its start and its imports; peak is the most
    memory that it had resident, in bytes. The work is what a probe did after its imports, measured inside; read is how many
    bytes that work took from files, as the system counts them, or from object storage; requests how often it asked there.
    """

    cpu: float | None = None
    wall: float | None = None
    peak: float | None = None
    work_cpu: float | None = None
    work_wall: float | None = None
    read: float | None = None
    requests: float | None = None


class Figure(StrEnum):
    """The part of a cost that a goal is about; the value is the name of the field."""

    CPU = "cpu"
    """Processor time of the whole process."""
    WALL = "wall"
    """Time on the clock for the whole process."""
    PEAK = "peak"
    """Memory above a bare interpreter, imports included."""
    WORK_CPU = "work_cpu"
    """Processor time without starting and importing."""
    WORK_WALL = "work_wall"
    """Time on the clock without starting and importing."""
    READ = "read"
    """Bytes taken from files or object storage, without those of starting and importing."""
    REQUESTS = "requests"
    """Requests to object storage."""

    def of(self, cost: Cost) -> float | None:
        """Return this figure of *cost*."""
        value: float | None = getattr(cost, self.value)
        return value


@dataclass(frozen=True, slots=True)
class TimesLess:
    """Wanted: ours costs so many times less than theirs, or even less."""

    times: float


@dataclass(frozen=True, slots=True)
class Within:
    """Wanted: ours costs at most so many times what theirs does."""

    times: float


@dataclass(frozen=True, slots=True)
class AtMost:
    """Wanted: ours stays at or below a number of seconds, bytes or requests, whatever others need."""

    amount: float


Wanted = TimesLess | Within | AtMost | None
"""None: the figure is shown for information."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure of a case, and the bound it is held to."""

    figure: Figure
    wanted: Wanted = None


@dataclass(frozen=True, slots=True)
class Input:
    """A model, log or tree that `inputs` makes: what *kind*, and how large (in bytes, for a tree in files)."""

    kind: str
    size: int

    @property
    def name(self) -> str:
        """Return the name of its file or folder."""
        return f"{self.kind}-{self.size}" + (".onnx" if self.kind == "onnx" else "")


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its arguments; `{input}` and `{scratch}` in them stand for paths.

    label names it in the table. A probe prints what its work cost. needs is a program that must be there, None where it
    comes with the system. Each run has a fresh empty scratch folder.
    """

    label: str
    arguments: tuple[str, ...]
    is_probe: bool = False
    needs: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: *theirs* is None where nothing is set beside, *other* the input of their side where it is another."""

    name: str
    what: str
    input: Input
    ours: Command
    theirs: Command | None
    goals: tuple[Goal, ...]
    other: Input | None = None
    repeats: int = 5

    def inputs(self) -> Iterator[Input]:
        """Yield all inputs."""
        yield self.input
        if self.other is not None:
            yield self.other


@dataclass(frozen=True, slots=True)
class Row:
    """One goal with the best of both sides. *theirs* is None where nothing is set beside; *problem* says why *ours* is."""

    what: str
    goal: Goal
    beside: str
    ours: Cost | None
    theirs: Cost | None
    problem: str = ""

    @property
    def ratio(self) -> float | None:
        """Return theirs through ours, so that more is better; None where one is missing."""
        ours, theirs = (None if cost is None else self.goal.figure.of(cost) for cost in (self.ours, self.theirs))
        return None if not ours or theirs is None else theirs / ours

    @property
    def is_met(self) -> bool | None:
        """Return whether the goal is met, None where nothing is wanted or nothing was measured."""
        ours = None if self.ours is None else self.goal.figure.of(self.ours)
        match self.goal.wanted:
            case AtMost(amount):
                return None if ours is None else ours <= amount
            case TimesLess(times):
                return None if self.ratio is None else self.ratio >= times
            case Within(times):
                return None if self.ratio is None else self.ratio * times >= 1
        return None
