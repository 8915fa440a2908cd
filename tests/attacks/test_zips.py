"""Zips that two readers may see differently, as models: never clean, and none of them is called a model that is fine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from detectors.scan import Verdict, scan
from detectors.tree import MemoryTree
from tests.attacks.zips import AS_MODELS, attacks
from tests.builders import onnx

HONEST = {"whole.onnx": onnx.model()}
"""A model beside each attack, so that a tree whose zip was overlooked would be clean."""

FOLDER = Path(os.environ.get("MODELPORT_HOSTILE", "/nowhere")) / "zip"


def verdict_of(files: Mapping[str, bytes]) -> Verdict:
    return scan(MemoryTree({**HONEST, **files})).verdict


def test_what_stands_beside_them_is_clean() -> None:
    assert verdict_of({}) is Verdict.CLEAN


def test_no_hostile_zip_is_clean_under_the_name_of_a_model() -> None:
    found = {name: verdict_of(files) for name, files in attacks()}
    assert len(found) > 300
    missed = {name for name, verdict in found.items() if verdict is Verdict.CLEAN}
    assert missed <= {f"{idea}, as {suffix}" for idea in HARMLESS for suffix in (".keras", ".npz", ".pt")}


HARMLESS = {"nothing", "no zip", "only an end", "only folders", "a header in what is stored before its size is told"}
"""Nothing that a reader takes for a zip with files; and what matters to who reads from a pipe, as nobody does."""


@pytest.mark.parametrize("idea", [idea for idea in AS_MODELS if not idea.startswith(("encrypted", "weights packed", "a bomb"))])
def test_a_keras_model_that_is_two_is_a_finding(idea: str) -> None:
    assert verdict_of({"model.keras": AS_MODELS[idea]()}) is Verdict.FINDINGS


@pytest.mark.parametrize("idea", ["encrypted weights", "weights packed by another method", "a bomb of weights"])
def test_what_cannot_be_read_is_not_looked_at(idea: str) -> None:
    found = scan(MemoryTree({"model.keras": AS_MODELS[idea]()}))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert [note.path for note in found.coverage.inconclusive] == ["model.keras"]
    assert not found.findings


@pytest.mark.skipif(not FOLDER.exists(), reason="MODELPORT_HOSTILE does not name a folder with zips")
@pytest.mark.parametrize("suffix", [".keras", ".npz", ".pt"])
def test_no_zip_that_pypi_refuses_is_clean_as_a_model(suffix: str) -> None:
    for path in sorted((FOLDER / "reject").iterdir()):
        if path.name != "not.zip":
            assert verdict_of({f"model{suffix}": path.read_bytes()}) is not Verdict.CLEAN, path.name
