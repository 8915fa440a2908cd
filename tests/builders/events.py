"""Genuine event files, byte by byte, without the code under test.

Layout of a record: length u64, masked crc32c of it, data, masked crc32c of the data. Field numbers are those of
TensorFlow's event.proto, summary.proto and tensor.proto.
"""

import struct

import google_crc32c

FLOAT, DOUBLE, INT32, UINT8, INT16, INT8, STRING, INT64, BOOL, HALF = 1, 2, 3, 4, 5, 6, 7, 9, 10, 19


def masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked_crc(length) + data + masked_crc(data)


def varint(value: int) -> bytes:
    value %= 2**64
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def event(body: bytes, step: int | None = None, wall_time: float | None = None) -> bytes:
    head = b"" if wall_time is None else b"\x09" + struct.pack("<d", wall_time)
    head += b"" if step is None else b"\x10" + varint(step)
    return head + body


def file_version(wall_time: float | None = 1500000000.0) -> bytes:
    return record(event(field(3, b"brain.Event:2"), wall_time=wall_time))


def summary(*values: bytes) -> bytes:
    return field(5, b"".join(field(1, value) for value in values))


def simple(tag: str, value: float) -> bytes:
    """A value as TensorFlow 1 and PyTorch write it."""
    return field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def metadata(plugin: str = "scalars") -> bytes:
    return field(9, field(1, field(1, plugin.encode())))


def tensor(dtype: int, content: bytes = b"", dims: tuple[int, ...] = (), rest: bytes = b"") -> bytes:
    shape = b"".join(field(2, b"\x08" + varint(dim)) for dim in dims)
    return b"\x08" + varint(dtype) + field(2, shape) + (field(4, content) if content else b"") + rest


def tensor_value(tag: str, body: bytes, plugin: str | None = "scalars") -> bytes:
    return field(1, tag.encode()) + field(8, body) + (b"" if plugin is None else metadata(plugin))


def scalar_tensor(tag: str, value: float, plugin: str | None = "scalars") -> bytes:
    """A value as TensorFlow 2 writes it: tensor_content of a rank-0 float."""
    return tensor_value(tag, tensor(FLOAT, struct.pack("<f", value)), plugin)


def scalar(tag: str, value: float, step: int, wall_time: float = 1500000000.0) -> bytes:
    """One record with one simple value."""
    return record(event(summary(simple(tag, value)), step, wall_time))


def event_file(*records: bytes) -> bytes:
    return file_version() + b"".join(records)
