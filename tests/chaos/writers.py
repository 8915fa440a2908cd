"""Models that are still being written when their completion arrives: none is registered before its last byte is there."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop
from itertools import accumulate, pairwise
from pathlib import Path

from tests.builders import onnx
from tests.chaos.row import Row
from tests.chaos.stack import Stack, stack
from worker.records import IngestionState

SETTLE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 2 * SETTLE_SECONDS
"""Between two pieces of a model: longer than the quiet period, since half a model shows that it is none."""

LATE_SECONDS = 10.0
"""How long after the quiet period a model may be registered."""

PIECES = 4
SPREAD_SECONDS = 30.0
"""Over how long the writers begin."""


@dataclass(frozen=True, order=True)
class _Step:
    """Something to do at a time, in seconds from the start."""

    at: float
    number: int
    do: Callable[[], object]


def write_slowly(folder: Path, count: int, seed: int) -> Row:
    """Return what became of *count* models, each reported at a random moment between its first byte and its last."""
    chance = random.Random(seed)
    with stack(folder, "sqlite", {"MODELPORT_SETTLE_SECONDS": str(SETTLE_SECONDS)}) as standing:
        standing.start_worker()
        written: dict[Path, float] = {}
        steps = [step for number in range(count) for step in _steps(standing, number, chance, written)]
        _take(steps)
        standing.wait_until_done(60 + SETTLE_SECONDS + LATE_SECONDS)
        early, late = _early(standing), max(_lateness(standing, written), default=0.0)
        audit = standing.audit()
    fault = f"{count} models written slowly, each reported at a random moment while it was written"
    wanted = f"0 registered early, done <= {SETTLE_SECONDS + LATE_SECONDS:.0f} s after the last byte"
    seen = f"{early} registered early, {audit.registered} registered, the last {late:.1f} s after its last byte"
    whole = early == 0 and audit.registered == count and audit.is_clean
    return Row(fault, wanted, seen, whole, late <= SETTLE_SECONDS + LATE_SECONDS)


def _steps(standing: Stack, number: int, chance: random.Random, written: dict[Path, float]) -> list[_Step]:
    """Return the steps of one writer: its model in pieces, its notes soon after, and somewhere between the completion."""
    run = standing.folder / "runs" / f"w{number:04}"
    run.mkdir(parents=True)
    weights = onnx.tensor("w", raw=number.to_bytes(24, "big"))
    model = onnx.model(onnx.small_graph() + onnx.field(5, weights))
    pauses = [chance.uniform(0, LONGEST_PAUSE_SECONDS) for _ in range(PIECES - 1)]
    times = [chance.uniform(0, SPREAD_SECONDS), *pauses, chance.uniform(0, SETTLE_SECONDS / 2)]
    *begins, notes = accumulate(times)
    cuts = [0, *sorted(chance.sample(range(1, len(model)), PIECES - 1)), len(model)]

    def append(name: str, data: bytes) -> None:
        with (run / name).open("ab") as out:
            out.write(data)
        written[run] = time.time()

    steps = [
        _Step(at, number, lambda piece=model[start:stop]: append("model.onnx", piece))  # type: ignore[misc]
        for at, (start, stop) in zip(begins, pairwise(cuts), strict=True)
    ]
    steps.append(_Step(notes, number, lambda: append("notes.txt", b"done")))
    steps.append(_Step(chance.uniform(begins[0], notes), number, lambda: standing.accept(run)))
    return steps


def _take(steps: list[_Step]) -> None:
    """Take all *steps* at their times."""
    began = time.monotonic()
    heap = [(step.at, order, step) for order, step in enumerate(steps)]
    heapify(heap)
    while heap:
        at, _, step = heappop(heap)
        time.sleep(max(0.0, at - (time.monotonic() - began)))
        step.do()


def _early(standing: Stack) -> int:
    """Return how many versions hold other files than their run has now."""
    registry, early = standing.service.registry, 0
    for id, run in standing.journal.items():
        ingestion = registry.ingestion("default", id)
        if ingestion is not None and ingestion.state is IngestionState.REGISTERED:
            kept = {file.path: file.sha256 for file in registry.files(ingestion.answered_version or "")}
            early += kept != {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in run.iterdir()}
    return early


def _lateness(standing: Stack, written: dict[Path, float]) -> list[float]:
    """Return how many seconds after its last byte each ended."""
    histories = ((standing.service.registry.history(id)[-1], run) for id, run in standing.journal.items())
    return [entry.at.timestamp() - written[run] for entry, run in histories]
