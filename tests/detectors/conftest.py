"""TensorFlow and what it writes, for the tests that compare with it."""

from __future__ import annotations

import os

import pytest

from tests.builders.by_tensorflow import write_models


@pytest.fixture(scope="session")
def tf():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow

    return tensorflow


@pytest.fixture(scope="session")
def by_tensorflow(tf, tmp_path_factory):
    """Models that TensorFlow and Keras write, by name -> folder. Nobody changes them."""
    folder = tmp_path_factory.mktemp("by_tensorflow")
    write_models(tf, folder)
    return {path.name: path for path in sorted(folder.iterdir())}
