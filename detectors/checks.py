"""The checks that a pass over all bytes can make on its way: the checksums that a variables index promises.

In goes a finished scan, out come the checks by file. Who reads the bytes, and why, is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from detectors.bundle import checks_for, read_bundle, shard_name
from detectors.detection import Contents
from detectors.errors import ModelError, Unreadable
from detectors.range_checks import RangeChecks
from detectors.scan import Scan
from detectors.tree import FileEntry, FileTree


def shard_checks(tree: FileTree, entries: Iterable[FileEntry], found: Scan) -> Callable[[FileEntry], RangeChecks | None]:
    """Return what gives the checks of a data shard, and None for any other file. Each is good for one pass.

    Reads the indexes once more; they are small beside the shards. An index that cannot be read was told by the scan.
    """
    contents = Contents(tree, entries)
    indexes = {path for model in found.models for path in model.detection.files if path.endswith(".index")}
    checks: dict[str, RangeChecks] = {}
    for path in sorted(indexes):
        checks.update(_checks_of(contents, path))
    return lambda entry: checks.get(entry.path)


def _checks_of(contents: Contents, path: str) -> dict[str, RangeChecks]:
    entry = contents.find(path)
    if entry is None:
        return {}
    try:
        bundle = read_bundle(contents, entry)
    except (ModelError, Unreadable):
        return {}
    names = ((shard, shard_name(bundle.prefix, shard, bundle.num_shards)) for shard in range(bundle.num_shards))
    return {name: checks_for(bundle, shard) for shard, name in names if contents.find(name)}
