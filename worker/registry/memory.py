"""The registry in one process's memory: for tests, try-outs, and everything that need not outlive the process.

It passes the contract that the database passes. One lock makes every method one transaction; what is checked is checked
before anything is changed.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, islice
from json import loads
from threading import Lock, RLock
from types import MappingProxyType
from typing import Any

from detectors.facts import Finding, Metrics, Severity
from worker import lifecycle, occurrences, policy
from worker.delivery import DeliveryKind
from worker.errors import NameTaken, RegistryUnavailable, RejectedEvent
from worker.records import (
    DEFAULT_TEAM,
    MOST_REASONS,
    MOST_TIMED,
    NO_FORMAT,
    UNSAID,
    Action,
    AuditEntry,
    AuditQuery,
    CompletionEvent,
    Count,
    End,
    FailureGroup,
    FileDigest,
    FilesSeen,
    GateResult,
    Halt,
    Held,
    HistoryEntry,
    Ingestion,
    IngestionQuery,
    IngestionState,
    Judgement,
    ModelVersion,
    NewUpload,
    NewVersion,
    Order,
    Overview,
    Pause,
    Project,
    Pulse,
    Queue,
    Registration,
    Scope,
    SortKey,
    Standing,
    StoreMode,
    Summary,
    Team,
    Token,
    TokenScope,
    Took,
    Upload,
    VersionQuery,
    Worker,
)
from worker.registry.counters import Amounts, counts, disagreements, of_content, of_step, of_steps
from worker.registry.endings import check_theirs, first_seen
from worker.registry.listing import as_seen_by, has_reason, headlines, look_of, overview, wanted
from worker.registry.memory_care import MemoryCare, Shelves
from worker.registry.memory_outbox import MemoryOutbox
from worker.registry.memory_verified import MemoryVerifications
from worker.registry.stored import json_text
from worker.registry.words import (
    AUDIT_CHARS,
    AUDIT_PREFIX,
    INGESTION_CHARS,
    INGESTION_PREFIX,
    KEY_BYTES,
    MAX_TRIES,
    POLICY,
    QUEUE,
    TOKEN_CHARS,
    TOKEN_PREFIX,
    VERSION_CHARS,
    VERSION_PREFIX,
    Destinations,
    NewId,
    called,
    changed_tags,
    check_event,
    check_name,
    check_upload,
    check_version,
    conflict,
    event_digest,
    event_key,
    event_words,
    folded,
    is_by,
    message_words,
    queue_words,
    random_id,
    reasons,
    rows_wanted,
    scope_key,
    taken,
)
from worker.tokens import is_worth_noting

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
"""When the team `default` is said to have begun."""


@dataclass(slots=True)
class _Model:
    """A registered model. last_number is the highest number it ever gave."""

    team: str
    project: str
    name: str
    is_generated: bool
    last_number: int = 0
    is_published: bool = False


@dataclass(slots=True)
class _Kept:
    """A registered version, and what may still change about it."""

    new: NewVersion
    model: _Model
    number: int
    duplicate_of: str | None
    listing_key: str
    created: datetime
    metrics: Metrics
    deleted: datetime | None = None
    tags: set[str] = field(default_factory=set)
    notes: str | None = None
    said_summary: Any = None
    files_seen: FilesSeen | None = None
    mark: str | None = None
    held: Held | None = None

    def list_anew(self, version: NewVersion, now: datetime) -> bool:
        """Take the listing of *version*, whose content is equal, and what was seen of it; tell whether it went into quarantine
        by that.
        """
        self.listing_key = version.listing_key
        if version.mark is not None and version.url == self.new.url:
            self.files_seen, self.mark = None, version.mark
        if version.gates:
            self.new = replace(self.new, gates=version.gates)
        return self.judge(version, now)

    def judge(self, judged: NewVersion | Judgement, now: datetime) -> bool:
        """Take over what the rules of the scanner made of the content; tell whether it went into quarantine by that."""
        self.new = replace(self.new, **{name: getattr(judged, name) for name in JUDGED})
        self.metrics = _metrics_of(judged)
        before, self.held = self.held, policy.stands(self.held, judged.objection, now)
        return policy.is_put(before, self.held)

    @property
    def is_quarantined(self) -> bool:
        """Tell whether it is not to be served."""
        return self.held is not None and self.held.released is None

    def is_serious(self) -> bool:
        """Tell whether it has a finding that somebody should hear of."""
        return occurrences.is_serious(self.new.findings)

    def record(self) -> ModelVersion:
        new = self.new
        return ModelVersion(
            id=new.id,
            model_name=self.model.name,
            number=self.number,
            is_generated_name=self.model.is_generated,
            team=self.model.team,
            project=self.model.project,
            experiment=new.scope.experiment,
            model_type=new.model_type,
            format=new.format,
            location=new.location,
            digest=new.digest,
            oms_digest=new.oms_digest,
            duplicate_of=self.duplicate_of,
            store=new.store,
            url=new.url,
            size_bytes=new.size_bytes,
            completeness=new.completeness,
            verdict=new.verdict,
            report=new.report,
            tags=tuple(sorted(self.tags)),
            created=self.created,
            deleted=self.deleted,
            notes=self.notes,
            said_summary=self.said_summary,
            is_published=self.model.is_published,
            rules_version=new.rules_version,
            files_seen=self.files_seen,
            mark=self.mark,
            gates=new.gates,
            arrival=None if new.arrival is None else loads(json_text(new.arrival)),
            held=self.held,
            warning=policy.warning_of(new.objection),
            wholeness=new.wholeness,
        )


@dataclass(slots=True)
class _Promised:
    """An upload, and who brings its files until when."""

    upload: Upload
    writer: str | None = None
    writer_until: datetime | None = None
    is_ended: bool = False


JUDGED = (
    *("rules_version", "model_type", "format", "completeness", "verdict", "report", "metadata_raw", "metrics", "findings"),
    *("objection", "wholeness"),
)
"""What the rules of the scanner made of a version's content; summary and detail are kept beside."""


def _metrics_of(version: NewVersion | Judgement) -> Metrics:
    return Metrics(version.metrics, loads(json_text(version.summary)), tuple(loads(json_text(version.detail))))


class MemoryRegistry:
    """`worker.ports.Registry` in memory."""

    def __init__(
        self,
        new_id: NewId = random_id,
        lease_seconds: float = lifecycle.LEASE_SECONDS,
        destinations: Destinations = MappingProxyType({}),
    ) -> None:
        self._new_id = new_id
        self._lease_seconds = lease_seconds
        self._lock = RLock()
        self._sweep = Lock()
        self._ingestions: dict[str, Ingestion] = {}
        self._by_event: dict[str, str] = {}
        self._history: dict[str, list[HistoryEntry]] = {}
        self._models: dict[tuple[str, str, str], _Model] = {}
        self._versions: dict[str, _Kept] = {}
        self._workers: dict[str, Worker] = {}
        self._halts: dict[str | None, Halt] = {}
        self._teams = {folded(DEFAULT_TEAM): Team(DEFAULT_TEAM, FIRST_DAY)}
        self._projects: dict[tuple[str, str], Project] = {}
        self._project_names: dict[tuple[str, str], str] = {}
        self._tokens: dict[str, Token] = {}
        self._uploads: dict[str, _Promised] = {}
        self._audit: dict[str, AuditEntry] = {}
        self._counted: Amounts = Counter()
        self._signing_key = secrets.token_bytes(KEY_BYTES)
        self.outbox = MemoryOutbox(destinations, new_id, self._lock)
        self._shelves = Shelves(
            self._versions, self._ingestions, self._by_event, self._history, self._audit, self._workers, self.outbox.kept
        )
        self.care = MemoryCare(self._shelves, self.outbox, self._lock, self._note_quarantine)
        self.verifications = MemoryVerifications(self._versions, self._lock)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def submit(
        self, event: CompletionEvent, now: datetime, owner: str | None = None, end: End | None = None
    ) -> tuple[Ingestion, bool]:
        check_event(event)
        with self._lock:
            event = replace(event, project=self._project_id(event.team, event.project))
            known = self._by_event.get(event_key(event))
            if known is not None:
                return self._same_event(known, event), True
            if (past := self._shelves.past_ingestion(event)) is not None:
                return past, True
            ingestion_id, version_id = self._free_ids()
            move = lifecycle.receive(event, ingestion_id, version_id, _utc(now), self._next_turn(event.team))
            self._by_event[event_key(event)] = move.ingestion.id
            self._keep(None, move)
            self._know_project(event.team, event.project, now)
            if end is not None:
                further = lifecycle.end(move.ingestion, owner or "", end, _utc(now))
            else:
                further = None if owner is None else self._claim(move.ingestion, owner, version_id, now)
            self._keep(move.ingestion, further)
            return (further or move).ingestion, False

    def submit_all(
        self, events: Sequence[tuple[CompletionEvent, End | None]], now: datetime
    ) -> Sequence[tuple[Ingestion, bool] | RejectedEvent]:
        def answer(event: CompletionEvent, end: End | None) -> tuple[Ingestion, bool] | RejectedEvent:
            try:
                return self.submit(event, now, end=end)
            except RejectedEvent as exc:
                return exc

        return [answer(event, end) for event, end in events]

    def claim(self, ingestion_id: str, owner: str, now: datetime) -> Ingestion | None:
        version_id = self._new_id(VERSION_PREFIX, VERSION_CHARS)

        def step(ingestion: Ingestion) -> lifecycle.Move | None:
            if ingestion.owner != owner and self.halts(ingestion.event.team):
                return None
            return self._claim(ingestion, owner, version_id, now)

        return self._moved(ingestion_id, step)

    def claim_next(self, owner: str, now: datetime) -> Ingestion | None:
        version_id = self._new_id(VERSION_PREFIX, VERSION_CHARS)
        with self._lock:
            if None not in self._halts:
                self._let_in(now)
            due = min(self._unpaused(now), key=lambda ingestion: ingestion.turn, default=None)
            move = None if due is None else self._claim(due, owner, version_id, now)
            self._keep(due, move)
            return None if move is None else move.ingestion

    def beat(self, ingestion_id: str, owner: str, now: datetime) -> bool:
        with self._lock:
            known = self._ingestions.get(ingestion_id)
            beaten = None if known is None else lifecycle.beat(known, owner, _utc(now), self._lease_seconds)
            if beaten is not None:
                self._ingestions[ingestion_id] = beaten
            return beaten is not None

    def wait(self, ingestion_id: str, owner: str, pause: Pause, now: datetime) -> bool:
        def step(ingestion: Ingestion) -> lifecycle.Move | None:
            return lifecycle.wait(ingestion, owner, pause, _utc(now), self._lease_seconds)

        return self._moved(ingestion_id, step) is not None

    def free(
        self,
        now: datetime,
        dead: Callable[[str], bool] = lambda owner: False,
        tell: Callable[[Ingestion], object] = lambda ingestion: None,
    ) -> Sequence[Ingestion]:
        def step(ingestion: Ingestion) -> lifecycle.Move | None:
            return lifecycle.free(ingestion, _utc(now), is_dead=ingestion.owner is not None and dead(ingestion.owner))

        freed: list[Ingestion] = []
        for lost in self.owned():
            moved = self._moved(lost.id, step)
            if moved is not None:
                freed.append(moved)
                tell(moved)
        return freed

    @contextmanager
    def sweeping(self) -> Iterator[bool]:
        is_mine = self._sweep.acquire(blocking=False)
        try:
            yield is_mine
        finally:
            if is_mine:
                self._sweep.release()

    def retry(
        self, team: str, ingestion_id: str, who: str, now: datetime, note: str | None = None, traceparent: str | None = None
    ) -> Ingestion | None:
        def step(ingestion: Ingestion) -> lifecycle.Move | None:
            return lifecycle.retry(ingestion, who, _utc(now), self._next_turn(team), traceparent)

        return self._moved_by_person(team, ingestion_id, step, Action.INGESTION_RETRIED, who, now, note)

    def discard(self, team: str, ingestion_id: str, who: str, now: datetime, note: str | None = None) -> Ingestion | None:
        def step(ingestion: Ingestion) -> lifecycle.Move | None:
            return lifecycle.discard(ingestion, who, _utc(now))

        return self._moved_by_person(team, ingestion_id, step, Action.INGESTION_DISCARDED, who, now, note)

    def finish(self, ingestion_id: str, owner: str, end: End, now: datetime) -> bool:
        if end.state is IngestionState.REGISTERED:
            raise ValueError("an ingestion becomes registered by register() alone")
        return self._moved(ingestion_id, lambda ingestion: lifecycle.end(ingestion, owner, end, _utc(now))) is not None

    def register(self, ingestion_id: str, owner: str, version: NewVersion, now: datetime) -> Registration | None:
        check_version(version)
        with self._lock:
            ingestion = self._ingestions.get(ingestion_id)
            if ingestion is None or not lifecycle.may_move(ingestion, IngestionState.REGISTERED, owner):
                return None
            check_theirs(ingestion, version)
            same = self._newest(lambda kept: _holds(kept, version.scope) and kept.new.digest == version.digest)
            if same is not None:
                was_serious, is_put = same.is_serious(), same.list_anew(version, _utc(now))
                if is_put:
                    self._note_quarantine(same.record(), now)
                told = occurrences.of_judgement(version.findings, was_serious, is_put)
                team, gates = version.scope.team, occurrences.of_gates(version.gates)
                self.outbox.add(told, team, ingestion_id, same.new.id, now)
                self.outbox.add_once(gates, team, ingestion_id, same.new.id, now)
                self._counted.update(of_content(version, is_new=False))
                return Registration(same.record(), is_new=False)
            registered = self._fulfilled(self._add(version, _utc(now))).record()
            if registered.is_quarantined:
                self._note_quarantine(registered, now)
            self.outbox.add(occurrences.of_version(version), version.scope.team, ingestion_id, version.id, now)
            self._keep(ingestion, lifecycle.end(ingestion, owner, first_seen(registered), _utc(now)), version.format)
            self._counted.update(of_content(version, is_new=True))
            return Registration(registered, is_new=True)

    def same_listing(self, scope: Scope, listing_key: str) -> ModelVersion | None:
        return self._found(lambda kept: _holds(kept, scope) and kept.listing_key == listing_key)

    def kept_at(self, version_id: str, store: StoreMode, url: str, location: str) -> None:
        with self._lock:
            kept = self._versions.get(version_id)
            if kept is not None:
                kept.new = replace(kept.new, store=store, url=url, location=location)
                kept.files_seen = kept.mark = None

    def note_gates(self, version: ModelVersion, gates: Sequence[GateResult], ingestion_id: str, now: datetime) -> None:
        with self._lock:
            kept = self._versions.get(version.id)
            if kept is not None:
                kept.new = replace(kept.new, gates=tuple(gates))
                self.outbox.add_once(occurrences.of_gates(gates), version.team, ingestion_id, version.id, now)

    def predecessor(self, version: NewVersion) -> ModelVersion | None:
        with self._lock:
            scope = version.scope
            followed = self._newest(lambda kept: _holds(kept, scope)) if version.is_generated_name else None
            named = self._models.get((scope.team, scope.project, version.model_name))
            model = named if followed is None else followed.model
            return self._found(lambda kept: kept.deleted is None and kept.model is model)

    def owned(self) -> Sequence[Ingestion]:
        with self._lock:
            return [one for one in self._ingestions.values() if one.owner is not None and not lifecycle.is_end(one.state)]

    def queue(self, now: datetime, team: str | None = None) -> Queue:
        with self._lock:
            all_of_them = [one for one in self._ingestions.values() if team in (None, one.event.team)]
            due = [one for one in self._due(now) if team in (None, one.event.team)]
            unfinished = [one.created for one in all_of_them if not lifecycle.is_end(one.state)]
            states = Counter(one.state for one in all_of_them)
            return Queue(states, len(due), min(unfinished, default=None))

    def standing(self, team: str | None, now: datetime, since: datetime) -> Standing:
        with self._lock:
            known = self._names(team)
            theirs = [one for one in self._ingestions.values() if one.event.team in known]
            due = sorted((one for one in self._due(now) if one.event.team in known), key=lambda one: one.turn)
            first = [*due[:1], *[one for one in due if one.turn >= lifecycle.PAUSED][:1]]
            finished = [one for one in theirs if one.state in lifecycle.FINISHED]
            lately = sorted((one for one in finished if one.updated >= _utc(since)), key=lambda one: one.updated)
            by_minute: dict[datetime, Counter[IngestionState]] = {}
            for one in lately:
                by_minute.setdefault(one.updated.replace(second=0, microsecond=0), Counter())[one.state] += 1
            return Standing(
                Counter(one.state for one in theirs if not lifecycle.is_end(one.state)),
                len(due),
                min((one.run_after or one.updated for one in first), default=None),
                by_minute,
                max((one.updated for one in finished), default=None),
                _failures(theirs),
                tuple((one.updated - one.created).total_seconds() for one in lately[: -MOST_TIMED - 1 : -1]),
                halts=tuple(self.halts(team)),
            )

    def contradictions(self, now: datetime) -> Sequence[str]:
        with self._lock:
            registered = set(self._versions)
            seconds = self._lease_seconds
            said = [
                lifecycle.contradiction(one, one.version_id in registered, _utc(now), seconds)
                for one in self._ingestions.values()
            ]
            states = Counter(one.state for one in self._ingestions.values()) + self.care.removed_states()
            return [*(sentence for sentence in said if sentence is not None), *disagreements(self.counters(), states)]

    def counters(self) -> Sequence[Count]:
        with self._lock:
            return counts(self._counted)

    def took(self, steps: Sequence[Took]) -> None:
        with self._lock:
            self._counted += of_steps(steps)

    def pulse(self, now: datetime, since: datetime) -> Pulse:
        with self._lock:
            due = [one for one in self._due(now) if one.event.team not in self._halts]
            going = [one for one in self._ingestions.values() if not lifecycle.is_end(one.state)]
            in_flight = Counter(one.state for one in going)
            pausing = Counter(one.reason or "" for one in going if one.state is IngestionState.WAITING)
            due_since = min((one.run_after or one.updated for one in due), default=None)
            told = self.counters(), in_flight, pausing, len(due), due_since, self.workers(since)
            return Pulse(*told, None in self._halts, len(self._halts.keys() - {None}))

    def is_due(self, now: datetime) -> bool:
        with self._lock:
            return bool(self._unpaused(now))

    def pause_queue(self, team: str, is_all: bool, now: datetime, who: str = UNSAID, note: str | None = None) -> Halt | None:
        of = None if is_all else team
        with self._lock:
            if of in self._halts:
                return None
            self._halts[of] = Halt(of, _utc(now), who, note)
            self._note(team, who, Action.QUEUE_PAUSED, now, QUEUE, queue_words(of), **reasons(note))
            return self._halts[of]

    def resume_queue(self, team: str, is_all: bool, now: datetime, who: str = UNSAID, note: str | None = None) -> Halt | None:
        of = None if is_all else team
        with self._lock:
            was = self._halts.pop(of, None)
            if was is not None:
                self._note(team, who, Action.QUEUE_RESUMED, now, QUEUE, queue_words(of), **reasons(note, was))
            return was

    def note_removal(
        self, team: str, message_id: str | None, now: datetime, who: str = UNSAID, note: str | None = None
    ) -> None:
        with self._lock:
            told = (message_id or QUEUE, message_words(message_id))
            self._note(team, who, Action.MESSAGE_REMOVED, now, *told, **reasons(note))

    def halts(self, team: str | None) -> Sequence[Halt]:
        with self._lock:
            kept = sorted(self._halts, key=lambda of: of or "")
            return [self._halts[of] for of in kept if team is None or of in (None, team)]

    def see(self, worker: Worker) -> None:
        with self._lock:
            self._workers[worker.name] = worker

    def leave(self, name: str) -> None:
        with self._lock:
            self._workers.pop(name, None)

    def workers(self, since: datetime) -> Sequence[Worker]:
        with self._lock:
            return sorted((one for one in self._workers.values() if one.seen >= since), key=lambda worker: worker.name)

    def ingestions(self, query: IngestionQuery) -> Sequence[Ingestion]:
        with self._lock:
            teams = self._names(query.team)
            known = [one for one in self._ingestions.values() if one.event.team in teams]
        if query.after is not None:
            known = known[: next((at for at, one in enumerate(known) if one.id == query.after), 0)]
        return [one for one in reversed(known) if _answers_query(one, query)][: rows_wanted(query.limit)]

    def count_ingestions(self, query: IngestionQuery) -> int:
        with self._lock:
            teams, known = self._names(query.team), list(self._ingestions.values())
        return sum(one.event.team in teams and _answers_query(one, query) for one in known)

    def ingestion(self, team: str | None, ingestion_id: str) -> Ingestion | None:
        with self._lock:
            found = self._ingestions.get(ingestion_id)
            return found if found is not None and team in (None, found.event.team) else None

    def history(self, ingestion_id: str) -> Sequence[HistoryEntry]:
        with self._lock:
            return list(self._history.get(ingestion_id, ()))

    def versions(self, query: VersionQuery) -> Sequence[ModelVersion]:
        with self._lock:
            known: Iterable[_Kept] = _ordered(self._versions.values(), query.order)
            if query.after is not None:
                known = _behind(known, query)
            found = islice(self._wanted(known, query), rows_wanted(query.limit))
            versions = [as_seen_by(query.team, kept.record()) for kept in found]
            return [replace(version, report="", arrival=None) for version in versions] if query.is_brief else versions

    def count(self, query: VersionQuery) -> int:
        with self._lock:
            return sum(1 for _ in self._wanted(self._versions.values(), query))

    def overview(self, team: str) -> Overview:
        with self._lock:
            every, latest = VersionQuery(team), VersionQuery(team, is_latest=True)
            tallies = Counter((_look(kept), False) for kept in self._wanted(self._versions.values(), every))
            for kept in self._wanted(self._versions.values(), latest):
                tallies[_look(kept), True] += 1
                tallies[_look(kept), False] -= 1
            return overview(tallies)

    def tags(self, team: str) -> Sequence[str]:
        with self._lock:
            return sorted({tag for kept in self._newest_first() if kept.model.team == team for tag in kept.tags})

    def metric_names(self, team: str) -> Sequence[str]:
        with self._lock:
            return sorted(
                {name for kept in self._newest_first() if kept.model.team == team for name in headlines(kept.metrics.values)}
            )

    def courses(self, wanted: Mapping[str, tuple[str, str]], most: int) -> Mapping[str, Sequence[float | None]]:
        with self._lock:
            known = {id: self._up_to(self._versions[id], most) for id in wanted if id in self._versions}
        return {id: tuple(_reported(kept, *wanted[id]) for kept in course) for id, course in known.items() if course}

    def summaries(self, version_ids: Collection[str], is_brief: bool = False) -> Mapping[str, Summary]:
        with self._lock:
            known = {id: self._versions[id].metrics for id in version_ids if id in self._versions}
        return {id: Summary(metrics.summary, () if is_brief else metrics.detail) for id, metrics in known.items()}

    def named(self, team: str, name: str, number: int | None = None) -> Sequence[ModelVersion]:
        with self._lock:
            found = [kept for kept in self._newest_first() if kept.model.team == team and kept.model.name == name]
            wanted = [kept for kept in found if kept.number == (_latest(kept.model, found) if number is None else number)]
            return [kept.record() for kept in wanted]

    def version(self, team: str, version_id: str) -> ModelVersion | None:
        with self._lock:
            kept = self._living(team, version_id)
            return None if kept is None else kept.record()

    def readable(self, team: str, version_id: str) -> ModelVersion | None:
        with self._lock:
            kept = self._versions.get(version_id)
            if kept is None or kept.deleted is not None or not _is_readable(kept, team):
                return None
            return as_seen_by(team, kept.record())

    def files(self, version_id: str) -> Sequence[FileDigest]:
        kept = self._versions.get(version_id)
        return [] if kept is None else sorted(kept.new.files, key=lambda file: file.path)

    def metrics(self, version_id: str) -> Metrics | None:
        kept = self._versions.get(version_id)
        return None if kept is None else kept.metrics

    def severities(self, version_ids: Collection[str]) -> Mapping[str, Mapping[Severity, int]]:
        with self._lock:
            known = {id: self._versions[id].new.findings for id in version_ids if id in self._versions}
        return {id: Counter(finding.severity for finding in findings) for id, findings in known.items() if findings}

    def findings(self, version_id: str) -> Sequence[Finding]:
        kept = self._versions.get(version_id)
        return [] if kept is None else list(kept.new.findings)

    def origin(self, version_id: str) -> Ingestion | None:
        with self._lock:
            ended = (one for one in self._ingestions.values() if one.state is IngestionState.REGISTERED)
            return next((one for one in ended if one.answered_version == version_id), None)

    def metadata(self, version_id: str) -> bytes | None:
        kept = self._versions.get(version_id)
        return None if kept is None else kept.new.metadata_raw

    def rename(self, team: str, version_id: str, name: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        check_name("model name", name)
        with self._lock:
            kept = self._living(team, version_id)
            if kept is None:
                return None
            before, was_generated = kept.model.name, kept.model.is_generated
            self._rename_model(kept.model, name)
            if name != before or was_generated:
                self._note(team, who, Action.MODEL_RENAMED, now, version_id, name, before=before)
            return kept.record()

    def tag(
        self,
        team: str,
        version_id: str,
        add: Iterable[str],
        remove: Iterable[str],
        now: datetime | None = None,
        who: str = UNSAID,
    ) -> ModelVersion | None:
        at = self.now() if now is None else now
        wanted, unwanted = set(add), set(remove)
        for tag in wanted:
            check_name("tag", tag)
        with self._lock:
            kept = self._living(team, version_id)
            if kept is None:
                return None
            changes = changed_tags(kept.tags, wanted - unwanted, unwanted)
            kept.tags = (kept.tags | wanted) - unwanted
            if changes:
                self._note(team, who, Action.VERSION_TAGGED, at, version_id, called(kept.record()), **changes)
            return kept.record()

    def note(self, team: str, version_id: str, notes: str | None, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        with self._lock:
            kept = self._living(team, version_id)
            if kept is None:
                return None
            if kept.notes == notes:
                return kept.record()
            kept.notes = notes
            self._note(team, who, Action.VERSION_NOTED, now, version_id, called(kept.record()))
            return kept.record()

    def delete(self, team: str, version_id: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        with self._lock:
            kept = self._living(team, version_id)
            if kept is None:
                return None
            kept.deleted = _utc(now)
            self._note(team, who, Action.VERSION_DELETED, now, version_id, called(kept.record()))
            self.outbox.add([DeliveryKind.DELETED], team, None, version_id, now)
            return kept.record()

    def publish(self, team: str, version_id: str, is_published: bool, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        with self._lock:
            kept = self._living(team, version_id)
            if kept is None:
                return None
            if kept.model.is_published != is_published:
                kept.model.is_published = is_published
                action = Action.MODEL_PUBLISHED if is_published else Action.MODEL_WITHDRAWN
                self._note(team, who, action, now, version_id, kept.model.name)
            return kept.record()

    def release(self, team: str, version_id: str, reason: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        with self._lock:
            kept = self._living(team, version_id)
            if kept is None:
                return None
            if kept.held is not None and kept.is_quarantined:
                told = {"reason": reason, "why": kept.held.why}
                kept.held = policy.released(kept.held, _utc(now), who, reason)
                self._note(team, who, Action.VERSION_RELEASED, now, version_id, called(kept.record()), **told)
                self.outbox.add([DeliveryKind.RELEASED], team, None, version_id, now)
            return kept.record()

    def note_taking(self, team: str, version_id: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        with self._lock:
            kept = self._living(team, version_id)
            if kept is None:
                return None
            if kept.held is not None and kept.is_quarantined:
                told = {"why": kept.held.why}
                self._note(team, who, Action.VERSION_TAKEN, now, version_id, called(kept.record()), **told)
            return kept.record()

    def _note_quarantine(self, version: ModelVersion, now: datetime) -> None:
        """Write that the policy put *version* into quarantine."""
        why = "" if version.held is None else version.held.why
        self._note(version.team, POLICY, Action.VERSION_QUARANTINED, now, version.id, called(version), why=why)

    def begin_upload(self, said: NewUpload, now: datetime, who: str = UNSAID) -> Upload:
        check_upload(said)
        with self._lock:
            project = self._project_id(said.team, said.project)
            plain = replace(said, project=project, tags=tuple(sorted(set(said.tags))))
            upload = Upload(self._new_id(VERSION_PREFIX, VERSION_CHARS), plain, _utc(now))
            self._uploads[upload.id] = _Promised(upload)
            self._note(said.team, who, Action.UPLOAD_BEGUN, now, upload.id, said.name or upload.id)
            self._know_project(said.team, project, now)
            return upload

    def upload(self, team: str, upload_id: str) -> Upload | None:
        with self._lock:
            promised = self._promised(team, upload_id)
            return None if promised is None else promised.upload

    def take_upload(self, team: str, upload_id: str, writer: str, now: datetime) -> bool:
        with self._lock:
            promised = self._promised(team, upload_id)
            if promised is None or promised.upload.ingestion_id is not None or _is_held(promised, _utc(now)):
                return False
            promised.writer, promised.writer_until = writer, self._lease_end(now)
            return True

    def beat_upload(self, upload_id: str, writer: str, now: datetime) -> bool:
        with self._lock:
            promised = self._written_by(upload_id, writer)
            if promised is not None:
                promised.writer_until = self._lease_end(now)
            return promised is not None

    def leave_upload(self, upload_id: str, writer: str) -> None:
        with self._lock:
            promised = self._written_by(upload_id, writer)
            if promised is not None:
                promised.writer = None

    def seal_upload(self, upload_id: str, writer: str, event: CompletionEvent, now: datetime) -> Ingestion | None:
        check_event(event)
        with self._lock:
            promised = self._written_by(upload_id, writer)
            if promised is None or not _is_held(promised, _utc(now)):
                return None
            ingestion, _ = self.submit(event, now)
            promised.upload, promised.writer = replace(promised.upload, ingestion_id=ingestion.id), None
            return ingestion

    def tag_upload(self, team: str, upload_id: str, tags: Iterable[str], now: datetime, who: str = UNSAID) -> Upload | None:
        wanted = tuple(sorted(set(tags)))
        for tag in wanted:
            check_name("tag", tag)
        with self._lock:
            promised = self._promised(team, upload_id)
            if promised is None:
                return None
            if promised.upload.said.tags == wanted:
                return promised.upload
            promised.upload = replace(promised.upload, said=replace(promised.upload.said, tags=wanted))
            name = promised.upload.said.name or upload_id
            self._note(team, who, Action.UPLOAD_TAGGED, now, upload_id, name, tags=list(wanted))
            return promised.upload

    def end_upload(self, team: str, upload_id: str, now: datetime, who: str = UNSAID) -> Upload | None:
        with self._lock:
            promised = self._promised(team, upload_id)
            if promised is None:
                return None
            promised.is_ended = True
            self._note(team, who, Action.UPLOAD_ENDED, now, upload_id, promised.upload.said.name or upload_id)
            return promised.upload

    def kept_uploads(self, since: datetime) -> frozenset[str]:
        with self._lock:
            states = {one.version_id: one.state for one in self._ingestions.values()}
            return frozenset(
                id
                for id, one in self._uploads.items()
                if not one.is_ended and (states[id] in lifecycle.NEED_FILES if id in states else _is_fresh(one, _utc(since)))
            )

    def create_team(self, name: str, now: datetime, who: str = UNSAID) -> Team | None:
        check_name("team", name)
        with self._lock:
            if folded(name) in self._teams:
                return None
            self._teams[folded(name)] = Team(name, _utc(now))
            self._note(name, who, Action.TEAM_CREATED, now, name, name)
            return self._teams[folded(name)]

    def teams(self) -> Sequence[Team]:
        with self._lock:
            return sorted(self._teams.values(), key=lambda team: team.name)

    def projects(self, team: str) -> Sequence[Project]:
        with self._lock:
            theirs = [project for project in self._projects.values() if project.team == team]
            return sorted(theirs, key=lambda project: (project.name, project.id))

    def project(self, team: str, name: str) -> Project | None:
        with self._lock:
            return self._projects.get((team, self._project_id(team, name)))

    def renamed_projects(self, team: str) -> Mapping[str, str]:
        return {project.id: project.name for project in self.projects(team) if project.name != project.id}

    def create_project(self, team: str, name: str, now: datetime, who: str = UNSAID) -> Project | None:
        check_name("project", name)
        with self._lock:
            if self.project(team, name) is not None:
                return None
            self._note(team, who, Action.PROJECT_CREATED, now, name, name)
            return self._know_project(team, name, now)

    def rename_project(self, team: str, name: str, new_name: str, now: datetime, who: str = UNSAID) -> Project | None:
        check_name("project", new_name)
        with self._lock:
            project, other = self.project(team, name), self.project(team, new_name)
            if project is None or project.name == new_name:
                return project
            if other not in (None, project):
                raise taken(new_name, self._project_id(team, new_name))
            self._note(team, who, Action.PROJECT_RENAMED, now, project.id, new_name, before=project.name)
            self._project_names[team, new_name] = project.id
            self._projects[team, project.id] = replace(project, name=new_name)
            return self._projects[team, project.id]

    def _know_project(self, team: str, name: str, now: datetime) -> Project:
        self._project_names.setdefault((team, name), name)
        return self._projects.setdefault((team, name), Project(team, name, name, _utc(now)))

    def _project_id(self, team: str, name: str) -> str:
        """Return the id of the project that *name* means; where it means none, *name* itself."""
        return self._project_names.get((team, name), name)

    def create_token(
        self,
        team: str,
        name: str,
        digest: str,
        scopes: frozenset[TokenScope],
        now: datetime,
        expires: datetime | None = None,
        who: str = UNSAID,
    ) -> Token | None:
        check_name("name", name)
        ends = None if expires is None else _utc(expires)
        token = Token(self._new_id(TOKEN_PREFIX, TOKEN_CHARS), team, name, digest, scopes, _utc(now), ends)
        with self._lock:
            if all(known.name != team for known in self._teams.values()):
                return None
            self._tokens[token.id] = token
            self._note(team, who, Action.TOKEN_CREATED, now, token.id, name, scopes=sorted(scopes))
            return token

    def token_by_digest(self, digest: str, now: datetime) -> Token | None:
        with self._lock:
            token = next((one for one in self._tokens.values() if one.digest == digest), None)
            if token is not None and is_worth_noting(token, _utc(now)):
                token = self._tokens[token.id] = replace(token, last_used=_utc(now))
            return token

    def tokens(self, team: str) -> Sequence[Token]:
        with self._lock:
            return [token for token in reversed(self._tokens.values()) if token.team == team]

    def has_tokens(self) -> bool:
        with self._lock:
            return bool(self._tokens)

    def revoke_token(self, team: str, token_id: str, now: datetime, who: str = UNSAID) -> Token | None:
        with self._lock:
            token = self._tokens.get(token_id)
            if token is None or token.team != team:
                return None
            if token.revoked is None:
                self._tokens[token_id] = replace(token, revoked=_utc(now))
                self._note(team, who, Action.TOKEN_REVOKED, now, token_id, token.name)
            return self._tokens[token_id]

    def audit(self, query: AuditQuery) -> Sequence[AuditEntry]:
        with self._lock:
            known = list(self._audit.values())
        if query.after is not None:
            ids = [one.id if one.team == query.team else None for one in known]
            known = known[: ids.index(query.after)] if query.after in ids else []
        wanted = [one for one in reversed(known) if one.team == query.team and is_by(one.who, query.who)]
        return [one for one in wanted if query.action in (None, one.action)][: rows_wanted(query.limit)]

    def signing_key(self) -> bytes:
        return self._signing_key

    def attempts_among(self, version_ids: Collection[str]) -> Mapping[str, IngestionState]:
        with self._lock:
            given = {entry.version_id: self._ingestions[id].state for id, steps in self._history.items() for entry in steps}
        return {one: given[one] for one in version_ids if one in given}

    def uploads_among(self, version_ids: Collection[str]) -> frozenset[str]:
        with self._lock:
            return frozenset(one for one in version_ids if one in self._uploads)

    def store_keys(self) -> Iterable[tuple[str, bool]]:
        with self._lock:
            found = [
                (kept.new.id, kept.new.store is StoreMode.COPY and kept.deleted is None) for kept in self._versions.values()
            ]
        return iter(found)

    def _names(self, team: str | None) -> frozenset[str]:
        return frozenset({team} if team is not None else {one.name for one in self._teams.values()})

    def _promised(self, team: str, upload_id: str) -> _Promised | None:
        """Return the team's upload where it is neither given up nor registered."""
        promised = self._uploads.get(upload_id)
        if promised is None or promised.is_ended or promised.upload.said.team != team or upload_id in self._versions:
            return None
        return promised

    def _written_by(self, upload_id: str, writer: str) -> _Promised | None:
        promised = self._uploads.get(upload_id)
        is_theirs = promised is not None and promised.writer == writer and not promised.is_ended
        return promised if is_theirs else None

    def _lease_end(self, now: datetime) -> datetime:
        return _utc(now) + timedelta(seconds=self._lease_seconds)

    def _fulfilled(self, kept: _Kept) -> _Kept:
        """Return the version *kept*, with what was said when its id was promised, where it was."""
        promised = self._uploads.get(kept.new.id)
        if promised is not None:
            said = promised.upload.said
            kept.notes, kept.said_summary, kept.tags = said.notes, said.summary, set(said.tags)
        return kept

    def _free_ids(self) -> tuple[str, str]:
        """Return the ids of a new ingestion and of the version that it may register."""
        planned = {ingestion.version_id for ingestion in self._ingestions.values()}
        for _ in range(MAX_TRIES):
            ids = self._new_id(INGESTION_PREFIX, INGESTION_CHARS), self._new_id(VERSION_PREFIX, VERSION_CHARS)
            if ids[0] not in self._ingestions and ids[1] not in planned:
                return ids
        raise RegistryUnavailable(f"no free id in {MAX_TRIES} tries")

    def _same_event(self, known: str, event: CompletionEvent) -> Ingestion:
        ingestion = self._ingestions[known]
        if event_digest(ingestion.event) != event_digest(event):
            raise conflict(event, known)
        return ingestion

    def _next_turn(self, team: str) -> int:
        claimable = [one for one in self._ingestions.values() if one.state in lifecycle.CLAIMABLE]
        line = [one for one in claimable if one.turn < lifecycle.PAUSED]
        last = max((one.turn for one in line if one.event.team == team), default=0)
        return max(last + 1, min((one.turn for one in line), default=1))

    def _let_in(self, now: datetime) -> None:
        """Give those whose pauses are over their places in the line, as `registry.line` does."""
        over = [one for one in self._due(now) if one.turn >= lifecycle.PAUSED]
        for one in sorted(over, key=lambda one: one.turn):
            self._ingestions[one.id] = replace(one, turn=self._next_turn(one.event.team))

    def _claim(self, ingestion: Ingestion, owner: str, version_id: str, now: datetime) -> lifecycle.Move | None:
        return lifecycle.claim(ingestion, owner, version_id, _utc(now), self._lease_seconds)

    def _due(self, now: datetime) -> list[Ingestion]:
        claimable = (one for one in self._ingestions.values() if one.state in lifecycle.CLAIMABLE)
        return [one for one in claimable if one.run_after is None or one.run_after <= _utc(now)]

    def _unpaused(self, now: datetime) -> list[Ingestion]:
        """Return what may be claimed: what is due and not paused."""
        return [one for one in self._due(now) if not self.halts(one.event.team)]

    def _moved(self, ingestion_id: str, step: Callable[[Ingestion], lifecycle.Move | None]) -> Ingestion | None:
        with self._lock:
            ingestion = self._ingestions.get(ingestion_id)
            move = None if ingestion is None else step(ingestion)
            self._keep(ingestion, move)
            if move is not None:
                after = move.ingestion
                self.outbox.add(occurrences.of_move(move), after.event.team, after.id, None, after.updated)
            return None if move is None else move.ingestion

    def _moved_by_person(
        self,
        team: str,
        ingestion_id: str,
        step: Callable[[Ingestion], lifecycle.Move | None],
        action: Action,
        who: str,
        now: datetime,
        note: str | None,
    ) -> Ingestion | None:
        with self._lock:
            moved = self._moved(ingestion_id, lambda ingestion: step(ingestion) if ingestion.event.team == team else None)
            if moved is not None:
                self._note(team, who, action, now, ingestion_id, event_words(moved.event), **reasons(note))
            return moved

    def _note(
        self, team: str, who: str, action: Action, now: datetime, object_id: str, object_name: str, **details: Any
    ) -> None:
        """Keep what *who* did; called under the lock."""
        id = self._new_id(AUDIT_PREFIX, AUDIT_CHARS)
        kept = loads(json_text(details))
        self._audit[id] = AuditEntry(id, _utc(now), team, who, action, object_id, object_name, kept)

    def _keep(self, before: Ingestion | None, move: lifecycle.Move | None, format: str | None = None) -> None:
        if move is not None:
            self._ingestions[move.ingestion.id] = move.ingestion
            self._history.setdefault(move.ingestion.id, []).append(move.entry)
            self._counted.update(of_step(before, move, format))

    def _add(self, version: NewVersion, now: datetime) -> _Kept:
        first = next((id for id, kept in self._versions.items() if _is_equal_in_team(kept, version)), None)
        model = self._model_for(version)
        model.last_number += 1
        kept = _Kept(version, model, model.last_number, first, version.listing_key, now, _metrics_of(version))
        kept.mark, kept.held = version.mark, policy.stands(None, version.objection, now)
        self._versions[version.id] = kept
        return kept

    def _model_for(self, version: NewVersion) -> _Model:
        newest = self._newest(lambda kept: _holds(kept, version.scope))
        if version.is_generated_name and newest is not None:
            return newest.model
        team, project, name = version.scope.team, version.scope.project, version.model_name
        model = self._models.setdefault((team, project, name), _Model(team, project, name, is_generated=True))
        model.is_generated = model.is_generated and version.is_generated_name
        return model

    def _rename_model(self, model: _Model, name: str) -> None:
        if self._models.get((model.team, model.project, name), model) is not model:
            raise NameTaken(f"another model of the project {model.project} has the name {name}")
        del self._models[model.team, model.project, model.name]
        model.name, model.is_generated = name, False
        self._models[model.team, model.project, name] = model

    def _newest_first(self) -> Iterator[_Kept]:
        return (kept for kept in reversed(self._versions.values()) if kept.deleted is None)

    def _wanted(self, known: Iterable[_Kept], query: VersionQuery) -> Iterator[_Kept]:
        living = list(self._newest_first()) if query.is_latest else []
        if query.project is not None:
            query = replace(query, project=self._project_id(query.team, query.project))
        for kept in known:
            is_listed = kept.deleted is None and _matches(kept, query)
            if is_listed and (not query.is_latest or kept.number == _latest(kept.model, living)):
                yield kept

    def _up_to(self, last: _Kept, most: int) -> list[_Kept]:
        """Return the living versions among the last *most* numbers of a model up to *last*, oldest first."""
        numbers = range(last.number - most + 1, last.number + 1)
        found = (kept for kept in self._newest_first() if kept.model is last.model and kept.number in numbers)
        return sorted(found, key=lambda kept: kept.number)

    def _newest(self, matches: Callable[[_Kept], bool]) -> _Kept | None:
        return next(filter(matches, self._newest_first()), None)

    def _found(self, matches: Callable[[_Kept], bool]) -> ModelVersion | None:
        with self._lock:
            kept = self._newest(matches)
            return None if kept is None else kept.record()

    def _living(self, team: str, version_id: str) -> _Kept | None:
        kept = self._versions.get(version_id)
        return kept if kept is not None and kept.deleted is None and kept.model.team == team else None


def _utc(moment: datetime) -> datetime:
    """Return *moment* in UTC.

    Raises:
        ValueError: it has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with its zone, found {moment.isoformat()}")
    return moment.astimezone(UTC)


def _is_held(promised: _Promised, now: datetime) -> bool:
    return promised.writer is not None and promised.writer_until is not None and promised.writer_until > now


def _is_fresh(promised: _Promised, since: datetime) -> bool:
    return promised.upload.created >= since or (promised.writer_until is not None and promised.writer_until >= since)


def _failures(ingestions: Iterable[Ingestion]) -> list[FailureGroup]:
    by_reason: dict[str, list[Ingestion]] = {}
    for one in ingestions:
        if one.state is IngestionState.FAILED:
            by_reason.setdefault(one.reason or "", []).append(one)
    newest = {reason: max(reversed(found), key=lambda one: one.updated) for reason, found in by_reason.items()}
    groups = (FailureGroup(reason, len(found), newest[reason]) for reason, found in by_reason.items())
    return sorted(groups, key=lambda group: (-group.count, group.reason))[:MOST_REASONS]


def _answers_query(ingestion: Ingestion, query: IngestionQuery) -> bool:
    return (
        query.state in (None, ingestion.state)
        and query.experiment in (None, ingestion.event.experiment)
        and query.reason in (None, ingestion.reason)
        and query.trigger in (None, ingestion.event.trigger)
        and query.model_path in (None, ingestion.event.model_path)
        and query.format in (None, ingestion.format or NO_FORMAT)
    )


def _reported(kept: _Kept, name: str, session: str) -> float | None:
    metrics = (metric for metric in kept.metrics.values if (metric.name, metric.session) == (name, session))
    return next((metric.value for metric in metrics), None)


def _holds(kept: _Kept, scope: Scope) -> bool:
    return scope_key(kept.new.scope) == scope_key(scope)


def _is_equal_in_team(kept: _Kept, version: NewVersion) -> bool:
    return kept.deleted is None and kept.model.team == version.scope.team and kept.new.digest == version.digest


def _latest(model: _Model, found: Iterable[_Kept]) -> int:
    return max(kept.number for kept in found if kept.model is model)


def _is_readable(kept: _Kept, team: str) -> bool:
    return kept.model.team == team or kept.model.is_published


def _is_of_list(kept: _Kept, query: VersionQuery) -> bool:
    return kept.model.is_published if query.is_published else kept.model.team == query.team


def _ordered(known: Iterable[_Kept], order: Order) -> list[_Kept]:
    """Return the versions *known*, oldest first, in another order."""
    keys: dict[SortKey, Callable[[_Kept], Any]] = {
        SortKey.CREATED: lambda kept: 0,
        SortKey.NAME: lambda kept: folded(kept.model.name),
        SortKey.SIZE: lambda kept: kept.new.size_bytes,
        SortKey.METRIC: lambda kept: _value(kept, order),
    }
    has_key = [kept for kept in known if order.by is not SortKey.METRIC or _value(kept, order) is not None]
    lacking = [kept for kept in known if kept not in has_key] if order.by is SortKey.METRIC else []
    found = sorted(has_key, key=keys[order.by])
    return [*(reversed(found) if order.is_descending else found), *reversed(lacking)]


def _value(kept: _Kept, order: Order) -> float | None:
    return headlines(kept.metrics.values).get(order.metric or "")


def _behind(known: Iterable[_Kept], query: VersionQuery) -> Iterator[_Kept]:
    """Yield what stands behind the version that a page begins after, deleted or not; nothing where the list cannot hold it."""
    begun = dropwhile(lambda kept: kept.new.id != query.after or not _is_of_list(kept, query), known)
    return islice(begun, 1, None)


def _look(kept: _Kept) -> int:
    return look_of(kept.new, kept.is_quarantined, kept.new.gates)


def _matches(kept: _Kept, query: VersionQuery) -> bool:
    model, new = kept.model, kept.new
    return (
        _is_of_list(kept, query)
        and query.project in (None, model.project)
        and query.experiment in (None, new.scope.experiment)
        and query.model_type in (None, new.model_type)
        and query.name in (None, model.name)
        and kept.tags.issuperset(query.tags)
        and (query.tag is None or query.tag in kept.tags)
        and (query.attention is None or has_reason(_look(kept), query.attention))
        and (query.text is None or _means(query.text, kept))
    )


def _means(text: str, kept: _Kept) -> bool:
    """Tell whether *text* is part of a name or an experiment, a digest or its beginning, or an id."""
    meant, new = wanted(text), kept.new
    if any(meant.part in folded(name) for name in (kept.model.name, new.scope.experiment or "")):
        return True
    return text == new.id or (meant.digest is not None and new.digest.startswith(meant.digest))
