"""Connections to the S3 servers of the tests, and places of one's own on them."""

from __future__ import annotations

import pytest

from tests.servers.s3 import S3Server
from worker.s3_url import S3Url
from worker.storage.s3.client import S3Connection


@pytest.fixture(scope="session", autouse=True)
def described_once(s3_described_once: None) -> None:
    """Of whatever the connections of these tests lead to."""


@pytest.fixture
def connection(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Connection:
    """A connection with the keys of *s3*, as the environment gives them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    return S3Connection(s3.url, "us-east-1")


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.new_bucket()


@pytest.fixture
def place(bucket: str) -> S3Url:
    """A prefix that nobody has written to."""
    return S3Url(bucket, "runs/7 +é")
