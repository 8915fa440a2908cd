"""As much of MLflow's REST API as a version of ours needs, in memory and in this process: for what a real server does not do
when a test wants it. A slow test asks the real one the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from itertools import count
from typing import Any

import httpx

from tests.servers.http import QuietHandler, serving

IS_TAG = re.compile(r"tags\.`(.+?)` = '(.*)'")

Json = dict[str, Any]


class FakeMlflow(httpx.BaseTransport):
    """Takes requests in place of a socket."""

    def __init__(self) -> None:
        self.experiments: dict[str, Json] = {}
        self.runs: dict[str, Json] = {}
        self.models: dict[str, Json] = {}
        self.versions: list[Json] = []
        self.headers: list[Mapping[str, str]] = []
        self._ids = count(1)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.headers.append(dict(request.headers))
        path = request.url.path.partition("/api/2.0/mlflow/")[2]
        said = json.loads(request.read() or b"null") or dict(request.url.params)
        known: dict[str, Callable[[Json], Json]] = {
            "experiments/get-by-name": self._experiment,
            "experiments/create": self._create_experiment,
            "runs/search": self._search_runs,
            "runs/create": self._create_run,
            "runs/log-batch": self._log,
            "runs/update": self._update,
            "registered-models/create": self._create_model,
            "model-versions/search": self._search_versions,
            "model-versions/create": self._create_version,
            "model-versions/set-tag": self._set_tag,
        }
        if path not in known:
            return httpx.Response(404, text="<!doctype html>Not Found")
        try:
            return httpx.Response(200, json=known[path](said))
        except Refused as exc:
            return httpx.Response(exc.status, json={"error_code": exc.code, "message": exc.code.lower()})

    def _experiment(self, said: Json) -> Json:
        if said["experiment_name"] not in self.experiments:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST")
        return {"experiment": self.experiments[said["experiment_name"]]}

    def _create_experiment(self, said: Json) -> Json:
        if said["name"] in self.experiments:
            raise Refused(400, "RESOURCE_ALREADY_EXISTS")
        id = str(next(self._ids))
        self.experiments[said["name"]] = {"experiment_id": id, "name": said["name"]}
        return {"experiment_id": id}

    def _search_runs(self, said: Json) -> Json:
        found = [run for run in self.runs.values() if _has(run["data"]["tags"], said["filter"])]
        return {"runs": found} if found else {}

    def _create_run(self, said: Json) -> Json:
        id = f"run{next(self._ids)}"
        info = {"run_id": id, "experiment_id": said["experiment_id"], "status": "RUNNING"}
        self.runs[id] = {"info": info, "data": {"tags": said["tags"], "metrics": []}}
        return {"run": self.runs[id]}

    def _log(self, said: Json) -> Json:
        logged = self.runs[said["run_id"]]["data"]["metrics"]
        logged += [metric for metric in said["metrics"] if metric not in logged]
        return {}

    def _update(self, said: Json) -> Json:
        self.runs[said["run_id"]]["info"]["status"] = said["status"]
        return {"run_info": self.runs[said["run_id"]]["info"]}

    def _create_model(self, said: Json) -> Json:
        if said["name"] in self.models:
            raise Refused(400, "RESOURCE_ALREADY_EXISTS")
        self.models[said["name"]] = said
        return {"registered_model": said}

    def _search_versions(self, said: Json) -> Json:
        found = [one for one in reversed(self.versions) if _has(one["tags"], said["filter"])]
        return {"model_versions": found} if found else {}

    def _create_version(self, said: Json) -> Json:
        if said["name"] not in self.models:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST")
        if said["source"].startswith(("file:", "/")) or ":" in said["name"]:
            raise Refused(400, "INVALID_PARAMETER_VALUE")
        number = 1 + sum(one["name"] == said["name"] for one in self.versions)
        self.versions.append({**said, "version": str(number)})
        return {"model_version": self.versions[-1]}

    def _set_tag(self, said: Json) -> Json:
        [found] = [one for one in self.versions if (one["name"], one["version"]) == (said["name"], said["version"])]
        found["tags"] = [tag for tag in found["tags"] if tag["key"] != said["key"]]
        found["tags"].append({"key": said["key"], "value": said["value"]})
        return {}


class Refused(Exception):
    """An error in MLflow's words."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


def _has(tags: list[Json], filter: str) -> bool:
    found = IS_TAG.fullmatch(filter)
    assert found, filter
    return {"key": found[1], "value": found[2]} in tags


@contextmanager
def served(fake: FakeMlflow) -> Iterator[str]:
    """Serve *fake* on a socket while the block runs; give its address."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            answer = fake.handle_request(httpx.Request(self.command, f"http://fake{self.path}", content=body))
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"
