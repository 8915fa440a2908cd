"""safetensors: the header says where every tensor lies, and the tensors fill the file."""

from __future__ import annotations

import json

import pytest

from detectors.errors import MalformedModel, ModelLimit
from detectors.weights import safetensors as module
from tests.builders.weights import safetensors, safetensors_of
from tests.detectors.weights.looked_at import formats, look_at, problem, state

ONCE = b'"a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}'
TWICE = b"{" + ONCE + b", " + ONCE + b"}"
TWO = {"w": ("F32", (2, 3), 24), "b": ("BF16", (3,), 6)}


def test_parameters_dtypes_and_metadata_are_told() -> None:
    detection, extraction = look_at("model.safetensors", safetensors(TWO, {"format": "pt"}))
    assert (detection.format, detection.root, detection.files) == ("safetensors", "model.safetensors", ("model.safetensors",))
    assert extraction.facts.parameters.stored == 9
    assert extraction.facts.dtypes == {"float32": 1, "bfloat16": 1}
    assert extraction.facts.details["metadata"] == {"format": "pt"}
    assert extraction.facts.details["tensors"] == 2
    assert extraction.facts.size_bytes == len(safetensors(TWO, {"format": "pt"}))
    assert extraction.completeness.state == "complete"


def test_the_suffix_does_not_matter() -> None:
    assert formats({"weights": safetensors(TWO)}) == ["safetensors"]


def test_no_tensors_is_a_file_all_the_same() -> None:
    assert state("m", safetensors_of(b"{}", 0)) == "complete"


def test_a_file_cut_off_anywhere_is_incomplete() -> None:
    data = safetensors(TWO)
    assert {state("m", data[:size]) for size in range(9, len(data))} == {"incomplete"}


def test_bytes_behind_the_last_tensor_are_corrupt() -> None:
    _, extraction = look_at("m", safetensors(TWO) + b"x")
    assert extraction.completeness.state == "corrupt"
    assert problem(extraction) == "the tensors take 30 bytes, the file holds 31 after its header"


@pytest.mark.parametrize("offsets", [([0, 8], [12, 20]), ([0, 8], [4, 12]), ([4, 12], [12, 20])])
def test_tensors_that_leave_a_gap_or_overlap_are_corrupt(offsets: tuple[list[int], list[int]]) -> None:
    header = {str(n): {"dtype": "F32", "shape": [2], "data_offsets": place} for n, place in enumerate(offsets)}
    assert state("m", safetensors_of(json.dumps(header).encode(), 20)) == "corrupt"


@pytest.mark.parametrize(
    "header",
    [
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "XX", "shape": [9223372036854775807, 9], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}',
        TWICE,
        b'{"a": ',
        b'{"' + b"\xff" * 9 + b'": 1}',
    ],
)  # fmt: skip
def test_a_header_that_contradicts_itself_is_malformed(header: bytes) -> None:
    with pytest.raises(MalformedModel):
        look_at("m", safetensors_of(header, 8))


def test_an_unknown_dtype_keeps_its_name() -> None:
    header = b'{"a": {"dtype": "F128", "shape": [2], "data_offsets": [0, 32]}}'
    _, extraction = look_at("m", safetensors_of(header, 32))
    assert (extraction.facts.dtypes, extraction.completeness.state) == ({"F128": 1}, "complete")


def test_a_header_beyond_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HEADER_BYTES", 10)
    with pytest.raises(ModelLimit, match="limit MAX_HEADER_BYTES"):
        look_at("m", safetensors(TWO))


@pytest.mark.parametrize("data", [b'{"a": 1}', bytes(8) + b"{}", b"\xff" * 8 + b"{}", b"\2" + bytes(7) + b"{1"])
def test_other_files_are_not_mistaken_for_it(data: bytes) -> None:
    assert formats({"m.json": data}) == []
