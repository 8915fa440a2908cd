"""Links that open one file of a version for a while, for programs that fetch it without a token.

In go what the link opens and until when, out comes its query; and the other way round. Who knows a link may use it until its
time is over: so it opens one file, and for an hour. The key is the registry's, the same for every server that shares it.

Law (with a test of the same name):
    a link opens the file that it was made for until its time is over, and nothing else.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Depends, Query, Request

from worker.api.problems import Problem
from worker.api.service import Service, service_of

LINK_SECONDS = 3600
"""How long a link may be used: as long as a slow client takes for all files of a list."""

PATH = "/mlModels/files"
UPLOAD_PATH = "/mlModels/uploads"
"""Where the client of the original system takes files from, and where it puts them."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link opens: the file *path*, as it is shown, of a version of a team. Where it *is_upload*, it opens nothing that
    is there: it takes the one file of that upload.
    """

    team: str
    version_id: str
    path: str
    is_upload: bool = False


def link(key: bytes, opened: Opened, now: float) -> str:
    """Return the address below the server's own that opens a file, until an hour after *now*, in seconds since 1970."""
    expires = int(now) + LINK_SECONDS
    where = "/".join(quote(part, safe="") for part in (opened.team, opened.version_id, *opened.path.split("/")))
    query = urlencode({"expires": expires, "signature": _signature(key, opened, expires)})
    return f"{UPLOAD_PATH if opened.is_upload else PATH}/{where}?{query}"


def opens(key: bytes, opened: Opened, expires: int, signature: str, now: float) -> bool:
    """Tell whether a link with this *signature* opens what it says it does, *now*."""
    expected = _signature(key, opened, expires)
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass")) and now < expires


def _signature(key: bytes, opened: Opened, expires: int) -> str:
    text = json.dumps([opened.team, opened.version_id, opened.path, expires, *(["upload"] if opened.is_upload else [])])
    return hmac.new(key, text.encode(), "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Signed:
    """The policy of a route that a link opens. Used as a dependency it gives what the link opens."""

    is_upload: bool = False

    def __call__(
        self,
        request: Request,
        service: Annotated[Service, Depends(service_of)],
        team: str,
        version_id: str,
        path: str,
        expires: Annotated[int, Query(ge=0, lt=1 << 53)] = 0,
        signature: Annotated[str, Query(max_length=100)] = "",
    ) -> Opened:
        opened = Opened(team, version_id, path, self.is_upload)
        if not opens(service.registry.signing_key(), opened, expires, signature, service.clock.now().timestamp()):
            raise Problem(403, "link-over", "this link is not one that was given out, or its time is over; ask for a new one")
        return opened
