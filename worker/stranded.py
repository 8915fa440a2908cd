"""A message that a worker could not use, as it is kept for a person to look at: its bytes, never what they mean. Pure.

What Redis keeps of one is a line of JSON with its bytes in base64 (`wrapped`). What an earlier release kept, or anybody else
left in the list, is taken for the bytes themselves.

Laws (each has a test of the same name):
    any bytes are kept and given back up to their bound;
    whatever lies there can be shown;
    a preview has no character that does anything.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1

MAX_KEPT_BYTES = 64 << 10
"""Bytes that are kept of one message; the rest is dropped."""

SET_ASIDE = "modelport.quarantine"
"""Where messages are kept that could not be used: a list in Redis, the newest first, each `wrapped`; a queue in RabbitMQ. The
name stays: RabbitMQ refuses a queue whose dead letters are to go elsewhere than when it was made.
"""

COUNTER = "modelport.quarantined"
"""Where Redis counts how many messages were ever set aside."""

MAX_KEPT = 1000
"""Messages that are kept; older ones are dropped."""

MAX_WRAPPED_BYTES = 2 * MAX_KEPT_BYTES
"""Bytes of a kept message in its wrapping, at most; more is none of ours, and not read."""

MAX_WHY_CHARACTERS = 500

MAX_SIZE_BYTES = 1 << 40
"""No broker takes a message of this size; what claims it was not wrapped by us."""

PREVIEW_BYTES = 256
"""Bytes of a message that a preview shows."""

MARK = "modelport.stranded"


@dataclass(frozen=True, slots=True)
class Stranded:
    """One message. at is when it was set aside, queue where it had been, why what was wrong with it; size is that of all of it.
    Each is None where nobody noted it. body are its first bytes, `MAX_KEPT_BYTES` at most.
    """

    id: str
    at: datetime | None
    queue: str | None
    why: str | None
    size: int | None
    body: bytes

    @property
    def preview(self) -> str:
        """Its first bytes as text in which nothing does anything; an ellipsis where there are more."""
        shown = visible(self.body[:PREVIEW_BYTES])
        return shown + ("…" if len(self.body) > PREVIEW_BYTES else "")


@dataclass(frozen=True, slots=True)
class Aside:
    """Messages that were set aside, the newest first; kept is how many there are, these and others. ever is how many there ever
    were, None where nobody counts. broker is where they are, None where there is none.
    """

    messages: tuple[Stranded, ...]
    kept: int
    ever: int | None
    broker: str | None


def visible(body: bytes) -> str:
    """Return *body* as printable ASCII; all else, and the backslash itself, is escaped as in a Python literal."""
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else ESCAPES.get(byte, f"\\x{byte:02x}") for byte in body)


ESCAPES = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}


def wrapped(body: bytes, queue: str, why: str, now: datetime) -> bytes:
    """Return what is kept of a message: `unwrapped` gives it back."""
    told = {
        MARK: 1,
        "at": now.astimezone(UTC).isoformat(timespec="microseconds"),
        "queue": queue,
        "why": why[:MAX_WHY_CHARACTERS],
        "size": len(body),
        "body": base64.b64encode(body[:MAX_KEPT_BYTES]).decode("ascii"),
    }
    return json.dumps(told).encode("ascii")


def unwrapped(kept: bytes, size: int | None = None, id: str | None = None) -> Stranded:
    """Return the message that *kept* is what is left of; *size* and *id* are those of what is kept, where it was cut."""
    known = id or identity(kept)
    try:
        told = json.loads(kept) if kept.startswith(b'{"' + MARK.encode()) else {}
        at, whole = _moment(told["at"]), int(told["size"])
        if not 0 <= whole < MAX_SIZE_BYTES:
            raise ValueError("expected the size of a message")
        body = base64.b64decode(told["body"], validate=True)
        return Stranded(known, at, _text(told["queue"]), _text(told["why"]), whole, body[:MAX_KEPT_BYTES])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, binascii.Error):
        return Stranded(known, None, None, None, len(kept) if size is None else size, kept[:MAX_KEPT_BYTES])


def _moment(written: str) -> datetime:
    """Return a moment with its offset, in UTC; one that names none is taken for UTC."""
    at = datetime.fromisoformat(written)
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)


def _text(said: object) -> str:
    """Return *said* as text that can be written as UTF-8, no longer than what we write."""
    return str(said)[:MAX_WHY_CHARACTERS].encode("utf-8", "backslashreplace").decode()


def identity(kept: bytes) -> str:
    """Return what a person names a message by: equal ones have the same. It is no secret, and protects nothing."""
    return sha1(kept, usedforsecurity=False).hexdigest()
