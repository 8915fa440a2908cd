"""How often somebody may ask: buckets by themselves, and in front of the routes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.json_text import MAX_DEPTH
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import put
from worker.api.app import make_app
from worker.api.bodies import BODY_SECONDS, MAX_BODY_BYTES
from worker.api.limits import MAX_HEADERS, MAX_TARGET_BYTES, MINUTE, Kind, Limits, Rates, address_of, taken
from worker.api.patience import HEAD_SECONDS
from worker.api.problems import Problem
from worker.bootstrap import embedded
from worker.registry.memory import MemoryRegistry

LISTED = "/v1/models"

pauses = st.lists(st.floats(0, 90), max_size=60)
rates = st.integers(1, 20)


class Time:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def let_in(pauses: list[float], rate: int) -> list[tuple[float, float]]:
    """Return when each request came and how long it is to wait; 0 for who was let in."""
    now, full_at, seen = 0.0, 0.0, []
    for pause in pauses:
        now += pause
        full_at, wait = taken(full_at, now, rate)
        seen.append((now, wait))
    return seen


@given(pauses, rates)
def test_in_no_minute_more_than_two_buckets_go_through(pauses: list[float], rate: int) -> None:
    through = [at for at, wait in let_in(pauses, rate) if wait == 0]
    assert all(sum(begin <= at < begin + MINUTE for at in through) <= 2 * rate for begin in through)


@given(st.lists(st.floats(1, 3), max_size=60), rates)
def test_who_keeps_below_the_rate_is_never_turned_away(slower: list[float], rate: int) -> None:
    assert all(wait == 0 for _, wait in let_in([MINUTE / rate * factor for factor in slower], rate))


@given(pauses, rates)
def test_who_waits_as_long_as_was_said_is_let_in(pauses: list[float], rate: int) -> None:
    now, full_at = 0.0, 0.0
    for pause in pauses:
        now += pause
        full_at, wait = taken(full_at, now, rate)
        if wait > 0:
            assert taken(full_at, now + wait, rate)[1] == 0


def test_a_full_bucket_holds_what_a_minute_allows() -> None:
    assert [wait for _, wait in let_in([0.0] * 5, 4)] == [0, 0, 0, 0, pytest.approx(15)]
    assert [wait for _, wait in let_in([0.0] * 4 + [15.0, 0.0], 4)] == [0, 0, 0, 0, 0, pytest.approx(15)]


def turned_away(limits: Limits, kind: Kind, whose: str) -> str | None:
    """Return what `Retry-After` says, None where one was taken."""
    try:
        limits.take(kind, whose)
    except Problem as problem:
        return problem.headers["Retry-After"]
    return None


def test_each_caller_has_a_bucket_for_each_kind() -> None:
    limits = Limits(Rates(reads=1, writes=1, sign_ins=1), Time())
    for kind in Kind:
        for whose in ("ann", "ben"):
            assert turned_away(limits, kind, whose) is None
            assert turned_away(limits, kind, whose) == "60"


def test_zero_allows_any_number() -> None:
    limits = Limits(Rates(reads=0, writes=1), Time())
    assert [turned_away(limits, Kind.READS, "ann") for _ in range(1000)] == [None] * 1000


def test_a_bucket_fills_again() -> None:
    clock = Time()
    limits = Limits(Rates(reads=2), clock)
    assert [turned_away(limits, Kind.READS, "ann") for _ in range(3)] == [None, None, "30"]
    clock.now += 29
    assert turned_away(limits, Kind.READS, "ann") == "1"
    clock.now += 1
    assert [turned_away(limits, Kind.READS, "ann") for _ in range(2)] == [None, "30"]


def test_only_so_many_buckets_are_remembered() -> None:
    limits = Limits(Rates(reads=1), Time(), most_kept=3)
    for whose in "abcab":
        turned_away(limits, Kind.READS, whose)
    assert turned_away(limits, Kind.READS, "d") is None
    assert [turned_away(limits, Kind.READS, whose) for whose in "abd"] == ["60"] * 3
    assert turned_away(limits, Kind.READS, "c") is None, "it was used longest ago"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", "an unknown address"),
        (None, "an unknown address"),
    ],
)
def test_an_address_is_that_of_a_customer(host: str | None, address: str) -> None:
    request: Any = SimpleNamespace(client=None if host is None else SimpleNamespace(host=host))
    assert address_of(request) == address


# In front of the routes


@pytest.fixture
def few() -> Door:
    """A door where two of each kind go through in a minute."""
    return Door(MemoryRegistry(), rates=Rates(2, 2, 2))


def test_who_asks_too_often_is_told_when_to_come_again(few: Door) -> None:
    client = few.admin()
    assert [client.get(LISTED).status_code for _ in range(2)] == [200, 200]
    answer = client.get(LISTED)
    token = few.registry.tokens("default")[0].id
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:modelport:problem:too-many-requests",
        "title": "Too Many Requests",
        "status": 429,
        "detail": f"more than 2 reads in a minute by the token test ({token}); come again in 30 s",
    }


def test_reading_and_writing_are_counted_apart_and_each_token_by_itself(few: Door) -> None:
    version = put(few)
    client = few.admin()
    other = Client(client.app).with_token(few.token("admin"))
    for _ in range(3):
        client.get(LISTED)
    change = ("PATCH", f"/v1/versions/{version.id}")
    assert [client.request(*change, json={"tags": ["a"]}).status_code for _ in range(3)] == [200, 200, 429]
    assert other.get(LISTED).status_code == 200
    assert other.request(*change, json={"tags": ["b"]}).status_code == 200


def test_a_write_that_is_turned_away_changes_nothing(few: Door) -> None:
    version = put(few)
    client = few.admin()
    for tag in "abc":
        client.request("PATCH", f"/v1/versions/{version.id}", json={"tags": [tag]})
    found = few.registry.version("default", version.id)
    assert found is not None
    assert found.tags == ("b",)


def test_completions_are_not_counted(few: Door) -> None:
    client = few.client().with_token(few.token("completion:write"))
    sent = [client.post("/v1/completions", {"experimentId": f"e{number}"}).status_code for number in range(20)]
    assert sent == [202] * 20


def test_the_defaults_let_10000_completions_of_one_token_through_in_a_moment() -> None:
    door = Door(MemoryRegistry())
    client = door.client().with_token(door.token("completion:write"))
    answers = client.post_at_once("/v1/completions", {"experimentId": "e", "id": "one"}, 10_000 // 20)
    assert {answer.status_code for answer in answers} == {202}
    assert client.app.state.limits._full_at == {}, "nothing was counted, so ten thousand are as welcome as five hundred"


def test_wrong_tokens_are_counted_by_address_and_keep_no_good_one_out(few: Door) -> None:
    client = few.admin()
    wrong = Client(client.app).with_token("mp_" + "0" * 49)
    assert [wrong.get(LISTED).status_code for _ in range(4)] == [401, 401, 429, 429]
    assert Client(client.app).post("/v1/completions", {"experimentId": "e"}).status_code == 429
    assert wrong.get(LISTED).headers["Retry-After"] == "30"
    assert client.get(LISTED).status_code == 200


def test_wrong_tokens_are_counted_at_pages_too_and_browsers_that_did_not_sign_in_are_not(few: Door) -> None:
    client = few.client()
    wrong = Client(client.app).with_token("mp_" + "0" * 49)
    assert [client.get("/").status_code for _ in range(5)] == [401] * 5
    assert [wrong.get("/").status_code for _ in range(3)] == [401, 401, 429]
    assert wrong.get(LISTED).status_code == 429
    assert client.get("/").status_code == 401


def test_without_a_token_requests_are_counted_by_address(few: Door) -> None:
    few.is_loopback = True
    client = few.client()
    assert [client.get(LISTED).status_code for _ in range(3)] == [200, 200, 429]
    assert "more than 2 reads in a minute by 127.0.0.1" in client.get(LISTED).json()["detail"]


def test_whoever_opens_links_is_counted_by_address(few: Door) -> None:
    version = put(few, files={"a": b"1"})
    client = few.admin()
    [listed] = client.request("GET", "/mlModels/listFiles", json={"id": version.id}).json()
    link = listed["url"].partition("8000")[2]
    assert [Client(client.app).get(link).status_code for _ in range(3)] == [200, 200, 429]
    assert "message" in Client(client.app).get(link).json()
    puts = [Client(client.app).request("PUT", "/mlModels/uploads/default/mo1/a", content=b"1").status_code for _ in range(3)]
    assert puts == [403, 403, 429]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/openapi.json"])
def test_machines_that_ask_whether_it_lives_are_not_counted(few: Door, path: str) -> None:
    client = few.client()
    assert {client.get(path).status_code for _ in range(5)} == {200}


def test_the_page_tells_the_numbers_that_hold() -> None:
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    assert f"may read {Rates().reads:,} times a minute and write {Rates().writes:,} times" in page
    assert f"after {Rates().sign_ins} in a minute they get 429" in page
    assert f"| body | {MAX_BODY_BYTES >> 20} MiB, within {BODY_SECONDS:g} seconds | 413, 408 |" in page
    assert f"| address with its query | {MAX_TARGET_BYTES >> 10} KiB | 414 |" in page
    assert f"| headers | {MAX_HEADERS}, within {HEAD_SECONDS:g} seconds | 431, 408 |" in page
    assert f"| depth of JSON | {MAX_DEPTH} | 400 |" in page


def test_the_settings_are_what_counts(tmp_path: Path) -> None:
    from worker.api.server import service_of_embedded

    environment = {
        "MODELPORT_HOME": str(tmp_path / "home"),
        "MODELPORT_RATE_LIMIT_READS": "7",
        "MODELPORT_RATE_LIMIT_WRITES": "0",
        "MODELPORT_RATE_LIMIT_SIGN_INS": "9",
    }
    with embedded(environment, tmp_path) as service:
        made = service_of_embedded(service, lambda: None, "127.0.0.1")
    assert made.rates == Rates(7, 0, 9)
    assert make_app(made).state.limits._rates == Rates(7, 0, 9)
