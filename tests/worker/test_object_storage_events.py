"""A real gateway of Ceph tells a real API of the objects of a run, and a version comes of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest

from tests.servers.ceph import CephServer
from tests.servers.process import Server, until
from tests.servers.s3 import REGION
from tests.worker.test_cli_queue import CALL, answers
from worker.bootstrap import embedded
from worker.records import VersionQuery
from worker.runner import Runner

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


class Api(Server):
    """`modelport api` with the settings of this process."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [*CALL, "api", "--port", str(self.port)]

    def answers(self) -> bool:
        return answers(self.url)


@pytest.fixture
def bucket(ceph: CephServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket in which runs lie below `runs`."""
    bucket = ceph.new_bucket()
    for key, value in {
        "AWS_ACCESS_KEY_ID": ceph.access_key,
        "AWS_SECRET_ACCESS_KEY": ceph.secret_key,
        "MODELPORT_S3_ENDPOINT_URL": ceph.url,
        "MODELPORT_SETTLE_SECONDS": "3",
        "MODELPORT_S3_RUNS": json.dumps([{"path": f"s3://{bucket}/runs/{{experiment_id}}", "project": "digits"}]),
    }.items():
        monkeypatch.setenv(key, value)
    return bucket


@pytest.fixture
def api(bucket: str, tmp_path: Path) -> Iterator[Api]:
    server = Api(tmp_path)
    server.start()
    yield server
    server.stop()


def tell(ceph: CephServer, bucket: str, address: str) -> None:
    """Have the gateway tell *address* of every object that is created in *bucket*."""
    keys = {"aws_access_key_id": ceph.access_key, "aws_secret_access_key": ceph.secret_key}
    topics = boto3.client("sns", endpoint_url=ceph.url, region_name=REGION, **keys)
    arn = topics.create_topic(Name=bucket, Attributes={"push-endpoint": address})["TopicArn"]
    topics.close()
    told = {"TopicConfigurations": [{"Id": "modelport", "TopicArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    ceph.client().put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=told)  # type: ignore[arg-type]


def test_what_a_gateway_tells_of_a_run_becomes_one_version(ceph: CephServer, bucket: str, api: Api, tmp_path: Path) -> None:
    """The name of the run is one that other servers would encode."""
    tell(ceph, bucket, f"{api.url}/v1/completions")
    for path in (path for path in sorted(DIGITS.rglob("*")) if path.is_file()):
        ceph.client().put_object(Bucket=bucket, Key=f"runs/a+b é%25/{path.relative_to(DIGITS)}", Body=path.read_bytes())
    rows = httpx.get(f"{api.url}/v1/ingestions").json()["ingestions"]
    assert rows
    assert {(row["trigger"], row["experimentId"], row["projectId"]) for row in rows} == {("notification", "a+b é%25", "digits")}
    with embedded(os.environ, tmp_path) as service:
        runner = Runner(service.borders(), service.owner)
        assert until(
            lambda: (
                not runner.work_next()
                and set(service.registry.queue(service.clock.now()).states) <= {"registered", "unchanged"}
            ),
            90,
        )
        [version] = service.registry.versions(VersionQuery(team="default"))
        files = {file.path for file in service.registry.files(version.id)}
    assert version.location == f"s3://{bucket}/runs/a+b é%25"
    assert files == {str(path.relative_to(DIGITS)) for path in DIGITS.rglob("*") if path.is_file()}
