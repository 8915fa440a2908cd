"""GGUF, the format of llama.cpp: typed key-values, then a table of tensors, then the tensors.

In goes the file, out come architecture, parameters, dtypes, whether the last tensor lies inside, and what its chat templates
reach for. The vocabulary is skipped over.

    "GGUF" | u32 version | u64 tensors | u64 key-values
    key-value: string key | u32 type | value          string: u64 bytes | UTF-8          array: u32 type | u64 count | items
    tensor: string name | u32 rank | u64 dims… | u32 type | u64 offset
    padding up to a multiple of `general.alignment` | data, to which the offsets refer

The padding, at the end of the file too, holds nothing, and writers leave it out where there are no tensors: a file is whole
where its last tensor ends, or without tensors its header. A cut inside the padding is not told.

Version 1 has u32 where later ones have u64, and is only told by name. Either byte order occurs.
Source: ggml/docs/gguf.md, version 3.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from detectors import chat_templates
from detectors.errors import MalformedModel, ModelLimit
from detectors.facts import Completeness, Extraction, ModelFacts, Parameters, Problem, Severity, State
from detectors.tree import FileEntry
from detectors.weights.single_file import HEADER_NOTE, ByteOrder, EndsEarly, FileFormat, begins, end_not_proven, number, piece
from detectors.wire import Window

MAGIC = b"GGUF"

MAX_ITEMS = 2_000_000
"""Items of arrays of strings in one header. A vocabulary and its merges are about 500,000."""

RECORD_ITEMS = 20
"""How many items a key-value or a tensor counts for: it costs as much time. Large models have a few thousand."""

MAX_TEXT_BYTES = 1 << 16
"""Of a string that is kept; a longer one is skipped over."""

MAX_TEMPLATES = 10
"""Chat templates in one file that are looked into; real ones have one to three."""

MAX_RANK = 4
"""Source: GGML_MAX_DIMS."""

DEFAULT_ALIGNMENT = 32

MAX_VERSION = 255
"""A larger number is one of the other byte order."""

TEMPLATE = "tokenizer.chat_template"
"""The key of the chat template. Others follow a dot: `tokenizer.chat_template.tool_use`."""

STRING, ARRAY = 8, 9
VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of the other types: u8 i8 u16 i16 u32 i32 f32 bool, u64 i64 f64."""

TYPES = {
    0: ("float32", 1, 4), 1: ("float16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("int8", 1, 1), 25: ("int16", 1, 2), 26: ("int32", 1, 4), 27: ("int64", 1, 8),
    28: ("float64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("bfloat16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}  # fmt: skip
"""Name, elements of a block and its bytes. Source: gguf-py, constants.GGML_QUANT_SIZES."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor of the table; *stop* is where its data ends after the header, None for a type we do not know."""

    dtype: str
    elements: int
    stop: int | None


def recognise(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of a GGUF header."""
    order = _byteorder(head[4:8])
    return f"GGUF version {int.from_bytes(head[4:8], order)}" if head[:4] == MAGIC and order else None


def read(window: Window) -> Extraction:
    """Return architecture, parameters and dtypes. Reads the header, never a tensor.

    Raises:
        EndsEarly: the file ends before the header does.
        ModelLimit: more than `MAX_ITEMS` in the header.
        MalformedModel: other letters, or a type or a rank that the format does not have.
    """
    magic = piece(window, 0, len(MAGIC))
    if magic != MAGIC:
        raise MalformedModel(window.path, 0, f"expected the letters GGUF, found {magic!r}")
    header = _Header(window, _byteorder(piece(window, 4, 4)) or "little")
    if header.version < 2:
        return end_not_proven(version=header.version)
    values = header.values()
    tensors = [header.tensor() for _ in range(header.tensors)]
    alignment = values.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
        raise MalformedModel(window.path, None, f"expected an alignment of some bytes, found {alignment}")
    stops = [tensor.stop for tensor in tensors if tensor.stop is not None]
    end = -(-header.position // alignment) * alignment + max(stops) if stops else header.position
    problem = Problem(window.path, f"tensors go up to byte {end}, the file ends at {window.size}")
    facts = ModelFacts(
        parameters=Parameters(stored=sum(tensor.elements for tensor in tensors)),
        dtypes=dict(Counter(tensor.dtype for tensor in tensors)),
        details={
            "note": HEADER_NOTE,
            "completeness_checked": len(stops) == len(tensors),
            "version": header.version,
            **_told(values),
        },
    )
    completeness = Completeness(State.INCOMPLETE, (problem,)) if end > window.size else Completeness()
    return _with_templates(Extraction(facts, completeness), window.path, header.templates)


class _Header:
    """Reads the header from front to back; `position` is the next byte."""

    def __init__(self, window: Window, byteorder: ByteOrder) -> None:
        self._window = window
        self._byteorder = byteorder
        self._items = 0
        self.position = 4
        self.templates: list[tuple[str, str | None]] = []
        self.version = self._integer(4)
        self.tensors, self._pairs = (self._integer(8), self._integer(8)) if self.version > 1 else (0, 0)

    def values(self) -> dict[str, Any]:
        """Return the key-values whose values are integers or short strings; keeps each chat template, None for a long one."""
        found = {}
        for _ in range(self._pairs):
            self._count(RECORD_ITEMS)
            key, value = self._text(), self._value(self._integer(4))
            if key is not None and f"{key}.".startswith(f"{TEMPLATE}.") and not isinstance(value, int):
                self.templates.append((key, value))
            if key is not None and value is not None:
                found[key] = value
        return found

    def tensor(self) -> _Tensor:
        """Return the next tensor of the table."""
        self._count(RECORD_ITEMS)
        self._text()
        begin, rank = self.position, self._integer(4)
        if rank > MAX_RANK:
            raise MalformedModel(self._window.path, begin, f"expected a rank up to {MAX_RANK}, found {rank}")
        elements = 1
        for _ in range(rank):
            elements *= self._integer(8)
        if elements >= 1 << 63:
            raise MalformedModel(self._window.path, begin, "expected a shape, found one of 2**63 elements and more")
        code, offset = self._integer(4), self._integer(8)
        if code not in TYPES:
            return _Tensor(f"type {code}", elements, None)
        name, block, block_bytes = TYPES[code]
        return _Tensor(name, elements, offset + -(-elements // block) * block_bytes)

    def _value(self, code: int) -> int | str | None:
        """Return a value of type *code*, None where it is not kept; the position is behind it."""
        if code == STRING:
            return self._text()
        if code == ARRAY:
            self._skip_array()
            return None
        if code not in VALUE_BYTES:
            raise MalformedModel(self._window.path, self.position, f"expected a type of value up to 12, found {code}")
        return self._integer(VALUE_BYTES[code])

    def _skip_array(self) -> None:
        """Step over an array: strings one by one, numbers at once. Arrays of arrays are refused; nobody writes them."""
        code, count = self._integer(4), self._integer(8)
        if code in VALUE_BYTES:
            self._step(count * VALUE_BYTES[code])
        elif code == STRING:
            self._count(count)
            self._skip_texts(count)
        else:
            raise MalformedModel(
                self._window.path, self.position, f"expected numbers or strings in an array, found type {code}"
            )

    def _skip_texts(self, count: int) -> None:
        """Step over *count* strings. A vocabulary has hundreds of thousands, so this loop does without calls that check."""
        window, position = self._window, self.position
        for _ in range(count):
            if position + 8 > window.size:
                raise EndsEarly(window.path, position, f"expected {count} strings, found the end of the file")
            index = window.at(position, 8)
            position += 8 + int.from_bytes(window.buffer[index : index + 8], self._byteorder)
        self._step(position - self.position)

    def _text(self) -> str | None:
        """Return a string, None where it is longer than `MAX_TEXT_BYTES`."""
        count = self._integer(8)
        start = self.position
        self._step(count)
        return piece(self._window, start, count).decode("utf-8", "replace") if count <= MAX_TEXT_BYTES else None

    def _integer(self, count: int) -> int:
        value = number(self._window, self.position, count, self._byteorder)
        self.position += count
        return value

    def _step(self, count: int) -> None:
        if self.position + count > self._window.size:
            raise EndsEarly(self._window.path, self.position, f"expected {count} bytes, found the end of the file")
        self.position += count

    def _count(self, items: int) -> None:
        self._items += items
        if self._items > MAX_ITEMS:
            raise ModelLimit(self._window.path, self.position, "MAX_ITEMS", f"more than {MAX_ITEMS} items in the header")


def _with_templates(found: Extraction, path: str, templates: list[tuple[str, str | None]]) -> Extraction:
    """Return *found* with what speaks against the chat templates, and why one of them was not looked at."""
    looked = [chat_templates.look(text, path, key) for key, text in templates[:MAX_TEMPLATES] if text is not None]
    findings = tuple(finding for finding in looked if finding is not None)
    reasons = []
    if len(templates) > MAX_TEMPLATES:
        reasons.append(f"more than {MAX_TEMPLATES} chat templates (limit MAX_TEMPLATES)")
    if any(text is None for _, text in templates):
        reasons.append(f"a chat template that is not kept as a text of at most {MAX_TEXT_BYTES} bytes (limit MAX_TEXT_BYTES)")
    if any(finding.severity is Severity.MEDIUM for finding in findings):
        reasons.append(chat_templates.ONLY_THEN)
    unread = ((path, f"not looked at: {', '.join(reasons)}"),) if reasons else ()
    return replace(found, findings=findings, unread=unread)


def _byteorder(version: bytes) -> ByteOrder | None:
    """Return the byte order in which *version* is a small number, None where it is not."""
    orders: tuple[ByteOrder, ...] = ("little", "big")
    return next((order for order in orders if 1 <= int.from_bytes(version, order) <= MAX_VERSION), None)


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """Return what of the key-values is worth telling, under the last part of its key."""
    keys = ("general.architecture", "general.name", "general.file_type", "general.license", "general.quantization_version")
    return {key.removeprefix("general."): values[key] for key in keys if key in values}


FORMAT = FileFormat("gguf", recognise, read, frozenset({".gguf"}), begins(MAGIC, needed=8))
