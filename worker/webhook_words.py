"""What a webhook is told: one CloudEvent for each delivery; pure.

Its data are what the scan report of an ingestion says of `version`, `ingestion`, `verdict`, `findings` and `diff`, bounded: a
receiver takes a message of some kilobytes, and a report has megabytes. How many findings there are is told, and where all that
was left out can be read.

Laws (each has a test of the same name):
    the same delivery is told in the same words;
    a message has a bounded size.

Source: CloudEvents 1.0.2, "JSON Event Format", section 3 (structured mode).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from detectors.facts import Severity
from detectors.report import plain
from worker.delivery import Delivery
from worker.ports import Notice
from worker.records import Ingestion, ModelVersion
from worker.views import ingestion_json, timestamp, version_json

CONTENT_TYPE = "application/cloudevents+json"

TYPE_PREFIX = "modelport."

HERE = "/modelport"
"""The source of events where nobody said what this server is called."""

MOST_FINDINGS = 20
"""Findings in one message, the worst first."""

MOST_OF_A_LIST = 50
"""Tags, and whatever else a version has several of."""

MOST_CHARS = 500
"""Characters of a text that somebody else has written: a path, a note."""

MOST_CHANGES = 10
"""Changes of signatures, new findings and findings that are gone, each."""

OF_ARRIVAL = ("with", "number", "says", "signature", "signatureChanges", "findings")
"""What is told of `ModelVersion.arrival`."""

WORST_FIRST = {severity.value: place for place, severity in enumerate(Severity)}
"""A severity that newer code wrote comes first."""


def body(notice: Notice, api_url: str | None) -> str:
    """Return the event that tells *notice*, as JSON; *api_url* is where the API is reached, None where nobody said so."""
    delivery, version = notice.delivery, notice.version
    event = {
        "specversion": "1.0",
        "id": delivery.id,
        "source": HERE if api_url is None else api_url.rstrip("/"),
        "type": TYPE_PREFIX + delivery.kind.value,
        "subject": _subject(delivery),
        "time": timestamp(delivery.created),
        "datacontenttype": "application/json",
        "team": delivery.team,
        "data": {
            "version": None if version is None else _version(version),
            "ingestion": None if notice.ingestion is None else _ingestion(notice.ingestion),
            "verdict": None if version is None else version.verdict,
            **_findings(version),
            "diff": None if version is None else _difference(version),
            "reportUrl": _report_url(version, api_url),
        },
    }
    return json.dumps(plain(event), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _subject(delivery: Delivery) -> str | None:
    return delivery.version_id or delivery.ingestion_id


def _version(version: ModelVersion) -> dict[str, Any]:
    """Return *version*; whole is what a receiver finds it by: its address and its digests, which have their bounds."""
    said = version_json(version)
    return {key: value if isinstance(value, str) and key != "notes" else _bounded(value) for key, value in said.items()}


def _ingestion(ingestion: Ingestion) -> dict[str, Any]:
    """Return how *ingestion* ended, and what it was about. What changes while it goes on is left out."""
    event, said = ingestion.event, ingestion_json(ingestion)
    about = {
        "eventId": _short(event.id),
        "trigger": event.trigger.value,
        "modelPath": _short(event.model_path),
        "projectId": event.project,
        "experimentId": event.experiment,
        "format": ingestion.format,
    }
    return said | {"message": _short(ingestion.message or "")} | about


def _findings(version: ModelVersion | None) -> dict[str, Any]:
    """Return the worst findings of *version*, and how many it has."""
    found = [] if version is None else json.loads(version.report).get("findings", [])
    worst = sorted(found, key=lambda one: WORST_FIRST.get(one["severity"], 0))[:MOST_FINDINGS]
    return {"findings": _bounded(worst), "findingsCount": len(found)}


def _difference(version: ModelVersion) -> dict[str, Any] | None:
    """Return what differed when *version* came from the one before it that a caller would break by, and its findings."""
    told = version.arrival
    return None if told is None else {key: _bounded(told[key], MOST_CHANGES) for key in OF_ARRIVAL}


def _report_url(version: ModelVersion | None, api_url: str | None) -> str | None:
    return None if version is None or api_url is None else f"{api_url.rstrip('/')}/v1/versions/{version.id}/report"


def _bounded(value: Any, most: int = MOST_OF_A_LIST) -> Any:
    """Return *value* with texts of bounded length, and at most *most* entries of each list."""
    if isinstance(value, Mapping):
        return {key: _bounded(inside, most) for key, inside in value.items()}
    if isinstance(value, list):
        return [_bounded(inside, most) for inside in value[:most]]
    return _short(value) if isinstance(value, str) else value


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARS else text[: MOST_CHARS - 1] + "…"
