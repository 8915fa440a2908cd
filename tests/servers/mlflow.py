"""A real MLflow server from an environment of its own, which `make test-all` makes: MLflow wants other versions than we do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.servers.process import NoServer, Server, skip_without

PROGRAM = Path(__file__).parents[2] / ".venv-mlflow" / "bin" / "mlflow"


class MlflowServer(Server):
    """Keeps everything in a SQLite file, and finds it again when it is started anew."""

    start_seconds = 240.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        kept = ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}", "--artifacts-destination", str(self.folder)]
        quiet = ["env", "DO_NOT_TRACK=true", "MLFLOW_DISABLE_TELEMETRY=true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"]
        listen = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        return [*quiet, f"PATH={PROGRAM.parent}:{os.environ['PATH']}", str(PROGRAM), "server", *listen, *kept]

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str, **query: str) -> Any:
        """Return the answer to a question to its REST API."""
        return httpx.get(f"{self.url}/api/2.0/mlflow/{path}", params=query, timeout=20).raise_for_status().json()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to a request to its REST API."""
        return httpx.post(f"{self.url}/api/2.0/mlflow/{path}", json=dict(body), timeout=20).raise_for_status().json()


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """Run a MLflow with its data below *folder* while the block runs.

    Raises:
        NoServer: it is not installed, or did not start.
    """
    find_mlflow()
    server = MlflowServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()  # nobody wants its data


def find_mlflow() -> None:
    """Make sure that MLflow is installed.

    Raises:
        NoServer: it is not.
    """
    if not PROGRAM.exists():
        raise NoServer("there is no MLflow: `make .venv-mlflow/.made` installs it")


def skip_without_mlflow() -> None:
    """Skip the test where a developer has not installed MLflow; in CI that is a failure."""
    skip_without(find_mlflow, "WITHOUT_MLFLOW")
