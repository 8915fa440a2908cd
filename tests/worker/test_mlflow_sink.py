"""What becomes of a version on its way to MLflow: told once, whatever is cut, refused or slow. The same is asked of the real
server in a slow test, through a transport that cuts where it is told to.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.contracts.outbox import told_of
from tests.contracts.registry import LATER, register
from tests.servers.fake_mlflow import FakeMlflow
from tests.servers.mlflow import MlflowServer
from tests.worker.test_mlflow_words import ODD_METRICS
from worker.delivery import LIFE, Delivery
from worker.errors import BadSetting, NotTaken, ServerUnavailable
from worker.mlflow_sink import Mlflow, access
from worker.mlflow_words import VERSION_TAG, model_name
from worker.ports import Notice
from worker.records import ModelVersion
from worker.registry.memory import MemoryRegistry

numbers = count()

NOWHERE = "http://mlflow.invalid"


@dataclass
class Other:
    """An MLflow, real or not: how it is reached, and what a test looks at in it."""

    url: str
    transport: httpx.BaseTransport

    def sink(self, transport: httpx.BaseTransport | None = None, **more: object) -> Mlflow:
        return Mlflow(access(self.url, {}), transport=transport or self.transport, **more)  # type: ignore[arg-type]

    def ask(self, path: str, body: Mapping[str, object] | None = None, **query: str) -> dict[str, object]:
        with httpx.Client(transport=self.transport) as client:
            method = "GET" if body is None else "POST"
            url = f"{self.url}/api/2.0/mlflow/{path}"
            answer = client.request(method, url, params=query or None, json=None if body is None else dict(body))
            return answer.raise_for_status().json()  # type: ignore[no-any-return]

    def versions(self, version: ModelVersion) -> list[dict[str, object]]:
        found = self.ask("model-versions/search", filter=f"tags.`{VERSION_TAG}` = '{version.id}'")
        return found.get("model_versions", [])  # type: ignore[return-value]

    def runs(self, version: ModelVersion) -> list[dict[str, dict[str, object]]]:
        experiment = self.ask("experiments/get-by-name", experiment_name=f"modelport.{version.project}")["experiment"]
        wanted = {"experiment_ids": [experiment["experiment_id"]], "filter": f"tags.`{VERSION_TAG}` = '{version.id}'"}  # type: ignore[index]
        return self.ask("runs/search", wanted).get("runs", [])  # type: ignore[return-value]


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.slow)])
def other(request: pytest.FixtureRequest) -> Iterator[Other]:
    if request.param == "fake":
        yield Other(NOWHERE, FakeMlflow())
        return
    server: MlflowServer = request.getfixturevalue("mlflow")
    with httpx.HTTPTransport() as transport:
        yield Other(server.url, Kept(transport))


class Kept(httpx.BaseTransport):
    """A transport that stays open when a client that used it closes."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.inner.handle_request(request)

    def close(self) -> None:
        pass

    def __exit__(self, *why: object) -> None:
        pass


def new_notice(**changes: object) -> Notice:
    """Return what is told of a new version in a project of its own."""
    registry = MemoryRegistry(destinations={"mlflow": LIFE})
    version = register(registry, project=f"p{next(numbers)}").version
    metrics = registry.metrics(version.id)
    assert metrics is not None
    [delivery] = told_of(registry)
    return replace(Notice(delivery, version, metrics), **changes)  # type: ignore[arg-type]


def version_of(notice: Notice) -> ModelVersion:
    assert notice.version is not None
    return notice.version


def deleted(notice: Notice) -> Notice:
    """Return what is told when the version of *notice* was deleted."""
    registry = MemoryRegistry(destinations={"mlflow": LIFE})
    made = register(registry).version
    registry.delete("default", made.id, LATER)
    gone: Delivery = replace(told_of(registry)[1], version_id=notice.delivery.version_id)
    return Notice(gone, None, None)


def tags_of(version: Mapping[str, object]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in version["tags"]}  # type: ignore[attr-defined]


def test_a_version_appears_with_its_run_its_metrics_and_its_tags(other: Other) -> None:
    notice = new_notice()
    version = version_of(notice)
    name = model_name(version)
    assert other.sink(page=lambda version: f"http://here/{version.id}").take(notice) == f"models:/{name}/1"
    [found] = other.versions(version)
    [run] = other.runs(version)
    assert (found["name"], found["version"], found["source"]) == (name, "1", f"modelport:/{version.id}")
    assert found["run_id"] == run["info"]["run_id"]
    assert found["run_link"] == f"{other.url}/#/experiments/{run['info']['experiment_id']}/runs/{run['info']['run_id']}"
    said = tags_of(found)
    assert (said["modelport.digest"], said["modelport.verdict"], said["modelport.page"]) == (
        "d1",
        "clean",
        f"http://here/{version.id}",
    )
    assert run["data"]["metrics"] == [{"key": "eval/loss", "value": 0.5, "timestamp": 1500, "step": 7}]
    assert run["info"]["status"] == "FINISHED"


def test_telling_it_again_changes_nothing(other: Other) -> None:
    notice = new_notice()
    answers = {other.sink().take(notice) for _ in range(3)}
    before = other.versions(version_of(notice))
    assert len(answers) == len(before) == len(other.runs(version_of(notice))) == 1
    other.sink().take(notice)
    assert other.versions(version_of(notice)) == before


def test_a_second_version_is_one_more_of_the_same_model(other: Other) -> None:
    first = new_notice()
    other.sink().take(first)
    second = replace(version_of(first), id=f"mosecond{next(numbers)}", number=2)
    said = replace(first, version=second, delivery=replace(first.delivery, version_id=second.id))
    assert other.sink().take(said) == f"models:/{model_name(second)}/2"


def test_what_is_told_anew_brings_the_tags_up_to_date(other: Other) -> None:
    notice = new_notice()
    other.sink().take(notice)
    other.sink().take(replace(notice, version=replace(version_of(notice), verdict="findings", tags=("gold",))))
    said = tags_of(other.versions(version_of(notice))[0])
    assert (said["modelport.verdict"], said["modelport.tags"]) == ("findings", "gold")


def test_a_version_that_was_deleted_is_marked_and_stays(other: Other) -> None:
    notice = new_notice()
    other.sink().take(notice)
    assert other.sink().take(deleted(notice)) == f"models:/{model_name(version_of(notice))}/1"
    assert tags_of(other.versions(version_of(notice))[0])["modelport.deleted"] == "2026-11-20T12:00:01+00:00"


def test_a_version_that_was_deleted_before_it_was_told_is_not_told(other: Other) -> None:
    notice = new_notice()
    for gone in (Notice(notice.delivery, None, None), deleted(notice)):
        assert other.sink().take(gone) == "it was deleted before it was told"
    assert other.versions(version_of(notice)) == []


def test_every_metric_is_taken_whatever_it_is(other: Other) -> None:
    notice = new_notice()
    assert notice.metrics is not None
    many = tuple(replace(ODD_METRICS[0], name=f"m{n}") for n in range(1200))
    other.sink().take(replace(notice, metrics=replace(notice.metrics, values=(*ODD_METRICS, *many))))
    [run] = other.runs(version_of(notice))
    assert len(run["data"]["metrics"]) == 1200 + len(ODD_METRICS)  # type: ignore[arg-type]


def test_odd_names_are_taken(other: Other) -> None:
    for name in ("a/b:c", "..", "%2e%2e%2f", "n" * 500, "é 🦆", 'it\'s "quoted" `so`', " a "):
        notice = new_notice()
        version = replace(version_of(notice), model_name=name, experiment=name)
        assert other.sink().take(replace(notice, version=version)) == f"models:/{model_name(version)}/1"


@dataclass
class Cut(httpx.BaseTransport):
    """Cuts the connection at the request number *at*, before or after the server has done what it asks."""

    inner: httpx.BaseTransport
    at: int
    is_done: bool
    asked: int = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.asked == self.at and self.is_done:
            self.inner.handle_request(request).read()
        if self.asked == self.at:
            raise httpx.ReadError("connection reset by peer", request=request)
        return self.inner.handle_request(request)


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_whatever_is_cut_off_is_finished_by_the_next_try(other: Other, is_done: bool) -> None:
    for at in range(1, 10):
        notice = new_notice()
        with pytest.raises(ServerUnavailable, match="does not answer: connection reset by peer"):
            other.sink(Cut(other.transport, at, is_done)).take(notice)
        assert other.sink().take(notice).endswith("/1")
        [version], [run] = other.versions(version_of(notice)), other.runs(version_of(notice))
        assert version["run_id"] == run["info"]["run_id"]
        assert (len(run["data"]["metrics"]), run["info"]["status"]) == (1, "FINISHED")  # type: ignore[arg-type]
    assert other.sink(Cut(other.transport, 10, is_done)).take(new_notice()).endswith("/1"), "nine requests are all"


class Died(BaseException):
    """The process ends here."""


def test_who_is_killed_between_two_steps_leaves_nothing_that_the_next_does_not_finish(other: Other) -> None:
    for step in ("empty run", "run", "model", "version"):

        def die(name: str, at: str = step) -> None:
            if name == at:
                raise Died

        notice = new_notice()
        with pytest.raises(Died):
            other.sink(step=die).take(notice)
        assert other.sink().take(notice).endswith("/1")
        assert len(other.versions(version_of(notice))) == len(other.runs(version_of(notice))) == 1


def test_of_two_that_are_ours_the_first_is_the_one(other: Other) -> None:
    """Made by a server that did it after all, long after it had not answered."""
    notice = new_notice()
    other.sink().take(notice)
    name, tag = model_name(version_of(notice)), {"key": VERSION_TAG, "value": version_of(notice).id}
    other.ask("model-versions/create", {"name": name, "source": "modelport:/x", "tags": [tag]})
    assert other.sink().take(notice) == f"models:/{name}/1"


# What others may answer


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> Mlflow:
    """Return a sink whose server answers so, reached with secrets of every kind."""
    return Mlflow(access("http://ann:s3cret@mlflow.invalid:5000/base", {}), transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (httpx.Response(500, text="oops"), ServerUnavailable, "does not work just now: 500 Internal Server Error"),
        (httpx.Response(503, json={"error_code": "TEMPORARILY_UNAVAILABLE"}), ServerUnavailable, "does not work just now: 503"),
        (httpx.Response(429, json={"error_code": "REQUEST_LIMIT_EXCEEDED"}), ServerUnavailable, "does not work just now: 429"),
        (
            httpx.Response(401, text="who are you?"),
            ServerUnavailable,
            r"does not let us in \(401 Unauthorized\): set MLFLOW_TRA",
        ),
        (
            httpx.Response(403, json={"error_code": "PERMISSION_DENIED"}),
            ServerUnavailable,
            r"does not let us in \(403 Forbidden",
        ),
        (
            httpx.Response(200, text="<html>welcome</html>"),
            ServerUnavailable,
            "no MLflow answers .*200 OK, which is not in its",
        ),
        (httpx.Response(200, text="[" * 100_000), ServerUnavailable, "no MLflow answers"),
        (httpx.Response(200, json=["x"]), ServerUnavailable, "no MLflow answers"),
        (httpx.Response(404, text="Not Found"), ServerUnavailable, "no MLflow answers .*404 Not Found"),
        (httpx.Response(302, headers={"location": "http://login.invalid"}), ServerUnavailable, "no MLflow answers .*302 Found"),
        (
            httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "x"}),
            ServerUnavailable,
            "says RESOURCE_",
        ),
        (
            httpx.Response(400, json={"error_code": "INVALID_PARAMETER_VALUE", "message": "bad name\nTraceback"}),
            NotTaken,
            "^MLflow at http://mlflow.invalid:5000/base says INVALID_PARAMETER_VALUE: bad name$",
        ),
        (httpx.Response(200, content=b" " * (17 << 20)), ServerUnavailable, "answers with more than 16777216 bytes"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_and_tried_again_where_it_may_pass(
    answer: httpx.Response, kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        answering(lambda request: answer).take(new_notice())
    assert type(caught.value) is kind
    assert "s3cret" not in str(caught.value)
    with pytest.raises(kind):
        answering(lambda request: answer).check()


@pytest.mark.parametrize(
    "answer",
    [{"model_versions": [{"name": 1}, "x"]}, {"experiment": 1}, {"experiment": {"experiment_id": "1"}, "runs": [{}]}, {}],
)
def test_an_answer_that_leaves_out_what_is_wanted_is_none(answer: dict[str, object]) -> None:
    with pytest.raises(ServerUnavailable, match="MLflow answers without"):
        answering(lambda request: httpx.Response(200, json=answer)).take(new_notice())


# Who we are


@pytest.mark.parametrize(
    ("uri", "environment", "expected"),
    [
        ("http://mlflow.invalid", {}, None),
        ("http://ann:s3%40cret@mlflow.invalid", {}, "Basic YW5uOnMzQGNyZXQ="),
        (
            "http://mlflow.invalid",
            {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "s3@cret"},
            "Basic YW5uOnMzQGNyZXQ=",
        ),
        ("http://mlflow.invalid", {"MLFLOW_TRACKING_USERNAME": "ann"}, None),
        ("http://bob:x@mlflow.invalid", {"MLFLOW_TRACKING_TOKEN": "s3cret"}, "Bearer s3cret"),
    ],
)
def test_credentials_come_from_mlflows_own_variables_or_the_address(
    uri: str, environment: dict[str, str], expected: str | None
) -> None:
    fake = FakeMlflow()
    Mlflow(access(uri, environment), transport=fake).take(new_notice())
    assert {headers.get("authorization") for headers in fake.headers} == {expected}


@pytest.mark.parametrize("environment", [{}, {"MLFLOW_TRACKING_TOKEN": "s3cret"}])
def test_no_message_holds_a_secret(environment: dict[str, str]) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    sink = Mlflow(access("http://ann:s3cret@mlflow.invalid", environment), transport=httpx.MockTransport(away))
    assert "s3cret" not in repr(sink)
    with pytest.raises(ServerUnavailable, match=r"^MLflow at http://mlflow\.invalid does not answer: refused$"):
        sink.take(new_notice())


def test_certificates_are_mlflows_own_too(tmp_path: Path) -> None:
    assert access("https://mlflow.invalid", {"MLFLOW_TRACKING_INSECURE_TLS": "true"}).verify is False
    assert access("https://mlflow.invalid", {}).verify is True
    with pytest.raises(BadSetting, match="MLFLOW_TRACKING_SERVER_CERT_PATH: /nowhere: No such file"):
        access("https://mlflow.invalid", {"MLFLOW_TRACKING_SERVER_CERT_PATH": "/nowhere"})


def test_for_want_of_certificates_it_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    sink = Mlflow(access("https://mlflow.invalid", {}))
    for ask in (sink.check, lambda: sink.take(new_notice())):
        with pytest.raises(ServerUnavailable, match=r"mlflow\.invalid is not asked: .* SSL_CERT_FILE .* No such file"):
            ask()


# On a socket


@contextmanager
def dripping(pause_seconds: float) -> Iterator[str]:
    """Serve an answer that comes a byte at a time and never ends."""
    over = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
            while not over.wait(pause_seconds):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        over.set()
        thread.join(10)


def test_a_server_that_is_slow_for_ever_is_left() -> None:
    with dripping(0.05) as url:
        began = time.monotonic()
        with pytest.raises(ServerUnavailable, match="is slow: the rest is left to the next try"):
            Mlflow(access(url, {}), seconds=0.3).take(new_notice())
        assert time.monotonic() - began < 5


def test_nobody_at_the_address_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ServerUnavailable, match=rf"^MLflow at http://127.0.0.1:{port} does not answer: .*refused"):
        Mlflow(access(f"http://127.0.0.1:{port}", {})).take(new_notice())
