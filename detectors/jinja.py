"""Where Jinja's tags begin and end: outside of them, a template is text that nobody evaluates.

In goes a template, out come its tags, each cut into tokens. Nothing is rendered. A fault that Jinja would refuse makes tags
longer here, never shorter: a tag that does not end, and a comment that does not, reach to the end of the template.

Source: Jinja 3.1, src/jinja2/lexer.py (`Lexer`), with the delimiters that transformers and llama-cpp-python leave as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

BEGIN = re.compile(r"\{[{%#]")

TOKEN = re.compile(r"""\s++|\w++|'(?:[^'\\]|\\.)*+'?|"(?:[^"\\]|\\.)*+"?|.""", re.DOTALL)
"""Blanks, a word, a text in quotes, or one character. What is not closed reaches to the end: no part is looked at twice."""

RAW = re.compile(r"\{%[-+]?\s*+raw\s*+[-+]?%\}")

END_OF_RAW = re.compile(r"\{%[-+]?\s*+endraw\s*+[-+]?%\}")

KEEPS_NO_TEXT = re.compile(
    r"\{\{"
    r"|\{%[-+]?\s*+(?:(?:if|elif|else|endif|endfor|with|endwith|do|break|continue|generation|endgeneration)\b"
    r"|set\b[\w\s.,()]*+="
    r"|for\b(?!.*\brecursive\b))",
    re.DOTALL,
)
"""Tags that leave the text behind them text; a macro, a block, and what is set to all up to `endset` make it a value."""

OPENING, CLOSING = "([{", ")]}"


def tags(template: str) -> Iterator[Sequence[str]]:
    """Yield the tokens of every `{{ … }}` and `{% … %}`, with both delimiters; joined, they are the tag."""
    at = 0
    while begin := BEGIN.search(template, at):
        if begin[0] == "{#":
            stop = template.find("#}", begin.end())
            if stop < 0:
                yield TOKEN.findall(template, begin.start())
                return
            at = stop + 2
            continue
        tokens, at = _tag(template, begin)
        yield tokens
        if RAW.match(template, begin.start()):
            ended = END_OF_RAW.search(template, at)
            at = ended.end() if ended else len(template)


def evaluated(template: str, tags: Sequence[Sequence[str]]) -> str:
    """Return what of *template*, which has these *tags*, is evaluated: they, or all of it where one makes its text a value."""
    texts = ["".join(tokens) for tokens in tags]
    return "\n".join(texts) if all(KEEPS_NO_TEXT.match(text) for text in texts) else template


def _tag(template: str, begin: re.Match[str]) -> tuple[list[str], int]:
    """Return the tokens of the tag that starts at *begin*, and where it stops. Its end counts outside of brackets only."""
    tokens, at, depth = [begin[0]], begin.end(), 0
    end = "}}" if begin[0] == "{{" else "%}"
    while found := TOKEN.match(template, at):
        if not depth and template.startswith(end, at):
            return [*tokens, end], at + len(end)
        token, at = found[0], found.end()
        tokens.append(token)
        depth = max(0, depth + (token in OPENING) - (token in CLOSING))
    return tokens, at
