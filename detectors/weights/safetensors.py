"""safetensors: a JSON header that says where each tensor lies, then the tensors.

In goes the file, out come stored parameters and dtypes, and whether the tensors fill the file exactly.

    u64 bytes of the header | {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {…}} | data

Source: github.com/huggingface/safetensors, README "Format", version 0.8.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detectors.errors import MalformedModel, ModelLimit
from detectors.facts import Completeness, Extraction, ModelFacts, Parameters, Problem, State
from detectors.json_text import JsonError, parse_json
from detectors.tree import FileEntry
from detectors.weights.single_file import HEADER_NOTE, FileFormat, begins, number, piece
from detectors.wire import Window

MAX_HEADER_BYTES = 32 << 20
"""Of the header that is read. The format allows 100,000,000; a model of 100,000 tensors takes about 10 MB."""

FORMAT_MAX_HEADER_BYTES = 100_000_000

MAX_METADATA = 50
"""Entries of `__metadata__` that are told, each cut at `MAX_METADATA_CHARS`."""

MAX_METADATA_CHARS = 500

DTYPES = {
    "BOOL": ("bool", 8), "U8": ("uint8", 8), "I8": ("int8", 8), "U16": ("uint16", 16), "I16": ("int16", 16),
    "U32": ("uint32", 32), "I32": ("int32", 32), "U64": ("uint64", 64), "I64": ("int64", 64),
    "F16": ("float16", 16), "BF16": ("bfloat16", 16), "F32": ("float32", 32), "F64": ("float64", 64), "C64": ("complex64", 64),
    "F8_E4M3": ("float8_e4m3fn", 8), "F8_E5M2": ("float8_e5m2", 8), "F8_E8M0": ("float8_e8m0fnu", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F4": ("float4_e2m1fn", 4), "F6_E2M3": ("float6_e2m3fn", 6), "F6_E3M2": ("float6_e3m2fn", 6),
}  # fmt: skip
"""Name in numpy's words and bits of one element."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor as the header has it; its data is [start, stop) after the header."""

    dtype: str
    elements: int
    start: int
    stop: int


def recognise(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of a safetensors header."""
    header_bytes = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or not 2 <= header_bytes <= FORMAT_MAX_HEADER_BYTES:
        return None
    opening = head[9:].lstrip()[:1]
    return f"a header of {header_bytes} bytes" if opening in (b'"', b"}", b"") else None


def read(window: Window) -> Extraction:
    """Return parameters, dtypes and metadata. Reads the header and nothing else.

    Raises:
        EndsEarly: the file ends before the header does.
        ModelLimit: the header is larger than `MAX_HEADER_BYTES`.
        MalformedModel: the header is not JSON, or not of tensors.
    """
    header_bytes = number(window, 0, 8)
    if header_bytes > MAX_HEADER_BYTES:
        raise ModelLimit(window.path, 0, "MAX_HEADER_BYTES", f"a header of {header_bytes} bytes")
    header = _parse(window, piece(window, 8, header_bytes))
    metadata = header.pop("__metadata__", None)
    tensors = [_tensor(window.path, name, told) for name, told in header.items()]
    dtypes = Counter(DTYPES.get(tensor.dtype, (tensor.dtype, 0))[0] for tensor in tensors)
    facts = ModelFacts(
        parameters=Parameters(stored=sum(tensor.elements for tensor in tensors)),
        dtypes=dict(dtypes),
        details={"note": HEADER_NOTE, "tensors": len(tensors), "metadata": _shown(metadata)},
    )
    return Extraction(facts, _completeness(window, tensors, window.size - 8 - header_bytes))


def _parse(window: Window, data: bytes) -> dict[str, Any]:
    try:
        header, notes = parse_json(data, window.path)
    except JsonError as exc:
        raise MalformedModel(window.path, 8 + (exc.offset or 0), exc.reason) from exc
    if not isinstance(header, dict):
        raise MalformedModel(window.path, 8, "expected a JSON object of tensors")
    if any("twice" in note.reason for note in notes):
        raise MalformedModel(window.path, 8, "expected each tensor once, found a name twice")
    return header


def _tensor(path: str, name: str, told: Any) -> _Tensor:
    """Return one tensor of the header.

    Raises:
        MalformedModel: it lacks a key, or a number is not one, or length and shape contradict each other.
    """
    match told:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(stop)]}:
            if 0 <= start <= stop and all(type(size) is int and 0 <= size < 1 << 63 for size in shape):
                elements = math.prod(shape) if len(shape) <= 64 else -1
                bits = DTYPES[dtype][1] if dtype in DTYPES else None
                if 0 <= elements < 1 << 63 and (bits is None or elements * bits == (stop - start) * 8):
                    return _Tensor(dtype, elements, start, stop)
    raise MalformedModel(path, 8, f"tensor {name[:100]!r}: dtype, shape and data_offsets do not make one")


def _completeness(window: Window, tensors: list[_Tensor], data_bytes: int) -> Completeness:
    """Return whether the tensors fill *data_bytes* after the header, without a gap, an overlap or a remainder."""
    position = 0
    for tensor in sorted(tensors, key=lambda one: (one.start, one.stop)):
        if tensor.start != position:
            problem = f"tensors leave a gap or overlap at byte {position} of the data"
            return Completeness(State.CORRUPT, (Problem(window.path, problem),))
        position = tensor.stop
    if position == data_bytes:
        return Completeness()
    problem = f"the tensors take {position} bytes, the file holds {data_bytes} after its header"
    state = State.INCOMPLETE if position > data_bytes else State.CORRUPT
    return Completeness(state, (Problem(window.path, problem),))


def _shown(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, Mapping):
        return {}
    return {str(key)[:MAX_METADATA_CHARS]: str(metadata[key])[:MAX_METADATA_CHARS] for key in list(metadata)[:MAX_METADATA]}


FORMAT = FileFormat("safetensors", recognise, read, frozenset({".safetensors"}), begins(b"{", 8))
