"""The other side: a server that does nothing but fork, and the children that inspect.

The server is a fresh Python with an empty environment and one descriptor. It imports the detectors once, so that a child is
there in milliseconds, and forks before any byte of a stranger was read. Its end comes with the worker's: the kernel closes
the worker's end of the control socket, and the children die with the server.

    worker ──> server   FORK, with the child's end of the conversation and a pipe for its status
                        KILL pid
    pipe   ──> worker   pid, i64; when the child has ended, its wait status, i64

Only the standard library, the detectors and the modules beside this one are imported here.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from google.protobuf.message import DecodeError

from detectors.errors import TreeError, TreeLimit
from detectors.scan import Scan, scan
from detectors.tree import MAX_FILES, FileEntry, FileTree, MemoryTree, PassedOver, check_range
from worker.inspector.coding import decoded, encoded
from worker.inspector.confine import CONVERSATION, Limits, confine
from worker.inspector.frames import Channel, Gone, Late
from worker.inspector.questions import (
    BUG,
    DATA,
    ERROR,
    FOUND,
    MAX_ANSWER_BYTES,
    MAX_READ_BYTES,
    MEMORY,
    RAISED,
    READ,
    TO_CHILD,
    TO_CHILD_FIRST,
    Question,
    Range,
    Trouble,
)

FORK, KILL = b"F", b"K"
NUMBER = struct.Struct("<q")

GAVE_UP = 3
"""Exit status of a child that waited in vain for bytes, so that none is left behind where the worker's storage hangs."""

MAX_TRACEBACK_CHARACTERS = 8_000

MAX_QUESTION_NODES = 8 * MAX_FILES
"""Values in a listing of the most files that a tree may hold."""


def main(arguments: Sequence[str]) -> None:
    """Serve the control socket whose descriptor is the first argument, with the limits in the second, until it is closed."""
    os.environ.clear()
    control = socket.socket(fileno=int(arguments[0]))
    _prepare()
    _Server(control, Limits(**json.loads(arguments[1]))).serve()


def _prepare() -> None:
    """Do once what every child would do first."""
    _tell_want_of_memory()
    encoded(scan(MemoryTree({})), Scan)
    decoded(encoded(Question(None, (), ()), Question), Question)
    gc.collect()
    gc.freeze()


def _tell_want_of_memory() -> None:
    """Let protobuf raise MemoryError where it has no memory: it says so by the error for bytes that are no message, and a
    good model would be called corrupt.

    Source: protobuf, upb/wire/decode.h, kUpb_DecodeStatus_OutOfMemory.
    """

    def __init__(self: DecodeError, *arguments: Any) -> None:
        if "alloc failed" in str(arguments):
            raise MemoryError
        Exception.__init__(self, *arguments)

    setattr(DecodeError, "__init__", __init__)  # noqa: B010 - an assignment is an error to the type checker


class _Server:
    """Forks on demand and waits for what it forked."""

    def __init__(self, control: socket.socket, limits: Limits) -> None:
        self._control = control
        self._limits = limits
        self._statuses: dict[int, int] = {}

    def serve(self) -> None:
        """Do what is asked until nobody can ask any more."""
        for has_come in self._wakes():
            if has_come and not self._obey():
                return
            self._reap()

    def _wakes(self) -> Iterator[bool]:
        """Yield whenever something was asked (True) or a child may have ended."""
        wake, waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if wake in ready:
                os.read(wake, 4096)
            yield self._control.fileno() in ready

    def _obey(self) -> bool:
        """Do what is asked next; False where nobody is there any more."""
        message, descriptors, _, _ = socket.recv_fds(self._control, 64, 2)
        if message == FORK:
            self._fork(*descriptors)
        elif message[:1] == KILL:
            pid = NUMBER.unpack(message[1:])[0]
            if pid in self._statuses:  # it is ours and not waited for yet: the number is its own
                os.kill(pid, signal.SIGKILL)
        return bool(message)

    def _fork(self, conversation: int, status: int) -> None:
        """Make a child and tell its number; where there is no room for one, its pipe is closed without a word."""
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(conversation)
            os.close(status)
            return
        if pid == 0:
            _live(conversation, server, self._limits)
        os.close(conversation)
        self._statuses[pid] = status
        _tell(status, pid)

    def _reap(self) -> None:
        """Tell of each child that has ended how it did."""
        while self._statuses:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            descriptor = self._statuses.pop(pid)
            _tell(descriptor, status)
            os.close(descriptor)


def _tell(descriptor: int, number: int) -> None:
    """Write *number* for the worker, who may have stopped listening."""
    try:
        os.write(descriptor, NUMBER.pack(number))
    except BrokenPipeError:
        return


def _live(conversation: int, server: int, limits: Limits) -> NoReturn:
    """Be a child: give up what is not needed, inspect until the conversation is over, and end."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        confine(conversation, server, limits)
        inspect_all(Channel(socket.socket(fileno=CONVERSATION)), limits.wait_seconds)
    except Gone:
        status = 0
    except Late:
        status = GAVE_UP
    finally:
        os._exit(status)


def inspect_all(channel: Channel, wait_seconds: float) -> NoReturn:
    """Inspect what is asked, one after the other.

    Raises:
        Gone: the worker has hung up.
        Late: it did not give the bytes that were asked for within *wait_seconds*.
    """
    while True:
        _, question = channel.receive(TO_CHILD_FIRST)
        _inspect(channel, decoded(question, Question, MAX_QUESTION_NODES), wait_seconds)


def _inspect(channel: Channel, question: Question, wait_seconds: float) -> None:
    """Inspect, and say how it went."""
    try:
        channel.send(*_answer(RemoteTree(channel, question, wait_seconds), question))
    except (Gone, Late):
        raise
    except MemoryError:
        channel.send(MEMORY)
    except Exception:  # noqa: BLE001 - whatever it is, the worker is told
        channel.send(BUG, traceback.format_exc()[-MAX_TRACEBACK_CHARACTERS:].encode("utf-8", "backslashreplace"))


def _answer(tree: FileTree, question: Question) -> tuple[bytes, bytes]:
    """Return the letter and the body of the answer."""
    try:
        found = encoded(scan(tree, question.declared_type, question.entries), Scan)
        if len(found) > MAX_ANSWER_BYTES:
            raise TreeLimit("", f"what was found takes {len(found)} bytes (limit MAX_ANSWER_BYTES)")
    except TreeError as exc:
        return RAISED, encoded(Trouble.of(exc), Trouble)
    return FOUND, found


class RemoteTree:
    """A tree whose bytes another process reads."""

    def __init__(self, channel: Channel, question: Question, wait_seconds: float) -> None:
        self._channel = channel
        self._question = question
        self._wait_seconds = wait_seconds

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """What the listing passed over."""
        return self._question.passed_over

    def files(self) -> Iterator[FileEntry]:
        """Yield the listing that the worker made."""
        return iter(self._question.entries)

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of *path*, asked for in pieces of `MAX_READ_BYTES`.

        Raises:
            Gone, Late: the worker does not answer.
        """
        check_range(start, stop)
        pieces = [self._ask(path, start, min(stop, start + MAX_READ_BYTES))]
        while len(pieces[-1]) == MAX_READ_BYTES and (start := start + MAX_READ_BYTES) < stop:
            pieces.append(self._ask(path, start, min(stop, start + MAX_READ_BYTES)))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _ask(self, path: str, start: int, stop: int) -> bytes:
        self._channel.send(READ, encoded(Range(path, start, stop), Range))
        kind, body = self._channel.receive(TO_CHILD, self._wait_seconds)
        if kind == ERROR:
            error: TreeError | None = decoded(body, Trouble).error()
            assert error is not None, body
            raise error
        assert kind == DATA, kind
        return body
