"""Whether a store can be used, asked of real folders and of a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.s3 import S3Server
from worker.connections import Answer
from worker.s3_url import S3Url
from worker.storage import probe
from worker.storage.probe import look_at_folder, look_at_place
from worker.storage.s3.client import S3Connection


def test_a_folder_tells_the_room_of_its_volume(tmp_path: Path) -> None:
    room = look_at_folder(tmp_path).room
    assert room is not None
    assert 0 < room.free_bytes <= room.size_bytes


def test_a_folder_that_is_still_to_be_made_can_be_used_where_it_can_be_made(tmp_path: Path) -> None:
    assert look_at_folder(tmp_path / "a" / "b").trouble is None
    assert not (tmp_path / "a").exists()


def test_what_is_no_folder_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder")
    for folder in (tmp_path / "store", tmp_path / "store" / "below"):
        assert look_at_folder(folder).trouble == (
            f"{folder}: Not a directory; see that the folder of the store is there and can be written to"
        )


def test_a_link_that_leads_nowhere_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(tmp_path / "away")
    assert "No such file or directory" in str(look_at_folder(tmp_path / "store").trouble)


def test_a_folder_that_may_not_be_written_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.os, "access", lambda path, mode: False)
    assert look_at_folder(tmp_path) == Answer(
        f"{tmp_path}: Permission denied; let the user that runs the worker write there", None
    )


def test_a_bucket_is_reached_and_one_that_is_not_there_is_told(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    connection = S3Connection(s3.url, None, 5.0, attempts=1)
    connection.client.create_bucket(Bucket="probed")
    assert look_at_place(connection, S3Url("probed", "kept")) == Answer()
    assert look_at_place(connection, S3Url("nobody", "kept")).trouble == (
        "s3://nobody/kept: there is no such bucket; check its name, MODELPORT_S3_ENDPOINT_URL and the region"
    )
