"""Runs in the cage: twenty-five ways out, each tried once.

`look` answers with one signature a way: it "runs" where the way was open. Three ways are no single call (a loop, a sleep, a
heap): they are modules of their own beside this one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)

CALLS = {
    "x86_64": {
        "ptrace": 101, "add_key": 248, "io_uring_setup": 425, "bpf": 321, "init_module": 175, "reboot": 169,
        "perf_event_open": 298, "userfaultfd": 323, "mount": 165, "unshare": 272, "process_vm_readv": 310, "memfd_create": 319,
    },
    "aarch64": {
        "ptrace": 117, "add_key": 217, "io_uring_setup": 425, "bpf": 280, "init_module": 105, "reboot": 142,
        "perf_event_open": 241, "userfaultfd": 282, "mount": 40, "unshare": 97, "process_vm_readv": 270, "memfd_create": 279,
    },
}  # fmt: skip
CLONE_NEWUSER, PTRACE_ATTACH = 0x10000000, 16
MOST_MEMORY = 3 << 30


def prepare() -> None:
    """Need nothing."""


def look(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return of each way whether it was open."""
    runs = [_tried(name, way, model) for name, way in WAYS.items()]
    return {"framework": "probe", "loads": True, "load_seconds": 0.0, "error": "", "signatures": runs}


def _tried(name: str, way: Callable[[Mapping[str, Any]], object], model: Mapping[str, Any]) -> dict[str, Any]:
    try:
        got = way(model)
        error, is_open = f"{got!r}"[:200], got is not False
    except MemoryError:
        error, is_open = "no memory", False
    except OSError as exc:
        error, is_open = repr(exc)[:200], False
    return {"name": name, "runs": is_open, "seconds": 0.0, "filled": "", "error": error, "outputs": []}


def _call(name: str, *arguments: int | bytes | None) -> int:
    """Make a system call by its number; raise what the kernel says. Where it says that it was asked wrongly, it let us ask."""
    whole = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(libc.syscall(ctypes.c_long(CALLS[os.uname().machine][name]), *whole))
    if result < 0:
        if ctypes.get_errno() not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            return ctypes.get_errno()
        raise OSError(ctypes.get_errno(), name)
    return result


def _connect(family: int, address: Any) -> object:
    with socket.socket(family) as one:
        one.settimeout(2)
        one.connect(address)
    return address


def _write_much(model: Mapping[str, Any]) -> object:
    """Fill the temporary folder with many files, each of which is allowed."""
    written = 0
    try:
        for place in range(1000):
            path = os.path.join(os.environ["TMPDIR"], f"fill{place}")
            with open(path, "wb", buffering=0) as file:
                written += file.write(bytes(1 << 20))
            if written > model["tmp_bytes"] * 2:
                return written
    finally:
        for entry in os.scandir(os.environ["TMPDIR"]):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
    return False


def _one_large_file(model: Mapping[str, Any]) -> object:
    with open(os.path.join(os.environ["TMPDIR"], "large"), "wb", buffering=0) as file:
        file.truncate(model["tmp_bytes"] * 2)
    return True


def _foreign_processes() -> object:
    """Return the processes that can be seen and are neither this one nor its keeper."""
    seen = [entry for entry in os.listdir("/proc") if entry.isdecimal()]
    return seen if len(seen) > 3 else False


def _capabilities() -> object:
    with open("/proc/self/status") as file:
        held = [line.split() for line in file if line.startswith(("CapEff", "CapPrm", "CapInh", "CapAmb"))]
    return held if any(int(value, 16) for _, value in held) else False


def _environment(model: Mapping[str, Any]) -> object:
    return dict(os.environ) if model["secret"] in os.environ else False


def _children() -> object:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def _devices() -> object:
    for path in ("/dev/mem", "/dev/kmsg", "/dev/port", "/dev/vda", "/dev/sda", "/dev/fuse", "/dev/kvm"):
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError:
            continue
        return path
    os.mknod(os.path.join(os.environ["TMPDIR"], "null"), 0o600 | 0o020000, os.makedev(1, 3))
    return "mknod"


WAYS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "network": lambda model: _connect(socket.AF_INET, ("192.0.2.1", 53)),
    "localhost": lambda model: _connect(socket.AF_INET, ("127.0.0.1", model["port"])),
    "names": lambda model: socket.getaddrinfo("example.org", 80),
    "abstract socket": lambda model: _connect(socket.AF_UNIX, "\0" + model["abstract"]),
    "read shadow": lambda model: Path("/etc/shadow").read_bytes(),
    "read outside": lambda model: Path(model["outside"], "readable").read_bytes(),
    "list outside": lambda model: os.listdir(model["outside"]),
    "write outside": lambda model: Path(model["outside"], "writable", "mark").write_text("here"),
    "write to the model": lambda model: Path(model["model_path"]).write_text("other"),
    "environment": _environment,
    "processes": lambda model: _foreign_processes(),
    "capabilities": lambda model: _capabilities(),
    "user namespace": lambda model: _call("unshare", CLONE_NEWUSER),
    "mount": lambda model: _call("mount", b"none\0", b"/tmp\0", b"tmpfs\0", 0, None),
    "memory": lambda model: len(bytearray(MOST_MEMORY)),
    "processes of its own": lambda model: _children(),
    "programs": lambda model: os.execv("/usr/bin/true", ["true"]),
    "much disk": _write_much,
    "processor time": lambda model: resource.getrlimit(resource.RLIMIT_CPU)[1] > model["cpu_seconds"] + 5,
    "signals": lambda model: os.kill(model["pid"], 0) or True,
    "ptrace": lambda model: (_call("ptrace", PTRACE_ATTACH, model["pid"], 0, 0), _call("process_vm_readv", model["pid"])),
    "devices": lambda model: _devices(),
    "keyring": lambda model: _call("add_key", b"user\0", b"a\0", b"b\0", 1, -3),
    "io_uring": lambda model: _call("io_uring_setup", 1, bytes(120)),
    "kernel": lambda model: [_call("bpf", 0, bytes(64), 64), _call("perf_event_open", bytes(128), 0, -1, -1, 0)],
    "userfaultfd": lambda model: _call("userfaultfd", 1),
    "modules": lambda model: _call("init_module", bytes(8), 8, b"\0"),
    "reboot": lambda model: _call("reboot", 1, 2, 3, None),
    "other users": lambda model: [os.setuid(model["other_user"])],
    "memory of files": lambda model: _call("memfd_create", b"a\0", 0),
}
