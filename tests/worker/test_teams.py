"""Care for teams and tokens, on the registry in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from worker.errors import NotFound, RejectedEvent
from worker.registry.memory import MemoryRegistry
from worker.teams import NewToken, create_team, create_token, list_tokens, revoke_token, scope_words, teams
from worker.tokens import digest, is_whole

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


def new_token(registry: MemoryRegistry, name: str = "ci", days: float | None = None) -> NewToken:
    return create_token(registry, "default", name, ["operate", "model:read"], NOON, lambda size: b"\7" * size, days)


def test_a_team_is_made_and_listed(registry: MemoryRegistry) -> None:
    assert create_team(registry, "red", NOON).name == "red"
    assert [team.name for team in teams(registry)] == ["default", "red"]


def test_a_name_that_is_taken_is_told(registry: MemoryRegistry) -> None:
    with pytest.raises(RejectedEvent, match="team: there is one called Default already"):
        create_team(registry, "Default", NOON)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a b", "é", "x" * 64, "a\n"])
def test_a_team_is_named_as_a_step_of_any_path(registry: MemoryRegistry, name: str) -> None:
    with pytest.raises(RejectedEvent, match="team: expected up to 63 letters"):
        create_team(registry, name, NOON)


def test_a_token_is_told_once_and_only_its_digest_is_kept(registry: MemoryRegistry) -> None:
    made = new_token(registry)
    assert is_whole(made.secret)
    assert registry.token_by_digest(digest(made.secret), NOON) is not None
    assert made.secret not in repr(made)
    assert scope_words(made.token.scopes) == ["model:read", "operate"]


def test_a_token_lasts_for_its_days(registry: MemoryRegistry) -> None:
    assert new_token(registry).token.expires is None
    assert new_token(registry, days=0.5).token.expires == NOON + timedelta(hours=12)


@pytest.mark.parametrize("days", [0, -1, 3651, float("nan"), float("inf")])
def test_days_are_bounded(registry: MemoryRegistry, days: float) -> None:
    with pytest.raises(RejectedEvent, match=f"days: expected more than 0 and at most 3650, found {days:g}"):
        new_token(registry, days=days)


def test_a_token_has_a_name_and_a_team(registry: MemoryRegistry) -> None:
    with pytest.raises(RejectedEvent, match=r"^name: expected"):
        new_token(registry, " ")
    with pytest.raises(NotFound, match="there is no team red"):
        create_token(registry, "red", "ci", ["admin"], NOON, bytes)


def test_a_revoked_token_is_listed_as_such(registry: MemoryRegistry) -> None:
    token = new_token(registry).token
    assert revoke_token(registry, "default", token.id, NOON).revoked == NOON
    assert [one.revoked for one in list_tokens(registry, "default")] == [NOON]


def test_a_token_of_another_team_cannot_be_revoked(registry: MemoryRegistry) -> None:
    token = new_token(registry).token
    with pytest.raises(NotFound, match=f"there is no token {token.id}"):
        revoke_token(registry, "red", token.id, NOON)
