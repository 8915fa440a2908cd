"""Where a path really lies whose links all stay inside one folder, without a question about anything outside of it.

In go a folder and the way on from it, out comes the name without links. Each name is looked up in the folder before it, which
is opened without following a link, so that a folder that is swapped for one meanwhile leads nowhere. A link that leads out is
refused for the words in it: what it names is not looked up, and neither the answer nor its time tells whether it is there.
Opening what was found, where it may have been swapped since, is left to `beneath`.

Law (has a test of the same name): what a link that leads out names makes no difference.
"""

from __future__ import annotations

import errno
import os

from detectors.beneath import PASSAGE_FLAGS, open_beneath
from detectors.local_tree import MAX_LINK_HOPS

MAX_NAMES = 4096
"""Names that are looked up on one way, those in the links on it included; each costs a system call."""


def follow(root: str, way: str) -> str:
    """Return the absolute name without links of what *way* leads to from *root*, the absolute name of a folder.

    *root* itself may be reached through links. A link below it may be absolute where it begins with *root* as it is given
    here, or as it really is; one that goes above *root* leads out, even where it comes back.

    Raises:
        OSError: as openat2(2) with RESOLVE_BENEATH: EXDEV where a link leads out, ELOOP after `MAX_LINK_HOPS` links,
            ENAMETOOLONG after `MAX_NAMES` names, ENOENT or ENOTDIR where nothing is there.
    """
    real = os.path.realpath(root)
    handle = os.open(real, PASSAGE_FLAGS)
    try:
        return os.path.join(real, *_followed(handle, _names(way), (_names(real), _names(root))))
    finally:
        os.close(handle)


def _followed(root: int, way: list[str], roots: tuple[list[str], ...]) -> list[str]:
    """Return the names without links that *way* leads to from the open folder *root*; each of *roots* is a name of it."""
    here: list[str] = []
    pending, hops = way[::-1], 0
    for _ in range(MAX_NAMES):
        if not pending:
            return here
        name = pending.pop()
        if name == "..":
            _go_up(here)
        elif (target := _target(root, here, name)) is None:
            here.append(name)
        else:
            hops += 1
            if hops > MAX_LINK_HOPS:
                raise _error(errno.ELOOP)
            if target.startswith("/"):
                here.clear()
                target = _below(roots, target)
            pending.extend(reversed(_names(target)))
    raise _error(errno.ENAMETOOLONG)


def _go_up(here: list[str]) -> None:
    if not here:
        raise _error(errno.EXDEV)
    here.pop()


def _target(root: int, here: list[str], name: str) -> str | None:
    """Return what the link *name* in the folder *here* says, None where something else has that name."""
    folder = open_beneath(root, "/".join(here) or ".", PASSAGE_FLAGS)
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        return None
    finally:
        os.close(folder)


def _below(roots: tuple[list[str], ...], target: str) -> str:
    """Return the rest of the absolute *target* behind that of the *roots* which it begins with."""
    names = _names(target)
    for root in roots:
        if names[: len(root)] == root:
            return "/".join(names[len(root) :])
    raise _error(errno.EXDEV)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
