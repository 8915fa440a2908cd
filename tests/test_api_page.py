"""docs/api.md is kept true: it names every route with its scopes, and its example is sent to a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from tests.servers.process import free_port, until
from tests.worker.api.conftest import Door
from worker.api.app import make_app
from worker.api.auth import Policy, policy_of
from worker.registry.memory import MemoryRegistry

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
CALL = [sys.executable, "-c", "from worker.cli import main; main()"]


def test_the_page_names_every_route_and_the_scopes_that_open_it() -> None:
    told = {}
    for request, scopes in re.findall(r"^\| `([A-Z]+ /[^`]*)` \| ([^|]+) \| [^|]+ \|$", PAGE, re.MULTILINE):
        told[request] = re.findall(r"`([^`]+)`", scopes)
    routes = {}
    for route in make_app(Door(MemoryRegistry()).service).routes:
        assert isinstance(route, APIRoute)
        policy = policy_of(route)
        for method in route.methods or ():
            routes[f"{method} {route.path_format}"] = sorted(policy.scopes) if isinstance(policy, Policy) else []
    assert told == routes


@pytest.mark.skipif(shutil.which("curl") is None and "CI" not in os.environ, reason="curl is not on the path")
def test_the_example_is_accepted_by_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPORT_HOME", str(tmp_path / "home"))
    port = free_port()
    example = PAGE.split("```sh\n")[1].split("```")[0]
    assert "http://127.0.0.1:8000" in example
    server = subprocess.Popen([*CALL, "api", "--port", str(port)], env=dict(os.environ), stderr=subprocess.DEVNULL)
    try:
        assert until(lambda: is_ready(port), 30)
        sent = subprocess.run(example.replace(":8000", f":{port}"), shell=True, capture_output=True, text=True, check=True)
        answer = json.loads(sent.stdout)
        assert (answer["state"], answer["known"]) == ("received", False)
        [row] = httpx.get(f"http://127.0.0.1:{port}/v1/ingestions").json()["ingestions"]
        assert (row["id"], row["experimentId"], row["projectId"]) == (answer["id"], "mnist-7", "digits")
    finally:
        server.terminate()
        server.wait(20)


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.HTTPError:
        return False
