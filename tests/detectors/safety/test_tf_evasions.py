"""Ways in which a graph says one thing to a reader and another to TensorFlow, each tried with the real one."""

from __future__ import annotations

import time

import pytest

from detectors.scan import Scan, Verdict, scan
from detectors.tree import MemoryTree
from tests.attacks import tensorflow as attacks
from tests.builders import saved_model as sm
from tests.builders.bundle import STRING, whole_number

INIT = {
    "serving_default": attacks.RESULT,
    "__saved_model_init_op": sm.signature({}, {"__saved_model_init_op": sm.tensor_info("risk")}),
}
PATH, DATA = sm.const_text("path", attacks.OUTSIDE), sm.const_text("data", "x")
WRITE = sm.node("risk", "WriteFile", "path", "data")
BEHIND = sm.node("y", "Identity", "x", "^risk")
BIG = sm.const("weights", content=bytes(2 << 20))


def look(data: bytes) -> Scan:
    return scan(MemoryTree({"saved_model.pb": data}))


def worst(found: Scan) -> str:
    """The rule and the severity of the worst finding."""
    one = min(found.findings, key=lambda one: list(type(one.severity)).index(one.severity))
    return f"{one.severity.value} {one.rule}"


def loaded(*nodes: bytes) -> bytes:
    """A model whose init op runs the node `risk`."""
    return sm.saved_model(sm.meta_graph(sm.graph(attacks.X, *nodes, attacks.PLAIN), signatures=INIT))


def text_node(name: str, *values: bytes, once: bool = True) -> bytes:
    """A Const that has one attribute `value` for each of *values*, or, *once*, all of them as strings of one scalar."""
    groups = [values] if once else [(value,) for value in values]
    bodies = [
        whole_number(1, STRING) + sm.field(2, sm.shape([])) + b"".join(sm.field(8, each) for each in group) for group in groups
    ]
    held = b"".join(sm.entry(5, "value", sm.field(8, body)) for body in bodies)
    return sm.field(1, name) + sm.field(2, "Const") + held


@pytest.mark.parametrize(("name", "files"), list(attacks.evasive_models()))
def test_no_way_of_writing_it_hides_what_runs(name: str, files: attacks.Files) -> None:
    found = scan(MemoryTree(files))
    assert found.verdict is Verdict.FINDINGS
    assert worst(found) in {"critical tf-file-write", "high tf-file-write", "high tf-file-read"}, name


@pytest.mark.parametrize("what", attacks.NOT_KEPT)
def test_what_is_too_long_to_be_kept_is_told_as_not_looked_at(what: str) -> None:
    found = look(attacks.NOT_KEPT[what]())
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "limit MAX_LEAF_BYTES" in found.coverage.inconclusive[0].reason


def test_long_texts_that_lead_nowhere_are_nothing_to_tell() -> None:
    """Loops of an older model keep their state in collections, and Keras its layers in objects."""
    more = sm.collection("while_context", b"c" * 70_000) + sm.collection("local_variables", sm.field(2, "init"))
    graph = sm.graph(attacks.X, attacks.PLAIN, sm.node("init", "NoOp"), BIG)
    small = sm.saved_model(sm.meta_graph(graph, signatures={"s": attacks.RESULT}, more=sm.collection("w", b"c" * 70_000)))
    assert look(small).verdict is Verdict.CLEAN
    both = sm.saved_model(sm.meta_graph(graph, signatures={"s": attacks.RESULT}, more=more))
    assert look(both).verdict is Verdict.INCONCLUSIVE  # which of them was long is not known any more


def test_a_function_without_a_name_is_told_as_not_looked_at() -> None:
    functions = [sm.function("", PATH, DATA, WRITE)]
    found = look(
        sm.saved_model(sm.meta_graph(sm.graph(attacks.X, attacks.PLAIN, functions=functions), signatures={"s": attacks.RESULT}))
    )
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "functions without a name" in found.coverage.inconclusive[0].reason


@pytest.mark.parametrize("others", [[], [BIG]], ids=["small", "large"])
def test_of_equal_attributes_the_last_counts(others: list[bytes]) -> None:
    said = {
        values: worst(look(loaded(*others, text_node("path", *values, once=False), DATA, WRITE)))
        for values in [(b"inside", b"/etc/x"), (b"inside", b"/" + b"./" * 900 + b"etc/x")]
    }
    assert set(said.values()) == {"critical tf-file-write"}


def test_a_long_value_counts_beside_a_short_one() -> None:
    long = b"/" + b"./" * 900 + b"etc/x"
    assert worst(look(loaded(BIG, text_node("path", long, b"a"), DATA, WRITE))) == "critical tf-file-write"


def test_a_node_of_a_nameless_function_does_not_stand_for_one_of_the_graph() -> None:
    long = b"/" + b"./" * 900 + b"etc/x"
    functions = [sm.function("", sm.const_text("path", "a" * 3000))]
    graph = sm.graph(attacks.X, BIG, sm.const_text("path", long), DATA, WRITE, attacks.PLAIN, functions=functions)
    assert worst(look(sm.saved_model(sm.meta_graph(graph, signatures=INIT)))) == "critical tf-file-write"


# What is named while it runs


COMPUTED = [sm.const_text("code", "L2V0Yy94"), sm.node("path", "DecodeBase64", "code"), DATA]


def test_a_computed_or_relative_path_that_is_written_while_loading_is_high() -> None:
    assert worst(look(loaded(*COMPUTED, WRITE))) == "high tf-file-write"
    assert worst(look(loaded(sm.const_text("path", "inside"), DATA, WRITE))) == "high tf-file-write"


def test_a_computed_path_that_is_read_while_loading_is_told_as_not_looked_at() -> None:
    found = look(loaded(*COMPUTED, sm.node("risk", "ReadFile", "path")))
    assert worst(found) == "medium tf-file-read"
    assert found.verdict is Verdict.INCONCLUSIVE


def served(*nodes: bytes) -> Scan:
    graph = sm.graph(attacks.X, DATA, *nodes, BEHIND)
    return look(sm.saved_model(sm.meta_graph(graph, signatures={"serving_default": attacks.RESULT})))


@pytest.mark.parametrize("op", attacks.TEXT_MAKERS)
def test_a_name_that_the_model_alone_makes_up_and_a_signature_writes_is_high(op: str) -> None:
    assert worst(served(sm.const_text("code", "x"), sm.node("path", op, "code"), WRITE)) == "high tf-file-write"


def test_a_name_that_the_model_alone_makes_up_and_a_signature_connects_to_is_high() -> None:
    connect = sm.node("risk", "DataServiceDatasetV2", "code", "code", "path")
    assert worst(served(*COMPUTED[:2], connect)) == "high tf-network"


def test_a_name_that_the_model_alone_makes_up_and_a_signature_reads_is_told_as_not_looked_at() -> None:
    found = served(*COMPUTED[:2], sm.node("risk", "ReadFile", "path"))
    assert worst(found) == "medium tf-file-read"
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "what ReadFile reads, for its name is made up" in found.coverage.inconclusive[0].reason


def test_a_name_that_a_caller_has_but_a_part_in_is_told_as_not_looked_at() -> None:
    """Nothing of the input is left in the text, so the name is the model's; who only reads the graph cannot tell."""
    made = [*COMPUTED[:2], sm.node("nothing", "Substr", "x", "code", "code")]
    joined = sm.node("both", "StringJoin", "path", "nothing")
    chosen = sm.node("both", "Select", "code", "path", "x")
    for both in (joined, chosen):
        found = served(*made, both, sm.node("risk", "WriteFile", "both", "data"))
        assert worst(found) == "medium tf-file-write"
        assert found.verdict is Verdict.INCONCLUSIVE
    found = served(sm.node("risk", "WriteFile", "x", "data"))
    assert (worst(found), found.verdict) == ("medium tf-file-write", Verdict.CLEAN)


def test_more_operators_than_are_followed_are_no_proof_that_no_caller_has_a_part() -> None:
    chain = [sm.node(f"i{at}", "Identity", f"i{at - 1}" if at else "x") for at in range(2100)]
    found = served(*chain, sm.node("risk", "WriteFile", "i2099", "data"))
    assert worst(found) == "medium tf-file-write"
    assert found.verdict is Verdict.INCONCLUSIVE


def test_what_a_saver_puts_its_names_together_of_is_nothing_made_up() -> None:
    """The graph of a training as TensorFlow 1 writes it, in a file of its own, sharded; and the same of what is made up."""
    parts = [
        sm.const_text("name", "model"),
        sm.node("given", "PlaceholderWithDefault", "name"),
        sm.const_text("part", "_temp/part"),
        sm.const("at"),
    ]
    for source in ("name", "given"):
        joined = sm.node("joined", "StringJoin", source, "part")
        shard = sm.node("shard", "ShardedFilename", "joined", "at", "at")
        graph = sm.graph(attacks.X, *parts, joined, shard, sm.node("save", "SaveV2", "shard", "part", "part", "x"))
        found = scan(MemoryTree({"graph.pb": graph}))
        assert (worst(found), found.verdict) == ("medium tf-file-write", Verdict.CLEAN)
    made = [*COMPUTED[:2], sm.node("save", "SaveV2", "path", "data", "data", "x")]
    assert worst(scan(MemoryTree({"graph.pb": sm.graph(attacks.X, DATA, *made)}))) == "high tf-file-write"


# What runs


def test_a_function_that_sets_up_a_resource_is_that_by_whatever_other_name_it_goes() -> None:
    functions = [sm.function("start", PATH, DATA, WRITE)]
    children = sm.child("a", 2) + sm.child("r", 1)
    objects = sm.object_graph(children, sm.child("_initialize", 2), sm.saved_function("start"))
    graph = sm.graph(attacks.X, attacks.PLAIN, functions=functions)
    found = look(sm.saved_model(sm.meta_graph(graph, signatures={"s": attacks.RESULT}, objects=objects)))
    assert worst(found) == "critical tf-file-write"


def with_objects(*objects: bytes) -> Scan:
    """A model with a harmless signature whose function `f`, of some object, writes outside."""
    graph = sm.graph(attacks.X, attacks.PLAIN, functions=[sm.function("f", PATH, DATA, WRITE)])
    return look(sm.saved_model(sm.meta_graph(graph, signatures={"s": attacks.RESULT}, objects=sm.object_graph(*objects))))


FUNCTION = sm.saved_function("f")
OUTSIDE_SIGNATURES = "whether anybody runs WriteFile, which no signature leads to"


@pytest.mark.parametrize(
    "objects",
    [
        [sm.child("__call__", 1), FUNCTION],
        [sm.child("a", 1) + sm.child("__call__", 1), FUNCTION],
        [sm.child("signatures", 1), sm.child("serving_default", 2), FUNCTION],
        [FUNCTION],
    ],
    ids=["call", "call by another name", "signature", "root"],
)
def test_what_runs_where_the_model_itself_is_called_is_as_in_a_signature(objects: list[bytes]) -> None:
    found = with_objects(*objects)
    assert worst(found) == "high tf-file-write"
    assert found.verdict is Verdict.FINDINGS


@pytest.mark.parametrize("name", ["run", "call_and_return_conditional_losses", "_call"])
def test_what_writes_outside_in_any_other_function_is_told_as_not_looked_at(name: str) -> None:
    found = with_objects(sm.child(name, 1), FUNCTION)
    assert (worst(found), found.verdict) == ("medium tf-file-write", Verdict.INCONCLUSIVE)
    [note] = found.coverage.inconclusive
    assert OUTSIDE_SIGNATURES in note.reason


def test_children_that_are_no_objects_are_passed_over() -> None:
    found = with_objects(
        sm.child("signatures", 7) + sm.child("__call__", 9) + sm.child("signatures", 0) + sm.child("a", 1), FUNCTION
    )
    assert found.findings


@pytest.mark.parametrize("op", ["Abort", "PyFunc", "SaveV2", "ReadFile", "RpcClient"])
def test_what_would_be_high_is_told_as_not_looked_at_where_no_signature_leads(op: str) -> None:
    nodes = attacks.risk_of(op).nodes
    found = look(sm.saved_model(sm.meta_graph(sm.graph(attacks.X, attacks.PLAIN, *nodes))))
    assert worst(found).startswith("medium")
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_saver_under_a_name_that_is_made_up_is_told_where_no_signature_leads() -> None:
    found = look(sm.saved_model(sm.meta_graph(sm.graph(*COMPUTED, sm.node("save", "SaveV2", "path", "data", "data")))))
    assert (worst(found), found.verdict) == ("medium tf-file-write", Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(
    "consumer",
    [
        [sm.node("end", "Const", "^risk")],
        [sm.node("one", "Identity", "two", "^risk"), sm.node("two", "Identity", "one")],
    ],
    ids=["constant", "ring"],
)
def test_every_node_of_a_graph_without_signatures_counts(consumer: list[bytes]) -> None:
    graph = sm.graph(attacks.X, PATH, DATA, WRITE, *consumer, attacks.PLAIN)
    assert worst(scan(MemoryTree({"graph.pb": graph}))) == "high tf-file-write"
    found = look(sm.saved_model(sm.meta_graph(graph)))
    assert OUTSIDE_SIGNATURES in found.coverage.inconclusive[0].reason
    [finding] = found.findings
    assert (finding.severity.value, finding.rule, finding.place) == ("medium", "tf-file-write", "no signature → node risk")


def test_a_saver_of_a_graph_without_signatures_is_nothing_to_tell() -> None:
    nodes = [sm.node("save/Const", "Placeholder"), sm.node("save/save", "SaveV2", "save/Const", "x", "x", "x")]
    assert not look(sm.saved_model(sm.meta_graph(sm.graph(attacks.X, *nodes)))).findings


def test_an_attribute_that_stands_twice_is_told() -> None:
    found = look(loaded(text_node("path", b"a", b"b", once=False), DATA, WRITE))
    assert [(one.severity.value, one.place) for one in found.findings if one.rule == "tf-duplicate-field"] == [
        ("medium", "node path")
    ]


# What loaders feed


READ = sm.node("risk", "ReadFile", "path")


def reading_asset(signatures: dict[str, bytes]) -> Scan:
    graph = sm.graph(attacks.X, PATH, READ, BEHIND)
    return look(sm.saved_model(sm.meta_graph(graph, signatures=signatures, more=sm.asset("words.txt", "path:0"))))


def test_the_constant_of_an_asset_counts_itself_where_a_signature_runs_it() -> None:
    assert worst(reading_asset({"serving_default": attacks.RESULT})) == "high tf-file-read"


def test_the_same_where_loading_runs_it_as_well() -> None:
    assert worst(reading_asset(INIT)) == "high tf-file-read"
    init_alone = {"__saved_model_init_op": INIT["__saved_model_init_op"]}
    assert worst(reading_asset(init_alone)) == "info tf-file-read"


# What costs much


def timed(data: bytes) -> tuple[float, Scan]:
    start = time.perf_counter()
    found = look(data)
    return time.perf_counter() - start, found


def called_by_all(count: int, *nodes: bytes, read: str) -> bytes:
    reads = [sm.node(f"r{at}", "ReadFile", read.format(at)) for at in range(count)]
    end = sm.node("y", "Identity", "x", *(f"^r{at}" for at in range(count)))
    return sm.saved_model(sm.meta_graph(sm.graph(attacks.X, *nodes, *reads, end), signatures={"s": attacks.RESULT}))


def test_inputs_that_one_step_spreads_into_are_counted() -> None:
    nodes = [sm.const_text("a", "b"), sm.node("p", "Pack", *["a"] * 100_000)]
    spent, found = timed(called_by_all(500, *nodes, read="p"))
    assert spent < 2
    assert found.verdict is Verdict.INCONCLUSIVE


def test_the_texts_of_a_constant_are_counted_and_judged_once() -> None:
    many = sm.const_text("a", *["b"] * 9000)
    spent, found = timed(called_by_all(5000, many, read="a"))
    assert spent < 2
    assert found.verdict is Verdict.CLEAN
    apart = [sm.node(f"i{at}", "Identity", "a") for at in range(2000)]
    spent, found = timed(called_by_all(2000, many, *apart, read="i{}"))
    assert spent < 2
    assert found.verdict is Verdict.INCONCLUSIVE
