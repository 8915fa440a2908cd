"""The line that claims are made from, as statements on an open connection; the transaction is `sql`'s.

Teams take turns: what comes gets the turn after its team's last in the line, and no earlier one than the lowest in it, which
is whose turn it is. Only what may be claimed now stands in the line. What pauses has left it (`lifecycle.paused_turn`), and
comes back as if it were new: so a pause earns no right of way over those who came meanwhile, and nobody's place is measured
by a turn of long ago.

Statements are made once: to make one takes as long as to ask it.

Source: P. Goyal, H. M. Vin, H. Cheng, "Start-Time Fair Queueing", SIGCOMM 1996: start tags, and a virtual time that is the tag
of what is served.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, update

from worker import lifecycle
from worker.registry.tables import claimable, ingestions

LET_IN_AT_ONCE = 1000
"""Pauses that one claim looks at; more than one, so that the line grows faster than it is worked off."""


def next_turn(connection: Connection, team: str) -> int:
    """Return the turn of what the team adds to the line: after its last one there, and not before whose turn it is now.

    Two that add at once may get the same turn; then the team is served twice in it, which is fair enough.
    """
    found_last, found_now = connection.execute(NEXT_TURN, {"team": team}).one()
    return max((found_last or 0) + 1, found_now or 1)


def let_in(connection: Connection, now: datetime) -> bool:
    """Give those whose pauses are over their places in the line, in the order in which they ended; tell whether there are any.

    Reads one row of an index where there is none. Two that let in at once let in different ones.
    """
    waiting = defaultdict(list)
    for sequence, team in connection.execute(OVER, {"until": lifecycle.paused_turn(now)}):
        waiting[team].append(sequence)
    for team, sequences in waiting.items():
        first = next_turn(connection, team)
        connection.execute(ADD, [{"row": row, "new_turn": first + place} for place, row in enumerate(sequences)])
    return bool(waiting)


IN_LINE = ingestions.c.turn < lifecycle.PAUSED

NEXT_TURN = select(
    select(func.max(ingestions.c.turn)).where(claimable(), IN_LINE, ingestions.c.team == bindparam("team")).scalar_subquery(),
    select(func.min(ingestions.c.turn)).where(claimable(), IN_LINE).scalar_subquery(),
)

IS_PAUSE_OVER = claimable(), ingestions.c.turn >= lifecycle.PAUSED, ingestions.c.turn <= bindparam("until")

ARE_PAUSES_OVER = select(ingestions.c.sequence).where(*IS_PAUSE_OVER).correlate(None).exists().label("are_pauses_over")
"""Whether there is somebody to let in, as a column of another statement; reads one row of an index."""

OVER = (
    select(ingestions.c.sequence, ingestions.c.team)
    .where(*IS_PAUSE_OVER)
    .order_by(ingestions.c.turn, ingestions.c.sequence)
    .limit(LET_IN_AT_ONCE)
    .with_for_update(skip_locked=True)
)

ADD = update(ingestions).where(ingestions.c.sequence == bindparam("row")).values(turn=bindparam("new_turn"))
