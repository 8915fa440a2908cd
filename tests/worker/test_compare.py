"""What differs between two versions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.compare import compared
from worker.records import FileDigest

Shape = list[Any] | None


def tensor(name: str, shape: Shape = None, dtype: str = "float32") -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape}


def signature(inputs: list[Any], outputs: list[Any], name: str = "serving_default") -> dict[str, Any]:
    return {"name": name, "method": "predict", "inputs": inputs, "outputs": outputs}


def report(*signatures: Any, values: Any = (), **facts: Any) -> dict[str, Any]:
    model = {"primary": True, "format": "onnx", "facts": {"signatures": list(signatures), **facts}}
    return {"models": [{"primary": False, "format": "keras"}, model], "metrics": {"values": list(values)}}


def told(old: Any, new: Any) -> tuple[str, list[tuple[Any, ...]]]:
    found = compared(old, new, (), ())
    return found["signature"], [
        (one["side"], one["tensor"], one["change"], one["breaking"]) for one in found["signatureChanges"]
    ]


X, Y = tensor("x", [None, 4]), tensor("y", [None, 2])


def test_the_name_of_a_graph_of_onnx_is_nothing_to_its_callers() -> None:
    old, new = (signature([X], [Y], name) for name in ("torch-jit-export", "main_graph"))
    assert told(report(old), report(new)) == ("same", [])
    assert told(report(old), report(signature([], [Y], "main_graph"))) == ("breaking", [("input", "x", "removed", True)])
    saved = [report(one) for one in (old, new)]
    for one in saved:
        one["models"][1]["format"] = "tensorflow_savedmodel"
    assert told(*saved)[0] == "breaking"


@pytest.mark.parametrize(
    ("inputs", "outputs", "verdict", "changes"),
    [
        ([X], [Y], "same", []),
        ([X, tensor("mask")], [Y], "breaking", [("input", "mask", "added", True)]),
        ([], [Y], "breaking", [("input", "x", "removed", True)]),
        ([X], [Y, tensor("z")], "compatible", [("output", "z", "added", False)]),
        ([X], [], "breaking", [("output", "y", "removed", True)]),
        ([tensor("x", [None, 4], "float64")], [Y], "breaking", [("input", "x", "dtype", True)]),
        ([tensor("x", [8, 4])], [Y], "breaking", [("input", "x", "shape", True)]),
        ([tensor("x", [None, None])], [Y], "compatible", [("input", "x", "shape", False)]),
        ([tensor("x", ["batch", 4])], [Y], "compatible", [("input", "x", "shape", False)]),
        ([tensor("x", None)], [Y], "compatible", [("input", "x", "shape", False)]),
        ([tensor("x", [None, 4, 1])], [Y], "breaking", [("input", "x", "shape", True)]),
        ([X], [tensor("y", [8, 2])], "compatible", [("output", "y", "shape", False)]),
        ([X], [tensor("y", [None, 3])], "breaking", [("output", "y", "shape", True)]),
        ([X], [tensor("y", None)], "breaking", [("output", "y", "shape", True)]),
    ],
)
def test_a_signature_breaks_whoever_calls_or_reads_it(
    inputs: list[Any], outputs: list[Any], verdict: str, changes: list[tuple[Any, ...]]
) -> None:
    assert told(report(signature([X], [Y])), report(signature(inputs, outputs))) == (verdict, changes)


def test_a_signature_more_is_compatible_and_one_less_is_breaking() -> None:
    one, two = report(signature([X], [Y])), report(signature([X], [Y]), signature([X], [Y], "classify"))
    assert told(one, two) == ("compatible", [(None, None, "added", False)])
    assert told(two, one) == ("breaking", [(None, None, "removed", True)])


def test_facts_metrics_and_files_are_told_side_by_side() -> None:
    old = report(operators={"MatMul": 2, "Relu": 1}, parameters={"stored": 8}, values=[value("loss", 0.5), value("gone", 1)])
    new = report(operators={"MatMul": 3, "Gelu": 1}, parameters={"stored": 9}, values=[value("loss", 0.4), value("new", 1)])
    files = (
        [FileDigest("a", 1, "a" * 64), FileDigest("b", 1, "b" * 64)],
        [FileDigest("b", 2, "c" * 64), FileDigest("c", 1, "d" * 64)],
    )
    found = compared(old, new, *files)
    assert found["operators"] == {"Gelu": [0, 1], "MatMul": [2, 3], "Relu": [1, 0]}
    assert found["parameters"] == [{"stored": 8}, {"stored": 9}]
    assert [(one["name"], one["old"], one["new"]) for one in found["metrics"]] == [
        ("gone", 1, None),
        ("loss", 0.5, 0.4),
        ("new", None, 1),
    ]
    assert [one["path"] for one in found["files"]["added"]] == ["c"]
    assert [one["path"] for one in found["files"]["removed"]] == ["a"]
    assert [[one["size"] for one in pair] for pair in found["files"]["changed"]] == [[1, 2]]
    assert (found["files"]["same"], found["format"], found["signature"]) == (0, None, "same")


def value(name: str, number: float) -> dict[str, Any]:
    return {"session": "eval", "name": name, "value": number}


def test_what_holds_no_model_differs_from_one_that_does() -> None:
    assert told({"models": []}, report(signature([X], [Y]))) == ("compatible", [(None, None, "added", False)])


shapes = st.none() | st.lists(st.none() | st.integers(1, 3) | st.sampled_from(["n", "m"]), max_size=3)
tensors = st.lists(
    st.builds(tensor, st.sampled_from("abc"), shapes, st.sampled_from(["float32", "int64"])),
    max_size=3,
    unique_by=lambda one: str(one["name"]),
)
reports = st.builds(lambda inputs, outputs: report(signature(inputs, outputs)), tensors, tensors)


@given(reports)
def test_nothing_differs_from_itself(one: Any) -> None:
    assert told(one, one) == ("same", [])


@given(shapes, shapes)
def test_what_takes_more_and_promises_more_is_compatible_and_the_way_back_is_breaking(one: Shape, other: Shape) -> None:
    def verdict(side: str, old: Shape, new: Shape) -> str:
        parts = ([tensor("t", old)], []), ([tensor("t", new)], [])
        reports = [report(signature(*(part if side == "input" else part[::-1]))) for part in parts]
        return told(*reports)[0]

    assert verdict("input", one, other) == verdict("output", other, one)
    if verdict("input", one, other) == verdict("input", other, one) == "compatible":
        assert one is not None
        assert other is not None
        assert all((not isinstance(a, int) and not isinstance(b, int)) or a == b for a, b in zip(one, other, strict=True))
