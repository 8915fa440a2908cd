"""The rules and alerts of deploy/prometheus, by promtool and on a real Prometheus that scrapes a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.servers.process import free_port, until
from tests.servers.prometheus import RULES, PrometheusServer, prometheus_server, promtool, skip_without_prometheus
from worker.bootstrap import LIVING_SECONDS
from worker.connections import FRESH_SECONDS, PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
CALL = [sys.executable, "-c", "from worker.cli import main; main()"]
RUNBOOK = ROOT / "docs" / "howto" / "alerts.md"
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
WRITTEN = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in WRITTEN if "alert" in rule]

TOLD_BY_PROMETHEUS = {"up"}


def test_each_alert_has_a_place_in_the_runbook_and_says_how_bad_it_is() -> None:
    told = re.findall(r"^## (\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert told == [rule["alert"] for rule in ALERTS]
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/howto/alerts.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]


def test_each_rule_asks_for_what_the_server_tells() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) | TOLD_BY_PROMETHEUS
    known |= {f"{name}_bucket" for name in known} | {rule["record"] for rule in WRITTEN if "record" in rule}
    for rule in WRITTEN:
        asked = set(re.findall(r"\b(?:modelport[\w:]*|up)(?=[{\[ )]|$)", rule["expr"])) - {"modelport"}
        assert asked, rule["expr"]
        assert asked <= known, rule["expr"]


@pytest.mark.slow
def test_the_rules_are_right_by_promtool() -> None:
    skip_without_prometheus()
    for words in (("check", "rules", RULES), ("test", "rules", RULES.with_name("rules.test.yml"))):
        done = promtool(*words)
        assert done.returncode == 0, done.stdout + done.stderr


CONFIGURATION = RULES.with_name("prometheus.yml")


def test_the_configuration_is_one_for_prometheus(tmp_path: Path) -> None:
    skip_without_prometheus()
    (tmp_path / "modelport.token").write_text("secret")
    (tmp_path / "rules.yml").write_text(RULES.read_text())
    (tmp_path / "prometheus.yml").write_text(CONFIGURATION.read_text().replace("/etc/prometheus", str(tmp_path)))
    done = promtool("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_incident_is_told_within_half_a_minute_by_the_intervals_of_the_configuration() -> None:
    """A look at the store may be as old as its answer is fresh, and late by the patience; then come the slowest scrape, and the
    rules that find it so twice."""
    paces = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["global"]
    scrape, look = seconds_of(paces["scrape_interval"]), FRESH_SECONDS + PATIENCE_SECONDS
    assert PATIENCE_SECONDS < seconds_of(paces["scrape_timeout"]) <= scrape
    (group,) = (group for group in GROUPS if group["name"] == "modelport.alerts")
    reckon = seconds_of(group["interval"])
    lasting = {rule["alert"]: seconds_of(rule["for"]) for rule in ALERTS if "for" in rule}
    assert look + scrape + reckon + lasting["ModelportStoreUnreachable"] < 30
    assert LIVING_SECONDS + scrape + reckon + lasting["ModelportNoWorker"] < 30
    assert scrape + reckon + lasting["ModelportUnreachable"] < 30


def seconds_of(told: str) -> int:
    return int(told[:-1]) * {"s": 1, "m": 60, "h": 3600}[told[-1]]


@contextmanager
def served(home: Path, **settings: str) -> Iterator[str]:
    """Run a server with nothing but its API, and give where it listens."""
    port = free_port()
    environment = os.environ | {"MODELPORT_HOME": str(home)} | settings
    server = subprocess.Popen([*CALL, "api", "--port", str(port)], env=environment, stderr=subprocess.DEVNULL)
    try:
        assert until(lambda: _lives(port), 60)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _lives(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
    except httpx.TransportError:
        return False


def modelport(home: Path, *words: str) -> str:
    done = subprocess.run([*CALL, *words], env=os.environ | {"MODELPORT_HOME": str(home)}, capture_output=True, text=True)
    assert done.returncode in (0, 2), done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_a_prometheus_scrapes_a_server_with_a_token_and_every_rule_gives_data(server_folder: Path) -> None:
    """One model is registered, one failed, and one waits for a worker that nobody starts."""
    skip_without_prometheus()
    home, data = server_folder / "home", server_folder / "prometheus"
    data.mkdir()
    token = modelport(home, "token", "create", "prometheus", "--scope", "operate:all")
    with served(home) as target, prometheus_server(data, target, token) as prometheus:
        for number in (1, 2):  # what a counter begins with is no increase
            modelport(home, "rescan", str(ROOT / "examples" / "digits"), "--force")
            modelport(home, "rescan", str(server_folder / f"nowhere {number}"))
            assert until(lambda number=number: _failed(prometheus) == number, 30)
        waiting = httpx.post(
            f"http://{target}/v1/rescans",
            json={"path": "/tmp"},
            headers={"X-API-Key": modelport(home, "token", "create", "sender", "--scope", "model:write")},
        )
        assert waiting.status_code == 202, waiting.text
        assert until(lambda: _all_give_data(prometheus), 60), _without_data(prometheus)
        assert {rule["health"] for rule in _rules(prometheus)} == {"ok"}
        assert until(lambda: "ModelportNoWorker" in _firing(prometheus), 45)
        assert prometheus.values("modelport_unaccounted_ingestions")[0]["value"][1] == "0"
        assert int(prometheus.values('count({job="modelport"})')[0]["value"][1]) < 200


@pytest.mark.slow
def test_a_store_that_goes_away_is_told_within_half_a_minute_and_comes_back(server_folder: Path) -> None:
    skip_without_prometheus()
    home, data, store = server_folder / "home", server_folder / "prometheus", server_folder / "store"
    data.mkdir()
    store.mkdir()
    token = modelport(home, "token", "create", "prometheus", "--scope", "operate:all")
    with (
        served(home, MODELPORT_STORE_URL=store.as_uri()) as target,
        prometheus_server(data, target, token, seconds=5) as prometheus,
    ):
        up = 'modelport_connection_up{to="store"}'
        assert until(lambda: [one["value"][1] for one in prometheus.values(up)] == ["1"], 30)
        assert "ModelportStoreUnreachable" not in _firing(prometheus)
        store.rename(store.with_name("unmounted"))
        store.write_text("a mount that is gone")
        assert until(lambda: "ModelportStoreUnreachable" in _firing(prometheus), 30)
        store.unlink()
        store.with_name("unmounted").rename(store)
        assert until(lambda: "ModelportStoreUnreachable" not in _firing(prometheus), 30)
        assert {rule["health"] for rule in _rules(prometheus)} == {"ok"}


def _failed(prometheus: PrometheusServer) -> int:
    return sum(int(one["value"][1]) for one in prometheus.values('modelport_ingestions_total{outcome="failed"}'))


def _rules(prometheus: PrometheusServer) -> list[dict[str, Any]]:
    return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]


def _firing(prometheus: PrometheusServer) -> set[str]:
    alerts = prometheus.ask("alerts")["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def _all_give_data(prometheus: PrometheusServer) -> bool:
    return not _without_data(prometheus)


def _without_data(prometheus: PrometheusServer) -> list[str]:
    """Return the recording rules that record nothing."""
    return [rule["record"] for rule in WRITTEN if "record" in rule and not prometheus.values(rule["record"])]
