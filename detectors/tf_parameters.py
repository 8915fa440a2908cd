"""How many numbers a TensorFlow model consists of: stored, distinct, trainable.

In go a MetaGraphDef and what its checkpoint stores, out comes `Parameters`. The checkpoint alone misleads: it also holds
optimizer slots and counters, and Keras exports write every variable twice. What is trainable is therefore taken from what the
model says of itself: TF2's object graph, or TF1's collection of trainable variables. Where it says nothing, the count is None.

Names of variables tell nothing: `tf.Variable` calls itself "Variable" unless told otherwise, so two of that name, even of one
shape, may well be two. One object is one node of the object graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from google.protobuf.message import DecodeError

from detectors.bundle import Stored, elements_in
from detectors.facts import Parameters
from detectors.protos.tensorflow_pb2 import (
    GraphDef,
    MetaGraphDef,
    SavedObject,
    SavedObjectGraph,
    TensorProto,
    TensorShapeProto,
    VariableDef,
)
from detectors.tf_dtypes import dtype_name, is_number
from detectors.tf_operators import nodes_of
from detectors.wire import text

TRAINABLE_LIST = b"trainable_variables"
"""The child of the root object that lists them: the interface of reusable SavedModels, which Keras follows in all versions
(tensorflow.org/hub/reusable_saved_models). It names each variable once where Keras 3 exports have two objects for it."""

TRAINABLE_COLLECTION = b"trainable_variables"
"""tensorflow/python/framework/ops.py, GraphKeys.TRAINABLE_VARIABLES; of serialized VariableDef."""


@dataclass(frozen=True, slots=True)
class Constants:
    """The tensors that are part of the graph itself: how many there are, how many numbers they hold, tensors by dtype."""

    tensors: int
    elements: int
    dtypes: Mapping[str, int]


def parameters_of(meta: MetaGraphDef, stored: Stored | None) -> Parameters:
    """Return the three counts; *stored* is None where there is no readable checkpoint."""
    counts = stored.parameters if stored else Parameters()
    if stored is not None and counts.stored == 0:
        return Parameters(0, 0, 0)
    if meta.HasField("object_graph_def"):
        trainable = _trainable_objects(meta.object_graph_def)
    else:
        trainable = _trainable_collection(meta, stored) if stored else None
    return Parameters(counts.stored, counts.distinct, trainable)


def constants_of(graph: GraphDef) -> Constants:
    """Return what the Const nodes of *graph* and its functions hold, by their shapes; no value is read.

    A shape that no tensor has counts for nothing.
    """
    tensors = list(_constants(graph))
    dtypes = Counter(dtype_name(tensor.dtype) for tensor in tensors)
    elements = sum(_elements(tensor.tensor_shape) or 0 for tensor in tensors if is_number(tensor.dtype))
    return Constants(len(tensors), elements, dict(sorted(dtypes.items())))


def _constants(graph: GraphDef) -> Iterator[TensorProto]:
    for node in nodes_of(graph):
        if node.op == b"Const":
            yield from (entry.value.tensor for entry in node.attr if entry.key == b"value")


def _trainable_objects(graph: SavedObjectGraph) -> int | None:
    """Return the elements of the trainable variables among the objects, None where there is no variable among them."""
    listed = _listed_as_trainable(graph)
    if listed is not None:
        return _total(node.variable.shape for node in listed)
    variables = [node.variable for node in graph.nodes if node.HasField("variable")]
    if not variables:
        return None
    return _total(variable.shape for variable in variables if variable.trainable)


def _listed_as_trainable(graph: SavedObjectGraph) -> list[SavedObject] | None:
    """Return the variables that the root object lists as trainable, each once; None where it has no such list."""
    lists = [node for node in _children(graph, graph.nodes[:1], TRAINABLE_LIST) if node is not None]
    members = _children(graph, lists) if len(lists) == 1 else [None]
    variables = [member for member in members if member is not None and member.HasField("variable")]
    return variables if len(variables) == len(members) else None


def _children(graph: SavedObjectGraph, parents: Iterable[SavedObject], name: bytes | None = None) -> list[SavedObject | None]:
    """Return the children of *parents*, all or those called *name*, each once; None stands for one that does not exist."""
    places = sorted({child.node_id for node in parents for child in node.children if name in (None, child.local_name)})
    return [graph.nodes[place] if 0 <= place < len(graph.nodes) else None for place in places]


def _trainable_collection(meta: MetaGraphDef, stored: Stored) -> int | None:
    """Return the elements of the collection's variables by their stored shapes; None where one is not stored."""
    collections = [entry.value for entry in meta.collection_def if entry.key == TRAINABLE_COLLECTION]
    if not collections:
        return None
    shapes = {tensor.name: tensor.shape for tensor in stored.tensors}
    try:
        names = {_stored_name(value) for value in collections[0].bytes_list.value}
    except DecodeError:
        return None
    return sum(prod(shapes[name]) for name in names) if names <= shapes.keys() else None


def _stored_name(value: bytes) -> str:
    """Return the name that a variable is stored under; the parts of a partitioned one share the name of the whole.

    Raises:
        DecodeError: *value* is no VariableDef.
    """
    variable = VariableDef.FromString(value)
    whole = variable.save_slice_info_def.full_name
    return text(whole or variable.variable_name).removesuffix(":0")


def _total(shapes: Iterable[TensorShapeProto]) -> int | None:
    counts = [_elements(shape) for shape in shapes]
    return None if None in counts else sum(count for count in counts if count is not None)


def _elements(shape: TensorShapeProto) -> int | None:
    """Return how many elements a tensor of *shape* has, None where that is not fixed, or no tensor has that shape."""
    return None if shape.unknown_rank else elements_in([dim.size for dim in shape.dim])
