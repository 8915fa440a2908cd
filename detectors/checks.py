"""The checks that a pass over all bytes can make on its way: the checksums that a checkpoint keeps of its tensors.

In goes a finished scan, out come the checks by file. Who reads the bytes, and why, is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable

from detectors.block_checks import BlockChecks
from detectors.range_checks import RangeChecks
from detectors.scan import Scan
from detectors.tree import FileEntry

TensorChecks = RangeChecks | BlockChecks
"""The checks of one file: of the ranges that an index names, or of the blocks of a checkpoint's first format."""


def tensor_checks(found: Scan) -> Callable[[FileEntry], TensorChecks | None]:
    """Return what gives the checks of a file that holds tensors, made anew for each pass, and None for any other.

    Reads nothing: what an index promises was read by the scan. An index that cannot be read was told by it.
    """
    sums = {one.path: one for model in found.models for one in model.extraction.sums}

    def checks_of(entry: FileEntry) -> TensorChecks | None:
        promised = sums.get(entry.path)
        if promised is None:
            return None
        return BlockChecks(promised) if promised.blocks else RangeChecks(promised)

    return checks_of
