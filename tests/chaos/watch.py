"""A watcher that stands still while files appear, and one that the kernel gives too few watches: as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.row import Row
from tests.servers.process import until
from worker.bootstrap import Embedded, embedded
from worker.records import IngestionQuery

ROOT = Path(__file__).parents[2]
FILES, RUNS = 30_000, 3_000
STILL_SECONDS = 3.0
LIMIT_SECONDS = 60.0
FEW_WATCHES = 5

MAX_QUEUED = Path("/proc/sys/fs/inotify/max_queued_events")
"""How many events wait before the kernel drops them; each file that appears is two."""

WITH_FEW_WATCHES = ("unshare", "--user", "--map-root-user", "sh", "-c")
"""A user namespace has a limit of its own, which nobody else feels. Source: namespaces(7), /proc/sys/user."""


@dataclass
class Watching:
    """A watcher as a process, the folder that it watches, and a service to look through."""

    folder: Path
    service: Embedded
    process: subprocess.Popen[bytes]
    runs: list[Path] = field(default_factory=list)

    @property
    def log(self) -> str:
        return (self.folder / "watch.log").read_text(errors="replace")

    def make_runs(self, count: int) -> None:
        """Make empty folders, into which files come later."""
        for number in range(len(self.runs), len(self.runs) + count):
            self.runs.append(self.folder / "runs" / f"r{number:05}")
            self.runs[-1].mkdir(parents=True)

    def fill_runs(self, files: int) -> None:
        """Let *files* files appear, spread over the runs."""
        for number in range(files):
            (self.runs[number % len(self.runs)] / f"{number:05}.bin").write_bytes(b"x")

    def reports(self) -> list[str]:
        """Return the path of every report, each as often as it was reported."""
        found = self.service.registry.ingestions(IngestionQuery(team="default", limit=100_000))
        return [one.event.model_path for one in found]

    def has_reported(self, count: int, seconds: float) -> bool:
        """Tell whether there are *count* reports within *seconds*; it is asked rarely, so that the watcher has the machine."""
        end = time.monotonic() + seconds
        while (found := sum(self.service.registry.queue(self.service.clock.now()).states.values())) < count:
            if time.monotonic() > end:
                return False
            time.sleep(0.25)
        return found == count

    def watches(self) -> int:
        """Return how many watches the process has. Source: proc(5), /proc/PID/fdinfo."""
        count = 0
        for info in Path(f"/proc/{self.process.pid}/fdinfo").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                count += info.read_text().count("inotify wd:")
        return count

    def told(self) -> str:
        """Return what the watcher said, but for the lines that name what it found."""
        return "\n".join(line for line in self.log.splitlines() if "] found " not in line)


@dataclass(frozen=True)
class Missed:
    """What became of runs whose files appeared while the watcher stood still. seconds: from when it went on, to the last one.

    told is what the watcher said about itself.
    """

    files: int
    runs: int
    missed: int
    twice: int
    seconds: float
    told: str


@contextmanager
def watching(folder: Path, quiet_seconds: float, before: Sequence[str] = ()) -> Iterator[Watching]:
    """Give a running watcher of `folder/runs`, started by the command *before*; it is gone afterwards."""
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    watch = [{"path": str(folder / "runs"), "trigger": "quiet", "quiet_seconds": quiet_seconds}]
    environment = {"PATH": os.environ["PATH"], "MODELPORT_HOME": str(folder / "home"), "MODELPORT_WATCH": json.dumps(watch)}
    command = [*before, sys.executable, "-c", "from worker.cli import main; main()", "watch"]
    with embedded(environment, folder, role="chaos") as service, (folder / "watch.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        started = Watching(folder, service, process)
        try:
            if not until(lambda: "watching" in started.log, 30):
                raise AssertionError(f"it does not watch after 30 s\n{started.log}")
            yield started
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(30)


def stand_still(folder: Path, files: int, runs: int) -> Missed:
    """Stop a watcher for `STILL_SECONDS` while *files* files appear in *runs* folders, and return what it missed."""
    with watching(folder, quiet_seconds=1) as watcher:
        watcher.make_runs(runs)
        if not until(lambda: watcher.watches() > runs, 60):
            raise AssertionError(f"{watcher.watches()} watches on {runs} folders\n{watcher.log}")
        watcher.process.send_signal(signal.SIGSTOP)
        goes_on = time.monotonic() + STILL_SECONDS
        watcher.fill_runs(files)
        time.sleep(max(0.0, goes_on - time.monotonic()))
        watcher.process.send_signal(signal.SIGCONT)
        began = time.monotonic()
        watcher.has_reported(runs, LIMIT_SECONDS)
        seconds, reports = time.monotonic() - began, watcher.reports()
        missed = {str(run) for run in watcher.runs} - set(reports)
        if 2 * files > int(MAX_QUEUED.read_text()):  # it is noticed at the next look, a rest after the last
            until(lambda: "events were lost" in watcher.log, LIMIT_SECONDS)
        return Missed(files, runs, len(missed), len(reports) - len(set(reports)), seconds, watcher.told())


def run_out_of_watches(folder: Path, runs: int) -> tuple[int, str]:
    """Let *runs* runs appear before a watcher that gets `FEW_WATCHES` watches; return how many it missed, and its log."""
    limited = f'echo {FEW_WATCHES} > /proc/sys/user/max_inotify_watches && exec "$@"'
    with watching(folder, 0, before=[*WITH_FEW_WATCHES, limited, "sh"]) as watcher:
        watcher.make_runs(runs)
        watcher.fill_runs(runs)
        watcher.has_reported(runs, LIMIT_SECONDS)
        return runs - len(set(watcher.reports())), watcher.log


def watch_all(folder: Path, files: int, runs: int) -> Row:
    """Return what a watcher missed that stood still, and one that ran out of watches, of *runs* runs each."""
    found = stand_still(folder / "still", files, runs)
    missed, log = run_out_of_watches(folder / "few", runs)
    fault = f"{files:,} files in {runs:,} runs while the watcher stands still; {FEW_WATCHES} inotify watches for {runs:,} runs"
    wanted = f"0 missed, 0 twice, all reported within {LIMIT_SECONDS:.0f} s; it polls where watches run out"
    seen = f"{found.missed} missed, {found.twice} twice, the last after {found.seconds:.1f} s; {missed} missed without watches"
    whole = not (found.missed or found.twice or missed) and "by='polling'" in log
    return Row(fault, wanted, seen, whole, found.seconds <= LIMIT_SECONDS)
