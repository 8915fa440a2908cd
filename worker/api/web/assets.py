"""What pages are made with and what never changes under its address: style, script, icon.

An address holds the digest of the file, so a browser may keep it for good, and a new release has new addresses.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Response

from worker.api.auth import PUBLIC
from worker.api.problems import Problem

FOLDER = Path(__file__).parent / "static"

TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
"""What is served; other files that lie there are for readers of the source."""

DIGEST_CHARACTERS = 16

KEEP = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, its type, and the address that holds its digest."""

    content: bytes
    media_type: str
    address: str


def _assets() -> dict[str, Asset]:
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]
            found[path.name] = Asset(content, TYPES[path.suffix], f"/static/{digest}/{path.name}")
    return found


ASSETS = _assets()

router = APIRouter(tags=["page"], dependencies=[PUBLIC])


def static(name: str) -> str:
    """Return the address of the file *name*.

    Raises:
        KeyError: there is none.
    """
    return ASSETS[name].address


@router.get("/static/{digest}/{name}", include_in_schema=False)
async def asset(digest: str, name: str) -> Response:
    """Give a file, of this release alone."""
    found = ASSETS.get(name)
    if found is None or found.address != f"/static/{digest}/{name}":
        raise Problem(404, "not-found", "there is no such file in this release")
    return Response(found.content, headers={"Cache-Control": KEEP}, media_type=found.media_type)
