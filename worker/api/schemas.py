"""The shapes of answers and bodies, as the API describes them. `worker.views` builds the answers; a test holds it to this."""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from detectors.facts import ModelType
from worker.delivery import DeliveryKind, DeliveryState
from worker.records import Action, Attention, IngestionState, StoreMode, Trigger
from worker.s3_events import MAX_RECORDS

MAX_TAGS = 100
"""Tags of a version that one call gives it."""


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


class IngestionEnd(Shape):
    """How a job stands: its state, and where it has ended, why."""

    id: str
    state: IngestionState
    reason: str | None
    message: str | None
    answer: Literal["created", "unchanged"] | None


class UploadAccepted(Shape):
    """What was uploaded is kept: the id that its version has, or will have, and the job that registers it."""

    id: str
    ingestion: IngestionEnd


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


class DeliveryRow(Shape):
    """One delivery: what is told to whom, how it stands, and why."""

    id: str
    kind: DeliveryKind
    destination: str
    ingestionId: str | None
    versionId: str | None
    state: DeliveryState
    attempts: int
    message: str | None
    dtCreated: AwareDatetime
    dtModified: AwareDatetime
    dtNextAttempt: AwareDatetime | None
    dtDelivered: AwareDatetime | None


class DeliveryPage(Shape):
    """Some deliveries, newest first; next is the address of the following page."""

    deliveries: list[DeliveryRow]
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


class AuditRow(Shape):
    """What somebody did. object is how what it was done to was called after that."""

    id: str
    at: AwareDatetime
    who: str
    action: Action
    objectId: str
    object: str
    details: dict[str, Any]


class AuditPage(Shape):
    """Some of what people did, newest first; next is the address of the following page."""

    audit: list[AuditRow]
    next: str | None


class ProjectRow(Shape):
    """One project: its id never changes, its name is how it is called."""

    id: str
    name: str
    dtCreated: AwareDatetime


class ProjectPage(Shape):
    """Some projects by name; next is the address of the following page."""

    projects: list[ProjectRow]
    next: str | None


class VersionRow(Shape):
    """One version: what it is, where it came from, where it is kept. Lists and looks at one say how its project is called."""

    id: str
    name: str
    number: int
    modelType: ModelType
    format: str
    projectId: str
    project: str | None = None
    experimentId: str | None
    digest: str
    omsDigest: str
    duplicateOf: str | None
    url: str
    store: StoreMode
    location: str
    sizeBytes: int
    completeness: str
    verdict: str
    tags: list[str]
    notes: str | None
    published: bool
    dtCreated: AwareDatetime


class FileRow(Shape):
    """A file of a version; sha256 is in hex."""

    path: str
    size: int
    sha256: str


class VersionPage(Shape):
    """Some versions in the order asked for; next is the address of the following page."""

    versions: list[VersionRow]
    next: str | None


class ModelRow(Shape):
    """A registered model: its name, and the latest of its living versions."""

    name: str
    projectId: str
    project: str | None = None
    latest: VersionRow


class ModelPage(Shape):
    """Some models in the order asked for; next is the address of the following page."""

    models: list[ModelRow]
    next: str | None


class Totals(Shape):
    """How many models and versions there are, and how many models have a latest version that somebody should look at."""

    models: int
    versions: int
    attention: dict[Attention, int]


class ModelWithVersions(ModelRow):
    """One model with its newest versions, 1,000 at most."""

    versions: list[VersionRow]


class VersionFiles(Shape):
    """The files of a version by path."""

    files: list[FileRow]


class VersionWithFiles(VersionRow):
    """One version and its files by path."""

    files: list[FileRow]


class VersionReport(BaseModel):
    """The scan report, as `modelport scan --format json` prints it (docs/reference/scan-report.md), with its version."""

    model_config = ConfigDict(extra="allow")
    version: VersionRow


class Manifest(Shape):
    """The digests of a version: its own, the one that model signing reckons, and those of its files."""

    id: str
    digest: str
    omsDigest: str
    files: list[FileRow]


class SignatureChange(Shape):
    """One change of a signature. side is `input` or `output`, tensor its name; null where the whole signature changed."""

    signature: str
    side: Literal["input", "output"] | None
    tensor: str | None
    change: Literal["added", "removed", "dtype", "shape"]
    breaking: bool
    old: Any = None
    new: Any = None


class MetricChange(Shape):
    """The last values of a metric; null where one version lacks it."""

    session: str
    name: str
    old: float | str | None
    new: float | str | None


class FileChanges(Shape):
    """Files that one version has and the other has not, those of other content, and how many are the same."""

    added: list[FileRow]
    removed: list[FileRow]
    changed: list[list[FileRow]]
    same: int


class Difference(Shape):
    """What differs in `new`; null and empty where nothing does. Pairs are old and new; lists have 1,000 entries at most."""

    old: VersionRow
    new: VersionRow
    signature: Literal["same", "compatible", "breaking"]
    signatureChanges: list[SignatureChange]
    format: list[str | None] | None
    framework: list[Any] | None
    parameters: list[Any] | None
    sizeBytes: list[int | None] | None
    operators: dict[str, list[int]]
    metrics: list[MetricChange]
    files: FileChanges


Answers = dict[int | str, dict[str, Any]]


def answers(shape: type[BaseModel] | UnionType, *problems: int, status: int = 200) -> Answers:
    """Return the answers of a route: *shape* with *status*, and the problems with these statuses."""
    return {status: {"model": shape}, **_problems(problems)}


def bytes_answers(media_type: str, *problems: int) -> Answers:
    """Return the answers of a route that gives bytes of this type, and the problems with these statuses."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"description": "The bytes", "content": content}, **_problems(problems)}


def no_answer(*problems: int) -> Answers:
    """Return the answers of a route that says nothing where all went well, and the problems with these statuses."""
    return {204: {"description": "It is done"}, **_problems(problems)}


def _problems(statuses: Iterable[int]) -> Answers:
    return {status: {"model": Problem} for status in statuses}


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
NAME = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": TEXT},
}
MODEL_CHANGE = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "name": TEXT,
        "published": {"type": ["boolean", "null"], "description": "whether all teams may read its versions"},
    },
}
CHANGE = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "name": TEXT | {"description": "of the model, and so of all its versions"},
        "tags": {"type": ["array", "null"], "maxItems": MAX_TAGS, "items": {"type": "string"}, "description": "all of them"},
        "notes": TEXT | {"description": "what people should know of the version; empty for nothing"},
    },
}


def _body(**schemas: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {name: {"schema": schema} for name, schema in schemas.items()}}


ZIP = "application/zip"
BYTES = {"type": "string", "format": "binary"}
UPLOAD_BODY = _body(**{"application/octet-stream": BYTES, ZIP: BYTES | {"description": "a folder, all its files below it"}})

PLAIN: dict[str, Any] = {"anyOf": [COMPLETION, S3_MESSAGE, S3_TEST]}
COMPLETION_BODY = _body(**{"application/json": PLAIN, "application/cloudevents+json": CLOUDEVENT})
RESCAN_BODY = _body(**{"application/json": RESCAN})
FILTER_BODY = _body(**{"application/json": FILTER})
NAME_BODY = _body(**{"application/json": NAME})
MODEL_CHANGE_BODY = _body(**{"application/json": MODEL_CHANGE})
CHANGE_BODY = _body(**{"application/json": CHANGE})
