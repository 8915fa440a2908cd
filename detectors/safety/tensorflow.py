"""Whether a TensorFlow graph touches files, the network, Python or the process, and on which way: findings with their places.

In go the graphs of a file, out come findings and what could not be looked at. How bad something is depends on what the
operator does, on what it does it to, and on when it runs (docs/decisions/0022): a file of the model's own is a note, a path
that leads outside is high, and what runs while the model is loaded is worse than what only a call runs. A Saver's own
operators, and what only saves, are nothing to tell. An operator that TensorFlow does not have may do anything, so it is told
by name.

A graph may be kept as a value and run by an operator; it is looked at like a function, to a bounded depth and number, and what
is beyond is told as not looked at.

Laws (each has a test of the same name):
    every risky operator is found wherever it is reached;
    what only saves is not reached;
    an operator that nobody knows is named.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from types import MappingProxyType
from typing import TypeAlias

from detectors.bounds import MAX_NODES
from detectors.errors import MalformedModel, ModelLimit
from detectors.facts import Finding, Severity
from detectors.protos.tensorflow_pb2 import FunctionDef, GraphDef, MetaGraphDef, NodeDef, SavedModel
from detectors.safety.tf_constants import Constants, Holder, repeats_attribute
from detectors.safety.tf_effects import SAVERS, Effect, Operator, operator
from detectors.safety.tf_reach import (
    LOCAL_VARIABLES,
    Entry,
    Graph,
    Reached,
    Scope,
    Start,
    When,
    data_inputs,
    everything,
    reach,
    starts_of,
    starts_of_saver,
)
from detectors.safety.tf_sources import (
    NOT_FOLLOWED,
    Kind,
    Source,
    Sources,
    Where,
    argument,
    constants_given,
    readable_name,
    texts_of,
    where,
)
from detectors.tree import MemoryTree
from detectors.wire import Window, layout_of, parse, shown, skeleton, text

MAX_TOLD = 2_000
"""Findings about the graphs of one model; the rest is a count. An honest model has a handful."""

MAX_JUDGED = 30_000
"""Nodes that do something and that are judged in one model: a second. The list of operators names all types of them anyway."""

MAX_OUTPUTS = 1_000
"""Outputs of a graph without signatures that are told apart."""

MAX_DEPTH = 8
"""Graphs inside the constants of each other."""

MAX_INNER_GRAPHS = 64
"""Graphs in the constants of one model."""

MAX_INNER_BYTES = 16 << 20
"""Bytes of all of them together."""

SAVERS_NAME = b"model"
"""What a Saver's file is called in a graph until somebody says otherwise (tensorflow/python/training/saver.py)."""

LAYOUT = layout_of(GraphDef.DESCRIPTOR, frozenset({"TensorProto.tensor_content", "TensorProto.string_val"}))

CRITICAL, HIGH, MEDIUM, LOW, INFO = Severity

FUNCTION_LAYOUT = layout_of(FunctionDef.DESCRIPTOR)

LEADING = frozenset(
    "NodeList.value TensorInfo.name CooSparse.values_tensor_name CooSparse.indices_tensor_name"
    " CooSparse.dense_shape_tensor_name SaverDef.filename_tensor_name SaverDef.save_tensor_name SaverDef.restore_op_name"
    " NodeDef.input NameAttrList.name NameEntry.value SavedFunction.concrete_functions"
    " SavedBareConcreteFunction.concrete_function_name ConcreteFunctionEntry.key"
    " SavedConstant.operation AssetFileDef.filename".split()
)
"""Fields that name what is run, and on what: where one is lost, a way through the graph is. No writer makes them long."""

INITIALIZERS = "BytesList.value"
"""Among others the VariableDefs of local variables, whose initializers loading runs. One is long if its snapshot's or its
slice's name is, and other collections hold long texts by right (loops), so that only these count as lost."""

FIRST_BYTES = frozenset({0x0A, 0x12, 0x1A, 0x22})
"""Keys of the fields 1 to 4 where they are messages."""

RULES: Mapping[Effect, str] = MappingProxyType(
    {
        Effect.READ: "tf-file-read",
        Effect.WRITE: "tf-file-write",
        Effect.NETWORK: "tf-network",
        Effect.PYTHON: "tf-python-code",
        Effect.PROCESS: "tf-process",
        Effect.NATIVE: "tf-native-code",
        Effect.COMPILED: "tf-native-code",
        Effect.GRAPH: "tf-hidden-graph",
    }
)

VERBS: Mapping[Effect, str] = MappingProxyType({Effect.READ: "reads", Effect.WRITE: "writes", Effect.NETWORK: "connects to"})

DOES: Mapping[Effect, tuple[Severity, str]] = MappingProxyType(
    {
        Effect.NETWORK: (MEDIUM, "talks to other processes"),
        Effect.PYTHON: (HIGH, "calls Python code that is not in the model"),
        Effect.PROCESS: (HIGH, "ends or changes the process that runs it"),
        Effect.NATIVE: (MEDIUM, "calls machine code that is not in the model"),
        Effect.COMPILED: (LOW, "runs a compiled program, which was not looked into"),
    }
)

RUNS: Mapping[When, str] = MappingProxyType(
    {
        When.LOADED: "while the model is loaded",
        When.RESTORED: "while the variables are restored, as loading does",
        When.CALLED: "whenever that is called",
        When.CHOSEN: "if somebody calls that function",
        When.UNNAMED: "if somebody computes it",
        When.NEVER: "but nothing in the model runs it",
    }
)

NUMBERS = frozenset(b"ShardedFilename ShardedFilespec".split())
"""Operators whose text begins with what they are given."""

JOINS = frozenset({b"StringJoin"})

LOADING = frozenset({When.LOADED, When.RESTORED})

LESSENED = frozenset({When.CHOSEN, When.UNNAMED})
"""What somebody may run or not: one step below a signature, and what would be high there is told as not looked at."""

LESS = MappingProxyType({HIGH: MEDIUM, MEDIUM: LOW, LOW: INFO, INFO: INFO})


@dataclass(frozen=True, slots=True)
class GraphFindings:
    """What is to be said of the graphs of one file; *unread* are (path, reason)."""

    findings: tuple[Finding, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()


def judge_saved_model(path: str, model: SavedModel, window: Window | None, lost: Set[str] = frozenset()) -> GraphFindings:
    """Return what the graphs of *model*, of the file *path*, do. Reads only such long constants as name files or are graphs.

    *window* is the file where a walk may have left out constants, None where *model* has all. *lost* are the fields, as
    `Message.field`, of which it left out some.

    Raises:
        MalformedModel: the file is broken where a constant lies.
    """
    judge, constants, nodes = _Judge(path), Constants(Holder.SAVED_MODEL, window), 0
    for number, meta in enumerate(model.meta_graphs):
        nodes += len(meta.graph_def.node) + sum(len(body.node_def) for body in meta.graph_def.library.function)
        if nodes > MAX_NODES:
            judge.not_looked_at(f"meta graphs beyond the first {number}, which have too many nodes", "MAX_NODES")
            break
        if lost & LEADING or (INITIALIZERS in lost and any(each.key == LOCAL_VARIABLES for each in meta.collection_def)):
            judge.not_looked_at("what is run by names that are too long", "MAX_LEAF_BYTES")
        tags = ", ".join(sorted({shown(text(tag)) for tag in meta.meta_info_def.tags}))
        before = f"meta graph {number + 1} {{{tags}}}" if len(model.meta_graphs) > 1 else ""
        graph = Graph(meta.graph_def, constants, number, meta, before)
        judge.graph(graph, starts_of(graph))
    return judge.told()


def judge_meta_graph(path: str, meta: MetaGraphDef, window: Window | None) -> GraphFindings:
    """Return what the graph beside a checkpoint does: while it is restored, or else if somebody chooses to run it.

    Raises:
        MalformedModel: the file is broken where a constant lies.
    """
    judge, constants = _Judge(path), Constants(Holder.META_GRAPH, window)
    judge.graph(Graph(meta.graph_def, constants, 0, meta), starts_of_saver(meta))
    return judge.told()


def judge_graph(path: str, graph: GraphDef, outputs: Iterable[bytes], window: Window | None) -> GraphFindings:
    """Return what a graph in a file of its own does when its *outputs*, nodes, are computed, or any other: nothing in the
    file says which are.

    Raises:
        MalformedModel: the file is broken where a constant lies.
    """
    judge, names = _Judge(path), list(outputs)
    starts = [Start(Entry(When.CALLED, f"output {shown(text(name))}"), (name,)) for name in names[:MAX_OUTPUTS]]
    others = chain(names[MAX_OUTPUTS:], (node.name for node in graph.node))
    starts.append(Start(Entry(When.CALLED, "other outputs"), tuple(others)))
    judge.graph(Graph(graph, Constants(Holder.GRAPH, window)), starts)
    return judge.told()


@dataclass(slots=True)
class _Seen:
    """A finding, and how many nodes it was found at."""

    finding: Finding
    count: int = 1


@dataclass(frozen=True, slots=True)
class _Graded:
    """What an operator works on: the kinds of its sources, how bad that is and in words (None where it works on nothing),
    whether all is what Savers call their file, and the operators that compute some of it."""

    kinds: frozenset[Kind]
    found: tuple[Severity, str] | None
    is_savers_name: bool
    computed: frozenset[bytes]

    @property
    def is_of_model(self) -> bool:
        """Whether no caller has a part in it: it comes from constants, assets and what the model keeps."""
        return self.kinds.isdisjoint({Kind.INPUT, Kind.SAVER}) and NOT_FOLLOWED not in self.computed


Key: TypeAlias = tuple[object, ...]


@dataclass(slots=True)
class _Judge:
    """Judges what was reached in one file, and in the graphs that its constants hold."""

    path: str
    _sources: Sources = field(default_factory=Sources)
    _told: dict[Key, _Seen] = field(default_factory=dict)
    _unread: dict[str, None] = field(default_factory=dict)
    _todo: deque[Reached] = field(default_factory=deque)
    _inner: set[tuple[str, bytes, bytes, bytes]] = field(default_factory=set)
    _inner_bytes: int = 0
    _constants: list[Constants] = field(default_factory=list)
    _graded: dict[Key, _Graded] = field(default_factory=dict)
    _queued: dict[tuple[Graph, bool], list[Source]] = field(default_factory=dict)
    _given: set[tuple[Scope, bytes]] = field(default_factory=set)
    _judged: int = 0

    def told(self) -> GraphFindings:
        """Return all that was found."""
        if self._sources.is_exhausted:
            self.not_looked_at("where all file names come from", "MAX_STEPS")
        names = dict.fromkeys(name for each in self._constants for name in each.repeated)
        twice = (_twice(self.path, f"node {shown(text(name))}") for name in islice(names, MAX_TOLD))
        return GraphFindings(
            (*map(_with_count, self._told.values()), *twice), tuple((self.path, reason) for reason in self._unread)
        )

    def graph(self, graph: Graph, starts: Iterable[Start]) -> None:
        """Judge what *starts* run of *graph*, and of the graphs in its constants."""
        self._constants.append(graph.constants)
        if graph.has_nameless:
            self.not_looked_at("functions without a name", "")
        if graph.has_too_many:
            self.not_looked_at("a graph with too many nodes that may do something", "MAX_NOTABLE")
            return
        self._todo.extend(reach(graph, starts))
        while self._todo:
            one = self._todo.popleft()
            self._judged += 1
            if self._judged > MAX_JUDGED:
                self.not_looked_at(f"nodes that do something, beyond {MAX_JUDGED} of them", "MAX_JUDGED")
                self._todo.clear()
                return
            if one.scope.graph.lacks_names:
                self.not_looked_at("parts of a graph whose names are too long", "MAX_LEAF_BYTES")
            if repeats_attribute(one.node):
                one.scope.graph.constants.repeated[bytes(one.node.name)] = None
            known = operator(one.node.op)
            if known is None:
                self._custom(one)
            elif known.effect is Effect.GRAPH:
                self._runs_graph(one, known)
            else:
                self._effect(one, known)

    def _custom(self, one: Reached) -> None:
        name = shown(text(one.node.op))
        message = f"{name} is no operator of TensorFlow: what it does is up to the library that brings it"
        self._tell(one, "tf-custom-operator", LOW, message, (name,))
        for source in constants_given(one.scope, one.node, self._given):
            if _may_be_graph(source.value):
                self._look_into(one, source, must_be=False)

    def _runs_graph(self, one: Reached, known: Operator) -> None:
        """Look into the graphs that *one* runs."""
        sources = self._arguments(one, known)
        others = [source for source in sources if source.kind is not Kind.CONSTANT or source.is_rest]
        for source in sources:
            if source.kind is Kind.CONSTANT and source.value:
                self._look_into(one, source, must_be=not others)
        if others:
            self._hidden(one, others[0])

    def _hidden(self, one: Reached, source: Source) -> None:
        whose = "its caller gives it" if source.kind in (Kind.INPUT, Kind.SAVER) else "is not written in the model"
        self.not_looked_at(f"a graph that {text(one.node.op)} runs and that {whose}", "")
        self._tell(one, "tf-hidden-graph", MEDIUM, f"{text(one.node.op)} runs a graph that {whose}", (whose,))

    def _look_into(self, one: Reached, source: Source, must_be: bool) -> None:
        """Have the graph that the constant *source* holds judged like what runs it."""
        graph = one.scope.graph
        key = (graph.before, one.scope.home.function, source.at, hashlib.sha256(source.value).digest())
        if key in self._inner:
            return
        self._inner.add(key)
        self._inner_bytes += len(source.value)
        if graph.depth == MAX_DEPTH or len(self._inner) > MAX_INNER_GRAPHS or self._inner_bytes > MAX_INNER_BYTES:
            self.not_looked_at("graphs in constants", "MAX_DEPTH, MAX_INNER_GRAPHS or MAX_INNER_BYTES")
            return
        try:
            inside, constants = _graph_in(self.path, source.value)
        except ModelLimit as exc:
            self.not_looked_at("a graph in a constant", exc.limit)
            return
        except MalformedModel:
            inside = None
        if inside is None:
            if must_be:
                self._hidden(one, source)
            return
        steps = (graph.before, one.entry.name, *one.scope.way, f"graph in constant {readable_name(source.at)}")
        inner = Graph(inside, constants, before=" → ".join(filter(None, steps)), depth=graph.depth + 1)
        self._constants.append(constants)
        if inner.has_nameless:
            self.not_looked_at("functions without a name", "")
        if inner.has_too_many:
            self.not_looked_at("a graph in a constant with too many nodes that may do something", "MAX_NOTABLE")
        else:
            self._todo.extend(everything(inner, Entry(one.entry.when, "")))

    def _effect(self, one: Reached, known: Operator) -> None:
        """Tell what the operator of *one* does, if it does it to anything.

        A Saver's operators are not told where nothing names them, unless they work on what is outside or made up, nor where
        restoring runs them on the file that it is given.
        """
        op = shown(text(one.node.op))
        if _does_whatever_it_works_on(known):
            severity, does = DOES[known.effect]
            self._tell(one, RULES[known.effect], severity, f"{op} {does}", ())
            return
        is_saver = one.node.op in SAVERS
        if is_saver and one.entry.when is When.NEVER:
            return
        texts = texts_of(one.node, known.attributes)
        effect = _effect_on(texts, known)
        graded = self._grades(one, known, effect, tuple(texts))
        if one.entry.when in LOADING and not graded.kinds.isdisjoint({Kind.ASSET, Kind.SAVER}):
            self._when_called(one, known, effect, tuple(texts))
        if is_saver and one.entry.when is When.RESTORED and graded.kinds <= {Kind.SAVER, Kind.INPUT}:
            return
        if graded.found is None:
            return
        if is_saver and one.entry.when is When.UNNAMED and graded.found[0] is not HIGH and not _is_made_up(one, graded):
            return
        if Kind.UNREAD in graded.kinds:
            self.not_looked_at("a constant that names files", "MAX_CONSTANT_BYTES")
        severity, does = graded.found
        if one.entry.when in LOADING and not is_saver and effect is Effect.WRITE and severity is MEDIUM:
            self._tell(one, RULES[effect], HIGH, f"{op} {does}", (does,), is_final=True)
            return
        if is_saver and graded.is_savers_name:
            severity = INFO
        if _is_made_up(one, graded):
            if one.entry.when not in LOADING and effect is not Effect.READ and graded.is_of_model:
                severity = HIGH
            else:
                self.not_looked_at(f"what {op} {VERBS[effect]}, for its name is made up while it runs", "")
        self._tell(one, RULES[effect], severity, f"{op} {does}", (does,))

    def _when_called(self, one: Reached, known: Operator, effect: Effect, texts: tuple[bytes, ...]) -> None:
        """Tell what *one*, which loading runs on an asset, does to the outside where a signature runs it as well: loaders feed
        the asset, and signatures do not."""
        graph = one.scope.graph
        if one.scope.function is None and one.node.name not in graph.called:
            return
        called = Reached(Entry(When.CALLED, "a signature"), one.scope, one.node)
        found = self._grades(called, known, effect, texts).found
        if found is not None and found[0] is HIGH:
            self._tell(called, RULES[effect], HIGH, f"{shown(text(one.node.op))} {found[1]}", (found[1],))

    def _grades(self, one: Reached, known: Operator, effect: Effect, texts: tuple[bytes, ...]) -> _Graded:
        """Return what is to be said of what *one* works on: once for all nodes of one operator that work on the same."""
        key: Key = (one.scope, one.node.op, effect, texts, one.entry.when in LOADING, *_names_of(one, known))
        if key not in self._graded:
            sources = self._arguments(one, known)
            kinds = frozenset(source.kind for source in sources)
            is_savers_name = all(source.value == SAVERS_NAME for source in sources)
            computed = frozenset(source.value for source in sources if source.kind is Kind.COMPUTED)
            self._graded[key] = _Graded(kinds, _worst(effect, sources, texts), is_savers_name, computed)
        return self._graded[key]

    def _arguments(self, one: Reached, known: Operator) -> list[Source]:
        """Return where that comes from what *one* works on."""
        names, is_fed = _names_of(one, known), one.entry.when in LOADING
        found = self._sources.of(one.scope, names, is_fed)
        if known.of_queue:
            found += self._in_queues(one.scope.graph, is_fed)
        is_told = known.attributes or (found and len(names) == len(known.inputs))
        return found if is_told else [*found, Source(Kind.COMPUTED, b"nothing")]

    def _in_queues(self, graph: Graph, is_fed: bool) -> list[Source]:
        """Return what is put into the queues of *graph*."""
        found = self._queued.get((graph, is_fed))
        if found is None:
            found = [each for scope, node in graph.enqueued for each in self._sources.of(scope, data_inputs(node)[1:], is_fed)]
            self._queued[graph, is_fed] = found
        return found

    def _tell(
        self, one: Reached, rule: str, severity: Severity, message: str, apart: tuple[str, ...], is_final: bool = False
    ) -> None:
        """Keep a finding, or count it where the same was told of another node of the same graph or function.

        *apart* is what keeps findings of one operator apart. Notes are told once for a graph, unknown operators once.
        What would be high in a signature, and is less for somebody has to choose it, keeps the scan from being clean.
        *is_final* tells that *severity* allows for when it runs.
        """
        if severity is HIGH and one.entry.when in LESSENED:
            self.not_looked_at(f"whether anybody runs {shown(text(one.node.op))}, which no signature leads to", "")
        severity = severity if is_final else _when(severity, one.entry.when, rule)
        key: Key = (rule, one.node.op, severity, *apart, one.scope.graph.before, one.scope.home.function)
        if severity is INFO:
            key = (rule, one.node.op, one.entry.when is When.NEVER, one.scope.graph.before)
        if rule == "tf-custom-operator":
            key = (rule, one.node.op)
        if key in self._told:
            self._told[key].count += 1
        elif len(self._told) < MAX_TOLD:
            runs = RUNS[one.entry.when]
            self._told[key] = _Seen(Finding(rule, severity, self.path, one.place, f"{message}, {runs}"))
        else:
            self.not_looked_at(f"findings beyond {MAX_TOLD}", "MAX_TOLD")

    def not_looked_at(self, what: str, limit: str) -> None:
        """Keep that *what* was left out because of *limit*."""
        self._unread[f"not looked at: {what}" + (f" (limit {limit})" if limit else "")] = None


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be said of an operator that stands alone. *is_known* tells that all that it works on is known."""

    rule: str
    severity: Severity
    message: str
    is_known: bool = True


def judge_alone(node: NodeDef, argument: Callable[[int], Iterable[Source]]) -> Told | None:
    """Return what *node* does where it is called outside of any graph, None for nothing. *argument* gives the sources of the
    input at a place, and is asked for those alone that say what the operator works on.
    """
    op, known = shown(text(node.op)), operator(node.op)
    if known is None:
        return Told("tf-custom-operator", LOW, f"{op} is not an operator of TensorFlow")
    if known.effect is Effect.GRAPH or known.calls:
        return Told("tf-hidden-graph", MEDIUM, f"{op} runs a graph or a function that is not in the file", is_known=False)
    if known.effect in (Effect.PURE, Effect.MEMORY):
        return None
    if _does_whatever_it_works_on(known):
        severity, does = DOES[known.effect]
        return Told(RULES[known.effect], severity, f"{op} {does}")
    texts = texts_of(node, known.attributes)
    effect = _effect_on(texts, known)
    sources = [source for place in known.inputs for source in argument(place)]
    if not (sources or texts):
        sources = [Source(Kind.COMPUTED, b"nothing")]
    found = _worst(effect, sources, texts)
    if found is None:
        return None
    is_known = all(source.kind is Kind.CONSTANT for source in sources)
    return Told(RULES[effect], found[0], f"{op} {found[1]}", is_known)


def _does_whatever_it_works_on(known: Operator) -> bool:
    """Tell whether that is to be told of an operator which it does, and not what it does that to."""
    return known.effect in DOES and (known.effect is not Effect.NETWORK or not known.works_on)


def _effect_on(texts: Iterable[bytes], known: Operator) -> Effect:
    """Return the effect of an operator whose attributes are *texts*: one that logs writes where it is told a file."""
    return Effect.WRITE if any(each.startswith(b"file:") for each in texts) else known.effect


def _names_of(one: Reached, known: Operator) -> list[bytes]:
    """Return the inputs of *one* that it works on."""
    return [name for place in known.inputs for name in argument(one.node, place)]


def _is_made_up(one: Reached, graded: _Graded) -> bool:
    """Tell whether an operator makes the name that *one* works on, so that what stands in the model does not tell it.

    Savers number their files, and put parts of the name that they are given together: where all nodes count as run, and while
    loading restores, that is nothing to tell.
    """
    when, graph, computed = one.entry.when, one.scope.graph, graded.computed
    if when is When.NEVER or (one.node.op in SAVERS and when in LOADING):
        return False
    is_any_node = when is When.UNNAMED or (graph.meta is None and graph.depth == 0)
    if one.node.op in SAVERS and is_any_node:
        computed -= NUMBERS if graded.is_of_model else NUMBERS | JOINS
    return bool(computed)


def _twice(path: str, place: str) -> Finding:
    message = "has an attribute several times; TensorFlow takes the last"
    return Finding("tf-duplicate-field", MEDIUM, path, place, message)


def _with_count(one: _Seen) -> Finding:
    if one.count == 1:
        return one.finding
    return replace(one.finding, message=f"{one.finding.message}; and so do {one.count - 1} more nodes")


def _when(severity: Severity, when: When, rule: str) -> Severity:
    """Return how bad something is that would be *severity* in a signature."""
    if when is When.NEVER:
        return INFO
    if when in LESSENED:
        return LESS[severity]
    is_worse = when in LOADING and severity is HIGH and rule != RULES[Effect.READ]
    return CRITICAL if is_worse else severity


def _worst(effect: Effect, sources: Iterable[Source], texts: Iterable[bytes]) -> tuple[Severity, str] | None:
    """Return how bad it is to do *effect* to the worst of *sources* and *texts*, and in words; None where there is nothing."""
    sources = [*sources, *(Source(Kind.CONSTANT, each) for each in texts)]
    found = [one for source in sources if (one := _grade(effect, source)) is not None]
    return max(found, key=lambda one: (one[0], one[1][0] is HIGH))[1] if found else None


def _grade(effect: Effect, source: Source) -> tuple[int, tuple[Severity, str]] | None:
    """Return a rank, how bad it is to do *effect* to *source*, and that in words; None where it does nothing."""
    verb, name = VERBS[effect], readable_name(source.value)
    if source.kind in (Kind.CONSTANT, Kind.ASSET):
        leads = where(source.value, source.is_rest)
        if leads is Where.NOWHERE:
            return None
        if effect is Effect.NETWORK:
            return 5, (HIGH, f"{verb} {name}")
        if leads is Where.OUTSIDE:
            return 5, (HIGH, f"{verb} {name}, which is not in the model")
        if source.kind is Kind.ASSET:
            return 0, (INFO if effect is Effect.READ else MEDIUM, f"{verb} {name}, an asset of the model")
        lesser = LOW if effect is Effect.READ else MEDIUM
        return 1, (lesser, f"{verb} {name}, seen from wherever the process was started")
    if source.kind is Kind.UNREAD:
        return 4, (MEDIUM, f"{verb} what the constant {name} names, which is too long to be read")
    if source.kind is Kind.COMPUTED:
        return 2, (MEDIUM, f"{verb} what is named while it runs")
    return 3, (MEDIUM, f"{verb} whatever its caller names")


def _may_be_graph(value: bytes) -> bool:
    """Tell whether *value* begins like a GraphDef or a FunctionDef: with a message of some length."""
    return len(value) > 8 and value[0] in FIRST_BYTES


def _graph_in(path: str, value: bytes) -> tuple[GraphDef | None, Constants]:
    """Return the graph, or the body of the function, that *value* is, None where it is neither; and its constants.

    Raises:
        MalformedModel: it is no message.
        ModelLimit: it is larger than `wire` allows.
    """
    window = Window(MemoryTree({path: value}), path, len(value))
    found = skeleton(window, LAYOUT)
    graph = parse(found, GraphDef())
    nodes = (*graph.node, *(node for function in graph.library.function for node in function.node_def))
    if any(operator(node.op) is not None for node in nodes):
        return graph, Constants(Holder.GRAPH, None if found.is_whole else window)
    function = parse(skeleton(window, FUNCTION_LAYOUT), FunctionDef())
    if any(operator(node.op) is not None for node in function.node_def):
        return GraphDef(node=function.node_def), Constants()
    return None, Constants()
