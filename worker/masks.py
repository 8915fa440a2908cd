"""What secrets look like in a text, and the text without them: for logs, and for what an error says that people are shown.

Nobody tells a secret in the first place; this is for those that an error of a library or a stranger's path brings along. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

OPENS = ("signature", "credential", "token", "secret", "password", "sig", "once")
"""What the parameters of an address are called that open something."""

SECRETS: Sequence[tuple[Sequence[str], re.Pattern[str], str]] = (
    (("@",), re.compile(r"://[^\s/@'\"\\]+@"), "://***@"),
    (("mp_",), re.compile(r"\bmp_[A-Za-z0-9]{20,}"), "mp_***"),
    (("bearer ", "basic "), re.compile(r"(?i)\b(bearer|basic) [A-Za-z0-9._~+/=-]{8,}"), r"\1 ***"),
    (
        [f"{name}=" for name in OPENS],
        re.compile(rf"(?i)({'|'.join(OPENS[:-2])}|\bsig|\bonce)=[^&\s'\"\\]+"),
        r"\1=***",
    ),
)
"""What passwords in addresses, our own tokens, headers that open something, and signed links look like; each with what must
stand in a line, in small letters, before it is worth a closer look, which takes fifty times as long."""


def masked(text: str) -> str:
    """Return *text* without what looks like a secret in it."""
    lowered = text.lower()
    for hints, pattern, mask in SECRETS:
        if any(hint in lowered for hint in hints):
            text = pattern.sub(mask, text)
    return text
