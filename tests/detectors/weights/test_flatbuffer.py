"""TensorFlow Lite and ONNX Runtime models: FlatBuffers whose end is proven by a walk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detectors.errors import MalformedModel, ModelLimit
from detectors.tree import MemoryTree
from detectors.weights import flatbuffer
from detectors.wrapped_tree import CountingTree
from tests.builders.weights import ort, tflite
from tests.detectors.weights.looked_at import formats, look_at, problem, state

CORPUS = os.environ.get("MODELPORT_CORPUS")

# (path in the corpus, stored weights)
REAL = [
    ("tensorflow+serving/tensorflow_serving/servables/tensorflow/testdata/parse_example_tflite/00000123/model.tflite", 4),
    (
        "tensorflow+serving/tensorflow_serving/servables/tensorflow/testdata/saved_model_half_plus_two_tflite_with_sigdef/00000123/model.tflite",
        2,
    ),
    ("onnx+tensorflow-onnx/tests/models/regression/tflite/model.tflite", 2),
    ("tensorflow+tfjs/tfjs-tflite/test_files/add4.tflite", 0),
    ("pykeio+ort/src/value/impl_tensor/identity.ort", 0),
    ("pykeio+ort/tests/data/upsample.ort", 14),
]


def test_a_tflite_model_tells_its_weights() -> None:
    detection, extraction = look_at("model.bin", tflite())
    assert (detection.format, detection.model_type.value, detection.evidence[0].saw) == ("tflite", "Custom", "FlatBuffer TFL3")
    assert extraction.facts.parameters.stored == 6
    assert extraction.facts.dtypes == {"float32": 1}
    assert extraction.facts.details == {
        "note": "told by its header; weights not opened",
        "completeness_checked": True,
        "schema_version": 3,
        "description": "by hand",
    }
    assert extraction.completeness.state == "complete"


def test_an_ort_model_tells_its_weights() -> None:
    detection, extraction = look_at("model.ort", ort())
    assert detection.format == "ort"
    assert (extraction.facts.parameters.stored, extraction.facts.dtypes) == (6, {"float32": 1})
    assert extraction.facts.details["ort_format"] == "6"
    assert extraction.facts.details["producer"] == "by hand"


@pytest.mark.parametrize(("path", "data"), [("m.tflite", tflite()), ("m.ort", ort())])
def test_a_flatbuffer_cut_off_anywhere_is_never_complete(path: str, data: bytes) -> None:
    states = {state(path, data[:size]) for size in range(8, len(data))}
    assert states == {"incomplete"}


def test_the_problem_names_the_place() -> None:
    _, extraction = look_at("m.tflite", tflite()[:-8])
    assert problem(extraction).endswith("the file ends at " + str(len(tflite()) - 8))


def test_bytes_behind_the_last_value_leave_the_end_unproven() -> None:
    _, extraction = look_at("m.tflite", tflite() + bytes(100))
    assert extraction.completeness.state == "complete"
    assert extraction.facts.details["completeness_checked"] is False


def test_a_tensor_that_names_no_buffer_is_malformed() -> None:
    with pytest.raises(MalformedModel, match="buffer 7 of 2"):
        look_at("m.tflite", tflite(buffer=7))


@pytest.mark.parametrize("shape", [(-1, 3), (2**31 - 1,) * 3, (1,) * 65])
def test_a_shape_that_is_none_is_malformed(shape: tuple[int, ...]) -> None:
    with pytest.raises(MalformedModel, match="shape of a tensor"):
        look_at("m.tflite", tflite(shape=shape))


def test_more_tables_than_the_limit_are_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatbuffer, "MAX_ITEMS", 1)
    with pytest.raises(ModelLimit):
        look_at("m.tflite", tflite())


@pytest.mark.parametrize("head", [b"\x1c\0\0\0TFL2", b"TFL3\0\0\0\0", b"TFL3", b""])
def test_other_letters_are_another_format(head: bytes) -> None:
    assert formats({"model.tflite": head + bytes(100)}) == []


def test_reading_does_not_grow_with_the_weights() -> None:
    from detectors.detection import Contents, detect
    from detectors.weights import DETECTORS

    tree = CountingTree(MemoryTree({"m.tflite": tflite(bytes(4_000_000), (1000, 1000))}))
    contents = Contents(tree, tree.files())
    ((detector, detection),) = detect(contents, DETECTORS)
    assert detector.extract(contents, detection).facts.parameters.stored == 1_000_000
    assert tree.bytes < 200_000


@pytest.mark.skipif(CORPUS is None, reason="MODELPORT_CORPUS is not set")
@pytest.mark.parametrize(("path", "stored"), REAL)
def test_real_models_are_whole_and_never_so_when_cut_off(path: str, stored: int) -> None:
    data = (Path(CORPUS or "") / path).read_bytes()
    _, extraction = look_at(path, data)
    assert extraction.facts.parameters.stored == stored
    assert extraction.completeness.state == "complete"
    assert extraction.facts.details["completeness_checked"] is True
    sizes = range(8, len(data) - 4, max(1, len(data) // 500))
    assert {state(path, data[:size]) for size in sizes} == {"incomplete"}


@pytest.mark.parametrize("path", [path for path, _ in REAL])
@pytest.mark.skipif(CORPUS is None, reason="MODELPORT_CORPUS is not set")
def test_no_real_file_without_its_last_bytes_is_complete(path: str) -> None:
    data = (Path(CORPUS or "") / path).read_bytes()
    assert state("model", data) == "complete"
    assert {state("model", data[:-cut]) for cut in range(1, 4)} == {"incomplete"}


def test_padding_that_is_cut_off_is_told_and_named() -> None:
    whole = tflite() + bytes(-len(tflite()) % 4 + 4)
    _, extraction = look_at("m.tflite", whole[:-1])
    assert extraction.completeness.state == "incomplete"
    assert problem(extraction) == (f"expected a length of whole 4 bytes, found {len(whole) - 1}: its last padding is cut off")


def test_what_follows_and_is_no_padding_leaves_the_end_unproven() -> None:
    _, extraction = look_at("m.tflite", tflite() + b"\0\0\1\0")
    assert (extraction.completeness.state, extraction.facts.details["completeness_checked"]) == ("complete", False)
