"""Both registries give the same answers to the same questions, in any order of any steps, and do as a plain model does.

Laws (each is an invariant of the same name):
    each stands as the model says;
    an end stays, but for a person's word;
    nobody makes a sixth attempt.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from detectors.facts import ModelType
from tests.contracts.lists import ORDERS, VALUES, measured
from tests.contracts.registry import NOON, PAUSE, event, new_version, scope_of
from tests.worker.registry.model import ENDS, Model, Seen
from worker.errors import RejectedEvent
from worker.ports import Registry
from worker.records import (
    Attention,
    AuditQuery,
    CompletionEvent,
    End,
    Ingestion,
    IngestionQuery,
    IngestionState,
    Keep,
    ModelVersion,
    NewVersion,
    Objection,
    Registration,
    Scope,
    StoreMode,
    Trigger,
    VersionQuery,
)
from worker.registry.memory import MemoryRegistry
from worker.registry.sql import SqlRegistry
from worker.registry.words import NewId

teams = st.sampled_from(["default", "other"])
projects = st.sampled_from(["default", "p", "q"])
other_names = st.sampled_from(["renamed", "again"])
"""Names that no event gives: whether one means a known project is not for the plain model to know."""
experiments = st.sampled_from(["mnist", "straße", None])
names = st.sampled_from(["mnist", "Model", "100%_", "", "zero \0"])
digests = st.sampled_from(["d1", "d2"])
owners = st.sampled_from(["a", "a", "a", "b"])
numbers = st.integers(0, 5)
ends = st.sampled_from(list(IngestionState))
triggers = st.sampled_from([Trigger.COMPLETION, Trigger.COMPLETION, Trigger.CLI])
tags = st.lists(st.sampled_from(["x", "Y", "🦆", ""]), max_size=2)
objections = st.builds(Objection, st.booleans(), st.just("why"), st.sampled_from([("a",), ("a", "b"), ("c",)]))


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def ids_of_a_kind() -> NewId:
    """Return a generator of ids that counts each kind apart: how many lines a log takes moves no other id."""
    numbers: dict[str, int] = {}

    def new_id(prefix: str, chars: int) -> str:
        numbers[prefix] = numbers.get(prefix, 0) + 1
        return f"{prefix}{numbers[prefix]}"

    return new_id


class Alike(RuleBasedStateMachine):
    """Every step is taken by both and by the model; the answers, and after each step all that can be seen, are equal."""

    migrated: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryRegistry(ids_of_a_kind())
        self.sql = SqlRegistry(self.make_database(), ids_of_a_kind())
        self.model = Model()
        self.ended: dict[str, str] = {}
        self.seconds = 0

    def make_database(self) -> str:
        """Return the URL of an empty database with its tables."""
        self.folder = Path(tempfile.mkdtemp())
        return f"sqlite:///{shutil.copy(self.migrated, self.folder / 'registry.db')}"

    def remove_database(self) -> None:
        shutil.rmtree(self.folder)

    def teardown(self) -> None:
        self.sql.close()
        self.remove_database()

    def both(self, ask: Callable[[Registry], Any]) -> Any:
        """Return the answer that both registries give to *ask*; an exception is an answer too."""
        from_memory, from_sql = answer(ask, self.memory), answer(ask, self.sql)
        assert from_memory == from_sql
        return from_memory

    @property
    def now(self) -> datetime:
        """The time of a step: later than the last one's."""
        self.seconds += 1
        return self.moment

    @property
    def moment(self) -> datetime:
        """The time of the last step."""
        return NOON + timedelta(seconds=self.seconds)

    def some(self, number: int) -> Ingestion:
        """Return one of the newest ingestions, or for 5 one that is nowhere kept."""
        known = list(self.memory._ingestions.values())[-3:]
        if known and number < 5:
            return known[number % len(known)]
        return Ingestion("in?", event(), IngestionState.RECEIVED, None, None, 0, "mo?", None, None, None, NOON, NOON)

    def version(self, number: int) -> tuple[str, str]:
        """Return team and id of one of the versions, or of one that is nowhere kept."""
        known = list(self.memory._versions.values())
        return (known[number].model.team, known[number].new.id) if number < len(known) else ("default", "mo?")

    @rule(id=numbers, team=teams, project=projects, experiment=experiments, name=maybe(names), trigger=triggers)
    def submit(self, id: int, **changes: Any) -> None:
        self.accept(event(f"run-{id}", **changes), self.now)

    def accept(self, event: CompletionEvent, now: datetime) -> Ingestion:
        """Submit *event*; where it is new, the model knows it too. A refusal is returned as any answer is."""
        answered, is_known = self.both(lambda registry: registry.submit(event, now))
        if is_known is False:
            self.model.submit(answered.id, event.team, event.trigger is Trigger.CLI)
        return answered

    @rule(number=numbers, owner=owners)
    def claim(self, number: int, owner: str) -> None:
        now, ingestion = self.now, self.some(number)
        claimed = self.both(lambda registry: registry.claim(ingestion.id, owner, now))
        assert (claimed is not None) == self.model.claim(ingestion.id, owner, now)

    @rule(number=numbers, owner=owners, seconds=st.integers(0, 60))
    def wait(self, number: int, owner: str, seconds: int) -> None:
        now, ingestion = self.now, self.some(number)
        pause = replace(PAUSE, seconds=seconds)
        waits = self.both(lambda registry: registry.wait(ingestion.id, owner, pause, now))
        assert waits == self.model.wait(ingestion.id, owner, seconds, False, now)

    @rule(number=numbers, owner=owners)
    def back_off(self, number: int, owner: str) -> None:
        """A worker whose attempt failed asks for another, but not after the last one."""
        now, ingestion = self.now, self.some(number)
        if ingestion.attempts == 5:
            return
        pause = replace(PAUSE, is_attempt=True)
        waits = self.both(lambda registry: registry.wait(ingestion.id, owner, pause, now))
        assert waits == self.model.wait(ingestion.id, owner, PAUSE.seconds, True, now)

    @rule(owner=owners)
    def claim_next(self, owner: str) -> None:
        now = self.now
        due = self.model.due(now)
        claimed = self.both(lambda registry: registry.claim_next(owner, now))
        assert (claimed.id in due) if claimed is not None else (not due)
        if claimed is not None:
            assert self.model.claim(claimed.id, owner, now)

    @rule(number=numbers, owner=owners)
    def beat(self, number: int, owner: str) -> None:
        now, ingestion = self.now, self.some(number)
        beats = self.both(lambda registry: registry.beat(ingestion.id, owner, now))
        assert beats == self.model.beat(ingestion.id, owner, now)

    @rule(dead=owners)
    def free(self, dead: str) -> None:
        now = self.now
        freed = self.both(lambda registry: list(registry.free(now, lambda owner: owner == dead)))
        assert {one.id for one in freed} == self.model.free(dead, now)

    @rule(seconds=st.integers(0, 200))
    def pass_time(self, seconds: int) -> None:
        self.seconds += seconds

    @rule(number=numbers, team=teams)
    def retry(self, number: int, team: str) -> None:
        now, ingestion = self.now, self.some(number)
        retried = self.both(lambda registry: registry.retry(team, ingestion.id, "a person", now))
        assert (retried is not None) == self.model.retry(ingestion.id, team)
        if retried is not None:
            assert self.ended.pop(ingestion.id) == "failed"

    @rule(number=numbers, team=teams)
    def discard(self, number: int, team: str) -> None:
        now, ingestion = self.now, self.some(number)
        discarded = self.both(lambda registry: registry.discard(team, ingestion.id, "a person", now))
        assert (discarded is not None) == self.model.discard(ingestion.id, team)
        if discarded is not None:
            assert self.ended.pop(ingestion.id, "failed") == "failed"

    @rule(team=teams, is_all=st.booleans())
    def pause_queue(self, team: str, is_all: bool) -> None:
        now = self.now
        paused = self.both(lambda registry: registry.pause_queue(team, is_all, now, "a person"))
        assert (paused is not None) == self.model.pause(None if is_all else team)

    @rule(team=teams, is_all=st.booleans())
    def resume_queue(self, team: str, is_all: bool) -> None:
        now = self.now
        resumed = self.both(lambda registry: registry.resume_queue(team, is_all, now, "a person"))
        assert (resumed is not None) == self.model.resume(None if is_all else team)

    @rule(seconds=st.integers(0, 100), most=st.integers(0, 3))
    def remove(self, seconds: int, most: int) -> None:
        """What led to nothing goes, and nothing else; an event that is said again later is known (`submit`)."""
        keep = Keep(history=self.moment - timedelta(seconds=seconds))
        self.both(lambda registry: registry.care.removable(keep))
        amount = self.both(lambda registry: registry.care.remove(keep, most)).history
        gone = self.model.rows.keys() - self.memory._ingestions.keys()
        assert len(gone) == amount <= most
        for id in gone:
            assert self.model.rows.pop(id).state in ("unchanged", "nothing_found", "discarded", "ignored")
            self.ended.pop(id, None)

    @rule()
    def queue(self) -> None:
        now = self.now
        self.both(lambda registry: registry.queue(now))

    @rule(number=numbers, owner=owners, state=ends)
    def finish(self, number: int, owner: str, state: IngestionState) -> None:
        now, ingestion = self.now, self.some(number)
        done = self.both(lambda registry: registry.finish(ingestion.id, owner, End(state, "why", "so"), now))
        if state is IngestionState.REGISTERED or (state.value not in ENDS and ingestion.id in self.model.rows):
            assert done[0] is ValueError
        else:
            assert done == self.model.finish(ingestion.id, owner, state.value)

    @rule(number=numbers, owner=owners, digest=digests)
    def register(self, number: int, owner: str, digest: str) -> None:
        now, ingestion = self.now, self.some(number)
        self.keep(ingestion.id, owner, new_version(ingestion, digest), now)

    def keep(self, ingestion_id: str, owner: str, version: NewVersion, now: datetime) -> None:
        """Register *version*: what its owner registers counts, and nobody else's. What is not new ends nothing yet."""
        before: ModelVersion | None = self.both(lambda registry: registry.predecessor(version))
        registration: Registration | None = self.both(lambda registry: registry.register(ingestion_id, owner, version, now))
        assert (registration is not None) == self.model.may_register(ingestion_id, owner)
        if registration is not None and registration.is_new:
            made = registration.version
            assert before is None or (before.model_name == made.model_name and before.number < made.number)
            assert self.model.finish(ingestion_id, owner, "registered")

    @rule(
        team=teams,
        project=projects,
        experiment=experiments,
        name=maybe(st.just("Model")),
        digest=digests,
        store=st.sampled_from(StoreMode),
        kind=st.sampled_from(ModelType),
        value=st.sampled_from(VALUES[1:]),
        objection=maybe(objections),
    )
    def ingest(
        self, digest: str, store: StoreMode, kind: ModelType, value: float, objection: Objection | None, **changes: Any
    ) -> None:
        """An event that goes all the way, so that there are versions to look at."""
        now = self.now
        ingestion = self.accept(event(f"at {now}", **changes), now)
        listing = f"listing {self.seconds % 3}"
        running = self.both(lambda registry: registry.claim(ingestion.id, "a", now))
        assert (running is not None) == self.model.claim(ingestion.id, "a", now)
        if running is None:
            return
        metrics = measured(accuracy=value)
        seen: dict[str, Any] = {"model_type": kind, "listing_key": listing, "metrics": metrics, "objection": objection}
        version = new_version(running, digest, store=store, **seen)
        self.keep(ingestion.id, "a", version, now)

    @rule(number=numbers, name=names)
    def rename(self, number: int, name: str) -> None:
        now, (team, version_id) = self.now, self.version(number)
        self.both(lambda registry: registry.rename(team, version_id, name, now))

    @rule(team=teams, name=projects, new_name=other_names)
    def rename_project(self, team: str, name: str, new_name: str) -> None:
        now = self.now
        self.both(lambda registry: registry.rename_project(team, name, new_name, now))

    @rule(team=teams, name=projects)
    def create_project(self, team: str, name: str) -> None:
        now = self.now
        self.both(lambda registry: registry.create_project(team, name, now))

    @rule(number=numbers, add=tags, remove=tags)
    def tag(self, number: int, add: list[str], remove: list[str]) -> None:
        now, (team, version_id) = self.now, self.version(number)
        self.both(lambda registry: registry.tag(team, version_id, add, remove, now))

    @rule(number=numbers, is_published=st.booleans())
    def publish(self, number: int, is_published: bool) -> None:
        now, (team, version_id) = self.now, self.version(number)
        self.both(lambda registry: registry.publish(team, version_id, is_published, now))
        self.both(lambda registry: [registry.readable(other, version_id) for other in ("default", "other")])

    @rule(number=numbers)
    def release(self, number: int) -> None:
        now, (team, version_id) = self.now, self.version(number)
        self.both(lambda registry: registry.release(team, version_id, "looked at", now))

    @rule(number=numbers)
    def delete(self, number: int) -> None:
        now, (team, version_id) = self.now, self.version(number)
        self.both(lambda registry: registry.delete(team, version_id, now))

    @rule(
        team=teams,
        project=maybe(projects),
        experiment=experiments,
        model_type=maybe(st.sampled_from(ModelType)),
        tag=maybe(st.sampled_from(["x", "Y"])),
        name=maybe(names),
        text=maybe(st.sampled_from(["M", "SS", "%", "_", "ß"])),
        limit=st.integers(-1, 4),
        after=maybe(st.integers(0, 30)),
        is_latest=st.booleans(),
        order=st.sampled_from(ORDERS),
        attention=maybe(st.sampled_from(Attention)),
        tags=st.sampled_from([(), ("x",), ("x", "Y")]),
        is_published=st.booleans(),
    )
    def versions(self, after: int | None, **fields: Any) -> None:
        older_than = None if after is None else self.version(after)[1]
        self.both(lambda registry: list(registry.versions(VersionQuery(after=older_than, **fields))))
        self.both(lambda registry: registry.count(VersionQuery(**fields)))

    @rule(team=teams, project=projects, experiment=experiments, digest=digests, listing=st.integers(0, 2))
    def same(self, team: str, project: str, experiment: str | None, digest: str, listing: int) -> None:
        scope: Scope = scope_of(replace(event(), team=team, project=project, experiment=experiment))
        self.both(lambda registry: registry.same_listing(scope, f"listing {listing}"))

    @rule(team=teams, name=names, number=maybe(st.integers(0, 3)))
    def named(self, team: str, name: str, number: int | None) -> None:
        self.both(lambda registry: list(registry.named(team, name, number)))

    @invariant()
    def all_that_can_be_seen_is_equal(self) -> None:
        self.both(lambda registry: list(registry.owned()))
        self.both(lambda registry: list(registry.store_keys()))
        for team in ("default", "other"):
            self.both(lambda registry, team=team: list(registry.versions(VersionQuery(team=team))))
            self.both(lambda registry, team=team: list(registry.projects(team)))
            self.both(lambda registry, team=team: list(registry.audit(AuditQuery(team))))
            self.both(lambda registry, team=team: registry.overview(team))
            self.both(lambda registry, team=team: list(registry.halts(team)))
        assert self.both(lambda registry: registry.is_due(self.moment)) == bool(self.model.due(self.moment))

    @invariant()
    def the_counters_are_equal_and_agree_with_the_rows(self) -> None:
        self.both(lambda registry: list(registry.counters()))
        found = self.both(lambda registry: list(registry.contradictions(self.moment)))
        assert [sentence.split()[0] for sentence in found] == list(self.model.long_lost(self.moment))

    @invariant()
    def each_stands_as_the_model_says(self) -> None:
        found = {one.id: one for team in ("default", "other") for one in self.ingestions_of(team)}
        assert {id: seen(one) for id, one in found.items()} == {id: row.seen for id, row in self.model.rows.items()}
        registered = {one.id for one in found.values() if one.state is IngestionState.REGISTERED}
        kept = self.both(lambda registry: list(registry.store_keys()))
        assert {found[id].version_id for id in registered} == {version_id for version_id, _ in kept}

    def ingestions_of(self, team: str) -> list[Ingestion]:
        found: list[Ingestion] = self.both(lambda registry: list(registry.ingestions(IngestionQuery(team=team, limit=500))))
        return found

    @invariant()
    def an_end_stays_but_for_a_persons_word(self) -> None:
        """What was seen to have ended is seen so again; `retry` and `discard` take it from the list."""
        now = {id: row.state for id, row in self.model.rows.items() if row.state in ENDS}
        assert now | self.ended == now
        self.ended = now

    @invariant()
    def nobody_makes_a_sixth_attempt(self) -> None:
        assert all(0 <= row.attempts <= 5 for row in self.model.rows.values())

    @invariant()
    def a_scope_has_one_living_version_of_one_content(self) -> None:
        found = [version for team in ("default", "other") for version in self.sql.versions(VersionQuery(team=team))]
        keys = [(version.team, version.project, version.experiment, version.digest) for version in found]
        assert len(keys) == len(set(keys))

    @invariant()
    def the_last_line_of_a_history_is_where_an_ingestion_stands(self) -> None:
        for ingestion in list(self.memory._ingestions.values())[-2:]:
            team, id = ingestion.event.team, ingestion.id
            now = self.both(lambda registry, team=team, id=id: registry.ingestion(team, id))
            lines = self.both(lambda registry, id=id: list(registry.history(id)))
            assert lines[-1].state is now.state


def seen(ingestion: Ingestion) -> Seen:
    """Return what the model knows of *ingestion*."""
    return ingestion.state.value, ingestion.owner, ingestion.attempts, ingestion.lease_until, ingestion.run_after


def answer(ask: Callable[[Registry], Any], registry: Registry) -> Any:
    try:
        return ask(registry)
    except (RejectedEvent, ValueError) as exc:
        return type(exc), str(exc)


def test_both_registries_answer_alike(migrated: Path) -> None:
    Alike.migrated = migrated
    bounded = settings(max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Alike, settings=bounded)
