"""What the page of one version shows: all that is known of it, put in the order and the words in which a person reads it.

In go the records of the registry and the time, out come plain values for `model.html`. Nothing is read here. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from detectors.tree import readable
from worker.api.web import gated, held, kept, loaded, pictures, wording
from worker.api.web.format import software
from worker.api.web.reported import Reported, curves, headlines, reported
from worker.api.web.snippets import snippets
from worker.records import FileDigest, Ingestion, ModelVersion, StoreMode, Trigger
from worker.verification import Verified

MOST_CHARTS = 6
MOST_METRICS = 100
MOST_OPERATORS = 11
MOST_OTHERS = 20
MOST_FILES = 200
MOST_VERSIONS = 8
"""Rows that a page shows of each; how many more there are is told, and the scan report has them."""

MOST_SPARKS = 30
"""Versions that a small picture goes over, the newest."""

MOST_SUMMARY_ROWS, MOST_SUMMARY_CHARACTERS = 50, 500
"""Rows of a summary that people gave, and how much of each is shown."""

MOST_SIGNATURES = 50
MOST_FINDINGS = 200
"""Findings that a page shows; and, together, what is missing and what could not be read."""

STORED = {StoreMode.COPY: "copied into the store", StoreMode.REFERENCE: "referenced where it lies"}


@dataclass(frozen=True, slots=True)
class Known:
    """All that is known of a *version*: how its *project* is called, its report, its files, the *versions* of its model,
    newest first, itself among them; how many there are; what became of its leading metric in them, the oldest first; the
    ingestion that registered it, None where there is none any more; the one that it is equal to, and the one that it was
    compared with when it came, None where there is none, or it is gone; what its last load check came to, None before one.
    """

    version: ModelVersion
    project: str
    report: Mapping[str, Any]
    files: Sequence[FileDigest]
    versions: Sequence[ModelVersion]
    version_count: int
    course: Sequence[float | None]
    origin: Ingestion | None
    twin: ModelVersion | None
    before: ModelVersion | None = None
    verified: Verified | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart with its heading."""

    name: str
    svg: Markup


def context(known: Known, now: datetime) -> dict[str, Any]:
    """Return what the template shows."""
    report, version = known.report, known.version
    states = loaded.states(known.verified, wording.states(report))
    use = loaded.use(known.verified, wording.use(report))
    told = kept.context(version, now, gated.states(version, states), gated.use(version, use))
    primary = primary_of(report)
    facts: Mapping[str, Any] = (primary or {}).get("facts") or {}
    return {
        "version": version,
        "project": known.project,
        "primary": primary,
        "here": f"/versions/{version.id}",
        "now": now,
        "wording": wording,
        "parameters": facts.get("parameters") or {},
        "framework": framework(facts),
        "snippets": [] if dangers(report) or version.is_quarantined else snippets(version, primary),
        "held": held.context(version, now),
        "is_asked_first": version.is_quarantined or bool(dangers(report)),
        "notes_text": wording.in_lines(version.notes) if version.notes else None,
        **first_of("signatures", [wording.signature(one) for one in facts.get("signatures") or ()], MOST_SIGNATURES),
        **first_of(
            "others",
            [one for one in zip(report["models"], wording.completeness(report), strict=True) if one[0] is not primary],
            MOST_OTHERS,
        ),
        **operators(facts),
        **dtypes(facts),
        **said(version.said_summary),
        **_numbers(known),
        **_scanned(report),
        **_files(known),
        **_history(known, now),
        **gated.context(version, known.before),
        **loaded.context(known.verified, report, now),
        **told,
        **held.first(version, told["states"], told["use"]),
    }


def first_of(name: str, found: Sequence[Any], most: int) -> dict[str, Any]:
    """Return the first of *found* under *name*, and how many others there are under the same name with `_more`."""
    return {name: found[:most], f"{name}_more": max(0, len(found) - most)}


def _numbers(known: Known) -> dict[str, Any]:
    """Return what the run reported, and what became of the first of it across the versions of the model."""
    rows = reported(known.report.get("metrics") or {})
    leading = headlines(rows)
    return {
        "headlines": leading,
        "charts": charts(known.report),
        "chart_keys": chart_keys(known.report),
        "spark": spark(known, leading),
        "spark_name": leading[0].name if leading else "",
        **first_of("rows", rows, MOST_METRICS),
    }


def _scanned(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the scan found, and how much it looked at; what is missing stands before what could not be read."""
    problems = [(model, one) for model in report["models"] for one in model["completeness"]["problems"]]
    unread = report["coverage"]["inconclusive"]
    left = max(0, MOST_FINDINGS - len(problems))
    return {
        "is_trouble": wording.is_trouble(report),
        "dangers": held.explained(dangers(report)),
        "problems": problems[:MOST_FINDINGS],
        "unread": unread[:left],
        "incomplete_more": max(0, len(problems) + len(unread) - MOST_FINDINGS),
        "coverage": report["coverage"],
        "read": report["read"],
        "metadata": report["metadata"],
        "metadata_text": metadata_text(report["metadata"]["value"]),
        **first_of("findings", held.explained(report["findings"][:MOST_FINDINGS]), MOST_FINDINGS),
        "findings_more": max(0, len(report["findings"]) - MOST_FINDINGS),
    }


def _files(known: Known) -> dict[str, Any]:
    """Return the files by path, and how they are kept."""
    return {
        "file_count": len(known.files),
        "stored": STORED[known.version.store],
        **first_of("files", [(readable(file.path), file.size, file.sha256) for file in known.files], MOST_FILES),
    }


def _history(known: Known, now: datetime) -> dict[str, Any]:
    """Return where the version came from, and how it stands among those of its model."""
    version, origin = known.version, known.origin
    return {
        "is_latest": bool(known.versions) and version.number >= max(one.number for one in known.versions),
        "place": place(known),
        "previous": next((one for one in known.versions if one.number < version.number), None),
        "versions": _with_metric(known),
        "version_count": known.version_count,
        "versions_more": max(0, known.version_count - MOST_VERSIONS),
        "lineage": wording.lineage(version.created, version.experiment, origin, now),
        "origin": origin,
        "has_path": origin is None or origin.event.trigger is not Trigger.UPLOAD,
        "trigger": None if origin is None else wording.trigger(origin),
        "twin": known.twin,
    }


def said(summary: Any) -> dict[str, Any]:
    """Return a summary that people gave as rows of name and value where it is an object, otherwise as text; none for None."""
    rows = list(summary.items()) if isinstance(summary, Mapping) else []
    return {
        "summary_rows": [(wording.clean(name), _compact(value)) for name, value in rows[:MOST_SUMMARY_ROWS]],
        "summary_more": max(0, len(rows) - MOST_SUMMARY_ROWS),
        "summary_text": None if rows or summary is None else _compact(summary),
    }


def _compact(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return wording.clean(text[:MOST_SUMMARY_CHARACTERS] + ("…" if len(text) > MOST_SUMMARY_CHARACTERS else ""))


def whole(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return *report* with what it lacks: one that an older release wrote may not say everything."""
    found = {**LACKING, **report}
    for name in ("metrics", "metadata", "coverage"):
        found[name] = {**LACKING[name], **found[name]}
    found["models"] = [{**LACKING_MODEL, **model} for model in found["models"]]
    for model in found["models"]:
        model["completeness"] = {**LACKING_MODEL["completeness"], **model["completeness"]}
        model["facts"] = {**LACKING_MODEL["facts"], **(model["facts"] or {})}
    return found


LACKING: Mapping[str, Any] = {
    "models": [],
    "metrics": {"summary": {}, "detail": [], "values": []},
    "metadata": {"value": None, "source": None, "used": False, "why": "not looked for"},
    "findings": [],
    "coverage": {"scanned": 0, "skipped": [], "inconclusive": []},
    "read": None,
}
LACKING_MODEL: Mapping[str, Any] = {
    "root": "",
    "primary": False,
    "format": "custom",
    "completeness": {"state": "complete", "problems": []},
    "facts": {"size_bytes": None},
}


def primary_of(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the model that speaks for a version, None where there is none."""
    found: Mapping[str, Any] | None = next((model for model in report["models"] if model.get("primary")), None)
    return found


def dangers(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the findings for which a person is asked before anything is downloaded."""
    return [one for one in report["findings"] if one["severity"] in ("critical", "high")]


def place(known: Known) -> str:
    """Return which of its model's versions one is, in words."""
    if known.version_count <= 1:
        return "Only version."
    newest = max((one.number for one in known.versions), default=known.version.number)
    if known.version.number >= newest:
        return f"Newest of {known.version_count:,}."
    return f"Not the newest: there is v{newest}."


def framework(facts: Mapping[str, Any]) -> str:
    """Return who wrote a model and in which style: `TensorFlow 2.15.1, graph style`; empty where nothing says so."""
    written = facts.get("framework") or {}
    parts = [f"{software(written['name'])} {written['version'] or ''}".strip()] if written else []
    producer = facts.get("producer")
    if producer and producer.casefold() != (parts[0].casefold() if parts else ""):
        parts.append(producer)
    if facts.get("style"):
        parts.append(f"{facts['style'].replace('_', ' ')} style")
    if facts.get("opset_imports"):
        parts.append(
            ", ".join(
                f"opset {one}" if name in ("", "ai.onnx") else f"{name} {one}" for name, one in facts["opset_imports"].items()
            )
        )
    return wording.clean(", ".join(parts))


def charts(report: Mapping[str, Any]) -> list[Picture]:
    """Return a chart for each metric whose steps are told, the telling ones first."""
    found = curves(report.get("metrics") or {})
    return [
        Picture(wording.clean(name), pictures.curves(f"{name} by step", series, f"m{at}"))
        for at, (name, series) in enumerate(list(found.items())[:MOST_CHARTS])
    ]


def chart_keys(report: Mapping[str, Any]) -> list[tuple[Markup, str]]:
    """Return which line is which session, where the charts show any: the first one is drawn through, the others are dashed."""
    found = list(curves(report.get("metrics") or {}).values())[:MOST_CHARTS]
    first = dict.fromkeys(series[0].name for series in found)
    others = dict.fromkeys(curve.name for series in found for curve in series[1:])
    keys = [*((True, name) for name in first), *((False, name) for name in others if name not in first)]
    return [(pictures.swatch(is_first), wording.clean(name) or "the run") for is_first, name in keys]


MOST_METADATA_CHARACTERS = 20_000


def metadata_text(value: Any) -> Markup | None:
    """Return custom metadata as a person reads it, no more than fits a page; None where there are none to show."""
    if value is None:
        return None
    text = json.dumps(value, indent=2, ensure_ascii=False)
    more = "\n…" if len(text) > MOST_METADATA_CHARACTERS else ""
    return wording.in_lines(text[:MOST_METADATA_CHARACTERS] + more)


def operators(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the most frequent operators as (name, count, bar), how many types and nodes there are, and the rest."""
    counts = sorted((facts.get("operators") or {}).items(), key=lambda one: (-one[1], one[0]))
    shown, rest = counts[:MOST_OPERATORS], counts[MOST_OPERATORS:]
    most = counts[0][1] if counts else 1
    return {
        "operators": [(name, count, pictures.bar(count / most)) for name, count in shown],
        "operator_types": len(counts),
        "operator_nodes": sum(count for _, count in counts),
        "operators_rest": rest,
        "operators_rest_nodes": sum(count for _, count in rest),
        "custom_operators": facts.get("custom_operators") or [],
    }


def dtypes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many stored tensors are of which dtype, as a bar and as (key, name, count, share)."""
    counts = sorted((facts.get("dtypes") or {}).items(), key=lambda one: (-one[1], one[0]))
    total = sum(count for _, count in counts)
    rows = [(pictures.key(at), name, count, pictures.percent(count, total)) for at, (name, count) in enumerate(counts, 1)]
    return {"dtypes": rows, "dtype_bar": pictures.parts(counts), "tensors": total}


def spark(known: Known, leading: Sequence[Reported]) -> Markup | None:
    """Return how the first of the leading metrics went over the versions of the model, None where there is nothing to show."""
    if not leading or known.version_count < 2:
        return None
    return pictures.sparkline(leading[0].name, known.course)


def _with_metric(known: Known) -> list[tuple[ModelVersion, float | None]]:
    """Return the newest versions, each with its value of the metric."""
    values = [*reversed(known.course), *[None] * len(known.versions)]
    return list(zip(known.versions, values, strict=False))[:MOST_VERSIONS]
