"""The shapes of answers and bodies, as the API describes them. `worker.views` builds the answers; a test holds it to this."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from worker.records import IngestionState, Trigger
from worker.s3_events import MAX_RECORDS


class Shape(BaseModel):
    """A JSON object with these members and no others."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """What went wrong (RFC 9457): decide by `type`, read `detail`."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str


class Health(Shape):
    """All is well."""

    status: Literal["ok"]


class Accepted(Shape):
    """What was accepted is kept. known: it had been before."""

    id: str
    state: IngestionState
    known: bool


class AcceptedHints(Shape):
    """What a message of object storage became: one job for each run; passedOver: records that hint at none."""

    ingestions: list[Accepted]
    passedOver: int


class IngestionRow(Shape):
    """One job: what was asked for, how it stands, and why."""

    id: str
    state: IngestionState
    reason: str | None
    message: str | None
    answer: Literal["created", "unchanged"] | None
    source: str
    eventId: str
    trigger: Trigger
    modelPath: str
    projectId: str
    experimentId: str | None
    attempts: int
    versionId: str | None
    owner: str | None
    dtCreated: AwareDatetime
    dtModified: AwareDatetime
    dtNextAttempt: AwareDatetime | None


class Step(Shape):
    """One step in the life of an ingestion."""

    at: AwareDatetime
    state: IngestionState
    reason: str | None
    message: str | None


class IngestionWithHistory(IngestionRow):
    """One job with every step it took, oldest first."""

    history: list[Step]


class IngestionPage(Shape):
    """Some jobs, newest first; next is the address of the following page."""

    ingestions: list[IngestionRow]
    next: str | None


class MovedIngestions(Shape):
    """Which jobs were moved. more: the same call moves others."""

    ids: list[str]
    more: bool


class QueueState(Shape):
    """How many jobs stand in each state, how many may be worked on now, when the oldest unfinished one was accepted."""

    states: dict[IngestionState, int]
    due: int
    oldest: AwareDatetime | None
    workers: int


Answers = dict[int | str, dict[str, Any]]


def answers(shape: type[BaseModel] | UnionType, *problems: int, status: int = 200) -> Answers:
    """Return the answers of a route: *shape* with *status*, and the problems with these statuses."""
    return {status: {"model": shape}, **{problem: {"model": Problem} for problem in problems}}


TEXT = {"type": ["string", "null"]}
WORD = {"type": ["string", "integer", "null"]}
FILE = {
    "type": "object",
    "required": ["path", "size"],
    "properties": {"path": {"type": "string"}, "size": {"type": "integer", "minimum": 0}, "sha256": TEXT},
}
COMPLETION = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("id", "source", "experimentId", "projectId", "modelPath", "name"), TEXT),
        "experimentTypeId": {
            "type": ["integer", "string", "null"],
            "description": "1 single node, 2 and 3 multi-node, 4 tuning",
        },
        "kind": WORD | {"description": "`singlenode`, `multinode`, `hyperparameter`"},
        "cluster": TEXT | {"description": "`public` or `private`"},
        "state": WORD | {"description": "`stopped`, `error`, `failed`, `canceled`, or 5 to 8"},
        "restartCount": {"type": ["integer", "null"], "minimum": 0},
        "modelType": WORD | {"description": "`Tensorflow`, `ONNX`, `Custom`, or 1 to 3"},
        "git": {"type": ["object", "null"], "properties": {"ref": TEXT, "sha": TEXT}},
        "files": {"type": ["array", "null"], "maxItems": 10_000, "items": FILE},
    },
}
S3_RECORD = {
    "type": "object",
    "required": ["eventName"],
    "properties": {
        "eventName": {"type": "string", "description": "`ObjectCreated:*` is a hint, any other is passed over"},
        "eventTime": {"type": "string", "format": "date-time"},
        "eventSource": TEXT,
        "s3": {
            "type": "object",
            "required": ["bucket", "object"],
            "properties": {
                "bucket": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
                "object": {"type": "object", "required": ["key"], "properties": {"key": {"type": "string"}}},
            },
        },
    },
}
S3_MESSAGE = {
    "type": "object",
    "required": ["Records"],
    "description": "Event notifications of object storage",
    "properties": {"Records": {"type": "array", "maxItems": MAX_RECORDS, "items": S3_RECORD}},
}
S3_TEST = {"type": "object", "required": ["Event"], "properties": {"Event": {"const": "s3:TestEvent"}}}
CLOUDEVENT = {
    "type": "object",
    "required": ["specversion", "type", "source", "id", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "type": {"const": "experiment.completed"},
        "source": {"type": "string"},
        "id": {"type": "string"},
        "data": COMPLETION,
    },
}
RESCAN = {
    "type": "object",
    "required": ["path"],
    "properties": {
        "path": {"type": "string"},
        **dict.fromkeys(("id", "experimentId", "projectId", "name"), TEXT),
        "modelType": WORD,
        "force": {"type": ["boolean", "null"]},
    },
}
FILTER = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": dict.fromkeys(("state", "experimentId", "reason"), TEXT),
}


def _body(**schemas: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {name: {"schema": schema} for name, schema in schemas.items()}}


PLAIN: dict[str, Any] = {"anyOf": [COMPLETION, S3_MESSAGE, S3_TEST]}
COMPLETION_BODY = _body(**{"application/json": PLAIN, "application/cloudevents+json": CLOUDEVENT})
RESCAN_BODY = _body(**{"application/json": RESCAN})
FILTER_BODY = _body(**{"application/json": FILTER})
