"""The registry in a database: a method is one transaction, whole or not at all, but for the two that `worker.ports` names.

Unique keys decide between processes that do the same at once. Who loses begins again, and then finds what the winner wrote;
so does whose connection was lost before its commit. On SQLite writers stand in line and nobody loses. What an ingestion may
do is asked of `worker.lifecycle`; what is written is in `rows` and `tables`.

Laws (each has a test of the same name):
    one event is one ingestion for many processes;
    one of many processes registers equal content;
    a statement that fails leaves nothing half-written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Row, Select, Table, and_, bindparam, delete, func, insert, null, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ColumnElement

from detectors.facts import Finding, Metrics, Severity
from worker import lifecycle, occurrences, policy
from worker.delivery import DeliveryKind
from worker.errors import ConflictingEvent, NameTaken, RegistryUnavailable, RejectedEvent
from worker.records import (
    UNSAID,
    Action,
    AuditEntry,
    AuditQuery,
    CompletionEvent,
    Count,
    End,
    FileDigest,
    GateResult,
    Halt,
    HistoryEntry,
    Ingestion,
    IngestionQuery,
    IngestionState,
    ModelVersion,
    NewUpload,
    NewVersion,
    Objection,
    Overview,
    Pause,
    Project,
    Pulse,
    Queue,
    Registration,
    Scope,
    Standing,
    StoreMode,
    Summary,
    Team,
    Token,
    TokenScope,
    Took,
    Trigger,
    Upload,
    VersionQuery,
    Worker,
)
from worker.registry import (
    access,
    audit,
    halts,
    jobs,
    listed,
    listing,
    pages,
    projects,
    quarantining,
    rows,
    shards,
    standing,
    steps,
    tables,
    tallies,
    uploads,
    versions,
)
from worker.registry.acceptance import Accepted, Submission, accept
from worker.registry.alone import alone
from worker.registry.care import SqlCare, removed_states
from worker.registry.counters import disagreements, of_content, of_step, of_steps
from worker.registry.endings import check_theirs, first_seen
from worker.registry.engine import BUSY_SECONDS, may_begin_again, open_engine, reading, reading_one, translated
from worker.registry.line import ARE_PAUSES_OVER, IN_LINE, let_in, next_turn
from worker.registry.outbox import SqlOutbox
from worker.registry.registering import insert_version, list_anew, nearest_in_scope
from worker.registry.tables import (
    claimable,
    ingestion_history,
    ingestions,
    model_versions,
    registered_models,
    version_files,
    version_findings,
    version_metrics,
    version_tags,
    workers,
)
from worker.registry.turns import Turns
from worker.registry.verified import SqlVerifications
from worker.registry.versions import LIVES
from worker.registry.words import (
    AUDIT_CHARS,
    AUDIT_PREFIX,
    INGESTION_CHARS,
    INGESTION_PREFIX,
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
    event_words,
    folded,
    is_searchable,
    message_words,
    queue_words,
    random_id,
    reasons,
    rows_wanted,
)
from worker.tokens import is_worth_noting

T = TypeVar("T")

MAX_NAMED = 1000
"""Ids that one statement names."""


class SqlRegistry:
    """`worker.ports.Registry` on SQLite or PostgreSQL. The tables must be there (`migrate`)."""

    def __init__(
        self,
        url: str,
        new_id: NewId = random_id,
        busy_seconds: float = BUSY_SECONDS,
        lease_seconds: float = lifecycle.LEASE_SECONDS,
        destinations: Destinations = MappingProxyType({}),
    ) -> None:
        self._lease_seconds = lease_seconds
        self.engine = open_engine(url, busy_seconds)
        self._reading, self._reading_one = reading(self.engine), reading_one(self.engine)
        self._turns = Turns(busy_seconds) if self.engine.dialect.name == "sqlite" else None
        self._new_id = new_id
        self._signing_key: bytes | None = None
        self.outbox = SqlOutbox(destinations, new_id, self._read, self._write)
        self.care = SqlCare(self._read, self._write, self.outbox, self._note_quarantine)
        self.verifications = SqlVerifications(self._read, self._write)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def now(self) -> datetime:
        if self.engine.dialect.name == "sqlite":  # all who share a file share a machine
            return datetime.now(UTC)
        found: datetime = self._read_one(lambda connection: connection.execute(SERVER_TIME).scalar_one())
        return found.astimezone(UTC)

    def submit(
        self, event: CompletionEvent, now: datetime, owner: str | None = None, end: End | None = None
    ) -> tuple[Ingestion, bool]:
        check_event(event)
        (answer,) = self._accept([Submission(event, now, owner, end)])
        if isinstance(answer, RejectedEvent):
            raise answer
        return answer

    def submit_all(
        self, events: Sequence[tuple[CompletionEvent, End | None]], now: datetime
    ) -> Sequence[tuple[Ingestion, bool] | RejectedEvent]:
        refused = [_refused(event) for event, _ in events]
        good = [Submission(event, now, None, end) for (event, end), no in zip(events, refused, strict=True) if no is None]
        accepted = iter(self._accept(good) if good else ())
        return [next(accepted) if no is None else no for no in refused]

    def claim(self, ingestion_id: str, owner: str, now: datetime) -> Ingestion | None:
        version_id = self._new_version_id()

        def work(connection: Connection) -> Ingestion | None:
            ingestion = _locked(connection, ingestion_id)
            if ingestion is None or (ingestion.owner != owner and halts.of_team(connection, ingestion.event.team)):
                return None
            return _kept(connection, ingestion, self._claim(ingestion, owner, version_id, now))

        return self._write(work)

    def claim_next(self, owner: str, now: datetime) -> Ingestion | None:
        version_id = self._new_version_id()

        def work(connection: Connection) -> Ingestion | None:
            due = _next_in_line(connection, now)
            return _kept(connection, due, None if due is None else self._claim(due, owner, version_id, now))

        return self._write(work)

    def beat(self, ingestion_id: str, owner: str, now: datetime) -> bool:
        given = {"beating": ingestion_id, "by": owner, "lease_until": now + timedelta(seconds=self._lease_seconds)}
        return self._write(lambda connection: connection.execute(BEAT, given).rowcount == 1)

    def wait(self, ingestion_id: str, owner: str, pause: Pause, now: datetime) -> bool:
        def step(ingestion: Ingestion) -> lifecycle.Move | None:
            return lifecycle.wait(ingestion, owner, pause, now, self._lease_seconds)

        return self._moved(ingestion_id, step) is not None

    def free(
        self,
        now: datetime,
        dead: Callable[[str], bool] = lambda owner: False,
        tell: Callable[[Ingestion], object] = lambda ingestion: None,
    ) -> Sequence[Ingestion]:
        gone = {one.owner for one in self.owned() if one.owner is not None and dead(one.owner)}

        def step(ingestion: Ingestion) -> lifecycle.Move | None:
            return lifecycle.free(ingestion, now, is_dead=ingestion.owner in gone)

        freed: list[Ingestion] = []
        failure: RegistryUnavailable | None = None
        for lost in (one for one in self.owned() if step(one)):
            try:
                moved = self._moved(lost.id, step)
            except RegistryUnavailable as exc:
                failure = exc
                continue
            if moved is not None:
                freed.append(moved)
                tell(moved)
        if failure is not None:
            raise failure
        return freed

    def sweeping(self) -> AbstractContextManager[bool]:
        return alone(self.engine)

    def retry(
        self, team: str, ingestion_id: str, who: str, now: datetime, note: str | None = None, traceparent: str | None = None
    ) -> Ingestion | None:
        def step(connection: Connection, ingestion: Ingestion) -> lifecycle.Move | None:
            move = lifecycle.retry(ingestion, who, now, next_turn(connection, team), traceparent)
            if move is not None and traceparent is not None:
                connection.execute(FOLLOW, {"following": ingestion_id, "said": rows.event_details(move.ingestion.event)})
            return move

        return self._moved_by_person(team, ingestion_id, step, Action.INGESTION_RETRIED, who, now, note)

    def discard(self, team: str, ingestion_id: str, who: str, now: datetime, note: str | None = None) -> Ingestion | None:
        def step(connection: Connection, ingestion: Ingestion) -> lifecycle.Move | None:
            return lifecycle.discard(ingestion, who, now)

        return self._moved_by_person(team, ingestion_id, step, Action.INGESTION_DISCARDED, who, now, note)

    def finish(self, ingestion_id: str, owner: str, end: End, now: datetime) -> bool:
        if end.state is IngestionState.REGISTERED:
            raise ValueError("an ingestion becomes registered by register() alone")
        return self._moved(ingestion_id, lambda ingestion: lifecycle.end(ingestion, owner, end, now)) is not None

    def register(self, ingestion_id: str, owner: str, version: NewVersion, now: datetime) -> Registration | None:
        check_version(version)

        def work(connection: Connection) -> Registration | None:
            ingestion = _locked(connection, ingestion_id)
            if ingestion is None or not lifecycle.may_move(ingestion, IngestionState.REGISTERED, owner):
                return None
            check_theirs(ingestion, version)
            nearest = nearest_in_scope(connection, version)
            if nearest is not None and nearest.digest == version.digest:
                known, was_serious, is_put = list_anew(connection, nearest.id, version, now)
                if is_put:
                    self._note_quarantine(connection, known, version.objection, now)
                told = occurrences.of_judgement(version.findings, was_serious, is_put)
                team, gates = version.scope.team, occurrences.of_gates(version.gates)
                self.outbox.add(connection, told, team, ingestion_id, nearest.id, now)
                self.outbox.add_once(connection, gates, team, ingestion_id, nearest.id, now)
                shards.add(connection, of_content(version, is_new=False))
                return Registration(known, is_new=False)
            model = None if nearest is None else int(nearest.model)
            registered = insert_version(connection, ingestion_id, version, model, now)
            if ingestion.event.trigger is Trigger.UPLOAD:
                uploads.fulfil(connection, version.id)
                registered = versions.by_id(connection, version.id) or registered
            if registered.is_quarantined:
                self._note_quarantine(connection, registered, version.objection, now)
            told = occurrences.of_version(version)
            self.outbox.add(connection, told, version.scope.team, ingestion_id, version.id, now)
            _end(connection, ingestion, lifecycle.end(ingestion, owner, first_seen(registered), now), version)
            return Registration(registered, is_new=True)

        return self._write(work)

    def same_listing(self, scope: Scope, listing_key: str) -> ModelVersion | None:
        if not self._read_one(lambda connection: versions.is_listed(connection, scope, listing_key)):
            return None  # as most often
        return self._read(lambda connection: versions.same_listing(connection, scope, listing_key))

    def kept_at(self, version_id: str, store: StoreMode, url: str, location: str) -> None:
        values = {"store": store.value, "url": url, "location": location, **rows.files_values(None, None)}
        statement = update(model_versions).where(model_versions.c.id == version_id)
        self._write(lambda connection: connection.execute(statement, values))

    def note_gates(self, version: ModelVersion, gates: Sequence[GateResult], ingestion_id: str, now: datetime) -> None:
        statement = update(model_versions).where(model_versions.c.id == version.id).returning(model_versions.c.sequence)

        def work(connection: Connection) -> None:
            sequence = connection.execute(statement, rows.gates_values(gates)).scalar_one_or_none()
            if sequence is not None:
                listed.judge_gates(connection, sequence, gates)
                told = occurrences.of_gates(gates)
                self.outbox.add_once(connection, told, version.team, ingestion_id, version.id, now)

        self._write(work)

    def predecessor(self, version: NewVersion) -> ModelVersion | None:
        found = self._read_one(lambda connection: versions.predecessor(connection, version))
        return None if found is None else self.version(version.scope.team, found)

    def owned(self) -> Sequence[Ingestion]:
        statement = select(ingestions).where(IS_OWNED).order_by(ingestions.c.sequence)
        return self._read(lambda connection: [rows.ingestion_of(row) for row in connection.execute(statement)])

    def queue(self, now: datetime, team: str | None = None) -> Queue:
        theirs = () if team is None else (ingestions.c.team == team,)
        columns = select(ingestions.c.state, func.count(), func.min(ingestions.c.created))
        counted = columns.where(*theirs).group_by(ingestions.c.state)
        due = select(func.count()).where(*_is_due(now), *theirs)

        def work(connection: Connection) -> Queue:
            found = {IngestionState(state): (count, oldest) for state, count, oldest in connection.execute(counted)}
            unfinished = [oldest for state, (_, oldest) in found.items() if not lifecycle.is_end(state)]
            states = {state: count for state, (count, _) in found.items()}
            return Queue(states, connection.execute(due).scalar_one(), min(unfinished, default=None))

        return self._read(work)

    def standing(self, team: str | None, now: datetime, since: datetime) -> Standing:
        return self._read(lambda connection: standing.standing(connection, team, now, since))

    def contradictions(self, now: datetime) -> Sequence[str]:
        has_version = select(model_versions.c.id).where(model_versions.c.ingestion_id == ingestions.c.id).exists()
        runs = ingestions.c.state == IngestionState.RUNNING.value
        is_registered = ingestions.c.state == IngestionState.REGISTERED.value
        is_odd = or_(runs, ingestions.c.owner.is_not(None), ingestions.c.lease_until.is_not(None), has_version != is_registered)
        statement = select(ingestions, has_version.label("has_version")).where(is_odd).order_by(ingestions.c.sequence)

        def work(connection: Connection) -> list[str]:
            found = connection.execute(statement)
            said = (self._contradiction(rows.ingestion_of(row), bool(row.has_version), now) for row in found)
            states = Counter({IngestionState(state): count for state, count in connection.execute(STATES)})
            states += removed_states(connection)
            wrong = [sentence for sentence in said if sentence is not None]
            return [*wrong, *disagreements(shards.read(connection), states)]

        return self._read(work)

    def counters(self) -> Sequence[Count]:
        return self._read_one(shards.read)

    def took(self, steps: Sequence[Took]) -> None:
        self._write(lambda connection: shards.add(connection, of_steps(steps)))

    def pulse(self, now: datetime, since: datetime) -> Pulse:
        is_theirs = ingestions.c.team.not_in(halts.PAUSED_TEAMS)
        since_when = func.min(func.coalesce(ingestions.c.run_after, ingestions.c.updated))
        due = select(func.count(), since_when).where(*_is_due(now), is_theirs)

        def work(connection: Connection) -> Pulse:
            in_flight, pausing = Counter[IngestionState](), Counter[str]()
            for state, reason, count in connection.execute(IN_FLIGHT):
                in_flight[IngestionState(state)] += count
                if state == IngestionState.WAITING.value:
                    pausing[reason or ""] += count
            count, due_since = connection.execute(due).one()
            paused = halts.paused(connection)
            told = shards.read(connection), in_flight, pausing, count, due_since, _workers(connection, since)
            return Pulse(*told, halts.ALL in paused, len(paused - {halts.ALL}))

        return self._read(work)

    def is_due(self, now: datetime) -> bool:
        found = self._read_one(lambda connection: connection.execute(IS_ANY_DUE, {"now": now}).one())
        if not (found.is_due and found.is_paused):
            return bool(found.is_due)
        given = {"until": lifecycle.paused_turn(now)}
        return self._read_one(lambda connection: bool(connection.execute(halts.IS_OTHER_DUE, given).scalar_one()))

    def pause_queue(self, team: str, is_all: bool, now: datetime, who: str = UNSAID, note: str | None = None) -> Halt | None:
        of = None if is_all else team

        def work(connection: Connection) -> Halt | None:
            begun = halts.begin(connection, of, now, who, note)
            if begun is not None:
                self._note(connection, team, who, Action.QUEUE_PAUSED, now, QUEUE, queue_words(of), **reasons(note))
            return begun

        return self._write(work)

    def resume_queue(self, team: str, is_all: bool, now: datetime, who: str = UNSAID, note: str | None = None) -> Halt | None:
        of = None if is_all else team

        def work(connection: Connection) -> Halt | None:
            was = halts.end(connection, of)
            if was is not None:
                self._note(connection, team, who, Action.QUEUE_RESUMED, now, QUEUE, queue_words(of), **reasons(note, was))
            return was

        return self._write(work)

    def note_removal(
        self, team: str, message_id: str | None, now: datetime, who: str = UNSAID, note: str | None = None
    ) -> None:
        told = (message_id or QUEUE, message_words(message_id))
        self._write(lambda connection: self._note(connection, team, who, Action.MESSAGE_REMOVED, now, *told, **reasons(note)))

    def halts(self, team: str | None) -> Sequence[Halt]:
        return self._read_one(lambda connection: halts.of_team(connection, team))

    def see(self, worker: Worker) -> None:
        values = asdict(worker)

        def work(connection: Connection) -> None:
            known = update(workers).where(workers.c.name == worker.name)
            if connection.execute(known, values).rowcount == 0:
                connection.execute(insert(workers), values)

        self._write(work)

    def leave(self, name: str) -> None:
        self._write(lambda connection: connection.execute(delete(workers).where(workers.c.name == name)))

    def workers(self, since: datetime) -> Sequence[Worker]:
        return self._read(lambda connection: _workers(connection, since))

    def ingestions(self, query: IngestionQuery) -> Sequence[Ingestion]:
        return self._read(lambda connection: jobs.listed(connection, query, rows_wanted(query.limit)))

    def count_ingestions(self, query: IngestionQuery) -> int:
        return self._read_one(lambda connection: jobs.count(connection, query))

    def ingestion(self, team: str | None, ingestion_id: str) -> Ingestion | None:
        given = {"team": team, "id": ingestion_id}
        return self._read_one(lambda connection: _ingestion(connection, ANYBODYS if team is None else THEIRS, given))

    def history(self, ingestion_id: str) -> Sequence[HistoryEntry]:
        table = ingestion_history
        statement = select(table).where(table.c.ingestion_id == ingestion_id).order_by(table.c.sequence)
        return self._read(lambda connection: [rows.history_of(row) for row in connection.execute(statement)])

    def versions(self, query: VersionQuery) -> Sequence[ModelVersion]:
        if query.text is not None and not is_searchable(query.text):
            return []
        return self._read(lambda connection: versions.listed(connection, query, rows_wanted(query.limit)))

    def count(self, query: VersionQuery) -> int:
        if query.text is not None and not is_searchable(query.text):
            return 0
        return self._read_one(lambda connection: pages.count(connection, query))

    def overview(self, team: str) -> Overview:
        return listing.overview(self._read_one(lambda connection: tallies.read(connection, team)))

    def tags(self, team: str) -> Sequence[str]:
        return self._read_one(lambda connection: versions.tags_of(connection, team))

    def metric_names(self, team: str) -> Sequence[str]:
        return self._read_one(lambda connection: versions.metric_names(connection, team))

    def courses(self, wanted: Mapping[str, tuple[str, str]], most: int) -> Mapping[str, Sequence[float | None]]:
        ids, found = sorted(wanted), dict[str, Sequence[float | None]]()
        for start in range(0, len(ids), MAX_NAMED):
            some = {id: wanted[id] for id in ids[start : start + MAX_NAMED]}
            found |= self._read(partial(versions.courses, wanted=some, most=most))
        return found

    def summaries(self, version_ids: Collection[str], is_brief: bool = False) -> Mapping[str, Summary]:
        ids, found = sorted(version_ids), dict[str, Summary]()
        detail = null().label("detail") if is_brief else model_versions.c.detail
        columns = select(model_versions.c.id, model_versions.c.summary, detail)
        for start in range(0, len(ids), MAX_NAMED):
            statement = columns.where(model_versions.c.id.in_(ids[start : start + MAX_NAMED]))
            some = self._read(partial(_rows, statement=statement))
            found |= {row.id: Summary(row.summary, tuple(row.detail or ())) for row in some}
        return found

    def named(self, team: str, name: str, number: int | None = None) -> Sequence[ModelVersion]:
        return self._read(lambda connection: versions.named(connection, team, name, number))

    def version(self, team: str, version_id: str) -> ModelVersion | None:
        return self._read(lambda connection: versions.living(connection, team, version_id))

    def readable(self, team: str, version_id: str) -> ModelVersion | None:
        return self._read(lambda connection: versions.readable(connection, team, version_id))

    def files(self, version_id: str) -> Sequence[FileDigest]:
        return self._parts(version_files, version_id, rows.file_of)

    def metrics(self, version_id: str) -> Metrics | None:
        columns = select(model_versions.c.summary, model_versions.c.detail)

        def work(connection: Connection) -> Metrics | None:
            row = connection.execute(columns.where(model_versions.c.id == version_id)).one_or_none()
            if row is None:
                return None
            values = connection.execute(_in_order(version_metrics, version_id))
            return Metrics(tuple(rows.metric_of(value) for value in values), row.summary, tuple(row.detail))

        return self._read(work)

    def severities(self, version_ids: Collection[str]) -> Mapping[str, Mapping[Severity, int]]:
        ids, found = sorted(version_ids), dict[str, dict[Severity, int]]()
        of, severity = version_findings.c.version_id, version_findings.c.severity
        for start in range(0, len(ids), MAX_NAMED):
            some = of.in_(ids[start : start + MAX_NAMED])
            counts = select(of, severity, func.count().label("amount")).where(some).group_by(of, severity)
            for row in self._read(partial(_rows, statement=counts)):
                found.setdefault(row.version_id, {})[Severity(row.severity)] = row.amount
        return found

    def findings(self, version_id: str) -> Sequence[Finding]:
        return self._parts(version_findings, version_id, rows.finding_of)

    def origin(self, version_id: str) -> Ingestion | None:
        return self._read(lambda connection: _ingestion(connection, ORIGIN, {"id": version_id}))

    def metadata(self, version_id: str) -> bytes | None:
        statement = select(model_versions.c.metadata_raw).where(model_versions.c.id == version_id)
        return self._read(lambda connection: connection.execute(statement).scalar_one_or_none())

    def rename(self, team: str, version_id: str, name: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        check_name("model name", name)

        def work(connection: Connection) -> ModelVersion | None:
            version = versions.living(connection, team, version_id)
            if version is None:
                return None
            _rename_model(connection, version, name, now)
            if name != version.model_name or version.is_generated_name:
                before = version.model_name
                self._note(connection, team, who, Action.MODEL_RENAMED, now, version_id, name, before=before)
            return versions.living(connection, team, version_id)

        return self._write(work)

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

        def work(connection: Connection) -> ModelVersion | None:
            version = versions.living(connection, team, version_id)
            if version is None:
                return None
            _set_tags(connection, version, wanted - unwanted, unwanted)
            if changes := changed_tags(version.tags, wanted - unwanted, unwanted):
                self._note(connection, team, who, Action.VERSION_TAGGED, at, version_id, called(version), **changes)
            return versions.living(connection, team, version_id)

        return self._write(work)

    def note(self, team: str, version_id: str, notes: str | None, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        def work(connection: Connection) -> ModelVersion | None:
            version = versions.living(connection, team, version_id)
            if version is None or version.notes == notes:
                return version
            theirs = (LIVES, model_versions.c.team == team, model_versions.c.id == version_id)
            if connection.execute(update(model_versions).where(*theirs), {"notes": notes}).rowcount:
                self._note(connection, team, who, Action.VERSION_NOTED, now, version_id, called(version))
            return versions.living(connection, team, version_id)

        return self._write(work)

    def delete(self, team: str, version_id: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        def work(connection: Connection) -> ModelVersion | None:
            theirs = (LIVES, model_versions.c.team == team, model_versions.c.id == version_id)
            if _locked_model(connection, theirs) is None:
                return None
            changed = update(model_versions).where(*theirs).values(deleted=now).returning(model_versions.c.sequence)
            sequence = connection.execute(changed).scalar_one_or_none()
            if sequence is None:  # another was first
                return None
            listed.remove(connection, sequence, version_id)
            deleted = versions.by_id(connection, version_id)
            assert deleted is not None, version_id
            self._note(connection, team, who, Action.VERSION_DELETED, now, version_id, called(deleted))
            self.outbox.add(connection, [DeliveryKind.DELETED], team, None, version_id, now)
            return deleted

        return self._write(work)

    def publish(self, team: str, version_id: str, is_published: bool, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        def work(connection: Connection) -> ModelVersion | None:
            model = _locked_model(connection, (LIVES, model_versions.c.team == team, model_versions.c.id == version_id))
            version = None if model is None else versions.living(connection, team, version_id)
            if model is None or version is None or version.is_published == is_published:
                return version
            changed = update(registered_models).where(registered_models.c.sequence == model)
            connection.execute(changed, {"is_published": is_published, "updated": now})
            listed.publish(connection, model, is_published)
            action = Action.MODEL_PUBLISHED if is_published else Action.MODEL_WITHDRAWN
            self._note(connection, team, who, action, now, version_id, version.model_name)
            return versions.living(connection, team, version_id)

        return self._write(work)

    def release(self, team: str, version_id: str, reason: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        def work(connection: Connection) -> ModelVersion | None:
            theirs = (LIVES, model_versions.c.team == team, model_versions.c.id == version_id)
            if _locked_model(connection, theirs) is None:
                return None
            held = quarantining.standing(connection, version_id)
            if held is not None and held.released is None:
                quarantining.keep(connection, version_id, policy.released(held, now, who, reason))
                sequence = connection.execute(select(model_versions.c.sequence).where(*theirs)).scalar_one()
                listed.release(connection, sequence)
                self.outbox.add(connection, [DeliveryKind.RELEASED], team, None, version_id, now)
            version = versions.living(connection, team, version_id)
            if version is not None and held is not None and held.released is None:
                told = {"reason": reason, "why": held.why}
                self._note(connection, team, who, Action.VERSION_RELEASED, now, version_id, called(version), **told)
            return version

        return self._write(work)

    def note_taking(self, team: str, version_id: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        def work(connection: Connection) -> ModelVersion | None:
            version = versions.living(connection, team, version_id)
            if version is not None and version.held is not None and version.is_quarantined:
                told = {"why": version.held.why}
                self._note(connection, team, who, Action.VERSION_TAKEN, now, version_id, called(version), **told)
            return version

        return self._write(work)

    def begin_upload(self, said: NewUpload, now: datetime, who: str = UNSAID) -> Upload:
        check_upload(said)

        def work(connection: Connection) -> Upload:
            begun = uploads.begin(connection, Upload(self._new_version_id(), said, now))
            self._note(connection, said.team, who, Action.UPLOAD_BEGUN, now, begun.id, said.name or begun.id)
            return begun

        return self._write(work)

    def upload(self, team: str, upload_id: str) -> Upload | None:
        return self._read_one(lambda connection: uploads.living(connection, team, upload_id))

    def take_upload(self, team: str, upload_id: str, writer: str, now: datetime) -> bool:
        return self._write(lambda connection: uploads.take(connection, team, upload_id, writer, now, self._lease_seconds))

    def beat_upload(self, upload_id: str, writer: str, now: datetime) -> bool:
        return self._write(lambda connection: uploads.beat(connection, upload_id, writer, now, self._lease_seconds))

    def leave_upload(self, upload_id: str, writer: str) -> None:
        self._write(lambda connection: uploads.leave(connection, upload_id, writer))

    def seal_upload(self, upload_id: str, writer: str, event: CompletionEvent, now: datetime) -> Ingestion | None:
        check_event(event)

        def work(connection: Connection) -> Ingestion | None:
            if not uploads.seal(connection, upload_id, writer, now):
                return None
            (answer,) = accept(connection, [Submission(event, now, None, None)], self._new_ids, self._lease_seconds)
            if isinstance(answer, ConflictingEvent):
                raise answer
            return answer[0]

        return self._write(work)

    def tag_upload(self, team: str, upload_id: str, tags: Iterable[str], now: datetime, who: str = UNSAID) -> Upload | None:
        wanted = sorted(set(tags))
        for tag in wanted:
            check_name("tag", tag)

        def work(connection: Connection) -> Upload | None:
            found = uploads.locked(connection, team, upload_id)
            if found is None or list(found.said.tags) == wanted:
                return found
            uploads.tag(connection, upload_id, wanted)
            name = found.said.name or upload_id
            self._note(connection, team, who, Action.UPLOAD_TAGGED, now, upload_id, name, tags=wanted)
            return uploads.living(connection, team, upload_id)

        return self._write(work)

    def end_upload(self, team: str, upload_id: str, now: datetime, who: str = UNSAID) -> Upload | None:
        def work(connection: Connection) -> Upload | None:
            ended = uploads.locked(connection, team, upload_id)
            if ended is not None:
                uploads.end(connection, upload_id, now)
                self._note(connection, team, who, Action.UPLOAD_ENDED, now, upload_id, ended.said.name or upload_id)
            return ended

        return self._write(work)

    def kept_uploads(self, since: datetime) -> frozenset[str]:
        return frozenset(self._read(partial(_all, statement=uploads.kept(since))))

    def create_team(self, name: str, now: datetime, who: str = UNSAID) -> Team | None:
        check_name("team", name)

        def work(connection: Connection) -> Team | None:
            made = access.create_team(connection, name, now)
            if made is not None:
                self._note(connection, name, who, Action.TEAM_CREATED, now, name, name)
            return made

        return self._write(work)

    def teams(self) -> Sequence[Team]:
        return self._read(access.all_teams)

    def projects(self, team: str) -> Sequence[Project]:
        return self._read_one(lambda connection: projects.all_of(connection, team))

    def project(self, team: str, name: str) -> Project | None:
        return self._read_one(lambda connection: projects.find(connection, team, name))

    def renamed_projects(self, team: str) -> Mapping[str, str]:
        return self._read_one(lambda connection: projects.renamed(connection, team))

    def create_project(self, team: str, name: str, now: datetime, who: str = UNSAID) -> Project | None:
        check_name("project", name)

        def work(connection: Connection) -> Project | None:
            made = projects.create(connection, team, name, now)
            if made is not None:
                self._note(connection, team, who, Action.PROJECT_CREATED, now, name, name)
            return made

        return self._write(work)

    def rename_project(self, team: str, name: str, new_name: str, now: datetime, who: str = UNSAID) -> Project | None:
        check_name("project", new_name)

        def work(connection: Connection) -> Project | None:
            project = projects.find(connection, team, name, is_locked=True)
            if project is None or project.name == new_name:
                return project
            renamed = projects.rename(connection, project, new_name)
            self._note(connection, team, who, Action.PROJECT_RENAMED, now, project.id, new_name, before=project.name)
            return renamed

        return self._write(work)

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

        def work(connection: Connection) -> Token | None:
            token_id = self._new_id(TOKEN_PREFIX, TOKEN_CHARS)
            made = access.create_token(connection, Token(token_id, team, name, digest, scopes, now, expires))
            if made is not None:
                self._note(connection, team, who, Action.TOKEN_CREATED, now, token_id, name, scopes=sorted(scopes))
            return made

        return self._write(work)

    def token_by_digest(self, digest: str, now: datetime) -> Token | None:
        token = self._read_one(lambda connection: access.token_by_digest(connection, digest))
        if token is None or not is_worth_noting(token, now):
            return token
        with suppress(RegistryUnavailable):
            return self._write(lambda connection: access.touch(connection, token, now))
        return token

    def tokens(self, team: str) -> Sequence[Token]:
        return self._read(lambda connection: access.tokens_of(connection, team))

    def has_tokens(self) -> bool:
        return self._read_one(access.has_tokens)

    def revoke_token(self, team: str, token_id: str, now: datetime, who: str = UNSAID) -> Token | None:
        def work(connection: Connection) -> Token | None:
            token, is_changed = access.revoke_token(connection, team, token_id, now)
            if token is not None and is_changed:
                self._note(connection, team, who, Action.TOKEN_REVOKED, now, token_id, token.name)
            return token

        return self._write(work)

    def audit(self, query: AuditQuery) -> Sequence[AuditEntry]:
        return self._read_one(lambda connection: audit.entries(connection, query))

    def signing_key(self) -> bytes:
        if self._signing_key is None:  # it never changes, and a look for it is a transaction that writes
            self._signing_key = self._write(access.signing_key)
        return self._signing_key

    def attempts_among(self, version_ids: Collection[str]) -> Mapping[str, IngestionState]:
        column, ids, found = ingestion_history.c.version_id, sorted(version_ids), dict[str, IngestionState]()
        attempts = select(column, ingestions.c.state).join_from(ingestion_history, ingestions)
        for start in range(0, len(ids), MAX_NAMED):
            statement = attempts.where(column.in_(ids[start : start + MAX_NAMED]))
            for row in self._read(partial(_rows, statement=statement)):
                found[row.version_id] = IngestionState(row.state)
        return found

    def uploads_among(self, version_ids: Collection[str]) -> frozenset[str]:
        column, ids, found = tables.uploads.c.id, sorted(version_ids), set[str]()
        for start in range(0, len(ids), MAX_NAMED):
            statement = select(column).where(column.in_(ids[start : start + MAX_NAMED]))
            found.update(self._read(partial(_all, statement=statement)))
        return frozenset(found)

    def store_keys(self) -> Iterable[tuple[str, bool]]:
        columns = select(model_versions.c.id, model_versions.c.store, model_versions.c.deleted)
        statement = columns.order_by(model_versions.c.sequence)
        found = self._read(lambda connection: connection.execute(statement).all())
        return ((row.id, row.store == StoreMode.COPY.value and row.deleted is None) for row in found)

    def _read(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* gives in one transaction that writes nothing."""
        return _done(self._reading, work)

    def _read_one(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* gives, which is one statement and writes nothing."""
        return _done(self._reading_one, work)

    def _write(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* gives in one transaction."""
        with nullcontext() if self._turns is None else self._turns.taken():
            return _done(self.engine, work)

    def _moved(self, ingestion_id: str, step: Callable[[Ingestion], lifecycle.Move | None]) -> Ingestion | None:
        """Take a step of an ingestion and return how it stands then; None, and nothing changed, where it may not be taken."""

        def work(connection: Connection) -> Ingestion | None:
            ingestion = _locked(connection, ingestion_id)
            move = None if ingestion is None else step(ingestion)
            if move is not None:
                after = move.ingestion
                self.outbox.add(connection, occurrences.of_move(move), after.event.team, after.id, None, after.updated)
            return _kept(connection, ingestion, move)

        return self._write(work)

    def _moved_by_person(
        self,
        team: str,
        ingestion_id: str,
        step: Callable[[Connection, Ingestion], lifecycle.Move | None],
        action: Action,
        who: str,
        now: datetime,
        note: str | None,
    ) -> Ingestion | None:
        """Take a step of the team's ingestion for *who*; None, and nothing changed, where it may not be taken."""

        def work(connection: Connection) -> Ingestion | None:
            ingestion = _locked(connection, ingestion_id)
            if ingestion is None or ingestion.event.team != team:
                return None
            move = step(connection, ingestion)
            if move is not None:
                self._note(connection, team, who, action, now, ingestion_id, event_words(ingestion.event), **reasons(note))
            return _kept(connection, ingestion, move)

        return self._write(work)

    def _note(
        self,
        connection: Connection,
        team: str,
        who: str,
        action: Action,
        now: datetime,
        object_id: str,
        object_name: str,
        **details: Any,
    ) -> None:
        """Write what *who* does in this transaction."""
        id = self._new_id(AUDIT_PREFIX, AUDIT_CHARS)
        audit.note(connection, AuditEntry(id, now, team, who, action, object_id, object_name, details))

    def _note_quarantine(
        self, connection: Connection, version: ModelVersion, objection: Objection | None, now: datetime
    ) -> None:
        """Write that the policy put *version* into quarantine in this transaction."""
        why, action = "" if objection is None else objection.why, Action.VERSION_QUARANTINED
        self._note(connection, version.team, POLICY, action, now, version.id, called(version), why=why)

    def _accept(self, submissions: Sequence[Submission]) -> Sequence[Accepted | ConflictingEvent]:
        """Accept what came together in one transaction; one commit takes the disk as long as fifty do."""
        return self._write(lambda connection: accept(connection, submissions, self._new_ids, self._lease_seconds))

    def _new_ids(self) -> tuple[str, str]:
        return self._new_id(INGESTION_PREFIX, INGESTION_CHARS), self._new_version_id()

    def _claim(self, ingestion: Ingestion, owner: str, version_id: str, now: datetime) -> lifecycle.Move | None:
        return lifecycle.claim(ingestion, owner, version_id, now, self._lease_seconds)

    def _contradiction(self, ingestion: Ingestion, has_version: bool, now: datetime) -> str | None:
        return lifecycle.contradiction(ingestion, has_version, now, self._lease_seconds)

    def _new_version_id(self) -> str:
        return self._new_id(VERSION_PREFIX, VERSION_CHARS)

    def _parts(self, table: Table, version_id: str, record: Callable[[Any], T]) -> Sequence[T]:
        """Return the rows of *table* that belong to a version, in the order of their positions, as records."""
        statement = _in_order(table, version_id)
        return self._read(lambda connection: [record(row) for row in connection.execute(statement)])


def _done(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Return what *work* gives in one transaction; begin again where it was taken back and may go well then."""
    tries = 0
    with translated():
        while True:
            tries, is_committing = tries + 1, False
            try:
                with engine.begin() as connection:
                    answer = work(connection)
                    is_committing = True
                return answer
            except DBAPIError as exc:
                if tries == MAX_TRIES or not may_begin_again(exc, is_committing):
                    raise


def _refused(event: CompletionEvent) -> RejectedEvent | None:
    """Return why *event* cannot be kept, None where it can."""
    try:
        check_event(event)
    except RejectedEvent as exc:
        return exc
    return None


def _is_due(now: Any) -> tuple[ColumnElement[bool], ...]:
    may_begin = ingestions.c.run_after.is_(None) | (ingestions.c.run_after <= now)
    return claimable(), may_begin


STATES = select(ingestions.c.state, func.count()).group_by(ingestions.c.state)

IN_FLIGHT = (
    select(ingestions.c.state, ingestions.c.reason, func.count())
    .where(ingestions.c.state.in_([state.value for state in IngestionState if not lifecycle.is_end(state)]))
    .group_by(ingestions.c.state, ingestions.c.reason)
)

IS_OWNED = or_(
    ingestions.c.state == IngestionState.RUNNING.value,
    and_(ingestions.c.state == IngestionState.WAITING.value, ingestions.c.owner.is_not(None)),
)
"""The second line is what a person watches while it waits for its files."""

SERVER_TIME = select(func.clock_timestamp())
"""The time by PostgreSQL's clock when it answers, not when the transaction began."""

NOW = bindparam("now", type_=ingestions.c.run_after.type)

NEXT = (
    select(ingestions, ARE_PAUSES_OVER)
    .where(*_is_due(NOW), IN_LINE, ~halts.IS_ANY)
    .order_by(ingestions.c.turn, ingestions.c.sequence)
    .limit(1)
    .with_for_update(skip_locked=True)
)
"""The ingestion whose turn it is, kept from everybody else until the transaction ends; and whether others are to be let in.
None where anything is paused."""

NEXT_OF_TEAM = (
    select(ingestions)
    .where(*_is_due(NOW), IN_LINE, ingestions.c.team == bindparam("team"))
    .order_by(ingestions.c.turn, ingestions.c.sequence)
    .limit(1)
    .with_for_update(skip_locked=True)
)

IS_ANY_DUE = select(
    select(ingestions.c.sequence).where(*_is_due(NOW)).exists().label("is_due"), halts.IS_ANY.label("is_paused")
)
"""Whether any ingestion is due, and whether anything is paused."""

FOLLOW = update(ingestions).where(ingestions.c.id == bindparam("following")).values(details=bindparam("said"))
"""Lets the attempts of an ingestion follow from another span: what its event says stays as it is."""

BEAT = update(ingestions).where(
    ingestions.c.id == bindparam("beating"),
    ingestions.c.owner == bindparam("by"),
    ingestions.c.state == IngestionState.RUNNING.value,  # what pauses for a person has an owner too, and no work to beat for
)


def _next_in_line(connection: Connection, now: datetime) -> Ingestion | None:
    """Return the ingestion whose turn it is after those whose pauses are over were let in; None where nothing is due."""
    given = {"now": now, "until": lifecycle.paused_turn(now)}
    row = connection.execute(NEXT, given).one_or_none()
    if row is None and (paused := halts.paused(connection)):
        return None if halts.ALL in paused else _next_of_others(connection, now)
    if (row is None or row.are_pauses_over) and let_in(connection, now):
        row = connection.execute(NEXT, given).one_or_none()
    return None if row is None else rows.ingestion_of(row)


def _next_of_others(connection: Connection, now: datetime) -> Ingestion | None:
    """Return the ingestion whose turn it is among the teams that are not paused."""
    let_in(connection, now)
    for team in halts.in_turn(connection):
        found = _ingestion(connection, NEXT_OF_TEAM, {"now": now, "team": team})
        if found is not None:
            return found
    return None


def _ingestion(connection: Connection, statement: Select[Any], given: Mapping[str, Any]) -> Ingestion | None:
    """Return the only ingestion that *statement* finds with the parameters *given*, or None."""
    row = connection.execute(statement, given).one_or_none()
    return None if row is None else rows.ingestion_of(row)


ORIGIN = select(ingestions).join(model_versions).where(model_versions.c.id == bindparam("id"))
ANYBODYS = select(ingestions).where(ingestions.c.id == bindparam("id"))
THEIRS = select(ingestions).where(ingestions.c.team == bindparam("team"), ingestions.c.id == bindparam("id"))


def _workers(connection: Connection, since: datetime) -> list[Worker]:
    statement = select(workers).where(workers.c.seen >= since).order_by(workers.c.name)
    return [Worker(**row._mapping) for row in connection.execute(statement)]


def _locked(connection: Connection, ingestion_id: str) -> Ingestion | None:
    """Return an ingestion that nobody else changes before this transaction ends (on SQLite, all writers wait anyway)."""
    return _ingestion(connection, LOCKED, {"id": ingestion_id})


LOCKED = select(ingestions).where(ingestions.c.id == bindparam("id")).with_for_update()


def _kept(connection: Connection, before: Ingestion | None, move: lifecycle.Move | None) -> Ingestion | None:
    """Write where an ingestion stands after *move*, the line of its history, and what is counted; nothing for None.

    It is the last that a transaction writes.
    """
    if move is None:
        return None
    steps.write(connection, move, of_step(before, move))
    return move.ingestion


def _end(connection: Connection, before: Ingestion, move: lifecycle.Move | None, version: NewVersion) -> None:
    """Write that an ingestion has ended with a new *version*; nothing for None. It is the last that a transaction writes."""
    if move is not None:
        steps.write(connection, move, of_step(before, move, version.format) + of_content(version, is_new=True))


def _in_order(table: Table, version_id: str) -> Select[Any]:
    return select(table).where(table.c.version_id == version_id).order_by(table.c.position)


def _rename_model(connection: Connection, version: ModelVersion, name: str, now: datetime) -> None:
    """Give the model of *version* the name, which somebody chose.

    Raises:
        NameTaken: another model of the project has that name.
    """
    models = registered_models
    of_project = (models.c.team == version.team, models.c.project == version.project)
    other = select(models.c.sequence).where(*of_project, models.c.name == name)
    if name != version.model_name and connection.execute(other).one_or_none() is not None:
        raise NameTaken(f"another model of the project {version.project} has the name {name}")
    changed = {"name": name, "name_folded": folded(name), "is_generated": False, "updated": now}
    renamed = update(models).where(*of_project, models.c.name == version.model_name).returning(models.c.sequence)
    for model in connection.execute(renamed, changed).scalars():
        listed.rename(connection, model, name)


def _locked_model(connection: Connection, version: Iterable[ColumnElement[bool]]) -> int | None:
    """Return the key of the model of a *version*, None where there is none; nobody else changes it before this ends."""
    of_version = select(model_versions.c.model).where(*version).scalar_subquery()
    statement = select(registered_models.c.sequence).where(registered_models.c.sequence == of_version).with_for_update()
    return connection.execute(statement).scalar_one_or_none()


def _set_tags(connection: Connection, version: ModelVersion, add: set[str], remove: set[str]) -> None:
    of_version = version_tags.c.version_id == version.id
    gone = remove & set(version.tags)
    if gone:
        connection.execute(delete(version_tags).where(of_version, version_tags.c.tag.in_(gone)))
    listed.tag(connection, version.team, version.id, sorted(add - set(version.tags)))


def _rows(connection: Connection, statement: Select[Any]) -> Sequence[Row[Any]]:
    return connection.execute(statement).all()


def _all(connection: Connection, statement: Select[T]) -> Sequence[T]:
    return connection.scalars(statement).all()
