"""The shapes of answers and bodies, as the API describes them. `worker.views` builds the answers; a test holds it to this."""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from detectors.facts import ModelType
from worker.delivery import DeliveryKind, DeliveryState
from worker.events import (
    CLUSTERS,
    EVENT_TYPE,
    KINDS,
    MAX_FILES,
    MAX_GIT_CHARACTERS,
    MAX_ID_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_PATH_CHARACTERS,
    MAX_RESTARTS,
    MAX_SIZE_BYTES,
    MAX_TYPE_CHARACTERS,
    SPEC_VERSION,
    STATES,
)
from worker.gates import (
    AGGREGATES,
    IF_NOT_FOUND,
    MAX_GATES,
    MAX_PRECISION,
    MAX_RANGE_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    ROUNDINGS,
)
from worker.lifecycle import Mover, movable
from worker.operations import MAX_NOTE_CHARACTERS
from worker.records import NO_FORMAT, Action, Attention, Condition, GateOutcome, IngestionState, StoreMode, Trigger
from worker.registry.counters import SOUGHT_FORMATS
from worker.repository import MAX_REASON_CHARACTERS
from worker.s3_events import MAX_KEY_CHARACTERS, MAX_RECORDS, MAX_WORD_CHARACTERS
from worker.wholeness import Wholeness

MAX_TAGS = 100
"""Tags of a version that one call gives it."""

MAX_NOTES_CHARACTERS = 10_000
"""Length of what people write about a version."""


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
    format: str | None
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


class QueuePause(Shape):
    """Since when no worker begins anything of the team, or of all teams, and why. by is null where that is another team's."""

    of: Literal["all", "team"]
    since: AwareDatetime
    by: str | None
    note: str | None


class QueuePauses(Shape):
    """Whether no worker begins anything of the team, and all that it is so by."""

    paused: bool
    pauses: list[QueuePause]


class Undecodable(Shape):
    """A message that no worker could read. preview is its beginning, with all that is no printable ASCII escaped; body is all
    that is kept of it in base64, and null in a list. What nobody noted is null.
    """

    id: str
    at: AwareDatetime | None
    queue: str | None
    why: str | None
    size: int | None
    preview: str
    body: str | None


class UndecodableMessages(Shape):
    """Messages that no worker could read, newest first. kept is how many there are, ever how many there ever were, null where
    nobody counts; broker is where they are, null where there is none.
    """

    messages: list[Undecodable]
    kept: int
    ever: int | None
    broker: Literal["redis", "rabbitmq"] | None


class Removed(Shape):
    """How many were removed."""

    removed: int


class QueueState(QueuePauses):
    """How many jobs stand in each state, how many may be worked on now if nothing is paused, when the oldest unfinished one was
    accepted.
    """

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


class Drift(Shape):
    """How the files of a version were found when somebody last looked where they are kept. dtSeen is since when that is known,
    dtLooked when it was last tried; where that failed since, trouble tells why."""

    state: Condition
    says: str
    dtSeen: AwareDatetime
    dtLooked: AwareDatetime
    trouble: str | None


class GateRow(BaseModel):
    """What became of a gate. target is a range, aggregate one of the statistics of the metric or a JSON pointer into the custom
    metadata; value is the number that was found, and rounded what was compared, null where there was none.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    name: str
    target: str
    aggregate: str
    precision: int
    round: Literal["down", "up"]
    if_not_found: Literal["failure", "success"] = Field(alias="if-not-found")
    outcome: GateOutcome
    passed: bool
    value: str | None
    rounded: str | None
    says: str


class Release(Shape):
    """That a person let a version go: who, and why. by is null for another team's."""

    by: str | None
    reason: str
    dtReleased: AwareDatetime


class Quarantine(Shape):
    """That a policy keeps a version from being served, or did: why, since when, and how it was released, null for not yet."""

    why: str
    dtSince: AwareDatetime
    released: Release | None


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
    wholeness: Wholeness | None
    verdict: str
    tags: list[str]
    notes: str | None
    published: bool
    rulesVersion: str
    newestRulesVersion: str
    drift: Drift | None
    gates: list[GateRow]
    quarantined: bool
    quarantine: Quarantine | None
    warning: str | None
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
    """One model with its newest versions, 1,000 at most; served is the newest of all that is in no quarantine."""

    served: VersionRow | None
    versions: list[VersionRow]


class VersionFiles(Shape):
    """The files of a version by path."""

    files: list[FileRow]


class Verification(BaseModel):
    """What the last load check came to, as `modelport verify --format json` prints it, and when."""

    model_config = ConfigDict(extra="allow")
    outcome: Literal["verified", "failed", "not-verified", "nothing"]
    models: list[dict[str, Any]]
    dtVerified: AwareDatetime


class Manifest(Shape):
    """The digests of a version: its own, the one that model signing reckons, and those of its files."""

    id: str
    digest: str
    omsDigest: str
    files: list[FileRow]


class Bill(Shape):
    """A bill of materials of CycloneDX 1.6, whose own schema says what stands in it."""

    schema_: str = Field(alias="$schema")
    bomFormat: Literal["CycloneDX"]
    specVersion: Literal["1.6"]
    serialNumber: str
    version: int
    metadata: dict[str, Any]
    components: list[dict[str, Any]]
    dependencies: list[dict[str, Any]]
    compositions: list[dict[str, Any]]


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


class FindingChange(Shape):
    """A finding that one of two versions has."""

    rule: str
    severity: str | None
    path: str | None
    place: str | None
    message: str | None


class FindingChanges(Shape):
    """Findings that only the new version has, and those that only the old one had."""

    new: list[FindingChange]
    gone: list[FindingChange]


class FileChanges(Shape):
    """Files that one version has and the other has not, those of other content, and how many are the same."""

    added: list[FileRow]
    removed: list[FileRow]
    changed: list[list[FileRow]]
    same: int


class Changes(Shape):
    """What differs in the newer of two versions; null and empty where nothing does. Pairs are old and new."""

    signature: Literal["same", "compatible", "breaking"]
    signatureChanges: list[SignatureChange]
    format: list[str | None] | None
    framework: list[Any] | None
    parameters: list[Any] | None
    sizeBytes: list[int | None] | None
    operators: dict[str, list[int]]
    metrics: list[MetricChange]
    findings: FindingChanges


class Difference(Changes):
    """What differs in `new`; lists have 1,000 entries at most."""

    old: VersionRow
    new: VersionRow
    files: FileChanges


class FileCounts(Shape):
    """How many files one version has and the other has not, of how many the content differs, and how many are the same."""

    added: int
    removed: int
    changed: int
    same: int


class Arrival(Changes):
    """What differed from the version `with`, number `number` of the same name, when a version was registered. Lists have
    100 entries at most. says is a sentence.
    """

    with_: str = Field(alias="with")
    number: int
    says: str
    files: FileCounts


class VersionWithFiles(VersionRow):
    """One version, what differed from the one before when it came, null for the first of its name, its files by path, and its
    last load check, null where there was none.
    """

    diff: Arrival | None
    files: list[FileRow]
    verification: Verification | None


class VersionReport(BaseModel):
    """The scan report, as `modelport scan --format json` prints it (docs/reference/scan-report.md), with its version, what
    became of its gates, and what differed from the version before.
    """

    model_config = ConfigDict(extra="allow")
    version: VersionRow
    gates: list[GateRow]
    diff: Arrival | None


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


PRINTABLE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
"""Text with something to read in it, and nothing that a terminal obeys."""

NAME_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS, "pattern": PRINTABLE}
NAME_OR_NULL = NAME_TEXT | {"type": ["string", "null"]}
ID_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS}
ID_OR_NULL = {"type": ["string", "null"], "maxLength": MAX_ID_CHARACTERS}
PATH_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_PATH_CHARACTERS}
GIT_TEXT = {"type": ["string", "null"], "maxLength": MAX_GIT_CHARACTERS}


def _named(name: str) -> dict[str, Any]:
    """Return the shape that `BODIES` has under *name*."""
    return {"$ref": f"#/components/schemas/{name}"}


def _word(words: Iterable[str], said: str) -> dict[str, Any]:
    """Return the shape of one of *words*, or of its number. Other ways to write it are taken too, and not described."""
    given = list(words)
    text = {"type": "string", "enum": [one for one in given if not one.isdigit()]}
    numbers = [int(one) for one in given if one.isdigit()]
    number = [{"type": "integer", "enum": numbers}] if numbers else []
    return {"anyOf": [text, *number, {"type": "null"}], "description": said}


WORD_TYPE = {
    "type": ["string", "integer", "null"],
    "maxLength": MAX_TYPE_CHARACTERS,
    "description": "`Tensorflow`, `ONNX`, `Custom`, or 1 to 3; any other is `Custom`",
}
FILE = {
    "type": "object",
    "required": ["path", "size"],
    "properties": {
        "path": PATH_TEXT | {"description": "below the model path; each once"},
        "size": {"type": "integer", "minimum": 0, "maximum": MAX_SIZE_BYTES},
        "sha256": {"type": ["string", "null"], "minLength": 64, "maxLength": 64, "pattern": "^[0-9a-fA-F]{64}$"},
    },
}
GATE_NAME = r"^(tensorflow|onnx|custom):[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
GATE: dict[str, Any] = {
    "type": "object",
    "required": ["target", "aggregate"],
    "additionalProperties": False,
    "properties": {
        "target": {
            "type": ["string", "number"],
            "maxLength": MAX_RANGE_CHARACTERS,
            "description": "`0.7..`, `..0.025` or `0.99..1.00`; ends are excluded",
        },
        "aggregate": {
            "type": "string",
            "maxLength": MAX_TEXT_CHARACTERS,
            "description": f"{', '.join(AGGREGATES)}; for `custom:` a JSON pointer into the custom metadata",
        },
        "precision": {"type": "integer", "minimum": 0, "maximum": MAX_PRECISION},
        "round": {"type": "string", "enum": list(ROUNDINGS)},
        "if-not-found": {"type": "string", "enum": list(IF_NOT_FOUND)},
    },
}
COMPLETION: dict[str, Any] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("experimentId", "projectId"), NAME_OR_NULL),
        "name": NAME_OR_NULL | {"description": "of the model; not like an id, and not ending in `@` and a number"},
        "modelPath": {"type": ["string", "null"], "maxLength": MAX_PATH_CHARACTERS},
        "experimentTypeId": _word(KINDS, "1 single node, 2 and 3 multi-node, 4 tuning; as `kind` says, where both do"),
        "kind": _word(KINDS, "`singlenode`, `multinode`, `hyperparameter`"),
        "cluster": _word(CLUSTERS, "`public` or `private`"),
        "state": _word(STATES, "`stopped`, `error`, `failed`, `canceled`, or 5 to 8"),
        "restartCount": {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_RESTARTS},
        "modelType": WORD_TYPE,
        "git": {"type": ["object", "null"], "properties": {"ref": GIT_TEXT, "sha": GIT_TEXT}},
        "files": {"type": ["array", "null"], "maxItems": MAX_FILES, "items": _named("NamedFile")},
        "gates": {
            "type": ["object", "null"],
            "description": "by name; docs/howto/gates.md tells more",
            "maxProperties": MAX_GATES,
            "propertyNames": {"maxLength": MAX_TEXT_CHARACTERS, "pattern": GATE_NAME},
            "additionalProperties": _named("Gate"),
        },
    },
}
PLAIN_COMPLETION = COMPLETION | {
    "description": "What names no experiment names itself, by `id`, and its `modelPath`",
    "properties": {**dict.fromkeys(("id", "source"), ID_OR_NULL), **COMPLETION["properties"]},
}
WORD_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_WORD_CHARACTERS}
KEY_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS}
S3_RECORD = {
    "type": "object",
    "required": ["eventName"],
    "properties": {
        "eventName": WORD_TEXT | {"description": "`ObjectCreated:*` is a hint, any other is passed over"},
        "eventTime": {"type": "string", "format": "date-time"},
        "eventSource": WORD_TEXT | {"type": ["string", "null"], "minLength": 0},
        "s3": {
            "type": "object",
            "required": ["bucket", "object"],
            "properties": {
                "bucket": {"type": "object", "required": ["name"], "properties": {"name": WORD_TEXT}},
                "object": {"type": "object", "required": ["key"], "properties": {"key": KEY_TEXT}},
            },
        },
    },
}
S3_MESSAGE = {
    "type": "object",
    "required": ["Records"],
    "description": "Event notifications of object storage",
    "properties": {"Records": {"type": "array", "maxItems": MAX_RECORDS, "items": _named("S3Record")}},
}
S3_TEST = {"type": "object", "required": ["Event"], "properties": {"Event": {"const": "s3:TestEvent"}}}
CLOUDEVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "type", "source", "id", "data"],
    "properties": {
        "specversion": {"const": SPEC_VERSION},
        "type": {"const": EVENT_TYPE},
        "source": ID_TEXT,
        "id": ID_TEXT,
        "data": _named("CompletionData"),
    },
}
RESCAN = {
    "type": "object",
    "required": ["path"],
    "properties": {
        "path": PATH_TEXT | {"pattern": r"^(/|[^\x00]*://)[^\x00]*$", "description": "absolute, or a URL"},
        "id": ID_OR_NULL,
        **dict.fromkeys(("experimentId", "projectId", "name"), NAME_OR_NULL),
        "modelType": WORD_TYPE,
        "force": {"type": ["boolean", "null"]},
    },
}


NOTE_TEXT = {
    "type": ["string", "null"],
    "maxLength": MAX_NOTE_CHARACTERS,
    "description": "why, for the log of what people did",
}


def _filter(to: IngestionState) -> dict[str, Any]:
    """Return the shape of a filter for ingestions that a person may move *to* a state."""
    return {
        "type": "object",
        "description": "At least one that is not null",
        "minProperties": 1,
        "additionalProperties": False,
        "not": {"properties": {key: {"type": "null"} for key in ("state", "experimentId", "reason", "format")}},
        "properties": {
            "state": _word(movable(to, Mover.PERSON), "one that an ingestion can be taken from"),
            **dict.fromkeys(("experimentId", "reason"), ID_OR_NULL),
            "note": NOTE_TEXT,
            "format": _word(SOUGHT_FORMATS, f"that of the model that was found, {NO_FORMAT} where none is known"),
        },
    }


NOTE = {"type": "object", "additionalProperties": False, "properties": {"note": NOTE_TEXT}}
MESSAGES = {
    "type": "object",
    "description": "The `id` of one, or `all`, and not both",
    "minProperties": 1,
    "additionalProperties": False,
    "oneOf": [
        {"required": ["id"], "properties": {"id": {"not": {"type": "null"}}, "all": {"not": {"const": True}}}},
        {"required": ["all"], "properties": {"id": {"type": "null"}, "all": {"const": True}}},
    ],
    "properties": {"id": ID_OR_NULL, "all": {"type": ["boolean", "null"]}, "note": NOTE_TEXT},
}
PAUSE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "all": {"type": ["boolean", "null"], "description": "what all teams have, which takes `operate:all` as well"},
        "note": NOTE_TEXT,
    },
}


NAME = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": NAME_TEXT},
}
REASON_TEXT = NAME_TEXT | {"maxLength": MAX_REASON_CHARACTERS, "description": "why it may be served all the same, in one line"}
RELEASE = {
    "type": "object",
    "required": ["reason"],
    "additionalProperties": False,
    "properties": {"reason": REASON_TEXT},
}
MODEL_CHANGE = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "name": NAME_OR_NULL,
        "published": {"type": ["boolean", "null"], "description": "whether all teams may read its versions"},
    },
}
CHANGE = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "name": NAME_OR_NULL | {"description": "of the model, and so of all its versions"},
        "tags": {"type": ["array", "null"], "maxItems": MAX_TAGS, "items": NAME_TEXT, "description": "all of them"},
        "notes": {
            "type": ["string", "null"],
            "maxLength": MAX_NOTES_CHARACTERS,
            "description": "what people should know of the version; empty for nothing",
        },
    },
}


BODIES: dict[str, dict[str, Any]] = {
    "NamedFile": FILE,
    "Gate": GATE,
    "Completion": PLAIN_COMPLETION,
    "CompletionData": COMPLETION,
    "CloudEvent": CLOUDEVENT,
    "S3Record": S3_RECORD,
    "S3Message": S3_MESSAGE,
    "S3Test": S3_TEST,
    "Rescan": RESCAN,
    "FailedIngestions": _filter(IngestionState.RECEIVED),
    "UnwantedIngestions": _filter(IngestionState.DISCARDED),
    "Note": NOTE,
    "Pause": PAUSE,
    "UnwantedMessages": MESSAGES,
    "NewName": NAME,
    "ModelChange": MODEL_CHANGE,
    "VersionChange": CHANGE,
    "VersionRelease": RELEASE,
}
"""The shapes of bodies, by the names that clients know them by."""

CLOUDEVENT_HEADERS = [
    {
        "name": f"ce-{name}",
        "in": "header",
        "schema": {"type": "string", **shape},
        "description": "as in a CloudEvent; all or none",
    }
    for name, shape in (
        ("specversion", {"enum": [SPEC_VERSION]}),
        ("type", {"enum": [EVENT_TYPE]}),
        ("source", ID_TEXT),
        ("id", ID_TEXT),
    )
]
"""What a CloudEvent in binary mode has beside its data, which is then the body."""


def _body(**schemas: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {name: {"schema": schema} for name, schema in schemas.items()}}


ZIP = "application/zip"
BYTES = {"type": "string", "format": "binary"}
UPLOAD_BODY = _body(**{"application/octet-stream": BYTES, ZIP: BYTES | {"description": "a folder, all its files below it"}})

PLAIN: dict[str, Any] = {"anyOf": [_named("Completion"), _named("S3Message"), _named("S3Test")]}
COMPLETION_BODY = _body(**{"application/json": PLAIN, "application/cloudevents+json": _named("CloudEvent")})
RESCAN_BODY = _body(**{"application/json": _named("Rescan")})
RETRY_BODY = _body(**{"application/json": _named("FailedIngestions")})
DISCARD_BODY = _body(**{"application/json": _named("UnwantedIngestions")})
NOTE_BODY = _body(**{"application/json": _named("Note")}) | {"required": False}
PAUSE_BODY = _body(**{"application/json": _named("Pause")}) | {"required": False}
MESSAGES_BODY = _body(**{"application/json": _named("UnwantedMessages")})
NAME_BODY = _body(**{"application/json": _named("NewName")})
MODEL_CHANGE_BODY = _body(**{"application/json": _named("ModelChange")})
CHANGE_BODY = _body(**{"application/json": _named("VersionChange")})
RELEASE_BODY = _body(**{"application/json": _named("VersionRelease")})
