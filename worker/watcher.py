"""The door of folders: reports the runs below the watched paths once they are done, as completions, through the queue.

In go the settings; out go rows in the registry that a worker takes, and a bell for it. Each root has a thread of its own, so
that one that hangs holds up no other.

Law (with a test of the same name):
    the same content is reported once by any number of watchers and starts.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from worker.bootstrap import Embedded
from worker.doorbell import Ringer
from worker.errors import BadSetting, RegistryUnavailable
from worker.settings import Settings, WatchSetting
from worker.settle import MARKERS
from worker.submission import submit
from worker.watch_due import Rule, WatchTrigger
from worker.watch_roots import root_of
from worker.watched_root import Outside, Watch, WatchedRoot

STOP_SECONDS = 10.0
"""How long all threads together may take to end; one that hangs on a file system is left behind."""

NO_WORKER_SECONDS = 20.0
"""How long after the start a worker must be there; one that was started together with the watcher is by then."""

EXAMPLE = '[{"path": "/storage/models/{experiment_id}", "trigger": "quiet", "quiet_seconds": 900}]'

log = structlog.get_logger("modelport.watcher")


def run_watcher(watches: Sequence[Watch], service: Embedded, ring: Callable[[], None]) -> None:
    """Watch until this process is told to stop. *ring* may wait for a broker; no report waits for it."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before the first thread, so that only `sigwait` below hears them
    stop, ringer = threading.Event(), Ringer(ring)
    outside = Outside(lambda event: submit(event, service.registry, service.clock.now(), ringer))
    threads = [_started(WatchedRoot(watch, outside), watch.root.folder, stop) for watch in watches]
    look_for_workers = threading.Timer(NO_WORKER_SECONDS, _look_for_workers, [service.living_workers])
    look_for_workers.daemon = True
    look_for_workers.start()
    # Not `sigtimedwait`: where a process is stopped until the time is over, CPython 3.11 returns a signal that never came.
    number = signal.sigwait(signals)
    stop.set()
    end = time.monotonic() + STOP_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    look_for_workers.cancel()
    ringer.close()
    log.info("stopped", by=signal.Signals(number).name)


def _look_for_workers(living_workers: Callable[[], int]) -> None:
    """Say so where nobody works off the queue."""
    with suppress(RegistryUnavailable):
        if not living_workers():
            log.warning("no worker lives", so="what is found waits until `modelport worker` is started")


def watches_of(settings: Settings, team: str) -> tuple[Watch, ...]:
    """Return what the settings want watched.

    Raises:
        BadSetting: nothing, or what cannot be watched.
    """
    if not settings.watch:
        raise BadSetting(f"MODELPORT_WATCH: expected folders to watch, such as {EXAMPLE}, found none")
    mounts = settings.places().mounts
    folders = (settings.home, settings.database_folder, settings.store_folder)
    own = tuple(os.path.realpath(folder) for folder in folders if folder is not None)
    return tuple(
        Watch(root_of(one.path, team, one.project, mounts), _rule(one), team, one.list_seconds, own) for one in settings.watch
    )


def _rule(setting: WatchSetting) -> Rule:
    markers = frozenset({setting.marker}) if setting.marker else MARKERS
    return Rule(WatchTrigger(setting.trigger), setting.quiet_seconds, setting.depth, markers)


def _started(root: WatchedRoot, folder: str, stop: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=root.run, args=(stop,), name=f"watch {folder}", daemon=True)
    thread.start()
    return thread
