"""A real Prometheus that scrapes one modelport server and reckons with our rules; and promtool, which tests the rules."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.servers.process import NoServer, Server, skip_without

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yml"
SCRAPE_SECONDS = 1


class PrometheusServer(Server):
    """Scrapes *target* (host:port) every so many *seconds*, with *token* where one is asked for, and reckons as often."""

    def __init__(self, folder: Path, target: str, token: str | None = None, seconds: int = SCRAPE_SECONDS) -> None:
        super().__init__(folder)
        job: dict[str, Any] = {"job_name": "modelport", "static_configs": [{"targets": [target]}]}
        if token is not None:
            job["authorization"] = {"credentials": token}
        settings = {
            "global": {"scrape_interval": f"{seconds}s", "scrape_timeout": f"{seconds}s", "evaluation_interval": f"{seconds}s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [job],
        }
        (folder / "prometheus.yml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        options = {
            "config.file": self.folder / "prometheus.yml",
            "storage.tsdb.path": self.folder / "data",
            "web.listen-address": f"127.0.0.1:{self.port}",
        }
        return [found("prometheus"), *(f"--{name}={value}" for name, value in options.items())]

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, path: str, **query: str) -> Any:
        """Return the data that its API gives at *path*."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=query).raise_for_status().json()
        return answer["data"]

    def values(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples that *expression* gives now."""
        result: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return result


@contextmanager
def prometheus_server(
    folder: Path, target: str, token: str | None = None, seconds: int = SCRAPE_SECONDS
) -> Iterator[PrometheusServer]:
    """Run a Prometheus with its data below *folder* while the block runs."""
    server = PrometheusServer(folder, target, token, seconds)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    command = [found("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def skip_without_prometheus() -> None:
    """Skip the test where there is none; see `skip_without`."""
    skip_without(lambda: [found(program) for program in ("prometheus", "promtool")], "WITHOUT_PROMETHEUS")


def found(program: str) -> str:
    """Return the path of *program*.

    Raises:
        NoServer: it is not there.
    """
    path = shutil.which(program)
    if path is None:
        raise NoServer(f"there is no {program}: install Debian's prometheus")
    return path
