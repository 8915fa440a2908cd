"""What became of an upload, in the words in which a person reads it. In go records, out come plain values. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.api.web import held, wording
from worker.api.web.model_page import primary_of, whole
from worker.api.web.wording import Signature
from worker.health import State
from worker.lifecycle import is_end
from worker.records import Ingestion, IngestionState, ModelVersion

IN_THE_STORE = "All its files are kept."

GOES_ON = {
    IngestionState.RECEIVED: (State("wait", "is-none", "Queued."), f"{IN_THE_STORE} A worker takes it as soon as one is free."),
    IngestionState.RUNNING: (State("run", "is-none", "Being scanned."), f"{IN_THE_STORE} Large ones take a while."),
    IngestionState.WAITING: (State("wait", "is-none", "Waiting."), f"{IN_THE_STORE} It is tried again by itself."),
}
"""What is said as long as it goes on."""

NOBODY_WORKS = f"{IN_THE_STORE} No worker runs just now: it is scanned when one is started, with `modelport worker` or `up`."

ENDED = {
    IngestionState.NOTHING_FOUND: State("warn", "is-warn", "No model was found in it."),
    IngestionState.FAILED: State("bad", "is-bad", "Not registered."),
    IngestionState.DISCARDED: State("gone", "is-none", "Discarded."),
    IngestionState.IGNORED: State("gone", "is-none", "Not scanned."),
}
"""What is said where it ended without a version."""

LATER = State("gone", "is-none", "Registered, and deleted since.")


@dataclass(frozen=True, slots=True)
class Became:
    """What became of the upload of *ingestion*: *head* says it, *more* goes on, which may be empty, and *states* are what the
    scan says of its *version*, None where it has none. signature is the first that the model has, None for none; reason is a
    code, None where nothing went wrong.
    """

    ingestion: Ingestion
    version: ModelVersion | None
    head: State
    more: str
    states: tuple[State, ...] = ()
    signature: Signature | None = None
    reason: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing else will become of it."""
        return is_end(self.ingestion.state)

    @property
    def file_name(self) -> str:
        """What it was called by who sent it."""
        return self.ingestion.event.model_path or "an upload"


def became(ingestion: Ingestion, version: ModelVersion | None, has_workers: bool) -> Became:
    """Return what became of the upload of *ingestion*, which is answered by *version*, None for none that is left."""
    state = ingestion.state
    if state in GOES_ON:
        head, more = GOES_ON[state]
        return Became(ingestion, None, head, more if has_workers else NOBODY_WORKS)
    if state in ENDED:
        return Became(ingestion, None, ENDED[state], sentence(ingestion.message), reason=ingestion.reason)
    if version is None:
        return Became(ingestion, None, LATER, "")
    report = whole(json.loads(version.report))
    told = held.first(version, wording.states(report), wording.use(report))
    states, use = told["states"], told["use"]
    why = f" {sentence(version.held.why)}" if version.held is not None and version.is_quarantined else ""
    return Became(ingestion, version, _registered(state, version, states), use + why, states, _signature(report))


def sentence(text: str | None) -> str:
    """Return *text* as a sentence; empty for none."""
    said = (text or "").strip()
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "!", "?")) or not said else ".")


def _registered(state: IngestionState, version: ModelVersion, states: tuple[State, ...]) -> State:
    """Return what is said of a *version* that there is, with the sign of the worst that the scan says of it."""
    worst = states[0] if states else State("ok", "", "")
    is_new = state is IngestionState.REGISTERED
    words = f"Registered as v{version.number}." if is_new else f"Nothing new: it is v{version.number} already."
    return State(worst.sign if worst.level in ("is-bad", "is-warn") else "ok", worst.level, words)


def _signature(report: Mapping[str, Any]) -> Signature | None:
    facts = (primary_of(report) or {}).get("facts") or {}
    return next((wording.signature(one) for one in facts.get("signatures") or ()), None)
