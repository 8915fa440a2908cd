"""The graph beside a TF1 checkpoint."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.detection import Contents
from detectors.errors import MalformedModel, ModelError
from detectors.meta_graph import may_be_meta_graph, read_meta_graph
from detectors.tree import MemoryTree
from tests.builders import bundle as build


def read(data, tree=MemoryTree):
    tree = tree({"m.meta": data})
    contents = Contents(tree, tree.files())
    return read_meta_graph(contents, contents.find("m.meta"))[0]


def test_who_wrote_it_its_operators_and_its_collections_are_read():
    meta = read(build.meta_graph("1.15.0", ["w"], ["Const", "MatMul"], producer=134))
    assert meta.meta_info_def.tensorflow_version == b"1.15.0"
    assert [node.op for node in meta.graph_def.node] == [b"Const", b"MatMul"]
    assert meta.graph_def.versions.producer == 134
    assert [entry.key for entry in meta.collection_def] == [b"trainable_variables", b"variables"]


def test_a_constant_of_a_hundred_megabytes_is_not_read():
    class Counting(MemoryTree):
        bytes_read = 0

        def read(self, path, start, stop):
            Counting.bytes_read += stop - start
            return super().read(path, start, stop)

    tensor = build.length_delimited(4, bytes(100 << 20))
    attr = build.length_delimited(1, b"value") + build.length_delimited(2, build.length_delimited(8, tensor))
    node = build.length_delimited(2, b"Const") + build.length_delimited(5, attr)
    meta = read(build.meta_graph() + build.length_delimited(2, build.length_delimited(1, node)), Counting)
    assert [node.op for node in meta.graph_def.node] == [b"Const", b"Const"]
    assert Counting.bytes_read < 100_000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(build.length_delimited(2, b""), id="no meta info"),
        pytest.param(build.meta_graph() + build.length_delimited(9, b""), id="a foreign field"),
        pytest.param(build.meta_graph()[:-1], id="cut off"),
    ],
)
def test_another_message_is_refused(data):
    with pytest.raises(MalformedModel):
        read(data)


def test_a_pickle_is_told_apart_by_its_first_byte():
    assert not may_be_meta_graph(b"\x80\x02}q\x00")
    assert not may_be_meta_graph(b"")
    assert may_be_meta_graph(build.meta_graph())


@given(st.binary(max_size=80))
@settings(max_examples=200)
def test_any_bytes_give_a_message_or_a_model_error(data):
    for one in (data, build.length_delimited(1, b"") + data):
        try:
            read(one)
        except ModelError:
            continue
