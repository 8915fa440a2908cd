"""Text of strangers, as it may stand in a line of a terminal or a report.

Names of files, messages of other programs and what models say of themselves may hold anything: ends of lines, colours, moves of
the cursor, halves of characters. In goes such text, out comes one line in which nothing does anything. What pages show has
rules of its own (`worker.api.web.wording`), and so have bytes that are no text (`worker.stranded`).

Law (a test has its name): what comes out is printable and the same again.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return *text* with every character that is not printable escaped as in a Python literal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
