"""Versions whose files lie in the store behind a door, as a worker would have left them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import Any

import httpx
import uvicorn

from detectors.tree import FileEntry
from tests.contracts.registry import claimed, new_version
from tests.servers.process import until
from tests.worker.api.conftest import Door
from worker.api.app import make_app
from worker.api.patience import PatientProtocol
from worker.records import FileDigest, ModelVersion, StoreKey

FILES = {"model/model.onnx": b"weights" * 300_000, "empty": b"", "a b/é.txt": b"0123456789"}

REPORT = json.dumps({"schema": "modelport.scan/1", "verdict": "clean", "models": [], "findings": []})


def put(
    door: Door,
    id: str = "run-1",
    files: Mapping[str, bytes] = FILES,
    team: str = "default",
    experiment: str = "mnist",
    **changes: Any,
) -> ModelVersion:
    """Return the registered version of an event *id* of the team with these files; *changes* are of the version."""
    ingestion = claimed(door.registry, id, team=team, name=id, experiment=experiment)
    key = StoreKey(team, ingestion.event.project, ingestion.event.experiment, ingestion.version_id)
    with door.store.writing(key) as open_sink:
        for path, data in files.items():
            with open_sink(FileEntry(path, len(data), "1")) as sink:
                sink.write(data)
    digests = tuple(FileDigest(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items())
    named: dict[str, Any] = {"url": door.store.url(key), "files": digests, "report": REPORT, **changes}
    registration = door.registry.register(ingestion.id, "me", new_version(ingestion, f"sha256:{id}", **named), door.clock.now())
    assert registration is not None
    return registration.version


def spoil(door: Door, version: ModelVersion, files: Mapping[str, bytes]) -> None:
    """Let the store hold *files* in place of those of *version*."""
    key = StoreKey(version.team, version.project, version.experiment, version.id)
    with door.store.writing(key) as open_sink:
        for path, data in files.items():
            with open_sink(FileEntry(path, len(data), "2")) as sink:
                sink.write(data)


@contextmanager
def serving(door: Door) -> Iterator[httpx.Client]:
    """Serve *door* on a socket while the block runs: only there is an end seen that comes too early."""
    server = uvicorn.Server(uvicorn.Config(make_app(door.service), port=0, log_level="critical", http=PatientProtocol))
    thread = Thread(target=server.run)
    thread.start()
    try:
        assert until(lambda: server.started, 20)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
