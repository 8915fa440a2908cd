"""Completions that no server has taken yet, one file each, below the home of who reports: written whole or not at all.

In goes a completion as a JSON object, out come files, oldest first. Who takes them, and when, is `client`'s to know. What goes
to one server with one token has a folder of its own: another address may be another installation, and another token another
team, to which nothing of the first may go.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 20
"""Size of a file in the spool; a larger one was not written by us."""

SUFFIX = ".json"
REFUSED = ".refused"
"""Files of the spool that wait to be sent, and those that a server refused: a person looks at these."""

HERE = "here"
"""The folder of what goes to no server, but into the queue of this machine."""

NOT_REGULAR = frozenset({errno.ELOOP, errno.ENXIO})
"""How the opening of a link or a socket fails."""


class BadFile(ValueError):
    """A file of the spool holds no completion."""


def spool_of(home: Path, url: str | None = None, token: str | None = None) -> Path:
    """Return the folder of what goes to the server at *url* with *token*; of this machine's own queue for None."""
    if url is None:
        return home / "spool" / HERE
    return home / "spool" / sha256(f"{url.rstrip('/')}\0{token or ''}".encode()).hexdigest()[:12]


def keep(completion: Mapping[str, Any], spool: Path) -> Path:
    """Write *completion* to *spool* so that it survives the machine, and return its file.

    Raises:
        OSError: it could not be written.
    """
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    half = spool / f".{name}"
    try:
        with half.open("x", encoding="utf-8") as file:
            json.dump(dict(completion), file)
            file.flush()
            os.fsync(file.fileno())
        whole = half.rename(spool / f"{name}{SUFFIX}")
    except OSError:
        half.unlink(missing_ok=True)
        raise
    folder = os.open(spool, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return whole


def waiting(spool: Path) -> list[Path]:
    """Return the files of *spool* that wait to be sent, oldest first."""
    return sorted(path for path in spool.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def waiting_beside(spool: Path) -> list[Path]:
    """Return the folders beside *spool* in which something waits, for another server or with another token."""
    return [folder for folder in sorted(spool.parent.glob("*/")) if folder != spool and waiting(folder)]


def counted(home: Path) -> tuple[int, int]:
    """Return how many files below *home* wait to be sent, and how many were refused."""
    folders = list((home / "spool").glob("*/"))
    return sum(len(waiting(folder)) for folder in folders), sum(len(list(one.glob(f"*{REFUSED}"))) for one in folders)


def read(path: Path) -> dict[str, Any]:
    """Return the completion in the file *path*.

    Raises:
        FileNotFoundError: another process sent it.
        BadFile: it holds none, or is no regular file. Nothing is waited for.
        OSError: the disk does not give it.
    """
    data = _content(path)
    try:
        completion = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise BadFile(str(exc)) from exc
    if not isinstance(completion, dict):
        raise BadFile("expected a JSON object")
    return completion


def _content(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno in NOT_REGULAR:
            raise BadFile(f"expected a regular file: {exc.strerror}") from exc
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise BadFile("expected a regular file")
        data = os.read(handle, MAX_BYTES + 1)
    finally:
        os.close(handle)
    if len(data) > MAX_BYTES:
        raise BadFile(f"more than {MAX_BYTES} bytes")
    return data


def put_aside(path: Path) -> None:
    """Send the file *path* no more, and leave it to a person; harmless where it is gone."""
    with suppress(FileNotFoundError):
        path.rename(path.with_suffix(REFUSED))
