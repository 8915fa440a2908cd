"""What dead attempts left on object storage, made ready to be copied from.

In go the places of their files; out comes, for each path, the object there that holds most. An attempt completes its uploads
at its very end, so that one which is killed leaves parts: they are put together to an object where they are. A process that is
not dead after all finds its upload ended, and fails. How far an object holds the right bytes is left to who copies from it
(`upload`), and when it goes to who began the attempt (`worker.ingest`).

Law (with a test of the same name):
    what cannot be looked at is not taken up, and stops nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from worker.ports import Alive
from worker.storage.s3 import upload
from worker.storage.s3.client import Trouble, in_words, pages_below, uploads_below
from worker.storage.s3.upload import Leftover, Uploader

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

TOLD = frozenset({"PartNumber", "ETag", "Size"})
"""What a server must tell of a part, so that something can be made of it."""


def taken_up(uploader: Uploader, folders: Sequence[str], alive: Alive) -> Mapping[str, Leftover]:
    """Return the largest object at each path below one of *folders*, after putting together the parts of uploads there.

    What is shorter than a part is left out: to send it takes no more. Each folder takes a request for 1,000 objects and one
    for 1,000 uploads, each upload two more and one for 1,000 parts; *alive* is called for each of them.
    """
    client, bucket = uploader.client, uploader.bucket
    found: dict[str, Leftover] = {}
    for folder in folders:
        with suppress(Trouble), in_words(f"s3://{bucket}/{folder}"):
            for begun in uploads_below(client, bucket, folder):
                uploader.send(0, partial(_put_together, client, bucket, begun))
                alive()
            uploader.wait()
            for one in _objects_below(client, bucket, folder):
                path = one.key.removeprefix(folder)
                if one.size >= upload.PART_BYTES and (path not in found or found[path].size < one.size):
                    found[path] = one
        alive()
    return found


def _objects_below(client: S3Client, bucket: str, folder: str) -> Iterator[Leftover]:
    for page in pages_below(client, bucket, folder):
        yield from (Leftover(one["Key"], one["ETag"], one["Size"]) for one in page.get("Contents", ()))


def _put_together(client: S3Client, bucket: str, begun: Mapping[str, Any]) -> None:
    """Make an object of all parts of the upload *begun*, where they are worth a copy.

    One between them may be missing, which was under way with those behind it. Ceph takes all parts or none.
    """
    at = {"Bucket": bucket, "Key": begun["Key"], "UploadId": begun["UploadId"]}
    with suppress(Trouble), in_words(f"s3://{bucket}/{begun['Key']}"):
        pages = client.get_paginator("list_parts").paginate(**at)
        parts = [part for page in pages for part in page.get("Parts", ()) if part.keys() >= TOLD]
        if sum(part["Size"] for part in parts) >= upload.PART_BYTES:
            told: list[CompletedPartTypeDef] = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
            client.complete_multipart_upload(**at, MultipartUpload={"Parts": told})
