"""`modelport models links`: anybody reads the files of a version for a while."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from tests.builders import onnx
from tests.worker.conftest import json_of
from tests.worker.test_object_storage import Bucket, bucket, complaint
from worker.cli import run

__all__ = ["bucket"]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    run = onnx.run_at(tmp_path / "net")
    (run / "notes é+.txt").write_text("trained on a Tuesday")
    return run


@pytest.mark.parametrize("mode", ["copy", "reference"])
def test_a_link_leads_to_the_bytes_whose_digest_stands_beside_it(
    bucket: Bucket, mode: str, net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_STORE_URL", f"{bucket.url}/kept")
    monkeypatch.setenv("MODELPORT_STORE_MODE", mode)
    json_of(capsys, "ingest", bucket.put(net, "runs/net"), "--name", "net")
    given = json_of(capsys, "models", "links", "net", "--expires", "60")
    assert [file["path"] for file in given["files"]] == ["model.onnx", "notes é+.txt"]
    for file in given["files"]:
        content = httpx.get(file["url"]).content
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
    assert run(["models", "links", "net"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [httpx.get(line).status_code for line in lines] == [200, 200]


def test_no_link_is_given_to_what_is_gone_or_changed(
    bucket: Bucket, net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_STORE_URL", f"{bucket.url}/kept")
    json_of(capsys, "ingest", net, "--name", "net")
    (key,) = [key for key in bucket.objects() if key.endswith("model.onnx")]
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"another")
    assert "1 file (model.onnx) is not what was registered" in complaint(capsys, "models", "links", "net")
    bucket.client.delete_object(Bucket=bucket.name, Key=key)
    assert "1 file (model.onnx) is gone" in complaint(capsys, "models", "links", "net")


def test_no_link_is_given_to_what_is_kept_on_disk(home: Path, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "ingest", net, "--name", "net")
    assert "links are given for what is on object storage alone" in complaint(capsys, "models", "links", "net")


@pytest.mark.parametrize("seconds", ["0", "604801", "soon"])
def test_a_link_lasts_for_seven_days_at_most(home: Path, seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "links", "net", "--expires", seconds]) == 4
