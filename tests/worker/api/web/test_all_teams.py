"""Who may watch all teams sees the work of all, or of one, and acts on it; others see and reach their own alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest

from tests.worker.api.conftest import Door
from tests.worker.api.web import work
from tests.worker.api.web.test_operations_page import LIST, groups, listed, plain, question, states, strip
from tests.worker.api.web.visitor import Visitor, seen
from worker.api.app import make_app
from worker.records import Action, AuditQuery, End, IngestionState
from worker.registry.memory import MemoryRegistry
from worker.registry.sql import SqlRegistry

CALLS = "ValueError: <script>no such\n  worker/ingest.py:17 in work"


@pytest.fixture(params=["memory", "sqlite"])
def door(request: pytest.FixtureRequest, sqlite: Callable[[], SqlRegistry]) -> Door:
    door = Door(MemoryRegistry() if request.param == "memory" else sqlite())
    door.registry.create_team("red", door.clock.now())
    return door


def visitor(door: Door, *scopes: str) -> Visitor:
    found = Visitor(make_app(door.service))
    assert found.sign_in(door.token(*scopes)).status_code == 303
    return found


@pytest.fixture
def overseer(door: Door) -> Visitor:
    """Somebody of the team `default` who may steer the queue and watch all teams."""
    return visitor(door, "operate", "operate:all")


def choices(page: str) -> list[str]:
    found = re.search(r'<select id="f-team" name="team">(.*?)</select>', page, re.DOTALL)
    return [] if found is None else re.findall(r"<option[^>]*>([^<]*)<", found[1])


def test_all_teams_are_seen_at_once_and_each_for_itself(door: Door, overseer: Visitor) -> None:
    work.fail(door, ["1", "2"], "incomplete", work.SHARD, team="red")
    [mine] = work.fail(door, ["3"], "incomplete", work.SHARD)
    work.queue(door, ["4"], team="red")
    page = overseer.get("/operations")
    assert choices(page.text) == ["All teams", "default (yours)", "red"]
    assert (groups(page), strip(page)["Queued"]) == ([("3", "incomplete")], "1 for a worker")
    assert "of the team default" in plain(page)
    theirs = overseer.get("/operations?team=red")
    assert groups(theirs) == [("2", "incomplete")]
    for address in re.findall(r'(?:href|hx-get)="(/operations[?/][^"]*)"', theirs.text):
        is_of_no_team = address == "/operations/messages" or re.fullmatch(rf"{LIST}/\w+", address)
        assert "team=red" in unescape(address) or is_of_no_team, address
    assert groups(overseer.get("/operations?team=default")) == [("1", "incomplete")]
    assert strip(overseer.get("/operations?team=default"))["Queued"] == "0 for a worker"
    assert listed(overseer.get(f"{LIST}?team=default")) == [mine.id]
    assert len(listed(overseer.get(LIST))) == 4
    assert seen(overseer.get("/operations?team=blue")) == (404, "Nothing is here")
    assert 'hx-get="/operations?told=' in page.text


def test_where_there_is_one_team_nothing_is_to_be_chosen() -> None:
    door = Door(MemoryRegistry())
    assert choices(visitor(door, "operate", "operate:all").get("/operations").text) == []


@pytest.mark.parametrize("scopes", [("operate",), ("admin",)])
def test_who_may_not_watch_all_reaches_the_own_team_alone(door: Door, scopes: tuple[str, ...]) -> None:
    operator = visitor(door, *scopes)
    before = [operator.get(path).text for path in ("/operations", LIST)]
    [theirs] = work.fail(door, ["1"], "incomplete", work.SHARD, team="red")
    assert [operator.get(path).text for path in ("/operations", LIST)] == before
    for team in ("red", "nobody"):
        for path in ("/operations", LIST, f"{LIST}/{theirs.id}"):
            assert seen(operator.get(f"{path}?team={team}")) == (403, "This is not allowed")
        form = {"csrf": operator.csrf(), "state": "failed", "team": team}
        assert operator.post("/operations/retry", form).status_code == 403
    assert operator.get("/operations?team=default").text.replace("?team=default", "") == before[0]
    assert seen(operator.get(f"{LIST}/{theirs.id}")) == (404, "Nothing is here")
    for what in ("retry", "discard"):
        assert operator.post(f"{LIST}/{theirs.id}/{what}", {"csrf": operator.csrf()}).status_code == 404
    assert operator.post("/operations/retry", {"csrf": operator.csrf(), "state": "failed"}).status_code == 303
    assert states(door) == {IngestionState.FAILED: 1}


def test_who_may_watch_all_and_not_steer_sees_no_page_of_it(door: Door) -> None:
    watcher = visitor(door, "operate:all")
    assert seen(watcher.get("/operations")) == (403, "This is not allowed")


def test_what_is_done_with_all_teams_stands_in_the_log_of_each(door: Door, overseer: Visitor) -> None:
    theirs = work.fail(door, ["1", "2"], "incomplete", work.SHARD, team="red")
    mine = work.fail(door, ["3"], "incomplete", work.SHARD)
    action, fields, asked = question(overseer, f"{LIST}?state=failed&ask=retry")
    assert "Retry 3 ingestions? All that match: teams all , state failed ." in asked
    answer = overseer.post(action, fields)
    assert "3 were queued again." in plain(overseer.get(answer.headers["location"]))

    def told(team: str) -> set[str]:
        return {one.object_id for one in door.registry.audit(AuditQuery(team, action=Action.INGESTION_RETRIED))}

    assert told("red") == {one.id for one in theirs}
    assert told("default") == {one.id for one in mine}
    [line, _] = door.registry.audit(AuditQuery("red", action=Action.INGESTION_RETRIED))
    assert line.who.startswith("the token test (tk")


def test_all_of_one_team_are_discarded(door: Door, overseer: Visitor) -> None:
    work.fail(door, ["1"], "incomplete", work.SHARD, team="red")
    work.fail(door, ["2"], "incomplete", work.SHARD)
    action, fields, asked = question(overseer, f"{LIST}?state=failed&team=red&ask=discard")
    assert ("Discard 1 ingestion? All that match: team red , state failed ." in asked, fields["team"]) == (True, "red")
    assert overseer.post(action, fields).headers["location"].startswith(f"{LIST}?team=red&state=failed&done=discarded")
    assert states(door) == {IngestionState.DISCARDED: 1, IngestionState.FAILED: 1}
    assert overseer.post(action, fields | {"team": "nobody"}).status_code == 404


def test_one_of_another_team_is_shown_and_tried_again(door: Door, overseer: Visitor) -> None:
    [theirs] = work.fail(door, ["1"], "incomplete", work.SHARD, team="red")
    page = overseer.get(f"{LIST}/{theirs.id}")
    assert "Team red Trigger" in plain(page)
    assert overseer.post(f"{LIST}/{theirs.id}/retry", {"csrf": overseer.csrf()}).status_code == 303
    assert states(door) == {IngestionState.RECEIVED: 1}
    [line] = door.registry.audit(AuditQuery("red", action=Action.INGESTION_RETRIED))
    assert line.object_id == theirs.id


# By format


def test_a_list_is_of_one_format(door: Door, overseer: Visitor) -> None:
    ids = {}
    for number, format in enumerate(("onnx", "keras", None)):
        one = work.run(door, str(number), "me")
        end = End(IngestionState.FAILED, "store-unavailable", work.STORE, format=format)
        assert door.registry.finish(one.id, "me", end, door.clock.now())
        ids[format] = one.id
    assert listed(overseer.get(f"{LIST}?format=onnx")) == [ids["onnx"]]
    assert listed(overseer.get(f"{LIST}?format=none&state=failed")) == [ids[None]]
    assert len(listed(overseer.get(f"{LIST}?format=nonsense"))) == 3
    action, fields, asked = question(overseer, f"{LIST}?state=failed&format=keras&ask=discard")
    assert "state failed , format Keras ." in asked
    assert overseer.post(action, fields | {"format": "nonsense"}).status_code == 422
    assert overseer.post(action, fields).status_code == 303
    assert states(door) == {IngestionState.DISCARDED: 1, IngestionState.FAILED: 2}
    assert "Format ONNX" in plain(overseer.get(f"{LIST}/{ids['onnx']}"))


# What nobody foresaw


def test_where_an_unforeseen_error_came_from_is_shown_to_who_steers_alone(door: Door) -> None:
    operator = visitor(door, "operate")
    one = work.run(door, "1", "me")
    end = End(IngestionState.FAILED, "unforeseen", "ValueError: no such", backtrace=CALLS)
    assert door.registry.finish(one.id, "me", end, door.clock.now())
    for path in ("/operations", f"{LIST}/{one.id}"):
        answer = operator.get(path)
        assert "Where it came from" in plain(answer)
        assert "ValueError: &lt;script&gt;no such\n  worker/ingest.py:17 in work" in answer.text
    reader = door.client().with_token(door.token("model:read"))
    for path in (f"/v1/ingestions/{one.id}", "/v1/ingestions"):
        answer = reader.get(path)
        assert answer.status_code == 200
        assert "ingest.py" not in answer.text


def test_what_died_with_its_workers_can_be_told_from_the_rest(door: Door) -> None:
    operator = visitor(door, "operate")
    work.fail(door, ["1"], "worker-lost", "5 workers died or hung over it; the last was worker-1")
    work.fail(door, ["2"], "incomplete", work.SHARD)
    page = operator.get("/operations").text
    assert re.findall(r'<code>([^<]*)</code></a> <span class="tag">dead-lettered', page) == ["worker-lost"]


# How long it takes


def test_how_long_it_took_is_told_of_the_team_and_what_was_counted_of_all(door: Door, overseer: Visitor) -> None:
    one = work.run(door, "1", "me")
    door.clock.sleep(90)
    door.registry.finish(one.id, "me", End(IngestionState.FAILED, "broken", "x"), door.clock.now())
    door.clock.sleep(60)
    told = plain(overseer.get("/operations"))
    assert "From acceptance to the end 1 1 min 30 s 1 min 30 s 1 min 30 s" in told
    assert "Waiting for a worker 1 ≤ 100 ms ≤ 100 ms ≤ 100 ms" in told
    alone = plain(visitor(door, "operate").get("/operations"))
    assert "From acceptance to the end 1 1 min 30 s" in alone
    assert "Waiting for a worker" not in alone


def test_the_last_hour_is_drawn_by_the_minute(door: Door, overseer: Visitor) -> None:
    assert "there is no curve of it" in plain(overseer.get("/operations"))
    work.fail(door, ["1", "2"], "incomplete", work.SHARD)
    door.clock.sleep(60)
    page = overseer.get("/operations").text
    said = re.findall(r'<desc id="(\w+)-d">([^<]*)</desc>', page)
    assert said == [
        ("registered", "None in the last 60 minutes."),
        ("failed", "2 in 60 minutes, 2 a minute at most, 2 in the last."),
        ("otherwise", "None in the last 60 minutes."),
    ]
