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
from dataclasses import dataclass, field
from itertools import islice, pairwise

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
"""Of all operators of a model that name files, of which each may have the same texts. What goes beyond counts as computed."""

MAX_OPERATORS = 5_000
"""Of TensorFlow's, each of which costs a tenth of a millisecond; a model of thousands is unheard of."""

MAX_TOLD = 200
"""Names, findings, and reasons why something is not known, of each."""


@dataclass(slots=True)
class Custom:
    """What is to be said of the custom operators of one model: *names* are theirs, *unread* why something is not known."""

    names: dict[str, None] = field(default_factory=dict)
    findings: dict[Finding, None] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)

    def tell(self, finding: Finding) -> None:
        """Keep a finding; that there are more than are told is not known to be harmless."""
        if finding in self.findings or len(self.findings) < MAX_TOLD:
            self.findings[finding] = None
        else:
            self.skip(f"findings beyond {MAX_TOLD} (limit MAX_TOLD)")

    def skip(self, what: str) -> None:
        """Keep that *what* was not looked at; so many reasons are enough."""
        if len(self.unread) < MAX_TOLD:
            self.unread[f"not looked at: {what}"] = None


class NotUnderstood(Exception):
    """These bytes are no options of the Flex delegate."""


def custom_operators(flat: Flatbuffer, model: int, window: Window) -> Custom:
    """Return what the custom operators of *model* do. Reads their options and the texts that they work on, no weights.

    Raises:
        EndsEarly: something does not fit into the file.
        ModelLimit: more than `MAX_ITEMS` tables.
    """
    named = {at: (flat.text(code, 1) or "").partition("\0")[0] for at, code in enumerate(flat.tables(model, CODES))}
    names = dict.fromkeys(filter(None, named.values()))
    found = Custom(names=dict.fromkeys(islice(names, MAX_TOLD)))
    if len(names) > MAX_TOLD:
        found.skip(f"custom operators beyond {MAX_TOLD} (limit MAX_TOLD)")
    flex = {at: name for at, name in named.items() if name.startswith(FLEX)}
    for name in found.names:
        if not name.startswith(FLEX):
            said = f"{shown(name)} is not an operator of TensorFlow Lite"
            found.tell(Finding("tf-custom-operator", Severity.LOW, window.path, f"operator {shown(name)}", said))
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
    left_of_texts: int = MAX_TEXTS_BYTES
    texts: int = MAX_TEXTS
    operators: int = MAX_OPERATORS

    def run(self, flex: dict[int, str]) -> None:
        """Judge every use of the operators *flex*, by their place among the codes."""
        buffers = self.flat.tables(self.model, BUFFERS)
        for subgraph in self.flat.tables(self.model, SUBGRAPHS):
            tensors = self.flat.tables(subgraph, TENSORS)
            for operator in self.flat.tables(subgraph, OPERATORS):
                name = flex.get(self.flat.value(operator, 0, 4))
                if name is None:
                    continue
                if not self.operators:
                    self.found.skip(f"operators of TensorFlow beyond {MAX_OPERATORS} (limit MAX_OPERATORS)")
                    return
                self.operators -= 1
                self._judge(operator, shown(name), tensors, buffers)

    def _judge(self, operator: int, name: str, tensors: list[int], buffers: list[int]) -> None:
        try:
            node = node_of(self._options(operator))
        except NotUnderstood as exc:
            self.found.skip(f"what {name} runs: {exc}")
            return
        told = judge_alone(node, lambda place: self._argument(operator, place, tensors, buffers))
        if told is None:
            return
        self.found.tell(Finding(told.rule, told.severity, self.window.path, f"operator {name}", told.message))
        if not told.is_known:
            self.found.skip(f"what {shown(text(node.op))} works on, which {name} runs")

    def _options(self, operator: int) -> bytes:
        far, size = self.flat.value(operator, FAR_OPTIONS, 8), self.flat.value(operator, FAR_OPTIONS + 1, 8)
        start, count = (far, size) if far > 1 else self.flat.vector(operator, OPTIONS, 1)
        if count > min(self.left, MAX_OPTIONS_BYTES):
            raise NotUnderstood(f"options of {count} bytes (limit MAX_OPTIONS_BYTES or MAX_ALL_OPTIONS_BYTES)")
        self.left -= count
        data = piece(self.window, start, count)
        self.flat.reach = max(self.flat.reach, start + count)
        return data

    def _argument(self, operator: int, place: int, tensors: list[int], buffers: list[int]) -> list[Source]:
        """Return the texts of an input where it is a constant, else that it is computed; nothing where there is no such one."""
        start, count = self.flat.vector(operator, INPUTS, 4)
        if place >= count:
            return []
        texts = self._texts(self.flat.integer(start + 4 * place, 4, signed=True), tensors, buffers)
        return [Source(Kind.CONSTANT, one) for one in texts] or [Source(Kind.COMPUTED, b"an operator")]

    def _texts(self, place: int, tensors: list[int], buffers: list[int]) -> list[bytes]:
        """Return the texts of the tensor at *place*, none where it is no constant, or too much was read already."""
        if not 0 <= place < len(tensors):
            return []
        buffer = self.flat.value(tensors[place], BUFFER_OF_TENSOR, 4)
        if not 0 < buffer < len(buffers):
            return []
        start, count = self.flat.vector(buffers[buffer], 0, 1)
        if not 0 < count <= self.left_of_texts:
            return []
        self.left_of_texts -= count
        found = texts_in(piece(self.window, start, count), self.texts)
        self.texts -= len(found)
        return found


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


def texts_in(data: bytes, most: int = MAX_TEXTS) -> list[bytes]:
    """Return the texts in the bytes of a tensor of texts: how many, where each begins, where the last ends, and they; none
    where these contradict each other, or are more than *most*.
    """
    if len(data) < 4:
        return []
    (count,) = struct.unpack_from("<i", data)
    if not 0 < count <= most or len(data) < 4 * (count + 2):
        return []
    places = struct.unpack_from(f"<{count + 1}i", data, 4)
    if any(not 0 <= first <= last <= len(data) for first, last in pairwise(places)):
        return []
    return [data[first:last] for first, last in pairwise(places)]
