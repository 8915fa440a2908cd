"""Inspects in a child: what a file does to the parser, it does to a process that has nothing to lose.

The child reads through this process alone, and what it says is decoded by types and believed no further. It serves one team,
and is replaced after `MODELS_PER_CHILD` trees and after any failure. Teams take turns, so the children of the last few teams
are kept. Several threads may inspect at once; each has a child of its own.

Laws (each has a test of the same name):
    a child that dies, hangs or talks nonsense is an `InspectorLost`, and the next inspection works;
    nothing that was started is left over after `close`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from threading import Lock
from typing import Any

from detectors.errors import TreeError
from detectors.facts import ModelType
from detectors.scan import Read, Scan, judge
from detectors.tree import FileEntry, FileTree, RemarksOnListing
from detectors.wrapped_tree import CountingTree
from worker.errors import InspectorLost
from worker.inspector.child import FORK, GAVE_UP, KILL, NUMBER
from worker.inspector.coding import BadText, decoded, encoded
from worker.inspector.confine import Limits
from worker.inspector.frames import BadFrame, Channel, Gone, Late
from worker.inspector.questions import (
    BUG,
    DATA,
    ERROR,
    FOUND,
    FROM_CHILD,
    INSPECT,
    MAX_READ_BYTES,
    MEMORY,
    RAISED,
    READ,
    Question,
    Range,
    Trouble,
)

MODELS_PER_CHILD = 200

MAX_KEPT = 4
"""Children that wait for the next tree of their team; each takes some 10 MB. A new one takes 10 ms to be there and warm."""

STALL_SECONDS = 40.0
"""How long a child may neither ask nor answer. With the 10 s between two beats it is shorter than a lease (`lifecycle`), so
that the inspection ends before the attempt is taken for dead."""

OWN_SECONDS = 600.0
"""How long a child may take for one inspection, the reading aside. After as much over all of them it is replaced, so each
has at least half of the processor time of `Limits`."""

MAX_BYTES = 16 << 30
"""Bytes that one inspection may read; four times what event files may (`metrics.budget`), the largest part of any."""

START_SECONDS = 60.0
"""How long the server may take to start and fork on a machine that is busy; 0.2 s otherwise."""

STATUS_SECONDS = 5.0
"""How long to wait for the word of how a child ended that has closed its end."""

START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from worker.inspector import child; child.main(sys.argv[2:])"

KEPT = "LD_LIBRARY_PATH"
"""The one environment variable that goes on, where it is set: without it such a Python does not start."""


class UnforeseenInChild(Exception):
    """A detector raised what nobody thought of. The message is the last line of its traceback, which is a note as a whole, as
    the child tells it.
    """


class Nonsense(Exception):
    """What the child says is no answer."""


class Exhausted(Exception):
    """The child says that it has no memory left."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a child may take: between two words, and for one inspection; and how many bytes it may read."""

    stall_seconds: float = STALL_SECONDS
    own_seconds: float = OWN_SECONDS
    max_bytes: int = MAX_BYTES


LIMITS, PATIENCE = Limits(), Patience()


class IsolatedInspector:
    """Looks at trees in a child of its own. Nothing is started before the first look; `close` ends what was."""

    def __init__(
        self, limits: Limits = LIMITS, patience: Patience = PATIENCE, models_per_child: int = MODELS_PER_CHILD
    ) -> None:
        self._limits = limits
        self._patience = patience
        self._models_per_child = models_per_child
        self._lock = Lock()
        self._server: _Server | None = None
        self._kept: OrderedDict[str, _Child] = OrderedDict()

    def inspect(self, tree: FileTree, declared_type: ModelType | None, entries: Sequence[FileEntry], team: str) -> Scan:
        """Return what lies in *tree*; see `worker.ports.Inspector`.

        Raises:
            UnforeseenInChild: a detector raised what nobody thought of.
        """
        child = self._take(team)
        try:
            with _lost_in_words(child, self._patience):
                found = converse(child.channel, tree, declared_type, entries, self._patience, child.spent)
        except BaseException:
            child.end()
            raise
        self._keep(child)
        return found

    def close(self) -> None:
        """End the server and every child; harmless twice."""
        with self._lock:
            self._end_all()

    def _end_all(self) -> None:
        while self._kept:
            self._kept.popitem()[1].end()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _take(self, team: str) -> _Child:
        """Return a child of *team* that nobody else talks to: the kept one, or a new one."""
        with self._lock:
            kept = self._kept.pop(team, None)
            if kept is not None and kept.is_alive():
                return kept
            if self._server is None or not self._server.is_alive():
                self._end_all()
                self._server = _Server(self._limits)
            server = self._server
        if kept is not None:
            kept.end()
        return server.new_child(team)

    def _keep(self, child: _Child) -> None:
        """Keep *child* for the next tree of its team, unless it has done enough, or there is one. The oldest makes room."""
        child.models += 1
        is_spent = child.models >= self._models_per_child or child.spent.seconds > self._patience.own_seconds
        with self._lock:
            surplus = child
            if not is_spent and child.team not in self._kept and child.server is self._server:
                self._kept[child.team] = child
                if len(self._kept) <= MAX_KEPT:
                    return
                surplus = self._kept.popitem(last=False)[1]
        surplus.end()


@dataclass(slots=True)
class Spent:
    """The time that a child has taken for itself, in seconds."""

    seconds: float = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the time of the block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began


def converse(
    channel: Channel,
    tree: FileTree,
    declared_type: ModelType | None,
    entries: Sequence[FileEntry],
    patience: Patience,
    spent: Spent,
) -> Scan:
    """Ask the child at the other end of *channel* what lies in *tree*, answer its reads, and return its answer.

    The figures of what was read, and the verdict, are made here: they do not depend on what the child says of itself.

    Raises:
        TreeError: the child says so; or whatever else *tree* raises.
        Gone, Late: the child has ended, or takes too long.
        Nonsense, Exhausted, UnforeseenInChild: as the child talks.
    """
    began, counting = time.monotonic(), CountingTree(tree)
    passed_over = tuple(tree.passed_over) if isinstance(tree, RemarksOnListing) else ()
    question = encoded(Question(declared_type, tuple(entries), passed_over), Question)
    until = spent.seconds + patience.own_seconds
    answer = INSPECT, question
    while True:
        kind, body = _exchange(channel, answer, patience.stall_seconds, until, spent)
        if kind != READ:
            break
        answer = _read(counting, body, patience.max_bytes)
    found = _answer_of(kind, body)
    read = Read(counting.files_read, counting.bytes, time.monotonic() - began)
    return replace(found, read=read, verdict=judge(found.models, found.findings, found.coverage))


def _exchange(
    channel: Channel, answer: tuple[bytes, bytes], stall_seconds: float, until: float, spent: Spent
) -> tuple[bytes, bytes]:
    """Say *answer* and return what the child says then."""
    seconds = min(stall_seconds, until - spent.seconds)
    if seconds <= 0:
        raise Late
    with spent.counted():
        channel.send(*answer, seconds)
        try:
            return channel.receive(FROM_CHILD, seconds)
        except BadFrame as exc:
            raise Nonsense(str(exc)) from exc


def _read(tree: CountingTree, body: bytes, max_bytes: int) -> tuple[bytes, bytes]:
    """Return the letter and the body of what a read gives: bytes, or the trouble that the tree has with it."""
    asked: Range = _decoded(body, Range)
    if not 0 <= asked.start <= asked.stop <= asked.start + MAX_READ_BYTES:
        raise Nonsense(f"asks for bytes [{asked.start}, {asked.stop})"[:200])
    if tree.bytes > max_bytes:
        raise Nonsense(f"asks for more than {max_bytes} bytes in all")
    try:
        return DATA, tree.read(asked.path, asked.start, asked.stop)
    except TreeError as exc:
        return ERROR, encoded(Trouble.of(exc), Trouble)


def _answer_of(kind: bytes, body: bytes) -> Scan:
    """Return the scan that the child answers with, or raise what it says."""
    if kind == MEMORY:
        raise Exhausted
    if kind == BUG:
        raise _unforeseen(_lines_to_log(body))
    if kind == RAISED:
        raise _trouble(body)
    assert kind == FOUND, kind
    found: Scan = _decoded(body, Scan)
    return found


def _trouble(body: bytes) -> TreeError:
    trouble: Trouble = _decoded(body, Trouble)
    error = trouble.error()
    if error is None:
        raise Nonsense(f"raises {trouble.kind!r}"[:200])
    return error


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return decoded(body, kind)
    except BadText as exc:
        raise Nonsense(str(exc)) from exc


def _unforeseen(told: str) -> UnforeseenInChild:
    error = UnforeseenInChild((told.strip().splitlines() or [""])[-1])
    error.add_note(told)
    return error


def _lines_to_log(body: bytes) -> str:
    """Return text of a stranger, as it may stand in a log."""
    letters = body.decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in letters)


@contextmanager
def _lost_in_words(child: _Child, patience: Patience) -> Iterator[None]:
    """Raise `InspectorLost` with its cause where the child was lost in the block."""
    try:
        yield
    except Exhausted as exc:
        raise InspectorLost("memory", "it reached its limit of memory") from exc
    except Late as exc:
        raise InspectorLost("time", _too_slow(child, patience)) from exc
    except Gone as exc:
        raise _in_words(child.status()) from exc
    except Nonsense as exc:
        raise InspectorLost("crashed", f"it sent what is no answer: {exc}") from exc


def _too_slow(child: _Child, patience: Patience) -> str:
    return f"it neither asked nor answered for {patience.stall_seconds:g} s, or took {patience.own_seconds:g} s in all"


def _in_words(status: int | None) -> InspectorLost:
    """Return what the wait status of a child means; None where nobody could tell."""
    if status is None:
        return InspectorLost("crashed", "it is gone, and its server does not say how")
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == GAVE_UP:
        return InspectorLost("crashed", "it gave up waiting for bytes; the storage answers too slowly")
    if not os.WIFSIGNALED(status):
        return InspectorLost("crashed", f"it ended with exit status {os.waitstatus_to_exitcode(status)}")
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return InspectorLost("time", "it used up its processor time")
    if number == signal.SIGKILL:
        return InspectorLost("memory", "it was killed, as the system does where memory runs out")
    return InspectorLost("crashed", f"it was ended by {_name_of(number)}")


def _name_of(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


@dataclass(slots=True)
class _Child:
    """A child that was forked, and what it has done since. status_pipe gives its wait status once it has ended."""

    server: _Server
    channel: Channel
    status_pipe: int
    pid: int
    team: str
    models: int = 0
    spent: Spent = field(default_factory=Spent)

    def is_alive(self) -> bool:
        """Tell whether it has not ended, as far as can be known now."""
        return not _is_readable(self.status_pipe, 0.0)

    def status(self) -> int | None:
        """Return its wait status, soon after it has closed its end; None where nobody says it."""
        return _number(self.status_pipe, STATUS_SECONDS)

    def end(self) -> None:
        """Kill it, wherever it is, and let go of it."""
        self.channel.close()
        self.server.kill(self.pid)
        os.close(self.status_pipe)


class _Server:
    """The process that forks children: clean, and gone as soon as we are."""

    def __init__(self, limits: Limits) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(START_SECONDS)
        paths = json.dumps([os.path.abspath(path) for path in sys.path])
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter with our own text
                [sys.executable, "-I", "-X", "utf8", "-c", START, paths, str(theirs.fileno()), json.dumps(asdict(limits))],
                pass_fds=[theirs.fileno()],
                env={KEPT: os.environ[KEPT]} if KEPT in os.environ else {},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def is_alive(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def new_child(self, team: str) -> _Child:
        """Return a new child for *team*.

        Raises:
            InspectorLost: the server did not start, or has no room for a child.
        """
        ours, theirs = socket.socketpair()
        status, their_status = os.pipe()
        with suppress(OSError):  # the server has ended: then nobody holds the other end of the pipe either
            socket.send_fds(self._control, [FORK], [theirs.fileno(), their_status])
        theirs.close()
        os.close(their_status)
        pid = _number(status, START_SECONDS)
        if pid is None:
            ours.close()
            os.close(status)
            raise InspectorLost("crashed", "no child could be started")
        return _Child(self, Channel(ours), status, pid, team)

    def kill(self, pid: int) -> None:
        """Kill the child *pid*; harmless where it has ended."""
        with suppress(OSError):
            self._control.send(KILL + NUMBER.pack(pid))

    def close(self) -> None:
        """End the server, and so all its children, and wait for it."""
        self._control.close()
        try:
            self._process.wait(STATUS_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _number(descriptor: int, seconds: float) -> int | None:
    """Return the number that comes out of a pipe within *seconds*; None where none comes."""
    read = os.read(descriptor, NUMBER.size) if _is_readable(descriptor, seconds) else b""
    if len(read) < NUMBER.size:
        return None
    number: int = NUMBER.unpack(read)[0]
    return number


def _is_readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
