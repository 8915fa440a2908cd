"""The contract of a registry's quarantine: what a policy keeps from being served, and how a person lets it go.

A registry joins by subclassing `RegistryContract`, which makes it, and `QuarantineContract`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.contracts.registry import LATER, NOON, OBJECTION, Build, claimed, judged, new_version, register_judged
from worker.delivery import LIFE, DeliveryKind, DeliveryQuery
from worker.ports import Registry
from worker.records import (
    Action,
    Attention,
    AuditQuery,
    FileDigest,
    Held,
    ModelVersion,
    Objection,
    Released,
    VersionQuery,
)

ANN = "the token ann (tk1)"
BOB = "bob at the command line"
LATEST = LATER + timedelta(days=1)
LESS = replace(OBJECTION, causes=("a1",), why="less")
OTHER = replace(OBJECTION, causes=("a1", "c3"), why="something new")
WARNED = replace(OBJECTION, is_quarantined=False)


def put(registry: Registry, id: str = "run-1", objection: Objection | None = OBJECTION, **more: Any) -> ModelVersion:
    """Return a version of which the policy had this to say."""
    return register_judged(registry, id, objection=objection, **more)


def released(registry: Registry, version: ModelVersion, who: str = ANN) -> ModelVersion:
    found = registry.release("default", version.id, "looked at", LATER, who=who)
    assert found is not None
    return found


def seen_again(registry: Registry, objection: Objection | None, id: str = "run-2") -> ModelVersion:
    """Return the version after its content was ingested again, at `LATEST`."""
    ingestion = claimed(registry, id)
    again = registry.register(ingestion.id, "me", new_version(ingestion, objection=objection), LATEST)
    assert again is not None
    assert not again.is_new
    return again.version


def judged_anew(registry: Registry, version: ModelVersion, objection: Objection | None) -> ModelVersion:
    """Return the version after newer rules judged it, at `LATEST`."""
    judgement = judged(new_version(claimed(registry, "judge")), objection=objection)
    assert registry.care.judge(version, judgement, LATEST)
    found = registry.version("default", version.id)
    assert found is not None
    return found


AGAIN = {
    "another ingestion of the content": lambda registry, version, said: seen_again(registry, said),
    "newer rules": judged_anew,
}


def actions(registry: Registry) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return who did what to what, oldest first."""
    found = reversed(registry.audit(AuditQuery("default")))
    return [(one.action.value, one.who, one.object_name, dict(one.details)) for one in found]


def listed(registry: Registry) -> tuple[list[str], list[str], int, int]:
    """Return the versions in quarantine, those that need a look, and how many an overview tells of either."""
    found = (
        [one.id for one in registry.versions(VersionQuery(attention=word))]
        for word in (Attention.QUARANTINED, Attention.NEEDS_LOOK)
    )
    overview = registry.overview("default").attention
    held, look = found
    assert registry.count(VersionQuery(attention=Attention.QUARANTINED)) == len(held)
    return held, look, overview[Attention.QUARANTINED], overview[Attention.NEEDS_LOOK]


class QuarantineContract:
    """The laws of any registry's quarantine."""

    @pytest.fixture
    def registry(self) -> Registry:
        raise NotImplementedError("the contract of the registry makes one")

    @pytest.mark.parametrize("objection", [None, WARNED])
    def test_what_no_policy_keeps_is_in_no_quarantine(self, registry: Registry, objection: Objection | None) -> None:
        version = put(registry, objection=objection, findings=())
        assert (version.held, version.is_quarantined) == (None, False)
        assert version.warning == (None if objection is None else OBJECTION.why)
        assert registry.version("default", version.id) == version
        assert listed(registry) == ([], [], 0, 0)
        assert actions(registry) == []

    def test_what_a_policy_keeps_is_registered_and_held(self, registry: Registry) -> None:
        version = put(registry)
        assert version.held == Held(LATER, OBJECTION.why, OBJECTION.causes)
        assert (version.is_quarantined, version.warning, version.number) == (True, None, 1)
        assert registry.version("default", version.id) == version
        assert registry.versions(VersionQuery()) == [version]
        assert listed(registry) == ([version.id], [version.id], 1, 1)
        assert actions(registry) == [("version.quarantined", "the policy", "mnist@1", {"why": OBJECTION.why})]
        origin = registry.origin(version.id)
        assert origin is not None
        assert origin.message == f"registered as mnist version 1; in quarantine: {OBJECTION.why}"

    def test_a_warning_is_told_with_the_end_of_the_ingestion(self, registry: Registry) -> None:
        origin = registry.origin(put(registry, objection=WARNED).id)
        assert origin is not None
        assert origin.message == f"registered as mnist version 1; warning: {OBJECTION.why}"

    def test_a_person_lets_it_go_and_the_log_says_who_and_why(self, registry: Registry) -> None:
        version = put(registry)
        free = released(registry, version)
        assert free.held == Held(LATER, OBJECTION.why, OBJECTION.causes, Released(LATER, ANN, "looked at"))
        assert not free.is_quarantined
        assert registry.version("default", version.id) == free == replace(version, held=free.held)
        assert listed(registry) == ([], [version.id], 0, 1), "its findings are still there"
        (line,) = registry.audit(AuditQuery("default", action=Action.VERSION_RELEASED))
        assert (line.at, line.who, line.object_id, line.object_name) == (LATER, ANN, version.id, "mnist@1")
        assert line.details == {"reason": "looked at", "why": OBJECTION.why}

    def test_who_takes_files_out_of_it_stands_in_the_log(self, registry: Registry) -> None:
        version = put(registry)
        assert registry.note_taking("default", version.id, LATER, who=BOB) == version
        (line,) = registry.audit(AuditQuery("default", action=Action.VERSION_TAKEN))
        assert (line.at, line.who, line.object_id, line.object_name) == (LATER, BOB, version.id, "mnist@1")
        assert line.details == {"why": OBJECTION.why}

    def test_what_is_in_no_quarantine_or_not_there_is_not_taken_out_of_it(self, registry: Registry) -> None:
        version, free = put(registry), put(registry, "run-2", None, digest="d2")
        released(registry, version)
        for id in (version.id, free.id):
            assert registry.note_taking("default", id, LATER, who=BOB) == registry.version("default", id)
        assert registry.note_taking("default", "mo?", LATER, who=BOB) is None
        assert registry.note_taking("other", version.id, LATER, who=BOB) is None
        assert not registry.audit(AuditQuery("default", action=Action.VERSION_TAKEN))

    def test_who_released_it_first_is_who_did(self, registry: Registry) -> None:
        version = put(registry)
        free = released(registry, version)
        assert registry.release("default", version.id, "me too", LATEST, who=BOB) == free
        assert [who for action, who, *_ in actions(registry) if action == "version.released"] == [ANN]

    def test_what_is_in_no_quarantine_is_not_released(self, registry: Registry) -> None:
        version = put(registry, objection=None)
        assert registry.release("default", version.id, "why not", LATEST, who=BOB) == version
        assert actions(registry) == []

    def test_another_teams_is_not_there(self, registry: Registry) -> None:
        version = put(registry)
        registry.create_team("red", NOON)
        assert registry.release("red", version.id, "mine", LATER, who=BOB) is None
        registry.delete("default", version.id, NOON)
        assert registry.release("default", version.id, "late", LATER, who=BOB) is None
        assert [action for action, *_ in actions(registry)] == ["version.quarantined", "version.deleted"]

    def test_another_team_reads_what_is_held_and_not_who_released_it(self, registry: Registry) -> None:
        version = put(registry)
        registry.create_team("red", NOON)
        registry.publish("default", version.id, True, NOON)
        seen = registry.readable("red", version.id)
        assert seen is not None
        assert seen.held == version.held
        released(registry, version)
        seen = registry.readable("red", version.id)
        (shown,) = registry.versions(VersionQuery("red", is_published=True))
        assert seen is not None
        assert seen.held == shown.held == Held(LATER, OBJECTION.why, OBJECTION.causes, Released(LATER, None, "looked at"))

    @pytest.mark.parametrize("how", AGAIN)
    @pytest.mark.parametrize("said", [None, WARNED, LESS, OBJECTION])
    def test_what_a_person_released_stays_released(self, registry: Registry, how: str, said: Objection | None) -> None:
        """What a person released stays released until something new is found."""
        version = put(registry)
        free = released(registry, version)
        again = AGAIN[how](registry, version, said)
        assert again.held == free.held
        assert again.warning == (OBJECTION.why if said is WARNED else None)
        assert listed(registry)[0] == []
        assert [action for action, *_ in actions(registry)] == ["version.quarantined", "version.released"]

    @pytest.mark.parametrize("how", AGAIN)
    def test_something_new_puts_it_back_and_the_log_says_so(self, registry: Registry, how: str) -> None:
        version = put(registry)
        released(registry, version)
        again = AGAIN[how](registry, version, OTHER)
        assert again.held == Held(LATEST, "something new", OTHER.causes)
        assert listed(registry) == ([version.id], [version.id], 1, 1)
        assert [action for action, *_ in actions(registry)] == [
            "version.quarantined",
            "version.released",
            "version.quarantined",
        ]
        free = registry.release("default", version.id, "this too", LATEST, who=BOB)
        assert free is not None
        assert free.held == Held(LATEST, "something new", OTHER.causes, Released(LATEST, BOB, "this too"))

    @pytest.mark.parametrize("how", AGAIN)
    @pytest.mark.parametrize("said", [None, WARNED])
    def test_only_a_person_lets_it_go(self, registry: Registry, how: str, said: Objection | None) -> None:
        version = put(registry)
        assert AGAIN[how](registry, version, said).held == version.held
        assert listed(registry)[0] == [version.id]

    @pytest.mark.parametrize("how", AGAIN)
    def test_the_words_for_why_are_those_of_the_last_look(self, registry: Registry, how: str) -> None:
        version = put(registry)
        assert AGAIN[how](registry, version, LESS).held == Held(LATER, "less", ("a1",))
        assert len(actions(registry)) == 1

    @pytest.mark.parametrize("how", AGAIN)
    def test_a_policy_that_came_later_holds_what_is_judged_again(self, registry: Registry, how: str) -> None:
        version = put(registry, objection=None)
        assert AGAIN[how](registry, version, OBJECTION).held == Held(LATEST, OBJECTION.why, OBJECTION.causes)
        assert listed(registry)[0] == [version.id]
        assert [action for action, *_ in actions(registry)] == ["version.quarantined"]

    def test_a_release_is_told_to_who_is_told_of_versions(self, build: Build) -> None:
        registry = build(destinations={"mlflow": LIFE})
        version = put(registry)
        released(registry, version)
        released(registry, version)
        kinds = [one.kind for one in registry.outbox.deliveries(DeliveryQuery("default"))]
        assert kinds == [DeliveryKind.RELEASED, DeliveryKind.REGISTERED]

    def test_the_latest_of_a_model_may_be_in_quarantine(self, registry: Registry) -> None:
        first = put(registry, "run-1", None, findings=())
        second = put(registry, "run-2", digest="d2", files=(FileDigest("a", 1, "0" * 64),), findings=())
        assert [one.id for one in registry.named("default", "mnist")] == [second.id]
        assert listed(registry) == ([second.id], [second.id], 1, 1)
        registry.delete("default", second.id, LATER)
        assert [one.id for one in registry.named("default", "mnist")] == [first.id]
        assert listed(registry) == ([], [], 0, 0)
