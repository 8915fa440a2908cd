"""What every registry says when a registration ends an ingestion, and what it asks before; pure."""

from __future__ import annotations

from worker.policy import remark_on
from worker.records import End, Ingestion, IngestionState, ModelVersion, NewVersion


def first_seen(version: ModelVersion) -> End:
    """Return the end of an ingestion that registered *version*."""
    message = f"registered as {version.model_name} version {version.number}{remark_on(version)}"
    return End(IngestionState.REGISTERED, "new-content", message, version.id, version.location, version.format)


def check_theirs(ingestion: Ingestion, version: NewVersion) -> None:
    """Raise ValueError unless *version* is the one that *ingestion* was planned to register, in its own team."""
    if version.id != ingestion.version_id:
        raise ValueError(f"expected the planned version {ingestion.version_id}, found {version.id}")
    if version.scope.team != ingestion.event.team:
        raise ValueError(f"expected the ingestion's team {ingestion.event.team}, found {version.scope.team}")
