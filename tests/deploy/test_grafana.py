"""The dashboard of deploy/grafana: it is what the code makes, and every panel shows something of a server that is at work.

There is no Grafana on this machine: its builders know the schema, and a real Prometheus answers what the panels ask.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.make_dashboard import DASHBOARD, made
from tests.builders import onnx
from tests.compose.bare import settings
from tests.deploy.test_prometheus import CALL, CONFIGURATION, ROOT, WRITTEN, modelport, served
from tests.servers.process import until
from tests.servers.prometheus import PrometheusServer, prometheus_server, skip_without_prometheus
from tests.servers.redis import redis_server
from tests.test_compose import COMPOSE, problems_of
from worker.bootstrap import embedded
from worker.records import IngestionQuery, IngestionState

BOARD: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
ASKED = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
MONITORING = ROOT / "deploy" / "monitoring.yml"
STACK = yaml.safe_load(MONITORING.read_text(encoding="utf-8"))
PROVISIONED = ROOT / "deploy" / "grafana" / "provisioning"

VARIABLES = {"$job": "modelport", "$__rate_interval": "1m", "$__range": "1h"}
"""What Grafana would put in, where the time shown is an hour."""


def test_the_dashboard_is_what_the_code_makes() -> None:
    assert DASHBOARD.read_text(encoding="utf-8") == made(), "make dashboard"


def test_every_panel_says_what_it_is_for_and_where_it_asks() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in (panel, *panel["targets"]):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [one["name"] for one in BOARD["templating"]["list"]] == ["datasource", "job"]


def test_the_dashboard_asks_for_every_figure_that_is_told() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rules = {rule["record"]: rule["expr"] for rule in WRITTEN if "record" in rule}
    asked = " ".join(expression for _, expression in ASKED)
    asked += " ".join(rules[name] for name in re.findall(r"modelport:[\w:]+", asked))
    assert {name for name in re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) if name not in asked} == set()


def test_the_panels_lie_side_by_side_and_not_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_the_services_for_it_follow_the_compose_specification() -> None:
    assert problems_of(STACK) == []
    for name, service in STACK["services"].items():
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"]), name
        assert service["healthcheck"], name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
    assert "GRAFANA_PASSWORD:?" in STACK["services"]["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]


@pytest.mark.skipif(COMPOSE is None, reason="no docker-compose and no docker on this machine; the schema above stands for it")
def test_docker_compose_takes_both_files_together(tmp_path: Path) -> None:
    told = settings(tmp_path) | {"GRAFANA_PASSWORD": "secret"}
    (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    assert COMPOSE is not None
    call = [*COMPOSE, "--file", str(ROOT / "docker-compose.yml"), "--file", str(MONITORING)]
    done = subprocess.run([*call, "--env-file", str(tmp_path / "env"), "config"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for what in ("prometheus/rules.yml", "grafana/modelport.json", "grafana/provisioning"):
        assert str(ROOT / "deploy" / what) in done.stdout


def test_what_they_are_given_lies_where_they_look() -> None:
    mounts = [volume.split(":")[:2] for one in STACK["services"].values() for volume in one["volumes"]]
    lie = {there: ROOT / here for here, there in mounts if here.startswith("./")}
    made_by_hand = "/etc/prometheus/modelport.token"
    assert all(here.exists() for there, here in lie.items() if there != made_by_hand)
    configuration = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    (job,) = configuration["scrape_configs"]
    assert job["authorization"] == {"credentials_file": made_by_hand}
    assert set(configuration["rule_files"]) | {made_by_hand} <= set(lie)
    (source,) = yaml.safe_load((PROVISIONED / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == configuration["global"]["scrape_interval"]
    (provider,) = yaml.safe_load((PROVISIONED / "dashboards" / "modelport.yml").read_text())["providers"]
    assert f"{provider['options']['path']}/modelport.json" in lie
    assert "deploy/prometheus/modelport.token" in (ROOT / ".gitignore").read_text().splitlines()


@contextmanager
def working(home: Path) -> Iterator[None]:
    """Run a Celery worker of the home while the block runs."""
    worker = subprocess.Popen([*CALL, "worker"], env=os.environ | {"MODELPORT_HOME": str(home)}, stderr=subprocess.DEVNULL)
    try:
        assert until(lambda: _lives(home), 60)
        yield
    finally:
        worker.terminate()
        worker.wait()


def _lives(home: Path) -> bool:
    with embedded(os.environ | {"MODELPORT_HOME": str(home)}, home) as service:
        return service.living_workers() > 0


def lose_one(home: Path) -> None:
    """Let an ingestion be taken by somebody who dies at once."""
    with embedded(os.environ | {"MODELPORT_HOME": str(home)}, home) as service:
        assert until(lambda: service.registry.claim_next("worker-dead.1", service.clock.now()) is not None, 10)


def failed(home: Path) -> list[str]:
    with embedded(os.environ | {"MODELPORT_HOME": str(home)}, home) as service:
        return [one.id for one in service.registry.ingestions(IngestionQuery("default", IngestionState.FAILED))]


@pytest.mark.slow
def test_every_panel_shows_something_of_a_server_at_work(server_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server, Redis and a Celery worker: some are registered, some fail, one waits for a part of its model, one was taken
    from a lost worker, one is retried and one discarded."""
    skip_without_prometheus()
    home, data, bells, half = (server_folder / name for name in ("home", "prometheus", "redis", "half"))
    for folder in (data, bells, half):
        folder.mkdir()
    graph = onnx.graph([onnx.node()], initializers=[onnx.external_tensor(location="weights.bin")])
    (half / "model.onnx").write_bytes(onnx.model(graph))
    token = modelport(home, "token", "create", "prometheus", "--scope", "operate:all")
    with redis_server(bells) as redis:
        monkeypatch.setenv("MODELPORT_BROKER_URL", redis.url)
        monkeypatch.setenv("MODELPORT_SETTLE_SECONDS", "0")
        with served(home) as target, prometheus_server(data, target, token) as prometheus:
            with embedded(os.environ | {"MODELPORT_HOME": str(home)}, home) as service, service.seen_as_worker():
                modelport(home, "rescan", str(half), "--experiment", "half")
            lose_one(home)
            assert len(_empty(prometheus)) > len(ASKED) / 3, "what nobody did yet is not told"
            with working(home):
                for number in (1, 2):  # what a counter begins with is no increase
                    modelport(home, "rescan", str(ROOT / "examples" / "digits"), "--force", "--wait")
                    modelport(home, "rescan", str(server_folder / f"nowhere {number}"), "--wait")
                    assert until(lambda number=number: len(failed(home)) == number, 30)
                    assert until(lambda number=number: _told_failed(prometheus) == number, 30)
                first, second = failed(home)
                modelport(home, "ingestions", "retry", first)
                modelport(home, "ingestions", "discard", second)
                assert until(lambda: not _empty(prometheus), 60), _empty(prometheus)


def _told_failed(prometheus: PrometheusServer) -> int:
    return sum(int(one["value"][1]) for one in prometheus.values('modelport_ingestions_total{outcome="failed"}'))


def _empty(prometheus: PrometheusServer) -> list[tuple[str, str]]:
    """Return the panels and what they ask for in vain: nothing is answered, or nothing that is a number."""
    return [(title, asked) for title, asked in ASKED if not _has_data(prometheus, asked)]


def _has_data(prometheus: PrometheusServer, asked: str) -> bool:
    for variable, value in VARIABLES.items():
        asked = asked.replace(variable, value)
    assert "$" not in asked, asked
    return any(one["value"][1] != "NaN" for one in prometheus.values(asked))
