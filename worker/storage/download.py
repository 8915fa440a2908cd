"""A folder of a user's own that a version is downloaded to: it appears whole, or not at all.

In go the bytes of files; out comes a folder of ordinary files at a path that was free. Which files, and whether they are the
right ones, is for the caller to say before the context ends.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detectors.tree import FileEntry
from worker.errors import RejectedLocation, StorageUnavailable
from worker.ports import OpenSink, Sink
from worker.storage.folders import made, opened, opened_folder
from worker.storage.layout import file_parts

FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def new_folder(path: Path) -> Iterator[OpenSink]:
    """Give the way to write files into a folder that stands at *path* when the context ends without an error.

    Raises:
        RejectedLocation: something is at *path* already, and it is not an empty folder, or one that cannot be replaced.
        StorageUnavailable: the folder cannot be written.
    """
    path = path if path.name not in ("", "..") else path.resolve()
    _check_free(path)
    incoming = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        incoming.mkdir(parents=True)
        with opened_folder(incoming) as folder:
            yield lambda entry: _file(folder, entry)
        incoming.rename(path)
    except OSError as exc:
        raise StorageUnavailable(f"{path}: {exc.strerror or exc}") from exc
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _check_free(path: Path) -> None:
    """Raise unless a folder can be put at *path*: where nothing is, or an empty folder that nobody holds on to."""
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir() or any(path.iterdir()):
        raise RejectedLocation(f"{path}: there is something already; name a folder that does not exist yet, or is empty")
    if path.samefile(Path.cwd()):
        raise RejectedLocation(f"{path}: is the folder that you are in; name one that does not exist yet")
    if path.is_mount():
        raise RejectedLocation(f"{path}: a disk is mounted there; name a folder on it that does not exist yet")


@contextmanager
def _file(folder: int, entry: FileEntry) -> Iterator[Sink]:
    *above, name = file_parts(entry.path)
    with made(folder, above):
        pass
    with opened(folder, above) as place:
        handle = os.open(name, FILE_FLAGS, 0o666, dir_fd=place)
    with open(handle, "wb") as sink:
        yield sink
