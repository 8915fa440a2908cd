"""The scan report `modelport.scan/1`: records as plain JSON values.

In goes a `Scan`, out comes a dict that any JSON writer takes: no NaN, no infinity, no lone surrogate, no bytes. What a model
says of itself is cut to `wire.MAX_SHOWN` characters a text; paths, metrics and metadata are told in full.
docs/reference/scan-report.md names every key. How it looks to a person is left to the doors.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from detectors.facts import (
    Extraction,
    Finding,
    Metadata,
    Metric,
    Metrics,
    ModelFacts,
    Signature,
    TensorSpec,
)
from detectors.rules import advice_on
from detectors.scan import Model, Scan
from detectors.tree import readable
from detectors.wire import shown

SCHEMA = "modelport.scan/1"
"""The name of this shape; a change that would break a reader changes it."""

MAX_INTEGER = 2**63 - 1
"""Integers beyond 64 bits are written as strings: most JSON readers cannot hold them."""

MAX_INTEGER_BITS = 1024
"""Bits of an integer whose digits are written; writing them takes time that grows with the square. A float ends there too."""

MAX_METADATA_CHARACTERS = 4 << 20
"""Characters that the custom metadata may take in an indented report; a larger value is told by size and digest."""


def scan_report(scan: Scan, path: str) -> dict[str, Any]:
    """Return the report of *scan* about *path*, in the order in which a person wants to read it."""
    return {
        "schema": SCHEMA,
        "path": readable(path),
        "verdict": scan.verdict.value,
        "models": [_model(model) for model in scan.models],
        "metrics": _metrics(scan.metrics),
        "metadata": _metadata(scan.metadata),
        "findings": [_finding(finding) for finding in scan.findings],
        "coverage": {
            "scanned": scan.coverage.scanned,
            "skipped": [_plain(asdict(note)) for note in scan.coverage.skipped],
            "inconclusive": [_plain(asdict(note)) for note in scan.coverage.inconclusive],
        },
        "read": {"files": scan.read.files, "bytes": scan.read.bytes, "seconds": round(scan.read.seconds, 6)},
    }


def to_json(report: Mapping[str, Any], indent: int | None = 2) -> str:
    """Return *report* as JSON text in ASCII, which every terminal, database and log takes."""
    return json.dumps(report, indent=indent, ensure_ascii=True, allow_nan=False)


def plain(value: Any) -> Any:
    """Return *value* with what JSON readers stumble over made safe.

    NaN and infinities become "NaN", "Infinity", "-Infinity"; integers beyond 64 bits and bytes become strings, those beyond
    `MAX_INTEGER_BITS` without their digits; a lone surrogate in a string is backslash-escaped.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INTEGER:
        return _digits(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return value


def _digits(value: int) -> str:
    bits = value.bit_length()
    if bits <= MAX_INTEGER_BITS:
        return str(value)
    return f"-2**{bits - 1} or less" if value < 0 else f"2**{bits - 1} or more"


def _cut(value: Any) -> Any:
    """Return *value*, plain already, with every string in it cut to what `shown` allows, keys included."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {shown(key): _cut(item) for key, item in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list) else value


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return *record* with its texts cut; a path is told in full."""
    whole = {"path": readable(record["path"])} if "path" in record else {}
    return {key: whole.get(key) or _cut(plain(value)) for key, value in record.items()}


def _model(model: Model) -> dict[str, Any]:
    extraction: Extraction = model.extraction
    return {
        "root": readable(model.detection.root),
        "primary": model.primary,
        "format": model.detection.format,
        "modelType": model.detection.model_type.value,
        "evidence": [_plain(asdict(evidence)) for evidence in model.detection.evidence],
        "completeness": {
            "state": extraction.completeness.state.value,
            "problems": [_plain(asdict(problem)) for problem in extraction.completeness.problems],
        },
        "facts": _cut(_facts(extraction.facts)),
    }


def _facts(facts: ModelFacts) -> dict[str, Any]:
    return {
        "signatures": [_signature(signature) for signature in facts.signatures],
        "parameters": plain(asdict(facts.parameters)),
        "size_bytes": facts.size_bytes,
        "framework": plain(asdict(facts.framework)) if facts.framework else None,
        "producer": plain(facts.producer),
        "style": facts.style,
        "tags": plain(facts.tags),
        "opset_imports": plain(facts.opset_imports),
        "operators": plain(dict(sorted(facts.operators.items()))),
        "custom_operators": plain(facts.custom_operators),
        "dtypes": plain(dict(sorted(facts.dtypes.items()))),
        "fingerprint": plain(facts.fingerprint),
        "created": facts.created,
        "details": plain(facts.details),
    }


def _signature(signature: Signature) -> dict[str, Any]:
    return {
        "name": plain(signature.name),
        "method": plain(signature.method),
        "inputs": [_tensor(tensor) for tensor in signature.inputs],
        "outputs": [_tensor(tensor) for tensor in signature.outputs],
    }


def _tensor(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": plain(tensor.name), "dtype": tensor.dtype, "shape": plain(tensor.shape)}


def _metrics(metrics: Metrics) -> dict[str, Any]:
    return {
        "summary": plain(metrics.summary),
        "detail": plain(metrics.detail),
        "values": [_metric(metric) for metric in metrics.values],
    }


def _metric(metric: Metric) -> dict[str, Any]:
    value = {"name": plain(metric.name), "value": plain(metric.value), "step": plain(metric.step)}
    return value | {"session": readable(metric.session), "source": readable(metric.source)}


def _metadata(metadata: Metadata) -> dict[str, Any]:
    source = None if metadata.source is None else readable(metadata.source)
    value, why = plain(metadata.value), plain(metadata.why)
    if metadata.raw is not None and not _fits(value):
        value, why = None, f"{why}; not shown: {len(metadata.raw)} bytes, sha256 {hashlib.sha256(metadata.raw).hexdigest()}"
    return {"value": value, "source": source, "used": metadata.used, "why": why}


def _fits(value: Any) -> bool:
    """Tell whether *value* takes at most `MAX_METADATA_CHARACTERS`; indentation multiplies what is deep. Stops at the limit."""
    left = MAX_METADATA_CHARACTERS
    for piece in json.JSONEncoder(indent=2).iterencode(value):
        left -= len(piece)
        if left < 0:
            return False
    return True


def _finding(finding: Finding) -> dict[str, Any]:
    return _plain(asdict(finding)) | {"severity": finding.severity.value, "advice": advice_on(finding.rule)}
