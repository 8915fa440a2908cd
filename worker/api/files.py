"""Files of a version on their way out: one of them, whole or a range, or all of them as a zip.

What goes out whole is compared with its digest on the way, and its last bytes are held back until that is done: what is not
what was registered ends in a broken connection, never in a file that looks whole. Nothing is kept in memory but a chunk.

Laws (each has a test of the same name):
    any header gives a range of the file, all of it, or a refusal;
    a file that is not what was registered never arrives whole.

Source: RFC 9110, 13.1.5 "If-Range", 14 "Range Requests"; RFC 6266 for names of files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import IO, cast
from urllib.parse import quote
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import structlog
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from detectors.errors import TreeError
from detectors.tree import FileTree, readable
from worker.api.problems import BrokenOff, Problem
from worker.drift import OpenVersion
from worker.errors import StorageUnavailable, WorkerError
from worker.records import FileDigest, ModelVersion

CHUNK_BYTES = 1 << 20

OCTETS = "application/octet-stream"
"""The type of every file: nothing in a model is to be shown by a browser."""

ONE_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")

ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""The time of every file in a zip, so that the same version is always the same bytes: the earliest that a zip can say."""

log = structlog.get_logger("modelport.api")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes [start, stop) of a file."""

    start: int
    stop: int


def span_of(header: str | None, size: int) -> Span | None:
    """Return which bytes of a file of *size* bytes a `Range` header asks for, None for all of them.

    What need not be understood, other units and several ranges at once, asks for all.

    Raises:
        Problem: the range lies behind the end of the file.
    """
    found = ONE_RANGE.fullmatch(header) if header is not None and header.isascii() else None
    first, last = found.groups() if found else ("", "")
    if (not first and not last) or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        about = {"Content-Range": f"bytes */{size}"}
        raise Problem(416, "range-not-satisfiable", f"range: expected bytes of [0, {size}), found {header!a}", about)
    return Span(start, stop)


def file_at(files: Sequence[FileDigest], path: str) -> FileDigest | None:
    """Return the one of *files* that is shown as *path*, None where there is none."""
    return next((file for file in files if readable(file.path) == path), None)


def file_reply(request: Request, version: ModelVersion, file: FileDigest, opened: OpenVersion) -> Response:
    """Return the answer to a *request* for *file* of *version*. Where only its head is asked for, nothing is read.

    Raises:
        Problem: the range lies behind the end, or the file is not there any more as it was registered.
    """
    headers = request.headers
    etag = f'"{file.sha256}"'
    about = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Disposition": _attachment(file.path)}
    if etag in (one.strip() for one in headers.get("if-none-match", "").split(",")):
        return Response(None, 304, about)
    if request.method == "HEAD":
        return Response(None, 200, {**about, "Content-Length": str(file.size)}, OCTETS)
    span = span_of(headers.get("range"), file.size) if headers.get("if-range", etag) == etag else None
    chunks = _begun(_chunks(version, file, span, opened), file)
    if span is None:
        return _stream(chunks, 200, about, file.size)
    about["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{file.size}"
    return _stream(chunks, 206, about, span.stop - span.start)


def zip_reply(version: ModelVersion, files: Sequence[FileDigest], opened: OpenVersion) -> Response:
    """Return *files* of *version* as a zip that is made while it goes out, stored and not compressed."""
    about = {"Content-Disposition": _attachment(f"{version.model_name}-{version.number}.zip")}
    return _Outgoing(_told(_zipped(version, files, opened), version.id), 200, about, "application/zip")


class _Outgoing(StreamingResponse):
    """Gives *chunks*, and lets go of what they come from when that ends, also where the client went away before: left to the
    garbage collector, the files of many such clients are open at once.
    """

    def __init__(self, chunks: Generator[bytes], status: int, about: Mapping[str, str], media_type: str) -> None:
        super().__init__(chunks, status, about, media_type)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(self._chunks.close)


def _stream(chunks: Generator[bytes], status: int, about: Mapping[str, str], length: int) -> Response:
    return _Outgoing(chunks, status, {**about, "Content-Length": str(length)}, OCTETS)


def _attachment(path: str) -> str:
    """Return the header that has a browser keep the file *path* under its own name, and not show it.

    Programs that read no encoded name, such as curl, are given one in which all but plain letters is a line.
    Source: RFC 6266, appendix D.
    """
    name = readable(path.rsplit("/", 1)[-1])
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _begun(chunks: Iterator[bytes], file: FileDigest) -> Generator[bytes]:
    """Return the same chunks, of which the first one is there: what is wrong by then is told in words.

    Raises:
        Problem: it is.
    """
    try:
        first = next(chunks, b"")
    except (WorkerError, TreeError) as exc:
        raise Problem(503, "storage-unavailable", _in_words(file.path, exc)) from exc
    return _told(chain([first], chunks), file.path)


def _told(chunks: Iterator[bytes], what: str) -> Generator[bytes]:
    """Yield *chunks*; where they end in an error, log it.

    Raises:
        BrokenOff: they do.
    """
    try:
        yield from chunks
    except (WorkerError, TreeError) as exc:
        why = _in_words(what, exc)
        log.error("download broken off", why=why)
        raise BrokenOff(why) from exc


def _in_words(what: str, error: WorkerError | TreeError) -> str:
    return f"{readable(what)}: {error.reason if isinstance(error, TreeError) else error}"


def _chunks(version: ModelVersion, file: FileDigest, span: Span | None, opened: OpenVersion) -> Iterator[bytes]:
    """Yield the bytes of *file*, or a range of them.

    Raises:
        StorageUnavailable: it is not what was registered; of a whole file, its last chunk was not given then.
    """
    with _source(version, opened) as (tree, sizes):
        yield from _of_file(tree, sizes, file, span)


@contextmanager
def _source(version: ModelVersion, opened: OpenVersion) -> Iterator[tuple[FileTree, Mapping[str, int]]]:
    with opened(version) as tree:
        yield tree, {entry.path: entry.size for entry in tree.files()}


def _of_file(tree: FileTree, sizes: Mapping[str, int], file: FileDigest, span: Span | None) -> Iterator[bytes]:
    if sizes.get(file.path) != file.size:
        raise StorageUnavailable("it is not there any more as it was registered")
    hasher, held = hashlib.sha256(), b""
    whole = span or Span(0, file.size)
    for start in range(whole.start, whole.stop, CHUNK_BYTES):
        data = tree.read(file.path, start, min(start + CHUNK_BYTES, whole.stop))
        if span is not None:
            yield data
            continue
        hasher.update(data)
        if held:
            yield held
        held = data
    if span is None:
        if hasher.hexdigest() != file.sha256:
            raise StorageUnavailable("its bytes are not those that were registered")
        yield held


class _Spout:
    """A file that takes what a zip is made of, and gives it on."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: what was written is taken by `taken`."""

    def taken(self) -> bytes:
        data, self._held = b"".join(self._held), []
        return data


def _zipped(version: ModelVersion, files: Sequence[FileDigest], opened: OpenVersion) -> Iterator[bytes]:
    spout = _Spout()
    with _source(version, opened) as (tree, sizes), ZipFile(cast("IO[bytes]", spout), "w", ZIP_STORED) as archive:
        for file in files:
            name = ZipInfo(readable(file.path), ZIP_DATE)
            name.file_size = file.size
            with archive.open(name, "w", force_zip64=True) as target:
                for data in _of_file(tree, sizes, file, None):
                    target.write(data)
                    yield spout.taken()
        archive.close()
        yield spout.taken()
