"""The use case of every door through which work comes for later: accept an event, and tell the workers.

The row is committed first, then the bell is rung: a bell that is lost is rung again by the next sweep, a row is never lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from worker.errors import RejectedEvent
from worker.lifecycle import is_end
from worker.ports import Registry
from worker.records import CompletionEvent, End, ExperimentState, Ingestion, IngestionState


def submit(
    event: CompletionEvent, registry: Registry, now: datetime, ring: Callable[[], None], is_failed_scanned: bool = False
) -> tuple[Ingestion, bool]:
    """Return the ingestion of *event*, committed, and whether it was known before. *ring* is called where work waits.

    What failed or was cancelled is recorded and not looked at, unless *is_failed_scanned*.

    Raises:
        RejectedEvent: a name in the event cannot be kept.
        ConflictingEvent: the same source and id said something else before.
        RegistryUnavailable: it may or may not have been accepted; the same event again tells.
    """
    end = None if is_failed_scanned else end_at_once(event)
    ingestion, known = registry.submit(event, now, end=end)
    if not is_end(ingestion.state):
        ring()
    return ingestion, known


def submit_all(
    events: Sequence[CompletionEvent],
    registry: Registry,
    now: datetime,
    ring: Callable[[], None],
    is_failed_scanned: bool = False,
) -> Sequence[tuple[Ingestion, bool] | RejectedEvent]:
    """As `submit`, for *events* that came together, in one commit; what would be raised for one alone is its answer.

    Raises:
        RegistryUnavailable: they may or may not have been accepted; the same events again tell.
    """
    answers = registry.submit_all([(event, None if is_failed_scanned else end_at_once(event)) for event in events], now)
    if any(not isinstance(answer, RejectedEvent) and not is_end(answer[0].state) for answer in answers):
        ring()
    return answers


def end_at_once(event: CompletionEvent) -> End | None:
    """Return how the ingestion of an experiment that did not end well ends without a look; None for one that did."""
    if event.state is ExperimentState.STOPPED:
        return None
    state = event.state.value
    message = f"the experiment ended as {state}; with MODELPORT_SCAN_FAILED=true such ones are looked at"
    return End(IngestionState.IGNORED, f"experiment-{state}", message)
