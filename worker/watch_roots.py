"""Which folders below a watched path are runs, and what their names say: a path with fields, read backwards.

In go the path as the setting has it, the mounts, and names of folders; out come the folder of this machine to begin at, and
for a folder below it the run that it is, with the path as experiments declare it, its project and its experiment. A path
without fields means each folder directly in it. A prefix on object storage is a path like any other. Nothing is looked up.

Laws (each has a test of the same name):
    the declared path of a run resolves to the folder that it was found in;
    no hidden folder is a run.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.errors import BadSetting
from worker.locations import Mount
from worker.records import DEFAULT_PROJECT, Cluster
from worker.s3_url import SCHEME, is_s3

CHILD = "folder"
"""The field that stands for any name, where a path has none: what it matches says nothing about the run."""

FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Run:
    """A folder that one run writes to: *folder* on this machine, *path* as an experiment would declare it.

    experiment is None where the folder's name does not stand for one.
    """

    folder: str
    path: str
    project: str
    experiment: str | None


@dataclass(frozen=True, slots=True)
class Root:
    """A watched path: *folder* is where it begins on this machine, each of *steps* is what one name below must look like.

    template is the path as it is declared, with its fields.
    """

    template: str
    folder: str
    steps: tuple[re.Pattern[str], ...]
    project: str | None

    def leads_on(self, names: Sequence[str]) -> bool:
        """Tell whether the folder reached from the root by *names* may be a run, or may hold one."""
        return len(names) <= len(self.steps) and _fields(self.steps, names) is not None

    def run_at(self, names: Sequence[str]) -> Run | None:
        """Return the run whose folder is reached from the root by *names*, None where that is none."""
        fields = _fields(self.steps, names) if len(names) == len(self.steps) else None
        if fields is None:
            return None
        path = FIELD.sub(lambda found: fields[found.group(1)], self.template)
        project = fields.get("project_id") or self.project or DEFAULT_PROJECT
        return Run(posixpath.join(self.folder, *names), path, project, fields.get("experiment_id"))

    def names_below(self, path: str) -> list[str] | None:
        """Return the names that lead from the root to *path* on this machine; None where it does not lie in the root."""
        if path == self.folder:
            return []
        base = self.folder.rstrip("/") + "/"
        return path[len(base) :].split("/") if path.startswith(base) else None


def root_of(
    path: str, team: str, project: str | None = None, mounts: Sequence[Mount] = (), setting: str = "MODELPORT_WATCH"
) -> Root:
    """Return what is watched where *team* names *path*, an absolute one or `s3://…`; it may lie in a mount. *setting* is
    where it was named.

    Raises:
        BadSetting: one name in it, or in the mount, holds a field twice.
    """
    declared = _filled(_normal(path), {"team": team, "cluster": Cluster.PUBLIC.value})
    here = _filled(_through(declared, mounts), {"team": team, "cluster": Cluster.PUBLIC.value})
    if not FIELD.search(here):
        declared, here = (posixpath.join(one, f"{{{CHILD}}}") for one in (declared, here))
    fixed, _, _ = here.partition("{")
    folder = posixpath.dirname(fixed)
    names = posixpath.relpath(here, folder).split("/")
    _check_fields(f"{setting}: {path}", "" if here == _normal(path) else f", which lies at {here}", names)
    steps = tuple(_step(name) for name in names)
    return Root(declared, folder, steps, project)


def _normal(path: str) -> str:
    if is_s3(path):
        return SCHEME + posixpath.normpath(path.removeprefix(SCHEME))
    return "/" + posixpath.normpath(path).lstrip("/")


def _through(declared: str, mounts: Sequence[Mount]) -> str:
    """Return where *declared* lies on this machine, as the mount with the longest path says."""
    holding = [mount for mount in mounts if declared == mount.path or declared.startswith(mount.path.rstrip("/") + "/")]
    if not holding:
        return declared
    mount = max(holding, key=lambda mount: len(mount.path))
    return _normal(posixpath.join(mount.at, posixpath.relpath(declared, mount.path)))


def _filled(template: str, fields: Mapping[str, str]) -> str:
    return FIELD.sub(lambda found: fields.get(found.group(1), found.group(0)), template)


def _check_fields(said: str, lies: str, names: Sequence[str]) -> None:
    """Raise where a name holds a field twice: nobody would tell where in the name of a folder the first one ends."""
    for name in names:
        fields = FIELD.findall(name)
        twice = next((field for field in fields if fields.count(field) > 1), None)
        if twice is not None:
            raise BadSetting(f"{said}{lies}: expected each field once in a name, found {{{twice}}} twice in {name}")


def _step(name: str) -> re.Pattern[str]:
    """Return what matches one name: its fields match anything but a beginning dot. A field may come again in another step."""
    parts = FIELD.split(name)
    named = [f"(?P<{part}>.+)" if place % 2 else re.escape(part) for place, part in enumerate(parts)]
    return re.compile(("(?!\\.)" if len(parts) > 1 else "") + "".join(named), re.DOTALL)


def _fields(steps: Sequence[re.Pattern[str]], names: Sequence[str]) -> Mapping[str, str] | None:
    """Return what *names* say, None where they do not fit the first *steps* or contradict each other."""
    fields: dict[str, str] = {}
    for step, name in zip(steps, names, strict=False):
        found = step.fullmatch(name)
        if found is None or any(fields.setdefault(field, value) != value for field, value in found.groupdict().items()):
            return None
    return fields
