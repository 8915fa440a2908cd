"""MLflow as a destination: a registered version appears in its model registry, with a run that holds its metrics.

Plain HTTP with MLflow's REST API 2.0, as the servers 2.x and 3.x speak it; MLflow itself is not imported, which takes two
seconds. Each thing is looked for by our version id before it is made, and made with that id in the same request, so that
whoever was cut off in the middle finds what is there already. What goes in is a `Notice`; how it is called in MLflow is
`mlflow_words`' to say. Secrets come from MLflow's own variables or the address, and stand in no message.

Laws (each has a test of the same name):
    telling it again changes nothing;
    whatever is cut off is finished by the next try;
    no message holds a secret.

Source: MLflow 3.17, "REST API"; `protos/service.proto`, `protos/model_registry.proto`; `utils/rest_utils.py` for the variables.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx

from worker.delivery import LIFE, TRY_SECONDS, DeliveryKind
from worker.errors import BadSetting, NotTaken, ServerUnavailable
from worker.mlflow_words import (
    DELETED_TAG,
    MAX_NAME_CHARS,
    MAX_SOURCE_CHARS,
    VERSION_TAG,
    experiment_name,
    metrics,
    model_name,
    source,
    tags,
)
from worker.ports import Notice
from worker.records import ModelVersion

NAME = "mlflow"
"""The name of this destination."""

API = "/api/2.0/mlflow/"

TIMEOUT_SECONDS = 15.0
"""How long nothing may come back."""

MAX_ANSWER_BYTES = 16 << 20

METRICS_AT_ONCE = 500
"""Of a thousand that MLflow takes in one request, which may have a megabyte."""

MOST_METRICS = 10_000

MOST_SAID = 300
"""Characters of an error of MLflow that are shown."""

EXISTS, MISSING = "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"

FINAL = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "MALFORMED_REQUEST"})
"""Errors that the same request would meet again. Every other may pass: a model that is deleted while we add to it."""


@dataclass(frozen=True, slots=True)
class Access:
    """How MLflow is reached: its address without a user, and what opens it."""

    url: str
    auth: httpx.Auth | None = None
    verify: bool | ssl.SSLContext = True


def access(uri: str, environment: Mapping[str, str]) -> Access:
    """Return how to reach the MLflow at *uri*, http(s)://[USER:PASSWORD@]HOST[/PATH], with MLflow's own variables.

    Raises:
        BadSetting: the file of certificates cannot be read.
    """
    parts = urlsplit(uri)
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
    token = environment.get("MLFLOW_TRACKING_TOKEN")
    user, password = environment.get("MLFLOW_TRACKING_USERNAME"), environment.get("MLFLOW_TRACKING_PASSWORD")
    auth: httpx.Auth | None = None
    if token:
        auth = _Bearer(token)
    elif user and password:
        auth = httpx.BasicAuth(user, password)
    elif parts.username:
        auth = httpx.BasicAuth(unquote(parts.username), unquote(parts.password or ""))
    return Access(url, auth, _verify(environment))


class _Bearer(httpx.Auth):
    """Opens with a token, which whoever prints this does not see."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header
        yield request


def _verify(environment: Mapping[str, str]) -> bool | ssl.SSLContext:
    path = environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    if path:
        try:
            return ssl.create_default_context(cafile=path)
        except OSError as exc:
            raise BadSetting(f"MLFLOW_TRACKING_SERVER_CERT_PATH: {path}: {exc.strerror or exc}") from exc
    return environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in ("true", "1")


@dataclass(frozen=True, slots=True)
class Mlflow:
    """One MLflow server. page tells where a person finds a version here, None for nowhere."""

    access: Access
    page: Callable[[ModelVersion], str | None] = lambda version: None
    step: Callable[[str], object] = lambda name: None
    seconds: float = TRY_SECONDS
    transport: httpx.BaseTransport | None = None

    @property
    def wants(self) -> Collection[DeliveryKind]:
        return LIFE

    def take(self, notice: Notice) -> str:
        """Tell *notice*, as `Destination.take`."""
        if notice.delivery.version_id is None:
            return "nothing to tell"
        with self._asking() as asked:
            found = _found(asked, notice.delivery.version_id)
            if notice.version is None:
                return self._told_deleted(asked, notice, found)
            if found is None and notice.version.is_quarantined:
                return "not told: it is in quarantine; a release tells it"
            if found is None:
                found = self._register(asked, notice.version, notice)
            else:
                _renew_tags(asked, found, tags(notice.version, self.page(notice.version)))
            return _called(found)

    def check(self) -> str:
        """As `Destination.check`, where an MLflow answers that lets us in.

        Raises:
            ServerUnavailable: none does.
        """
        with self._asking() as asked:
            asked.get("model-versions/search", {"filter": f"tags.`{VERSION_TAG}` = '-'", "max_results": "1"})
        return "it answers and lets us in"

    def _told_deleted(self, asked: _Asked, notice: Notice, found: Mapping[str, Any] | None) -> str:
        if found is None:
            return "it was deleted before it was told"
        if notice.delivery.kind is DeliveryKind.DELETED:
            at = notice.delivery.created.isoformat(timespec="seconds")
            _renew_tags(asked, found, {DELETED_TAG: at})
        return _called(found)

    def _register(self, asked: _Asked, version: ModelVersion, notice: Notice) -> Mapping[str, Any]:
        """Make what is missing of run, model and version, and return the version."""
        run = self._run(asked, version, notice)
        self.step("run")
        name = model_name(version)
        named = {"name": name, "description": f"{version.model_name} of the project {version.project}, registered by modelport"}
        asked.make("registered-models/create", named)
        self.step("model")
        made = {
            "name": name,
            "source": source(version),
            "run_id": run["run_id"],
            "description": f"{version.id}, version {version.number} of {version.model_name}",
            "tags": _pairs(tags(version, self.page(version))),
        }
        link = f"{self.access.url}/#/experiments/{quote(run['experiment_id'])}/runs/{quote(run['run_id'])}"
        if len(link) <= MAX_SOURCE_CHARS:
            made["run_link"] = link
        answer = asked.post("model-versions/create", made)
        self.step("version")
        return _part(answer, "model_version", {"name", "version"})

    def _run(self, asked: _Asked, version: ModelVersion, notice: Notice) -> Mapping[str, Any]:
        """Return the run of *version*, made where it is missing, with its metrics; what was logged before is logged once."""
        experiment = _experiment(asked, experiment_name(version))
        wanted = {"experiment_ids": [experiment], "filter": _is_of(version.id), "max_results": 1}
        runs = _list(asked.post("runs/search", wanted), "runs")
        began_ms = int(version.created.timestamp() * 1000)
        said = {VERSION_TAG: version.id, "mlflow.source.name": "modelport"}
        if runs:
            run = _part(runs[0], "info", {"run_id", "experiment_id"})
        else:
            named = {"run_name": f"{version.model_name[:MAX_NAME_CHARS]} {version.number}", "tags": _pairs(said)}
            made = asked.post("runs/create", {"experiment_id": experiment, "start_time": began_ms, **named})
            run = _part(_part(made, "run", {"info"}), "info", {"run_id", "experiment_id"})
        self.step("empty run")
        values = list(metrics((notice.metrics.values if notice.metrics else ())[:MOST_METRICS], began_ms))
        for start in range(0, len(values), METRICS_AT_ONCE):
            some = values[start : start + METRICS_AT_ONCE]
            asked.post("runs/log-batch", {"run_id": run["run_id"], "metrics": some})
        asked.post("runs/update", {"run_id": run["run_id"], "status": "FINISHED", "end_time": began_ms})
        return run

    @contextmanager
    def _asking(self) -> Iterator[_Asked]:
        """Give what asks the server, for as long as one try may take.

        Raises:
            NotTaken: the server says that a request is wrong, and would be tomorrow.
            ServerUnavailable: it says anything else that was not foreseen, or cannot be asked.
        """
        with self._client() as client:
            try:
                yield _Asked(client, self.access.url, time.monotonic() + self.seconds)
            except _Said as exc:
                told = f"MLflow at {self.access.url} says {exc.code}: {exc.message}"
                raise (NotTaken if exc.code in FINAL else ServerUnavailable)(told) from exc

    def _client(self) -> httpx.Client:
        auth, verify = self.access.auth, self.access.verify
        try:
            return httpx.Client(timeout=TIMEOUT_SECONDS, auth=auth, verify=verify, transport=self.transport)
        except OSError as exc:  # as where SSL_CERT_FILE names what is not there
            why = f"the certificates of authorities, which SSL_CERT_FILE may name, cannot be read: {exc}"
            raise ServerUnavailable(f"MLflow at {self.access.url} is not asked: {why}") from exc


class _Said(Exception):
    """An error in MLflow's own words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class _Asked:
    """Asks a server, none after *until*.

    Raises:
        ServerUnavailable: no MLflow answers there, or it does not let us in.
        _Said: it says what is wrong.
    """

    client: httpx.Client
    url: str
    until: float

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the answer to a question."""
        return self._ask("GET", path, params=dict(query))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request."""
        return self._ask("POST", path, json=dict(body))

    def make(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer to a request that makes something; None where it is there already."""
        try:
            return self.post(path, body)
        except _Said as exc:
            if exc.code != EXISTS:
                raise
            return None

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            with self.client.stream(method, f"{self.url}{API}{path}", **more) as answer:
                return self._answer(answer, self._read(answer))
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise ServerUnavailable(f"MLflow at {self.url} does not answer: {exc or type(exc).__name__}") from exc

    def _read(self, answer: httpx.Response) -> bytes:
        """Return the body of *answer*, which may neither drip for ever nor have any length."""
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if time.monotonic() > self.until:
                raise ServerUnavailable(f"MLflow at {self.url} is slow: the rest is left to the next try")
            if len(body) > MAX_ANSWER_BYTES:
                raise ServerUnavailable(f"MLflow at {self.url} answers with more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > self.until:
            raise ServerUnavailable(f"MLflow at {self.url} is slow: the rest is left to the next try")
        return bytes(body)

    def _answer(self, answer: httpx.Response, body: bytes) -> dict[str, Any]:
        status = answer.status_code
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            why = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            raise ServerUnavailable(f"MLflow at {self.url} does not let us in ({status} {answer.reason_phrase}): {why}")
        said = _object(body)
        if answer.is_success and said is not None:
            return said
        code = None if said is None else said.get("error_code")
        if isinstance(code, str) and answer.is_client_error and status not in (408, 429):
            raise _Said(code, str(said and said.get("message")).partition("\n")[0][:MOST_SAID])
        what = f"{status} {answer.reason_phrase}"
        if answer.is_server_error or status in (408, 429):
            raise ServerUnavailable(f"MLflow at {self.url} does not work just now: {what}")
        raise ServerUnavailable(f"no MLflow answers at {self.url}: {what}, which is not in its words")


def _object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that *body* is; None for anything else."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _part(answer: Mapping[str, Any], name: str, wanted: set[str]) -> Mapping[str, Any]:
    """Return the object *name* of an answer, which has the *wanted* members."""
    part = answer.get(name)
    if not isinstance(part, dict) or not wanted <= part.keys():
        raise ServerUnavailable(f"MLflow answers without {name}, or without {', '.join(sorted(wanted))} in it")
    return part


def _list(answer: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects *name* of an answer, which leaves the name out where there are none."""
    return [one for one in answer.get(name) or () if isinstance(one, dict)]


def _is_of(version_id: str) -> str:
    return f"tags.`{VERSION_TAG}` = '{version_id}'"


def _found(asked: _Asked, version_id: str) -> Mapping[str, Any] | None:
    """Return the version of MLflow that is ours; where two are, because one was made though we were told that it was not, the
    first.
    """
    query = {"filter": _is_of(version_id), "max_results": "100"}
    found = _list(asked.get("model-versions/search", query), "model_versions")
    ours = [one for one in found if {"name", "version"} <= one.keys()]
    return min(ours, key=lambda one: int(one["version"]), default=None)


def _experiment(asked: _Asked, name: str) -> str:
    """Return the id of the experiment *name*, made where it is missing."""
    try:
        found = asked.get("experiments/get-by-name", {"experiment_name": name})
    except _Said as exc:
        if exc.code != MISSING:
            raise
        made = asked.make("experiments/create", {"name": name})
        if made is None or "experiment_id" not in made:
            raise ServerUnavailable(f"MLflow made no experiment {name}; another may have, just now") from exc
        return str(made["experiment_id"])
    return str(_part(found, "experiment", {"experiment_id"})["experiment_id"])


def _renew_tags(asked: _Asked, found: Mapping[str, Any], wanted: Mapping[str, str]) -> None:
    """Set those of *wanted* that the version *found* does not have so."""
    has = {one.get("key"): one.get("value") for one in _list(found, "tags")}
    for key, value in wanted.items():
        if has.get(key) != value:
            named = {"name": found["name"], "version": found["version"]}
            asked.post("model-versions/set-tag", {**named, "key": key, "value": value})


def _called(found: Mapping[str, Any]) -> str:
    return f"models:/{found['name']}/{found['version']}"


def _pairs(said: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in said.items()]
