"""Chat templates: programs in Jinja that come with a tokenizer and run for every conversation.

In goes the text of a template, out comes what it reaches for that no conversation has: the insides of Python, from which any
function can be called. transformers renders templates in a sandbox, llama-cpp-python did not (CVE-2024-34359), and sandboxes
had holes (CVE-2024-56326, CVE-2025-27516). Nothing is rendered: names count wherever they stand in a tag, and in text that
a tag makes a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from detectors import jinja
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

NUMBERS_OR_LISTS = ("count", "int", "length", "list", "reject", "rejectattr", "select", "selectattr")
"""Filters that make no text: `messages[messages | length - 1]`."""

NO_VALUES = ("and", "do", "elif", "else", "if", "in", "is", "not", "or", "print")
"""Words behind which a bracket opens a list, not a subscript."""

ASKING = ("attribute", "groupby", "map")
"""Words of filters behind which the name of an attribute stands."""

LITERAL = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"|\d+")

SHOWN_BEFORE, SHOWN_BEHIND = 10, 40

ONLY_THEN = "its chat template asks for names that are only known while it is rendered"


def look(template: str, path: str, place: str) -> Finding | None:
    """Return what speaks against *template*, which stands at *place* of the file *path*; None where nothing does."""
    tags = list(jinja.tags(template))
    text = unescaped(jinja.evaluated(template, tags))
    if found := INSIDES.search(text):
        message = f"a chat template reaches for the insides of Python: {_shown(text, found.start())}"
        return Finding(RULE, Severity.HIGH, path, place, message)
    found = PUT_TOGETHER.search(text)
    if made := (text, found.start()) if found else next(filter(None, map(_made, tags)), None):
        message = f"a chat template puts a name together, or asks for one that it made: {_shown(*made)}"
        return Finding(RULE, Severity.MEDIUM, path, place, message)
    return None


def _made(tag: Iterable[str]) -> tuple[str, int] | None:
    """Return *tag* without blanks, and where it asks for something by a name that it makes; None where it does not."""
    tokens = [word for word in tag if not word.isspace()]
    subscripts = [False]
    for n, word in enumerate(tokens):
        if word in jinja.OPENING:
            subscripts.append(subscripts[-1] or (word == "[" and _is_value(tokens[n - 1])))
        elif word in jinja.CLOSING:
            del subscripts[max(1, len(subscripts) - 1) :]
        elif (subscripts[-1] and _makes_text(tokens, n)) or (word in ASKING and _asks_for_made(tokens[n : n + 4])):
            return "".join(tokens), len("".join(tokens[:n]))
    return None


def _is_value(word: str) -> bool:
    """Whether a bracket behind *word* opens a subscript."""
    return (word[-1].isalnum() or word[-1] in "_'\")]}") and word not in NO_VALUES


def _makes_text(tokens: Sequence[str], n: int) -> bool:
    """Whether the token *n* joins texts, or is a filter that may make one. Texts side by side are joined, too."""
    before, word = tokens[n - 1], tokens[n]
    return word == "~" or (before == "|" and word not in NUMBERS_OR_LISTS) or (word[0] in "'\"" and before[-1] in "'\"")


def _asks_for_made(tokens: Sequence[str]) -> bool:
    """Whether *tokens* start with a filter's argument that names an attribute, or another filter, and is no plain literal."""
    word, *rest = tokens
    if word == "attribute" and rest[:1] == ["="] and rest[1:2] != ["="]:
        return not (LITERAL.fullmatch("".join(rest[1:2])) and "".join(rest[2:3]) in (",", ")"))
    if word != "attribute" and rest[:1] == ["("] and rest[1:2] != ["attribute"]:
        name = "".join(rest[1:2])
        return not (LITERAL.fullmatch(name) and "".join(rest[2:3]) in (",", ")")) or name[1:-1] == "attr"
    return False


def _shown(text: str, at: int) -> str:
    start, stop = max(0, at - SHOWN_BEFORE), at + SHOWN_BEHIND
    return ("… " if start else "") + repr(readable(text[start:stop])) + (" …" if stop < len(text) else "")
