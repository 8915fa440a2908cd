"""Checksums of byte ranges, verified while a file streams by.

In go the ranges that an index promises for one data file, then the file itself as consecutive chunks; out come problems.
The store pass copies each byte once and feeds it here on its way, so a verified checkpoint costs no second read. Where the
ranges come from is left to `bundle`, how the bytes of a tensor are summed to `tensor_sums`.

Laws (each has a test of the same name):
    how the file is cut into chunks changes nothing;
    a range that lacks a byte, or has a flipped bit, is always a problem;
    memory does not grow with the chunks that went by.
"""

from __future__ import annotations

from detectors.facts import CutOff, FileSums, Problem, TensorRange
from detectors.sstable import unmask
from detectors.tensor_sums import ByteOrder, sum_for
from detectors.tf_dtypes import STRING, VARIANT, base_of

MAX_OVERLAPS = 16
"""Ranges that may cover the same byte. Writers never overlap any; each further one would cost another pass over the bytes."""

FRAMED = frozenset({STRING, VARIANT})
"""Types of TensorFlow whose bytes hold lengths, which take a step in Python each."""

MAX_PROBLEMS = 100
"""Problems that are told one by one; the rest is a count."""


class RangeChecks:
    """The checks of the tensors in one file, fed with its bytes in order."""

    def __init__(self, sums: FileSums) -> None:
        self._path = sums.path
        self._order: ByteOrder = "big" if sums.big_endian else "little"
        self._waiting = sorted(sums.tensors, key=lambda check: (check.start, check.stop, check.name))
        self._next = 0
        self._running: list[_Running] = []
        self._position = 0
        self._problems: list[str] = []
        self._untold = 0

    def update(self, chunk: bytes) -> None:
        """Feed the next bytes of the file. A chunk that lies inside one range is not copied."""
        end = self._position + len(chunk)
        while self._next < len(self._waiting) and self._waiting[self._next].start < end:
            check = self._waiting[self._next]
            self._next += 1
            self._close(check.start, chunk)
            self._open(check)
        for running in self._running:
            running.feed(chunk, self._position)
        self._position = end
        self._close(end, b"")

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the bytes fed so far, taken as the whole file. May be asked more than once.

        They are all `CutOff` where nothing is wrong with the file but that it ends too early.
        """
        broken, missing = list(self._problems), [self._cut_off(running.check) for running in self._running]
        for check in self._waiting[self._next :]:
            empty = check.start == check.stop <= self._position
            if not empty:
                missing.append(self._cut_off(check))
            elif reason := _Running(check, self._order).reason():
                broken.append(reason)
        kind, told = Problem if broken else CutOff, broken + missing
        more = len(told) - MAX_PROBLEMS + self._untold
        told = told[:MAX_PROBLEMS] + ([f"and {more} more tensors"] if more > 0 else [])
        return tuple(kind(self._path, problem) for problem in told)

    def _open(self, check: TensorRange) -> None:
        is_framed = base_of(check.dtype) in FRAMED
        if len(self._running) >= MAX_OVERLAPS:
            self._tell(f"tensor {check.name}: not verified, more than {MAX_OVERLAPS} tensors share its bytes")
        elif is_framed and any(base_of(other.check.dtype) in FRAMED for other in self._running):
            self._tell(f"tensor {check.name}: not verified, another tensor of strings or variants shares its bytes")
        else:
            self._running.append(_Running(check, self._order))

    def _close(self, position: int, chunk: bytes) -> None:
        """Finish the ranges that end at or before *position*, with what *chunk* still holds for them."""
        for running in [running for running in self._running if running.check.stop <= position]:
            running.feed(chunk, self._position)
            self._running.remove(running)
            if reason := running.reason():
                self._tell(reason)

    def _tell(self, problem: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
        else:
            self._untold += 1

    def _cut_off(self, check: TensorRange) -> str:
        return f"tensor {check.name} wants bytes [{check.start}, {check.stop}), the file has {self._position}"


class _Running:
    """A range whose bytes are going by."""

    __slots__ = ("_fed", "_sum", "check")

    def __init__(self, check: TensorRange, order: ByteOrder) -> None:
        self.check = check
        self._fed = check.start
        self._sum = sum_for(check.dtype, check.elements, check.stop - check.start, order)

    def feed(self, chunk: bytes, begin: int) -> None:
        """Take what is new for this range from *chunk*, which begins at byte *begin* of the file."""
        stop = min(self.check.stop, begin + len(chunk))
        if stop > self._fed:
            self._sum.feed(chunk[self._fed - begin : stop - begin])
            self._fed = stop

    def reason(self) -> str | None:
        """Return what is wrong with the bytes of the range, None where they are as promised."""
        if self._sum.value() == unmask(self.check.crc32c):
            return None
        return f"tensor {self.check.name}: the checksum of bytes [{self.check.start}, {self.check.stop}) differs from the index"
