"""The graph beside a TF1 checkpoint: `X.meta`, a MetaGraphDef in a file of its own.

In goes the file, out comes the message without its constants: who wrote it, which operators it is made of, its collections,
and what it lacks that a Saver always writes. What its parameters are is left to `tf_parameters`, the numbers themselves to
`bundle`.
"""

from __future__ import annotations

from collections.abc import Mapping

from detectors.detection import Contents
from detectors.errors import MalformedModel
from detectors.protos.tensorflow_pb2 import MetaGraphDef
from detectors.tf_operators import uses_variables
from detectors.tree import FileEntry
from detectors.wire import Layout, Window, layout_of, parse, skeleton

META_INFO_DEF, GRAPH_DEF, SAVER_DEF, COLLECTION_DEF, LAST_FIELD = 1, 2, 3, 4, 7
"""Field numbers of MetaGraphDef (tensorflow/core/protobuf/meta_graph.proto)."""

VARIABLES = b"variables"
"""The collection of what a Saver saves (tensorflow/python/framework/ops.py, GraphKeys.GLOBAL_VARIABLES)."""

WEIGHTS = frozenset({"TensorProto.tensor_content", "TensorProto.string_val"})

FIRST_BYTES = frozenset(number << 3 | 2 for number in range(1, LAST_FIELD + 1))
"""What the first byte may be: all fields are messages."""


def may_be_meta_graph(head: bytes) -> bool:
    """Tell whether a file that begins with *head* may be a MetaGraphDef: cheap, and silent on pickles and text."""
    return bool(head) and head[0] in FIRST_BYTES


def read_meta_graph(contents: Contents, file: FileEntry) -> tuple[MetaGraphDef, Window | None]:
    """Return the head, the graph, its Saver and the collections of *file*. Walks over the whole message, past its constants.

    The window is the file where constants were left out, None where the message has them all.

    Raises:
        MalformedModel: it is no MetaGraphDef.
        ModelLimit: a limit of `wire` was reached.
    """
    window = contents.window(file)
    found = skeleton(window, LAYOUT)
    foreign = [number for number in found.counts if number > LAST_FIELD]
    if foreign or META_INFO_DEF not in found.counts:
        raise MalformedModel(file.path, None, f"expected the fields of a MetaGraphDef, found {sorted(found.counts)[:8]}")
    return parse(found, MetaGraphDef()), None if found.is_whole else window


def lacking(meta: MetaGraphDef, operators: Mapping[str, int]) -> str | None:
    """Return what *meta* lacks though every Saver writes it, None where it lacks nothing: the file was cut between two fields.

    *operators* are those of its graph, counted.
    A Saver writes the graph with the versions behind its nodes, then the collections; a graph with variables has one of them.
    A cut between two collections, behind that one, cannot be told from a graph that never had the others.
    """
    if not meta.HasField("graph_def"):
        return "holds no graph"
    if not meta.graph_def.HasField("versions"):
        return "holds a graph without the versions that end it"
    if uses_variables(operators) and not any(entry.key == VARIABLES for entry in meta.collection_def):
        return "holds variables and no collection of them"
    return None


def _layout() -> Layout:
    """Return which fields are read: those that tell who wrote it, what it is made of, and what restores it."""
    whole = layout_of(MetaGraphDef.DESCRIPTOR, WEIGHTS).rules
    return Layout({number: whole[number] for number in (META_INFO_DEF, GRAPH_DEF, SAVER_DEF, COLLECTION_DEF)})


LAYOUT = _layout()
