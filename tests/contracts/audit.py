"""The contract of a registry's log: what people did, who it was, and that nothing else stands there.

A registry joins by subclassing `RegistryContract`, which makes it, and `AuditContract`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contracts import registry as contract
from worker.errors import RejectedEvent
from worker.ports import Registry
from worker.records import UNSAID, Action, AuditEntry, AuditQuery, NewUpload, TokenScope
from worker.registry.words import POLICY

NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
READER = frozenset({TokenScope.MODEL_READ})
ANN = "the token ann (tk1)"

Change = Callable[..., object]
"""Does something for whom its arguments name, in a registry that was prepared; what it needs it looks up before."""


def version_id(registry: Registry) -> str:
    return contract.register(registry).version.id


def quarantined_id(registry: Registry) -> str:
    return contract.register_judged(registry, "run-1", objection=contract.OBJECTION).id


def failed_id(registry: Registry) -> str:
    ingestion = contract.claimed(registry)
    assert registry.finish(ingestion.id, "me", contract.failed(), NOON)
    return ingestion.id


def upload_id(registry: Registry) -> str:
    return registry.begin_upload(NewUpload("default"), NOON).id


def token_id(registry: Registry) -> str:
    token = registry.create_token("default", "ci", "digest", READER, NOON)
    assert token is not None
    return token.id


def project_id(registry: Registry) -> str:
    made = registry.create_project("default", "digits", NOON)
    assert made is not None
    return made.id


def paused_queue(registry: Registry) -> str:
    assert registry.pause_queue("default", True, NOON) is not None
    return "queue"


def nothing(registry: Registry) -> str:
    return ""


PREPARED: dict[str, tuple[Callable[[Registry], str], Callable[[Registry, str, dict[str, Any]], object]]] = {
    "retry": (failed_id, lambda registry, id, by: registry.retry("default", id, ANN, LATER)),
    "discard": (failed_id, lambda registry, id, by: registry.discard("default", id, ANN, LATER)),
    "pause_queue": (nothing, lambda registry, id, by: registry.pause_queue("default", True, LATER, **by)),
    "resume_queue": (paused_queue, lambda registry, id, by: registry.resume_queue("default", True, LATER, **by)),
    "note_removal": (nothing, lambda registry, id, by: registry.note_removal("default", None, LATER, **by) or True),
    "rename": (version_id, lambda registry, id, by: registry.rename("default", id, "digits", LATER, **by)),
    "publish": (version_id, lambda registry, id, by: registry.publish("default", id, True, LATER, **by)),
    "release": (quarantined_id, lambda registry, id, by: registry.release("default", id, "looked at", LATER, **by)),
    "note_taking": (quarantined_id, lambda registry, id, by: registry.note_taking("default", id, LATER, **by)),
    "tag": (version_id, lambda registry, id, by: registry.tag("default", id, ["a"], [], LATER, **by)),
    "note": (version_id, lambda registry, id, by: registry.note("default", id, "mine", LATER, **by)),
    "begin_upload": (nothing, lambda registry, id, by: registry.begin_upload(NewUpload("default"), LATER, **by)),
    "tag_upload": (upload_id, lambda registry, id, by: registry.tag_upload("default", id, ["a"], LATER, **by)),
    "end_upload": (upload_id, lambda registry, id, by: registry.end_upload("default", id, LATER, **by)),
    "delete": (version_id, lambda registry, id, by: registry.delete("default", id, LATER, **by)),
    "create_project": (nothing, lambda registry, id, by: registry.create_project("default", "digits", LATER, **by)),
    "rename_project": (project_id, lambda registry, id, by: registry.rename_project("default", id, "x", LATER, **by)),
    "create_team": (nothing, lambda registry, id, by: registry.create_team("red", LATER, **by)),
    "create_token": (nothing, lambda registry, id, by: registry.create_token("default", "x", "d", READER, LATER, **by)),
    "revoke_token": (token_id, lambda registry, id, by: registry.revoke_token("default", id, LATER, **by)),
}
"""For each method that does something for a person: what makes what it needs, and the call."""

MAKING = ("create_", "begin_", "pause_", "note_removal")
"""How the methods begin that need nothing to be there before."""

FOR_NOBODY = {
    *("submit", "submit_all", "claim", "claim_next", "beat", "wait", "free", "sweeping", "finish", "register", "kept_at"),
    *("note_gates", "see", "leave", "took", "signing_key", "take_upload", "beat_upload", "leave_upload", "seal_upload"),
}
"""Methods that change something for a program: a sender, a worker, the server. Ingestions have a history of their own."""

ONLY_READ = {
    *("now", "same_listing", "owned", "queue", "contradictions", "counters", "is_due", "workers", "ingestions", "ingestion"),
    *("history", "versions", "count", "summaries", "named", "version", "files", "metrics", "findings", "metadata", "teams"),
    "severities",
    *("projects", "project", "renamed_projects", "token_by_digest", "tokens", "has_tokens", "audit", "attempts_among"),
    *("store_keys", "upload", "kept_uploads", "overview", "tags", "metric_names", "courses", "readable", "origin"),
    *("uploads_among", "pulse", "standing", "count_ingestions", "halts", "predecessor"),
}


def of_person() -> list[str]:
    """Return the methods of a registry that are told for whom they do what they do."""
    methods = inspect.getmembers(Registry, inspect.isfunction)
    return [name for name, method in methods if "who" in inspect.signature(method).parameters]


def lines(registry: Registry, team: str = "default", **wanted: Any) -> list[AuditEntry]:
    return list(registry.audit(AuditQuery(team, **wanted)))


def told(registry: Registry, team: str = "default", **wanted: Any) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return who, what, to what and the details of the lines, oldest first."""
    found = reversed(lines(registry, team, **wanted))
    return [(one.who, one.action.value, one.object_name, dict(one.details)) for one in found]


def by_people(registry: Registry, team: str) -> list[AuditEntry]:
    """Return the lines that people made: the policy makes some too, as `QuarantineContract` tells."""
    return [one for one in lines(registry, team) if one.who != POLICY]


class AuditContract:
    """The laws of any registry's log."""

    @pytest.fixture
    def registry(self) -> Registry:
        raise NotImplementedError("the contract of the registry makes one")

    def test_every_method_is_known_to_the_log(self) -> None:
        """A new one is put into one of the three sets, and so asked whether a person does it."""
        methods = {name for name, _ in inspect.getmembers(Registry, inspect.isfunction) if not name.startswith("_")}
        assert set(of_person()) == set(PREPARED)
        assert methods == set(PREPARED) | FOR_NOBODY | ONLY_READ

    @pytest.mark.parametrize("method", of_person())
    def test_no_change_by_a_person_is_without_a_line(self, registry: Registry, method: str) -> None:
        prepare, change = PREPARED[method]
        needed = prepare(registry)
        team = "red" if method == "create_team" else "default"
        before = by_people(registry, team)
        by = {} if method in ("retry", "discard") else {"who": ANN}
        assert change(registry, needed, by) is not None
        line, *others = by_people(registry, team)
        assert (others, line.at, line.team, line.who) == (before, LATER, team, ANN)
        assert needed in (line.object_id, "")

    @pytest.mark.parametrize("method", [name for name in of_person() if not name.startswith(MAKING)])
    def test_what_was_not_there_is_not_written_down(self, registry: Registry, method: str) -> None:
        assert PREPARED[method][1](registry, "mo?", {}) is None
        assert lines(registry) == []

    def test_what_changes_nothing_is_not_written_down(self, registry: Registry) -> None:
        version, token = version_id(registry), token_id(registry)
        registry.tag("default", version, ["a"], ["never there"], NOON)
        registry.rename("default", version, "digits", NOON)
        registry.publish("default", version, True, NOON)
        registry.note("default", version, "mine", NOON)
        upload = registry.begin_upload(NewUpload("default"), NOON)
        registry.tag_upload("default", upload.id, ["a", "b"], NOON)
        registry.revoke_token("default", token, NOON)
        registry.create_team("red", NOON)
        registry.create_project("default", "p", NOON)
        registry.rename_project("default", "p", "q", NOON)
        registry.pause_queue("default", True, NOON)
        before = lines(registry), lines(registry, "red")
        registry.tag("default", version, ["a"], ["never there"], LATER)
        registry.rename("default", version, "digits", LATER)
        registry.publish("default", version, True, LATER)
        assert registry.note("default", version, "mine", LATER) == registry.version("default", version)
        assert registry.tag_upload("default", upload.id, ["b", "a"], LATER) == registry.upload("default", upload.id)
        registry.revoke_token("default", token, LATER)
        assert registry.create_team("Red", LATER) is None
        assert registry.pause_queue("default", True, LATER) is registry.resume_queue("default", False, LATER) is None
        assert registry.create_project("default", "p", LATER) is registry.create_project("default", "q", LATER) is None
        assert registry.rename_project("default", "p", "q", LATER) == registry.project("default", "p")
        registry.submit(contract.event("of a new project", project="new"), LATER)
        assert registry.create_token("nobody", "x", "d", READER, LATER) is None
        assert (lines(registry), lines(registry, "red")) == before
        assert lines(registry, "nobody") == []

    def test_what_is_refused_is_not_written_down(self, registry: Registry) -> None:
        contract.register(registry, "1", experiment="a")
        version = contract.register(registry, "2", experiment="b").version
        with pytest.raises(RejectedEvent):
            registry.rename("default", version.id, "a", LATER, who=ANN)
        with pytest.raises(RejectedEvent):
            registry.tag("default", version.id, ["zero \0"], [], LATER, who=ANN)
        assert lines(registry) == []

    def test_a_line_tells_what_was_there_before(self, registry: Registry) -> None:
        version = version_id(registry)
        registry.rename("default", version, "digits", NOON, who=ANN)
        registry.tag("default", version, ["b", "a"], [], NOON, who="somebody at this machine")
        registry.tag("default", version, ["c"], ["a"], NOON, who=ANN)
        registry.delete("default", version, NOON)
        assert told(registry) == [
            (ANN, "model.renamed", "digits", {"before": "mnist"}),
            ("somebody at this machine", "version.tagged", "digits@1", {"added": ["a", "b"]}),
            (ANN, "version.tagged", "digits@1", {"added": ["c"], "removed": ["a"]}),
            (UNSAID, "version.deleted", "digits@1", {}),
        ]

    def test_a_line_about_a_token_names_its_scopes_and_no_secret(self, registry: Registry) -> None:
        registry.create_token("default", "ci", "the digest", READER, NOON, LATER, who=ANN)
        assert told(registry) == [(ANN, "token.created", "ci", {"scopes": ["model:read"]})]
        assert "the digest" not in repr(lines(registry))

    def test_a_team_sees_its_own_lines_alone_and_its_making_is_the_first(self, registry: Registry) -> None:
        registry.create_team("red", NOON, who=ANN)
        registry.create_token("red", "theirs", "d1", READER, NOON)
        registry.create_token("default", "ours", "d2", READER, NOON)
        assert [name for _, _, name, _ in told(registry, "red")] == ["red", "theirs"]
        assert [name for _, _, name, _ in told(registry)] == ["ours"]
        other = lines(registry, "red")[0].id
        assert lines(registry, after=other) == []

    def test_lines_are_found_by_who_and_by_what(self, registry: Registry) -> None:
        version = version_id(registry)
        for number, who in enumerate([ANN, "the token tk1) (tk2)", "the token x%_ (tk3)", "root at the command line"]):
            registry.tag("default", version, [f"{number}"], [], NOON, who=who)
        registry.delete("default", version, NOON, who=ANN)

        def found(**wanted: Any) -> list[str]:
            return [who for who, *_ in told(registry, **wanted)]

        assert found(who=ANN) == found(who="tk1") == [ANN, ANN]
        assert found(who="tk2") == ["the token tk1) (tk2)"]
        assert found(who="root at the command line") == ["root at the command line"]
        for nobody in ("tk", "%", "k_1", "", "ann", "tk1) (tk2", "zero \0", "\udcff"):
            assert found(who=nobody) == [], nobody
        assert found(action=Action.VERSION_DELETED) == [ANN]
        assert found(action=Action.TOKEN_REVOKED) == []
        assert found(who="tk1", action=Action.VERSION_TAGGED) == [ANN]

    def test_lines_come_page_by_page_newest_first(self, registry: Registry) -> None:
        version = version_id(registry)
        for number in range(5):
            registry.tag("default", version, [str(number)], [], NOON, who=ANN)
        everything = lines(registry)
        assert [one.details["added"] for one in everything] == [["4"], ["3"], ["2"], ["1"], ["0"]]
        assert len({one.id for one in everything}) == 5
        assert lines(registry, limit=2) == everything[:2]
        assert lines(registry, limit=2, after=everything[1].id) == everything[2:4]
        assert lines(registry, after=everything[4].id) == lines(registry, after="au?") == []

    @pytest.mark.parametrize("text", ["emoji 🦆", "line\nbreak \x1b[31m", "escaped:x", "'; DROP TABLE audit_log; --", "\udcff"])
    def test_any_words_come_back_as_they_were(self, registry: Registry, text: str) -> None:
        ingestion, _ = registry.submit(contract.event(experiment=None, model_path=f"/{text}"), NOON)
        registry.discard("default", ingestion.id, text, NOON)
        [line] = lines(registry)
        assert (line.who, line.object_name) == (text, f"/{text}")
        assert lines(registry, who=text) == [line]
