"""From what a door was told to a `CompletionEvent`, or a rejection that names the field, what was expected and what was found.

Doors are a person at the command line, and programs: the plain object of `POST /v1/completions`, a CloudEvent around it, and
the request for another look at a path. Fields that nobody knows are passed over, so that a newer sender can speak to an older
server; a field that is known and has a wrong type is refused, because a guess would be recorded as a fact.
Pure: no file is looked at. Bounding a body, parsing it, and telling HTTP's ways to wrap a CloudEvent apart, are the door's.

Laws (each has a test of the same name):
    any JSON value gives an event or a RejectedEvent;
    the team is the one that the door says, whatever the JSON says.

Source: CloudEvents 1.0.2, "Required Attributes", and its JSON format; for the words of states, kinds and types the records of
the original system.
"""

from __future__ import annotations

import os
import re
from posixpath import normpath
from typing import Any
from urllib.parse import quote

from detectors.facts import ModelType
from detectors.tree import NO_BYTE
from worker.errors import RejectedEvent
from worker.fields import Object, flag, is_number, number, object_of, only, required_text, shown, text, word
from worker.gates import parse_gates
from worker.model_types import model_type
from worker.records import (
    DEFAULT_PROJECT,
    DEFAULT_TEAM,
    Cluster,
    CompletionEvent,
    ExperimentState,
    Gate,
    Kind,
    NamedFile,
    Trigger,
)

MAX_NAME_CHARACTERS = 255
"""Length of a name of a project, an experiment or a model."""

MAX_NAME_BYTES = 512
"""UTF-8 bytes of a name. Three of them stand in one unique index, and PostgreSQL's index rows end at 2,704 bytes."""

MAX_ID_CHARACTERS = 1024
"""Length of a source and of an event's id."""

MAX_PATH_CHARACTERS = 4096
"""Length of a path: Linux takes no longer one."""

MAX_GIT_CHARACTERS = 255
MAX_TYPE_CHARACTERS = 64
MAX_FILES = 10_000
MAX_RESTARTS = 1_000_000
MAX_SIZE_BYTES = 2**63 - 1

EVENT_TYPE = "experiment.completed"
"""The type of a CloudEvent that is taken; any other is refused, not passed over."""

SPEC_VERSION = "1.0"
HTTP_SOURCE = "http"
RESCAN_SOURCE = "rescan"

STATES = {
    "stopped": ExperimentState.STOPPED,
    "success": ExperimentState.STOPPED,
    "error": ExperimentState.ERROR,
    "failed": ExperimentState.FAILED,
    "canceled": ExperimentState.CANCELED,
    "cancelled": ExperimentState.CANCELED,
    "5": ExperimentState.STOPPED,
    "6": ExperimentState.ERROR,
    "7": ExperimentState.FAILED,
    "8": ExperimentState.CANCELED,
}
"""The ends of an experiment, as words and by the numbers of the original system."""

KINDS = {
    "singlenode": Kind.SINGLE_NODE,
    "multinode": Kind.MULTI_NODE,
    "grpcmultinode": Kind.MULTI_NODE,
    "mpimultinode": Kind.MULTI_NODE,
    "hyperparameter": Kind.TUNING,
    "hyperparametertuning": Kind.TUNING,
    "1": Kind.SINGLE_NODE,
    "2": Kind.MULTI_NODE,
    "3": Kind.MULTI_NODE,
    "4": Kind.TUNING,
}
"""What an experiment runs on: words without spaces, dashes and underscores, and experimentTypeId (2 is gRPC, 3 MPI)."""

CLUSTERS = {cluster.value: cluster for cluster in Cluster}

SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def event_of_path(
    path: str,
    event_id: str,
    working_folder: str,
    project: str | None = None,
    experiment: str | None = None,
    name: str | None = None,
    declared: ModelType | None = None,
    team: str = DEFAULT_TEAM,
    gates: tuple[Gate, ...] = (),
) -> CompletionEvent:
    """Return the event of a person of *team* who wants *path* looked at; a relative path is meant from *working_folder*.

    Raises:
        RejectedEvent: the path is none that a file can have, or a name is empty, too long, or holds control characters.
    """
    if not path:
        raise RejectedEvent("path: expected a folder or a file, found nothing")
    if "://" not in path:
        path = os.path.normpath(os.path.join(working_folder, path))
    return CompletionEvent(
        source="cli",
        id=event_id,
        model_path=_checked_path("path", path),
        team=team,
        project=checked_name("project", project) or DEFAULT_PROJECT,
        experiment=checked_name("experiment", experiment),
        declared_type=declared,
        name=checked_model_name(name),
        trigger=Trigger.CLI,
        gates=gates,
    )


def completion_from_json(data: Any, team: str) -> CompletionEvent:
    """Return the event that the plain object *data* of a sender of *team* reports.

    Raises:
        RejectedEvent: a field is missing, or is not what it must be.
    """
    fields = object_of("the body", data)
    source = text(fields, "source", MAX_ID_CHARACTERS) or HTTP_SOURCE
    return _completion(fields, team, source, text(fields, "id", MAX_ID_CHARACTERS))


def completion_from_cloudevent(envelope: Any, team: str) -> CompletionEvent:
    """Return the event in a CloudEvent, whose attributes and `data` stand in one JSON object, as in structured mode.

    Raises:
        RejectedEvent: an attribute or a field of the data is missing, or is not what it must be.
    """
    attributes = object_of("the body", envelope)
    only(attributes, "specversion", SPEC_VERSION)
    only(attributes, "type", EVENT_TYPE)
    source, event_id = (required_text(attributes, name, MAX_ID_CHARACTERS) for name in ("source", "id"))
    return _completion(object_of("data", attributes.get("data")), team, source, event_id)


def rescan_from_json(data: Any, team: str, event_id: str) -> CompletionEvent:
    """Return the event of a person of *team* who wants the `path` in *data* looked at; *event_id* names it unless they do.

    Raises:
        RejectedEvent: a field is missing, or is not what it must be.
    """
    fields = object_of("the body", data)
    path = required_text(fields, "path", MAX_PATH_CHARACTERS)
    if not path.startswith("/") and "://" not in path:
        raise RejectedEvent(f"path: expected an absolute path or a URL, found {shown(path)}")
    return CompletionEvent(
        source=RESCAN_SOURCE,
        id=text(fields, "id", MAX_ID_CHARACTERS) or event_id,
        model_path=_checked_path("path", path),
        team=team,
        project=_name(fields, "projectId") or DEFAULT_PROJECT,
        experiment=_name(fields, "experimentId"),
        declared_type=_type(fields),
        name=checked_model_name(text(fields, "name", MAX_ID_CHARACTERS)),
        trigger=Trigger.RESCAN,
        is_forced=flag(fields, "force"),
    )


def default_event_id(source: str, experiment: str, state: ExperimentState, restarts: int) -> str:
    """Return the id of an event that nobody named: the same for each message of one end of one run, different otherwise."""
    return "/".join(
        (*(quote(part, safe="", errors="surrogatepass") for part in (source, experiment)), state.value, str(restarts))
    )


def _completion(fields: Object, team: str, source: str, event_id: str | None) -> CompletionEvent:
    experiment, state = _name(fields, "experimentId"), word(fields, "state", STATES) or ExperimentState.STOPPED
    restarts = number(fields, "restartCount", MAX_RESTARTS) or 0
    model_path = _checked_path("modelPath", text(fields, "modelPath", MAX_PATH_CHARACTERS) or "")
    git = object_of("git", {} if fields.get("git") is None else fields["git"])
    if experiment is None and not (event_id and model_path):
        raise RejectedEvent("experimentId: expected text, found nothing; only what has an id and a modelPath may leave it out")
    return CompletionEvent(
        source=source,
        id=event_id or default_event_id(source, experiment or "", state, restarts),
        model_path=model_path,
        team=team,
        project=_name(fields, "projectId") or DEFAULT_PROJECT,
        experiment=experiment,
        declared_type=_type(fields),
        name=checked_model_name(text(fields, "name", MAX_ID_CHARACTERS)),
        trigger=Trigger.COMPLETION,
        kind=_kind(fields),
        cluster=word(fields, "cluster", CLUSTERS) or Cluster.PUBLIC,
        state=state,
        git_ref=text(git, "ref", MAX_GIT_CHARACTERS, "git.ref"),
        git_sha=text(git, "sha", MAX_GIT_CHARACTERS, "git.sha"),
        files=_files(fields.get("files")),
        gates=() if fields.get("gates") is None else parse_gates(fields["gates"]),
    )


def _kind(fields: Object) -> Kind | None:
    named, numbered = word(fields, "kind", KINDS), word(fields, "experimentTypeId", KINDS)
    if None not in (named, numbered) and named is not numbered:
        raise RejectedEvent(f"kind: expected what experimentTypeId says, found {shown(fields['kind'])}")
    return named or numbered


def _type(fields: Object) -> ModelType | None:
    value = fields.get("modelType")
    if is_number(value):
        return model_type(str(value))
    return model_type(text(fields, "modelType", MAX_TYPE_CHARACTERS) or None)


def _files(value: Any) -> tuple[NamedFile, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RejectedEvent(f"files: expected a list, found {shown(value)}")
    if len(value) > MAX_FILES:
        raise RejectedEvent(f"files: expected at most {MAX_FILES}, found {len(value)}")
    files = tuple(_file(one, f"files[{at}]") for at, one in enumerate(value))
    if len({file.path for file in files}) < len(files):
        raise RejectedEvent("files: expected each path once, found one twice")
    return files


def _file(value: Any, where: str) -> NamedFile:
    fields = object_of(where, value)
    path = _checked_path(f"{where}.path", required_text(fields, "path", MAX_PATH_CHARACTERS, f"{where}.path"))
    if path.startswith("/") or normpath(path) != path or path.split("/")[0] in (".", ".."):
        raise RejectedEvent(f"{where}.path: expected a path below the model path, found {shown(path)}")
    size = number(fields, "size", MAX_SIZE_BYTES, f"{where}.size")
    if size is None:
        raise RejectedEvent(f"{where}.size: expected a number of bytes, found nothing")
    sha256 = text(fields, "sha256", MAX_GIT_CHARACTERS, f"{where}.sha256")
    if sha256 is not None and not SHA256.fullmatch(sha256):
        raise RejectedEvent(f"{where}.sha256: expected 64 hex digits, found {shown(sha256)}")
    return NamedFile(path, size, sha256 and sha256.lower())


def _name(fields: Object, key: str) -> str | None:
    return checked_name(key, text(fields, key, MAX_ID_CHARACTERS))


def _checked_path(key: str, path: str) -> str:
    """Return *path*, in which each character stands for bytes that the name of a file can hold."""
    if "\0" in path:
        raise RejectedEvent(f"{key}: expected a path, found a zero character in it")
    if found := NO_BYTE.search(path):
        raise RejectedEvent(f"{key}: expected a path, found U+{ord(found[0]):04X} in it, which no file name has")
    return path


VERSION_ID = re.compile(r"mo[a-z0-9]{12,13}")
"""The id of a version, as the original repository made them."""


def checked_model_name(name: str | None) -> str | None:
    """Return *name* as `checked_name` does, if it cannot be taken for an id or for one version of another model.

    Raises:
        RejectedEvent: it looks like an id, or ends in `@` and a number.
    """
    checked = checked_name("name", name)
    if checked is not None and (VERSION_ID.fullmatch(checked) or re.search(r"@[0-9]+$", checked)):
        raise RejectedEvent(f"name: {checked!r} would be taken for an id or a version; choose another")
    return checked


def checked_name(what: str, name: str | None) -> str | None:
    """Return *name* without surrounding space, None for None.

    Raises:
        RejectedEvent: it is empty, too long, or holds characters that no terminal and no database should see.
    """
    if name is None:
        return None
    name = name.strip()
    if not name or len(name) > MAX_NAME_CHARACTERS:
        raise RejectedEvent(f"{what}: expected 1 to {MAX_NAME_CHARACTERS} characters, found {len(name)}")
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", name):
        raise RejectedEvent(f"{what}: expected printable text, found {name!r}")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise RejectedEvent(f"{what}: expected at most {MAX_NAME_BYTES} bytes of UTF-8, found {len(name.encode())}")
    return name
