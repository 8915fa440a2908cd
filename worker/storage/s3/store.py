"""The store on object storage: each version a plain prefix that any tool can copy or serve.

In go the bytes of a version, file by file; out come URLs and trees. Every file goes up as it is read, in parts that are
checked by the digest which the server answers with. A version counts as there once the object `.complete` stands beside its
files; until then it is unfinished, whatever lies there. `.writing` names the try that has the place. A version that is written
anew, which only its own content is, stays there, and its files are replaced one by one at the end.

    <root>/<team>/<project>/<experiment or uploads>/<version id>/model/<path of the file>
                                                                /.complete
                                                                /.writing

Laws (each has a test of the same name):
    a process that is killed at any moment leaves nothing visible, or everything;
    what the server took is what was sent, or the version is not there;
    nothing is written or removed outside the version's own prefix;
    memory does not grow with the files.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from detectors.tree import FileEntry, readable
from worker.errors import NothingStored, RejectedLocation, StorageUnavailable
from worker.ports import Alive, OpenSink, Sink, silent
from worker.records import StoreKey
from worker.s3_url import MAX_KEY_BYTES, S3Url, parse_s3
from worker.storage.layout import MODEL, PREFIX_PARTS, file_parts, parts_of, prefix_parts, url_of
from worker.storage.s3.client import Kind, S3Connection, Trouble, exists, in_words, link_to, pages_below, shown, uploads_below
from worker.storage.s3.leftovers import taken_up
from worker.storage.s3.tree import S3Tree
from worker.storage.s3.upload import Leftover, ObjectSink, Uploader, stored

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

COMPLETE, WRITING = ".complete", ".writing"
"""Objects beside the files of a version: that all of them are there, and which try writes them."""

LAST_CHARACTER = "\U0010ffff"
"""Comes after every key below a prefix, so that a listing can go on behind it."""

NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that make the answers of a server unreadable which names the key. Source: XML 1.0, 2.2 "Characters"."""

REMOVE_ROUNDS = 4
"""How often what lies below a version is listed and removed: a try that is dying may still have written something."""

MAX_DELETED_AT_ONCE = 1000
"""Source: Amazon S3 API reference, DeleteObjects."""


class S3Store:
    """The versions below *root*. Processes and machines may share it."""

    def __init__(self, connection: S3Connection, root: S3Url) -> None:
        self._connection = connection
        self._root = root
        self._root_url = str(root)

    @contextmanager
    def writing(
        self, key: StoreKey, size_bytes: int = 0, alive: Alive = silent, earlier: Sequence[str] = ()
    ) -> Iterator[OpenSink]:
        """See `worker.ports.Store`. Nobody can tell beforehand what a bucket has room for."""
        url = self.url(key)
        with stored(url):
            client, place = self._client, S3Url(self._root.bucket, self._prefix(url))
            folders = [f"{self._prefix(one)}/{MODEL}/" for one in earlier]
        with Uploader(client, place.bucket) as uploader:
            incoming = _Incoming(client, place, uploader)
            try:
                with stored(url):
                    incoming.begin(folders, alive)
                yield incoming.open
                with stored(url):
                    incoming.publish(alive)
            except BaseException:
                incoming.discard()
                raise

    def takes_up(self) -> bool:
        """Say yes: what was sent once need not be sent again."""
        return True

    def url(self, key: StoreKey) -> str:
        """Return the `s3://` URL of the version's files: what stands in it is the key, letter by letter."""
        return url_of(self._root_url, prefix_parts(key))

    def opened(self, url: str) -> S3Tree:
        """Return the files of the version at *url*.

        Raises:
            StorageUnavailable: *url* is not one of this store, there is no whole version, or the server did not answer.
        """
        prefix = self._prefix(url)
        with stored(url):
            if not exists(self._client, self._root.bucket, f"{prefix}/{COMPLETE}"):
                raise NothingStored(f"{url}: there is nothing")
            return S3Tree(self._connection, S3Url(self._root.bucket, f"{prefix}/{MODEL}"))

    def remove(self, url: str) -> None:
        """Remove the objects of the version at *url*, finished or not, and end the uploads below it.

        Raises:
            StorageUnavailable: *url* is not one of this store, or they could not be removed. What is left is not visible.
        """
        prefix = self._prefix(url)
        with stored(url):
            self._client.delete_object(Bucket=self._root.bucket, Key=f"{prefix}/{COMPLETE}")
            end_uploads(self._client, self._root.bucket, f"{prefix}/")
            for _ in range(REMOVE_ROUNDS):
                keys = [one["Key"] for one in _listed(self._client, self._root.bucket, f"{prefix}/")]
                if not keys:
                    return
                delete(self._client, self._root.bucket, sorted(keys, key=lambda name: name.endswith(f"/{WRITING}")))
            raise StorageUnavailable(f"{url}: objects are still listed there after they were removed {REMOVE_ROUNDS} times")

    def prefixes(self) -> Iterable[tuple[str, str]]:
        """Return (version id, URL) of every version's prefix, in no order.

        Takes one request for 1,000 objects, or for one version that has more.
        """
        with stored(self._root_url):
            return [(url.split("/")[-2], url) for url in self._versions()]

    def download_link(self, url: str, path: str, seconds: int) -> str:
        """Return a link with which anybody may read the file *path* of the version at *url* for *seconds*.

        Raises:
            StorageUnavailable: *url* is not one of this store.
            ValueError: *path* is none of a file, or the time is longer than `MAX_LINK_SECONDS`.
        """
        return self._link("get_object", url, path, seconds)

    def upload_link(self, url: str, path: str, seconds: int) -> str:
        """Return a link with which anybody may write the file *path* of the version at *url*, with PUT, for *seconds*."""
        return self._link("put_object", url, path, seconds)

    def _link(self, call: str, url: str, path: str, seconds: int) -> str:
        key = "/".join((self._prefix(url), MODEL, *file_parts(path)))
        try:
            return link_to(self._client, call, self._root.bucket, key, seconds)
        except Trouble as exc:
            raise StorageUnavailable(exc.reason) from exc

    @property
    def _client(self) -> S3Client:
        return self._connection.client

    def _prefix(self, url: str) -> str:
        """Return the key of the version's prefix, without the slash at its end."""
        parts_of(self._root_url, url)
        return parse_s3(url.removesuffix(f"/{MODEL}")).key

    def _versions(self) -> Iterator[str]:
        root, after = f"{self._root.key}/" if self._root.key else "", ""
        while True:
            page = self._client.list_objects_v2(Bucket=self._root.bucket, Prefix=root, StartAfter=after)
            found: dict[str, None] = {}
            began = after
            for one in page.get("Contents", ()):
                parts = one["Key"].removeprefix(root).split("/")
                if len(parts) > PREFIX_PARTS:
                    found["/".join(parts[:PREFIX_PARTS])] = None
                after = one["Key"]
            for prefix in found:
                url = f"{self._root_url}/{prefix}/{MODEL}"
                with suppress(StorageUnavailable):
                    parts_of(self._root_url, url)
                    yield url
            if not page.get("IsTruncated"):
                return
            if found:
                after = max(after, f"{root}{next(reversed(found))}/{LAST_CHARACTER}")
            if after <= began:
                raise Trouble(Kind.AWAY, f"{self._root_url}: the listing does not get on after {shown(after)}")


class _Incoming:
    """A version that is being written below *place* by this try alone."""

    def __init__(self, client: S3Client, place: S3Url, uploader: Uploader) -> None:
        self._client = client
        self._bucket = place.bucket
        self._prefix = place.key
        self._uploader = uploader
        self._files = f"{place.key}/{MODEL}/"
        self._try = secrets.token_hex(8)
        self._is_anew = self._is_showing = False
        self._sinks: dict[str, ObjectSink] = {}
        self._unfinished: set[str] = set()
        self._leftovers: Mapping[str, Leftover] = {}

    def begin(self, earlier: Sequence[str], alive: Alive) -> None:
        """Take the place. Nothing is shown before the end; a whole version that is there stays until then.

        What dead attempts left below the keys *earlier* is copied from there.
        """
        self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{WRITING}", Body=self._try.encode())
        self._is_anew = exists(self._client, self._bucket, f"{self._prefix}/{COMPLETE}")
        self._leftovers = taken_up(self._uploader, earlier, alive)

    @contextmanager
    def open(self, entry: FileEntry) -> Iterator[Sink]:
        """Give the sink of one file. A file that fails spoils the version."""
        path = "/".join(file_parts(entry.path))
        self._check_key(path)
        if path in self._sinks:
            raise StorageUnavailable(f"{readable(path)}: was written already")
        sink = ObjectSink(self._uploader, self._key_of(path), entry.size, self._leftovers.get(path))
        self._sinks[path] = sink
        self._unfinished.add(path)
        yield sink
        sink.close()
        self._unfinished.remove(path)

    def publish(self, alive: Alive) -> None:
        """Make the version visible, when all of it has arrived as it was sent; *alive* is called for each file.

        Raises:
            StorageUnavailable: also where another try has the place now.
        """
        if self._unfinished:
            raise StorageUnavailable(f"{self._prefix}: {readable(min(self._unfinished))} was not written to its end")
        self._uploader.wait()
        self._check_ours()
        self._is_showing = True
        for sink in self._sinks.values():
            self._uploader.send(0, sink.finish)
            alive()
        self._uploader.wait()
        self._leave_only({self._key_of(path): sink for path, sink in self._sinks.items()}, alive)
        self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{COMPLETE}", Body=self._summary())
        self._check_ours()
        with suppress(StorageUnavailable), stored(self._prefix):  # all is there; the name of a try that is over does no harm
            self._client.delete_object(Bucket=self._bucket, Key=f"{self._prefix}/{WRITING}")

    def discard(self) -> None:
        """Remove what this try wrote. Where another has the place now, it and what is there are that one's."""
        self._uploader.cancel()
        for sink in self._sinks.values():
            sink.abort()
        with suppress(StorageUnavailable), stored(self._prefix):
            self._check_ours()
            if self._is_showing and not self._is_anew:
                self._client.delete_object(Bucket=self._bucket, Key=f"{self._prefix}/{COMPLETE}")
                delete(self._client, self._bucket, [*map(self._key_of, self._sinks)])
            self._client.delete_object(Bucket=self._bucket, Key=f"{self._prefix}/{WRITING}")

    def _key_of(self, path: str) -> str:
        return f"{self._files}{path}"

    def _check_key(self, path: str) -> None:
        """Raise where no key can be the place of the file *path*.

        Raises:
            RejectedLocation: its name is not UTF-8 or holds what no XML holds, or its key would be longer than
                `MAX_KEY_BYTES`.
        """
        if NOT_IN_XML.search(path):
            raise RejectedLocation(f"{readable(path)}: object storage takes no name with control characters; rename the file")
        try:
            length = len(self._key_of(path).encode())
        except UnicodeEncodeError as exc:
            raise RejectedLocation(
                f"{readable(path)}: object storage takes no name that is not UTF-8; rename the file"
            ) from exc
        if length > MAX_KEY_BYTES:
            advice = "shorten the names of its folders"
            raise RejectedLocation(f"{path}: its key would take {length} bytes, the most is {MAX_KEY_BYTES}; {advice}")

    def _check_ours(self) -> None:
        """Raise unless the place is still this try's."""
        try:
            with in_words(self._prefix), closing(self._held()) as body:
                if body.read() == self._try.encode():
                    return
        except Trouble as exc:
            if exc.kind is not Kind.GONE:
                raise
        raise StorageUnavailable(f"{self._prefix}: another process began to write the same version")

    def _held(self) -> StreamingBody:
        return self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{WRITING}")["Body"]

    def _leave_only(self, expected: Mapping[str, ObjectSink], alive: Alive) -> None:
        """Remove what an earlier try left, and raise unless the rest is what was sent."""
        found = {one["Key"]: one for one in _listed(self._client, self._bucket, self._files)}
        delete(self._client, self._bucket, [key for key in found if key not in expected])
        for key, sink in expected.items():
            if key not in found:
                raise StorageUnavailable(f"s3://{self._bucket}/{readable(key)}: was written and is not listed")
            sink.check(found[key]["ETag"], found[key]["Size"], alive)
        self._uploader.wait()

    def _summary(self) -> bytes:
        return json.dumps({"files": len(self._sinks), "try": self._try}).encode()


def end_uploads(client: S3Client, bucket: str, prefix: str) -> None:
    """End every upload in parts below *prefix*; what was sent of it is gone. Some servers do not let us see them."""
    try:
        with in_words(f"s3://{bucket}/{prefix}"):
            for upload in uploads_below(client, bucket, prefix):
                with suppress(client.exceptions.NoSuchUpload):
                    client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    except Trouble as exc:
        if exc.may_pass:
            raise


def delete(client: S3Client, bucket: str, keys: Sequence[str]) -> None:
    """Remove objects, the last ones last; those that are not there do not matter.

    Raises:
        Trouble: one could not be removed.
    """
    for start in range(0, len(keys), MAX_DELETED_AT_ONCE):
        chosen = keys[start : start + MAX_DELETED_AT_ONCE]
        try:
            with in_words(f"s3://{bucket}"):
                objects = [{"Key": key} for key in chosen]
                answer = client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})  # type: ignore[typeddict-item]
        except Trouble as exc:
            if exc.may_pass:
                raise
            _delete_singly(client, bucket, chosen)
            continue
        for error in answer.get("Errors", ()):
            place = f"s3://{bucket}/{readable(error.get('Key', ''))}"
            raise Trouble(Kind.REFUSED, f"{place}: could not be removed: {error.get('Code')}")


def _delete_singly(client: S3Client, bucket: str, keys: Sequence[str]) -> None:
    """Remove objects one by one, for a server that takes no list of them."""
    for key in keys:
        with in_words(f"s3://{bucket}/{readable(key)}"):
            client.delete_object(Bucket=bucket, Key=key)


def _listed(client: S3Client, bucket: str, prefix: str) -> Iterator[Mapping[str, Any]]:
    for page in pages_below(client, bucket, prefix):
        yield from page.get("Contents", ())
