"""From a message of object storage to the runs that it hints at: somebody put an object below a prefix, so look there again.

In go the message as Amazon S3, MinIO and Ceph send it, and where the setting says that runs lie; out come events, one for
each run and period, and how many objects were passed over. Nobody is asked whether an object is there: a hint says where to
look, and the look tells the rest. Parsing and bounding the body, and who may ask for which place, are the door's.

A run of a thousand objects is told in a thousand messages. Those whose time lies in one period are one event. An ingestion
that began with a hint (`Trigger.NOTIFICATION`) looks twice, a quiet period apart or more; a period is no longer than that, so
the last look comes after the period's end, and sees whatever was told in it. What comes later is another event.

Laws (each has a test of the same name):
    any JSON value gives events or a RejectedEvent;
    every event lies below a template;
    the order of records and their number do not matter.

Source: Amazon S3 User Guide, "Event message structure" and "Using Amazon S3 Event Notifications" (test message); MinIO,
cmd/event-notification.go (keys are encoded as Amazon's); Ceph, "Bucket Notifications" and rgw_pubsub.cc (keys are not).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote_plus

from worker.errors import RejectedEvent
from worker.events import checked_name
from worker.fields import Object, object_of, required_text, shown, text
from worker.records import CompletionEvent, Trigger
from worker.s3_url import MAX_KEY_BYTES, S3Url, parse_s3
from worker.watch_roots import Root, Run, root_of

SETTING = "MODELPORT_S3_RUNS"

SOURCE = "s3"
"""The source of every event that a hint becomes."""

TEST = "s3:TestEvent"
"""What Amazon sends once when notifications are set up, to see whether somebody is there."""

CREATED = "ObjectCreated:"
"""How the names of events begin that tell of a new object. Amazon and Ceph write it so, MinIO with `s3:` before it."""

UNENCODED = "ceph:s3"
"""The event source whose keys stand as they are; in those of all others `+` is a space and `%2F` a slash."""

MAX_RECORDS = 1000
"""Records of one message. Amazon and MinIO send one at a time; who forwards them may send several."""

MAX_WORD_CHARACTERS = 1024
"""Length of a name of an event, a source, a time or a bucket."""

MAX_KEY_CHARACTERS = 3 * MAX_KEY_BYTES
"""Length of a key in a record: encoded, each byte of it may take three characters."""

SHORTEST_SECONDS = 1.0
"""A shorter period is none: then each time stands for itself."""


@dataclass(frozen=True, slots=True)
class RunsBelow:
    """Runs lie where the template *path* says, `s3://…` with fields. marker None: every object is a hint, else only one of
    this name."""

    path: str
    project: str | None = None
    marker: str | None = None


Place = tuple[Root, str | None]
"""Where runs lie of one team, and the name of the only objects that count."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What a message says: the events, in the order of their first record, and the number of records that say nothing to us."""

    events: tuple[CompletionEvent, ...]
    passed_over: int


@dataclass(frozen=True, slots=True)
class Created:
    """An object was created at *url*; *at* is the server's time, in seconds since 1970."""

    url: S3Url
    at: float


def is_s3_message(data: Any) -> bool:
    """Tell whether *data* is meant as a message of object storage."""
    return isinstance(data, dict) and ("Records" in data or data.get("Event") == TEST)


def hints_from_json(data: Any, team: str, runs: Sequence[RunsBelow], quiet_seconds: float) -> Hints:
    """Return what the message *data* says to a sender's *team*, in periods as long as files must rest: *quiet_seconds*.

    Raises:
        RejectedEvent: it is no such message, or nobody said where runs lie.
    """
    message = object_of("the body", data)
    if message.get("Event") == TEST:
        return Hints((), 0)
    records = _records(message)
    if not runs:
        raise RejectedEvent(f"Records: expected none, because {SETTING} says of no place that runs lie there")
    places = [(root_of(one.path, team, one.project, setting=SETTING), one.marker) for one in runs]
    objects = [_created(record, f"Records[{at}]") for at, record in enumerate(records)]
    events = [None if one is None else _event_of(one, team, places, quiet_seconds) for one in objects]
    by_id = {event.id: event for event in events if event is not None}
    return Hints(tuple(by_id.values()), events.count(None))


def _records(message: Object) -> list[Any]:
    records = message.get("Records")
    if not isinstance(records, list):
        raise RejectedEvent(f"Records: expected a list, found {shown(records)}")
    if len(records) > MAX_RECORDS:
        raise RejectedEvent(f"Records: expected at most {MAX_RECORDS}, found {len(records)}")
    return records


def _created(value: Any, where: str) -> Created | None:
    """Return the object that the record *value* says was created; None where it tells of something else, or where the key is
    none that a file could have.
    """
    record = object_of(where, value)
    name = required_text(record, "eventName", MAX_WORD_CHARACTERS, f"{where}.eventName")
    if not name.removeprefix("s3:").startswith(CREATED):
        return None
    at = _seconds(required_text(record, "eventTime", MAX_WORD_CHARACTERS, f"{where}.eventTime"), f"{where}.eventTime")
    source = text(record, "eventSource", MAX_WORD_CHARACTERS, f"{where}.eventSource")
    s3 = object_of(f"{where}.s3", record.get("s3"))
    bucket = _text_in(s3, "bucket", "name", MAX_WORD_CHARACTERS, f"{where}.s3")
    key = _text_in(s3, "object", "key", MAX_KEY_CHARACTERS, f"{where}.s3")
    try:
        url = parse_s3(f"s3://{bucket}/{key if source == UNENCODED else unquote_plus(key, errors='strict')}")
    except ValueError:  # also where what was encoded is not UTF-8
        return None
    return Created(url, at) if url.bucket == bucket else None


def _text_in(s3: Object, part: str, key: str, most: int, where: str) -> str:
    return required_text(object_of(f"{where}.{part}", s3.get(part)), key, most, f"{where}.{part}.{key}")


def _seconds(time: str, where: str) -> float:
    """Return the *time*, which must name its zone, in seconds since 1970."""
    try:
        at = datetime.fromisoformat(time)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise RejectedEvent(f"{where}: expected a time such as 2026-11-20T12:00:00.000Z, found {shown(time)}")
    return at.timestamp()


def _event_of(created: Created, team: str, places: Sequence[Place], quiet_seconds: float) -> CompletionEvent | None:
    """Return the event of an object by the first place that it lies in, None where it lies in none."""
    for root, marker in places:
        run = _run_of(str(created.url), root, marker)
        if run is not None and _is_named_well(run):
            return _event(run, team, created.at, quiet_seconds)
    return None


def _run_of(url: str, root: Root, marker: str | None) -> Run | None:
    """Return the run that the object at *url* is part of and tells of; None for one that lies directly beside the runs."""
    names = root.names_below(url) or []
    if len(names) <= len(root.steps) or marker not in (None, names[-1]):
        return None
    return root.run_at(names[: len(root.steps)])


def _is_named_well(run: Run) -> bool:
    """Tell whether project and experiment are names that can be kept; what can never be accepted is not to come again."""
    names = [name for name in (run.project, run.experiment) if name is not None]
    try:
        return all(checked_name("a name", name) == name for name in names)
    except RejectedEvent:
        return False


def _event(run: Run, team: str, at: float, quiet_seconds: float) -> CompletionEvent:
    """Return the event of a hint at *run*: the same for every time *at* in one period."""
    period = at if quiet_seconds < SHORTEST_SECONDS else math.floor(at / quiet_seconds)
    words = "/".join(quote(word, safe="") for word in (run.project, run.experiment or ""))
    return CompletionEvent(
        source=SOURCE,
        id=f"{quote(run.path, safe=':/')}#{words}/{period}",
        model_path=run.path,
        team=team,
        project=run.project,
        experiment=run.experiment,
        trigger=Trigger.NOTIFICATION,
    )
