"""The words with which people and clients declare what a model is; apart from the events, because a scan needs no more."""

from __future__ import annotations

from detectors.facts import ModelType

MODEL_TYPES = {kind.value.lower(): kind for kind in ModelType} | {
    "1": ModelType.TENSORFLOW,
    "2": ModelType.ONNX,
    "3": ModelType.CUSTOM,
}
"""Declared types in any case, and the numbers that clients of 2019 sent."""


def model_type(word: str | None) -> ModelType | None:
    """Return the type that *word* declares; None for None. A word that nobody knows means Custom, as it did on Gradient."""
    return None if word is None else MODEL_TYPES.get(word.strip().lower(), ModelType.CUSTOM)
