"""Event files: what TensorBoard shows, and where TensorFlow, PyTorch and others write the scalars of a run.

In go the event files of one folder, which is one session; out come its series. A scalar is a `simple_value`, or a rank-0
tensor of a tag whose first event names the plugin "scalars": text, images, histograms and curves are tensors too.
Several files of one folder are restarts; they are read in the order of their names, which hold the time of creation.

Most records of a long run differ in three places only: wall time, step and the value. So a record that was parsed by the
protobuf runtime leaves its layout behind, the bytes around the value, and later records with the same bytes are not parsed:

    09  wall time, 8 bytes   10  step, a varint   … value, 4 bytes …
                                                  `-------- layout

The value stands in one place of a file, counted from the end of the record; records with another place are all parsed.

Which folders there are and what the sessions are called is left to `sessions`; statistics are left to `gradient`.

Laws (each has a test of the same name):
    the layouts change nothing but the time it takes;
    any bytes give series and notes, or `BudgetSpent`.

Source: tensorflow/core/util/event.proto, core/framework/summary.proto; tensorboard/plugins/scalar/metadata.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from google.protobuf.message import DecodeError

from detectors.errors import ModelError
from detectors.facts import Note
from detectors.metrics.budget import Budget, BudgetSpent
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

FOLD_POINTS = 20_000
"""Points that may lie unfolded in the lists of all series of a session."""

FIRST_RECORD_BYTES = 120
"""`FILE_VERSION` lies within so many bytes of the first record."""

FILE_VERSION = b"brain.Event:"
SCALARS = b"scalars"

_HEAD = Struct("<BdBI")
_FLOAT = Struct("<f")
_WALL_TIME_KEY, _STEP_KEY, _SUMMARY_KEY = 1 << 3 | FIXED64, 2 << 3 | VARINT, 5 << 3 | LEN
_SUMMARY, _VALUE = 5, 1
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
        self._layouts: dict[bytes, tuple[bytes, GrowingSeries]] = {}  # what stands before the value: what follows it, series
        self._place = 0  # of the value, from the end of the record
        self._layouts_left = MAX_LAYOUTS
        self.looks = 0

    def take(self, batch: list[bytes]) -> None:
        """Take the scalars of a batch of records; those with a known layout are not parsed.

        Raises:
            DecodeError: a record is no event.

        This loop is the hot path. Of an event that begins with wall time and step, the head gives the wall time and the
        first four bytes of the step, which are enough for steps below two million; a step of 0 is usually left out.
        """
        unpack_head, unpack_float, head_bytes = _HEAD.unpack_from, _FLOAT.unpack_from, _HEAD.size
        layouts, place = self._layouts, self._place
        for data in batch:
            if len(data) < head_bytes:
                self._parse(data, 0)
                continue
            first_key, wall_time, second_key, word = unpack_head(data)
            step = begin = 0
            if first_key != _WALL_TIME_KEY:
                pass
            elif second_key == _STEP_KEY:
                if word & 0x808080 == 0x008080:
                    step, begin = word & 0x7F | word >> 1 & 0x3F80 | word >> 2 & 0x1FC000, 13
                elif word & 0x8080 == 0x0080:
                    step, begin = word & 0x7F | word >> 1 & 0x3F80, 12
                elif word & 0x80 == 0:
                    step, begin = word & 0x7F, 11
            elif second_key == _SUMMARY_KEY:
                begin = 9
            layout = layouts.get(data[begin:place])
            if layout is None or not begin or not data.endswith(layout[0]):
                self._parse(data, begin)
                place = self._place
                continue
            series = layout[1]
            series.steps.append(step)
            series.values.append(unpack_float(data, len(data) + place)[0])
            series.wall_times.append(wall_time)

    def _parse(self, data: bytes, begin: int) -> None:
        event = Event()
        event.ParseFromString(data)
        values = event.summary.value
        self.looks += len(values)
        for value in values:
            number = self._reader.scalar(value)
            series = self._reader.growing(value.tag) if number is not None else None
            if number is None or series is None:
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
