"""The strings in a graph's constants: names of files, and graphs that are kept as values.

The walk of a large file leaves out long constants (`wire`), so those that matter are read again, each by itself. In goes a node
of the graph, out come its strings; which constants matter is left to `tf_sources`.

Two forms hold strings (tensorflow/core/framework/tensor.cc, Tensor::FromProto): `string_val`, one field each, the last standing
for all that follow; and `tensor_content`, which counts first: the lengths of all strings as varints, then their bytes.

Laws (each has a test of the same name):
    a constant is read the same whether the walk left it out or not;
    what is read does not grow with other constants.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice

from google.protobuf.message import DecodeError

from detectors.protos.tensorflow_pb2 import NodeDef, TensorProto
from detectors.wire import LEN, MAX_LEAF_BYTES, Field, Window, hop

STRING = 7
"""tensorflow/core/framework/types.proto, DT_STRING."""

MAX_CONSTANT_BYTES = 8 << 20
"""The longest constant that is read again; a list of a hundred thousand file names, or the graph of a large data set."""

MAX_ALL_CONSTANT_BYTES = 32 << 20
"""Bytes of all constants of one file that are read again."""

MAX_STRINGS = 10_000
"""Strings of one constant that are looked at."""

MAX_FIELDS_OF_NODE = 64
LEAST_LEFT_OUT_BYTES = 1 << 10
"""Nodes that are longer than this may have lost a constant (`wire.MAX_WEIGHT_BYTES`); shorter ones are not looked at again."""

GRAPH_OF_MODEL, META_GRAPH = 2, 2
NODE, LIBRARY = 1, 2
FUNCTION, SIGNATURE, NODE_OF_FUNCTION = 1, 1, 3
NAME, ATTRIBUTE = 1, 5
TENSOR_OF_VALUE = 8
"""Field numbers of MetaGraphDef.graph_def, SavedModel.meta_graphs; GraphDef; FunctionDef; NodeDef; AttrValue.tensor."""


class Holder(Enum):
    """What kind of file holds the graph: how many messages lie around it."""

    SAVED_MODEL = (META_GRAPH, GRAPH_OF_MODEL)
    META_GRAPH = (GRAPH_OF_MODEL,)
    GRAPH = ()


@dataclass(frozen=True, slots=True)
class Home:
    """Where the nodes of a scope lie in their file: in which graph, counted from 0, and in which function, b"" for none."""

    graph: int
    function: bytes = b""


@dataclass(slots=True)
class Constants:
    """The constants of one file. *window* is None where the message at hand lost none of them."""

    holder: Holder = Holder.GRAPH
    window: Window | None = None
    repeated: dict[bytes, None] = field(default_factory=dict)
    """The constants that were read and that hold an attribute several times."""
    _left: int = MAX_ALL_CONSTANT_BYTES
    _places: dict[tuple[Home, bytes], Field] | None = field(default=None)
    _known: dict[tuple[Home, bytes], tuple[bytes, ...] | None] = field(default_factory=dict)

    def strings(self, home: Home, node: NodeDef) -> tuple[bytes, ...] | None:
        """Return the strings of the constant *node*, empty where it holds none; None where they could not be read.

        Raises:
            MalformedModel: the file is broken where the constant lies.
        """
        key = home, bytes(node.name)
        if key not in self._known:
            self._known[key] = self._strings(home, node)
        return self._known[key]

    def _strings(self, home: Home, node: NodeDef) -> tuple[bytes, ...] | None:
        if repeats_attribute(node):
            self.repeated[bytes(node.name)] = None
        tensor = _value_of(node)
        if tensor is None or tensor.dtype != STRING:
            return ()
        if self.window is not None:  # one of several values may be left out, so what is at hand does not tell whether one is
            place = self._place_of(self.window, home, bytes(node.name))
            found = tensor if place is None else self._read_again(self.window, place)
            if found is None:
                return None
            tensor = found
        strings = strings_of(tensor)
        return strings if strings is None or len(strings) <= MAX_STRINGS else None

    def _place_of(self, window: Window, home: Home, name: bytes) -> Field | None:
        if self._places is None:
            self._places = dict(_long_nodes(window, self.holder))
        return self._places.get((home, name))

    def _read_again(self, window: Window, place: Field) -> TensorProto | None:
        """Return the value of the constant at *place*, None where it is too long or no tensor."""
        found = _tensor_in(window, place)
        if found is None or found.stop - found.start > min(MAX_CONSTANT_BYTES, self._left):
            return None
        self._left -= found.stop - found.start
        try:
            return TensorProto.FromString(window.bytes(found.start, found.stop))
        except DecodeError:
            return None


def strings_of(tensor: TensorProto) -> tuple[bytes, ...] | None:
    """Return the strings that *tensor* holds, None where its bytes are no strings."""
    if tensor.tensor_content:
        return _packed_strings(bytes(tensor.tensor_content), _elements(tensor))
    return tuple(tensor.string_val)


def _packed_strings(content: bytes, count: int) -> tuple[bytes, ...] | None:
    """Return *count* strings of *content*: their lengths as varints, then their bytes."""
    if not 0 <= count <= len(content):
        return None
    lengths, position = list[int](), 0
    for _ in range(count):
        value = shift = 0
        while position < len(content) and shift < 35:
            byte = content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        else:
            return None
        lengths.append(value)
    if position + sum(lengths) != len(content):
        return None
    strings = list[bytes]()
    for length in lengths:
        strings.append(content[position : position + length])
        position += length
    return tuple(strings)


def _elements(tensor: TensorProto) -> int:
    """Return how many elements the shape of *tensor* has, at most a little more than any that is looked at."""
    count = 1
    for dim in tensor.tensor_shape.dim:
        count = min(max(dim.size, 0) * count, MAX_CONSTANT_BYTES)
    return count


def _value_of(node: NodeDef) -> TensorProto | None:
    """Return the value of the constant *node*: of equal keys of a map, the last counts."""
    found = [entry.value for entry in node.attr if entry.key == b"value"]
    return found[-1].tensor if found else None


def repeats_attribute(node: NodeDef) -> bool:
    """Tell whether an attribute of *node* stands there several times. Names that the walk left out are not compared."""
    keys = [entry.key for entry in node.attr if entry.key]
    return len(set(keys)) < len(keys)


def _long_nodes(window: Window, holder: Holder) -> Iterator[tuple[tuple[Home, bytes], Field]]:
    """Yield the nodes of the file that may have lost a constant, each with its home and its name."""
    for number, graph in _graphs(window, holder):
        for found in _long_fields(window, graph):
            if found.number == NODE:
                yield (Home(number), _name_of(window, found)), found
            elif found.number == LIBRARY:
                for function in _long_fields(window, found):
                    if function.number == FUNCTION:
                        yield from _nodes_of_function(window, number, function)


def _nodes_of_function(window: Window, number: int, function: Field) -> Iterator[tuple[tuple[Home, bytes], Field]]:
    signatures = (part for part in hop(window, function.start, function.stop) if _is(part, SIGNATURE))
    home = Home(number, next((_name_of(window, part) for part in signatures), b""))
    if not home.function:
        return  # that is the home of the nodes of the graph itself
    for found in _long_fields(window, function):
        if found.number == NODE_OF_FUNCTION:
            yield (home, _name_of(window, found)), found


def _graphs(window: Window, holder: Holder) -> Iterator[tuple[int, Field]]:
    """Yield the graphs of the file, each with the number of the outermost message that it lies in."""
    found = [(0, Field(0, LEN, 0, 0, window.size))]
    for depth, number in enumerate(holder.value):
        inside = [(at, part) for at, outer in found for part in hop(window, outer.start, outer.stop) if _is(part, number)]
        found = inside if depth else [(at, part) for at, (_, part) in enumerate(inside)]
    yield from found if holder is Holder.SAVED_MODEL else ((0, part) for _, part in found)


def _long_fields(window: Window, outer: Field) -> Iterator[Field]:
    inside = hop(window, outer.start, outer.stop)
    return (part for part in inside if part.wire_type == LEN and part.stop - part.start >= LEAST_LEFT_OUT_BYTES)


def _name_of(window: Window, outer: Field) -> bytes:
    """Return the name that the node, or signature, *outer* has in its first field."""
    for part in islice(hop(window, outer.start, outer.stop), MAX_FIELDS_OF_NODE):
        if _is(part, NAME):
            return window.bytes(part.start, min(part.stop, part.start + MAX_LEAF_BYTES))
    return b""


def _tensor_in(window: Window, node: Field) -> Field | None:
    """Return the tensor that the last attribute `value` of *node* is, None where that has several parts to be merged."""
    fields = list(islice(hop(window, node.start, node.stop), MAX_FIELDS_OF_NODE + 1))
    if len(fields) > MAX_FIELDS_OF_NODE:
        return None
    for attribute in reversed(fields):
        if _is(attribute, ATTRIBUTE):
            parts = list(islice(hop(window, attribute.start, attribute.stop), MAX_FIELDS_OF_NODE))
            keys, values = ([part for part in parts if _is(part, number)] for number in (1, 2))
            if not keys or window.bytes(keys[-1].start, min(keys[-1].stop, keys[-1].start + 8)) != b"value":
                continue
            if len(parts) != 2 or len(values) != 1:
                return None
            inside = list(islice(hop(window, values[0].start, values[0].stop), 2))
            return inside[0] if len(inside) == 1 and _is(inside[0], TENSOR_OF_VALUE) else None
    return None


def _is(part: Field, number: int) -> bool:
    return part.number == number and part.wire_type == LEN
