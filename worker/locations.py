"""From the model path that an experiment declared to a place that this worker may read.

In go the path as declared, or a place on object storage, the mounts and the allowed roots; out comes a `Location`, or a
rejection in words. Nothing is looked up: that the place exists, and that no link leads out of its root, is for whoever opens
it.

Laws (each has a test of the same name):
    a location lies inside an allowed root, or there is no location;
    dots never lead out of a mount;
    a template without a shared part gives no two teams the same place.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from detectors.tree import readable
from worker.errors import RejectedLocation
from worker.records import Cluster, CompletionEvent, Kind, Location, StoreMode
from worker.s3_url import is_s3, parse_s3


@dataclass(frozen=True, slots=True)
class Mount:
    """What an experiment sees as *path* lies at *at* for this worker. *at* may hold `{team}` and other fields of the event."""

    path: str
    at: str
    mode: StoreMode | None = None


PERSISTENT_PATHS = ("/storage", "/shared")
"""What outlives an experiment on the original platform: referenced where it is, as object storage is, unless a setting says
otherwise."""

SINGLE_NODE_PATH = "/artifacts"
MULTI_NODE_PATH = "/storage/models/{experiment_id}"
PRIVATE_PATH = "/shared/models/{experiment_id}"
"""Where the model of an experiment lies that named no path. On a private cluster the kind does not matter; what runs on several
machines, tuning too, leaves it where all of them can write."""

FIELDS = frozenset({"team", "project_id", "experiment_id", "cluster"})
"""Names that a mount or a root may hold in braces."""


SENDERS = FIELDS - {"team", "cluster"}
"""Those of them that a sender chooses at will."""

FIELD = re.compile(r"\{(\w+)\}")

NO_ROOTS = "none is set; MODELPORT_ROOTS and MODELPORT_MOUNTS say what may be reached"


@dataclass(frozen=True, slots=True)
class Places:
    """Where models may be. *roots* None allows every path (the embedded default), none at all allow what mounts give.

    *mode* None decides by the path.
    """

    mounts: tuple[Mount, ...] = ()
    roots: tuple[str, ...] | None = None
    mode: StoreMode | None = None


def resolve(event: CompletionEvent, places: Places) -> Location:
    """Return where the model path of *event* is for this worker.

    Raises:
        RejectedLocation: the path is relative, of an unknown kind, leaves its mount, or lies outside the allowed roots.
    """
    declared = event.model_path or default_path(event)
    if not declared.startswith("/") and not is_s3(declared):
        expected = "a path or s3://BUCKET/KEY" if "://" in declared else "an absolute path"
        raise RejectedLocation(f"{declared!r}: expected {expected}")
    if "\0" in declared:
        raise RejectedLocation(f"{declared!r}: a path cannot hold a zero byte")
    declared = _normal(declared)
    mount = _mount_of(declared, places.mounts)
    path = _through(mount, declared, event) if mount else declared
    url = path if is_s3(path) else "file://" + quote(path, safe="/", errors="surrogateescape")
    root = mount.at if mount is not None and not places.roots else _root_of(path, event, places.roots)
    return Location(url, path, _mode(mount, declared, path, places), None if root is None else _operators_part(root, event))


def check_from_afar(event: CompletionEvent, places: Places) -> None:
    """Raise where the model path of *event* is none for a sender who is not to reach all that this machine can read.

    Where roots are set, they decide when the path is resolved; where they are not, only what mounts give may be asked for.

    Raises:
        RejectedLocation: as `resolve`.
    """
    if places.roots is None:
        resolve(event, replace(places, roots=()))


def default_path(event: CompletionEvent) -> str:
    """Return where the model of an experiment lies that named no path.

    Raises:
        RejectedLocation: the experiment has no name, or one that is no step of a path.
    """
    if event.cluster is Cluster.PRIVATE:
        return _filled(PRIVATE_PATH, event)
    return SINGLE_NODE_PATH if event.kind in (None, Kind.SINGLE_NODE) else _filled(MULTI_NODE_PATH, event)


def _normal(path: str) -> str:
    """Return *path* without empty parts and dots. POSIX lets two leading slashes mean something else; here they do not.

    A place on object storage may have neither.
    """
    if is_s3(path):
        try:
            return str(parse_s3(path))
        except ValueError as exc:
            raise RejectedLocation(f"{readable(path)}: {exc}") from exc
    return "/" + posixpath.normpath(path).lstrip("/")


def _mount_of(declared: str, mounts: tuple[Mount, ...]) -> Mount | None:
    """Return the mount with the longest path that *declared* lies in, None where there is none."""
    holding = [mount for mount in mounts if _is_below(declared, mount.path)]
    return max(holding, key=lambda mount: len(mount.path), default=None)


def _through(mount: Mount, declared: str, event: CompletionEvent) -> str:
    inside = declared.removeprefix(mount.path).lstrip("/")
    return _normal(f"{_filled(mount.at, event).rstrip('/')}/{inside}")


def _filled(template: str, event: CompletionEvent) -> str:
    fields = _fields(event)

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        filled = fields.get(name)
        if not filled or "/" in filled or filled in (".", ".."):
            raise RejectedLocation(f"{template}: the event has no usable {name} ({filled!r})")
        return filled

    return FIELD.sub(value, template)


def shared_part(template: str) -> str | None:
    """Return the part of *template* that two teams may fill alike, None where there is none.

    `{team}-{project_id}` is one: team `a` with the project `b-c` meets team `a-b` with the project `c`. Fixed text beside
    `{team}` parts no less than a slash does.
    """
    parts = ((part, frozenset(FIELD.findall(part))) for part in template.split("/"))
    return next((part for part, fields in parts if "team" in fields and len(fields) > 1), None)


def _fields(event: CompletionEvent) -> Mapping[str, str | None]:
    return {"team": event.team, "project_id": event.project, "experiment_id": event.experiment, "cluster": event.cluster.value}


def _root_of(path: str, event: CompletionEvent, roots: tuple[str, ...] | None) -> str | None:
    """Return the allowed root that *path* lies in, as it is set, None where every path is allowed."""
    if roots is None:
        return None
    allowed = {_normal(_filled(root, event)): root for root in roots}
    found = next((root for folder, root in allowed.items() if _is_below(path, folder)), None)
    if found is None:
        raise RejectedLocation(f"{path} lies outside the allowed roots ({', '.join(allowed) or NO_ROOTS})")
    return found


def _operators_part(template: str, event: CompletionEvent) -> str:
    """Return the folder of *template*, filled, above the first name that a sender gives.

    That one may be reached through links, which are the operator's. Below it a team can make links itself, also one that is
    called like its experiment. Object storage has no links.
    """
    if is_s3(template):
        return _normal(_filled(template, event))
    parts = template.split("/")
    ours = next((place for place, part in enumerate(parts) if any(f"{{{name}}}" in part for name in SENDERS)), len(parts))
    return _normal(_filled("/".join(parts[:ours]), event))


def _mode(mount: Mount | None, declared: str, path: str, places: Places) -> StoreMode:
    if mount is not None and mount.mode is not None:
        return mount.mode
    if places.mode is not None:
        return places.mode
    persistent = mount is not None and any(_is_below(declared, path) for path in PERSISTENT_PATHS)
    return StoreMode.REFERENCE if persistent or is_s3(path) else StoreMode.COPY


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
