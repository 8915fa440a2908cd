"""The tree on object storage: the contract suite on an imitation and on a real server, and what only S3 does."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from detectors.errors import TreeChanged, TreeLimit, TreeUnavailable
from detectors.tree import Passed
from tests.contracts.tree import Build, Change, ChangingTreeContract, TreeContract
from tests.servers.s3 import S3Server
from tests.servers.s3_proxy import Faults, s3_proxy
from worker.heartbeat import BeatingTree
from worker.s3_url import S3Url
from worker.storage.s3 import tree as tree_module
from worker.storage.s3.client import S3Connection
from worker.storage.s3.store import end_uploads
from worker.storage.s3.tree import S3Tree


class TestS3Tree(TreeContract, ChangingTreeContract):
    odd_names = (
        " spaces at both ends ",
        "модель/模型.onnx",
        "-rf",
        "back\\slash",
        "quote'\"`$(x)",
        ".hidden/.git",
        "n" * 255,
        "plus+and%2Fpercent%",
        "~/#?&=;:@,",
    )

    @pytest.fixture
    def build(self, connection: S3Connection, place: S3Url) -> Build:
        def build(files: Mapping[str, bytes]) -> S3Tree:
            for path, data in files.items():
                connection.client.put_object(Bucket=place.bucket, Key=f"{place.key}/{path}", Body=data)
            return S3Tree(connection, place)

        return build

    @pytest.fixture
    def change(self, connection: S3Connection, place: S3Url) -> Change:
        def change(path: str, content: bytes | None) -> None:
            key = f"{place.key}/{path}"
            if content is None:
                connection.client.delete_object(Bucket=place.bucket, Key=key)
            else:
                connection.client.put_object(Bucket=place.bucket, Key=key, Body=content)

        return change

    def test_a_key_that_is_no_path_of_a_file_is_told_and_never_becomes_one(self, connection: S3Connection, bucket: str) -> None:
        for key in ("m/ok", "m//x", "m/a/../../b", "m/./c", "m/folder/", "m/full/", "m/file", "m/file/below", "m/"):
            connection.client.put_object(Bucket=bucket, Key=key, Body=b"" if key in ("m/", "m/folder/") else b"1")
        with S3Tree(connection, S3Url(bucket, "m")) as tree:
            assert [entry.path for entry in tree.files()] == ["file/below", "ok"]
            assert [(one.path, one.why, one.reason) for one in tree.passed_over] == [
                ("./c", Passed.ODD_NAME, "a key that is no path of a file: one of its parts is '.'"),
                ("/x", Passed.ODD_NAME, "a key that is no path of a file: one of its parts is empty"),
                ("a/../../b", Passed.ODD_NAME, "a key that is no path of a file: one of its parts is '..'"),
                ("file", Passed.ODD_NAME, "a key that is no path of a file: other objects lie below it, as below a folder"),
                ("full/", Passed.ODD_NAME, "a key that is no path of a file: one of its parts is empty"),
            ]
            for path in ("/x", "a/../../b", "../m/ok", "file"):
                with pytest.raises(TreeChanged):
                    tree.read(path, 0, 1)

    def test_an_upload_that_is_under_way_is_told(
        self, connection: S3Connection, place: S3Url, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, keys = connection.client, (f"{place.key}/large", f"{place.key}-other/large")
        for key in keys:
            began = client.create_multipart_upload(Bucket=place.bucket, Key=key)
            client.upload_part(Bucket=place.bucket, Key=key, UploadId=began["UploadId"], PartNumber=1, Body=b"1")
        with S3Tree(connection, place) as tree:
            assert list(tree.files()) == []
            assert [(one.path, one.why) for one in tree.passed_over] == [("large", Passed.UNFINISHED)]
            monkeypatch.setattr(tree_module, "ABANDONED_SECONDS", -7200.0)
            assert list(tree.files()) == []
            assert [(one.path, one.why) for one in tree.passed_over] == [("large", Passed.SPECIAL)]
            assert "and is taken for abandoned" in tree.passed_over[0].reason

    def test_an_upload_whose_name_holds_a_control_character_hides_no_other(
        self, connection: S3Connection, place: S3Url
    ) -> None:
        """XML holds no such character, so the answer that names it cannot be read as it is."""
        for name in ("a\x01b +%41", "large"):
            with suppress(ClientError):
                connection.client.create_multipart_upload(Bucket=place.bucket, Key=f"{place.key}/{name}")
        with S3Tree(connection, place) as tree:
            assert list(tree.files()) == []
            assert {one.path for one in tree.passed_over} == {"a\ufffdb +%41", "large"}
            end_uploads(connection.client, place.bucket, f"{place.key}/")
            list(tree.files())
            assert "large" not in {one.path for one in tree.passed_over}

    def test_a_listing_gives_a_sign_of_life_for_each_page(
        self, connection: S3Connection, place: S3Url, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def small_pages(params: dict[str, Any], **_: object) -> None:
            params["MaxKeys"] = 2

        for number in range(5):
            connection.client.put_object(Bucket=place.bucket, Key=f"{place.key}/{number}", Body=b"1")
        connection.client.meta.events.register("before-parameter-build.s3.ListObjectsV2", small_pages)
        signs: list[int] = []
        with S3Tree(connection, place) as tree:
            first = next(BeatingTree(tree, lambda: signs.append(1)).files())
        assert first.path == "0"
        assert len(signs) == 3 + 1  # three pages, and the first file

    def test_an_object_of_several_parts_does_not_say_how_long_it_has_rested(
        self, connection: S3Connection, place: S3Url
    ) -> None:
        """Some servers give the time when its upload began."""
        client, at = connection.client, {"Bucket": place.bucket, "Key": f"{place.key}/large"}
        began = client.create_multipart_upload(**at)["UploadId"]
        etag = client.upload_part(**at, UploadId=began, PartNumber=1, Body=b"1")["ETag"]
        client.complete_multipart_upload(**at, UploadId=began, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
        client.put_object(Bucket=place.bucket, Key=f"{place.key}/small", Body=b"1")
        with S3Tree(connection, place) as tree:
            changed = {entry.path: entry.changed for entry in tree.files()}
        assert changed["large"] is None
        assert changed["small"] is not None

    def test_an_upload_whose_parts_may_not_be_listed_is_told(self, connection: S3Connection, place: S3Url) -> None:
        def refuse(**_: object) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListParts")

        connection.client.create_multipart_upload(Bucket=place.bucket, Key=f"{place.key}/large")
        connection.client.meta.events.register("before-call.s3.ListParts", refuse)
        with S3Tree(connection, place) as tree:
            assert list(tree.files()) == []
            assert [one.path for one in tree.passed_over] == ["large"]

    def test_many_small_files_are_let_go_when_they_take_too_much(
        self, connection: S3Connection, place: S3Url, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tree_module, "KEPT_BYTES", 10 * 4096)
        for number in range(30):
            connection.client.put_object(Bucket=place.bucket, Key=f"{place.key}/{number:02d}", Body=b"1")
        with S3Tree(connection, place) as tree:
            assert [tree.read(entry.path, 0, 9) for entry in tree.files()] == [b"1"] * 30
            assert len(tree._fetcher._pieces) <= 11

    @pytest.mark.slow
    def test_memory_does_not_grow_with_the_objects(self, connection: S3Connection, place: S3Url) -> None:
        size = 96 << 20
        connection.client.put_object(Bucket=place.bucket, Key=f"{place.key}/large", Body=bytes(size))
        with S3Tree(connection, place) as tree:
            assert list(tree.files())
            tracemalloc.start()
            try:
                for start in range(0, size, 1 << 20):
                    assert len(tree.read("large", start, start + (1 << 20))) == 1 << 20
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < 48 << 20
            assert tree.requests < 35

    @pytest.mark.slow
    def test_a_listing_of_2_500_objects_is_whole(self, connection: S3Connection, place: S3Url) -> None:
        def put(number: int) -> None:
            connection.client.put_object(Bucket=place.bucket, Key=f"{place.key}/{number:04d}", Body=b"%d" % number)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, range(2500)))
        with S3Tree(connection, place) as tree:
            assert [entry.path for entry in tree.files()] == [f"{number:04d}" for number in range(2500)]
            assert tree.read("2499", 0, 9) == b"2499"
        with pytest.raises(TreeLimit, match="more than 2000 files"):
            list(S3Tree(connection, place, max_files=2000).files())

    def test_the_first_bytes_of_an_object_cost_a_window_and_one_request(self, connection: S3Connection, place: S3Url) -> None:
        connection.client.put_object(Bucket=place.bucket, Key=f"{place.key}/large", Body=bytes(8 << 20))
        with S3Tree(connection, place) as tree:
            assert list(tree.files())
            for start in range(0, 60_000, 4096):
                tree.read("large", start, start + 4096)
            assert tree.requests == 1


@pytest.fixture
def faulty(s3: S3Server, connection: S3Connection) -> Iterator[tuple[S3Connection, Faults]]:
    """A connection through a proxy, and the faults that the proxy makes."""
    with s3_proxy(s3.port) as (url, faults):
        yield S3Connection(url, "us-east-1"), faults


@pytest.fixture
def lone(connection: S3Connection, place: S3Url) -> bytes:
    """The content of the one object below *place*, which is called `file`."""
    data = bytes(range(256)) * 4096
    connection.client.put_object(Bucket=place.bucket, Key=f"{place.key}/file", Body=data)
    return data


def test_an_answer_that_breaks_off_is_asked_for_again(faulty: tuple[S3Connection, Faults], place: S3Url, lone: bytes) -> None:
    connection, faults = faulty
    with S3Tree(connection, place) as tree:
        assert list(tree.files())
        faults.broken, faults.broken_after = 2, 300_000
        assert tree.read("file", 0, len(lone)) == lone
        assert faults.broken == 0


def test_an_answer_that_always_breaks_off_is_tree_unavailable(
    faulty: tuple[S3Connection, Faults], place: S3Url, lone: bytes
) -> None:
    connection, faults = faulty
    with S3Tree(connection, place) as tree:
        assert list(tree.files())
        faults.broken, faults.broken_after = 1000, 10
        with pytest.raises(TreeUnavailable, match="file: s3://"):
            tree.read("file", 0, len(lone))
        faults.broken = 0
        assert tree.read("file", 0, len(lone)) == lone


def test_a_server_that_asks_for_fewer_requests_is_asked_again_later(
    faulty: tuple[S3Connection, Faults], place: S3Url, lone: bytes
) -> None:
    connection, faults = faulty
    faults.slow_downs = 2
    with S3Tree(connection, place) as tree:
        assert [entry.size for entry in tree.files()] == [len(lone)]
        faults.slow_downs = 2
        assert tree.read("file", 0, 9) == lone[:9]
        faults.slow_downs = 1000
        with pytest.raises(TreeUnavailable, match="fewer requests"):
            tree.read("file", 900_000, 900_009)


def test_an_object_that_changes_between_listing_and_reading_is_tree_changed_though_the_server_knows_no_conditions(
    connection: S3Connection, place: S3Url, lone: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3Tree(connection, place) as tree:
        assert list(tree.files())
        client = connection.client
        client.put_object(Bucket=place.bucket, Key=f"{place.key}/file", Body=lone[::-1])

        def forget_condition(params: dict[str, Any], **_: object) -> None:
            params["headers"].pop("If-Match", None)

        client.meta.events.register("before-call.s3.GetObject", forget_condition)
        with pytest.raises(TreeChanged, match="not the object that was listed"):
            tree.read("file", 0, 9)
