"""A client of the API in the same process, by httpx."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
from fastapi import FastAPI

HERE = "http://127.0.0.1:8000"


class Client:
    """Sends requests to *app* with these headers, one after the other but for `post_at_once`."""

    def __init__(self, app: FastAPI, headers: Mapping[str, str] | None = None, base_url: str = HERE) -> None:
        self.app = app
        self.headers = dict(headers or {})
        self.base_url = base_url

    def with_token(self, secret: str) -> Client:
        """Return a client that brings the token *secret*."""
        return Client(self.app, {"Authorization": f"Bearer {secret}"}, self.base_url)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return self.request("POST", path, json=json, **more)

    def post_at_once(self, path: str, json: Any, times: int) -> list[httpx.Response]:
        """Send the same request so many times at once, as a server meets them: in one event loop."""

        async def post_all() -> list[httpx.Response]:
            return await asyncio.gather(*(self._request("POST", path, json=json) for _ in range(times)))

        return asyncio.run(post_all())

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, **more))

    async def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url=self.base_url, headers=self.headers) as client:
            return await client.request(method, path, **more)
