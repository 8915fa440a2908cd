"""Care for who may come in: teams, and the tokens that speak for them. Doors call these; records come out.

A token's text leaves this module once, when it is made, and is kept nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker import tokens
from worker.errors import NotFound, RejectedEvent
from worker.events import checked_name
from worker.ports import Registry
from worker.records import DEFAULT_TEAM, UNSAID, Team, Token, TokenScope

TEAM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""A team's name is a step of paths, in mounts and in the store, on every file system."""

MAX_TOKEN_DAYS = 3650
"""The longest time that a token may be given; without one it does not expire."""

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made. *secret* is shown to a person once, and nobody can tell it afterwards."""

    token: Token
    secret: str = field(repr=False)


def create_team(registry: Registry, name: str, now: datetime, who: str = UNSAID) -> Team:
    """Make a team for *who*, and return it.

    Raises:
        RejectedEvent: the name cannot be one, or another team has it, in any case of its letters.
    """
    if not TEAM_NAME.fullmatch(name):
        raise RejectedEvent(f"team: expected up to 63 letters, digits, dots, dashes and underscores, found {name[:80]!a}")
    team = registry.create_team(name, now, who)
    if team is None:
        raise RejectedEvent(f"team: there is one called {name} already")
    return team


def existing_team(registry: Registry, name: str) -> str:
    """Return *name*, which is that of a team.

    Raises:
        NotFound: it is not; the message names the teams that there are.
    """
    known = [DEFAULT_TEAM] if name == DEFAULT_TEAM else [team.name for team in registry.teams()]
    if name not in known:
        raise NotFound(f"there is no team {name or 'without a name'}; there are {', '.join(known)}")
    return name


def teams(registry: Registry) -> Sequence[Team]:
    """Return all teams by name."""
    return registry.teams()


def create_token(
    registry: Registry,
    team: str,
    name: str,
    scopes: Iterable[str],
    now: datetime,
    random_bytes: RandomBytes,
    days: float | None = None,
    who: str = UNSAID,
) -> NewToken:
    """Make a token that speaks for *team*, valid for *days*, or until it is revoked for None; *who* asks for it.

    Raises:
        RejectedEvent: the name, a scope or the number of days cannot be one.
        NotFound: there is no such team.
    """
    allowed = tokens.scopes_of(scopes)
    called = checked_name("name", name)
    assert called is not None
    secret = tokens.make(random_bytes(tokens.RANDOM_BYTES))
    kept = registry.create_token(team, called, tokens.digest(secret), allowed, now, _end(now, days), who)
    if kept is None:
        raise NotFound(f"there is no team {team}")
    return NewToken(kept, secret)


def _end(now: datetime, days: float | None) -> datetime | None:
    if days is None:
        return None
    if not 0 < days <= MAX_TOKEN_DAYS:
        raise RejectedEvent(f"days: expected more than 0 and at most {MAX_TOKEN_DAYS}, found {days:g}")
    return now + timedelta(days=days)


def list_tokens(registry: Registry, team: str) -> Sequence[Token]:
    """Return what is kept of the team's tokens, newest first, revoked ones too."""
    return registry.tokens(team)


def revoke_token(registry: Registry, team: str, token_id: str, now: datetime, who: str = UNSAID) -> Token:
    """Let a token open nothing from now on, for *who*, and return it; harmless twice.

    Raises:
        NotFound: the team has no such token.
    """
    revoked = registry.revoke_token(team, token_id, now, who)
    if revoked is None:
        raise NotFound(f"there is no token {token_id}")
    return revoked


def scope_words(scopes: Iterable[TokenScope]) -> list[str]:
    """Return scopes as the words that people write, in one order."""
    return sorted(scope.value for scope in scopes)
