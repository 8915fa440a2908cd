"""Frozen graphs written byte by byte: which files count as one, what they are fed and give, and whether they are whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.detection import Contents, detect
from detectors.errors import DetectorError, MalformedModel, ModelLimit
from detectors.facts import Completeness, Extraction, Parameters, Problem, Severity, State, TensorSpec
from detectors.graph_def import DETECTOR, NODE
from detectors.tree import MemoryTree
from detectors.wire import Window, hop
from detectors.wrapped_tree import CountingTree
from tests.builders import saved_model as sm
from tests.builders.bundle import FLOAT, INT32, INT64, STRING

CORPUS = os.environ.get("MODELPORT_CORPUS")

FROZEN_GRAPHS = (
    "onnx+tensorflow-onnx/tests/models/gru/frozen.pb",
    "onnx+tensorflow-onnx/tests/models/regression/graphdef/frozen.pb",
    "sonos+tract/tensorflow/benches/hey_snips_3.pb",
    "tensorflow+rust/examples/addition/model.pb",
)

MAX_CUTS = 60
"""Places at which a public graph is cut, spread over its nodes."""

NODES = (
    sm.placeholder("x", FLOAT, (-1, 2)),
    sm.const("w", (2, 3), FLOAT, bytes(24)),
    sm.node("w/read", "Identity", "w", T=sm.type_attr(FLOAT)),
    sm.node("y", "MatMul", "x", "w/read", T=sm.type_attr(FLOAT)),
    sm.const("axis", (), INT32),
    sm.node("best", "ArgMax", "y:0", "axis", "^w", T=sm.type_attr(FLOAT)),
)
FROZEN = sm.graph(*NODES)
UNMARKED = sm.graph(*NODES, end=b"")

TEXT = b"""node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }
node { name: "y" op: "Softmax" input: "x" attr { key: "T" value { type: DT_FLOAT } } }
versions { producer: 27 }
"""


def contents_of(files: Mapping[str, bytes]) -> Contents:
    tree = MemoryTree(files)
    return Contents(tree, tree.files())


def found_in(files: Mapping[str, bytes]) -> list[str]:
    return [detection.main for _, detection in detect(contents_of(files), [DETECTOR])]


def looks(data: bytes, name: str = "frozen.pb") -> list[Extraction]:
    contents = contents_of({name: data})
    return [DETECTOR.extract(contents, detection) for _, detection in detect(contents, [DETECTOR])]


def look(data: bytes, name: str = "frozen.pb") -> Extraction:
    [extraction] = looks(data, name)
    return extraction


# Which files count


@pytest.mark.parametrize("name", ["frozen.pb", "a/b/model.pb", "graph", "model.graphdef"])
def test_a_graph_is_told_by_its_content(name: str) -> None:
    contents = contents_of({name: FROZEN})
    [(_, detection)] = detect(contents, [DETECTOR])
    assert (detection.format, detection.root, detection.main, detection.files) == ("tensorflow_graphdef", name, name, (name,))
    assert (detection.evidence[0].offset, detection.evidence[0].saw) == (0, "NodeDef of Placeholder")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n\n\nplain text",
        sm.field(1, sm.field(2, "age")),  # a column of a data spec
        sm.field(1, sm.field(1, "key") + sm.field(2, "value")),  # an entry of a map of strings
        sm.field(1, sm.field(1, "Const") + sm.field(2, sm.field(1, "output"))),  # an OpDef of a list of operators
        sm.meta_graph(FROZEN),
        sm.saved_model(sm.meta_graph(FROZEN)),
        sm.graph(),
        sm.field(1, NODES[0] + sm.whole_number(1, 1)),
        FROZEN + sm.field(5, b""),
    ],
)
def test_what_is_no_graph_is_foreign(data: bytes) -> None:
    assert found_in({"file.pb": data}) == []


@pytest.mark.parametrize("name", ["model.ckpt-1.meta", "graph.py", "graph.txt"])
def test_other_kinds_of_file_are_not_asked(name: str) -> None:
    assert found_in({name: FROZEN}) == []


def test_a_graph_as_text_is_a_model_when_it_stands_alone() -> None:
    assert found_in({"m/graph.pbtxt": TEXT, "m/sub/checkpoint": b"", "m/readme": b""}) == ["m/graph.pbtxt"]


@pytest.mark.parametrize(
    "beside", ["checkpoint", "model.ckpt-1.index", "model.ckpt-1.data-00000-of-00001", "events.out.tfevents.1.host"]
)
def test_a_graph_as_text_beside_a_training_run_is_no_model(beside: str) -> None:
    assert found_in({"m/graph.pbtxt": TEXT, f"m/{beside}": b"x"}) == []


@pytest.mark.parametrize(
    "text",
    [
        b'item { name: "cat" id: 1 }',
        b'node { calculator: "FlowLimiterCalculator" input_stream: "x" }',
        b'node { name: "a" op: "NoSuchOperator" }',
        b'name: "half_plus_two" platform: "tensorflow_savedmodel"',
    ],
)
def test_other_messages_as_text_are_foreign(text: bytes) -> None:
    assert found_in({"other.pbtxt": text}) == []


# What it says


def test_placeholders_are_fed_and_what_nobody_consumes_is_given() -> None:
    [signature] = look(FROZEN).facts.signatures
    assert (signature.name, signature.method) == ("graph", "")
    assert signature.inputs == (TensorSpec("x", "float32", (None, 2)),)
    assert signature.outputs == (TensorSpec("best", "int64", None),)


def test_every_output_of_a_node_is_given_with_its_shape_where_the_node_tells_it() -> None:
    shapes = sm.shapes_attr((-1, 5), None)
    top = sm.node("top", "TopKV2", "x", "x", T=sm.type_attr(FLOAT), _output_shapes=shapes)
    [signature] = look(sm.graph(sm.placeholder("x"), top)).facts.signatures
    assert signature.outputs == (TensorSpec("top", "float32", (None, 5)), TensorSpec("top:1", "int32", None))


def test_nodes_without_outputs_and_unused_weights_are_not_given() -> None:
    lone = (sm.const("unused"), sm.node("init", "NoOp", "^x"), sm.node("save", "SaveV2", "x"))
    [signature] = look(sm.graph(*NODES, *lone)).facts.signatures
    assert [output.name for output in signature.outputs] == ["best"]


@pytest.mark.parametrize(("producer", "expected"), [(21, None), (22, ())])
def test_an_old_placeholder_without_axes_may_have_any_shape(producer: int, expected: tuple[int, ...] | None) -> None:
    graph = sm.graph(sm.placeholder("x", FLOAT, ()), sm.node("y", "Abs", "x"), end=sm.versions(producer))
    assert look(graph).facts.signatures[0].inputs[0].shape == expected


def test_a_shape_that_no_tensor_has_counts_for_nothing() -> None:
    """The product of forty thousand sizes has 750,000 digits."""
    for sizes in ([2**62] * 40_000, [2**62] * 254, [1] * 255, [2**62, 2]):
        assert look(sm.graph(sm.const("c", sizes), sm.node("y", "Identity", "c"))).facts.parameters.stored == 0
    assert look(sm.graph(sm.const("c", [1] * 254), sm.node("y", "Identity", "c"))).facts.parameters.stored == 1


def test_a_long_name_with_a_thousand_outputs_is_cut_and_the_outputs_are_told_once() -> None:
    nodes = [sm.node(letter * 60_000, "IdentityN", T=sm.types_attr(*[1] * 1000)) for letter in "abc"]
    facts = look(sm.graph(*nodes)).facts
    [signature] = facts.signatures
    assert (len(signature.outputs), signature.outputs[0].name) == (1000, "a" * 999 + "…")
    assert facts.details["output_nodes_not_told"] == 2


def test_placeholders_beyond_the_limit_are_counted() -> None:
    facts = look(sm.graph(*[sm.placeholder(f"x{number}") for number in range(1003)])).facts
    assert (len(facts.signatures[0].inputs), facts.details["input_nodes_not_told"]) == (1000, 3)


def test_numbers_in_constants_are_the_parameters() -> None:
    inner = sm.function("f", sm.const("c", (5,), INT64))
    facts = look(sm.graph(*NODES, sm.const("vocabulary", (100,), STRING), functions=[inner])).facts
    assert facts.parameters == Parameters(stored=6 + 1 + 5, distinct=None, trainable=None)
    assert dict(facts.dtypes) == {"float32": 1, "int32": 1, "int64": 1, "string": 1}


def test_the_framework_is_named_without_a_version() -> None:
    facts = look(FROZEN).facts
    assert facts.framework is not None
    assert (facts.framework.name, facts.framework.version, facts.style) == ("tensorflow", None, "graph")
    assert facts.details == {"versions": {"producer": 2000, "min_consumer": 0}, "functions": 0}
    assert (dict(facts.operators)["Const"], facts.custom_operators, facts.size_bytes) == (2, (), len(FROZEN))


def test_custom_operators_are_named() -> None:
    assert look(sm.graph(*NODES, sm.node("z", "ZeroOut", "best"))).facts.custom_operators == ("ZeroOut",)


def test_text_says_the_same() -> None:
    extraction = look(TEXT, "graph.pbtxt")
    assert extraction.facts.signatures[0].outputs == (TensorSpec("y", "float32", None),)
    assert (extraction.completeness.state, extraction.findings) == (State.COMPLETE, ())


def test_a_graph_with_variables_is_not_frozen() -> None:
    variable = sm.node("v", "VariableV2", dtype=sm.type_attr(FLOAT))
    [finding] = look(sm.graph(*NODES, variable)).findings
    assert (finding.rule, finding.severity) == ("tf-graph-not-frozen", Severity.LOW)


# Whether it is whole


@pytest.mark.parametrize("end", [sm.versions(2000), sm.whole_number(3, 9), sm.field(2, b"") + sm.versions(2000)])
def test_a_version_after_the_nodes_shows_the_end(end: bytes) -> None:
    extraction = look(sm.graph(*NODES, end=end))
    assert (extraction.completeness.state, extraction.findings) == (State.COMPLETE, ())


@pytest.mark.parametrize("end", [b"", sm.field(2, b"")])
def test_without_a_version_a_graph_is_incomplete_even_behind_a_library(end: bytes) -> None:
    """A library stands before the version, so a graph that ends with it may have lost the version."""
    problem = "no version follows its nodes, so it cannot be told from a graph that was cut off"
    extraction = look(sm.graph(*NODES, end=end))
    assert extraction.completeness == Completeness(State.INCOMPLETE, (Problem("frozen.pb", problem),), has_end=False)


def test_a_graph_as_text_without_a_version_is_incomplete() -> None:
    assert look(TEXT.partition(b"versions")[0], "graph.pbtxt").completeness.state is State.INCOMPLETE


def test_a_version_before_the_nodes_shows_no_end() -> None:
    """A writer that puts it first still writes the nodes last, where a cut takes them."""
    assert look(sm.versions(2000) + sm.graph(*NODES[:3], end=b"")).completeness.state is State.INCOMPLETE


def test_a_graph_cut_between_two_nodes_is_incomplete() -> None:
    """Also where the nodes that are left make sense by themselves, and where inputs name what was cut off before them."""
    for count in range(1, len(NODES) + 1):
        assert look(FROZEN[: len(sm.graph(*NODES[:count], end=b""))]).completeness.state is State.INCOMPLETE


@pytest.mark.skipif(CORPUS is None, reason="MODELPORT_CORPUS names no folder of public models")
@pytest.mark.parametrize("name", FROZEN_GRAPHS)
def test_no_cut_between_two_nodes_of_a_public_graph_is_complete(name: str) -> None:
    whole = (Path(CORPUS or "") / name).read_bytes()
    window = Window(MemoryTree({name: whole}), name, len(whole))
    stops = [found.stop for found in hop(window, 0, len(whole)) if found.number == NODE]
    assert len(stops) > 2
    for stop in stops[:: max(1, len(stops) // MAX_CUTS)]:
        assert [each.completeness.state for each in looks(whole[:stop])] in ([], [State.INCOMPLETE], [State.CORRUPT])


def test_a_graph_cut_inside_a_node_is_corrupt() -> None:
    ends = {len(sm.graph(*NODES[:count], end=b"")) for count in range(len(NODES) + 1)}
    first = len(sm.field(1, NODES[0]))
    for stop in set(range(first, len(FROZEN))) - ends:
        with pytest.raises(MalformedModel):
            look(FROZEN[:stop])


def test_an_input_that_names_no_node_is_corrupt() -> None:
    extraction = look(sm.graph(*NODES, sm.node("z", "Add", "best", "gone:1")))
    assert extraction.completeness.state is State.CORRUPT
    assert extraction.completeness.problems == (Problem("frozen.pb", "an input names the node gone, which does not exist"),)


def test_many_missing_nodes_are_counted() -> None:
    wanted = sm.node("z", "AddN", *(f"gone{number:02}" for number in range(25)))
    problems = look(sm.graph(*NODES, wanted)).completeness.problems
    assert (len(problems), problems[-1].problem) == (21, "inputs name 5 more nodes that do not exist")


# Untrusted bytes


def many(count: int, op: str = "Relu", inputs: int = 0) -> bytes:
    """Return a graph of so many nodes, each with so many inputs that name no node."""
    return sm.graph(*[sm.node(f"n{n}", op, *[f"x{n}:{place}" for place in range(inputs)]) for n in range(count)])


def different_operators(count: int) -> bytes:
    return sm.graph(sm.node("n", "Relu"), *[sm.node(f"n{number}", f"Q{number}") for number in range(count)])


def many_axes(op: str, key: str, value: bytes) -> bytes:
    return sm.graph(sm.node("n", op, **{key: value}))


@pytest.mark.parametrize(
    ("graph", "limit"),
    [
        (lambda: many(250_001), "MAX_NODES"),
        (lambda: sm.graph(*[sm.node("n", "Relu")] * 64, end=b"") + b"\x0a\x00" * 250_000, "MAX_NODES"),
        (lambda: sm.graph(sm.node("n", "Relu"), functions=[sm.function("f", *[sm.node("n", "Relu")] * 250_000)]), "MAX_NODES"),
        (lambda: sm.graph(sm.node("n", "AddN", *["x"] * 1_000_001)), "MAX_INPUTS"),
        (lambda: different_operators(20_000), "MAX_NAMES"),
        (lambda: many_axes("Placeholder", "shape", sm.shape_attr([1] * 257)), "MAX_RANK"),
        (lambda: many_axes("Relu", "_output_shapes", sm.shapes_attr([1] * 257)), "MAX_RANK"),
    ],
    ids=["nodes", "empty nodes", "nodes of functions", "inputs", "operators", "fed axes", "given axes"],
)
def test_more_than_any_real_graph_has_is_a_limit(graph: Callable[[], bytes], limit: str) -> None:
    with pytest.raises(ModelLimit) as caught:
        look(graph())
    assert caught.value.limit == limit


def test_a_hundred_thousand_nodes_are_no_limit() -> None:
    extraction = look(many(100_000))
    assert (dict(extraction.facts.operators), extraction.completeness.state) == ({"Relu": 100_000}, State.COMPLETE)


def test_all_graphs_of_one_scan_share_a_limit() -> None:
    graph = many(200_000)
    contents = contents_of({f"{place}.pb": graph for place in range(3)})
    said = []
    for detector, detection in detect(contents, [DETECTOR]):
        try:
            said.append(detector.extract(contents, detection).completeness.state.value)
        except ModelLimit as exc:
            said.append(exc.limit)
    assert said == ["complete", "complete", "MAX_ALL_NODES"]


def test_a_quarter_of_a_million_missing_nodes_are_counted_in_seconds() -> None:
    begun = time.process_time()
    problems = look(many(250_000, inputs=2)).completeness.problems
    assert problems[-1].problem == "inputs name 249980 more nodes that do not exist"
    assert time.process_time() - begun < 20.0


def test_nodes_without_outputs_are_not_counted_beyond_the_limit() -> None:
    nodes = [sm.node(f"r{n}", "Relu") for n in range(1000)] + [
        sm.node("a", "Assert"),
        sm.node("n", "NoOp"),
        sm.node("s", "Relu"),
    ]
    assert look(sm.graph(*nodes)).facts.details["output_nodes_not_told"] == 1


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_bytes_give_facts_or_a_detector_error(data: st.DataObject) -> None:
    mutated = bytearray(data.draw(st.sampled_from([FROZEN, UNMARKED])))
    for _ in range(data.draw(st.integers(1, 3))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    contents = contents_of({"frozen.pb": bytes(mutated[: data.draw(st.integers(0, len(mutated)))])})
    for detector, detection in detect(contents, [DETECTOR]):
        with suppress(DetectorError):
            assert detector.extract(contents, detection).facts.operators


def test_the_cost_does_not_grow_with_the_constants() -> None:
    weights = [sm.const(f"c{number}", (4_000_000,), content=bytes(16_000_000)) for number in range(4)]
    tree = CountingTree(MemoryTree({"frozen.pb": sm.graph(*weights)}))
    contents = Contents(tree, tree.files())
    [(_, detection)] = detect(contents, [DETECTOR])
    assert DETECTOR.extract(contents, detection).facts.parameters.stored == 16_000_000
    assert tree.bytes < 300_000


def test_each_folder_is_asked_once_whether_a_run_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    children = Contents.children
    monkeypatch.setattr(Contents, "children", lambda self, folder: asked.append(folder) or children(self, folder))
    text = b'node { name: "a" op: "Const" }\n'
    assert len(found_in({f"{folder}/g{n}.pbtxt": text for folder in ("a", "b") for n in range(50)})) == 100
    assert sorted(asked) == ["a", "b"]
