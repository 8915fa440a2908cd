"""What dead tries left in the bucket is copied there and not sent again, and is believed by its digest alone."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from detectors.tree import FileEntry
from tests.contracts.store import read
from tests.servers.s3 import S3Server
from tests.servers.s3_proxy import Faults, Request, s3_proxy
from worker.records import StoreKey
from worker.s3_url import S3Url
from worker.storage.s3 import upload
from worker.storage.s3.client import S3Connection
from worker.storage.s3.leftovers import taken_up
from worker.storage.s3.store import S3Store
from worker.storage.s3.upload import Leftover, Uploader

DEAD, NEXT, THIRD = (StoreKey("team", "project", "run-7", f"mo{number}") for number in range(3))
PART = 5 << 20
SMALL = 1000
FILES: Mapping[str, bytes] = {
    "shard é+1": random.Random(1).randbytes(2 * PART + 7),
    "shard 2": random.Random(2).randbytes(2 * PART),
    "small": random.Random(3).randbytes(SMALL),
}
LENGTHS = (PART, PART, 7, PART, PART)
PARTS = len(LENGTHS)


@pytest.fixture(autouse=True)
def short_parts(connection: S3Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", PART)


@pytest.fixture
def root(bucket: str) -> S3Url:
    return S3Url(bucket, "models/kept here")


@pytest.fixture
def store(connection: S3Connection, root: S3Url) -> S3Store:
    return S3Store(connection, root)


@contextmanager
def counted(s3: S3Server, root: S3Url) -> Iterator[tuple[S3Store, Faults]]:
    """Give the store as it is reached through a proxy that counts."""
    with s3_proxy(s3.port) as (url, faults):
        yield S3Store(S3Connection(url, "us-east-1"), root), faults


def write(store: S3Store, key: StoreKey, *earlier: StoreKey, files: Mapping[str, bytes] = FILES) -> None:
    with store.writing(key, 0, lambda: None, [store.url(one) for one in earlier]) as open_sink:
        for path, data in files.items():
            with open_sink(FileEntry(path, len(data), "v1")) as sink:
                for start in range(0, len(data), 1 << 20):
                    sink.write(data[start : start + (1 << 20)])


def kill_when_sent(parts: int, s3: S3Server, root: S3Url) -> None:
    """Write the version `DEAD` in a child that is killed when *parts* parts have come, and the next one comes."""
    with s3_proxy(s3.port) as (url, faults):
        child = subprocess.Popen([sys.executable, "-c", WRITE, url, str(root)])
        seen = 0

        def hook(number: int, request: Request) -> None:
            nonlocal seen
            seen += is_part(request)
            if seen == parts + 1:
                child.kill()
                child.wait()

        faults.hook = hook
        assert child.wait() != 0
        faults.wait_until_quiet()


WRITE = """
import sys
from tests.worker.storage.s3.test_leftovers import DEAD, PART, write
from worker.s3_url import parse_s3
from worker.storage.s3 import upload
from worker.storage.s3.client import S3Connection
from worker.storage.s3.store import S3Store

upload.PART_BYTES = upload.MAX_BYTES_UNDER_WAY = PART
write(S3Store(S3Connection(sys.argv[1], "us-east-1"), parse_s3(sys.argv[2])), DEAD)
"""


def is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber=" in request.query


def begin(connection: S3Connection, root: S3Url, key: StoreKey, path: str, parts: Mapping[int, bytes]) -> None:
    """Leave an upload of *path* under way, as a process that is killed does."""
    at = place_of(root, key, path)
    upload_id = connection.client.create_multipart_upload(**at)["UploadId"]
    for number, data in parts.items():
        connection.client.upload_part(**at, UploadId=upload_id, PartNumber=number, Body=data)


def place_of(root: S3Url, key: StoreKey, path: str) -> Any:
    return {"Bucket": root.bucket, "Key": f"{root.key}/{key.team}/{key.project}/{key.experiment}/{key.version_id}/model/{path}"}


def parts_of(data: bytes) -> list[bytes]:
    return [data[start : start + PART] for start in range(0, len(data), PART)]


def left_in(connection: S3Connection, root: S3Url) -> list[str]:
    """Return the keys of all objects and of all uploads that are under way."""
    objects = connection.client.list_objects_v2(Bucket=root.bucket).get("Contents", [])
    uploads = connection.client.list_multipart_uploads(Bucket=root.bucket).get("Uploads", [])
    return sorted(one["Key"] for one in (*objects, *uploads))


@pytest.mark.parametrize("arrived", [3, *(pytest.param(number, marks=pytest.mark.slow) for number in (0, 1, 2, 4))])
def test_what_a_killed_process_sent_is_not_sent_again(
    s3: S3Server, connection: S3Connection, store: S3Store, root: S3Url, arrived: int
) -> None:
    kill_when_sent(arrived, s3, root)
    with counted(s3, root) as (next_store, faults):
        write(next_store, NEXT, DEAD)
    assert len([request for request in faults.requests if is_part(request)]) == PARTS
    assert faults.bytes_up < sum(LENGTHS[arrived + 1 :]) + SMALL + 200, "the part at which it was killed had come as well"
    assert read(store, store.url(NEXT)) == FILES
    store.remove(store.url(DEAD))
    store.remove(store.url(NEXT))
    assert left_in(connection, root) == []


NAME, DATA = "shard é+1", FILES["shard é+1"]
FIRST, SECOND, LAST = parts_of(DATA)


def sent(s3: S3Server, root: S3Url, *earlier: StoreKey) -> Sequence[int]:
    """Write the file and return the numbers of the parts that were sent with their bytes."""
    with counted(s3, root) as (next_store, faults):
        write(next_store, NEXT, *earlier, files={NAME: DATA})
        assert read(next_store, next_store.url(NEXT)) == {NAME: DATA}
    return [int(one.query.partition("partNumber=")[2]) for one in faults.requests if is_part(one) and one.size]


def test_a_first_attempt_makes_no_request_more(s3: S3Server, root: S3Url) -> None:
    with counted(s3, root) as (store, faults):
        write(store, NEXT, files={NAME: DATA})
    assert [request.method for request in faults.requests] == [
        *("PUT", "GET"),  # the name of the try; whether the version is there
        *("POST", "PUT", "PUT", "PUT"),
        *("GET", "POST", "GET"),  # whether the try has the place; the file is put together; the listing
        *("PUT", "GET", "DELETE"),  # the version is there; whether the try has the place; its name goes
    ]


def test_parts_behind_one_that_is_missing_are_sent_again(s3: S3Server, connection: S3Connection, root: S3Url) -> None:
    begin(connection, root, DEAD, NAME, {1: FIRST, 3: LAST})
    assert sorted(sent(s3, root, DEAD)) == [2, 3]


def test_what_is_copied_is_what_was_read_or_it_is_sent(s3: S3Server, connection: S3Connection, root: S3Url) -> None:
    """Somebody has changed what was left, in the middle or all of it."""
    connection.client.put_object(**place_of(root, DEAD, NAME), Body=FIRST + bytes(len(SECOND)) + LAST)
    assert 2 in sent(s3, root, DEAD)
    connection.client.put_object(**place_of(root, DEAD, NAME), Body=bytes(len(DATA)))
    assert sorted(sent(s3, root, DEAD)) == [1, 2, 3]


def test_the_attempt_that_came_furthest_is_taken_up(s3: S3Server, connection: S3Connection, root: S3Url) -> None:
    begin(connection, root, DEAD, NAME, {1: FIRST, 2: SECOND})
    begin(connection, root, THIRD, NAME, {1: FIRST})
    assert sent(s3, root, DEAD, THIRD) == [3]
    assert sent(s3, root, THIRD, DEAD) == [3]


def test_an_attempt_that_removes_what_it_left_meanwhile_does_no_harm(
    s3: S3Server, connection: S3Connection, store: S3Store, root: S3Url
) -> None:
    """A process that was not dead wakes up, and cleans up."""
    begin(connection, root, DEAD, NAME, {1: FIRST, 2: SECOND, 3: LAST})
    with counted(s3, root) as (next_store, faults):
        faults.hook = lambda number, request: store.remove(store.url(DEAD)) if is_part(request) else None
        write(next_store, NEXT, DEAD, files={NAME: DATA})
    assert read(store, store.url(NEXT)) == {NAME: DATA}


def test_what_is_shorter_than_a_part_is_left_out(connection: S3Connection, root: S3Url) -> None:
    put = connection.client.put_object(**place_of(root, DEAD, "whole"), Body=FIRST)
    connection.client.put_object(**place_of(root, DEAD, "small"), Body=b"small")
    begin(connection, root, DEAD, "begun", {1: FIRST[:-1]})
    folder, signs = place_of(root, DEAD, "")["Key"], list[int]()
    with Uploader(connection.client, root.bucket) as uploader:
        found = taken_up(uploader, [folder], lambda: signs.append(1))
    assert found == {"whole": Leftover(f"{folder}whole", put["ETag"], PART)}
    assert len(signs) == 2


def refuse(code: str) -> Any:
    def handler(**_: object) -> None:
        raise ClientError({"Error": {"Code": code}}, "any")

    return handler


def spoil(parsed: dict[str, Any], **_: object) -> None:
    parsed["CopyPartResult"]["ETag"] = '"no digest"'


@pytest.mark.parametrize(
    ("event", "handler"),
    [
        ("before-call.s3.ListMultipartUploads", refuse("AccessDenied")),
        ("before-call.s3.ListParts", refuse("NotImplemented")),
        ("before-call.s3.UploadPartCopy", refuse("NotImplemented")),
        ("after-call.s3.UploadPartCopy", spoil),
    ],
)
def test_what_cannot_be_looked_at_is_not_taken_up_and_stops_nobody(
    store: S3Store, connection: S3Connection, root: S3Url, event: str, handler: Any
) -> None:
    begin(connection, root, DEAD, NAME, {1: FIRST, 2: SECOND, 3: LAST})
    numbers = []
    connection.client.meta.events.register("before-call.s3.UploadPart", lambda **_: numbers.append(1))
    connection.client.meta.events.register(event, handler)
    write(store, NEXT, DEAD, files={NAME: DATA})
    assert len(numbers) == 3
    assert read(store, store.url(NEXT)) == {NAME: DATA}


def test_a_name_that_a_server_reads_otherwise_where_it_copies_is_kept_right(store: S3Store, connection: S3Connection) -> None:
    """Ceph 16 decodes the name of what it copies twice, and so finds nothing or another object."""
    odd, odd_next = (StoreKey("a team", "p/q", "100 %25", f"mo{number}") for number in range(2))
    write(store, odd, files={NAME: DATA})
    write(store, odd_next, odd, files={NAME: DATA})
    assert read(store, store.url(odd_next)) == {NAME: DATA}
