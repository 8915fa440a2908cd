"""Which operators a TensorFlow graph is made of, and which of them TensorFlow does not have.

In goes a GraphDef, out come counts by type over its nodes and the nodes of its functions. The list that a SavedModel itself
carries (`stripped_op_list`) leaves out what only functions use, so it is not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from types import MappingProxyType

from detectors.bounds import MAX_NAMES, MAX_NODES, check_count
from detectors.protos.tensorflow_pb2 import GraphDef, NodeDef
from detectors.tf_ops import is_registered
from detectors.wire import text

VARIABLE_OPS = frozenset({"VarHandleOp", "VariableV2", "Variable", "AutoReloadVariable"})
"""Operators whose values are kept outside the graph, in a checkpoint."""


def nodes_of(graph: GraphDef) -> Iterator[NodeDef]:
    """Yield the nodes of *graph*, then those of its functions."""
    return chain(graph.node, *(function.node_def for function in graph.library.function))


def count_operators(path: str, graph: GraphDef) -> Mapping[str, int]:
    """Return how often each operator stands in *graph*, of the file *path*, and its functions, sorted by name.

    Raises:
        ModelLimit: more than `MAX_NODES` nodes, or more than `MAX_NAMES` types of them.
    """
    nodes = len(graph.node) + sum(len(function.node_def) for function in graph.library.function)
    check_count(path, "nodes", nodes, MAX_NODES, "MAX_NODES")
    by_bytes = Counter(node.op for node in nodes_of(graph))
    check_count(path, "types of operators", len(by_bytes), MAX_NAMES, "MAX_NAMES")
    counts: Counter[str] = Counter()
    for op, count in by_bytes.items():
        counts[text(op)] += count  # two names that are not UTF-8 may read the same
    return MappingProxyType(dict(sorted(counts.items())))


def custom_operators(graph: GraphDef, operators: Mapping[str, int]) -> tuple[str, ...]:
    """Return the *operators* that are neither TensorFlow's nor functions of *graph*, sorted."""
    functions = {text(function.signature.name) for function in graph.library.function}
    return tuple(op for op in operators if op not in functions and not is_registered(op))


def uses_variables(operators: Mapping[str, int]) -> int:
    """Return how many nodes of *operators* hold a variable."""
    return sum(operators.get(op, 0) for op in VARIABLE_OPS)
