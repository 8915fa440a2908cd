"""A TensorFlow checkpoint's variables index: which tensors there are, and where their bytes lie.

In goes the file `X.index` of a tree, out come its header and entries; from those follow which data files must exist and how
long they must be, how many numbers are stored, and which checksums a copy of the data must have. The data files themselves
are not opened. What format the checkpoint is part of is left to `checkpoint` and `saved_model`.

Laws (each has a test of the same name):
    any bytes give a bundle or a `DetectorError`;
    a truncated index is never a bundle;
    a data file that is missing or short is never complete.

Layout (tensorflow/core/util/tensor_bundle/tensor_bundle.h, protobuf/tensor_bundle.proto): a table (`sstable`) with the
header under the empty key and one entry per tensor under its name. A partitioned variable has an entry of size 0 that lists
its slices, whose bytes have entries of their own under keys that begin with a zero byte
(tensorflow/core/util/saved_tensor_slice_util.cc, EncodeTensorNameSlice).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from detectors.detection import Contents
from detectors.errors import MalformedModel, ModelLimit
from detectors.facts import Completeness, FileSums, Parameters, Problem, State, TensorRange
from detectors.protos.tensorflow_pb2 import BundleEntryProto, BundleHeaderProto, TensorShapeProto
from detectors.sstable import CRC_BYTES, read_table
from detectors.tf_dtypes import STRING, VARIANT, base_of, dtype_name, element_bytes, is_number
from detectors.tree import FileEntry
from detectors.wire import text

MAX_INDEX_BYTES = 256 << 20
"""Bytes of an index. A model of ten thousand variables takes about 1 MiB."""

MAX_ENTRIES = 150_000
"""Tensors and slices of one index. Each takes 15 to 30 µs, and 400 bytes; the largest public models have some thousands."""

MAX_ENTRY_BYTES = 1 << 20
"""Bytes of one entry; only a list of many thousand slices comes near."""

MAX_SHARDS = 100_000
"""Data files of one bundle: what the five digits of their names can number."""

MAX_VARIANTS = 200_000
"""Elements of type variant in one index. Each has a checksum of its own and takes some 3 µs of a pass over the data."""

MAX_RANK = 254
"""Axes of a tensor (tensorflow/core/framework/tensor_shape.h, MaxDimensions)."""

MAX_COUNT = 1 << 63
"""Elements and bytes must be fewer, so that they can be counted in 64 bits."""

MAX_PROBLEMS = 20
"""Missing or short files that are told one by one; the rest is a count."""

OBJECT_GRAPH_KEY = b"_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key of TF2's object graph (tensorflow/python/checkpoint/checkpoint.py): structure, not a variable."""

SLICE_KEY = re.compile(rb"\x00((?:[^\x00\xff]|\x00\xff|\xff\x00)*)\x00\x01", re.DOTALL)
"""A zero byte and the escaped name, ended by 00 01 (tensorflow/core/lib/strings/ordered_code.cc)."""

ESCAPED = re.compile(rb"\x00\xff|\xff\x00")
"""How a zero byte and an 0xff are written there; the first of the two is meant."""

_FILE = r"\.(?:index|data-\d{5,}-of-\d{5,})"
LEFTOVER = re.compile(
    rf"_temp(?:_[0-9a-f]+)?/part-\d{{5,}}-of-\d{{5,}}{_FILE}(?:\.tempstate\d+)?|(?:{_FILE})?\.tempstate\d+", re.DOTALL
)
"""What follows the prefix in the names of files that a save writes first and renames or merges later."""


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """One tensor, or one slice of a partitioned variable: bytes [offset, offset + size) of the data file *shard*.

    dtype is TensorFlow's number (`tf_dtypes`).
    crc32c is masked, as stored. is_slice: the key begins with a zero byte. has_slices: the bytes lie in slices elsewhere.
    """

    key: bytes
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int
    is_slice: bool
    has_slices: bool

    @property
    def name(self) -> str:
        """Return the key as text, for a slice the name of its variable. Not kept: it may take four times the key's memory."""
        return text(_variable_of(self.key) if self.is_slice else self.key)

    @property
    def elements(self) -> int:
        """Return how many elements the tensor has."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checkpoint's index. *prefix* is its path without ".index"; entries are in order of their keys."""

    prefix: str
    num_shards: int
    big_endian: bool
    entries: tuple[BundleEntry, ...]

    @property
    def has_object_graph(self) -> bool:
        """Tell whether TF2 saved objects: the graph of them is stored as a tensor of its own."""
        return any(entry.key == OBJECT_GRAPH_KEY for entry in self.entries)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as its reader would name it; *dtype* in the words of numpy. *is_number*: its elements count as parameters."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    is_number: bool

    @property
    def elements(self) -> int:
        """Return how many elements the tensor has."""
        return prod(self.shape)


def dtypes_of(tensors: Iterable[StoredTensor]) -> Mapping[str, int]:
    """Return how many of *tensors* have each dtype, sorted by its name."""
    return MappingProxyType(dict(sorted(Counter(tensor.dtype for tensor in tensors).items())))


@dataclass(frozen=True, slots=True)
class Stored:
    """What a bundle stores, slices joined and the object graph left out.

    parameters counts elements of numeric tensors only (floats, integers, booleans, complex, quantized; no strings);
    its `trainable` is None, for an index does not say. dtypes counts tensors.
    """

    tensors: tuple[StoredTensor, ...]
    parameters: Parameters
    dtypes: Mapping[str, int]


def read_bundle(contents: Contents, index: FileEntry) -> Bundle:
    """Return the bundle of the file *index*. Reads all of it and nothing else.

    Raises:
        MalformedModel: it is no table, has no header, or an entry contradicts itself or the header.
        ModelLimit: a limit of this module or of `sstable` was reached.
    """
    path = index.path
    if index.size > MAX_INDEX_BYTES:
        raise ModelLimit(path, None, "MAX_INDEX_BYTES", f"expected at most {MAX_INDEX_BYTES} bytes, found {index.size}")
    table = read_table(contents.window(index))
    header = _header(path, table)
    entries = tuple(_entries(path, table, header.num_shards))
    _check_slices(path, entries)
    if sum(entry.elements for entry, _ in entries if base_of(entry.dtype) == VARIANT) > MAX_VARIANTS:
        raise ModelLimit(path, None, "MAX_VARIANTS", f"more than {MAX_VARIANTS} variants")
    if sum(entry.elements for entry, _ in entries) >= MAX_COUNT:
        raise MalformedModel(path, None, "has more elements than can be counted in 64 bits")
    return Bundle(path.removesuffix(".index"), header.num_shards, header.endianness == 1, tuple(entry for entry, _ in entries))


def shard_name(prefix: str, i: int, n: int) -> str:
    """Return the path of data file *i* of *n*, counted from 0."""
    return f"{prefix}.data-{i:05d}-of-{n:05d}"


def completeness_of(contents: Contents, bundle: Bundle) -> Completeness:
    """Return whether every data file is there and long enough, judged by the listing alone.

    Files of an unfinished save beside it (`X_temp…/part-*`, `X.….tempstate…`) make it incomplete: it is being replaced.
    """
    problems = [*_shard_problems(contents, bundle), *leftover_problems(leftovers_of(contents, bundle.prefix))]
    if not problems:
        return Completeness()
    return Completeness(State.INCOMPLETE, tuple(problems))


def leftovers_of(contents: Contents, prefix: str) -> list[str]:
    """Return the paths of what an unfinished save of *prefix* left, sorted."""
    beside = [*starting_with(contents, prefix + "."), *starting_with(contents, prefix + "_temp")]
    return [entry.path for entry in beside if LEFTOVER.fullmatch(entry.path, len(prefix))]


def leftover_problems(paths: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem per leftover, at most `MAX_PROBLEMS` and a count."""
    return told(Problem(path, "left by a save that has not finished") for path in paths)


def starting_with(contents: Contents, prefix: str) -> Iterator[FileEntry]:
    """Yield all files whose path starts with *prefix*, sorted by path, without looking at the others."""
    first = bisect_left(contents.entries, prefix, key=lambda entry: entry.path)
    for position in range(first, len(contents.entries)):
        if not contents.entries[position].path.startswith(prefix):
            return
        yield contents.entries[position]


def stored_tensors(bundle: Bundle) -> Stored:
    """Return what *bundle* stores."""
    whole = [entry for entry in bundle.entries if not entry.is_slice and entry.key != OBJECT_GRAPH_KEY]
    numbers = [entry for entry in whole if is_number(entry.dtype)]
    contents_of = _slice_sums(bundle)
    distinct = {(entry.dtype, entry.shape, contents_of.get(entry.key, entry.crc32c)): entry.elements for entry in numbers}
    tensors = tuple(StoredTensor(entry.name, dtype_name(entry.dtype), entry.shape, is_number(entry.dtype)) for entry in whole)
    return Stored(
        tensors,
        Parameters(stored=sum(entry.elements for entry in numbers), distinct=sum(distinct.values())),
        dtypes_of(tensors),
    )


def shape_of(path: str, name: bytes, shape: TensorShapeProto) -> tuple[int, ...]:
    """Return the sizes of all axes of *shape*; *path* and *name* are for messages.

    Raises:
        MalformedModel: a size is unknown, or there are more axes or elements than a tensor has.
    """
    sizes = tuple([dim.size for dim in shape.dim])
    if shape.unknown_rank or elements_in(sizes) is None:
        raise MalformedModel(path, None, f"{text(name[:80])} has the shape {sizes[:8]}, which no tensor has")
    return sizes


def elements_in(sizes: Sequence[int]) -> int | None:
    """Return how many elements a tensor of *sizes* has, None where no tensor has them: an unknown size, or beyond a limit."""
    if len(sizes) > MAX_RANK or any(size < 0 for size in sizes):
        return None
    elements = prod(sizes)  # At most MAX_RANK factors of 64 bits.
    return elements if elements < MAX_COUNT else None


def sums_of(bundle: Bundle) -> tuple[FileSums, ...]:
    """Return what the index promises of the bytes of each data file, in order."""
    tensors: list[list[TensorRange]] = [[] for _ in range(bundle.num_shards)]
    for entry in bundle.entries:
        if not entry.has_slices:
            stop = entry.offset + entry.size
            tensors[entry.shard].append(TensorRange(entry.offset, stop, entry.crc32c, entry.name, entry.dtype, entry.elements))
    names = (shard_name(bundle.prefix, shard, bundle.num_shards) for shard in range(bundle.num_shards))
    return tuple(FileSums(name, tuple(mine), bundle.big_endian) for name, mine in zip(names, tensors, strict=True))


def _header(path: str, table: Iterator[tuple[bytes, bytes]]) -> BundleHeaderProto:
    key, value = next(table, (None, b""))
    if key != b"":
        raise MalformedModel(path, None, "expected the bundle header under the empty key, found another key or none")
    header = _parse(path, key, value, BundleHeaderProto())
    if header.num_shards > MAX_SHARDS:
        raise ModelLimit(path, None, "MAX_SHARDS", f"expected at most {MAX_SHARDS} data files, found {header.num_shards}")
    if header.num_shards < 1 or header.endianness not in (0, 1):
        found = f"{header.num_shards} and {header.endianness}"
        raise MalformedModel(path, None, f"expected a header with shards and endianness 0 or 1, found {found}")
    return header


def _entries(path: str, table: Iterator[tuple[bytes, bytes]], num_shards: int) -> Iterator[tuple[BundleEntry, int]]:
    """Yield each entry and how many slices it lists."""
    for number, (key, value) in enumerate(table):
        if number >= MAX_ENTRIES:
            raise ModelLimit(path, None, "MAX_ENTRIES", f"more than {MAX_ENTRIES} entries")
        proto = _parse(path, key, value, BundleEntryProto())
        entry = _entry(path, key, proto)
        if not 0 <= entry.shard < num_shards:
            raise MalformedModel(path, None, f"{entry.name} lies in data file {entry.shard}, there are {num_shards}")
        yield entry, len(proto.slices)


def _entry(path: str, key: bytes, proto: BundleEntryProto) -> BundleEntry:
    is_slice = key.startswith(b"\x00")
    entry = BundleEntry(
        key=key,
        dtype=proto.dtype,
        shape=shape_of(path, key, proto.shape),
        shard=proto.shard_id,
        offset=proto.offset,
        size=proto.size,
        crc32c=proto.crc32c,
        is_slice=is_slice,
        has_slices=bool(proto.slices),
    )
    if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size >= MAX_COUNT:
        raise MalformedModel(path, None, f"{entry.name} lies at byte {entry.offset} with {entry.size} bytes")
    if not entry.has_slices:
        _check_size(path, entry)
    return entry


def _check_size(path: str, entry: BundleEntry) -> None:
    """Raise unless the bytes of *entry* can hold its elements: exactly, or a length each and the checksums of `tensor_sums`."""
    width = element_bytes(entry.dtype)
    if base_of(entry.dtype) == STRING:
        fits = entry.size >= entry.elements + CRC_BYTES
    elif base_of(entry.dtype) == VARIANT:
        fits = entry.size >= entry.elements * (1 + CRC_BYTES)
    else:
        fits = width is None or entry.size == entry.elements * width
    if not fits:
        what = f"{entry.elements} elements of {dtype_name(entry.dtype)}"
        raise MalformedModel(path, None, f"{entry.name} has {what} in {entry.size} bytes")


def _check_slices(path: str, entries: Iterable[tuple[BundleEntry, int]]) -> None:
    """Raise unless every variable that lists slices has an entry for each."""
    found = Counter(entry.name for entry, _ in entries if entry.is_slice)
    for entry, slices in entries:
        if slices and found[entry.name] < slices:
            raise MalformedModel(path, None, f"{entry.name} lists {slices} slices, the index has {found[entry.name]}")


def _slice_sums(bundle: Bundle) -> Mapping[bytes, tuple[tuple[bytes, int], ...]]:
    """Return, by name, what stands for the content of a partitioned variable: where its slices lie in it, and their crcs."""
    sums: dict[bytes, list[tuple[bytes, int]]] = defaultdict(list)
    for entry in bundle.entries:
        if entry.is_slice:
            match = SLICE_KEY.match(entry.key)
            sums[_variable_of(entry.key)].append((entry.key[match.end() :] if match else entry.key, entry.crc32c))
    return {name: tuple(slices) for name, slices in sums.items()}


def _variable_of(key: bytes) -> bytes:
    """Return the name of the variable that the slice under *key* belongs to, the key itself where it holds none."""
    match = SLICE_KEY.match(key)
    return ESCAPED.sub(lambda pair: pair[0][:1], match[1]) if match else key


def _shard_problems(contents: Contents, bundle: Bundle) -> Iterator[Problem]:
    ends = [0] * bundle.num_shards
    for entry in bundle.entries:
        ends[entry.shard] = max(ends[entry.shard], entry.offset + entry.size)
    return told(_of_shard(contents, shard_name(bundle.prefix, i, bundle.num_shards), end) for i, end in enumerate(ends))


def _of_shard(contents: Contents, path: str, end: int) -> Problem | None:
    data = contents.find(path)
    if data is None:
        return Problem(path, "is missing")
    if data.size < end:
        return Problem(path, f"has {data.size} bytes, the index names bytes up to {end}")
    return None


def told(problems: Iterable[Problem | None]) -> Iterator[Problem]:
    """Yield the first `MAX_PROBLEMS`, and one that counts the rest."""
    told, path = 0, ""
    for problem in problems:
        if problem is not None:
            told, path = told + 1, problem.path
            if told <= MAX_PROBLEMS:
                yield problem
    if told > MAX_PROBLEMS:
        yield Problem(path, f"and {told - MAX_PROBLEMS} more files up to this one")


M = TypeVar("M", bound=Message)


def _parse(path: str, key: bytes, value: bytes, message: M) -> M:
    if len(value) > MAX_ENTRY_BYTES:
        raise ModelLimit(path, None, "MAX_ENTRY_BYTES", f"the entry of {text(key[:80])} has {len(value)} bytes")
    try:
        message.ParseFromString(value)
    except DecodeError as exc:
        raise MalformedModel(path, None, f"the entry of {text(key[:80])} is no {message.DESCRIPTOR.name}") from exc
    return message
