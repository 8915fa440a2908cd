"""The objects below a prefix as a read-only tree: listed by pages, read by ranges.

In go a connection and a place, out comes a `FileTree`. A read names the ETag that was listed, so bytes of another object are
never given out, whatever the server supports: the answer's ETag is compared as well. What was fetched before an object changed
may be given out after it: it is what was listed. Keys that no folder could mirror (`../`, empty parts, an object above others)
are told and never given out as paths.

Laws (each has a test of the same name; those of `detectors.tree` hold too):
    memory does not grow with the objects;
    a key that is no path of a file is told, and never becomes one.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter, itemgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from detectors.errors import TreeChanged, TreeError, TreeLimit, TreeUnavailable, Unreadable
from detectors.tree import MAX_FILES, FileEntry, Passed, PassedOver, check_range, readable
from worker import bound
from worker.errors import NothingThere, RejectedLocation, WorkerError
from worker.ports import silent
from worker.s3_url import S3Url, odd_part
from worker.storage.s3.client import Kind, S3Connection, Trouble, in_words, link_to, pages_below, shown, uploads_below
from worker.storage.s3.read_ahead import MAX_JUMPS_AHEAD, Range, ReadAhead

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

KEPT_BYTES = 24 << 20
"""Bytes that a tree keeps of what was read; the oldest are let go first. As much may be on its way ahead."""

PIECE_BYTES = 4096
"""What a piece takes at least, with all that belongs to it."""

MAX_WHOLE_BYTES = 64 << 20
"""An object up to this is taken whole from a server that knows no ranges."""

MAX_FILES_FOLLOWED = 256
"""Files whose way of being read is remembered, the latest ones."""

BODY_TRIES = 3
"""How often an answer is asked for that breaks off in its middle; boto3 tries again only up to its first byte."""

ABANDONED_SECONDS = 3600.0
"""An upload in parts of which nothing came for this long is taken for one that nobody goes on with."""

LONGEST_UPLOAD_SECONDS = 86_400.0
"""How long one may last. An object of several parts tells when its upload began, and not when it ended, so one that is younger
tells nothing of how long it has rested. Source: Amazon S3 User Guide, multipart upload, "LastModified"."""

MAX_UPLOADS = 200
"""Uploads that began long ago of which it is asked when the last part came, the newest first; each takes a request."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes [start, stop) of an object, or what will be them."""

    start: int
    stop: int
    data: Future[bytes]


class S3Tree:
    """The objects whose keys begin with the key of *place* and a slash; with *only*, the one object of that name there.

    Listing takes a request for 1,000 objects, and one for the uploads that are under way; *on_page* is called for each.
    """

    def __init__(self, connection: S3Connection, place: S3Url, only: str | None = None, max_files: int = MAX_FILES) -> None:
        self._client: S3Client = connection.client
        self._place = place
        self._prefix = f"{place.key}/" if place.key else ""
        self._only = only
        self._max_files = max_files
        self._listed: Mapping[str, FileEntry] = {}
        self._passed_over: tuple[PassedOver, ...] = ()
        self._fetcher = _Fetcher(self._client, place.bucket, self._prefix)
        self.on_page: Callable[[], object] = silent

    def files(self) -> Iterator[FileEntry]:
        """Yield every object that is a file, sorted by path. The whole listing is made before the first one comes out.

        Raises:
            TreeUnavailable: the storage did not answer.
            Unreadable: the storage does not let us list it.
            NothingThere: there is no such bucket.
            TreeLimit: there are more objects than allowed.
        """
        with _translated(""), in_words(str(self._place)):
            objects = self._objects()
            uploads = self._uploads()
        entries, odd = _files_of(objects)
        self._listed = {entry.path: entry for entry in entries}
        self._passed_over = tuple(sorted((*odd, *uploads), key=attrgetter("path")))
        self._fetcher.forget()
        return iter(entries)

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """What the last complete listing passed over, sorted by path."""
        return self._passed_over

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of the object *path*; shorter only at its end.

        Raises:
            ValueError: the range is negative or reversed.
            TreeChanged: the object is not the one that was listed, or was never listed.
            TreeUnavailable: the storage did not answer.
            Unreadable: it may not be read.
        """
        check_range(start, stop)
        entry = self._listed.get(path)
        if entry is None:
            raise TreeChanged(path, "is not in the listing of this tree")
        with _translated(path):
            return self._fetcher.read(entry, start, min(stop, entry.size))

    def link(self, path: str, seconds: int) -> str:
        """Return a link with which anybody may read the object *path* for *seconds*; nothing is asked of the server.

        Raises:
            TreeChanged: it was never listed.
            ValueError: the time is longer than `MAX_LINK_SECONDS`.
            TreeUnavailable: there are no credentials.
        """
        if path not in self._listed:
            raise TreeChanged(path, "is not in the listing of this tree")
        with _translated(path):
            return link_to(self._client, "get_object", self._place.bucket, self._prefix + path, seconds)

    @property
    def requests(self) -> int:
        """How many ranges were asked for so far."""
        return self._fetcher.requests

    def close(self) -> None:
        """Let go of what was fetched; harmless twice."""
        self._fetcher.close()

    def _objects(self) -> dict[str, Mapping[str, Any]]:
        """Return the objects of the tree by their path."""
        found: dict[str, Mapping[str, Any]] = {}
        for page in self._pages(self._prefix + (self._only or "")):
            for one in page.get("Contents", ()):
                path = one["Key"].removeprefix(self._prefix)
                if path in found:
                    raise TreeChanged(path, "is listed twice; it changed while the listing was made")
                if self._only in (None, path) and not _stands_for_folder(path, one):
                    found[path] = one
            if len(found) > self._max_files:
                raise TreeLimit(next(reversed(found)), f"the tree holds more than {self._max_files} files (limit MAX_FILES)")
            self.on_page()
        return found

    def _pages(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        for page in pages_below(self._client, self._place.bucket, prefix):
            yield page
            if self._only is not None:  # names that begin like it come after it
                return

    def _uploads(self) -> list[PassedOver]:
        """Return the uploads in parts that are under way below the prefix; none where the server does not tell."""
        try:
            with in_words(str(self._place)):
                return list(self._unfinished())
        except Trouble as exc:
            if exc.kind in (Kind.REFUSED, Kind.UNSUPPORTED, Kind.NO_BUCKET):
                return []
            raise

    def _unfinished(self) -> Iterator[PassedOver]:
        found = uploads_below(self._client, self._place.bucket, self._prefix + (self._only or ""))
        newest_first = sorted(found, key=itemgetter("Initiated"), reverse=True)
        for place, upload in enumerate(newest_first):
            self.on_page()
            path = upload["Key"].removeprefix(self._prefix)
            if self._only in (None, path):
                yield self._told(path, upload, is_asked_for=place < MAX_UPLOADS)

    def _told(self, path: str, upload: Mapping[str, Any], is_asked_for: bool) -> PassedOver:
        began = upload["Initiated"]
        reason = f"is being uploaded since {began:%Y-%m-%d %H:%M:%S} UTC"
        if _is_old(began, ABANDONED_SECONDS):
            last = self._last_part(upload) if is_asked_for else None
            if _is_old(last or began, ABANDONED_SECONDS):
                return PassedOver(path, Passed.SPECIAL, f"{reason}, and is taken for abandoned")
        return PassedOver(path, Passed.UNFINISHED, reason)

    def _last_part(self, upload: Mapping[str, Any]) -> datetime | None:
        """Return when the last part of an upload came, None where none did.

        Where the server does not tell, it is taken for now, as long as an upload may last.
        """
        at = {"Bucket": self._place.bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        try:
            with in_words(str(self._place)):
                pages = self._client.get_paginator("list_parts").paginate(**at)
                return max((part["LastModified"] for page in pages for part in page.get("Parts", ())), default=None)
        except Trouble as exc:
            if exc.kind is Kind.GONE:
                return None
            if exc.may_pass:
                raise
            return None if _is_old(upload["Initiated"], LONGEST_UPLOAD_SECONDS) else datetime.now(UTC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _BrokenOff(Trouble):
    """An answer that began well and did not come to its end."""


class _Fetcher:
    """Fetches ranges of listed objects, some of them before they are asked for, and keeps the last ones."""

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._plans: OrderedDict[str, ReadAhead] = OrderedDict()
        self._pieces: OrderedDict[tuple[str, int], _Piece] = OrderedDict()
        self._starts: dict[str, set[int]] = {}
        self._kept_bytes = 0
        self.requests = 0

    def read(self, entry: FileEntry, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of *entry*, which ends at *stop* or later."""
        parts = []
        while start < stop:
            piece = self._piece_at(entry, start, stop)
            end = min(stop, piece.stop)
            parts.append(piece.data.result()[start - piece.start : end - piece.start])
            start = end
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _piece_at(self, entry: FileEntry, start: int, stop: int) -> _Piece:
        """Return the piece that holds the byte at *start*, being fetched at the latest now."""
        with self._lock:
            plan = self._plan_of(entry)
            found = self._holding(entry.path, start)
            if found is None:
                first, *ahead = plan.missed(start, stop)
                found = self._begin(entry, first)
            else:
                ahead = plan.met(start, stop)
            for place in ahead:
                if self._holding(entry.path, place[0]) is None or self._holding(entry.path, place[1] - 1) is None:
                    self._begin(entry, place)
            self._make_room(found)
            return found

    def _plan_of(self, entry: FileEntry) -> ReadAhead:
        plan = self._plans.setdefault(entry.path, ReadAhead(entry.size))
        self._plans.move_to_end(entry.path)
        if len(self._plans) > MAX_FILES_FOLLOWED:
            self._plans.popitem(last=False)
        return plan

    def _holding(self, path: str, position: int) -> _Piece | None:
        """Return a piece of *path* that holds the byte at *position*. One whose fetching failed holds nothing."""
        for start in self._starts.get(path, ()):
            piece = self._pieces[path, start]
            if start <= position < piece.stop:
                if piece.data.done() and piece.data.exception() is not None:
                    self._drop((path, start))
                    return None
                self._pieces.move_to_end((path, start))
                return piece
        return None

    def _begin(self, entry: FileEntry, place: Range) -> _Piece:
        """Begin to fetch a range of *entry*, in another thread."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_JUMPS_AHEAD, "s3 ranges")
        self.requests += 1
        piece = _Piece(*place, self._pool.submit(bound.here(self._fetch, entry, *place)))
        self._drop((entry.path, piece.start))
        self._pieces[entry.path, piece.start] = piece
        self._starts.setdefault(entry.path, set()).add(piece.start)
        self._kept_bytes += _weight(piece)
        return piece

    def _drop(self, key: tuple[str, int]) -> None:
        piece = self._pieces.pop(key, None)
        if piece is not None:
            piece.data.cancel()
            self._kept_bytes -= _weight(piece)
            starts = self._starts[key[0]]
            starts.discard(key[1])
            if not starts:
                del self._starts[key[0]]

    def _make_room(self, wanted: _Piece) -> None:
        if self._kept_bytes <= KEPT_BYTES:
            return
        for key, piece in list(self._pieces.items()):
            if self._kept_bytes <= KEPT_BYTES:
                return
            if piece is not wanted and piece.data.done():
                self._drop(key)

    def _fetch(self, entry: FileEntry, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of the object. An answer that breaks off is asked for again; other tries are boto3's."""
        place = readable(f"s3://{self._bucket}/{self._prefix}{entry.path}")
        for tries_left in reversed(range(BODY_TRIES)):
            try:
                return self._ask(entry, start, stop, place)
            except _BrokenOff as exc:
                if not tries_left:
                    raise Trouble(Kind.AWAY, exc.reason) from exc
        raise AssertionError("the last try returns or raises")

    def _ask(self, entry: FileEntry, start: int, stop: int, place: str) -> bytes:
        with in_words(place):
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + entry.path, Range=f"bytes={start}-{stop - 1}", IfMatch=entry.version
            )
        with closing(answer["Body"]) as body:
            if answer["ETag"].strip('"') != entry.version.strip('"'):
                raise Trouble(Kind.CHANGED, f"{place}: it is not the object that was listed")
            given = answer.get("ContentRange", f"bytes 0-{entry.size - 1}/{entry.size}")
            is_whole = given == f"bytes 0-{entry.size - 1}/{entry.size}" and entry.size <= max(MAX_WHOLE_BYTES, stop - start)
            if not is_whole and given != f"bytes {start}-{stop - 1}/{entry.size}":
                reason = f"{place}: bytes {start} to {stop - 1} of {entry.size} were asked for, {shown(given)} are given"
                raise Trouble(Kind.UNSUPPORTED, reason)
            data = _drained(body, entry.size if is_whole else stop - start, place)
        return data[start:stop] if is_whole else data

    def forget(self) -> None:
        """Let go of everything: it was listed anew."""
        with self._lock:
            self._plans.clear()
            for key in list(self._pieces):
                self._drop(key)

    def close(self) -> None:
        """Let go of everything, and wait for no answer."""
        self.forget()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _drained(body: StreamingBody, size: int, place: str) -> bytes:
    """Return the *size* bytes of *body*; what it may hold besides is left there.

    Raises:
        _BrokenOff: it ends before.
    """
    parts, left = [], size
    try:
        with in_words(place):
            while left and (data := body.read(left)):
                parts.append(data)
                left -= len(data)
    except Trouble as exc:
        raise _BrokenOff(exc.kind, exc.reason) from exc
    if left:
        raise _BrokenOff(Kind.AWAY, f"{place}: {size} bytes were announced, {size - left} came")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _weight(piece: _Piece) -> int:
    """Return the bytes of memory that a piece is reckoned to take; a small one takes its own overhead."""
    return max(piece.stop - piece.start, PIECE_BYTES)


def _files_of(objects: Mapping[str, Mapping[str, Any]]) -> tuple[list[FileEntry], list[PassedOver]]:
    """Return the objects that can be files, sorted by path, and a word about those that cannot."""
    entries, odd = [], []
    paths = sorted(objects)
    for path in paths:
        one, below = objects[path], bisect_left(paths, f"{path}/")
        is_folder = below < len(paths) and paths[below].startswith(f"{path}/")
        trouble = odd_part(path) or ("other objects lie below it, as below a folder" if is_folder else None)
        if trouble is None:
            entries.append(FileEntry(path, one["Size"], one["ETag"], _changed(one)))
        else:
            odd.append(PassedOver(path, Passed.ODD_NAME, f"a key that is no path of a file: {trouble}"))
    return entries, odd


def _stands_for_folder(path: str, one: Mapping[str, Any]) -> bool:
    """Tell whether an object is only there so that a folder can be seen, as consoles make it."""
    return not path or (path.endswith("/") and not one["Size"])


def _changed(one: Mapping[str, Any]) -> float | None:
    """Return when an object last changed, None where it does not say: see `LONGEST_UPLOAD_SECONDS`."""
    modified: datetime = one["LastModified"]
    is_of_parts = "-" in one["ETag"]
    return None if is_of_parts and not _is_old(modified, LONGEST_UPLOAD_SECONDS) else modified.timestamp()


def _is_old(moment: datetime, seconds: float) -> bool:
    return datetime.now(UTC) - moment > timedelta(seconds=seconds)


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Turn a `Trouble` about the file *path* into what it means for who reads."""
    try:
        yield
    except Trouble as exc:
        raise meaning(path, exc) from exc


def meaning(path: str, trouble: Trouble) -> TreeError | WorkerError:
    """Return what *trouble* with the file *path*, or with the whole place for "", means for who reads."""
    if trouble.kind in (Kind.GONE, Kind.CHANGED):
        return TreeChanged(path, trouble.reason)
    if trouble.kind is Kind.NO_BUCKET:
        return NothingThere(trouble.reason)
    if trouble.may_pass:
        return TreeUnavailable(path, trouble.reason)
    return RejectedLocation(trouble.reason) if not path else Unreadable(path, trouble.reason)
