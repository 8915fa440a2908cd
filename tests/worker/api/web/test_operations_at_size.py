"""The page of operations is quick over a million ingestions: 100,000 of them failed, and as many finished in the last hour."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial

import pytest

from tests.contracts.registry import claimed, failed
from tests.servers.postgresql import PostgresServer
from tests.worker.api.conftest import Door
from tests.worker.api.web.visitor import Visitor, seen
from tests.worker.registry.many import multiply
from worker.api.app import make_app
from worker.records import IngestionQuery, IngestionState
from worker.registry import standing as statements
from worker.registry.migrate import migrate
from worker.registry.sql import SqlRegistry

pytestmark = pytest.mark.slow

COUNT, OF_HOUR, TEAMS = 1_000_000, 100_000, 10
FAILED, RUNNING = IngestionState.FAILED, IngestionState.RUNNING

CURVES_SECONDS, PAGE_SECONDS, LIST_SECONDS = 0.3, 1.0, 1.0
"""What the curves, the page and a list may take on a machine that does something else besides; a third of it on a quiet one."""

MOMENT = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%S', '{}', ({}) || ' seconds') || '.000000Z'",
    "postgresql": "to_char(timestamp '{}' + ({}) * interval '1 second', 'YYYY-MM-DD\"T\"HH24:MI:SS') || '.000000Z'",
}


def fill(door: Door, registry: SqlRegistry) -> None:
    """Let a tenth have failed, by two reasons and in all teams; the last 100,000 finished in the last hour."""
    now = door.clock.now()
    for number in range(1, TEAMS):
        registry.create_team(f"team{number}", now)
    assert registry.finish(claimed(registry, "first", experiment="e").id, "me", failed("broken"), now - timedelta(days=1))
    began = (now - timedelta(minutes=59)).strftime("%Y-%m-%d %H:%M:%S")
    lately = MOMENT[registry.engine.dialect.name].format(began, f"(number - {COUNT - OF_HOUR}) * 0.035")
    is_failed = "number % 10 = number / 10 % 10"
    made = {name: f"'{name}' || number" for name in ("id", "event_key", "version_id", "experiment")}
    made |= {
        "team": f"CASE WHEN number % {TEAMS} = 0 THEN 'default' ELSE 'team' || (number % {TEAMS}) END",
        "state": f"CASE WHEN {is_failed} THEN 'failed' WHEN number % 7 = 0 THEN 'unchanged' ELSE 'registered' END",
        "reason": f"CASE WHEN NOT ({is_failed}) THEN 'new-content' WHEN number % 3 = 0 THEN 'broken' ELSE 'changed' END",
        "format": "CASE WHEN number % 3 = 0 THEN 'keras' WHEN number % 3 = 1 THEN 'onnx' END",
        "updated": f"CASE WHEN number > {COUNT - OF_HOUR} THEN {lately} ELSE updated END",
        "created": f"CASE WHEN number > {COUNT - OF_HOUR} THEN {lately} ELSE created END",
    }
    multiply(registry, made, ":count", COUNT)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with ExitStack() as opened:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('size') / 'registry.db'}"
        else:
            postgres: PostgresServer = request.getfixturevalue("postgres")
            url = postgres.create_database("operations_at_size")
            opened.callback(postgres.drop_database, "operations_at_size")
        migrate(url)
        registry = SqlRegistry(url)
        opened.callback(registry.close)
        door = Door(registry)
        fill(door, registry)
        yield door


@pytest.fixture
def registry(door: Door) -> SqlRegistry:
    assert isinstance(door.registry, SqlRegistry)
    return door.registry


def took(what: str, work: Callable[[], object], times: int = 5) -> float:
    """Return the seconds of the quickest of several calls, and say so."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    print(f"{what}: {1000 * min(found):.0f} ms, at most {1000 * max(found):.0f} ms")
    return min(found)


@pytest.mark.parametrize("team", ["default", None])
def test_the_last_hour_is_counted_while_nobody_notices(door: Door, registry: SqlRegistry, team: str | None) -> None:
    names = [team] if team else [one.name for one in registry.teams()]
    given = {"teams": names, "since": door.clock.now() - timedelta(hours=1)}

    def count() -> int:
        with registry.engine.connect() as connection:
            return sum(row[2] for row in connection.execute(statements.BY_MINUTE, given))

    assert count() == (OF_HOUR if team is None else OF_HOUR // TEAMS)
    assert took(f"{registry.engine.dialect.name}, the curves of {team or 'all'}", count) < CURVES_SECONDS


def test_the_page_is_quick(door: Door, registry: SqlRegistry) -> None:
    operator = Visitor(make_app(door.service))
    operator.sign_in(door.token("operate", "operate:all"))
    for team, finished in (("default", OF_HOUR // TEAMS), ("", OF_HOUR)):
        address = f"/operations?team={team}"
        page = operator.get(address)
        assert seen(page) == (200, "Quiet")
        assert f">{finished:,}<" in page.text
        assert len(page.text) < 40_000
        seconds = took(f"{registry.engine.dialect.name}, the page of {team or 'all'}", partial(operator.get, address))
        assert seconds < PAGE_SECONDS


@pytest.mark.parametrize("team", ["default", None])
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"state": FAILED},
        {"state": RUNNING},
        {"state": FAILED, "reason": "broken"},
        {"state": FAILED, "reason": "not-settled"},
        {"experiment": "experiment17"},
        {"format": "onnx"},
        {"format": "tflite"},
        {"format": "keras", "state": FAILED},
        {"format": "onnx", "state": FAILED, "reason": "broken"},
    ],
    ids=lambda filters: " ".join(map(str, filters.values())) or "all",
)
def test_lists_and_their_counts_are_quick(registry: SqlRegistry, team: str | None, filters: dict[str, object]) -> None:
    query = IngestionQuery(team, limit=51, **filters)  # type: ignore[arg-type]
    kind = registry.engine.dialect.name
    assert took(f"{kind}, a list of {team or 'all'} by {filters}", lambda: registry.ingestions(query), 3) < LIST_SECONDS
    if "state" in filters:
        assert took(f"{kind}, its count", lambda: registry.count_ingestions(query), 3) < LIST_SECONDS
