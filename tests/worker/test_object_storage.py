"""Models on object storage, from the command line to the bucket and back."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import onnx
from tests.servers.process import free_port, until
from tests.servers.s3 import S3Server
from tests.worker.api.client import Client
from tests.worker.conftest import json_of
from tests.worker.test_s3_events import record
from worker.api.app import make_app
from worker.api.server import service_of_embedded
from worker.bootstrap import embedded
from worker.cli import run
from worker.errors import RejectedLocation
from worker.ingest import ingest
from worker.records import CompletionEvent, Location, StoreMode, Trigger, VersionQuery
from worker.runner import Runner
from worker.tidying import Tidying

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket that the commands of this test reach."""

    client: S3Client
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, folder: Path, prefix: str) -> str:
        """Upload the files below *folder*, and return the URL of their prefix."""
        for path in (path for path in folder.rglob("*") if path.is_file()):
            self.client.put_object(Bucket=self.name, Key=f"{prefix}/{path.relative_to(folder)}", Body=path.read_bytes())
        return f"{self.url}/{prefix}"

    def objects(self, prefix: str = "") -> list[str]:
        listed = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [one["Key"].removeprefix(prefix) for one in listed.get("Contents", ())]


@pytest.fixture
def bucket(s3: S3Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    monkeypatch.setenv("MODELPORT_S3_ENDPOINT_URL", s3.url)
    return Bucket(s3.client(), s3.new_bucket())


def without_place(report: dict[str, Any]) -> dict[str, Any]:
    """Return what of *report* does not depend on where the files lie, or on how long it took."""
    return {key: value for key, value in report.items() if key in ("models", "metrics", "metadata", "findings", "verdict")}


def test_a_scan_sees_on_object_storage_what_it_sees_on_disk(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    there = json_of(capsys, "scan", bucket.put(DIGITS, "runs/digits 7"))
    here = json_of(capsys, "scan", DIGITS)
    assert len(there["models"]) > 3
    assert without_place(there) == without_place(here)


def test_a_lone_object_is_the_model_that_it_belongs_to(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    url = bucket.put(DIGITS, "runs/digits")
    alone = json_of(capsys, "scan", f"{url}/digits.onnx")
    assert [model["format"] for model in alone["models"]] == ["onnx"]
    assert alone["read"]["files"] == 1
    part = json_of(capsys, "scan", f"{url}/digits/model.ckpt-1200.index")
    assert [model["format"] for model in part["models"]] == ["tensorflow_checkpoint"]
    assert part["models"][0]["completeness"]["state"] == "complete"


def test_what_lies_around_a_lone_object_is_looked_at_in_its_root_only(bucket: Bucket, tmp_path: Path) -> None:
    """A checkpoint's index names its data; the prefix around is another team's where a sender names the object itself."""
    bucket.put(DIGITS / "digits", "runs")
    url, root = f"{bucket.url}/runs/model.ckpt-1200.index", f"{bucket.url}/runs"
    with embedded(os.environ, tmp_path) as service:
        with service.open_location(Location(url, url, StoreMode.REFERENCE, root)) as tree:
            assert len(list(tree.files())) > 1
        with service.open_location(Location(url, url, StoreMode.REFERENCE, url)) as tree:
            assert [entry.path for entry in tree.files()] == ["model.ckpt-1200.index"]


def test_a_prefix_is_referenced_and_looked_at_once(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    url = bucket.put(DIGITS, "runs/digits")
    first = json_of(capsys, "ingest", url, "--experiment", "e7")
    assert (first["version"]["store"], first["version"]["url"]) == ("reference", url)
    again = json_of(capsys, "ingest", f"{url}/", "--experiment", "e7")
    assert (again["ingestion"]["state"], again["ingestion"]["reason"]) == ("unchanged", "same-listing")
    bucket.client.put_object(Bucket=bucket.name, Key="runs/digits/new.txt", Body=b"1")
    changed = json_of(capsys, "ingest", url, "--experiment", "e7")
    assert changed["version"]["number"] == 2


@pytest.mark.parametrize("source", ["disk", "bucket"])
def test_a_copy_is_kept_checked_downloaded_and_removed(
    bucket: Bucket, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_STORE_URL", f"{bucket.url}/kept")
    monkeypatch.setenv("MODELPORT_STORE_MODE", "copy")
    path = str(DIGITS) if source == "disk" else bucket.put(DIGITS, "runs/digits")
    version = json_of(capsys, "ingest", path, "--project", "numbers", "--experiment", "e7")["version"]
    prefix = f"kept/default/numbers/e7/{version['id']}/"
    assert version["url"] == f"{bucket.url}/{prefix}model"
    files = sorted(str(file.relative_to(DIGITS)) for file in DIGITS.rglob("*") if file.is_file())
    assert bucket.objects(prefix) == [".complete", *(f"model/{file}" for file in files)]
    assert {check["state"] for check in json_of(capsys, "doctor", "--digests")["checks"]} == {"ok"}
    assert run(["models", "download", version["id"], "--to", str(tmp_path / "back")]) == 0
    assert {file: (tmp_path / "back" / file).read_bytes() for file in files} == {
        file: (DIGITS / file).read_bytes() for file in files
    }
    assert run(["models", "delete", version["id"], "--yes"]) == 0
    assert bucket.objects("kept/") == []


def test_a_copy_that_was_changed_in_the_bucket_is_found_and_not_downloaded(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_STORE_URL", bucket.url)
    version = json_of(capsys, "ingest", onnx.run_at(tmp_path / "net"))["version"]
    key = next(key for key in bucket.objects() if key.endswith("model.onnx"))
    size = bucket.client.head_object(Bucket=bucket.name, Key=key)["ContentLength"]
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=bytes(size))
    checks = {check["name"]: check["state"] for check in json_of(capsys, "doctor", "--digests", status=1)["checks"]}
    assert (checks["copies"], checks["digests of copies"]) == ("ok", "trouble")
    assert run(["models", "download", version["id"], "--to", str(tmp_path / "back")]) == 2
    assert not (tmp_path / "back").exists()


KEPT_BELOW = {"copy": "kept/", "reference": "runs/"}


@pytest.mark.parametrize("mode", KEPT_BELOW)
def test_an_object_that_was_deleted_behind_a_version_is_named(
    bucket: Bucket, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_STORE_URL", f"{bucket.url}/kept")
    monkeypatch.setenv("MODELPORT_STORE_MODE", mode)
    (onnx.run_at(tmp_path / "net") / "notes.txt").write_text("trained on a Tuesday")
    version = json_of(capsys, "ingest", bucket.put(tmp_path / "net", "runs/net"))["version"]
    (key,) = [key for key in bucket.objects() if key.endswith("notes.txt") and key.startswith(KEPT_BELOW[mode])]
    bucket.client.delete_object(Bucket=bucket.name, Key=key)
    said = complaint(capsys, "models", "download", version["id"], "--to", str(tmp_path / "back"))
    assert f"{version['id']}: 1 file (notes.txt) is gone; `modelport doctor` tells what is missing" in said


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what a command says that ends with an error, in one line."""
    capsys.readouterr()
    assert run(list(words)) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return " ".join((captured.out + captured.err).split())


def test_what_is_not_there_is_told(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{bucket.url}/nothing: there is nothing at this prefix" in complaint(capsys, "scan", f"{bucket.url}/nothing")
    said = complaint(capsys, "scan", "s3://modelport-no-such-bucket/x")
    assert "s3://modelport-no-such-bucket/x: there is no such bucket; check its name" in said
    assert "there is no such bucket" in complaint(capsys, "ingest", "s3://modelport-no-such-bucket/x")
    assert "one of its parts is '..'" in complaint(capsys, "scan", f"{bucket.url}/a/../b")


@pytest.mark.slow
def test_a_wrong_secret_is_told(
    s3: S3Server, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if type(s3).__name__ == "MotoServer":
        pytest.skip("moto takes every secret for right")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "the secret key does not belong to the access key" in complaint(capsys, "scan", f"{bucket.url}/x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert "the server does not know the access key" in complaint(capsys, "scan", f"{bucket.url}/x")
    monkeypatch.setenv("MODELPORT_STORE_URL", f"{bucket.url}/kept")
    assert "the server does not know the access key" in complaint(capsys, "ingest", str(DIGITS))


def test_missing_credentials_and_a_server_that_is_away_are_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    port = free_port()
    monkeypatch.setenv("MODELPORT_S3_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    assert "no credentials; set AWS_ACCESS_KEY_ID" in complaint(capsys, "scan", "s3://bucket/x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    told = complaint(capsys, "scan", "s3://bucket/x")
    assert f"no server answers at 127.0.0.1:{port}; check MODELPORT_S3_ENDPOINT_URL" in told
    monkeypatch.setenv("MODELPORT_S3_ENDPOINT_URL", "http://[bad")
    for url in ("s3://bucket", "s3://bucket/x"):
        assert "MODELPORT_S3_ENDPOINT_URL: Invalid" in complaint(capsys, "scan", url)
    monkeypatch.setenv("MODELPORT_S3_ENDPOINT_URL", "not an address")
    assert "MODELPORT_S3_ENDPOINT_URL: expected http" in complaint(capsys, "scan", "s3://bucket/x")


def test_the_place_of_our_own_store_is_not_ingested(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELPORT_STORE_URL", f"{bucket.url}/kept/here")
    with embedded(os.environ, tmp_path) as service:
        for url in (bucket.url, f"{bucket.url}/kept"):
            with pytest.raises(RejectedLocation, match="holds modelport's own files"):
                service.open_location(Location(url, url, StoreMode.COPY))


def test_what_lies_in_our_own_store_is_not_referenced(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELPORT_STORE_URL", f"{bucket.url}/kept")
    url = f"{bucket.url}/kept/default/default/e1/mo123456789012/model"
    with embedded(os.environ, tmp_path) as service, pytest.raises(RejectedLocation, match="lies in modelport's own store"):
        service.open_location(Location(url, url, StoreMode.REFERENCE))


def test_the_files_of_a_deleted_version_go_though_its_deleter_died(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_STORE_URL", f"{bucket.url}/kept")
    run_folder = str(onnx.run_at(tmp_path / "net"))
    gone, stays = (json_of(capsys, "ingest", run_folder, "--experiment", one)["version"]["id"] for one in ("e1", "e2"))
    with embedded(os.environ, tmp_path) as service:
        service.registry.delete("default", gone, service.clock.now())
        tidying = Tidying()
        tidying.look(service.borders())
        assert bucket.objects(f"kept/default/default/e1/{gone}/")
        tidying.look(service.borders())
    assert bucket.objects(f"kept/default/default/e1/{gone}/") == []
    assert bucket.objects(f"kept/default/default/e2/{stays}/")


def test_drift_in_a_bucket_is_found_by_size_by_etag_and_when_it_is_gone(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = bucket.put(onnx.run_at(tmp_path / "net"), "runs/net")
    version = json_of(capsys, "ingest", url)["version"]["id"]
    key = next(key for key in bucket.objects() if key.endswith(".onnx"))
    body = bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read()

    def found(status: int) -> str:
        json_of(capsys, "doctor", "--drift", status=status)
        return str(json_of(capsys, "models", "show", version)["version"]["drift"]["state"])

    assert found(0) == "fine"
    for other, state in ((body + b"1", "changed"), (body[:-1] + bytes([body[-1] ^ 1]), "touched")):
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=other)
        assert found(1) == state
    bucket.client.delete_object(Bucket=bucket.name, Key=key)
    assert found(1) == "missing"
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body)
    assert found(0) == "fine"


def test_an_upload_that_is_under_way_is_waited_for(bucket: Bucket, tmp_path: Path) -> None:
    """A writer sends a better model in parts, in place of the one that is there, and is slow to say that it is done."""
    client, at = bucket.client, {"Bucket": bucket.name, "Key": "runs/7/model.onnx"}
    url = bucket.put(onnx.run_at(tmp_path / "net"), "runs/7")
    upload = client.create_multipart_upload(**at)["UploadId"]
    better = onnx.model(ir=9)
    part = client.upload_part(**at, UploadId=upload, PartNumber=1, Body=better)
    told = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    writer = threading.Timer(2.0, lambda: client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=told))
    seen: list[str] = []
    with embedded(os.environ | {"MODELPORT_SETTLE_SECONDS": "0.5"}, tmp_path) as service:
        writer.start()
        event = CompletionEvent(source="t", id="1", model_path=url, experiment="e7", trigger=Trigger.CLI)
        version = ingest(event, service.borders(step=seen.append)).version
        assert version is not None
        files = service.registry.files(version.id)
    writer.join()
    assert any("model.onnx is being uploaded since" in step for step in seen)
    assert [file.sha256 for file in files if file.path == "model.onnx"] == [hashlib.sha256(better).hexdigest()]


def test_a_marker_ends_the_wait_though_an_upload_is_under_way_which_the_report_names(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = bucket.put(onnx.run_at(tmp_path / "net"), "runs/7")
    late = {"Bucket": bucket.name, "Key": "runs/7/late.onnx"}
    upload = bucket.client.create_multipart_upload(**late)["UploadId"]
    bucket.client.upload_part(**late, UploadId=upload, PartNumber=1, Body=b"half")
    bucket.client.put_object(Bucket=bucket.name, Key="runs/7/_SUCCESS", Body=b"")
    report = json_of(capsys, "ingest", url, status=2)
    assert (report["ingestion"]["state"], report["verdict"]) == ("registered", "inconclusive")
    assert [one["path"] for one in report["coverage"]["inconclusive"]] == ["late.onnx"]


def test_what_object_storage_tells_of_a_run_becomes_one_version(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each object of a run is told of, some twice and in two messages; a message of a later period finds nothing new."""
    runs = json.dumps([{"path": f"{bucket.url}/runs/{{experiment_id}}", "project": "digits"}])
    monkeypatch.setenv("MODELPORT_S3_RUNS", runs)
    monkeypatch.setenv("MODELPORT_SETTLE_SECONDS", "1")
    url = bucket.put(DIGITS, "runs/digits 7")
    keys = [f"runs/digits+7/{key}" for key in bucket.objects("runs/digits 7/")]
    told = [record(key, bucket=bucket.name, time="2026-11-20T12:00:05.123Z") for key in keys]
    later = record(keys[0], bucket=bucket.name, time="2026-11-20T12:00:06.123Z")
    with embedded(os.environ, tmp_path) as service:
        client = Client(make_app(service_of_embedded(service, lambda: None, "127.0.0.1")))
        runner = Runner(service.borders(), service.owner)

        def tell(*records: object) -> tuple[dict[str, Any], str]:
            """Return the answer to a message, and how the ingestion in it ended."""
            answer = client.post("/v1/completions", {"Records": records})
            assert (answer.status_code, answer.json()["passedOver"]) == (202, 0)
            [accepted] = answer.json()["ingestions"]
            assert until(lambda: not runner.work_next() and is_over(accepted["id"]), 60)
            return accepted, client.get(f"/v1/ingestions/{accepted['id']}").json()["state"]

        def is_over(id: str) -> bool:
            return client.get(f"/v1/ingestions/{id}").json()["state"] not in ("received", "waiting", "running")

        first, state = tell(*told, *told[:2])
        assert (first["known"], state) == (False, "registered")
        assert tell(told[-1]) == ({"id": first["id"], "state": "registered", "known": True}, "registered")
        second, state = tell(later)
        assert (second["known"], state) == (False, "unchanged")
        [version] = service.registry.versions(VersionQuery(team="default"))
    assert (version.location, version.project, version.experiment, version.number) == (url, "digits", "digits 7", 1)
