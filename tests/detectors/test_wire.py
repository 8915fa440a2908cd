"""The bounded protobuf walk: its laws, its limits, and what hostile bytes make of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from google.protobuf.message import DecodeError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detectors import wire
from detectors.errors import MalformedModel, ModelError, ModelLimit, TreeChanged
from detectors.protos import onnx_pb2
from detectors.tree import MemoryTree
from detectors.wire import Skeleton, Window, hop, layout_of, parse, skeleton, text, varint
from tests.builders import onnx as build

WEIGHTS = frozenset({"TensorProto.raw_data", "TensorProto.string_data"})
LAYOUT = layout_of(onnx_pb2.ModelProto.DESCRIPTOR, WEIGHTS)


@pytest.fixture(autouse=True)
def _always_walk(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small messages need no walk; these tests are about the walk."""
    with pytest.MonkeyPatch.context() as patch:
        if "small_whole" not in request.node.name:
            patch.setattr("detectors.wire.WHOLE_MESSAGE_BYTES", -1)
        yield


def window(data: bytes, window_bytes: int = wire.FIRST_WINDOW_BYTES) -> Window:
    return Window(MemoryTree({"m": data}), "m", len(data), window_bytes)


def walk(data: bytes, window_bytes: int = wire.FIRST_WINDOW_BYTES) -> Skeleton:
    return skeleton(window(data, window_bytes), LAYOUT)


def read(data: bytes) -> onnx_pb2.ModelProto:
    return parse(walk(data), onnx_pb2.ModelProto())


# Messages as hypothesis draws them: known and unknown fields, every wire type, in any order and number.

NUMBERS = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 22, 25, 99, 536_870_911])
VALUES = st.integers(0, 2**64 - 1)


def group(number: int, body: bytes) -> bytes:
    return build.varint(number << 3 | 3) + body + build.varint(number << 3 | 4)


def fields(bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.builds(build.number, NUMBERS, VALUES),
        st.builds(build.field, NUMBERS, bodies),
        st.builds(lambda number, body: build.varint(number << 3 | 1) + body, NUMBERS, st.binary(min_size=8, max_size=8)),
        st.builds(lambda number, body: build.varint(number << 3 | 5) + body, NUMBERS, st.binary(min_size=4, max_size=4)),
        st.builds(group, NUMBERS, st.builds(build.number, NUMBERS, VALUES)),
    )


LEAVES = st.one_of(st.binary(max_size=20), st.sampled_from([b"", bytes(600), bytes(1024), bytes(1025), b"x" * 65_537]))
MESSAGES = st.recursive(LEAVES, lambda inner: st.lists(fields(inner), max_size=6).map(b"".join), max_leaves=30)
MODELS = st.lists(fields(MESSAGES), max_size=8).map(b"".join)


@st.composite
def models(draw: st.DrawFn) -> bytes:
    """Models with the layout of ONNX, and tensors small and large."""
    sizes = st.sampled_from([0, 4, 400, 600, 1024, 1028, 70_000])
    tensors = st.builds(lambda size: build.tensor("w", [size // 4], raw=bytes(size)), sizes)
    attributes = st.builds(lambda tensor: build.attribute("value", t=tensor), tensors)
    nodes = st.builds(lambda attributes: build.node("Op", attributes), st.lists(attributes, max_size=3))
    graph = build.small_graph(nodes=draw(st.lists(nodes, max_size=4)), initializers=draw(st.lists(tensors, max_size=4)))
    return build.model(graph, more=b"".join(draw(st.lists(fields(st.binary(max_size=9)), max_size=3))))


def without_large_leaves(message: onnx_pb2.ModelProto) -> onnx_pb2.ModelProto:
    """Do by hand, on the whole message, what the walk does to its bytes."""
    for tensor in tensors_of(message.graph):
        if len(tensor.raw_data) > wire.MAX_WEIGHT_BYTES:
            tensor.raw_data_size = len(tensor.raw_data)
            tensor.ClearField("raw_data")
    message.DiscardUnknownFields()
    return message


def tensors_of(graph: onnx_pb2.GraphProto) -> Iterator[onnx_pb2.TensorProto]:
    yield from graph.initializer
    yield from (attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t"))


class TestLaws:
    @settings(max_examples=120, deadline=None)
    @given(models())
    def test_parsing_the_skeleton_gives_what_parsing_the_whole_message_gives(self, data: bytes) -> None:
        """Parsing the skeleton gives what parsing the whole message gives, but for the leaves that were left out."""
        assume(runtime_takes(data))
        found = read(data)
        found.DiscardUnknownFields()
        assert found == without_large_leaves(onnx_pb2.ModelProto.FromString(data))

    @settings(max_examples=120, deadline=None)
    @given(st.one_of(models(), MODELS), st.sampled_from([1, 2, 7, 64, 1000, 1 << 20]))
    def test_the_window_size_changes_nothing(self, data: bytes, window_bytes: int) -> None:
        assert outcome(data, window_bytes) == outcome(data, wire.FIRST_WINDOW_BYTES)

    @settings(max_examples=200, deadline=None)
    @given(st.one_of(MODELS, st.binary(max_size=200)))
    def test_any_bytes_give_a_skeleton_or_a_model_error(self, data: bytes) -> None:
        assert is_taken(data) in (True, False)

    @settings(max_examples=120, deadline=None)
    @given(st.one_of(models(), MODELS), st.data())
    def test_damage_is_judged_as_the_protobuf_runtime_judges_it(self, data: bytes, draw: st.DataObject) -> None:
        """What we refuse, it refuses; what it refuses and we take is damage in what was left out."""
        position = draw.draw(st.integers(0, max(0, len(data) - 1)))
        damaged = bytearray(data)
        damaged[position : position + 1] = draw.draw(st.binary(max_size=3))
        theirs, ours = runtime_takes(bytes(damaged)), is_taken(bytes(damaged))
        assert ours or not theirs or has_field_zero_in_a_group(bytes(damaged))

    @settings(max_examples=120, deadline=None)
    @given(st.one_of(models(), MODELS), st.sampled_from([1, 64, 1 << 14]))
    def test_no_read_leaves_the_file(self, data: bytes, window_bytes: int) -> None:
        tree = BoundedTree({"m": data})
        with suppress(ModelError):
            skeleton(Window(tree, "m", len(data), window_bytes), LAYOUT)
        assert all(0 <= start < stop <= len(data) for start, stop in tree.ranges)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(fields(st.binary(max_size=9)), max_size=8))
    def test_fields_follow_each_other_to_the_end(self, parts: list[bytes]) -> None:
        data = b"".join(parts)
        found = list(hop(window(data), 0, len(data)))
        assert len(found) == len(parts)
        assert [after.begin for after in found] == [sum(map(len, parts[:n])) for n in range(len(parts))]
        assert all(before.stop == after.begin for before, after in pairwise(found))


class BoundedTree(MemoryTree):
    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.ranges: list[tuple[int, int]] = []

    def read(self, path: str, start: int, stop: int) -> bytes:
        self.ranges.append((start, stop))
        return super().read(path, start, stop)


def outcome(data: bytes, window_bytes: int) -> tuple[object, ...]:
    try:
        found = walk(data, window_bytes)
    except ModelError as exc:
        return type(exc), exc.offset, exc.reason
    return found.data, dict(found.counts)


def is_taken(data: bytes) -> bool:
    try:
        read(data)
    except ModelError:
        return False
    return True


def runtime_takes(data: bytes) -> bool:
    try:
        onnx_pb2.ModelProto.FromString(data)
    except DecodeError:
        return False
    return True


def has_field_zero_in_a_group(data: bytes) -> bool:
    """The runtime overlooks a field number of 0 inside an unknown group; we do not."""
    try:
        read(data)
    except MalformedModel as exc:
        return "found 0" in exc.reason
    return False


def nested_graphs(depth: int) -> bytes:
    """Return a model with *depth* If nodes inside each other: three messages each."""
    graph = build.graph([build.node()])
    for _ in range(depth):
        graph = build.graph([build.node("If", [build.attribute("b", g=graph)])])
    return build.model(graph)


BROKEN = {
    "cut key": b"\x80",
    "cut length": b"\x3a\x80",
    "cut value": b"\x08\x80",
    "length without body": b"\x3a\x05",
    "length of 2 GiB": b"\x3a" + varint(2**31) + bytes(9),
    "length of 2^63 - 1": b"\x3a" + varint(2**63 - 1),
    "length of -1": b"\x3a" + varint(2**64 - 1),
    "length in six bytes": b"\x3a\x82\x80\x80\x80\x80\x00\x12\x00",
    "key in six bytes": b"\x88\x80\x80\x80\x80\x00\x01",
    "value in eleven bytes": b"\x08" + b"\x80" * 10 + b"\x01",
    "field number 0": b"\x00\x01",
    "field number 2^29": varint(2**29 << 3) + b"\x01",
    "wire type 6": b"\x4e",
    "wire type 7": b"\x4f\x01",
    "end of no group": b"\x4c",
    "group that never ends": b"\x4b\x08\x01",
    "group closed as another": b"\x4b\x08\x01\x54",
    "group closed beyond its message": build.field(7, b"\x4b") + b"\x4c",
    "groups closed in the wrong order": b"\x4b\x53\x4c\x54",
    "four bytes of which three are there": b"\x4d\x01\x02\x03",
    "eight bytes of which seven are there": b"\x49" + bytes(7),
    "inner message longer than the outer": b"\x3a\x02\x0a\x05" + bytes(9),
    "small inner message that is broken": build.field(7, b"\x0a\x02\x0a\x05"),
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
}


class TestHostile:
    @pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
    def test_what_breaks_the_wire_format_is_malformed(self, data: bytes) -> None:
        with pytest.raises(MalformedModel):
            read(data)
        assert not runtime_takes(data)

    def test_the_place_of_the_damage_is_told(self) -> None:
        with pytest.raises(MalformedModel, match="m at byte 2: field 7 wants bytes up to 9, its message ends at 5") as caught:
            read(b"\x08\x08\x3a\x05\x12")
        assert caught.value.offset == 2

    @pytest.mark.parametrize("length", [2, 3, 4, 5])
    def test_keys_and_lengths_may_be_longer_than_need_be(self, length: int) -> None:
        padded = bytes([0x82, *[0x80] * (length - 2), 0x00])
        key = bytes([0xBA, *[0x80] * (length - 2), 0x00])
        assert read(key + padded + b"\x12\x00").HasField("graph")

    def test_a_value_keeps_64_bits(self) -> None:
        assert read(b"\x08" + b"\xff" * 9 + b"\x7f").ir_version == -1

    def test_groups_are_skipped(self) -> None:
        inside = group(9, build.number(3, 1) + group(99, build.field(1, b"x")) + b"\x4d" + bytes(4))
        assert read(inside + build.number(1, 8) + group(7, b"")).ir_version == 8

    @pytest.mark.parametrize(("depth", "taken"), [(99, True), (100, True), (101, False), (100_000, False)])
    def test_groups_nest_as_deep_as_the_runtime_takes_them(self, depth: int, taken: bool) -> None:
        data = b"\x4b" * depth + b"\x4c" * depth
        assert is_taken(data) is runtime_takes(data) is taken

    @pytest.mark.parametrize("depth", [31, 32, 33, 34, 3000])
    def test_messages_nest_as_deep_as_the_runtime_takes_them(self, depth: int) -> None:
        """The model, its graph, and three messages for each node: 32 nodes inside each other are the last."""
        data = nested_graphs(depth)
        assert is_taken(data) is runtime_takes(data) is (depth <= 32)

    def test_the_dearest_bytes_are_refused_in_seconds(self) -> None:
        begin = time.process_time()
        assert refused(build.field(7, build.number(99, 1) * 800_000)) == "MAX_FIELDS"
        assert time.process_time() - begin < 10

    def test_a_long_group_is_refused_before_it_is_walked(self) -> None:
        assert refused(group(9, build.number(3, 1) * 5_000_000)) == "MAX_GROUP_BYTES"

    def test_many_groups_are_counted_by_their_size(self, low_limits: None) -> None:
        assert refused(group(9, build.number(3, 1) * 30_000) * 12) == "MAX_FIELDS"

    @pytest.mark.parametrize(
        "body",
        {
            "empty nodes": build.field(1, b""),
            "empty unknown fields": build.field(99, b""),
            "numbers": build.number(1, 1),
            "empty dimensions": build.field(11, b""),
        }.items(),
        ids=lambda item: item[0],
    )
    def test_small_fields_by_the_million_are_refused(self, low_limits: None, body: tuple[str, bytes]) -> None:
        assert refused(build.field(7, body[1] * 31_000)) == "MAX_FIELDS"

    @pytest.mark.parametrize(
        "node",
        {
            "attributes": build.field(1, build.field(5, b"\x08\x01") * 100),
            "empty attributes": build.field(1, build.field(5, b"") * 200),
            "tensors": build.field(1, build.field(5, build.field(5, b"\x10\x01")) * 70),
            "graphs": build.field(1, build.field(5, build.field(6, build.field(1, b"a") * 40))),
            "keys longer than need be": build.field(1, b"\xaa\x80\x00\x01\x08" * 100),
            "external data": build.field(5, build.field(13, b"\x48\x01") * 100),
            "dimensions": build.field(11, build.field(2, build.field(1, build.field(2, build.field(1, b"\x48\x01") * 100)))),
        }.items(),
        ids=lambda item: item[0],
    )
    def test_small_messages_inside_small_messages_are_counted(self, low_limits: None, node: tuple[str, bytes]) -> None:
        """Copied whole, they would become 30 to 50 times their size once parsed."""
        assert refused(build.field(7, node[1] * (600_000 // len(node[1])))) == "MAX_SMALL_MESSAGES"

    def test_packed_numbers_are_counted_by_their_size(self) -> None:
        assert refused(build.field(7, build.field(5, build.field(1, b"\x01" * 25_000_000)))) == "MAX_FIELDS"

    def test_names_by_the_megabyte_are_refused(self) -> None:
        names = build.field(7, build.field(2, b"n" * 60_000) * 2300)
        assert refused(names) == "MAX_SKELETON_BYTES"

    def test_a_name_too_long_is_left_out(self) -> None:
        graph = read(build.model(build.small_graph(name="n" * 65_537))).graph
        assert graph.name == b""
        assert len(graph.node) == 1

    def test_a_file_is_not_believed_about_the_sizes_that_the_walk_notes(self) -> None:
        lie = build.number(100_009, 1)
        large = build.tensor("w", [1000], raw=bytes(4000), more=lie)
        (tensor,) = read(build.model(build.small_graph(initializers=[large]))).graph.initializer
        assert tensor.raw_data_size == 4000

    def test_a_file_that_shrinks_while_it_is_read_is_changed(self) -> None:
        data = build.model()
        with pytest.raises(TreeChanged, match="listed with"):
            skeleton(Window(MemoryTree({"m": data[:-3]}), "m", len(data)), LAYOUT)

    def test_the_count_of_messages_inside_is_never_too_small(self) -> None:
        node = LAYOUT.rules[7].layout.rules[1].layout  # type: ignore[union-attr]
        assert node is not None
        inner = build.graph([build.node()], [build.external_tensor(location="w")], [build.value("x")])
        assert node.messages_in(build.node("Relu", name="model/2RZj")) == 0
        assert node.messages_in(build.node("Relu", [build.attribute("a", i=b"")] * 3)) >= 3
        assert node.messages_in(build.node("If", [build.attribute("a", g=inner)])) >= 12


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the limits, so that a test takes a hundredth of the time."""
    monkeypatch.setattr(wire, "MAX_FIELDS", 30_000)
    monkeypatch.setattr(wire, "MAX_SMALL_MESSAGES", 60_000)


def refused(data: bytes) -> str:
    """Return the limit that stops the walk of *data*."""
    with pytest.raises(ModelLimit) as caught:
        walk(data)
    return caught.value.limit


def test_the_skeleton_counts_the_fields_at_the_top() -> None:
    assert walk(build.model() + build.model()).counts == {1: 2, 2: 2, 3: 2, 7: 2, 8: 2}


@pytest.mark.parametrize(("value", "data"), [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")])
def test_a_varint_has_seven_bits_a_byte(value: int, data: bytes) -> None:
    assert varint(value) == data


def test_one_bad_byte_spoils_one_character() -> None:
    assert text(b"a\xffb") == "a\ufffdb"


def test_a_window_answers_again_without_reading_again() -> None:
    tree = BoundedTree({"m": bytes(100)})
    looked = Window(tree, "m", 100, 10)
    assert [looked.bytes(0, 5), looked.bytes(3, 10), looked.bytes(2, 4)] == [bytes(5), bytes(7), bytes(2)]
    assert tree.ranges == [(0, 10)]


def test_a_window_grows_while_it_reads_on_and_shrinks_after_a_jump() -> None:
    tree = BoundedTree({"m": bytes(1000)})
    looked = Window(tree, "m", 1000, 10)
    for position in (0, 10, 30, 500):
        looked.at(position, 1)
    assert tree.ranges == [(0, 10), (10, 30), (30, 70), (500, 510)]


def test_a_small_whole_message_is_its_own_skeleton() -> None:
    data = build.model()
    found = skeleton(Window(MemoryTree({"m": data}), "m", len(data)), LAYOUT)
    assert found.data == data
    assert found.counts == {1: 1, 2: 1, 3: 1, 7: 1, 8: 1}


def test_a_small_whole_message_that_is_broken_is_walked_to_the_place() -> None:
    data = build.model()[:-1]
    with pytest.raises(MalformedModel) as caught:
        skeleton(Window(MemoryTree({"m": data}), "m", len(data)), LAYOUT)
    assert caught.value.offset == len(build.model()) - len(build.field(8, build.opset()))
