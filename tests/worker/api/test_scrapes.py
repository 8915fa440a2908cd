"""What a scrape is answered: through the door, with what anybody may have sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contracts.registry import event, new_version
from tests.worker.api.conftest import NOON, Door
from worker.connections import Connection, Leaned, Room
from worker.records import End, IngestionState, Pause, SoFar, Took, Trigger, Worker
from worker.registry.memory import MemoryRegistry
from worker.registry.sql import SqlRegistry

ODD = (
    'a"}',
    "b\\",
    "c\nd",
    "e\x01",
    "g\x1b[31m",
    "h\x7f\x85",
    "i\u2028j",
    "\u202ek",
    'x{y="z"} 1',
    "# HELP l",
    "ж",
    "𝕞" * 40,
)
"""Beginnings of names: what ends a label or a line, what steers a terminal, and what is long."""

MOST_SERIES = 200


def lives(door: Door, number: int) -> None:
    """Let one ingestion with odd names begin, and come to one of four ends."""
    odd = f"{ODD[number % len(ODD)]} {number}"
    trigger = list(Trigger)[number % len(Trigger)]
    sent = event(odd, team=odd, project=odd, experiment=odd, name=odd, model_path=f"/runs/{odd}", trigger=trigger)
    registry, now = door.registry, NOON + timedelta(milliseconds=number)
    ingestion, _ = registry.submit(sent, now)
    running = registry.claim(ingestion.id, f"{odd}.1", now)
    assert running is not None
    match number % 4:
        case 0:
            version = new_version(running, f"sha256:{number}", format=odd)
            assert registry.register(running.id, f"{odd}.1", version, now) is not None
        case 1:
            assert registry.finish(running.id, f"{odd}.1", End(IngestionState.FAILED, odd, odd), now)
        case 2:
            registry.wait(running.id, f"{odd}.1", Pause(60.0, False, odd, odd, SoFar()), now)


def scraped(door: Door) -> str:
    answer = door.client().with_token(door.token("operate:all")).get("/metrics")
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.slow)])
def door(request: pytest.FixtureRequest, sqlite: Callable[[], SqlRegistry]) -> Door:
    return Door(MemoryRegistry() if request.param == "memory" else sqlite())


@pytest.fixture
def amount(door: Door) -> int:
    """How many odd names there are; on a database, which tells all names apart, as many as there may well be."""
    return 400 if isinstance(door.registry, MemoryRegistry) else 10_000


def test_ten_thousand_odd_names_make_less_than_two_hundred_series(door: Door, amount: int) -> None:
    for number in range(amount):
        lives(door, number)
    for number in range(0, amount, 10):
        odd = f"{ODD[number % len(ODD)]} {number}"
        door.registry.see(Worker(odd, odd, number, NOON, NOON))
    door.registry.took([Took("settle", 1.0)])
    where = "/".join(ODD)
    door.connections = tuple(Connection(what, where, None, Room(100, 1), 0.1, NOON) for what in Leaned)
    text = scraped(door)
    series = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert sum(sample.value for sample in series if sample.name == "modelport_accepted_total") == amount
    assert len(series) < MOST_SERIES
    assert {word for sample in series for word in sample.labels.values() if not re.fullmatch(r"[\w.+-]+", word)} == set()
    assert not re.search(r"[^\n -~]", text)


def test_a_scrape_tells_what_is_leaned_on_also_where_it_is_away(door: Door) -> None:
    door.connections = (Connection(Leaned.STORE, "/store", "it is away", None, None, NOON),)
    assert 'modelport_connection_up{to="store"} 0.0' in scraped(door).splitlines()
