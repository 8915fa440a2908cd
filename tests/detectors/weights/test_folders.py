"""Formats of several files: MLflow, Hugging Face, CoreML packages, OpenVINO."""

from __future__ import annotations

import json
import struct
from typing import ClassVar

import pytest

from detectors.errors import MalformedModel, ModelLimit
from detectors.facts import Completeness, Evidence, Framework, Problem, State
from detectors.weights import coreml, huggingface, mlflow, openvino
from tests.builders.weights import LFS_POINTER, OPENVINO, coreml_weights, hdf5, pytorch_zip, safetensors
from tests.builders.weights import coreml as coreml_file
from tests.detectors.weights.looked_at import formats, look, look_at, problem, state

MLMODEL = b"""artifact_path: model
flavors:
  python_function:
    data: model.pkl
    env:
      conda: conda.yaml
    loader_module: mlflow.sklearn
  sklearn:
    code: null
    pickled_model: model.pkl
    sklearn_version: 1.5.0
mlflow_version: 2.14.1
model_uuid: 0123456789abcdef
run_id: 'feedface'
signature:
  inputs: '[{"type": "double", "name": "x"}]'
utc_time_created: '2026-11-21 00:00:00.000000'
"""
PICKLE = b"\x80\x04}."
CONFIG = b'{"architectures": ["BertModel"], "model_type": "bert", "torch_dtype": "float16", "transformers_version": "4.57.1"}'
WEIGHTS = safetensors({"w": ("F16", (2, 3), 12)})
INDEX = json.dumps(
    {"metadata": {"total_size": 24}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
).encode()


class TestMLflow:
    def test_the_folder_is_one_model_with_its_flavors(self) -> None:
        files = {"run/model/MLmodel": MLMODEL, "run/model/model.pkl": PICKLE, "run/model/conda.yaml": b"x", "run/other": b"x"}
        ((detection, extraction),) = look(files)
        assert (detection.format, detection.root, detection.main) == ("mlflow", "run/model", "run/model/MLmodel")
        assert detection.files == ("run/model/MLmodel", "run/model/conda.yaml", "run/model/model.pkl")
        assert extraction.facts.framework == Framework("mlflow", "2.14.1")
        assert extraction.facts.size_bytes == len(MLMODEL) + 5
        assert extraction.facts.details == {
            "note": "its texts were searched for code that they name; weights not opened",
            "completeness_checked": True,
            "flavors": ["python_function", "sklearn"],
            "run_id": "feedface",
            "utc_time_created": "2026-11-21 00:00:00.000000",
            "model_uuid": "0123456789abcdef",
        }
        assert extraction.completeness.state == "complete"

    def test_the_whole_tree_may_be_the_model(self) -> None:
        ((detection, extraction),) = look({"MLmodel": MLMODEL, "model.pkl": PICKLE})
        assert (detection.root, extraction.completeness.state) == ("", "complete")

    def test_a_part_that_is_not_there_is_incomplete(self) -> None:
        ((_, extraction),) = look({"m/MLmodel": MLMODEL})
        assert extraction.completeness.state == "incomplete"
        assert extraction.completeness.problems[0].path == "m/model.pkl"

    def test_a_part_may_be_a_folder(self) -> None:
        text = b"flavors:\n  tf:\n    data: data/\n"
        ((_, extraction),) = look({"m/MLmodel": text, "m/data/x": b"x"})
        assert extraction.completeness.state == "complete"

    def test_without_named_parts_the_end_is_not_proven(self) -> None:
        _, extraction = look_at("m/MLmodel", b"flavors:\n  python_function:\n    loader_module: x\n")
        assert extraction.facts.details["completeness_checked"] is False

    def test_a_folder_with_an_onnx_model_is_left_to_that(self) -> None:
        assert formats({"m/MLmodel": MLMODEL, "m/model.onnx": b"x"}) == []

    def test_a_folder_inside_another_is_part_of_it(self) -> None:
        files = {"m/MLmodel": MLMODEL, "m/model.pkl": PICKLE, "m/0/MLmodel": MLMODEL}
        assert formats(files) == ["mlflow"]

    def test_a_file_that_was_cut_off_anywhere_is_incomplete(self) -> None:
        """But for the last line's end, which holds nothing."""
        for size in range(len(MLMODEL) - 1):
            ((detection, extraction),) = look({"m/MLmodel": MLMODEL[:size], "m/model.pkl": PICKLE, "m/conda.yaml": b"x"})
            assert detection.format == "mlflow", size
            assert extraction.completeness.state == "incomplete", size
            assert "m/MLmodel" in [one.path for one in extraction.completeness.problems]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (b"", "at byte 0: expected flavors, found the end of the file"),
            (b"flavors:\n", "at byte 9: expected flavors, found the end of the file"),
            (b"flavors:\n  tf:\n", "at byte 15: expected a value of tf:, found the end of the file"),
            (b"flavors:\n  tf:\n    data:", "at byte 24: expected a value of data:, found the end of the file"),
            (b"flavors:\n  tf:\n    loa", "at byte 22: expected the end of the last line, found the end of the file"),
            (
                b"flavors:\n  tf:\n    a: b\nrun_id: x\nutc_time_created: '20",
                "at byte 55: expected utc_time_created, which MLflow writes behind run_id, found the end of the file",
            ),
        ],
    )
    def test_what_is_missing_at_the_end_is_told_with_its_place(self, text: bytes, reason: str) -> None:
        ((_, extraction),) = look({"m/MLmodel": text})
        assert (extraction.completeness.state, problem(extraction)) == ("incomplete", reason)

    def test_flavors_alone_leave_the_end_unproven(self) -> None:
        ((_, extraction),) = look({"m/MLmodel": b"flavors:\n  tf:\n    data: data\n", "m/data": b"x"})
        assert (extraction.completeness.state, extraction.facts.details["completeness_checked"]) == ("complete", False)

    @pytest.mark.parametrize("text", [MLMODEL.replace(b"\n", b"\r\n"), b"flavors: {tf: {data: data}}\n"])
    def test_what_others_write_is_not_taken_for_cut_off(self, text: bytes) -> None:
        ((_, extraction),) = look({"m/MLmodel": text, "m/model.pkl": PICKLE})
        assert extraction.completeness.state == "complete"

    @pytest.mark.parametrize("text", [b"hello", b"flavor:", b"\nrun_id: x", b"#"])
    def test_another_file_of_that_name_is_none(self, text: bytes) -> None:
        assert formats({"m/MLmodel": text}) == []

    def test_a_file_beyond_the_limit_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mlflow, "MAX_BYTES", 10)
        with pytest.raises(ModelLimit):
            look_at("m/MLmodel", MLMODEL)


class TestHuggingFace:
    def test_config_and_weights_are_one_model(self) -> None:
        files = {
            "bert/config.json": CONFIG,
            "bert/model.safetensors": WEIGHTS,
            "bert/tokenizer.json": b"{}",
            "bert/notes": b"x",
        }
        ((detection, extraction),) = look(files)
        assert (detection.format, detection.root, detection.main) == ("huggingface", "bert", "bert/config.json")
        assert detection.files == ("bert/config.json", "bert/model.safetensors", "bert/tokenizer.json")
        assert extraction.facts.parameters.stored == 6
        assert extraction.facts.dtypes == {"float16": 1}
        assert extraction.facts.framework == Framework("transformers", "4.57.1")
        assert extraction.facts.details == {
            "note": "its texts were searched for code that they name; weights not opened",
            "completeness_checked": True,
            "architectures": ["BertModel"],
            "model_type": "bert",
            "dtype": "float16",
        }
        assert extraction.completeness.state == "complete"

    def test_shards_count_together(self) -> None:
        shards = {"model-1.safetensors": WEIGHTS, "model-2.safetensors": WEIGHTS}
        ((_, extraction),) = look({"config.json": CONFIG, "model.safetensors.index.json": INDEX, **shards})
        assert (extraction.facts.parameters.stored, extraction.completeness.state) == (12, "complete")

    def test_a_missing_shard_is_incomplete(self) -> None:
        files = {"m/config.json": CONFIG, "m/model.safetensors.index.json": INDEX, "m/model-1.safetensors": WEIGHTS}
        ((_, extraction),) = look(files)
        assert extraction.completeness.state == "incomplete"
        assert extraction.completeness.problems[0].path == "m/model-2.safetensors"

    def test_an_index_counts_without_a_config(self) -> None:
        ((detection, extraction),) = look({"model.safetensors.index.json": INDEX})
        assert (detection.format, extraction.completeness.state) == ("huggingface", "incomplete")

    def test_an_index_without_a_map_is_incomplete(self) -> None:
        files = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "model.safetensors.index.json": b"[]"}
        assert problem(look(files)[0][1]) == "expected an index with a weight_map"

    @pytest.mark.parametrize(
        ("name", "data", "expected"),
        [
            ("model.safetensors", WEIGHTS[:-1], "incomplete"),
            ("model.safetensors", WEIGHTS + b"x", "corrupt"),
            ("model.safetensors", LFS_POINTER, "incomplete"),
            ("pytorch_model.bin", pytorch_zip(), "complete"),
            ("pytorch_model.bin", pytorch_zip()[:-1], "incomplete"),
            ("pytorch_model.bin", pytorch_zip({"byteorder": b"x"}), "corrupt"),
            ("tf_model.h5", hdf5(b"layer_names"), "complete"),
            ("flax_model.msgpack", b"\x81", "complete"),
        ],
    )
    def test_the_weights_are_held_to_their_own_format(self, name: str, data: bytes, expected: str) -> None:
        ((_, extraction),) = look({"config.json": CONFIG, name: data})
        assert extraction.completeness.state == expected

    @pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"])
    def test_empty_weights_are_incomplete(self, name: str) -> None:
        ((_, extraction),) = look({"m/config.json": CONFIG, f"m/{name}": b""})
        assert extraction.completeness == Completeness(State.INCOMPLETE, (Problem(f"m/{name}", "is empty"),))

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("model.safetensors", WEIGHTS),
            ("pytorch_model.bin", pytorch_zip()),
            ("pytorch_model.bin", PICKLE),
            ("tf_model.h5", hdf5(b"layer_names")),
        ],
    )
    def test_weights_that_were_cut_off_anywhere_are_incomplete(self, name: str, data: bytes) -> None:
        for size in range(len(data)):
            ((_, extraction),) = look({"m/config.json": CONFIG, f"m/{name}": data[:size]})
            assert extraction.completeness.state == "incomplete", size
            assert extraction.completeness.problems[0].path == f"m/{name}"

    def test_a_shard_of_which_only_the_length_of_its_header_is_there_is_incomplete(self) -> None:
        shards = {"model-1.safetensors": WEIGHTS, "model-2.safetensors": WEIGHTS[:8]}
        ((_, extraction),) = look({"config.json": CONFIG, "model.safetensors.index.json": INDEX, **shards})
        assert [one.path for one in extraction.completeness.problems] == ["model-2.safetensors"]

    @pytest.mark.parametrize("name", ["model.safetensors", "tf_model.h5"])
    def test_weights_of_another_format_than_their_name_says_are_corrupt(self, name: str) -> None:
        ((_, extraction),) = look({"config.json": CONFIG, name: bytes(100)})
        assert extraction.completeness.state == "corrupt"

    def test_weights_of_an_unknown_format_leave_the_end_unproven(self) -> None:
        ((_, extraction),) = look({"config.json": CONFIG, "flax_model.msgpack": b"\x81"})
        assert extraction.facts.details["completeness_checked"] is False
        assert extraction.facts.parameters.stored is None

    @pytest.mark.parametrize("config", [b"{}", b"[1]", b"not JSON", b'{"learning_rate": 0.1}'])
    def test_another_config_leaves_the_weights_to_their_own_format(self, config: bytes) -> None:
        assert formats({"config.json": config, "model.safetensors": WEIGHTS}) == ["safetensors"]

    @pytest.mark.parametrize("beside", [{}, {"m/model.safetensors.index.json": INDEX, "m/model-2.safetensors": WEIGHTS}])
    def test_a_config_that_was_cut_off_anywhere_is_incomplete(self, beside: dict[str, bytes]) -> None:
        for size in range(len(CONFIG)):
            files = {"m/config.json": CONFIG[:size], "m/model-1.safetensors": WEIGHTS, **beside}
            ((detection, extraction),) = look(files)
            assert set(detection.files) == set(files), size
            assert extraction.completeness.state == "incomplete", size
            assert [one.path for one in extraction.completeness.problems] == ["m/config.json"]

    def test_a_config_that_was_cut_off_tells_its_place_and_what_was_expected(self) -> None:
        ((detection, extraction),) = look({"config.json": CONFIG[:17], "model.safetensors": WEIGHTS})
        assert detection.evidence == (Evidence("config.json", 0, "a config that was cut off, beside weights"),)
        reason = "expected a whole JSON object; not JSON: Expecting value, found the end"
        assert problem(extraction) == f"at byte 17: {reason}"
        ((_, extraction),) = look({"config.json": b"", "model.safetensors": WEIGHTS})
        assert problem(extraction) == "expected a JSON object, found an empty file"

    @pytest.mark.parametrize("name", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
    @pytest.mark.parametrize("config", [{}, {"m/config.json": CONFIG}])
    def test_an_index_that_was_cut_off_anywhere_is_incomplete(self, name: str, config: dict[str, bytes]) -> None:
        for size in range(len(INDEX)):
            ((_, extraction),) = look({f"m/{name}": INDEX[:size], "m/model-1.safetensors": WEIGHTS, **config})
            assert extraction.completeness.state == "incomplete", size
            assert [one.path for one in extraction.completeness.problems] == [f"m/{name}"]

    def test_without_an_index_the_names_of_shards_tell_which_are_missing(self) -> None:
        ((_, extraction),) = look({"m/config.json": CONFIG, "m/model-00001-of-00003.safetensors": WEIGHTS})
        assert extraction.completeness.state == "incomplete"
        assert [one.path for one in extraction.completeness.problems] == [
            "m/model-00002-of-00003.safetensors", "m/model-00003-of-00003.safetensors"
        ]  # fmt: skip

    def test_where_an_index_tells_the_shards_their_names_are_not_asked(self) -> None:
        """A folder may still hold shards of an earlier save, cut into other pieces."""
        weights = {"model-1.safetensors": WEIGHTS, "model-2.safetensors": WEIGHTS, "model-00001-of-00009.safetensors": WEIGHTS}
        ((_, extraction),) = look({"config.json": CONFIG, "model.safetensors.index.json": INDEX, **weights})
        assert extraction.completeness.state == "complete"

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("tokenizer.json", b'{"version": "1.0", "model": {"vocab": {"a": 0}}}'),
            ("special_tokens_map.json", b"{}\n"),
            ("optimizer.pt", pytorch_zip()),
            ("training_args.bin", pytorch_zip()),
        ],
    )
    def test_what_belongs_to_the_weights_may_not_be_cut_off_either(self, name: str, data: bytes) -> None:
        whole = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
        assert look({**whole, name: data})[0][1].completeness.state == "complete"
        for size in range(len(data.rstrip())):
            ((_, extraction),) = look({**whole, name: data[:size]})
            assert [one.path for one in extraction.completeness.problems] == [name], size
            assert extraction.completeness.state == "incomplete"

    @pytest.mark.parametrize("data", [b'{\n  "a": {\n    "b": 0\n  }\n}\n', b'{"a": {"b": 1}}'])
    def test_of_a_large_vocabulary_both_ends_are_read(self, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface, "MAX_TEXT_BYTES", 0)
        monkeypatch.setattr(huggingface, "ENDING_BYTES", 5)
        whole = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
        assert look({**whole, "tokenizer.json": data})[0][1].completeness.state == "complete"
        ((_, extraction),) = look({**whole, "tokenizer.json": data.rstrip()[:-2]})
        assert extraction.completeness.state == "incomplete"
        assert problem(extraction).startswith(f"at byte {len(data.rstrip()) - 2}: expected }} as the end of JSON, found ")

    def test_a_vocabulary_of_text_has_no_end_that_is_proven(self) -> None:
        ((_, extraction),) = look({"config.json": CONFIG, "model.safetensors": WEIGHTS, "merges.txt": b"a b"})
        assert extraction.facts.details["completeness_checked"] is False

    def test_texts_beyond_the_limit_are_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface, "MAX_TEXTS_BYTES", 200)
        with pytest.raises(ModelLimit):
            look({"config.json": CONFIG, "model.safetensors": WEIGHTS, "tokenizer.json": b"{}" + b" " * 198})

    def test_a_config_alone_is_no_model(self) -> None:
        assert formats({"config.json": CONFIG}) == []

    def test_a_config_beyond_the_limit_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface, "MAX_CONFIG_BYTES", 10)
        assert formats({"config.json": CONFIG, "model.safetensors": WEIGHTS}) == ["safetensors"]


class TestCoreML:
    MANIFEST = json.dumps(
        {"itemInfoEntries": {"1": {"path": "com.apple.CoreML/model.mlmodel"}, "2": {"path": "com.apple.CoreML/weights"}}}
    ).encode()

    DATA = "m.mlpackage/Data/com.apple.CoreML"
    PARTS: ClassVar = {
        f"{DATA}/model.mlmodel": coreml_file(),
        f"{DATA}/weights/weight.bin": coreml_weights(bytes(100), b"12345678"),
    }

    def test_a_package_is_one_model(self) -> None:
        files = {"m.mlpackage/Manifest.json": self.MANIFEST, **self.PARTS}
        ((detection, extraction),) = look(files)
        assert (detection.format, detection.root, len(detection.files)) == ("coreml", "m.mlpackage", 3)
        assert extraction.completeness.state == "complete"
        assert extraction.facts.details["completeness_checked"] is True

    @pytest.mark.parametrize("path", PARTS)
    def test_a_part_that_was_cut_off_anywhere_is_incomplete(self, path: str) -> None:
        for size in range(len(self.PARTS[path])):
            files = {"m.mlpackage/Manifest.json": self.MANIFEST, **self.PARTS, path: self.PARTS[path][:size]}
            ((_, extraction),) = look(files)
            assert extraction.completeness.state == "incomplete", size
            assert [one.path for one in extraction.completeness.problems] == [path]

    @pytest.mark.parametrize(
        "weights",
        [
            pytest.param(b"\1\0\0\0\3\0\0\0" + bytes(200), id="another version"),
            pytest.param(b"\1\0\0\0\2\0\0\0" + bytes(200), id="no sentinel"),
            pytest.param(struct.pack("<II56xIIQQ40x", 1, 2, 0xDEADBEEF, 1, 8, 0), id="a blob before its metadata"),
        ],
    )
    def test_weights_of_another_layout_are_not_proven_to_be_whole(self, weights: bytes) -> None:
        files = {"m.mlpackage/Manifest.json": self.MANIFEST, **self.PARTS, f"{self.DATA}/weights/weight.bin": weights}
        ((_, extraction),) = look(files)
        assert (extraction.completeness.state, extraction.facts.details["completeness_checked"]) == ("complete", False)

    def test_more_blobs_than_the_limit_are_not_walked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(coreml, "MAX_BLOBS", 1)
        with pytest.raises(ModelLimit):
            look({"m.mlpackage/Manifest.json": self.MANIFEST, **self.PARTS})

    def test_a_part_that_is_not_there_is_incomplete(self) -> None:
        files = {"m.mlpackage/Manifest.json": self.MANIFEST, f"{self.DATA}/model.mlmodel": coreml_file()}
        ((_, extraction),) = look(files)
        assert extraction.completeness.state == "incomplete"
        assert extraction.completeness.problems[0].path == "m.mlpackage/Data/com.apple.CoreML/weights"

    @pytest.mark.parametrize("manifest", [b"{}", b"[]", b"not JSON", b'{"itemInfoEntries": []}'])
    def test_a_manifest_that_is_none_is_malformed(self, manifest: bytes) -> None:
        with pytest.raises(MalformedModel):
            look_at("m.mlpackage/Manifest.json", manifest)

    def test_a_file_tells_its_version_and_kind(self) -> None:
        detection, extraction = look_at("m.mlmodel", coreml_file())
        assert (detection.format, detection.evidence[0].saw) == ("coreml", "specification version 4")
        assert (extraction.facts.details["specification_version"], extraction.facts.details["kind"]) == (4, 500)
        assert extraction.completeness.state == "complete"

    def test_a_file_cut_off_anywhere_is_incomplete(self) -> None:
        data = coreml_file()
        assert {state("m.mlmodel", data[:size]) for size in range(3, len(data))} == {"incomplete"}

    def test_more_fields_than_the_limit_are_not_walked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(coreml, "MAX_TOP_FIELDS", 2)
        with pytest.raises(ModelLimit):
            look_at("m.mlmodel", coreml_file())

    def test_another_file_of_that_suffix_is_none(self) -> None:
        assert formats({"m.mlmodel": b"hello world", "m.bin": coreml_file()}) == []


class TestOpenVINO:
    def test_graph_and_weights_are_one_model(self) -> None:
        ((detection, extraction),) = look({"m/a.xml": OPENVINO, "m/a.bin": bytes(32)})
        assert (detection.format, detection.root, detection.files) == ("openvino", "m/a.xml", ("m/a.bin", "m/a.xml"))
        assert extraction.facts.details == {"note": "told by its name or its beginning; weights not opened", "ir_version": 11}
        assert extraction.facts.size_bytes == len(OPENVINO) + 32
        assert extraction.completeness.state == "complete"

    @pytest.mark.parametrize(
        ("files", "reason"),
        [
            ({"a.xml": OPENVINO}, "the weights are not there"),
            ({"a.xml": OPENVINO, "a.bin": bytes(31)}, "the graph needs 32 bytes of weights, the file holds 31"),
            ({"a.xml": OPENVINO[:-8], "a.bin": bytes(32)}, "expected </net> at the end, found something else"),
        ],
    )
    def test_a_part_that_is_missing_or_short_is_incomplete(self, files: dict[str, bytes], reason: str) -> None:
        ((_, extraction),) = look(files)
        assert (extraction.completeness.state, problem(extraction)) == ("incomplete", reason)

    def test_a_graph_that_was_cut_off_anywhere_beside_its_weights_is_incomplete(self) -> None:
        for size in range(len(OPENVINO.rstrip())):
            ((detection, extraction),) = look({"m/a.xml": OPENVINO[:size], "m/a.bin": bytes(32)})
            assert detection.files == ("m/a.bin", "m/a.xml"), size
            assert extraction.completeness.state == "incomplete"
            assert extraction.completeness.problems[0].path == "m/a.xml"

    @pytest.mark.parametrize("text", [b"<a/>", b"<?xml version='1.0'?><html>", b"<?xml?><network version='3'>", b"<net></net>"])
    def test_another_xml_beside_a_bin_is_no_model(self, text: bytes) -> None:
        assert formats({"a.xml": text, "a.bin": bytes(32)}) == []

    def test_a_graph_without_constants_needs_no_weights(self) -> None:
        assert state("a.xml", b"<net name='x' version='10'><layers/></net>\n") == "complete"

    @pytest.mark.parametrize("text", [b"<html></html>", b"<network version='3'>", b"<net name='x'>", b""])
    def test_another_xml_is_no_model(self, text: bytes) -> None:
        assert formats({"a.xml": text}) == []

    def test_a_graph_beyond_the_limit_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(openvino, "MAX_XML_BYTES", 10)
        with pytest.raises(ModelLimit):
            look_at("a.xml", OPENVINO)


class TestGitLfs:
    def test_a_pointer_tells_what_was_not_fetched(self) -> None:
        detection, extraction = look_at("model.onnx", LFS_POINTER)
        assert detection.format == "git_lfs_pointer"
        assert extraction.facts.details == {
            "note": "a pointer to a file that is not here",
            "format_by_suffix": "onnx",
            "oid": "sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393",
            "size": 12345,
        }
        assert extraction.completeness.state == "incomplete"
        assert problem(extraction) == "the file is a Git LFS pointer, the content was not fetched"

    def test_a_pointer_without_its_lines_is_one_all_the_same(self) -> None:
        _, extraction = look_at("m.pb", LFS_POINTER.splitlines(keepends=True)[0])
        assert (extraction.facts.details["oid"], extraction.facts.details["size"]) == (None, None)

    def test_a_pointer_to_something_else_is_nobodys_business(self) -> None:
        assert formats({"photo.tiff": LFS_POINTER, "large.pb": LFS_POINTER + bytes(1000)}) == []
