"""The laws of all formats that are told by name."""

from __future__ import annotations

import contextlib
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.detection import Contents, detect
from detectors.errors import DetectorError, MalformedModel
from detectors.facts import ModelType, Problem
from detectors.tree import MemoryTree
from detectors.weights import DETECTORS
from detectors.wrapped_tree import CountingTree
from tests.builders.weights import (
    LFS_POINTER,
    OPENVINO,
    coreml,
    gguf,
    hdf5,
    keras_zip,
    ort,
    pytorch_zip,
    safetensors,
    tflite,
)
from tests.detectors.weights.looked_at import formats, look, problem, state

WHOLE = {
    "m.tflite": tflite(),
    "m.ort": ort(),
    "m.safetensors": safetensors({"w": ("F32", (2, 3), 24)}),
    "m.gguf": gguf({"f": ((3,), 0, 0)}, 12),
    "m.keras": keras_zip(),
    "m.h5": hdf5(b"keras_version" + bytes(50)),
    "m.pt": pytorch_zip(),
    "m.pkl": pickle.dumps({"w": [1, 2, 3]}, 4),
    "m.mlmodel": coreml(),
    "m.onnx": LFS_POINTER,
    "m.xml": OPENVINO,
    "MLmodel": b"flavors:\n  sklearn:\n    pickled_model: m.pkl\n",
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors.index.json": b'{"weight_map": {"a": "x.safetensors"}}',
    "m.mlpackage/Manifest.json": b'{"itemInfoEntries": {"1": {"path": "x"}}}',
}


def look_or_refuse(files: dict[str, bytes]) -> None:
    """Look at *files*; a DetectorError is an answer, too."""
    tree = MemoryTree(files)
    contents = Contents(tree, tree.files())
    for detector, detection in detect(contents, DETECTORS):
        with contextlib.suppress(DetectorError):
            counted = detector.extract(contents, detection).facts.size_bytes
            assert counted == sum(len(files[path]) for path in detection.files)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 10_000), st.binary(min_size=1, max_size=8), st.integers(0, 10_000))
def test_any_bytes_give_facts_or_a_detector_error(path: str, place: int, change: bytes, cut: int) -> None:
    data = bytearray(WHOLE[path])
    place %= len(data)
    data[place : place + len(change)] = change
    look_or_refuse({path: bytes(data)})
    look_or_refuse({path: bytes(data[: cut % (len(data) + 1)])})


@pytest.mark.parametrize("path", sorted(WHOLE))
def test_a_file_that_was_cut_off_is_never_complete_where_its_end_can_be_proven(path: str) -> None:
    for stop in range(len(WHOLE[path])):
        with contextlib.suppress(MalformedModel):
            for _, extraction in look({path: WHOLE[path][:stop]}):
                is_proven = extraction.facts.details.get("completeness_checked", True)
                assert not (is_proven and extraction.completeness.state == "complete"), stop


@pytest.mark.parametrize("path", [path for path in sorted(WHOLE) if path.startswith("m.") and path.count("/") == 0])
def test_a_file_that_was_cut_off_is_never_passed_over_where_its_suffix_tells_what_it_was(path: str) -> None:
    """But for XML, whose suffix says nothing, and for a pointer of Git LFS, which has another file's suffix."""
    shortest = {"m.xml": OPENVINO.index(b">", OPENVINO.index(b"<net")), "m.onnx": len(b"version ")}.get(path, 0)
    for stop in range(shortest, len(WHOLE[path])):
        ((_, extraction),) = look({path: WHOLE[path][:stop]})
        assert extraction.completeness.state == "incomplete", stop


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("m.bin", b""),
        ("m.dat", b""),
        ("m.h5", hdf5(b"data")),
        ("m.keras", b"hello"),
        ("m.pt", b"hello"),
        ("m.pkl", b"(lp0"),
        ("m.gguf", b"GGML"),
        ("m.safetensors", b"hello world"),
        ("m.tflite", b"0000TFL2"),
        ("m.mlmodel", b"he"),
    ],
)
def test_a_short_file_that_is_no_beginning_of_its_format_is_left_alone(path: str, data: bytes) -> None:
    assert formats({path: data}) == []


@pytest.mark.parametrize("path", ["m.bin", "m.ckpt"])
def test_a_zip_that_was_cut_off_anywhere_is_incomplete_under_other_suffixes_too(path: str) -> None:
    for stop in range(len(b"PK\3\4"), len(WHOLE["m.pt"])):
        assert state(path, WHOLE["m.pt"][:stop]) == "incomplete", stop


@pytest.mark.parametrize("data", [b"", b"T", b"0000OR"])
def test_an_empty_or_short_file_tells_what_its_suffix_made_us_expect(data: bytes) -> None:
    ((detection, extraction),) = look({"run/m.ort": data})
    assert (detection.format, detection.evidence[0].saw) == ("ort", f"the suffix .ort, and {len(data)} bytes")
    assert extraction.completeness.problems == (
        Problem("run/m.ort", f"expected a file of the format ort, found {len(data)} bytes, too few to begin one"),
    )


class TestShards:
    WEIGHTS = safetensors({"w": ("F32", (2, 3), 24)})
    LLAMA = gguf({"f": ((3,), 0, 0)}, 12)

    def test_all_of_a_set_are_one_model(self) -> None:
        files = {"m/a-00001-of-00002.gguf": self.LLAMA, "m/a-00002-of-00002.gguf": self.LLAMA}
        ((detection, extraction),) = look(files)
        assert (detection.format, detection.main, detection.files) == ("gguf", "m/a-00001-of-00002.gguf", tuple(files))
        assert (extraction.facts.parameters.stored, extraction.facts.dtypes) == (6, {"float32": 2})
        assert extraction.facts.size_bytes == 2 * len(self.LLAMA)
        assert (extraction.facts.details["files"], extraction.facts.details["completeness_checked"]) == (2, True)
        assert extraction.completeness.state == "complete"

    def test_details_that_count_are_added_up(self) -> None:
        files = {f"a-0000{n}-of-00002.safetensors": self.WEIGHTS for n in (1, 2)}
        assert look(files)[0][1].facts.details["tensors"] == 2

    @pytest.mark.parametrize(
        ("suffix", "data"), [("safetensors", WEIGHTS), ("gguf", LLAMA), ("bin", pytorch_zip()), ("bin", WHOLE["m.pkl"])]
    )
    def test_one_alone_is_incomplete_and_names_the_others(self, suffix: str, data: bytes) -> None:
        ((_, extraction),) = look({f"m/a-00002-of-00003.{suffix}": data})
        assert extraction.completeness.state == "incomplete"
        assert [one.path for one in extraction.completeness.problems] == [
            f"m/a-00001-of-00003.{suffix}", f"m/a-00003-of-00003.{suffix}"
        ]  # fmt: skip

    def test_one_that_was_cut_off_anywhere_is_told_by_its_name(self) -> None:
        for data in (self.WEIGHTS, self.LLAMA):
            suffix = "gguf" if data is self.LLAMA else "safetensors"
            for size in range(len(data)):
                ((_, extraction),) = look({f"a-00001-of-00002.{suffix}": data, f"a-00002-of-00002.{suffix}": data[:size]})
                assert [one.path for one in extraction.completeness.problems] == [f"a-00002-of-00002.{suffix}"]
                assert extraction.completeness.state == "incomplete"

    @pytest.mark.parametrize(("suffix", "data"), [("safetensors", WEIGHTS), ("gguf", LLAMA)])
    def test_one_that_is_something_else_is_malformed(self, suffix: str, data: bytes) -> None:
        with pytest.raises(MalformedModel) as caught:
            look({f"a-00001-of-00002.{suffix}": data, f"a-00002-of-00002.{suffix}": bytes(100)})
        assert caught.value.path == f"a-00002-of-00002.{suffix}"

    def test_one_that_has_no_directory_of_a_zip_like_the_others_is_incomplete(self) -> None:
        ((_, extraction),) = look({"a-00001-of-00002.bin": pytorch_zip(), "a-00002-of-00002.bin": bytes(100)})
        assert problem(extraction) == "expected a zip that ends with its directory, found something else at its end"


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 60), st.binary(max_size=200))
def test_any_bytes_behind_a_genuine_start_give_facts_or_a_detector_error(path: str, keep: int, rest: bytes) -> None:
    look_or_refuse({path: WHOLE[path][:keep] + rest})


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(WHOLE)), st.binary(max_size=50), max_size=6), st.sampled_from(sorted(WHOLE)))
def test_a_file_belongs_to_one_detection_at_most(files: dict[str, bytes], genuine: str) -> None:
    tree = MemoryTree({**files, genuine: WHOLE[genuine]})
    contents = Contents(tree, tree.files())
    taken = [path for _, detection in detect(contents, DETECTORS) for path in detection.files]
    assert len(taken) == len(set(taken))


def test_each_file_of_a_folder_is_a_model_of_its_own() -> None:
    files = {path: data for path, data in WHOLE.items() if "/" not in path and path.startswith("m.")}
    found = look({f"models/{path}": data for path, data in files.items()} | {"models/m.bin": bytes(32)})
    assert sorted(detection.format for detection, _ in found) == [
        "coreml", "gguf", "git_lfs_pointer", "keras", "keras", "openvino", "ort", "pickle", "pytorch", "safetensors", "tflite",
    ]  # fmt: skip
    assert {detection.model_type for detection, _ in found} == {ModelType.CUSTOM}
    assert all("note" in extraction.facts.details and not extraction.findings for _, extraction in found)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\x80", b"PK", b"PK\3\4", b"GGUF", b"\x89HDF\r\n\x1a\n", b"{" * 100, b"hello\n" * 100, bytes(5000)]
)
def test_foreign_files_are_left_alone(data: bytes) -> None:
    assert formats({"a": data, "b.dat": data, "c.txt": data}) == []


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("m.safetensors", safetensors({"w": ("U8", (8_000_000,), 8_000_000)})),
        ("m.gguf", gguf({"f": ((2_000_000,), 0, 0)}, 8_000_000)),
        ("m.ort", ort(bytes(8_000_000), (2_000_000,))),
        ("m.pt", pytorch_zip({"data.pkl": b"\x80\x02}.", "data/0": bytes(8_000_000)})),
        ("m.pkl", b"\x80\x04B" + bytes(8_000_000) + b"."),
        ("m.mlmodel", b"\x08\x04\x12\x02\x0a\x00\xa2\x1f\x80\xa4\xe8\x03" + bytes(8_000_000)),
        ("m.h5", hdf5(b"keras_version" + bytes(8_000_000))),
    ],
)
def test_reading_does_not_grow_with_the_weights(path: str, data: bytes) -> None:
    tree = CountingTree(MemoryTree({path: data}))
    contents = Contents(tree, tree.files())
    ((detector, detection),) = detect(contents, DETECTORS)
    assert detector.extract(contents, detection).completeness.state == "complete"
    assert tree.bytes < 400_000
