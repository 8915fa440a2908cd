"""Versions as bills of materials, held to the schema of CycloneDX by the library that ships it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.facts import ModelType
from detectors.open import scan_path
from detectors.report import scan_report
from detectors.scan import scan
from detectors.tree import MemoryTree
from tests.builders import onnx
from worker.bom import bill_of_materials
from worker.cli import run
from worker.records import FileDigest, ModelVersion, StoreMode

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)
FILES = (FileDigest("net/m.onnx", 3, ABC_SHA256), FileDigest("odd \udcff{}", 0, ABC_SHA256))


def version_with(report: dict[str, Any], **changes: Any) -> ModelVersion:
    said: dict[str, Any] = {
        "id": "mo4x8d3k2m9p1q",
        "model_name": "digits",
        "number": 3,
        "is_generated_name": False,
        "team": "default",
        "project": "vision",
        "experiment": "e7",
        "model_type": ModelType.ONNX,
        "format": "onnx",
        "location": "/mnt/secret/place",
        "digest": "sha256:" + "a" * 64,
        "oms_digest": "sha256:" + "b" * 64,
        "duplicate_of": None,
        "store": StoreMode.COPY,
        "url": "file:///store/secret",
        "size_bytes": 3,
        "completeness": "complete",
        "verdict": report.get("verdict", "clean"),
        "report": json.dumps(report),
        "tags": ("production",),
        "created": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "deleted": None,
        "notes": "a secret note",
        "rules_version": "1",
    }
    return ModelVersion(**(said | changes))


def bill_of(report: dict[str, Any], files: tuple[FileDigest, ...] = FILES, **changes: Any) -> dict[str, Any]:
    """Return the bill of a version with this report, which the schema must take."""
    bill = bill_of_materials(version_with(report, **changes), files, "0.1.0")
    assert VALIDATOR.validate_str(json.dumps(bill)) is None
    return bill


def properties(component: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["name"].removeprefix("modelport:"), one["value"]) for one in component["properties"]]


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return bill_of(scan_report(scan_path(EXAMPLE), "runs/digits"))


def test_a_slip_would_be_noticed(example: dict[str, Any]) -> None:
    slipped = json.dumps(example).replace('"performanceMetrics"', '"metrics"')
    assert "'metrics' was unexpected" in str(VALIDATOR.validate_str(slipped))


def test_the_component_is_the_version(example: dict[str, Any]) -> None:
    component = example["metadata"]["component"]
    told = {key: component[key] for key in ("type", "bom-ref", "name", "version", "tags")}
    assert told == {
        "type": "machine-learning-model",
        "bom-ref": "mo4x8d3k2m9p1q",
        "name": "digits",
        "version": "3",
        "tags": ["production"],
    }
    assert example["metadata"]["timestamp"] == "2026-01-02T03:04:05.000Z"
    assert example["metadata"]["tools"]["components"] == [{"type": "application", "name": "modelport", "version": "0.1.0"}]
    assert example["compositions"] == [{"aggregate": "complete", "assemblies": ["mo4x8d3k2m9p1q"]}]


def test_the_card_has_inputs_outputs_and_metrics_of_the_primary_model(example: dict[str, Any]) -> None:
    card = example["metadata"]["component"]["modelCard"]
    assert card["modelParameters"] == {
        "inputs": [{"format": "predict/image: float32[?, 8, 8]"}, {"format": "serving_default/image: float32[?, 8, 8]"}],
        "outputs": [
            {"format": "predict/logits: float32[?, 10]"},
            {"format": "predict/probabilities: float32[?, 10]"},
            {"format": "serving_default/probabilities: float32[?, 10]"},
        ],
    }
    first, *_ = card["quantitativeAnalysis"]["performanceMetrics"]
    assert first == {"type": "accuracy", "value": "0.9399999976158142", "slice": "eval"}


def test_what_the_standard_has_no_field_for_is_told_in_properties(example: dict[str, Any]) -> None:
    told = properties(example["metadata"]["component"])
    assert {
        ("digest", "sha256:" + "a" * 64),
        ("oms-digest", "sha256:" + "b" * 64),
        ("format", "tensorflow_savedmodel"),
        ("parameters:trainable", "2410"),
        ("operator:MatMul", "2"),
        ("dtype:float32", "4"),
        ("verdict", "clean"),
        ("experiment", "e7"),
    } <= set(told)
    assert "fingerprint" not in dict(told), "what is not known is left out"


def test_other_models_have_cards_of_their_own_and_no_metrics(example: dict[str, Any]) -> None:
    others = [one for one in example["metadata"]["component"]["components"] if one["type"] == "machine-learning-model"]
    assert [one["name"] for one in others] == ["1767261750", "digits.onnx", "digits/model.ckpt-1200", "digits/model.ckpt-900"]
    assert others[1]["modelCard"]["modelParameters"]["inputs"] == [{"format": "image: float32[batch, 8, 8]"}]
    assert all("quantitativeAnalysis" not in one["modelCard"] for one in others)


def test_what_wrote_the_models_is_a_component_that_they_depend_on(example: dict[str, Any]) -> None:
    tensorflow = next(one for one in example["components"] if one["name"] == "tensorflow")
    assert (tensorflow["type"], tensorflow["version"], tensorflow["purl"]) == (
        "framework",
        "2.21.0",
        "pkg:pypi/tensorflow@2.21.0",
    )
    uses = {one["ref"]: one["dependsOn"] for one in example["dependencies"]}
    assert uses["mo4x8d3k2m9p1q"] == [tensorflow["bom-ref"]]
    assert len([one for one in example["components"] if one["name"] == "tensorflow"]) == 1


@pytest.mark.parametrize(
    ("completeness", "verdict", "aggregate"),
    [
        ("complete", "clean", "complete"),
        ("complete", "findings", "complete"),
        ("incomplete", "findings", "incomplete"),
        ("corrupt", "findings", "incomplete"),
        ("complete", "inconclusive", "unknown"),
    ],
)
def test_what_is_not_whole_or_not_known_is_not_called_complete(completeness: str, verdict: str, aggregate: str) -> None:
    [told] = bill_of({}, completeness=completeness, verdict=verdict)["compositions"]
    assert told["aggregate"] == aggregate


def test_findings_are_told() -> None:
    data = onnx.model(onnx.small_graph(initializers=[onnx.external_tensor(location="../../etc/passwd")]))
    bill = bill_of(scan_report(scan(MemoryTree({"m.onnx": data})), "run"))
    assert ("finding", "high onnx-external-data-outside m.onnx") in properties(bill["metadata"]["component"])
    assert bill["compositions"][0]["aggregate"] == "unknown"


def test_a_bill_tells_nobody_where_the_files_are_kept_or_what_was_noted(example: dict[str, Any]) -> None:
    assert "secret" not in json.dumps(example)
    assert "runs/digits" not in json.dumps(example)


PATHS = st.text(st.sampled_from("a/é\udcff "), min_size=1, max_size=5)
DIGESTS = st.lists(st.builds(FileDigest, PATHS, st.integers(0, 9), st.just(ABC_SHA256)), unique_by=lambda file: file.path)


@settings(max_examples=20, deadline=None)
@given(DIGESTS)
def test_every_file_is_in_the_bill_with_its_digest(files: list[FileDigest]) -> None:
    bill = bill_of({}, tuple(files))
    told = [one for one in bill["metadata"]["component"]["components"] if one["type"] == "file"]
    shown = [file.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for file in files]
    assert [one["name"] for one in told] == shown
    assert [one["hashes"] for one in told] == [[{"alg": "SHA-256", "content": ABC_SHA256}]] * len(files)


TEXTS = st.text(max_size=4)
TENSORS = st.fixed_dictionaries(
    {"name": TEXTS, "dtype": TEXTS, "shape": st.none() | st.lists(st.none() | st.integers() | TEXTS, max_size=2)}
)
SIGNATURES = st.lists(
    st.fixed_dictionaries({"name": TEXTS, "inputs": st.lists(TENSORS, max_size=2), "outputs": st.lists(TENSORS, max_size=2)}),
    max_size=2,
)
FACTS = st.fixed_dictionaries(
    {},
    optional={
        "signatures": SIGNATURES,
        "framework": st.none() | st.fixed_dictionaries({"name": TEXTS, "version": st.none() | st.text(max_size=2000)}),
        "operators": st.dictionaries(TEXTS, st.integers(), max_size=2),
        "parameters": st.dictionaries(TEXTS, st.none() | st.integers(), max_size=2),
        "custom_operators": st.lists(TEXTS, max_size=2),
        "producer": st.none() | TEXTS,
    },
)
VALUES = st.fixed_dictionaries({"name": TEXTS}, optional={"value": st.floats() | TEXTS, "session": st.none() | TEXTS})
MODELS = st.fixed_dictionaries({"root": TEXTS, "primary": st.booleans(), "facts": FACTS})
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "models": st.lists(MODELS, max_size=3),
        "metrics": st.fixed_dictionaries({"values": st.lists(VALUES, max_size=2)}),
        "findings": st.lists(st.fixed_dictionaries({"rule": TEXTS, "severity": TEXTS, "path": TEXTS}), max_size=2),
    },
)


@settings(max_examples=40, deadline=None)
@given(REPORTS)
def test_whatever_a_report_says_the_bill_follows_the_schema(report: dict[str, Any]) -> None:
    """… and every reference in it leads to one component."""
    bill = bill_of(report)
    known = [bill["metadata"]["component"], *bill["metadata"]["component"]["components"], *bill["components"]]
    references = [one["bom-ref"] for one in known]
    assert len(set(references)) == len(references)
    for one in bill["dependencies"]:
        assert {one["ref"], *one["dependsOn"]} <= set(references)


@settings(max_examples=20, deadline=None)
@given(REPORTS)
def test_the_same_version_has_the_same_bill(report: dict[str, Any]) -> None:
    assert bill_of(report) == bill_of(report)
    others = [bill_of(report, **{name: value}) for name, value in (("rules_version", "2"), ("tags", ()), ("model_name", "net"))]
    assert bill_of(report)["serialNumber"] not in {other["serialNumber"] for other in others}


def test_the_command_writes_the_bill(home: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ingest", str(model), "--name", "net"]) == 0
    capsys.readouterr()
    assert run(["models", "bom", "net@1"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert VALIDATOR.validate_str(shown.out) is None
    bill = json.loads(shown.out)
    assert bill["metadata"]["component"]["name"] == "net"
    assert [one["name"] for one in bill["metadata"]["component"]["components"]] == ["model.onnx"]
    assert run(["models", "bom", "net", "--output", str(tmp_path / "net.cdx.json")]) == 0
    assert json.loads((tmp_path / "net.cdx.json").read_text()) == bill
    assert run(["models", "bom", "other"]) == 2
