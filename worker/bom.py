"""A version as a bill of materials: CycloneDX 1.6, whose models have a card. Pure.

In go a version with its report, and its files; out comes plain JSON. What the standard has a field for stands there: inputs
and outputs, metrics, digests of files, what wrote the model. The rest is properties named `modelport:…`, which are listed in
docs/reference/bom.md. Where the files are kept and what people noted is left out: a bill goes along with the model, to others.
The library of CycloneDX has no card for models, so the document is built here, and its schema holds the tests to it.

Laws (each has a test of the same name):
    every file is in the bill with its digest;
    whatever a report says, the bill follows the schema;
    the same version has the same bill.

Source: CycloneDX 1.6 (ECMA-424), bom-1.6.schema.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from worker.manifest import file_json
from worker.records import FileDigest, ModelVersion
from worker.views import timestamp
from worker.wholeness import Wholeness, wholeness

HEAD = {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6"}

SERIALS = UUID("5d1a7d6e-1a39-5f6c-9b63-0d3f6a7c52e4")
"""The name space of our serial numbers, taken by lot. Each is made of what the bill says, so another bill has another."""

PACKAGES = {"tensorflow": "tensorflow", "keras": "keras", "pytorch": "torch", "transformers": "transformers"}
"""Packages of PyPI in which frameworks come, for who looks up what is known against a version of one."""

MAX_VERSION_CHARACTERS = 1024
"""Length of the version of a component. Source: the schema, `version`."""

AGGREGATES = {"complete": "complete", "incomplete": "incomplete", "corrupt": "incomplete"}
"""Whether all parts are listed, in the words of the standard."""

Json = dict[str, Any]
Fields = Mapping[str, Any]


def bill_of_materials(version: ModelVersion, files: Iterable[FileDigest], program: str) -> Json:
    """Return what *version* is made of. *program* is the version of ours.

    The component that the document is about is the version, with the card of its primary model; other models of the run stand
    below it, and so do the files.
    """
    report = json.loads(version.report)
    models = report.get("models") or []
    card: Fields = next((model for model in models if model.get("primary")), {})
    below = [(_other(place, model), model) for place, model in enumerate(models) if model is not card]
    component = {
        "type": "machine-learning-model",
        "bom-ref": version.id,
        "name": version.model_name,
        "version": str(version.number),
        "tags": list(version.tags),
        "components": [*(one for one, _ in below), *(_file(place, file) for place, file in enumerate(files))],
        "modelCard": _card(card.get("facts") or {}, report.get("metrics") or {}),
        "properties": _properties([*_of_version(version), *_of_findings(report), *_of_model(card)]),
    }
    content = {
        "metadata": {
            "timestamp": timestamp(version.created),
            "tools": {"components": [{"type": "application", "name": "modelport", "version": program}]},
            "component": component,
        },
        "components": _frameworks(models),
        "dependencies": [_dependency(version.id, card), *(_dependency(one["bom-ref"], model) for one, model in below)],
        "compositions": [{"aggregate": _aggregate(version, report), "assemblies": [version.id]}],
    }
    serial = f"urn:uuid:{uuid5(SERIALS, json.dumps(content, sort_keys=True))}"
    return HEAD | {"serialNumber": serial, "version": 1} | content


def _aggregate(version: ModelVersion, report: Fields) -> str:
    is_unread = version.verdict == "inconclusive" or Wholeness.AS_FAR_AS_READ in wholeness(report)
    is_whole = version.completeness == "complete"
    return "unknown" if is_unread and is_whole else AGGREGATES.get(version.completeness, "unknown")


def _file(place: int, file: FileDigest) -> Json:
    told = file_json(file)
    return {
        "type": "file",
        "bom-ref": f"file:{place}",
        "name": told["path"],
        "hashes": [{"alg": "SHA-256", "content": told["sha256"]}],
        "properties": [{"name": "modelport:size-bytes", "value": str(told["size"])}],
    }


def _other(place: int, model: Fields) -> Json:
    """Return a model of the run that is not the primary one."""
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{place}",
        "name": str(model.get("root") or model.get("format")),
        "modelCard": _card(model.get("facts") or {}, {}),
        "properties": _properties(_of_model(model)),
    }


def _card(facts: Fields, metrics: Fields) -> Json:
    """Return the card of a model: what goes in and comes out, and, where they are of this model, the last values of metrics."""
    signatures = facts.get("signatures") or []
    values = metrics.get("values") or []
    card: Json = {
        "modelParameters": {side: list(_tensors(signatures, side)) for side in ("inputs", "outputs")},
    }
    if values:
        card["quantitativeAnalysis"] = {"performanceMetrics": [_metric(value) for value in values]}
    return card


def _tensors(signatures: Sequence[Fields], side: str) -> Iterator[Json]:
    """Yield each tensor of that *side* in words; the standard knows no more of one. Several signatures go by their names."""
    for signature in signatures:
        prefix = f"{signature.get('name')}/" if len(signatures) > 1 else ""
        for tensor in signature.get(side) or ():
            yield {"format": f"{prefix}{_words(tensor)}"}


def _words(tensor: Fields) -> str:
    """Return a tensor as the command line shows it: `x: float32[?, 1024]`, `[…]` for an unknown rank."""
    sizes = tensor.get("shape")
    axes = "…" if sizes is None else ", ".join("?" if size is None else str(size) for size in sizes)
    return f"{tensor.get('name')}: {tensor.get('dtype')}[{axes}]"


def _metric(value: Fields) -> Json:
    fields = (("type", value.get("name")), ("value", value.get("value")), ("slice", value.get("session")))
    return {key: _text(told) for key, told in fields if told is not None}


def _frameworks(models: Iterable[Fields]) -> list[Json]:
    """Return the components that wrote the models, each once."""
    found = (framework for framework in map(_framework_of, models) if framework is not None)
    return list({framework["bom-ref"]: framework for framework in found}.values())


def _framework_of(model: Fields) -> Json | None:
    told = (model.get("facts") or {}).get("framework")
    if not told:
        return None
    name, version = _text(told.get("name")), _text(told.get("version") or "")[:MAX_VERSION_CHARACTERS]
    component = {"type": "framework", "bom-ref": f"framework:{name}@{version}", "name": name}
    if name in PACKAGES:
        component["purl"] = f"pkg:pypi/{PACKAGES[name]}" + (f"@{quote(version, safe='')}" if version else "")
    return component | ({"version": version} if version else {})


def _dependency(reference: str, model: Fields) -> Json:
    """Return what the component called so was written with. Of what frameworks need in turn nothing is known."""
    framework = _framework_of(model)
    return {"ref": reference, "dependsOn": [] if framework is None else [framework["bom-ref"]]}


def _of_version(version: ModelVersion) -> Iterator[tuple[str, Any]]:
    yield "digest", version.digest
    yield "oms-digest", version.oms_digest
    yield "model-type", version.model_type.value
    yield "project", version.project
    yield "experiment", version.experiment
    yield "size-bytes", version.size_bytes
    yield "completeness", version.completeness
    yield "verdict", version.verdict
    yield "rules-version", version.rules_version or None


def _of_findings(report: Fields) -> Iterator[tuple[str, Any]]:
    for one in report.get("findings") or ():
        yield "finding", f"{one.get('severity')} {one.get('rule')} {one.get('path')}"


def _of_model(model: Fields) -> Iterator[tuple[str, Any]]:
    """Yield what is known of a model and has no field in the standard."""
    facts = model.get("facts") or {}
    yield "root", model.get("root")
    yield "format", model.get("format")
    yield "state", (model.get("completeness") or {}).get("state")
    for name in ("style", "producer", "fingerprint", "created"):
        yield name, facts.get(name)
    for count, number in (facts.get("parameters") or {}).items():
        yield f"parameters:{count}", number
    for group, name in (("operators", "operator"), ("opset_imports", "opset"), ("dtypes", "dtype")):
        for key, number in (facts.get(group) or {}).items():
            yield f"{name}:{key}", number
    for operator in facts.get("custom_operators") or ():
        yield "custom-operator", operator


def _properties(pairs: Iterable[tuple[str, Any]]) -> list[Json]:
    """Return *pairs* as properties; None is what is not known, and left out."""
    return [{"name": f"modelport:{name}", "value": _text(value)} for name, value in pairs if value is not None]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
