"""How a version is called, tagged and measured in MLflow."""

from __future__ import annotations

import json
import math
import posixpath
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.facts import Metric
from tests.contracts.registry import ODD_TEXTS, counting_ids, register
from worker.mlflow_words import experiment_name, metric_name, metrics, model_name, signature_text, source, tags
from worker.records import ModelVersion
from worker.registry.memory import MemoryRegistry

VERSION = register(MemoryRegistry(new_id=counting_ids())).version

words = st.sampled_from(
    ["a", "b", "a.b", "a~2eb", "~", ".", "..", "a/b", "a:b", " a", "a ", "é", "A%2F", "n" * 300, "n" * 299 + "m"]
)
names = words | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
owners = st.tuples(st.just("default") | names, names, names)


def called(owner: tuple[str, str, str]) -> ModelVersion:
    return replace(VERSION, team=owner[0], project=owner[1], model_name=owner[2])


@given(owners, owners)
def test_two_models_are_never_called_alike(first: tuple[str, str, str], second: tuple[str, str, str]) -> None:
    assert (model_name(called(first)) == model_name(called(second))) == (first == second)
    assert (experiment_name(called(first)) == experiment_name(called(second))) == (first[:2] == second[:2])


@given(owners)
def test_every_name_is_one_that_mlflow_takes(owner: tuple[str, str, str]) -> None:
    """As `_validate_model_name` and `_validate_experiment_name` of MLflow 3.17 say."""
    name, experiment = model_name(called(owner)), experiment_name(called(owner))
    assert name.strip() == name
    assert not set("/:") & set(name)
    assert posixpath.normpath(name) == name
    assert not name.startswith("..")
    assert name.isprintable()
    assert len(name) <= 256
    assert len(experiment) <= 500
    assert name not in (".", "")


@pytest.mark.parametrize(
    ("team", "project", "name", "expected"),
    [
        ("default", "examples", "digits", "examples.digits"),
        ("red", "examples", "digits", "red.examples.digits"),
        ("default", "p", "ResNet-50 v1.5", "p.ResNet-50 v1~2e5"),
        ("default", "p/q", "straße", "p~2fq.straße"),
        ("default", "p", "a\tb", "p.a~09b"),
    ],
)
def test_names_stay_readable(team: str, project: str, name: str, expected: str) -> None:
    assert model_name(called((team, project, name))) == expected


def test_a_long_name_ends_in_a_digest() -> None:
    name = model_name(called(("default", "p", "n" * 300)))
    assert re.fullmatch(r"p\.n{202}~~[0-9a-f]{24}", name)


def test_runs_lie_in_an_experiment_of_the_project() -> None:
    assert experiment_name(VERSION) == "modelport.default"
    assert experiment_name(replace(VERSION, team="red", project="a.b")) == "modelport.red.a~2eb"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket/store/mo1/model", "s3://bucket/store/mo1/model"),
        ("file:///store/mo1/model", f"modelport:/{VERSION.id}"),
        ("s3://bucket/" + "n" * 500, f"modelport:/{VERSION.id}"),
    ],
)
def test_mlflow_is_told_only_of_addresses_that_it_takes(url: str, expected: str) -> None:
    assert source(replace(VERSION, url=url)) == expected


def test_tags_say_what_the_version_is() -> None:
    said = tags(replace(VERSION, tags=("gold", "new"), duplicate_of="mo0"), "http://here/versions/mo1")
    assert said == {
        "modelport.version": VERSION.id,
        "modelport.name": "mnist",
        "modelport.number": "1",
        "modelport.team": "default",
        "modelport.project": "default",
        "modelport.experiment": "mnist",
        "modelport.type": "ONNX",
        "modelport.format": "onnx",
        "modelport.digest": "d1",
        "modelport.completeness": "complete",
        "modelport.verdict": "clean",
        "modelport.size_bytes": "3",
        "modelport.store": "copy",
        "modelport.url": VERSION.url,
        "modelport.location": "file:///runs/mnist",
        "modelport.duplicate_of": "mo0",
        "modelport.tags": "gold, new",
        "modelport.page": "http://here/versions/mo1",
    }


@pytest.mark.parametrize("odd", ODD_TEXTS, ids=ascii)
def test_a_tag_can_be_written_anywhere(odd: str) -> None:
    for value in tags(replace(VERSION, location=odd), None).values():
        value.encode("utf-8")
        assert "\0" not in value
        assert len(value) <= 5000


def test_a_signature_is_one_line() -> None:
    tensors = [
        {"name": "image", "dtype": "float32", "shape": [None, 8, "width"]},
        {"name": "any", "dtype": "string", "shape": None},
        {"name": "scalar", "dtype": "int64", "shape": []},
    ]
    signature = {"name": "serving_default", "inputs": tensors, "outputs": tensors[2:]}
    report = {"models": [{"primary": False, "facts": {}}, {"primary": True, "facts": {"signatures": [signature, signature]}}]}
    one = "serving_default(image: float32[?, 8, width], any: string[*], scalar: int64[]) -> (scalar: int64[])"
    assert signature_text(json.dumps(report)) == f"{one}; {one}"
    assert signature_text("{}") == ""


ODD_METRICS = (
    Metric("loss", 0.5, 7, "eval", "f", 1.5),
    Metric("a%b", math.nan, None, "", "f"),
    Metric("a&b", math.inf, 3, "", "f"),
    Metric("big", 10**400, 2**70, "", "f"),
    Metric("low", -(10**400), -1, "", "f", math.inf),
    Metric("../x", 1, 1, "", "f", 1e300),
    Metric("", 2, 1, "", "f"),
    Metric("n" * 300, 2, 1, "train", "f"),
)


def test_every_metric_is_sent_and_none_under_anothers_name() -> None:
    sent = list(metrics(ODD_METRICS, 1000))
    assert sent[0] == {"key": "eval/loss", "value": 0.5, "timestamp": 1500, "step": 7}
    assert [one["value"] for one in sent] == [0.5, "NaN", "Infinity", "Infinity", "-Infinity", 1.0, 2.0, 2.0]
    assert [one["step"] for one in sent] == [7, 0, 3, 0, 0, 1, 1, 1]
    assert [one["timestamp"] for one in sent] == [1500, *[1000] * 7]
    assert len({one["key"] for one in sent}) == len(ODD_METRICS)
    json.dumps(sent, allow_nan=False)


@given(st.text(), st.text())
def test_every_name_of_a_metric_is_taken(first: str, second: str) -> None:
    """As `_validate_metric_name` of MLflow 3.17 says."""
    name = metric_name(first)
    assert re.match(r"^[/\w.\- :]*$", name)
    assert posixpath.normpath(name) == name
    assert not name.startswith(("/", ".."))
    assert name != "."
    assert 0 < len(name) <= 250
    assert (name == metric_name(second)) == (first == second)
