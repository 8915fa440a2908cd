"""The walk over opcodes against what Python pickles, and against any bytes."""

from __future__ import annotations

import collections
import datetime
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.executables import pickles
from detectors.executables.names import Grade
from detectors.executables.pickles import End, Pickle, walk
from detectors.tree import MemoryTree
from detectors.wire import Window
from detectors.wrapped_tree import CountingTree
from tests.attacks.pickles import IDEAS, call, framed, of_protocol, protocol_0


class Odd:
    """A class of its own, with a state."""

    def __init__(self) -> None:
        self.value = {"a": [1, 2.5]}


def walked(data: bytes) -> Pickle:
    return walk(Window(MemoryTree({"p": data}), "p", len(data), 7))


VALUES: list[Any] = [
    None, True, 1, -1, 10**50, -(2**40), 2.5, complex(1, 2), "a", "é\n", "x" * 70_000, b"", b"ab" * 300, bytearray(b"x"), (),
    (1,), (1, 2, 3, 4), [], [1, [2, [3]]], {}, {"a": {1: (2,)}}, set(), {1, 2}, frozenset({1}), datetime.datetime(2026, 1, 1),
    collections.OrderedDict(a=1), collections.defaultdict(list), Odd(), Odd, len, range(3), slice(1, 2), ..., [0] * 2_000,
]  # fmt: skip


@pytest.mark.parametrize("protocol", range(6))
def test_what_python_pickles_is_walked_to_its_end(protocol: int) -> None:
    for value in VALUES:
        data = pickle.dumps(value, protocol)
        found = walked(data)
        assert (found.end, found.stop, found.computed) == (End.STOPPED, len(data), False), value


leaves = st.none() | st.text() | st.integers() | st.floats() | st.binary()
data_of_any_kind = st.recursive(leaves, lambda it: st.lists(it) | st.dictionaries(st.text(), it))


@given(data_of_any_kind, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_any_data_are_walked_and_import_nothing_that_runs(value: object, protocol: int) -> None:
    found = walked(pickle.dumps(value, protocol))
    assert (found.end, found.grade) == (End.STOPPED, Grade.PLAIN)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda it: b"\x80\x04" + it))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_walk(data: bytes) -> None:
    assert walked(data).stop <= len(data)


@given(st.binary(max_size=40), st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_no_read_leaves_the_file(more: bytes, cut: int) -> None:
    """A window would raise TreeChanged, had it been asked for what is not there."""
    for protocol in range(6):
        data = of_protocol(protocol)[:cut] + more
        walked(data)


@pytest.mark.parametrize(
    "text",
    [
        b"cat\ndog\nemu\n", b"class Model:\n    pass\n", b"cimport numpy\nimport os\n", b"cos\nsin\ntan\n",
        b"Version 1\nNumber 2\n", b"NaN\n", b"I am.\n", b"(a) one\n(b) two\n", b"{}", b"[1, 2]", b"P5\n3 3\n255\n", b"N.",
        b"].", b"0.5,1.5\n", b".\n", b"\x80", b"\x80\x04", b"\x80\x04garbage", b"V1\nV2\nV3\n", b"import os\nos.x()\n",
        b"i18n\nx\n", b"S'quoted'\n",
    ],
)  # fmt: skip
def test_text_is_no_pickle(text: bytes) -> None:
    found = walked(text)
    assert not found.is_pickle
    assert not found.may_be_pickle


def test_what_came_before_a_broken_place_counts() -> None:
    found = walked(protocol_0()[:-1] + b"\xff")
    assert (found.end, found.names, found.is_pickle) == (End.BROKEN, (("os", "system"),), True)


def test_the_names_of_each_import_are_told_in_order() -> None:
    data = framed(call("a.b", "C") + call("os", "system") + call("a.b", "C"))
    assert walked(data).names == (("a.b", "C"), ("os", "system"))


def test_long_bytes_are_stepped_over() -> None:
    data = b"\x80\x04B" + (50_000_000).to_bytes(4, "little") + bytes(50_000_000) + b"."
    tree = CountingTree(MemoryTree({"p": data}))
    assert walk(Window(tree, "p", len(data)), 0).end is End.STOPPED
    assert tree.bytes < 1 << 20


def test_a_walk_ends_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = walk(Window(MemoryTree({"p": b"N0" * 100}), "p", 200), 0, 50)
    assert (found.end, found.opcodes, found.may_be_pickle) == (End.LIMIT, 50, True)
    monkeypatch.setattr(pickles, "MAX_NAMES", 3)
    many = framed(b"".join(call("m", f"n{number}") for number in range(9)))
    assert (walked(many).end, len(walked(many).names)) == (End.LIMIT, 3)


@pytest.mark.parametrize("data", [b"V" + b"x" * 900_000 + b"\n", b"B\x00\x20\x00\x00" + bytes(8192)], ids=["lines", "bytes"])
def test_a_walk_reads_no_more_than_its_limit(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_READ_BYTES", 1 << 20)
    tree = CountingTree(MemoryTree({"p": data * 300}))
    assert walk(Window(tree, "p", len(data) * 300)).end is End.LIMIT
    assert tree.bytes < 4 << 20


@pytest.mark.parametrize(("data", "names"), [
    (IDEAS["names out of the memo"](), (("os", "system"),)),
    (IDEAS["names out of the memo, by line"](), (("os", "system"),)),
    (IDEAS["INST"](), (("os", "system"),)),
    (IDEAS["OBJ"](), (("os", "system"),)),
])  # fmt: skip
def test_names_are_followed_through_stack_and_memo(data: bytes, names: tuple[tuple[str, str], ...]) -> None:
    assert walked(data).names == names
    assert walked(data).grade is Grade.RUNS
