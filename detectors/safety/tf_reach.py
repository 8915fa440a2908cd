"""What runs when a TensorFlow graph is loaded, called or restored, and on which way.

In goes a MetaGraphDef, out come the nodes that may do something to the outside, each with the entry that reaches it first and
the functions between. Entries are looked at worst first: what runs while the model is loaded, what a serving signature runs,
what the functions of its objects run once somebody calls them. What only saves is left out: nobody who serves or loads a model
runs it. What nothing reaches is told apart.

Only what matters is kept: an operator that is known to do nothing, and calls nothing, is passed over (`tf_effects`). Nothing
calls itself here, and each node is looked at once for each entry that is fed in the middle of the graph, so time and memory
are proportional to the graph.

Laws (each has a test of the same name):
    a node is reached whatever the depth of functions above it;
    what only saves is not reached.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property, lru_cache
from itertools import chain, islice
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from google.protobuf.message import DecodeError

from detectors.protos.tensorflow_pb2 import FunctionDef, GraphDef, MetaGraphDef, NodeDef, TensorInfo, VariableDef
from detectors.safety.tf_constants import Constants, Home
from detectors.safety.tf_effects import ENQUEUES, Effect, is_worth_a_look, operator
from detectors.safety.tf_objects import Bound, Callable, callables_of
from detectors.tf_assets import asset_files
from detectors.tf_ops import MAX_OUTPUTS, output_dtypes, registered_ops
from detectors.wire import shown, text

INIT_SIGNATURE = b"__saved_model_init_op"
"""tensorflow/python/saved_model/constants.py, INIT_OP_SIGNATURE_KEY."""

INIT_COLLECTIONS = (b"saved_model_main_op", b"legacy_init_op", b"main_op", b"table_initializer")
"""The same, MAIN_OP_KEY and LEGACY_INIT_OP_KEY, and what TensorFlow 2 runs of an older model
(tensorflow/python/saved_model/load_v1_in_v2.py): collections of what loaders run."""

LOCAL_VARIABLES = b"local_variables"
"""The collection of variables that the same initializes."""

OTHER_SPELLING = re.compile(rb":0\d")
"""An output with zeros before its number, which TensorFlow reads like one without."""

MAX_FEEDS_APART = 4
"""Sets of tensors that signatures are fed in the middle of the graph, and that are told apart. Behind more of them, what lies
above such a tensor counts as reached."""

MAX_FUNCTIONS_TOLD = 6
"""Functions on one way that are told; of a longer one, the first two and the last."""


SMALL_GRAPH = 2_000
"""Up to so many nodes, an index of all costs less than finding those that matter."""

MAX_NOTABLE = 100_000
"""Nodes of one graph and its functions that do something, call functions or fill queues: a second. Honest ones have few."""

MAX_LEADING_ON = 20_000
"""Nodes that run after one that does something, and that are kept apart from the others."""

MAX_PASSES = 4
"""Passes over a graph to find them."""

INPUTS, NAME, OPERATOR = attrgetter("input"), attrgetter("name"), attrgetter("op")

INTERFACE = b"api_implements"
"""The attribute of functions that do the same on different devices
(tensorflow/core/grappler/optimizers/implementation_selector.cc)."""

GRADIENT = b"SymbolicGradient"

QUIET = frozenset({Effect.PURE, Effect.MEMORY})


class When(IntEnum):
    """When an entry runs, worst first."""

    LOADED = 0
    """While the model is loaded: its init op, and the functions that set up its resources."""
    RESTORED = 1
    """While the variables are restored, which loading does as well."""
    CALLED = 2
    """When a signature is called, or the model itself in Python, or an output of a graph is computed."""
    CHOSEN = 3
    """When somebody loads the model in Python and calls a function of its objects."""
    SAVED = 4
    """When somebody saves it again."""
    UNNAMED = 5
    """When somebody computes a node of a graph that has no signature, so that callers choose one themselves."""
    NEVER = 6
    """Nothing that the model names leads there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a way begins: when, and its readable name."""

    when: When
    name: str


@dataclass(frozen=True, slots=True)
class Start:
    """An entry with the tensors or nodes it runs, those it is fed instead of computing them, and the functions it calls."""

    entry: Entry
    tensors: tuple[bytes, ...] = ()
    fed: frozenset[bytes] = frozenset()
    functions: tuple[Callable, ...] = ()


@dataclass(eq=False)
class Scope:
    """Nodes that name each other: the graph itself, or the body of a function.

    callers are the nodes elsewhere that run it, *bound* what the objects of the model bind to its last arguments.
    """

    nodes: Sequence[NodeDef]
    graph: Graph
    home: Home
    function: FunctionDef | None = None
    callers: dict[tuple[int, bytes], tuple[Scope, NodeDef]] = field(default_factory=dict)
    bound: list[tuple[Bound, ...]] = field(default_factory=list)
    way: tuple[str, ...] = ()
    _inputs: dict[bytes, list[bytes]] = field(default_factory=dict)

    def inputs_of(self, node: NodeDef) -> list[bytes]:
        """Return the inputs of *node*, one of its nodes, that are tensors. They are kept: many nodes may share one that has
        many."""
        found = self._inputs.get(node.name)
        if found is None:
            found = self._inputs[bytes(node.name)] = data_inputs(node)
        return found

    @cached_property
    def by_name(self) -> Mapping[bytes, int]:
        """The places of the nodes by their names."""
        return {node.name: place for place, node in enumerate(self.nodes)}

    @cached_property
    def arguments(self) -> Mapping[bytes, int]:
        """The places of the arguments by their names."""
        return {arg.name: at for at, arg in enumerate(self.function.signature.input_arg)} if self.function is not None else {}

    def called_by(self, caller: Scope, node: NodeDef) -> None:
        """Note that *node* of *caller* runs it."""
        self.callers[id(caller), node.name] = caller, node

    def node(self, name: bytes) -> NodeDef | None:
        """Return the node called *name*."""
        place = self.by_name.get(name)
        return self.nodes[place] if place is not None else None


class Notable(NamedTuple):
    """A node that is worth a look: what it calls, whether it does something itself, and whether it fills a queue."""

    place: int
    node: NodeDef
    calls: tuple[bytes, ...] = ()
    acts: bool = False
    enqueues: bool = False


@dataclass(frozen=True, eq=False)
class Reached:
    """A node that may do something, where it stands, and the entry that runs it."""

    entry: Entry
    scope: Scope
    node: NodeDef

    @property
    def place(self) -> str:
        """The way from the entry to the node, readable."""
        steps = (self.scope.graph.before, self.entry.name, *self.scope.way, f"node {shown(text(self.node.name))}")
        return " → ".join(filter(None, steps))


@dataclass(eq=False)
class Graph:
    """A graph with its functions, and what is known of its surroundings.

    number is its place among the graphs of its file, before what stands before the places of its nodes, depth how many
    constants lie around it.
    """

    graph: GraphDef
    constants: Constants
    number: int = 0
    meta: MetaGraphDef | None = None
    before: str = ""
    depth: int = 0
    scopes: dict[bytes, Scope] = field(default_factory=dict)
    enqueued: list[tuple[Scope, NodeDef]] = field(default_factory=list)

    @cached_property
    def functions(self) -> Mapping[bytes, FunctionDef]:
        """The functions of its library by their names; one without a name is none, so b"" stands for the graph itself."""
        named = ((function.signature.name, function) for function in self.graph.library.function)
        return {name: function for name, function in named if name}

    @property
    def has_nameless(self) -> bool:
        """Whether functions have no name, or lost it: they are not looked into."""
        return any(not function.signature.name for function in self.graph.library.function)

    @cached_property
    def lacks_names(self) -> bool:
        """Whether the walk left out names, which are then empty: what leads where is not known for sure."""
        if self.constants.window is None:
            return False
        bodies = self.functions.values()
        named = chain(self.graph.node, *(chain(body.node_def, body.signature.input_arg) for body in bodies))
        return b"" in map(NAME, named)

    @cached_property
    def notable(self) -> Mapping[bytes, list[Notable]]:
        """The nodes of each function that are worth a look, those of the graph itself under b""."""
        found = {b"": list(islice(self._notable(self.graph.node), MAX_NOTABLE + 1))}
        left = MAX_NOTABLE - len(found[b""])
        for name, function in self.functions.items():
            found[name] = list(islice(self._notable(function.node_def), max(left, 0) + 1))
            left -= len(found[name])
        return found

    @property
    def has_too_many(self) -> bool:
        """Whether more nodes are worth a look than are looked at."""
        return sum(map(len, self.notable.values())) > MAX_NOTABLE

    def _notable(self, nodes: Sequence[NodeDef]) -> Iterator[Notable]:
        if len(nodes) <= SMALL_GRAPH:
            return (self.look_at(node, place) for place, node in enumerate(nodes) if is_worth_a_look(node.op))
        wanted = set(filter(is_worth_a_look, set(map(OPERATOR, nodes))))
        places = (place for place, op in enumerate(map(OPERATOR, nodes)) if op in wanted) if wanted else ()
        return (self.look_at(nodes[place], place) for place in places)

    @cached_property
    def matters(self) -> frozenset[bytes]:
        """The functions that do something, or call one that does; b"" where the graph itself does."""
        callers: dict[bytes, list[bytes]] = {after: [name] for name, after in self.stand_ins.items()}
        todo = list[bytes]()
        for name, nodes in self.notable.items():
            for one in nodes:
                for called in one.calls:
                    callers.setdefault(called, []).append(name)
            if any(one.acts for one in nodes):
                todo.append(name)
        found = set[bytes]()
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += callers.get(name, ())
        return frozenset(found)

    def look_at(self, node: NodeDef, place: int = -1) -> Notable:
        """Return what *node* does and calls."""
        op = node.op
        if op in self.functions:
            return Notable(place, node, (op,))
        known = operator(op)
        acts = known is None or known.effect not in QUIET
        if known is not None and not known.calls:
            return Notable(place, node, (), acts, op in ENQUEUES)
        names = list(functions_of(node, known.calls if known is not None else None))
        gradients = [self.gradients[name] for name in names if name in self.gradients] if op == GRADIENT else []
        return Notable(place, node, (*names, *gradients), acts)

    def leads_on(self, one: Notable) -> bool:
        """Tell whether *one* does something, or calls what does."""
        return one.acts or not self.matters.isdisjoint(one.calls)

    def scope_of(self, name: bytes, way: tuple[str, ...] = ()) -> Scope:
        """Return the body of the function *name*, which there is; *way* leads to it where nobody has been there before."""
        scope = self.scopes.get(name)
        if scope is None:
            function = self.functions[name]
            scope = Scope(function.node_def, self, Home(self.number, bytes(name)), function, way=way)
            self.scopes[bytes(name)] = scope
        return scope

    @cached_property
    def stand_ins(self) -> Mapping[bytes, bytes]:
        """Of each function that others may run in place of, the next of these, the last leading to the first again.

        TensorFlow chooses by device among the functions of one interface.
        """
        interfaces: dict[bytes, list[bytes]] = {}
        for name, function in self.functions.items():
            values = [entry.value.s for entry in function.attr if entry.key == INTERFACE]
            for value in values[-1:]:
                interfaces.setdefault(value, []).append(name)
        return {name: after for names in interfaces.values() for name, after in zip(names, [*names[1:], names[0]], strict=True)}

    @cached_property
    def gradients(self) -> Mapping[bytes, bytes]:
        """The functions that compute gradients, by the functions whose gradients they are."""
        return {one.function_name: one.gradient_func for one in self.graph.library.gradient}

    @cached_property
    def main(self) -> Scope:
        """The nodes of the graph itself."""
        return Scope(self.graph.node, self, Home(self.number))

    @cached_property
    def assets(self) -> Mapping[bytes, bytes]:
        """The files that constants stand for, by the names of their nodes."""
        files = asset_files(self.meta) if self.meta is not None else ()
        return {node_of(file.tensor_info.name): bytes(file.filename) for file in files}

    @cached_property
    def called(self) -> frozenset[bytes]:
        """The nodes of the graph itself that signatures lead to, also those that loading runs first."""
        starts = starts_of(self) if self.meta is not None else ()
        todo = [node_of(name) for start in starts if start.entry.when is When.CALLED for name in start.tensors]
        found = set[bytes]()
        while todo:
            name = todo.pop()
            node = self.main.node(name) if name not in found else None
            if node is not None:
                found.add(name)
                todo += map(node_of, node.input)
        return frozenset(found)

    @cached_property
    def filename(self) -> bytes:
        """The node that a Saver is fed its file name by."""
        return node_of(self.meta.saver_def.filename_tensor_name) if self.meta is not None else b""


def node_of(tensor: bytes) -> bytes:
    """Return the node that the tensor or input *tensor* comes from: `x`, `x:1`, `^x`, or in a function `x:y:1`."""
    return bytes(tensor).removeprefix(b"^").partition(b":")[0]


def data_inputs(node: NodeDef) -> list[bytes]:
    """Return the inputs of *node* that are tensors; those that only have to run before come last and begin with `^`."""
    return [name for name in node.input if not name.startswith(b"^")]


def functions_of(node: NodeDef, attributes: frozenset[bytes] | None) -> Iterator[bytes]:
    """Yield the functions that the *attributes* of *node* name, None for all, with those that are attributes of these."""
    todo = [entry.value for entry in node.attr if attributes is None or entry.key in attributes]
    while todo:
        value = todo.pop()
        for one in [value.func] if value.HasField("func") else value.list.func:
            yield one.name
            todo += (entry.value for entry in one.attr)


def reach(graph: Graph, starts: Iterable[Start]) -> list[Reached]:
    """Return the nodes of *graph* that do something and that *starts* run, then those that nothing runs.

    Calls of functions are followed; what only an entry of `When.SAVED` runs is left out.
    """
    if not graph.matters:
        return []
    return _Reach(graph).all_of(sorted(starts, key=lambda start: start.entry.when))


def starts_of(graph: Graph) -> Iterator[Start]:
    """Yield the entries of a graph of a SavedModel, without functions that do nothing."""
    meta = graph.meta if graph.meta is not None else MetaGraphDef()
    for signature in meta.signature_def:
        tensors = tuple(name for entry in signature.value.outputs for name in _tensors(entry.value))
        fed = frozenset(_tensor(name) for entry in signature.value.inputs for name in _tensors(entry.value))
        if signature.key == INIT_SIGNATURE:
            yield Start(Entry(When.LOADED, "init op"), tensors)
        else:
            yield Start(Entry(When.CALLED, f"signature {shown(text(signature.key))}"), tensors, fed)
    for collection in meta.collection_def:
        if collection.key in INIT_COLLECTIONS:
            yield Start(Entry(When.LOADED, "init op"), tuple(collection.value.node_list.value))
        elif collection.key == LOCAL_VARIABLES:
            yield Start(Entry(When.LOADED, "init op"), tuple(_initializers(collection.value.bytes_list.value)))
    yield from starts_of_saver(meta)
    for one in callables_of(meta, graph.matters):
        yield Start(Entry(_when(one), f"object {one.name}"), functions=(one,))
    if all(signature.key == INIT_SIGNATURE for signature in meta.signature_def):
        yield Start(Entry(When.UNNAMED, "no signature"), tuple(node.name for node in meta.graph_def.node))


def _when(one: Callable) -> When:
    """Return when the function *one* of an object runs."""
    if one.is_setup:
        return When.LOADED
    if one.restores:
        return When.RESTORED
    if one.is_called:
        return When.CALLED
    return When.SAVED if one.saves else When.CHOSEN


def starts_of_saver(meta: MetaGraphDef) -> Iterator[Start]:
    """Yield what saves and restores the variables of *meta*; loading a model restores them."""
    saver = meta.saver_def
    fed = frozenset([_tensor(saver.filename_tensor_name)])
    if saver.restore_op_name:
        yield Start(Entry(When.RESTORED, "restore op"), (saver.restore_op_name,), fed)
    if saver.save_tensor_name:
        yield Start(Entry(When.SAVED, "save op"), (saver.save_tensor_name,), fed)


def _initializers(variables: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what initializes *variables*, each a VariableDef; one that is none is passed over, as no loader gets past it."""
    for one in variables:
        try:
            yield VariableDef.FromString(one).initializer_name
        except DecodeError:
            continue


def everything(graph: Graph, entry: Entry) -> list[Reached]:
    """Return the nodes that matter of a graph all of whose nodes *entry* runs."""
    return _Reach(graph).all_of([Start(entry, tuple(node.name for node in graph.graph.node))])


def _tensors(info: TensorInfo) -> Iterator[bytes]:
    """Yield the tensors that *info* names: one, those of a sparse one, or those of all its components."""
    todo = [info]
    while todo:
        one = todo.pop()
        sparse = one.coo_sparse
        names = (one.name, sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
        yield from filter(None, names)
        todo += one.composite_tensor.components


def _tensor(name: bytes) -> bytes:
    """Return the tensor *name* in full: the first output of a node has the node's own name."""
    return name if b":" in name else bytes(name) + b":0"


def _leading_on(graph: Graph) -> Mapping[bytes, int]:
    """Return the places, by their names, of the nodes that do something or run after one that does; at least those.

    Everybody else is of no interest to a search for what does something. Most graphs have few such nodes, so this saves an
    index of all: one pass finds them where nodes stand behind their inputs, as they mostly do, and another makes sure. Where
    there are many, or passes do not end, all nodes are returned.
    """
    nodes, main = graph.graph.node, graph.main
    if len(nodes) <= SMALL_GRAPH or OTHER_SPELLING.search(b"\n".join(chain.from_iterable(map(INPUTS, nodes)))):
        return main.by_name
    found: dict[bytes, int] = {}
    outputs = set[bytes]()
    for one in filter(graph.leads_on, graph.notable[b""]):
        found[one.node.name] = one.place
        if not _add_outputs(one.node, outputs) or len(found) > MAX_LEADING_ON:
            return main.by_name
    todo: Iterable[int] = range(min(found.values(), default=0), len(nodes))
    for _ in range(MAX_PASSES):
        for place in todo:
            node = nodes[place]
            if not outputs.isdisjoint(node.input) and node.name not in found:
                found[node.name] = place
                if not _add_outputs(node, outputs) or len(found) > MAX_LEADING_ON:
                    return main.by_name
        behind = [place for place, names in enumerate(map(INPUTS, nodes)) if not outputs.isdisjoint(names)]
        if len(behind) <= len(found) and all(nodes[place].name in found for place in behind):
            return found
        todo = range(len(nodes))
    return main.by_name


def _add_outputs(node: NodeDef, outputs: set[bytes]) -> bool:
    """Add all names that inputs may have for *node*; tell whether these are all."""
    op, name = node.op, bytes(node.name)
    count = _outputs_of(op)
    if count is None:
        count = len(output_dtypes(node)) if operator(op) is not None else MAX_OUTPUTS
    outputs.update((name, b"^" + name, *(b"%s:%d" % (name, at) for at in range(max(count, 1)))))
    return count < MAX_OUTPUTS


@lru_cache(maxsize=1024)
def _outputs_of(op: bytes) -> int | None:
    """Return how many outputs the operator *op* has, None where that depends on the node, or is not known."""
    words = registered_ops().get(text(op))
    return len(words.split()) if words is not None and "*" not in words else None


Calls: TypeAlias = deque[Scope]


class _Reach:
    """One traversal: which nodes of the graph were seen, and which functions."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._main = graph.main
        self._found: list[Reached] = []
        self._places = _leading_on(graph) if b"" in graph.matters else {}
        self._notable = {one.place: one for one in graph.notable[b""]}
        self._seen: set[int] = set()
        self._seen_apart: dict[frozenset[bytes], set[int]] = {}
        self._told: set[int] = set()

    def all_of(self, starts: Iterable[Start]) -> list[Reached]:
        """Follow *starts*, worst first."""
        for start in starts:
            calls: Calls = deque()
            self._through_the_graph(start, calls)
            for one in start.functions:
                called = self._call(one.function, self._main, calls)
                if called is not None:
                    called.bound.append(one.bound)
            self._through_functions(start.entry, calls)
        self._what_nothing_reaches()
        return [one for one in self._found if one.entry.when is not When.SAVED]

    def _through_the_graph(self, start: Start, calls: Calls) -> None:
        """Note the nodes of the graph itself that *start* runs."""
        places, nodes, whole = self._places, self._main.nodes, self._seen
        cut = self._cut(start)
        seen = self._seen_apart.setdefault(cut, set()) if cut else whole
        todo = [
            place for name in start.tensors if (place := places.get(node_of(name))) is not None and _tensor(name) not in cut
        ]
        while todo:
            place = todo.pop()
            if place in seen or place in whole:
                continue
            seen.add(place)
            if place in self._notable and place not in self._told:
                self._told.add(place)
                self._note(start.entry, self._main, self._notable[place], calls)
            for name in nodes[place].input:
                if cut and _tensor(name) in cut:
                    continue
                above = places.get(name)
                if above is None:
                    above = places.get(node_of(name))
                if above is not None and above not in seen:
                    todo.append(above)

    def _cut(self, start: Start) -> frozenset[bytes]:
        """Return the tensors that *start* is fed though nodes would compute them, empty where too many starts have some."""
        places = ((name, self._places.get(node_of(name))) for name in start.fed)
        cut = frozenset(name for name, place in places if place is not None and self._main.nodes[place].input)
        return cut if len(self._seen_apart) < MAX_FEEDS_APART or cut in self._seen_apart else frozenset()

    def _through_functions(self, entry: Entry, calls: Calls) -> None:
        while calls:
            scope = calls.popleft()
            for one in self._graph.notable[scope.home.function]:
                self._note(entry, scope, one, calls)

    def _note(self, entry: Entry, scope: Scope, one: Notable, calls: Calls) -> None:
        """Keep a node if it does something, and follow what it calls."""
        for name in one.calls:
            called = self._call(name, scope, calls)
            if called is not None:
                called.called_by(scope, one.node)
        if one.enqueues:
            self._graph.enqueued.append((scope, one.node))
        if one.acts:
            self._found.append(Reached(entry, scope, one.node))

    def _call(self, name: bytes, caller: Scope, calls: Calls) -> Scope | None:
        """Return the function *name*, which *caller* runs, and have it looked into if that is new; None where it does
        nothing."""
        if name not in self._graph.matters or not name:
            return None
        found, after = self._graph.scopes.get(name), name
        while after not in self._graph.scopes:
            place = f"function {shown(text(after))}"
            way = (*caller.way, place) if len(caller.way) < MAX_FUNCTIONS_TOLD else (*caller.way[:2], "…", place)
            scope = self._graph.scope_of(after, way)
            found = found or scope
            scope.callers, scope.bound = found.callers, found.bound  # who calls one calls those that stand in for it
            calls.append(scope)
            after = self._graph.stand_ins.get(after, after)
        return found

    def _what_nothing_reaches(self) -> None:
        """Note what the graph and its functions hold beside that."""
        entry = Entry(When.NEVER, "not reached")
        calls: Calls = deque()
        seen = self._seen.union(*self._seen_apart.values())
        for one in self._graph.notable[b""]:
            if one.place not in seen:
                self._note(entry, self._main, one, calls)
        self._through_functions(entry, calls)
        for name in self._graph.functions:
            self._call(name, self._main, calls)
            self._through_functions(entry, calls)
