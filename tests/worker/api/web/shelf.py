"""Versions as a list of models has them, put straight into the registry of a door."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from detectors.facts import ModelType
from tests.contracts.registry import claimed, new_version
from tests.worker.api.conftest import Door
from worker.records import ModelVersion

CLEAN = {"format": "onnx", "facts": {"parameters": {"stored": 1_235_496, "distinct": 1_235_496}, "opset_imports": {"": 7}}}


def report(
    model: Mapping[str, Any] = CLEAN,
    values: Sequence[Mapping[str, Any]] = (),
    findings: Sequence[Mapping[str, Any]] = (),
    problems: Sequence[Mapping[str, Any]] = (),
    unread: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return a scan report with one model."""
    return json.dumps(
        {
            "schema": "modelport.scan/1",
            "models": [{"primary": True, **model, "completeness": {"problems": list(problems)}}],
            "metrics": {"values": list(values)},
            "findings": list(findings),
            "coverage": {"inconclusive": list(unread)},
        }
    )


def put(
    door: Door,
    name: str,
    tags: Sequence[str] = (),
    team: str = "default",
    project: str = "vision",
    experiment: str | None = "es7q2m81xk4d",
    **judged: Any,
) -> ModelVersion:
    """Register another version of the model *name*, and give it *tags*."""
    number = sum(door.registry.queue(door.clock.now()).states.values())
    ingestion = claimed(door.registry, f"run {number}", name=name, team=team, project=project, experiment=experiment)
    given = {"model_type": ModelType.ONNX, "report": report(), "findings": ()} | judged
    registered = door.registry.register(
        ingestion.id, "me", new_version(ingestion, f"sha256:{number}", **given), door.clock.now()
    )
    assert registered is not None
    door.registry.tag(team, registered.version.id, tags, ())
    return registered.version


def finding(severity: str, rule: str = "tf-file-write") -> dict[str, Any]:
    """Return a finding of a report."""
    return {"rule": rule, "severity": severity, "path": "m", "place": "node w", "message": "writes a file"}
