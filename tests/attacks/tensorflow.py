"""SavedModels that do something to the outside, one per operator and position: what each tries stands in its name.

Every maker yields (name, files) pairs, so that other scanners can be asked about the same bytes. The operators are those of
`tf_effects.txt` that touch files, the network, Python or the process; their arguments name a file outside the model.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from detectors.safety.tensorflow import RULES
from detectors.safety.tf_effects import Effect, listed, operator
from tests.builders import saved_model as sm

Files = Mapping[str, bytes]

OUTSIDE = "/etc/passwd"

WHILE = sm.func_attr("inner")


@dataclass(frozen=True)
class Risk:
    """The nodes of one risky operation: *last* is the one that is to be run, *functions* are what it needs."""

    name: str
    nodes: tuple[bytes, ...]

    @property
    def last(self) -> str:
        return "risk"


def risky_operators() -> list[str]:
    """The operators of TensorFlow that do something to the outside."""
    quiet = (Effect.PURE, Effect.MEMORY, Effect.GRAPH)
    return [name.decode() for name in listed() if (known := operator(name)) is not None and known.effect not in quiet]


def risk_of(op: str, target: str = OUTSIDE) -> Risk:
    """The operator *op* with *target* wherever it takes a place."""
    known = operator(op.encode())
    places = known.inputs if known is not None else ()
    inputs = ["target" if place in places else "other" for place in range(max(places, default=-1) + 1)]
    named = known.attributes if known is not None else ()
    attributes = {name.decode(): sm.text_attr(_url(name, target), as_list=name.startswith(b"debug")) for name in named}
    nodes = [sm.const_text("target", target), sm.const("other"), sm.node("risk", op, *inputs, **attributes)]
    if known is not None and known.of_queue:
        nodes += [sm.node("queue", "FIFOQueueV2"), sm.node("fill", "QueueEnqueueV2", "queue", "target")]
    return Risk(op, tuple(nodes))


def _url(attribute: bytes, target: str) -> str:
    return f"file://{target}" if attribute.startswith((b"debug", b"output_stream")) else target


X = sm.placeholder("x")
RESULT = sm.signature({"x": sm.tensor_info("x:0")}, {"y": sm.tensor_info("y:0")})
PLAIN = sm.node("y", "Identity", "x")


def in_main_graph(risk: Risk) -> bytes:
    graph = sm.graph(X, *risk.nodes, sm.node("y", "Identity", "x", f"^{risk.last}"))
    return sm.saved_model(sm.meta_graph(graph, signatures={"serving_default": RESULT}))


def in_function(risk: Risk) -> bytes:
    graph = sm.graph(X, sm.node("y", "PartitionedCall", "x", f=sm.func_attr("outer")), functions=[_body("outer", *risk.nodes)])
    return sm.saved_model(sm.meta_graph(graph, signatures={"serving_default": RESULT}))


def in_nested_function(risk: Risk) -> bytes:
    loop = sm.node("loop", "While", "a", cond=sm.func_attr("condition"), body=sm.func_attr("inner"))
    functions = [_body("condition"), _body("inner", *risk.nodes), _body("outer", loop)]
    graph = sm.graph(X, sm.node("y", "StatefulPartitionedCall", "x", f=sm.func_attr("outer")), functions=functions)
    return sm.saved_model(sm.meta_graph(graph, signatures={"serving_default": RESULT}))


def in_second_meta_graph(risk: Risk) -> bytes:
    second = sm.graph(X, *risk.nodes, sm.node("y", "Identity", "x", f"^{risk.last}"))
    return sm.saved_model(
        sm.meta_graph(sm.graph(X, PLAIN), signatures={"serving_default": RESULT}),
        sm.meta_graph(second, tags=["train"], signatures={"train": RESULT}),
    )


def in_init_op(risk: Risk) -> bytes:
    graph = sm.graph(X, PLAIN, *risk.nodes, sm.node("start", "NoOp", f"^{risk.last}"))
    init = sm.signature({}, {"__saved_model_init_op": sm.tensor_info("start")})
    return sm.saved_model(sm.meta_graph(graph, signatures={"serving_default": RESULT, "__saved_model_init_op": init}))


def in_constant(risk: Risk) -> bytes:
    inner = sm.graph(*risk.nodes, sm.node("end", "_Retval", risk.last))
    dataset = sm.node("dataset", "DatasetFromGraph", "packed")
    graph = sm.graph(X, sm.const_text("packed", inner), dataset, sm.node("y", "Identity", "x", "^dataset"))
    return sm.saved_model(sm.meta_graph(graph, signatures={"serving_default": RESULT}))


def in_saver(risk: Risk) -> bytes:
    """Where only saving leads: nobody who loads or serves the model runs it."""
    saver = [sm.node("save/Const", "Placeholder"), sm.node("save/done", "Identity", "save/Const", f"^{risk.last}")]
    graph = sm.graph(X, PLAIN, *risk.nodes, *saver)
    more = sm.saver("save/Const:0", "save/done:0", "")
    return sm.saved_model(sm.meta_graph(graph, signatures={"serving_default": RESULT}, more=more))


def _body(name: str, *nodes: bytes) -> bytes:
    return sm.function(name, *nodes, arguments=["a"], gives={"b": "a"})


POSITIONS: Mapping[str, tuple[Callable[[Risk], bytes], str]] = {
    "main graph": (in_main_graph, "signature serving_default → node risk"),
    "function": (in_function, "signature serving_default → function outer → node risk"),
    "nested function": (in_nested_function, "signature serving_default → function outer → function inner → node risk"),
    "second meta graph": (in_second_meta_graph, "meta graph 2 {train} → signature train → node risk"),
    "init op": (in_init_op, "init op → node risk"),
    "graph in a constant": (in_constant, "signature serving_default → graph in constant packed → node risk"),
}
"""Where a risky operator may stand: who writes the model, and the place that a finding has to tell."""


def risky_models() -> Iterator[tuple[str, Files]]:
    """Every risky operator at every position; loading or calling the model runs it."""
    for op in risky_operators():
        for position, (make, _) in POSITIONS.items():
            yield f"{op} in {position}", {"saved_model.pb": make(risk_of(op))}


def told_of_risky(name: str) -> tuple[str, str]:
    """Return the rule and the place of the finding that the risky model *name* must give."""
    op, _, position = name.partition(" in ")
    known = operator(op.encode())
    assert known is not None
    to_file = op.startswith(("Debug", "Copy"))  # the attack sends what they see to a file
    return RULES[Effect.WRITE if to_file else known.effect], POSITIONS[position][1]


TOLD_OF_UNKNOWN = "tf-custom-operator", "signature serving_default → node risk"

TOLD_OF_ASSET = "tf-file-read", "init op → node fill"


def harmless_models() -> Iterator[tuple[str, Files]]:
    """The same operators where only saving runs them."""
    for op in risky_operators():
        yield f"{op} in saver", {"saved_model.pb": in_saver(risk_of(op))}


def unknown_models(count: int = 1000, seed: int = 1) -> Iterator[tuple[str, Files]]:
    """Operators that no TensorFlow has, each in a model of its own."""
    for name in unknown_names(count, seed):
        yield f"unknown {name}", {"saved_model.pb": in_main_graph(Risk(name, (sm.node("risk", name),)))}


def unknown_names(count: int, seed: int) -> list[str]:
    """Names that operators may have, and that none has."""
    chance = random.Random(seed)
    signs = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_>"
    names = {"".join(["Q", *chance.choices(signs, k=chance.randint(2, 40))]) for _ in range(count * 2)}
    return sorted(name for name in names if name.encode() not in listed())[:count]


ASSETS = {
    "up": b"../../etc/passwd",
    "up inside": b"words/../../secret.txt",
    "absolute": b"/etc/passwd",
    "windows": b"C:\\secret.txt",
    "backslashes": b"..\\secret.txt",
    "nul": b"words.txt\0/../../etc/passwd",
    "url": b"gs://bucket/secret.txt",
    "http": b"https://example.com/secret.txt",
}


def asset_models() -> Iterator[tuple[str, Files]]:
    """Assets that lead out of the model, which TensorFlow opens while it loads a table from them."""
    for name, filename in ASSETS.items():
        yield f"asset {name}", {"saved_model.pb": with_asset(filename), "assets/words.txt": b"a\n"}


def with_asset(filename: bytes) -> bytes:
    """A model whose init op fills a table from the asset *filename*."""
    table = [sm.node("table", "HashTableV2"), sm.const_text("asset", "words.txt")]
    fill = sm.node("fill", "InitializeTableFromTextFileV2", "table", "asset")
    graph = sm.graph(X, PLAIN, *table, fill, sm.node("start", "NoOp", "^fill"))
    init = sm.signature({}, {"__saved_model_init_op": sm.tensor_info("start")})
    signatures = {"serving_default": RESULT, "__saved_model_init_op": init}
    return sm.saved_model(sm.meta_graph(graph, signatures=signatures, more=sm.asset(filename)))


def _writes(*nodes: bytes, functions: tuple[bytes, ...] = (), more: bytes = b"", end: str = "risk") -> bytes:
    """A model whose signature runs the node *end*; *more* are fields of its meta graph."""
    graph = sm.graph(X, *nodes, sm.node("y", "Identity", "x", *([f"^{end}"] if end else [])), functions=functions)
    return sm.saved_model(sm.meta_graph(graph, signatures={"serving_default": RESULT}, more=more))


TARGET, OTHER = sm.const_text("target", OUTSIDE), sm.const_text("other", "x")
WRITES = (TARGET, OTHER, sm.node("risk", "WriteFile", "target", "other"))


def _beside_a_nameless_function() -> bytes:
    return _writes(*WRITES, functions=(sm.function("", sm.node("k", "NoOp")),))


def _attribute_twice() -> bytes:
    value = [sm.entry(5, "value", sm.field(8, _text(each))) for each in ("inside", OUTSIDE)]
    twice = sm.field(1, "target") + sm.field(2, "Const") + b"".join(value)
    return _writes(twice, *WRITES[1:])


def _text(*values: str) -> bytes:
    """A TensorProto of a scalar that holds more texts than it has room for; TensorFlow takes the first."""
    return b"\x08\x07" + sm.field(2, b"") + b"".join(sm.field(8, each) for each in values)


def _long_text_beside_a_short_one() -> bytes:
    target = sm.node("target", "Const", value=sm.field(8, _text("/" + "./" * 900 + "etc/passwd", "a")))
    return _writes(sm.const("weights", content=bytes(2 << 20)), target, *WRITES[1:])


def _second_graph_of_a_constant() -> bytes:
    graphs = sm.graph(sm.node("end", "NoOp")), sm.graph(*WRITES)
    dataset = [sm.node("one", "Unpack", "packed"), sm.node("risk", "DatasetFromGraph", "one:1")]
    return _writes(sm.const_text("packed", *graphs), *dataset)


def _tables_of_an_older_model() -> bytes:
    return _writes(*WRITES, more=sm.collection_of_nodes("table_initializer", "risk"), end="")


def _local_variables_of_an_older_model() -> bytes:
    variable = sm.field(1, "v:0") + sm.field(2, "risk")
    return _writes(*WRITES, more=sm.collection("local_variables", variable), end="")


def _long_local_variable() -> bytes:
    """A VariableDef that is too long to be kept from a large file, so that nothing says what initializes it."""
    variable = sm.field(1, "v:0") + sm.field(2, "risk") + sm.field(3, "s" * 70_000)
    weights = sm.const("weights", content=bytes(2 << 20))
    return _writes(weights, *WRITES, more=sm.collection("local_variables", variable), end="")


def _long_name_of_an_init_op() -> bytes:
    name = "n" * 70_000
    nodes = [sm.node(name, "NoOp", "^risk"), sm.const("weights", content=bytes(2 << 20))]
    return _writes(*WRITES, *nodes, more=sm.collection_of_nodes("saved_model_main_op", name), end="")


def _output_with_zeros() -> bytes:
    nodes = [sm.node("risk", "ReadFile", "target"), sm.node("read", "Identity", "risk:00")]
    return _writes(TARGET, *nodes, *(sm.node(f"n{at}", "NoOp") for at in range(2100)), end="read")


def _setup_by_another_name() -> bytes:
    objects = sm.object_graph(sm.child("a", 2) + sm.child("r", 1), sm.child("_initialize", 2), sm.saved_function("start"))
    return _writes(functions=(sm.function("start", *WRITES),), more=sm.field(7, objects), end="")


def _name_of_an_asset_in_a_signature() -> bytes:
    return _writes(TARGET, sm.node("risk", "ReadFile", "target"), more=sm.asset("words.txt", "target:0"))


TEXT_MAKERS = (
    "DecodeBase64", "StringStrip", "RegexReplace", "StaticRegexReplace", "DecodeCompressed", "UnicodeEncode", "AsString",
    "StringLower", "Substr", "StringFormat", "ReduceJoin", "DecodeRaw", "Bitcast", "LookupTableFindV2", "ReadVariableOp",
    "RandomUniform", "ReadFile",
)  # fmt: skip
"""Operators that give another text than they are given."""


def _call_of_the_model_itself() -> bytes:
    objects = sm.object_graph(sm.child("__call__", 1), sm.saved_function("call"))
    return _writes(functions=(sm.function("call", *WRITES),), more=sm.field(7, objects), end="")


def _computed_name_in_a_signature() -> bytes:
    code = sm.const_text("code", "L2V0Yy9jcm9uLmQvcHdu")
    return _writes(code, sm.node("target", "DecodeBase64", "code"), *WRITES[1:])


def _computed_name_while_loading() -> bytes:
    nodes = [sm.const_text("code", "L2V0Yy9wYXNzd2Q"), sm.node("target", "DecodeBase64", "code"), *WRITES[1:]]
    return _writes(*nodes, more=sm.collection_of_nodes("saved_model_main_op", "risk"), end="")


EVASIONS: Mapping[str, Callable[[], bytes]] = {
    "a set-up function by another name": _setup_by_another_name,
    "the name of an asset in a signature": _name_of_an_asset_in_a_signature,
    "a call of the model itself": _call_of_the_model_itself,
    "a computed name in a signature": _computed_name_in_a_signature,
    "a computed name while loading": _computed_name_while_loading,
    "beside a function without a name": _beside_a_nameless_function,
    "an attribute twice": _attribute_twice,
    "a long text beside a short one": _long_text_beside_a_short_one,
    "the second graph of a constant": _second_graph_of_a_constant,
    "tables of an older model": _tables_of_an_older_model,
    "local variables of an older model": _local_variables_of_an_older_model,
    "an output with zeros before its number": _output_with_zeros,
}
"""Models that read or write outside of the model when they are loaded or called, written so that a reader that reads otherwise
than TensorFlow sees nothing."""

NOT_KEPT: Mapping[str, Callable[[], bytes]] = {
    "a local variable": _long_local_variable,
    "the name of an init op": _long_name_of_an_init_op,
}
"""Models that write outside when they are loaded, by what is too long to be kept from a large file."""


def evasive_models() -> Iterator[tuple[str, Files]]:
    """All of them."""
    for name, make in EVASIONS.items():
        yield f"evasion {name}", {"saved_model.pb": make()}
