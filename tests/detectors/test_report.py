"""Records as plain JSON values."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.report import MAX_METADATA_CHARACTERS, plain, scan_report, to_json
from detectors.scan import scan
from detectors.tree import MemoryTree
from detectors.wire import MAX_SHOWN
from tests.builders import onnx


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (1.5, 1.5),
        (True, True),
        (None, None),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (-(2**70), "-1180591620717411303424"),
        (2**1024 - 1, str(2**1024 - 1)),
        (2**1024, "2**1024 or more"),
        (-(2**1_000_000), "-2**1000000 or less"),
        ({2**1024: 1}, {"2**1024 or more": 1}),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        (b"\xffbytes", "\\xffbytes"),
        ((1, (2, math.nan)), [1, [2, "NaN"]]),
        ({"a": {"b": math.inf}}, {"a": {"b": "Infinity"}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_readers_stumble_over_is_written_as_text(value: object, written: object) -> None:
    assert plain(value) == written


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_any_value_becomes_strict_json(value: object) -> None:
    text = json.dumps(plain(value), allow_nan=False)
    assert json.loads(text) == plain(value)


def test_the_report_has_the_keys_of_the_interface_in_their_order() -> None:
    report = scan_report(scan(MemoryTree({"m.onnx": onnx.model()})), "run")
    assert list(report) == ["schema", "path", "verdict", "models", "metrics", "metadata", "findings", "coverage", "read"]
    assert report["schema"] == "modelport.scan/1"
    assert list(report["models"][0]) == ["root", "primary", "format", "modelType", "evidence", "completeness", "facts"]
    assert list(report["models"][0]["facts"])[:13] == [
        "signatures",
        "parameters",
        "size_bytes",
        "framework",
        "producer",
        "style",
        "tags",
        "opset_imports",
        "operators",
        "custom_operators",
        "dtypes",
        "fingerprint",
        "created",
    ]
    assert list(report["coverage"]) == ["scanned", "skipped", "inconclusive"]
    assert list(report["read"]) == ["files", "bytes", "seconds"]


def test_what_a_model_says_of_itself_is_cut_and_paths_are_not() -> None:
    path = "folder/" * 200 + "m.onnx"
    model = onnx.model(onnx.graph([onnx.node()], (), [onnx.value("x")], [onnx.value("y")], name="n" * 5000))
    told = scan_report(scan(MemoryTree({path: model})), "run")["models"][0]
    assert len(told["facts"]["signatures"][0]["name"]) <= MAX_SHOWN
    assert told["facts"]["signatures"][0]["name"].startswith("nnn")
    assert told["root"] == path


def test_a_name_that_is_not_utf8_is_shown_escaped_in_ascii() -> None:
    report = scan_report(scan(MemoryTree({"m\udcff.onnx": onnx.model()})), "run")
    assert report["models"][0]["root"] == "m\\xff.onnx"
    assert to_json(report).isascii()


def metadata_of(raw: bytes) -> dict[str, Any]:
    report = scan_report(scan(MemoryTree({"gradient-model-metadata.json": raw})), "run")
    assert len(to_json(report)) < MAX_METADATA_CHARACTERS + 100_000
    metadata: dict[str, Any] = report["metadata"]
    return metadata


def test_metadata_that_indentation_multiplies_are_told_by_size_and_digest() -> None:
    raw = b"[" * 199 + b",".join([b"0"] * 100_000) + b"]" * 199
    metadata = metadata_of(raw)
    assert (metadata["value"], metadata["used"]) == (None, True)
    assert metadata["why"].startswith("read: ")
    assert metadata["why"].endswith(f"; not shown: {len(raw)} bytes, sha256 {hashlib.sha256(raw).hexdigest()}")


def test_metadata_up_to_the_limit_are_shown() -> None:
    longest = MAX_METADATA_CHARACTERS - 2
    assert metadata_of(b'"' + b"a" * longest + b'"')["value"] == "a" * longest
    assert metadata_of(b'"' + b"a" * (longest + 1) + b'"')["value"] is None


def test_a_shard_named_by_half_a_surrogate_pair_is_told_escaped() -> None:
    files = {"model.safetensors.index.json": b'{"weight_map":{"a":"\\ud800.safetensors"}}'}
    problems = scan_report(scan(MemoryTree(files)), "run")["models"][0]["completeness"]["problems"]
    assert problems == [{"path": "\\ud800.safetensors", "problem": "the index names it, it is not there"}]


def test_a_part_named_by_half_a_surrogate_pair_is_told_escaped() -> None:
    files = {"a.mlpackage/Manifest.json": b'{"itemInfoEntries":{"a":{"path":"\\ud800"}}}'}
    report = scan_report(scan(MemoryTree(files)), "run")
    assert report["models"][0]["completeness"]["problems"][0]["path"] == "a.mlpackage/Data/\\ud800"
    assert to_json(report).isascii()
