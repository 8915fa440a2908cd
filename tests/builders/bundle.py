"""Checkpoints written byte by byte: tables with one or many blocks, raw or Snappy, and the tensor bundles in them.

files = Bundle([Tensor("w", FLOAT, (2, 3), bytes(24))]).files("model.ckpt")
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import google_crc32c

FLOAT, DOUBLE, INT32, STRING, INT64, BFLOAT16, RESOURCE, VARIANT = 1, 2, 3, 7, 9, 14, 20, 21
MAGIC = bytes.fromhex("57fb808b247547db")
SHORT = tuple(bytes([value]) for value in range(0x80))


def varint(value: int) -> bytes:
    if 0 <= value < len(SHORT):
        return SHORT[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def length_delimited(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def whole_number(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def masked(data: bytes, crc: int = 0) -> int:
    value = google_crc32c.extend(crc, data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFF_FFFF


def block(entries: Iterable[tuple[bytes, bytes]], share: bool = True) -> bytes:
    """A block with one restart position; keys share prefixes unless *share* is False."""
    out, before = bytearray(), b""
    for key, value in entries:
        shared = 0
        while share and shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return bytes(out) + struct.pack("<II", 0, 1)


def snappy(data: bytes) -> bytes:
    """A Snappy block: literals of up to 60 bytes, and copies where four or more bytes came shortly before."""
    out, literal, position = bytearray(varint(len(data))), bytearray(), 0

    def flush() -> None:
        for at in range(0, len(literal), 60):
            piece = literal[at : at + 60]
            out.extend(bytes([len(piece) - 1 << 2]) + piece)
        literal.clear()

    while position < len(data):
        found = data.rfind(data[position : position + 4], 0, position + 3)
        offset = position - found
        if found < 0 or offset >= 2048 or position + 4 > len(data):
            literal.append(data[position])
            position += 1
            continue
        flush()
        length = 4
        while length < 11 and position + length < len(data) and data[found + length] == data[position + length]:
            length += 1
        out += bytes([1 | length - 4 << 2 | offset >> 8 << 5, offset & 0xFF])
        position += length
    flush()
    return bytes(out)


def table(*blocks: bytes, last_keys: Iterable[bytes] = (), compress: bool = False) -> bytes:
    """A table of data *blocks*; the index block names them by *last_keys*, by default by their number."""
    out = bytearray()
    names = list(last_keys) or [bytes([number]) for number in range(1, len(blocks) + 1)]

    def add(body: bytes, kind: int = 0) -> bytes:
        handle = varint(len(out)) + varint(len(body))
        out.extend(body + bytes([kind]) + struct.pack("<I", masked(body + bytes([kind]))))
        return handle

    handles = [add(snappy(body), 1) if compress else add(body) for body in blocks]
    metaindex = add(block([]))
    index = add(block(zip(names, handles, strict=True)))
    return bytes(out) + (metaindex + index).ljust(40, b"\0") + MAGIC


def string_bytes(strings: Iterable[bytes], order: str = "<") -> tuple[bytes, int]:
    """The bytes of a tensor of strings, and their masked crc."""
    strings = list(strings)
    crc = google_crc32c.value(b"".join(struct.pack(order + "I", len(one)) for one in strings))
    checksum = struct.pack(order + "I", masked(b"", crc))
    body = b"".join(strings)
    return b"".join(varint(len(one)) for one in strings) + checksum + body, masked(checksum + body, crc)


def variant_bytes(variants: Iterable[bytes], order: str = "<") -> tuple[bytes, int]:
    """The bytes of a tensor of serialized variants, and their masked crc."""
    body, crc = b"", 0
    for one in variants:
        crc = google_crc32c.extend(crc, struct.pack(order + "Q", len(one)) + one)
        checksum = struct.pack(order + "I", masked(b"", crc))
        crc = google_crc32c.extend(crc, checksum)
        body += varint(len(one)) + one + checksum
    return body, masked(b"", crc)


def shape_proto(shape: Iterable[int]) -> bytes:
    return b"".join(length_delimited(2, whole_number(1, size) if size else b"") for size in shape)


def entry_proto(dtype: int, shape: Iterable[int], shard: int, offset: int, size: int, crc: int, slices: int = 0) -> bytes:
    out = whole_number(1, dtype) + length_delimited(2, shape_proto(shape))
    out += whole_number(3, shard) if shard else b""
    out += whole_number(4, offset) if offset else b""
    out += whole_number(5, size) if size else b""
    out += b"\x35" + struct.pack("<I", crc) if crc else b""
    return out + length_delimited(7, length_delimited(1, b"")) * slices


def header_proto(num_shards: int, big_endian: bool = False) -> bytes:
    return whole_number(1, num_shards) + (whole_number(2, 1) if big_endian else b"") + length_delimited(3, whole_number(1, 1))


def slice_key(name: bytes, extents: Iterable[tuple[int, int]]) -> bytes:
    """The key of a slice; extents (start, length) below 64."""
    extents = list(extents)
    escaped = name.replace(b"\xff", b"\xff\x01").replace(b"\x00", b"\x00\xff").replace(b"\xff\x01", b"\xff\x00")
    ends = b"".join(bytes([0x80 | start, 0x80 | length]) for start, length in extents)
    return b"\x00" + escaped + b"\x00\x01" + b"\x01" + bytes([len(extents)]) + ends


@dataclass(frozen=True)
class Tensor:
    """A tensor of *body* bytes; crc None is worked out, for strings it must be given."""

    name: str | bytes
    dtype: int
    shape: tuple[int, ...]
    body: bytes = b""
    shard: int = 0
    crc: int | None = None
    slices: int = 0

    @property
    def key(self) -> bytes:
        return self.name.encode() if isinstance(self.name, str) else self.name


def strings(name: str, values: Iterable[bytes], shard: int = 0) -> Tensor:
    values = list(values)
    body, crc = string_bytes(values)
    return Tensor(name, STRING, (len(values),), body, shard, crc)


@dataclass
class Bundle:
    """A whole checkpoint: index and data files."""

    tensors: list[Tensor]
    num_shards: int = 1
    compress: bool = False
    big_endian: bool = False
    per_block: int = 1000
    extra: dict[bytes, bytes] = field(default_factory=dict)

    def files(self, prefix: str) -> dict[str, bytes]:
        shards = [bytearray() for _ in range(self.num_shards)]
        entries = {b"": header_proto(self.num_shards, self.big_endian)}
        for tensor in self.tensors:
            data = shards[tensor.shard]
            crc = masked(tensor.body) if tensor.crc is None else tensor.crc
            place = (0, 0, 0, 0) if tensor.slices else (tensor.shard, len(data), len(tensor.body), crc)
            entries[tensor.key] = entry_proto(tensor.dtype, tensor.shape, *place, slices=tensor.slices)
            data += tensor.body
        entries |= self.extra
        ordered = sorted(entries.items())
        groups = [ordered[at : at + self.per_block] for at in range(0, len(ordered), self.per_block)]
        index = table(
            *(block(group) for group in groups), last_keys=[group[-1][0] + b"\xff" for group in groups], compress=self.compress
        )
        names = [f"{prefix}.data-{i:05d}-of-{self.num_shards:05d}" for i in range(self.num_shards)]
        return {f"{prefix}.index": index} | {name: bytes(data) for name, data in zip(names, shards, strict=True)}


def single_file(tensors: Iterable[tuple[str, int, tuple[int, ...]]], compress: bool = False) -> bytes:
    """A V1 checkpoint that lists *tensors* (name, dtype, shape) and holds four bytes for each."""
    tensors = list(tensors)
    listed = b"".join(
        length_delimited(
            1, length_delimited(1, name.encode()) + length_delimited(2, shape_proto(shape)) + whole_number(3, dtype)
        )
        for name, dtype, shape in tensors
    )
    data = sorted((slice_key(name.encode(), []), b"data") for name, _, _ in tensors)
    return table(block([(b"", length_delimited(1, listed))]), block(data), compress=compress)


def meta_graph(
    version: str = "1.15.0", trainable: Iterable[str] | None = None, ops: Iterable[str] = ("Const",), producer: int = 134
) -> bytes:
    """A MetaGraphDef as a Saver writes it; *trainable* names its variables, None for no collections."""
    nodes = b"".join(length_delimited(1, length_delimited(1, op.encode()) + length_delimited(2, op.encode())) for op in ops)
    graph = nodes + length_delimited(4, whole_number(1, producer))
    out = length_delimited(1, length_delimited(5, version.encode())) + length_delimited(2, graph)
    for name in ("trainable_variables", "variables") if trainable is not None else ():
        out += variables_collection(name, trainable or ())
    return out


def variables_collection(name: str, variables: Iterable[str]) -> bytes:
    """The collection *name* of a MetaGraphDef, of *variables*."""
    values = b"".join(length_delimited(1, length_delimited(1, f"{variable}:0".encode())) for variable in variables)
    return length_delimited(4, length_delimited(1, name.encode()) + length_delimited(2, length_delimited(2, values)))
