"""What answers at the address of an S3 server, and is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from detectors.errors import TreeUnavailable
from tests.contracts.store import KEY, write
from worker.errors import StorageUnavailable
from worker.s3_url import S3Url
from worker.storage.s3.client import S3Connection
from worker.storage.s3.store import S3Store
from worker.storage.s3.tree import S3Tree

PAGE = b"<html><body><h1>Welcome</h1></body></html>"
LISTING = (
    b"<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>"
    b"<Contents><Key>runs/7/model.onnx</Key><Size>3</Size>%s</Contents></ListBucketResult>"
)
MODIFIED = b"<LastModified>2026-01-02T03:04:05.000Z</LastModified>"


@contextmanager
def answering(body: bytes) -> Iterator[S3Connection]:
    """Serve *body* with status 200, whatever is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield S3Connection(f"http://127.0.0.1:{server.server_port}", "us-east-1")
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize(
    ("body", "lacks"),
    [
        (PAGE, "Name"),
        (LISTING % MODIFIED, "Contents/ETag"),
        (LISTING % b"<ETag>&quot;1&quot;</ETag>", "Contents/LastModified"),
    ],
)
def test_an_answer_that_is_no_listing_is_no_empty_prefix(body: bytes, lacks: str) -> None:
    with answering(body) as connection, pytest.raises(TreeUnavailable) as raised:
        list(S3Tree(connection, S3Url("bucket", "runs/7")).files())
    assert f"the answer to ListObjectsV2 lacks {lacks}; is there an S3 server at its address?" in str(raised.value)


def test_a_page_for_people_takes_no_copy() -> None:
    with answering(PAGE) as connection, pytest.raises(StorageUnavailable, match="PutObject lacks ETag"):
        write(S3Store(connection, S3Url("bucket", "kept")), KEY, {"a": b"1"})
