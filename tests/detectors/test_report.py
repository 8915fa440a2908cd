"""Records as plain JSON values."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.report import plain, scan_report, to_json
from detectors.scan import scan
from detectors.tree import MemoryTree
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
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        (b"\xffbytes", "\\xffbytes"),
        ((1, (2, math.nan)), [1, [2, "NaN"]]),
        ({"a": {"b": math.inf}}, {"a": {"b": "Infinity"}}),
    ],
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


def test_a_name_that_is_not_utf8_is_shown_escaped_in_ascii() -> None:
    report = scan_report(scan(MemoryTree({"m\udcff.onnx": onnx.model()})), "run")
    assert report["models"][0]["root"] == "m\\xff.onnx"
    assert to_json(report).isascii()
