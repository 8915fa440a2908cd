"""The client of the original system, as people have it installed, unmodified, against a server on a socket.

Its exit status is 0 whatever happens, so its words and the registry are what counts.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.postgresql import PostgresServer
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import FILES, put, serving
from worker.registry.migrate import migrate
from worker.registry.sql import SqlRegistry

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / ".venv-gradient" / "bin" / "gradient"
FIRST = ROOT / ".venv-gradient-1" / "bin" / "gradient"
"""The client of 2021, the last that filters by experiments."""

Gradient = Callable[..., str]


def client_environment(url: str, key: str, home: Path) -> dict[str, str]:
    """Return what the client needs to speak to the server at *url*."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PAPERSPACE_CONFIG_HOST": url,
        "PAPERSPACE_API_KEY": key,
        "PAPERSPACE_CLI_DEV": "true",
        "LC_ALL": "C.UTF-8",
        "PYTHONWARNINGS": "ignore",
    }


@pytest.fixture(params=["sqlite", "postgresql"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    if request.param == "sqlite":
        yield Door(request.getfixturevalue("sqlite")())
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    database = server.create_database(f"gradient_{secrets.token_hex(4)}")
    migrate(database)
    registry = SqlRegistry(database)
    try:
        yield Door(registry)
    finally:
        registry.close()


@pytest.fixture
def gradient(door: Door, tmp_path: Path) -> Iterator[Gradient]:
    """Runs the client with a key that may do everything in the team `default`, or with *key*; gives what it prints."""
    if not PROGRAM.exists() and "CI" not in os.environ:
        pytest.skip("`make .venv-gradient/.made` installs the client")
    secret = door.token("admin")
    with serving(door) as client:

        def call(*arguments: str, key: str = secret, program: Path = PROGRAM) -> str:
            environment = client_environment(str(client.base_url).rstrip("/"), key, tmp_path)
            done = subprocess.run(
                [str(program), *arguments], env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path
            )
            return done.stdout + done.stderr

        yield call


def test_models_are_listed_filtered_and_shown(door: Door, gradient: Gradient) -> None:
    assert "No data found" in gradient("models", "list")
    first, second = put(door, "digits", {"a": b"1"}), put(door, "faces", {"a": b"2"})
    door.registry.tag("default", first.id, ["gold"], [])
    told = gradient("models", "list")
    assert all(word in told for word in (first.id, second.id, "digits", "faces", "ONNX"))
    tagged = gradient("models", "list", "--tag", "gold")
    assert (first.id in tagged, second.id in tagged) == (True, False)
    assert "No data found" in gradient("models", "list", "--projectId", "none")
    shown = gradient("models", "details", "--id", first.id)
    assert all(word in shown for word in (first.id, "digits", "default", "ONNX", "gold"))
    assert "Model not found" in gradient("models", "details", "--id", "mo0000000000000")


def test_every_file_is_downloaded_byte_for_byte(door: Door, gradient: Gradient, tmp_path: Path) -> None:
    version = put(door)
    gradient("models", "download", "--id", version.id, "--destinationDir", str(tmp_path / "down"))
    found = {
        str(path.relative_to(tmp_path / "down")): path.read_bytes() for path in (tmp_path / "down").rglob("*") if path.is_file()
    }
    assert found == FILES


def test_tags_are_added_and_removed(door: Door, gradient: Gradient) -> None:
    version = put(door, files={"a": b"1"})
    gradient("models", "tags", "add", "--id", version.id, "--tag", "gold", "--tag", "new")
    assert tags_of(door, version.id) == ("gold", "new")
    gradient("models", "tags", "remove", "--id", version.id, "--tag", "gold")
    assert tags_of(door, version.id) == ("new",)


def tags_of(door: Door, version_id: str) -> tuple[str, ...]:
    found = door.registry.version("default", version_id)
    assert found is not None
    return found.tags


def test_a_model_is_deleted(door: Door, gradient: Gradient) -> None:
    version = put(door, files={"a": b"1"})
    assert "Model deleted" in gradient("models", "delete", "--id", version.id)
    assert door.registry.version("default", version.id) is None
    assert "Unable to find model" in gradient("models", "delete", "--id", version.id)


def test_a_wrong_key_and_a_key_of_another_team_see_nothing(door: Door, gradient: Gradient) -> None:
    version = put(door, files={"a": b"1"})
    door.registry.create_team("red", door.clock.now())
    assert "this is no token" in gradient("models", "list", key="wrong")
    theirs = door.token("admin", team="red")
    assert version.id not in gradient("models", "list", key=theirs)
    assert "Unable to find model" in gradient("models", "delete", "--id", version.id, key=theirs)
    assert door.registry.version("default", version.id) is not None


def test_the_client_of_2021_filters_by_experiments(door: Door, gradient: Gradient) -> None:
    if not FIRST.exists() and "CI" not in os.environ:
        pytest.skip("`make .venv-gradient-1/.made` installs the client")
    first, second = (put(door, name, {"a": name.encode()}, experiment=name) for name in ("digits", "faces"))
    told = gradient("models", "list", "--experimentId", "digits", program=FIRST)
    assert (first.id in told, second.id in told) == (True, False)
    told = gradient("models", "list", "--experimentId", "faces", "--projectId", "default", program=FIRST)
    assert (first.id in told, second.id in told) == (False, True)
    assert "No data found" in gradient("models", "list", "--experimentId", "none", program=FIRST)
    assert all(word in gradient("models", "list", program=FIRST) for word in (first.id, second.id))
