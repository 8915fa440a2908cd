"""What functions of TensorFlow do that Keras 2 names between layers; the attacks are in tests/attacks/keras.py."""

from __future__ import annotations

import re

import pytest

from detectors.facts import Severity
from detectors.safety.tf_effects import listed, operator
from detectors.weights.keras_ops import HARMLESS, of_attribute, of_function, of_method, of_operator

RISKY = [name.decode() for name in listed() if (one := operator(name)) is not None and one.effect not in HARMLESS]


def snake(name: str) -> str:
    """Return the name of an operator as TensorFlow's functions of Python are spelled."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def test_what_touches_files_network_processes_or_python_is_never_harmless() -> None:
    """As an operator under each of its names, and as a function that is called like it."""
    assert len(RISKY) > 100
    for name in RISKY:
        assert of_operator(name) is Severity.HIGH
        assert of_function(f"raw_ops.{name}") is of_function(f"compat.v1.raw_ops.{name}") is Severity.HIGH
        for group in ("", "io.", "compat.v1.", "compat.v1.io."):
            assert of_function(group + snake(name)) is not None, name


@pytest.mark.parametrize("symbol", ["", ".", "math", "add.math", "no_such_function", "raw_ops.NoSuchOperator", "\ud800"])
def test_what_nobody_knows_is_not_harmless(symbol: str) -> None:
    assert of_function(symbol) is Severity.MEDIUM


def test_a_group_that_computes_holds_no_reader() -> None:
    """The one sampler of `nn` and `random` that takes the name of a file."""
    assert of_function("nn.fixed_unigram_candidate_sampler") is Severity.HIGH
    assert of_function("random.uniform_candidate_sampler") is None


def test_a_method_is_as_bad_as_its_class_and_its_name() -> None:
    assert of_method("RaggedTensor", "from_row_splits") is None
    assert of_method("RaggedTensor", "_x") is Severity.HIGH
    assert of_method("math.add", "x") is Severity.MEDIUM
    assert of_method("io.gfile.GFile", "read") is Severity.HIGH
    assert of_attribute("values") is None
    assert of_attribute("a.b") is Severity.HIGH
