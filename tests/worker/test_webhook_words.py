"""What a webhook is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat

from detectors.facts import Finding, Severity
from tests.contracts.outbox import told_of
from tests.contracts.registry import LATER, claimed, failed, new_version
from worker.deliver import Deliverer
from worker.delivery import DeliveryKind
from worker.ports import Notice
from worker.records import Held
from worker.registry.memory import MemoryRegistry
from worker.webhook_words import CONTENT_TYPE, MOST_CHANGES, MOST_CHARS, MOST_FINDINGS, body

API = "https://models.example.org/"


def report(*findings: Finding) -> str:
    said = [
        {"rule": one.rule, "severity": one.severity.value, "path": one.path, "place": one.place, "message": one.message}
        for one in findings
    ]
    return json.dumps({"schema": "modelport.scan/1", "verdict": "findings", "findings": said})


def finding(severity: Severity, text: str = "w") -> Finding:
    return Finding("onnx-external-data", severity, text, text, text)


def notices(*findings: Finding, **event: Any) -> list[Notice]:
    """Return what is told when a version with these *findings* is registered, and when an ingestion fails."""
    registry, told = MemoryRegistry(destinations={"webhook": frozenset(DeliveryKind)}), list[Notice]()
    ingestion = claimed(registry, **event)
    registry.register(ingestion.id, "me", new_version(ingestion, findings=findings, report=report(*findings)), LATER)
    lost = claimed(registry, "run-2", **event)
    registry.finish(lost.id, "me", failed(), LATER)
    deliverer = Deliverer(registry, {}, None, "me")  # type: ignore[arg-type]
    for delivery in told_of(registry):
        told.append(deliverer._notice(delivery))
    return told


def data(notice: Notice, api_url: str | None = API) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(body(notice, api_url))["data"]
    return said


def test_the_library_of_cloudevents_reads_it() -> None:
    for notice in notices(finding(Severity.HIGH)):
        message = HTTPMessage({"content-type": CONTENT_TYPE}, body(notice, API).encode())
        event = from_http_event(message, JSONFormat())
        assert (event.get_specversion(), event.get_id(), event.get_source()) == ("1.0", notice.delivery.id, API.rstrip("/"))
        assert event.get_type() == f"modelport.{notice.delivery.kind.value}"
        assert event.get_subject() == (notice.delivery.version_id or notice.delivery.ingestion_id)
        assert event.get_time() == LATER.replace(microsecond=123000)
        assert event.get_datacontenttype() == "application/json"
        assert event.get_extension("team") == "default"
        assert set(event.get_data()) == {"version", "ingestion", "verdict", "findings", "findingsCount", "diff", "reportUrl"}


def test_of_a_version_in_quarantine_it_says_so_and_why() -> None:
    registered, *_ = notices(finding(Severity.HIGH))
    assert registered.version is not None
    held = replace(registered, version=replace(registered.version, held=Held(LATER, "1 high finding", ())))
    said = data(held)["version"]
    assert (said["quarantined"], said["quarantine"]["why"]) == (True, "1 high finding")
    assert (data(registered)["version"]["quarantined"], data(registered)["version"]["quarantine"]) == (False, None)


def test_of_a_version_it_says_what_the_report_says() -> None:
    registered, raised, _ = notices(finding(Severity.MEDIUM), finding(Severity.CRITICAL, "v"))
    said = data(registered)
    assert registered.version is not None
    assert registered.ingestion is not None
    assert (said["version"]["id"], said["version"]["digest"], said["verdict"]) == (registered.version.id, "d1", "clean")
    assert (said["ingestion"]["id"], said["ingestion"]["state"]) == (registered.ingestion.id, "registered")
    assert (said["ingestion"]["answer"], said["ingestion"]["experimentId"]) == ("created", "mnist")
    assert said["findingsCount"] == 2
    assert said["findings"][0] == {
        "rule": "onnx-external-data",
        "severity": "critical",
        "path": "v",
        "place": "v",
        "message": "v",
    }
    assert said["reportUrl"] == f"https://models.example.org/v1/versions/{registered.version.id}/report"
    assert data(raised) == said
    assert data(registered, None)["reportUrl"] is None
    assert json.loads(body(registered, None))["source"] == "/modelport"


def test_a_severity_of_newer_code_is_among_the_worst() -> None:
    registered = notices(finding(Severity.HIGH))[0]
    assert registered.version is not None
    said = json.loads(registered.version.report)
    said["findings"].append(said["findings"][0] | {"severity": "fatal", "since": "9"})
    newer = replace(registered, version=replace(registered.version, report=json.dumps(said)))
    assert [one["severity"] for one in data(newer)["findings"]] == ["fatal", "high"]


def test_of_a_failure_it_says_what_failed_and_why() -> None:
    *_, lost = notices()
    said = data(lost)
    assert lost.ingestion is not None
    assert (said["version"], said["verdict"], said["findings"], said["reportUrl"]) == (None, None, [], None)
    told = {name: said["ingestion"][name] for name in ("id", "state", "reason", "message", "modelPath", "eventId")}
    assert told == {
        "id": lost.ingestion.id,
        "state": "failed",
        "reason": "unreadable",
        "message": "it may not be read",
        "modelPath": "/runs/mnist",
        "eventId": "run-2",
    }


def test_it_says_what_differed_from_the_version_before() -> None:
    registered, *_ = notices(finding(Severity.LOW))
    assert registered.version is not None
    assert data(registered)["diff"] is None
    told = {"with": "mo1", "number": 1, "says": "against @1: signature compatible", "signature": "compatible"}
    lists = {"signatureChanges": [{"change": "added"}], "findings": {"new": [{"rule": "r"}] * 100, "gone": []}}
    differing = replace(registered.version, arrival=told | lists | {"operators": {"MatMul": [1, 2]}})
    said = data(replace(registered, version=differing))["diff"]
    assert said == told | lists | {"findings": {"new": [{"rule": "r"}] * MOST_CHANGES, "gone": []}}


def test_the_same_delivery_is_told_in_the_same_words() -> None:
    for notice in notices(finding(Severity.HIGH)):
        later = replace(notice.delivery, attempts=7, owner="another", message="away", updated=LATER.replace(year=2027))
        assert body(replace(notice, delivery=later), API) == body(notice, API)


@pytest.mark.parametrize("text", ["w" * 5_000, "\0" * 5_000, "🦆" * 5_000, "\ud800" * 5_000, '"' * 5_000])
def test_a_message_has_a_bounded_size(text: str) -> None:
    """However much was found, and whatever it is called."""
    found = [finding(Severity.LOW, text)] * 60 + [finding(Severity.CRITICAL, text)]
    registered, *_, lost = notices(*found)
    assert registered.version is not None
    differing = {
        "signatureChanges": [{"old": text, "new": text}] * 100,
        "findings": {"new": [{"rule": text}] * 100, "gone": []},
    }
    arrival = {"with": "mo1", "number": 1, "says": text, "signature": "breaking"} | differing
    written = replace(registered.version, notes=text, tags=(text,) * 500, arrival=arrival)
    assert lost.ingestion is not None
    broken = replace(lost.ingestion, message=text, event=replace(lost.ingestion.event, id=text, model_path=text))
    for notice in (replace(registered, version=written), replace(lost, ingestion=broken)):
        assert len(body(notice, API).encode("utf-8")) < 512 * 1024
    said = data(replace(registered, version=written))
    assert (len(said["findings"]), said["findingsCount"], said["findings"][0]["severity"]) == (MOST_FINDINGS, 61, "critical")
    assert len(said["version"]["notes"]) <= 6 * MOST_CHARS
