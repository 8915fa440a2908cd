"""Small protobuf files that are to cost much time or memory, or to confuse: ONNX models and SavedModels.

Each is a model up to the place where the bomb lies, so that a scan goes there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tests.builders import onnx, saved_model

Files = Mapping[str, bytes]

MANY = 10_000_000
"""Bytes of a large bomb."""


def onnx_with(inside: bytes) -> Files:
    """Return a model whose graph ends with *inside*."""
    return {"m.onnx": onnx.model(onnx.small_graph(more=inside))}


def saved_model_with(inside: bytes) -> Files:
    """Return a SavedModel whose graph ends with *inside*."""
    graph = saved_model.graph(saved_model.placeholder("x"), end=inside)
    return {"saved_model.pb": saved_model.saved_model(saved_model.meta_graph(graph))}


FORMATS: Mapping[str, Callable[[bytes], Files]] = {"onnx": onnx_with, "savedmodel": saved_model_with}


def nested(depth: int, *numbers: int) -> bytes:
    """Return messages inside each other, in fields of these *numbers* by turns."""
    heads: list[bytes] = []
    size = 0
    for level in range(depth * len(numbers)):
        head = onnx.varint(numbers[-1 - level % len(numbers)] << 3 | 2) + onnx.varint(size)
        heads.append(head)
        size += len(head)
    return b"".join(reversed(heads))


def filled(piece: bytes, size: int = MANY) -> bytes:
    return piece * (size // len(piece))


BROKEN = {
    "length of 2 GiB": b"\x0a\x80\x80\x80\x80\x08",
    "length of 8 EiB": b"\x0a" + b"\xff" * 8 + b"\x7f",
    "length of -1": b"\x0a" + b"\xff" * 9 + b"\x01",
    "number of 11 bytes": b"\x28" + b"\x80" * 10 + b"\x01",
    "number without end": b"\x28" + b"\x80" * MANY,
    "field 0": b"\x02\x00",
    "wire type 6": b"\x0e",
    "wire type 7": b"\x0f",
    "end of no group": b"\x0c",
    "group without end": b"\x4b",
    "100,000 groups inside each other": b"\x4b" * 100_000 + b"\x4c" * 100_000,
    "a million groups without end": b"\x4b" * 1_000_000,
    "zeros": bytes(MANY),
    "chance": random.Random(7).randbytes(MANY),
    "empty nodes": filled(onnx.field(1, b"")),
}
"""What may stand at the end of any graph."""


def attribute(body: bytes) -> bytes:
    return onnx.field(1, onnx.field(4, "A") + onnx.field(5, onnx.field(1, "a") + body))


def deep_graph(inside: bytes) -> bytes:
    """Return the nodes of 30 graphs inside each other, all with long names, and *inside* in the last."""
    for level in range(30):
        inside = onnx.field(1, onnx.field(3, f"{level:0200}") + onnx.field(4, "If") + onnx.field(5, onnx.field(6, inside)))
    return inside


def tensors_outside(count: int, name: str) -> bytes:
    return b"".join(onnx.field(5, onnx.external_tensor(f"w{i}", location=f"{i}{name}", length="24")) for i in range(count))


TWO_TYPES = onnx.field(4, "A") * 2

OF_ONNX = {
    "34 graphs inside each other": lambda: nested(34, 1, 5, 6),
    "5,000 graphs inside each other": lambda: nested(5000, 1, 5, 6),
    "300,000 types inside each other": lambda: onnx.field(11, onnx.field(2, nested(150_000, 4, 1))),
    "rows of numbers": lambda: onnx.field(5, onnx.field(1, b"\x01" * 25_000_000)),
    "groups by the million": lambda: b"\x4b\x4c" * (MANY // 2),
    "fields that nobody knows": lambda: filled(onnx.number(900, 1)),
    "numbers longer than need be": lambda: filled(b"\xa0\x80\x80\x80\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
    "empty tensors": lambda: filled(onnx.field(5, b""), 2_000_000),
    "empty attributes": lambda: filled(onnx.field(1, onnx.field(4, "A") + onnx.field(5, b"") * 200)),
    "empty tensors in attributes": lambda: filled(attribute(onnx.field(10, b"") * 100), 2_000_000),
    "empty dimensions": lambda: onnx.field(11, onnx.field(2, onnx.field(1, onnx.field(2, filled(onnx.field(1, b"")))))),
    "operators": lambda: b"".join(onnx.field(1, onnx.field(4, f"Op{i}")) for i in range(500_000)),
    "domains": lambda: b"".join(onnx.field(1, onnx.node("A", domain=f"d{i}")) for i in range(200_000)),
    "places of tensors": lambda: deep_graph(filled(attribute(onnx.field(5, onnx.number(1, -1 % 2**64))), 2_000_000)),
    "files outside": lambda: tensors_outside(19_000, "/../../x"),
    "files with odd names": lambda: tensors_outside(2_000, "%2e" * 1_300),
    "more files than a model has": lambda: tensors_outside(21_000, ".bin"),
    "op_type that is no text": lambda: onnx.field(1, onnx.field(4, b"\xc3\x28")),
    "types given twice": lambda: filled(onnx.field(1, TWO_TYPES)),
    "types given twice behind a million nodes": lambda: filled(onnx.field(1, onnx.field(4, "A"))) + onnx.field(1, TWO_TYPES),
}
"""What may stand at the end of the graph of an ONNX model; what costs a walk of either format the same is tried here alone."""

FILES: Mapping[str, Files] = {
    "onnx, empty": {"m.onnx": b""},
    "onnx, field of another": {"m.onnx": b"\x08\x08"},
    "onnx, zeros alone": {"m.onnx": bytes(MANY)},
    "onnx, chance alone": {"m.onnx": random.Random(8).randbytes(MANY)},
    "savedmodel, empty": {"saved_model.pb": b""},
    "savedmodel, zeros alone": {"saved_model.pb": bytes(MANY)},
    "savedmodel, chance alone": {"saved_model.pb": random.Random(9).randbytes(MANY)},
}


def bombs() -> Iterator[tuple[str, Callable[[], Files]]]:
    """Yield each bomb by name, with what makes its files; one at a time, because they are large."""
    for name, with_inside in FORMATS.items():
        for what, inside in BROKEN.items():
            yield f"{name}, {what}", partial(with_inside, inside)
    for what, make in OF_ONNX.items():
        yield f"onnx, {what}", lambda make=make: onnx_with(make())  # type: ignore[misc]
    for what, files in FILES.items():
        yield what, lambda files=files: files  # type: ignore[misc]
