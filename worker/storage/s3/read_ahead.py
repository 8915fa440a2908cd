"""Which bytes of an object are fetched, when a few of them are asked for.

A request costs as much time as several megabytes, and who reads a model asks for little: a header here, the next one five
megabytes on. In go the ranges that are asked for, one after the other; out come the ranges to fetch, the first for now, the
others in the hope that they are asked for next. Who fetches, and what is kept, is left to `tree`.

What is read in order is fetched in growing windows, the next one meanwhile. What is read in jumps is fetched in small windows;
where the jumps repeat, as the layers of a network do, the next few places are known, and are fetched at the same time.

Laws (each has a test of the same name):
    the first range begins where it was asked and holds all that was asked for;
    no range leaves the file;
    one read fetches no more than the windows ahead and one more, or the places ahead;
    in order, the bytes fetched in vain are at most the windows ahead and what remains of one.
"""

from __future__ import annotations

Range = tuple[int, int]
"""Half-open."""

FIRST_WINDOW_BYTES = 64 << 10
"""After a jump, and at the start: a header, or a small file as a whole."""

LAST_WINDOW_BYTES = 4 << 20
"""In order. With two of them ahead, 20 ms for each request leave the speed of most networks as it is."""

NEAR_BYTES = 512 << 10
"""What is skipped up to this is read along: less than a request costs at 25 MB/s and 20 ms."""

AHEAD_WINDOW_BYTES = 1 << 20
"""From this on the next windows in order are fetched ahead: somebody reads all of it."""

WINDOWS_AHEAD = 2

MAX_JUMPS_AHEAD = 16
"""Places that are fetched ahead at once; as many requests are under way at the same time."""

SAME_JUMP_BYTES = 2048
"""By how much jumps may differ that count as equal: names in the headers differ by a few letters."""

BEFORE_PLACE_BYTES = 4096
"""How much before its place a guessed window begins, for the same reason."""

MAX_JUMPS = 4096
"""How many jumps are remembered of one file."""


class ReadAhead:
    """Follows how one file of *size* bytes is read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._window = FIRST_WINDOW_BYTES // 2
        self._asked = 0, 0
        self._frontier = 0
        self._jumps: list[int] = []
        self._hits = 0
        self._guesses: list[int] = []

    def missed(self, start: int, stop: int) -> list[Range]:
        """Return what to fetch where bytes [start, stop) are asked for and not there: them first, then what may be next."""
        is_near = self._follow(start, stop, max(NEAR_BYTES, self._window))
        self._window = min(self._window * 2, LAST_WINDOW_BYTES) if is_near else FIRST_WINDOW_BYTES
        self._frontier = min(max(stop, start + self._window), self._size)
        return [(start, self._frontier), *(self._windows_ahead(self._frontier) if is_near else self._places_ahead(start))]

    def met(self, start: int, stop: int) -> list[Range]:
        """Return what to fetch where bytes [start, stop) are asked for and there already: what may be asked for next.

        Parts of it may be there too.
        """
        if self._follow(start, stop, NEAR_BYTES):
            return self._windows_ahead(stop)
        return self._places_ahead(start)

    def _follow(self, start: int, stop: int, near_bytes: int) -> bool:
        """Take note of a read, and tell whether it follows the one before in order. A way back is no jump to learn from."""
        (last_start, last_stop), self._asked = self._asked, (start, stop)
        if last_start <= start <= last_stop + near_bytes:
            return True
        if start > last_start:
            self._learn(start - last_start)
        return False

    def _windows_ahead(self, position: int) -> list[Range]:
        """Return the windows after those that were fetched in order, as far as `WINDOWS_AHEAD` of them beyond *position*."""
        ranges: list[Range] = []
        if self._window < AHEAD_WINDOW_BYTES:
            return ranges
        self._frontier = max(self._frontier, position)
        while self._frontier < min(position + WINDOWS_AHEAD * self._window, self._size):
            self._window = min(self._window * 2, LAST_WINDOW_BYTES)
            ranges.append((self._frontier, min(self._frontier + self._window, self._size)))
            self._frontier = ranges[-1][1]
        return ranges

    def _learn(self, jump: int) -> None:
        expected = _next_jump(self._jumps)
        self._hits = self._hits + 1 if expected is not None and _is_same(jump, expected) else 0
        self._jumps.append(jump)
        del self._jumps[:-MAX_JUMPS]

    def _places_ahead(self, start: int) -> list[Range]:
        """Return windows at the next places, more of them the more often the last guesses were right."""
        jumps, ranges = list(self._jumps), []
        self._guesses = [guess for guess in self._guesses if guess > start]
        for _ in range(min(2 ** (self._hits - 1), MAX_JUMPS_AHEAD) if self._hits else 0):
            jump = _next_jump(jumps)
            if jump is None or start + jump >= self._size:
                break
            start += jump
            jumps.append(jump)
            if all(abs(start - guess) > BEFORE_PLACE_BYTES for guess in self._guesses):
                self._guesses.append(start)
                ranges.append((max(0, start - BEFORE_PLACE_BYTES), min(start + FIRST_WINDOW_BYTES, self._size)))
        return ranges


def _next_jump(jumps: list[int]) -> int | None:
    """Return the jump that followed when the last two were as now, else the last one where it came twice, else None."""
    if len(jumps) < 2:
        return None
    for place in range(len(jumps) - 2, 0, -1):
        if _is_same(jumps[place], jumps[-1]) and _is_same(jumps[place - 1], jumps[-2]):
            return jumps[place + 1]
    return jumps[-1] if _is_same(jumps[-1], jumps[-2]) else None


def _is_same(jump: int, other: int) -> bool:
    return abs(jump - other) <= SAME_JUMP_BYTES
