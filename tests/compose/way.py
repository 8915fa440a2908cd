"""One completion through the running services: reported over HTTP with a token, rung by Redis, done by the worker."""

from __future__ import annotations

import shutil

import httpx

from tests.compose.bare import Stack
from tests.compose.file import ROOT
from tests.servers.process import until

DONE_SECONDS = 90.0


def bring_one_through(stack: Stack, experiment: str) -> str:
    """Report *experiment* with the example's files, wait for its end, and return the state that it ended in."""
    shutil.copytree(ROOT / "examples" / "digits", stack.folder / "runs" / "default" / experiment)
    token = stack.ours("modelport", "token", "create", "compose", "--scope", "completion:write", "--scope", "model:read")
    with httpx.Client(base_url=stack.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        told = client.post("/v1/completions", json={"experimentId": experiment, "modelPath": "/artifacts"})
        told.raise_for_status()
        where = f"/v1/ingestions/{told.json()['id']}"
        until(lambda: client.get(where).json()["state"] not in ("received", "waiting", "running"), DONE_SECONDS)
        return str(client.get(where).json()["state"])
