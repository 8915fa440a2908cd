"""What an operator reads of what the service leans on, and how one that is away changes the verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.worker.api.conftest import NOON, Door
from tests.worker.api.web import work
from tests.worker.api.web.test_operations_page import plain
from tests.worker.api.web.visitor import Visitor, seen
from worker.api.app import make_app
from worker.api.web.reached import GOES_ON, NAMES, URGENCY, lines, verdict_with
from worker.connections import Connection, Leaned, Room
from worker.health import Verdict

SINCE = NOON - timedelta(minutes=39)
DATABASE = Connection(Leaned.DATABASE, "postgresql://modelport:***@db/modelport", None, None, 0.001, SINCE)
BROKER = Connection(Leaned.BROKER, "redis://broker/0", None, None, 0.0012, SINCE)
STORE = Connection(Leaned.STORE, "s3://models", None, None, 0.012, SINCE)
HOME = Connection(Leaned.HOME, "/var/lib/modelport", None, Room(1_000_000_000, 610_000_000), 0.0001, SINCE)
ALL = (DATABASE, BROKER, STORE, HOME)
WELL, BAD = Verdict("ok", "", "Healthy", "All is well."), Verdict("bad", "is-bad", "Stalled", "Nothing finished.")
SLOW = Verdict("warn", "is-warn", "Behind", "It is late.")


def away(one: Connection) -> Connection:
    return replace(one, trouble="nobody answers", seconds=None, room=None)


def test_each_has_a_name_a_meaning_and_an_urgency() -> None:
    assert set(NAMES) == set(GOES_ON) == {what for what, _, _ in URGENCY} == set(Leaned)


def test_a_line_says_where_it_is_and_how_it_is() -> None:
    *_, store, home = lines(ALL, NOON)
    assert (store.name, store.where, store.state.words, store.below, store.seconds) == (
        "Store",
        "s3://models",
        "Reachable",
        "",
        0.012,
    )
    assert home.where == "/var/lib/modelport, 61\N{NO-BREAK SPACE}% of 1.00\N{NO-BREAK SPACE}GB free"


def test_the_worst_comes_first() -> None:
    found = lines((DATABASE, replace(HOME, room=Room(100, 9)), away(STORE)), NOON)
    assert [(line.name, line.state.words) for line in found] == [
        ("Store", "Unreachable"),
        ("Home", "Nearly full"),
        ("Database", "Reachable"),
    ]
    assert (found[0].below, found[0].seconds) == ("since 11:21: nobody answers", None)


@pytest.mark.parametrize("said", [WELL, SLOW, BAD])
def test_where_all_answer_the_verdict_is_that_of_the_work(said: Verdict) -> None:
    assert verdict_with(said, ALL, NOON) == said


@pytest.mark.parametrize(
    ("said", "down", "title", "level"),
    [
        (WELL, (STORE,), "Store unreachable", "is-bad"),
        (BAD, (STORE, BROKER), "Store unreachable", "is-bad"),
        (WELL, (STORE, DATABASE), "Database unreachable", "is-bad"),
        (SLOW, (HOME,), "Home unreachable", "is-bad"),
        (WELL, (BROKER,), "Broker unreachable", "is-warn"),
        (SLOW, (BROKER,), "Behind", "is-warn"),
        (BAD, (BROKER,), "Stalled", "is-bad"),
    ],
)
def test_what_is_away_is_the_cause(said: Verdict, down: tuple[Connection, ...], title: str, level: str) -> None:
    found = verdict_with(said, [away(one) if one in down else one for one in ALL], NOON)
    assert (found.title, found.level) == (title, level)


def test_a_pause_stays_what_is_said_first_and_what_is_away_is_said_too() -> None:
    paused = Verdict("pause", "is-warn", "Paused", "By ann since 11:00.")
    found = verdict_with(paused, [away(STORE)], NOON)
    assert (found.title, found.level) == ("Paused", "is-warn")
    assert found.says.startswith("By ann since 11:00. Store unreachable: s3://models cannot be used since 11:21.")


def test_a_store_that_is_away_and_what_it_does_to_the_work_are_said_together() -> None:
    cause = "s3://models cannot be used since 11:21. "
    pause = "Attempts that need it pause, and go on by themselves once it answers. Nothing is lost."
    assert verdict_with(WELL, [away(STORE)], NOON).says == cause + pause
    assert verdict_with(BAD, [away(STORE)], NOON).says == f"{cause}{pause} Nothing finished."


def test_a_volume_that_is_nearly_full_is_a_warning_where_nothing_is_worse() -> None:
    full = replace(HOME, room=Room(1000, 99))
    assert verdict_with(WELL, [full], NOON).title == "Nearly full"
    assert verdict_with(SLOW, [full], NOON) == SLOW
    assert verdict_with(WELL, [replace(HOME, room=Room(1000, 100))], NOON) == WELL


@pytest.fixture
def operator(room: Door) -> Visitor:
    visitor = Visitor(make_app(room.service))
    assert visitor.sign_in(room.token("operate")).status_code == 303
    return visitor


def test_the_page_shows_them_and_goes_on_by_itself(room: Door, operator: Visitor) -> None:
    work.health(room)
    room.connections = ALL
    told = plain(operator.get("/operations"))
    assert "What we lean on State Answer Database postgresql://modelport:***@db/modelport Reachable 1 ms" in told
    assert "Broker redis://broker/0 Reachable 1.2 ms Store s3://models Reachable 12 ms" in told
    room.connections = (DATABASE, BROKER, away(STORE), HOME)
    part = plain(operator.part("/operations"))
    assert "Store s3://models Unreachable since 11:21: nobody answers" in part
    assert "Store unreachable s3://models cannot be used since 11:21." in part


def test_a_name_of_a_place_is_no_mark_up(room: Door, operator: Visitor) -> None:
    room.connections = (replace(away(STORE), where="<b>/srv", trouble="<script>\x07"),)
    answer = operator.get("/operations")
    assert seen(answer) == (200, "Store unreachable")
    assert "<script>\x07" not in answer.text
    assert "&lt;script&gt;\\x07" in answer.text
    assert "<b>/srv" not in answer.text


def test_where_nobody_looks_the_page_has_no_such_part(operator: Visitor) -> None:
    assert "Connections" not in plain(operator.get("/operations"))
