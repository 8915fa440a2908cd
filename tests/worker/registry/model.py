"""What becomes of an ingestion, told a second time and in the plainest way, for tests to compare registries with.

It shares no code with `worker.lifecycle` or a registry, so that a wrong rule there is not expected here. It knows state,
owner, attempts, lease and pause of each ingestion; which one is next, and everything about versions, it leaves to others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

LEASE = timedelta(seconds=60)
LONG = timedelta(seconds=180)
ENDS = ("registered", "unchanged", "nothing_found", "failed", "discarded", "ignored")

Seen = tuple[str, str | None, int, datetime | None, datetime | None]
"""State, owner, attempts, the end of the lease, the end of the pause."""


@dataclass
class Row:
    """One ingestion. *is_watched* says that a person started it and looks on."""

    team: str
    is_watched: bool
    state: str = "received"
    owner: str | None = None
    attempts: int = 0
    lease_until: datetime | None = None
    run_after: datetime | None = None

    @property
    def seen(self) -> Seen:
        return self.state, self.owner, self.attempts, self.lease_until, self.run_after

    def be(self, state: str, run_after: datetime | None = None) -> None:
        """Stand so, owned by nobody."""
        self.state, self.owner, self.lease_until, self.run_after = state, None, None, run_after

    def is_run_by(self, who: str) -> bool:
        return self.state == "running" and self.owner == who

    def may_be_claimed(self, now: datetime) -> bool:
        return self.state == "received" or (self.state == "waiting" and self.run_after is not None and self.run_after <= now)

    def is_lost(self, dead: str, now: datetime) -> bool:
        return self.owner is not None and (self.owner == dead or (self.lease_until is not None and self.lease_until <= now))


@dataclass
class Model:
    """All ingestions by their ids. A method takes a step and tells whether it may be taken; else nothing has changed."""

    rows: dict[str, Row] = field(default_factory=dict)
    paused: set[str | None] = field(default_factory=set)
    """Teams whose queue is paused; None among them stands for all."""

    def submit(self, id: str, team: str, is_watched: bool) -> None:
        assert id not in self.rows
        self.rows[id] = Row(team, is_watched)

    def claim(self, id: str, who: str, now: datetime) -> bool:
        row = self.rows.get(id)
        if row is None or row.state not in ("received", "waiting"):
            return False
        if row.owner != who and {None, row.team} & self.paused:
            return False
        row.state, row.owner, row.attempts = "running", who, row.attempts + 1
        row.lease_until, row.run_after = now + LEASE, None
        return True

    def due(self, now: datetime) -> set[str]:
        due = {id for id, row in self.rows.items() if row.may_be_claimed(now)}
        return {id for id in due if not {None, self.rows[id].team} & self.paused}

    def pause(self, team: str | None) -> bool:
        was = team in self.paused
        self.paused.add(team)
        return not was

    def resume(self, team: str | None) -> bool:
        was = team in self.paused
        self.paused.discard(team)
        return was

    def wait(self, id: str, who: str, seconds: float, is_attempt: bool, now: datetime) -> bool:
        row = self.rows.get(id)
        if row is None or not row.is_run_by(who):
            return False
        row.be("waiting", now + timedelta(seconds=seconds))
        row.attempts -= 0 if is_attempt else 1
        if row.is_watched and row.run_after is not None:
            row.owner, row.lease_until = who, row.run_after + LEASE
        return True

    def beat(self, id: str, who: str, now: datetime) -> bool:
        row = self.rows.get(id)
        if row is None or not row.is_run_by(who):
            return False
        row.lease_until = now + LEASE
        return True

    def free(self, dead: str, now: datetime) -> set[str]:
        lost = {id for id, row in self.rows.items() if row.is_lost(dead, now)}
        for row in map(self.rows.__getitem__, lost):
            if row.is_watched or row.attempts == 5:
                row.be("failed")
            else:
                row.be("waiting", now)
        return lost

    def retry(self, id: str, team: str) -> bool:
        row = self.rows.get(id)
        if row is None or row.team != team or row.state != "failed":
            return False
        row.be("received")
        row.attempts = 0
        return True

    def discard(self, id: str, team: str) -> bool:
        row = self.rows.get(id)
        if row is None or row.team != team or row.state not in ("received", "waiting", "running", "failed"):
            return False
        row.be("discarded")
        return True

    def finish(self, id: str, who: str, state: str) -> bool:
        """An experiment that is not to be looked at is put aside before anybody owns it; all else is its owner's to end."""
        row = self.rows.get(id)
        if row is None or not (row.is_run_by(who) or (row.state == "received" and state == "ignored")):
            return False
        row.be(state)
        return True

    def may_register(self, id: str, who: str) -> bool:
        row = self.rows.get(id)
        return row is not None and row.is_run_by(who)

    def long_lost(self, now: datetime) -> Iterator[str]:
        """Yield, in the order of acceptance, who should have been freed long ago."""
        return (id for id, row in self.rows.items() if row.lease_until is not None and row.lease_until + LONG <= now)

    def registered(self) -> set[str]:
        return {id for id, row in self.rows.items() if row.state == "registered"}
