"""What a configuration of Keras makes a loader do; the attacks are in tests/attacks/keras.py."""

from __future__ import annotations

import json
import time
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.detection import Contents
from detectors.facts import SERIOUS, Finding
from detectors.scan import scan
from detectors.tree import MemoryTree
from detectors.weights import keras_texts
from detectors.weights.hdf5_text import config_texts
from detectors.weights.keras_traps import leads_out, traps_of
from detectors.wire import Window
from tests.attacks.keras import as_metadata, config_of, function, hdf5_of, layer, linked_weights, operation

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


def test_many_small_things_hide_no_large_one() -> None:
    small = [layer("StringLookup", vocabulary=f"{n}.txt") for n in range(120)]
    many = {
        "layers": [
            *small,
            {"module": "os", "class_name": "system", "config": "id"},
            {"module": "keras.utils", "class_name": "get_file", "config": "x"},
        ]
    }
    found = traps_of(many, "m.keras", "config.json").findings
    assert [finding.rule for finding in found if finding.severity in SERIOUS] == ["keras-foreign-object", "keras-runs-function"]


@pytest.mark.parametrize(
    "path", ["/a", "\\a", "C:\\a", "http://h/a", "s3://b/a", "file:///a", "../a", "a/../b", "a\\..\\b", "~/a"]
)
def test_a_path_leads_out(path: str) -> None:
    assert leads_out(path)


@pytest.mark.parametrize("path", ["a", "a/b", "a..b", "a b", "assets/vocab.txt", "a:b"])
def test_a_path_stays(path: str) -> None:
    assert not leads_out(path)


@pytest.mark.parametrize("module", ["a" + ".a" * 100_000, "tensorflow" + ".keras" * 100_000, "os" + ".path" * 100_000])
def test_a_module_of_many_parts_costs_nothing(module: str) -> None:
    """Each step below it would be a text of its own, and so would each way through the forms of harmless ones."""
    before = time.process_time()
    found = traps_of({"class_name": "a", "module": module, "config": "b"}, "m.keras", "config.json")
    assert [finding.rule for finding in found.findings] == ["keras-foreign-object"]
    assert found.unknown
    assert time.process_time() - before < 0.5


class TestHdf5Texts:
    def test_texts_that_nothing_ends_are_not_walked_over_again_and_again(self) -> None:
        before = time.process_time()
        assert config_texts(window(b'{"name":' * 30_000)) == []
        assert time.process_time() - before < 1

    def test_a_text_is_as_long_as_its_heap_says(self) -> None:
        text = json.dumps(config_of(layer("Dense"))).encode()
        assert config_texts(window(b"model_config" + pack("<Q", len(text)) + text + b'"}"')) == [text]

    def test_a_text_in_an_attribute_ends_with_its_brackets(self) -> None:
        text = b'{"class_name": "A", "config": {"b": "}{\\"}"}}'
        assert config_texts(window(b"model_config\xff\xff\xff\xff\xff\xff\xff\xff" + text + bytes(9))) == [text]


TRAP = json.dumps({"module": "os", "class_name": "system", "config": "id"})


class TestTexts:
    def test_a_file_beyond_the_limit_is_not_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keras_texts, "MAX_TEXT_BYTES", 10)
        ((path, reason),) = look({"1/keras_metadata.pb": as_metadata(layer("Dense"))})[1].items()
        assert path == "1/keras_metadata.pb"
        assert "MAX_TEXT_BYTES" in reason

    @pytest.mark.parametrize("data", [b"\x0a\xff", b"\x0a\x04\x2a\x02{", b"\x0a\x06\x2a\x04nope"])
    def test_damaged_ones_are_not_looked_at(self, data: bytes) -> None:
        assert list(look({"keras_metadata.pb": data})[1]) == ["keras_metadata.pb"]

    @pytest.mark.parametrize("text", [TRAP.replace("class_name", "class\\u005fname"), " " * 5_000 + TRAP])
    def test_beside_weights_of_keras_json_is_looked_at_however_it_is_written(self, text: str) -> None:
        findings, _ = look({"m/model.json": text.encode(), "m/model.weights.h5": hdf5_of({})})
        assert [finding.rule for finding in findings] == ["keras-foreign-object"]

    def test_the_loss_that_training_is_gone_on_with_counts(self) -> None:
        """A file with the marks of Keras is looked into by its reader, another one here: at both configurations."""
        files = {"m.h5": hdf5_of({"keras_version": b"3", "training_config": TRAP.encode()})}
        assert [finding.rule for finding in scan(MemoryTree(files)).findings] == ["keras-foreign-object"]

    def test_other_json_is_not_read(self) -> None:
        data = b'{"config": {"class_name": "Lambda"}}'
        assert look({"model.json": data}) == ((), {})

    @pytest.mark.parametrize("beside", ["metadata.json", "w.weights.h5"])
    def test_a_keras_file_that_was_unpacked_is_known_by_what_lies_beside_it(self, beside: str) -> None:
        """Whatever its configuration begins with: Keras loads the folder."""
        padded = b" " * 9_000 + json.dumps({"module": "os", "class_name": "system", "config": "id"}).encode()
        findings, _ = look({"m/config.json": padded, f"m/{beside}": b"{}"})
        assert [finding.rule for finding in findings] == ["keras-foreign-object"]
        assert look({"m/config.json": padded, f"n/{beside}": b"{}"})[0] == ()

    def test_hdf5_without_the_marks_of_keras_is_looked_into(self) -> None:
        trap = json.dumps({"module": "os", "class_name": "system", "config": "id"}).encode()
        behind = hdf5_of({**{f"a{n}": b"b" for n in range(200)}, "model_config": trap})
        findings, _ = look({"data.h5": behind})
        assert [finding.rule for finding in findings] == ["keras-foreign-object"]
        assert look({"data.h5": hdf5_of({"a": b"b"})}) == ((), {})
        outside, _ = look({"data.h5": linked_weights("/etc/shadow.h5")})
        assert [finding.rule for finding in outside] == ["hdf5-data-outside"]

    @pytest.mark.parametrize(
        "data", [bytes(512) + hdf5_of({"a": b"b"}), bytes(8192) + hdf5_of({"a": b"b"}), hdf5_of({"a": b"b"})[:100]]
    )
    def test_hdf5_that_is_not_read_is_told(self, data: bytes) -> None:
        assert list(look({"data.hdf5": data})[1]) == ["data.hdf5"]

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
