"""The operators that TensorFlow itself registers, and the dtypes of what each gives.

In goes the list `tf_ops.txt` that `scripts/make_tf_ops.py` writes with the real TensorFlow; out come the known names, and
the outputs of a node without running or importing anything. An operator outside the list comes from a custom library.

A line of the list is the name of an operator and one word for each output: `float32` a fixed dtype, `:T` the dtype in the
attribute T, `:T=int64` the same with a default, `N*:T` as many of them as the attribute N says, `*:T` a list of dtypes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

from detectors.protos.tensorflow_pb2 import AttrValue, NodeDef
from detectors.tf_dtypes import dtype_name
from detectors.wire import text

LIST = Path(__file__).with_name("tf_ops.txt")
"""A plain path: what `importlib.resources` imports to find one file takes as long as the scan of a small model."""

UNKNOWN = "unknown"
"""The dtype of an output that neither the node nor the list tells."""

MAX_OUTPUTS = 1000
"""Outputs of one node that are told; an attribute may claim any number."""


@cache
def registered_ops() -> Mapping[str, str]:
    """Return the words of each registered operator's outputs, with spaces between them, by its name."""
    lines = LIST.read_text("utf-8").splitlines()
    parts = (line.partition(" ") for line in lines if not line.startswith("#"))
    return MappingProxyType({name: outputs for name, _, outputs in parts})


def is_registered(op: str) -> bool:
    """Tell whether *op* is an operator of TensorFlow."""
    return op in registered_ops()


def output_dtypes(node: NodeDef) -> tuple[str, ...]:
    """Return the dtype of each output of *node*, at most `MAX_OUTPUTS`; for a custom operator one output, `unknown`."""
    attributes = {text(entry.key): entry.value for entry in node.attr}
    dtypes: list[str] = []
    for word in registered_ops().get(text(node.op), UNKNOWN).split():
        dtypes += _dtypes(word, attributes, MAX_OUTPUTS - len(dtypes))
    return tuple(dtypes)


def has_outputs(node: NodeDef) -> bool:
    """Tell whether *node* has any output. Most operators always have one, whatever their attributes are."""
    return _always_has_outputs(node.op) or bool(output_dtypes(node))


@lru_cache(maxsize=1024)
def _always_has_outputs(op: bytes) -> bool:
    return any("*" not in word for word in registered_ops().get(text(op), UNKNOWN).split())


def _dtypes(word: str, attributes: Mapping[str, AttrValue], room: int) -> Iterator[str]:
    """Yield the dtypes that one word stands for, at most *room* of them."""
    count, star, what = word.rpartition("*")
    if star and not count:
        yield from map(dtype_name, _attribute(attributes, what.removeprefix(":")).list.type[:room])
        return
    copies = _attribute(attributes, count).i if count else 1
    yield from [_dtype(what, attributes)] * max(0, min(copies, room))


def _dtype(what: str, attributes: Mapping[str, AttrValue]) -> str:
    if not what.startswith(":"):
        return what
    name, _, default = what[1:].partition("=")
    return dtype_name(attributes[name].type) if name in attributes else default or UNKNOWN


def _attribute(attributes: Mapping[str, AttrValue], name: str) -> AttrValue:
    return attributes.get(name) or AttrValue()
