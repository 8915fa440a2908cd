"""What runs, and on which way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.protos.tensorflow_pb2 import MetaGraphDef
from detectors.safety import tf_reach
from detectors.safety.tf_constants import Constants
from detectors.safety.tf_reach import MAX_FEEDS_APART, Graph, Reached, When, node_of, reach, starts_of
from detectors.scan import Verdict, scan
from detectors.tree import MemoryTree
from detectors.wire import MAX_LEAF_BYTES
from tests.attacks.tensorflow import PLAIN, RESULT, X
from tests.builders import saved_model as sm

READ = sm.node("r", "ReadFile", "x")


def reached(meta: bytes) -> list[Reached]:
    message = MetaGraphDef.FromString(meta)
    graph = Graph(message.graph_def, Constants(), meta=message)
    return reach(graph, starts_of(graph))


def places(meta: bytes) -> list[str]:
    return [one.place for one in reached(meta)]


def calling(name: str, caller: str = "call") -> bytes:
    return sm.node(caller, "PartitionedCall", "x", f=sm.func_attr(name))


@pytest.mark.parametrize("depth", [1, 7, 3000])
def test_a_node_is_reached_whatever_the_depth_of_functions_above_it(depth: int) -> None:
    functions = [sm.function(f"f{at}", calling(f"f{at + 1}")) for at in range(depth)] + [sm.function(f"f{depth}", READ)]
    graph = sm.graph(X, calling("f0", "y"), functions=functions)
    [place] = places(sm.meta_graph(graph, signatures={"s": RESULT}))
    assert place.startswith("signature s → function f0 → ")
    assert place.endswith(f"function f{depth} → node r")
    assert len(place) < 200


def test_what_only_saves_is_not_reached() -> None:
    saving = [sm.node("save", "NoOp", "^r", "^call"), calling("f")]
    graph = sm.graph(X, PLAIN, READ, *saving, functions=[sm.function("f", READ)])
    more = sm.saver("", "save", "")
    assert places(sm.meta_graph(graph, signatures={"s": RESULT}, more=more)) == []
    assert places(sm.meta_graph(graph, signatures={"s": RESULT})) == [
        "not reached → node r",
        "not reached → function f → node r",
    ]
    both = sm.signature({}, {"y": sm.tensor_info("save")})
    assert "signature t → node r" in places(sm.meta_graph(graph, signatures={"t": both}, more=more))


def test_functions_that_save_objects_are_not_reached_unless_they_have_a_name() -> None:
    functions = [sm.function("save", READ), sm.function("restore", READ)]
    graph = sm.graph(X, PLAIN, functions=functions)
    nodes = [sm.saves_by(1, 2), sm.saved_function("save"), sm.saved_function("restore")]
    found = reached(sm.meta_graph(graph, objects=sm.object_graph(*nodes)))
    assert [(one.entry.when, one.place) for one in found] == [(When.RESTORED, "object number 2 → function restore → node r")]
    nodes[0] += sm.child("harmless", 1)
    [_, named] = reached(sm.meta_graph(graph, objects=sm.object_graph(*nodes)))
    assert (named.entry.when, named.place) == (When.CHOSEN, "object harmless → function save → node r")


@pytest.mark.parametrize(
    ("op", "attribute"),
    [
        ("While", "cond"),
        ("While", "body"),
        ("StatelessIf", "else_branch"),
        ("MapDataset", "f"),
        ("GroupByWindowDataset", "reduce_func"),
        ("OneShotIterator", "dataset_factory"),
        ("RemoteCall", "f"),
        ("SymbolicGradient", "f"),
        ("UnknownToTensorFlow", "whatever"),
    ],
)
def test_every_attribute_that_names_a_function_is_followed(op: str, attribute: str) -> None:
    graph = sm.graph(X, sm.node("y", op, "x", **{attribute: sm.func_attr("f")}), functions=[sm.function("f", READ)])
    assert "signature s → function f → node r" in places(sm.meta_graph(graph, signatures={"s": RESULT}))


def test_lists_of_functions_are_followed_and_functions_called_by_their_names() -> None:
    branches = sm.func_attr("harmless", "f")
    functions = [sm.function("harmless", PLAIN), sm.function("f", READ)]
    for call in (sm.node("y", "Case", "x", branches=branches), sm.node("y", "f", "x")):
        graph = sm.graph(X, call, functions=functions)
        assert places(sm.meta_graph(graph, signatures={"s": RESULT})) == ["signature s → function f → node r"]


def test_the_gradient_of_a_function_is_followed_where_it_is_computed() -> None:
    library = sm.function("f", PLAIN), sm.function("gradient", READ)
    graph = sm.graph(X, sm.node("y", "SymbolicGradient", "x", f=sm.func_attr("f")), functions=library)
    graph += sm.field(2, sm.field(2, sm.field(1, "f") + sm.field(2, "gradient")))
    assert places(sm.meta_graph(graph, signatures={"s": RESULT})) == ["signature s → function gradient → node r"]


def test_a_function_that_may_stand_in_for_another_is_followed() -> None:
    """TensorFlow takes the one for the device at hand of those that say that they implement the same."""

    def one(name: str, node: bytes, interface: str) -> bytes:
        return sm.function(name, node, attributes={"api_implements": sm.text_attr(interface)})

    functions = [one("f", PLAIN, "lstm"), one("g", READ, "lstm"), one("h", READ, "gru")]
    graph = sm.graph(X, calling("f", "y"), functions=functions)
    found = places(sm.meta_graph(graph, signatures={"s": RESULT}))
    assert found == ["signature s → function g → node r", "not reached → function h → node r"]


def test_functions_that_call_each_other_end() -> None:
    functions = [sm.function("f", calling("g"), READ), sm.function("g", calling("f"), calling("g", "again"))]
    graph = sm.graph(X, calling("g", "y"), functions=functions)
    assert places(sm.meta_graph(graph, signatures={"s": RESULT})) == ["signature s → function g → function f → node r"]


def test_a_ring_of_nodes_ends() -> None:
    graph = sm.graph(X, sm.node("y", "Merge", "x", "next"), sm.node("next", "NextIteration", "y", "^r"), READ)
    assert places(sm.meta_graph(graph, signatures={"s": RESULT})) == ["signature s → node r"]


@pytest.mark.parametrize("outputs", ["coo", "composite"])
def test_all_parts_of_an_output_count(outputs: str) -> None:
    sparse = sm.field(4, sm.field(1, "x:0") + sm.field(2, "x:0") + sm.field(3, "r:0"))
    composite = sm.field(5, sm.field(2, sm.tensor_info("x:0")) + sm.field(2, sm.tensor_info("r:0")))
    signature = sm.signature({}, {"y": sparse if outputs == "coo" else composite})
    assert places(sm.meta_graph(sm.graph(X, READ), signatures={"s": signature})) == ["signature s → node r"]


def test_the_worst_entry_tells_the_place() -> None:
    graph = sm.graph(X, READ, sm.node("y", "Identity", "r"))
    init = sm.signature({}, {"i": sm.tensor_info("r")})
    meta = sm.meta_graph(graph, signatures={"a": RESULT, "__saved_model_init_op": init})
    assert places(meta) == ["init op → node r"]


def test_signatures_that_are_fed_at_many_places_reach_at_least_what_they_run() -> None:
    """Beyond a number of such places, all above them counts as run."""
    count = MAX_FEEDS_APART + 3
    parsed = [sm.node(f"p{at}", "DecodeRaw", f"r{at}") for at in range(count)]
    reads = [sm.node(f"r{at}", "ReadFile", "x") for at in range(count)]
    ends = [sm.node(f"y{at}", "Identity", f"p{at}", f"r{(at + 1) % count}") for at in range(count)]
    info = sm.tensor_info
    signatures = {f"s{at}": sm.signature({"x": info(f"p{at}:0")}, {"y": info(f"y{at}:0")}) for at in range(count)}
    found = places(sm.meta_graph(sm.graph(X, *reads, *parsed, *ends), signatures=signatures))
    assert sorted(place.rpartition(" ")[2] for place in found) == sorted(f"r{at}" for at in range(count))
    assert not [place for place in found if place.startswith("not reached")]


@pytest.mark.parametrize("name", [b"x", b"x:0", b"x:3", b"^x", b"x:out:0"])
def test_an_input_names_its_node(name: bytes) -> None:
    assert node_of(name) == b"x"


@st.composite
def graphs(draw: st.DrawFn) -> bytes:
    """Nodes in any order, some of which read files, with several outputs and with edges that only order."""
    count = draw(st.integers(2, 12))
    ops = draw(st.lists(st.sampled_from(["Identity", "Split", "ReadFile", "NoOp", "Unheard"]), min_size=count, max_size=count))
    form = st.sampled_from(["n{}", "^n{}", "n{}:1", "n{}:0", "n{}:00"])
    edges = st.lists(st.tuples(form, st.integers(0, count - 1)), max_size=3)
    nodes = []
    for at, op in enumerate(ops):
        inputs = [form.format(to) for form, to in draw(edges) if ":1" not in form or ops[to] == "Split"]
        nodes.append(sm.node(f"n{at}", op, *inputs, num_split=sm.int_attr(2), T=sm.type_attr(1)))
    signatures = {
        f"s{at}": sm.signature({"x": sm.tensor_info("n1:0")}, {"y": sm.tensor_info(f"n{at}:0")}) for at in (0, count - 1)
    }
    return sm.meta_graph(sm.graph(*draw(st.permutations(nodes))), signatures=signatures)


@given(graphs(), st.sampled_from([1, 20_000]))
def test_in_a_large_graph_the_same_is_reached_as_in_a_small_one(meta: bytes, leading_on: int) -> None:
    expected = sorted(places(meta))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf_reach, "SMALL_GRAPH", 0)
        patch.setattr(tf_reach, "MAX_LEADING_ON", leading_on)
        assert sorted(places(meta)) == expected


def test_a_node_whose_name_was_left_out_makes_the_graph_not_fully_known() -> None:
    """A name beyond what the walk keeps could hide what leads to a node; a model that does so is never clean."""
    name = "n" * (MAX_LEAF_BYTES + 1)
    graph = sm.graph(X, PLAIN, sm.const("w", content=bytes(2 << 20)), sm.node(name, "Identity", "r"), READ)
    found = scan(MemoryTree({"saved_model.pb": sm.saved_model(sm.meta_graph(graph, signatures={"s": RESULT}))}))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "names are too long" in found.coverage.inconclusive[0].reason
