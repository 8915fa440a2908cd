"""The manifests of deploy/kubernetes, against the schemas of Kubernetes, and against ourselves. No cluster has run them yet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.test_compose import DOCKERFILE, PROJECT, check_command
from worker.api import health
from worker.api.server import GRACE_SECONDS
from worker.celery_app import SECONDS_PER_BELL
from worker.settings import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
BASE = FOLDER / "base"
VERSIONS = ("1.29", kubernetes_validate.latest_version())
"""The oldest and the newest Kubernetes whose schemas the manifests are held to."""

KUSTOMIZE, KEDA = "kustomize.config.k8s.io/v1beta1", "keda.sh/v1alpha1"


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


ALL = [(path, one) for path in sorted(FOLDER.rglob("*.yaml")) for one in documents(path)]
OWN = [one for path, one in ALL if path.parent == BASE and one["apiVersion"] != KUSTOMIZE]
PLAIN = [one for _, one in ALL if one["apiVersion"] not in (KUSTOMIZE, KEDA)]


def name_of(document: Mapping[str, Any]) -> str:
    return f"{document['kind']}-{document['metadata']['name']}"


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in PLAIN if name_of(one) == f"{kind}-{name}")
    return found


def pods() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every pod with the name of its component."""
    for one in OWN:
        spec = one.get("spec", {})
        spec = spec["jobTemplate"]["spec"] if one["kind"] == "CronJob" else spec
        if "template" in spec:
            yield one["metadata"]["labels"]["app.kubernetes.io/component"], spec["template"]["spec"]


PODS = dict(pods())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", PLAIN, ids=name_of)
def test_every_manifest_follows_the_schema_of_kubernetes(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_a_slip_in_a_manifest_would_be_noticed() -> None:
    slipped = yaml.safe_load(yaml.safe_dump(named("Deployment", "modelport-api")).replace("livenessProbe", "livenesProbe"))
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(slipped, VERSIONS[-1], strict=True)


def test_all_parts_are_there_and_named_by_the_kustomization() -> None:
    assert set(PODS) == {"migrate", "api", "worker", "watcher", "sweep"}
    (base,) = documents(BASE / "kustomization.yaml")
    files = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(base["resources"]) == files
    assert base["images"] == [{"name": "modelport", "newName": "modelport", "newTag": PROJECT["version"]}]
    assert base["labels"] == [{"pairs": {"app.kubernetes.io/name": "modelport"}, "includeSelectors": True}]
    for folder in ("hpa", "keda"):
        (overlay,) = documents(FOLDER / folder / "kustomization.yaml")
        assert overlay["resources"] == ["../base", "worker.yaml"]
        assert named("Deployment", overlay["patches"][0]["target"]["name"])["spec"]["replicas"] == 2


@pytest.mark.parametrize("component", PODS)
def test_every_command_is_one_of_ours_with_options_that_it_has(component: str) -> None:
    (container,) = PODS[component]["containers"]
    probes = [container[name]["exec"]["command"] for name in container if name.endswith("Probe") and "exec" in container[name]]
    for program, *words in [container["command"], *probes]:
        assert program == "modelport"
        check_command(tuple(words))


def test_every_probe_asks_for_an_address_that_the_api_has() -> None:
    (container,) = PODS["api"]["containers"]
    routes = {route.path for route in health.router.routes}  # type: ignore[attr-defined]
    probes = {name: one["httpGet"] for name, one in container.items() if name.endswith("Probe")}
    assert {name: one["path"] for name, one in probes.items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert {one["path"] for one in probes.values()} <= routes
    (port,) = container["ports"]
    assert {one["port"] for one in probes.values()} == {port["name"]}
    assert container["command"][container["command"].index("--port") + 1] == str(port["containerPort"])
    (service,) = named("Service", "modelport")["spec"]["ports"]
    (ingress,) = named("NetworkPolicy", "modelport-api")["spec"]["ingress"]
    assert service["targetPort"] == ingress["ports"][0]["port"] == port["name"]


def test_every_setting_is_one_of_ours_and_has_a_good_value(tmp_path: Path) -> None:
    settings = named("ConfigMap", "modelport")["data"] | named("Secret", "modelport")["stringData"]
    loaded = load(settings, tmp_path)
    (container,) = PODS["worker"]["containers"]
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    assert str(loaded.home) in mounted
    assert str(loaded.store_folder.parent if loaded.store_folder else None) in mounted
    assert {root.removesuffix("/{team}") for root in loaded.roots or ()} <= mounted
    assert not [name for name, value in named("ConfigMap", "modelport")["data"].items() if "PASSWORD" in value]


@pytest.mark.parametrize("component", PODS)
def test_a_pod_may_do_little_and_is_told_its_settings_and_nothing_else(component: str) -> None:
    pod = PODS[component]
    (container,) = pod["containers"]
    user = re.search(r"--uid (\d+)", DOCKERFILE)
    assert user is not None
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == int(user[1])
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "else the name of the service makes variables that begin as our settings do"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["envFrom"] == [{"configMapRef": {"name": "modelport"}}, {"secretRef": {"name": "modelport"}}]
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert all(one.get("readOnly") for one in container["volumeMounts"] if one["name"] in ("runs", "storage"))
    claims = [one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if "persistentVolumeClaim" in one]
    assert set(claims) <= {one["metadata"]["name"] for one in OWN if one["kind"] == "PersistentVolumeClaim"}


def test_each_may_end_what_it_has_begun() -> None:
    (api,) = PODS["api"]["containers"]
    paused = int(api["lifecycle"]["preStop"]["exec"]["command"][1])
    assert PODS["api"]["terminationGracePeriodSeconds"] > paused + GRACE_SECONDS
    assert PODS["worker"]["terminationGracePeriodSeconds"] > SECONDS_PER_BELL


def test_reads_are_never_down_while_pods_are_replaced_or_moved() -> None:
    spec = named("Deployment", "modelport-api")["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    for component in ("api", "worker"):
        budget = named("PodDisruptionBudget", f"modelport-{component}")["spec"]
        assert budget["minAvailable"] >= 1
        assert budget["selector"] == named("Deployment", f"modelport-{component}")["spec"]["selector"]


def test_workers_are_added_by_a_figure_that_the_server_tells() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    (metric,) = named("HorizontalPodAutoscaler", "modelport-worker")["spec"]["metrics"]
    (scaled,) = (one for _, one in ALL if one["apiVersion"] == KEDA)
    (trigger,) = scaled["spec"]["triggers"]
    assert metric["external"]["metric"]["name"] in told
    assert trigger["type"] == "prometheus"
    assert set(re.findall(r"modelport_\w+", trigger["metadata"]["query"])) == {"modelport_oldest_waiting_seconds"} & told
    assert scaled["kind"] == "ScaledObject"
    assert scaled["spec"]["scaleTargetRef"]["name"] == named("Deployment", "modelport-worker")["metadata"]["name"]
    assert trigger["metadata"]["threshold"] == metric["external"]["target"]["averageValue"]
