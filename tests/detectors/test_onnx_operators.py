"""Operators that ONNX does not define: whose they are, and what some of them do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from detectors.detection import Contents
from detectors.facts import Extraction, Finding, Severity
from detectors.onnx import DETECTOR
from detectors.onnx_operators import DOING
from detectors.rules import RULES
from detectors.tree import MemoryTree
from tests.builders import onnx as build


def extract(data: bytes) -> Extraction:
    tree = MemoryTree({"m.onnx": data})
    contents = Contents(tree, tree.files())
    (detection,) = DETECTOR.match(contents)
    return DETECTOR.extract(contents, detection)


def model_with(*nodes: bytes, more: bytes = b"") -> bytes:
    domains = ("", "corp", "com.microsoft", "com.microsoft.extensions", "pyop")
    return build.model(build.small_graph(nodes=nodes), opsets=[build.opset(17, domain) for domain in domains], more=more)


def findings(data: bytes) -> list[tuple[str, Severity, str]]:
    return [(found.rule, found.severity, found.place) for found in extract(data).findings]


def custom(data: bytes) -> list[Finding]:
    return [found for found in extract(data).findings if found.rule == "onnx-custom-operator"]


def test_operators_of_onnx_need_no_library() -> None:
    assert extract(model_with(build.node(), build.node("Relu", domain="ai.onnx"))).findings == ()


def test_operators_of_an_unknown_domain_are_named() -> None:
    (found,) = custom(
        model_with(build.node("B", domain="corp"), build.node("A", domain="corp"), build.node("A", domain="corp"))
    )
    assert (found.severity, found.place) == (Severity.LOW, "")
    assert found.message == "needs corp::A, corp::B, of a library that is not known here"


def test_of_a_known_domain_the_library_is_named() -> None:
    (found,) = custom(model_with(build.node("Gelu", domain="com.microsoft")))
    assert (found.severity, found.message) == (Severity.INFO, "needs com.microsoft::Gelu, of onnxruntime")


def test_each_domain_is_told_once() -> None:
    nodes = [build.node("Gelu", domain="com.microsoft"), *(build.node(f"Op{i:02}", domain="corp") for i in range(30))]
    unknown, known = sorted(custom(model_with(*nodes)), key=lambda found: found.severity, reverse=True)
    assert unknown.message.endswith("corp::Op19 and 10 more, of a library that is not known here")
    assert "Gelu" in known.message


def function(name: str, domain: str, *nodes: bytes) -> bytes:
    imports = build.field(9, build.opset()) + build.field(9, build.opset(1, "corp"))
    return build.field(
        25, build.field(1, name) + b"".join(build.field(7, one) for one in nodes) + imports + build.field(10, domain)
    )


def test_a_function_of_the_model_needs_no_library() -> None:
    assert findings(model_with(build.node("f", domain="corp"), more=function("f", "corp", build.node()))) == []


def inside(node: bytes) -> bytes:
    return build.node("If", [build.attribute("then_branch", g=build.small_graph(nodes=[node]))], name="choose")


PLACES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "graph": (model_with, "graph → node n"),
    "subgraph": (lambda node: model_with(inside(node)), "graph → node choose → attribute g → node n"),
    "function": (
        lambda node: model_with(build.node("f", domain="corp"), more=function("f", "corp", node)),
        "function f → node n",
    ),
    "training": (
        lambda node: model_with(build.node(), more=build.field(20, build.field(2, build.small_graph(nodes=[node])))),
        "training algorithm → node n",
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("op_type", [name.decode() for name in DOING])
@pytest.mark.parametrize("domain", ["", "pyop", "com.microsoft"])
def test_what_runs_python_or_calls_a_server_is_told_wherever_it_stands(domain: str, op_type: str, place: str) -> None:
    put, where = PLACES[place]
    rule, severity, _ = DOING[op_type.encode()]
    assert (rule, severity, where) in findings(put(build.node(op_type, domain=domain, name="n")))
    assert severity in RULES[rule].severities


def test_python_is_told_although_the_model_brings_a_function_of_that_name() -> None:
    data = model_with(build.node("PyOp", domain="corp"), more=function("PyOp", "corp", build.node()))
    assert findings(data) == [("onnx-python-operator", Severity.HIGH, "graph → node PyOp")]


def test_a_thousand_of_them_are_told_a_hundred_times() -> None:
    assert len(findings(model_with(*[build.node("PyOp", domain="pyop")] * 1000))) == 101


def test_a_hundred_small_ones_hide_no_large_one() -> None:
    nodes = [build.node("EPContext", domain="com.microsoft")] * 200 + [build.node("PyOp", domain="pyop")]
    assert findings(model_with(*nodes))[0] == ("onnx-python-operator", Severity.HIGH, "graph → node PyOp")


def context(embed_mode: int | None, name: str) -> bytes:
    mode = [] if embed_mode is None else [build.field(1, "embed_mode") + build.number(3, embed_mode)]
    return build.node("EPContext", [*mode, build.field(1, "ep_cache_context") + build.field(4, name)], "com.microsoft", "n")


@pytest.mark.parametrize("window", [1 << 20, -1])
@pytest.mark.parametrize(
    ("embed_mode", "name", "leads_outside"),
    [(0, "../engine.bin", True), (0, "/engine.bin", True), (0, "engine.bin", False), (1, "../x", False), (None, "../x", False)],
)
def test_a_program_that_is_named_outside_is_a_finding(
    embed_mode: int | None, name: str, leads_outside: bool, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detectors.wire.WHOLE_MESSAGE_BYTES", window)
    found = findings(model_with(context(embed_mode, name)))
    assert (("onnx-external-data-outside", Severity.HIGH, "graph → node n") in found) is leads_outside
    assert ("onnx-precompiled-operator", Severity.MEDIUM, "graph → node n") in found
