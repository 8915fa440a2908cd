"""What a text in quotes means: letters written as numbers, which Python, Jinja, YAML and TorchScript all take."""

from __future__ import annotations

import re

ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{1,3})|N\{((?i:LOW LINE))\}"
    r"|((?:\r\n|[\r\n\x85\u2028\u2029])[ \t]*))"
)
"""By its group: in base 16 three times, in base 8, the underscore by its name, the end of a line."""

LAST_CHARACTER = 0x10FFFF


def unescaped(text: str) -> str:
    """Return *text* with every letter that is written as a number in its place, and lines that go on joined.

    Other escapes stay as they are, and nothing is decoded twice. What is not in quotes is read so, too, and what stands behind
    an escaped backslash: a reader that looks for words finds more of them, never fewer.
    """
    return ESCAPE.sub(_meant, text) if "\\" in text else text


def _meant(found: re.Match[str]) -> str:
    *hexadecimal, octal, name, line = found.groups()
    if name:
        return "_"
    if line:
        return ""
    digits = next((one for one in hexadecimal if one), None)
    code = int(digits, 16) if digits else int(octal, 8) if octal else None
    return found[0] if code is None or code > LAST_CHARACTER else chr(code)
