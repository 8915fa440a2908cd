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
from datetime import UTC, datetime
from itertools import dropwhile, islice
from json import loads
from threading import Lock, RLock

from detectors.facts import Finding, Metrics
from worker import lifecycle
from worker.errors import RegistryUnavailable, RejectedEvent
from worker.records import (
    DEFAULT_TEAM,
    CompletionEvent,
    Count,
    End,
    FileDigest,
    HistoryEntry,
    Ingestion,
    IngestionQuery,
    IngestionState,
    ModelVersion,
    NewVersion,
    Pause,
    Project,
    Queue,
    Registration,
    Scope,
    Standing,
    StoreMode,
    Summary,
    Team,
    Token,
    TokenScope,
    VersionQuery,
    Worker,
)
from worker.registry.counters import Amounts, counts, disagreements, of_content, of_step
from worker.registry.endings import check_theirs, first_seen
from worker.registry.stored import json_text
from worker.registry.words import (
    INGESTION_CHARS,
    INGESTION_PREFIX,
    KEY_BYTES,
    MAX_TRIES,
    TOKEN_CHARS,
    TOKEN_PREFIX,
    VERSION_CHARS,
    VERSION_PREFIX,
    NewId,
    check_event,
    check_name,
    check_version,
    conflict,
    event_digest,
    event_key,
    folded,
    random_id,
    rows_wanted,
    scope_key,
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

    def list_anew(self, version: NewVersion) -> None:
        """Take the listing of *version*, whose content is equal, and what was seen of it."""
        self.listing_key = version.listing_key
        self.new = replace(self.new, **{name: getattr(version, name) for name in JUDGED})
        self.metrics = _metrics_of(version)

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
        )


STANDS: Mapping[Standing, Callable[[NewVersion], bool]] = {
    Standing.LOOK: lambda version: version.completeness != "complete" or version.verdict != "clean",
    Standing.FINDINGS: lambda version: version.verdict == "findings",
    Standing.INCOMPLETE: lambda version: version.completeness == "incomplete",
    Standing.CORRUPT: lambda version: version.completeness == "corrupt",
    Standing.UNREAD: lambda version: version.verdict == "inconclusive",
    Standing.CLEAN: lambda version: version.completeness == "complete" and version.verdict == "clean",
}
"""What a version must be to stand so."""

JUDGED = ("rules_version", "model_type", "format", "completeness", "verdict", "report", "metadata_raw", "metrics", "findings")
"""What the rules of the scanner made of a version's content; summary and detail are kept beside."""


def _metrics_of(version: NewVersion) -> Metrics:
    return Metrics(version.metrics, loads(json_text(version.summary)), tuple(loads(json_text(version.detail))))


class MemoryRegistry:
    """`worker.ports.Registry` in memory."""

    def __init__(self, new_id: NewId = random_id, lease_seconds: float = lifecycle.LEASE_SECONDS) -> None:
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
        self._teams = {folded(DEFAULT_TEAM): Team(DEFAULT_TEAM, FIRST_DAY)}
        self._projects: dict[tuple[str, str], Project] = {}
        self._tokens: dict[str, Token] = {}
        self._counted: Amounts = Counter()
        self._signing_key = secrets.token_bytes(KEY_BYTES)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def submit(
        self, event: CompletionEvent, now: datetime, owner: str | None = None, end: End | None = None
    ) -> tuple[Ingestion, bool]:
        check_event(event)
        with self._lock:
            known = self._by_event.get(event_key(event))
            if known is not None:
                return self._same_event(known, event), True
            ingestion_id, version_id = self._free_ids()
            move = lifecycle.receive(event, ingestion_id, version_id, _utc(now), self._next_turn(event.team))
            self._by_event[event_key(event)] = move.ingestion.id
            self._keep(None, move)
            self._projects.setdefault((event.team, event.project), Project(event.team, event.project, _utc(now)))
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
        return self._moved(ingestion_id, lambda ingestion: self._claim(ingestion, owner, version_id, now))

    def claim_next(self, owner: str, now: datetime) -> Ingestion | None:
        version_id = self._new_id(VERSION_PREFIX, VERSION_CHARS)
        with self._lock:
            self._let_in(now)
            due = min(self._due(now), key=lambda ingestion: ingestion.turn, default=None)
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

    def retry(self, team: str, ingestion_id: str, who: str, now: datetime) -> Ingestion | None:
        def step(ingestion: Ingestion) -> lifecycle.Move | None:
            return lifecycle.retry(ingestion, who, _utc(now), self._next_turn(team))

        return self._moved_by_person(team, ingestion_id, step)

    def discard(self, team: str, ingestion_id: str, who: str, now: datetime) -> Ingestion | None:
        return self._moved_by_person(team, ingestion_id, lambda ingestion: lifecycle.discard(ingestion, who, _utc(now)))

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
                same.list_anew(version)
                self._counted.update(of_content(version, is_new=False))
                return Registration(same.record(), is_new=False)
            registered = self._add(version, _utc(now)).record()
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

    def contradictions(self, now: datetime) -> Sequence[str]:
        with self._lock:
            registered = set(self._versions)
            seconds = self._lease_seconds
            said = [
                lifecycle.contradiction(one, one.version_id in registered, _utc(now), seconds)
                for one in self._ingestions.values()
            ]
            states = Counter(one.state for one in self._ingestions.values())
            return [*(sentence for sentence in said if sentence is not None), *disagreements(self.counters(), states)]

    def counters(self) -> Sequence[Count]:
        with self._lock:
            return counts(self._counted)

    def is_due(self, now: datetime) -> bool:
        with self._lock:
            return bool(self._due(now))

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
            known = list(self._ingestions.values())
        if query.after is not None:
            known = known[: next((at for at, one in enumerate(known) if one.id == query.after), 0)]
        return [one for one in reversed(known) if _answers_query(one, query)][: rows_wanted(query.limit)]

    def ingestion(self, team: str, ingestion_id: str) -> Ingestion | None:
        with self._lock:
            found = self._ingestions.get(ingestion_id)
            return found if found is not None and found.event.team == team else None

    def history(self, ingestion_id: str) -> Sequence[HistoryEntry]:
        with self._lock:
            return list(self._history.get(ingestion_id, ()))

    def versions(self, query: VersionQuery) -> Sequence[ModelVersion]:
        with self._lock:
            known = self._newest_first() if query.after is None else self._older_than(query.after, query.team)
            matching = [kept.record() for kept in self._wanted(known, query)]
            if query.is_brief:
                matching = [replace(version, report="") for version in matching]
            return matching[: rows_wanted(query.limit)]

    def count(self, query: VersionQuery) -> int:
        with self._lock:
            return sum(1 for _ in self._wanted(self._newest_first(), query))

    def judgements(self, query: VersionQuery) -> Mapping[tuple[str, str], int]:
        with self._lock:
            return Counter((kept.new.completeness, kept.new.verdict) for kept in self._wanted(self._newest_first(), query))

    def tags(self, team: str) -> Sequence[str]:
        with self._lock:
            return sorted({tag for kept in self._newest_first() if kept.model.team == team for tag in kept.tags})

    def courses(self, wanted: Mapping[str, tuple[str, str]], most: int) -> Mapping[str, Sequence[float | None]]:
        with self._lock:
            known = {id: self._up_to(self._versions[id], most) for id in wanted if id in self._versions}
        return {id: tuple(_reported(kept, *wanted[id]) for kept in course) for id, course in known.items() if course}

    def summaries(self, version_ids: Collection[str]) -> Mapping[str, Summary]:
        with self._lock:
            known = {id: self._versions[id].metrics for id in version_ids if id in self._versions}
        return {id: Summary(metrics.summary, metrics.detail) for id, metrics in known.items()}

    def named(self, team: str, name: str, number: int | None = None) -> Sequence[ModelVersion]:
        with self._lock:
            found = [kept for kept in self._newest_first() if kept.model.team == team and kept.model.name == name]
            wanted = [kept for kept in found if kept.number == (_latest(kept.model, found) if number is None else number)]
            return [kept.record() for kept in wanted]

    def version(self, team: str, version_id: str) -> ModelVersion | None:
        with self._lock:
            kept = self._living(team, version_id)
            return None if kept is None else kept.record()

    def files(self, version_id: str) -> Sequence[FileDigest]:
        kept = self._versions.get(version_id)
        return [] if kept is None else sorted(kept.new.files, key=lambda file: file.path)

    def metrics(self, version_id: str) -> Metrics | None:
        kept = self._versions.get(version_id)
        return None if kept is None else kept.metrics

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

    def rename(self, team: str, version_id: str, name: str, now: datetime) -> ModelVersion | None:
        check_name("model name", name)
        with self._lock:
            kept = self._living(team, version_id)
            if kept is None:
                return None
            self._rename_model(kept.model, name)
            return kept.record()

    def tag(self, team: str, version_id: str, add: Iterable[str], remove: Iterable[str]) -> ModelVersion | None:
        wanted, unwanted = set(add), set(remove)
        for tag in wanted:
            check_name("tag", tag)
        with self._lock:
            kept = self._living(team, version_id)
            if kept is None:
                return None
            kept.tags = (kept.tags | wanted) - unwanted
            return kept.record()

    def delete(self, team: str, version_id: str, now: datetime) -> ModelVersion | None:
        with self._lock:
            kept = self._living(team, version_id)
            if kept is None:
                return None
            kept.deleted = _utc(now)
            return kept.record()

    def create_team(self, name: str, now: datetime) -> Team | None:
        check_name("team", name)
        with self._lock:
            if folded(name) in self._teams:
                return None
            self._teams[folded(name)] = Team(name, _utc(now))
            return self._teams[folded(name)]

    def teams(self) -> Sequence[Team]:
        with self._lock:
            return sorted(self._teams.values(), key=lambda team: team.name)

    def projects(self, team: str) -> Sequence[Project]:
        with self._lock:
            theirs = [project for project in self._projects.values() if project.team == team]
            return sorted(theirs, key=lambda project: project.name)

    def create_token(
        self,
        team: str,
        name: str,
        digest: str,
        scopes: frozenset[TokenScope],
        now: datetime,
        expires: datetime | None = None,
    ) -> Token | None:
        check_name("name", name)
        ends = None if expires is None else _utc(expires)
        token = Token(self._new_id(TOKEN_PREFIX, TOKEN_CHARS), team, name, digest, scopes, _utc(now), ends)
        with self._lock:
            if all(known.name != team for known in self._teams.values()):
                return None
            self._tokens[token.id] = token
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

    def revoke_token(self, team: str, token_id: str, now: datetime) -> Token | None:
        with self._lock:
            token = self._tokens.get(token_id)
            if token is None or token.team != team:
                return None
            self._tokens[token_id] = replace(token, revoked=token.revoked or _utc(now))
            return self._tokens[token_id]

    def signing_key(self) -> bytes:
        return self._signing_key

    def attempts_among(self, version_ids: Collection[str]) -> frozenset[str]:
        with self._lock:
            given = {entry.version_id for steps in self._history.values() for entry in steps}
        return frozenset(one for one in version_ids if one in given)

    def store_keys(self) -> Iterable[tuple[str, bool]]:
        with self._lock:
            found = [
                (kept.new.id, kept.new.store is StoreMode.COPY and kept.deleted is None) for kept in self._versions.values()
            ]
        return iter(found)

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

    def _moved(self, ingestion_id: str, step: Callable[[Ingestion], lifecycle.Move | None]) -> Ingestion | None:
        with self._lock:
            ingestion = self._ingestions.get(ingestion_id)
            move = None if ingestion is None else step(ingestion)
            self._keep(ingestion, move)
            return None if move is None else move.ingestion

    def _moved_by_person(
        self, team: str, ingestion_id: str, step: Callable[[Ingestion], lifecycle.Move | None]
    ) -> Ingestion | None:
        return self._moved(ingestion_id, lambda ingestion: step(ingestion) if ingestion.event.team == team else None)

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
            raise RejectedEvent(f"another model of the project {model.project} has the name {name}")
        del self._models[model.team, model.project, model.name]
        model.name, model.is_generated = name, False
        self._models[model.team, model.project, name] = model

    def _newest_first(self) -> Iterator[_Kept]:
        return (kept for kept in reversed(self._versions.values()) if kept.deleted is None)

    def _older_than(self, version_id: str, team: str) -> Iterator[_Kept]:
        """Yield the living versions that are older than the team's version *version_id*, living or not; none for another."""
        known = dropwhile(lambda kept: kept.new.id != version_id or kept.model.team != team, reversed(self._versions.values()))
        return (kept for kept in islice(known, 1, None) if kept.deleted is None)

    def _wanted(self, known: Iterable[_Kept], query: VersionQuery) -> Iterator[_Kept]:
        living = list(self._newest_first()) if query.is_latest else []
        for kept in known:
            if _matches(kept, query) and (not query.is_latest or kept.number == _latest(kept.model, living)):
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


def _answers_query(ingestion: Ingestion, query: IngestionQuery) -> bool:
    return (
        ingestion.event.team == query.team
        and query.state in (None, ingestion.state)
        and query.experiment in (None, ingestion.event.experiment)
        and query.reason in (None, ingestion.reason)
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


def _matches(kept: _Kept, query: VersionQuery) -> bool:
    model, new = kept.model, kept.new
    return (
        model.team == query.team
        and query.project in (None, model.project)
        and query.experiment in (None, new.scope.experiment)
        and query.model_type in (None, new.model_type)
        and query.name in (None, model.name)
        and (query.standing is None or STANDS[query.standing](new))
        and (query.tag is None or query.tag in kept.tags)
        and (query.text is None or any(folded(query.text) in folded(name) for name in (model.name, new.scope.experiment or "")))
    )
