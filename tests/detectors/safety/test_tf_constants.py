"""Strings of constants, in both forms, kept or left out by the walk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.protos.tensorflow_pb2 import NodeDef, SavedModel
from detectors.safety.tf_constants import MAX_CONSTANT_BYTES, MAX_STRINGS, Constants, Holder, Home, strings_of
from detectors.saved_model import LAYOUT
from detectors.tree import MemoryTree
from detectors.wire import Window, parse, skeleton
from tests.builders import saved_model as sm

BIG = sm.const("weights", content=bytes(2 << 20))


class Counting(MemoryTree):
    read_bytes = 0

    def read(self, path: str, start: int, stop: int) -> bytes:
        self.read_bytes += stop - start
        return super().read(path, start, stop)


def opened(data: bytes) -> tuple[SavedModel, Constants, Counting]:
    tree = Counting({"m": data})
    window = Window(tree, "m", len(data))
    found = skeleton(window, LAYOUT)
    model = parse(found, SavedModel())
    return model, Constants(Holder.SAVED_MODEL, None if found.is_whole else window), tree


def node_called(model: SavedModel, name: bytes) -> NodeDef:
    return next(node for meta in model.meta_graphs for node in meta.graph_def.node if node.name == name)


texts = st.lists(st.binary(max_size=3000), min_size=1, max_size=4)


@given(texts, st.booleans())
def test_a_constant_is_read_the_same_whether_the_walk_left_it_out_or_not(values: list[bytes], packed: bool) -> None:
    constant = sm.const_text("c", *values, packed=packed)
    for others in ([], [BIG]):
        model, constants, _ = opened(sm.saved_model(sm.meta_graph(sm.graph(*others, constant))))
        assert constants.strings(Home(0), node_called(model, b"c")) == tuple(values)


def test_what_is_read_does_not_grow_with_other_constants() -> None:
    counts = []
    for weights in (2, 20):
        others = [sm.const(f"w{at}", content=bytes(1 << 20)) for at in range(weights)]
        model, constants, tree = opened(sm.saved_model(sm.meta_graph(sm.graph(*others, sm.const_text("c", "x" * 5000)))))
        before = tree.read_bytes
        assert constants.strings(Home(0), node_called(model, b"c")) == (b"x" * 5000,)
        counts.append(tree.read_bytes - before)
    assert counts[1] < counts[0] + 18 * (17 << 10) < 1 << 20


def test_constants_of_one_name_are_told_apart_by_graph_and_function() -> None:
    def text(value: str) -> bytes:
        return sm.const_text("c", value * 3000)

    first = sm.graph(BIG, text("a"), functions=[sm.function("f", text("b")), sm.function("g", text("c"))])
    data = sm.saved_model(sm.meta_graph(first), sm.meta_graph(sm.graph(text("d")), tags=["train"]))
    model, constants, _ = opened(data)
    node = node_called(model, b"c")
    homes = (Home(0), Home(0, b"f"), Home(0, b"g"), Home(1))
    assert [constants.strings(home, node) for home in homes] == [(letter * 3000,) for letter in (b"a", b"b", b"c", b"d")]


def test_a_constant_beyond_the_limit_is_not_read() -> None:
    model, constants, tree = opened(sm.saved_model(sm.meta_graph(sm.graph(sm.const_text("c", bytes(MAX_CONSTANT_BYTES + 1))))))
    assert constants.strings(Home(0), node_called(model, b"c")) is None
    assert tree.read_bytes < 1 << 20


def test_more_strings_than_are_looked_at_count_as_not_read() -> None:
    model, constants, _ = opened(sm.saved_model(sm.meta_graph(sm.graph(sm.const_text("c", *["a"] * (MAX_STRINGS + 1))))))
    assert constants.strings(Home(0), node_called(model, b"c")) is None


def test_a_constant_of_numbers_holds_no_strings() -> None:
    model, constants, _ = opened(sm.saved_model(sm.meta_graph(sm.graph(sm.const("c")))))
    assert constants.strings(Home(0), node_called(model, b"c")) == ()


@pytest.mark.parametrize("content", [b"\x05abc", b"\x80", b"\xff\xff\xff\xff\xff\x01", b"\x01ab"])
def test_packed_strings_that_contradict_themselves_are_none(content: bytes) -> None:
    tensor = NodeDef.FromString(sm.const("c", dtype=7, content=content)).attr[0].value.tensor
    assert strings_of(tensor) is None
