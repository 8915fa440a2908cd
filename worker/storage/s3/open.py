"""Opening a place on object storage that somebody named: a prefix is its tree, an object is the model that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from detectors.open import model_of_file
from detectors.scan import Scan, scan
from detectors.tree import FileTree
from worker.errors import NothingThere
from worker.s3_url import S3Url
from worker.storage.s3.client import S3Connection, Trouble, exists, in_words, uploads_below
from worker.storage.s3.tree import S3Tree, meaning

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@contextmanager
def open_s3(
    connection: S3Connection, place: S3Url, look: Callable[[FileTree], Scan] = scan, root: S3Url | None = None
) -> Iterator[FileTree]:
    """Give the tree of *place* and let go of it afterwards. *look* scans a lone object, as in `detectors.open`.

    Where a prefix and an object have the same name, it is the prefix. Objects around a lone one are looked at only where their
    prefix lies in *root*; None for everywhere.

    Raises:
        NothingThere: there is neither, or no such bucket.
        RejectedLocation: the server refuses us.
        TreeError: the storage did not answer.
        Exception: as *look*.
    """
    try:
        with in_words(str(place)):
            client = connection.client
            is_prefix = not place.key or _has_objects(client, place)
            is_object = not is_prefix and exists(client, place.bucket, place.key)
    except Trouble as exc:
        raise meaning("", exc) from exc
    if is_prefix:
        with S3Tree(connection, place) as tree:
            yield tree
    elif is_object:
        folder, _, name = place.key.rpartition("/")
        around = S3Url(place.bucket, folder)
        if root is not None and not f"{around}/".startswith(f"{root}/"):
            with S3Tree(connection, around, name) as tree:
                yield tree
            return
        with model_of_file(partial(S3Tree, connection, around, name), partial(S3Tree, connection, around), name, look) as tree:
            yield tree
    else:
        raise NothingThere(f"{place}: there is nothing at this prefix")


def _has_objects(client: S3Client, place: S3Url) -> bool:
    """Tell whether any object lies below *place*, or is being uploaded there."""
    below = f"{place.key}/"
    if client.list_objects_v2(Bucket=place.bucket, Prefix=below, MaxKeys=1).get("Contents"):
        return True
    try:
        with in_words(str(place)):
            return any(True for _ in uploads_below(client, place.bucket, below))
    except Trouble as exc:
        if exc.may_pass:
            raise
        return False
