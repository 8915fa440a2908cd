"""The contract of what keeps a registry in good order: how files were found later, judging anew, removing what is old.

A registry joins by subclassing `CareContract` and giving it a fixture `build`, which makes an empty one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from detectors.facts import Finding, Metric, ModelType, Severity
from tests.contracts.registry import (
    LATER,
    NOON,
    Build,
    claimed,
    event,
    failed,
    in_threads,
    new_version,
    register,
    register_judged,
    sealed,
)
from worker.delivery import LIFE, DeliveryQuery, given_up, told
from worker.errors import ConflictingEvent
from worker.ports import Registry
from worker.records import (
    Action,
    Attention,
    AuditQuery,
    Condition,
    End,
    FilesSeen,
    Ingestion,
    IngestionQuery,
    IngestionState,
    Judgement,
    Keep,
    ModelVersion,
    NewUpload,
    Removed,
    StoreMode,
    VersionQuery,
    Worker,
)

SEEN = FilesSeen(Condition.MISSING, "1 of 1 file (a) is gone", NOON, NOON)

NEW_YEAR = NOON + timedelta(days=42)
"""When all that the tests write is old."""

ALL = Keep(NEW_YEAR, NEW_YEAR, NEW_YEAR, NEW_YEAR)

JUDGEMENT = Judgement(
    rules_version="3",
    model_type=ModelType.TENSORFLOW,
    format="tensorflow_savedmodel",
    completeness="incomplete",
    verdict="findings",
    report='{"schema": "modelport.scan/1", "verdict": "findings"}',
    summary={"loss": {"scalar": "loss", "result": {"max": 0.25}}},
    detail=(),
    metadata_raw=None,
    metrics=(Metric("loss", 0.25, 8, "eval", "events", 1.5),),
    findings=(Finding("tf-file-write", Severity.CRITICAL, "a/model.onnx", "node w", "writes a file"),),
)


def ended(registry: Registry, id: str, state: IngestionState = IngestionState.NOTHING_FOUND) -> Ingestion:
    """Return an ingestion that has ended so at noon."""
    ingestion = claimed(registry, id)
    assert registry.finish(ingestion.id, "me", End(state, "nothing-found", "no model in /runs/mnist", None), NOON)
    found = registry.ingestion("default", ingestion.id)
    assert found is not None
    return found


def referenced(registry: Registry, id: str, url: str, mark: str) -> ModelVersion:
    """Return the version of what was found at *url* and stays there."""
    return register_judged(registry, id, url=url, store=StoreMode.REFERENCE, mark=mark)


def seen(registry: Registry, version_id: str) -> FilesSeen | None:
    found = registry.version("default", version_id)
    assert found is not None
    return found.files_seen


class CareContract:
    @pytest.fixture
    def registry(self, build: Build) -> Registry:
        return build()

    # how files were found later

    def test_how_files_were_found_is_kept_with_the_version(self, registry: Registry) -> None:
        version = register(registry).version
        assert version.files_seen is None
        assert registry.care.note_files(version, SEEN, "m1")
        found = registry.version("default", version.id)
        assert found is not None
        assert (found.files_seen, found.mark) == (SEEN, "m1")
        assert [one.files_seen for one in registry.versions(VersionQuery())] == [SEEN]
        again = replace(SEEN, looked=LATER, trouble="the mount is away")
        assert registry.care.note_files(version, again, "m1")
        assert seen(registry, version.id) == again

    def test_the_mark_of_what_is_referenced_is_kept_from_the_beginning(self, registry: Registry) -> None:
        assert register_judged(registry, "run-1", mark="m1").mark == "m1"

    def test_nothing_is_noted_of_a_version_that_is_gone_or_kept_elsewhere_by_now(self, registry: Registry) -> None:
        version, deleted = register(registry).version, register(registry, "run-2", "d2").version
        registry.delete("default", deleted.id, NOON)
        registry.kept_at(version.id, StoreMode.COPY, "file:///elsewhere", "file:///runs/mnist")
        assert not registry.care.note_files(deleted, SEEN, None)
        assert not registry.care.note_files(version, SEEN, None)
        assert seen(registry, version.id) is None

    def test_what_is_kept_elsewhere_was_not_looked_at_there(self, registry: Registry) -> None:
        version = register_judged(registry, "run-1", mark="m1")
        registry.care.note_files(version, SEEN, "m1")
        registry.kept_at(version.id, StoreMode.COPY, "file:///elsewhere", "file:///runs/mnist")
        found = registry.version("default", version.id)
        assert found is not None
        assert (found.files_seen, found.mark) == (None, None)

    def test_content_that_was_just_read_where_it_is_kept_is_as_registered_again(self, registry: Registry) -> None:
        version = referenced(registry, "run-1", "file:///runs/mnist", "m1")
        registry.care.note_files(version, SEEN, "m1")
        elsewhere = referenced(registry, "run-2", "file:///other", "m2")
        assert (elsewhere.id, elsewhere.files_seen, elsewhere.mark) == (version.id, SEEN, "m1")
        again = referenced(registry, "run-3", "file:///runs/mnist", "m3")
        assert (again.id, again.files_seen, again.mark) == (version.id, None, "m3")

    def test_what_nobody_looked_at_comes_first_then_what_was_looked_at_longest_ago(self, registry: Registry) -> None:
        versions = [register(registry, f"run-{n}", f"d{n}", team="blue" if n == 4 else "default").version for n in range(6)]
        for number, minutes in ((0, 3), (1, 1), (2, 2)):
            at = NOON + timedelta(minutes=minutes)
            registry.care.note_files(versions[number], replace(SEEN, at=at, looked=at), None)
        registry.delete("default", versions[5].id, NOON)
        before = NOON + timedelta(minutes=3)
        ids = [versions.index(one) for one in self._in_order(registry, before, versions)]
        assert ids == [3, 4, 1, 2]
        assert len(registry.care.to_look_at(before, 3)) == 3
        assert [one.report for one in registry.care.to_look_at(before, 9)] == [""] * 4

    def _in_order(self, registry: Registry, before: object, versions: list[ModelVersion]) -> list[ModelVersion]:
        known = {version.id: version for version in versions}
        return [known[one.id] for one in registry.care.to_look_at(before, 9)]  # type: ignore[arg-type]

    def test_what_was_deleted_is_known_as_such(self, registry: Registry) -> None:
        living, gone = register(registry).version, register(registry, "run-2", "d2").version
        registry.delete("default", gone.id, NOON)
        assert registry.care.deleted_among([living.id, gone.id, "mo-unknown"]) == {gone.id}
        assert registry.care.deleted_among([]) == frozenset()

    # judging anew

    def test_versions_are_found_by_the_rules_that_judged_them(self, registry: Registry) -> None:
        versions = [register_judged(registry, f"run-{n}", digest=f"d{n}", rules_version=str(n % 2)) for n in range(5)]
        registry.delete("default", versions[2].id, NOON)
        assert registry.care.judged_by() == {"0": 2, "1": 2}
        assert [one.id for one in registry.care.judged_before("0", None, 9)] == [versions[0].id, versions[4].id]
        assert [one.id for one in registry.care.judged_before("0", None, 1)] == [versions[0].id]
        assert [one.id for one in registry.care.judged_before("0", versions[0].id, 9)] == [versions[4].id]

    def test_what_is_judged_anew_keeps_all_but_its_judgement(self, registry: Registry) -> None:
        version = register(registry).version
        registry.tag("default", version.id, ["production"], [])
        registry.note("default", version.id, "by hand", NOON)
        assert registry.care.judge(version, JUDGEMENT, LATER)
        found = registry.version("default", version.id)
        assert found is not None
        expected = {name: getattr(JUDGEMENT, name) for name in ("rules_version", "model_type", "format", "verdict", "report")}
        expected["completeness"] = "incomplete"
        assert found == replace(version, tags=("production",), notes="by hand", **expected)
        assert list(registry.findings(version.id)) == list(JUDGEMENT.findings)
        metrics = registry.metrics(version.id)
        assert metrics is not None
        assert (metrics.values, metrics.summary) == (JUDGEMENT.metrics, JUDGEMENT.summary)
        assert registry.metadata(version.id) is None
        assert [one.id for one in registry.versions(VersionQuery(attention=Attention.INCOMPLETE))] == [version.id]
        assert registry.overview("default").attention[Attention.INCOMPLETE] == 1
        origin = registry.origin(version.id)
        assert origin is not None
        assert registry.contradictions(NOON) == []

    def test_what_is_deleted_or_was_judged_meanwhile_is_not_judged(self, registry: Registry) -> None:
        version, deleted = register(registry).version, register(registry, "run-2", "d2").version
        registry.delete("default", deleted.id, NOON)
        assert not registry.care.judge(deleted, JUDGEMENT, LATER)
        assert registry.care.judge(version, JUDGEMENT, LATER)
        assert not registry.care.judge(version, replace(JUDGEMENT, verdict="clean"), LATER)
        assert registry.care.judged_by() == {JUDGEMENT.rules_version: 1}

    # removing what is old

    def test_an_event_whose_ingestion_was_removed_is_known_all_the_same(self, registry: Registry) -> None:
        before = ended(registry, "run-1")
        assert registry.care.remove(ALL, 10).history == 1
        assert (registry.ingestion("default", before.id), list(registry.history(before.id))) == (None, [])
        assert registry.ingestions(IngestionQuery()) == []
        again, known = registry.submit(event("run-1"), NEW_YEAR)
        assert known
        told = (again.id, again.state, again.reason, again.message, again.created, again.updated)
        assert told == (before.id, before.state, before.reason, before.message, before.created, before.updated)
        with pytest.raises(ConflictingEvent, match=before.id):
            registry.submit(event("run-1", model_path="/elsewhere"), NEW_YEAR)
        both = registry.submit_all([(event("run-1"), None), (event("run-2"), None)], NEW_YEAR)
        assert [isinstance(one, tuple) and one[1] for one in both] == [True, False]
        assert registry.claim(before.id, "me", NEW_YEAR) is None
        assert registry.retry("default", before.id, "a person", NEW_YEAR) is None

    def test_what_was_unchanged_and_removed_names_its_version_when_it_is_said_again(self, registry: Registry) -> None:
        version = register(registry).version
        ingestion = claimed(registry, "run-2")
        registry.finish(ingestion.id, "me", End(IngestionState.UNCHANGED, "same-listing", "", version.id), NOON)
        assert registry.care.remove(ALL, 10).history == 1
        again, known = registry.submit(event("run-2"), NEW_YEAR)
        assert (known, again.answered_version) == (True, version.id)
        assert registry.count(VersionQuery()) == 1

    def test_nothing_of_a_versions_origin_is_removed(self, registry: Registry) -> None:
        version = register(registry).version
        gone = register(registry, "run-2", "d2").version
        registry.delete("default", gone.id, NOON)
        steps = {one.id: list(registry.history(one.id)) for one in registry.ingestions(IngestionQuery())}
        assert registry.care.remove(ALL, 10).history == 0
        for one in (version, gone):
            origin = registry.origin(one.id)
            assert origin is not None
            assert list(registry.history(origin.id)) == steps[origin.id]
            assert len(steps[origin.id]) == 3

    def test_only_what_ended_without_a_version_and_long_ago_is_removed(self, registry: Registry) -> None:
        old = [
            ended(registry, f"old-{state}", IngestionState(state)).id
            for state in ("unchanged", "nothing_found", "discarded", "ignored")
        ]
        fails = claimed(registry, "fails")
        registry.finish(fails.id, "me", failed(), NOON)
        running, (waiting, _) = claimed(registry, "runs"), registry.submit(event("waits"), NOON)
        young = claimed(registry, "young")
        registry.finish(young.id, "me", End(IngestionState.UNCHANGED, "same-listing", ""), LATER)
        upload = registry.begin_upload(NewUpload("default"), NOON)
        promised = sealed(registry, upload)
        registry.finish(promised.id, "me", End(IngestionState.NOTHING_FOUND, "nothing-found", ""), NOON)
        keep = Keep(history=LATER)
        assert registry.care.removable(keep) == Removed(history=4)
        assert registry.care.remove(keep, 10) == Removed(history=4)
        left = {one.id for one in registry.ingestions(IngestionQuery())}
        assert left == {fails.id, running.id, waiting.id, young.id, promised.id}
        assert left.isdisjoint(old)

    def test_the_counters_never_contradict_what_was_removed(self, registry: Registry) -> None:
        for number in range(7):
            ended(registry, f"run-{number}", (IngestionState.UNCHANGED, IngestionState.NOTHING_FOUND)[number % 2])
        register(registry, "kept")
        counted = registry.counters()
        removed = []
        while amount := registry.care.remove(ALL, 3).history:
            removed.append(amount)
            assert registry.contradictions(NOON) == []
            assert registry.counters() == counted
        assert removed == [3, 3, 1]
        registry.submit(event("run-1"), NEW_YEAR)
        assert registry.contradictions(NOON) == []
        assert registry.counters() == counted

    def test_many_threads_remove_each_once(self, registry: Registry) -> None:
        for number in range(12):
            ended(registry, f"run-{number}")
        removed = in_threads(4, lambda number: sum(registry.care.remove(ALL, 2).history for _ in range(6)))
        assert sum(removed) == 12
        assert registry.contradictions(NOON) == []

    def test_an_event_that_is_said_again_while_it_is_removed_is_known(self, registry: Registry) -> None:
        ids = {ended(registry, f"run-{number}").id for number in range(8)}

        def work(number: int) -> set[str]:
            if number == 0:
                while registry.care.remove(ALL, 1).history:
                    pass
                return set()
            said = [registry.submit(event(f"run-{one}"), NEW_YEAR) for one in range(8)]
            assert all(known for _, known in said)
            return {ingestion.id for ingestion, _ in said}

        assert set().union(*in_threads(4, work)) == ids
        assert registry.contradictions(NOON) == []

    def test_deliveries_that_were_taken_go_and_no_others(self, build: Build) -> None:
        registry = build(destinations={"shelf": LIFE})
        for number in range(4):
            register(registry, f"run-{number}", f"d{number}")
        outbox = registry.outbox
        for finish in (told, given_up):
            mine = outbox.claim("shelf", "me", LATER)
            assert mine is not None
            assert outbox.keep(finish(mine, "said", LATER), "me")
        outbox.claim("shelf", "me", LATER)
        assert registry.care.removable(ALL).deliveries == 1
        assert registry.care.remove(Keep(deliveries=LATER), 10).deliveries == 0
        assert registry.care.remove(ALL, 10).deliveries == 1
        assert sorted(one.state.value for one in outbox.deliveries(DeliveryQuery("default"))) == [
            "given_up",
            "running",
            "waiting",
        ]

    def test_the_log_goes_from_its_beginning_and_only_where_somebody_says_so(self, registry: Registry) -> None:
        version = register(registry).version
        for number in range(3):
            registry.tag("default", version.id, [f"t{number}"], [], NOON + timedelta(days=number))
        assert registry.care.remove(Keep(history=NEW_YEAR, deliveries=NEW_YEAR, workers=NEW_YEAR), 10).audit == 0
        keep = Keep(audit=NOON + timedelta(days=2))
        assert registry.care.removable(keep).audit == 2
        assert [registry.care.remove(keep, 1).audit for _ in range(3)] == [1, 1, 0]
        assert [one.action for one in registry.audit(AuditQuery("default"))] == [Action.VERSION_TAGGED]

    def test_workers_that_were_not_seen_for_long_are_forgotten(self, registry: Registry) -> None:
        for name, days in (("a", 0), ("b", 2)):
            registry.see(Worker(name, "host", 1, NOON, NOON + timedelta(days=days)))
        keep = Keep(workers=NOON + timedelta(days=1))
        assert registry.care.removable(keep).workers == 1
        assert registry.care.remove(keep, 10).workers == 1
        assert [worker.name for worker in registry.workers(NOON)] == ["b"]

    def test_where_nothing_is_to_be_removed_nothing_is(self, registry: Registry) -> None:
        ended(registry, "run-1")
        registry.see(Worker("a", "host", 1, NOON, NOON))
        assert registry.care.removable(Keep()) == registry.care.remove(Keep(), 10) == Removed()

    def test_a_new_version_is_what_is_found_then(self, registry: Registry) -> None:
        ingestion = claimed(registry)
        registration = registry.register(ingestion.id, "me", new_version(ingestion, mark="m"), NOON)
        assert registration is not None
        assert registration.version == registry.version("default", registration.version.id)
