"""What of the machine a caged process sees: the system's programs, this Python with its libraries, and the files of one model.

In go paths, out come the command line of bubblewrap and the rules of Landlock, as data.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from worker.verification import Rung

NOBODY = 65534
"""The user and the group inside, and outside where root started it."""

MODEL, CODE, SCRATCH = "/model", "/cage", "/scratch"
"""Names inside. There is no /tmp: what a model looks for there is what others left there, and is told."""

MAX_FILES = 2000
"""Files of one model: each is bound by itself, and bubblewrap takes 9,000 arguments."""

SHARED_MEMORY_BYTES = 1 << 20
"""Of /dev/shm inside."""

SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib64", "/lib32")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
ABOUT_PROCESSORS = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system")
"""What frameworks read to find out on how many processors they run."""

QUIETLY_ASKED = (*ABOUT_PROCESSORS, *DEVICES, *SYSTEM_FILES, "/usr", *SYSTEM_LINKS, "/sys/fs/cgroup", "/dev/shm")  # noqa: S108
"""What frameworks open by themselves, wherever the model comes from."""

ITS_THREADS = "/proc/self/task"
"""Where a process names its threads."""

KEPT = "LD_LIBRARY_PATH"
"""The one environment variable that goes on, where it is set: without it such a Python does not start."""


@dataclass(frozen=True, slots=True)
class View:
    """What a cage shows: *places* of the machine under their own names, *code* (our package) and the *files* of a model by
    their paths in it.

    more are further folders with code, for tests.
    """

    places: tuple[str, ...]
    code: str
    files: Mapping[str, str]
    more: tuple[str, ...] = ()


def python_places(paths: Iterable[str] = tuple(sys.path)) -> tuple[str, ...]:
    """Return the folders that this Python and its libraries lie in, without those that lie in another or in /usr."""
    sites = {path for path in map(os.path.abspath, paths) if os.path.basename(path) in ("site-packages", "dist-packages")}
    wanted = sorted({sys.prefix, sys.base_prefix, sys.exec_prefix, *filter(os.path.isdir, sites)})
    outside = [path for path in wanted if not _lies_in(path, "/usr")]
    return tuple(path for path in outside if not any(_lies_in(path, other) for other in outside if other != path))


def sites(paths: Iterable[str] = tuple(sys.path)) -> list[str]:
    """Return the folders that libraries are installed in."""
    found = [os.path.abspath(path) for path in paths if os.path.basename(path) in ("site-packages", "dist-packages")]
    return [path for path in found if os.path.isdir(path)]


def _lies_in(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)


def is_open_to_all(path: str) -> bool:
    """Tell whether every user may read the file at *path*, as far as modes tell: those of the folders above it, too."""
    real = os.path.realpath(path)
    above = list(PurePosixPath(real).parents)
    try:
        return bool(os.stat(real).st_mode & 0o004) and all(os.stat(folder).st_mode & 0o001 for folder in above)
    except OSError:
        return False


def inside(path: str) -> str:
    """Return where the file *path* of a model is in a cage of bubblewrap."""
    return f"{MODEL}/{path}" if path else MODEL


def bubblewrap(view: View, rung: Rung, tmp_bytes: int, environment: Mapping[str, str]) -> list[str]:
    """Return the arguments of bubblewrap for *view*, without the command that it runs."""
    code = {f"{CODE}/worker/__init__.py": f"{view.code}/worker/__init__.py", f"{CODE}/worker/cage": f"{view.code}/worker/cage"}
    model = {inside(path): source for path, source in view.files.items()}
    binds = {path: path for path in (*view.places, *view.more)} | code | model
    return [
        *_namespaces(rung),
        *("--die-with-parent", "--new-session", "--hostname", "cage", "--clearenv"),
        *(word for name, value in environment.items() for word in ("--setenv", name, value)),
        *("--ro-bind", "/usr", "/usr"),
        *(word for path in SYSTEM_LINKS for word in _system(path)),
        *("--perms", "0755", "--dir", "/etc"),
        *(word for path in SYSTEM_FILES for word in ("--ro-bind-try", path, path)),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"),  # noqa: S108 - a name inside
        *("--remount-ro", "/dev"),
        *("--size", str(tmp_bytes), "--perms", "1777", "--tmpfs", SCRATCH),
        *(word for path in _above(binds) for word in ("--perms", "0755", "--dir", path)),
        *(word for path, source in binds.items() for word in ("--ro-bind", source, path)),
        *("--chdir", SCRATCH, "--remount-ro", "/"),
    ]


def _above(paths: Iterable[str]) -> list[str]:
    """Return the folders that *paths* lie in, outer ones first: bubblewrap would make them for root alone."""
    return sorted({str(folder) for path in paths for folder in PurePosixPath(path).parents} - {"/", SCRATCH})


def _namespaces(rung: Rung) -> Sequence[str]:
    common = ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
    if rung is Rung.BUBBLEWRAP_AS_ROOT:
        return (*common, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
    return (*common, "--unshare-user", "--disable-userns", "--uid", str(NOBODY), "--gid", str(NOBODY))


def _system(path: str) -> Sequence[str]:
    if os.path.islink(path):
        return ("--symlink", os.readlink(path), path)
    return ("--ro-bind", path, path) if os.path.isdir(path) else ()


def landlock_rules(view: View, scratch: str) -> dict[str, Any]:
    """Return what `landlock.restrict` is called with for *view*, with the folder *scratch* to write in."""
    system = [path for path in ("/usr", *SYSTEM_LINKS, *SYSTEM_FILES, *ABOUT_PROCESSORS) if path != "/proc/self"]
    code = [f"{view.code}/worker/__init__.py", f"{view.code}/worker/cage"]
    readable = [*system, "/proc/self", *view.places, *view.more, *code, *view.files.values()]
    return {"readable": readable, "writable": [scratch], "beside": list(DEVICES)}


def environment(scratch: str, kept: Mapping[str, str]) -> dict[str, str]:
    """Return the environment inside: nothing of the one outside but `KEPT`."""
    own = {
        "PATH": "/usr/bin:/bin",
        "HOME": scratch,
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "-1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return own | ({KEPT: kept[KEPT]} if KEPT in kept else {})
