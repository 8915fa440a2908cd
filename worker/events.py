"""From what a door was told to a `CompletionEvent`, or a rejection in words.

Pure: no file is looked at. Today one door speaks: a person at the command line.
"""

from __future__ import annotations

import os
import re

from detectors.facts import ModelType
from worker.errors import RejectedEvent
from worker.records import DEFAULT_PROJECT, DEFAULT_TEAM, CompletionEvent, Trigger

MAX_NAME_CHARACTERS = 255
"""Length of a name of a project, an experiment or a model."""

MODEL_TYPES = {kind.value.lower(): kind for kind in ModelType} | {
    "1": ModelType.TENSORFLOW,
    "2": ModelType.ONNX,
    "3": ModelType.CUSTOM,
}
"""Declared types in any case, and the numbers that clients of 2019 sent."""


def model_type(word: str | None) -> ModelType | None:
    """Return the type that *word* declares; None for None. A word that nobody knows means Custom, as it did on Gradient."""
    return None if word is None else MODEL_TYPES.get(word.strip().lower(), ModelType.CUSTOM)


def event_of_path(
    path: str,
    event_id: str,
    working_folder: str,
    project: str | None = None,
    experiment: str | None = None,
    name: str | None = None,
    declared: ModelType | None = None,
) -> CompletionEvent:
    """Return the event of a person who wants *path* looked at; a relative path is meant from *working_folder*.

    Raises:
        RejectedEvent: the path or a name is empty, too long, or holds control characters.
    """
    if not path:
        raise RejectedEvent("path: expected a folder or a file, found nothing")
    if "://" not in path:
        path = os.path.normpath(os.path.join(working_folder, path))
    return CompletionEvent(
        source="cli",
        id=event_id,
        model_path=path,
        team=DEFAULT_TEAM,
        project=checked_name("project", project) or DEFAULT_PROJECT,
        experiment=checked_name("experiment", experiment),
        declared_type=declared,
        name=checked_model_name(name),
        trigger=Trigger.CLI,
    )


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
    return name
