"""What is kept of a message that nobody could read."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.api.web.format import age
from worker.stranded import MARK, MAX_KEPT_BYTES, MAX_WRAPPED_BYTES, PREVIEW_BYTES, identity, unwrapped, visible, wrapped
from worker.views import stranded_json

NOON = datetime(2026, 11, 20, 12, 0, 0, 5, tzinfo=UTC)


@given(st.binary(max_size=300), st.text(max_size=50), st.text(max_size=50))
def test_any_bytes_are_kept_and_given_back_up_to_their_bound(body: bytes, queue: str, why: str) -> None:
    kept = wrapped(body, queue, why, NOON)
    found = unwrapped(kept)
    assert (found.body, found.queue, found.why, found.size, found.at) == (body, queue, why, len(body), NOON)
    assert found.id == identity(kept)


def test_of_a_long_message_the_beginning_is_kept_and_its_size() -> None:
    kept = wrapped(b"x" * (MAX_KEPT_BYTES + 1), "modelport", "w" * 10_000, NOON)
    assert len(kept) < MAX_WRAPPED_BYTES
    found = unwrapped(kept)
    assert (len(found.body), found.size, len(found.why or "")) == (MAX_KEPT_BYTES, MAX_KEPT_BYTES + 1, 500)


@pytest.mark.parametrize(
    "odd",
    [
        {"at": "2026-11-20T12:00:00"},
        {"at": "9999-12-31T23:59:59-23:00"},
        {"at": "0001-01-01T00:00:00+23:00"},
        {"queue": "\ud800", "why": "\x00\u202e\udfff" * 1000},
        {"size": float("inf")},
        {"size": 1e308},
        {"size": -5},
    ],
    ids=str,
)
def test_whatever_lies_there_can_be_shown(odd: dict[str, object]) -> None:
    """As where somebody writes into the list what looks as if a worker had."""
    told = {MARK: 1, "at": NOON.isoformat(), "queue": "q", "why": "w", "size": 1, "body": ""}
    found = unwrapped(json.dumps(told | odd).encode())
    assert json.dumps(stranded_json(found, is_whole=True), ensure_ascii=False).encode()
    assert found.at is None or age(found.at, NOON)
    assert 0 <= (found.size or 0) < 1 << 41
    assert len(found.why or "") < 5000


@given(st.binary(max_size=2000))
def test_a_preview_has_no_character_that_does_anything(body: bytes) -> None:
    shown = unwrapped(body).preview.removesuffix("…")
    assert all(32 <= ord(letter) < 127 for letter in shown)
    assert shown == visible(body[:PREVIEW_BYTES])


def test_a_preview_tells_every_byte_apart() -> None:
    assert visible(b"a\\x00\x00\n\t\r\x1b[31m\xff\xc3\xa9<script>") == (
        "a\\\\x00\\x00\\n\\t\\r\\x1b[31m\\xff\\xc3\\xa9<script>"
    )


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b'{"' + MARK.encode() + b'": 1}',
        b'{"' + MARK.encode() + b'": ' + b"[" * 100_000,
        json.dumps({MARK: 1, "at": "no time", "queue": "q", "why": "w", "size": 1, "body": ""}).encode(),
        json.dumps({MARK: 1, "at": NOON.isoformat(), "queue": "q", "why": "w", "size": 1, "body": "no base64"}).encode(),
        json.dumps({MARK: 1, "at": NOON.isoformat(), "queue": "q", "why": "w", "size": [], "body": ""}).encode(),
    ],
)
def test_what_is_not_wrapped_so_is_the_message_itself(kept: bytes) -> None:
    found = unwrapped(kept)
    assert (found.at, found.queue, found.why, found.size) == (None, None, None, len(kept))
    assert found.body == kept[:MAX_KEPT_BYTES]
