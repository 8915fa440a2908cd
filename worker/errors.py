"""What can go wrong outside the detectors, and what each means for the ingestion.

    WorkerError
    ├── RejectedEvent          reject: the event itself is wrong
    │   ├── ConflictingEvent   tell the sender: the same source and id said something else before
    │   ├── NameTaken          tell the user: what they want to call so is another's name
    │   └── RejectedUpload     tell the sender: what they sent is not taken
    ├── RejectedLocation       reject: the model path is outside what is allowed, or is nothing we can read
    │   └── NothingThere       look a second time, then reject
    ├── NotSettled             wait: files are still being written
    ├── LeaseLost              stop: another owns the ingestion now; change nothing
    ├── StorageUnavailable     try again: the store did not take or give the bytes
    │   └── NothingStored      the same; the store answered, and has not what is asked for
    ├── ServerUnavailable      keep it and send it again: no server answered
    ├── NotTaken               give up the delivery and show why: a destination refused it for good
    ├── InspectorLost          try again, but not for ever: the child that read the files died, hung or talked nonsense
    ├── StorageHangs           try again, but not for ever: nothing that was asked for came back
    ├── RegistryUnavailable    try again: the database did not answer
    ├── MigrationNeeded        stop the start: the database lacks tables of this code, and others may be at work on it
    ├── UnsafeHome             stop the start: the embedded database would not be safe there
    ├── BadSetting             stop the start: a setting has a wrong value
    ├── WrongState             tell the user: it is there, and as it stands what they want cannot be done
    │   └── Quarantined        tell the user: it is not to be served until a person releases it
    └── NotFound               tell the user: no such model, version or ingestion

`worker.verdict` holds the table from exception to decision, and a test proves it complete.
"""

from __future__ import annotations

from worker.records import Rest


class WorkerError(Exception):
    """Base of everything that the service raises on purpose. The message is a sentence for a user."""


class RejectedEvent(WorkerError):
    """The event is not one we can work on."""


class ConflictingEvent(RejectedEvent):
    """An event with this source and id was accepted before and said something else."""


class NameTaken(RejectedEvent):
    """A model or a project is to be called as another one of its kind is, or as a project was."""


class RejectedUpload(RejectedEvent):
    """The bytes that somebody sent are none that we take; nothing of them is kept."""


class RejectedLocation(WorkerError):
    """The model path cannot be resolved to a place that we may read."""


class NothingThere(RejectedLocation):
    """There is nothing at the model path; it may still come."""


class NotSettled(WorkerError):
    """The files below the path still change, or parts are missing: look again after *seconds* and compare with *since*.

    code is the reason with which it ends where that goes on for too long.
    """

    def __init__(self, seconds: float, reason: str, since: Rest | None, code: str = "kept-changing") -> None:
        super().__init__(reason)
        self.seconds = seconds
        self.since = since
        self.code = code


class LeaseLost(WorkerError):
    """Whoever worked on an ingestion does not own it any more; what they did does not count."""


class StorageUnavailable(WorkerError):
    """The store did not take or give the bytes; the same step may work later."""


class NothingStored(StorageUnavailable):
    """The store holds no files of this version, and said so."""


class ServerUnavailable(WorkerError):
    """The server that a completion goes to did not answer; the same request may be answered later, and not before
    *after_seconds* where it said so.
    """

    def __init__(self, reason: str, after_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.after_seconds = after_seconds


class NotTaken(WorkerError):
    """A destination refused what it was told, and would do so again; a person may have it tried again."""


class InspectorLost(WorkerError):
    """The child that read the files is lost; other files may do better.

    cause is `memory` or `time` where it reached a limit, which the same files do again, and `crashed` for everything else.
    """

    def __init__(self, cause: str, reason: str) -> None:
        super().__init__(f"the inspection was lost ({cause}): {reason}")
        self.cause = cause


class StorageHangs(WorkerError):
    """An attempt waited for *seconds* for storage that neither answers nor fails; the same files may be had again later."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(f"the storage hangs: nothing came back for {seconds:.0f} s {reason}")
        self.seconds = seconds


class RegistryUnavailable(WorkerError):
    """The database did not answer; the same step may work later."""


class MigrationNeeded(WorkerError):
    """The database is older than this code; `modelport migrate` changes it, and nothing else does while others work on it."""


class UnsafeHome(WorkerError):
    """The home folder lies on a file system where SQLite's write-ahead log is not safe."""


class BadSetting(WorkerError):
    """A setting has a value that cannot be used; the message names the key, the value and what was wanted."""


class WrongState(WorkerError):
    """As the ingestion stands now, what somebody wants cannot be done with it."""


class Quarantined(WrongState):
    """The version is in quarantine, and what somebody wants would serve it."""


class NotFound(WorkerError):
    """There is no such model, version or ingestion in this team."""
