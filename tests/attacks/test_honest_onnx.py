"""What is said of ONNX models that nobody made to harm: nothing high, and little else."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator

import pytest

from detectors.facts import Severity
from detectors.scan import scan
from detectors.tree import MemoryTree
from tests.attacks.honest import Files, of_the_backend, of_the_corpus

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("onnx")

pytestmark = [pytest.mark.oracle, pytest.mark.slow]


def worst_of(models: Iterator[tuple[str, Files]]) -> Counter[Severity | None]:
    """Return how many models have findings of each severity as their worst."""
    found = [scan(MemoryTree(files)).findings for _, files in models]
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
