"""The name of a place on object storage: `s3://bucket/key`, where the key is taken as it stands.

In goes text that others wrote, out comes a bucket and a key whose parts are names. Nothing is percent-decoded: what stands
in the URL is what the key holds, as every tool that copies `s3://` takes it.

Laws (each has a test of the same name):
    the text of a place leads back to it;
    no part of a key is empty, "." or "..".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEME = "s3://"

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
"""Names that any server takes, those of the first years too. Source: Amazon S3 User Guide, bucket naming rules."""

MAX_KEY_BYTES = 1024
"""Length of a key in UTF-8. Source: Amazon S3 User Guide, object key naming."""


@dataclass(frozen=True, slots=True)
class S3Url:
    """A bucket and a key in it, without slashes at its ends; the empty key is the whole bucket."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}" if self.key else f"{SCHEME}{self.bucket}"


def is_s3(text: str) -> bool:
    """Tell whether *text* is meant as a place on object storage."""
    return text.lower().startswith(SCHEME)


def parse_s3(text: str) -> S3Url:
    """Return the place that *text* names; slashes at its end do not matter.

    Raises:
        ValueError: it names none, or one that a folder could not mirror; the message says why, and leaves *text* to the
            caller.
    """
    if not text.startswith(SCHEME):
        raise ValueError("expected s3://BUCKET/KEY")
    bucket, _, key = text.removeprefix(SCHEME).partition("/")
    if not BUCKET.fullmatch(bucket):
        raise ValueError("expected the name of a bucket after s3://")
    key = key.rstrip("/")
    try:
        length = len(key.encode())
    except UnicodeEncodeError as exc:
        raise ValueError("expected a key in UTF-8") from exc
    if length > MAX_KEY_BYTES:
        raise ValueError(f"expected a key of at most {MAX_KEY_BYTES} bytes; it has {length}")
    trouble = odd_part(key) if key else None
    if trouble is not None:
        raise ValueError(f"expected a key whose parts are names; {trouble}")
    return S3Url(bucket, key)


def odd_part(key: str) -> str | None:
    """Return what in *key* cannot be the name of a folder or file, None where nothing is."""
    if "\0" in key:
        return "it holds a zero byte"
    odd = next((part for part in key.split("/") if part in ("", ".", "..")), None)
    if odd is None:
        return None
    return f"one of its parts is {odd!r}" if odd else "one of its parts is empty"
