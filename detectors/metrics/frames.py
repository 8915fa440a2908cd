"""Where the records of an event file lie, as long as their headers are known.

A header is a length and its checksum; one that was checked once needs no second look. So frames are cut by looking headers
up, and nothing here computes a checksum: `record_file` checks a header before it is `known`, and the data after the cut.

What a run writes at one step it writes at the next, so the lengths of records repeat with a period, such as

    loss 39, accuracy 43, rate 39,  loss 39, accuracy 43, rate 39,  loss 39, …

Where the headers did so for a while, one `Struct` takes a whole round of records apart, and only its headers are compared
to those that were foreseen. A header that differs ends this; from there records are cut one by one, until they repeat again.

Law (has a test of the same name): the rounds change nothing but the time it takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

HEADER_BYTES = 12
FOOTER_BYTES = 4

MAX_PERIOD = 32
"""Records of one period. A longer one is not noticed."""

EVIDENCE = 2 * MAX_PERIOD
"""Headers that must repeat before a round is foreseen."""

ROUND = 16
"""Records of one round at least, in whole periods: more make a wrong guess dear, fewer make a right one worth less."""

_CRC = Struct("<I")


@dataclass(frozen=True, slots=True)
class Cut:
    """Frames that were cut: the data of their records and the checksums stored behind them. Appended to while cutting."""

    data: list[bytes] = field(default_factory=list)
    crcs: list[int] = field(default_factory=list)


class Cutter:
    """Cuts the buffers of one file, given in order, into frames."""

    def __init__(self) -> None:
        self._lengths: dict[bytes, int] = {}
        self._recent: list[bytes] = []  # the last headers of frames in a row; whole rounds that came true leave it as it is
        self._round: tuple[tuple[bytes, ...], Struct] | None = None  # the next headers, if all goes on as it did

    def known(self, header: bytes, length: int) -> None:
        """Take *header* for good from now on: it stands before *length* bytes."""
        self._lengths[header] = length

    def cut(self, buffer: bytes, index: int, count: int) -> tuple[Cut, int]:
        """Return the frames from *index* on, and the index behind the last.

        Ends at an unknown header, at a frame that does not lie whole in *buffer*, or after *count* frames or a few more.
        """
        frames = Cut()
        while len(frames.data) < count:
            index = self._by_rounds(buffer, index, count, frames)
            if len(frames.data) >= count:
                break
            before = len(frames.data)
            index = self._one_by_one(buffer, index, frames)
            if len(frames.data) - before < EVIDENCE:
                break
        return frames, index

    def _by_rounds(self, buffer: bytes, index: int, count: int, frames: Cut) -> int:
        self._round = self._round or self._foreseen()
        if self._round is None:
            return index
        headers, fields = self._round
        rounds = min((len(buffer) - index) // fields.size, count // len(headers) + 1)
        for row in fields.iter_unpack(memoryview(buffer)[index : index + rounds * fields.size]):
            if row[::3] != headers:
                self._recent.clear()
                self._round = None
                break
            frames.data.extend(row[1::3])
            frames.crcs.extend(row[2::3])
            index += fields.size
        return index

    def _one_by_one(self, buffer: bytes, index: int, frames: Cut) -> int:
        length_of, unpack_crc, end = self._lengths.get, _CRC.unpack_from, len(buffer)
        headers: list[bytes] = []
        for _ in range(EVIDENCE):
            start = index + HEADER_BYTES
            header = buffer[index:start]
            length = length_of(header)
            if length is None:
                break
            stop = start + length
            if stop + FOOTER_BYTES > end:
                break
            headers.append(header)
            frames.data.append(buffer[start:stop])
            frames.crcs.append(unpack_crc(buffer, stop)[0])
            index = stop + FOOTER_BYTES
        if headers:
            self._recent = (self._recent + headers)[-EVIDENCE:]
            self._round = None
        return index

    def _foreseen(self) -> tuple[tuple[bytes, ...], Struct] | None:
        """Return the headers of the next round and what takes it apart; None where the recent ones do not repeat."""
        recent = self._recent
        if len(recent) < EVIDENCE:
            return None
        for period in range(1, MAX_PERIOD + 1):
            if recent[-1] == recent[-1 - period] and recent[period:] == recent[:-period]:
                headers = recent[-period:] * -(-ROUND // period)
                layout = (f"{HEADER_BYTES}s{self._lengths[header]}sI" for header in headers)
                return tuple(headers), Struct("<" + "".join(layout))
        return None
