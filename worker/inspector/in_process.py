"""Inspects in this very process: for a person who looks at their own files, and for tests."""

from __future__ import annotations

from collections.abc import Sequence

from detectors.facts import ModelType
from detectors.scan import Scan, scan
from detectors.tree import FileEntry, FileTree


class InProcessInspector:
    """Looks at trees without a child. What a file does to the parser, it does to this process."""

    def inspect(self, tree: FileTree, declared_type: ModelType | None, entries: Sequence[FileEntry], team: str) -> Scan:
        """Return what lies in *tree*; see `worker.ports.Inspector`."""
        return scan(tree, declared_type, entries)

    def close(self) -> None:
        """Do nothing: nothing was started."""
