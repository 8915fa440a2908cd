"""How text and tables fit the width of a terminal.

In go texts and cells, out come Rich renderables that break between words, after the folders of a path, or between the items of
a list, and cut a word only where it is longer than the line. What a table has no room for is shown as entries of two lines,
whole. What is shown, and in which words, is left to `terminal`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WORDS = re.compile(r"[^ /]*(?:/+| +|$)")
"""A piece of text that is not broken: a word, or the name of a folder."""

ITEMS = re.compile(r"(?:\[[^\]]{0,200}\]|.)*?(?:, |$)")
"""An item of a list; a comma in brackets is part of it: `x: float32[?, 8], y: int64[?]` has two."""

FIELDS = re.compile(r".*?(?: · |$)")
"""A field of an entry, with its name."""

KEEP_WHOLE = ("ID", "TYPE", "STATE", ">SIZE", "REGISTERED", ">VALUE", ">STEP", "SHA-256", "AT", "REASON")
"""Columns whose cells are never broken over lines."""

NOTHING = "–"
"""What a cell shows where there is no value."""

FAR = 10_000
"""Columns of a terminal that is wide enough for every table; only measured with, never written to."""

INDENT = 4
"""Columns by which the second line of an entry stands in."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is broken between pieces where the terminal is narrower."""

    text: Text
    piece: re.Pattern[str] = WORDS

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield broken(self.text, options.max_width, self.piece)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        longest = max((cell_len(piece.rstrip()) for piece in self.piece.findall(self.text.plain)), default=0)
        return Measurement(longest, self.text.cell_len).with_maximum(options.max_width)


def broken(text: Text, width: int, piece: re.Pattern[str] = WORDS) -> Text:
    """Return *text* in lines of at most *width* columns, broken between pieces, and in a piece that is wider between words.

    Only a word that is wider than *width* stands on a line that is wider.
    """
    plain, start, cuts = text.plain, 0, []
    for found in piece.finditer(plain):
        if found[0] and found.start() > start and cell_len(plain[start : found.end()].rstrip()) > width:
            start = found.start()
            cuts.append(start)
    return Text("\n").join(_fitted(line, width, piece) for line in text.divide(cuts))


def _fitted(line: Text, width: int, piece: re.Pattern[str]) -> Text:
    line.rstrip()
    return broken(line, width) if piece is not WORDS and line.cell_len > width else line


def table(*columns: str) -> Table:
    """Return an empty table without lines; a column whose name begins with `>` holds numbers."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        made.add_column(name.removeprefix(">"), justify=justify, overflow="fold", no_wrap=name in KEEP_WHOLE)
    return made


def print_rows(console: Console, rows: Sequence[Mapping[str, Text]], head: Collection[str]) -> None:
    """Print *rows*, at least one, as a table where it fits; otherwise each as an entry of its *head* and, below, the rest."""
    whole = table(*rows[0])
    for row in rows:
        whole.add_row(*row.values())
    if console.measure(whole, options=console.options.update(max_width=FAR)).maximum <= console.width:
        console.print(whole)
        return
    for row in rows:
        console.print(Line(Text("  ").join(cell for name, cell in row.items() if name in head)))
        console.print(Padding(Line(_rest(row, head), FIELDS), (0, 0, 0, INDENT), expand=False))


def _rest(row: Mapping[str, Text], head: Collection[str]) -> Text:
    """Return the cells that are not in the *head* and not empty, each after the name of its column."""
    named = [(name, cell) for name, cell in row.items() if name not in head and cell.plain not in ("", NOTHING)]
    return Text(" · ").join(Text.assemble((name.removeprefix(">").lower(), "dim"), " ", cell) for name, cell in named)
