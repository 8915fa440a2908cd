"""Many small numbers side by side in one large one, so that one operation of Python serves them all.

    lane n-1            lane 1              lane 0
    00000000 nnnnnnnn … 00000000 bbbbbbbb   00000000 aaaaaaaa       64 bits a lane

Adding, shifting and masking work on all lanes at once, as long as what leaves a lane is masked away: a shift to the right
lets the low bits of a lane fall into the high bits of its neighbour, a sum may carry into them. `every` gives the mask.

In go numbers below 2^64, out come lanes, and the other way round. What is computed is left to the caller.

Law (has a test of the same name): what is put into lanes comes out of them.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from functools import lru_cache

LANE_BITS = 64

_LANE_BYTES = LANE_BITS // 8


def lanes_of(numbers: Sequence[int]) -> int:
    """Return *numbers*, each in a lane of its own."""
    return int.from_bytes(array("Q", numbers).tobytes(), sys.byteorder)


def numbers_in(lanes: int, count: int) -> list[int]:
    """Return the numbers in *count* lanes, in the order in which `lanes_of` was given them."""
    return array("Q", lanes.to_bytes(count * _LANE_BYTES, sys.byteorder)).tolist()


@lru_cache(maxsize=64)  # batches and groups have few sizes
def every(number: int, count: int) -> int:
    """Return *count* lanes that all hold *number*."""
    return int.from_bytes(number.to_bytes(_LANE_BYTES, "little") * count, "little")
