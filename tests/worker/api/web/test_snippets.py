"""Commands and code to copy."""

from __future__ import annotations

import ast
import re
import shlex
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.facts import ModelType
from worker.api.web.snippets import snippets
from worker.records import ModelVersion, StoreMode

VERSION_ID = "mosa7k2f9x3qd"


def version(name: str = "mnist") -> ModelVersion:
    return ModelVersion(
        id=VERSION_ID,
        model_name=name,
        number=12,
        is_generated_name=False,
        team="default",
        project="vision",
        experiment=None,
        model_type=ModelType.ONNX,
        format="onnx",
        location="file:///runs",
        digest="sha256:0",
        oms_digest="sha256:1",
        duplicate_of=None,
        store=StoreMode.COPY,
        url="file:///store",
        size_bytes=1,
        completeness="complete",
        verdict="clean",
        report="{}",
        tags=(),
        created=datetime(2026, 11, 20, tzinfo=UTC),
        deleted=None,
    )


def model(format: str, root: str = "1", inputs: tuple[dict[str, Any], ...] = (), file: str = "m.onnx") -> dict[str, Any]:
    return {
        "root": root,
        "format": format,
        "completeness": {"state": "complete"},
        "evidence": [{"path": file}],
        "facts": {"signatures": [{"inputs": list(inputs)}]},
    }


def texts(name: str, primary: dict[str, Any] | None) -> dict[str, str]:
    return {one.label.split(",")[0]: one.text for one in snippets(version(name), primary)}


def test_what_to_do_with_a_version() -> None:
    told = texts("mnist", model("tensorflow_savedmodel"))
    assert told == {
        "Serve with TF Serving": 'docker run -p 8501:8501 \\\n  -v "$PWD"/mnist/1:/models/mnist/12 \\\n'
        "  -e MODEL_NAME=mnist tensorflow/serving",
        "Download with curl": 'curl --fail \\\n  -H "X-API-Key: $MODELPORT_TOKEN" \\\n  -o mnist.zip \\\n'
        f'  "$MODELPORT_API_URL/v1/versions/{VERSION_ID}/archive"\nunzip -d mnist mnist.zip',
        "Download with gradient": f"gradient models download \\\n  --id {VERSION_ID} --destinationDir mnist",
    }


def test_a_model_that_nobody_serves_is_downloaded() -> None:
    assert (
        list(texts("mnist", model("keras"))) == list(texts("mnist", None)) == ["Download with curl", "Download with gradient"]
    )


@pytest.mark.parametrize("root", ["a:b", "back\\udcff", "line\nbreak"])
def test_a_folder_that_docker_would_take_for_another_is_not_served(root: str) -> None:
    assert "Serve with TF Serving" not in texts("mnist", model("tensorflow_savedmodel", root))


def test_what_is_not_whole_is_not_served() -> None:
    broken = model("tensorflow_savedmodel") | {"completeness": {"state": "corrupt"}}
    assert "Serve with TF Serving" not in texts("mnist", broken)


def test_an_onnx_model_runs_with_arrays_that_it_takes() -> None:
    inputs = (
        {"name": "x", "dtype": "float32", "shape": ["batch", 28, None]},
        {"name": "ids", "dtype": "int64", "shape": [3]},
        {"name": "on", "dtype": "bool", "shape": []},
        {"name": "words", "dtype": "string", "shape": [1]},
        {"name": "any", "dtype": "float32", "shape": None},
    )
    assert texts("mnist", model("onnx", "", inputs, "net.onnx"))["Run with onnxruntime"] == (
        "import numpy\nimport onnxruntime\n\n"
        "session = onnxruntime.InferenceSession('mnist/net.onnx')\n"
        "session.run(None, {'x': numpy.zeros((1, 28, 1), 'float32'), 'ids': numpy.zeros((3,), 'int64'), "
        "'on': numpy.zeros((), 'bool'), 'words': ..., 'any': ...})"
    )


outside = st.text(st.characters(), min_size=1, max_size=20)


@given(outside, outside)
def test_a_name_in_a_command_is_one_word_of_it(name: str, root: str) -> None:
    served = texts(name, model("tensorflow_savedmodel", root))
    for text in served.values():
        assert not re.search(r"[;&|`<>]|\$\(", " ".join(shlex.split(text.replace("\\\n", " ")))) or root in text
    if "Serve with TF Serving" in served:
        command = shlex.split(served["Serve with TF Serving"].replace("\\\n", " "))
        assert len(command) == 9
        assert command[5].partition(":/models/")[0].endswith("/" + root)
    code = texts(name, model("onnx", root, ({"name": root, "dtype": "float32", "shape": [1]},)))["Run with onnxruntime"]
    assert len(ast.parse(code).body) == 4
