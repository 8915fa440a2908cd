"""What the registry asks of names, how it compares them, and how it makes ids; the same for every kind of registry.

A name is what a person types and reads: it can be printed, and it fits into an index of any database.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import string
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields

from worker.delivery import DeliveryKind
from worker.errors import ConflictingEvent, NameTaken, RejectedEvent
from worker.events import MAX_NAME_BYTES
from worker.records import CompletionEvent, Halt, ModelVersion, NewUpload, NewVersion, Scope
from worker.registry.stored import is_storable

MAX_TEXT_CHARS = 3 * MAX_NAME_BYTES
"""Folded characters that a search text may have and still match: folding makes a name up to three times as long."""

MAX_BYTES = 2**63 - 1
"""The largest size that a database's integer holds."""

INGESTION_PREFIX, INGESTION_CHARS = "in", 20
TOKEN_PREFIX, TOKEN_CHARS = "tk", 12
AUDIT_PREFIX, AUDIT_CHARS = "au", 12
VERSION_PREFIX, VERSION_CHARS = "mo", 12
"""A version's id is as long as those of the original repository."""

KEY_BYTES = 32
"""Length of the key that links are signed with."""

MAX_TRIES = 5
"""Tries of a transaction that others make begin again. Beaten to a unique key, the second one finds the winner's row, and more
is a bad generator of ids."""

NewId = Callable[[str, int], str]
"""Takes a prefix and a number of characters, and returns an id that nobody can guess."""

Destinations = Mapping[str, Collection[DeliveryKind]]
"""Whom to tell, and of what."""


def wanted(destinations: Destinations, kinds: Iterable[DeliveryKind]) -> Iterator[tuple[DeliveryKind, str]]:
    """Yield each of *kinds* with every destination that wants it, in the order of *kinds*."""
    return ((kind, name) for kind in kinds for name, wants in destinations.items() if kind in wants)


def random_id(prefix: str, chars: int) -> str:
    """Return *prefix* and *chars* random characters of `[a-z0-9]`."""
    alphabet = string.ascii_lowercase + string.digits
    return prefix + "".join(secrets.choice(alphabet) for _ in range(chars))


def event_key(event: CompletionEvent) -> str:
    """Return what is equal exactly for two messages of one event: a digest of team, source and id."""
    return _digest(event.team, event.source, event.id)


def event_digest(event: CompletionEvent) -> str:
    """Return what is equal exactly for two messages that say the same, in whatever trace. What is not said takes no part, so
    that a word that is new in a later release changes nothing for messages without it."""
    said = ((one.name, getattr(event, one.name)) for one in fields(event) if getattr(event, one.name) != one.default)
    return _digest(*(f"{name}={value!r}" for name, value in said if name != "traceparent"))


def conflict(event: CompletionEvent, accepted_as: str) -> ConflictingEvent:
    """Return the error for an *event* whose source and id were *accepted_as* an ingestion with other words."""
    return ConflictingEvent(
        f"the event {event.id} of {event.source} was accepted as {accepted_as} and said something else then"
    )


def scope_key(scope: Scope) -> str:
    """Return what is equal exactly for equal scopes: a digest, because a location is longer than an index takes."""
    return _digest(scope.key)


def _digest(*words: str) -> str:
    return hashlib.sha256(json.dumps(words).encode("ascii")).hexdigest()


def folded(name: str) -> str:
    """Return *name* in the form that searches compare, so that case does not matter in any language or database."""
    return name.casefold()


def is_by(who: str, wanted: str | None) -> bool:
    """Tell whether a line by *who* is *wanted*: a name, or a token's id, which ends the name of who brings it; None is any.

    Whoever names a token chooses what stands before its id, never what stands at the end.
    """
    return wanted in (None, who) or who.endswith(f" ({wanted})")


def taken(name: str, project_id: str) -> NameTaken:
    """Return the error for a *name* that is to be given to a project and means another one."""
    return NameTaken(f"another project has or had the name {name}; its id is {project_id}")


def event_words(event: CompletionEvent) -> str:
    """Return what a person knows the ingestion of *event* by: its experiment, or its path where it has none."""
    return event.experiment or event.model_path


def called(version: ModelVersion) -> str:
    """Return how *version* is called."""
    return f"{version.model_name}@{version.number}"


def changed_tags(tags: Collection[str], add: Collection[str], remove: Collection[str]) -> dict[str, list[str]]:
    """Return which of the tags to add are new, and which to remove are among *tags*; empty where nothing changes."""
    changes = {"added": sorted(set(add) - set(tags)), "removed": sorted(set(remove) & set(tags))}
    return {what: names for what, names in changes.items() if names}


POLICY = "the policy"
"""Who puts a version into quarantine, in the log."""

QUEUE = "queue"
"""What stands in the log for the id of a queue."""


def queue_words(team: str | None) -> str:
    """Return how the log calls the queue of *team*, None for that of all teams."""
    return "the queue of all teams" if team is None else f"the queue of the team {team}"


def message_words(message_id: str | None) -> str:
    """Return how the log calls a message that could not be read, None for all of them."""
    return "all messages that could not be read" if message_id is None else "a message that could not be read"


def reasons(note: str | None, was: Halt | None = None) -> dict[str, str]:
    """Return what the log tells of a step beside who, when and what: why, and since when the queue *was* paused."""
    said = {"note": note, "since": None if was is None else was.since.isoformat(timespec="seconds")}
    return {word: value for word, value in said.items() if value is not None}


def is_searchable(text: str) -> bool:
    """Tell whether a name can hold *text* at all; what cannot be in a name is not asked of the database."""
    return is_storable(text) and len(folded(text)) <= MAX_TEXT_CHARS


def rows_wanted(limit: int) -> int:
    """Return the most rows that a query with this *limit* gives: none for a negative one, never more than databases count."""
    return min(max(limit, 0), MAX_BYTES)


def check_event(event: CompletionEvent) -> None:
    """Raise RejectedEvent unless every name in *event* can be kept, and its model path is one that a file can have."""
    check_name("team", event.team)
    check_name("project", event.project)
    if event.experiment:
        check_name("experiment", event.experiment)
    if event.name is not None:
        check_name("model name", event.name)
    _check_path("the model path", event.model_path)


def check_upload(said: NewUpload) -> None:
    """Raise RejectedEvent unless every name in *said* can be kept."""
    check_name("team", said.team)
    check_name("project", said.project)
    if said.name is not None:
        check_name("model name", said.name)
    for tag in said.tags:
        check_name("tag", tag)


def check_version(version: NewVersion) -> None:
    """Raise RejectedEvent unless the names, paths and sizes in *version* can be kept."""
    check_name("team", version.scope.team)
    check_name("project", version.scope.project)
    if version.scope.experiment:
        check_name("experiment", version.scope.experiment)
    check_name("model name", version.model_name)
    for file in version.files:
        _check_path("the path of a file", file.path)
    if version.size_bytes > MAX_BYTES or any(file.size > MAX_BYTES for file in version.files):
        raise RejectedEvent(f"a size is beyond {MAX_BYTES} bytes")


def check_name(what: str, name: str) -> None:
    """Raise RejectedEvent unless *name* can be printed and indexed everywhere; *what* says whose name it is."""
    if not name:
        raise RejectedEvent(f"the {what} is empty")
    shown = ascii(name[:40])
    if not is_storable(name):
        raise RejectedEvent(f"the {what} {shown} holds a zero character, or bytes that are not UTF-8")
    length = len(name.encode("utf-8"))
    if length > MAX_NAME_BYTES:
        raise RejectedEvent(f"the {what} {shown}… is {length} bytes long; at most {MAX_NAME_BYTES} are kept")


def _check_path(what: str, path: str) -> None:
    """Raise RejectedEvent unless *path* is what a file's name in bytes becomes: surrogates stand for single bytes."""
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as exc:
        raise RejectedEvent(f"{what} {path[:40]!a} holds a character that no file name has") from exc
