"""A queue that is paused while others claim from it, on a database."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from sqlalchemy import text

from tests.contracts.registry import LATER, NOON, event
from tests.worker.registry.test_standing import fill, plans
from worker.records import IngestionQuery, IngestionState
from worker.registry import halts
from worker.registry.sql import SqlRegistry

CLAIMERS = 4


class HaltsOnDisk:
    """The laws of a pause in a database; a registry joins by subclassing it."""

    @pytest.fixture
    def registry(self, build: Callable[..., SqlRegistry]) -> SqlRegistry:
        return build()

    def test_once_it_is_paused_nobody_begins_anything(self, registry: SqlRegistry) -> None:
        """Who was about to claim has claimed by then: what runs when the pause is there is all that runs after it."""
        for number in range(100):
            registry.submit(event(f"{number}"), NOON)
        over = Event()

        def claim(name: int) -> None:
            while not over.is_set():
                registry.claim_next(f"worker {name}", LATER)

        with ThreadPoolExecutor(CLAIMERS) as pool:
            claiming = [pool.submit(claim, name) for name in range(CLAIMERS)]
            for _ in range(3):
                running = count(registry)
                while count(registry) == running:
                    time.sleep(0.001)
                assert registry.pause_queue("default", True, LATER) is not None
                running = count(registry)
                assert not registry.is_due(LATER)
                time.sleep(0.05)
                assert count(registry) == running < 100
                assert registry.resume_queue("default", True, LATER) is not None
            over.set()
        for one in claiming:
            one.result()

    def test_a_paused_team_is_not_read_to_find_anothers(self, registry: SqlRegistry) -> None:
        fill(registry, 3000)
        with registry.engine.begin() as connection:
            connection.execute(text("UPDATE ingestions SET state = 'received', team = 'red'"))
        registry.submit(event("2", team="blue"), NOON)
        registry.pause_queue("red", False, NOON)
        with registry.engine.connect() as connection:
            assert halts.paused(connection) == {"red"}
        _, plan = plans(registry, lambda: registry.is_due(LATER))
        assert plan.count("ix_ingestions_team_turn") >= 3
        assert [one.event.id for one in iter(lambda: registry.claim_next("me", LATER), None)] == ["2"]


class TestSqliteHalts(HaltsOnDisk):
    """SQLite, where writers stand in line."""


def count(registry: SqlRegistry) -> int:
    return registry.count_ingestions(IngestionQuery(state=IngestionState.RUNNING))
