"""The store on object storage: the contract suite on an imitation and on a real server, and what only S3 does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import count
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.contracts.store import FILES, KEY, OTHER, StoreContract, is_visible, read, write
from tests.servers.ceph import CephServer
from tests.servers.moto import MotoServer
from tests.servers.s3 import S3Server
from tests.servers.s3_proxy import Request, s3_proxy
from worker.errors import RejectedLocation, StorageUnavailable
from worker.records import StoreKey
from worker.s3_url import S3Url
from worker.storage.s3 import upload
from worker.storage.s3.client import S3Connection
from worker.storage.s3.store import S3Store


class TestS3Store(StoreContract):
    @pytest.fixture
    def store(self, connection: S3Connection, bucket: str) -> S3Store:
        return S3Store(connection, S3Url(bucket, "models/kept here"))

    @staticmethod
    def is_refused(path: str) -> bool:
        return len(path) > 900 or "\udcff" in path

    @pytest.fixture(autouse=True)
    def skip_what_moto_cannot(self, request: pytest.FixtureRequest, s3: S3Server) -> None:
        if isinstance(s3, MotoServer) and "new\\nline" in request.node.name:
            pytest.skip("moto's server takes no line break in a URL")

    def test_nothing_is_written_or_removed_outside_the_versions_own_prefix(
        self, store: S3Store, connection: S3Connection, bucket: str
    ) -> None:
        client, prefix = connection.client, "models/kept here/team/project/run-7/"
        others = [f"{prefix}mo1a2b3c4d5e6f2/model/a", f"{prefix}mo1a2b3c4d5e6f-x", f"{prefix}mo1", "models/other"]
        for key in others:
            client.put_object(Bucket=bucket, Key=key, Body=b"theirs")
        began = client.create_multipart_upload(Bucket=bucket, Key=others[0])
        write(store, KEY, FILES)
        store.remove(store.url(KEY))
        assert keys_in(connection, bucket) == sorted(others)
        assert [one["UploadId"] for one in client.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [began["UploadId"]]

    def test_the_prefix_is_plain_and_the_url_is_its_key(self, store: S3Store, connection: S3Connection, bucket: str) -> None:
        url = write(store, StoreKey("a team", "p/q", None, "mo1"), {"saved_model.pb": b"graph", "variables/x y+z": b""})
        assert url == f"s3://{bucket}/models/kept here/a%2520team/p%252Fq/uploads/mo1/model"
        prefix = url.removeprefix(f"s3://{bucket}/").removesuffix("/model")
        assert keys_in(connection, bucket) == [
            f"{prefix}/.complete",
            f"{prefix}/model/saved_model.pb",
            f"{prefix}/model/variables/x y+z",
        ]

    def test_a_file_of_several_parts_comes_back(self, store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upload, "PART_BYTES", 5 << 20)
        data = bytes(range(256)) * 61_000
        assert read(store, write(store, KEY, {"large": data, "small": b"1"})) == {"large": data, "small": b"1"}

    def test_files_that_are_more_than_memory_holds_go_up_at_once_and_come_back(
        self, store: S3Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(upload, "MAX_HELD_BYTES", 10)
        files = {f"{number}": b"x" * number for number in range(9)}
        assert read(store, write(store, KEY, files)) == files

    def test_removing_ends_the_uploads_that_a_dead_try_left(
        self, store: S3Store, connection: S3Connection, bucket: str
    ) -> None:
        key = store.url(KEY).removeprefix(f"s3://{bucket}/") + "/large"
        connection.client.create_multipart_upload(Bucket=bucket, Key=key)
        connection.client.put_object(Bucket=bucket, Key=key.replace("/model/large", "/.writing"), Body=b"dead")
        assert list(store.prefixes()) == [(KEY.version_id, store.url(KEY))]
        store.remove(store.url(KEY))
        assert "Uploads" not in connection.client.list_multipart_uploads(Bucket=bucket)
        assert list(store.prefixes()) == []

    def test_versions_with_more_objects_than_a_page_are_listed_once_each(
        self, store: S3Store, connection: S3Connection, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def short_pages(params: dict[str, Any], **_: object) -> None:
            params["MaxKeys"] = 3

        keys = [StoreKey("t", "p", None, f"mo{number}") for number in range(5)]
        for key in keys:
            write(store, key, {f"{number}": b"" for number in range(7)})
        connection.client.meta.events.register("before-parameter-build.s3.ListObjectsV2", short_pages)
        assert sorted(store.prefixes()) == [(key.version_id, store.url(key)) for key in keys]

    def test_links_let_anybody_read_and_write_a_file_for_a_while(self, store: S3Store) -> None:
        url = write(store, KEY, {"folder/a b+c": b"content"})
        assert httpx.get(store.download_link(url, "folder/a b+c", 60)).content == b"content"
        assert httpx.put(store.upload_link(store.url(OTHER), "new", 60), content=b"sent").status_code == 200
        for seconds in (0, 8 * 86_400):
            with pytest.raises(ValueError, match="seconds: expected 1 to 604800"):
                store.download_link(url, "folder/a b+c", seconds)
        with pytest.raises(ValueError, match="not the path of a listed file"):
            store.download_link(url, "../../secret", 60)


def keys_in(connection: S3Connection, bucket: str) -> list[str]:
    return [one["Key"] for one in connection.client.list_objects_v2(Bucket=bucket).get("Contents", ())]


@pytest.fixture
def store(connection: S3Connection, bucket: str) -> S3Store:
    return S3Store(connection, S3Url(bucket, "models"))


def killed_at(number: int, address: str, store_root: S3Url) -> bool:
    """Write a version in a child that dies at its request *number*, and tell whether it came so far."""
    with s3_proxy(int(address.rpartition(":")[2])) as (url, faults):
        child = subprocess.Popen([sys.executable, "-c", WRITE, url, str(store_root)])

        def kill(count: int, request: Request) -> None:
            if count == number:
                child.kill()
                child.wait()

        faults.hook = kill
        was_killed = child.wait() != 0
        faults.wait_until_quiet()
        return was_killed


WRITE = """
import sys
from tests.contracts.store import FILES, KEY, write
from worker.s3_url import parse_s3
from worker.storage.s3 import upload
from worker.storage.s3.client import S3Connection
from worker.storage.s3.store import S3Store

upload.MAX_HELD_BYTES = 6
write(S3Store(S3Connection(sys.argv[1], "us-east-1"), parse_s3(sys.argv[2])), KEY, FILES)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_at_any_moment_leaves_nothing_visible_or_everything(
    s3: S3Server, connection: S3Connection, bucket: str
) -> None:
    seen = []
    for number in count():
        store = S3Store(connection, S3Url(bucket, f"try {number}"))
        was_killed = killed_at(number, s3.url, S3Url(bucket, f"try {number}"))
        seen.append(is_visible(store, KEY))
        if seen[-1]:
            assert read(store, store.url(KEY)) == FILES
        store.remove(store.url(KEY))
        assert list(store.prefixes()) == []
        assert read(store, write(store, KEY, FILES)) == FILES
        if not was_killed:
            break
    assert len(seen) > 10
    assert seen == sorted(seen)


def test_what_the_server_took_is_what_was_sent_or_the_version_is_not_there(
    moto: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit is flipped on the way in each request in turn; a server that checks signatures would refuse it itself."""
    monkeypatch.setattr(upload, "MAX_HELD_BYTES", 6)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.secret_key)
    with s3_proxy(moto.port) as (url, faults):
        store = S3Store(S3Connection(url, "us-east-1"), S3Url(moto.new_bucket(), "m"))
        for name in (name for name, data in FILES.items() if data):

            def spoil(number: int, request: Request, name: str = name) -> None:
                if request.method == "PUT" and request.path.endswith(f"/model/{name}"):
                    faults.spoiled = 1

            faults.hook = spoil
            with pytest.raises(StorageUnavailable, match="is read back as something else"):
                write(store, KEY, FILES)
            assert not is_visible(store, KEY)
        faults.hook = lambda number, request: None
        faults.spoiled = 0
        assert read(store, write(store, KEY, FILES)) == FILES


def test_a_server_that_answers_with_other_digests_is_asked_for_what_it_took(
    store: S3Store, connection: S3Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_back = []
    monkeypatch.setattr(upload, "_md5", lambda data: hashlib.blake2b(data, digest_size=16).digest())
    connection.client.meta.events.register("before-call.s3.GetObject", lambda **_: read_back.append(1))
    files = {"a": b"1", "large": bytes(range(256)) * 40_000}
    assert read(store, write(store, KEY, files)) == files
    assert len(read_back) == 2 + 3 + 2  # the name of the try twice, three parts to compare, each file here


def test_a_name_that_no_answer_could_hold_is_refused(store: S3Store) -> None:
    with pytest.raises(RejectedLocation, match="takes no name with control characters"):
        write(store, KEY, {"a\x01b": b"1"})
    assert not is_visible(store, KEY)


def test_bodies_are_not_hashed_for_a_signature_besides(store: S3Store, connection: S3Connection) -> None:
    hashes = []
    connection.client.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: hashes.append(request.headers["X-Amz-Content-SHA256"])
    )
    write(store, KEY, FILES)
    assert set(hashes) == {b"UNSIGNED-PAYLOAD"}


def test_a_version_whose_last_answer_was_lost_is_whole_or_gone(store: S3Store, connection: S3Connection, bucket: str) -> None:
    """The server has taken `.complete`, and nobody hears of it: what is not registered must not look like a version."""

    def lose(params: dict[str, Any], **_: object) -> None:
        if params["url_path"].endswith("/.complete"):
            raise EndpointConnectionError(endpoint_url="lost")

    def lose_answer(http_response: Any, **_: object) -> None:
        if "/.complete" in str(http_response.url):
            raise EndpointConnectionError(endpoint_url="lost")

    events = connection.client.meta.events
    for event, handler in (("before-call.s3.PutObject", lose), ("after-call.s3.PutObject", lose_answer)):
        events.register(event, handler)
        with pytest.raises(StorageUnavailable, match="no server answers"):
            write(store, KEY, FILES)
        assert not is_visible(store, KEY)
        assert keys_in(connection, bucket) == []
        events.unregister(event, handler)


def test_a_version_is_there_though_the_name_of_its_try_could_not_be_removed(store: S3Store, connection: S3Connection) -> None:
    def fail(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="lost")

    connection.client.meta.events.register("before-call.s3.DeleteObject", fail)
    assert read(store, write(store, KEY, FILES)) == FILES


def test_a_version_is_removed_though_uploads_may_not_be_listed(store: S3Store, connection: S3Connection, bucket: str) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListMultipartUploads")

    connection.client.meta.events.register("before-call.s3.ListMultipartUploads", refuse)
    store.remove(write(store, KEY, FILES))
    assert keys_in(connection, bucket) == []


def test_a_try_that_fails_sends_nothing_more(store: S3Store, connection: S3Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_HELD_BYTES", 0)
    calls = []

    def fail(**_: object) -> None:
        calls.append(1)
        raise EndpointConnectionError(endpoint_url="lost")

    connection.client.meta.events.register("before-call.s3.UploadPart", fail)
    with pytest.raises(StorageUnavailable, match="no server answers"):
        write(store, KEY, {f"{number}": b"1" for number in range(300)})
    assert len(calls) <= 2 * upload.AT_ONCE


@pytest.mark.slow
def test_memory_does_not_grow_with_the_files(ceph: CephServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE_LARGE, ceph.url, ceph.new_bucket()],
        env=keys_of(ceph),
        check=True,
        text=True,
        capture_output=True,
    )
    small, large = map(int, done.stdout.split())
    assert large < 150_000
    assert large - small < 70_000


WRITE_LARGE = """
import re, sys
from detectors.tree import FileEntry
from worker.records import StoreKey
from worker.s3_url import S3Url
from worker.storage.s3.client import S3Connection
from worker.storage.s3.store import S3Store

store = S3Store(S3Connection(sys.argv[1], "us-east-1"), S3Url(sys.argv[2], "m"))
chunk = bytes(1 << 20)
for name, count in (("mo1", 1), ("mo2", 512)):
    with store.writing(StoreKey("t", "p", None, name)) as open_sink, open_sink(FileEntry("large", count << 20, "")) as sink:
        for _ in range(count):
            sink.write(chunk)
    print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""


def keys_of(server: S3Server) -> dict[str, str]:
    return os.environ | {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
