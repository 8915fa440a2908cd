"""Whose work an operator looks at: that of their own team, of another one, or of all at once.

Another team's work is for who may both steer the queue and watch all teams. So a token that was made to read figures, which
name no team, opens none of this; and whoever asks for a team that is not theirs is told the same whether there is one or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from worker.api.problems import Problem
from worker.api.queue import may_steer_all
from worker.api.service import Inside, Service
from worker.api.web.visitors import Steward, Visit
from worker.errors import NotFound

MOST_TEAM_CHARACTERS = 63
"""Characters of a team's name (`worker.teams`)."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose work is looked at: *team*, None for all teams. *teams* are the names that may be chosen from, with the own one;
    empty for who sees the own team alone.
    """

    team: str | None
    own: str
    teams: tuple[str, ...] = ()

    @property
    def sees_all(self) -> bool:
        """Whether all teams may be looked at."""
        return bool(self.teams)

    @property
    def given(self) -> dict[str, str]:
        """What an address says of it; nothing where it is what everybody sees first."""
        return {"team": self.team} if self.sees_all and self.team is not None else {}

    @property
    def choices(self) -> list[tuple[str, str]]:
        """What the form offers; nothing where there is nothing to choose."""
        if len(self.teams) < 2:
            return []
        return [("", "All teams"), *((name, f"{name} (yours)" if name == self.own else name) for name in self.teams)]

    @property
    def reach(self) -> str | None:
        """The team that one ingestion is looked for in, None for any."""
        return None if self.sees_all else self.own


def chosen(visit: Visit, service: Service, team: str) -> Whose:
    """Return whose work *team* means, empty for what *visit* sees first: all teams for who may, the own one for others.

    Raises:
        NotFound: there is no such team.
        Problem: it is not theirs.
    """
    own = visit.caller.team
    if not may_steer_all(visit.caller):
        if team not in ("", own):
            raise Problem(403, "insufficient-scope", "the work of other teams is for who has the scope operate:all too")
        return Whose(own, own)
    names = tuple(one.name for one in service.registry.teams())
    if team and team not in names:
        raise NotFound(f"there is no team {team[:MOST_TEAM_CHARACTERS]!a}")
    return Whose(team or None, own, names)


def asked(visit: Steward, service: Inside, team: Annotated[str, Query(max_length=200)] = "") -> Whose:
    """Return whose work the address asks for."""
    return chosen(visit, service, team)


AskedTeam = Annotated[Whose, Depends(asked)]
