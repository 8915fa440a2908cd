"""What the custom operators of TensorFlow Lite models do."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import DetectorError
from detectors.scan import Scan, Verdict, scan
from detectors.tree import MemoryTree
from detectors.weights import tflite_custom as module
from detectors.wrapped_tree import CountingTree
from tests.builders.weights import flex_options, tflite_custom, tflite_texts

OUTSIDE = tflite_texts(b"/tmp/x")


def look(name: bytes, options: bytes = b"", texts: bytes | None = None) -> Scan:
    return scan(MemoryTree({"m.tflite": tflite_custom(name, options, texts)}))


def told(found: Scan) -> list[tuple[str, str, str]]:
    return [(one.rule, one.severity.value, one.message) for one in found.findings]


def unread(found: Scan) -> list[str]:
    return [one.reason for one in found.coverage.inconclusive]


def test_what_tensorflow_reads_and_writes_in_it_is_told_with_the_name() -> None:
    found = look(b"FlexWriteFile", flex_options(b"WriteFile"), OUTSIDE)
    assert told(found) == [("tf-file-write", "high", "WriteFile writes /tmp/x, which is not in the model")]
    assert (found.findings[0].place, unread(found)) == ("operator FlexWriteFile", [])
    assert found.models[0].extraction.facts.custom_operators == ("FlexWriteFile",)


def test_what_a_flex_operator_runs_is_told_by_its_options_and_never_by_its_name() -> None:
    found = look(b"FlexAdd", flex_options(b"ReadFile"), OUTSIDE)
    assert told(found) == [("tf-file-read", "high", "ReadFile reads /tmp/x, which is not in the model")]
    twice = look(b"FlexAdd", flex_options(b"Add", more=b"\x12\x08ReadFile"), OUTSIDE)
    assert told(twice) == told(found), "of a field that stands twice, the last counts"
    assert told(look(b"FlexReadFile", flex_options(b"Add"), OUTSIDE)) == []
    assert told(look(b"Flex\0Add", flex_options(b"ReadFile"), OUTSIDE)) == told(found)


def test_a_name_that_is_computed_is_not_known() -> None:
    found = look(b"FlexReadFile", flex_options(b"ReadFile"))
    assert told(found) == [("tf-file-read", "medium", "ReadFile reads what is named while it runs")]
    assert unread(found) == ["not looked at: what ReadFile works on, which FlexReadFile runs"]
    assert found.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("operator", "rule", "severity"),
    [
        (b"PyFunc", "tf-python-code", "high"),
        (b"StatefulPartitionedCall", "tf-hidden-graph", "medium"),
        (b"NobodysOperator", "tf-custom-operator", "low"),
    ],
)
def test_what_names_no_file_is_graded_as_in_a_graph(operator: bytes, rule: str, severity: str) -> None:
    assert [one[:2] for one in told(look(b"FlexX", flex_options(operator)))] == [(rule, severity)]


def test_an_operator_of_others_is_told_and_nothing_else() -> None:
    found = look(b"TFLite_Detection_PostProcess", b"\0\1\2")
    assert told(found) == [("tf-custom-operator", "low", "TFLite_Detection_PostProcess is not an operator of TensorFlow Lite")]
    assert found.verdict is Verdict.CLEAN


@given(st.integers(0, 40), st.binary(max_size=6))
@settings(max_examples=300)
def test_an_operator_that_is_not_understood_is_never_clean(place: int, damage: bytes) -> None:
    options = flex_options(b"ReadFile")
    broken = options[:place] + damage + options[place + len(damage) :]
    try:
        node = module.node_of(broken)
    except module.NotUnderstood:
        assert look(b"FlexReadFile", broken, OUTSIDE).verdict is not Verdict.CLEAN
    else:
        is_told = ("tf-file-read", "high") in [one[:2] for one in told(look(b"FlexX", broken, OUTSIDE))]
        assert is_told == (node.op == b"ReadFile")


@given(st.binary(max_size=40))
def test_any_bytes_are_texts_or_none(data: bytes) -> None:
    found = module.texts_in(data)
    assert not found or sum(map(len, found)) <= len(data)


def test_options_beyond_the_limit_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPTIONS_BYTES", 10)
    (reason,) = unread(look(b"FlexReadFile", flex_options(b"ReadFile"), OUTSIDE))
    assert reason.endswith("(limit MAX_OPTIONS_BYTES or MAX_ALL_OPTIONS_BYTES)")


def test_texts_that_many_operators_share_are_read_within_one_bound() -> None:
    """Each of forty thousand names the same 900 files: 36 GB, if each were read by itself."""
    texts = tflite_texts(*[b"inside.txt".ljust(1_000, b"x")] * 900)
    tree = CountingTree(
        MemoryTree({"m.tflite": tflite_custom(b"FlexReadFile", flex_options(b"ReadFile"), texts, times=40_000)})
    )
    found = scan(tree)
    assert tree.bytes < 20_000_000
    assert [one[1] for one in told(found)] == ["medium", "low"]
    assert "not looked at: operators of TensorFlow beyond 5000 (limit MAX_OPERATORS)" in unread(found)


def test_so_many_names_and_findings_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOLD", 0)
    found = look(b"SomebodysOperator")
    assert (told(found), found.models[0].extraction.facts.custom_operators) == ([], ())
    monkeypatch.setattr(module, "MAX_TOLD", 1)
    assert unread(look(b"SomebodysOperator")) == []


@given(st.integers(0, 400), st.binary(min_size=1, max_size=4))
@settings(max_examples=200)
def test_a_damaged_model_gives_facts_or_a_detector_error(place: int, damage: bytes) -> None:
    data = tflite_custom(b"FlexReadFile", flex_options(b"ReadFile"), OUTSIDE)
    try:
        scan(MemoryTree({"m.tflite": data[:place] + damage + data[place + len(damage) :]}))
    except DetectorError as exc:
        pytest.fail(f"a scan keeps it to itself: {exc}")


@pytest.mark.oracle
@pytest.mark.slow
def test_what_the_converter_writes_is_read() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tf: Any = pytest.importorskip("tensorflow")

    @tf.function(input_signature=[tf.TensorSpec([1], tf.float32)])
    def run(x: Any) -> Any:
        tf.io.write_file("/tmp/written", tf.strings.as_string(x[0]))
        return x + tf.cast(tf.strings.length(tf.io.read_file("inside.txt")), tf.float32)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()], tf.Module())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    found = scan(MemoryTree({"m.tflite": converter.convert()}))
    assert told(found) == [
        ("tf-file-write", "high", "WriteFile writes /tmp/written, which is not in the model"),
        ("tf-file-read", "low", "ReadFile reads inside.txt, seen from wherever the process was started"),
    ]
    assert unread(found) == []
