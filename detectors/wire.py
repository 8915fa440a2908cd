"""A bounded walk over protobuf messages that leaves the weights where they are.

In goes a file of a tree and a `Layout` (which fields we read, made from our lean `.proto`); out comes a `skeleton`:
the same message in the same order, without the fields that nobody reads and without large leaves such as tensor bytes.
The protobuf runtime then parses the skeleton. A 1 GB model costs a few hundred small reads, and hostile input is counted
before anything is allocated for it. What the fields mean is left to the detectors.

Laws (each has a test of the same name):
    parsing the skeleton gives what parsing the whole message gives, but for the leaves that were left out;
    the window size changes nothing;
    any bytes give a skeleton or a `ModelError`;
    no read leaves the file.

Wire format (protobuf.dev/programming-guides/encoding): a message is a row of fields, each a varint key
`number << 3 | type`, then by type: 0 varint, 1 eight bytes, 2 varint length and that many bytes, 3 and 4 a group's
begin and end, 5 four bytes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from detectors.errors import MalformedModel, ModelLimit, TreeChanged
from detectors.tree import FileTree

if TYPE_CHECKING:
    from google._upb._message import Descriptor as UpbDescriptor
    from google._upb._message import FieldDescriptor as UpbFieldDescriptor

    AnyDescriptor: TypeAlias = Descriptor | UpbDescriptor
    AnyFieldDescriptor: TypeAlias = FieldDescriptor | UpbFieldDescriptor

MAX_FIELDS = 1_500_000
"""Fields that one walk may meet, those inside small messages aside. It bounds time, and memory after parsing: an empty
message of 2 bytes becomes up to 180."""

MAX_SMALL_MESSAGES = 6_000_000
"""Messages that may be inside small ones (`Layout.messages_in`); one of 4 bytes becomes up to 180."""

MAX_SKELETON_BYTES = 128 << 20
"""Bytes of one skeleton. A graph of a million nodes takes about 50 MB."""

MAX_DEPTH = 100
"""Messages inside each other; the limit of the protobuf runtime."""

SLOW_FIELD = 4
"""What a field counts that the inner loop of the walk does not handle: it takes about four times as long."""

MAX_GROUP_BYTES = 64 << 10
"""The longest group, a kind of field that nobody has written since 2008. It is the one field that cannot be jumped over."""

BYTES_PER_GROUP_FIELD = 2
BYTES_PER_PACKED_FIELD = 8
"""Groups and packed numbers count towards `MAX_FIELDS` by their size: the least field of a group has 2 bytes, and 8 packed
numbers of one byte take the memory of a small message."""

MAX_KEY_BYTES = 5
MAX_VARINT_BYTES = 10
"""The longest varints that the protobuf runtime takes: for keys and lengths, and for values."""

MAX_FIELD_NUMBER = 2**29 - 1

MAX_LEAF_BYTES = 64 << 10
"""A string or bytes field longer than this is left out."""

MAX_LEFT_OUT = 100
"""Fields that are told as left out."""

MAX_WEIGHT_BYTES = 1 << 10
"""The same for fields that hold tensor values."""

WHOLE_MESSAGE_BYTES = 1 << 20
"""A message up to this size needs no walk: it is its own skeleton if the runtime takes it. At the worst, a message in every
second byte, it becomes 50 MB; and parsing it takes a tenth of the time of a walk."""

SMALL_MESSAGE_BYTES = 512
"""A message up to this size is copied whole: it can hold no large leaf."""

SIZE_MARK = b"\xea\x30"
"""How the keys of fields from 100,000 to 100,015 end. A small message that holds it may pretend to have had large leaves, so it
is walked too, and loses what is no field of its format."""

FIRST_WINDOW_BYTES = 16 << 10
JUMP_WINDOW_BYTES = 4 << 10
LAST_WINDOW_BYTES = 1 << 20
"""The first window holds a small model whole. One after a jump, most often to the head of the next tensor, is smaller; while
reading on in order it doubles up to the last."""

VARINT, FIXED64, LEN, GROUP, END_GROUP, FIXED32 = range(6)


class Window:
    """Byte access to one file through windows, so that no file is ever read whole."""

    def __init__(self, tree: FileTree, path: str, size: int, window_bytes: int = FIRST_WINDOW_BYTES) -> None:
        self._tree = tree
        self.path = path
        self.size = size
        self._after_jump = min(window_bytes, JUMP_WINDOW_BYTES)
        self._next = window_bytes
        self._hold(0, b"")

    def begin_with(self, head: bytes) -> None:
        """Take *head* for the first bytes of the file, which somebody has read already."""
        self._hold(0, head)

    def at(self, position: int, count: int) -> int:
        """Return the index of *position* in `buffer`, after making sure that *count* bytes (or all up to the end) follow it."""
        if self.base <= position and position + count <= self._enough:
            return position - self.base
        if self.buffer:
            in_order = self.base <= position <= self.base + len(self.buffer)
            self._next = min(self._next * 2, LAST_WINDOW_BYTES) if in_order else self._after_jump
        stop = min(self.size, position + max(count, self._next))
        data = self._tree.read(self.path, position, stop)
        if len(data) != stop - position:
            found = f"listed with {self.size} bytes, ended at {position + len(data)} while it was read"
            raise TreeChanged(self.path, found)
        self._hold(position, data)
        return 0

    def _hold(self, base: int, buffer: bytes) -> None:
        """Let *buffer*, which begins at *base*, be what there is. Where it is the end of the file it is enough for all."""
        self.base = base
        self.buffer = buffer
        end = base + len(buffer)
        self._enough = end if end < self.size else sys.maxsize

    def bytes(self, start: int, stop: int) -> bytes:
        """Return bytes [start, stop), which lie inside the file."""
        index = self.at(start, stop - start)
        return self.buffer[index : index + stop - start]


class Field(NamedTuple):
    """One field of a message. The value is the varint, or None; the body is bytes [start, stop) of the file."""

    number: int
    wire_type: int
    begin: int
    start: int
    stop: int
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What the walk does with one field: descend, keep, or leave out above *max_bytes* and note the size as *size_key*.

    is_number tells that a length-delimited value is a row of packed numbers. name is `Message.field`, "" where the lean message
    does not have it.
    """

    layout: Layout | None
    max_bytes: int
    size_key: bytes | None
    is_number: bool = False
    name: str = ""


@dataclass(slots=True, eq=False)
class Layout:
    """The fields of a message that are read, by number, and what `messages_in` needs to count.

    message is the class that has these fields and no others, None for a choice of them.
    """

    rules: dict[int, Rule] = field(default_factory=dict)
    near: bytes = b""
    beyond: bytes = b""
    every: bytes = b""
    message: type[Message] | None = None

    def messages_in(self, body: bytes) -> int:
        """Return how many messages parsing *body* as this message can make inside it: never too few, and seldom too many.

        A message needs its key, so the bytes that begin such keys are counted wherever they stand; a key or length that is
        written longer than need be ends in a zero byte, which is counted too. The keys of messages directly inside are
        *near*. As long as no key *beyond* them occurs, nothing else can be inside; else *every* key counts.
        """
        count = len(body) - len(body.translate(None, self.near))
        if count and len(body) != len(body.translate(None, self.beyond)):
            return len(body) - len(body.translate(None, self.every))
        return count


class LeftOut(NamedTuple):
    """A field that was left out for its size, without a note of that in the skeleton: its name, where it begins, its bytes."""

    name: str
    begin: int
    size: int


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A message without its weights. *counts* tells how often each field number stood at the top level.

    left_out are the first `MAX_LEFT_OUT` fields that are missed and have a name, lost the names of all such fields. is_whole
    tells that nothing was left out. Then
    a size of a left-out field, if there is any, was written by the file, which is not to be believed.
    """

    data: bytes
    counts: Mapping[int, int]
    path: str
    start: int
    is_whole: bool = False
    left_out: tuple[LeftOut, ...] = ()
    lost: frozenset[str] = frozenset()


NO_FIELDS: Mapping[str, Collection[int]] = MappingProxyType({})


def layout_of(
    descriptor: AnyDescriptor, weights: frozenset[str] = frozenset(), also: Mapping[str, Collection[int]] = NO_FIELDS
) -> Layout:
    """Return the layout of a lean message; *weights* names the fields (`Message.field`) that hold tensor values.

    *also* are fields by message and number that are kept as unknown ones, although the lean message does not have them.

    Where the lean message has a field `X_size` beside `X`, a left-out `X` leaves its length in bytes there.
    """
    known: dict[str, Layout] = {}

    def build(message: AnyDescriptor) -> Layout:
        if message.full_name in known:
            return known[message.full_name]
        layout = known[message.full_name] = Layout()
        layout.rules.update((number, Rule(None, MAX_LEAF_BYTES, None)) for number in also.get(message.name, ()))
        for lean in message.fields:
            if not _is_size_of_another(lean):
                layout.rules[lean.number] = rule(message, lean)
        return layout

    def rule(message: AnyDescriptor, lean: AnyFieldDescriptor) -> Rule:
        if lean.message_type is not None:
            return Rule(build(lean.message_type), 0, None)
        is_weight = f"{message.name}.{lean.name}" in weights
        is_text = lean.type in (FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING)
        limit = MAX_WEIGHT_BYTES if is_weight else MAX_LEAF_BYTES if is_text else MAX_SKELETON_BYTES
        size = message.fields_by_name.get(f"{lean.name}_size")
        size_key = varint(size.number << 3) if size is not None else None
        return Rule(None, limit, size_key, not is_text, f"{message.name}.{lean.name}")

    layout = build(descriptor)
    layout.message = GetMessageClass(cast(Descriptor, descriptor))
    for each in known.values():
        _prepare_count(each)
    return layout


def _is_size_of_another(lean: AnyFieldDescriptor) -> bool:
    """Tell whether only the walk may write this field: a file that holds it is not believed."""
    siblings = lean.containing_type.fields_by_name if lean.containing_type is not None else {}
    return lean.name.endswith("_size") and lean.name.removesuffix("_size") in siblings


def _prepare_count(layout: Layout) -> None:
    """Set the keys that `Layout.messages_in` counts."""
    near = set(_messages_of(layout))
    if not near:
        return
    reached = _below(layout, near)
    beyond = {key for below in reached for key in _messages_of(below)} - near
    every = {key for below in _below(layout, None) for key in _messages_of(below)}
    layout.near, layout.beyond, layout.every = bytes(near | {0}), bytes(beyond), bytes(every | {0})


def _below(layout: Layout, keys: set[int] | None) -> set[Layout]:
    """Return *layout* and all layouts that lie below it through fields whose key begins with one of *keys*, None for any."""
    found, todo = {layout}, [layout]
    while todo:
        inside = _messages_of(todo.pop())
        inner = [below for key, layouts in inside.items() if keys is None or key in keys for below in layouts - found]
        found.update(inner)
        todo += inner
    return found


def _messages_of(layout: Layout) -> dict[int, set[Layout]]:
    """Return the layouts of the messages directly in *layout* by the first byte of their keys."""
    inside: dict[int, set[Layout]] = {}
    for number, rule in layout.rules.items():
        if rule.layout is not None:
            inside.setdefault(varint(number << 3 | LEN)[0], set()).add(rule.layout)
    return inside


ONE_BYTE = tuple(bytes((value,)) for value in range(0x80))


def varint(value: int) -> bytes:
    """Return *value*, not negative, as a varint."""
    if value <= 0x7F:
        return ONE_BYTE[value]
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def hop(window: Window, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of the message at [start, stop) in order, without looking into them.

    Raises:
        MalformedModel: a key, a length or a group is not what the wire format allows.
    """
    position = start
    while position < stop:
        yield (found := _field(window, position, stop))
        position = found.stop


def skeleton(window: Window, layout: Layout, start: int = 0, stop: int | None = None) -> Skeleton:
    """Return the skeleton of the message at [start, stop) of the file, by default the whole file.

    Raises:
        MalformedModel: the bytes are not a protobuf message.
        ModelLimit: one of the named limits was reached.
    """
    stop = window.size if stop is None else stop
    if stop - start <= WHOLE_MESSAGE_BYTES and (whole := _whole(window, layout, start, stop)):
        return whole
    counts: dict[int, int] = {}
    walk = _Walk(window)
    data = walk.message(layout, start, stop, 1, counts)
    return Skeleton(bytes(data), counts, window.path, start, left_out=tuple(walk.left_out), lost=frozenset(walk.lost))


def _whole(window: Window, layout: Layout, start: int, stop: int) -> Skeleton | None:
    """Return a small message as its own skeleton; None where the runtime refuses it, and a walk must say where and why."""
    data = window.bytes(start, stop)
    try:
        if layout.message is None:
            return None
        layout.message.FromString(data)
    except DecodeError:
        return None
    counts = Counter(found.number for found in hop(window, start, stop))
    return Skeleton(data, counts, window.path, start, is_whole=True)


M = TypeVar("M", bound=Message)


def parse(found: Skeleton, message: M) -> M:
    """Return *message* filled from the skeleton.

    Raises:
        MalformedModel: the protobuf runtime refuses it.
    """
    try:
        message.ParseFromString(found.data)
    except DecodeError as exc:
        raise MalformedModel(
            found.path, found.start, f"expected {message.DESCRIPTOR.name}, found bytes that do not parse"
        ) from exc
    return message


def _field(window: Window, position: int, stop: int) -> Field:
    index = window.at(position, 24)
    buffer, base = window.buffer, window.base
    if position < stop and (key := buffer[index]) < 0x80:
        index += 1
    else:
        key, index = _varint(window, buffer, index, base, stop, MAX_KEY_BYTES)
    number, wire_type = key >> 3, key & 7
    if not 0 < number <= MAX_FIELD_NUMBER:
        raise MalformedModel(window.path, position, f"expected a field number from 1 to {MAX_FIELD_NUMBER}, found {number}")
    value: int | None = None
    begin = index + base
    if wire_type == VARINT:
        value, index = _varint(window, buffer, index, base, stop, MAX_VARINT_BYTES)
        end = index + base
    elif wire_type == LEN:
        length, index = _varint(window, buffer, index, base, stop, MAX_KEY_BYTES)
        begin = index + base
        end = begin + length
    elif wire_type == FIXED64:
        end = begin + 8
    elif wire_type == FIXED32:
        end = begin + 4
    elif wire_type == GROUP:
        end = _end_of_group(window, begin, stop, number)
    else:
        raise MalformedModel(window.path, position, f"expected a wire type from 0 to 5, found {wire_type} without its group")
    if end > stop:
        raise MalformedModel(window.path, position, f"field {number} wants bytes up to {end}, its message ends at {stop}")
    return Field(number, wire_type, position, begin, end, value)


def _varint(window: Window, buffer: bytes, index: int, base: int, stop: int, longest: int) -> tuple[int, int]:
    value = shift = 0
    for at, byte in enumerate(buffer[index : min(index + longest, stop - base)], index + 1):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    if shift >= 7 * longest:
        raise MalformedModel(window.path, base + index, f"a varint is longer than {longest} bytes")
    raise MalformedModel(window.path, base + index, "a varint is cut off by the end of its message")


def _end_of_group(window: Window, begin: int, stop: int, number: int) -> int:
    """Return where the group *number* opened just before *begin* ends, its end key included. Groups may nest.

    Reads and looks at all of the group, at most `MAX_GROUP_BYTES`.
    """
    position, open_groups = begin, [number]
    while open_groups:
        if len(open_groups) > MAX_DEPTH:
            raise ModelLimit(window.path, position, "MAX_DEPTH", f"groups nest deeper than {MAX_DEPTH}")
        if position - begin > MAX_GROUP_BYTES:
            raise ModelLimit(window.path, position, "MAX_GROUP_BYTES", f"a group is longer than {MAX_GROUP_BYTES} bytes")
        if position >= stop:
            raise MalformedModel(window.path, position, f"group {open_groups[-1]} is not closed before its message ends")
        index = window.at(position, 24)
        key, index = _varint(window, window.buffer, index, window.base, stop, MAX_KEY_BYTES)
        if key & 7 == END_GROUP:
            if key >> 3 != open_groups.pop():
                raise MalformedModel(window.path, position, f"a group is closed as {key >> 3}")
            position = index + window.base
        elif key & 7 == GROUP:
            open_groups.append(key >> 3)
            position = index + window.base
        else:
            position = _field(window, position, stop).stop
    return position


class _Walk:
    """One walk: counts what it copies and stops at the limits."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._fields = 0
        self._inside = 0
        self._bytes = 0
        self.left_out: list[LeftOut] = []
        self.lost: set[str] = set()
        self._searched = b""
        self._is_marked = False

    def message(self, layout: Layout, start: int, stop: int, depth: int, counts: dict[int, int] | None = None) -> bytearray:
        """Return the skeleton of the message at [start, stop)."""
        if depth > MAX_DEPTH:
            raise ModelLimit(self._window.path, start, "MAX_DEPTH", f"messages nest deeper than {MAX_DEPTH}")
        out = bytearray()
        position = start
        while position < stop:
            began, position = position, self._common_fields(layout, position, stop, depth, counts, out)
            if position == began:
                found = _field(self._window, position, stop)
                self._long_field(layout, found, depth, counts, out)
                position = found.stop
        return out

    def _common_fields(
        self, layout: Layout, start: int, stop: int, depth: int, counts: dict[int, int] | None, out: bytearray
    ) -> int:
        """Copy numbers, short messages and short strings from *start* on, and one long field; return where they end.

        Whatever else comes, or the end of the window, ends them sooner. This loop is the hot path.
        """
        rules = layout.rules
        index = self._window.at(start, SMALL_MESSAGE_BYTES + 24)
        buffer, base = self._window.buffer, self._window.base
        end_of_buffer = min(len(buffer), stop - base)
        copied = len(out)
        while index + 2 < end_of_buffer:
            key, length = buffer[index], buffer[index + 1]
            if not 8 <= key <= 0x7F:
                break
            end = index + 2
            if key & 7 == VARINT:
                while length > 0x7F and end < end_of_buffer:
                    length = buffer[end]
                    end += 1
                if length > 0x7F or end - index > 1 + MAX_VARINT_BYTES:
                    break
                if key >> 3 in rules:
                    out += buffer[index:end]
            elif key & 7 == LEN:
                if length > 0x7F and buffer[end] <= 0x7F:
                    length = length & 0x7F | buffer[end] << 7
                    end += 1
                elif length > 0x7F:
                    if end + MAX_KEY_BYTES > end_of_buffer:
                        break
                    length, end = _varint(self._window, buffer, index + 1, base, stop, MAX_KEY_BYTES)
                begin = end
                end += length
                rule = rules.get(key >> 3)
                if length > SMALL_MESSAGE_BYTES and end <= stop - base:
                    if rule is None or rule.layout is not None or length <= rule.max_bytes:
                        self._bytes += len(out) - copied
                        found = Field(key >> 3, LEN, base + index, base + begin, base + end)
                        self._long_field(layout, found, depth, counts, out)
                        return base + end
                    if rule.size_key is not None:
                        out += rule.size_key + varint(length)
                    else:
                        self._leave_out(rule, base + index, length)
                elif end > end_of_buffer:
                    break
                elif rule is not None:
                    chunk = buffer[index:end]
                    if rule.layout is not None and length:
                        if self._may_pretend(buffer) and SIZE_MARK in chunk:
                            break
                        if rule.layout.near:
                            self._inside += rule.layout.messages_in(chunk)
                    out += chunk
            else:
                break
            self._fields += 1
            if counts is not None:
                counts[key >> 3] = counts.get(key >> 3, 0) + 1
            index = end
        self._bytes += len(out) - copied
        self._check(base + index)
        return base + index

    def _may_pretend(self, buffer: bytes) -> bool:
        """Tell whether a message in *buffer* may hold a `SIZE_MARK`; it is searched once."""
        if buffer is not self._searched:
            self._searched, self._is_marked = buffer, SIZE_MARK in buffer
        return self._is_marked

    def _long_field(self, layout: Layout, found: Field, depth: int, counts: dict[int, int] | None, out: bytearray) -> None:
        """Append what is kept of the field *found*, which may be of any size, to *out*."""
        number, wire_type, begin, start, stop = found[:5]
        self._fields += SLOW_FIELD
        if wire_type == GROUP:
            self._fields += SLOW_FIELD * (stop - start) // BYTES_PER_GROUP_FIELD
        if counts is not None:
            counts[number] = counts.get(number, 0) + 1
        rule = layout.rules.get(number)
        if rule is None or wire_type == GROUP:
            self._check(begin)
        elif wire_type == LEN and rule.layout is not None:
            inner = self.message(rule.layout, start, stop, depth + 1)
            out += varint(number << 3 | LEN) + varint(len(inner)) + inner
        elif wire_type != LEN or stop - start <= rule.max_bytes:
            self._fields += (stop - start) // BYTES_PER_PACKED_FIELD if rule.is_number else 0
            self._bytes += stop - begin
            self._check(begin)
            out += self._window.bytes(begin, stop)
        elif rule.size_key is not None:
            self._check(begin)
            out += rule.size_key + varint(stop - start)
        else:
            self._check(begin)
            self._leave_out(rule, begin, stop - start)

    def _leave_out(self, rule: Rule, begin: int, size: int) -> None:
        if rule.name:
            self.lost.add(rule.name)
        if rule.name and len(self.left_out) < MAX_LEFT_OUT:
            self.left_out.append(LeftOut(rule.name, begin, size))

    def _check(self, position: int) -> None:
        path = self._window.path
        if self._fields > MAX_FIELDS:
            raise ModelLimit(path, position, "MAX_FIELDS", f"more than {MAX_FIELDS} fields")
        if self._inside > MAX_SMALL_MESSAGES:
            raise ModelLimit(path, position, "MAX_SMALL_MESSAGES", f"more than {MAX_SMALL_MESSAGES} small messages")
        if self._bytes > MAX_SKELETON_BYTES:
            raise ModelLimit(path, position, "MAX_SKELETON_BYTES", f"more than {MAX_SKELETON_BYTES} bytes of structure")


MAX_SHOWN = 1000
"""Characters of a name that are shown. The longest names that people give have a few hundred."""


def shown(name: str) -> str:
    """Return *name* as it is told to people: at most `MAX_SHOWN` characters, the last "…" where it was cut."""
    return name if len(name) <= MAX_SHOWN else name[: MAX_SHOWN - 1] + "…"


def text(value: Any) -> str:
    """Return the bytes of a name as text; what is not UTF-8 becomes U+FFFD, so one bad byte spoils one character."""
    return bytes(value).decode("utf-8", "replace")
