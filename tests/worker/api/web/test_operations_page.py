"""The pages of operations as a browser without a script uses them, and what a script is answered."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from itertools import count
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.contracts.registry import PAUSE
from tests.worker.api.conftest import Door
from tests.worker.api.web import work
from tests.worker.api.web.test_version_pages import HOSTILE
from tests.worker.api.web.visitor import Visitor, seen
from worker.api.app import make_app
from worker.api.auth import Caller
from worker.api.web import operations_page
from worker.api.web.visitors import Visit
from worker.errors import RegistryUnavailable
from worker.events import MAX_ID_CHARACTERS
from worker.operations import pause as pause_queue
from worker.records import Action, AuditQuery, IngestionQuery, IngestionState, TokenScope, Trigger
from worker.registry.memory import MemoryRegistry
from worker.registry.sql import SqlRegistry

LIST = "/operations/ingestions"


@pytest.fixture(params=["memory", "sqlite"])
def door(request: pytest.FixtureRequest, sqlite: Callable[[], SqlRegistry]) -> Door:
    return Door(MemoryRegistry() if request.param == "memory" else sqlite())


@pytest.fixture
def operator(door: Door) -> Visitor:
    """Somebody who signed in with a token that may steer the queue."""
    visitor = Visitor(make_app(door.service))
    assert visitor.sign_in(door.token("operate")).status_code == 303
    return visitor


def words(markup: str) -> str:
    """Return text without mark-up, in one line, with plain spaces."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def plain(answer: httpx.Response) -> str:
    return words(answer.text)


def strip(answer: httpx.Response) -> dict[str, str]:
    """Return the figures at the top of the page by their names."""
    found = re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", answer.text, re.DOTALL)
    return {words(name): words(told) for name, told in found}


def groups(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return the reasons of failures with their counts, in the order of the page."""
    return re.findall(r'<span class="count">([^<]*)</span>.*?<code>([^<]*)</code>', answer.text, re.DOTALL)


def listed(answer: httpx.Response) -> list[str]:
    """Return the ids of the ingestions of a list."""
    return re.findall(rf'<a class="mono" href="{LIST}/(\w+)">', answer.text)


def states(door: Door) -> dict[IngestionState, int]:
    return {state: count for state, count in door.registry.queue(door.clock.now()).states.items() if count}


# How the work stands


def test_an_operator_is_told_how_the_work_stands(door: Door, operator: Visitor) -> None:
    work.health(door)
    answer = operator.get("/operations")
    assert seen(answer) == (200, "Healthy")
    assert "<title>Operations: healthy · modelport</title>" in answer.text
    assert strip(answer) == {
        "Oldest waiting": "4 s alarm at 5 min",
        "Queued": "2 for a worker",
        "Waiting": "0 for files, or to try again",
        "Running": "1 2 workers",
        "Failed, undecided": "2 2 reasons",
        "Finished, 1 h": "43 0 registered",
    }
    assert groups(answer) == [("1", "incomplete"), ("1", "rejected-location")]
    told = plain(answer)
    assert "2 workers give signs of life. 2 failures wait for a decision." in told
    assert f"A part that the model names never came. Retry once it is there. Last: {work.SHARD}" in told
    assert "worker-5f1e node-a , process 4711 Working just now" in told
    assert "es9h6u3j2skq , attempt 1, for 4 s /shared/models/es9h6u3j2skq/model" in told
    assert "worker-93ab node-b , process 4711 Idle just now nothing of your team" in told


def test_a_stall_is_an_alarm(door: Door, operator: Visitor) -> None:
    work.trouble(door)
    answer = operator.get("/operations")
    assert seen(answer) == (200, "Stalled")
    assert "21 ingestions may begin now, the first of them since 12:01. Nothing has finished since 12:01." in plain(answer)
    assert strip(answer)["Oldest waiting"] == "24 min alarm at 5 min"
    assert groups(answer) == [("40", "store-unavailable"), ("11", "incomplete"), ("2", "rejected-location")]
    assert "1 of 2 give signs of life" in plain(answer)
    assert "worker-93ab node-b , process 4711 Silent 11 min ago nothing of your team" in plain(answer)


def test_where_nothing_is_yet_the_page_says_what_would_be(operator: Visitor) -> None:
    answer = operator.get("/operations")
    assert seen(answer) == (200, "Quiet")
    told = plain(answer)
    assert "None. What fails stays here with its reason until somebody retries or discards it." in told
    assert "None. What is reported waits until one is started, with modelport worker or modelport up ." in told
    assert strip(answer)["Oldest waiting"] == "– nothing may begin now"
    assert "Nothing was reported yet." in plain(operator.get(LIST))


def test_nothing_of_another_team_is_told(door: Door) -> None:
    door.registry.create_team("red", door.clock.now())
    work.trouble(door)
    theirs = Visitor(make_app(door.service))
    theirs.sign_in(door.token("operate", team="red"))
    answer = theirs.get("/operations")
    assert seen(answer) == (200, "Quiet")
    assert set(strip(answer).values()) >= {"0 0 reasons", "0 for a worker"}
    assert groups(answer) == listed(theirs.get(LIST)) == []
    assert "es9h6u3j2skq" not in answer.text
    [mine] = door.registry.ingestions(IngestionQuery(limit=1))
    assert seen(theirs.get(f"{LIST}/{mine.id}")) == (404, "Nothing is here")


def test_who_may_only_read_is_not_led_there(reader: Visitor) -> None:
    assert 'href="/operations"' not in reader.get("/").text
    assert seen(reader.get("/operations")) == (403, "This is not allowed")


def test_who_may_steer_is_led_there(operator: Visitor) -> None:
    assert '<li><a href="/operations">Operations</a></li>' in operator.get("/").text
    assert '<li><a href="/operations" aria-current="page">Operations</a></li>' in operator.get(LIST).text


# By itself


def test_a_part_tells_the_verdict_only_where_it_is_another_one(door: Door, operator: Visitor) -> None:
    work.health(door)
    page = operator.get("/operations")
    again = re.search(r'hx-get="(/operations\?told=\w+)" hx-trigger="every 5s"', page.text)
    assert again is not None
    part = operator.part(again[1])
    assert '<span class="live" id="as-of" hx-swap-oob="true">Live, 12:40:04</span>' in part.text
    assert "<h1>" not in part.text
    door.clock.sleep(3)
    assert "<h1>" not in operator.part(again[1]).text
    door.clock.sleep(300)
    part = operator.part(again[1])
    assert '<div id="verdict" hx-swap-oob="innerHTML">' in part.text
    assert seen(part) == (200, "Stalled")


def test_one_that_goes_on_asks_for_itself_and_one_that_is_over_does_not(door: Door, operator: Visitor) -> None:
    [one] = work.queue(door, ["1"])
    page = operator.get(f"{LIST}/{one.id}")
    assert f'hx-get="{LIST}/{one.id}" hx-trigger="every 5s"' in page.text
    door.registry.discard("default", one.id, "kim", door.clock.now())
    part = operator.part(f"{LIST}/{one.id}")
    assert "hx-get" not in part.text
    assert "<html" not in part.text


# Lists


def test_a_list_has_pages_and_keeps_its_filters(door: Door, operator: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations_page, "PAGE", 2)
    failed = work.fail(door, map(str, range(5)), "incomplete", work.SHARD)
    work.queue(door, ["6"])
    address, found = f"{LIST}?state=failed", list[str]()
    for _ in range(3):
        answer = operator.get(address)
        found += listed(answer)
        after = re.search(r'<a href="([^"]*)" rel="next">', answer.text)
        address = unescape(after[1]) if after else ""
    assert found == [one.id for one in reversed(failed)]
    assert address == ""
    assert "There are no older ones." in plain(operator.get(f"{LIST}?state=failed&after={failed[0].id}"))


def test_a_list_is_filtered_by_each_of_its_filters(door: Door, operator: Visitor) -> None:
    [broken] = work.fail(door, ["1"], "broken", "x", experiment="e1")
    [changed] = work.fail(door, ["2"], "changed", "x", experiment="e2")
    [waits] = work.queue(door, ["3"], experiment="e1", trigger=Trigger.WATCH)
    for query, expected in (
        ("", [waits, changed, broken]),
        ("state=failed", [changed, broken]),
        ("reason=changed", [changed]),
        ("trigger=watch", [waits]),
        ("experimentId=e1", [waits, broken]),
        ("state=failed&experimentId=e1&reason=broken&trigger=completion", [broken]),
        ("state=nonsense&trigger=nonsense", [waits, changed, broken]),
        ("state=failed&reason=nothing", []),
    ):
        assert listed(operator.get(f"{LIST}?{query}")) == [one.id for one in expected], query
    assert "No ingestion matches." in plain(operator.get(f"{LIST}?experimentId=e"))
    part = operator.part(f"{LIST}?state=failed&trigger=&reason=&experimentId=e2")
    assert part.headers["HX-Replace-Url"] == f"{LIST}?state=failed&experimentId=e2"
    assert (listed(part), "<html" in part.text) == ([changed.id], False)


def test_all_that_match_can_be_moved_only_where_a_state_is_chosen_that_people_may_leave(door: Door, operator: Visitor) -> None:
    work.trouble(door)
    work.finish(door, ["x"])
    for query, offered in (
        ("state=failed", ["Retry all 53…", "Discard all 53…"]),
        ("state=failed&reason=incomplete", ["Retry all 11…", "Discard all 11…"]),
        ("state=received", ["Discard all 20…"]),
        ("state=running", ["Discard it…"]),
        ("state=nothing_found", []),
        ("", []),
        ("state=failed&reason=none", []),
    ):
        assert re.findall(r'<a class="btn[^"]*" href="[^"]*">([^<]*…)</a>', operator.get(f"{LIST}?{query}").text) == offered


# One, and what is done with it


def test_one_is_shown_with_its_history(door: Door, operator: Visitor) -> None:
    [one] = work.fail(door, ["17"], "incomplete", work.SHARD, project="vision")
    answer = operator.get(f"{LIST}/{one.id}")
    assert seen(answer) == (200, "<bdi>es17</bdi>")
    told = plain(answer)
    assert f"Failed incomplete {work.SHARD} A part that the model names never came." in told
    assert (
        "Trigger Completion event Model path /artifacts/17 Project vision Experiment es17 Event 17 from test Attempts 1" in told
    )
    steps = re.findall(r'<td role="cell"><span class="state[^"]*">.*?</svg>(\w+)</span>', answer.text)
    assert steps == ["Failed", "Running", "Queued"]
    assert "claimed attempt 1 by worker-gone" in told


def test_looks_that_came_to_the_same_are_told_once(door: Door, operator: Visitor) -> None:
    one = work.pause(door, "1")
    for _ in range(19):
        door.clock.sleep(600)
        running = door.registry.claim(one.id, "me", door.clock.now())
        assert running is not None
        assert door.registry.wait(one.id, "me", PAUSE, door.clock.now())
    shown = operator.get(f"{LIST}/{one.id}")
    assert "and 36 more steps like these two" in plain(shown)
    assert plain(shown).count("attempt 1 by me") == 2


def test_a_long_history_is_cut(door: Door, operator: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations_page, "MOST_STEPS", 2)
    [one] = work.fail(door, ["17"], "incomplete", work.SHARD)
    assert "and 1 earlier ones, which" in plain(operator.get(f"{LIST}/{one.id}"))


def test_one_is_tried_again(door: Door, operator: Visitor) -> None:
    [one] = work.fail(door, ["1"], "incomplete", work.SHARD)
    answer = operator.post(f"{LIST}/{one.id}/retry", {"csrf": operator.csrf()})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{LIST}/{one.id}?done=retried")
    assert states(door) == {IngestionState.RECEIVED: 1}
    assert len(door.rung) == 1
    assert "It is queued again, and begins anew." in plain(operator.get(answer.headers["location"]))
    [line] = door.registry.audit(AuditQuery("default", action=Action.INGESTION_RETRIED))
    assert (line.object_id, line.who.startswith("the token test")) == (one.id, True)
    assert seen(operator.post(f"{LIST}/{one.id}/retry", {"csrf": operator.csrf()})) == (409, "This is not possible now")


def test_one_is_discarded_after_a_question(door: Door, operator: Visitor) -> None:
    [one] = work.queue(door, ["1"])
    page = operator.get(f"{LIST}/{one.id}")
    assert f'href="{LIST}/{one.id}?ask=discard"' in page.text
    asked = operator.get(f"{LIST}/{one.id}?ask=discard")
    assert "Discard this ingestion? It is not tried again" in plain(asked)
    assert f'<form class="confirm" method="post" action="{LIST}/{one.id}/discard"' in asked.text
    assert operator.post(f"{LIST}/{one.id}/discard", {"csrf": operator.csrf()}).status_code == 303
    assert states(door) == {IngestionState.DISCARDED: 1}
    again = operator.get(f"{LIST}/{one.id}?ask=discard")
    assert '<form class="confirm"' not in again.text
    assert seen(operator.get(f"{LIST}/nothing")) == (404, "Nothing is here")


@pytest.mark.parametrize("path", ["/operations/retry", "/operations/discard", f"{LIST}/{{id}}/retry", f"{LIST}/{{id}}/discard"])
def test_only_a_form_of_ours_changes_anything(door: Door, operator: Visitor, path: str) -> None:
    [one] = work.fail(door, ["1"], "incomplete", work.SHARD)
    for fields, headers in (
        ({"state": "failed"}, {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}),
        ({"state": "failed", "csrf": operator.csrf()}, {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}),
    ):
        assert operator.post(path.format(id=one.id), fields, headers).status_code == 403
    assert states(door) == {IngestionState.FAILED: 1}


# All that match


def question(operator: Visitor, address: str) -> tuple[str, dict[str, str], str]:
    """Return where the question on a page is sent, what is sent with it, and its words."""
    form = re.search(r'<form class="confirm".*?</form>', operator.get(address).text, re.DOTALL)
    assert form is not None
    action = re.search(r'action="([^"]*)"', form[0])
    assert action is not None
    hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form[0])
    return action[1], {name: unescape(value) for name, value in hidden}, words(form[0])


def test_all_of_a_reason_are_tried_again_after_a_question_that_says_how_many(door: Door, operator: Visitor) -> None:
    work.trouble(door)
    link = re.search(r'href="([^"]*)">Retry all 11…</a>', operator.get("/operations").text)
    assert link is not None
    action, fields, asked = question(operator, unescape(link[1]))
    assert "Retry 11 ingestions? All that match: state failed , reason incomplete ." in asked
    assert "A part that the model names never came." in asked
    assert "Retry 11 Leave them" in asked
    answer = operator.post(action, fields)
    assert answer.status_code == 303
    assert "11 were queued again." in plain(operator.get(answer.headers["location"]))
    assert groups(operator.get("/operations")) == [("40", "store-unavailable"), ("2", "rejected-location")]
    assert len(door.registry.audit(AuditQuery("default", action=Action.INGESTION_RETRIED))) == 11
    assert len(door.rung) == 1


def test_all_of_an_experiment_are_discarded(door: Door, operator: Visitor) -> None:
    work.fail(door, ["1", "2"], "incomplete", work.SHARD, experiment="e1")
    work.fail(door, ["3"], "incomplete", work.SHARD, experiment="e2")
    action, fields, asked = question(operator, f"{LIST}?state=failed&experimentId=e1&ask=discard")
    assert action == "/operations/discard"
    assert "Discard 2 ingestions?" in asked
    answer = operator.post(action, fields)
    assert "2 were discarded." in plain(operator.get(answer.headers["location"]))
    assert states(door) == {IngestionState.DISCARDED: 2, IngestionState.FAILED: 1}
    assert door.rung == []


def test_more_than_are_moved_at_once_follow_by_themselves(
    door: Door, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.operations.MOST_AT_ONCE", 2)
    monkeypatch.setattr(operations_page, "MOST_AT_ONCE", 2)
    work.fail(door, ["1", "2", "3", "4", "5"], "incomplete", work.SHARD)
    action, fields, asked = question(operator, f"{LIST}?state=failed&ask=retry")
    assert "The newest 2 at once; the others follow by themselves" in asked
    assert "Retry 5" in asked
    answer = operator.post(action, fields)
    told = plain(operator.get(answer.headers["location"]))
    assert "2 were queued again. The others follow by themselves; those that are still to come stand below." in told
    assert states(door) == {IngestionState.RECEIVED: 5}
    assert len(door.registry.audit(AuditQuery("default", action=Action.INGESTION_RETRIED))) == 5
    assert len(door.rung) == 3


def test_those_that_follow_keep_no_server_from_its_end(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where thousands followed, a server that was told to stop was still there minutes later."""
    monkeypatch.setattr("worker.operations.MOST_AT_ONCE", 2)
    work.fail(door, map(str, range(20)), "incomplete", work.SHARD)
    visit = Visit(Caller("default", frozenset({TokenScope.OPERATE}), "kim"), "kim", "")
    retry, calls = door.registry.retry, count()

    async def stopped() -> None:
        answer = operations_page.retry_all(visit, door.service, {"state": "failed"})
        assert answer.background is not None
        following, loop = asyncio.ensure_future(answer.background()), asyncio.get_running_loop()

        def stop_at_the_fourth(*given: Any) -> Any:
            if next(calls) == 3:
                loop.call_soon_threadsafe(following.cancel)
                time.sleep(0.05)
            return retry(*given)

        monkeypatch.setattr(door.registry, "retry", stop_at_the_fourth)
        await following
        await asyncio.sleep(0.3)  # in which a thread would go on

    asyncio.run(stopped())
    assert states(door)[IngestionState.RECEIVED] == 6


def test_those_that_follow_end_with_a_database_that_does_not_answer_and_stay_as_they_are(
    door: Door, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.operations.MOST_AT_ONCE", 2)
    work.fail(door, ["1", "2", "3", "4", "5"], "incomplete", work.SHARD)
    action, fields, _ = question(operator, f"{LIST}?state=failed&ask=retry")
    retry, calls = door.registry.retry, count()

    def fail_at_the_third(*given: Any) -> Any:
        if next(calls) == 2:
            raise RegistryUnavailable("it is away")
        return retry(*given)

    monkeypatch.setattr(door.registry, "retry", fail_at_the_third)
    assert operator.post(action, fields).status_code == 303
    assert states(door) == {IngestionState.RECEIVED: 2, IngestionState.FAILED: 3}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 422),
        ({"state": "nonsense"}, 422),
        ({"state": "failed", "trigger": "nonsense"}, 422),
        ({"state": "failed", "reason": "x" * (MAX_ID_CHARACTERS + 1)}, 422),
        ({"state": "registered"}, 422),
        ({"state": "failed", "trigger": "watch"}, 303),
    ],
)
def test_a_filter_that_nobody_knows_moves_nothing(door: Door, operator: Visitor, fields: dict[str, str], expected: int) -> None:
    work.fail(door, ["1"], "incomplete", work.SHARD)
    for path in ("/operations/retry", "/operations/discard"):
        assert operator.post(path, {"csrf": operator.csrf()} | fields).status_code == expected
    assert states(door) == {IngestionState.FAILED: 1}


def test_nothing_is_asked_that_cannot_be_done(door: Door, operator: Visitor) -> None:
    work.queue(door, ["1"])
    for query in ("ask=retry", "state=received&ask=retry", "state=received&ask=nonsense"):
        assert '<form class="confirm"' not in operator.get(f"{LIST}?{query}").text


# Names from outside


def test_what_comes_from_outside_is_text(door: Door, operator: Visitor) -> None:
    given = {"experiment": HOSTILE, "model_path": f"/{HOSTILE}", "name": HOSTILE, "source": HOSTILE, "project": HOSTILE}
    [one] = work.fail(door, [HOSTILE], HOSTILE, HOSTILE, **given)
    work.run(door, "2", HOSTILE, **given)
    work.see(door, HOSTILE, host=HOSTILE)
    chosen = urlencode({"reason": HOSTILE, "experimentId": HOSTILE})
    for path in ("/operations", LIST, f"{LIST}?state=failed&ask=retry&{chosen}", f"{LIST}/{one.id}?ask=retry"):
        answer = operator.get(path)
        assert answer.status_code == 200
        assert "alert(1)" in answer.text
        assert "<script>" not in answer.text
        assert "\u202e" not in plain(answer)
    action, fields, _ = question(operator, f"{LIST}?state=failed&ask=discard&{chosen}")
    assert operator.post(action, fields).headers["location"].endswith("&done=discarded&count=1")


def test_the_page_does_not_grow_with_what_failed(door: Door, operator: Visitor) -> None:
    work.fail(door, map(str, range(20)), "incomplete", work.SHARD)
    page = operator.get("/operations").text
    work.fail(door, map(str, range(20, 60)), "incomplete", work.SHARD)
    assert abs(len(operator.get("/operations").text) - len(page)) < 100


def test_a_worker_is_forgotten_after_a_while(door: Door, operator: Visitor) -> None:
    work.see(door, "worker-1", ago=operations_page.REMEMBERED.total_seconds())
    assert "worker-1" in operator.get("/operations").text
    door.clock.sleep(1)
    assert "worker-1" not in operator.get("/operations").text
    assert timedelta(minutes=1) < operations_page.REMEMBERED


# Pausing and resuming


def test_a_pause_is_told_in_place_of_a_stall_with_who_and_why(door: Door, operator: Visitor) -> None:
    work.trouble(door)
    assert 'href="/operations?ask=pause"' in operator.get("/operations").text
    asked = operator.get("/operations?ask=pause")
    assert "Pause the queue?" in plain(asked)
    assert "all teams" not in words(asked.text.partition("</form>")[0].rpartition("<form")[2])
    answer = operator.post("/operations/pause", {"csrf": operator.csrf(), "note": "the store moves"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/operations")
    paused = operator.get("/operations")
    assert seen(paused) == (200, "Paused")
    token = door.registry.tokens("default")[0]
    assert (
        f"Since 12:25, by the token test ({token.id}): “the store moves”. No worker begins anything of the team default; "
        "1 ingestion still runs, to its end. 21 ingestions may begin once it is resumed. "
        "What is reported is accepted all the same."
    ) in plain(paused)
    assert strip(paused)["Oldest waiting"] == "24 min while paused"
    assert "ask=pause" not in paused.text
    assert "Resume the queue of the team default?" in plain(operator.get("/operations?ask=resume&of=team"))
    assert operator.post("/operations/resume", {"csrf": operator.csrf(), "note": "it has moved"}).status_code == 303
    assert seen(operator.get("/operations")) == (200, "Stalled")
    told = [(line.action.value, line.details.get("note")) for line in door.registry.audit(AuditQuery("default"))[:2]]
    assert told == [("queue.resumed", "it has moved"), ("queue.paused", "the store moves")]


def test_a_note_that_is_not_utf_8_is_shown_all_the_same(door: Door, operator: Visitor) -> None:
    """As JSON may bring it, and a command line: the page could not be written, nor could the queue be resumed by it."""
    for note in ("half \ud800 of a pair", "a byte \udcff"):
        pause_queue(door.registry, "default", False, "kim", door.clock.now(), note)
        assert f"“{note.encode('utf-8', 'backslashreplace').decode()}”" in plain(operator.get("/operations"))
        assert operator.post("/operations/resume", {"csrf": operator.csrf()}).status_code == 303
        assert not door.registry.halts("default")


def test_who_looks_after_all_teams_pauses_them_and_others_cannot_resume_it(door: Door, operator: Visitor) -> None:
    overseer = Visitor(make_app(door.service))
    overseer.sign_in(door.token("model:read", "operate", "operate:all"))
    assert "The work of all teams" in plain(overseer.get("/operations?ask=pause"))
    refused = operator.post("/operations/pause", {"csrf": operator.csrf(), "of": "all"})
    assert (refused.status_code, door.registry.halts("default")) == (403, [])
    assert operator.post("/operations/pause", {"csrf": operator.csrf(), "of": "me"}).status_code == 422
    overseer.post("/operations/pause", {"csrf": overseer.csrf(), "of": "all"})
    shown = operator.get("/operations")
    assert "by whoever looks after all teams. No worker begins anything of any team." in plain(shown)
    assert "ask=resume" not in shown.text
    operator.post("/operations/pause", {"csrf": operator.csrf()})
    shown = overseer.get("/operations")
    assert seen(shown) == (200, "Paused")
    assert "The team default is paused by itself as well." in plain(shown)
    door.registry.create_team("vision", door.clock.now())
    door.registry.pause_queue("vision", False, door.clock.now(), "kim at the command line")
    assert "2 teams are paused by themselves as well." in plain(overseer.get("/operations"))
    assert ("of=all" in shown.text, "of=team" in shown.text) == (True, True)
    overseer.post("/operations/resume", {"csrf": overseer.csrf(), "of": "all"})
    assert [halt.team for halt in door.registry.halts("default")] == ["default"]


def test_why_is_written_down_with_each_that_is_moved(door: Door, operator: Visitor) -> None:
    one, two = work.fail(door, ("1", "2"), "broken", "why")
    asked = operator.get(f"{LIST}/{one.id}?ask=retry")
    assert 'name="note" type="text" maxlength="500"' in asked.text
    operator.post(f"{LIST}/{one.id}/retry", {"csrf": operator.csrf(), "note": "the disk is back"})
    assert 'name="note"' in operator.get(f"{LIST}?state=failed&ask=discard").text
    operator.post("/operations/discard", {"csrf": operator.csrf(), "state": "failed", "note": "nobody needs it"})
    told = [(line.object_id, line.details.get("note")) for line in door.registry.audit(AuditQuery("default"))[:2]]
    assert told == [(two.id, "nobody needs it"), (one.id, "the disk is back")]
    long = operator.post(f"{LIST}/{one.id}/discard", {"csrf": operator.csrf(), "note": "x" * 501})
    assert long.status_code == 422
