"""The contract suite of `Registry`: what every registry must do, wherever it keeps its rows.

A registry joins by subclassing `RegistryContract` and giving it a fixture `build`, which makes an empty one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier, Thread
from typing import Any

import pytest

from detectors.facts import Finding, Metric, Metrics, ModelType, Severity
from detectors.scan import RULES_VERSION
from detectors.tree import NO_BYTE
from worker.errors import ConflictingEvent, NameTaken, RegistryUnavailable, RejectedEvent
from worker.lifecycle import LEASE_SECONDS
from worker.ports import Registry
from worker.records import (
    NO_FORMAT,
    Action,
    AuditQuery,
    Cluster,
    CompletionEvent,
    Counted,
    End,
    ExperimentState,
    FileDigest,
    HistoryEntry,
    Ingestion,
    IngestionQuery,
    IngestionState,
    Judgement,
    Kind,
    ModelVersion,
    NamedFile,
    NewUpload,
    NewVersion,
    Objection,
    Pause,
    Project,
    Pulse,
    Queue,
    Registration,
    Rest,
    Scope,
    SoFar,
    Standing,
    StoreMode,
    Summary,
    TokenScope,
    Took,
    Trigger,
    Upload,
    VersionQuery,
    Worker,
)
from worker.registry.words import NewId, random_id

NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)

LEASE_END = NOON + timedelta(seconds=LEASE_SECONDS)
PAUSE = Pause(5.0, False, "not-settled", "two files grew", SoFar(1, 2, 3.5), Rest(7.25, "ab", 3, 4))

READER = frozenset({TokenScope.MODEL_READ})

Build = Callable[..., Registry]
"""Makes an empty registry; takes `new_id`, which makes its ids, and `lease_seconds`."""

ODD_TEXTS = (
    "",
    " ",
    "emoji 🦆 and accents é",
    "right-to-left \u202e override",
    "line\nbreak\r\ttab \x1b[31m",
    "zero \0 character",
    "not UTF-8: \udcff\udcfe",
    "a high and a low surrogate apart: \ud83d\ude00",
    "escaped:looks like the stored form \\x00",
    "back\\slash \\udcff",
    "'; DROP TABLE model_versions; --",
    "%_/\\%",
    "n" * 10_000,
)


def counting_ids() -> NewId:
    """Return a generator of ids that counts: `in1`, `mo2`, …"""
    numbers = iter(range(1, 1_000_000))
    return lambda prefix, chars: f"{prefix}{next(numbers)}"


def event(id: str = "run-1", **changes: Any) -> CompletionEvent:
    """Return a completion event of the experiment `mnist`."""
    return replace(CompletionEvent(source="test", id=id, model_path="/runs/mnist", experiment="mnist"), **changes)


def scope_of(event: CompletionEvent) -> Scope:
    """Return the scope that *event* works in."""
    return Scope(event.team, event.project, event.experiment, None if event.experiment else event.model_path)


def judged(version: NewVersion, rules_version: str = "2", objection: Objection | None = None) -> Judgement:
    """Return what rules may have made of the content of *version*."""
    names = [field.name for field in fields(Judgement) if field.name not in ("rules_version", "objection")]
    return Judgement(rules_version, objection=objection, **{name: getattr(version, name) for name in names})


def new_version(ingestion: Ingestion, digest: str = "d1", **changes: Any) -> NewVersion:
    """Return the version that *ingestion* may register, of content *digest*."""
    version = NewVersion(
        id=ingestion.version_id,
        scope=scope_of(ingestion.event),
        model_name=ingestion.event.name or ingestion.event.experiment or "model",
        is_generated_name=ingestion.event.name is None,
        model_type=ModelType.ONNX,
        format="onnx",
        location="file:///runs/mnist",
        listing_key=f"listing of {ingestion.id}",
        rules_version=RULES_VERSION,
        digest=digest,
        oms_digest=f"oms of {digest}",
        store=StoreMode.COPY,
        url=f"file:///store/{ingestion.version_id}",
        size_bytes=3,
        completeness="complete",
        verdict="clean",
        report='{"schema": "modelport.scan/1"}',
        summary={"loss": {"scalar": "loss", "result": {"max": 0.5}}},
        detail=({"session": "eval", "scalars": []},),
        metadata_raw=b'{"a": 1}',
        files=(FileDigest("a/model.onnx", 3, "0" * 64),),
        metrics=(Metric("loss", 0.5, 7, "eval", "eval/events.out.tfevents.1", 1.5),),
        findings=(Finding("onnx-external-data", Severity.HIGH, "a/model.onnx", "tensor w", "leaves the folder"),),
    )
    return replace(version, **changes)


def claimed(registry: Registry, id: str = "run-1", owner: str = "me", **changes: Any) -> Ingestion:
    """Return the ingestion of a new event, owned by *owner*."""
    ingestion, _ = registry.submit(event(id, **changes), NOON)
    running = registry.claim(ingestion.id, owner, NOON)
    assert running is not None
    return running


def claimed_next(registry: Registry) -> Ingestion:
    """Return the ingestion whose turn it is, claimed."""
    running = registry.claim_next("me", LATER)
    assert running is not None
    return running


def claimed_ids(registry: Registry, now: datetime) -> list[str]:
    """Return the event ids of all that may be claimed at *now*, in the order in which they are."""
    return [one.event.id for one in iter(lambda: registry.claim_next("me", now), None)]


OBJECTION = Objection(True, "1 high finding (onnx-external-data)", ("a1", "b2"))
"""What a policy holds against serving the findings of `new_version`."""


def register(registry: Registry, id: str = "run-1", digest: str = "d1", **changes: Any) -> Registration:
    """Return what registering content *digest* for a new event gives; *changes* are of the event."""
    ingestion = claimed(registry, id, **changes)
    registration = registry.register(ingestion.id, "me", new_version(ingestion, digest), LATER)
    assert registration is not None
    return registration


def register_judged(registry: Registry, id: str, **judged: Any) -> ModelVersion:
    """Return what registering content "d1" for a new event gives; *judged* is what the scanner made of it."""
    ingestion = claimed(registry, id)
    registration = registry.register(ingestion.id, "me", replace(new_version(ingestion, "d1"), **judged), LATER)
    assert registration is not None
    return registration.version


def failed(reason: str = "unreadable") -> End:
    return End(IngestionState.FAILED, reason, "it may not be read")


def told(registry: Registry) -> dict[str, int]:
    """Return what was counted, each under its name and labels in one line."""
    return {" ".join([one.name, *map("=".join, one.labels)]): one.value for one in registry.counters()}


def standing(registry: Registry, ingestion: Ingestion) -> Ingestion:
    """Return how *ingestion* stands now."""
    now = registry.ingestion(ingestion.event.team, ingestion.id)
    assert now is not None
    return now


def upload_event(upload: Upload) -> CompletionEvent:
    """Return the event of an *upload* whose files are all there."""
    said = upload.said
    named = {"team": said.team, "project": said.project, "name": said.name, "declared_type": said.declared_type}
    return CompletionEvent(source="upload", id=upload.id, model_path="model.onnx", trigger=Trigger.UPLOAD, **named)


def sealed(registry: Registry, upload: Upload) -> Ingestion:
    """Return the ingestion of *upload*, whose files somebody brought at noon."""
    assert registry.take_upload(upload.said.team, upload.id, "writer", NOON)
    ingestion = registry.seal_upload(upload.id, "writer", upload_event(upload), NOON)
    assert ingestion is not None
    return ingestion


def registered_upload(registry: Registry, upload: Upload) -> ModelVersion:
    """Return the version that *upload* has become."""
    running = registry.claim(sealed(registry, upload).id, "me", NOON)
    assert running is not None
    registration = registry.register(running.id, "me", new_version(running, f"digest of {upload.id}"), LATER)
    assert registration is not None
    return registration.version


SPAN, OTHER_SPAN = f"00-{'1' * 32}-{'2' * 16}-01", f"00-{'3' * 32}-{'4' * 16}-01"
"""Spans as W3C Trace Context writes them."""


class RegistryContract:
    """The laws of any registry."""

    @pytest.fixture
    def build(self) -> Iterator[Build]:
        raise NotImplementedError("the subclass says how to build a registry")

    @pytest.fixture
    def registry(self, build: Build) -> Registry:
        return build()

    # Acceptance

    def test_a_submitted_event_is_received_and_owned_by_nobody(self, build: Build) -> None:
        registry = build(new_id=counting_ids())
        ingestion, known = registry.submit(event(), NOON)
        assert not known
        assert ingestion == Ingestion(
            id="in1",
            event=event(),
            state=IngestionState.RECEIVED,
            reason=None,
            message=None,
            attempts=0,
            version_id="mo2",
            answered_version=None,
            owner=None,
            location=None,
            created=NOON,
            updated=NOON,
        )
        assert registry.ingestion("default", "in1") == ingestion
        assert list(registry.history("in1")) == [HistoryEntry(NOON, IngestionState.RECEIVED, None, None)]

    def test_ids_are_in_and_20_characters_and_mo_and_12(self, registry: Registry) -> None:
        ingestion, _ = registry.submit(event(), NOON)
        assert (ingestion.id[:2], len(ingestion.id)) == ("in", 22)
        assert (ingestion.version_id[:2], len(ingestion.version_id)) == ("mo", 14)
        assert set(ingestion.id + ingestion.version_id) <= set("abcdefghijklmnopqrstuvwxyz0123456789")

    def test_a_repeated_event_is_the_same_ingestion(self, registry: Registry) -> None:
        first, _ = registry.submit(event(), NOON)
        assert registry.submit(event(), LATER) == (first, True)

    def test_of_events_that_came_together_each_has_its_own_answer(self, registry: Registry) -> None:
        known, _ = registry.submit(event("known"), NOON)
        said_otherwise = event("known", model_path="/elsewhere")
        end = End(IngestionState.IGNORED, "why", "so")
        asked = [event("new"), event("known"), event("new", name=""), said_otherwise, event("new"), event("ended")]
        answers = registry.submit_all([(one, end if one.id == "ended" else None) for one in asked], NOON)
        kinds = [type(one) if isinstance(one, Exception) else (one[0].state.value, one[1]) for one in answers]
        assert kinds == [
            ("received", False),
            ("received", True),
            RejectedEvent,
            ConflictingEvent,
            ("received", True),
            ("ignored", False),
        ]
        first, second, fifth = (one for one in (answers[0], answers[1], answers[4]) if not isinstance(one, Exception))
        assert (first[0], second[0].id) == (fifth[0], known.id)
        assert registry.queue(NOON).states == {IngestionState.RECEIVED: 2, IngestionState.IGNORED: 1}

    def test_where_every_event_is_refused_nothing_is_accepted(self, registry: Registry) -> None:
        (answer,) = registry.submit_all([(event("new", name=""), None)], NOON)
        assert isinstance(answer, RejectedEvent)
        assert registry.submit_all([], NOON) == []
        assert registry.queue(NOON).states == {}

    def test_a_repeated_event_whose_ingestion_has_ended_is_the_same_ingestion(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        registry.finish(ingestion.id, "me", failed(), LATER)
        again, known = registry.submit(event(), LATER)
        assert (again.id, again.state, known) == (ingestion.id, IngestionState.FAILED, True)

    @pytest.mark.parametrize("other", [{"id": "run-2"}, {"source": "other"}, {"team": "other"}])
    def test_another_id_source_or_team_is_another_ingestion(self, registry: Registry, other: dict[str, str]) -> None:
        first, _ = registry.submit(event(), NOON)
        second, known = registry.submit(replace(event(), **other), NOON)
        assert not known
        assert second.id != first.id

    def test_words_do_not_run_together(self, registry: Registry) -> None:
        first, _ = registry.submit(event(source="a\x1fb", id="c"), NOON)
        second, _ = registry.submit(event(source="a", id="b\x1fc"), NOON)
        assert first.id != second.id

    def test_an_id_that_is_taken_is_not_given_twice(self, build: Build) -> None:
        ids = iter(["inA", "moA", "inA", "moB", "inB", "moA", "inB", "moB"])
        registry = build(new_id=lambda prefix, chars: next(ids))
        registry.submit(event("1"), NOON)
        second, _ = registry.submit(event("2"), NOON)
        assert (second.id, second.version_id) == ("inB", "moB")

    def test_a_generator_that_never_gives_a_free_id_is_unavailable(self, build: Build) -> None:
        registry = build(new_id=lambda prefix, chars: prefix)
        registry.submit(event("1"), NOON)
        with pytest.raises(RegistryUnavailable):
            registry.submit(event("2"), NOON)

    def test_one_event_is_one_ingestion_for_many_threads(self, registry: Registry) -> None:
        answers = in_threads(8, lambda number: registry.submit(event(), NOON))
        assert len({ingestion.id for ingestion, known in answers}) == 1
        assert [known for ingestion, known in answers].count(False) == 1

    @pytest.mark.parametrize("text", ODD_TEXTS)
    def test_any_source_and_id_come_back_as_they_were(self, registry: Registry, text: str) -> None:
        odd = event(id=text, source=text)
        ingestion, _ = registry.submit(odd, NOON)
        assert standing(registry, ingestion).event == odd
        assert registry.submit(odd, NOON) == (ingestion, True)

    @pytest.mark.parametrize("path", [text for text in ODD_TEXTS if not NO_BYTE.search(text)])
    def test_any_path_that_a_file_can_have_comes_back_as_it_was(self, registry: Registry, path: str) -> None:
        ingestion, _ = registry.submit(event(model_path=path), NOON)
        assert standing(registry, ingestion).event.model_path == path

    @pytest.mark.parametrize("path", ["/a/" + chr(0xD800), "/a/" + chr(0xDC7F), "/" + chr(0xDD00) + "/b"])
    def test_a_model_path_with_what_stands_for_no_byte_is_refused(self, registry: Registry, path: str) -> None:
        with pytest.raises(RejectedEvent, match=r"the model path '/.*' holds a character that no file name has"):
            registry.submit(event(model_path=path), NOON)

    @pytest.mark.parametrize("field", ["team", "project", "experiment", "name"])
    @pytest.mark.parametrize("name", ["zero \0", "\udcff", "n" * 10_000, "é" * 257])
    def test_a_name_that_cannot_be_kept_is_refused(self, registry: Registry, field: str, name: str) -> None:
        with pytest.raises(RejectedEvent, match=r"the (model )?(team|project|experiment|name) .*(zero character|long)"):
            registry.submit(replace(event(), **{field: name}), NOON)

    @pytest.mark.parametrize("name", ["é" * 256, "🦆", "line\nbreak", "escaped:x", "'\"%_", " "])
    def test_any_other_name_comes_back_as_it_was(self, registry: Registry, name: str) -> None:
        named = event(team=name, project=name, experiment=name, name=name)
        version = register(registry, team=name, project=name, experiment=name, name=name).version
        assert registry.submit(named, NOON)[0].event == named
        assert (version.team, version.project, version.experiment, version.model_name) == (name, name, name, name)
        assert list(registry.versions(VersionQuery(team=name, text=name))) == [version]

    def test_an_empty_team_is_refused(self, registry: Registry) -> None:
        with pytest.raises(RejectedEvent, match="the team is empty"):
            registry.submit(event(team=""), NOON)

    def test_a_moment_is_kept_in_utc(self, registry: Registry) -> None:
        ingestion, _ = registry.submit(event(), NOON.astimezone(timezone(timedelta(hours=5))))
        created = standing(registry, ingestion).created
        assert created == NOON
        assert created.utcoffset() == timedelta(0)

    def test_a_moment_without_a_zone_is_a_mistake(self, registry: Registry) -> None:
        with pytest.raises(Exception, match="expected a time with its zone"):
            registry.submit(event(), NOON.replace(tzinfo=None))

    # Ownership

    def test_a_claim_makes_an_owner_and_counts_the_attempt(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        assert (ingestion.state, ingestion.owner, ingestion.attempts) == (IngestionState.RUNNING, "me", 1)
        assert standing(registry, ingestion) == ingestion
        assert list(registry.owned()) == [ingestion]

    def test_a_new_event_can_be_claimed_in_the_same_transaction(self, registry: Registry) -> None:
        ingestion, known = registry.submit(event(), NOON, "worker-1")
        assert not known
        assert (ingestion.state, ingestion.owner, ingestion.attempts) == (IngestionState.RUNNING, "worker-1", 1)
        assert [entry.state for entry in registry.history(ingestion.id)] == [IngestionState.RECEIVED, IngestionState.RUNNING]
        assert registry.submit(event(), NOON, "worker-2") == (ingestion, True)

    def test_what_runs_cannot_be_claimed_even_by_its_owner(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        assert registry.claim(ingestion.id, "me", LATER) is None
        assert standing(registry, ingestion) == ingestion

    def test_what_another_owns_cannot_be_claimed(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        assert registry.claim(ingestion.id, "you", LATER) is None
        assert standing(registry, ingestion) == ingestion

    def test_what_has_ended_cannot_be_claimed(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        registry.finish(ingestion.id, "me", failed(), LATER)
        assert registry.claim(ingestion.id, "me", LATER) is None
        assert list(registry.owned()) == []

    def test_an_unknown_ingestion_cannot_be_moved(self, registry: Registry) -> None:
        assert registry.claim("in?", "me", NOON) is None
        assert not registry.finish("in?", "me", failed(), NOON)
        assert not registry.beat("in?", "me", NOON)
        assert registry.retry("default", "in?", "a person", NOON) is None
        assert registry.discard("default", "in?", "a person", NOON) is None
        assert not registry.wait("in?", "me", PAUSE, NOON)
        assert registry.register("in?", "me", new_version(claimed(registry)), NOON) is None
        assert list(registry.history("in?")) == []

    def test_one_of_many_threads_gets_the_claim(self, registry: Registry) -> None:
        ingestion, _ = registry.submit(event(), NOON)
        answers = in_threads(8, lambda number: registry.claim(ingestion.id, f"worker {number}", NOON))
        assert len([answer for answer in answers if answer is not None]) == 1

    def test_who_waits_lets_go_and_the_attempt_does_not_count(self, registry: Registry) -> None:
        ingestion = claimed(registry, trigger=Trigger.COMPLETION)
        assert registry.wait(ingestion.id, "me", PAUSE, LATER)
        now = standing(registry, ingestion)
        assert (now.state, now.owner, now.attempts) == (IngestionState.WAITING, None, 0)
        assert (now.reason, now.message, now.updated) == ("not-settled", "two files grew", LATER)
        assert registry.history(ingestion.id)[-1] == HistoryEntry(
            LATER, IngestionState.WAITING, "not-settled", "two files grew"
        )

    def test_what_waits_can_be_claimed_by_anyone(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        registry.wait(ingestion.id, "me", PAUSE, LATER)
        again = registry.claim(ingestion.id, "you", LATER)
        assert again is not None
        assert (again.owner, again.attempts, again.reason) == ("you", 1, None)

    def test_who_does_not_own_it_cannot_make_it_wait(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        assert not registry.wait(ingestion.id, "you", PAUSE, LATER)
        assert standing(registry, ingestion) == ingestion

    @pytest.mark.parametrize("location", ["file:///runs/mnist", "\udcff \0"])
    def test_where_it_was_located_is_noted_when_it_is_let_go_of_and_stays(self, registry: Registry, location: str) -> None:
        ingestion = claimed(registry)
        registry.wait(ingestion.id, "me", replace(PAUSE, location=location), LATER)
        assert standing(registry, ingestion).location == location
        registry.claim(ingestion.id, "you", LATER)
        registry.finish(ingestion.id, "you", failed(), LATER)
        assert standing(registry, ingestion).location == location

    @pytest.mark.parametrize("location", ["file:///runs/mnist", "\udcff \0"])
    def test_where_it_was_located_is_noted_when_it_ends(self, registry: Registry, location: str) -> None:
        ingestion = claimed(registry)
        registry.finish(ingestion.id, "me", replace(failed(), location=location), LATER)
        assert standing(registry, ingestion).location == location

    def test_what_is_registered_was_located_where_its_version_was(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        version = new_version(ingestion)
        registry.register(ingestion.id, "me", version, LATER)
        assert standing(registry, ingestion).location == version.location

    # The queue

    def test_the_next_one_is_claimed_in_the_order_of_acceptance(self, registry: Registry) -> None:
        ids = [registry.submit(event(f"run-{number}"), NOON)[0].id for number in range(3)]
        got = [registry.claim_next("me", LATER) for _ in range(4)]
        assert [one.id if one else None for one in got] == [*ids, None]
        assert all(one.owner == "me" and one.attempts == 1 for one in got if one)

    def test_teams_take_turns(self, registry: Registry) -> None:
        for number in range(6):
            registry.submit(event(f"a-{number}", team="a"), NOON)
        first = [claimed_next(registry) for _ in range(2)]
        settling = claimed(registry, "c", team="c")
        registry.wait(settling.id, "me", PAUSE, LATER)
        for number in range(2):
            registry.submit(event(f"b-{number}", team="b"), NOON)
        rest = [claimed_next(registry) for _ in range(6)]
        assert [one.event.id for one in first] == ["a-0", "a-1"]
        assert [one.event.id for one in rest] == ["a-2", "b-0", "a-3", "b-1", "a-4", "a-5"]

    def test_a_pause_gives_nobody_else_a_right_of_way(self, registry: Registry) -> None:
        """Whether it lasts or is over: the team that comes late gets its first turn now, and not an old one."""
        settling = claimed(registry, "c", team="c")
        registry.wait(settling.id, "me", PAUSE, LATER)
        for number in range(6):
            registry.submit(event(f"a-{number}", team="a"), NOON)
        for _ in range(3):
            claimed_next(registry)
        for number in range(2):
            registry.submit(event(f"b-{number}", team="b"), NOON + timedelta(minutes=1))
        assert claimed_ids(registry, NOON + timedelta(minutes=1)) == ["c", "a-3", "b-0", "a-4", "b-1", "a-5"]

    def test_many_pauses_that_end_at_once_take_no_more_than_their_teams_turns(self, registry: Registry) -> None:
        """They stand in line as if they were new, also where all turns were taken while they paused."""
        for number in range(5):
            late = claimed(registry, f"c-{number}", team="c")
            registry.wait(late.id, "me", PAUSE, LATER)
        for number in range(4):
            registry.submit(event(f"a-{number}", team="a"), NOON)
        got = claimed_ids(registry, NOON + timedelta(minutes=1))
        assert got == ["c-0", "a-0", "c-1", "a-1", "c-2", "a-2", "c-3", "a-3", "c-4"]

    def test_who_comes_while_everybody_pauses_shares_with_them_when_they_are_back(self, registry: Registry) -> None:
        for number in range(4):
            registry.submit(event(f"a-{number}", team="a"), NOON)
        for paused in [claimed_next(registry) for _ in range(4)]:
            registry.wait(paused.id, "me", PAUSE, LATER)
        for number in range(4):
            registry.submit(event(f"b-{number}", team="b"), LATER)
        assert [claimed_next(registry).event.id for _ in range(2)] == ["b-0", "b-1"]
        assert claimed_ids(registry, NOON + timedelta(minutes=1)) == ["a-0", "b-2", "a-1", "b-3", "a-2", "a-3"]

    def test_what_was_lost_stands_in_line_again(self, registry: Registry) -> None:
        claimed(registry, "lost", "dead", team="c", trigger=Trigger.COMPLETION)
        for number in range(3):
            registry.submit(event(f"a-{number}", team="a"), NOON)
        claimed_next(registry)
        registry.free(LATER, lambda owner: owner == "dead")
        assert claimed_ids(registry, LATER) == ["lost", "a-1", "a-2"]

    def test_many_threads_get_different_ones(self, registry: Registry) -> None:
        for number in range(8):
            registry.submit(event(f"run-{number}"), NOON)
        got = in_threads(8, lambda number: registry.claim_next(f"worker {number}", LATER))
        assert len({one.id for one in got if one is not None}) == 8

    def test_what_pauses_is_not_claimed_before_its_time(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        registry.wait(ingestion.id, "me", PAUSE, LATER)
        assert registry.claim_next("you", LATER + timedelta(seconds=4)) is None
        again = registry.claim_next("you", LATER + timedelta(seconds=5))
        assert again is not None
        assert (again.so_far, again.rest, again.attempts) == (PAUSE.so_far, PAUSE.rest, 1)

    def test_each_attempt_has_a_version_id_of_its_own(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        registry.wait(ingestion.id, "me", PAUSE, LATER)
        again = registry.claim(ingestion.id, "me", LATER)
        assert again is not None
        assert again.version_id != ingestion.version_id

    def test_a_lease_that_ran_out_is_taken_away(self, registry: Registry) -> None:
        ingestion = claimed(registry, trigger=Trigger.COMPLETION)
        assert list(registry.free(LEASE_END - timedelta(seconds=1))) == []
        [freed] = registry.free(LEASE_END)
        assert (freed.id, freed.state, freed.owner, freed.reason) == (ingestion.id, IngestionState.WAITING, None, "worker-lost")
        assert standing(registry, ingestion) == freed
        assert not registry.finish(ingestion.id, "me", failed(), LEASE_END)
        assert registry.claim_next("you", LEASE_END) is not None

    def test_a_beat_keeps_the_lease(self, registry: Registry) -> None:
        ingestion = claimed(registry, trigger=Trigger.COMPLETION)
        assert registry.beat(ingestion.id, "me", LATER)
        assert list(registry.free(LEASE_END)) == []
        assert not registry.beat(ingestion.id, "you", LATER)
        assert len(registry.free(LEASE_END + timedelta(seconds=1))) == 1

    def test_what_pauses_has_no_beat_though_a_person_watches_it(self, registry: Registry) -> None:
        watched = claimed(registry, trigger=Trigger.CLI)
        assert registry.wait(watched.id, "me", PAUSE, LATER)
        before = standing(registry, watched)
        assert not registry.beat(watched.id, "me", LATER)
        assert standing(registry, watched) == before

    def test_an_owner_known_to_be_dead_is_not_waited_for(self, registry: Registry) -> None:
        dead, alive = claimed(registry, "1", "dead"), claimed(registry, "2", "alive")
        assert [one.id for one in registry.free(LATER, lambda owner: owner == "dead")] == [dead.id]
        assert standing(registry, alive) == alive

    def test_each_that_is_freed_is_told_of_before_the_next_one_is(self, registry: Registry) -> None:
        first, second = claimed(registry, "1", "dead.1"), claimed(registry, "2", "dead.2")
        told: list[Ingestion] = []

        def tell(ingestion: Ingestion) -> None:
            told.append(ingestion)
            assert standing(registry, first) == ingestion
            assert standing(registry, second) == second
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            registry.free(LATER, lambda owner: True, tell)
        assert [one.id for one in told] == [first.id]
        assert [one.id for one in registry.free(LATER, lambda owner: True, told.append)] == [second.id]
        assert [one.id for one in told] == [first.id, second.id]

    def test_one_sweeps_at_a_time(self, registry: Registry) -> None:
        with registry.sweeping() as first, registry.sweeping() as second:
            assert (first, second) == (True, False)
            with registry.sweeping() as third:
                assert not third, "who was turned away lets nobody in"
        with suppress(ZeroDivisionError), registry.sweeping():
            raise ZeroDivisionError
        with registry.sweeping() as after_an_error:
            assert after_an_error

    def test_one_of_many_threads_frees(self, registry: Registry) -> None:
        claimed(registry, trigger=Trigger.COMPLETION)
        assert sum(len(freed) for freed in in_threads(8, lambda number: registry.free(LEASE_END))) == 1

    def test_what_a_person_watches_ends_with_its_process_even_while_it_waits(self, registry: Registry) -> None:
        dead, slept = (claimed(registry, id, owner, trigger=Trigger.CLI) for id, owner in (("1", "dead"), ("2", "asleep")))
        for one in (dead, slept):
            assert registry.wait(one.id, one.owner or "", PAUSE, LATER)
        assert [one.id for one in registry.owned()] == [dead.id, slept.id]
        assert [one.state for one in registry.free(LATER, lambda owner: owner == "dead")] == [IngestionState.FAILED]
        assert standing(registry, dead).reason == "worker-lost"
        pause_and_lease = timedelta(seconds=PAUSE.seconds + LEASE_SECONDS)
        assert registry.free(LATER + pause_and_lease - timedelta(seconds=1)) == []
        assert [one.id for one in registry.free(LATER + pause_and_lease)] == [slept.id]

    def test_a_failed_one_is_tried_again_when_a_person_says_so(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        assert registry.retry("default", ingestion.id, "a person", LATER) is None
        registry.finish(ingestion.id, "me", failed(), LATER)
        assert registry.retry("other", ingestion.id, "a person", LATER) is None
        again = registry.retry("default", ingestion.id, "a person", LATER)
        assert again is not None
        assert (again.state, again.attempts) == (IngestionState.RECEIVED, 0)
        assert registry.claim_next("you", LATER) is not None

    def test_what_is_tried_again_follows_from_another_span_where_one_is_named(self, registry: Registry) -> None:
        ingestion = claimed(registry, traceparent=SPAN, git_sha="0123")
        for wanted in (None, OTHER_SPAN):
            registry.finish(ingestion.id, "me", failed(), LATER)
            again = registry.retry("default", ingestion.id, "a person", LATER, traceparent=wanted)
            assert again is not None
            assert again.event == replace(ingestion.event, traceparent=wanted or SPAN)
            assert registry.ingestion("default", ingestion.id) == again
            assert registry.claim(ingestion.id, "me", LATER) is not None

    def test_the_same_event_in_another_trace_is_the_same_event(self, registry: Registry) -> None:
        first, _ = registry.submit(event(traceparent=SPAN), NOON)
        assert registry.submit(event(traceparent=OTHER_SPAN), LATER) == (first, True)
        assert registry.submit(event(), LATER) == (first, True)

    def test_what_is_tried_again_stands_in_line_with_the_others(self, registry: Registry) -> None:
        """Thirty at once of one team go before nobody: the other team's next is the second or third to be claimed."""
        failures = [claimed(registry, f"run-{number}", team="loud") for number in range(30)]
        for one in failures:
            registry.finish(one.id, "me", failed(), LATER)
        quiet = [registry.submit(event(f"quiet-{number}", team="quiet"), LATER)[0] for number in range(2)]
        for one in failures:
            registry.retry("loud", one.id, "a person", LATER)
        first = [registry.claim_next("you", LATER) for _ in range(5)]
        assert {one.id for one in quiet} <= {one.id for one in first if one is not None}

    def test_a_person_discards_what_has_not_ended_well_whoever_owns_it(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        assert registry.discard("other", ingestion.id, "a person", LATER) is None
        gone = registry.discard("default", ingestion.id, "a person", LATER)
        assert gone is not None
        assert gone.state is IngestionState.DISCARDED
        assert registry.register(ingestion.id, "me", new_version(ingestion), LATER) is None
        assert registry.discard("default", ingestion.id, "a person", LATER) is None

    def test_the_same_event_with_another_word_is_refused(self, registry: Registry) -> None:
        first, _ = registry.submit(event(), NOON)
        with pytest.raises(ConflictingEvent, match=f"run-1 of test was accepted as {first.id}"):
            registry.submit(event(model_path="/runs/another"), LATER)
        assert registry.submit(event(), LATER) == (first, True)

    def test_all_that_an_event_says_comes_back(self, registry: Registry) -> None:
        said = event(
            trigger=Trigger.COMPLETION,
            kind=Kind.MULTI_NODE,
            cluster=Cluster.PRIVATE,
            state=ExperimentState.FAILED,
            git_ref="refs/heads/main \udcff",
            git_sha="0123",
            files=(NamedFile("a/model.onnx", 3, "0" * 64), NamedFile("b", 0)),
            is_forced=True,
            traceparent=SPAN,
        )
        assert registry.submit(said, NOON)[0].event == said
        assert registry.submit(said, NOON)[0].event == said

    def test_ingestions_of_a_path_are_found(self, registry: Registry) -> None:
        for id, path in (("1", "/a"), ("2", "/b"), ("3", "/a")):
            registry.submit(event(id, model_path=path), NOON)
        assert [one.event.id for one in registry.ingestions(IngestionQuery(model_path="/a"))] == ["3", "1"]
        assert registry.ingestions(IngestionQuery(model_path="/c")) == []

    def test_the_queue_is_counted(self, registry: Registry) -> None:
        assert registry.queue(NOON) == Queue({}, 0, None)
        waiting = claimed(registry, "1")
        registry.wait(waiting.id, "me", PAUSE, NOON)
        ended = claimed(registry, "2")
        registry.finish(ended.id, "me", failed(), NOON)
        registry.submit(event("3"), LATER)
        states = {IngestionState.WAITING: 1, IngestionState.FAILED: 1, IngestionState.RECEIVED: 1}
        assert registry.queue(LATER) == Queue(states, 1, NOON)
        assert registry.queue(NOON + timedelta(seconds=5)).due == 2
        assert registry.is_due(LATER)
        claimed_next(registry)
        assert not registry.is_due(LATER)
        assert registry.is_due(NOON + timedelta(seconds=5))

    def test_the_pulse_tells_how_all_work_stands(self, registry: Registry) -> None:
        assert registry.pulse(NOON, NOON) == Pulse([], {}, {}, 0, None, [])
        waiting = claimed(registry, "1")
        registry.wait(waiting.id, "me", PAUSE, NOON)
        registry.finish(claimed(registry, "2").id, "me", failed(), NOON)
        claimed(registry, "3")
        registry.submit(event("4", team="red"), LATER)
        seen = [Worker(name, "host", 1, NOON, at) for name, at in (("a", NOON), ("b", LATER))]
        for worker in seen:
            registry.see(worker)
        pulse = registry.pulse(LATER, LATER)
        in_flight = {IngestionState.WAITING: 1, IngestionState.RUNNING: 1, IngestionState.RECEIVED: 1}
        assert pulse == Pulse(registry.counters(), in_flight, {"not-settled": 1}, 1, LATER, seen[1:])
        after = registry.pulse(NOON + timedelta(seconds=5), NOON)
        assert (after.due, after.due_since, after.workers) == (2, LATER, seen)

    def test_how_the_work_of_a_team_stands_is_told(self, registry: Registry) -> None:
        assert registry.standing("default", NOON, NOON) == Standing({}, 0, None, {}, None, [])
        registry.wait(claimed(registry, "1").id, "me", PAUSE, NOON)
        claimed(registry, "2")
        registry.submit(event("3"), LATER)
        registry.submit(event("4", team="red"), NOON)
        told = registry.standing("default", LATER, NOON)
        in_flight = {IngestionState.WAITING: 1, IngestionState.RUNNING: 1, IngestionState.RECEIVED: 1}
        assert told == Standing(in_flight, 1, LATER, {}, None, [])
        over = registry.standing("default", NOON + timedelta(seconds=5), NOON)
        assert (over.due, over.due_since) == (2, LATER)
        later = registry.standing("red", LATER, NOON)
        assert (later.in_flight, later.due, later.due_since) == ({IngestionState.RECEIVED: 1}, 1, NOON)

    def test_a_pause_that_is_over_for_longer_than_the_line_waits_is_what_is_told(self, registry: Registry) -> None:
        registry.wait(claimed(registry, "1").id, "me", PAUSE, NOON)
        over = NOON + timedelta(seconds=PAUSE.seconds)
        registry.submit(event("2"), over + timedelta(seconds=1))
        assert registry.standing("default", over + timedelta(minutes=1), NOON).due_since == over

    def test_what_finished_lately_is_counted_and_what_a_person_put_away_is_not(self, registry: Registry) -> None:
        for id, at in (("1", NOON), ("2", LATER), ("3", LATER)):
            registry.finish(claimed(registry, id).id, "me", failed(), at)
        register(registry, "4")
        registry.discard("default", claimed(registry, "5").id, "kim", NOON + timedelta(hours=1))
        registry.finish(claimed(registry, "6", team="red").id, "me", failed(), NOON + timedelta(hours=1))
        told = registry.standing("default", LATER, LATER)
        assert told.ends == {IngestionState.FAILED: 2, IngestionState.REGISTERED: 1}
        assert told.last_finish == LATER
        told = registry.standing("default", LATER, NOON)
        assert told.ends == {IngestionState.FAILED: 3, IngestionState.REGISTERED: 1}

    def test_what_finished_is_told_by_the_minute_with_how_long_it_took(self, registry: Registry) -> None:
        for id, seconds in (("1", 0), ("2", 59), ("3", 60), ("4", 150)):
            registry.finish(claimed(registry, id).id, "me", failed(), NOON + timedelta(seconds=seconds))
        told = registry.standing("default", LATER, NOON + timedelta(seconds=1))
        first, one = NOON.replace(second=0, microsecond=0), {IngestionState.FAILED: 1}
        assert told.finished == {first + timedelta(minutes=minute): one for minute in range(3)}
        assert (told.took, told.counted_since) == ((150, 60, 59), None)

    def test_how_the_work_of_all_teams_stands_is_told_at_once(self, registry: Registry) -> None:
        registry.create_team("red", NOON)
        registry.wait(claimed(registry, "1").id, "me", PAUSE, NOON)
        registry.submit(event("2", team="red"), NOON)
        registry.submit(event("3"), LATER)
        for id, team, reason, at in (
            ("4", "red", "broken", LATER),
            ("5", "default", "broken", LATER + timedelta(seconds=1)),
            ("6", "red", "broken", NOON),
            ("7", "red", "changed", LATER),
        ):
            assert registry.finish(claimed(registry, id, team=team).id, "me", failed(reason), at)
        over = NOON + timedelta(seconds=PAUSE.seconds)
        told = registry.standing(None, over, NOON)
        assert told.in_flight == {IngestionState.WAITING: 1, IngestionState.RECEIVED: 2}
        assert (told.due, told.due_since, told.last_finish) == (3, NOON, LATER + timedelta(seconds=1))
        assert told.ends == {IngestionState.FAILED: 4}
        assert [(one.reason, one.count, one.newest.event.id) for one in told.failures] == [
            ("broken", 3, "5"),
            ("changed", 1, "7"),
        ]
        theirs = registry.standing("red", over, NOON)
        assert (theirs.due, theirs.ends, theirs.last_finish) == (1, {IngestionState.FAILED: 3}, LATER)
        assert [(one.reason, one.newest.event.id) for one in theirs.failures] == [("broken", "4"), ("changed", "7")]

    def test_ingestions_of_all_teams_are_listed_and_counted_at_once(self, registry: Registry) -> None:
        registry.create_team("red", NOON)
        for number, team in enumerate(("default", "red", "default", "red")):
            ended = claimed(registry, str(number), team=team, experiment=f"e{number // 2}")
            registry.finish(ended.id, "me", failed("broken" if number < 3 else "changed"), NOON)
        registry.submit(event("4", team="red"), NOON)

        def found(**filters: Any) -> list[str]:
            query = IngestionQuery(None, **filters)
            listed = [one.event.id for one in registry.ingestions(query)]
            assert (
                registry.count_ingestions(replace(query, after=None, limit=1)) == len(listed) or query.after or query.limit < 5
            )
            return listed

        assert found() == ["4", "3", "2", "1", "0"]
        assert found(limit=2) == ["4", "3"]
        assert found(state=IngestionState.FAILED, reason="broken") == ["2", "1", "0"]
        assert found(experiment="e0") == ["1", "0"]
        first = registry.ingestions(IngestionQuery(None, limit=2))
        assert found(after=first[-1].id) == ["2", "1", "0"]
        assert registry.ingestion(None, first[0].id) == first[0]
        assert registry.ingestion(None, "in?") is None
        assert registry.ingestion("default", first[0].id) is None
        assert registry.ingestions(IngestionQuery("default", after=first[0].id)) == []

    def test_an_ingestion_keeps_what_format_was_found_also_where_it_fails(self, registry: Registry) -> None:
        ended = claimed(registry, "1")
        registry.wait(ended.id, "me", replace(PAUSE, format="onnx"), NOON)
        assert registry.claim(ended.id, "me", NOON + timedelta(hours=1))
        assert standing(registry, ended).format == "onnx"
        register(registry, "2")
        unknown = claimed(registry, "3")
        assert registry.finish(unknown.id, "me", failed(), NOON)
        keras = claimed(registry, "4")
        assert registry.finish(keras.id, "me", replace(failed(), format="keras"), NOON)
        empty = claimed(registry, "5")
        registry.wait(empty.id, "me", replace(PAUSE, format="onnx"), NOON)
        assert registry.claim(empty.id, "me", NOON + timedelta(hours=1))
        registry.finish(empty.id, "me", End(IngestionState.NOTHING_FOUND, "nothing-found", "none"), NOON)

        def found(team: str | None = "default", **filters: Any) -> list[str]:
            listed = registry.ingestions(IngestionQuery(team, **filters))
            assert registry.count_ingestions(IngestionQuery(team, **filters)) == len(listed)
            return [one.event.id for one in listed]

        assert found(format="onnx") == ["2", "1"]
        assert found(format="keras") == found(None, format="keras", state=IngestionState.FAILED) == ["4"]
        assert found(format=NO_FORMAT) == ["5", "3"]
        assert found(format="onnx", state=IngestionState.FAILED) == []
        registry.retry("default", keras.id, "kim", NOON)
        assert found(format="keras") == ["4"]

    def test_where_an_unforeseen_error_came_from_stands_in_its_step(self, registry: Registry) -> None:
        ended = claimed(registry, "1")
        registry.finish(ended.id, "me", replace(failed("unforeseen"), backtrace="ValueError: \ud800\0\n  a.py:1 in f"), NOON)
        assert [one.backtrace for one in registry.history(ended.id)] == [None, None, "ValueError: \ud800\0\n  a.py:1 in f"]

    def test_failures_are_told_by_reason_the_most_frequent_first(self, registry: Registry) -> None:
        for id, reason in enumerate(("unreadable", "broken", "changed", "unreadable", "broken")):
            registry.finish(claimed(registry, str(id)).id, "me", failed(reason), NOON)
        registry.finish(claimed(registry, "theirs", team="red").id, "me", failed("broken"), NOON)
        found = registry.standing("default", NOON, NOON).failures
        assert [(one.reason, one.count, one.newest.event.id) for one in found] == [
            ("broken", 2, "4"),
            ("unreadable", 2, "3"),
            ("changed", 1, "2"),
        ]
        first = registry.ingestions(IngestionQuery(reason="unreadable"))[-1]
        registry.retry("default", first.id, "kim", LATER)
        again = registry.claim(first.id, "me", LATER)
        assert again is not None
        registry.finish(first.id, "me", failed("unreadable"), LATER)
        assert registry.standing("default", NOON, NOON).failures[1].newest.id == first.id
        assert found[0].newest == registry.ingestion("default", found[0].newest.id)
        registry.retry("default", found[0].newest.id, "kim", NOON)
        assert [one.count for one in registry.standing("default", NOON, NOON).failures] == [2, 1, 1]

    def test_ingestions_are_counted_wherever_their_list_begins(self, registry: Registry) -> None:
        for id in ("1", "2", "3"):
            ended = claimed(registry, id, experiment=f"e{int(id) % 2}")
            registry.finish(ended.id, "me", failed("broken" if id == "1" else "changed"), NOON)
        registry.submit(event("4"), NOON)
        registry.submit(event("5", team="red"), NOON)
        query = IngestionQuery(state=IngestionState.FAILED, after=ended.id, limit=1)
        counted = registry.count_ingestions
        assert (counted(IngestionQuery()), counted(query), counted(replace(query, reason="changed"))) == (4, 3, 2)
        assert (counted(IngestionQuery(experiment="e1")), counted(IngestionQuery("blue"))) == (2, 0)

    def test_a_lease_that_nobody_frees_is_a_contradiction(self, registry: Registry) -> None:
        register(registry, "1")
        registry.finish(claimed(registry, "2").id, "me", failed(), LATER)
        waiting = claimed(registry, "3")
        registry.wait(waiting.id, "me", PAUSE, LATER)
        running = claimed(registry, "4", trigger=Trigger.COMPLETION)
        assert list(registry.contradictions(LEASE_END)) == []
        [said] = registry.contradictions(LEASE_END + timedelta(minutes=3))
        assert said.startswith(f"{running.id} is me's, whose lease ran out at ")

    def test_a_long_lease_is_none(self, build: Build) -> None:
        """Ten minutes after a lease of ten minutes it may still be freed by the next sweep; after half an hour, nobody does."""
        registry = build(lease_seconds=600.0)
        running, watched = claimed(registry, "1", trigger=Trigger.COMPLETION), claimed(registry, "2")
        registry.wait(watched.id, "me", PAUSE, NOON)
        assert standing(registry, running).lease_until == NOON + timedelta(minutes=10)
        assert standing(registry, watched).lease_until == NOON + timedelta(minutes=10, seconds=5)
        assert list(registry.contradictions(NOON + timedelta(minutes=39))) == []
        assert len(registry.contradictions(NOON + timedelta(minutes=41))) == 2
        assert registry.beat(running.id, "me", LATER)
        assert standing(registry, running).lease_until == LATER + timedelta(minutes=10)

    # Counters

    def test_a_new_registry_has_counted_nothing(self, registry: Registry) -> None:
        assert registry.counters() == []

    def test_the_way_of_an_ingestion_is_counted(self, registry: Registry) -> None:
        ingestion, _ = registry.submit(event(trigger=Trigger.COMPLETION), NOON)
        registry.claim(ingestion.id, "me", NOON + timedelta(seconds=7))
        registry.wait(ingestion.id, "me", PAUSE, NOON)
        running = registry.claim(ingestion.id, "me", NOON + timedelta(seconds=70))
        assert running is not None
        registry.register(ingestion.id, "me", new_version(running), LATER)
        assert told(registry) == {
            "accepted trigger=completion": 1,
            "claimed trigger=completion": 2,
            "waited le=10": 1,
            "waited_microseconds": 7_000_000,
            "ended format=onnx outcome=registered reason=new-content trigger=completion": 1,
            "bytes outcome=registered": 3,
        }

    def test_a_repeated_event_is_not_counted_again(self, registry: Registry) -> None:
        registry.submit(event(), NOON)
        registry.submit(event(), LATER)
        assert told(registry) == {"accepted trigger=cli": 1}

    def test_what_changes_nothing_is_not_counted(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        before = told(registry)
        assert registry.claim(ingestion.id, "other", LATER) is None
        assert not registry.finish(ingestion.id, "other", failed(), LATER)
        assert registry.register(ingestion.id, "other", new_version(ingestion), LATER) is None
        assert registry.retry("default", ingestion.id, "a person", LATER) is None
        assert told(registry) == before

    def test_equal_content_is_counted_as_read_and_unchanged(self, registry: Registry) -> None:
        register(registry, "1")
        ingestion = claimed(registry, "2")
        registry.register(ingestion.id, "me", new_version(ingestion), LATER)
        registry.finish(ingestion.id, "me", End(IngestionState.UNCHANGED, "same-content", "so"), LATER)
        found = told(registry)
        assert found["bytes outcome=unchanged"] == 3
        assert found["ended format=none outcome=unchanged reason=same-content trigger=cli"] == 1

    def test_what_is_accepted_and_claimed_at_once_is_counted_as_both(self, registry: Registry) -> None:
        registry.submit(event(), NOON, "me")
        assert told(registry) == {"accepted trigger=cli": 1, "claimed trigger=cli": 1, "waited le=0.1": 1}

    def test_what_is_accepted_and_ends_at_once_is_counted_as_both(self, registry: Registry) -> None:
        registry.submit(event(), NOON, end=End(IngestionState.IGNORED, "experiment-failed", "it failed"))
        ended = "ended format=none outcome=ignored reason=experiment-failed trigger=cli"
        assert told(registry) == {"accepted trigger=cli": 1, ended: 1}

    def test_a_lost_owner_is_counted(self, registry: Registry) -> None:
        claimed(registry, "1", trigger=Trigger.WATCH)
        claimed(registry, "2")
        registry.free(LEASE_END)
        found = told(registry)
        assert (found["freed trigger=watch"], found["freed trigger=cli"]) == (1, 1)
        assert found["ended format=none outcome=failed reason=worker-lost trigger=cli"] == 1

    def test_words_that_nobody_knows_are_counted_together(self, registry: Registry) -> None:
        registry.finish(claimed(registry, "1").id, "me", failed("a word"), LATER)
        registry.finish(claimed(registry, "2").id, "me", failed("another"), LATER)
        ingestion = claimed(registry, "3")
        registry.register(ingestion.id, "me", new_version(ingestion, format="new"), LATER)
        found = told(registry)
        assert found["ended format=none outcome=failed reason=other trigger=cli"] == 2
        assert found["ended format=other outcome=registered reason=new-content trigger=cli"] == 1

    def test_what_was_accepted_or_retried_has_ended_or_is_in_flight(self, registry: Registry) -> None:
        """What a person put away after it had failed has ended once."""
        registry.submit(event("1"), NOON)
        register(registry, "2")
        unread = claimed(registry, "3")
        registry.finish(unread.id, "me", failed(), LATER)
        registry.retry("default", unread.id, "a person", LATER)
        registry.claim(unread.id, "me", LATER)
        registry.finish(unread.id, "me", failed(), LATER)
        registry.discard("default", unread.id, "a person", LATER)
        registry.discard("default", claimed(registry, "4").id, "a person", LATER)
        summed = {name: sum(one.value for one in registry.counters() if one.name is name) for name in Counted}
        assert (summed[Counted.ACCEPTED], summed[Counted.RETRIED], summed[Counted.PUT_AWAY]) == (4, 1, 1)
        assert summed[Counted.ENDED] == 4
        assert registry.queue(LATER).states[IngestionState.RECEIVED] == 1

    def test_times_of_steps_are_counted(self, registry: Registry) -> None:
        registry.took([Took("settle", 0.2), Took("settle", 7), Took("store", 4000)])
        registry.took([Took("settle", 0.25)])
        registry.took([])
        found = told(registry)
        assert found == {
            "stepped le=0.5 step=settle": 2,
            "stepped le=10 step=settle": 1,
            "stepped le=+Inf step=store": 1,
            "stepped_microseconds step=settle": 7_450_000,
            "stepped_microseconds step=store": 4_000_000_000,
        }

    def test_the_counters_say_how_many_ingestions_stand_in_each_state(self, registry: Registry) -> None:
        assert list(registry.contradictions(NOON)) == []
        self.test_what_was_accepted_or_retried_has_ended_or_is_in_flight(registry)
        assert list(registry.contradictions(NOON)) == []

    def test_many_threads_count_each_step(self, registry: Registry) -> None:
        in_threads(8, lambda number: [register(registry, f"{number}-{turn}", f"{number}-{turn}") for turn in range(5)])
        found = told(registry)
        assert (found["accepted trigger=cli"], found["claimed trigger=cli"], found["bytes outcome=registered"]) == (40, 40, 120)
        assert list(registry.contradictions(NOON)) == []

    def test_where_a_version_is_kept_may_change_and_nothing_else(self, registry: Registry) -> None:
        version = register(registry).version
        registry.kept_at(version.id, StoreMode.REFERENCE, "file:///there", "file:///from")
        moved = replace(version, store=StoreMode.REFERENCE, url="file:///there", location="file:///from")
        assert registry.version("default", version.id) == moved
        registry.kept_at("mo?", StoreMode.COPY, "x", "y")

    def test_an_unnamed_model_keeps_the_name_that_somebody_gave_it(self, registry: Registry) -> None:
        first = register(registry, "1", "d1").version
        registry.rename("default", first.id, "digits", LATER)
        second = register(registry, "2", "d2").version
        assert (second.model_name, second.number, second.is_generated_name) == ("digits", 2, False)
        other = register(registry, "3", "d3", experiment="other").version
        assert other.model_name == "other"

    def test_what_a_new_look_made_of_equal_content_is_kept(self, registry: Registry) -> None:
        first = register(registry, "1").version
        again = claimed(registry, "2")
        seen = new_version(again, listing_key="another", verdict="findings", findings=(), report='{"seen": 2}')
        registration = registry.register(again.id, "me", seen, LATER)
        assert registration is not None
        assert registration.version == replace(first, verdict="findings", report='{"seen": 2}')
        assert list(registry.findings(first.id)) == []

    def test_ingestions_are_listed_newest_first_page_by_page(self, registry: Registry) -> None:
        ids = [registry.submit(event(f"run-{number}"), NOON)[0].id for number in range(5)]
        registry.submit(event("theirs", team="other"), NOON)
        first = registry.ingestions(IngestionQuery(limit=2))
        second = registry.ingestions(IngestionQuery(limit=2, after=first[-1].id))
        assert [one.id for one in [*first, *second]] == [ids[4], ids[3], ids[2], ids[1]]
        assert list(registry.ingestions(IngestionQuery(after="in?"))) == []

    def test_ingestions_are_found_by_state_experiment_and_reason(self, registry: Registry) -> None:
        ended = claimed(registry, "1", experiment="x")
        registry.finish(ended.id, "me", failed(), LATER)
        registry.submit(event("2", experiment="y"), NOON)
        found = [
            registry.ingestions(query)
            for query in (
                IngestionQuery(state=IngestionState.FAILED),
                IngestionQuery(experiment="x"),
                IngestionQuery(reason="unreadable"),
            )
        ]
        assert [[one.id for one in page] for page in found] == [[ended.id]] * 3

    def test_ingestions_are_found_by_what_triggered_them(self, registry: Registry) -> None:
        registry.submit(event("before", trigger=Trigger.CLI), NOON)
        mine = [sealed(registry, registry.begin_upload(NewUpload("default"), NOON)).id for _ in range(3)]
        sealed(registry, registry.begin_upload(NewUpload("red"), NOON))
        rerun = registry.submit(event("after", trigger=Trigger.RESCAN), NOON)[0].id
        found = registry.ingestions(IngestionQuery(trigger=Trigger.UPLOAD, limit=2))
        assert [one.id for one in found] == [mine[2], mine[1]]
        older = registry.ingestions(IngestionQuery(trigger=Trigger.UPLOAD, after=found[-1].id))
        assert [one.id for one in older] == [mine[0]]
        assert [one.id for one in registry.ingestions(IngestionQuery(trigger=Trigger.RESCAN))] == [rerun]

    def test_workers_are_known_for_as_long_as_they_are_seen(self, registry: Registry) -> None:
        old, young = Worker("b", "host", 1, NOON, NOON), Worker("a", "host \udcff", 2, NOON, NOON)
        for worker in (old, young, replace(young, seen=LATER)):
            registry.see(worker)
        assert list(registry.workers(NOON)) == [replace(young, seen=LATER), old]
        assert list(registry.workers(LATER)) == [replace(young, seen=LATER)]
        registry.leave("a")
        registry.leave("a")
        assert list(registry.workers(NOON)) == [old]

    # Ends

    def test_the_end_is_kept_with_its_reason(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        assert registry.finish(ingestion.id, "me", failed(), LATER)
        now = standing(registry, ingestion)
        assert (now.state, now.reason, now.message) == (IngestionState.FAILED, "unreadable", "it may not be read")
        assert (now.owner, now.answered_version, now.updated) == (None, None, LATER)

    @pytest.mark.parametrize("state", ["unchanged", "nothing_found", "failed", "discarded", "ignored"])
    def test_an_end_is_final(self, registry: Registry, state: str) -> None:
        ingestion = claimed(registry)
        assert registry.finish(ingestion.id, "me", End(IngestionState(state), "why", "so"), NOON)
        ended = standing(registry, ingestion)
        assert not registry.finish(ingestion.id, "me", failed(), LATER)
        assert not registry.beat(ingestion.id, "me", LATER)
        assert registry.register(ingestion.id, "me", new_version(ingestion), LATER) is None
        assert standing(registry, ingestion) == ended

    def test_who_does_not_own_it_cannot_end_it(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        assert not registry.finish(ingestion.id, "you", failed(), LATER)
        assert standing(registry, ingestion) == ingestion

    @pytest.mark.parametrize("state", ["received", "waiting", "running", "registered"])
    def test_finishing_says_no_state_that_is_not_its_own(self, registry: Registry, state: str) -> None:
        ingestion = claimed(registry)
        with pytest.raises(ValueError, match=r"is not an end|by register\(\) alone"):
            registry.finish(ingestion.id, "me", End(IngestionState(state), "why", "so"), LATER)
        assert standing(registry, ingestion) == ingestion

    @pytest.mark.parametrize("text", ODD_TEXTS)
    def test_any_message_comes_back_as_it_was(self, registry: Registry, text: str) -> None:
        ingestion = claimed(registry)
        registry.finish(ingestion.id, "me", End(IngestionState.FAILED, text, text), LATER)
        assert standing(registry, ingestion).message == text
        assert registry.history(ingestion.id)[-1] == HistoryEntry(LATER, IngestionState.FAILED, text, text)

    # Registration

    def test_new_content_is_a_new_version(self, build: Build) -> None:
        registry = build(new_id=counting_ids())
        registration = register(registry)
        version = registration.version
        assert registration.is_new
        assert (version.id, version.model_name, version.number, version.is_generated_name) == ("mo3", "mnist", 1, True)
        assert (version.team, version.project, version.experiment) == ("default", "default", "mnist")
        assert (version.model_type, version.format, version.digest) == (ModelType.ONNX, "onnx", "d1")
        assert (version.oms_digest, version.duplicate_of, version.tags) == ("oms of d1", None, ())
        assert (version.location, version.url) == ("file:///runs/mnist", "file:///store/mo3")
        assert (version.store, version.size_bytes) == (StoreMode.COPY, 3)
        assert (version.completeness, version.verdict) == ("complete", "clean")
        assert (version.report, version.created, version.deleted) == ('{"schema": "modelport.scan/1"}', LATER, None)
        assert registry.version("default", "mo3") == version

    def test_what_registering_answers_is_what_is_found_then(self, registry: Registry) -> None:
        """For the first version of a name, the next one, a copy elsewhere, and a generated name that somebody now gives."""
        for changes in ({}, {"id": "2"}, {"id": "3", "experiment": "e"}, {"id": "4", "experiment": "f", "name": "mnist"}):
            version = register(registry, digest=f"d{len(changes) % 3}", **changes).version
            assert registry.version("default", version.id) == version
        assert (version.model_name, version.number, version.is_generated_name) == ("mnist", 3, False)

    def test_registering_ends_the_ingestion(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        registry.register(ingestion.id, "me", new_version(ingestion), LATER)
        now = standing(registry, ingestion)
        assert (now.state, now.reason, now.answered_version) == (IngestionState.REGISTERED, "new-content", ingestion.version_id)
        assert (now.owner, now.message) == (None, "registered as mnist version 1")
        assert registry.history(ingestion.id)[-1].state is IngestionState.REGISTERED

    def test_who_does_not_own_it_registers_nothing(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        assert registry.register(ingestion.id, "you", new_version(ingestion), LATER) is None
        assert registry.version("default", ingestion.version_id) is None
        assert standing(registry, ingestion) == ingestion

    def test_who_lost_the_lease_registers_nothing(self, registry: Registry) -> None:
        ingestion = claimed(registry, trigger=Trigger.COMPLETION)
        registry.free(LEASE_END)
        assert registry.register(ingestion.id, "me", new_version(ingestion), LATER) is None
        again = registry.claim(ingestion.id, "you", LEASE_END)
        assert again is not None
        assert registry.register(ingestion.id, "me", new_version(ingestion), LATER) is None
        assert list(registry.versions(VersionQuery())) == []

    def test_another_id_than_the_planned_one_is_a_mistake(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        with pytest.raises(ValueError, match="expected the planned version"):
            registry.register(ingestion.id, "me", new_version(ingestion, id="mo_other"), LATER)
        assert standing(registry, ingestion) == ingestion

    def test_another_team_than_the_events_is_a_mistake(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        other = replace(scope_of(ingestion.event), team="other")
        with pytest.raises(ValueError, match="expected the ingestion's team"):
            registry.register(ingestion.id, "me", new_version(ingestion, scope=other), LATER)

    def test_equal_content_in_one_scope_is_unchanged(self, registry: Registry) -> None:
        first = register(registry, "run-1").version
        second = register(registry, "run-2")
        assert (second.version, second.is_new) == (first, False)
        ingestion, _ = registry.submit(event("run-2"), NOON)
        assert ingestion.state is IngestionState.RUNNING
        assert registry.version("default", ingestion.version_id) is None

    def test_equal_content_judged_by_other_rules_is_known_by_what_they_say(self, registry: Registry) -> None:
        first = register(registry, "run-1").version
        anew = register_judged(registry, "run-3", rules_version="2", verdict="findings", report='{"rules": 2}')
        assert (anew.id, anew.verdict, anew.report) == (first.id, "findings", '{"rules": 2}')
        assert registry.version("default", first.id) == anew

    def test_equal_content_listed_anew_is_known_by_its_new_listing(self, registry: Registry) -> None:
        first = register(registry, "run-1").version
        ingestion = claimed(registry, "run-2")
        registry.register(ingestion.id, "me", new_version(ingestion, listing_key="new listing"), LATER)
        assert registry.same_listing(scope_of(event()), "new listing") == first

    def test_other_content_is_the_next_version(self, registry: Registry) -> None:
        numbers = [register(registry, f"run-{i}", f"d{i}").version.number for i in (1, 2, 3)]
        assert numbers == [1, 2, 3]

    def test_one_of_many_threads_registers_equal_content(self, registry: Registry) -> None:
        ingestions = [claimed(registry, f"run-{number}") for number in range(8)]

        def work(number: int) -> Registration | None:
            return registry.register(ingestions[number].id, "me", new_version(ingestions[number]), LATER)

        answers = [answer for answer in in_threads(8, work) if answer is not None]
        assert [answer.is_new for answer in answers].count(True) == 1
        assert len({answer.version.id for answer in answers}) == 1

    def test_many_threads_registering_different_content_get_different_numbers(self, registry: Registry) -> None:
        ingestions = [claimed(registry, f"run-{number}") for number in range(8)]

        def work(number: int) -> int:
            version = new_version(ingestions[number], f"d{number}")
            registration = registry.register(ingestions[number].id, "me", version, LATER)
            assert registration is not None
            return registration.version.number

        assert sorted(in_threads(8, work)) == [1, 2, 3, 4, 5, 6, 7, 8]

    def test_equal_content_of_another_experiment_is_a_duplicate_of_the_first(self, registry: Registry) -> None:
        first = register(registry, "1", experiment="a").version
        second = register(registry, "2", experiment="b").version
        third = register(registry, "3", experiment="c").version
        assert (first.duplicate_of, second.duplicate_of, third.duplicate_of) == (None, first.id, first.id)

    def test_equal_content_of_another_project_is_a_duplicate(self, registry: Registry) -> None:
        first = register(registry, "1", project="a").version
        assert register(registry, "2", project="b").version.duplicate_of == first.id

    def test_another_team_is_told_nothing(self, registry: Registry) -> None:
        register(registry, "1", team="a")
        second = register(registry, "1", team="b")
        assert second.is_new
        assert second.version.duplicate_of is None

    def test_a_deleted_version_is_no_first_of_duplicates(self, registry: Registry) -> None:
        first = register(registry, "1", experiment="a").version
        second = register(registry, "2", experiment="b").version
        registry.delete("default", first.id, LATER)
        assert register(registry, "3", experiment="c").version.duplicate_of == second.id

    def test_a_bare_path_takes_the_place_of_the_experiment(self, registry: Registry) -> None:
        register(registry, "1", experiment=None, model_path="/a")
        assert not register(registry, "2", experiment=None, model_path="/a").is_new
        assert register(registry, "3", experiment=None, model_path="/b").is_new

    def test_scopes_do_not_run_together(self, registry: Registry) -> None:
        register(registry, "1", project="a\x1fe", experiment="b")
        assert register(registry, "2", project="a", experiment="e\x1fb").is_new

    def test_a_given_name_is_no_generated_one(self, registry: Registry) -> None:
        assert register(registry, "1", "d1").version.is_generated_name
        assert not register(registry, "2", "d2", name="mnist").version.is_generated_name
        assert not register(registry, "3", "d3").version.is_generated_name

    @pytest.mark.parametrize("name", ["", "zero \0", "\udcff", "n" * 10_000])
    def test_a_model_name_that_cannot_be_kept_is_refused(self, registry: Registry, name: str) -> None:
        ingestion = claimed(registry)
        with pytest.raises(RejectedEvent, match="the model name"):
            registry.register(ingestion.id, "me", new_version(ingestion, model_name=name), LATER)
        assert standing(registry, ingestion) == ingestion

    def test_a_size_beyond_63_bits_is_refused(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        with pytest.raises(RejectedEvent, match="a size is beyond"):
            registry.register(ingestion.id, "me", new_version(ingestion, size_bytes=2**63), LATER)

    @pytest.mark.parametrize("text", ODD_TEXTS)
    def test_any_text_of_a_version_comes_back_as_it_was(self, registry: Registry, text: str) -> None:
        ingestion = claimed(registry)
        metric = Metric(text, 1.0, 1, text, text)
        finding = Finding(text, Severity.INFO, text, text, text)
        odd = new_version(ingestion, location=text, url=text, report=text, metrics=(metric,), findings=(finding,))
        registration = registry.register(ingestion.id, "me", odd, LATER)
        version = registry.version("default", ingestion.version_id)
        assert version is not None
        assert registration == Registration(version, is_new=True)
        assert (version.location, version.url, version.report) == (text, text, text)
        assert [found.values for found in [registry.metrics(version.id)] if found] == [(metric,)]
        assert list(registry.findings(version.id)) == [finding]

    # What belongs to a version

    def test_files_are_sorted_by_path(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        paths = ["b", "a/z", "a.b", "\udcff.onnx", "zero \0", "é", "back\\slash", "line\nbreak", "n" * 10_000]
        files = tuple(FileDigest(path, 2**40, "a" * 64) for path in paths)
        registry.register(ingestion.id, "me", new_version(ingestion, files=files), LATER)
        assert list(registry.files(ingestion.version_id)) == sorted(files, key=lambda file: file.path)

    def test_a_path_that_no_file_has_is_refused(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        files = (FileDigest("\ud800", 1, "a" * 64),)
        with pytest.raises(RejectedEvent, match="no file name has"):
            registry.register(ingestion.id, "me", new_version(ingestion, files=files), LATER)
        assert standing(registry, ingestion) == ingestion

    @pytest.mark.parametrize("value", [0.1, 1e-320, 1.7976931348623157e308, math.inf, -math.inf])
    @pytest.mark.parametrize("step", [None, 0, -(2**63) + 1, 2**63 - 1, 2**63, 10**30])
    def test_any_number_of_a_metric_comes_back_as_it_was(self, registry: Registry, value: float, step: int | None) -> None:
        ingestion = claimed(registry)
        metric = Metric("loss", value, step, "", "events", None if step is None else value)
        registry.register(ingestion.id, "me", new_version(ingestion, metrics=(metric,)), LATER)
        found = registry.metrics(ingestion.version_id)
        assert found is not None
        assert found.values == (metric,)

    def test_nan_comes_back_as_nan(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        metrics = (Metric("loss", math.nan, 3, "", "events", math.nan),)
        registry.register(ingestion.id, "me", new_version(ingestion, metrics=metrics), LATER)
        found = registry.metrics(ingestion.version_id)
        assert found is not None
        (metric,) = found.values
        assert math.isnan(metric.value)
        assert metric.step == 3
        assert metric.wall_time is not None
        assert math.isnan(metric.wall_time)

    def test_metrics_keep_their_order_summary_and_detail(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        metrics = tuple(Metric(name, 1.0, None, "", "metrics.json") for name in ("z", "a", "m"))
        summary = {"loss": {"scalar": "loss \ud800 \0 é", "result": {"max": math.inf, "min": -1}}}
        detail = ({"session": "eval", "scalars": [{"scalar": "x", "data": [None, True]}]}, {"session": "train"})
        version = new_version(ingestion, metrics=metrics, summary=summary, detail=detail)
        registry.register(ingestion.id, "me", version, LATER)
        assert registry.metrics(ingestion.version_id) == Metrics(metrics, summary, detail)

    @pytest.mark.parametrize("raw", [None, b"", b"\0\xff{not JSON"])
    def test_custom_metadata_are_kept_byte_for_byte(self, registry: Registry, raw: bytes | None) -> None:
        ingestion = claimed(registry)
        registry.register(ingestion.id, "me", new_version(ingestion, metadata_raw=raw), LATER)
        assert registry.metadata(ingestion.version_id) == raw

    def test_a_version_knows_what_registered_it(self, registry: Registry) -> None:
        first, again = claimed(registry), claimed(registry, "run-2")
        registry.register(first.id, "me", new_version(first), LATER)
        registry.register(again.id, "me", new_version(again), LATER)
        registry.finish(again.id, "me", End(IngestionState.UNCHANGED, "same", "the same", first.version_id), LATER)
        registry.delete("default", first.version_id, LATER)
        origin = registry.origin(first.version_id)
        assert origin is not None
        assert (origin.id, origin.state, origin.event) == (first.id, IngestionState.REGISTERED, first.event)
        assert registry.origin(again.version_id) is None

    def test_an_unknown_version_has_nothing(self, registry: Registry) -> None:
        assert list(registry.files("mo?")) == []
        assert list(registry.findings("mo?")) == []
        assert registry.metrics("mo?") is None
        assert registry.metadata("mo?") is None
        assert registry.origin("mo?") is None
        assert registry.version("default", "\ud800") is None

    def test_a_version_without_files_metrics_and_findings_is_kept(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        bare = new_version(ingestion, files=(), metrics=(), findings=(), summary={}, detail=())
        registry.register(ingestion.id, "me", bare, LATER)
        assert list(registry.files(ingestion.version_id)) == []
        assert registry.metrics(ingestion.version_id) == Metrics((), {}, ())

    # Finding versions

    def test_a_listing_is_known_in_its_own_scope(self, registry: Registry) -> None:
        version = register(registry).version
        ingestion, _ = registry.submit(event(), NOON)
        key = f"listing of {ingestion.id}"
        assert registry.same_listing(scope_of(event()), key) == version
        assert registry.same_listing(scope_of(event()), "another") is None
        assert registry.same_listing(scope_of(event(experiment="other")), key) is None
        assert registry.same_listing(scope_of(event(team="other")), key) is None

    def test_versions_are_listed_newest_first_whatever_the_clocks_said(self, registry: Registry) -> None:
        for number in (1, 2, 3):
            ingestion = claimed(registry, f"run-{number}")
            registry.register(ingestion.id, "me", new_version(ingestion, f"d{number}"), NOON - timedelta(hours=number))
        assert [version.number for version in registry.versions(VersionQuery())] == [3, 2, 1]

    def test_a_list_is_as_long_as_its_limit(self, registry: Registry) -> None:
        for number in (1, 2, 3):
            register(registry, f"run-{number}", f"d{number}")
        lengths = {limit: len(registry.versions(VersionQuery(limit=limit))) for limit in (-1, 0, 2, 3, 10**30)}
        assert lengths == {-1: 0, 0: 0, 2: 2, 3: 3, 10**30: 3}

    def test_versions_are_listed_without_their_reports(self, registry: Registry) -> None:
        register(registry, "run-1", "d1")
        register(registry, "run-2", "d2", experiment="other")
        whole = registry.versions(VersionQuery())
        assert [version.report for version in whole] == ['{"schema": "modelport.scan/1"}'] * 2
        assert registry.versions(VersionQuery(is_brief=True)) == [replace(version, report="") for version in whole]

    def test_only_the_latest_living_version_of_each_model_is_listed(self, registry: Registry) -> None:
        ids = [register(registry, f"run-{n}", f"d{n}", name=name).version.id for n, name in enumerate("aabb")]
        registry.delete("default", ids[3], NOON)
        latest = VersionQuery(is_latest=True)
        assert [version.id for version in registry.versions(latest)] == [ids[2], ids[1]]
        assert [version.id for version in registry.versions(replace(latest, name="a"))] == [ids[1]]
        assert [version.id for version in registry.versions(replace(latest, after=ids[2]))] == [ids[1]]
        assert registry.count(latest) == 2

    def test_what_became_of_a_metric_is_told_across_versions(self, registry: Registry) -> None:
        def put(number: int, *values: Metric, name: str = "m") -> str:
            ingestion = claimed(registry, f"{name} {number}", name=name)
            version = replace(new_version(ingestion, f"{name} {number}"), metrics=values)
            registered = registry.register(ingestion.id, "me", version, LATER)
            assert registered is not None
            return registered.version.id

        def said(value: float, session: str = "eval", name: str = "accuracy") -> Metric:
            return Metric(name, value, 7, session, "events")

        first = put(1, said(0.1), said(0.9, "train"), said(0.5, name="loss"))
        second = put(2, said(0.7, "train"), said(0.2), said(0.3))
        put(3, said(0.4, name="loss"))
        fourth = put(4, said(math.inf), said(10**30))
        other = put(1, said(0.8), name="other")
        bare = put(2, name="other")
        named = ("accuracy", "eval")
        courses = registry.courses(dict.fromkeys((first, second, fourth, other, bare, "nothing"), named), 10)
        assert {id: tuple(course) for id, course in courses.items()} == {
            first: (0.1,),
            second: (0.1, 0.2),
            fourth: (0.1, 0.2, None, math.inf),
            other: (0.8,),
            bare: (0.8, None),
        }
        train = registry.courses({fourth: ("accuracy", "train"), bare: ("loss", "eval")}, 10)
        assert {id: tuple(course) for id, course in train.items()} == {fourth: (0.9, 0.7, None, None), bare: (None, None)}
        registry.delete("default", second, LATER)
        assert tuple(registry.courses({fourth: named}, 10)[fourth]) == (0.1, None, math.inf)
        assert tuple(registry.courses({fourth: named}, 3)[fourth]) == (None, math.inf)
        assert tuple(registry.courses({fourth: named}, 1)[fourth]) == (math.inf,)
        registry.delete("default", first, LATER)
        assert registry.courses({first: named}, 10) == registry.courses({}, 10) == {}

    def test_tags_of_living_versions_are_told_by_team(self, registry: Registry) -> None:
        old, new, other = (
            register(registry, str(n), digest=str(n), team=team).version.id
            for n, team in enumerate(("default", "default", "other"))
        )
        registry.tag("default", old, ["old", "both"], [])
        registry.tag("default", new, ["both", "new"], [])
        registry.tag("other", other, ["theirs"], [])
        assert registry.tags("default") == ["both", "new", "old"]
        registry.delete("default", old, LATER)
        assert registry.tags("default") == ["both", "new"]
        registry.tag("default", new, [], ["both"])
        assert registry.tags("default") == ["new"]
        assert registry.tags("nobody") == []

    def test_names_of_metrics_of_living_versions_are_told_by_team(self, registry: Registry) -> None:
        def put(number: int, team: str, *names: str) -> str:
            ingestion = claimed(registry, str(number), team=team)
            metrics = tuple(Metric(name, number / 8, 1, "eval", "events") for name in names)
            infinite = Metric("never finite", math.inf, 1, "eval", "events")
            version = replace(new_version(ingestion, str(number)), metrics=(*metrics, infinite))
            registered = registry.register(ingestion.id, "me", version, LATER)
            assert registered is not None
            return registered.version.id

        first = put(1, "default", "loss", "b")
        put(2, "default", "a", "loss")
        put(3, "other", "theirs")
        assert registry.metric_names("default") == ["a", "b", "loss"]
        registry.delete("default", first, LATER)
        assert registry.metric_names("default") == ["a", "loss"]
        assert registry.metric_names("nobody") == []

    def test_versions_are_counted_wherever_a_list_of_them_begins(self, registry: Registry) -> None:
        ids = [register(registry, f"run-{number}", f"d{number}").version.id for number in (1, 2, 3)]
        register(registry, "theirs", "d4", team="other")
        registry.tag("default", ids[0], ["good"], [])
        registry.delete("default", ids[1], NOON)
        queries = (VersionQuery(), VersionQuery(limit=1, after=ids[0]), VersionQuery(tag="good"), VersionQuery(text="\0"))
        assert [registry.count(query) for query in queries] == [2, 2, 1, 0]

    def test_summaries_of_many_versions_come_at_once(self, registry: Registry) -> None:
        first, second = (register(registry, f"run-{number}", f"d{number}").version.id for number in (1, 2))
        told = Summary({"loss": {"scalar": "loss", "result": {"max": 0.5}}}, ({"session": "eval", "scalars": []},))
        assert registry.summaries([first, second, "mo?"]) == {first: told, second: told}
        assert registry.summaries([first], is_brief=True) == {first: Summary(told.summary, ())}
        assert registry.summaries([]) == {}

    def test_severities_of_many_versions_come_at_once(self, registry: Registry) -> None:
        def found(*severities: Severity) -> tuple[Finding, ...]:
            return tuple(Finding("rule", severity, "m", "", f"{at}") for at, severity in enumerate(severities))

        some = found(Severity.HIGH, Severity.LOW, Severity.HIGH)
        first, second, clean = (
            register_judged(registry, f"run-{at}", findings=findings, digest=f"d{at}").id
            for at, findings in enumerate((some, found(Severity.CRITICAL), ()))
        )
        told = {first: {Severity.HIGH: 2, Severity.LOW: 1}, second: {Severity.CRITICAL: 1}}
        assert registry.severities([first, second, clean, "mo?"]) == told
        assert registry.severities([first]) == {first: told[first]}
        assert registry.severities([]) == {}

    def test_the_signing_key_is_made_once(self, registry: Registry) -> None:
        key = registry.signing_key()
        assert len(key) == 32
        assert registry.signing_key() == key

    def test_versions_are_listed_on_after_one_that_may_be_deleted_by_now(self, registry: Registry) -> None:
        ids = [register(registry, f"run-{number}", f"d{number}").version.id for number in (1, 2, 3, 4)]
        registry.delete("default", ids[2], NOON)
        older = {id: [version.id for version in registry.versions(VersionQuery(after=id))] for id in ids}
        assert older == {ids[0]: [], ids[1]: ids[:1], ids[2]: [ids[1], ids[0]], ids[3]: [ids[1], ids[0]]}
        assert list(registry.versions(VersionQuery(after="nobody's"))) == []
        assert list(registry.versions(VersionQuery(after="\udcff"))) == []
        assert list(registry.versions(VersionQuery(team="other", after=ids[3]))) == []

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (VersionQuery(), ["3", "2", "1"]),
            (VersionQuery(team="other"), ["4"]),
            (VersionQuery(team="nobody"), []),
            (VersionQuery(project="P"), ["2"]),
            (VersionQuery(experiment="mnist"), ["1"]),
            (VersionQuery(name="My Model"), ["3"]),
            (VersionQuery(name="my model"), []),
            (VersionQuery(tag="good"), ["2", "1"]),
            (VersionQuery(tag="good", project="P"), ["2"]),
            (VersionQuery(model_type=ModelType.ONNX), ["3", "2", "1"]),
            (VersionQuery(model_type=ModelType.CUSTOM), []),
            (VersionQuery(text="MY"), ["3"]),
            (VersionQuery(text="NIST"), ["1"]),
            (VersionQuery(text="strasse"), ["2"]),
            (VersionQuery(text="STRAẞE 100%"), ["2"]),
            (VersionQuery(text="%"), ["2"]),
            (VersionQuery(text="_"), ["3"]),
            (VersionQuery(text="/"), []),
            (VersionQuery(text="\\"), []),
            (VersionQuery(text=""), ["3", "2", "1"]),
            (VersionQuery(text="\0"), []),
            (VersionQuery(text="\udcff"), []),
            (VersionQuery(text="n" * 100_000), []),
            (VersionQuery(name="\udcff"), []),
            (VersionQuery(tag="\0"), []),
        ],
    )
    def test_a_query_finds_what_matches_every_field(self, registry: Registry, query: VersionQuery, found: list[str]) -> None:
        ids = {
            register(registry, "1", experiment="mnist").version.id: "1",
            register(registry, "2", project="P", experiment="straße 100%").version.id: "2",
            register(registry, "3", experiment="x_y", name="My Model").version.id: "3",
            register(registry, "4", team="other").version.id: "4",
        }
        for version_id, number in ids.items():
            if number in "12":
                registry.tag("default", version_id, ["good"], [])
        assert [ids[version.id] for version in registry.versions(query)] == found

    def test_a_name_is_its_latest_version(self, registry: Registry) -> None:
        for number in (1, 2, 3):
            register(registry, f"run-{number}", f"d{number}")
        assert [version.number for version in registry.named("default", "mnist")] == [3]
        assert [version.number for version in registry.named("default", "mnist", 2)] == [2]
        assert list(registry.named("default", "mnist", 4)) == []
        assert list(registry.named("default", "Mnist")) == []
        assert list(registry.named("other", "mnist")) == []

    def test_the_latest_version_is_a_living_one(self, registry: Registry) -> None:
        register(registry, "1", "d1")
        registry.delete("default", register(registry, "2", "d2").version.id, LATER)
        assert [version.number for version in registry.named("default", "mnist")] == [1]
        assert list(registry.named("default", "mnist", 2)) == []

    def test_a_name_in_two_projects_is_both(self, registry: Registry) -> None:
        register(registry, "1", "d1", project="a")
        register(registry, "2", "d2", project="a")
        register(registry, "3", "d1", project="b")
        found = registry.named("default", "mnist")
        assert [(version.project, version.number) for version in found] == [("b", 1), ("a", 2)]

    def test_another_teams_version_is_none(self, registry: Registry) -> None:
        version = register(registry).version
        assert registry.version("other", version.id) is None
        assert registry.ingestion("other", registry.submit(event(), NOON)[0].id) is None
        assert registry.rename("other", version.id, "mine", LATER) is None
        assert registry.tag("other", version.id, ["mine"], []) is None
        assert registry.delete("other", version.id, LATER) is None
        assert registry.version("default", version.id) == version

    # Changing versions

    def test_renaming_renames_the_model_and_all_its_versions(self, registry: Registry) -> None:
        first = register(registry, "1", "d1").version
        second = register(registry, "2", "d2").version
        renamed = registry.rename("default", second.id, "digits", LATER)
        assert renamed == replace(second, model_name="digits", is_generated_name=False)
        assert registry.version("default", first.id) == replace(first, model_name="digits", is_generated_name=False)
        assert [version.id for version in registry.versions(VersionQuery(text="digits"))] == [second.id, first.id]

    def test_a_name_of_another_model_is_refused(self, registry: Registry) -> None:
        register(registry, "1", experiment="a")
        version = register(registry, "2", experiment="b").version
        with pytest.raises(NameTaken, match="another model of the project default has the name a"):
            registry.rename("default", version.id, "a", LATER)
        assert registry.version("default", version.id) == version

    def test_the_same_name_in_another_project_is_free(self, registry: Registry) -> None:
        register(registry, "1", project="p", experiment="a")
        version = register(registry, "2", experiment="b").version
        renamed = registry.rename("default", version.id, "a", LATER)
        assert renamed is not None
        assert renamed.model_name == "a"

    def test_renaming_to_its_own_name_makes_it_a_given_one(self, registry: Registry) -> None:
        version = register(registry).version
        assert registry.rename("default", version.id, "mnist", LATER) == replace(version, is_generated_name=False)

    def test_after_renaming_the_old_name_is_a_new_model_for_who_asks_for_it(self, registry: Registry) -> None:
        registry.rename("default", register(registry, "1", "d1").version.id, "digits", LATER)
        assert register(registry, "2", "d2", name="mnist").version.number == 1

    @pytest.mark.parametrize("name", ["", "\0", "\udcff", "n" * 513])
    def test_a_new_name_that_cannot_be_kept_is_refused(self, registry: Registry, name: str) -> None:
        version = register(registry).version
        with pytest.raises(RejectedEvent, match="the model name"):
            registry.rename("default", version.id, name, LATER)

    def test_what_is_not_there_cannot_be_changed(self, registry: Registry) -> None:
        assert registry.rename("default", "mo?", "name", LATER) is None
        assert registry.tag("default", "mo?", ["a"], ["b"]) is None
        assert registry.delete("default", "mo?", LATER) is None

    def test_tags_are_a_sorted_set(self, registry: Registry) -> None:
        version = register(registry).version
        registry.tag("default", version.id, ["b", "a", "b", "🦆"], [])
        tagged = registry.tag("default", version.id, ["a", "c"], ["b", "never there"])
        assert tagged == replace(version, tags=("a", "c", "🦆"))
        assert registry.version("default", version.id) == tagged
        assert list(registry.versions(VersionQuery())) == [tagged]

    def test_a_tag_both_added_and_removed_is_removed(self, registry: Registry) -> None:
        version = register(registry).version
        assert registry.tag("default", version.id, ["a"], ["a"]) == version

    def test_a_tag_that_cannot_be_kept_is_refused_and_none_is_added(self, registry: Registry) -> None:
        version = register(registry).version
        with pytest.raises(RejectedEvent, match="the tag"):
            registry.tag("default", version.id, ["good", "zero \0"], [])
        assert registry.version("default", version.id) == version

    def test_a_deleted_version_is_found_no_more(self, registry: Registry) -> None:
        version = register(registry).version
        ingestion, _ = registry.submit(event(), NOON)
        deleted = registry.delete("default", version.id, LATER)
        assert deleted == replace(version, deleted=LATER)
        assert registry.version("default", version.id) is None
        assert list(registry.versions(VersionQuery())) == []
        assert registry.same_listing(scope_of(event()), f"listing of {ingestion.id}") is None
        assert registry.delete("default", version.id, LATER) is None
        assert registry.rename("default", version.id, "name", LATER) is None
        assert registry.tag("default", version.id, ["a"], []) is None

    def test_content_that_was_deleted_is_new_again_under_a_new_number(self, registry: Registry) -> None:
        registry.delete("default", register(registry, "1").version.id, LATER)
        again = register(registry, "2")
        assert again.is_new
        assert again.version.number == 2

    def test_the_store_must_hold_copies_of_living_versions(self, registry: Registry) -> None:
        copied = register(registry, "1", "d1").version
        deleted = register(registry, "2", "d2").version
        registry.delete("default", deleted.id, LATER)
        ingestion = claimed(registry, "3")
        registry.register(ingestion.id, "me", new_version(ingestion, "d3", store=StoreMode.REFERENCE), LATER)
        assert dict(registry.store_keys()) == {copied.id: True, deleted.id: False, ingestion.version_id: False}

    def test_the_ids_of_all_attempts_are_known_whatever_became_of_them(self, registry: Registry) -> None:
        registered = register(registry, "1", "d1").version.id
        first = claimed(registry, "2", trigger=Trigger.COMPLETION)
        registry.free(LATER, lambda owner: True)
        second = registry.claim(first.id, "me", LATER)
        assert second is not None
        never = registry.submit(event(id="3"), NOON)[0].version_id
        ids = {registered, first.version_id, second.version_id, never, "mo-of-a-later-backup"}
        assert registry.attempts_among(ids) == {
            registered: IngestionState.REGISTERED,
            first.version_id: IngestionState.RUNNING,
            second.version_id: IngestionState.RUNNING,
        }
        assert registry.attempts_among([f"mo{number}" for number in range(2500)]) == {}
        assert registry.attempts_among([]) == {}

    # Uploads

    def test_what_was_said_of_an_upload_becomes_its_versions(self, registry: Registry) -> None:
        said = NewUpload("red", "p", "digits", ModelType.ONNX, {"accuracy": [0.5, None]}, "notes\0 of mine", ("gold", "b"))
        upload = registry.begin_upload(said, NOON)
        assert upload.id.startswith("mo")
        assert registry.upload("red", upload.id) == upload == Upload(upload.id, replace(said, tags=("b", "gold")), NOON)
        version = registered_upload(registry, upload)
        assert (version.id, version.model_name, version.project) == (upload.id, "digits", "p")
        assert (version.notes, version.said_summary, version.tags) == (said.notes, said.summary, ("b", "gold"))
        assert registry.version("red", upload.id) == version
        assert registry.upload("red", upload.id) is None
        assert [project.name for project in registry.projects("red")] == ["p"]

    def test_a_project_that_was_renamed_is_meant_by_all_its_names(self, registry: Registry) -> None:
        first = registry.begin_upload(NewUpload("default", "digits"), NOON)
        registry.rename_project("default", "digits", "handwriting", NOON)
        second = registry.begin_upload(NewUpload("default", "handwriting"), NOON)
        assert first.said.project == second.said.project == "digits"
        assert registered_upload(registry, second).project == "digits"

    def test_an_upload_of_another_team_is_none(self, registry: Registry) -> None:
        upload = registry.begin_upload(NewUpload("red"), NOON)
        assert registry.upload("blue", upload.id) is None
        assert not registry.take_upload("blue", upload.id, "w", NOON)
        assert registry.tag_upload("blue", upload.id, ["x"], NOON) is None
        assert registry.end_upload("blue", upload.id, NOON) is None
        assert registry.upload("red", upload.id) == upload

    def test_one_at_a_time_brings_the_files_of_an_upload(self, registry: Registry) -> None:
        upload = registry.begin_upload(NewUpload("default"), NOON)
        assert registry.take_upload("default", upload.id, "one", NOON)
        assert not registry.take_upload("default", upload.id, "two", LATER)
        assert registry.beat_upload(upload.id, "one", LATER)
        assert not registry.take_upload("default", upload.id, "two", LEASE_END)
        assert registry.take_upload("default", upload.id, "two", LEASE_END + timedelta(seconds=1))
        assert not registry.beat_upload(upload.id, "one", LEASE_END)
        assert registry.seal_upload(upload.id, "one", upload_event(upload), LEASE_END) is None
        registry.leave_upload(upload.id, "one")
        assert not registry.take_upload("default", upload.id, "three", LEASE_END + timedelta(seconds=1))
        registry.leave_upload(upload.id, "two")
        assert registry.take_upload("default", upload.id, "three", LEASE_END + timedelta(seconds=1))

    def test_who_wrote_for_longer_than_the_lease_seals_nothing(self, registry: Registry) -> None:
        upload = registry.begin_upload(NewUpload("default"), NOON)
        assert registry.take_upload("default", upload.id, "w", NOON)
        assert registry.seal_upload(upload.id, "w", upload_event(upload), LEASE_END) is None
        assert registry.ingestions(IngestionQuery()) == []

    def test_nobody_brings_other_files_for_a_sealed_upload(self, registry: Registry) -> None:
        upload = registry.begin_upload(NewUpload("default"), NOON)
        assert registry.take_upload("default", upload.id, "w", NOON)
        ingestion = registry.seal_upload(upload.id, "w", upload_event(upload), LATER)
        assert ingestion is not None
        assert registry.ingestion("default", ingestion.id) == ingestion
        assert (ingestion.version_id, ingestion.state) == (upload.id, "received")
        assert registry.upload("default", upload.id) == replace(upload, ingestion_id=ingestion.id)
        assert not registry.take_upload("default", upload.id, "w", LATER)
        assert not registry.beat_upload(upload.id, "w", LATER)
        assert registry.seal_upload(upload.id, "w", upload_event(upload), LATER) is None

    def test_every_attempt_at_an_upload_has_the_id_that_was_promised(self, registry: Registry) -> None:
        ingestion = sealed(registry, registry.begin_upload(NewUpload("default"), NOON))
        first = registry.claim(ingestion.id, "me", NOON)
        registry.free(LATER, lambda owner: True)
        second = registry.claim_next("you", LATER)
        assert first is not None
        assert second is not None
        assert first.version_id == second.version_id == ingestion.version_id

    def test_tags_are_given_to_an_upload_until_it_is_registered(self, registry: Registry) -> None:
        upload = registry.begin_upload(NewUpload("default", tags=("a", "b")), NOON)
        tagged = registry.tag_upload("default", upload.id, ["c", "b"], NOON)
        assert tagged is not None
        assert tagged.said.tags == ("b", "c")
        version = registered_upload(registry, upload)
        assert version.tags == ("b", "c")
        assert registry.tag_upload("default", upload.id, ["d"], NOON) is None

    def test_an_upload_that_was_given_up_takes_no_files(self, registry: Registry) -> None:
        upload = registry.begin_upload(NewUpload("default"), NOON)
        assert registry.take_upload("default", upload.id, "w", NOON)
        assert registry.end_upload("default", upload.id, NOON) == upload
        assert registry.upload("default", upload.id) is None
        assert registry.seal_upload(upload.id, "w", upload_event(upload), NOON) is None
        assert not registry.take_upload("default", upload.id, "w", LATER)
        assert registry.end_upload("default", upload.id, NOON) is None

    def test_one_of_many_threads_gives_an_upload_up(self, registry: Registry) -> None:
        upload = registry.begin_upload(NewUpload("default"), NOON)
        ended = in_threads(8, lambda number: registry.end_upload("default", upload.id, NOON))
        assert [one for one in ended if one is not None] == [upload]
        assert len(registry.audit(AuditQuery("default", action=Action.UPLOAD_ENDED))) == 1

    @pytest.mark.parametrize("said", [NewUpload("t", "a\ud800"), NewUpload("t", name=""), NewUpload("t", tags=("",))])
    def test_an_upload_with_a_name_that_cannot_be_kept_is_refused(self, registry: Registry, said: NewUpload) -> None:
        with pytest.raises(RejectedEvent):
            registry.begin_upload(said, NOON)

    def test_the_files_of_an_upload_stay_as_long_as_somebody_may_need_them(self, registry: Registry) -> None:
        def begun(moment: datetime = NOON) -> Upload:
            return registry.begin_upload(NewUpload("default"), moment)

        yesterday = NOON - timedelta(days=1)
        fresh, old, written, failed_one, gone, nothing, done = (
            begun(),
            begun(yesterday),
            begun(yesterday),
            *(begun() for _ in range(4)),
        )
        assert registry.take_upload("default", written.id, "w", NOON)
        waiting = sealed(registry, begun(yesterday))
        for upload, state in ((failed_one, IngestionState.FAILED), (nothing, IngestionState.NOTHING_FOUND)):
            ingestion = sealed(registry, upload)
            assert registry.claim(ingestion.id, "me", NOON)
            registry.finish(ingestion.id, "me", End(state, "why", "because"), NOON)
        registry.end_upload("default", gone.id, NOON)
        registered_upload(registry, done)
        assert registry.kept_uploads(NOON) == {fresh.id, written.id, waiting.version_id, failed_one.id}
        assert registry.uploads_among([fresh.id, old.id, "mo-of-nobody"]) == {fresh.id, old.id}

    def test_notes_are_kept_and_taken_back(self, registry: Registry) -> None:
        version = register(registry, "1", "d1").version
        noted = registry.note("default", version.id, "two lines\nof text", NOON)
        assert noted == replace(version, notes="two lines\nof text") == registry.version("default", version.id)
        assert registry.note("default", version.id, None, NOON) == version
        assert registry.note("red", version.id, "mine", NOON) is None
        registry.delete("default", version.id, NOON)
        assert registry.note("default", version.id, "late", NOON) is None

    # Teams and tokens

    def test_the_team_default_is_there_from_the_beginning(self, registry: Registry) -> None:
        assert [team.name for team in registry.teams()] == ["default"]

    def test_a_team_is_made_once_whatever_the_case_of_its_letters(self, registry: Registry) -> None:
        made = registry.create_team("Red", NOON)
        assert made is not None
        assert (made.name, made.created) == ("Red", NOON)
        assert registry.create_team("red", LATER) is None
        assert registry.create_team("blue", LATER) is not None
        assert [team.name for team in registry.teams()] == ["Red", "blue", "default"]

    def test_one_of_many_threads_makes_a_team(self, registry: Registry) -> None:
        made = in_threads(8, lambda number: registry.create_team("red", NOON))
        assert len([team for team in made if team is not None]) == 1

    @pytest.mark.parametrize("name", ["", "zero \0", "\udcff", "n" * 10_000])
    def test_a_name_of_a_team_or_token_that_cannot_be_kept_is_refused(self, registry: Registry, name: str) -> None:
        with pytest.raises(RejectedEvent, match="the team "):
            registry.create_team(name, NOON)
        with pytest.raises(RejectedEvent, match="the name "):
            registry.create_token("default", name, "d", READER, NOON)

    def test_a_project_is_known_from_the_first_event_that_names_it(self, registry: Registry) -> None:
        registry.submit(event("1", project="digits"), NOON)
        registry.submit(event("2", project="digits"), LATER)
        registry.submit(event("3", project="digits", team="other"), LATER)
        assert registry.projects("default") == [Project("default", "digits", "digits", NOON)]
        assert registry.projects("other") == [Project("other", "digits", "digits", LATER)]

    def test_a_new_event_can_end_at_once(self, registry: Registry) -> None:
        end = End(IngestionState.IGNORED, "experiment-failed", "it failed")
        ingestion, known = registry.submit(event(), NOON, end=end)
        assert (ingestion.state, ingestion.reason, ingestion.message, known) == (
            IngestionState.IGNORED,
            "experiment-failed",
            "it failed",
            False,
        )
        assert standing(registry, ingestion) == ingestion
        assert [entry.state for entry in registry.history(ingestion.id)] == [IngestionState.RECEIVED, IngestionState.IGNORED]
        assert registry.claim_next("me", LATER) is None
        assert registry.submit(event(), LATER, end=end) == (ingestion, True)

    def test_the_queue_of_a_team_counts_its_own(self, registry: Registry) -> None:
        registry.submit(event("1", team="red"), LATER)
        registry.submit(event("2", team="blue"), NOON)
        assert registry.queue(LATER, "red") == Queue({IngestionState.RECEIVED: 1}, 1, LATER)
        assert registry.queue(LATER) == Queue({IngestionState.RECEIVED: 2}, 2, NOON)
        assert registry.queue(LATER, "green") == Queue({}, 0, None)

    def test_what_is_kept_of_a_token_comes_back(self, registry: Registry) -> None:
        token = registry.create_token("default", "ci", "digest", READER, NOON, LATER)
        assert token is not None
        assert (token.team, token.name, token.digest, token.scopes) == ("default", "ci", "digest", READER)
        assert (token.created, token.expires, token.revoked, token.last_used) == (NOON, LATER, None, None)
        assert (token.id[:2], len(token.id)) == ("tk", 14)
        assert registry.tokens("default") == [token]
        assert registry.token_by_digest("other digest", NOON) is None

    def test_a_token_of_no_team_is_not_kept(self, registry: Registry) -> None:
        assert registry.create_token("nobody", "ci", "digest", READER, NOON) is None
        assert registry.tokens("nobody") == []
        assert not registry.has_tokens()

    def test_the_use_of_a_token_is_noted_once_a_minute(self, registry: Registry) -> None:
        registry.create_token("default", "ci", "digest", READER, NOON)
        used = []
        for seconds in (0, 59, 60, 119, 120):
            token = registry.token_by_digest("digest", NOON + timedelta(seconds=seconds))
            assert token is not None
            assert token.last_used is not None
            used.append((token.last_used - NOON).total_seconds())
        assert used == [0, 0, 60, 60, 120]
        assert registry.tokens("default")[0].last_used == NOON + timedelta(seconds=120)

    def test_the_use_of_a_token_that_is_over_is_not_noted(self, registry: Registry) -> None:
        registry.create_token("default", "ci", "digest", READER, NOON, expires=LATER)
        token = registry.token_by_digest("digest", LATER)
        assert token is not None
        assert token.last_used is None

    def test_many_threads_may_use_one_token(self, registry: Registry) -> None:
        registry.create_token("default", "ci", "digest", READER, NOON)
        found = in_threads(8, lambda number: registry.token_by_digest("digest", NOON))
        assert [token.last_used for token in found if token] == [NOON] * 8

    def test_tokens_are_listed_newest_first_for_their_team(self, registry: Registry) -> None:
        registry.create_team("red", NOON)
        for number, team in enumerate(["default", "red", "default"]):
            registry.create_token(team, f"token {number}", f"digest {number}", READER, NOON)
        assert [token.name for token in registry.tokens("default")] == ["token 2", "token 0"]

    def test_a_token_is_revoked_once_by_its_team(self, registry: Registry) -> None:
        registry.create_team("red", NOON)
        token = registry.create_token("default", "ci", "digest", READER, NOON)
        assert token is not None
        assert registry.revoke_token("red", token.id, NOON) is None
        assert registry.revoke_token("default", "tk?", NOON) is None
        assert registry.revoke_token("default", token.id, NOON) == replace(token, revoked=NOON)
        assert registry.revoke_token("default", token.id, LATER) == replace(token, revoked=NOON)
        assert registry.token_by_digest("digest", LATER) == replace(token, revoked=NOON)

    def test_that_there_was_a_token_is_not_forgotten(self, registry: Registry) -> None:
        assert not registry.has_tokens()
        token = registry.create_token("default", "ci", "digest", READER, NOON)
        assert token is not None
        registry.revoke_token("default", token.id, NOON)
        assert registry.has_tokens()

    def test_random_ids_differ(self) -> None:
        assert len({random_id("mo", 12) for _ in range(1000)}) == 1000


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Return what *work* gives for every number below *count*, all begun at the same time."""
    answers: list[Any] = [None] * count
    barrier = Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        answers[number] = work(number)

    threads = [Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
