"""The signatures of a SavedModel: what a serving system may call, with names, dtypes and shapes.

In goes a MetaGraphDef, out come `Signature` records sorted by name, their inputs and outputs sorted by key.
Names that begin with `__saved_model_` are TensorFlow's own (initialisation, training) and are not listed.
"""

from __future__ import annotations

from collections.abc import Iterable

from detectors.bounds import MAX_RANK, MAX_SIGNATURES, MAX_SPECS, check_count
from detectors.facts import Shape, Signature, TensorSpec
from detectors.protos.tensorflow_pb2 import MetaGraphDef, TensorInfo, TensorInfoEntry, TensorShapeProto
from detectors.tf_dtypes import dtype_name
from detectors.wire import text

INTERNAL_PREFIX = b"__saved_model_"
"""tensorflow/python/saved_model/constants.py: INIT_OP_SIGNATURE_KEY, TRAIN_OP_SIGNATURE_KEY."""

MAX_COMPOSITE_DEPTH = 8
"""Composite tensors inside each other; ragged and sparse ones have one level."""


def signatures_of(path: str, meta: MetaGraphDef) -> tuple[Signature, ...]:
    """Return the signatures that users may call, sorted by name; of two under one key the later counts, as in a map.

    Raises:
        ModelLimit: there are too many, or too many inputs and outputs, or too many axes on one. *path* is that of the file.
    """
    check_count(path, "signatures", len(meta.signature_def), MAX_SIGNATURES, "MAX_SIGNATURES")
    specs = sum(len(entry.value.inputs) + len(entry.value.outputs) for entry in meta.signature_def)
    check_count(path, "inputs and outputs", specs, MAX_SPECS, "MAX_SPECS")
    check_count(path, "axes on one tensor", max(_ranks(meta), default=0), MAX_RANK, "MAX_RANK")
    entries = {entry.key: entry.value for entry in meta.signature_def if not entry.key.startswith(INTERNAL_PREFIX)}
    return tuple(
        Signature(text(name), text(entry.method_name), _tensors(entry.inputs), _tensors(entry.outputs))
        for name, entry in sorted(entries.items())
    )


def _ranks(meta: MetaGraphDef) -> Iterable[int]:
    for signature in meta.signature_def:
        for entry in (*signature.value.inputs, *signature.value.outputs):
            yield len(entry.value.tensor_shape.dim)


def shape_of(shape: TensorShapeProto) -> Shape:
    """Return the axes of *shape*, None where its rank is unknown. A negative size means an unknown one."""
    if shape.unknown_rank:
        return None
    return tuple([dim.size if dim.size >= 0 else None for dim in shape.dim])


def _tensors(entries: Iterable[TensorInfoEntry]) -> tuple[TensorSpec, ...]:
    infos = {entry.key: entry.value for entry in entries}
    return tuple(TensorSpec(text(key), dtype_name(_dtype(info)), _shape(info)) for key, info in sorted(infos.items()))


def _dtype(info: TensorInfo) -> int:
    """Return the dtype of *info*. A composite tensor has that of its first component, which holds the values."""
    for _ in range(MAX_COMPOSITE_DEPTH):
        if info.dtype or not info.composite_tensor.components:
            break
        info = info.composite_tensor.components[0]
    return info.dtype


def _shape(info: TensorInfo) -> Shape:
    """Return the shape of *info*, None where it has none: TensorFlow 1.0 wrote none, later ones none for composite tensors."""
    return shape_of(info.tensor_shape) if info.HasField("tensor_shape") else None
