"""Real workers whose store is on object storage, and what may happen to both in the middle of an upload."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.builders import onnx
from tests.servers.ceph import CephServer
from tests.servers.process import until
from tests.servers.proxy import CuttingProxy
from tests.servers.s3_proxy import Request, s3_proxy
from tests.worker.test_cli_queue import CALL
from worker.bootstrap import Embedded, embedded
from worker.manifest import read_once
from worker.records import CompletionEvent, Ingestion, IngestionState, Trigger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.slow

WEIGHTS_BYTES = 44 << 20
"""Six parts."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An installation without a broker, whose store is a bucket behind a proxy."""

    service: Embedded
    environment: dict[str, str]
    bucket: str
    client: S3Client
    run: Path

    def accept(self) -> str:
        """Return the id of an accepted completion of the run."""
        event = CompletionEvent("t", "1", str(self.run), experiment="e7", trigger=Trigger.COMPLETION)
        return self.service.registry.submit(event, self.service.clock.now())[0].id

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen([*CALL, "worker"], env=self.environment, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)

    def stands(self, id: str) -> Ingestion:
        found = self.service.registry.ingestion("default", id)
        assert found is not None
        return found

    def uploads(self) -> list[str]:
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ())]

    def check(self, id: str) -> None:
        """The version that the ingestion *id* registered is whole, and the only thing in the bucket."""
        version_id = self.stands(id).answered_version
        assert version_id is not None
        with self.service.borders().store.opened(f"s3://{self.bucket}/kept/default/default/e7/{version_id}/model") as tree:
            kept, _ = read_once(tree, tuple(tree.files()), None, lambda entry: None, lambda count: None)
        assert list(kept.files) == list(self.service.registry.files(version_id))
        keys = [one["Key"] for one in self.client.list_objects_v2(Bucket=self.bucket)["Contents"]]
        assert {key.split("/")[4] for key in keys} == {version_id}
        assert self.uploads() == []


@contextmanager
def standing_at(url: str, ceph: CephServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standing]:
    bucket = ceph.new_bucket()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ceph.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ceph.secret_key)
    monkeypatch.setenv("MODELPORT_S3_ENDPOINT_URL", url)
    monkeypatch.setenv("MODELPORT_STORE_URL", f"s3://{bucket}/kept")
    run = onnx.run_at(home.parent / "run")
    (run / "weights.bin").write_bytes(os.urandom(WEIGHTS_BYTES))
    with embedded(os.environ, home.parent) as service:
        yield Standing(service, dict(os.environ), bucket, ceph.client(), run)


def test_a_worker_that_is_killed_in_the_middle_of_an_upload_leaves_its_work_to_the_next(
    ceph: CephServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_proxy(ceph.port) as (url, faults), standing_at(url, ceph, home, monkeypatch) as standing:
        id = standing.accept()
        with standing.worker() as mortal:

            def kill_at_a_part(number: int, request: Request) -> None:
                if "partNumber=4" in request.query:
                    subprocess.run(["pkill", "-KILL", "-P", str(mortal.pid)])
                    mortal.kill()

            faults.hook = kill_at_a_part
            assert until(lambda: mortal.poll() is not None, 60)
        faults.wait_until_quiet()
        faults.hook = lambda number, request: None
        assert len(standing.uploads()) == 1
        with standing.worker():
            assert until(lambda: standing.stands(id).state is IngestionState.REGISTERED, 60), standing.stands(id)
            assert standing.stands(id).attempts == 2
            assert until(lambda: standing.uploads() == [], 30)
        standing.check(id)


def test_a_network_that_is_cut_in_the_middle_of_an_upload_costs_time_and_nothing_else(
    ceph: CephServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = CuttingProxy(ceph.port)
    try:
        with standing_at(f"http://127.0.0.1:{proxy.port}", ceph, home, monkeypatch) as standing:
            id = standing.accept()
            with standing.worker():
                assert until(lambda: len(standing.uploads()) == 1, 60)
                proxy.cut()
                assert not until(lambda: standing.stands(id).state is IngestionState.REGISTERED, 3)
                proxy.heal()
                assert until(lambda: standing.stands(id).state is IngestionState.REGISTERED, 200), standing.stands(id)
            standing.check(id)
    finally:
        proxy.close()


def test_a_busy_server_is_asked_again(ceph: CephServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_proxy(ceph.port) as (url, faults), standing_at(url, ceph, home, monkeypatch) as standing:
        faults.slow_downs = 6
        id = standing.accept()
        with standing.worker():
            assert until(lambda: standing.stands(id).state is IngestionState.REGISTERED, 120), standing.stands(id)
        standing.check(id)
        assert faults.slow_downs == 0
