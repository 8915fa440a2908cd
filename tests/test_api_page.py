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
from worker.api.problems import OLD_FACES
from worker.registry.memory import MemoryRegistry

DOCS = Path(__file__).parents[1] / "docs"
FACES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("api.md", "gradient.md", "page.md")}
PAGE = FACES["api.md"]
CALL = [sys.executable, "-c", "from worker.cli import main; main()"]


def told_by(page: str) -> dict[str, list[str]]:
    """Return the routes that *page* names, and the scopes that open each."""
    rows = re.findall(r"^\| `([A-Z]+ /[^`]*)` \| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE)
    return {request: re.findall(r"`([^`]+)`", scopes) for request, scopes in rows}


def face_of(route: APIRoute) -> str:
    """Return the page of the documentation that tells of *route*."""
    return "gradient.md" if route.path.startswith(OLD_FACES) else "page.md" if "page" in route.tags else "api.md"


def test_each_page_names_every_route_of_its_face_and_the_scopes_that_open_it() -> None:
    routes: dict[str, dict[str, list[str]]] = {name: {} for name in FACES}
    for route in make_app(Door(MemoryRegistry()).service).routes:
        assert isinstance(route, APIRoute)
        policy, face = policy_of(route), face_of(route)
        if not (face == "gradient.md" and route.path.endswith("/")):
            for method in route.methods or ():
                scopes = sorted(policy.scopes) if isinstance(policy, Policy) else []
                routes[face][f"{method} {route.path_format}"] = scopes
    assert {name: told_by(page) for name, page in FACES.items()} == routes


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
