"""The contract suite of `Outbox`: what the outbox of every registry must do.

A registry joins by subclassing `OutboxContract` and giving it a fixture `build`, which makes an empty registry and takes
`destinations`; called again in the same test, it gives one on the same rows if those outlive a registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread

import pytest

from detectors.facts import Finding, Severity
from tests.contracts.care import JUDGEMENT
from tests.contracts.gates import gated, results
from tests.contracts.quarantine import OBJECTION
from tests.contracts.registry import LATER, NOON, PAUSE, claimed, event, failed, new_version, register
from worker import delivery as steps
from worker.delivery import LEASE_SECONDS, LIFE, MOST_TRIES, Delivery, DeliveryKind, DeliveryQuery, DeliveryState
from worker.ports import Registry
from worker.records import Ingestion, IngestionQuery, ModelVersion, Trigger

Build = Callable[..., Registry]

LEASE_END = LATER + timedelta(seconds=LEASE_SECONDS)

ALL = DeliveryQuery("default")


def told_of(registry: Registry, **wanted: object) -> list[Delivery]:
    """Return all deliveries of the team `default` that match, oldest first."""
    return list(reversed(registry.outbox.deliveries(replace(ALL, **wanted))))  # type: ignore[arg-type]


def claim(registry: Registry, owner: str = "me", destination: str = "mlflow") -> Delivery:
    """Return what is due for longest, claimed."""
    found = registry.outbox.claim(destination, owner, LATER)
    assert found is not None
    return found


def found_in(path: str, severity: Severity) -> Finding:
    return Finding("onnx-external-data", severity, path, "tensor w", "leaves the folder")


def register_as(registry: Registry, id: str, experiment: str, findings: tuple[Finding, ...]) -> ModelVersion:
    """Return the version of *experiment*, always of the same content, in which the scanner found *findings*."""
    ingestion = claimed(registry, id, experiment=experiment)
    answer = registry.register(ingestion.id, "me", new_version(ingestion, experiment, findings=findings), LATER)
    assert answer is not None
    return answer.version


def claimed_again(registry: Registry, ingestion: Ingestion) -> Ingestion:
    running = registry.claim(ingestion.id, "me", LATER)
    assert running is not None
    return running


class OutboxContract:
    """Everything that an outbox promises."""

    @pytest.fixture
    def registry(self, build: Build) -> Registry:
        return build(destinations={"mlflow": LIFE})

    @pytest.fixture
    def version(self, registry: Registry) -> ModelVersion:
        """A version that was registered a second after noon."""
        return register(registry).version

    def test_what_is_registered_is_told_to_each_destination_once(self, build: Build) -> None:
        registry = build(destinations={"mlflow": LIFE, "webhook": LIFE})
        made = register(registry).version
        found = told_of(registry)
        assert [(one.destination, one.kind, one.version_id) for one in found] == [
            ("mlflow", DeliveryKind.REGISTERED, made.id),
            ("webhook", DeliveryKind.REGISTERED, made.id),
        ]
        [ingestion] = registry.ingestions(IngestionQuery())
        assert {one.ingestion_id for one in found} == {ingestion.id}
        first = found[0]
        assert (first.state, first.attempts, first.message, first.owner) == (DeliveryState.WAITING, 0, None, None)
        assert (first.due, first.created, first.updated, first.delivered) == (LATER, LATER, LATER, None)
        assert len(first.id) > len("de")

    def test_nothing_is_told_where_no_destination_is_configured(self, build: Build) -> None:
        registry = build()
        made = register(registry).version
        registry.delete("default", made.id, LATER)
        assert told_of(registry) == []

    def test_what_is_not_registered_is_told_to_nobody(self, registry: Registry, version: ModelVersion) -> None:
        """Neither equal content, nor what the fence turns away, nor what is refused."""
        assert not register(registry, "again").is_new
        mine = claimed(registry, "other")
        assert registry.register(mine.id, "a stranger", new_version(mine, "d2"), LATER) is None
        with pytest.raises(ValueError):
            registry.register(mine.id, "me", new_version(mine, "d2", id="mo-of-another"), LATER)
        assert len(told_of(registry)) == 1

    def test_a_destination_hears_of_what_it_wants_alone(self, build: Build) -> None:
        registry = build(destinations={"all": frozenset(DeliveryKind), "life": LIFE, "failures": {DeliveryKind.FAILED}})
        made = register(registry).version
        registry.delete("default", made.id, LATER)
        lost = claimed(registry, "2")
        assert registry.finish(lost.id, "me", failed(), LATER)
        assert [(one.destination, one.kind.value) for one in told_of(registry)] == [
            ("all", "version.registered"),
            ("life", "version.registered"),
            ("all", "finding.raised"),
            ("all", "version.deleted"),
            ("life", "version.deleted"),
            ("all", "ingestion.failed"),
            ("failures", "ingestion.failed"),
        ]

    def test_what_failed_is_told_each_time_that_it_fails(self, build: Build) -> None:
        """By its worker, or because its worker was lost; and neither what waits, nor what a person puts away."""
        registry = build(destinations={"webhook": {DeliveryKind.FAILED}})
        lost = claimed(registry)
        assert registry.wait(lost.id, "me", PAUSE, NOON)
        assert told_of(registry) == []
        assert registry.claim(lost.id, "me", LATER) is not None
        assert not registry.finish(lost.id, "a stranger", failed(), LATER)
        assert registry.finish(lost.id, "me", failed(), LATER)
        assert not registry.finish(lost.id, "me", failed(), LATER)
        assert registry.retry("default", lost.id, "ann", LATER) is not None
        assert registry.claim(lost.id, "me", LATER) is not None
        assert registry.finish(lost.id, "me", failed(), LEASE_END)
        assert registry.discard("default", lost.id, "ann", LEASE_END) is not None
        watched, _ = registry.submit(event("2", trigger=Trigger.CLI), NOON, "a person")
        assert [one.id for one in registry.free(LATER, dead=lambda owner: owner == "a person")] == [watched.id]
        told = told_of(registry)
        assert [(one.ingestion_id, one.created) for one in told] == [
            (lost.id, LATER),
            (lost.id, LEASE_END),
            (watched.id, LATER),
        ]
        assert {(one.kind, one.version_id, one.due == one.created) for one in told} == {(DeliveryKind.FAILED, None, True)}

    def test_serious_findings_are_told_once_when_a_version_first_has_them(self, build: Build) -> None:
        """At its registration, where equal content is found again, or where it is judged anew."""
        registry = build(destinations={"webhook": {DeliveryKind.FINDING}})
        bad, mild = (found_in("a", Severity.CRITICAL),), (found_in("a", Severity.MEDIUM),)
        at_once = register_as(registry, "1", "a", (*mild, *bad))
        again, later = register_as(registry, "2", "b", mild), register_as(registry, "3", "c", mild)
        assert [one.version_id for one in told_of(registry)] == [at_once.id]
        for n, is_first in ((4, True), (5, False)):
            register_as(registry, f"{n}", "a", (found_in("b", Severity.HIGH),))
            register_as(registry, f"{n}.2", "b", bad)
            assert registry.care.judge(later, replace(JUDGEMENT, findings=bad), LATER) is is_first
        told = told_of(registry)
        assert [(one.version_id, one.ingestion_id is None) for one in told] == [
            (at_once.id, False),
            (again.id, False),
            (later.id, True),
        ]
        assert [one.kind for one in told] == [DeliveryKind.FINDING] * 3

    def test_a_gate_that_failed_is_told_of_what_is_known_too(self, build: Build) -> None:
        registry = build(destinations={"webhook": {DeliveryKind.GATE_FAILED}})
        version = gated(registry, "1", "a", gates=results())
        gated(registry, "2", "a", gates=results(0.9))
        registry.note_gates(version, results(), "in1", LATER)
        assert len(told_of(registry)) == 1
        ingestion = claimed(registry, "3")
        registry.note_gates(version, results(0.9), ingestion.id, LATER)
        told = told_of(registry)
        assert [(one.kind, one.version_id) for one in told] == [(DeliveryKind.GATE_FAILED, version.id)] * 2
        assert told[1].ingestion_id == ingestion.id

    def test_a_gate_that_failed_is_told_once_of_an_ingestion_however_many_attempts_it_took(self, build: Build) -> None:
        registry = build(destinations={to: {DeliveryKind.GATE_FAILED} for to in ("webhook", "mlflow")})
        version = gated(registry, "1", "a", gates=results())
        copied, known = (claimed(registry, id, trigger=Trigger.COMPLETION) for id in ("2", "3"))
        for _ in range(2):
            again = registry.register(copied.id, "me", new_version(copied, "a", gates=results(0.9)), LATER)
            assert again is not None
            assert again.version.id == version.id
            registry.note_gates(version, results(0.9), known.id, LATER)
            # Their worker dies before they end, and the next one takes them up.
            assert {one.id for one in registry.free(LATER, lambda owner: True)} == {copied.id, known.id}
            copied, known = (claimed_again(registry, one) for one in (copied, known))
        told = [(one.ingestion_id, one.destination) for one in told_of(registry)]
        assert sorted(told) == sorted((one.id, to) for one in (copied, known) for to in ("mlflow", "webhook"))

    def test_who_goes_back_into_quarantine_is_told_of_again(self, build: Build) -> None:
        registry = build(destinations={"webhook": {DeliveryKind.FINDING}})
        bad = (found_in("a", Severity.HIGH),)
        ingestion = claimed(registry, "1")
        held = registry.register(ingestion.id, "me", new_version(ingestion, findings=bad, objection=OBJECTION), LATER)
        assert held is not None
        assert registry.release("default", held.version.id, "it is ours", LATER, who="ann") is not None
        worse = replace(JUDGEMENT, findings=bad, objection=replace(OBJECTION, causes=("another",)))
        for is_first in (True, False):
            assert registry.care.judge(held.version, worse, LATER) is is_first
        assert [one.version_id for one in told_of(registry)] == [held.version.id] * 2

    def test_what_is_deleted_is_told(self, registry: Registry, version: ModelVersion) -> None:
        assert registry.delete("other", version.id, LATER) is None
        assert registry.delete("default", version.id, LATER) is not None
        assert registry.delete("default", version.id, LATER) is None
        [_, gone] = told_of(registry)
        assert (gone.kind, gone.version_id, gone.ingestion_id, gone.due) == (DeliveryKind.DELETED, version.id, None, LATER)

    def test_a_claim_is_a_try_with_a_lease(self, registry: Registry, version: ModelVersion) -> None:
        found = claim(registry)
        assert (found.state, found.attempts, found.owner, found.due) == (DeliveryState.RUNNING, 1, "me", LEASE_END)
        assert registry.outbox.delivery("default", found.id) == found
        assert registry.outbox.claim("mlflow", "other", LATER) is None

    def test_what_is_due_for_longest_comes_first(self, registry: Registry, version: ModelVersion) -> None:
        second = register(registry, "2", "d2").version
        third = register(registry, "3", "d3").version
        first = claim(registry)
        assert registry.outbox.keep(steps.failed(first, "away", NOON - timedelta(seconds=9), 0.0), "me")  # due at noon - 4 s
        assert [claim(registry, str(n)).version_id for n in range(3)] == [version.id, second.id, third.id]

    def test_what_is_not_due_yet_is_not_claimed(self, registry: Registry, version: ModelVersion) -> None:
        assert registry.outbox.claim("mlflow", "me", LATER - timedelta(microseconds=1)) is None
        assert registry.outbox.claim("mlflow", "me", LATER) is not None

    def test_only_what_is_for_the_destination_is_claimed(self, registry: Registry, version: ModelVersion) -> None:
        assert registry.outbox.claim("webhook", "me", LATER) is None

    def test_exactly_one_of_many_claims_a_delivery(self, registry: Registry, version: ModelVersion) -> None:
        register(registry, "2", "d2")
        start, found = Barrier(8), list[Delivery | None]()

        def ask(name: str) -> None:
            start.wait(10)
            found.append(registry.outbox.claim("mlflow", name, LATER))

        threads = [Thread(target=ask, args=(str(n),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        won = [one for one in found if one is not None]
        assert (len(found), len(won), len({one.id for one in won})) == (8, 2, 2)

    def test_what_is_told_of_one_version_is_told_in_its_order(self, registry: Registry, version: ModelVersion) -> None:
        registry.delete("default", version.id, NOON)
        came = claim(registry)
        assert came.kind is DeliveryKind.REGISTERED
        assert registry.outbox.claim("mlflow", "other", LATER) is None
        registry.outbox.keep(steps.failed(came, "away", LATER, 0.0), "me")
        assert registry.outbox.claim("mlflow", "other", LATER) is None
        registry.outbox.retry("default", came.id, LATER)
        registry.outbox.keep(steps.given_up(claim(registry), "never", LATER), "me")
        assert claim(registry).kind is DeliveryKind.DELETED

    def test_a_delivery_whose_deliverer_was_lost_is_delivered_by_the_next(
        self, registry: Registry, version: ModelVersion
    ) -> None:
        lost = claim(registry, "dead")
        assert registry.outbox.claim("mlflow", "next", LEASE_END - timedelta(microseconds=1)) is None
        found = registry.outbox.claim("mlflow", "next", LEASE_END)
        assert found is not None
        assert (found.id, found.attempts, found.owner) == (lost.id, 2, "next")

    def test_who_lost_a_delivery_changes_nothing_about_it(self, registry: Registry, version: ModelVersion) -> None:
        lost = claim(registry, "late")
        found = registry.outbox.claim("mlflow", "next", LEASE_END)
        assert found is not None
        assert not registry.outbox.keep(steps.told(lost, "there", LEASE_END), "late")
        assert registry.outbox.delivery("default", lost.id) == found
        assert registry.outbox.keep(steps.told(found, "there", LEASE_END), "next")
        assert not registry.outbox.keep(steps.failed(found, "away", LEASE_END, 0.0), "next")

    def test_what_was_taken_says_where_and_is_not_due_again(self, registry: Registry, version: ModelVersion) -> None:
        taken = steps.told(claim(registry), "models:/mnist/1", LATER)
        assert registry.outbox.keep(taken, "me")
        assert told_of(registry) == [taken]
        assert (taken.state, taken.message, taken.due, taken.delivered, taken.owner) == (
            DeliveryState.DELIVERED,
            "models:/mnist/1",
            None,
            LATER,
            None,
        )
        assert registry.outbox.claim("mlflow", "me", LEASE_END + timedelta(days=999)) is None

    def test_what_kills_its_deliverers_is_given_up_and_others_go_on(self, registry: Registry, version: ModelVersion) -> None:
        poison = claim(registry)
        other = register(registry, "2", "d2").version
        registry.outbox.keep(replace(poison, attempts=MOST_TRIES, due=NOON), "me")
        assert claim(registry, "next").version_id == other.id
        [given_up] = told_of(registry, state=DeliveryState.GIVEN_UP)
        assert (given_up.id, given_up.due, given_up.message) == (poison.id, None, f"{MOST_TRIES} tries; the last was me's")

    @pytest.mark.parametrize("over", [steps.told, steps.given_up])
    def test_what_is_over_can_be_had_again(
        self, registry: Registry, version: ModelVersion, over: Callable[..., Delivery]
    ) -> None:
        done = over(claim(registry), "so", LATER)
        assert registry.outbox.keep(done, "me")
        again = registry.outbox.retry("default", done.id, LATER)
        assert again is not None
        assert (again.state, again.attempts, again.message, again.due, again.delivered) == (
            DeliveryState.WAITING,
            0,
            None,
            LATER,
            None,
        )
        assert claim(registry).id == done.id

    def test_what_pauses_can_be_had_at_once(self, registry: Registry, version: ModelVersion) -> None:
        paused = steps.failed(claim(registry), "away", LATER, 0.5)
        registry.outbox.keep(paused, "me")
        assert registry.outbox.claim("mlflow", "me", LATER) is None
        assert registry.outbox.retry("default", paused.id, LATER) is not None
        assert claim(registry).id == paused.id

    def test_what_runs_is_left_to_who_runs_it(self, registry: Registry, version: ModelVersion) -> None:
        running = claim(registry)
        assert registry.outbox.retry("default", running.id, LATER) is None
        assert told_of(registry) == [running]

    def test_nothing_of_another_team_is_shown_or_moved(self, registry: Registry, version: ModelVersion) -> None:
        theirs = register(registry, "2", team="red").version
        [mine] = told_of(registry)
        [other] = registry.outbox.deliveries(DeliveryQuery("red"))
        assert (mine.version_id, other.version_id) == (version.id, theirs.id)
        assert registry.outbox.delivery("red", mine.id) is None
        assert registry.outbox.retry("red", mine.id, LATER) is None
        assert registry.outbox.deliveries(DeliveryQuery("red", version_id=version.id)) == []

    def test_deliveries_are_listed_newest_first_page_by_page(self, build: Build) -> None:
        registry = build(destinations={"mlflow": LIFE, "webhook": LIFE})
        made = [register(registry, str(n), f"d{n}").version.id for n in range(3)]
        newest_first = registry.outbox.deliveries(ALL)
        assert [one.version_id for one in newest_first] == [id for id in reversed(made) for _ in range(2)]
        page = registry.outbox.deliveries(replace(ALL, limit=2))
        assert list(page) == list(newest_first[:2])
        assert list(registry.outbox.deliveries(replace(ALL, after=page[-1].id))) == list(newest_first[2:])
        assert registry.outbox.deliveries(replace(ALL, after="nobody")) == []
        only = registry.outbox.deliveries(replace(ALL, destination="webhook", version_id=made[1]))
        assert [(one.destination, one.version_id) for one in only] == [("webhook", made[1])]
        assert registry.outbox.deliveries(replace(ALL, state=DeliveryState.DELIVERED)) == []

    def test_odd_words_come_back_as_they_were(self, registry: Registry, version: ModelVersion) -> None:
        odd = steps.failed(claim(registry), "zero \0 and \udcff", LATER, 0.0)
        registry.outbox.keep(odd, "me")
        assert told_of(registry) == [odd]

    def test_what_is_told_stands_in_the_transaction_of_what_happened(self, registry: Registry) -> None:
        mine = claimed(registry, "1")
        assert told_of(registry) == []
        assert registry.register(mine.id, "me", new_version(mine), LATER) is not None
        assert [one.due for one in told_of(registry)] == [LATER]
        registry.submit(event("2"), LATER)
        assert len(told_of(registry)) == 1
