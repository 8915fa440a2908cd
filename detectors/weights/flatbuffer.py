"""Bounded access to the tables and vectors of a FlatBuffer, by position.

In goes a window on the file, out come positions and numbers; what a field means is left to the format. Nothing is read but
what is asked for. `reach` tells how far into the file everything seen so far extends: a FlatBuffer is built back to front,
so the values that were written first stand last, and a file that was cut off lacks those.

    file    u32 position of the root table | four letters that name the format | …
    table   i32 distance back to its vtable | fields
    vtable  u16 its bytes | u16 bytes of the table | u16 offset of each field in the table, 0 where it is absent
    vector  u32 count | items          (a string is a vector of bytes and a NUL)

Source: FlatBuffers internals (flatbuffers.dev/internals).
"""

from __future__ import annotations

from detectors.errors import MalformedModel, ModelLimit
from detectors.facts import Completeness, Extraction, ModelFacts, Parameters, Problem, State
from detectors.weights.single_file import HEADER_NOTE, EndsEarly, number, piece
from detectors.wire import Window

MAX_ITEMS = 50_000
"""Tables that are visited in one file. The largest models have a few thousand tensors."""

MAX_TEXT_BYTES = 4096
"""Of a string that is shown."""

MAX_RANK = 64

PADDING_BYTES = 16
"""Zeros that writers put after the last value are fewer than these; they align it."""

SIZE_UNIT_BYTES = 4
"""The length of every FlatBuffer is a multiple of this. Source: FlatBufferBuilder::Finish aligns to its 32-bit root offset."""


class Flatbuffer:
    """Reads one file; each method checks that what it returns lies inside."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._visited = 0
        self.reach = 0

    def integer(self, position: int, count: int, signed: bool = False) -> int:
        """Return the integer of *count* bytes at *position*."""
        value = number(self._window, position, count)
        self.reach = max(self.reach, position + count)
        return value - (1 << 8 * count) if signed and value >> (8 * count - 1) else value

    def root(self) -> int:
        """Return the position of the root table."""
        return self.integer(0, 4)

    def field(self, table: int, index: int) -> int | None:
        """Return the position of field *index* of *table*, None where the table leaves it out."""
        vtable = table - self.integer(table, 4, signed=True)
        vtable_bytes, table_bytes = self.integer(vtable, 2), self.integer(vtable + 2, 2)
        self._extend(vtable, vtable_bytes)
        self._extend(table, table_bytes)
        entry = 4 + 2 * index
        offset = self.integer(vtable + entry, 2) if entry + 2 <= vtable_bytes else 0
        return table + offset if offset else None

    def value(self, table: int, index: int, count: int) -> int:
        """Return the unsigned integer in a field, 0 where it is left out."""
        position = self.field(table, index)
        return 0 if position is None else self.integer(position, count)

    def inner(self, table: int, index: int) -> int | None:
        """Return the position of the table that a field refers to."""
        position = self.field(table, index)
        return None if position is None else position + self.integer(position, 4)

    def vector(self, table: int, index: int, item_bytes: int) -> tuple[int, int]:
        """Return where the items of the vector in a field start, and how many there are; none where it is left out.

        Raises:
            EndsEarly: the items do not fit into the file.
        """
        start = self.inner(table, index)
        if start is None:
            return 0, 0
        count = self.integer(start, 4)
        self._extend(start, 4 + count * item_bytes)
        return start + 4, count

    def tables(self, table: int, index: int) -> list[int]:
        """Return the positions of the tables in a vector of tables.

        Raises:
            ModelLimit: more than `MAX_ITEMS` in this file.
        """
        start, count = self.vector(table, index, 4)
        self._visited += count
        if self._visited > MAX_ITEMS:
            raise ModelLimit(self._window.path, start, "MAX_ITEMS", f"more than {MAX_ITEMS} tables")
        return [place + self.integer(place, 4) for place in range(start, start + 4 * count, 4)]

    def text(self, table: int, index: int) -> str | None:
        """Return the string in a field, cut at `MAX_TEXT_BYTES`; None where it is left out or empty."""
        start, count = self.vector(table, index, 1)
        if count:
            self._extend(start, count + 1)
        return piece(self._window, start, min(count, MAX_TEXT_BYTES)).decode("utf-8", "replace") if count else None

    def product(self, table: int, index: int, item_bytes: int) -> int:
        """Return the product of the dimensions in a field, 1 for none.

        Raises:
            MalformedModel: a negative dimension, more than `MAX_RANK` of them, or a product of 64 bits and more.
        """
        start, count = self.vector(table, index, item_bytes)
        elements = 1
        for axis in range(min(count, MAX_RANK + 1)):
            elements *= self.integer(start + axis * item_bytes, item_bytes, signed=True)
            if axis == MAX_RANK or not 0 <= elements < 1 << 63:
                raise MalformedModel(self._window.path, start, "expected the shape of a tensor, found no such dimensions")
        return elements

    def _extend(self, start: int, count: int) -> None:
        """Note that *count* bytes at *start* are spoken of."""
        stop = start + count
        if stop > self._window.size:
            raise EndsEarly(self._window.path, start, f"expected bytes up to {stop}, the file ends at {self._window.size}")
        self.reach = max(self.reach, stop)

    def told(self, stored: int, dtypes: dict[str, int], **details: object) -> Extraction:
        """Return the facts of the model; its end is proven where nothing but padding follows what was seen.

        A cut of a whole number of units that takes nothing but padding cannot be told, and loses nothing.
        """
        proven = self._is_padding()
        about = {"note": HEADER_NOTE, "completeness_checked": proven, **details}
        facts = ModelFacts(parameters=Parameters(stored=stored), dtypes=dtypes, details=about)
        if not proven or self._window.size % SIZE_UNIT_BYTES == 0:
            return Extraction(facts)
        reason = f"expected a length of whole {SIZE_UNIT_BYTES} bytes, found {self._window.size}: its last padding is cut off"
        return Extraction(facts, Completeness(State.INCOMPLETE, (Problem(self._window.path, reason),)))

    def _is_padding(self) -> bool:
        """Tell whether all that follows what was seen is a few zeros."""
        count = self._window.size - self.reach
        return count < PADDING_BYTES and not any(piece(self._window, self.reach, count))
