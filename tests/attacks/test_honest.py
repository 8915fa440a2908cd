"""Honest models of others have none of the findings that attacks have."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest

from detectors.facts import Severity
from detectors.local_tree import LocalTree
from detectors.scan import scan
from detectors.tree import MemoryTree

CORPUS = os.environ.get("MODELPORT_CORPUS")


def saved_by_numpy() -> dict[str, bytes]:
    """What numpy writes of numbers and texts, packed or not, and of objects."""
    arrays = {"a": np.arange(100_000, dtype="<f4"), "b/c": np.array(["x", "y"]), "e": np.zeros((0, 3)), "f": np.float64(1)}
    files = {}
    for name, save in (("plain.npz", np.savez), ("packed.npz", np.savez_compressed)):
        out = io.BytesIO()
        save(out, **arrays)  # type: ignore[arg-type]
        files[name] = out.getvalue()
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}, None], dtype=object))
    return {**files, "objects.npy": out.getvalue()}


def test_what_numpy_writes_is_no_finding_but_objects_are_told() -> None:
    found = scan(MemoryTree(saved_by_numpy()))
    assert [(one.path, one.rule, one.severity) for one in found.findings] == [
        ("objects.npy", "executable-content", Severity.LOW)
    ]
    assert not found.coverage.inconclusive


@pytest.mark.slow
@pytest.mark.skipif(CORPUS is None, reason="MODELPORT_CORPUS names no folder of real models")
def test_nothing_in_the_corpus_runs() -> None:
    assert CORPUS is not None
    with LocalTree(CORPUS) as tree:
        found = scan(tree)
    assert len(found.models) > 300
    about = ("executable-", "pickle-", "zip-", "keras-")
    assert not [finding for finding in found.findings if finding.rule.startswith(about)]
    assert not [note for note in found.coverage.inconclusive if "not looked at" in note.reason]
