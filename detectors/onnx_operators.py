"""What the operators of an ONNX model need or do that ONNX itself does not define.

In go a parsed lean `ModelProto` and its inventory; out come findings. A custom operator is code of a library that
whoever runs the model has to have; a few of them run Python, call a server, or hand a program to a driver. These are told with
the node they stand at, wherever it is, training graphs included; and also where the model brings a function of the same name,
because a runtime may prefer its own.

Source: onnxruntime 1.31, docs/ContribOperators.md, onnxruntime/core/language_interop_ops, orttraining/core/graph
(training_op_defs.cc) and docs of execution providers (EPContext, Azure); onnxruntime-extensions 0.14, docs/custom_ops.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

from google.protobuf.unknown_fields import UnknownFieldSet

from detectors.facts import Finding, Severity, worst_of
from detectors.onnx_inventory import Inventory, Noted, Operator, functions_of, operator_name
from detectors.onnx_names import why_outside
from detectors.protos import onnx_pb2
from detectors.tree import readable

OWN_DOMAINS = frozenset({b"", b"ai.onnx.ml", b"ai.onnx.preview", b"ai.onnx.training", b"ai.onnx.preview.training"})
"""Domains that ONNX itself defines; the default one, `ai.onnx`, is b"" here."""

LIBRARIES = {
    b"com.microsoft": "onnxruntime",
    b"com.microsoft.nchwc": "onnxruntime, which wrote the model after optimising it for one machine",
    b"com.ms.internal.nhwc": "onnxruntime, which wrote the model after optimising it for one machine",
    b"com.microsoft.dml": "onnxruntime with DirectML",
    b"com.microsoft.mlfeaturizers": "onnxruntime with featurizers, of releases up to 1.8",
    b"com.microsoft.experimental": "onnxruntime",
    b"com.microsoft.extensions": "onnxruntime-extensions",
    b"ai.onnx.contrib": "onnxruntime-extensions",
    b"org.pytorch.aten": "PyTorch and onnxruntime-training",
    b"mmdeploy": "MMDeploy",
    b"mmcv": "MMCV",
    b"trt.plugins": "TensorRT",
}
"""Which library defines the operators of a domain."""


MAX_TOLD = 100
"""Nodes that do something beyond computing, of one model."""


class Doing(NamedTuple):
    """What operators do beyond computing: the rule and severity of the finding, and words that say it."""

    rule: str
    severity: Severity
    what: str


PYTHON = Doing("onnx-python-operator", Severity.HIGH, "runs Python that it names")
NETWORK = Doing("onnx-network-operator", Severity.MEDIUM, "sends its inputs to a server that the model or its caller names")
PROGRAM = Doing("onnx-precompiled-operator", Severity.MEDIUM, "hands a program compiled for one device to a driver")

DOING = {
    b"PyOp": PYTHON,
    b"PythonOp": PYTHON,
    b"PythonOpGrad": PYTHON,
    b"AzureAudioToText": NETWORK,
    b"AzureTextToText": NETWORK,
    b"AzureTritonInvoker": NETWORK,
    b"OpenAIAudioToText": NETWORK,
    b"EPContext": PROGRAM,
}
"""Operators by type, in whatever domain: ONNX has none of these, and PyOp may be registered under any."""

WATCHED = frozenset(DOING)

NAME, INTEGER, STRING = 1, 3, 4
"""Fields of an AttributeProto: name, i and s."""

MAX_DOMAINS = 100
MAX_SHOWN = 20
MAX_NAME = 200
"""How much is told: domains, operators of one domain, and characters of each."""


def custom_operators(model: onnx_pb2.ModelProto, operators: Iterable[Operator]) -> list[Operator]:
    """Return those of *operators* that neither ONNX defines nor the model itself, sorted."""
    functions = functions_of(model)
    return sorted(key for key in operators if key[0] not in OWN_DOMAINS and key not in functions)


def findings(path: str, model: onnx_pb2.ModelProto, inventory: Inventory) -> Iterator[Finding]:
    """Yield what is to be said of the operators of the *model*, of those of its training graphs too.

    *inventory* was taken with an eye on the nodes that are `WATCHED`. Of what these do the worst `MAX_TOLD` are told.
    """
    yield from worst_of((found for noted in inventory.noted for found in _doing(path, noted)), MAX_TOLD)
    foreign = custom_operators(model, {*inventory.operators, *inventory.training})
    for domain, needed in islice(groupby(foreign, key=itemgetter(0)), MAX_DOMAINS):
        yield _library(path, domain, list(needed))


def _doing(path: str, noted: Noted) -> Iterator[Finding]:
    """Yield what one watched node does besides computing."""
    place, operator, node = noted
    rule, severity, what = DOING[operator[1]]
    yield Finding(rule, severity, path, str(place), f"{operator_name(operator)[:MAX_NAME]} {what}")
    program = _program_file(node) if operator[1] == b"EPContext" else None
    outside = None if program is None else why_outside(program)
    if program is not None and outside is not None:
        message = f"names a program {readable(program)[:MAX_NAME]!r}: {outside}; it was not opened"
        yield Finding("onnx-external-data-outside", Severity.HIGH, path, str(place), message)


def _library(path: str, domain: bytes, needed: list[Operator]) -> Finding:
    """Return the finding that a library has to bring the operators *needed* of one domain."""
    library = LIBRARIES.get(domain)
    names = ", ".join(operator_name(operator)[:MAX_NAME] for operator in needed[:MAX_SHOWN])
    more = f" and {len(needed) - MAX_SHOWN} more" if len(needed) > MAX_SHOWN else ""
    source = f"of {library}" if library else "of a library that is not known here"
    severity = Severity.LOW if library is None else Severity.INFO
    return Finding("onnx-custom-operator", severity, path, "", f"needs {names}{more}, {source}")


def _program_file(node: onnx_pb2.NodeProto) -> str | None:
    """Return the file that an EPContext node names, None where it holds the program itself, as it does unless it says so."""
    said = {attribute.get(NAME): attribute for attribute in map(_plain_fields, node.attribute)}
    is_embedded = said.get(b"embed_mode", {}).get(INTEGER, 1)
    name = said.get(b"ep_cache_context", {}).get(STRING)
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) and not is_embedded else None


def _plain_fields(attribute: onnx_pb2.AttributeProto) -> dict[int, bytes | int]:
    """Return the fields of *attribute* that the lean message does not have, by number; of several the last."""
    fields = UnknownFieldSet(attribute)
    return {fields[index].field_number: fields[index].data for index in range(len(fields))}
