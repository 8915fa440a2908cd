"""Reads the files that hold gates: JSON, or YAML as GradientCI keeps it in `.ps_project/config.yaml`.

In go a path or bytes, out come the plain values for `worker.gates`; what they mean is told there. JSON needs nothing; YAML
needs PyYAML, which `pip install 'modelport[yaml]'` brings, and is read without tags, types and aliases: every scalar is its
text, so nothing is made but lists, objects and words, and no larger than the file.

Law (has a test of the same name):
    any bytes give a value or a RejectedEvent.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from detectors.errors import ModelError
from detectors.json_text import parse_json
from worker.errors import RejectedEvent
from worker.gates import StandingGates, parse_gates, parse_standing
from worker.records import Gate

if TYPE_CHECKING:
    from types import ModuleType

MAX_BYTES = 1 << 18
"""Size of a file of gates."""

YAML_SUFFIXES = frozenset({".yaml", ".yml"})

TWICE = "a key stands twice"
"""How the note of `detectors.json_text` begins that would lose a gate."""


def gates_at(path: Path) -> tuple[Gate, ...]:
    """Return the gates in the file at *path*, which is YAML where it is called so and JSON otherwise.

    Raises:
        RejectedEvent: it cannot be read, or holds something else; the message names file and place.
    """
    return parse_gates(_value_at(path), f"{path}: gates")


def standing_at(path: Path) -> StandingGates:
    """Return the gates of a setting that the file at *path* holds.

    Raises:
        RejectedEvent: as `gates_at`.
    """
    return parse_standing(_value_at(path), f"{path}: gates")


def json_value(data: bytes, where: str) -> Any:
    """Return the JSON value that *data* is; *where* names it.

    Raises:
        RejectedEvent: it is not JSON, or says something twice.
    """
    try:
        value, notes = parse_json(data, where)
    except ModelError as exc:
        raise RejectedEvent(str(exc)) from exc
    if any(note.reason.startswith(TWICE) for note in notes):
        raise RejectedEvent(f"{where}: expected each name once in an object, found one twice")
    return value


def yaml_value(data: bytes, where: str) -> Any:
    """Return the value that the YAML text *data* is, every scalar as its text; *where* names it.

    Raises:
        RejectedEvent: it is not YAML, has an alias or says something twice; or there is nobody to read it.
    """
    try:
        import yaml
    except ImportError as exc:
        raise RejectedEvent(f"{where}: YAML needs PyYAML: pip install 'modelport[yaml]', or write it as JSON") from exc
    try:
        return yaml.load(data, Loader=_loader(yaml))  # noqa: S506 - it knows no tags and makes no objects
    except yaml.MarkedYAMLError as exc:
        mark = "" if exc.problem_mark is None else f" at line {exc.problem_mark.line + 1}"
        raise RejectedEvent(f"{where}: expected YAML, found{mark}: {exc.problem!a}") from exc
    except (yaml.YAMLError, UnicodeError, RecursionError) as exc:
        raise RejectedEvent(f"{where}: expected YAML, found {type(exc).__name__}") from exc


def _loader(yaml: ModuleType) -> Any:
    """Return a loader of plain lists, objects and texts: an alias may stand for a thousand others, and is not followed."""

    class Loader(yaml.BaseLoader):  # type: ignore[misc, name-defined]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.MarkedYAMLError(problem="an alias, which is not followed", problem_mark=self.peek_event().start_mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            found = super().construct_mapping(node, deep)
            if len(found) < len(node.value):
                raise yaml.MarkedYAMLError(problem="a name that stands twice", problem_mark=node.start_mark)
            return found

    return Loader


def _value_at(path: Path) -> Any:
    data = _bytes_of(path)
    return yaml_value(data, str(path)) if path.suffix.lower() in YAML_SUFFIXES else json_value(data, str(path))


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise RejectedEvent(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    if len(data) > MAX_BYTES:
        raise RejectedEvent(f"{path}: expected at most {MAX_BYTES} bytes")
    return data
