"""What a configuration of Keras makes a loader do; the attacks are in tests/attacks/keras.py."""

from __future__ import annotations

import json
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.detection import Contents
from detectors.facts import Finding
from detectors.tree import MemoryTree
from detectors.weights import keras_texts
from detectors.weights.hdf5_text import config_texts
from detectors.weights.keras_traps import leads_out, traps_of
from detectors.wire import Window
from tests.attacks.keras import as_metadata, config_of, function, layer, operation

KEYS = st.sampled_from(["class_name", "module", "config", "name", "vocabulary", "code", "function", "safe_mode", "filepath"])
TEXTS = st.sampled_from(["Lambda", "__lambda__", "TFSMLayer", "os", "keras.utils", "get_file", "../x", "aGVsbG8="]) | st.text(
    max_size=5
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda it: st.lists(it, max_size=4) | st.dictionaries(KEYS, it, max_size=6),
)


def window(data: bytes) -> Window:
    return Window(MemoryTree({"m.h5": data}), "m.h5", len(data))


@given(ANY)
@settings(max_examples=200, deadline=None)
def test_any_json_gives_findings(config: Any) -> None:
    traps_of(config, "m.keras", "config.json")


@given(st.binary(max_size=200), st.binary(max_size=80))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_a_text_or_none(before: bytes, behind: bytes) -> None:
    for text in config_texts(window(before + b'{"class_name": ' + behind)):
        assert text.startswith(b"{")
        assert text.endswith(b"}")


@pytest.mark.parametrize(
    "part",
    [
        layer("Dense", name="dense", activation="relu"),
        layer("Dense", name="a/b"),
        layer("StringLookup", vocabulary=["a", "/b"]),
        layer("Custom", None, "Package>Custom"),
        function("builtins", "my_activation"),
        function("tensorflow.keras.activations", "relu"),
        function("tensorflow.python.keras.losses", "mean_squared_error"),
        function("tensorflow.nn", "softmax"),
        function("tensorflow.python.ops.gen_nn_ops", "relu"),
        layer("Dense", "tensorflow.keras.layers"),
        layer("KerasLayer", "tensorflow_hub.keras_layer"),
        layer("DenseVariational", "tensorflow_probability.python.layers.dense_variational_v2"),
        {"module": "keras_hub.src.models", "class_name": "Backbone", "config": {}},
        {"module": "keras.src.models.functional", "class_name": "Functional", "config": {}},
        {"module": "keras.activations", "class_name": "function", "config": "relu"},
        *(
            operation(symbol)
            for symbol in (
                "math.add",
                "math.reduce_mean",
                "reshape",
                "cast",
                "__operators__.add",
                "nn.relu",
                "image.resize",
                "one_hot",
                "strings.lower",
                "io.decode_jpeg",
                "compat.v1.transpose",
                "linalg.matmul",
                "expand_dims",
                "keras.backend.mean",
                "debugging.assert_equal",
                "experimental.numpy.mean",
                "raw_ops.AddV2",
                "raw_ops.DecodeJpeg",
                "compat.v1.shape",
            )
        ),
        operation("__operators__.getitem", "SlicingOpLambda"),
        {"class_name": "ClassMethod", "config": {"cls_symbol": "RaggedTensor", "method_name": "from_row_splits"}},
        {"class_name": "InstanceProperty", "config": {"attr_name": "flat_values"}},
        {"class_name": "TensorFlowOpLayer", "config": {"node_def": {"name": "m", "op": "Mul", "input": ["a", "b"]}}},
        {"class_name": "__keras_tensor__", "config": {"shape": [None], "keras_history": ["in", 0, 0]}},
    ],
)
def test_what_keras_writes_itself_is_no_trap(part: dict[str, Any]) -> None:
    assert traps_of(config_of(part), "m.keras", "config.json").findings == ()


def test_a_configuration_gives_no_more_findings_than_a_person_reads() -> None:
    many = {"layers": [layer("StringLookup", vocabulary=f"/{n}") for n in range(1_000)]}
    assert len(traps_of(many, "m.keras", "config.json").findings) == 100


@pytest.mark.parametrize(
    "path", ["/a", "\\a", "C:\\a", "http://h/a", "s3://b/a", "file:///a", "../a", "a/../b", "a\\..\\b", "~/a"]
)
def test_a_path_leads_out(path: str) -> None:
    assert leads_out(path)


@pytest.mark.parametrize("path", ["a", "a/b", "a..b", "a b", "assets/vocab.txt", "a:b"])
def test_a_path_stays(path: str) -> None:
    assert not leads_out(path)


class TestHdf5Texts:
    def test_a_text_is_as_long_as_its_heap_says(self) -> None:
        text = json.dumps(config_of(layer("Dense"))).encode()
        assert config_texts(window(b"model_config" + pack("<Q", len(text)) + text + b'"}"')) == [text]

    def test_a_text_in_an_attribute_ends_with_its_brackets(self) -> None:
        text = b'{"class_name": "A", "config": {"b": "}{\\"}"}}'
        assert config_texts(window(b"model_config\xff\xff\xff\xff\xff\xff\xff\xff" + text + bytes(9))) == [text]


class TestTexts:
    def test_a_file_beyond_the_limit_is_not_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keras_texts, "MAX_TEXT_BYTES", 10)
        ((path, reason),) = look({"1/keras_metadata.pb": as_metadata(layer("Dense"))})[1].items()
        assert path == "1/keras_metadata.pb"
        assert "MAX_TEXT_BYTES" in reason

    @pytest.mark.parametrize("data", [b"\x0a\xff", b"\x0a\x04\x2a\x02{", b"\x0a\x06\x2a\x04nope"])
    def test_damaged_ones_are_not_looked_at(self, data: bytes) -> None:
        assert list(look({"keras_metadata.pb": data})[1]) == ["keras_metadata.pb"]

    def test_other_json_is_not_read(self) -> None:
        data = b'{"config": {"class_name": "Lambda"}}'
        assert look({"model.json": data}) == ((), {})

    def test_what_says_the_same_is_told_once(self) -> None:
        twice = {
            "layers": [layer("Dense", safe_mode=False), layer("Dense", safe_mode=False)],
            "class_name": "keras",
            "config": 1,
        }
        findings, _ = look({"model.json": json.dumps(twice).encode()})
        assert [finding.rule for finding in findings] == ["keras-unsafe"]


def look(files: dict[str, bytes]) -> tuple[tuple[Finding, ...], dict[str, str]]:
    tree = MemoryTree(files)
    contents = Contents(tree, tree.files())
    for entry in contents.entries:
        contents.head(entry)
    return keras_texts.look(contents)
