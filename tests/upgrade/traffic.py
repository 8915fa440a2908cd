"""What goes on while a release is replaced: completions are reported, and models and the queue are read, all the time.

Everybody asks as through a load balancer: whoever does not answer, or says 503, is passed over, and another is asked. A sender
writes down what was accepted, and sends again, with the same id, what was not.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.builders import onnx

READS = ("/v1/models?limit=20", "/v1/versions?limit=20", "/v1/ingestions?limit=20", "/v1/queue")

PASSED_OVER = 503
"""Says of a server that it cannot answer now, though another may."""

AGAIN_SECONDS = 0.2
"""How long a sender waits before it sends again what nobody took."""


class Balancer:
    """Knows who answers. Any number of threads may ask it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ports: tuple[int, ...] = ()

    def add(self, port: int) -> None:
        """Ask the server at *port* too from now on."""
        with self._lock:
            self._ports = (*self._ports, port)

    def remove(self, port: int) -> None:
        """Ask the server at *port* no more."""
        with self._lock:
            self._ports = tuple(one for one in self._ports if one != port)

    def ports(self, first: int) -> tuple[int, ...]:
        """Return everybody, beginning with the one whose turn it is at *first*."""
        ports = self._ports
        turn = first % len(ports)
        return ports[turn:] + ports[:turn]


@dataclass
class Seen:
    """What senders and readers saw. down holds the reads that nobody answered, with what each server said."""

    statuses: Counter[int] = field(default_factory=Counter)
    journal: dict[str, Path] = field(default_factory=dict)
    sent: int = 0
    unanswered: int = 0
    reads: Counter[int] = field(default_factory=Counter)
    down: list[str] = field(default_factory=list)
    slowest_read_seconds: float = 0.0


class Traffic:
    """Senders and readers, each a thread. *folder* gets the runs that are reported, *pause_seconds* is between two of each."""

    def __init__(self, balancer: Balancer, folder: Path, pause_seconds: float) -> None:
        self.seen = Seen()
        self._balancer, self._folder, self._pause_seconds = balancer, folder, pause_seconds
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._numbers = itertools.count()
        self._chance = random.Random(1)

    @contextmanager
    def flowing(self, senders: int = 2, readers: int = 2) -> Iterator[Seen]:
        """Let it flow while the block runs; what a sender has begun, it brings to its end."""
        threads = [threading.Thread(target=self._flow, args=(self._send,)) for _ in range(senders)]
        threads += [threading.Thread(target=self._flow, args=(self._read,)) for _ in range(readers)]
        for thread in threads:
            thread.start()
        try:
            yield self.seen
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _flow(self, once: Callable[[httpx.Client, int], None]) -> None:
        with httpx.Client(timeout=60) as client:
            for turn in itertools.count():
                if self._over.wait(self._pause_seconds):
                    return
                once(client, turn)

    def _send(self, client: httpx.Client, turn: int) -> None:
        """Report one new run until it is accepted."""
        with self._lock:
            number = next(self._numbers)
            self.seen.sent += 1
        run = make_run(self._folder, number)
        told = {"id": run.name, "source": "upgrade", "experimentId": run.name, "modelPath": str(run)}
        while True:
            for port in self._balancer.ports(turn):
                answer = self._asked(lambda port=port: client.post(f"http://127.0.0.1:{port}/v1/completions", json=told))
                with self._lock:
                    if answer is None:
                        self.seen.unanswered += 1
                        continue
                    self.seen.statuses[answer.status_code] += 1
                    if answer.status_code == httpx.codes.ACCEPTED:
                        self.seen.journal[answer.json()["id"]] = run
                        return
                    if answer.status_code != PASSED_OVER:
                        return
            time.sleep(AGAIN_SECONDS)

    def _read(self, client: httpx.Client, turn: int) -> None:
        """Read once: a list, or what became of something that was accepted."""
        with self._lock:
            known = list(self.seen.journal)
            path = self._chance.choice([*READS, *(f"/v1/ingestions/{self._chance.choice(known)}" for _ in known[:1])])
        began, said = time.monotonic(), []
        for port in self._balancer.ports(turn):
            answer = self._asked(lambda port=port: client.get(f"http://127.0.0.1:{port}{path}"))
            said.append("no answer" if answer is None else f"{answer.status_code} {answer.text[:200]}")
            if answer is not None and answer.status_code != PASSED_OVER:
                break
        with self._lock:
            self.seen.slowest_read_seconds = max(self.seen.slowest_read_seconds, time.monotonic() - began)
            if answer is not None and answer.status_code == httpx.codes.OK:
                self.seen.reads[answer.status_code] += 1
            else:
                self.seen.down.append(f"{path}: {'; '.join(said)}")

    def _asked(self, ask: Callable[[], httpx.Response]) -> httpx.Response | None:
        """Return the answer, None where none came: nobody listens, or the connection ended in the middle."""
        try:
            return ask()
        except httpx.TransportError:
            return None


def make_run(folder: Path, number: int) -> Path:
    """Return a new run below *folder* with a small model of its own."""
    run = folder / f"r{number:05}"
    run.mkdir(parents=True)
    weights: Any = onnx.tensor("w", raw=number.to_bytes(24, "big"))
    (run / "model.onnx").write_bytes(onnx.model(onnx.small_graph() + onnx.field(5, weights)))
    return run
