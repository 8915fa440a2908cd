"""A form that brings a file (multipart/form-data), taken apart while it comes: its fields are kept, the file is written away.

The fields that stand before the file are known before the file comes, and so is the token that says that the form is ours. The
parts are told apart by python-multipart; how much of anything is taken, and how long it may be in coming, is bounded here.

Source: RFC 7578; HTML, 4.10.21.8 "Multipart form data" (names and values are in UTF-8, the ends of lines are CR LF).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from worker.api.bodies import MAX_BODY_BYTES, media_type, only_value
from worker.api.problems import Problem
from worker.api.receiving import BUFFER_BYTES, CLOSE, Received, append, next_chunk, too_large
from worker.api.service import Uploading, service_of
from worker.api.web.visitors import FORM_FIELD, FORM_HEADER

MULTIPART = "multipart/form-data"

MAX_PARTS = 100
"""Fields of a form: ours has eleven."""

MAX_BOUNDARY_BYTES = 70
"""RFC 2046, 5.1.1."""


@dataclass(frozen=True, slots=True)
class _Begins:
    """A part of the form: what it is called, and the name of its file, None for a field."""

    name: str
    file_name: str | None


_ENDS = None
"""The end of a part."""


class _Parts:
    """Takes a body apart: pieces of it in, what they mean out."""

    def __init__(self, boundary: bytes) -> None:
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_begin": self._begin_header,
                "on_header_field": self._name,
                "on_header_value": self._value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._data,
                "on_part_end": lambda: self.found.append(_ENDS),
                "on_end": self._end,
            },
        )
        self.found: deque[_Begins | bytes | None] = deque()
        self.is_whole = False
        self._count, self._header, self._content, self._disposition = 0, b"", b"", b""

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body; what it means is in `found` then."""
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise malformed(f"it breaks off or has a damaged part: {exc}") from exc

    def _begin(self) -> None:
        self._count += 1
        self._disposition = b""
        if self._count > MAX_PARTS:
            raise malformed(f"it has more than {MAX_PARTS} fields")

    def _begin_header(self) -> None:
        self._header, self._content = b"", b""

    def _name(self, data: bytes, start: int, stop: int) -> None:
        self._header += data[start:stop]

    def _value(self, data: bytes, start: int, stop: int) -> None:
        self._content += data[start:stop]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._content

    def _end_headers(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise malformed("one of its parts has no name")
        file_name = options.get(b"filename")
        self.found.append(_Begins(_text(options[b"name"]), None if file_name is None else _text(file_name)))

    def _data(self, data: bytes, start: int, stop: int) -> None:
        self.found.append(data[start:stop])

    def _end(self) -> None:
        self.is_whole = True


def malformed(why: str) -> Problem:
    """Return what is said to who sends a form that is none."""
    return Problem(400, "malformed", f"the form cannot be read: {why}", CLOSE)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise malformed(f"expected UTF-8, found {raw[:40]!a}") from exc


class SentForm:
    """The form in the body of *request*, as far as it came by now: its *fields*, the last of each name, and the name of its
    file, None before that came and where there is none.

    Raises:
        Problem: it is no such form, or announced as a longer one than is taken.
    """

    def __init__(self, request: Request, uploading: Uploading) -> None:
        announced = request.headers.get("content-length", "0")
        if media_type(request.headers) != MULTIPART:
            raise Problem(415, "unsupported-media-type", f"content-type: expected {MULTIPART}")
        self._most, self._size = uploading.max_bytes + MAX_BODY_BYTES, 0
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > self._most:
            raise too_large(uploading)
        _, options = parse_options_header(only_value(request.headers, "content-type"))
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
            raise malformed("it does not say what stands between its parts")
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
        self._parts, self._chunks, self._uploading = _Parts(boundary), aiter(request.stream()), uploading
        self._part: _Begins | None = None
        self._value, self._field_bytes = bytearray(), 0
        self._is_in_file = False

    async def before_file(self, name: str) -> str:
        """Return the field *name* where it stands before the file; empty where it does not. Reads no further than that."""
        while name not in self.fields and self.file_name is None and await self._has_more():
            self._take(self._parts.found.popleft())
        return self.fields.get(name, "")

    async def file_into(self, file: BinaryIO) -> Received:
        """Write the file of the form to *file* and return it; all fields are known then.

        Raises:
            Problem: the form is damaged, too large, comes too slowly, or there is no room for it.
            ClientDisconnect: the client went away.
        """
        size, buffer = 0, bytearray()
        while await self._has_more():
            found = self._parts.found.popleft()
            if not (self._is_in_file and isinstance(found, bytes)):
                self._take(found)
                continue
            size += len(found)
            if size > self._uploading.max_bytes:
                raise too_large(self._uploading)
            buffer += found
            if len(buffer) >= BUFFER_BYTES:
                await run_in_threadpool(append, file, bytes(buffer))
                buffer.clear()
        await run_in_threadpool(append, file, bytes(buffer))
        return Received(file, size)

    async def _has_more(self) -> bool:
        """Tell whether anything is left; it is in `found` then.

        Raises:
            Problem: the body ended before its form did, or goes on for longer than one may.
        """
        while not self._parts.found:
            chunk = await next_chunk(self._chunks)
            if chunk is None:
                if not self._parts.is_whole:
                    raise malformed("it ends too early")
                return False
            self._size += len(chunk)
            if self._size > self._most:  # what stands before its parts and behind them counts, too
                raise too_large(self._uploading)
            self._parts.feed(chunk)
        return True

    def _take(self, found: _Begins | bytes | None) -> None:
        """Take up what is not of the file's bytes."""
        if isinstance(found, _Begins):
            self._part, self._is_in_file = found, found.file_name is not None
            if self._is_in_file:
                if self.file_name is not None:
                    raise malformed("it brings more than one file; send a folder as a zip")
                self.file_name = found.file_name
        elif isinstance(found, bytes):
            self._field_bytes += len(found)
            if self._field_bytes > MAX_BODY_BYTES:
                raise Problem(413, "too-long", f"the fields of the form are longer than {MAX_BODY_BYTES} bytes", CLOSE)
            self._value += found
        elif self._part is not None:
            if not self._is_in_file:
                self.fields[self._part.name] = _text(bytes(self._value)).replace("\r\n", "\n")
            self._value.clear()
            self._part, self._is_in_file = None, False


async def form_of(request: Request) -> SentForm:
    """Return the form that *request* brings. It is one for all who ask, because a body comes once.

    Raises:
        Problem: it brings none.
    """
    known: SentForm | None = getattr(request.state, "form", None)
    if known is None:
        known = request.state.form = SentForm(request, (await service_of(request)).uploading)
    return known


async def brought_by_form(request: Request) -> str:
    """Return the token that says that the form is ours: in a header, or in a field before the file; empty for none.

    Raises:
        Problem: it is no form that brings a file.
    """
    header = request.headers.get(FORM_HEADER)
    return header if header is not None else await (await form_of(request)).before_file(FORM_FIELD)


def scratch(uploading: Uploading) -> BinaryIO:
    """Return a new file without a name, for a file on its way in."""
    return cast("BinaryIO", TemporaryFile(prefix="upload-", dir=uploading.folder))
