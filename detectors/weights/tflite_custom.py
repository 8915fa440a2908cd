"""What the custom operators of a TensorFlow Lite model do: TensorFlow's own, which it runs by its Flex delegate, and others.

In goes the walk over a model, out come findings, what was not looked at, and the names. An operator of the Flex delegate begins
with `Flex`; what it runs is not said by that name but by its options, a FlexBuffer of two texts: the operator, and a NodeDef,
whose operator counts. The texts that it works on are tensors without a writer, whose bytes lie in the file.

Laws (each has a test of the same name):
    what a Flex operator runs is told by its options and never by its name;
    an operator that is not understood is never clean.

Source: tensorflow/lite/schema/schema.fbs; delegates/flex/kernel.cc, string_util.h, TensorFlow 2.21; flatbuffers/flexbuffers.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from google.protobuf.message import DecodeError

from detectors.facts import Finding, Severity
from detectors.protos.tensorflow_pb2 import NodeDef
from detectors.safety.tensorflow import judge_alone
from detectors.safety.tf_sources import Kind, Source
from detectors.weights.flatbuffer import Flatbuffer
from detectors.weights.single_file import piece
from detectors.wire import Window, shown, text

CODES, SUBGRAPHS, BUFFERS = 1, 2, 4
TENSORS, OPERATORS = 0, 3
INPUTS, OPTIONS, FAR_OPTIONS = 1, 5, 9
BUFFER_OF_TENSOR = 2
FLEX = "Flex"

VECTOR, STRING = 10, 5
"""Kinds of values in a FlexBuffer."""

MAX_OPTIONS_BYTES = 1 << 20
MAX_ALL_OPTIONS_BYTES = 16 << 20
MAX_TEXTS_BYTES = 1 << 20
MAX_TEXTS = 1_000
MAX_TOLD = 200


@dataclass(slots=True)
class Custom:
    """What is to be said of the custom operators of one model: *names* are theirs, *unread* why something is not known."""

    names: dict[str, None] = field(default_factory=dict)
    findings: dict[Finding, None] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)


class NotUnderstood(Exception):
    """These bytes are no options of the Flex delegate."""


def custom_operators(flat: Flatbuffer, model: int, window: Window) -> Custom:
    """Return what the custom operators of *model* do. Reads their options and the texts that they work on, no weights.

    Raises:
        EndsEarly: something does not fit into the file.
        ModelLimit: more than `MAX_ITEMS` tables.
    """
    named = {at: (flat.text(code, 1) or "").partition("\0")[0] for at, code in enumerate(flat.tables(model, CODES))}
    found = Custom(names={name: None for name in named.values() if name})
    flex = {at: name for at, name in named.items() if name.startswith(FLEX)}
    for name in found.names:
        if not name.startswith(FLEX):
            said = f"{shown(name)} is not an operator of TensorFlow Lite"
            found.findings[Finding("tf-custom-operator", Severity.LOW, window.path, f"operator {shown(name)}", said)] = None
    if flex:
        _Walk(flat, model, window, found).run(flex)
    return found


@dataclass(slots=True)
class _Walk:
    """One walk over the operators of a model, and what it may still read."""

    flat: Flatbuffer
    model: int
    window: Window
    found: Custom
    left: int = MAX_ALL_OPTIONS_BYTES

    def run(self, flex: dict[int, str]) -> None:
        """Judge every use of the operators *flex*, by their place among the codes."""
        buffers = self.flat.tables(self.model, BUFFERS)
        for subgraph in self.flat.tables(self.model, SUBGRAPHS):
            tensors = self.flat.tables(subgraph, TENSORS)
            for operator in self.flat.tables(subgraph, OPERATORS):
                name = flex.get(self.flat.value(operator, 0, 4))
                if name is not None:
                    self._judge(operator, shown(name), tensors, buffers)

    def _judge(self, operator: int, name: str, tensors: list[int], buffers: list[int]) -> None:
        try:
            node = node_of(self._options(operator))
        except NotUnderstood as exc:
            self.found.unread[f"not looked at: what {name} runs: {exc}"] = None
            return
        sources = [self._source(place, tensors, buffers) for place in self._inputs(operator)]
        told = judge_alone(node, sources)
        if told is None:
            return
        if len(self.found.findings) < MAX_TOLD:
            finding = Finding(told.rule, told.severity, self.window.path, f"operator {name}", told.message)
            self.found.findings[finding] = None
        else:
            self.found.unread[f"not looked at: findings beyond {MAX_TOLD} (limit MAX_TOLD)"] = None
        if not told.is_known:
            self.found.unread[f"not looked at: what {shown(text(node.op))} works on, which {name} runs"] = None

    def _options(self, operator: int) -> bytes:
        far, size = self.flat.value(operator, FAR_OPTIONS, 8), self.flat.value(operator, FAR_OPTIONS + 1, 8)
        start, count = (far, size) if far > 1 else self.flat.vector(operator, OPTIONS, 1)
        if count > min(self.left, MAX_OPTIONS_BYTES):
            raise NotUnderstood(f"options of {count} bytes (limit MAX_OPTIONS_BYTES or MAX_ALL_OPTIONS_BYTES)")
        self.left -= count
        data = piece(self.window, start, count)
        self.flat.reach = max(self.flat.reach, start + count)
        return data

    def _inputs(self, operator: int) -> Iterator[int]:
        start, count = self.flat.vector(operator, INPUTS, 4)
        for place in range(start, start + 4 * min(count, MAX_TEXTS), 4):
            yield self.flat.integer(place, 4, signed=True)

    def _source(self, place: int, tensors: list[int], buffers: list[int]) -> list[Source]:
        """Return the texts of the tensor at *place*, where it is a constant; else that it is computed."""
        computed = [Source(Kind.COMPUTED, b"an operator")]
        if not 0 <= place < len(tensors):
            return computed
        buffer = self.flat.value(tensors[place], BUFFER_OF_TENSOR, 4)
        if not 0 < buffer < len(buffers):
            return computed
        start, count = self.flat.vector(buffers[buffer], 0, 1)
        if not 0 < count <= MAX_TEXTS_BYTES:
            return computed
        return [Source(Kind.CONSTANT, one) for one in texts_in(piece(self.window, start, count))] or computed


def node_of(options: bytes) -> NodeDef:
    """Return the NodeDef in the options of a Flex operator.

    Raises:
        NotUnderstood: they are no FlexBuffer of two texts, or the second is no NodeDef.
    """
    width, kind = _number(options, len(options) - 1, 1), _number(options, len(options) - 2, 1)
    if kind >> 2 != VECTOR:
        raise NotUnderstood("expected a FlexBuffer with a vector")
    root = len(options) - 2 - width
    start = root - _number(options, root, width)
    step = 1 << (kind & 3)
    count = _number(options, start - step, step)
    kind = _number(options, start + count * step + 1, 1)
    if count != 2 or kind >> 2 != STRING:
        raise NotUnderstood("expected a FlexBuffer with two texts")
    start = start + step - _number(options, start + step, step)
    length = _number(options, start - (1 << (kind & 3)), 1 << (kind & 3))
    if not 0 <= start <= start + length <= len(options):
        raise NotUnderstood("a text ends behind its FlexBuffer")
    try:
        return NodeDef.FromString(options[start : start + length])
    except DecodeError as exc:
        raise NotUnderstood("expected a NodeDef") from exc


def _number(data: bytes, start: int, width: int) -> int:
    if width not in (1, 2, 4, 8) or not 0 <= start <= start + width <= len(data):
        raise NotUnderstood("its FlexBuffer leads out of itself")
    return int.from_bytes(data[start : start + width], "little")


def texts_in(data: bytes) -> list[bytes]:
    """Return the texts in the bytes of a tensor of texts: how many, where each begins, where the last ends, and they; none
    where these contradict each other."""
    if len(data) < 4:
        return []
    (count,) = struct.unpack_from("<i", data)
    if not 0 < count <= MAX_TEXTS or len(data) < 4 * (count + 2):
        return []
    places = struct.unpack_from(f"<{count + 1}i", data, 4)
    if any(not 0 <= first <= last <= len(data) for first, last in pairwise(places)):
        return []
    return [data[first:last] for first, last in pairwise(places)]
