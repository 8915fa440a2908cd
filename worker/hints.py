"""What inotify tells of one folder and everything below it: hints where to look, and whether it still tells them.

Events get lost: the kernel's queue overflows, folders cannot be watched once a limit is reached, and what other machines do is
never told. So nothing here says what is there; it only says where a look may be worth it. Whoever listens lists everything
from time to time all the same.

Source: inotify(7); watchdog 7.1 `observers/inotify.py` and `inotify_c.py`. There a folder that cannot be watched is passed
over in silence, and one that is watched already is warned of with the table of all watches in the warning's text.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import CallbackId, InotifyEvent, InotifyFD, Mask, WatchCallback, WatchDescriptor

MAX_HINTS = 10_000
"""Places that are kept until somebody takes them; with more, everything is worth a look."""

STOP_SECONDS = 5.0
"""How long the threads that listen may take to end."""

EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
]
"""What is listened to. Of a file that is written, its beginning and its end."""

LIMITS = {errno.ENOSPC: "fs.inotify.max_user_watches", errno.EMFILE: "fs.inotify.max_user_instances"}
"""The limits of the kernel that may be reached, by the errors that say so. Source: inotify(7), "ERRORS"."""


class Hints(FileSystemEventHandler):
    """Listens from now on to what happens in *folder* and below it; `close` ends it.

    Raises:
        OSError: the folder is not there, or a limit of inotify is reached (`limit_of` names it).
    """

    def __init__(self, folder: str) -> None:
        self._lock = threading.Lock()
        self._places: set[str] = set()
        self._is_anything = False
        self.exhausted: OSError | None = None
        """The error of a folder below that could not be watched because a limit was reached; None as long as all could."""
        self.failed: Exception | None = None
        """What ended the listening although the folder is there; None as long as nothing did."""
        _silence()
        self._inotify = _Inotify(self)
        self._inotify.start()
        self._observer = BaseObserver(InotifyEmitter, inotify_fd=self._inotify)
        try:
            self._observer.schedule(self, folder, recursive=True, event_filter=EVENTS)
            self._observer.start()
        except BaseException:
            self.close()
            raise

    def take(self) -> frozenset[str] | None:
        """Return where something happened since the last call, as paths; None where that may be anywhere."""
        with self._lock:
            places = None if self._is_anything else frozenset(self._places)
            self._places.clear()
            self._is_anything = False
        return places

    def is_alive(self) -> bool:
        """Tell whether more will be told; not so once the folder itself is gone."""
        emitters = self._observer.emitters
        return self.failed is None and bool(emitters) and all(emitter.is_alive() for emitter in emitters)

    def close(self) -> None:
        """Stop listening; harmless twice."""
        for thread in (self._observer, self._inotify) if hasattr(self, "_observer") else (self._inotify,):
            thread.stop()
            with suppress(RuntimeError):  # it was never started
                thread.join(STOP_SECONDS)

    def dispatch(self, event: FileSystemEvent) -> None:
        """Note where *event* happened."""
        with self._lock:
            self._places.update(os.fsdecode(path) for path in (event.src_path, event.dest_path) if path)
            if len(self._places) > MAX_HINTS:
                self._places.clear()
                self._is_anything = True

    def lose(self) -> None:
        """Note that events were lost."""
        with self._lock:
            self._is_anything = True


def limit_of(error: OSError) -> str | None:
    """Return the limit of inotify that *error* says is reached, None where it says something else."""
    return LIMITS.get(error.errno or 0)


class _Inotify(InotifyFD):
    """An inotify instance that says when it loses something."""

    def __init__(self, hints: Hints) -> None:
        super().__init__()
        self._hints = hints
        self._terse: dict[CallbackId, WatchCallback] = {}

    def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        terse = self._terse.setdefault(id_, _Terse(callback))
        try:
            return super().add_callback(path, mask, terse, id_)
        except OSError as exc:
            if limit_of(exc) is not None:
                self._hints.exhausted = exc
            raise

    def handle_event(self, event: InotifyEvent) -> None:
        if event.is_queue_overflow:
            self._hints.lose()
        try:
            super().handle_event(event)
        except Exception as exc:  # noqa: BLE001 - whatever went wrong in there: a new one is made, and a thread must not die of it
            self._hints.failed = exc


class _Terse:
    """A callback whose `repr` is short: watchdog writes it into each warning, with everything that hangs on it."""

    __slots__ = ("on_event", "on_queue_overflow", "on_watch_deleted")

    def __init__(self, callback: WatchCallback) -> None:
        self.on_event: Callable[[InotifyEvent], None] = callback.on_event
        self.on_watch_deleted: Callable[[WatchDescriptor], None] = callback.on_watch_deleted
        self.on_queue_overflow: Callable[[], None] = callback.on_queue_overflow


def _silence() -> None:
    """Let watchdog neither warn nor log: its warnings come for each folder in a folder, and what is lost is told here."""
    warnings.filterwarnings("ignore", r"Callback with id '\d+' (already exists|does not exist)", RuntimeWarning)
    logging.getLogger("watchdog").setLevel(logging.CRITICAL + 1)
