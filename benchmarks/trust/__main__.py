"""`python -m benchmarks.trust [--most N] [--only TEXT]`: how often scanners are right, as a table, and in TRUST.md beside it.

Ours runs in this process, the others in environments of their own, all on the same files. An attack is told where the answer is
anything but clean: a finding (of ours, one above a note), a model that is not whole, something not looked at, an error. So does
an answer of ours count that no model was recognised, and how many of them there are stands below the table. An honest model is
called dangerous where the answer is high or critical. The exit status is 1 where ours lets an attack pass for clean, tells one
at another place than its maker, or calls an honest model dangerous; and where a promise beside the table is broken. Nothing is
written with `--most` or `--only`, or where a set was left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks.trust import beside
from benchmarks.trust.sets import SETS, Sample, SampleSet, first
from detectors.facts import Severity, State
from detectors.open import scan_path
from detectors.scan import Scan, worst_state

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).with_name("TRUST.md")
THEIRS = {
    "modelscan 0.8.8": ("modelscan", ROOT / ".venv-modelscan" / "bin" / "python"),
    "modelaudit 0.2.54": ("modelaudit", ROOT / ".venv-modelaudit" / "bin" / "python"),
}

DANGEROUS = ("critical", "high")
MOST_NAMED = 20
"""Mistakes of ours that are told one by one."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the scanners said of one set: a word for each sample, by scanner; None for one that could not be run. are_placed
    tells of each sample whether ours found what its maker wants; None where that says nothing of it."""

    of: SampleSet
    samples: Sequence[Sample]
    words: dict[str, list[str] | None]
    are_placed: Sequence[bool | None] = ()

    def count(self, scanner: str) -> int | None:
        """Return how many attacks *scanner* told, or how many honest models it called dangerous."""
        words = self.words[scanner]
        return None if words is None else sum(map(self._is_counted, words))

    def mistakes(self) -> list[str]:
        """Return the names of the samples of which ours said what it should not."""
        words = self.words[OURS] or []
        wrong = [one.name for one, word in zip(self.samples, words, strict=True) if self._is_counted(word) is self.of.is_honest]
        elsewhere = [one.name for one, is_placed in zip(self.samples, self.are_placed, strict=False) if is_placed is False]
        return wrong + [f"{name}, told elsewhere" for name in elsewhere if name not in wrong]

    def placed(self) -> str:
        """Return how many of ours were told by the rule and at the place that their makers want, of how many."""
        asked = [one for one in self.are_placed if one is not None]
        return f"{sum(asked):,} of {len(asked):,}" if asked else "–"

    def unrecognised(self) -> int:
        """Return in how many samples ours recognised no model."""
        return (self.words[OURS] or []).count(NOTHING)

    def _is_counted(self, word: str) -> bool:
        return word in DANGEROUS if self.of.is_honest else word != "none"


OURS = "modelport"

NOTHING = "nothing"
"""The word of ours for a place in which it recognised no model."""


def ours(sample: Sample) -> tuple[str, bool | None]:
    """Return the worst that ours says of *sample*, in the words of `theirs`; and whether it is told as its maker wants.

    `unsure` stands for what is not whole, or not looked at. A place that holds nothing recognisable is `nothing`: that is no
    answer about a model, and never taken for clean.
    """
    found = scan_path(sample.path)
    is_placed = None if sample.told is None else sample.told in {(one.rule, one.place) for one in found.findings}
    return worst_of(found), is_placed


def worst_of(found: Scan) -> str:
    """Return the worst that *found* says of a model; a note is nothing."""
    severities = {finding.severity for finding in found.findings} - {Severity.INFO}
    worst = next((one.value for one in Severity if one in severities), None)
    if worst is not None:
        return worst
    if not found.models:
        return NOTHING
    is_sure = worst_state(found) is State.COMPLETE and not found.coverage.inconclusive
    return "none" if is_sure else "unsure"


def theirs(name: str, python: Path, samples: Iterable[Sample]) -> list[str] | None:
    """Return what the scanner *name* says of each sample, None where it is not installed.

    Raises:
        RuntimeError: it ended before it had answered.
    """
    if not python.exists():
        return None
    paths = [str(sample.path) for sample in samples]
    script = Path(__file__).with_name("theirs.py")
    done = subprocess.run([python, script, name], input="\n".join(paths), capture_output=True, text=True, check=False)
    words = done.stdout.split()
    if len(words) != len(paths):
        raise RuntimeError(f"{name} answered {len(words)} of {len(paths)}: {done.stderr[-2000:]}")
    return words


def measure(of: SampleSet, folder: Path, most: int | None) -> Row:
    """Let every scanner look at one set."""
    folder.mkdir()
    samples = first(of.write(folder), most)
    answers = [ours(sample) for sample in samples]
    words: dict[str, list[str] | None] = {OURS: [word for word, _ in answers]}
    for called, (name, python) in THEIRS.items():
        words[called] = theirs(name, python, samples)
    return Row(of, samples, words, [is_placed for _, is_placed in answers])


def table(rows: Iterable[Row]) -> list[str]:
    """Return the lines of the table."""
    scanners = (OURS, *THEIRS)
    lines = [f"| set | models | {' | '.join(scanners)} | right | placed right |", f"|---|---{'|---' * len(scanners)}|---|---|"]
    for row in rows:
        counts = (row.count(scanner) for scanner in scanners)
        right = 0 if row.of.is_honest else len(row.samples)
        shown = ("not installed" if count is None else f"{count:,}" for count in counts)
        lines.append(f"| {row.of.what} | {len(row.samples):,} | {' | '.join(shown)} | {right:,} | {row.placed()} |")
    return lines


def apart(rows: Iterable[Row]) -> list[str]:
    """Return a paragraph for each set of attacks with such as ours recognised no model in, which the table counts as told."""
    counts = ((row.unrecognised(), len(row.samples), row.of.what) for row in rows)
    told = (f"In {count:,} of these {of:,}, {OURS} recognised no model: {what}." for count, of, what in counts if count)
    return [line for sentence in told for line in ("", sentence)]


def page(rows: Sequence[Row], promises: Sequence[beside.Shown]) -> str:
    """Return the page with the tables."""
    attacks, honest = ([row for row in rows if row.of.is_honest is wanted] for wanted in (False, True))
    lines = [f"# How often scanners are right, {date.today()}", "", "Written by `make trust`.", ""]
    lines += [
        "## Attacks that are told",
        "",
        "Anything but clean counts: a finding, a model that is not whole, not looked at, an error.",
        "Placed right: modelport has a finding by the rule and at the place that the maker of the attack says.",
    ]
    lines += [
        "",
        *table(attacks),
        *apart(attacks),
        "",
        "## Honest models that are called dangerous",
        "",
        "High or critical counts.",
    ]
    lines += ["", *table(honest), "", "## What else is promised"]
    return "\n".join([*lines, "", *beside.table(promises)]) + "\n"


def main(arguments: list[str]) -> int:
    """Measure, print and write; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust")
    parser.add_argument("--most", type=int)
    parser.add_argument("--only", default="")
    chosen = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="modelport-trust-"))
    rows = []
    try:
        for number, of in enumerate(one for one in SETS if chosen.only in one.what):
            print(f"… {of.what}{'' if of.is_there else f': left out, {of.needs} is not set'}", file=sys.stderr, flush=True)
            if not of.is_there:
                continue
            rows.append(measure(of, folder / str(number), chosen.most))
    finally:
        shutil.rmtree(folder)
    promises = [beside.look(promise) for promise in beside.PROMISES if chosen.only in promise.what]
    print(page(rows, promises))
    for row in rows:
        for name in row.mistakes()[:MOST_NAMED]:
            print(f"mistaken: {row.of.what}: {name}")
    if chosen.most is None and not chosen.only and len(rows) == len(SETS):
        PAGE.write_text(page(rows, promises), encoding="utf-8")
    return int(any(row.mistakes() for row in rows) or any(one.is_broken for one in promises))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
