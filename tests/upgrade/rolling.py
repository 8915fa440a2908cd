"""A rolling upgrade under load: the database is migrated while the old release works, then each process is replaced.

PostgreSQL, Redis, two APIs and two workers, as on a small server. Old and new are installed from wheels.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from tests.chaos.stack import Audit, Stack
from tests.servers.postgresql import postgres_server
from tests.servers.process import Server, until
from tests.servers.redis import redis_server
from tests.upgrade.release import Release
from tests.upgrade.traffic import Balancer, Seen, Traffic
from worker.bootstrap import embedded

DRAIN_SECONDS = 90.0
"""How long a process may take that was told to end. A worker makes no more than the rest of a bell's attempts."""

STEP_SECONDS = 120.0
"""How long work may take to get on; not a figure, but when to give up."""

STARTED = b"worker started"


class Part(Server):
    """One process of a release, with the settings that all share."""

    def __init__(self, release: Release, folder: Path, environment: Mapping[str, str], *words: str) -> None:
        folder.mkdir()
        super().__init__(folder)
        self.release, self.words = release, words
        self._environment = environment

    def command(self) -> list[str]:
        told = [f"{name}={value}" for name, value in self._environment.items()]
        port = ["--port", str(self.port)] if self.words[0] == "api" else []
        return ["/usr/bin/env", "-i", *told, str(self.release.program), *self.words, *port]

    def answers(self) -> bool:
        if self.words[0] != "api":
            return STARTED in self.log.read_bytes()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def drain(self) -> bool:
        """Tell it to end; tell whether it did in time, and by itself."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        has_ended = until(self._has_ended, DRAIN_SECONDS)
        self.kill()
        return has_ended

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass(frozen=True)
class Upgrade:
    """How an upgrade went. by_old_after and by_new count what was registered by old workers alone after the migration, and
    by new ones alone; stubborn names the processes that did not end in time, torn those that said a traceback.
    """

    old: str
    new: str
    applied: str
    seen: Seen
    audit: Audit
    contradictions: list[str]
    by_old_after: int
    by_new: int
    stubborn: list[str]
    torn: list[str]
    checked_after: int
    seconds: float

    def __str__(self) -> str:
        seen, audit = self.seen, self.audit
        return (
            f"{self.old} → {self.new} in {self.seconds:.0f} s ({self.applied}): {len(seen.journal)} of {seen.sent} accepted, "
            f"{audit.registered} registered, {audit.lost} lost; answers to senders {dict(seen.statuses)}, "
            f"{seen.unanswered} connections ended; {sum(seen.reads.values())} reads answered, {len(seen.down)} not, "
            f"the slowest after {seen.slowest_read_seconds:.1f} s; {self.by_old_after} by old workers on new tables"
        )


class Site:
    """The processes of one installation."""

    def __init__(self, folder: Path, environment: Mapping[str, str], database: str) -> None:
        self.folder, self.environment = folder, environment
        self.balancer = Balancer()
        self.parts: list[Part] = []
        self.stubborn: list[str] = []
        self._database = database

    def run(self, release: Release, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command of *release*."""
        call = [str(release.program), *words]
        return subprocess.run(call, env=dict(self.environment), cwd=self.folder, capture_output=True, text=True, timeout=120)

    def start(self, release: Release, *words: str) -> Part:
        """Start one process; it takes requests, or bells, when this returns."""
        part = Part(release, self.folder / f"{len(self.parts)}-{words[0]}", self.environment, *words)
        self.parts.append(part)
        part.start()
        if words[0] == "api":
            self.balancer.add(part.port)
        return part

    def replace(self, old: Part, release: Release) -> Part:
        """Start what *old* is of *release*, and end *old* once that takes requests; whoever asks the old one finds out."""
        new = self.start(release, *old.words)
        if not old.drain():
            self.stubborn.append(f"{old.words[0]} of {old.release.name}")
        self.balancer.remove(old.port)
        return new

    def count(self, condition: str) -> int:
        """Return how many ingestions are as *condition* says."""
        with psycopg.connect(self._database) as connection:
            row = connection.execute(f"SELECT count(*) FROM ingestions WHERE {condition}").fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row[0])

    def wait_for_more(self, count: int) -> int:
        """Wait until *count* more are registered; return how many are."""
        before = self.count("state = 'registered'")
        if not until(lambda: self.count("state = 'registered'") >= before + count, STEP_SECONDS):
            raise AssertionError(f"work does not get on\n{''.join(part.said()[-3000:] for part in self.parts)}")
        return self.count("state = 'registered'")

    def stop(self) -> None:
        for part in self.parts:
            part.stop()


def upgrade(folder: Path, old: Release, new: Release, each: int = 20, pause_seconds: float = 0.2) -> Upgrade:
    """Return how the upgrade from *old* to *new* went, with at least *each* ingestions registered in each of its phases."""
    folder.chmod(0o711)  # PostgreSQL runs as a user of its own where we are root
    for name in ("redis", "postgresql", "home"):
        (folder / name).mkdir()
    began = time.monotonic()
    with ExitStack() as servers:
        redis = servers.enter_context(redis_server(folder / "redis"))
        postgres = servers.enter_context(postgres_server(folder / "postgresql"))
        environment = {
            "PATH": os.environ["PATH"],
            "MODELPORT_HOME": str(folder / "home"),
            "MODELPORT_BROKER_URL": redis.url,
            "MODELPORT_DATABASE_URL": postgres.create_database("modelport"),
            "MODELPORT_SETTLE_SECONDS": "0",
        }
        site = Site(folder, environment, postgres.url("modelport", "postgresql"))
        servers.callback(site.stop)
        site.run(old, "migrate").check_returncode()
        workers = [site.start(old, "worker", "--concurrency", "2") for _ in range(2)]
        doors = [site.start(old, "api") for _ in range(2)]
        with Traffic(site.balancer, folder / "runs", pause_seconds).flowing() as seen:
            site.wait_for_more(each)
            migrated = site.run(new, "migrate")
            assert migrated.returncode == 0, migrated.stderr
            before = site.count("state = 'registered'")
            by_old_after = site.wait_for_more(each) - before
            checked = site.run(old, "worker", "--check").returncode
            doors = [site.replace(part, new) for part in doors]
            site.wait_for_more(each)
            workers = [site.replace(part, new) for part in workers]
            before = site.count("state = 'registered'")
            by_new = site.wait_for_more(each) - before
        in_flight = "state IN ('received', 'waiting', 'running')"
        until(lambda: site.count(in_flight) == 0, STEP_SECONDS)
        seconds = time.monotonic() - began
        site.stop()
        with embedded(environment, folder, role="upgrade") as service:
            audit = Stack(folder, service, redis, postgres, environment, journal=seen.journal).audit()
            contradictions = [str(one) for one in service.registry.contradictions(service.clock.now())]
    return Upgrade(
        old=old.name,
        new=new.name,
        applied=migrated.stdout.strip().rpartition(": ")[2],
        seen=seen,
        audit=audit,
        contradictions=contradictions,
        by_old_after=by_old_after,
        by_new=by_new,
        stubborn=site.stubborn,
        torn=[f"{part.words[0]} of {part.release.name}" for part in site.parts if "Traceback" in part.said()],
        checked_after=checked,
        seconds=seconds,
    )
