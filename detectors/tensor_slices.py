"""TensorFlow's first checkpoint format ("V1"): one table that holds both the names and the bytes of the tensors.

In goes a file, out come the tensors it lists, and where the checksums of its bytes are. Only the first entry is read,
the list under the empty key; the tensors behind it stay where they are. TensorFlow writes the newer format (`bundle`) since
1.0, and still reads this one.

Layout (tensorflow/core/util/saved_tensor_slice.proto): the first value is

    SavedTensorSlices      1: SavedTensorSliceMeta
    SavedTensorSliceMeta   1: SavedSliceMeta, repeated
    SavedSliceMeta         1: name   2: TensorShapeProto   3: DataType   4: slices

and every other entry, named by an encoded slice, holds bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from google.protobuf.message import DecodeError

from detectors.bundle import MAX_PROBLEMS, StoredTensor, shape_of
from detectors.detection import Contents
from detectors.errors import MalformedModel, ModelLimit
from detectors.facts import FileSums
from detectors.protos.tensorflow_pb2 import TensorShapeProto
from detectors.sstable import read_first, read_handles, value_of_empty_key
from detectors.tf_dtypes import dtype_name, is_number
from detectors.tree import FileEntry, MemoryTree
from detectors.wire import LEN, Window, hop, text

MAX_LIST_BYTES = 4 << 20
"""Bytes of the list of tensors. A hundred bytes per tensor is usual."""

MAX_TENSORS = 100_000
"""Tensors of one list. Each takes 20 to 40 µs."""

LIST, TENSOR, NAME, SHAPE, DTYPE = 1, 1, 1, 2, 3
"""Field numbers of the three messages above."""

FIRST_BYTES = re.compile(rb"(?:\x0a[\x80-\xff]{0,4}[\x00-\x7f]){3}")
"""How the first value begins: the list, its first tensor, and the name of that, each with its length."""

PART = re.compile(r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})", re.DOTALL)
"""The name of one file of several."""


def may_list_tensors(head: bytes) -> bool:
    """Tell whether a file that begins with *head* may be a V1 checkpoint."""
    return FIRST_BYTES.match(value_of_empty_key(head)) is not None


def prefix_of(path: str) -> str:
    """Return the prefix of the checkpoint that *path* is a part of, *path* itself where it is the only file."""
    part = PART.fullmatch(path) if "-of-" in path else None
    return part["prefix"] if part else path


def missing_parts(paths: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """Return the paths that the names of *paths*, parts of one checkpoint, promise beside them, and how many there are.

    The first `MAX_PROBLEMS` are named, in order; five digits may promise 99,999 files, and each name another number of them.
    """
    found = set(paths)
    parts = [part for path in sorted(found) if (part := PART.fullmatch(path))]
    present = Counter((part["prefix"], part["count"]) for part in parts if int(part["number"]) < int(part["count"]))
    totals = {(part["prefix"], part["count"]): int(part["count"]) for part in parts}
    promised = (f"{prefix}-{number:05d}-of-{count}" for (prefix, count), total in totals.items() for number in range(total))
    named = islice((name for name in promised if name not in found), MAX_PROBLEMS)
    return tuple(named), sum(totals.values()) - present.total()


def read_tensors(contents: Contents, file: FileEntry) -> tuple[StoredTensor, ...]:
    """Return the tensors that *file* lists, in its order. Reads the ends of the table and its first block.

    Raises:
        MalformedModel: it is no table, its first key is not empty, or the list does not parse.
        ModelLimit: `MAX_LIST_BYTES`, `MAX_TENSORS` or a limit of `sstable` was reached.
    """
    key, value = read_first(contents.window(file))
    if key != b"":
        raise MalformedModel(file.path, None, "expected the list of tensors under the empty key, found another key")
    if len(value) > MAX_LIST_BYTES:
        raise ModelLimit(file.path, None, "MAX_LIST_BYTES", f"the list of tensors has {len(value)} bytes")
    window = Window(MemoryTree({file.path: value}), file.path, len(value))
    places = [
        place for first, last in _messages(window, LIST, 0, len(value)) for place in _messages(window, TENSOR, first, last)
    ]
    if len(places) > MAX_TENSORS:
        raise ModelLimit(file.path, None, "MAX_TENSORS", f"the list names {len(places)} tensors")
    return tuple(_tensor(window, start, stop) for start, stop in places)


def sums_of(contents: Contents, file: FileEntry) -> FileSums:
    """Return where the blocks of *file* lie, which have their checksums behind them. Reads the end of the table.

    Raises:
        MalformedModel, ModelLimit: as in `sstable.read_handles`.
    """
    return FileSums(file.path, blocks=tuple(read_handles(contents.window(file))))


def _messages(window: Window, number: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of every message in field *number* of the message at [start, stop)."""
    return ((found.start, found.stop) for found in hop(window, start, stop) if (found.number, found.wire_type) == (number, LEN))


def _tensor(window: Window, start: int, stop: int) -> StoredTensor:
    fields = {found.number: found for found in hop(window, start, stop) if found.number in (NAME, SHAPE, DTYPE)}
    name, shape = (window.bytes(fields[n].start, fields[n].stop) if n in fields else b"" for n in (NAME, SHAPE))
    dtype = (fields[DTYPE].value or 0) if DTYPE in fields else 0
    try:
        sizes = shape_of(window.path, name, TensorShapeProto.FromString(shape))
    except DecodeError as exc:
        raise MalformedModel(window.path, None, f"the shape of {text(name[:80])} does not parse") from exc
    return StoredTensor(text(name), dtype_name(dtype), sizes, is_number(dtype))
