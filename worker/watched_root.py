"""One watched root: listed from time to time and where a hint says so, its runs reported once they are done.

A full listing is the truth; what inotify tells is a hint where to look sooner. So whatever it loses costs seconds and no run.
Where it cannot tell anything (network and other file systems that do not announce what others do), or a limit of the kernel is
reached, listings come more often and are all there is. Nothing is kept: what is there is found at the start and reported
again, and whoever takes the reports knows what it knows.

Laws (each has a test of the same name):
    what is there when a listing is made is reported, whatever was told of it;
    looking takes a fifth of one processor at most.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from detectors.errors import TreeError
from detectors.local_tree import LocalTree
from worker.errors import RegistryUnavailable, WorkerError
from worker.filesystems import announces_changes, filesystem_of
from worker.hints import Hints, limit_of
from worker.records import CompletionEvent, Ingestion, Look
from worker.watch_due import Rule, Seen, event_of, is_due, listing_of, reported, see
from worker.watch_roots import Root, Run

LOOK_SECONDS = 1.0
"""How often hints are looked at, and folders whose time has come."""

LIST_SECONDS = 20.0
LIST_SECONDS_WITHOUT_HINTS = 10.0
"""How often everything is listed where no setting says so."""

REST_PER_WORK = 4.0
"""How long it rests after a look, as a multiple of the processor's time that the look took: a huge tree is listed less often.
By the clock on the wall, a process that was stopped in the middle of a look would rest for four times as long again."""

log = structlog.get_logger("modelport.watcher")

Submit = Callable[[CompletionEvent], tuple[Ingestion, bool]]
"""Accepts an event, commits it, and tells whether it was known before.

Raises:
    RegistryUnavailable: it was not accepted, and may be later.
    WorkerError: it cannot be accepted as it is.
"""


@dataclass(frozen=True, slots=True)
class Watch:
    """A root with its rule. own are folders of ours, without links: nothing that holds one or
    lies in one is a run. list_seconds None means the default."""

    root: Root
    rule: Rule
    team: str
    list_seconds: float | None = None
    own: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outside:
    """What a watched root touches besides its files: who takes reports, clocks, and what tells of file systems and changes.

    now counts seconds, worked those of the processor in this thread; file_time is the time that files change by.
    """

    submit: Submit
    now: Callable[[], float] = time.monotonic
    worked: Callable[[], float] = time.thread_time
    file_time: Callable[[], float] = time.time
    filesystem: Callable[[Path], str | None] = filesystem_of
    listen: Callable[[str], Hints] = Hints


class WatchedRoot:
    """What is known of one root is `seen`, by folder; all of it can be found out again. For one thread at a time."""

    def __init__(self, watch: Watch, outside: Outside) -> None:
        self.seen: dict[str, Seen] = {}
        self.rest_seconds = LOOK_SECONDS
        """How long to rest before the next look."""
        self._watch = watch
        self._outside = outside
        self._ear = Ear(watch.root.folder, outside)
        self._next_listing = 0.0
        self._complaints: dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Look and report until *stop* is set; nothing that goes wrong ends this."""
        while not stop.is_set():
            try:
                self.look(stop)
            except Exception:
                log.exception("unforeseen", root=repr(self._watch.root.folder))
            stop.wait(self.rest_seconds)
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._ear.close()

    def look(self, stop: threading.Event) -> None:
        """Look at everything where it is time to, otherwise where something happened or is due; then report what is due."""
        hints, now, worked = self._ear.take(), self._outside.now(), self._outside.worked()
        runs = None if hints is None or now >= self._next_listing else self._worth_a_look(hints, now)
        listed = self._see(self._every_run() if runs is None else runs)
        self.rest_seconds = max(LOOK_SECONDS, REST_PER_WORK * (self._outside.worked() - worked))
        if runs is None:
            self._next_listing = self._outside.now() + max(self._list_seconds(), self.rest_seconds)
        self._report(listed, stop)

    def _list_seconds(self) -> float:
        if self._watch.list_seconds is not None:
            return self._watch.list_seconds
        return LIST_SECONDS if self._ear.hears else LIST_SECONDS_WITHOUT_HINTS

    def _every_run(self) -> list[Run]:
        """Return every run of the root, and forget what is none any more: should it come back, it is looked at anew."""
        runs = list(self._runs_below([]))
        there = {run.folder for run in runs}
        self.seen = {folder: seen for folder, seen in self.seen.items() if folder in there}
        return runs

    def _runs_below(self, names: list[str]) -> Iterator[Run]:
        """Yield the runs in the folder that *names* lead to, by name. Links are not followed."""
        root = self._watch.root
        run = root.run_at(names)
        if run is not None:
            yield from () if self._holds_ours(run.folder) else (run,)
            return
        for name in self._folders_in(os.path.join(root.folder, *names)):
            if root.leads_on([*names, name]):
                yield from self._runs_below([*names, name])

    def _folders_in(self, folder: str) -> list[str]:
        """Return the names of the folders in *folder*; none where it cannot be listed, which is complained of."""
        try:
            with os.scandir(folder) as entries:
                found = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []
        except OSError as exc:
            self._complain(folder, exc.strerror or str(exc))
            return []
        self._complaints.pop(folder, None)
        return found

    def _worth_a_look(self, hints: Iterable[str], now: float) -> list[Run] | None:
        """Return the runs that *hints* lie in or that are due; None where something happened above them: any may be new."""
        root = self._watch.root
        due = (folder for folder, seen in self.seen.items() if is_due(seen, now))
        found: dict[str, Run] = {}
        for place in (*hints, *due):
            names = root.names_below(place)
            if names is None:
                continue
            run = root.run_at(names[: len(root.steps)])
            if run is not None:
                found[run.folder] = run
            elif root.leads_on(names):
                return None
        return [run for _, run in sorted(found.items()) if _is_folder(run.folder) and not self._holds_ours(run.folder)]

    def _holds_ours(self, folder: str) -> bool:
        """Tell whether *folder* holds files of ours or lies in a folder of ours: what we write is no run, and never rests."""
        real = os.path.realpath(folder) + "/"
        return any(real.startswith(own + "/") or (own + "/").startswith(real) for own in self._watch.own)

    def _see(self, runs: Iterable[Run]) -> list[Run]:
        """List *runs*, note what is known of them now, and return those that could be listed; the others stay as they were."""
        listed = []
        for run in runs:
            try:
                with LocalTree(run.folder) as tree:
                    look = Look(self._outside.file_time(), tuple(tree.files()), tree.passed_over)
            except TreeError as exc:
                if os.path.lexists(run.folder):
                    self._complain(run.folder, str(exc))
                continue
            self._complaints.pop(run.folder, None)
            self._note(run, look)
            listed.append(run)
        return listed

    def _note(self, run: Run, look: Look) -> None:
        rule, listing = self._watch.rule, listing_of(look, self._watch.rule)
        if listing is None:
            self.seen.pop(run.folder, None)
        else:
            self.seen[run.folder] = see(self.seen.get(run.folder), listing, rule, self._outside.now(), look.at)

    def _report(self, listed: Iterable[Run], stop: threading.Event) -> None:
        """Report what is due of the runs that were *listed* just now. What is not accepted for the moment stays due."""
        new = known = 0
        now = self._outside.now()
        for run in listed:
            seen = self.seen.get(run.folder)
            if seen is None or not is_due(seen, now):
                continue
            if stop.is_set():
                break
            try:
                is_new = self._submit(run, seen)
            except RegistryUnavailable as exc:
                self._complain("the registry", str(exc))
                break
            self.seen[run.folder] = reported(seen)
            new, known = new + is_new, known + (not is_new)
        if new or known:
            log.info("reported", root=str(self._watch.root.folder), new=new, known=known)

    def _submit(self, run: Run, seen: Seen) -> bool:
        """Report *run* as it was *seen*; tell whether that was new. What can never be accepted is complained of."""
        try:
            ingestion, known = self._outside.submit(event_of(run, seen, self._watch.team))
        except RegistryUnavailable:
            raise
        except WorkerError as exc:
            self._complain(run.folder, str(exc))
            return False
        self._complaints.pop("the registry", None)
        if not known:
            log.info("found", run=str(run.folder), experiment=run.experiment, ingestion=ingestion.id)
        return not known

    def _complain(self, place: str, why: str) -> None:
        """Say once what is wrong with *place*, until it is something else or was well again."""
        if self._complaints.get(place) != why:
            self._complaints[place] = why
            log.error("cannot watch", what=str(place), why=why)


UNKNOWN = (-1, -1)
"""The identity of no folder: whatever is at the path is another one."""


class Ear:
    """Listens to a folder where that helps, and says what it does; begins anew whenever there is another folder at the path."""

    def __init__(self, folder: str, outside: Outside) -> None:
        self._folder = folder
        self._outside = outside
        self._hints: Hints | None = None
        self._there: tuple[int, int] | None = UNKNOWN

    @property
    def hears(self) -> bool:
        """Tell whether hints are given at present."""
        return self._hints is not None

    def take(self) -> frozenset[str] | None:
        """Return the hints since the last call, as paths; None where anything may have happened."""
        there = _identity(self._folder)
        if there != self._there:
            self._begin(there)
            return None
        if self._hints is None:
            return frozenset()
        if self._hints.exhausted is not None:
            self._poll(_words(self._hints.exhausted), log.warning)
            return None
        if not self._hints.is_alive():
            self._begin_anew(self._hints.failed)
            return None
        hints = self._hints.take()
        if hints is None:
            log.warning("events were lost", root=str(self._folder), so="everything is listed")
        return hints

    def close(self) -> None:
        """Stop listening; harmless twice."""
        hints, self._hints = self._hints, None
        if hints is not None:
            hints.close()

    def _begin_anew(self, failed: Exception | None) -> None:
        """Listen anew at the next look: the folder is gone, or what listened has *failed*."""
        self._there = UNKNOWN
        if failed is not None:
            log.warning("events were lost", root=str(self._folder), why=failed, so="everything is listed")

    def _begin(self, there: tuple[int, int] | None) -> None:
        """Choose how to learn of changes in the folder that is at the path now, None for no folder."""
        self.close()
        self._there = there
        kind = self._outside.filesystem(Path(self._folder))
        if there is None:
            log.warning("nothing to watch", root=str(self._folder), why="there is no folder; it is looked for")
        elif not announces_changes(kind):
            self._poll(f"{kind or 'an unknown file system'} does not announce every change", log.info)
        else:
            self._listen(kind)

    def _listen(self, kind: str | None) -> None:
        try:
            self._hints = self._outside.listen(self._folder)
        except (FileNotFoundError, NotADirectoryError):
            self._there = UNKNOWN
        except OSError as exc:
            self._poll(_words(exc), log.warning)
        else:
            log.info("watching", root=str(self._folder), by="inotify", why=f"{kind} announces every change")

    def _poll(self, why: str, say: Callable[..., object]) -> None:
        self.close()
        say("watching", root=repr(self._folder), by="polling", why=why)


def _words(error: OSError) -> str:
    limit = limit_of(error)
    return f"inotify: {error.strerror}" + (f"; raise {limit}" if limit else "")


def _identity(folder: str) -> tuple[int, int] | None:
    """Return what tells *folder* from another at the same path, None where there is no folder."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _is_folder(path: str) -> bool:
    """Tell whether there is a folder at *path*, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
