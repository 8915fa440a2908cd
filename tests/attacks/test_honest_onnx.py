"""What is said of ONNX models that nobody made to harm: nothing high, and little else."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from detectors.facts import Severity
from detectors.scan import scan
from detectors.tree import MemoryTree

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    onnx = pytest.importorskip("onnx")

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

Files = Mapping[str, bytes]


def of_the_backend() -> Iterator[Files]:
    """Yield the models with which onnx tests its backends: those that it makes anew, and those that it ships."""
    from onnx.backend.test.case.node import collect_testcases

    for case in collect_testcases(None):
        if case.model is not None:
            yield {"m.onnx": case.model.SerializeToString()}
    for path in sorted((Path(onnx.__file__).parent / "backend/test/data").rglob("*.onnx")):
        yield beside(path)


def of_the_corpus() -> Iterator[Files]:
    for path in sorted(Path(os.environ["MODELPORT_CORPUS"]).rglob("*.onnx")):
        yield beside(path)


def beside(path: Path) -> Files:
    """Return the model at *path* with the files beside it, which may hold its external data, but for other models."""
    files = [path, *(other for other in path.parent.iterdir() if other.is_file() and other.suffix != ".onnx")]
    return {file.name: file.read_bytes() for file in files}


def worst_of(models: Iterator[Files]) -> Counter[Severity | None]:
    """Return how many models have findings of each severity as their worst."""
    found = [scan(MemoryTree(files)).findings for files in models]
    return Counter(findings[0].severity if findings else None for findings in found)


def test_no_model_of_onnx_s_own_backend_tests_has_a_finding() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worst = worst_of(of_the_backend())
    assert worst.total() > 1400
    assert set(worst) == {None}, worst


@pytest.mark.skipif("MODELPORT_CORPUS" not in os.environ, reason="MODELPORT_CORPUS names no corpus of real models")
def test_of_real_models_none_is_high_and_two_in_a_hundred_are_medium() -> None:
    """Those are four without the opset of their operators, and one that sends sound to a server."""
    worst = worst_of(of_the_corpus())
    assert worst.total() >= 300
    assert not {Severity.CRITICAL, Severity.HIGH} & set(worst), worst
    assert worst[Severity.MEDIUM] <= 0.02 * worst.total(), worst
