"""Reporting a completion: to a server that answers, to one that refuses, and to one that is not there."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import httpx
import pytest

from worker import spool
from worker.client import Server, report, send_all
from worker.errors import NotFound, RejectedEvent, ServerUnavailable
from worker.spool import keep, spool_of, waiting, waiting_beside

COMPLETION = {"id": "e1", "experimentId": "x"}
Answer = Callable[[httpx.Request], httpx.Response]


def server(answer: Answer) -> Server:
    return Server("http://server", "mp_secret", httpx.MockTransport(answer))


def accepts(got: list[dict[str, object]]) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, request.headers["authorization"]) == ("/v1/completions", "Bearer mp_secret")
        got.append(json.loads(request.content))
        return httpx.Response(202, json={"id": "in1", "state": "received", "known": False})

    return answer


def is_away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def test_the_answer_of_the_server_is_returned_and_nothing_is_left(tmp_path: Path) -> None:
    got: list[dict[str, object]] = []
    assert report(server(accepts(got)), COMPLETION, tmp_path) == {"id": "in1", "state": "received", "known": False}
    assert got == [COMPLETION]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404, 408, 429, 500, 502, 503])
def test_a_server_that_cannot_work_now_is_asked_three_times_and_then_the_spool_keeps_it(tmp_path: Path, status: int) -> None:
    asked: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(0)
        return httpx.Response(status)

    with pytest.raises(ServerUnavailable, match=f"http://server did not take it: {status} "):
        report(server(answer), COMPLETION, tmp_path, sleep=asked.append)
    assert asked == [0, 1.0, 0, 2.0, 0]
    assert [json.loads(path.read_text()) for path in waiting(tmp_path)] == [COMPLETION]


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"[]", b'{"id": "in1"}'])
def test_an_answer_that_is_not_modelports_takes_nothing(tmp_path: Path, body: bytes) -> None:
    other = server(lambda request: httpx.Response(202, content=body))
    with pytest.raises(ServerUnavailable, match="http://server did not take it: 202"):
        report(other, COMPLETION, tmp_path, sleep=lambda seconds: None)
    assert [json.loads(path.read_text()) for path in waiting(tmp_path)] == [COMPLETION]


def test_what_was_reported_is_answered_for_by_the_server_or_lies_in_the_spool(tmp_path: Path) -> None:
    for number in range(3):
        with pytest.raises(ServerUnavailable, match="connection refused"):
            report(server(is_away), {"id": f"e{number}"}, tmp_path, sleep=lambda seconds: None)
    got: list[dict[str, object]] = []
    assert report(server(accepts(got)), {"id": "e3"}, tmp_path) is not None
    assert [one["id"] for one in got] == ["e3", "e0", "e1", "e2"]
    assert waiting(tmp_path) == []


def test_a_file_of_the_spool_goes_only_when_the_server_has_answered_for_it_or_has_refused_it_for_good(tmp_path: Path) -> None:
    kept = keep(COMPLETION, tmp_path)
    assert send_all(server(is_away), tmp_path) == 0
    assert kept.exists()

    def refuses(request: httpx.Request) -> httpx.Response:
        return httpx.Response(422, json={"detail": "modelPath: expected text, found 3"})

    with pytest.raises(RejectedEvent, match="http://server refused it: 422 modelPath: expected text, found 3"):
        report(server(refuses), {"id": "e2"}, tmp_path)
    assert send_all(server(refuses), tmp_path) == 0
    assert len(list(tmp_path.glob("*.refused"))) == 2
    assert waiting(tmp_path) == []


@pytest.mark.parametrize("content", ["", "[", "[]", "\x00", "nonsense", "x" * (2 << 20)])
def test_what_is_no_completion_is_put_aside_and_does_not_stop_the_others(tmp_path: Path, content: str) -> None:
    (tmp_path / "0.json").write_text(content)
    keep(COMPLETION, tmp_path)
    got: list[dict[str, object]] = []
    assert send_all(server(accepts(got)), tmp_path) == 1
    assert got == [COMPLETION]
    assert [path.name for path in tmp_path.iterdir()] == ["0.refused"]


@pytest.mark.parametrize("make", ["folder", "fifo", "link", "socket", "deep"])
def test_what_is_no_file_of_ours_does_not_stop_the_others(tmp_path: Path, make: str) -> None:
    odd = tmp_path / "0.json"
    if make == "folder":
        odd.mkdir()
    elif make == "fifo":
        os.mkfifo(odd)
    elif make == "link":
        odd.symlink_to("/dev/zero")
    elif make == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(odd))
    else:
        odd.write_text("[" * 200_000)
    got: list[dict[str, object]] = []
    assert report(server(accepts(got)), COMPLETION, tmp_path) is not None
    assert got == [COMPLETION]
    assert [path.name for path in tmp_path.iterdir()] == ["0.refused"]


def test_what_cannot_be_kept_is_sent_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    got: list[dict[str, object]] = []
    assert report(server(accepts(got)), COMPLETION, tmp_path / "spool") is not None
    assert got == [COMPLETION]


def test_what_can_be_neither_sent_nor_kept_is_said_to_be_lost(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    with pytest.raises(OSError, match="does not answer: connection refused, and it cannot be kept: "):
        report(server(is_away), COMPLETION, tmp_path / "spool", sleep=lambda seconds: None)


def test_a_file_that_cannot_be_written_whole_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        keep(COMPLETION, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_was_kept_with_one_token_is_never_sent_with_another(tmp_path: Path) -> None:
    """Another token may be another team's, and another address another installation."""
    theirs = [spool_of(tmp_path, "http://server", "red"), spool_of(tmp_path, "http://other", "blue"), spool_of(tmp_path)]
    for folder in theirs:
        keep(COMPLETION, folder)
    ours = spool_of(tmp_path, "http://server/", "blue")
    assert ours not in theirs
    assert ours == spool_of(tmp_path, "http://server", "blue")
    assert waiting(ours) == []
    assert waiting_beside(ours) == sorted(theirs)


def test_two_processes_may_send_one_spool_at_once(tmp_path: Path) -> None:
    ids = {f"e{number}" for number in range(50)}
    for id in ids:
        keep({"id": id}, tmp_path)
    got: list[dict[str, object]] = []
    threads = [Thread(target=send_all, args=(server(accepts(got)), tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one["id"] for one in got} == ids
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_none_is_unavailable_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match="nonsense does not answer: "):
        report(Server("nonsense"), COMPLETION, tmp_path, sleep=lambda seconds: None)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_a_token_does_not_let_us_see_will_not_be_seen_tomorrow(status: int) -> None:
    refuses = server(lambda request: httpx.Response(status, json={"detail": "the token lacks the scope operate"}))
    with pytest.raises(
        NotFound, match=f"http://server does not tell how it stands: {status} the token lacks the scope operate"
    ):
        refuses.living_workers()


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>welcome</html>"), (200, b'{"id": "in1"}'), (429, b""), (503, b"")])
def test_a_server_that_does_not_tell_just_now_may_be_asked_again(status: int, body: bytes) -> None:
    other = server(lambda request: httpx.Response(status, content=body))
    with pytest.raises(ServerUnavailable, match=f"http://server did not tell how it stands: {status} "):
        other.ingestion("in1")
