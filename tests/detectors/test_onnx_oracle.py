"""What we read from ONNX files against what the onnx library reads: real models, generated ones, and damaged ones."""

from __future__ import annotations

import os
import random
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from detectors.detection import Contents
from detectors.errors import MalformedModel, ModelError, ModelLimit
from detectors.facts import Extraction, State
from detectors.onnx import DETECTOR, LAYOUT
from detectors.onnx_inventory import take_inventory
from detectors.onnx_operators import OWN_DOMAINS
from detectors.protos import onnx_pb2
from detectors.tree import MemoryTree
from detectors.wire import Window, hop, parse, skeleton

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    onnx = pytest.importorskip("onnx")
    import numpy
    from onnx import TensorProto, checker, helper, numpy_helper

pytestmark = pytest.mark.oracle

DTYPES = {
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "FLOAT4E2M1": "float4_e2m1fn",
    "FLOAT8E4M3FN": "float8_e4m3fn",
    "FLOAT8E4M3FNUZ": "float8_e4m3fnuz",
    "FLOAT8E5M2": "float8_e5m2",
    "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
    "FLOAT8E8M0": "float8_e8m0fnu",
    "FLOAT6E2M3": "float6_e2m3fn",
    "FLOAT6E3M2": "float6_e3m2fn",
}
"""Names that are not simply in lower case."""


def dtype(number: int) -> str:
    name = TensorProto.DataType.Name(number)
    return DTYPES.get(name, name.lower())


class Oracle:
    """The same facts, taken from onnx's own messages by other code."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.operators: Counter[str] = Counter()
        self.weights: list[Any] = []
        self._graph(model.graph)
        for function in model.functions:
            self._nodes(function.node)

    def _graph(self, graph: Any) -> None:
        self.weights += [*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)]
        self._nodes(graph.node)

    def _nodes(self, nodes: Any) -> None:
        for node in nodes:
            default = node.domain in ("", "ai.onnx")
            self.operators[node.op_type if default else f"{node.domain}::{node.op_type}"] += 1
            for attribute in node.attribute:
                for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                    self._graph(graph)

    @property
    def inputs(self) -> list[tuple[str, Any]]:
        graph = self.model.graph
        given = {tensor.name for tensor in graph.initializer} | {sparse.values.name for sparse in graph.sparse_initializer}
        return [self._spec(value) for value in graph.input if value.name not in given]

    @property
    def outputs(self) -> list[tuple[str, Any]]:
        return [self._spec(value) for value in self.model.graph.output]

    def _spec(self, value: Any) -> tuple[str, Any]:
        if not value.type.HasField("tensor_type"):
            return value.name, value.type.WhichOneof("value")
        tensor = value.type.tensor_type
        dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim]
        shape = tuple(None if isinstance(dim, int) and dim < 0 else dim for dim in dims)
        return value.name, (dtype(tensor.elem_type), shape if tensor.HasField("shape") else None)


KINDS = {
    "seq": "sequence_type",
    "map": "map_type",
    "optional": "optional_type",
    "sparse_tensor": "sparse_tensor_type",
    "": None,
}


def specs(found: Any) -> list[tuple[str, Any]]:
    """Return our inputs or outputs in the oracle's form."""
    return [(spec.name, KINDS.get(spec.dtype.partition("(")[0], (spec.dtype, spec.shape))) for spec in found]


def extract(files: dict[str, bytes], main: str) -> Extraction:
    tree = MemoryTree(files)
    contents = Contents(tree, tree.files())
    (detection,) = [found for found in DETECTOR.match(contents) if found.main == main]
    return DETECTOR.extract(contents, detection)


def assert_agrees(extraction: Extraction, model: Any) -> None:
    facts, oracle = extraction.facts, Oracle(model)
    (signature,) = facts.signatures
    assert signature.name == model.graph.name
    assert specs(signature.inputs) == oracle.inputs
    assert specs(signature.outputs) == oracle.outputs
    assert facts.opset_imports == {opset.domain or "ai.onnx": opset.version for opset in model.opset_import}
    assert facts.operators == oracle.operators
    assert facts.dtypes == Counter(dtype(tensor.data_type) for tensor in oracle.weights)
    assert facts.parameters.stored == sum(int(numpy.prod(tensor.dims, dtype=object)) for tensor in oracle.weights)
    assert facts.producer == (f"{model.producer_name} {model.producer_version}".strip() or None)
    assert facts.details["metadata_props"] == {entry.key: entry.value for entry in model.metadata_props}


def corpus_files() -> Iterator[Path]:
    corpus = os.environ.get("MODELPORT_CORPUS")
    if corpus:
        yield from sorted(path for path in Path(corpus).rglob("*") if path.suffix in (".onnx", ".pb") and path.is_file())


NEEDS_CORPUS = pytest.mark.skipif(
    "MODELPORT_CORPUS" not in os.environ, reason="MODELPORT_CORPUS names no corpus of real models"
)


@NEEDS_CORPUS
def test_real_models_are_read_as_onnx_reads_them() -> None:
    """Every .onnx file, and every .pb file that onnx reads as a model with nodes."""
    seen = 0
    for path in corpus_files():
        files = {
            file.relative_to(path.parent).as_posix(): file.read_bytes() for file in path.parent.iterdir() if file.is_file()
        }
        if path.suffix == ".pb" and not is_model(files[path.name]):
            continue
        extraction = extract(files, path.name)
        assert_agrees(extraction, onnx.load(path, load_external_data=False))
        assert extraction.completeness.state is State.COMPLETE, (path, extraction.completeness)
        seen += 1
    assert seen >= 300


@NEEDS_CORPUS
def test_only_models_are_found_among_real_protobuf_files() -> None:
    files = {path.as_posix(): path.read_bytes() for path in corpus_files() if path.suffix == ".pb"}
    tree = MemoryTree(files)
    found = {detection.main for detection in DETECTOR.match(Contents(tree, tree.files()))}
    assert found == {path for path, data in files.items() if is_model(data)}


def is_model(data: bytes) -> bool:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return False
    return 1 <= model.ir_version <= 64 and any(node.op_type for node in model.graph.node)


def small_model(*, initializers: Any = (), nodes: Any = None, sparse: Any = (), functions: Any = (), inputs: Any = None) -> Any:
    """Return a model that onnx's checker takes."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "xy")
    nodes = [helper.make_node("Relu", ["x"], ["y"])] if nodes is None else nodes
    graph = helper.make_graph(nodes, "g", [x, *(inputs or [])], [y], list(initializers), sparse_initializer=list(sparse))
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10, producer_name="pytorch")


def loop_and_if() -> Any:
    weight = numpy_helper.from_array(numpy.ones((2, 3), numpy.float32), "inner")
    branch = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["b"])], "branch", [], [helper.make_tensor_value_info("b", 1, None)], [weight]
    )
    choose = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(numpy.array(True)))
    return small_model(nodes=[constant, choose])


def with_function() -> Any:
    body = [helper.make_node("Mul", ["a", "a"], ["b"]), helper.make_node("Tanh", ["b"], ["c"])]
    function = helper.make_function("own", "Squash", ["a"], ["c"], body, [helper.make_opsetid("", 21)])
    return small_model(nodes=[helper.make_node("Squash", ["x"], ["y"], domain="own")], functions=[function])


def with_sparse() -> Any:
    values = helper.make_tensor("s", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [3], [0, 4, 8])
    return small_model(sparse=[helper.make_sparse_tensor(values, indices, [10])])


def with_every_element_type() -> Any:
    made = []
    for name, number in TensorProto.DataType.items():
        if name not in ("UNDEFINED", "FLOAT6E2M3", "FLOAT6E3M2"):
            values = ["a", "b", "c"] if name == "STRING" else [1, 0, 1]
            made.append(helper.make_tensor(name, number, [3], values))
    return small_model(initializers=made)


def with_raw_data_of_every_element_type() -> Any:
    made = []
    for name, number in TensorProto.DataType.items():
        if name not in ("UNDEFINED", "STRING", "FLOAT6E2M3", "FLOAT6E3M2"):
            array = numpy.zeros(5, helper.tensor_dtype_to_np_dtype(number))
            made.append(numpy_helper.from_array(array, name))
            assert made[-1].data_type == number
    return small_model(initializers=made)


def with_all_kinds_of_inputs() -> Any:
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [None, "m", 4])
    kinds = [
        helper.make_sequence_type_proto(tensor),
        helper.make_optional_type_proto(helper.make_sequence_type_proto(tensor)),
        helper.make_map_type_proto(TensorProto.INT64, tensor),
        helper.make_sparse_tensor_type_proto(TensorProto.DOUBLE, [2, 3]),
        helper.make_tensor_type_proto(TensorProto.BFLOAT16, []),
        tensor,
    ]
    return small_model(inputs=[helper.make_value_info(f"in{i}", kind) for i, kind in enumerate(kinds)])


GENERATED = [
    small_model,
    loop_and_if,
    with_function,
    with_sparse,
    with_every_element_type,
    with_raw_data_of_every_element_type,
    with_all_kinds_of_inputs,
]


@pytest.mark.parametrize("make", GENERATED, ids=lambda make: make.__name__)
def test_generated_models_are_read_as_onnx_reads_them(make: Any) -> None:
    model = make()
    extraction = extract({"m.onnx": model.SerializeToString()}, "m.onnx")
    assert_agrees(extraction, model)
    assert extraction.completeness.state is State.COMPLETE
    assert extraction.findings == ()


def with_tensors_everywhere() -> Any:
    """Return a model that holds a tensor of its own name in every place where onnx has one, some of them inside others."""

    def tensor(name: str) -> Any:
        return helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0])

    def sparse(name: str) -> Any:
        indices = helper.make_tensor(f"{name} indices", TensorProto.INT64, [1], [0])
        return helper.make_sparse_tensor(tensor(f"{name} values"), indices, [4])

    def node(name: str, inner: Any = None) -> Any:
        graphs = {} if inner is None else {"g": inner, "gs": [inner, inner]}
        carried = {"t": tensor(f"{name} t"), "ts": [tensor(f"{name} t0"), tensor(f"{name} t1")], "s": sparse(f"{name} s")}
        return helper.make_node(name, ["x"], ["y"], domain="own", ss=[sparse(f"{name} s0")], **carried, **graphs)

    def graph(name: str, *nodes: Any) -> Any:
        return helper.make_graph(nodes, name, [], [], [tensor(f"{name} w")], sparse_initializer=[sparse(f"{name} sw")])

    nested = graph("inner", node("Inner", graph("innermost", node("Innermost"))))
    default = helper.make_attribute("default", tensor("default t"))
    body = [node("Body", graph("in body"))]
    function = helper.make_function("own", "F", [], [], body, [helper.make_opsetid("own", 1)], [], [default])
    model = small_model(nodes=[node("Outer", nested)], initializers=[tensor("w")], sparse=[sparse("sw")], functions=[function])
    model.training_info.add(initialization=graph("begin", node("Begin")), algorithm=graph("learn", node("Learn")))
    return model


def with_external_data() -> Any:
    raw = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(numpy.zeros(6, numpy.float32), "raw"))
    outside = TensorProto(name="w", dims=[6], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="w.bin")
    return small_model(nodes=[raw], initializers=[outside])


def test_no_domain_that_the_library_of_onnx_defines_is_foreign() -> None:
    schemas = onnx.defs.get_all_schemas_with_history()
    assert {schema.domain.encode() for schema in schemas} <= OWN_DOMAINS


def parts_of(message: Any, kind: str) -> Iterator[Any]:
    """Yield every message of type *kind* inside *message*, wherever onnx's own schema has one."""
    if message.DESCRIPTOR.name == kind:
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                yield from parts_of(each, kind)


def operators_of(message: Any) -> Counter[tuple[bytes, bytes]]:
    nodes = parts_of(message, "NodeProto")
    return Counter((b"" if node.domain == "ai.onnx" else node.domain.encode(), node.op_type.encode()) for node in nodes)


@pytest.mark.parametrize("make", [*GENERATED, with_tensors_everywhere], ids=lambda make: make.__name__)
def test_nothing_that_onnx_s_own_reader_would_see_is_overlooked(make: Any) -> None:
    model = make()
    data = model.SerializeToString()
    window = Window(MemoryTree({"m.onnx": data}), "m.onnx", len(data))
    found = take_inventory(parse(skeleton(window, LAYOUT), onnx_pb2.ModelProto()), "m.onnx")
    tensors = Counter(tensor.name.encode() for tensor in parts_of(model, "TensorProto"))
    assert Counter(held.tensor.name for held in found.tensors) == tensors
    training = sum(map(operators_of, model.training_info), Counter[tuple[bytes, bytes]]())
    assert found.operators == operators_of(model) - training


def test_the_model_with_tensors_everywhere_fills_every_place_that_onnx_has() -> None:
    model = with_tensors_everywhere()
    messages = [each for kind in ("GraphProto", "AttributeProto", "FunctionProto") for each in parts_of(model, kind)]
    filled = {(each.DESCRIPTOR.name, field.name) for each in messages for field, _ in each.ListFields()}
    holding = ("TensorProto", "SparseTensorProto", "GraphProto", "NodeProto", "AttributeProto")
    kinds = {each.DESCRIPTOR.name: each.DESCRIPTOR for each in messages}
    places = {(name, field.name) for name, kind in kinds.items() for field in kind.fields if is_any_of(field, holding)}
    assert places <= filled
    assert len(places) == 11


def is_any_of(field: Any, kinds: tuple[str, ...]) -> bool:
    return field.message_type is not None and field.message_type.name in kinds


def test_external_data_written_by_onnx_is_complete_and_belongs_to_the_model(tmp_path: Path) -> None:
    weights = [numpy_helper.from_array(numpy.ones((100, n), numpy.float32), f"w{n}") for n in (1, 2, 3)]
    model = small_model(initializers=weights)
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    extraction = extract(files, "m.onnx")
    assert_agrees(extraction, onnx.load(tmp_path / "m.onnx"))
    assert extraction.completeness.state is State.COMPLETE
    assert extraction.facts.size_bytes == sum(map(len, files.values()))
    short = extract({**files, "w.bin": files["w.bin"][:-1]}, "m.onnx")
    assert short.completeness.state is State.INCOMPLETE


def judged_complete(data: bytes) -> bool:
    """Tell whether we call *data* complete without remarking on a custom domain that has no opset import."""
    try:
        extraction = extract({"m.onnx": data}, "m.onnx")
    except ModelError:
        return False
    return extraction.completeness.state is State.COMPLETE and not extraction.findings


def passes_the_checker(data: bytes) -> bool:
    try:
        checker.check_model(data)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("make", GENERATED, ids=lambda make: make.__name__)
def test_a_prefix_is_complete_only_where_the_checker_takes_it(make: Any) -> None:
    data = make().SerializeToString()
    assert passes_the_checker(data)
    for length in range(len(data)):
        assert not judged_complete(data[:length]) or passes_the_checker(data[:length]), length


@NEEDS_CORPUS
def test_no_prefix_of_a_real_model_is_complete_but_where_the_checker_takes_it() -> None:
    """Prefixes that end at every field of the model, and a hundred others."""
    rng = random.Random(7)
    for path in rng.sample([path for path in corpus_files() if path.suffix == ".onnx"], 60):
        data = path.read_bytes()
        for length in {rng.randrange(len(data)) for _ in range(100)} | set(top_level_ends(data)):
            assert not judged_complete(data[:length]) or passes_the_checker(data[:length]), (path, length)


def top_level_ends(data: bytes) -> list[int]:
    return [found.begin for found in hop(Window(MemoryTree({"m": data}), "m", len(data)), 0, len(data))]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return *data* with one to three bytes set, taken out or put in, or a run of it moved."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        position = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0:
                changed[position : position + 1] = bytes([rng.choice((0, 1, 2, 10, 0x7F, 0x80, 0xFF, rng.randrange(256)))])
            case 1:
                del changed[position : position + rng.randint(1, 9)]
            case 2:
                changed[position:position] = rng.randbytes(rng.randint(1, 9))
            case _:
                changed[position:position] = changed[position : position + rng.randint(1, 40)]
    return bytes(changed)


def test_damaged_models_give_facts_or_a_model_error_and_onnx_refuses_what_we_refuse() -> None:
    """7,000 damaged files. Where we take a file that onnx refuses, the damage lies in what we leave out."""
    rng = random.Random(20_25)
    for original in [make().SerializeToString() for make in GENERATED]:
        for _ in range(1000):
            check_damaged(damaged(original, rng))


def check_damaged(data: bytes) -> None:
    window = Window(MemoryTree({"m": data}), "m", len(data))
    try:
        taken = skeleton(window, LAYOUT)
        ours = parse(taken, onnx_pb2.ModelProto())
    except (MalformedModel, ModelLimit):
        assert not onnx_parses(data)
        return
    if onnx_parses(data):
        theirs = onnx.ModelProto.FromString(data)
        assert [node.op_type for node in ours.graph.node] == [encoded(node.op_type) for node in theirs.graph.node]
        assert [list(tensor.dims) for tensor in ours.graph.initializer] == [list(t.dims) for t in theirs.graph.initializer]
    else:
        ours.DiscardUnknownFields()
        assert onnx_parses(ours.SerializeToString())
    extract({"m.onnx": data}, "m.onnx")


def encoded(name: str | bytes) -> bytes:
    """Return the bytes of a name, which onnx hands back as bytes where they are not UTF-8."""
    return name if isinstance(name, bytes) else name.encode()


def onnx_parses(data: bytes) -> bool:
    try:
        onnx.ModelProto.FromString(data)
    except DecodeError:
        return False
    return True
