"""How a version is called, tagged and measured in MLflow; pure.

MLflow knows neither teams nor projects, forbids some characters in names and more of them in the names of metrics, and its
database cuts or refuses what is too long. Sources of the limits: MLflow 3.17 `utils/validation.py` and
`store/model_registry/dbmodels/models.py`; 2.22 has the same or wider ones, but for the tags of runs.

Laws (each has a test of the same name):
    two models are never called alike;
    every name is one that MLflow takes;
    every metric is sent, and none under another's name.
"""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from detectors.facts import Metric
from detectors.tree import readable
from worker.records import DEFAULT_TEAM, ModelVersion
from worker.s3_url import is_s3

VERSION_TAG = "modelport.version"
"""The tag by which a version of ours is found again in MLflow, and its run."""

DELETED_TAG = "modelport.deleted"

SCHEME = "modelport"

MAX_NAME_CHARS, MAX_EXPERIMENT_CHARS = 230, 450
"""Of 256 and 500 that MLflow takes; a run is called by a name of ours and a number, in 250."""

MAX_SOURCE_CHARS = 500
MAX_TAG_CHARS = 4_900
"""Of 5,000 that the database of MLflow takes for a tag of a version."""

MAX_METRIC_CHARS = 240
MAX_STEP = 2**63 - 1

UNSAFE = re.compile(r"[./:~%\\]")
"""What is escaped in a name: the dot between its parts, what MLflow forbids, the sign of an escape, and what is decoded by who
takes the name for a part of an address."""

ODD_IN_METRIC = re.compile(r"[^/\w.\- :]")


def model_name(version: ModelVersion) -> str:
    """Return how the registered model of *version* is called: `project.name`, with the team before it unless it is the first.

    Each part is escaped, so that equal names are equal parts, whatever two teams think of.
    """
    return _joined([*_of_team(version), version.project, version.model_name], MAX_NAME_CHARS)


def experiment_name(version: ModelVersion) -> str:
    """Return the experiment that holds the runs of a project's versions: `modelport.project`; no person's has such a name."""
    return _joined([SCHEME, *_of_team(version), version.project], MAX_EXPERIMENT_CHARS)


def _of_team(version: ModelVersion) -> Iterable[str]:
    return () if version.team == DEFAULT_TEAM else (version.team,)


def _joined(parts: Iterable[str], most: int) -> str:
    """Return *parts* with dots between them. A name that is too long ends in a digest of it, after what no escape holds."""
    name = ".".join(map(_escaped, parts))
    if len(name) <= most:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:24]
    return f"{name[: most - len(digest) - 2]}~~{digest}"


def _escaped(part: str) -> str:
    """Return *part* with each byte of an unsafe character as `~` and two digits; so are blanks at its ends."""
    blanks = len(part) - len(part.lstrip(" ")), len(part.rstrip(" "))
    return "".join(
        character
        if character.isprintable() and not UNSAFE.match(character) and blanks[0] <= at < blanks[1]
        else "".join(f"~{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
        for at, character in enumerate(part)
    )


def source(version: ModelVersion) -> str:
    """Return where MLflow is told that the files lie: on object storage their address, else a name that nobody opens.

    MLflow takes no path on a disk but below the folder of a run of its own, and no address of another web server.
    """
    is_taken = is_s3(version.url) and len(version.url) <= MAX_SOURCE_CHARS
    return version.url if is_taken else f"{SCHEME}:/{version.id}"


def tags(version: ModelVersion, page: str | None) -> Mapping[str, str]:
    """Return the tags of *version*, each no longer than MLflow keeps; *page* is where a person finds it here."""
    said = {
        "version": version.id,
        "name": version.model_name,
        "number": str(version.number),
        "team": version.team,
        "project": version.project,
        "experiment": version.experiment,
        "type": version.model_type.value,
        "format": version.format,
        "digest": version.digest,
        "completeness": version.completeness,
        "verdict": version.verdict,
        "signature": signature_text(version.report),
        "size_bytes": str(version.size_bytes),
        "store": version.store.value,
        "url": version.url,
        "location": version.location,
        "duplicate_of": version.duplicate_of,
        "tags": ", ".join(version.tags),
        "page": page,
    }
    return {f"{SCHEME}.{key}": cut(readable(value)) for key, value in said.items() if value}


def cut(text: str) -> str:
    """Return *text* without zero characters, or its beginning with an ellipsis where it is longer than a tag."""
    text = text.replace("\0", "\\0")
    return text if len(text) <= MAX_TAG_CHARS else text[: MAX_TAG_CHARS - 1] + "…"


def signature_text(report: str) -> str:
    """Return the signatures of the primary model of a scan report on one line: `serve(x: float32[?, 8]) -> (y: int64[?])`.

    A size that is not known is `?`, a rank that is not known `[*]`; empty where there is no signature.
    """
    models = json.loads(report).get("models", ())
    primary: Mapping[str, Any] = next((model for model in models if model.get("primary")), {})
    return "; ".join(map(_signature, primary.get("facts", {}).get("signatures") or ()))


def _signature(signature: Mapping[str, Any]) -> str:
    inputs, outputs = (", ".join(map(_tensor, signature.get(side) or ())) for side in ("inputs", "outputs"))
    return f"{signature.get('name')}({inputs}) -> ({outputs})"


def _tensor(tensor: Mapping[str, Any]) -> str:
    shape = tensor.get("shape")
    sizes = "*" if shape is None else ", ".join("?" if size is None else str(size) for size in shape)
    return f"{tensor.get('name')}: {tensor.get('dtype')}[{sizes}]"


def metrics(values: Iterable[Metric], registered_ms: int) -> Iterator[dict[str, Any]]:
    """Yield *values* as MLflow logs them, `session/name`; *registered_ms* is the time of those that have none of their own.

    What is not a number, or beyond all, is the word that JSON of protobuf has for it.
    """
    for metric in values:
        name = f"{metric.session}/{metric.name}" if metric.session else metric.name
        yield {
            "key": metric_name(name),
            "value": _number(metric.value),
            "timestamp": registered_ms if metric.wall_time is None else _whole(metric.wall_time * 1000, registered_ms),
            "step": _whole(metric.step or 0, 0),
        }


def metric_name(name: str) -> str:
    """Return *name* as MLflow takes it; one that has to be changed for that ends in a digest of what it was."""
    plain = posixpath.normpath(ODD_IN_METRIC.sub("_", name))
    if plain == name and len(name) <= MAX_METRIC_CHARS and not name.startswith(("/", "..")) and name not in ("", "."):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{plain.replace('..', '_').strip('/.')[: MAX_METRIC_CHARS - 13]}_{digest}"


def _number(value: float | int) -> float | str:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if math.isnan(number):
        return "NaN"
    return number if math.isfinite(number) else ("Infinity" if number > 0 else "-Infinity")


def _whole(value: float | int, otherwise: int) -> int:
    """Return *value* as a number of 64 bits that is not negative, or *otherwise*."""
    return int(value) if math.isfinite(value) and 0 <= value <= MAX_STEP else otherwise
