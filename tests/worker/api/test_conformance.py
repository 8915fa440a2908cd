"""The API against its own description: programs that know nothing but `/openapi.json` ask a real server.

schemathesis makes up requests for every operation, such as are described and such as are not, one after the other and in the
order that links between them suggest; what it is not to ask, and why, stands in `schemathesis.toml`. A client is generated
and used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from tests.worker.api.conftest import Door
from tests.worker.api.shelf import put, serving
from worker.api.app import make_app
from worker.api.auth import Policy, policy_of
from worker.api.limits import Rates
from worker.api.schemas import BODIES
from worker.registry.memory import MemoryRegistry
from worker.registry.sql import SqlRegistry

RULES = Path(__file__).with_name("schemathesis.toml")
BIN = Path(sys.executable).parent
EXAMPLES = os.environ.get("EXAMPLES", "20")
"""Requests that are made up for an operation; `make conformance` takes more."""

OPERATIONS = """
report_completion ask_for_rescan
list_ingestions show_ingestion retry_ingestions discard_ingestions retry_ingestion discard_ingestion show_queue
pause_queue resume_queue list_undecodable discard_undecodable
list_deliveries list_audit
list_models show_model change_model show_totals
list_versions show_version change_version delete_version release_version show_report show_manifest show_bill show_difference
list_files download_file download_all upload_model
list_projects create_project rename_project
livez readyz show_metrics
""".split()
"""What clients call the operations: who changes one breaks them."""

Operation = dict[str, Any]


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The description, as a server gives it."""
    found: dict[str, Any] = Door(MemoryRegistry()).client().get("/openapi.json").json()
    return found


@pytest.fixture
def operations(described: dict[str, Any]) -> dict[tuple[str, str], Operation]:
    """Each operation by method and path."""
    found = described["paths"].items()
    return {(method.upper(), path): one for path, methods in found for method, one in methods.items()}


def strings_in(schema: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every place in *schema* that takes text."""
    if isinstance(schema, list):
        for at, one in enumerate(schema):
            yield from strings_in(one, f"{where}[{at}]")
    if isinstance(schema, dict):
        if "string" in (schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]):
            yield where, schema
        for key, one in schema.items():
            yield from strings_in(one, f"{where}.{key}")


def test_operations_have_the_names_that_clients_know(operations: dict[tuple[str, str], Operation]) -> None:
    assert sorted(one["operationId"] for one in operations.values()) == sorted(OPERATIONS)


def test_an_operation_tells_the_scopes_of_its_route(operations: dict[tuple[str, str], Operation]) -> None:
    told = {key: (one.get("x-scopes"), one.get("security")) for key, one in operations.items()}
    kept: dict[tuple[str, str], Any] = {}
    for route in make_app(Door(MemoryRegistry()).service).routes:
        assert isinstance(route, APIRoute)
        policy = policy_of(route)
        for method in (route.methods or set()) if route.include_in_schema else set():
            is_asked = isinstance(policy, Policy)
            scopes = sorted(policy.scopes) if isinstance(policy, Policy) else None
            kept[method, route.path_format] = scopes, [{"bearer": []}, {"apiKey": []}] if is_asked else None
    assert told == kept


def test_every_text_that_is_taken_has_an_end(operations: dict[tuple[str, str], Operation]) -> None:
    ends = {"maxLength", "enum", "const", "format"}
    taken: dict[Any, Any] = {key: [one.get("parameters"), one.get("requestBody")] for key, one in operations.items()}
    taken |= BODIES
    endless = [(key, where) for key, one in taken.items() for where, schema in strings_in(one) if not ends & set(schema)]
    assert endless == []


def test_every_answer_has_a_shape(operations: dict[tuple[str, str], Operation]) -> None:
    answers = [(key, status, one) for key, op in operations.items() for status, one in op["responses"].items()]
    shapeless = [
        (key, status)
        for key, status, one in answers
        if "$ref" not in one and status != "204" and not all(shape.get("schema") for shape in one["content"].values())
    ]
    assert shapeless == []


def test_what_any_request_may_be_answered_is_described_once(described: dict[str, Any]) -> None:
    shared = described["components"]["responses"]
    assert sorted(shared) == ["Problem400", "Problem408", "Problem414", "Problem429", "Problem431", "Problem500"]
    report = described["paths"]["/v1/completions"]["post"]["responses"]
    assert report["408"] == {"$ref": "#/components/responses/Problem408"}
    assert "429" not in described["paths"]["/livez"]["get"]["responses"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/versions/mo1", "DELETE, GET, PATCH"),
        ("/v1/projects", "GET, POST"),
        ("/v1/ingestions/retry", "POST"),
        ("/livez", "GET"),
    ],
)
def test_a_method_that_is_not_taken_is_answered_with_all_that_are(path: str, allowed: str) -> None:
    answer = Door(MemoryRegistry()).client().request("OPTIONS", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.fixture
def shelved(sqlite: Callable[[], SqlRegistry]) -> Door:
    """A door on SQLite that turns nobody away for coming often, with three versions and a job that waits."""
    door = Door(sqlite(), rates=Rates(0, 0, 0))
    for number in range(3):
        put(door, f"run-{number}", {"model.onnx": b"1" * number, "a b/c": b""})
    door.admin().post("/v1/completions", {"experimentId": "waits"})
    return door


@pytest.mark.slow
def test_the_api_keeps_what_it_describes(shelved: Door, tmp_path: Path) -> None:
    header = f"Authorization: Bearer {shelved.token('admin')}"
    with serving(shelved) as client:
        address = str(client.base_url).rstrip("/")
        asked = [str(BIN / "schemathesis"), "--config-file", str(RULES), "run", address + "/openapi.json"]
        done = subprocess.run(
            [*asked, "--header", header, "--max-examples", EXAMPLES, "--seed", "1"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60 + 30 * int(EXAMPLES),
        )
    clipped = "\n".join(line[:300] for line in done.stdout.splitlines())
    assert done.returncode == 0, clipped + done.stderr
    assert f"Tested: {len(OPERATIONS)}" in done.stdout


USE = """
import json, sys
from generated import AuthenticatedClient
from generated.api.completions import report_completion
from generated.api.versions import list_versions, show_version
from generated.models import Completion

client = AuthenticatedClient(sys.argv[1], sys.argv[2], raise_on_unexpected_status=True)
page = list_versions.sync(client=client, limit=2)
one = show_version.sync(page.versions[0].id, client=client)
report = Completion(experiment_id="generated", model_path="/runs/generated")
accepted = report_completion.sync(client=client, body=report)
again = report_completion.sync(client=client, body=report)
missing = show_version.sync("monobodyhasit", client=client)
print(json.dumps([
    [type(page).__name__, len(page.versions), page.next_ is not None],
    [type(one).__name__, one.name, sorted(file.path for file in one.files)],
    [type(accepted).__name__, accepted.state.value, accepted.known, again.known],
    [type(missing).__name__, missing.status],
]))
"""


@pytest.mark.slow
def test_a_client_made_from_the_description_speaks_to_the_server(shelved: Door, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(shelved.client().get("/openapi.json").json()))
    (tmp_path / "config.yml").write_text("content_type_overrides: {application/zip: application/octet-stream}")
    wanted = "generate --path openapi.json --config config.yml --output-path generated --meta none --fail-on-warning".split()
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    made = subprocess.run(
        [BIN / "openapi-python-client", *wanted], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert made.returncode == 0, made.stdout + made.stderr
    secret = shelved.token("admin")
    with serving(shelved) as client:
        used = subprocess.run(
            [sys.executable, "-c", USE, str(client.base_url), secret], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
    assert used.returncode == 0, used.stderr
    assert json.loads(used.stdout) == [
        ["VersionPage", 2, True],
        ["VersionWithFiles", "run-2", ["a b/c", "model.onnx"]],
        ["Accepted", "received", False, True],
        ["Problem", 404],
    ]
