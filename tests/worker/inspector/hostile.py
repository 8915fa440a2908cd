"""Children that misbehave, as a parser would that was taken over: real processes, forked by the real server.

`START` takes the place of `isolated.START`. What a child does is named by a file of the tree that it is asked about; it gets
the channel after the question has come. Without such a file it inspects as it should.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from detectors.facts import Finding, Severity
from detectors.scan import UNSEEN, Read, Scan, Verdict
from detectors.tree import FileTree
from worker.inspector import child
from worker.inspector.coding import encoded
from worker.inspector.confine import CONVERSATION
from worker.inspector.frames import Channel
from worker.inspector.questions import BUG, DATA, FOUND, MEMORY, RAISED, READ, TO_CHILD, Question, Range

Answer = Callable[[FileTree, Question], tuple[bytes, bytes]]

HONEST = encoded(UNSEEN, Scan)
BAD = Finding("tf-file-write", Severity.CRITICAL, "a", "", "writes")
FLATTERING = encoded(replace(UNSEEN, findings=(BAD,), verdict=Verdict.CLEAN, read=Read(7, 7, -1.0)), Scan)


START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from tests.worker.inspector import hostile;"
    "hostile.main(sys.argv[2:])"
)


def main(arguments: Sequence[str]) -> None:
    child._answer = misbehave
    child.main(arguments)


def misbehave(tree: FileTree, question: Question, answer: Answer = child._answer) -> tuple[bytes, bytes]:
    assert isinstance(tree, child.RemoteTree)
    for entry in question.entries:
        if entry.path in BEHAVIOURS:
            BEHAVIOURS[entry.path](tree._channel)
    return answer(tree, question)


def raw(data: bytes) -> Callable[[Channel], None]:
    """Send *data* as it is, and wait to be ended."""

    def behave(channel: Channel) -> None:
        channel._end.sendall(data)
        signal.pause()

    return behave


def says(kind: bytes, body: bytes) -> Callable[[Channel], None]:
    return raw(struct.pack(">cI", kind, len(body)) + body)


def asks(path: str, start: int, stop: int) -> Callable[[Channel], None]:
    return says(READ, encoded(Range(path, start, stop), Range))


def dies_by(number: int) -> Callable[[Channel], None]:
    return lambda channel: os.kill(os.getpid(), number)


def segfault(channel: Channel) -> None:
    ctypes.string_at(8)


def spin(channel: Channel) -> None:
    while True:
        pass


def sleep(channel: Channel) -> None:
    time.sleep(600)


def read_forever(channel: Channel) -> None:
    while True:
        channel.send(READ, encoded(Range("model.onnx", 0, 1), Range))
        channel.receive(TO_CHILD)


def drip(channel: Channel) -> None:
    """Send a frame byte by byte, so that something always comes."""
    for byte in struct.pack(">cI", FOUND, 1000) + b" " * 1000:
        channel._end.sendall(bytes((byte,)))
        time.sleep(0.05)


def fill_memory(channel: Channel) -> None:
    try:
        held = [b"x" * (1 << 20) for _ in range(1 << 20)]
    except MemoryError:
        held = []
    channel.send(MEMORY if not held else FOUND)


def read_in_the_middle_and_stop(channel: Channel) -> None:
    channel.send(READ, encoded(Range("model.onnx", 0, 4), Range))
    kind, _ = channel.receive(TO_CHILD)
    assert kind == DATA
    os.kill(os.getpid(), signal.SIGSTOP)


def take_nothing(channel: Channel) -> None:
    """Ask, and never take the answers: they fill the socket."""
    for _ in range(100):
        channel.send(READ, encoded(Range("large", 0, 4 << 20), Range))
    time.sleep(600)


def tell_of_itself(channel: Channel) -> None:
    told = {
        "environment": Path("/proc/self/environ").read_text(),
        "environ": dict(os.environ),
        "descriptors": {number: target_of(number) for number in sorted(map(int, os.listdir("/proc/self/fd")))},
        "folder": os.getcwd(),
        "limits": {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in LIMITS},
        "status": [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("NoNewPrivs")],
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
        "command": Path("/proc/self/cmdline").read_text(),
        "writes": can_write(),
        "session": os.getsid(0),
    }
    channel.send(BUG, json.dumps(told).encode())


LIMITS = ("AS", "CPU", "NOFILE", "FSIZE", "CORE")


def target_of(number: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:
        return "gone"  # what listed the folder


def can_write() -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = Path(f"/tmp/modelport-{os.getpid()}")
    try:
        path.write_bytes(b"x")
    except OSError as exc:
        return exc.strerror
    finally:
        path.unlink(missing_ok=True)
    return "yes"


BEHAVIOURS: dict[str, Callable[[Channel], None]] = {
    "segfault": segfault,
    "abort": dies_by(signal.SIGABRT),
    "killed": dies_by(signal.SIGKILL),
    "exit": lambda channel: os._exit(7),
    "hang up": lambda channel: (os.close(CONVERSATION), time.sleep(0.2), os._exit(0))[0],
    "spin": spin,
    "sleep": sleep,
    "stopped": read_in_the_middle_and_stop,
    "read forever": read_forever,
    "drip": drip,
    "take nothing": take_nothing,
    "fill memory": fill_memory,
    "tell": tell_of_itself,
    "flatter": says(FOUND, FLATTERING),
    "1 GB": raw(struct.pack(">cI", FOUND, 1 << 30) + b"[" * 100),
    "4 GB": raw(struct.pack(">cI", READ, 2**32 - 1)),
    "no such letter": raw(struct.pack(">cI", b"?", 0)),
    "memory with a body": raw(struct.pack(">cI", MEMORY, 1) + b"x"),
    "pickle": says(FOUND, b"cos\nsystem\n(S'echo taken over >&2'\ntR."),
    "no JSON": says(FOUND, b'{"models": '),
    "no UTF-8": says(FOUND, b"\xff\xfe\x00"),
    "NaN": says(FOUND, HONEST.replace(b"0.0", b"NaN")),
    "1e999": says(FOUND, HONEST.replace(b"0.0", b"1e999")),
    "wrong type": says(FOUND, HONEST.replace(b"0.0", b"[]")),
    "true for a number": says(FOUND, HONEST.replace(b"0.0", b"true")),
    "no such verdict": says(FOUND, HONEST.replace(b"inconclusive", b"fine")),
    "an object": says(FOUND, b"{}"),
    "null": says(FOUND, b"null"),
    "a field too many": says(FOUND, HONEST[:-1] + b",null]"),
    "a field too few": says(FOUND, b"[" + HONEST[4:]),
    "deep": says(FOUND, b"[" * 1_000_000),
    "deep objects": says(FOUND, b'{"a":' * 1_000_000),
    "many": says(FOUND, b"[" + b"[]," * 5_000_000 + b"[]]"),
    "digits": says(FOUND, b"1" * 1_000_000),
    "a read of nothing": says(READ, b"null"),
    "a read without a path": says(READ, b"[null,0,1]"),
    "a negative read": asks("model.onnx", -1, 2),
    "a reversed read": asks("model.onnx", 2, 1),
    "a huge read": asks("model.onnx", 0, 1 << 62),
    "an error of another kind": says(RAISED, b'["SystemExit","a","b"]'),
    "no error": says(RAISED, b"[1,2,3]"),
}
