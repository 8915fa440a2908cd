"""One fault of the table: what was done, what is wanted, and what was seen."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = ("| fault | wanted | seen | safe | met |", "|---|---|---|---|---|")


@dataclass(frozen=True, slots=True)
class Row:
    """is_safe tells whether the promise was kept: nothing lost, done twice, or left over. is_met: and the figures
    as well, which a machine that others use too may miss.
    """

    fault: str
    wanted: str
    seen: str
    is_safe: bool
    is_met: bool

    def __str__(self) -> str:
        verdicts = ("yes" if verdict else "**no**" for verdict in (self.is_safe, self.is_safe and self.is_met))
        return f"| {' | '.join((self.fault, self.wanted, self.seen, *verdicts))} |"
