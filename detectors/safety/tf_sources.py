"""Where the argument of an operator comes from: constants, assets of the model, whoever calls it.

In goes an input of a node, out come its sources, found backwards through the graph, into functions that give it and out to
those that call them. An operator that computes text is not computed here: its inputs count as parts, and the result as
computed.

Laws (each has a test of the same name):
    a file name is found through functions, lists and joined texts;
    however large the graph, a bounded part of it is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain, islice

from detectors.protos.tensorflow_pb2 import AttrValue, NodeDef
from detectors.safety.tf_effects import operator
from detectors.safety.tf_objects import Bound
from detectors.safety.tf_reach import Graph, Scope, data_inputs, node_of
from detectors.wire import text

MAX_STEPS = 2_000
"""Inputs that are followed for one argument, with those that a followed one spreads into. A file name is a few steps from its
constant."""

MAX_ALL_STEPS = 100_000
"""The same for all arguments of a model, and the texts of their constants: a second."""

NOT_FOLLOWED = b"more operators than are followed"
"""What a source is said to be that lies beyond these."""

MAX_PARTS = 64
"""Texts that are joined here; the parts of more are looked at one by one."""

INPUTS = frozenset(b"Placeholder PlaceholderV2 _Arg".split())
CONSTANTS = frozenset(b"Const HostConst _EagerConst".split())

KEEP_ALL = slice(None)
KEEP_FIRST = slice(0, 1)
KEEP_OTHERS = slice(1, None)

KEEPS = {
    **dict.fromkeys(
        b"Identity IdentityN Pack Concat ConcatV2 Enter RefEnter Exit Merge StopGradient CopyOp Split PreventGradient"
        b" TensorDataset TensorSliceDataset PlaceholderWithDefault".split(),
        KEEP_ALL,
    ),
    **dict.fromkeys(
        b"Reshape ExpandDims Squeeze Unpack Switch EnsureShape Tile BroadcastTo Slice StridedSlice SplitV Gather GatherV2"
        b" GatherNd Reverse ReverseV2 RandomShuffle CheckPinned".split(),
        KEEP_FIRST,
    ),
    **dict.fromkeys(b"Select SelectV2 Fill".split(), KEEP_OTHERS),
}
"""Operators whose texts are texts that they are given: all of them, the first, or all but the first."""

PASS_THEIR_LAST_INPUTS = frozenset(
    b"PartitionedCall StatefulPartitionedCall TPUPartitionedCall BatchFunction If StatelessIf _If While StatelessWhile _While"
    b" Case StatelessCase XlaIf XlaWhile".split()
)
"""Operators whose last inputs are, in order, the arguments of the functions that they call. Data sets put others behind
them."""


class Kind(Enum):
    """What a source is."""

    CONSTANT = "constant"
    """The text *value*."""
    ASSET = "asset"
    """The asset whose name is *value*."""
    INPUT = "input"
    """Whoever calls: *value* is the name of the input."""
    SAVER = "saver"
    """The file that a Saver is told to use."""
    COMPUTED = "computed"
    """What the operator *value* gives."""
    UNREAD = "unread"
    """The constant *value*, which is too long to be read."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source; *is_rest* tells that it is no beginning of the argument but some part of it. *scope* is where a constant
    is."""

    kind: Kind
    value: bytes = b""
    is_rest: bool = False
    at: bytes = b""


Step = tuple[Scope, bytes, bool]


@dataclass(slots=True)
class Sources:
    """Finds sources in one model, and counts what that costs."""

    _left: int = MAX_ALL_STEPS
    is_exhausted: bool = field(default=False, init=False)

    def of(self, scope: Scope, names: Iterable[bytes], is_fed: bool = True) -> list[Source]:
        """Return the sources of the inputs *names* of a node of *scope*, each once, in the order they are found.

        *is_fed* tells that loaders feed assets and the file of the Saver, as they do for nothing but loading: elsewhere the
        constant itself counts besides.
        """
        found: dict[Source, None] = {}
        todo: list[Step] = [(scope, name, False) for name in names]
        seen: set[tuple[int, bytes, bool]] = set()
        steps = MAX_STEPS
        is_cut = False
        while todo and self._left > 0:
            step = todo.pop()
            key = (id(step[0]), step[1], step[2])
            if key in seen:
                continue
            seen.add(key)
            self._left -= 1
            for each in _above(*step, is_fed):
                self._left -= 1
                if isinstance(each, Source):
                    found[each] = None
                elif steps > 0:
                    steps -= 1
                    todo.append(each)
                if self._left <= 0 or (steps <= 0 and not isinstance(each, Source)):
                    is_cut = True
                    break
        if todo or is_cut:
            self.is_exhausted = True
            found[Source(Kind.COMPUTED, NOT_FOLLOWED)] = None
        return list(found)


def argument(node: NodeDef, place: int) -> list[bytes]:
    """Return the input of *node* at *place*; empty where it lacks it."""
    return [bytes(name) for name in data_inputs(node)[place : place + 1]]


def attribute(node: NodeDef, name: bytes) -> AttrValue | None:
    """Return the attribute *name* of *node*, the last of several; None where it lacks it."""
    found = [entry.value for entry in node.attr if entry.key == name]
    return found[-1] if found else None


def constants_given(scope: Scope, node: NodeDef, known: set[tuple[Scope, bytes]]) -> Iterator[Source]:
    """Yield the texts that *node* is given directly, without those of constants that are *known*; adds them there."""
    for name in data_inputs(node):
        above = scope.node(node_of(name))
        if above is not None and above.op in CONSTANTS and (scope, above.name) not in known:
            known.add((scope, above.name))
            yield from (one for one in _of_constant(scope, above, False) if one.kind is Kind.CONSTANT)


def _above(scope: Scope, name: bytes, is_rest: bool, is_fed: bool) -> Iterator[Source | Step]:
    """Yield what the tensor *name* of *scope* is, or the tensors that it comes from."""
    producer = node_of(name)
    if producer in scope.arguments:
        yield from _outside(scope, producer, is_rest)
        return
    if scope.function is None and producer in scope.graph.assets:
        yield Source(Kind.ASSET, scope.graph.assets[producer], is_rest)
        if is_fed:
            return
    elif scope.function is None and producer == scope.graph.filename:
        yield Source(Kind.SAVER, producer, is_rest)
        if is_fed:
            return
    node = scope.node(producer)
    if node is None:
        yield Source(Kind.COMPUTED, b"a node that does not exist", is_rest)
    elif node.op in CONSTANTS:
        yield from _of_constant(scope, node, is_rest)
    elif node.op in INPUTS:
        yield Source(Kind.INPUT, producer, is_rest)
    elif node.op == b"StringJoin":
        yield from _of_join(scope, node, is_rest)
    else:
        yield from _of_operator(scope, node, is_rest)


def _of_operator(scope: Scope, node: NodeDef, is_rest: bool) -> Iterator[Source | Step]:
    inside = list(_given_by(scope, node))
    if inside:
        yield from ((below, name, is_rest) for below, name in inside)
        return
    if node.op == b"PlaceholderWithDefault":
        yield Source(Kind.INPUT, bytes(node.name), is_rest)
    keeps = KEEPS.get(node.op)
    inputs = scope.inputs_of(node)
    same = islice(inputs, keeps.start, keeps.stop) if keeps is not None else iter(_just_assigned(scope, node))
    first = next(same, None)
    if first is not None:
        yield from ((scope, bytes(name), is_rest) for name in chain((first,), same))
        return
    yield Source(Kind.COMPUTED, bytes(node.op), is_rest)
    is_known = operator(node.op) is not None
    for place, name in enumerate(inputs):
        yield scope, bytes(name), is_rest or (is_known and place > 0)


def _just_assigned(scope: Scope, node: NodeDef) -> list[bytes]:
    """Return what the variable that *node* reads was assigned right before, by nodes that *node* waits for."""
    if node.op != b"ReadVariableOp":
        return []
    before = (scope.node(node_of(name)) for name in node.input if name.startswith(b"^"))
    assigns = [one for one in before if one is not None and one.op == b"AssignVariableOp" and one.input[:1] == node.input[:1]]
    return [bytes(name) for one in assigns for name in one.input[1:2]]


def _given_by(scope: Scope, node: NodeDef) -> Iterator[tuple[Scope, bytes]]:
    """Yield what the functions that *node* of *scope* calls give back."""
    graph = scope.graph
    if node.op not in PASS_THEIR_LAST_INPUTS and node.op not in graph.functions:
        return
    for name in graph.look_at(node).calls:
        if name in graph.functions:
            inside = graph.scope_of(name)
            inside.called_by(scope, node)
            yield from ((inside, bytes(entry.value)) for entry in graph.functions[name].ret)


def _outside(scope: Scope, name: bytes, is_rest: bool) -> Iterator[Source | Step]:
    """Yield what callers of the function give for its argument *name*."""
    before_end = len(scope.arguments) - scope.arguments[name]
    for caller, node in islice(scope.callers.values(), MAX_STEPS):
        inputs = caller.inputs_of(node)
        if node.op not in PASS_THEIR_LAST_INPUTS and node.op not in scope.graph.functions:
            yield from ((caller, bytes(each), is_rest) for each in inputs)
        elif before_end <= len(inputs):
            yield caller, bytes(inputs[-before_end]), is_rest
        else:
            yield Source(Kind.INPUT, name, is_rest)
    for bound in scope.bound:
        yield (
            _of_bound(scope.graph, bound[-before_end], is_rest)
            if before_end <= len(bound)
            else Source(Kind.INPUT, name, is_rest)
        )
    if not scope.callers and not scope.bound:
        yield Source(Kind.INPUT, name, is_rest)


def _of_bound(graph: Graph, bound: Bound, is_rest: bool) -> Source | Step:
    if bound.asset is not None:
        return Source(Kind.ASSET, bound.asset, is_rest)
    if bound.constant is not None:
        return graph.main, bound.constant, is_rest
    return Source(Kind.COMPUTED, b"an object of the model", is_rest)


def _of_constant(scope: Scope, node: NodeDef, is_rest: bool) -> Iterator[Source]:
    strings = scope.graph.constants.strings(scope.home, node)
    if strings is None:
        yield Source(Kind.UNREAD, bytes(node.name), is_rest)
    for value in strings or ():
        yield Source(Kind.CONSTANT, value, is_rest, bytes(node.name))


def _of_join(scope: Scope, node: NodeDef, is_rest: bool) -> Iterator[Source | Step]:
    """Yield the joined text where all parts are constants, else its parts. What follows nothing is a beginning as well."""
    separator = attribute(node, b"separator")
    glue = separator.s if separator is not None else b""
    names = scope.inputs_of(node)
    parts = [_one_text(scope, name) for name in names[:MAX_PARTS]]
    if parts and len(names) <= MAX_PARTS and None not in parts:
        yield Source(Kind.CONSTANT, glue.join(part for part in parts if part is not None), is_rest, bytes(node.name))
        return
    yield Source(Kind.COMPUTED, b"StringJoin", is_rest)
    begun = is_rest
    for place, name in enumerate(names):
        yield scope, bytes(name), begun
        begun = begun or bool(glue) or place >= len(parts) or parts[place] != b""


def _one_text(scope: Scope, name: bytes) -> bytes | None:
    """Return the text of the constant *name*, None where it is no constant of one text."""
    node = scope.node(node_of(name))
    if node is None or node.op not in CONSTANTS or node.name in scope.graph.assets or node.name == scope.graph.filename:
        return None
    strings = scope.graph.constants.strings(scope.home, node)
    return strings[0] if strings is not None and len(strings) == 1 else None


# What a text says of a place.


class Where(Enum):
    """What a path or an address leads to."""

    NOWHERE = "nowhere"
    BESIDE = "beside"
    """Relative to wherever the process was started."""
    OUTSIDE = "outside"
    """Absolute, upwards, or on another machine."""


URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://")
DRIVE = re.compile(rb"[A-Za-z]:")

HARMLESS = re.compile(rb"|stderr|stdout|log\(\w*\)|(local|bytes)://.*", re.DOTALL)
"""Values of attributes that stand for no file: the streams of PrintV2, and descriptors that are in the program or in the
value."""


def where(path: bytes, is_rest: bool = False) -> Where:
    """Return what *path* leads to; *is_rest* tells that something stands before it."""
    if not path:
        return Where.NOWHERE
    plain = path.replace(b"\\", b"/")
    if URL.search(path) or b"\0" in path or b".." in plain.split(b"/"):
        return Where.OUTSIDE
    if not is_rest and (plain.startswith(b"/") or DRIVE.match(path)):
        return Where.OUTSIDE
    return Where.BESIDE


def texts_of(node: NodeDef, names: Iterable[bytes]) -> list[bytes]:
    """Return the values that the attributes *names* of *node* have, without those that stand for no file."""
    values: Mapping[bytes, AttrValue] = {entry.key: entry.value for entry in node.attr}
    found = [each for name in names if name in values for each in (values[name].s, *values[name].list.s)]
    return [bytes(each) for each in found if not HARMLESS.fullmatch(each)]


def readable_name(value: bytes) -> str:
    """Return *value* as it is told to people, on one line."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text(value[:200]))
