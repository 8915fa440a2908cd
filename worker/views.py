"""Records as the plain JSON values that every door shows. Pure; the names are fixed in docs/reference/scan-report.md."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from detectors.facts import ModelType
from detectors.report import plain, scan_report
from detectors.scan import RULES_VERSION, UNSEEN
from worker.delivery import Delivery
from worker.gates import gates_json
from worker.ingest import Ingested
from worker.manifest import file_json
from worker.records import (
    AuditEntry,
    FileDigest,
    FilesSeen,
    Halt,
    Held,
    HistoryEntry,
    Ingestion,
    IngestionState,
    ModelVersion,
    Project,
    Summary,
    Upload,
)
from worker.stranded import Aside, Stranded
from worker.verification import Verified


def version_json(version: ModelVersion) -> dict[str, Any]:
    """Return a version without its report."""
    return {
        "id": version.id,
        "name": version.model_name,
        "number": version.number,
        "modelType": version.model_type.value,
        "format": version.format,
        "projectId": version.project,
        "experimentId": version.experiment,
        "digest": version.digest,
        "omsDigest": version.oms_digest,
        "duplicateOf": version.duplicate_of,
        "url": version.url,
        "store": version.store.value,
        "location": version.location,
        "sizeBytes": version.size_bytes,
        "completeness": version.completeness,
        "wholeness": version.wholeness,
        "verdict": version.verdict,
        "tags": list(version.tags),
        "notes": version.notes,
        "published": version.is_published,
        "rulesVersion": version.rules_version,
        "newestRulesVersion": RULES_VERSION,
        "drift": None if version.files_seen is None else drift_json(version.files_seen),
        "gates": gates_json(version.gates),
        "quarantined": version.is_quarantined,
        "quarantine": None if version.held is None else quarantine_json(version.held),
        "warning": version.warning,
        "dtCreated": timestamp(version.created),
    }


def verified_json(verified: Verified | None) -> dict[str, Any] | None:
    """Return what the last load check of a version came to; None where there was none."""
    return None if verified is None else json.loads(verified.report) | {"dtVerified": timestamp(verified.at)}


def drift_json(seen: FilesSeen) -> dict[str, Any]:
    """Return how the files of a version were found when somebody last looked."""
    return {
        "state": seen.condition.value,
        "says": seen.says,
        "dtSeen": timestamp(seen.at),
        "dtLooked": timestamp(seen.looked),
        "trouble": seen.trouble,
    }


def quarantine_json(held: Held) -> dict[str, Any]:
    """Return that a version is in quarantine, or was, and how it was released."""
    release = held.released
    return {
        "why": held.why,
        "dtSince": timestamp(held.since),
        "released": None
        if release is None
        else {"by": release.by, "reason": release.reason, "dtReleased": timestamp(release.at)},
    }


def with_project(row: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return *row*, which has a `projectId`, with how that project is called; *names* are of those called otherwise."""
    return row | {"project": names.get(row["projectId"], row["projectId"])}


def project_json(project: Project) -> dict[str, Any]:
    """Return a project."""
    return {"id": project.id, "name": project.name, "dtCreated": timestamp(project.created)}


def ingestion_json(ingestion: Ingestion) -> dict[str, Any]:
    """Return an ingestion with the answer that its sender waits for: `created`, `unchanged`, or None."""
    answers = {IngestionState.REGISTERED: "created", IngestionState.UNCHANGED: "unchanged"}
    return {
        "id": ingestion.id,
        "state": ingestion.state.value,
        "reason": ingestion.reason,
        "message": ingestion.message,
        "answer": answers.get(ingestion.state),
    }


def ingestion_row(ingestion: Ingestion) -> dict[str, Any]:
    """Return an ingestion with what it was asked for and how often it was tried."""
    event = ingestion.event
    return ingestion_json(ingestion) | {
        "source": event.source,
        "eventId": event.id,
        "trigger": event.trigger.value,
        "modelPath": event.model_path,
        "projectId": event.project,
        "experimentId": event.experiment,
        "attempts": ingestion.attempts,
        "versionId": ingestion.answered_version,
        "format": ingestion.format,
        "owner": ingestion.owner,
        "dtCreated": timestamp(ingestion.created),
        "dtModified": timestamp(ingestion.updated),
        "dtNextAttempt": None if ingestion.run_after is None else timestamp(ingestion.run_after),
    }


def audit_json(entry: AuditEntry) -> dict[str, Any]:
    """Return one line of what people did."""
    return {
        "id": entry.id,
        "at": timestamp(entry.at),
        "who": entry.who,
        "action": entry.action.value,
        "objectId": entry.object_id,
        "object": entry.object_name,
        "details": dict(entry.details),
    }


def halt_json(halt: Halt, is_named: bool = True) -> dict[str, Any]:
    """Return why no worker begins anything; who paused it is named only where *is_named*."""
    return {
        "of": "all" if halt.team is None else "team",
        "since": timestamp(halt.since),
        "by": halt.by if is_named else None,
        "note": halt.note,
    }


def stranded_json(message: Stranded, is_whole: bool = False) -> dict[str, Any]:
    """Return a message that no worker could read; only where it *is_whole* with all bytes that are kept of it, in base64."""
    return {
        "id": message.id,
        "at": None if message.at is None else timestamp(message.at),
        "queue": message.queue,
        "why": message.why,
        "size": message.size,
        "preview": message.preview,
        "body": base64.b64encode(message.body).decode("ascii") if is_whole else None,
    }


def aside_json(aside: Aside) -> dict[str, Any]:
    """Return what was set aside, without the bytes of each."""
    messages = [stranded_json(message) for message in aside.messages]
    return {"messages": messages, "kept": aside.kept, "ever": aside.ever, "broker": aside.broker}


def history_json(entry: HistoryEntry) -> dict[str, Any]:
    """Return one step of an ingestion."""
    return {"at": timestamp(entry.at), "state": entry.state.value, "reason": entry.reason, "message": entry.message}


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery: what is told to whom, and how that stands."""
    return {
        "id": delivery.id,
        "kind": delivery.kind.value,
        "destination": delivery.destination,
        "ingestionId": delivery.ingestion_id,
        "versionId": delivery.version_id,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "message": delivery.message,
        "dtCreated": timestamp(delivery.created),
        "dtModified": timestamp(delivery.updated),
        "dtNextAttempt": None if delivery.due is None else timestamp(delivery.due),
        "dtDelivered": None if delivery.delivered is None else timestamp(delivery.delivered),
    }


def ingest_report(outcome: Ingested, path: str) -> dict[str, Any]:
    """Return the scan report of an ingestion with its `ingestion` and `version`, what became of the gates, and what differs
    from the version before.

    Where nothing was looked at because nothing had changed, the report is the one of the version that is there.
    """
    version = outcome.version
    seen = version is None or outcome.scan is not None
    report = scan_report(outcome.scan or UNSEEN, path) if version is None or seen else json.loads(version.report)
    return report | {
        "ingestion": ingestion_json(outcome.ingestion),
        "version": version_json(version) if version is not None else None,
        "gates": [] if version is None else gates_json(version.gates),
        "diff": None if version is None else version.arrival,
    }


def gradient_json(version: ModelVersion, summary: Summary) -> dict[str, Any]:
    """Return a version as a model of the original system. Its client shows an empty field as nothing."""
    created = timestamp(version.created)
    return {
        "id": version.id,
        "name": None if version.is_generated_name else version.model_name,
        "modelType": version.model_type.value,
        "projectId": version.project,
        "experimentId": version.experiment,
        "summary": plain(summary.summary if version.said_summary is None else version.said_summary) or None,
        "detail": plain(summary.detail) or None,
        "params": None,
        "url": version.url,
        "modelPath": version.location,
        "notes": version.notes,
        "tag": version.tags[0] if version.tags else None,
        "tags": list(version.tags),
        "isDeleted": version.deleted is not None,
        "isPublic": version.is_published,
        "deploymentState": "Stopped",
        "datasetRef": None,
        "updatedByUserId": None,
        "dtCreated": created,
        "dtModified": created,
        "dtUploaded": created,
        "dtDeleted": None if version.deleted is None else timestamp(version.deleted),
    }


def draft_json(upload: Upload) -> dict[str, Any]:
    """Return an upload as a model of the original system that has no files yet."""
    said, created = upload.said, timestamp(upload.created)
    return {
        "id": upload.id,
        "name": said.name,
        "modelType": (said.declared_type or ModelType.CUSTOM).value,
        "projectId": said.project,
        "experimentId": None,
        "summary": plain(said.summary) or None,
        "detail": None,
        "params": None,
        "url": None,
        "modelPath": None,
        "notes": said.notes,
        "tag": said.tags[0] if said.tags else None,
        "tags": list(said.tags),
        "isDeleted": False,
        "isPublic": False,
        "deploymentState": "Stopped",
        "datasetRef": None,
        "updatedByUserId": None,
        "dtCreated": created,
        "dtModified": created,
        "dtUploaded": None,
        "dtDeleted": None,
    }


def manifest_json(version: ModelVersion, files: Iterable[FileDigest]) -> dict[str, Any]:
    """Return the digests of a version and of its files."""
    return {
        "id": version.id,
        "digest": version.digest,
        "omsDigest": version.oms_digest,
        "files": [file_json(file) for file in files],
    }


def timestamp(moment: datetime) -> str:
    """Return a moment as ISO 8601 in UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
