"""GGUF: typed key-values, a table of tensors, then the tensors."""

from __future__ import annotations

import struct

import pytest

from detectors.errors import MalformedModel, ModelLimit
from detectors.weights import gguf as module
from tests.builders.weights import gguf, gguf_pair, gguf_text
from tests.detectors.weights.looked_at import formats, look_at, problem, state

# 64 x 2 elements of Q4_0 (4 blocks of 18 bytes = 72), then, at 96, 3 of float32 (12 bytes): 108 bytes of data.
TENSORS = {"q": ((64, 2), 2, 0), "f": ((3,), 0, 96)}
PAIRS = [
    gguf_pair("general.architecture", 8, gguf_text("llama")),
    gguf_pair("general.file_type", 4, struct.pack("<I", 2)),
    gguf_pair("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + gguf_text("<s>") + gguf_text("hello")),
    gguf_pair("tokenizer.ggml.scores", 9, struct.pack("<IQ2f", 6, 2, 0.0, 1.0)),
    gguf_pair("rope.freq", 12, struct.pack("<d", 1.0)),
]
WHOLE = gguf(TENSORS, 108, PAIRS)


def test_architecture_parameters_and_dtypes_are_told() -> None:
    detection, extraction = look_at("model.gguf", WHOLE)
    assert (detection.format, detection.evidence[0].saw) == ("gguf", "GGUF version 3")
    assert extraction.facts.parameters.stored == 131
    assert extraction.facts.dtypes == {"Q4_0": 1, "float32": 1}
    assert extraction.facts.details == {
        "note": "told by its header; weights not opened",
        "completeness_checked": True,
        "version": 3,
        "architecture": "llama",
        "file_type": 2,
    }
    assert extraction.completeness.state == "complete"


def test_a_file_cut_off_anywhere_is_incomplete() -> None:
    assert {state("m", WHOLE[:size]) for size in range(8, len(WHOLE))} == {"incomplete"}


def test_the_problem_names_the_end() -> None:
    _, extraction = look_at("m", WHOLE[:-1])
    assert problem(extraction) == f"tensors go up to byte {len(WHOLE)}, the file ends at {len(WHOLE) - 1}"


def test_padding_behind_the_last_tensor_is_fine() -> None:
    assert state("m", WHOLE + bytes(20)) == "complete"


def test_the_alignment_of_the_file_counts() -> None:
    pair = gguf_pair("general.alignment", 4, struct.pack("<I", 128))
    data = gguf({"f": ((3,), 0, 0)}, 12, [pair], alignment=128)
    assert state("m", data) == "complete"
    assert state("m", data[:-1]) == "incomplete"


def test_the_other_byte_order_is_read_too() -> None:
    data = gguf({"f": ((3,), 0, 0)}, 12, [gguf_pair("general.architecture", 8, gguf_text("bert", ">"), ">")], order=">")
    _, extraction = look_at("m", data)
    assert (extraction.facts.parameters.stored, extraction.facts.details["architecture"]) == (3, "bert")
    assert extraction.completeness.state == "complete"


def test_a_type_that_is_not_known_leaves_the_end_unproven() -> None:
    _, extraction = look_at("m", gguf({"x": ((4,), 99, 0)}, 4))
    assert (extraction.facts.dtypes, extraction.facts.details["completeness_checked"]) == ({"type 99": 1}, False)


def test_version_1_is_only_told_by_name() -> None:
    _, extraction = look_at("m", b"GGUF" + struct.pack("<III", 1, 0, 0))
    assert extraction.facts.details["completeness_checked"] is False


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(gguf({"x": ((1,) * 5, 0, 0)}, 4), id="rank 5"),
        pytest.param(gguf({"x": ((2**40, 2**40), 0, 0)}, 4), id="2**80 elements"),
        pytest.param(gguf({}, 0, [gguf_pair("k", 13, b"")]), id="a type of value that is not known"),
        pytest.param(gguf({}, 0, [gguf_pair("k", 9, struct.pack("<IQ", 9, 1))]), id="an array of arrays"),
        pytest.param(gguf({}, 0, [gguf_pair("general.alignment", 4, bytes(4))]), id="alignment 0"),
        pytest.param(gguf({}, 0, [gguf_pair("general.alignment", 8, gguf_text("x"))]), id="alignment of text"),
    ],
)
def test_a_header_that_the_format_does_not_have_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedModel):
        look_at("m", data)


@pytest.mark.parametrize("counts", [(1 << 62, 0), (0, 1 << 62)])
def test_counts_that_the_file_cannot_hold_end_with_the_file(counts: tuple[int, int]) -> None:
    assert state("m", b"GGUF" + struct.pack("<IQQ", 3, *counts)) == "incomplete"


def test_more_strings_than_the_limit_are_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ITEMS", 6)
    with pytest.raises(ModelLimit):
        look_at("m", WHOLE)


@pytest.mark.parametrize("head", [b"GGUF", b"GGUF\0\0\0\0", b"GGUG\3\0\0\0", b"GGUF\xff\xff\xff\xff"])
def test_other_files_are_not_mistaken_for_it(head: bytes) -> None:
    assert formats({"m.gguf": head + bytes(30)}) == []


def test_a_file_without_tensors_is_whole_where_its_header_ends() -> None:
    """Its padding holds nothing, and writers of vocabularies leave it out."""
    pair = gguf_pair("general.architecture", 8, gguf_text("llama"))
    padded = gguf({}, 0, [pair])
    header = 24 + len(pair)
    assert {state("m", padded[:size]) for size in range(header, len(padded) + 1)} == {"complete"}
    assert state("m", padded[: header - 1]) == "incomplete"
