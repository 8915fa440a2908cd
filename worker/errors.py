"""What can go wrong outside the detectors, and what each means for the ingestion.

    WorkerError
    ├── RejectedEvent          reject: the event itself is wrong
    ├── RejectedLocation       reject: the model path is outside what is allowed, or is nothing we can read
    ├── NotSettled             wait: files are still being written
    ├── StorageUnavailable     try again: the store did not take or give the bytes
    ├── RegistryUnavailable    try again: the database did not answer
    ├── UnsafeHome             stop the start: the embedded database would not be safe there
    ├── BadSetting             stop the start: a setting has a wrong value
    └── NotFound               tell the user: no such model, version or ingestion

`worker.verdict` holds the table from exception to decision, and a test proves it complete.
"""

from __future__ import annotations

from worker.records import Look


class WorkerError(Exception):
    """Base of everything that the service raises on purpose. The message is a sentence for a user."""


class RejectedEvent(WorkerError):
    """The event is not one we can work on."""


class RejectedLocation(WorkerError):
    """The model path cannot be resolved to a place that we may read."""


class NotSettled(WorkerError):
    """The files below the path are still changing; look again after *seconds* and compare with *since*."""

    def __init__(self, seconds: float, reason: str, since: Look) -> None:
        super().__init__(reason)
        self.seconds = seconds
        self.since = since


class StorageUnavailable(WorkerError):
    """The store did not take or give the bytes; the same step may work later."""


class RegistryUnavailable(WorkerError):
    """The database did not answer; the same step may work later."""


class UnsafeHome(WorkerError):
    """The home folder lies on a file system where SQLite's write-ahead log is not safe."""


class BadSetting(WorkerError):
    """A setting has a value that cannot be used; the message names the key, the value and what was wanted."""


class NotFound(WorkerError):
    """There is no such model, version or ingestion in this team."""
