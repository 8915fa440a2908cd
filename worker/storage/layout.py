"""How a store names what it keeps: `<team>/<project>/<experiment or uploads>/<version id>/model/<path of the file>`.

In go keys and listed paths, which others wrote; out come names and URLs that stay where they belong. Nothing reads a key
back from a name: the registry knows the URL of every version.

Laws (each has a test of the same name):
    no two names become the same part;
    a part is a plain file name of at most `MAX_PART_BYTES`, whatever the name holds;
    a URL leads back to its parts;
    no other text leads to parts.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote

from worker.errors import StorageUnavailable
from worker.records import StoreKey

UPLOADS = "uploads"
"""Stands in place of the experiment for what no experiment made."""

MODEL = "model"
"""The folder of a version in which its files lie, once all of them do."""

PREFIX_PARTS = 4
"""Team, project, experiment, version."""

MAX_PART_BYTES = 128
"""A longer part is cut and ends in a digest. File systems take 255 bytes, and paths of 4,096 must hold four parts."""

UNSAFE = re.compile(rb"[^A-Za-z0-9._-]")
DOT = re.compile(rb"\.")
PART = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._%~-]{1,128}")

Parts = tuple[str, ...]
"""The folders from the root of a store down to a version."""


def prefix_parts(key: StoreKey) -> Parts:
    """Return the folders of the version that *key* names."""
    experiment = UPLOADS if key.experiment is None else safe_part(key.experiment)
    return safe_part(key.team), safe_part(key.project), experiment, safe_part(key.version_id)


def safe_part(name: str) -> str:
    """Return *name* as one plain path component, another one for every other name.

    Letters, digits, `.`, `_` and `-` stay; other bytes of its UTF-8 are percent-escaped, and so are the dots of "." and
    "..". The empty name is "%". What is longer than `MAX_PART_BYTES` is cut and followed by "~" and a digest of the whole.
    """
    raw = name.encode("utf-8", "surrogatepass")
    unsafe = DOT if name in (".", "..") else UNSAFE
    escaped = unsafe.sub(lambda found: b"%%%02X" % ord(found[0]), raw).decode("ascii") or "%"
    if len(escaped) <= MAX_PART_BYTES:
        return escaped
    digest = hashlib.sha256(raw).hexdigest()
    return f"{escaped[: MAX_PART_BYTES - len(digest) - 1]}~{digest}"


def is_part(name: str) -> bool:
    """Tell whether *name* can be one that `safe_part` gave."""
    return PART.fullmatch(name) is not None


def url_of(root_url: str, parts: Parts) -> str:
    """Return the URL of the files of the version at *parts*."""
    return "/".join((root_url, *map(quote, parts), MODEL))


def parts_of(root_url: str, url: str) -> Parts:
    """Return the parts that `url_of` made *url* from.

    Raises:
        StorageUnavailable: it was not made by `url_of` with this root.
    """
    parts = tuple(unquote(part) for part in url.removeprefix(root_url + "/").split("/")[:-1])
    if len(parts) != PREFIX_PARTS or not all(map(is_part, parts)) or url_of(root_url, parts) != url:
        raise StorageUnavailable(
            f"{url}: not a version in the store at {root_url}; let MODELPORT_STORE_URL name the store it is in"
        )
    return parts


def file_parts(path: str) -> list[str]:
    """Return the folders and the name of a listed file.

    Raises:
        ValueError: a part is empty, "." or "..", or holds a zero character; no listing has such a path.
    """
    parts = path.split("/")
    if "\0" in path or not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError(f"not the path of a listed file: {path!r}")
    return parts
