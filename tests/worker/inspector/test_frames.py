"""Frames on a stream socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from worker.inspector.frames import BadFrame, Channel, Gone, Late

Pair = tuple[Channel, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


def test_a_frame_is_a_letter_a_length_and_a_body(pair: Pair) -> None:
    channel, other = pair
    channel.send(b"R", b"abc")
    assert other.recv(100) == b"R\0\0\0\x03abc"


def test_frames_come_one_by_one_however_the_bytes_come(pair: Pair) -> None:
    channel, other = pair
    threading.Thread(target=lambda: [other.sendall(bytes((byte,))) for byte in b"A\0\0\0\x02xyB\0\0\0\0"]).start()
    assert channel.receive({b"A": 2, b"B": 0}, 5) == (b"A", b"xy")
    assert channel.receive({b"A": 2, b"B": 0}, 5) == (b"B", b"")


def test_a_large_frame_goes_both_ways(pair: Pair) -> None:
    channel, other = pair
    body = bytes(range(256)) * 20_000
    threading.Thread(target=Channel(other).send, args=(b"D", body)).start()
    assert channel.receive({b"D": len(body)}, 10) == (b"D", body)


@pytest.mark.parametrize("data", [b"A\0\0\0\x03abc", b"C\0\0\0\0", b"A\xff\xff\xff\xff"])
def test_a_letter_or_a_length_that_was_not_expected_is_refused_before_its_body(pair: Pair, data: bytes) -> None:
    channel, other = pair
    other.sendall(data[:5])
    with pytest.raises(BadFrame):
        channel.receive({b"A": 2}, 5)


@pytest.mark.parametrize("data", [b"", b"A\0\0", b"A\0\0\0\x02x"])
def test_who_hangs_up_is_gone(pair: Pair, data: bytes) -> None:
    channel, other = pair
    other.sendall(data)
    other.close()
    with pytest.raises(Gone):
        channel.receive({b"A": 2}, 5)


@pytest.mark.parametrize("data", [b"", b"A\0\0", b"A\0\0\0\x02x"])
def test_who_says_nothing_is_late(pair: Pair, data: bytes) -> None:
    channel, other = pair
    other.sendall(data)
    began = time.monotonic()
    with pytest.raises(Late):
        channel.receive({b"A": 2}, 0.1)
    assert 0.05 < time.monotonic() - began < 2


def test_who_takes_nothing_is_late(pair: Pair) -> None:
    channel, _ = pair
    with pytest.raises(Late):
        channel.send(b"D", bytes(8 << 20), 0.1)


def test_nobody_can_be_sent_to_who_is_gone(pair: Pair) -> None:
    channel, other = pair
    other.close()
    with pytest.raises(Gone):
        channel.send(b"D", b"x", 1)
