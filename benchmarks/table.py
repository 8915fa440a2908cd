"""Writes rows as a Markdown table, and the page around it. No host names and no paths: only what a reader can compare."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.case import AtMost, Cost, Figure, Goal, Row, TimesLess, Within

MB = 10**6

PACKAGES = ("tensorflow-cpu", "onnx", "tensorboard", "protobuf", "numpy")

HEAD = (
    "| what | figure | ours: CPU s / wall s / peak MB | theirs: CPU s / wall s / peak MB | beside | ratio | wanted | met |",
    "|---|---|---|---|---|---|---|---|",
)

FIGURES = {
    Figure.CPU: "CPU, whole process",
    Figure.WALL: "wall, whole process",
    Figure.PEAK: "peak memory",
    Figure.WORK_CPU: "CPU without imports",
    Figure.WORK_WALL: "wall without imports",
    Figure.READ: "bytes read",
    Figure.REQUESTS: "requests",
}

EXPLANATION = """\
Written by `make bench`.
Each time is that of the fastest of several runs in fresh processes, ours and theirs in turn: others on the host only add to it.
Peak memory and bytes read are the most of all runs.
One run of each goes before and is not counted, so the files are in memory for both.
CPU is user and system time.
"Without imports" counts what is done after the modules are there; "whole process" counts everything from start to exit.
Peak is the most resident memory above that of a bare interpreter, imports included.
Rows "from accepted to registered" are seconds on the clock for one of a thousand jobs, worked off in one run.
Rows about lists are of a registry in a PostgreSQL of this machine, asked over HTTP by one who waits for each answer: the time
that half of the requests stay below, and the one that 99 of 100 do; each request asks for another size, project or word.
Rows about S3 are measured on a Ceph of this machine with its objects in memory; a scan goes through a proxy that holds each
request back for 20 ms, once, and their side of it asks for all bytes.
Ratios are theirs through ours, so more is better, except where a bound says how many times theirs ours may take.
1 MB is 10^6 bytes.
"""


def page(rows: list[Row], today: date, machine: str) -> str:
    """Return the whole page."""
    judged = [row.is_met for row in rows if row.goal.wanted is not None]
    summary = f"{judged.count(True)} goals met, {judged.count(False)} missed, {judged.count(None)} not measured."
    return "\n".join([f"# Benchmarks, {today.isoformat()}", "", EXPLANATION, machine, "", summary, "", *table(rows), ""])


def table(rows: Iterable[Row]) -> list[str]:
    """Return the lines of the table."""
    return [*HEAD, *map(_line, rows)]


def machine(modelscan: Path) -> str:
    """Return one line about this machine and the versions of the tools; *modelscan* is its program, where it is installed."""
    tools = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    tools += f", modelscan {_version_beside(modelscan)}" if modelscan.exists() else ""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}, {tools}."


def _version_beside(program: Path) -> str:
    """Return the version of the package that *program* belongs to, which lives in another environment."""
    script = f"from importlib.metadata import version; print(version({program.name!r}))"
    command = [str(program.with_name("python")), "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _line(row: Row) -> str:
    figure = FIGURES[row.goal.figure]
    cells = (row.what, figure, _cost(row, row.ours), _cost(row, row.theirs), row.beside or "–", *_judgement(row))
    return f"| {' | '.join(cells)} |"


def _judgement(row: Row) -> tuple[str, str, str]:
    if row.problem:
        return "–", _wanted(row.goal), f"not measured: {row.problem.replace('|', '/')}"
    met = {True: "yes", False: "**no**", None: "–"}[row.is_met]
    return _ratio(row), _wanted(row.goal), met


def _cost(row: Row, cost: Cost | None) -> str:
    """Return the three figures in the scope of the goal: of the work alone, or of the whole process."""
    if cost is None:
        return "–"
    is_work = row.goal.figure in (Figure.WORK_CPU, Figure.WORK_WALL, Figure.READ, Figure.REQUESTS)
    cpu, wall = (cost.work_cpu, cost.work_wall) if is_work else (cost.cpu, cost.wall)
    cell = f"{_number(cpu)} / {_number(wall)} / {_megabytes(cost.peak)}"
    return cell + _count(row.goal.figure, cost)


def _count(figure: Figure, cost: Cost) -> str:
    """Return what was counted, where *figure* is about that."""
    if figure is Figure.READ:
        return f"; {_megabytes(cost.read, 3)} MB read"
    return f"; {cost.requests:g} requests" if figure is Figure.REQUESTS else ""


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return "–"
    if isinstance(row.goal.wanted, Within):
        return f"{1 / row.ratio:.2f} of theirs"
    return f"{row.ratio:.3g} times less" if row.ratio >= 1 else f"{1 / row.ratio:.3g} times more"


def _wanted(goal: Goal) -> str:
    match goal.wanted:
        case TimesLess(times):
            return f"at least {times:g} times less"
        case Within(times):
            return f"at most {times:g} of theirs"
        case AtMost(amount) if goal.figure in (Figure.PEAK, Figure.READ):
            return f"at most {amount / MB:g} MB"
        case AtMost(amount):
            return f"at most {amount:g} {'requests' if goal.figure is Figure.REQUESTS else 's'}"
    return "–"


def _number(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.4f}" if seconds < 0.1 else f"{seconds:.2f}"


def _megabytes(count: float | None, places: int = 1) -> str:
    return "–" if count is None else f"{count / MB:.{places}f}"
