"""Small files that would become large facts: each is told as too large, in little time, and never as clean."""

from __future__ import annotations

import time

import pytest

from detectors.scan import Verdict, scan
from detectors.tree import MemoryTree
from tests.builders import bundle, onnx
from tests.builders.onnx import field, number

VERSIONS = field(4, number(1, 900))
META = field(1, field(4, b"serve") + field(5, b"2"))
GRAPH = field(2, field(1, field(1, b"a") + field(2, b"NoOp")))


def saved_model(*graphs: bytes) -> dict[str, bytes]:
    return {"saved_model.pb": number(1, 1) + b"".join(field(2, graph) for graph in graphs)}


def of_onnx(more: bytes = b"", opsets: bytes = b"") -> dict[str, bytes]:
    return {"m.onnx": onnx.model(onnx.small_graph() + more) + opsets}


def beside_a_checkpoint(meta: bytes) -> dict[str, bytes]:
    tensor = bundle.Tensor("w", bundle.FLOAT, (1,), bytes(4))
    return {**bundle.Bundle([tensor]).files("m"), "m.meta": meta}


def operators(count: int) -> bytes:
    """A graph of nodes, each of a type of its own."""
    return field(2, b"".join(field(1, field(1, b"n") + field(2, b"Op%x" % one)) for one in range(count)) + VERSIONS)


def repeated(count: int, each: bytes) -> bytes:
    return each * count


MANY = 200_000

BOMBS = {
    "onnx inputs": lambda: of_onnx(repeated(MANY, field(11, field(1, b"a")))),
    "onnx outputs": lambda: of_onnx(repeated(MANY, field(12, field(1, b"a")))),
    "onnx axes": lambda: of_onnx(field(11, field(1, b"x") + field(2, field(1, number(1, 1) + field(2, field(1, b"") * MANY))))),
    "onnx opsets": lambda: of_onnx(opsets=b"".join(field(8, field(1, b"%x" % one) + number(2, 1)) for one in range(MANY // 2))),
    "onnx functions": lambda: of_onnx(opsets=b"".join(field(25, field(1, b"%x" % one)) for one in range(MANY))),
    "onnx external data": lambda: of_onnx(
        b"".join(
            field(5, number(2, 1) + number(14, 1) + field(13, field(1, b"location") + field(2, b"%x" % one)))
            for one in range(MANY // 2)
        )
    ),
    "onnx initializers": lambda: of_onnx(repeated(2_900_000, field(5, b""))),
    "onnx initializer axes": lambda: of_onnx(
        field(5, field(1, b"\x01" * MANY) + number(2, 1) + field(8, b"w") + field(9, bytes(4)))
    ),
    "graphs": lambda: saved_model(META + GRAPH, *[b""] * MANY),
    "signatures": lambda: saved_model(
        META + GRAPH + b"".join(field(5, field(1, b"%x" % one) + field(2, b"")) for one in range(MANY))
    ),
    "signature inputs": lambda: saved_model(
        META
        + GRAPH
        + field(5, field(1, b"s") + field(2, b"".join(field(1, field(1, b"%x" % one) + field(2, b"")) for one in range(MANY))))
    ),
    "signature axes": lambda: saved_model(
        META + GRAPH + field(5, field(1, b"s") + field(2, field(1, field(1, b"x") + field(2, field(3, field(2, b"") * MANY)))))
    ),
    "operators": lambda: saved_model(META + operators(MANY // 2)),
    "operators beside a checkpoint": lambda: beside_a_checkpoint(META + operators(MANY // 2)),
    "nodes": lambda: saved_model(META + field(2, repeated(1_000_001, field(1, b"")))),
    "nodes of functions": lambda: saved_model(
        META + field(2, field(1, field(2, b"NoOp")) + field(2, field(1, repeated(1_000_001, field(3, b"")))))
    ),
    "nodes beside a checkpoint": lambda: beside_a_checkpoint(META + field(2, repeated(1_000_001, field(1, b"")) + VERSIONS)),
    "collections": lambda: saved_model(
        META + GRAPH + b"".join(field(4, field(1, b"%x" % one) + field(2, b"")) for one in range(MANY))
    ),
    "assets": lambda: saved_model(META + GRAPH + b"".join(field(6, field(2, b"%x" % one)) for one in range(MANY))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_lists_more_than_any_real_model_is_not_clean_and_soon_told(name: str) -> None:
    files = BOMBS[name]()
    began = time.process_time()
    found = scan(MemoryTree(files))
    assert time.process_time() - began < 5
    assert found.verdict is not Verdict.CLEAN
    told = [note.reason for note in found.coverage.inconclusive]
    told += [problem.problem for model in found.models for problem in model.extraction.completeness.problems]
    assert told, found
