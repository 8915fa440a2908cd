"""A whole installation in one folder: database, Redis, workers as process groups that may be killed, and a journal of what
was accepted.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.builders import onnx
from tests.chaos.poisoned import CLOCK_IS_OFF
from tests.servers.postgresql import SETTINGS, PostgresServer, postgres_server
from tests.servers.process import descendants, is_running
from tests.servers.redis import RedisServer, redis_server
from worker.bootstrap import Embedded, embedded, migrate_database
from worker.ingest import Borders
from worker.lifecycle import is_end
from worker.operations import check_promise
from worker.records import CompletionEvent, Ingestion, IngestionState, Trigger
from worker.tidying import Tidying

ROOT = Path(__file__).parents[2]

BATCH = 500
"""Completions that are accepted in one transaction."""

ORPHAN_SECONDS = 5.0
"""How long a child may take to notice that its worker is gone."""


@dataclass
class Stack:
    """What stands: a service to look through, the servers, and the workers that are alive just now."""

    folder: Path
    service: Embedded
    redis: RedisServer
    postgres: PostgresServer | None
    environment: Mapping[str, str]
    journal: dict[str, Path] = field(default_factory=dict)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    orphans: int = 0

    def make_models(self, count: int, poison: int = 0, start: int = 0) -> list[Path]:
        """Make *count* runs, each with a small model of its own, of which the last *poison* kill who looks at them.

        They are numbered from *start*.
        """
        runs = []
        for number in range(start, start + count):
            run = self.folder / "runs" / f"r{number:05}"
            run.mkdir(parents=True)
            weights = onnx.tensor("w", raw=number.to_bytes(24, "big"))
            (run / "model.onnx").write_bytes(onnx.model(onnx.small_graph() + onnx.field(5, weights)))
            if number >= start + count - poison:
                (run / "poison").write_bytes(b"")
            runs.append(run)
        return runs

    def event(self, run: Path, id: str | None = None) -> CompletionEvent:
        """Return the completion of *run*."""
        return CompletionEvent("chaos", id or run.name, str(run), experiment=run.name, trigger=Trigger.COMPLETION)

    def accept(self, run: Path, id: str | None = None) -> Ingestion:
        """Accept a completion of *run* and write it into the journal."""
        ingestion, _ = self.service.registry.submit(self.event(run, id), self.service.clock.now())
        self.journal[ingestion.id] = run
        return ingestion

    def accept_all(self, runs: Sequence[Path]) -> None:
        """Accept all *runs*, as from many senders who report at once, and write them into the journal."""
        registry, now = self.service.registry, self.service.clock.now()
        for start in range(0, len(runs), BATCH):
            batch = runs[start : start + BATCH]
            for run, answer in zip(batch, registry.submit_all([(self.event(run), None) for run in batch], now), strict=True):
                assert isinstance(answer, tuple), answer
                self.journal[answer[0].id] = run

    def start_worker(
        self, concurrency: int = 2, program: str = "tests.chaos.poisoned", clock_is_off_seconds: float = 0.0
    ) -> subprocess.Popen[bytes]:
        """Start a worker in a process group of its own; *program* is a module that stands for `modelport`."""
        command = [sys.executable, "-m", program, "worker", "--concurrency", str(concurrency)]
        log = (self.folder / "workers.log").open("ab")
        environment = dict(self.environment)
        if clock_is_off_seconds:
            environment[CLOCK_IS_OFF] = str(clock_is_off_seconds)
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        log.close()
        self.workers.append(worker)
        return worker

    def log(self) -> str:
        """Return the end of what the workers said."""
        return (self.folder / "workers.log").read_text(errors="replace")[-3000:]

    def kill_workers(self) -> None:
        """Kill every worker and its group at once, as a power cut would; count what outlives them all the same."""
        families = [pid for worker in self.workers for pid in descendants(worker.pid)]
        for worker in self.workers:
            kill_group(worker)
        self.workers.clear()
        until(lambda: not any(map(is_running, families)), ORPHAN_SECONDS)
        self.orphans += sum(map(is_running, families))

    def unfinished(self) -> int:
        """Return how many ingestions have not ended."""
        states = self.service.registry.queue(self.service.clock.now()).states
        return sum(states.get(IngestionState(state), 0) for state in ("received", "waiting", "running"))

    def wait_until_done(self, seconds: float) -> bool:
        """Return whether everything ended within *seconds*."""
        return until(lambda: self.unfinished() == 0, seconds)

    def _tidied(self, borders: Borders) -> int:
        """Take the two looks through the store that a worker takes in its first minutes; return how many copies they removed.

        Who is killed just after it freed an ingestion removes nothing any more of what that one wrote.
        """
        before = len(list(borders.store.prefixes()))
        tidying = Tidying()
        for _ in range(2):
            tidying.look(borders)
        return before - len(list(borders.store.prefixes()))

    def _times_ended(self, id: str) -> int:
        return sum(is_end(entry.state) for entry in self.service.registry.history(id))

    def audit(self) -> Audit:
        """Compare the journal with the registry, and the registry with the store."""
        registry, borders = self.service.registry, self.service.borders()
        tidied = self._tidied(borders)
        ends = {id: registry.ingestion("default", id) for id in self.journal}
        versions = {
            id: one.answered_version for id, one in ends.items() if one is not None and one.state is IngestionState.REGISTERED
        }
        kept = {version_id for version_id, is_kept in registry.store_keys() if is_kept}
        held = {version_id for version_id, _ in borders.store.prefixes()}
        broken = 0
        for id, version_id in versions.items():
            files = registry.files(version_id or "")
            url = next(iter(v.url for v in [registry.version("default", version_id or "")] if v), "")
            with borders.store.opened(url) as tree:
                sizes = {entry.path: entry.size for entry in tree.files()}
                digests = {path: hashlib.sha256(tree.read(path, 0, size)).hexdigest() for path, size in sizes.items()}
            whole = sizes == {file.path: file.size for file in files} and digests == {file.path: file.sha256 for file in files}
            broken += not whole or not (self.journal[id] / "model.onnx").exists()
        return Audit(
            accepted=len(self.journal),
            lost=sum(one is None for one in ends.values()),
            registered=len(versions),
            failed=sum(one is not None and one.state is IngestionState.FAILED for one in ends.values()),
            duplicated=len(kept) - len(set(versions.values())),
            in_flight=self.unfinished(),
            broken=broken,
            leftovers=len(held - kept),
            tidied=tidied,
            promise=check_promise(borders).state,
            most_attempts=max((one.attempts for one in ends.values() if one is not None), default=0),
            ended_twice=sum(self._times_ended(id) > 1 for id in self.journal),
            orphans=self.orphans,
        )


@dataclass(frozen=True)
class Audit:
    """What became of everything that was accepted."""

    accepted: int
    lost: int
    registered: int
    failed: int
    duplicated: int
    in_flight: int
    broken: int
    leftovers: int
    tidied: int
    promise: str
    most_attempts: int
    ended_twice: int
    orphans: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, done twice, spoilt or left over."""
        ended = (self.lost, self.duplicated, self.in_flight, self.ended_twice)
        return not any((*ended, self.broken, self.leftovers, self.orphans)) and self.promise == "ok"


@contextmanager
def stack(
    folder: Path, database: str, more: Mapping[str, str] | None = None, postgres_settings: Sequence[str] = SETTINGS
) -> Iterator[Stack]:
    """Give a running installation below *folder* on *database*, `sqlite` or `postgresql`; nothing of it is left running."""
    with ExitStack() as servers:
        folder.chmod(0o711)  # PostgreSQL runs as a user of its own where we are root
        for name in ("redis", "postgresql", "home"):
            (folder / name).mkdir()
        redis = servers.enter_context(redis_server(folder / "redis"))
        environment = {
            "PATH": os.environ["PATH"],
            "MODELPORT_HOME": str(folder / "home"),
            "MODELPORT_BROKER_URL": redis.url,
            "MODELPORT_SETTLE_SECONDS": "0",
            **(more or {}),
        }
        postgres = None
        if database == "postgresql":
            postgres = servers.enter_context(postgres_server(folder / "postgresql", settings=postgres_settings))
            environment["MODELPORT_DATABASE_URL"] = postgres.create_database("modelport")
        migrate_database(environment, folder)
        service = servers.enter_context(embedded(environment, folder, role="chaos"))
        standing = Stack(folder, service, redis, postgres, environment)
        try:
            yield standing
        finally:
            standing.kill_workers()


def kill_group(worker: subprocess.Popen[bytes]) -> None:
    """Kill *worker* and all its children at once, and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def until(holds: object, seconds: float) -> bool:
    """Return whether *holds* became true within *seconds*; it is asked ten times a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return bool(holds())  # type: ignore[operator]
