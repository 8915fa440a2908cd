"""The body of an upload on its way in: kept in a file without a name until it is whole, bounded in size and in silence.

Only then is anything written to the store: a client on a slow line keeps nothing else busy, and one that goes away leaves
nothing. What its ingestion came to is looked up for a while, because who sends a file wants to know.
"""

from __future__ import annotations

import asyncio
import errno
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from worker import uploads
from worker.api.problems import Problem
from worker.api.service import Service, Uploading
from worker.envelope import content_span
from worker.errors import RejectedUpload, StorageUnavailable, WorkerError
from worker.lifecycle import is_end
from worker.records import Ingestion, NewUpload, Upload
from worker.slices import Slice

SILENT_SECONDS = 60.0
"""How long a client may send nothing."""

BUFFER_BYTES = 1 << 20
"""How much is written to the file at once."""

NOBODY_SECONDS = 5.0
"""How long is waited where no worker lives: one may just be starting."""

CLOSE = {"Connection": "close"}
"""What is said to who may still be sending."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0
"""How soon it is looked whether the ingestion has ended, and how much later at most each time."""

log = structlog.get_logger("modelport.api")


@dataclass(frozen=True, slots=True)
class Received:
    """A body that is whole: an open file and its size."""

    file: BinaryIO
    size: int


@asynccontextmanager
async def received(request: Request, uploading: Uploading) -> AsyncIterator[Received]:
    """Give the body of *request*.

    Raises:
        Problem: it is too large, comes too slowly, or there is no room for it.
        ClientDisconnect: the client went away.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > uploading.max_bytes:
        raise too_large(uploading)
    with tempfile.TemporaryFile(prefix="upload-", dir=uploading.folder) as file:
        yield Received(cast("BinaryIO", file), await _filled(cast("BinaryIO", file), request, uploading))


async def _filled(file: BinaryIO, request: Request, uploading: Uploading) -> int:
    """Write the body to *file* and return its size."""
    size, buffer, chunks = 0, bytearray(), aiter(request.stream())
    while (chunk := await next_chunk(chunks)) is not None:
        size += len(chunk)
        if size > uploading.max_bytes:
            raise too_large(uploading)
        buffer += chunk
        if len(buffer) >= BUFFER_BYTES:
            await run_in_threadpool(append, file, bytes(buffer))
            buffer.clear()
    await run_in_threadpool(append, file, bytes(buffer))
    return size


async def next_chunk(chunks: AsyncIterator[bytes]) -> bytes | None:
    """Return the next piece of a body, None at its end.

    Raises:
        Problem: nothing came for too long.
        ClientDisconnect: the client went away.
    """
    try:
        async with asyncio.timeout(SILENT_SECONDS):
            return await anext(chunks, None)
    except TimeoutError as exc:
        raise Problem(408, "too-slow", f"nothing came for {SILENT_SECONDS:g} s; send it again", CLOSE) from exc


def append(file: BinaryIO, data: bytes) -> None:
    """Write *data* at the end of *file*.

    Raises:
        Problem: there is no room for it.
    """
    try:
        file.write(data)
        file.flush()
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Problem(507, "insufficient-storage", "the server has no room for this upload just now", CLOSE) from exc


def too_large(uploading: Uploading) -> Problem:
    """Return what is said to who sends more than is taken."""
    return Problem(413, "too-long", f"the body is longer than {uploading.max_bytes} bytes", CLOSE)


def unwrapped(body: Received) -> Received:
    """Return the content of *body*, which a client of the original system may have put into an envelope."""
    start, stop = content_span(body.file, body.size)
    return Received(cast("BinaryIO", Slice(body.file, start, stop)), stop - start)


async def taken(said: NewUpload, body: Received, name: str, is_folder: bool, service: Service, who: str) -> Ingestion:
    """Return the ingestion that was accepted for what *who* sent and said of it, as `kept`; its version id is the one that was
    promised. What cannot be taken leaves no promise either: nobody was told its id.

    Raises:
        RejectedUpload, StorageUnavailable: as `uploads.bring`.
    """
    ingestion = await run_in_threadpool(_taken, said, body, name, is_folder, service, who)
    log.info("uploaded", version=ingestion.version_id, ingestion=ingestion.id, team=said.team, who=who, bytes=body.size)
    return await _waited_for(ingestion, service)


async def kept(upload: Upload, body: Received, name: str, is_folder: bool, service: Service) -> Ingestion:
    """Return the ingestion that was accepted for what came as *upload*, as it stands once it has ended or was waited for.

    Raises:
        RejectedUpload, WrongState, NotFound: as `uploads.bring`.
    """
    ingestion = await run_in_threadpool(_brought, upload, body, name, is_folder, service)
    return await _waited_for(ingestion, service)


def _taken(said: NewUpload, body: Received, name: str, is_folder: bool, service: Service, who: str) -> Ingestion:
    with uploads.sent_tree(body.file, name, body.size, is_folder) as tree:
        upload = service.registry.begin_upload(said, service.clock.now(), who)
        try:
            return uploads.bring(upload, tree, name, borders_of(service))
        except (RejectedUpload, StorageUnavailable):
            with suppress(WorkerError):
                uploads.give_up(upload, borders_of(service), who)
            raise


def _brought(upload: Upload, body: Received, name: str, is_folder: bool, service: Service) -> Ingestion:
    with uploads.sent_tree(body.file, name, body.size, is_folder) as tree:
        return uploads.bring(upload, tree, name, borders_of(service))


def borders_of(service: Service) -> uploads.Borders:
    """Return what the use case of an upload touches."""
    return uploads.Borders(
        service.registry,
        service.store,
        service.clock,
        service.ring,
        service.new_id,
        service.uploading.lease_seconds,
    )


async def _waited_for(ingestion: Ingestion, service: Service) -> Ingestion:
    """Return *ingestion* as it stands once it has ended; or as it stands by then, where that takes too long."""
    has_workers = bool(await run_in_threadpool(service.living_workers))
    seconds = service.uploading.wait_seconds if has_workers else min(NOBODY_SECONDS, service.uploading.wait_seconds)
    until, pause = time.monotonic() + seconds, FIRST_PAUSE_SECONDS
    while not is_end(ingestion.state) and time.monotonic() < until:
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        found = await run_in_threadpool(service.registry.ingestion, ingestion.event.team, ingestion.id)
        ingestion = found or ingestion
    return ingestion
