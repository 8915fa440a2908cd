"""A file system that hangs, as a network mount does whose server is gone: whoever asks it waits in the kernel.

It is FUSE, spoken with the kernel itself: a folder with one model, in which one operation is never answered while it hangs.
Who waits for an answer that the server has taken up cannot be killed, as with a hard NFS mount. Where the machine gives no
FUSE (here only root may mount it), `tests.chaos.stuck` is a worker that waits in the same operations all the same.

Source: Linux, include/uapi/linux/fuse.h, protocol 7.31; fs/fuse/dev.c, `request_wait_answer`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import stat
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Event, Thread

MODEL = "model.onnx"

HEADER = struct.Struct("=IIQQIIII")
"""Of a request: length, operation, number of the request, node, user, group, process, padding."""

ANSWER = struct.Struct("=IiQ")
"""Before an answer: length, negative error, number of the request."""

ATTRIBUTES = struct.Struct("=6Q10I")
INIT_ANSWER = struct.Struct("=4I2H2I2H8I")
OPENED = struct.Struct("=QII")
READ = struct.Struct("=QQI")
ENTRY = struct.Struct("=QQII")

ROOM = struct.Struct("=5Q4I24x")
"""Blocks, free ones, free ones for us, files, free ones; size of a block, longest name, size of a fragment, padding."""

LOOKUP, FORGET, GETATTR, OPEN, READ_FILE, STATFS, RELEASE, INIT = 1, 2, 3, 14, 15, 17, 18, 26
OPENDIR, READDIR, RELEASEDIR, INTERRUPT, DESTROY, BATCH_FORGET, FLUSH = 27, 28, 29, 36, 38, 42, 25
UNANSWERED = frozenset({FORGET, BATCH_FORGET, INTERRUPT, DESTROY})

DIRECT_IO = 1
"""Each read asks the server, and whoever reads waits for that very answer."""

ROOT_NODE, MODEL_NODE = 1, 2
MAX_REQUEST_BYTES = 1 << 20
MOUNT_READ_ONLY, MOUNT_DETACHED = 1, 2
LOOK_SECONDS = 0.1


class Hangs(Enum):
    """The operation that is never answered."""

    READ = "read"
    STAT = "stat"
    LIST = "list"


@dataclass
class HangingMount:
    """The file system mounted at *folder*; *content* is its one file. waiting counts the requests that were left unanswered."""

    folder: Path
    content: bytes
    hangs: Hangs
    device: int
    waiting: int = 0
    over: Event = field(default_factory=Event)

    def serve(self) -> None:
        """Answer what the kernel asks until it is over."""
        while not self.over.is_set():
            if not select.select([self.device], [], [], LOOK_SECONDS)[0]:
                continue
            try:
                request = os.read(self.device, MAX_REQUEST_BYTES)
            except OSError as exc:
                if exc.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):  # the one who asked is gone
                    continue
                return
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        _, operation, number, node, *_ = HEADER.unpack_from(request)
        body = request[HEADER.size :]
        if operation in UNANSWERED:
            return
        if self._is_hung(operation, node, body):
            self.waiting += 1
            return
        try:
            data, error = self._answers()[operation](node, body), 0
        except KeyError:
            data, error = b"", errno.ENOSYS
        except OSError as exc:
            data, error = b"", exc.errno or errno.EIO
        with suppress(FileNotFoundError):  # the one who asked is gone
            os.write(self.device, ANSWER.pack(ANSWER.size + len(data), -error, number) + data)

    def _is_hung(self, operation: int, node: int, body: bytes) -> bool:
        if self.hangs is Hangs.STAT:
            return operation == LOOKUP or (operation == GETATTR and node == MODEL_NODE)
        return operation == {Hangs.READ: READ_FILE, Hangs.LIST: READDIR}[self.hangs]

    def _answers(self) -> Mapping[int, Callable[[int, bytes], bytes]]:
        return {
            INIT: lambda node, body: INIT_ANSWER.pack(7, 31, 0, 0, 0, 0, 1 << 16, 1, 0, 0, *[0] * 8),
            LOOKUP: lambda node, body: self._found(body),
            GETATTR: lambda node, body: struct.pack("=QII", 0, 0, 0) + self._attributes(node),
            OPEN: lambda node, body: OPENED.pack(0, DIRECT_IO, 0),
            STATFS: lambda node, body: ROOM.pack(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096, 0),
            OPENDIR: lambda node, body: OPENED.pack(0, 0, 0),
            READ_FILE: lambda node, body: self._range(*READ.unpack_from(body)),
            READDIR: lambda node, body: self._names(*READ.unpack_from(body)),
            **dict.fromkeys((RELEASE, RELEASEDIR, FLUSH), lambda node, body: b""),
        }

    def _found(self, body: bytes) -> bytes:
        if body.rstrip(b"\0") != MODEL.encode():
            raise FileNotFoundError(errno.ENOENT, "no such file")
        return struct.pack("=QQQQII", MODEL_NODE, 0, 0, 0, 0, 0) + self._attributes(MODEL_NODE)

    def _attributes(self, node: int) -> bytes:
        """Return the attributes of a node. Its times are those of 2020, so it rests."""
        at, mode = 1577836800, stat.S_IFDIR | 0o755 if node == ROOT_NODE else stat.S_IFREG | 0o644
        size = 0 if node == ROOT_NODE else len(self.content)
        return ATTRIBUTES.pack(node, size, 1, at, at, at, 0, 0, 0, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)

    def _range(self, handle: int, start: int, count: int) -> bytes:
        return self.content[start : start + count]

    def _names(self, handle: int, start: int, count: int) -> bytes:
        if start > 0:
            return b""
        entry = ENTRY.pack(MODEL_NODE, 1, len(MODEL), stat.S_IFREG >> 12) + MODEL.encode()
        return entry + bytes(-len(entry) % 8)


@contextmanager
def hanging_mount(folder: Path, content: bytes, hangs: Hangs) -> Iterator[HangingMount]:
    """Mount a file system that hangs at the new *folder* while the block runs; who waits for it then gets an error.

    Raises:
        OSError: this machine, or this user, may not.
    """
    folder.mkdir(parents=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mount = HangingMount(folder, content, hangs, device)
    server = Thread(target=mount.serve, name=f"hanging {hangs.value}")
    try:
        options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        _call("mount", b"modelport", os.fsencode(folder), b"fuse.modelport", MOUNT_READ_ONLY, options.encode())
        server.start()
        try:
            yield mount
        finally:
            _call("umount2", os.fsencode(folder), MOUNT_DETACHED)
    finally:
        mount.over.set()
        if server.is_alive():
            server.join()
        os.close(device)  # the last one to close it ends every wait


MARKER = "hangs"
"""The name of a file that says which operation hangs, to a worker of `tests.chaos.stuck`."""


@contextmanager
def hanging_run(folder: Path, content: bytes, hangs: Hangs) -> Iterator[bool]:
    """Make a run at *folder* that hangs while the block runs; tell whether it is a mount. Otherwise it has a `MARKER`."""
    with ExitStack() as mounts:
        try:
            mounts.enter_context(hanging_mount(folder, content, hangs))
        except OSError:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MODEL).write_bytes(content)
            (folder / MARKER).write_text(hangs.value)
        yield os.path.ismount(folder)


def _call(name: str, *arguments: object) -> None:
    """Call a function of the C library that gives 0 where all is well."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
