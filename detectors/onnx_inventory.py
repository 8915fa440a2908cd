"""What the graphs of an ONNX model hold: operators and tensors, wherever they hide.

In goes a parsed lean `ModelProto`; out come counts of operators, and every tensor with its role and place. Tensors stand in
initializers, sparse initializers and node attributes, these again in subgraphs (If, Loop, Scan), function bodies, defaults of
function attributes, and training graphs; all of them are visited, because a tensor that is overlooked is a file that is not
checked. What external tensors name is left to `detectors.onnx_external`.

Law (a test has its name): nothing that onnx's own reader would see is overlooked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from detectors.bounds import MAX_NAMES, MAX_RANK, check_count
from detectors.errors import ModelLimit
from detectors.protos import onnx_pb2
from detectors.wire import text

DEFAULT_DOMAINS = frozenset({b"", b"ai.onnx"})
"""Two spellings of one domain."""

EXTERNAL = 1
"""TensorProto.DataLocation.EXTERNAL."""

MAX_ELEMENTS = 2**63 - 1
"""Elements of one tensor; no file system holds more, and no reader of JSON keeps more apart."""

MAX_TENSORS = 200_000
"""Tensors of one model. The largest mixtures of experts have about 140,000; each takes about 20 µs to check."""

MAX_NOTED = 10_000
"""Nodes that are noted with their place; honest models have a few."""

ARROW = " → "

MAX_STEP = 200
"""Characters of one name in a place."""

MAX_PLACE = 1000
"""Characters of a place; of a longer one its beginning and its end are told."""


class Role(StrEnum):
    """What a tensor is for."""

    INITIALIZER = "initializer"
    """A weight: an initializer, or the values of a sparse one."""
    INDICES = "indices"
    """Where the values of a sparse tensor belong."""
    CONSTANT = "constant"
    """A tensor in an attribute of a node or a function."""


class Place(NamedTuple):
    """Where in a model something stands: *step* is the kind of thing, *name* what it is called there.

    Places share what is above them and are written out only to be told: those of many nodes in deep graphs would be far larger
    than the model.
    """

    above: Place | None
    step: str
    name: bytes = b""

    def __str__(self) -> str:
        """Return it from the top down, such as `graph → node choose → attribute g → initializer w`."""
        steps: list[str] = []
        place: Place | None = self
        while place is not None:
            steps.append(f"{place.step} {text(place.name[: 4 * MAX_STEP])[:MAX_STEP]}" if place.name else place.step)
            place = place.above
        whole = ARROW.join(reversed(steps))
        return whole if len(whole) <= MAX_PLACE else f"{whole[: MAX_PLACE // 2]} … {whole[3 - MAX_PLACE // 2 :]}"


class Held(NamedTuple):
    """A tensor, its role, and its field in the graph, sparse tensor or attribute *above*."""

    tensor: onnx_pb2.TensorProto
    role: Role
    above: Place
    field: str

    @property
    def place(self) -> str:
        """Return a readable path to the tensor."""
        return str(Place(self.above, self.field, self.tensor.name))


Operator = tuple[bytes, bytes]
"""Domain and type of a node; the default domain is always b""."""


class Noted(NamedTuple):
    """A node that was watched for."""

    place: Place
    operator: Operator
    node: onnx_pb2.NodeProto


@dataclass(slots=True)
class Scope:
    """What one graph or function body holds, subgraphs included; its nodes share one set of opset imports.

    tensors and noted may be shared by several scopes, which then add to them in turn. Nodes whose type is *watched* are noted.
    path is that of the model file, for errors.
    """

    path: str
    tensors: list[Held]
    noted: list[Noted]
    watched: frozenset[bytes]
    operators: Counter[Operator] = field(default_factory=Counter)

    def add_graph(self, graph: onnx_pb2.GraphProto, place: Place) -> None:
        """Count what *graph* holds."""
        self._hold(graph.initializer, Role.INITIALIZER, place, "initializer")
        for sparse in graph.sparse_initializer:
            self._add_sparse(sparse, Role.INITIALIZER, Place(place, "sparse_initializer"))
        self.add_nodes(graph.node, place)

    def add_nodes(self, nodes: Iterable[onnx_pb2.NodeProto], place: Place) -> None:
        """Count *nodes* and what their attributes hold."""
        counted = self.operators
        for node in nodes:
            op_type = node.op_type
            counted[node.domain, op_type] += 1
            if op_type in self.watched:
                check_count(self.path, "nodes that run programs", len(self.noted) + 1, MAX_NOTED, "MAX_NOTED")
                self.noted.append(Noted(Place(place, "node", node.name or op_type), (_domain(node.domain), op_type), node))
            for attribute in node.attribute:
                if attribute.ListFields():  # An attribute without tensor or graph is empty here; most are.
                    self.add_attribute(attribute, Place(place, "node", node.name or op_type))

    def add_function(self, function: onnx_pb2.FunctionProto) -> None:
        """Count what the body of *function* holds, and the defaults of its attributes."""
        place = Place(None, "function", function.name)
        self.add_nodes(function.node, place)
        for attribute in function.attribute_proto:
            self.add_attribute(attribute, Place(place, "default"))

    def add_attribute(self, attribute: onnx_pb2.AttributeProto, place: Place) -> None:
        """Count the tensors and graphs that *attribute* carries."""
        if attribute.HasField("t"):
            self._hold([attribute.t], Role.CONSTANT, Place(place, "attribute t"), "tensor")
        if attribute.tensors:
            self._hold(attribute.tensors, Role.CONSTANT, Place(place, "attribute tensors"), "tensor")
        if attribute.HasField("sparse_tensor"):
            self._add_sparse(attribute.sparse_tensor, Role.CONSTANT, Place(place, "attribute sparse_tensor"))
        for sparse in attribute.sparse_tensors:
            self._add_sparse(sparse, Role.CONSTANT, Place(place, "attribute sparse_tensors"))
        if attribute.HasField("g"):
            self.add_graph(attribute.g, Place(place, "attribute g"))
        for graph in attribute.graphs:
            self.add_graph(graph, Place(place, "attribute graphs"))

    def _add_sparse(self, sparse: onnx_pb2.SparseTensorProto, role: Role, place: Place) -> None:
        if sparse.HasField("values"):
            self._hold([sparse.values], role, place, "values")
        if sparse.HasField("indices"):
            self._hold([sparse.indices], Role.INDICES, place, "indices")

    def _hold(self, tensors: Sequence[onnx_pb2.TensorProto], role: Role, place: Place, field: str) -> None:
        if len(self.tensors) + len(tensors) > MAX_TENSORS:
            raise ModelLimit(self.path, None, "MAX_TENSORS", f"more than {MAX_TENSORS} tensors")
        self.tensors.extend(Held(tensor, role, place, field) for tensor in tensors)


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that a model holds.

    operators counts nodes of the graph, its subgraphs and the functions; those of training graphs are in training.
    tensors are those of all graphs, training included, and so is noted: nodes of types that were watched, with their places, at
    most `MAX_NOTED`. unimported are domains of nodes whose graph or function has no opset import for them.
    """

    operators: Counter[Operator]
    training: Counter[Operator]
    tensors: list[Held]
    noted: list[Noted]
    unimported: frozenset[bytes]


def take_inventory(model: onnx_pb2.ModelProto, path: str, watched: frozenset[bytes] = frozenset()) -> Inventory:
    """Return what *model* holds; *path* is that of its file. Nodes whose type is *watched* are noted.

    Raises:
        ModelLimit: there are more tensors than `MAX_TENSORS`, or more functions than `MAX_NAMES`.
    """
    check_count(path, "functions", len(model.functions), MAX_NAMES, "MAX_NAMES")
    tensors: list[Held] = []
    noted: list[Noted] = []
    graph, training = Scope(path, tensors, noted, watched), Scope(path, tensors, noted, watched)
    graph.add_graph(model.graph, Place(None, "graph"))
    for info in model.training_info:
        training.add_graph(info.initialization, Place(None, "training initialization"))
        training.add_graph(info.algorithm, Place(None, "training algorithm"))
    operators = _with_one_default_domain(graph.operators)
    unimported = _domains(operators) - imported_domains(model.opset_import)
    for function in model.functions:
        body = Scope(path, tensors, noted, watched)
        body.add_function(function)
        counted = _with_one_default_domain(body.operators)
        operators.update(counted)
        unimported |= _domains(counted) - imported_domains(function.opset_import)
    return Inventory(operators, _with_one_default_domain(training.operators), tensors, noted, frozenset(unimported))


def imported_domains(imports: Iterable[onnx_pb2.OperatorSetIdProto]) -> set[bytes]:
    """Return the domains of opset imports, the default one as b""."""
    return {_domain(opset.domain) for opset in imports}


def functions_of(model: onnx_pb2.ModelProto) -> set[Operator]:
    """Return the functions that the model brings itself, as the operators that call them."""
    return {(_domain(function.domain), function.name) for function in model.functions}


def elements_of(tensor: onnx_pb2.TensorProto) -> int | None:
    """Return how many elements *tensor* has, None where its dimensions make no sense."""
    return elements_in(tensor.dims)


def elements_in(sizes: Sequence[int]) -> int | None:
    """Return the product of the dimensions, None where one is negative, there are more than `MAX_RANK`, or the product is
    beyond `MAX_ELEMENTS`."""
    dims = sizes[: MAX_RANK + 1]
    if len(dims) > MAX_RANK:
        return None
    if 0 in dims:
        return 0
    product = 1
    for dim in dims:
        product *= dim
        if not 0 < product <= MAX_ELEMENTS:
            return None
    return product


def domain_name(domain: bytes) -> str:
    """Return *domain* as it is told; the default one has a name here."""
    return text(domain) or "ai.onnx"


def operator_name(operator: Operator) -> str:
    """Return `domain::Type`, or the type alone in the default domain."""
    domain, op_type = operator
    return f"{text(domain)}::{text(op_type)}" if domain else text(op_type)


def _domain(domain: bytes) -> bytes:
    return b"" if domain in DEFAULT_DOMAINS else domain


def _domains(operators: Iterable[Operator]) -> set[bytes]:
    return {domain for domain, _ in operators}


def _with_one_default_domain(operators: Counter[Operator]) -> Counter[Operator]:
    merged: Counter[Operator] = Counter()
    for (domain, op_type), count in operators.items():
        merged[_domain(domain), op_type] += count
    return merged
