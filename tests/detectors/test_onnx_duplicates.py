"""Fields that stand twice inside an ONNX model: found in every message, small or large, and never where they stand once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from onnx import onnx_ml_pb2

from detectors import onnx_duplicates
from detectors.detection import Contents
from detectors.facts import Severity
from detectors.onnx import DETECTOR
from detectors.protos import onnx_once_pb2, onnx_pb2
from detectors.tree import MemoryTree
from detectors.wire import Skeleton
from tests.builders import onnx as build
from tests.detectors.test_onnx_oracle import (
    damaged,
    with_all_kinds_of_inputs,
    with_external_data,
    with_tensors_everywhere,
)


def places(data: bytes) -> list[str]:
    tree = MemoryTree({"m.onnx": data})
    contents = Contents(tree, tree.files())
    (detection,) = DETECTOR.match(contents)
    found = [one for one in DETECTOR.extract(contents, detection).findings if one.rule == "onnx-duplicate-field"]
    assert all(one.severity is Severity.MEDIUM for one in found)
    return [one.place for one in found]


@pytest.fixture(params=["kept whole", "walked"], autouse=True)
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small model is parsed as it is, a large one without its weights."""
    if request.param == "walked":
        monkeypatch.setattr("detectors.wire.WHOLE_MESSAGE_BYTES", -1)


LONG = "n" * 2000
FLOATS = build.field(1, build.number(1, 1))


def with_attribute(body: bytes) -> bytes:
    return build.small_graph(nodes=[build.node(attributes=[body])])


TWICE = {
    "op_type": (build.small_graph(nodes=[build.node() + build.field(4, "If")]), "graph → node If → op_type"),
    "domain": (
        build.small_graph(nodes=[build.node(name="n") + build.field(7, "a") + build.field(7, "b")]),
        "graph → node n → domain",
    ),
    "raw_data": (
        build.small_graph(initializers=[build.tensor() + build.field(9, bytes(24))]),
        "graph → initializer w → raw_data",
    ),
    "large raw_data": (
        build.small_graph(initializers=[build.tensor(dims=[1000], raw=bytes(4000)) + build.field(9, bytes(4000))]),
        "graph → initializer w → raw_data",
    ),
    "data_type": (
        build.small_graph(initializers=[build.tensor() + build.number(2, 1)]),
        "graph → initializer w → data_type",
    ),
    "location": (
        build.small_graph(
            initializers=[
                build.tensor(raw=None)
                + build.field(13, build.field(1, "location") + build.field(2, "../w") + build.field(2, "w.bin"))
                + build.number(14, 1)
            ]
        ),
        "graph → initializer w → external_data → value",
    ),
    "data_location": (
        build.small_graph(initializers=[build.tensor() + build.number(14, 1) + build.number(14, 0)]),
        "graph → initializer w → data_location",
    ),
    "attribute i": (
        with_attribute(build.field(1, "axis") + build.number(3, 1) + build.number(3, 2)),
        "graph → node Relu → attribute axis → i",
    ),
    "attribute i of a large attribute": (
        with_attribute(build.field(1, "axis") + build.field(4, LONG) + build.number(3, 1) + build.number(3, 2)),
        "graph → node Relu → attribute axis → i",
    ),
    "attribute t": (
        with_attribute(build.attribute("v", t=build.tensor()) + build.field(5, build.tensor())),
        "graph → node Relu → attribute v → t",
    ),
    "type": (
        build.small_graph(inputs=[build.value("x") + build.field(2, build.field(1, build.number(1, 7)))]),
        "graph → input x → type",
    ),
    "one of two types": (
        build.small_graph(inputs=[build.field(1, "x") + build.field(2, FLOATS + build.field(4, b""))]),
        "graph → input x → type → one value",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TWICE)
def test_what_stands_twice_is_told_with_its_place(what: str) -> None:
    graph, place = TWICE[what]
    assert places(build.model(graph)) == [place]


def test_three_times_are_counted() -> None:
    tree = MemoryTree(
        {"m.onnx": build.model(build.small_graph(nodes=[build.node() + build.field(4, "A") + build.field(4, "B")]))}
    )
    contents = Contents(tree, tree.files())
    (detection,) = DETECTOR.match(contents)
    messages = [one.message for one in DETECTOR.extract(contents, detection).findings]
    assert messages == ["stands there 3 times: readers merge them, or take the first or the last"]


def test_nothing_that_is_written_longer_hides_what_stands_twice() -> None:
    """A row of numbers that other writers would pack is longer unpacked, and a negative number longer than its 32 bits."""
    packed = build.field(1, bytes([1] * 40)) + build.number(2, 1) + build.field(8, "w") + build.field(9, bytes(4)) * 2
    negative = build.varint(2 << 3) + b"\xff\xff\xff\xff\x0f" + build.field(8, "v") + build.field(8, "v")
    for tensor, place in ((packed, "graph → initializer w → raw_data"), (negative, "graph → initializer v → name")):
        assert places(build.model(build.small_graph(initializers=[tensor]))) == [place]


def test_numbers_that_are_written_longer_than_need_be_are_no_duplicates() -> None:
    assert places(build.model(build.small_graph(initializers=[build.tensor() + b"\x70\x80\x00"]))) == []


def test_what_is_told_is_bounded() -> None:
    nodes = [build.node(name=f"n{number}") + build.field(4, "If") for number in range(300)]
    assert len(places(build.model(build.small_graph(nodes=nodes)))) == 100


def test_what_lies_behind_more_fields_than_are_looked_at_is_told_without_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_duplicates, "MAX_FIELDS", 1000)
    nodes = [build.node(name="n") + build.field(4, "If"), *[build.node()] * 500, build.node(name="m") + build.field(4, "If")]
    assert places(build.model(build.small_graph(nodes=nodes))) == ["graph → node n → op_type", ""]


def test_of_damaged_models_none_gets_longer_and_those_with_something_twice_get_shorter() -> None:
    """What the length tells and what a look at each field tells, of the same bytes."""
    rng = random.Random(3)
    kind = onnx_once_pb2.ModelProto
    twice = taken = 0
    for original in [build.model(graph) for graph, _ in TWICE.values()] * 300:
        data = damaged(original, rng)
        try:
            length = kind.FromString(data).ByteSize()
        except DecodeError:
            continue
        taken += 1
        search = onnx_duplicates._Search(Skeleton(data, {}, "m.onnx", 0))
        found = next(search.message(kind.DESCRIPTOR, 0, len(data), None), None)
        assert length <= len(data)
        assert found is None or length < len(data)
        twice += found is not None
    assert taken > twice > 50


NOT_READ = {"doc_string", "overload", "denotation", "segment", "tp", "quant_parameter_tensor_names"}
"""Fields that say nothing which a reader acts on and a scan tells."""


Chain = tuple[str, ...]


def twice(message: Any, chain: Chain, seen: set[Chain]) -> Iterator[tuple[Chain, bytes]]:
    """Yield *message* as bytes with one field inside it standing twice, for every way to one, *seen* ones left out."""
    for field, value in message.ListFields():
        way = (*chain, field.name)
        if field.name in NOT_READ or way in seen:
            continue
        seen.add(way)
        if chain and not field.is_repeated:
            again = type(message)()
            if field.message_type is None:
                setattr(again, field.name, value)
            else:
                getattr(again, field.name).CopyFrom(value)
            yield way, message.SerializePartialToString() + again.SerializePartialToString()
        if field.message_type is not None:
            rest = type(message)()
            rest.CopyFrom(message)
            rest.ClearField(field.name)
            for inner, data in twice(value[0] if field.is_repeated else value, way, seen):
                yield inner, rest.SerializePartialToString() + build.field(field.number, data)


def test_what_stands_twice_is_found_wherever_it_stands() -> None:
    """Every field that onnx's own messages have once, in a model that has something in every place."""
    tried = set()
    for make in (with_tensors_everywhere, with_all_kinds_of_inputs, with_external_data):
        model = make()
        assert places(model.SerializeToString()) == []
        for chain, data in twice(model, (), set()):
            assert places(data), chain
            tried.add(chain)
    last = {chain[-1] for chain in tried}
    assert {"op_type", "domain", "raw_data", "data_location", "t", "g", "values", "indices", "elem_type", "key"} <= last
    assert len(tried) > 130


# What onnx_once.proto says, beside what onnx.proto and onnx itself say


def messages(kind: Any) -> Iterator[Any]:
    """Yield *kind*, a message or a file, and every message inside it, without itself where it is a file."""
    inner = getattr(kind, "message_types_by_name", None) or getattr(kind, "nested_types_by_name", {})
    for message in inner.values():
        yield message
        yield from messages(message)


def told_of(kind: Any) -> dict[str, dict[str, tuple[int, bool, str | None, bool]]]:
    """Return of each message the number of each field, whether it repeats, what it holds, and whether it is one of a choice."""
    return {
        message.full_name.removeprefix(f"{kind.package}."): {
            field.name: (
                field.number,
                field.is_repeated,
                None if field.message_type is None else field.message_type.name,
                field.containing_oneof is not None and len(field.containing_oneof.fields) > 1,
            )
            for field in message.fields
        }
        for message in messages(kind)
    }


NOT_SEARCHED = {
    ("GraphProto", "quantization_annotation"),
    ("GraphProto", "metadata_props"),
    ("ModelProto", "metadata_props"),
    *(("ModelProto", name) for name in ("ir_version", "producer_name", "producer_version", "domain", "model_version")),
}
"""Notes that say nothing which a runtime acts on, and what the walk counts by itself."""


def test_fields_that_stand_once_are_those_that_are_read() -> None:
    """A field that is read from now on is searched from now on."""
    read, once = told_of(onnx_pb2.DESCRIPTOR), told_of(onnx_once_pb2.DESCRIPTOR)
    for name, fields in read.items():
        if name == "QuantizationAnnotation":
            continue
        for field, said in fields.items():
            _, is_repeated, holds, _ = said
            is_searched = (not is_repeated or holds is not None) and (name, field) not in NOT_SEARCHED
            assert (once[name].get(field) == said) is is_searched, f"{name}.{field}"


def test_fields_that_stand_once_are_those_of_onnx() -> None:
    theirs = told_of(onnx_ml_pb2.DESCRIPTOR)
    for name, fields in told_of(onnx_once_pb2.DESCRIPTOR).items():
        for field, said in fields.items():
            if field != "raw_data_size":
                number, is_repeated, holds, _ = theirs[name][field]
                assert (number, is_repeated) == said[:2], f"{name}.{field}"
                assert (holds is None) is (said[2] is None), f"{name}.{field}"
