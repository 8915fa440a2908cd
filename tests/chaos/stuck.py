"""A worker for which a run with a file `hangs` hangs, and a store with one, where no file system that does can be mounted.

`python -m tests.chaos.stuck ARGUMENTS` is `modelport ARGUMENTS` otherwise. Who waits can be killed here, and that is all that
differs from a mount.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

from detectors.local_tree import LocalTree
from detectors.tree import FileEntry
from tests.chaos.hanging import MARKER, Hangs
from worker.cli import main
from worker.errors import StorageUnavailable
from worker.storage.local import LocalStore

NEVER, _kept_open = os.pipe()
"""A pipe into which nobody writes."""

healthy_files, healthy_read = LocalTree.files, LocalTree.read


def hangs(tree: Any) -> Hangs | None:
    marker = Path(os.fsdecode(tree._name)) / MARKER
    return Hangs(marker.read_text()) if marker.is_file() else None


def files(self: Any) -> Iterator[FileEntry]:
    if hangs(self) in (Hangs.STAT, Hangs.LIST):
        os.read(NEVER, 1)
    return healthy_files(self)


def read(self: Any, path: str, start: int, stop: int) -> bytes:
    if hangs(self) is Hangs.READ:
        os.read(NEVER, 1)
    return healthy_read(self, path, start, stop)


def hanging_with_its_store(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(store: Any, *arguments: Any, **named: Any) -> Any:
        try:
            is_hanging = (Path(store._root) / MARKER).is_file()
        except OSError as exc:  # the mount was taken away while we asked
            raise StorageUnavailable(f"{store._root}: {exc.strerror}") from exc
        if is_hanging:
            os.read(NEVER, 1)
        return method(store, *arguments, **named)

    return call


# Not below, so that processes that are spawned, and import this module by another name, hang as well.
LocalTree.files, LocalTree.read = files, read  # type: ignore[method-assign]
for name in ("writing", "remove", "opened"):
    setattr(LocalStore, name, hanging_with_its_store(getattr(LocalStore, name)))

if __name__ == "__main__":
    sys.argv[0] = "modelport"
    main()
