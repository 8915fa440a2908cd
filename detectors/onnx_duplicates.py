"""Fields of an ONNX model that may stand once and stand several times, anywhere inside it.

In goes the skeleton of a model, out come findings with the place of each such field. Protobuf takes the last of several values
and merges messages; other readers take the first. So one file may be two models, and a scanner may see another one than the
runtime. The fields of the model itself are counted by the walk (`Skeleton.counts`).

A model whose fields stand once is told from its length: parsed into messages that know nothing but such fields, and written
again, it is as long as before, because every field that is left out of two makes it shorter and nothing can make it longer.
Only where it is shorter is each field looked at. That costs a twentieth of a scan; to look at each field of every model would
double it.

Law (a test has its name): what stands twice is found wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor

from detectors.facts import Finding, Severity
from detectors.onnx_inventory import Place
from detectors.protos import onnx_once_pb2
from detectors.tree import MemoryTree
from detectors.wire import FIXED32, LEN, VARINT, Field, Skeleton, Window, hop, parse

if TYPE_CHECKING:
    from detectors.wire import AnyDescriptor, AnyFieldDescriptor

MAX_FIELDS = 200_000
"""Fields that are looked at one by one in a model in which something stands twice: about a second."""

MAX_FINDINGS = 100

WIRE_TYPES = {
    FieldDescriptor.TYPE_BYTES: LEN,
    FieldDescriptor.TYPE_MESSAGE: LEN,
    FieldDescriptor.TYPE_UINT64: VARINT,
    FieldDescriptor.TYPE_FLOAT: FIXED32,
}


def findings(found: Skeleton) -> Iterator[Finding]:
    """Yield a finding for each field inside the model that stands more often than it may.

    Where it lies behind more than `MAX_FIELDS` others the finding has no place.

    Raises:
        MalformedModel: the skeleton does not parse.
    """
    if parse(found, onnx_once_pb2.ModelProto()).ByteSize() == len(found.data):
        return
    search = _Search(found).message(onnx_once_pb2.ModelProto.DESCRIPTOR, 0, len(found.data), None)
    try:
        for place, count in islice(search, MAX_FINDINGS):
            message = f"stands there {count} times: readers merge them, or take the first or the last"
            yield Finding("onnx-duplicate-field", Severity.MEDIUM, found.path, str(place), message)
    except _TooMany:
        message = (
            f"something stands twice, or is longer than need be, behind the first {MAX_FIELDS} fields, which were looked at"
        )
        yield Finding("onnx-duplicate-field", Severity.MEDIUM, found.path, "", message)


class _TooMany(Exception):
    """There are more than `MAX_FIELDS` fields."""


class _Search:
    """One look at every field of a skeleton."""

    def __init__(self, found: Skeleton) -> None:
        self._window = Window(MemoryTree({found.path: found.data}), found.path, len(found.data))
        self._left = MAX_FIELDS

    def message(self, kind: AnyDescriptor, start: int, stop: int, place: Place | None) -> Iterator[tuple[Place, int]]:
        """Yield the fields at [start, stop), and further inside, that stand several times, with how often each does."""
        known = list(self._known(kind, start, stop))
        counts: dict[str, int] = {}
        for field, _ in known:
            if not field.is_repeated:
                counts[_slot(field)] = counts.get(_slot(field), 0) + 1
        if place is not None:
            yield from ((Place(place, slot), count) for slot, count in counts.items() if count > 1)
        for field, at in known:
            inner = field.message_type
            if inner is not None:
                yield from self.message(inner, at.start, at.stop, Place(place, field.name, self._name(inner, at)))

    def _known(self, kind: AnyDescriptor, start: int, stop: int) -> Iterator[tuple[AnyFieldDescriptor, Field]]:
        """Yield the fields of the message that its *kind* names, those of other wire types left out, as parsers do."""
        by_number = kind.fields_by_number
        for at in hop(self._window, start, stop):
            self._left -= 1
            if self._left < 0:
                raise _TooMany
            field = by_number.get(at.number)
            if field is not None and WIRE_TYPES[field.type] == at.wire_type:
                yield field, at

    def _name(self, kind: AnyDescriptor, at: Field) -> bytes:
        """Return what a message is called, a node by its type where it has no name; the last counts. Graphs are not told so."""
        names = {"name": b"", "op_type": b""}
        has_name = "name" in kind.fields_by_name and kind.name != "GraphProto"
        for field, inside in self._known(kind, at.start, at.stop) if has_name else ():
            if field.name in names:
                names[field.name] = self._window.bytes(inside.start, inside.stop)
        return names["name"] or names["op_type"]


def _slot(field: AnyFieldDescriptor) -> str:
    """Return the name of what *field* fills: all members of a choice fill one, and so do a value and the size left of it."""
    choice = field.containing_oneof
    if choice is not None and len(choice.fields) > 1:
        return f"one {choice.name}"
    return field.name.removesuffix("_size")
