"""What the service leans on, as operators read it: a line for each connection, and what one that is away does to the verdict.

In go connections and the time, out come plain values for the page of operations. Nothing is asked here. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from worker.api.web.format import size
from worker.connections import Connection, Leaned
from worker.figures import NBSP
from worker.health import State, Verdict, clock

NEARLY_FULL_RATIO = 0.1
"""A volume of which less is free is nearly full; so says the alert in deploy/prometheus/rules.yml."""

NAMES: Mapping[Leaned, str] = {
    Leaned.DATABASE: "Database",
    Leaned.BROKER: "Broker",
    Leaned.STORE: "Store",
    Leaned.HOME: "Home",
}
"""How each is called."""

GOES_ON: Mapping[Leaned, str] = {
    Leaned.DATABASE: "Nothing is accepted before it answers; senders keep what they report and send it again.",
    Leaned.BROKER: "Workers look for work themselves until it answers. Nothing is lost.",
    Leaned.STORE: "Attempts that need it pause, and go on by themselves once it answers. Nothing is lost.",
    Leaned.HOME: "Uploads are not taken before it can be written. Nothing that was accepted is lost.",
}
"""What becomes of the work while it is away."""

URGENCY: Sequence[tuple[Leaned, str, str]] = (
    (Leaned.DATABASE, "bad", "is-bad"),
    (Leaned.STORE, "bad", "is-bad"),
    (Leaned.HOME, "bad", "is-bad"),
    (Leaned.BROKER, "warn", "is-warn"),
)
"""What is said first where several are away, and how urgent it is."""


@dataclass(frozen=True, slots=True)
class Line:
    """A connection: its name, where it leads, how it is and below that what is wrong, and the seconds of its answer."""

    name: str
    where: str
    state: State
    below: str
    seconds: float | None


def lines(connections: Sequence[Connection], now: datetime) -> list[Line]:
    """Return a line for each of the *connections*, the worst first."""
    levels = ("is-bad", "is-warn", "")
    return sorted((_line(one, now) for one in connections), key=lambda line: levels.index(line.state.level))


def _line(one: Connection, now: datetime) -> Line:
    where = one.where if one.room is None else f"{one.where}, {_free(one)}"
    if one.trouble is not None:
        below = f"since {clock(one.since, now)}: {one.trouble}"
        return Line(NAMES[one.what], where, State("bad", "is-bad", "Unreachable"), below, None)
    if _is_nearly_full(one):
        return Line(NAMES[one.what], where, State("warn", "is-warn", "Nearly full"), "", one.seconds)
    return Line(NAMES[one.what], where, State("ok", "", "Reachable"), "", one.seconds)


def _free(one: Connection) -> str:
    assert one.room is not None
    return f"{100 * one.room.free_ratio:.0f}{NBSP}% of {size(one.room.size_bytes)} free"


def _is_nearly_full(one: Connection) -> bool:
    return one.room is not None and one.room.free_ratio < NEARLY_FULL_RATIO


def verdict_with(said: Verdict, connections: Sequence[Connection], now: datetime) -> Verdict:
    """Return what is *said* of the work, behind what it leans on where that is away; of what is as bad, that is the cause.

    That the queue is paused stays what is said first: a person wants to find it so.
    """
    down = {one.what: one for one in connections if not one.is_up}
    for what, sign, level in URGENCY:
        if what in down and (level == "is-bad" or not said.level):
            says = f"{down[what].where} cannot be used since {clock(down[what].since, now)}. {GOES_ON[what]}"
            title = f"{NAMES[what]} unreachable"
            if said.is_pause:
                return replace(said, says=f"{said.says} {title}: {says}")
            return Verdict(sign, level, title, f"{says} {said.says}" if said.level else says)
    full = [one for one in connections if _is_nearly_full(one)]
    if full and not said.level:
        says = f"Less than a tenth is free of the volume that {full[0].where} lies on. {said.says}"
        return Verdict("warn", "is-warn", "Nearly full", says)
    return said
