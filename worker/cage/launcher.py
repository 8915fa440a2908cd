"""Runs one caged child and sees from outside how it ends: the conversation, the clock, the memory, and what it tried.

One thread does all of it, the one that started the child: bubblewrap and Landlock's children die with that thread.

Laws (each has a test of the same name):
    no orphan is left;
    whatever the child says, what is returned is bounded.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from worker.cage import child, view
from worker.cage.scratch import new_folder
from worker.cage.view import NOBODY, View
from worker.cage.watch import Watch
from worker.verification import MAX_ANSWER_BYTES, BadClaims, Claims, Ending, Rung, Seen, parse_claims

LOOK_SECONDS = 0.05
"""How often memory, temporary files and the clock are looked at."""

HUNG_UP_SECONDS = 2.0
"""How long a child that has hung up without an answer may take to end by itself."""

GONE_SECONDS = 5.0
"""How long killed processes may take to be gone."""

KEPT_BYTES = 16 << 10
"""Of what the child writes to stdout and stderr, from the start; the rest is read and dropped."""

MOST_LEFT = 16
"""Reads of what a child that has ended left in the pipe of its output, which holds a megabyte at most."""

OUT_OF_MEMORY = (
    "MemoryError",
    "bad_alloc",
    "ResourceExhausted",
    "RESOURCE_EXHAUSTED",
    "Failed to allocate memory",
    "OOM when",
    "Cannot allocate memory",
    "Memory allocation",
)
"""How frameworks say that they got no memory."""

START = "import json, sys; sys.path[:0] = json.loads(sys.argv[1]); from worker.cage import child; child.main(sys.argv[2:])"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one check may take: seconds from its start, bytes of resident memory, bytes of temporary files.

    processors are used at most, threads made at most, descriptors open at most.
    """

    seconds: float = 120.0
    memory_bytes: int = 4 << 30
    tmp_bytes: int = 64 << 20
    processors: int = 2
    threads: int = 64
    descriptors: int = 256

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.memory_bytes <= 0:
            raise ValueError("expected seconds and memory above 0")

    def of_child(self, others: int) -> dict[str, int]:
        """Return what the child limits itself to; *others* are threads of the same user that count with its own.

        Address space is what is mapped, not what is used: libraries and weights are mapped without being read.
        """
        return {
            "memory_bytes": self.memory_bytes,
            "address_bytes": 2 * self.memory_bytes + (8 << 30),
            "cpu_seconds": max(1, round(self.seconds * self.processors)),
            "file_bytes": self.tmp_bytes,
            "threads": self.threads + others,
            "descriptors": self.descriptors,
        }


@dataclass(frozen=True, slots=True)
class Subject:
    """What a child is to look at: a *module* of `worker.cage` (or of tests), what it is told, and the files of the model.

    *model* is told to the module; where a key ends in `path`, its value is a path in the model, and is told as the child sees
    it. *files* are paths in the model, and where each lies.
    """

    module: str
    model: Mapping[str, Any]
    files: Mapping[str, str]
    more: tuple[str, ...] = ()


@dataclass(slots=True)
class _Said:
    """What came out of the child so far, and how far the conversation is."""

    stage: bytes = child.HELLO
    answer: bytearray = field(default_factory=bytearray)
    output: bytearray = field(default_factory=bytearray)
    peak_bytes: int = 0
    watch: Watch | None = None


class _Over(Exception):
    """The child is to be ended, for this reason."""

    def __init__(self, ending: Ending, detail: str) -> None:
        super().__init__(detail)
        self.ending, self.detail = ending, detail


def run(subject: Subject, rung: Rung, limits: Limits, bwrap: str = "bwrap", may_listen: bool = True) -> Seen:
    """Return what was seen of *subject* in a cage of *rung*.

    Raises:
        OSError: the program *bwrap* or this Python cannot be started.
    """
    code = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    shown = View(view.python_places(), code, subject.files, subject.more)
    with _scratch(rung) as (scratch, outside):
        is_wrapped = rung is not Rung.LANDLOCK
        tmp = view.SCRATCH if is_wrapped else scratch
        job = {
            "limits": limits.of_child(0 if is_wrapped else _threads_of(NOBODY if _as_nobody(rung) else os.getuid())),
            "processors": limits.processors,
            "user": NOBODY if rung is Rung.BUBBLEWRAP_AS_ROOT else None,
            "landlock": None if is_wrapped else view.landlock_rules(shown, scratch),
            "module": subject.module,
            "may_listen": may_listen,
            "outside": outside,
            "model": {key: _seen_path(key, value, subject, is_wrapped) for key, value in subject.model.items()},
        }
        own = (*view.QUIETLY_ASKED, *shown.places, *shown.more, code if not is_wrapped else view.CODE)
        of_model = (view.MODEL,) if is_wrapped else tuple(subject.files.values())
        with _started(shown, rung, limits, tmp, bwrap) as (process, conversation, output):
            quiet = (*own, *of_model), (tmp, view.ITS_THREADS)
            talk = _Talk(process, conversation, output, job, limits, *quiet, None if is_wrapped else scratch)
            return talk.seen(rung)


def _seen_path(key: str, value: Any, subject: Subject, is_wrapped: bool) -> Any:
    if not key.endswith("path"):
        return value
    return view.inside(value) if is_wrapped else _on_disk(subject, value)


def _on_disk(subject: Subject, path: str) -> str:
    """Return where *path* of the model lies: a file of it, or a folder in which all of its files lie as they do in it."""
    if path in subject.files:
        return subject.files[path]
    prefix = f"{path}/" if path else ""
    name, source = next((name, source) for name, source in subject.files.items() if name.startswith(prefix))
    return source.removesuffix("/" + name[len(prefix) :])


@contextmanager
def _scratch(rung: Rung) -> Iterator[tuple[str, str]]:
    """Give a folder that the child may write in, where it has none of its own, and a file that it must not be able to read."""
    with new_folder() as folder:
        scratch, outside = os.path.join(folder, "tmp"), os.path.join(folder, "outside")
        os.mkdir(scratch, 0o700)
        with open(outside, "w") as file:
            file.write("whoever can read this is not confined\n")
        os.chmod(outside, 0o644)
        if _as_nobody(rung):
            os.chown(scratch, NOBODY, NOBODY)
        yield scratch, outside


@contextmanager
def _started(
    shown: View, rung: Rung, limits: Limits, tmp: str, bwrap: str
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket, int]]:
    """Start the child; give its process, our end of the conversation, and the pipe of its output. All are gone afterwards."""
    ours, theirs = socket.socketpair()
    output, their_output = os.pipe()
    arguments = os.memfd_create("arguments")
    environment = view.environment(tmp, os.environ)
    with closing(ours):
        try:
            command = _command(shown, rung, theirs.fileno())
            if rung is not Rung.LANDLOCK:
                words = view.bubblewrap(shown, rung, limits.tmp_bytes, environment)
                os.write(arguments, b"".join(os.fsencode(word) + b"\0" for word in words))
                os.lseek(arguments, 0, os.SEEK_SET)
                command = [bwrap, "--args", str(arguments), "--", *command]
            process = subprocess.Popen(  # noqa: S603 - our own interpreter with our own text
                command,
                pass_fds=[theirs.fileno(), arguments],
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=their_output,
                stderr=their_output,
                start_new_session=True,
                **_as_nobody(rung),
            )
        except BaseException:
            os.close(output)
            raise
        finally:
            theirs.close()
            os.close(their_output)
            os.close(arguments)
        try:
            yield process, ours, output
        finally:
            _end(process, ours)
            os.close(output)


def _command(shown: View, rung: Rung, conversation: int) -> list[str]:
    code = shown.code if rung is Rung.LANDLOCK else view.CODE
    paths = json.dumps([code, *shown.more, *view.sites()])
    tied = ["dies-with", str(os.getpid())] if rung is Rung.LANDLOCK else []
    return [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", START, paths, str(conversation), *tied]


def _as_nobody(rung: Rung) -> dict[str, Any]:
    if os.getuid() != 0 or rung is Rung.BUBBLEWRAP_AS_ROOT:
        return {}
    if rung is Rung.LANDLOCK and not view.is_open_to_all(sys.executable):
        return {}  # root with no capability is the best that there is
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def _end(process: subprocess.Popen[bytes], conversation: socket.socket) -> None:
    """Kill *process* and what it started, and wait until all of it is gone and nobody holds the other end any more."""
    family = _family(process.pid)
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()
    with suppress(OSError):
        conversation.shutdown(socket.SHUT_WR)  # who waits for a job hears that there is none
    conversation.settimeout(GONE_SECONDS)
    with suppress(OSError):
        while conversation.recv(1 << 16):
            pass
    until = time.monotonic() + GONE_SECONDS
    while any(map(_resident, family)) and time.monotonic() < until:
        time.sleep(0.002)


def _threads_of(user: int) -> int:
    """Return how many threads run as *user* on this machine: limits of threads count them all."""
    found = 0
    for entry in os.scandir("/proc"):
        with suppress(OSError):
            if entry.name.isdecimal() and entry.stat().st_uid == user:
                found += len(os.listdir(f"/proc/{entry.name}/task"))
    return found


class _Talk:
    """One conversation with one child."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        conversation: socket.socket,
        output: int,
        job: Mapping[str, Any],
        limits: Limits,
        own: tuple[str, ...],
        writable: tuple[str, ...],
        scratch: str | None,
    ) -> None:
        self._process, self._conversation, self._output = process, conversation, output
        self._job, self._limits, self._own, self._writable, self._scratch = job, limits, own, writable, scratch
        self._said = _Said()
        self._poll = select.poll()
        self._began = time.monotonic()

    def seen(self, rung: Rung) -> Seen:
        """Return what was seen once the child has ended, or has to."""
        said, claims = self._said, None
        try:
            self._listen()
            claims = self._claims()
            ending, detail = Ending.ANSWERED, ""
        except _Over as over:
            ending, detail = over.ending, over.detail
        seconds = time.monotonic() - self._began
        if said.watch is not None:
            os.close(said.watch.listener)
        tried = () if said.watch is None else said.watch.tried()
        is_begun = said.stage == child.READY + child.GO and not (claims and claims.lacks)
        return Seen(rung, ending, detail, seconds, said.peak_bytes, said.watch is not None, tried, claims, is_begun)

    def _claims(self) -> Claims:
        try:
            claims = parse_claims(bytes(self._said.answer))
        except BadClaims as exc:
            raise self._without_answer() if not self._said.answer else _Over(Ending.NONSENSE, str(exc)) from exc
        errors = (claims.error, *(run.error for run in claims.runs))
        want = next((error for error in errors if any(word in error for word in OUT_OF_MEMORY)), None)
        if want is not None:
            raise _Over(Ending.MEMORY, want[:200])
        return claims

    def _without_answer(self) -> _Over:
        """Return why there is no answer, from how the child ended."""
        try:
            self._process.wait(HUNG_UP_SECONDS)
        except subprocess.TimeoutExpired:
            return _Over(Ending.NONSENSE, "it hung up without an answer, and went on")
        for _ in range(MOST_LEFT):
            if not self._read_output():
                break
        status = self._process.returncode
        number = -status if status < 0 else status - 128 if status > 128 else 0
        text = self._said.output.decode("utf-8", "backslashreplace")
        if status == child.NOT_CONFINED:
            return _Over(Ending.NOT_CONFINED, "")
        if number == signal.SIGXCPU:
            return _Over(Ending.TIME, "its processor time is used up")
        if any(word in text for word in OUT_OF_MEMORY):
            return _Over(Ending.MEMORY, f"it got no more memory, {self._limits.memory_bytes} bytes allowed")
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
        name = signal.Signals(number).name if number in set(signal.Signals) else f"exit status {status}"
        return _Over(
            Ending.CRASHED, "".join(c if c.isprintable() else "?" for c in f"{name}{': ' if last else ''}{last[:300]}")
        )

    def _listen(self) -> None:
        """Carry on the conversation until the child hangs up.

        Raises:
            _Over: it is to be ended.
        """
        self._conversation.setblocking(False)
        os.set_blocking(self._output, False)
        for descriptor in (self._conversation.fileno(), self._output):
            self._poll.register(descriptor, select.POLLIN)
        looked = 0.0
        while True:
            for descriptor, event in self._poll.poll(LOOK_SECONDS * 1000):
                if descriptor == self._conversation.fileno():
                    if not self._hear():
                        self._look()
                        return
                elif descriptor == self._output:
                    self._drain()
                elif self._said.watch is not None and event & select.POLLIN:
                    self._said.watch.answer()
                else:
                    self._poll.unregister(descriptor)
            if time.monotonic() - looked > LOOK_SECONDS:
                self._look()
                looked = time.monotonic()

    def _hear(self) -> bool:
        """Take what the child says next; False where it has hung up."""
        said = self._said
        try:
            if said.stage == child.HEARD:
                body, descriptors, _, _ = socket.recv_fds(self._conversation, 1, 1)
                return self._filtered(body, descriptors)
            body = self._conversation.recv(1 if said.stage != child.READY + child.GO else 1 << 16)
        except ConnectionResetError:
            return False
        if not body:
            return False
        if said.stage == child.HELLO:
            self._check_keeper()
            job = json.dumps(self._job).encode()
            self._send(child.LENGTH.pack(len(job)) + job)
            said.stage = child.HEARD
        elif said.stage == child.READY:
            if body != child.READY:
                raise _Over(Ending.NONSENSE, "it does not keep to the conversation")
            said.stage = child.READY + child.GO
            if said.watch is not None:
                said.watch.begin()
        else:
            said.answer += body
            if len(said.answer) > MAX_ANSWER_BYTES:
                raise _Over(Ending.NONSENSE, f"it is longer than {MAX_ANSWER_BYTES} bytes")
        return True

    def _check_keeper(self) -> None:
        """Go on where the process that we started lives. Whatever it started dies with it from the moment that the child has
        said hello, and not before: a child whose keeper was killed earlier gets no job, and so ends.

        Raises:
            _Over: it does not live.
        """
        if self._process.poll() is not None:
            raise self._without_answer()

    def _filtered(self, body: bytes, descriptors: Sequence[int]) -> bool:
        if not body:
            return False
        if body == child.HEARD and descriptors:
            self._said.watch = Watch(descriptors[0], self._own, self._writable, os.uname().machine)
            self._poll.register(descriptors[0], select.POLLIN)
        elif body != child.UNHEARD:
            raise _Over(Ending.NONSENSE, "it does not keep to the conversation")
        self._said.stage = child.READY
        self._send(child.GO)
        return True

    def _send(self, body: bytes) -> None:
        """Say something that fits into the buffer of the socket, or nearly: the child reads it at once."""
        self._conversation.settimeout(self._limits.seconds)
        with suppress(OSError):
            self._conversation.sendall(body)
        self._conversation.setblocking(False)

    def _drain(self) -> None:
        """Read some of what the child wrote beside the conversation, and keep the beginning."""
        if not self._read_output():
            self._poll.unregister(self._output)

    def _read_output(self) -> bool:
        """Read what is there of it now; False where nobody can write any more."""
        try:
            body = os.read(self._output, 1 << 16)
        except BlockingIOError:
            return True
        self._said.output += body[: max(KEPT_BYTES - len(self._said.output), 0)]
        return bool(body)

    def _look(self) -> None:
        """Look at the clock, the memory and the temporary files.

        Raises:
            _Over: there is too much of one of them.
        """
        limits = self._limits
        if self._said.stage == child.HELLO:
            self._check_keeper()
        if time.monotonic() - self._began > limits.seconds:
            raise _Over(Ending.TIME, f"{limits.seconds:g} s")
        used = sum(map(_resident, _family(self._process.pid)))
        self._said.peak_bytes = max(self._said.peak_bytes, used)
        if used > limits.memory_bytes:
            raise _Over(Ending.MEMORY, f"{used} bytes resident, {limits.memory_bytes} allowed")
        if self._scratch is not None and _exceeds(self._scratch, limits.tmp_bytes):
            raise _Over(Ending.DISK, f"{limits.tmp_bytes} bytes")


def _family(pid: int) -> list[int]:
    """Return *pid* and what descends from it. Source: proc(5), /proc/PID/task/TID/children."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found = [pid]
    for thread in threads:
        with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as file:
            found += [each for one in file.read().split() for each in _family(int(one))]
    return found


def _resident(pid: int) -> int:
    """Return the most resident memory that *pid* ever had, in bytes; 0 where it is gone. Source: proc(5), VmHWM."""
    with suppress(OSError), open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _exceeds(folder: str, most: int) -> bool:
    """Tell whether the files in *folder* take more than *most* bytes, or there are more of them than anybody needs."""
    total, entries = 0, 0
    for place, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
        if total > most or entries > 10_000:
            return True
    return False
