"""What every S3 server of the tests offers, whichever program it is: an address, keys, a client, empty buckets, faults.

How it is started, and what it is to be believed in, is left to who derives from `S3Server`.
"""

from __future__ import annotations

import signal
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.servers.process import ENDS_WITH_ITS_THREAD, Server, is_listened_to

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"
"""The one where a bucket is made without naming a place."""

READ_SECONDS = 30.0

CLIENT = Config(
    region_name=REGION,
    s3={"addressing_style": "path"},  # names of buckets below 127.0.0.1 do not resolve
    retries={"total_max_attempts": 1},
    proxies={},
    connect_timeout=5,
)
"""A client that says at once what the server said."""


class S3Server(Server):
    """One process that speaks S3 on a loopback port. It ends with the thread that started it, however that ends."""

    started_through = ENDS_WITH_ITS_THREAD
    access_key = "modelport-tests"
    secret_key = "a secret that only tests know"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, secret_key: str | None = None, read_seconds: float = READ_SECONDS) -> S3Client:
        """Return a client that tries once, which the caller closes; with another secret where one is given."""
        keys = {"aws_access_key_id": self.access_key, "aws_secret_access_key": secret_key or self.secret_key}
        config = CLIENT.merge(Config(read_timeout=read_seconds))
        return self._session.client("s3", endpoint_url=self.url, config=config, **keys)

    @cached_property
    def _session(self) -> boto3.session.Session:
        """What reads the description of S3 once, not for each client."""
        return boto3.session.Session()

    def answers(self) -> bool:
        if not is_listened_to(self.port):
            return False
        with closing(self.client()) as client:
            try:
                client.list_buckets()
            except (BotoCoreError, ClientError):
                return False
        return True

    def new_bucket(self) -> str:
        """Make an empty bucket of a name that no other has, and return it. It goes with the server."""
        name = f"modelport-{uuid4().hex}"
        with closing(self.client()) as client:
            client.create_bucket(Bucket=name)
        return name

    def freeze(self) -> None:
        """Let it say no word: its connections stay, and the kernel goes on taking new ones for it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on where it stood."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None, "it was not started"
        self._process.send_signal(number)
