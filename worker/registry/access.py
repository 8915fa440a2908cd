"""Teams and tokens as statements on an open connection; the transactions are `sql`'s."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from worker.records import Team, Token, TokenScope
from worker.registry.tables import signing_keys, teams, tokens
from worker.registry.words import KEY_BYTES, folded

SIGNING = "links"


def signing_key(connection: Connection) -> bytes:
    """Return the key that links are signed with, and write it where there is none. Who writes it at once with another begins
    again, and finds the other's.
    """
    found = connection.execute(select(signing_keys.c.key).where(signing_keys.c.name == SIGNING)).scalar_one_or_none()
    if found is None:
        found = secrets.token_bytes(KEY_BYTES)
        connection.execute(insert(signing_keys), {"name": SIGNING, "key": found})
    return bytes(found)


def create_team(connection: Connection, name: str, now: datetime) -> Team | None:
    """Write a team; None, and nothing written, where there is one of that name in any case of its letters."""
    same = select(teams.c.name).where(teams.c.name_folded == folded(name))
    if connection.execute(same).one_or_none() is not None:
        return None
    connection.execute(insert(teams), {"name": name, "name_folded": folded(name), "created": now})
    return _team(connection, name)


def all_teams(connection: Connection) -> list[Team]:
    """Return the teams by name."""
    return sorted((_team_of(row) for row in connection.execute(select(teams))), key=lambda team: team.name)


def create_token(connection: Connection, token: Token) -> Token | None:
    """Write *token*; None, and nothing written, where there is no such team."""
    if _team(connection, token.team) is None:
        return None
    values = {
        "id": token.id,
        "team": token.team,
        "name": token.name,
        "digest": token.digest,
        "scopes": sorted(scope.value for scope in token.scopes),
        "created": token.created,
        "expires": token.expires,
    }
    connection.execute(insert(tokens), values)
    return _token(connection, tokens.c.id == token.id)


def token_by_digest(connection: Connection, digest: str) -> Token | None:
    """Return the token of which *digest* is kept, None where there is none."""
    return _token(connection, tokens.c.digest == digest)


def touch(connection: Connection, token: Token, now: datetime) -> Token:
    """Write that *token* is used at *now*, unless another did meanwhile, and return how it stands."""
    unchanged = tokens.c.last_used.is_(None) if token.last_used is None else tokens.c.last_used == token.last_used
    connection.execute(update(tokens).where(tokens.c.id == token.id, unchanged).values(last_used=now))
    return _token(connection, tokens.c.id == token.id) or token


def tokens_of(connection: Connection, team: str) -> list[Token]:
    """Return the team's tokens, newest first."""
    found = connection.execute(select(tokens).where(tokens.c.team == team).order_by(tokens.c.sequence.desc()))
    return [_token_of(row) for row in found]


def has_tokens(connection: Connection) -> bool:
    """Tell whether any team has or ever had a token."""
    return connection.execute(select(func.max(tokens.c.sequence))).scalar_one() is not None


def revoke_token(connection: Connection, team: str, token_id: str, now: datetime) -> tuple[Token | None, bool]:
    """Write that the team's token is revoked; what was revoked before stays so.

    Return it, None where there is none, and whether it is revoked only now.
    """
    theirs = (tokens.c.team == team, tokens.c.id == token_id)
    changed = connection.execute(update(tokens).where(*theirs, tokens.c.revoked.is_(None)).values(revoked=now))
    return _token(connection, *theirs), changed.rowcount == 1


def _team(connection: Connection, name: str) -> Team | None:
    row = connection.execute(select(teams).where(teams.c.name == name)).one_or_none()
    return None if row is None else _team_of(row)


def _team_of(row: Row[Any]) -> Team:
    return Team(row.name, row.created)


def _token(connection: Connection, *where: ColumnElement[bool]) -> Token | None:
    row = connection.execute(select(tokens).where(*where)).one_or_none()
    return None if row is None else _token_of(row)


def _token_of(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        team=row.team,
        name=row.name,
        digest=row.digest,
        scopes=_scopes_of(row.scopes),
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
        last_used=row.last_used,
    )


def _scopes_of(words: Sequence[str]) -> frozenset[TokenScope]:
    """Return the scopes that are known here; a word of a later release allows nothing in this one."""
    known = {scope.value: scope for scope in TokenScope}
    return frozenset(known[word] for word in words if word in known)
