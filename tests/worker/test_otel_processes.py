"""One trace from a completion to what was registered and delivered: real processes, and a collector that takes OTLP."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests.builders import onnx
from tests.servers.fake_mlflow import FakeMlflow, served
from tests.servers.otlp import Collector, Taken, collector
from tests.servers.process import free_port, until
from tests.servers.redis import RedisServer
from tests.worker.test_log_of_processes import CANARY, MODELPORT, SECRETS, api, environment_of, lines_of, report, running
from worker.otel import CLOSE_SECONDS, COMPLAINT_SECONDS

pytestmark = pytest.mark.slow

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INCOMING = f"00-{TRACE}-{SPAN}-01"
MANY = 20
STEPS = ["resolve", "settle", "detect", "store", "register"]


def traced(home: Path, url: str, **more: str) -> dict[str, str]:
    return environment_of(home, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="100", **more)


def model_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(onnx.model())
    return folder


def call(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run([*MODELPORT, *words], env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode in (0, 2, 3), done.stderr
    return done.stdout


def of_ingestion(taken: Collector, name: str, ingestion: str) -> list[Taken]:
    return [one for one in taken.named(name) if one.facts.get("modelport.ingestion") == ingestion]


@pytest.mark.parametrize("broker", [False, True], ids=["loop", "celery"])
def test_one_trace_leads_from_the_completion_to_the_delivery(broker: bool, redis: RedisServer, tmp_path: Path) -> None:
    fake = FakeMlflow()
    log = tmp_path / "worker.log"
    with collector() as taken, served(fake) as mlflow:
        more = {"MODELPORT_MLFLOW_TRACKING_URI": mlflow} | ({"MODELPORT_BROKER_URL": redis.url} if broker else {})
        environment = traced(tmp_path / "home", taken.url, **more)
        run = model_in(tmp_path / "run")
        with api(environment, tmp_path / "api.log") as url, running(["worker"], environment, log):
            ingestion = report(url, "e7", run, traceparent=INCOMING)
            other = report(url, "e8", run)
            assert until(lambda: len(taken.named("deliver version.registered to mlflow")) == 2, 90), log.read_text()
            assert until(lambda: len(taken.named("attempt")) == 2, 30)
    posted = {one.facts["modelport.ingestion"]: one for one in taken.named("POST /v1/completions")}
    first, second = posted[ingestion], posted[other]
    assert (first.trace, first.parent, first.kind) == (TRACE, SPAN, 2)  # server
    assert (second.trace != TRACE, second.parent) == (True, "")

    for door in (first, second):
        name = str(door.facts["modelport.ingestion"])
        (attempt,) = of_ingestion(taken, "attempt", name)
        assert (attempt.trace, attempt.parent, attempt.kind) == (door.trace, door.id, 5)  # consumer
        told = {key.removeprefix("modelport."): value for key, value in attempt.facts.items()}
        assert (told["state"], told["attempt"], told["team"], told["trigger"]) == ("registered", 1, "default", "completion")
        steps = sorted((one for one in taken.spans if one.parent == attempt.id), key=lambda one: one.start)
        assert [one.name for one in steps] == STEPS
        assert all(one.trace == door.trace and attempt.start <= one.start <= one.end <= attempt.end for one in steps)
        (delivery,) = of_ingestion(taken, "deliver version.registered to mlflow", name)
        assert (delivery.trace, delivery.parent, delivery.kind) == (door.trace, door.id, 3)  # client
        assert delivery.facts["modelport.version"] == told["version"]
        assert door.process["modelport.role"] == "api"
        assert attempt.process["modelport.role"] == "worker"
        traces = {line["trace"] for line in lines_of(log) if line.get("ingestion") == name and "attempt" in line}
        assert traces == {door.trace}


def test_a_retry_begins_a_trace_that_points_to_the_first(tmp_path: Path) -> None:
    log, late = tmp_path / "worker.log", tmp_path / "late"
    with collector() as taken:
        environment = traced(tmp_path / "home", taken.url, MODELPORT_SETTLE_TIMEOUT_SECONDS="0")
        with api(environment, tmp_path / "api.log") as url, running(["worker"], environment, log):
            ingestion = report(url, "e7", late, traceparent=INCOMING)
            assert until(lambda: ended_in(url, ingestion) == "failed", 90), log.read_text()
            model_in(late)
            assert httpx.post(f"{url}/v1/ingestions/{ingestion}/retry", json={}).is_success
            assert until(lambda: ended_in(url, ingestion) == "registered", 90), log.read_text()
            assert until(lambda: any(one.facts.get("modelport.state") == "registered" for one in taken.spans), 30)
            assert until(lambda: bool(taken.named("POST /v1/ingestions/{ingestion_id}/retry")), 30)
    before = [one for one in of_ingestion(taken, "attempt", ingestion) if one.trace == TRACE]
    assert before[-1].facts["modelport.state"] == "failed"
    assert before[-1].is_error
    (retry,) = taken.named("retry")
    (door,) = taken.named("POST /v1/ingestions/{ingestion_id}/retry")
    (first,) = taken.named("POST /v1/completions")
    assert (retry.parent, retry.trace != TRACE, retry.trace != door.trace) == ("", True, True)
    assert retry.links == ((TRACE, first.id), (door.trace, door.id))
    after = [one for one in of_ingestion(taken, "attempt", ingestion) if one.trace != TRACE]
    assert [(one.trace, one.parent) for one in after] == [(retry.trace, retry.id)] * len(after)
    assert after[-1].facts["modelport.state"] == "registered"


def ended_in(url: str, ingestion: str) -> str:
    return str(httpx.get(f"{url}/v1/ingestions/{ingestion}").json()["state"])


def test_a_command_and_the_watcher_begin_a_trace_as_well(tmp_path: Path) -> None:
    with collector() as taken:
        environment = traced(tmp_path / "home", taken.url)
        call(environment, "ingest", str(model_in(tmp_path / "one")), "--experiment", "e1")
        call(environment | {"TRACEPARENT": INCOMING}, "complete", "e2", "--model-path", str(model_in(tmp_path / "two")))
        watch = json.dumps([{"path": str(tmp_path / "watched" / "{experiment_id}"), "quiet_seconds": 0}])
        model_in(tmp_path / "watched" / "e3")
        watching = environment | {"MODELPORT_WATCH": watch}
        with running(["watch"], watching, tmp_path / "watch.log"), running(["worker"], environment, tmp_path / "worker.log"):
            assert until(lambda: len(taken.named("attempt")) >= 3, 90), (tmp_path / "watch.log").read_text()
            assert until(lambda: bool(taken.named("accept watch")), 30)
    of = {one.facts["modelport.experiment"]: one for one in taken.named("attempt")}
    for experiment, trigger in (("e1", "cli"), ("e2", "completion"), ("e3", "watch")):
        (door,) = taken.named(f"accept {trigger}")
        assert door.facts["modelport.ingestion"] == of[experiment].facts["modelport.ingestion"]
        assert (of[experiment].trace, of[experiment].parent) == (door.trace, door.id)
        assert [one.name for one in sorted(taken.spans, key=lambda one: one.start) if one.parent == of[experiment].id] == STEPS
    (given,) = taken.named("accept completion")
    assert (given.trace, given.parent) == (TRACE, SPAN)


def test_no_secret_gets_into_a_trace(tmp_path: Path) -> None:
    with collector() as taken:
        environment = traced(tmp_path / "home", taken.url, **SECRETS, OTEL_EXPORTER_OTLP_HEADERS=f"x-key={CANARY}")
        run = model_in(tmp_path / "run")
        create = ["token", "create", "hooks", "--scope", "completion:write", "--scope", "model:write", "--format", "json"]
        token = json.loads(call(environment, *create))["secret"]
        with api(environment, tmp_path / "api.log") as url, running(["worker"], environment, tmp_path / "worker.log"):
            report(url, "e1", run, Authorization=f"Bearer {token}")
            httpx.put(f"{url}/mlModels/uploads/default/mo1/model.onnx?expires=1&signature={CANARY}", content=b"x")
            httpx.post(f"{url}/v1/completions", json={}, headers={"X-API-Key": f"mp_{CANARY}"})
            assert until(lambda: bool(taken.named("attempt")), 90)
    assert len(taken.named("POST /v1/completions")) >= 1
    assert not [secret for secret in (CANARY, token) if secret.encode() in taken.raw]


@pytest.mark.parametrize("how", ["refused", "silent", "failing"])
def test_a_collector_that_is_away_delays_nothing(how: str, tmp_path: Path) -> None:
    """Nobody listens there, or takes the connection and says nothing, or answers that it cannot just now."""
    with socket.socket() as silent, collector() as failing:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        failing.status = 503
        ports = {"refused": f"http://127.0.0.1:{free_port()}", "silent": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        run = model_in(tmp_path / "run")
        off = worked_off(run, traced(tmp_path / "off", ""), tmp_path / "off.log")
        small = {"OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "32"}
        environment = traced(tmp_path / "away", ports.get(how, failing.url), **small)
        away = worked_off(run, environment, tmp_path / "away.log")
        assert away < 2 * off + 3, (away, off)
        began = time.monotonic()
        call(environment, "ingest", str(run), "--experiment", "cli")
        assert time.monotonic() - began < CLOSE_SECONDS + 10
    complaints = [line for line in lines_of(tmp_path / "away.log") if "opentelemetry" in str(line.get("logger"))]
    assert len(complaints) <= 1 + 60 / COMPLAINT_SECONDS, complaints


def worked_off(run: Path, environment: dict[str, str], log: Path) -> float:
    """Return how many seconds a worker takes for some ingestions, from the first claim to the last end."""
    with api(environment, log.with_suffix(".api")) as door:
        for number in range(MANY):
            report(door, f"e{number}", run)
    with running(["worker"], environment, log):
        assert until(lambda: log.read_text().count('"ended"') == MANY, 90), log.read_text()
        began = time.monotonic()
    assert time.monotonic() - began < CLOSE_SECONDS + 10  # the end of the worker
    claimed, *_, ended = [datetime.fromisoformat(line["timestamp"]) for line in lines_of(log) if "attempt" in line]
    return (ended - claimed).total_seconds()
