"""Runs that were really scanned, in the registry and the store of a door as a worker would have left them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectors.local_tree import LocalTree
from detectors.report import scan_report, to_json
from detectors.scan import scan, worst_state
from tests.builders import events, onnx
from tests.contracts.registry import claimed, new_version
from tests.worker.api.conftest import Door
from worker.manifest import read_once
from worker.records import ModelVersion, Objection, StoreKey

ROOT = Path(__file__).parents[4]
DIGITS = ROOT / "examples" / "digits"


def ingest(door: Door, folder: Path, name: str, objection: Objection | None = None, **asked: Any) -> ModelVersion:
    """Register what lies in *folder* as the next version of the model *name*; *asked* is what its event says besides."""
    number = sum(door.registry.queue(door.clock.now()).states.values())
    said = {"experiment": f"run-{number}", "project": "vision", "model_path": str(folder)} | asked
    ingestion = claimed(door.registry, f"event {number}", name=name, **said)
    key = StoreKey(ingestion.event.team, ingestion.event.project, ingestion.event.experiment, ingestion.version_id)
    with LocalTree(folder) as tree:
        found, entries = scan(tree), list(tree.files())
        with door.store.writing(key) as open_sink:
            manifest, _ = read_once(tree, entries, open_sink, lambda entry: None, lambda count: None)
    primary = next(model for model in found.models if model.primary)
    version = new_version(
        ingestion,
        f"sha256:{number:064x}",
        model_type=primary.detection.model_type,
        format=primary.detection.format,
        location=folder.as_uri(),
        url=door.store.url(key),
        size_bytes=sum(file.size for file in manifest.files),
        completeness=worst_state(found).value,
        verdict=found.verdict.value,
        report=to_json(scan_report(found, str(folder)), indent=None),
        summary=found.metrics.summary,
        detail=found.metrics.detail,
        metadata_raw=found.metadata.raw,
        files=manifest.files,
        metrics=found.metrics.values,
        findings=found.findings,
        objection=objection,
    )
    registration = door.registry.register(ingestion.id, "me", version, door.clock.now())
    assert registration is not None
    return registration.version


def digits(folder: Path) -> Path:
    """Return a copy of the example run in *folder*."""
    return Path(shutil.copytree(DIGITS, folder))


def onnx_run(folder: Path, model: bytes, metrics: Mapping[str, list[float]] | None = None, file: str = "model.onnx") -> Path:
    """Return *folder* with one ONNX model, and an evaluation that reported these values at the steps 100, 200, …"""
    folder.mkdir(parents=True)
    (folder / file).write_bytes(model)
    if metrics:
        (folder / "eval").mkdir()
        scalars = [
            events.scalar(name, value, 100 * at) for name, values in metrics.items() for at, value in enumerate(values, 1)
        ]
        (folder / "eval" / "events.out.tfevents.1.host").write_bytes(events.event_file(events.file_version(), *scalars))
    return folder


def small(
    inputs: Sequence[bytes] = (onnx.value("x"),), outputs: Sequence[bytes] = (onnx.value("y"),), op: str = "Relu"
) -> bytes:
    """Return a small ONNX model with these inputs and outputs, and one node."""
    return onnx.model(onnx.graph(nodes=[onnx.node(op)], inputs=inputs, outputs=outputs))


def dangerous(folder: Path) -> Path:
    """Return a copy of one model of the example without its weights, and with a link that leaves the folder."""
    shutil.copytree(DIGITS / "1767261900", folder / "1")
    (folder / "1" / "variables" / "variables.data-00000-of-00001").unlink()
    os.symlink("/etc/passwd", folder / "away")
    return folder
