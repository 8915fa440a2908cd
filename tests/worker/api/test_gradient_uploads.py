"""Uploads by the client of the original system, unmodified, to a whole `modelport up`: door, queue and worker as processes."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.builders import onnx
from tests.servers.postgresql import PostgresServer
from tests.worker.api.test_gradient_client import PROGRAM, client_environment
from tests.worker.test_cli_queue import CALL, EXAMPLE
from tests.worker.test_cli_up import Up

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Original:
    """The client, and the server that it speaks to."""

    up: Up
    key: str
    folder: Path

    def __call__(self, *words: str, key: str | None = None) -> str:
        environment = client_environment(self.up.url, key or self.key, self.folder)
        done = subprocess.run(
            [str(PROGRAM), *words], env=environment, capture_output=True, text=True, timeout=120, cwd=self.folder
        )
        return done.stdout + done.stderr

    def models(self) -> dict[str, dict[str, object]]:
        """Return all models by their ids."""
        answer = httpx.get(f"{self.up.url}/mlModels/getModelList", headers={"X-API-Key": self.key}, trust_env=False)
        return {model["id"]: model for model in answer.json()["modelList"]}

    def uploaded(self, *words: str) -> str:
        """Run an upload, and return the id that the client was told."""
        said = self("models", "upload", *words)
        found = re.search(r"mo[a-z0-9]{12}", said)
        assert found is not None, said + self.up.log()
        return found[0]

    def downloaded(self, model_id: str, name: str) -> dict[str, bytes]:
        self("models", "download", "--id", model_id, "--destinationDir", str(self.folder / name))
        files = (path for path in (self.folder / name).rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder / name)): path.read_bytes() for path in files}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    if not PROGRAM.exists() and "CI" not in os.environ:
        pytest.skip("`make .venv-gradient/.made` installs the client")
    tmp_path, settings = tmp_path_factory.mktemp("original"), {}
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        settings["MODELPORT_DATABASE_URL"] = server.create_database(f"gradient_{secrets.token_hex(4)}")
    environment = os.environ | settings | {"MODELPORT_HOME": str(tmp_path / "home")}
    if settings:
        subprocess.run([*CALL, "migrate"], env=environment, check=True, capture_output=True)
    made = subprocess.run(
        [*CALL, "token", "create", "gradient", "--scope", "model:read", "--scope", "model:write"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    up = Up(tmp_path, **settings)
    key = re.search(r"mp_\w+", made.stdout)
    assert key is not None
    try:
        yield Original(up, key[0], tmp_path)
    finally:
        up.process.terminate()
        up.process.wait(60)
        assert up.process.stdout is not None
        up.process.stdout.close()


def test_a_file_is_uploaded_shown_and_downloaded(original: Original) -> None:
    (original.folder / "net.onnx").write_bytes(onnx.model())
    summary = '{"accuracy": 0.5}'
    words = ("net.onnx", "--name", "digits", "--modelType", "onnx", "--notes", "for the fair", "--modelSummary", summary)
    model_id = original.uploaded(*words, "--tag", "gold", "--tag", "new")
    model = original.models()[model_id]
    assert (model["name"], model["modelType"], model["experimentId"]) == ("digits", "ONNX", None)
    assert (model["notes"], model["summary"], model["tags"]) == ("for the fair", {"accuracy": 0.5}, ["gold", "new"])
    assert all(word in original("models", "list") for word in (model_id, "digits", "ONNX"))
    assert original.downloaded(model_id, model_id) == {"net.onnx": onnx.model()}


def test_a_folder_comes_back_as_it_was(original: Original) -> None:
    files = {str(path.relative_to(EXAMPLE)): path.read_bytes() for path in EXAMPLE.rglob("*") if path.is_file()}
    model_id = original.uploaded(str(EXAMPLE), "--name", "digits", "--modelType", "tensorflow")
    assert original.downloaded(model_id, model_id) == files
    model = original.models()[model_id]
    assert (model["modelType"], model["detail"] is not None) == ("Tensorflow", True)


@pytest.mark.parametrize("name", ["modèle 模型.onnx", "with space.onnx", "empty name"])
def test_names_of_all_kinds_are_kept(original: Original, name: str) -> None:
    (original.folder / name).write_bytes(onnx.model())
    model_id = original.uploaded(name, "--name", "" if name == "empty name" else "模型 é", "--modelType", "onnx")
    assert original.downloaded(model_id, model_id) == {name: onnx.model()}
    model = original.models()[model_id]
    assert model["name"] == (None if name == "empty name" else "模型 é")


def test_what_is_no_model_is_told_and_leaves_nothing(original: Original) -> None:
    (original.folder / "notes.txt").write_bytes(b"no model at all")
    before = original.models(), kept(original)
    said = original("models", "upload", "notes.txt", "--name", "digits", "--modelType", "onnx")
    assert "[422]" in said, said
    assert (original.models(), kept(original)) == before


def kept(original: Original) -> list[Path]:
    return sorted(path for path in (original.folder / "home" / "store").rglob("*") if path.is_file())


def test_a_wrong_key_uploads_nothing(original: Original) -> None:
    (original.folder / "net.onnx").write_bytes(onnx.model())
    before, words = original.models(), ("net.onnx", "--name", "digits", "--modelType", "onnx")
    assert "this is no token" in original("models", "upload", *words, key="wrong")
    assert original.models() == before


def test_an_upload_is_deleted(original: Original) -> None:
    (original.folder / "net.onnx").write_bytes(onnx.model())
    model_id = original.uploaded("net.onnx", "--name", "digits", "--modelType", "onnx")
    assert "Model deleted" in original("models", "delete", "--id", model_id)
    assert model_id not in original.models()
