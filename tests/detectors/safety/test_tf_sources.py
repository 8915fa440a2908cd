"""Where arguments come from."""

from __future__ import annotations

import pytest

from detectors.protos.tensorflow_pb2 import GraphDef, MetaGraphDef
from detectors.safety import tf_sources
from detectors.safety.tf_constants import Constants
from detectors.safety.tf_reach import Graph, data_inputs, reach, starts_of
from detectors.safety.tf_sources import Kind, Source, Sources, Where, readable_name, where
from tests.attacks.tensorflow import RESULT, X
from tests.builders import saved_model as sm

NAME, EMPTY, VARIABLE = sm.const_text("name", "/secret"), sm.const_text("empty", ""), sm.node("v", "VarHandleOp")


def sources(*nodes: bytes, functions: tuple[bytes, ...] = (), read: str = "n", more: bytes = b"") -> set[tuple[Kind, bytes]]:
    """The sources of what a node `r` reads, in the graph or in one of the functions."""
    nodes = nodes if read == "" else (*nodes, sm.node("r", "ReadFile", read))
    graph_def = sm.graph(X, *nodes, sm.node("y", "Identity", "x", "^r"), functions=functions)
    message = MetaGraphDef.FromString(sm.meta_graph(graph_def, signatures={"s": RESULT}, more=more))
    graph = Graph(message.graph_def, Constants(), meta=message)
    [one] = [one for one in reach(graph, starts_of(graph)) if one.node.op == b"ReadFile"]
    return {(each.kind, each.value) for each in Sources().of(one.scope, data_inputs(one.node)[:1])}


SECRET = {(Kind.CONSTANT, b"/secret")}


@pytest.mark.parametrize(
    "nodes",
    [
        [sm.node("n", "Identity", "name:0", "^x")],
        [sm.node("n", "Reshape", "name", "x")],
        [sm.node("n", "Pack", "name", "name")],
        [sm.node("n", "SelectV2", "x", "name", "name")],
        [sm.node("n", "Fill", "x", "name")],
        [sm.node("n", "TensorSliceDataset", "name")],
        [sm.const_text("a", "/"), sm.const_text("b", "secret"), sm.node("n", "StringJoin", "a", "b")],
        [
            sm.const_text("a", ""),
            sm.const_text("b", "secret"),
            sm.node("n", "StringJoin", "a", "b", separator=sm.text_attr("/")),
        ],
        [sm.node("n", "PartitionedCall", f=sm.func_attr("gives"))],
        [sm.node("n", "PartitionedCall", "x", "name", f=sm.func_attr("passes"))],
        [sm.node("n", "passes", "x", "name")],
        [
            sm.node("v", "VarHandleOp"),
            sm.node("n", "ReadVariableOp", "v", "^set"),
            sm.node("set", "AssignVariableOp", "v", "name"),
        ],
    ],
)
def test_a_file_name_is_found_through_functions_lists_and_joined_texts(nodes: list[bytes]) -> None:
    functions = (
        sm.function("gives", NAME, gives={"o": "name:output:0"}),
        sm.function("passes", arguments=["a", "b"], gives={"o": "b"}),
    )
    assert sources(NAME, *nodes, functions=functions) == SECRET


def test_a_file_name_is_found_from_within_functions() -> None:
    inner = sm.function("inner", sm.node("r", "ReadFile", "file"), arguments=["other", "file"])
    outer = sm.function("outer", sm.node("c", "If", "a", "a", "b", then_branch=sm.func_attr("inner")), arguments=["a", "b"])
    call = sm.node("r", "StatefulPartitionedCall", "x", "name", f=sm.func_attr("outer"))
    assert sources(NAME, call, functions=(inner, outer), read="") == SECRET


def test_of_a_data_set_all_that_it_is_given_counts() -> None:
    """Its functions take elements first and captured tensors last, and other inputs may follow."""
    body = sm.function("body", sm.node("r", "ReadFile", "captured"), arguments=["element", "captured"])
    call = sm.node("r", "ParallelMapDataset", "x", "name", "x", f=sm.func_attr("body"))
    assert sources(NAME, call, functions=(body,), read="") == {*SECRET, (Kind.INPUT, b"x")}


def test_an_operator_that_makes_text_is_told_with_its_parts() -> None:
    assert sources(NAME, sm.node("n", "StringUpper", "name")) == {*SECRET, (Kind.COMPUTED, b"StringUpper")}


def test_the_rest_of_a_joined_text_is_no_beginning_unless_nothing_stands_before_it() -> None:
    def rest_of(first: str) -> list[bool]:
        nodes = [sm.const_text("first", first), sm.node("n", "StringJoin", "first", "name", "x"), NAME]
        graph = Graph(GraphDef.FromString(sm.graph(X, *nodes)), Constants())
        found = Sources().of(graph.main, [b"n"])
        return [each.is_rest for each in found if each.value == b"/secret"]

    assert (rest_of("assets"), rest_of("")) == ([True], [False])


def test_assets_and_the_file_of_a_saver_are_known() -> None:
    assert sources(NAME, more=sm.asset("words.txt", "name:0"), read="name") == {(Kind.ASSET, b"words.txt")}
    assert sources(NAME, more=sm.saver("name:0", "", ""), read="name") == {(Kind.SAVER, b"name")}


def test_assets_in_the_collection_of_tensorflow_1_are_known() -> None:
    packed = sm.field(
        1, sm.field(1, "type.googleapis.com/tensorflow.AssetFileDef") + sm.field(2, sm.asset_file("words.txt", "name:0"))
    )
    more = sm.entry(4, "saved_model_assets", sm.field(5, packed))
    assert sources(NAME, more=more, read="name") == {(Kind.ASSET, b"words.txt")}


def test_however_large_the_graph_a_bounded_part_of_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf_sources, "MAX_STEPS", 50)
    chain = [NAME, *(sm.node(f"i{at}", "Identity", f"i{at - 1}" if at else "name") for at in range(200))]
    graph = Graph(GraphDef.FromString(sm.graph(*chain)), Constants())
    found = Sources()
    [near] = found.of(graph.main, [b"i10"])
    assert (near.kind, near.value, found.is_exhausted) == (Kind.CONSTANT, b"/secret", False)
    [far] = found.of(graph.main, [b"i199"])
    assert (far.kind, found.is_exhausted) == (Kind.COMPUTED, True)


@pytest.mark.parametrize(
    ("path", "is_rest", "expected"),
    [
        (b"", False, Where.NOWHERE),
        (b"a/b", False, Where.BESIDE),
        (b"..", False, Where.OUTSIDE),
        (b"a/..", True, Where.OUTSIDE),
        (b"a..b", False, Where.BESIDE),
        (b"/a", True, Where.BESIDE),
        (b"\\\\host\\share", False, Where.OUTSIDE),
        (b"c:secret", False, Where.OUTSIDE),
        (b"s3://x", True, Where.OUTSIDE),
        (b"file:///x", False, Where.OUTSIDE),
    ],
)
def test_a_path_says_where_it_leads(path: bytes, is_rest: bool, expected: Where) -> None:
    assert where(path, is_rest) is expected


def test_names_are_told_on_one_line() -> None:
    assert readable_name(b"a\nb\0\xff") == "a\\x0ab\\x00\ufffd"
    assert len(readable_name(b"x" * 9999)) == 200
    assert Source(Kind.INPUT) == Source(Kind.INPUT, b"")
