"""Files of gates: JSON, and YAML as GradientCI keeps it, which makes nothing but lists, objects and texts."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.errors import RejectedEvent
from worker.gate_files import MAX_BYTES, gates_at, json_value, standing_at, yaml_value
from worker.gates import parse_gates

CHECKS = {
    "defaults": {"precision": 3, "round": "up"},
    "tensorflow:accuracy": {"target": "0.7..", "aggregate": "mean"},
    "tensorflow:loss": {"target": "..0.025", "aggregate": "max", "precision": 2},
}
CONFIG = """\
version: 2
workflows:
  train:
    steps:
      - name: "train"  # what is not about gates is passed over
        command: experiment.run_single_node
        checks:
          defaults:
            precision: 3
            round: up
            only-prs: true
          tensorflow:accuracy:
            target: 0.7..
            aggregation: mean
          tensorflow:loss:
            target: ..0.025
            aggregation: max
            precision: 2
"""


def test_the_file_of_gradientci_is_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "gates.json").write_text(json.dumps({"checks": CHECKS}), encoding="utf-8")
    found = gates_at(tmp_path / "config.yaml")
    assert found == gates_at(tmp_path / "gates.json") == parse_gates(CHECKS)
    assert [one.target for one in found] == ["0.7..", "..0.025"]


@pytest.mark.parametrize("target", ["0.7", "0.7..", "..5", "1..2", "-1..1", "1e-3..", "-5"])
def test_a_range_means_the_same_in_yaml_and_in_json(target: str) -> None:
    """YAML takes some of them for numbers."""
    text = f"onnx:a: {{target: {target}, aggregate: mean}}"
    given = json.dumps({"onnx:a": {"target": target, "aggregate": "mean"}})
    assert parse_gates(yaml_value(text.encode(), "f")) == parse_gates(json_value(given.encode(), "f"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a: &x [1]\nb: *x", "f: expected YAML, found at line 2: 'an alias, which is not followed'"),
        (b"a:\n  b: 1\n  b: 2", "f: expected YAML, found at line 2: 'a name that stands twice'"),
        (b"a: b: c", "f: expected YAML, found at line 1: 'mapping values are not allowed here'"),
        (b"[" * 10_000, "f: expected YAML, found RecursionError"),
        (b"a: \x00", "f: expected YAML, found ReaderError"),
        (b"\xff\xff", "f: expected YAML, found ReaderError"),
        (b"--- {}\n--- {}", "f: expected YAML, found at line 2: 'but found another document'"),
        (b"? [a]\n: 1", "f: expected YAML, found at line 1: 'found unhashable key'"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(data: bytes, told: str) -> None:
    with pytest.raises(RejectedEvent) as refused:
        yaml_value(data, "f")
    assert str(refused.value) == told


def test_a_tag_makes_nothing() -> None:
    data = b"!!python/object/apply:os.system ['exit 1']"
    assert yaml_value(data, "f") == ["exit 1"]
    assert yaml_value(b"a: !!timestamp 2024-99-99\nb: !!binary '?'\nc: yes\nd: 1_0", "f") == {
        "a": "2024-99-99",
        "b": "?",
        "c": "yes",
        "d": "1_0",
    }


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{", "f at byte 1: not JSON: "),
        (b'{"onnx:a": {}, "onnx:a": {}}', "f: expected each name once in an object, found one twice"),
        (b"\xff", "f at byte 0: expected UTF-8"),
        (b"[" * 1000, "f at byte 200: nests deeper than 200"),
    ],
)
def test_what_is_no_json_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(RejectedEvent) as refused:
        json_value(data, "f")
    assert str(refused.value).startswith(told)


def test_a_file_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "large.json").write_bytes(b" " * (MAX_BYTES + 1))
    (tmp_path / "list.yml").write_text("- a", encoding="utf-8")
    for name, told in (
        ("none.json", "none.json: cannot be read: No such file or directory"),
        (".", f"{tmp_path}: cannot be read: Is a directory"),
        ("large.json", f"large.json: expected at most {MAX_BYTES} bytes"),
        ("list.yml", "list.yml: gates: expected a JSON object, found a list"),
    ):
        with pytest.raises(RejectedEvent) as refused:
            gates_at(tmp_path / name)
        assert str(refused.value).endswith(told)


def test_a_setting_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "gates.json").write_text(json.dumps({"projects": {"digits": CHECKS}}), encoding="utf-8")
    found = standing_at(tmp_path / "gates.json")
    assert (found.of("digits"), found.of("other")) == (parse_gates(CHECKS), ())


def test_without_pyyaml_a_sentence_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(RejectedEvent, match=r"YAML needs PyYAML: pip install 'modelport\[yaml\]', or write it as JSON"):
        gates_at(tmp_path / "config.yaml")


@given(st.binary(max_size=200) | st.text("abc:-[]{}&*!?'\"#|> \n\t0123", max_size=60).map(str.encode))
@example(CONFIG.encode())
@example(b"<<: [1]")
def test_any_bytes_give_a_value_or_a_rejected_event(data: bytes) -> None:
    for read in (yaml_value, json_value):
        with suppress(RejectedEvent):
            read(data, "f")
