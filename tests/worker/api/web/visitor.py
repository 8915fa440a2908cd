"""A browser without a window, in the same process: it keeps its cookie, says where its forms come from, and reads pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI

from tests.worker.api.client import HERE, Client
from worker.api.web.sessions import COOKIE

FORM = "application/x-www-form-urlencoded"
OURS = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}


class Visitor:
    """Somebody with a browser."""

    def __init__(self, app: FastAPI, base_url: str = HERE) -> None:
        self._client = Client(app, {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, base_url)
        self.cookie: str | None = None

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Go to *path*, and no further where it leads on."""
        return self._kept(self._client.get(path, headers=headers | self._brought()))

    def part(self, path: str) -> httpx.Response:
        """Ask for a part of a page as htmx does."""
        return self.get(path, **{"HX-Request": "true"})

    def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] = OURS) -> httpx.Response:
        """Send a form."""
        told = {"Content-Type": FORM} | dict(headers) | self._brought()
        return self._kept(self._client.request("POST", path, content=urlencode(fields), headers=told))

    def sign_in(self, secret: str, then: str = "/") -> httpx.Response:
        return self.post("/sign-in", {"token": secret, "then": then})

    def csrf(self) -> str:
        """Return what the forms of a page bring."""
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.get("/").text)
        assert found is not None
        return found[1]

    def _brought(self) -> dict[str, Any]:
        return {} if self.cookie is None else {"Cookie": f"{COOKIE}={self.cookie}".encode()}

    def _kept(self, answer: httpx.Response) -> httpx.Response:
        set_cookie: SimpleCookie = SimpleCookie(answer.headers.get("set-cookie", ""))
        if COOKIE in set_cookie:
            self.cookie = set_cookie[COOKIE].value or None
        return answer


def seen(answer: httpx.Response) -> Any:
    """Return status and heading of a page."""
    heading = re.search(r"<h1>(.*?)</h1>", answer.text, re.DOTALL)
    return answer.status_code, None if heading is None else heading[1].strip()
