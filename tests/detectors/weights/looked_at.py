"""What the detectors of this package see in a tree of given files, for all tests here."""

from __future__ import annotations

from collections.abc import Mapping

from detectors.detection import Contents, detect
from detectors.facts import Detection, Extraction
from detectors.tree import MemoryTree
from detectors.weights import DETECTORS


def look(files: Mapping[str, bytes]) -> list[tuple[Detection, Extraction]]:
    """Return each detection with what was extracted."""
    tree = MemoryTree(files)
    contents = Contents(tree, tree.files())
    return [(detection, detector.extract(contents, detection)) for detector, detection in detect(contents, DETECTORS)]


def look_at(path: str, data: bytes) -> tuple[Detection, Extraction]:
    """Return the one detection in a tree of one file."""
    (only,) = look({path: data})
    return only


def formats(files: Mapping[str, bytes]) -> list[str]:
    """Return the formats detected, in order; nothing is extracted."""
    tree = MemoryTree(files)
    contents = Contents(tree, tree.files())
    return [detection.format for _, detection in detect(contents, DETECTORS)]


def state(path: str, data: bytes) -> str:
    """Return the completeness of the one model in a tree of one file."""
    return look_at(path, data)[1].completeness.state.value


def problem(extraction: Extraction) -> str:
    """Return the one problem of an extraction as text."""
    (only,) = extraction.completeness.problems
    return only.problem
