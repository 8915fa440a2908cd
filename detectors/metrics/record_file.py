"""The frames of a TFRecord file, the container of event files.

    length    8 bytes, little-endian
    crc       4 bytes, masked crc32c of the length
    data      length bytes
    crc       4 bytes, masked crc32c of the data

In goes byte access to a file; out come the data of its records, in batches of what one window holds. Each record that is
given out has both of its checksums checked. A large record is first shown to `condense`, which reads what it wants of it;
where it wants nothing, the data are neither read nor checked. Where the small ones lie is left to `frames`, what the data
mean to `events`.

A writer that still runs, or was killed, leaves a torn end: that is normal, and told like any other early end in `problem`.
After a wrong length nothing can be trusted, so there is no search for a next record.

Law (has a test of the same name): what is given out is what was written, up to the first damage.

Source: tensorflow/core/lib/io/record_writer.h and core/lib/hash/crc32c.h ("Masked").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct

from google_crc32c import extend, value

from detectors.metrics.budget import Budget
from detectors.metrics.frames import FOOTER_BYTES, HEADER_BYTES, Cutter
from detectors.metrics.lanes import every, lanes_of
from detectors.wire import Window

MAX_SMALL_RECORD_BYTES = 64 << 10
"""Up to this size a record is read whole. Scalars of one step fit; images, graphs and most histograms do not."""

MAX_RECORD_BYTES = 64 << 20
"""A record above this size is passed over without a look."""

CRC_CHUNK_BYTES = 1 << 20
"""Large records are read in pieces of this size to check their sum."""

BATCH_RECORDS = 4096
"""Records given out at once: enough to share the cost of a batch, few enough to stay in the cache of a processor."""

_MASK_DELTA = 0xA282EAD8
_LENGTH = Struct("<QI")
_CRC = Struct("<I")

Condense = Callable[[Window, int, int], bytes]
"""Given a window and the range of a large record, return what is wanted of its data, b"" for nothing."""


def masked(crc: int) -> int:
    """Return *crc* as TFRecord stores it, so that a sum over bytes which hold sums stays a good sum."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFF_FFFF


class RecordFile:
    """The records of one file. After the iteration `problem` says why it ended before the end of the file, or is None.

    count is the number of whole records passed, position the byte where the next one begins.
    """

    def __init__(self, window: Window, budget: Budget, condense: Condense) -> None:
        self._window = window
        self._budget = budget
        self._condense = condense
        self._cutter = Cutter()  # knows the headers whose checksum is right; at most one per small length
        self.count = 0
        self.position = 0
        self.passed_over = 0
        self.problem: str | None = None

    def batches(self) -> Iterator[list[bytes]]:
        """Yield the data of the records in order, as many at a time as lie in the window.

        Raises:
            BudgetSpent: the budget of the scan is used up.
        """
        while self.problem is None and self.position < self._window.size:
            begin, count = self.position, self.count
            batch = self._in_window() or self._next()
            self._budget.spend(self._window.path, self.position, self.count - count + 1, self.position - begin if batch else 0)
            yield batch

    def _in_window(self) -> list[bytes]:
        """Return the small records that lie whole in the window, up to one whose length is not known to be right.

        Empty records are passed: as events they say nothing.
        """
        base = self._window.base
        frames, index = self._cutter.cut(self._window.buffer, self.position - base, BATCH_RECORDS)
        good = _good(frames.data, frames.crcs)
        self.count += good
        if good == len(frames.data):
            self.position = base + index
            return list(filter(None, frames.data))
        self.position += sum(HEADER_BYTES + len(data) + FOOTER_BYTES for data in frames.data[:good])
        self._stop(self.position, "corrupt: the data do not match their checksum")
        return list(filter(None, frames.data[:good]))

    def _next(self) -> list[bytes]:
        """Check the record at `position` and bring it into the window, or pass a large one, giving out what is wanted."""
        if self.problem is not None:
            return []
        begin, size = self.position, self._window.size
        start = begin + HEADER_BYTES
        if start > size:
            return self._stop(begin, f"cut off: a header needs {HEADER_BYTES} bytes, {size - begin} are left")
        header = self._window.bytes(begin, start)
        length, crc = _LENGTH.unpack(header)
        if crc != masked(value(header[:8])):
            return self._stop(begin, "corrupt: the length does not match its checksum")
        stop = start + length
        if stop + FOOTER_BYTES > size:
            return self._stop(begin, f"cut off: the record would end at byte {stop + FOOTER_BYTES}, the file ends at {size}")
        if length > MAX_SMALL_RECORD_BYTES:
            return self._large(start, stop)
        self._cutter.known(header, length)
        self._window.at(begin, stop + FOOTER_BYTES - begin)
        return []

    def _large(self, start: int, stop: int) -> list[bytes]:
        if stop - start > MAX_RECORD_BYTES:
            self.passed_over += 1
            wanted = b""
        else:
            wanted = self._condense(self._window, start, stop)
        if wanted and not self._is_whole(start, stop):
            return self._stop(start - HEADER_BYTES, "corrupt: the data do not match their checksum")
        self.position = stop + FOOTER_BYTES
        self.count += 1
        return [wanted] if wanted else []

    def _is_whole(self, start: int, stop: int) -> bool:
        crc = 0
        for begin in range(start, stop, CRC_CHUNK_BYTES):
            crc = extend(crc, self._window.bytes(begin, min(begin + CRC_CHUNK_BYTES, stop)))
        return bool(_CRC.unpack(self._window.bytes(stop, stop + FOOTER_BYTES))[0] == masked(crc))

    def _stop(self, position: int, why: str) -> list[bytes]:
        self.problem = f"{self.count} records read, then at byte {position}: {why}"
        return []


def _good(batch: list[bytes], stored: list[int]) -> int:
    """Return how many of *batch* match their *stored* checksums, up to the first that does not.

    All are masked at once, in lanes (`lanes`): of the 49 bits that the shifts of `masked` give, and of those that come from
    the next lane, the mask leaves 32 in each.
    """
    crcs, count = list(map(value, batch)), len(batch)
    low, lanes = every(0xFFFF_FFFF, count), lanes_of(crcs)
    rotated = (lanes >> 15 | lanes << 17) & low
    if (rotated + every(_MASK_DELTA, count)) & low == lanes_of(stored):
        return count
    return next(index for index, (crc, wanted) in enumerate(zip(crcs, stored, strict=True)) if masked(crc) != wanted)
