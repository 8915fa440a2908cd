"""What answers at the address of an S3 server and is none, or a broken one, or one that means ill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from itertools import count
from threading import Event
from typing import Any

import pytest

from detectors.errors import TreeChanged, TreeUnavailable, Unreadable
from detectors.tree import Passed
from tests.contracts.store import KEY, write
from tests.servers.http import QuietHandler, serving
from worker.errors import StorageUnavailable
from worker.s3_url import S3Url
from worker.storage.s3 import client as client_module
from worker.storage.s3 import tree as tree_module
from worker.storage.s3.client import S3Connection
from worker.storage.s3.store import S3Store
from worker.storage.s3.tree import S3Tree

PLACE = S3Url("bucket", "runs/7")
PAGE = b"<html><body><h1>Welcome</h1></body></html>"
ETAG = "<ETag>&quot;1&quot;</ETag>"
MODIFIED = "<LastModified>2026-01-02T03:04:05.000Z</LastModified>"

Answer = Callable[[str, str], tuple[int, Mapping[str, str], bytes]]
"""Takes method and path with query; gives status, headers and body."""


def listing(*contents: str, more: str = "<IsTruncated>false</IsTruncated>") -> bytes:
    inner = "".join(f"<Contents>{one}</Contents>" for one in contents)
    return f"<ListBucketResult><Name>bucket</Name>{more}{inner}</ListBucketResult>".encode()


def entry(key: str = "runs/7/model.onnx", size: object = 30, etag: str = ETAG, modified: str = MODIFIED) -> str:
    return f"<Key>{key}</Key><Size>{size}</Size>{etag}{modified}"


@contextmanager
def answering(answer: Answer | bytes, drip_bytes: int = 1 << 20, drip_seconds: float = 0.0) -> Iterator[S3Connection]:
    """Serve what *answer* gives, or with status 200 always the same; a few bytes at a time, with a pause after each."""
    over = Event()
    given: Answer = (lambda method, path: (200, {}, answer)) if isinstance(answer, bytes) else answer

    class Handler(QuietHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, body = given(self.command, self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                for start in range(0, len(body), drip_bytes):
                    self.wfile.write(body[start : start + drip_bytes])
                    over.wait(drip_seconds)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        try:
            yield S3Connection(f"http://127.0.0.1:{server.server_port}", "us-east-1")
        finally:
            over.set()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize(
    ("body", "lacks"),
    [
        (PAGE, "Name"),
        (listing(entry(etag="")), "Contents/ETag"),
        (listing(entry(modified="")), "Contents/LastModified"),
        (listing(entry(), more="<IsTruncated>true</IsTruncated>"), "NextContinuationToken"),
        (listing(entry(size=-1)), "a size"),
    ],
)
def test_an_answer_that_is_no_listing_or_half_of_one_is_not_taken(body: bytes, lacks: str) -> None:
    with answering(body) as connection, pytest.raises(TreeUnavailable) as raised:
        list(S3Tree(connection, PLACE).files())
    assert f"the answer to ListObjectsV2 lacks {lacks}; is there an S3 server at its address?" in str(raised.value)


@pytest.mark.parametrize("body", [listing(entry(size="many")), listing(entry(modified="<LastModified>soon</LastModified>"))])
def test_numbers_and_dates_that_are_none_are_told_in_words(body: bytes) -> None:
    with answering(body) as connection, pytest.raises(TreeUnavailable, match="no answer that can be used"):
        list(S3Tree(connection, PLACE).files())


def test_a_page_for_people_takes_no_copy() -> None:
    with answering(PAGE) as connection, pytest.raises(StorageUnavailable, match="PutObject lacks ETag"):
        write(S3Store(connection, S3Url("bucket", "kept")), KEY, {"a": b"1"})


def test_an_object_that_is_listed_twice_changed_meanwhile() -> None:
    with answering(listing(entry(), entry(size=31))) as connection, pytest.raises(TreeChanged, match="listed twice"):
        list(S3Tree(connection, PLACE).files())


def test_a_listing_that_does_not_get_on_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_EMPTY_PAGES", 3)
    tokens = count()

    def answer(method: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
        token = f"<NextContinuationToken>{next(tokens)}</NextContinuationToken>"
        return 200, {}, listing(more=f"<IsTruncated>true</IsTruncated>{token}")

    with answering(answer) as connection, pytest.raises(TreeUnavailable, match="4 pages of the listing in a row were empty"):
        list(S3Tree(connection, PLACE).files())


def test_a_server_that_always_lists_from_the_beginning_is_not_asked_for_ever() -> None:
    key = "kept/default/default/e1/mo1a2b3c4d5e6f/model/a"
    token = "<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>"
    with answering(listing(entry(key), more=token)) as connection, pytest.raises(StorageUnavailable, match="does not get on"):
        list(S3Store(connection, S3Url("bucket", "kept")).prefixes())


@pytest.mark.parametrize("given", ["bytes 0-9/30", "bytes 5-14/31", "bytes 5-13/30", "nonsense"])
def test_bytes_of_another_place_are_not_taken(given: str) -> None:
    """The server gives as many bytes as were asked for, and says that they are from elsewhere."""

    def answer(method: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
        if "list-type" in path:
            return 200, {}, listing(entry())
        if "uploads" in path:
            return 403, {}, b"<Error><Code>AccessDenied</Code></Error>"
        return 206, {"ETag": '"1"', "Content-Range": given}, bytes(10)

    with answering(answer) as connection, S3Tree(connection, PLACE) as tree:
        list(tree.files())
        with pytest.raises(Unreadable, match="were asked for"):
            tree.read("model.onnx", 5, 15)


@pytest.mark.slow
def test_who_is_interrupted_does_not_wait_for_bytes_that_drip() -> None:
    def answer(method: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
        if "list-type" in path:
            return 200, {}, listing(entry(size=600))
        if "uploads" in path:
            return 403, {}, b"<Error><Code>AccessDenied</Code></Error>"
        return 206, {"ETag": '"1"', "Content-Range": "bytes 0-599/600"}, bytes(600)

    with answering(answer, drip_bytes=400, drip_seconds=15.0) as connection:
        told = os.environ | {"MODELPORT_S3_ENDPOINT_URL": connection.client.meta.endpoint_url}
        scanning = subprocess.Popen(
            [sys.executable, "-m", "worker.start", "scan", "s3://bucket/runs/7"], env=told, stderr=subprocess.PIPE, text=True
        )
        time.sleep(8.0)
        assert scanning.poll() is None
        scanning.send_signal(signal.SIGINT)
        assert scanning.communicate(timeout=5)[1].endswith("modelport: stopped\n")
        assert scanning.returncode == 130


def test_a_long_code_of_an_error_is_cut() -> None:
    def answer(method: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
        return 400, {}, b"<Error><Code>%s\x7f</Code></Error>" % (b"A" * 100_000)

    with answering(answer) as connection, pytest.raises(Exception, match=r"the server says A{80}$"):
        list(S3Tree(connection, PLACE).files())


def test_memory_does_not_grow_with_the_folders_above_each_object() -> None:
    objects = {
        "/".join("d" * 500) + f"/{number}": {"Size": 1, "ETag": "1", "LastModified": datetime.now(UTC)}
        for number in range(2000)
    }
    tracemalloc.start()
    try:
        entries, odd = tree_module._files_of(objects)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(entries), odd) == (2000, [])
    assert peak < 4 << 20


def test_a_mark_for_a_folder_hides_no_file() -> None:
    def answer(method: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
        no_uploads = b"<ListMultipartUploadsResult><Bucket>bucket</Bucket></ListMultipartUploadsResult>"
        return 200, {}, no_uploads if "uploads" in path else listing(entry(), entry("runs/7/model.onnx/", 0))

    with answering(answer) as connection, S3Tree(connection, PLACE) as tree:
        assert [one.path for one in tree.files()] == ["model.onnx"]


def test_a_fresh_upload_is_seen_behind_many_that_nobody_goes_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    old = [{"Key": f"runs/7/{number:03d}", "UploadId": "1", "Initiated": now - timedelta(days=9)} for number in range(5)]
    fresh: dict[str, Any] = {"Key": "runs/7/z", "UploadId": "2", "Initiated": now - timedelta(minutes=1)}
    monkeypatch.setattr(tree_module, "MAX_UPLOADS", 2)
    monkeypatch.setattr(tree_module, "uploads_below", lambda client, bucket, prefix: iter([*old, fresh]))

    def answer(method: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
        if "uploadId" in path:
            return 200, {}, b"<ListPartsResult><Bucket>bucket</Bucket></ListPartsResult>"
        return 200, {}, listing()

    with answering(answer) as connection, S3Tree(connection, PLACE) as tree:
        list(tree.files())
        assert [one.path for one in tree.passed_over if one.why is Passed.UNFINISHED] == ["z"]
        assert len([one for one in tree.passed_over if one.why is Passed.SPECIAL]) == 5
