"""What a scan says of a few fixed runs, by digest: whoever changes that raises `RULES_VERSION`, or models that were registered
before keep their old facts for as long as their files stay the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from detectors.report import scan_report
from detectors.scan import RULES_VERSION, scan
from detectors.tree import MemoryTree
from tests.builders import bundle, events, onnx, saved_model, weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


def example() -> Mapping[str, bytes]:
    return {path.relative_to(EXAMPLE).as_posix(): path.read_bytes() for path in EXAMPLE.rglob("*") if path.is_file()}


def onnx_models() -> Mapping[str, bytes]:
    """Whole; with a tensor in a file that is there and in one that is not; with a value too few."""

    def with_tensor(tensor: bytes) -> bytes:
        return onnx.model(onnx.small_graph(initializers=[tensor]))

    return {
        "whole.onnx": with_tensor(onnx.tensor()),
        "beside.onnx": with_tensor(onnx.external_tensor(location="w.bin", offset="0", length="24")),
        "w.bin": bytes(24),
        "lost.onnx": with_tensor(onnx.external_tensor(location="gone.bin", offset="0", length="24")),
        "outside.onnx": with_tensor(onnx.external_tensor(location="../w.bin", offset="0", length="24")),
        "short.onnx": with_tensor(onnx.tensor(raw=bytes(20))),
    }


def tensorflow_models() -> Mapping[str, bytes]:
    """A SavedModel with its variables, one without, one cut short; checkpoints with and without their data; a frozen graph."""
    graph = saved_model.graph(saved_model.placeholder("x"), saved_model.const("c"), saved_model.node("y", "Relu", "x"))
    info = saved_model.tensor_info()
    served = saved_model.signature({"x": info}, {"y": saved_model.tensor_info("y:0")})
    model = saved_model.saved_model(saved_model.meta_graph(graph, signatures={"serving_default": served}))
    variable = saved_model.node(
        "v", "VarHandleOp", dtype=saved_model.type_attr(bundle.FLOAT), shape=saved_model.shape_attr([2])
    )
    unfinished = saved_model.saved_model(saved_model.meta_graph(saved_model.graph(variable)))
    variables = bundle.Bundle([bundle.Tensor("w", bundle.FLOAT, (2, 3), bytes(24))])
    checkpoint = bundle.Bundle([bundle.Tensor("w", bundle.FLOAT, (2, 3), bytes(24))]).files("model.ckpt-1")
    return {
        "1/saved_model.pb": model,
        **{f"1/{name}": data for name, data in variables.files("variables/variables").items()},
        "2/saved_model.pb": unfinished,
        "3/saved_model.pb": model[:-3],
        "4/variables/variables.index": b"",
        **{f"run/{name}": data for name, data in checkpoint.items()},
        "run/model.ckpt-1.meta": bundle.meta_graph(trainable=["w"]),
        "run/model.ckpt-2.index": checkpoint["model.ckpt-1.index"],
        "frozen/frozen.pb": graph,
    }


def models_by_name() -> Mapping[str, bytes]:
    """Formats of which the name and the outline are told, each whole and some cut short."""
    tensors = {"w": ("F32", [2, 3], 24)}
    return {
        "a.safetensors": weights.safetensors(tensors),
        "a-cut.safetensors": weights.safetensors(tensors)[:-1],
        "b.gguf": weights.gguf({"w": ([2, 3], 0, 0)}, 24),
        "c.tflite": weights.tflite(),
        "d.ort": weights.ort(),
        "e.keras": weights.keras_zip(),
        "g.pt": weights.pytorch_zip(),
        "g-cut.pt": weights.pytorch_zip()[:-9],
        "h.mlmodel": weights.coreml(),
    }


def custom_run() -> Mapping[str, bytes]:
    """No model that is known, custom metadata, and metrics of several kinds."""
    accuracy = [events.scalar("accuracy", value, step) for step, value in enumerate((0.5, 0.75, 0.25))]
    return {
        "gradient-model-metadata.json": b'{"metrics": [{"name": "f1", "numberValue": 0.5}], "n": [1, 2]}',
        "model.bin": bytes(8),
        "eval/events.out.tfevents.1.host": events.event_file(*accuracy),
        "metrics.json": b'{"loss": 0.25, "name": "x", "nan": NaN}',
        "metrics.csv": b"epoch,loss\n1,0.5\n2,0.25\n",
    }


RUNS = {
    "example": example,
    "onnx": onnx_models,
    "tensorflow": tensorflow_models,
    "by name": models_by_name,
    "custom": custom_run,
}

SAID = {
    "2": {
        "example": "ddf349c2fe8f510df767464f38605a68",
        "onnx": "61e18298a4abb72448c33e26dcc71094",
        "tensorflow": "baa41749f49298900765d2c3c71eb75e",
        "by name": "5f3e548e2d0ae055a27cbb98cf56503b",
        "custom": "e921a22ac45074572991e55d30864bdc",
    },
}
"""By rules version, the digest of what is said of each run."""


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return the first half of the SHA-256 of all that is said of *files* but how long it took and what was read for it."""
    report = scan_report(scan(MemoryTree(files)), "run")
    del report["read"]
    return hashlib.sha256(json.dumps(report, sort_keys=True).encode()).hexdigest()[:32]


@pytest.mark.parametrize("name", RUNS)
def test_what_is_said_of_the_same_files_changes_only_with_the_rules_version(name: str) -> None:
    """Where it changes on purpose: raise `RULES_VERSION`, and write the new digests under it in place of the old ones."""
    assert digest_of(RUNS[name]()) == SAID[RULES_VERSION][name]


def test_other_facts_would_be_noticed() -> None:
    files = {**onnx_models(), "whole.onnx": onnx.model(opsets=[onnx.opset(18)])}
    assert digest_of(files) != SAID[RULES_VERSION]["onnx"]


def test_the_runs_hold_models_of_every_state() -> None:
    """What is pinned says something: no run is silent, and whole, unfinished and broken models are among them."""
    found = [model for files in RUNS.values() for model in scan(MemoryTree(files())).models]
    assert {model.extraction.completeness.state.value for model in found} == {"complete", "incomplete", "corrupt"}
    assert len({model.detection.format for model in found}) >= 12
