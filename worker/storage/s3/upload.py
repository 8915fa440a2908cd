"""Files on their way up: cut into parts, several of them at once, each checked by what the server says it took.

A part that a dead attempt has sent before is copied by the server, and not sent again. It is read and reckoned all the same:
the server answers with the digest of what it copied, and a part that is not the one which was just read is sent.

In go the bytes of files in order; out come objects. Each is checked by its ETag in a listing, which is made of the MD5 of its
parts; where it is made of something else (encryption by a key, gateways), the object is read back and compared. No server that
was tried refused a wrong checksum in a header, so none is sent; not every one tells the ETag when an upload is completed.

Laws (each has a test of the same name):
    what the server took is what was sent, or the version is not there;
    what is copied is what was read, or it is sent;
    memory does not grow with the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Condition
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from detectors.tree import readable
from worker import bound
from worker.errors import StorageUnavailable
from worker.ports import Alive
from worker.storage.s3.client import Kind, Trouble, in_words

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

T = TypeVar("T")

PART_BYTES = 8 << 20
"""A file up to this goes up in one request, a longer one in parts of it."""

MAX_PARTS = 10_000
"""Parts that one object may have; a file with more than so many of `PART_BYTES` gets longer ones. Source: Amazon S3 limits."""

AT_ONCE = 16
"""Requests under way at once, as far as their bytes are few: 10,000 small files take as many requests at the end."""

MAX_BYTES_UNDER_WAY = 4 * PART_BYTES
"""Bytes under way at once: they are in memory, and four parts fill most networks."""

MAX_HELD_BYTES = 16 << 20
"""Small files that wait in memory for the end, when each takes one request. What is more goes up as one part, in three."""


class Uploader:
    """Sends with a few threads. The first error is raised when the next thing is sent, or waited for."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self.client = client
        self.bucket = bucket
        self._pool = ThreadPoolExecutor(AT_ONCE, "s3 uploads")
        self._room = Condition()
        self._under_way = self._count = 0
        self._held_bytes = 0
        self._sent: list[Future[Any]] = []
        self._spare: list[bytearray] = []

    def buffer(self, size: int) -> bytearray:
        """Return *size* bytes of memory, of which those are taken first that were given back: new ones cost half a copy."""
        return self._spare.pop() if self._spare and len(self._spare[-1]) == size else bytearray(size)

    def give_back(self, buffer: bytearray) -> None:
        """Let *buffer* be taken again."""
        self._spare.append(buffer)

    def send(self, size: int, call: Callable[[], T]) -> Future[T]:
        """Let *call* run soon, which sends *size* bytes; come back once there is room for them."""
        self._check()
        with self._room:
            self._room.wait_for(lambda: self._has_room(size))
            self._under_way += size
            self._count += 1
        future = self._pool.submit(bound.here(self._run, size, call))
        self._sent.append(future)
        return future

    def _has_room(self, size: int) -> bool:
        return self._count < AT_ONCE and (not self._under_way or self._under_way + size <= MAX_BYTES_UNDER_WAY)

    def may_hold(self, size: int) -> bool:
        """Tell whether there is room for *size* bytes to wait in memory, and take it."""
        has_room = self._held_bytes + size <= MAX_HELD_BYTES
        self._held_bytes += size if has_room else 0
        return has_room

    def wait(self) -> None:
        """Come back once all that was sent has arrived.

        Raises:
            Exception: the first that any of it raised.
        """
        wait(self._sent)
        self._check()

    def cancel(self) -> None:
        """Begin nothing more, and come back once what was begun is over, well or not."""
        for future in self._sent:
            future.cancel()
        wait(self._sent)

    def _run(self, size: int, call: Callable[[], T]) -> T:
        try:
            return call()
        finally:
            with self._room:
                self._under_way -= size
                self._count -= 1
                self._room.notify_all()

    def _check(self) -> None:
        """Raise what one of those that are done raised; forget the others that are done."""
        under_way = []
        for future in self._sent:
            if future.done():
                future.result()
            else:
                under_way.append(future)
        self._sent = under_way

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Part:
    """What arrived of an object: the server's word for it, its MD5 before it was sent, and its length."""

    etag: str
    md5: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object that an earlier attempt left: it may be equal to the one that is to be written, or begin like it."""

    key: str
    etag: str
    size: int


class ObjectSink:
    """Takes the bytes of one object of *size* bytes in order. Nothing of it is seen before `finish`.

    What of it *leftover* holds already, at the same place, is copied from there.
    """

    def __init__(self, uploader: Uploader, key: str, size: int, leftover: Leftover | None = None) -> None:
        self._uploader = uploader
        self._client = uploader.client
        self._bucket = uploader.bucket
        self._key = key
        self._place = readable(f"s3://{uploader.bucket}/{key}")
        self._part_bytes = part_bytes(size)
        self._buffer = uploader.buffer(self._part_bytes) if size > self._part_bytes else bytearray()
        self._leftover = leftover
        self._held_bytes = self._sent_bytes = 0
        self._upload_id: str | None = None
        self._parts: list[Future[_Part]] = []
        self._arrived: list[_Part] = []

    def write(self, data: bytes) -> None:
        """Take the next bytes. Comes back late where the server is slower."""
        while self._held_bytes + len(data) > self._part_bytes:
            room = self._part_bytes - self._held_bytes
            self._hold(data[:room])
            self._send_part()
            self._buffer = self._uploader.buffer(self._part_bytes)
            data = data[room:]
        self._hold(data)

    def close(self) -> None:
        """There is no more: send what is left, or hold it until the end."""
        if self._upload_id is not None or not self._uploader.may_hold(self._held_bytes):
            self._send_part()

    def finish(self) -> None:
        """Wait for what was sent, and make the object visible."""
        if self._upload_id is None:
            self._arrived = [self._put(self._taken())]
        else:
            self._arrived = [part.result() for part in self._parts]
            self._complete(self._arrived, self._upload_id)

    def check(self, etag: str, size: int, alive: Alive) -> None:
        """Raise unless the object, which is listed with *etag* and *size* bytes, is what was sent.

        Where the ETag does not tell, the object is read back part by part; *alive* is called for each, and what is found is
        raised when the uploader is waited for.

        Raises:
            StorageUnavailable: it is something else.
        """
        digests = [part.md5 for part in self._arrived]
        is_lone = self._upload_id is None
        expected = digests[0].hex() if is_lone else f"{_md5(b''.join(digests)).hex()}-{len(digests)}"
        if etag.strip('"') != expected:
            self._read_back(etag, size, alive)

    def abort(self) -> None:
        """Forget the parts that were sent; harmless where there are none."""
        if self._upload_id is not None:
            with suppress(StorageUnavailable), stored(self._place):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)

    def _hold(self, data: bytes) -> None:
        """Keep *data* behind what is kept; a buffer of a small file grows with it."""
        self._buffer[self._held_bytes : self._held_bytes + len(data)] = data
        self._held_bytes += len(data)

    def _taken(self) -> bytearray:
        """Return what is kept, and keep nothing."""
        buffer, size = self._buffer, self._held_bytes
        self._buffer, self._held_bytes = bytearray(), 0
        if size == len(buffer):
            return buffer
        data = buffer[:size]
        self._uploader.give_back(buffer)
        return data

    def _send_part(self) -> None:
        if self._upload_id is None:
            with stored(self._place):
                self._upload_id = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key)["UploadId"]
        data, upload_id, number, start = self._taken(), self._upload_id, len(self._parts) + 1, self._sent_bytes
        self._sent_bytes += len(data)
        self._parts.append(self._uploader.send(len(data), lambda: self._take_part(upload_id, number, start, data)))

    def _put(self, data: bytearray) -> _Part:
        with stored(self._place):
            etag = self._client.put_object(Bucket=self._bucket, Key=self._key, Body=data)["ETag"]  # type: ignore[arg-type]
        return _Part(etag, _md5(data), len(data))

    def _take_part(self, upload_id: str, number: int, start: int, data: bytearray) -> _Part:
        """Have the server copy the part *data*, which begins at the byte *start* of the file, or send it."""
        md5 = _md5(data)
        etag = self._copy_part(upload_id, number, start, start + len(data), md5) or self._put_part(upload_id, number, data)
        part = _Part(etag, md5, len(data))
        if part.size == self._part_bytes:
            self._uploader.give_back(data)
        return part

    def _copy_part(self, upload_id: str, number: int, start: int, stop: int, md5: bytes) -> str | None:
        """Return the ETag of a part that the server copied from bytes [start, stop) of the leftover.

        None where that does not hold them, or others than those with this *md5*, or where the server does not copy or tell;
        then it is not asked again for this file.
        """
        leftover = self._leftover
        if leftover is None or stop > leftover.size:
            return None
        with suppress(Trouble), in_words(self._place):
            answer = self._client.upload_part_copy(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=upload_id,
                PartNumber=number,
                CopySource={"Bucket": self._bucket, "Key": leftover.key},
                CopySourceRange=f"bytes={start}-{stop - 1}",
                CopySourceIfMatch=leftover.etag,
            )
            etag = answer.get("CopyPartResult", {}).get("ETag", "")
            if etag.strip('"') == md5.hex():
                return etag
        self._leftover = None
        return None

    def _put_part(self, upload_id: str, number: int, data: bytearray) -> str:
        with stored(self._place):
            answer = self._client.upload_part(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,  # type: ignore[arg-type]  # boto3 takes it, its stubs do not know
            )
        return answer["ETag"]

    def _complete(self, parts: Sequence[_Part], upload_id: str) -> None:
        told: list[CompletedPartTypeDef] = [{"PartNumber": number, "ETag": part.etag} for number, part in enumerate(parts, 1)]
        try:
            with in_words(self._place):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket, Key=self._key, UploadId=upload_id, MultipartUpload={"Parts": told}
                )
        except Trouble as exc:
            if exc.kind is not Kind.GONE:  # it was completed before, and the answer was lost; the listing tells
                raise StorageUnavailable(exc.reason) from exc

    def _read_back(self, etag: str, size: int, alive: Alive) -> None:
        """Have the uploader compare each part that was sent with what the server gives back, several at once."""
        start = 0
        for part in self._arrived:
            if part.size:
                self._uploader.send(part.size, partial(self._compare, etag, start, part))
            start += part.size
            alive()
        if size != start:
            raise self._something_else()

    def _compare(self, etag: str, start: int, part: _Part) -> None:
        with stored(self._place):
            asked = f"bytes={start}-{start + part.size - 1}"
            body = self._client.get_object(Bucket=self._bucket, Key=self._key, IfMatch=etag, Range=asked)["Body"]
            with closing(body):
                is_same = _md5(body.read()) == part.md5
        if not is_same:
            raise self._something_else()

    def _something_else(self) -> StorageUnavailable:
        return StorageUnavailable(f"{self._place}: what was just written there is read back as something else")


@contextmanager
def stored(place: str) -> Iterator[None]:
    """Turn an error of boto3 about *place* into StorageUnavailable."""
    try:
        with in_words(place):
            yield
    except Trouble as exc:
        raise StorageUnavailable(exc.reason) from exc


def part_bytes(size: int) -> int:
    """Return how long the parts of a file of *size* bytes are."""
    return max(PART_BYTES, -(-size // MAX_PARTS))


def _md5(data: bytes | bytearray) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
