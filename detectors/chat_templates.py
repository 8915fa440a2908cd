"""Chat templates: programs in Jinja that come with a tokenizer and run for every conversation.

In goes the text of a template, out comes what it reaches for that no conversation has: the insides of Python, from which any
function can be called. transformers renders templates in a sandbox, llama-cpp-python did not (CVE-2024-34359), and sandboxes
had holes (CVE-2024-56326, CVE-2025-27516). Nothing is rendered, and no grammar followed: names count wherever they stand.
"""

from __future__ import annotations

import re

from detectors.escapes import unescaped
from detectors.facts import Finding, Severity
from detectors.tree import readable

RULE = "chat-template-escape"

INSIDES = re.compile(
    r"__(?:base|bases|bound_function|builtins|call|class|closure|code|context|delattr|dict|func|getattr|getattribute|getitem"
    r"|globals|import|init|init_subclass|loader|module|mro|new|reduce|reduce_ex|self|setattr|spec|subclasses|wrapped)__"
    r"|(?:\.|\[\s*['\"]|\battr\s*\(\s*['\"])\s*__\w"
    r"|_TemplateReference__\w*"
    r"|\b(?:ag|cr|gi)_(?:code|frame)\b|\btb_frame\b|\bf_(?:back|builtins|globals|locals)\b|\bfunc_(?:code|globals)\b"
)
"""Names that lead from any value to the interpreter, and every name of that sort that is asked for."""

PUT_TOGETHER = re.compile(
    r"['\"]__|__['\"]"
    r"|['\"]_['\"]\s*[~+*%]|[~+*%]\s*['\"]_['\"]|\[\s*['\"]_['\"]\s*,"
    r"|(?<!\w)attr\s*\((?!\s*(?:'[^'\\]*'|\"[^\"\\]*\")\s*\))"
    r"|(?<!\w)attr\s*\(\s*['\"]format"
)
"""Pieces of such names, an attribute that is only known while the template runs, and the one with which a sandbox was left."""

SHOWN_BEFORE, SHOWN_BEHIND = 10, 40

ONLY_THEN = "its chat template asks for names that are only known while it is rendered"


def look(template: str, path: str, place: str) -> Finding | None:
    """Return what speaks against *template*, which stands at *place* of the file *path*; None where nothing does."""
    text = unescaped(template)
    if found := INSIDES.search(text):
        message = f"a chat template reaches for the insides of Python: {_shown(text, found)}"
        return Finding(RULE, Severity.HIGH, path, place, message)
    if found := PUT_TOGETHER.search(text):
        message = f"a chat template puts a name together, or asks for one that it made: {_shown(text, found)}"
        return Finding(RULE, Severity.MEDIUM, path, place, message)
    return None


def _shown(text: str, found: re.Match[str]) -> str:
    start, stop = max(0, found.start() - SHOWN_BEFORE), found.start() + SHOWN_BEHIND
    return ("… " if start else "") + repr(readable(text[start:stop])) + (" …" if stop < len(text) else "")
