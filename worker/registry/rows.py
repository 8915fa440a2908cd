"""Between the records of the service and the rows of its tables; pure, and nothing else knows both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from detectors.facts import Finding, Metric, ModelType, Severity
from detectors.tree import readable
from worker.gates import declared, gates_json, parse_gates, results_of
from worker.policy import stands, warning_of
from worker.records import (
    Cluster,
    CompletionEvent,
    Condition,
    ExperimentState,
    FileDigest,
    FilesSeen,
    GateResult,
    Held,
    HistoryEntry,
    Ingestion,
    IngestionState,
    Judgement,
    Kind,
    ModelVersion,
    NamedFile,
    NewVersion,
    Released,
    Rest,
    SoFar,
    StoreMode,
    Trigger,
)
from worker.registry.words import event_digest, event_key, folded, scope_key
from worker.wholeness import Wholeness

Values = dict[str, Any]
"""The columns of one row."""

MAX_STEP = 2**63 - 1
"""The largest step that a column of 64 bits holds."""


def ingestion_values(ingestion: Ingestion) -> Values:
    """Return the row of a new ingestion."""
    event = ingestion.event
    return {
        "id": ingestion.id,
        "event_key": event_key(event),
        "source": event.source,
        "event_id": event.id,
        "model_path": event.model_path,
        "team": event.team,
        "project": event.project,
        "experiment": event.experiment,
        "declared_type": None if event.declared_type is None else event.declared_type.value,
        "name": event.name,
        "trigger": event.trigger.value,
        "details": event_details(event),
        "event_digest": event_digest(event),
        "created": ingestion.created,
        **standing_values(ingestion),
    }


def event_details(event: CompletionEvent) -> Values:
    """Return what an event says beside the fields that have columns of their own; what is not said is left out."""
    said: Values = {
        "kind": event.kind,
        "cluster": event.cluster if event.cluster is not Cluster.PUBLIC else None,
        "state": event.state if event.state is not ExperimentState.STOPPED else None,
        "git_ref": event.git_ref,
        "git_sha": event.git_sha,
        "files": [[file.path, file.size, file.sha256] for file in event.files],
        "gates": declared(event.gates),
        "is_forced": event.is_forced,
        "traceparent": event.traceparent,
    }
    return {key: value for key, value in said.items() if value}


def standing_values(ingestion: Ingestion) -> Values:
    """Return the columns in which an ingestion changes on its way."""
    return {
        "state": ingestion.state.value,
        "reason": ingestion.reason,
        "message": ingestion.message,
        "turn": ingestion.turn,
        "attempts": ingestion.attempts,
        "version_id": ingestion.version_id,
        "answered_version": ingestion.answered_version,
        "owner": ingestion.owner,
        "location": ingestion.location,
        "updated": ingestion.updated,
        "failed_tries": ingestion.so_far.failed,
        "changes": ingestion.so_far.changes,
        "waited_seconds": ingestion.so_far.waited_seconds,
        "rest": None if ingestion.rest is None else list(astuple(ingestion.rest)),
        "run_after": ingestion.run_after,
        "lease_until": ingestion.lease_until,
        "format": ingestion.format,
    }


def ingestion_of(row: Row[Any]) -> Ingestion:
    """Return the ingestion in *row*."""
    return Ingestion(
        id=row.id,
        event=_event_of(row),
        state=IngestionState(row.state),
        reason=row.reason,
        message=row.message,
        attempts=row.attempts,
        version_id=row.version_id,
        answered_version=row.answered_version,
        owner=row.owner,
        location=row.location,
        created=row.created,
        updated=row.updated,
        turn=row.turn,
        so_far=SoFar(row.failed_tries, row.changes, row.waited_seconds),
        rest=None if row.rest is None else Rest(*row.rest),
        run_after=row.run_after,
        lease_until=row.lease_until,
        format=row.format,
    )


def _event_of(row: Row[Any]) -> CompletionEvent:
    said = row.details
    return CompletionEvent(
        source=row.source,
        id=row.event_id,
        model_path=row.model_path,
        team=row.team,
        project=row.project,
        experiment=row.experiment,
        declared_type=None if row.declared_type is None else ModelType(row.declared_type),
        name=row.name,
        trigger=Trigger(row.trigger),
        kind=Kind(said["kind"]) if "kind" in said else None,
        cluster=Cluster(said.get("cluster", Cluster.PUBLIC)),
        state=ExperimentState(said.get("state", ExperimentState.STOPPED)),
        git_ref=said.get("git_ref"),
        git_sha=said.get("git_sha"),
        files=tuple(NamedFile(*file) for file in said.get("files", ())),
        is_forced=said.get("is_forced", False),
        traceparent=said.get("traceparent"),
        gates=parse_gates(said.get("gates", {})),
    )


def history_values(ingestion_id: str, entry: HistoryEntry) -> Values:
    """Return the row of one step."""
    return {
        "ingestion_id": ingestion_id,
        "at": entry.at,
        "state": entry.state.value,
        "reason": entry.reason,
        "message": entry.message,
        "version_id": entry.version_id,
        "backtrace": entry.backtrace,
    }


def history_of(row: Row[Any]) -> HistoryEntry:
    """Return the step in *row*."""
    state = IngestionState(row.state)
    return HistoryEntry(row.at, state, row.reason, row.message, row.version_id, row.backtrace)


def model_values(version: NewVersion, now: datetime) -> Values:
    """Return the row of a new registered model whose first version is *version*."""
    return {
        "team": version.scope.team,
        "project": version.scope.project,
        "name": version.model_name,
        "name_folded": folded(version.model_name),
        "is_generated": version.is_generated_name,
        "created": now,
        "updated": now,
    }


def version_values(version: NewVersion, ingestion_id: str, model: int, now: datetime) -> Values:
    """Return the row of a new version, without its number and what it is a duplicate of."""
    experiment = version.scope.experiment
    return {
        "id": version.id,
        "model": model,
        "ingestion_id": ingestion_id,
        "team": version.scope.team,
        "experiment": experiment,
        "experiment_folded": None if experiment is None else folded(experiment),
        "scope": scope_key(version.scope),
        "location": version.location,
        "listing_key": version.listing_key,
        "digest": version.digest,
        "oms_digest": version.oms_digest,
        "store": version.store.value,
        "url": version.url,
        "size_bytes": version.size_bytes,
        "created": now,
        "deleted": None,
        "files_mark": version.mark,
        "arrival": version.arrival,
        **gates_values(version.gates),
        **judged_values(version),
        **held_values(stands(None, version.objection, now)),
    }


def gates_values(gates: Sequence[GateResult]) -> Values:
    """Return what became of the gates of an ingestion; null where it had none."""
    return {"gates": gates_json(gates) or None}


def judged_values(version: NewVersion | Judgement) -> Values:
    """Return what the rules of the scanner made of a version's content."""
    return {
        "rules_version": version.rules_version,
        "model_type": version.model_type.value,
        "format": version.format,
        "completeness": version.completeness,
        "verdict": version.verdict,
        "report": version.report,
        "summary": version.summary,
        "detail": version.detail,
        "metadata_raw": version.metadata_raw,
        "warning": warning_of(version.objection),
        "wholeness": version.wholeness,
    }


HELD = ("held_since", "held_why", "held_causes", "released", "released_by", "released_reason")
"""The columns that say how a version stands in quarantine."""


def held_values(held: Held | None) -> Values:
    """Return how a version stands in quarantine as columns; all are empty for None."""
    if held is None:
        return dict.fromkeys(HELD)
    release = held.released
    return {
        "held_since": held.since,
        "held_why": held.why,
        "held_causes": list(held.causes),
        "released": None if release is None else release.at,
        "released_by": None if release is None else release.by,
        "released_reason": None if release is None else release.reason,
    }


def held_of(row: Row[Any]) -> Held | None:
    """Return how the version in *row* stands in quarantine."""
    if row.held_since is None:
        return None
    release = None if row.released is None else Released(row.released, row.released_by, row.released_reason)
    return Held(row.held_since, row.held_why, tuple(row.held_causes), release)


def version_of(row: Row[Any], tags: Sequence[str]) -> ModelVersion:
    """Return the version in *row*, which is joined with its model."""
    return ModelVersion(
        id=row.id,
        model_name=row.model_name,
        number=row.number,
        is_generated_name=row.is_generated,
        team=row.team,
        project=row.project,
        experiment=row.experiment,
        model_type=ModelType(row.model_type),
        format=row.format,
        location=row.location,
        digest=row.digest,
        oms_digest=row.oms_digest,
        duplicate_of=row.duplicate_of,
        store=StoreMode(row.store),
        url=row.url,
        size_bytes=row.size_bytes,
        completeness=row.completeness,
        verdict=row.verdict,
        report=row.report,
        tags=tuple(sorted(tags)),
        created=row.created,
        deleted=row.deleted,
        notes=row.notes,
        said_summary=row.said_summary,
        is_published=row.is_published,
        rules_version=row.rules_version,
        files_seen=_files_seen(row),
        mark=row.files_mark,
        gates=results_of(row.gates or ()),
        arrival=row.arrival,
        held=held_of(row),
        warning=row.warning,
        wholeness=None if row.wholeness is None else Wholeness(row.wholeness),
    )


def files_values(seen: FilesSeen | None, mark: str | None) -> Values:
    """Return how the files of a version were found as columns; all are empty for None."""
    return {
        "files_condition": None if seen is None else seen.condition.value,
        "files_says": None if seen is None else seen.says,
        "files_at": None if seen is None else seen.at,
        "files_looked": None if seen is None else seen.looked,
        "files_trouble": None if seen is None else seen.trouble,
        "files_mark": mark,
    }


def _files_seen(row: Row[Any]) -> FilesSeen | None:
    if row.files_condition is None:
        return None
    return FilesSeen(Condition(row.files_condition), row.files_says, row.files_at, row.files_looked, row.files_trouble)


def past_values(row: Row[Any]) -> Values:
    """Return what stays of the ingestion in *row* when it is removed."""
    return {name: getattr(row, name) for name in PAST} | {"ingestion_id": row.id}


PAST = (
    *("event_key", "event_digest", "version_id", "answered_version", "team"),
    *("state", "reason", "message", "attempts", "created", "updated"),
)


def past_ingestion(row: Row[Any], event: CompletionEvent) -> Ingestion:
    """Return the ingestion of *event* that was removed, as far as *row* tells of it."""
    return Ingestion(
        id=row.ingestion_id,
        event=event,
        state=IngestionState(row.state),
        reason=row.reason,
        message=row.message,
        attempts=row.attempts,
        version_id=row.version_id,
        answered_version=row.answered_version,
        owner=None,
        location=None,
        created=row.created,
        updated=row.updated,
    )


def new_version_of(version: NewVersion, model: Row[Any], number: int, duplicate_of: str | None, now: datetime) -> ModelVersion:
    """Return *version* as its row will be read, just after it was written; *model* is the row of its model."""
    return ModelVersion(
        id=version.id,
        model_name=model.name,
        number=number,
        is_generated_name=model.is_generated,
        team=version.scope.team,
        project=model.project,
        experiment=version.scope.experiment,
        model_type=version.model_type,
        format=version.format,
        location=version.location,
        digest=version.digest,
        oms_digest=version.oms_digest,
        duplicate_of=duplicate_of,
        store=version.store,
        url=version.url,
        size_bytes=version.size_bytes,
        completeness=version.completeness,
        verdict=version.verdict,
        report=version.report,
        tags=(),
        created=now.astimezone(UTC),
        deleted=None,
        is_published=model.is_published,
        rules_version=version.rules_version,
        mark=version.mark,
        gates=version.gates,
        arrival=version.arrival,
        held=stands(None, version.objection, now.astimezone(UTC)),
        warning=warning_of(version.objection),
        wholeness=version.wholeness,
    )


def file_values(file: FileDigest) -> Values:
    """Return the row of a file, without its key."""
    raw = file.path.encode("utf-8", "surrogateescape")
    return {"path": readable(file.path), "path_raw": raw, "size": file.size, "sha256": file.sha256}


def file_of(row: Row[Any]) -> FileDigest:
    """Return the file in *row*."""
    return FileDigest(path=row.path_raw.decode("utf-8", "surrogateescape"), size=row.size, sha256=row.sha256)


def metric_values(metric: Metric) -> Values:
    """Return the row of a metric, without its key."""
    numbers = (metric.value, metric.step, metric.wall_time)
    value, step, wall_time = (number if _fits(number) else None for number in numbers)
    return {
        "name": metric.name,
        "value": value,
        "step": step,
        "session": metric.session,
        "source": metric.source,
        "wall_time": wall_time,
        "exact": None if all(_fits(number) for number in numbers) else numbers,
    }


def _fits(number: float | None) -> bool:
    """Tell whether every database keeps *number* in a column of its kind."""
    if isinstance(number, int):
        return abs(number) <= MAX_STEP
    return number is None or math.isfinite(number)


def metric_of(row: Row[Any]) -> Metric:
    """Return the metric in *row*."""
    value, step, wall_time = row.exact or (row.value, row.step, row.wall_time)
    return Metric(name=row.name, value=value, step=step, session=row.session, source=row.source, wall_time=wall_time)


def finding_values(finding: Finding) -> Values:
    """Return the row of a finding, without its key."""
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "path": finding.path,
        "place": finding.place,
        "message": finding.message,
    }


def finding_of(row: Row[Any]) -> Finding:
    """Return the finding in *row*."""
    return Finding(rule=row.rule, severity=Severity(row.severity), path=row.path, place=row.place, message=row.message)
