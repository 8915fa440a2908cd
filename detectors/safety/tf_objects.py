"""The functions of a SavedModel's objects: what Python may call once the model is loaded, and what loading calls itself.

In goes a MetaGraphDef, out come its functions with readable names and what their last arguments are bound to. The object graph
is a graph of places that name each other as children (tensorflow/core/protobuf/saved_object_graph.proto); it may have rings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from detectors.protos.tensorflow_pb2 import MetaGraphDef, SavedObject, SavedObjectGraph
from detectors.wire import shown, text

SETUP = frozenset({b"_create_resource", b"_initialize", b"_destroy_resource"})
"""What loading calls for each resource, and what dropping the model calls (tensorflow/python/trackable/resource.py): nobody has
to choose them."""

CALL, SIGNATURES = b"__call__", b"signatures"
"""What Python calls where somebody calls the model itself, and the object that keeps its signatures
(tensorflow/python/saved_model/load.py, signature_serialization.py)."""

MAX_STEPS_TOLD = 8
"""Attributes of objects on one way that are told."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What an argument of a function is bound to: the file of an *asset*, the *constant* node of the graph, or neither."""

    asset: bytes | None = None
    constant: bytes | None = None


@dataclass(frozen=True, slots=True)
class Callable:
    """A function of an object: is_setup tells that loading calls it, is_called that whoever uses the model as it is meant to
    be used does, the others that a Saver does."""

    name: str
    function: bytes
    bound: tuple[Bound, ...] = ()
    is_setup: bool = False
    is_called: bool = False
    saves: bool = False
    restores: bool = False


def callables_of(meta: MetaGraphDef, only: Container[bytes]) -> Iterator[Callable]:
    """Yield those functions of the objects of *meta* that *only* holds, one as often as objects have it."""
    objects = meta.object_graph_def
    found = [(place, name) for place, one in enumerate(objects.nodes) for name in _functions_of(one) if name in only]
    if not found:
        return
    bound = {entry.key: entry.value.bound_inputs for entry in objects.concrete_functions}
    names = _names(objects)
    savers, restorers = _saver_functions(objects)
    setup = {child.node_id for one in objects.nodes for child in one.children if child.local_name in SETUP}
    called = _called(objects)
    known = dict[int, Bound]()
    for place, function in found:
        name = names.get(place, f"number {place}")
        values = tuple(_bound(meta, at, known) for at in bound.get(function, ()))
        only_saves = place in savers and place not in names  # else Python can call it by its name
        yield Callable(name, function, values, place in setup, place in called, only_saves, place in restorers)


def _functions_of(one: SavedObject) -> Sequence[bytes]:
    if one.HasField("function"):
        return one.function.concrete_functions
    return (one.bare_concrete_function.concrete_function_name,) if one.HasField("bare_concrete_function") else ()


def _called(objects: SavedObjectGraph) -> set[int]:
    """Return the places of the root, should it be a function, of its `__call__`, and of its signatures."""
    root = objects.nodes[0].children
    signatures = [
        objects.nodes[one.node_id] for one in root if one.local_name == SIGNATURES and _is_place(objects, one.node_id)
    ]
    called = {one.node_id for one in root if one.local_name == CALL}
    return {0} | called | {child.node_id for one in signatures for child in one.children}


def _is_place(objects: SavedObjectGraph, place: int) -> bool:
    return 0 <= place < len(objects.nodes)


def _saver_functions(objects: SavedObjectGraph) -> tuple[set[int], set[int]]:
    """Return the places of the functions that save, and of those that restore, the values of objects."""
    found = [entry.value for one in objects.nodes for entry in one.saveable_objects]
    restorers = {one.restore_function for one in found}
    return {one.save_function for one in found} - restorers, restorers


def _names(objects: SavedObjectGraph) -> dict[int, str]:
    """Return the shortest way of attributes from the root to each object, readable."""
    names: dict[int, str] = {0: "root"}
    ways: dict[int, tuple[str, ...]] = {0: ()}
    todo = deque([0])
    while todo:
        place = todo.popleft()
        if place >= len(objects.nodes):
            continue
        for child in objects.nodes[place].children:
            if child.node_id in names or child.node_id < 0:
                continue
            above = ways[place]
            way = (*(above if len(above) < MAX_STEPS_TOLD else (*above[:2], "…")), shown(text(child.local_name)))
            ways[child.node_id], names[child.node_id] = way, ".".join(way)
            todo.append(child.node_id)
    return names


def _bound(meta: MetaGraphDef, place: int, known: dict[int, Bound]) -> Bound:
    if place not in known:
        objects, files = meta.object_graph_def.nodes, meta.asset_file_def
        one = objects[place] if 0 <= place < len(objects) else SavedObject()
        if one.HasField("asset") and 0 <= one.asset.asset_file_def_index < len(files):
            known[place] = Bound(asset=files[one.asset.asset_file_def_index].filename)
        else:
            known[place] = Bound(constant=one.constant.operation if one.HasField("constant") else None)
    return known[place]
