"""Event files: what TensorBoard shows, and where TensorFlow, PyTorch and others write the scalars of a run.

In go the event files of one folder, which is one session; out come its series. A scalar is a `simple_value`, or a rank-0
tensor of a tag whose first event names the plugin "scalars": text, images, histograms and curves are tensors too.
Several files of one folder are restarts; they are read in the order of their names, which hold the time of creation.

Most records of a long run differ in three places only: wall time, step and the value. So a record that was parsed by the
protobuf runtime leaves its layout behind, the bytes around the value, and later records with the same bytes are not parsed:

    09  wall time, 8 bytes   10  step, a varint   before   value, 4 bytes   behind
                                                  `-- layout --------------------'

The value stands in one place of a file, counted from the end of the record; records with another place are all parsed.
Records with a known layout are gathered, and those of one layout are taken apart together, column by column.

Which folders there are and what the sessions are called is left to `sessions`; statistics are left to `gradient`.

Laws (each has a test of the same name):
    the layouts change nothing but the time it takes;
    any bytes give series and notes, or `BudgetSpent`.

Source: tensorflow/core/util/event.proto, core/framework/summary.proto; tensorboard/plugins/scalar/metadata.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import TypeAlias

from google.protobuf.message import DecodeError

from detectors.errors import ModelError
from detectors.facts import Note
from detectors.metrics.budget import Budget, BudgetSpent
from detectors.metrics.lanes import every, lanes_of, numbers_in
from detectors.metrics.record_file import RecordFile
from detectors.metrics.series import MAX_SERIES, GrowingSeries, Room, Series
from detectors.metrics.tensors import DT_FLOAT, scalar_of
from detectors.protos.event_pb2 import Event, Value
from detectors.tree import FileEntry, FileTree, MemoryTree
from detectors.wire import FIXED32, FIXED64, LEN, VARINT, Field, Window, hop, text, varint

MAX_TAG_BYTES = 1_024
"""Length of a tag; a value with a longer one is passed over."""

MAX_VALUE_BYTES = 4 << 10
"""Size of one summary value in a large record that may be a scalar, its tag and description included."""

MAX_SCALARS_BYTES = 4 << 20
"""Size of all such values of one large record."""

MAX_LAYOUTS = 10_000
"""Layouts kept for one file; about one per tag."""

LOOKS_PER_VALUE_LEFT_OUT = 30
"""What a value counts for whose tag there is no room: its record is parsed in vain, and so may be the next million."""

GROUP_RECORDS = 8
"""Records of one layout that are taken together at least, on average; for fewer it is not worth it."""

FOLD_POINTS = 20_000
"""Points that may lie unfolded in the lists of all series of a session."""

FIRST_RECORD_BYTES = 120
"""`FILE_VERSION` lies within so many bytes of the first record."""

FILE_VERSION = b"brain.Event:"
SCALARS = b"scalars"

_HEAD = Struct("<BdBI")
_FLOAT = Struct("<f")
_STEP_START, _WORD_STOP = 10, 17  # where the varint of the step begins, and where the eight bytes from its key on end
_WALL_TIME_KEY, _STEP_KEY, _SUMMARY_KEY = 1 << 3 | FIXED64, 2 << 3 | VARINT, 5 << 3 | LEN
_SUMMARY, _VALUE = 5, 1

Columns: TypeAlias = tuple[Sequence[int], Sequence[float], Sequence[float]]
"""Steps, values and wall times of points, in the order of writing."""

_VALUE_PLACES = (((2, FIXED32),), ((8, LEN), (4, LEN)), ((8, LEN), (5, LEN)), ((8, LEN), (5, FIXED32)))
"""Where a summary value holds a float, as fields (number, wire type) from the outside in."""


class EventReader:
    """Reads the event files of one session, one after the other."""

    def __init__(self, folder: str, budget: Budget, room: Room) -> None:
        self._folder = folder
        self._budget = budget
        self._room = room
        self._plugins: dict[bytes, bytes] = {}
        self._series: dict[bytes, GrowingSeries] = {}
        self._pending = 0

    def read(self, tree: FileTree, entry: FileEntry) -> Iterator[Note]:
        """Take the scalars of *entry* into the series; yield what a reader should know about the file.

        Reads the file once, in windows, without the large records that hold no summary.

        Raises:
            BudgetSpent: the budget of the scan is used up; what was read up to there stays.
        """
        records = RecordFile(_MeteredWindow(tree, entry, self._budget), self._budget, _condense)
        reading = _Reading(self)
        try:
            yield from self._read(records, reading, entry)
        finally:
            for series in self._series.values():
                series.close_file(entry.path)

    def series(self) -> Iterator[Series]:
        """Yield the series of the session, in the order of their first points."""
        for growing in self._series.values():
            if (closed := growing.close()) is not None:
                yield closed

    def _read(self, records: RecordFile, reading: _Reading, entry: FileEntry) -> Iterator[Note]:
        is_first = True
        for batch in records.batches():
            if batch and is_first and FILE_VERSION not in batch[0][:FIRST_RECORD_BYTES]:
                yield Note(entry.path, f"not an event file: the first record does not hold {FILE_VERSION.decode()!r}")
                return
            is_first = is_first and not batch
            try:
                reading.take(batch)
            except DecodeError:
                yield Note(
                    entry.path, f"corrupt: a record before byte {records.position} is no event; nothing after it is read"
                )
                return
            looks, reading.looks = reading.looks, 0
            self._budget.spend(entry.path, records.position, looks, 0)
            self._fold(entry.path, len(batch) + looks)
        yield from _remarks(records, entry)

    def _fold(self, source: str, points: int) -> None:
        """Fold all series once `FOLD_POINTS` may be pending; *points* may have come since the last call."""
        self._pending += points
        if self._pending < FOLD_POINTS:
            return
        self._pending = 0
        for series in self._series.values():
            series.fold(source)

    def growing(self, tag: bytes) -> GrowingSeries | None:
        """Return the series of *tag*, begun where it is new; None where a limit forbids it."""
        if tag not in self._series:
            if len(tag) > MAX_TAG_BYTES:
                return None
            series = self._room.grow(text(tag), self._folder)
            if series is None:
                return None
            self._series[tag] = series
        return self._series[tag]

    def scalar(self, value: Value) -> float | None:
        """Return the number that *value* reports, None where it is no scalar. Remembers the plugin of a tag."""
        if value.HasField("simple_value"):
            return value.simple_value
        if not value.HasField("tensor"):
            return None
        if value.HasField("metadata") and value.tag not in self._plugins and len(self._plugins) < MAX_SERIES:
            self._plugins[value.tag] = value.metadata.plugin_data.plugin_name[: len(SCALARS) + 1]
        return scalar_of(value.tensor) if self._plugins.get(value.tag) == SCALARS else None


class _Reading:
    """One file while it is read: the layouts of its records."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._layouts: dict[bytes, tuple[bytes, GrowingSeries]] = {}  # what stands before the value: what is behind it, series
        self._begin = 0  # of the layout, in the record that was last looked at alone
        self._place = 0  # of the value, from the end of the record
        self._layouts_left = MAX_LAYOUTS
        self.looks = 0

    def take(self, batch: list[bytes]) -> None:
        """Take the scalars of a batch of records; those with a known layout are not parsed.

        Raises:
            DecodeError: a record is no event.

        This loop is the hot path: it only gathers the records whose bytes look like a known layout, until one does not.
        """
        layouts, begin, place, start = self._layouts, self._begin, self._place, 0
        groups: dict[bytes, list[bytes]] = {}
        for index, data in enumerate(batch):
            before = data[begin:place]
            group = groups.get(before)
            if group is not None:
                group.append(data)
            elif before in layouts:
                groups[before] = [data]
            else:
                self._settle(batch[start:index], groups)
                self._take_one(data)
                begin, place, start, groups = self._begin, self._place, index + 1, {}
        self._settle(batch[start:], groups)

    def _settle(self, batch: list[bytes], groups: dict[bytes, list[bytes]]) -> None:
        """Take the records of *batch*, which are those of *groups*: all groups at once, or one record after the other."""
        if len(batch) >= GROUP_RECORDS * len(groups) and self._take_groups(groups):
            return
        for data in batch:
            self._take_one(data)

    def _take_groups(self, groups: dict[bytes, list[bytes]]) -> bool:
        """Take the scalars of all *groups*, or none at all where one of them is not what it looks like."""
        taken = []
        for before, group in groups.items():
            columns = self._columns(before, group)
            if columns is None:
                return False
            taken.append((self._layouts[before][1], columns))
        for series, columns in taken:
            series.extend(*columns)
        return True

    def _columns(self, before: bytes, group: list[bytes]) -> Columns | None:
        """Return steps, values and wall times of a group; None unless each record is what `_take_one` need not parse.

        What stands before the value was compared when the records were gathered; here it is what is behind the value, the
        keys, and that the step ends where the layout begins. So they have one size, and can be read as rows of a table.
        """
        behind, _ = self._layouts[before]
        gap = self._begin + len(before) - _WORD_STOP
        if self._begin <= _STEP_START or gap < 0:
            return None
        data = b"".join(group)
        row = Struct(f"<xdQ{gap}xf{len(behind)}s")
        wall_times, words, values, ends = zip(*row.iter_unpack(data), strict=True)
        if data[:: row.size].count(_WALL_TIME_KEY) != len(group) or ends.count(behind) != len(group):
            return None
        steps = _steps(words, self._begin - _STEP_START)
        return None if steps is None else (steps, values, wall_times)

    def _take_one(self, data: bytes) -> None:
        """Take the scalars of one record.

        Of an event that begins with wall time and step, the head gives the wall time and the first four bytes of the step,
        which are enough for steps below 268 million; a step of 0 is usually left out.
        """
        if len(data) < _HEAD.size:
            self._parse(data, 0)
            return
        first_key, wall_time, second_key, word = _HEAD.unpack_from(data)
        step = begin = 0
        if first_key == _WALL_TIME_KEY and second_key == _STEP_KEY:
            step, begin = _step_and_stop(word)
        elif first_key == _WALL_TIME_KEY and second_key == _SUMMARY_KEY:
            begin = _STEP_START - 1
        self._begin = begin
        layout = self._layouts.get(data[begin : self._place])
        if layout is None or not begin or not data.endswith(layout[0]):
            self._parse(data, begin)
        else:
            layout[1].add(step, _FLOAT.unpack_from(data, len(data) + self._place)[0], wall_time)

    def _parse(self, data: bytes, begin: int) -> None:
        event = Event()
        event.ParseFromString(data)
        values = event.summary.value
        self.looks += len(values)
        for value in values:
            number = self._reader.scalar(value)
            series = self._reader.growing(value.tag) if number is not None else None
            if number is None or series is None:
                self.looks += LOOKS_PER_VALUE_LEFT_OUT if number is not None else 0
                continue
            series.add(event.step, number, event.wall_time)
            if len(values) == 1 and begin and self._layouts_left:
                self._learn(data, begin, value, series)

    def _learn(self, data: bytes, begin: int, value: Value, series: GrowingSeries) -> None:
        """Keep the layout of the record *data*, if its value is one float that stands in one place."""
        self._layouts_left -= 1
        try:
            start = _place_of_float(data, begin)
        except ModelError:
            return
        if start is None or (value.HasField("tensor") and value.tensor.dtype != DT_FLOAT):
            return
        self._place = self._place or start - len(data)
        if self._place == start - len(data):
            self._layouts[data[begin:start]] = data[start + 4 :], series


def _step_and_stop(word: int) -> tuple[int, int]:
    """Return the step whose varint *word* begins with, and where it ends in its event; (0, 0) where it is longer."""
    if not word & 0x80:
        return word & 0x7F, _STEP_START + 1
    if not word & 0x8000:
        return word & 0x7F | word >> 1 & 0x3F80, _STEP_START + 2
    if not word & 0x80_0000:
        return word & 0x7F | word >> 1 & 0x3F80 | word >> 2 & 0x1F_C000, _STEP_START + 3
    if not word & 0x8000_0000:
        return word & 0x7F | word >> 1 & 0x3F80 | word >> 2 & 0x1F_C000 | word >> 3 & 0xFE0_0000, _STEP_START + 4
    return 0, 0


def _steps(words: Sequence[int], width: int) -> list[int] | None:
    """Return the steps in *words*, each the eight bytes of an event from the key of the step on.

    None unless each key is that of a step, and each step a varint of *width* bytes. For a width of 3 a word is

        xxxxxxxx xxxxxxxx xxxxxxxx xxxxxxxx   0ccccccc 1bbbbbbb 1aaaaaaa   00010000
        what follows the step                 step, the lowest bits last   key

    and all words are looked at together, in lanes (`lanes`).
    """
    count, lanes = len(words), lanes_of(words)
    fixed = 0xFF | sum(0x80 << 8 * number for number in range(1, width + 1))
    wanted = _STEP_KEY | sum(0x80 << 8 * number for number in range(1, width))
    if lanes & every(fixed, count) != every(wanted, count):
        return None
    steps = 0
    for number in range(width):
        steps |= lanes >> 8 + number & every(0x7F << 7 * number, count)
    return numbers_in(steps, count)


def _place_of_float(data: bytes, begin: int) -> int | None:
    """Return where the one float of the event *data* stands; None unless each field on the way to it stands there once."""
    window = Window(MemoryTree({"": data}), "", len(data))
    value = _alone(window, begin, len(data), (_SUMMARY, LEN), is_only=True)
    value = value and _alone(window, value.start, value.stop, (_VALUE, LEN), is_only=True)
    for place in _VALUE_PLACES:
        found = value
        for step in place:
            found = found and _alone(window, found.start, found.stop, step)
        if found is not None and found.stop - found.start == 4:
            return found.start
    return None


def _alone(window: Window, start: int, stop: int, wanted: tuple[int, int], is_only: bool = False) -> Field | None:
    """Return the field *wanted* (number, wire type) of a message if its number stands there once; alone, if *is_only*."""
    fields = list(hop(window, start, stop))
    found = [item for item in fields if item.number == wanted[0]]
    if len(found) != 1 or found[0].wire_type != wanted[1] or (is_only and len(fields) != 1):
        return None
    return found[0]


class _MeteredWindow(Window):
    """A window that counts each look against the budget, so that a row of tiny fields cannot cost unbounded time."""

    def __init__(self, tree: FileTree, entry: FileEntry, budget: Budget) -> None:
        super().__init__(tree, entry.path, entry.size)
        self._budget = budget

    def at(self, position: int, count: int) -> int:
        self._budget.spend(self.path, position, 1, 0)
        return super().at(position, count)


def _condense(window: Window, start: int, stop: int) -> bytes:
    """Return the large event at [start, stop) without what cannot be a scalar; b"" where nothing else is left.

    Looks at the keys of the event and of its summary values. Bytes that are no event count as nothing.
    """
    head, values = bytearray(), bytearray()
    try:
        for found in hop(window, start, stop):
            if found.number == _SUMMARY and found.wire_type == LEN:
                values += _small_values(window, found)
            elif found.wire_type in (VARINT, FIXED64):
                head += window.bytes(found.begin, found.stop)
    except BudgetSpent:
        raise
    except ModelError:
        return b""
    return bytes(head + varint(_SUMMARY_KEY) + varint(len(values)) + values) if values else b""


def _small_values(window: Window, summary: Field) -> bytes:
    values = bytearray()
    for found in hop(window, summary.start, summary.stop):
        if found.number == _VALUE and found.stop - found.begin <= MAX_VALUE_BYTES and len(values) < MAX_SCALARS_BYTES:
            values += window.bytes(found.begin, found.stop)
    return bytes(values)


def _remarks(records: RecordFile, entry: FileEntry) -> Iterator[Note]:
    if entry.size == 0:
        yield Note(entry.path, "named like an event file, and empty")
    if records.problem is not None:
        yield Note(entry.path, records.problem)
    if records.passed_over:
        yield Note(entry.path, f"{records.passed_over} records are too large to look at (limit MAX_RECORD_BYTES)")
