"""One server of each kind for all tests of a process, started when the first test asks for it.

They lie beside pytest's own folders, because those are closed to the user that PostgreSQL needs, and their paths too long
for a unix socket. A test that kills its server starts one of its own with the context managers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from botocore.loaders import JSONFileLoader

from tests.servers.ceph import CephServer, ceph_server, skip_without_ceph
from tests.servers.mlflow import MlflowServer, mlflow_server, skip_without_mlflow
from tests.servers.moto import MotoServer, moto_server
from tests.servers.postgresql import PostgresServer, postgres_server
from tests.servers.redis import RedisServer, redis_server
from tests.servers.s3 import S3Server


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A Redis for tests that leave it running."""
    with TemporaryDirectory(prefix="modelport-redis-") as folder, redis_server(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for tests that leave it running; each makes and drops databases of its own."""
    with TemporaryDirectory(prefix="modelport-postgres-") as folder, postgres_server(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def s3_described_once() -> Iterator[None]:
    """Has boto3 read its description of S3 once for all connections: for each it would take longer than most tests."""
    read = cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(JSONFileLoader, "load_file", lambda loader, path: read(path))
        yield


@pytest.fixture(scope="session")
def moto(s3_described_once: None) -> Iterator[MotoServer]:
    """An imitation of S3 for tests that leave it running; each makes buckets of its own."""
    with TemporaryDirectory(prefix="modelport-moto-") as folder, moto_server(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def ceph() -> Iterator[CephServer]:
    """A real S3 for slow tests that leave it running; each makes buckets of its own."""
    skip_without_ceph()
    with TemporaryDirectory(prefix="modelport-ceph-") as folder, ceph_server(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow() -> Iterator[MlflowServer]:
    """A real MLflow for slow tests that leave it running; each registers versions of its own."""
    skip_without_mlflow()
    with TemporaryDirectory(prefix="modelport-mlflow-") as folder, mlflow_server(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session", params=["moto", pytest.param("ceph", marks=pytest.mark.slow)])
def s3(request: pytest.FixtureRequest) -> S3Server:
    """Each S3 in turn, for what both have to do."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A folder for a server of one's own, removed afterwards."""
    with TemporaryDirectory(prefix="modelport-server-") as folder:
        yield Path(folder)
