"""Trees made of many small files, or of long names, that want more time than their size explains."""

from __future__ import annotations

import time

import pytest

from detectors.report import scan_report, to_json
from detectors.scan import scan
from detectors.tree import MemoryTree
from tests.builders import onnx

MAX_SECONDS = 8.0
"""Of processor time; what is told here took up to fourteen before, and takes two now."""

MAX_REPORT_CHARACTERS = 16 << 20


def texts_of_graphs() -> dict[str, bytes]:
    return {f"g{n:05d}.pbtxt": b'node { name: "a" op: "Const" }\n' for n in range(4_000)}


def long_locations() -> dict[str, bytes]:
    places = ("a/" * 2_000 + str(n) for n in range(1_200))
    tensors = [onnx.external_tensor(name="w", location=place, offset="0", length="24") for place in places]
    return {"m.onnx": onnx.model(onnx.small_graph(initializers=tensors)), "x.txt": b"a"}


def nested_models() -> dict[str, bytes]:
    folders = ["a/" * depth for depth in range(1_500)]
    configs = {folder + "config.json": b'{"model_type":"x"}' for folder in folders}
    weights = {folder + "model.bin": b"" for folder in folders}
    return configs | weights | {"a/" * 1_500 + str(n): b"" for n in range(5_000)}


def nested_exports() -> dict[str, bytes]:
    models = {"assets/" * depth + "saved_model.pb": b"" for depth in range(400)}
    return models | {"assets/" * 400 + str(n): b"" for n in range(5_000)}


def deep_metadata() -> dict[str, bytes]:
    return {"gradient-model-metadata.json": b"[" * 199 + b",".join([b"0"] * 990_000) + b"]" * 199}


def long_metric_names() -> dict[str, bytes]:
    metric = b'{"name": "' + "\u1234".encode() * 4_600 + b'", "numberValue": 1}'
    return {"gradient-model-metadata.json": b'{"metrics": [' + b",".join([metric] * 1_000) + b"]}"}


@pytest.mark.parametrize(
    "build", [texts_of_graphs, long_locations, nested_models, nested_exports, deep_metadata, long_metric_names]
)
def test_the_time_and_the_report_are_in_proportion(build) -> None:  # type: ignore[no-untyped-def]
    tree = MemoryTree(build())
    begun = time.process_time()
    text = to_json(scan_report(scan(tree), "run"))
    assert time.process_time() - begun < MAX_SECONDS
    assert len(text) < MAX_REPORT_CHARACTERS
