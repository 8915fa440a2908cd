"""The checks that a pass over all bytes can make on its way: the checksums that a checkpoint keeps of its tensors.

In goes a finished scan, out come the checks by file. Who reads the bytes, and why, is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from detectors import checkpoint, tensor_slices
from detectors.block_checks import BlockChecks
from detectors.bundle import checks_by_shard, read_bundle
from detectors.detection import Contents
from detectors.errors import ModelError, Unreadable
from detectors.facts import Detection
from detectors.range_checks import RangeChecks
from detectors.scan import Scan
from detectors.tree import FileEntry, FileTree

TensorChecks = RangeChecks | BlockChecks
"""The checks of one file: of the ranges that an index names, or of the blocks of a checkpoint's first format."""


def tensor_checks(tree: FileTree, entries: Iterable[FileEntry], found: Scan) -> Callable[[FileEntry], TensorChecks | None]:
    """Return what gives the checks of a file that holds tensors, and None for any other. Each is good for one pass.

    Reads the indexes once more; they are small beside the tensors. An index that cannot be read was told by the scan.
    """
    contents = Contents(tree, entries)
    checks: dict[str, TensorChecks] = {}
    for model in found.models:
        for path in model.detection.files:
            if path.endswith(".index"):
                checks.update(_of_index(contents, path))
        checks.update(_of_single_files(contents, model.detection))
    return lambda entry: checks.get(entry.path)


def _of_index(contents: Contents, path: str) -> dict[str, TensorChecks]:
    """Return the checks of the data files of the index at *path*."""
    entry = contents.find(path)
    if entry is None:
        return {}
    try:
        bundle = read_bundle(contents, entry)
    except (ModelError, Unreadable):
        return {}
    return {checks.path: checks for checks in checks_by_shard(bundle)}


def _of_single_files(contents: Contents, detection: Detection) -> Iterator[tuple[str, TensorChecks]]:
    """Yield the checks of the files of the first format."""
    paths = checkpoint.single_files(detection) if detection.format == checkpoint.FORMAT else []
    for entry in filter(None, map(contents.find, paths)):
        try:
            yield entry.path, tensor_slices.checks_of(contents, entry)
        except (ModelError, Unreadable):
            continue
