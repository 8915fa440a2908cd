"""`modelport verify`: what is named is opened, its models are found, and each is loaded and run once in a cage.

In go a path, a place on object storage or a registered version, a cage and its limits; out come checks. Files on this disk are
shown to the cage where they lie; others, and those that the user in the cage may not read, are copied for the time of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from urllib.parse import unquote, urlsplit

import structlog

from detectors.errors import DetectorError, TreeLimit
from detectors.open import open_path
from detectors.scan import Scan, scan
from detectors.tree import FileTree
from worker.cage.ladder import Cage, find_cage
from worker.cage.launcher import Limits, Subject
from worker.cage.scratch import new_folder
from worker.cage.view import is_open_to_all
from worker.drift import OpenVersion
from worker.errors import WorkerError
from worker.load_check import FORMATS, MAX_MODELS, Plan, Shown, check_models, on_disk, refused
from worker.ports import Clock, Registry
from worker.records import ModelVersion
from worker.storage.layout import file_parts
from worker.verification import LoadCheck, Seen, Verified, kept_text, verification_json, worst

PIECE_BYTES = 8 << 20
"""How much of a file is copied at once."""

ROOM_BYTES = 1 << 30
"""What a copy leaves free on the disk."""

Inspect = Callable[[FileTree], Scan]

LIMITS = Limits()

COPY_SECONDS = 600.0
"""How long it may take to bring the files of a version here."""

log = structlog.get_logger("modelport.verify")


def verify_path(path: str, cage: Cage, limits: Limits) -> tuple[LoadCheck, ...]:
    """Return the checks of the models at *path* on this disk, a folder or a file.

    Raises:
        TreeError: it cannot be read.
    """
    with open_path(path) as tree:
        return verify_tree(tree, _folder(path), cage, limits)


def _folder(path: str) -> str:
    """Return the folder that the names in the tree at *path* start from."""
    real = os.path.realpath(path)
    return real if os.path.isdir(real) else os.path.dirname(real)


def verify_version(
    version: ModelVersion,
    open_version: OpenVersion,
    cage: Cage,
    limits: Limits,
    inspect: Inspect = scan,
) -> tuple[LoadCheck, ...]:
    """Return the checks of the models of *version*, wherever its files are kept.

    Raises:
        TreeError, StorageUnavailable: its files cannot be read.
    """
    place = urlsplit(version.url)
    local = unquote(place.path, errors="surrogateescape") if place.scheme == "file" else None
    with open_version(version) as tree:
        return verify_tree(tree, None if local is None else _folder(local), cage, limits, inspect)


def verify_waiting(
    registry: Registry,
    open_version: OpenVersion,
    inspect: Inspect,
    clock: Clock,
    owner: str,
    cage: Cage | None = None,
    limits: Limits = LIMITS,
) -> int:
    """Make the load checks of versions that were never checked, one after the other, the newest first, until none waits; return
    how many were kept. *cage* is the best that there is where None is given.

    What cannot be read now is left to its claim, which ends after a while. Where there is no cage, nothing is claimed.

    Raises:
        RegistryUnavailable: the database did not answer.
    """
    cage, done = cage or our_cage(), 0
    if cage.rung is None:
        return done
    seconds = limits.seconds * MAX_MODELS + COPY_SECONDS
    while (version := registry.verifications.claim(owner, FORMATS, clock.now(), seconds)) is not None:
        try:
            checks = verify_version(version, open_version, cage, limits, inspect)
        except (DetectorError, WorkerError, OSError) as exc:
            log.error("not verified", version=version.id, why=str(exc))
            continue
        done += keep(registry, version, checks, clock.now())
        log.info("verified", version=version.id, outcome=worst(checks).value)
    return done


@cache
def our_cage() -> Cage:
    """Return the best cage that this machine has, sought once in a process; that there is none is said once."""
    cage = find_cage()
    if cage.rung is None:
        log.warning("no load checks", why=cage.why)
    return cage


def keep(registry: Registry, version: ModelVersion, checks: Sequence[LoadCheck], at: datetime) -> bool:
    """Keep what *checks* of *version* came to; False where it was deleted meanwhile."""
    report = verification_json(f"{version.model_name}@{version.number}", checks)
    return registry.verifications.keep(version.id, Verified(worst(checks), kept_text(report), at))


def verify_tree(
    tree: FileTree, folder: str | None, cage: Cage, limits: Limits, inspect: Inspect = scan
) -> tuple[LoadCheck, ...]:
    """Return the checks of the models in *tree*, whose files lie in *folder* on this disk, for None on none.

    Raises:
        TreeError: it cannot be read.
    """
    found = inspect(tree)
    if cage.rung is None:
        return refused(found, cage.why)

    def run(plan: Plan, files: Mapping[str, str]) -> Seen:
        return cage.run(Subject(plan.module, plan.model, files), limits)

    return check_models(found, partial(_shown, tree, folder), run)


@contextmanager
def _shown(tree: FileTree, folder: str | None, paths: Sequence[str]) -> Iterator[Shown]:
    """Give where the files at *paths* lie so that the cage can show them."""
    shown = Shown({}, ()) if folder is None else on_disk(folder, paths)
    if folder is not None and (os.getuid() != 0 or all(map(is_open_to_all, shown.files.values()))):
        yield shown
        return
    wanted = paths if folder is None else list(shown.files)
    with _copied(tree, wanted) as files:
        yield replace(shown, files=files)


@contextmanager
def _copied(tree: FileTree, paths: Sequence[str]) -> Iterator[dict[str, str]]:
    """Give copies of the files at *paths* that everybody may read.

    Raises:
        TreeLimit: there is no room for them.
    """
    sizes = {entry.path: entry.size for entry in tree.files()}
    with new_folder() as folder:
        room, wanted = shutil.disk_usage(folder).free, sum(sizes[path] for path in paths)
        if wanted + ROOM_BYTES > room:
            raise TreeLimit("", f"its files take {wanted} bytes, and {room} are free in {os.path.dirname(folder)}")
        yield {path: _copy(tree, path, sizes[path], folder) for path in paths}


def _copy(tree: FileTree, path: str, size: int, folder: str) -> str:
    """Copy the file at *path* into *folder*; return where it is."""
    *folders, name = file_parts(path)
    target = os.path.join(folder, *folders, name)
    above = folder
    for name in folders:
        above = os.path.join(above, name)
        os.makedirs(above, mode=0o755, exist_ok=True)
        os.chmod(above, 0o755)  # noqa: S103 - see above
    with open(target, "xb") as file:
        for start in range(0, size, PIECE_BYTES):
            file.write(tree.read(path, start, min(start + PIECE_BYTES, size)))
    os.chmod(target, 0o644)
    return target
