"""Genuine bytes of the formats that are told by name, written one by one."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

TFLITE_FLOAT32 = 0


def safetensors(tensors: Mapping[str, tuple[str, Sequence[int], int]], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return a safetensors file of zeros; each tensor is dtype, shape and its number of bytes."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, (dtype, shape, count) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + count]}
        position += count
    return safetensors_of(json.dumps(header).encode(), position)


def safetensors_of(header: bytes, data_bytes: int) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(data_bytes)


def gguf_text(text: str, order: str = "<") -> bytes:
    return struct.pack(f"{order}Q", len(text.encode())) + text.encode()


def gguf(
    tensors: Mapping[str, tuple[Sequence[int], int, int]],
    data_bytes: int,
    pairs: Sequence[bytes] = (),
    order: str = "<",
    alignment: int = 32,
) -> bytes:
    """Return a GGUF file of version 3; each tensor is its dimensions, type and offset."""
    out = b"GGUF" + struct.pack(f"{order}IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs)
    for name, (dims, code, offset) in tensors.items():
        out += gguf_text(name, order) + struct.pack(f"{order}I{len(dims)}QIQ", len(dims), *dims, code, offset)
    return out + bytes(-len(out) % alignment) + bytes(data_bytes)


def gguf_pair(key: str, code: int, value: bytes, order: str = "<") -> bytes:
    return gguf_text(key, order) + struct.pack(f"{order}I", code) + value


def zip_of(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """Return a zip with *members* in their order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
        archive.comment = comment
    return out.getvalue()


class FlatbufferWriter:
    """Writes back to front, as all writers do. A reference is the distance of an object from the end of the file."""

    def __init__(self) -> None:
        self.tail = b""

    def vector(self, items: bytes, count: int) -> int:
        self._prepend(struct.pack("<I", count) + items + bytes(-len(items) % 4))
        return len(self.tail)

    def text(self, value: bytes) -> int:
        return self.vector(value + b"\0", len(value))

    def references(self, objects: Sequence[int]) -> int:
        """A vector of references to tables or strings that were written before."""
        end = len(self.tail) + 4 * len(objects)
        items = b"".join(struct.pack("<I", end - 4 * n - place) for n, place in enumerate(objects))
        return self.vector(items, len(objects))

    def table(self, fields: Mapping[int, bytes | int]) -> int:
        """A table; a field is its own bytes, or a reference. Each takes four bytes, or eight."""
        widths = {index: 4 if isinstance(value, int) else -(-len(value) // 4) * 4 for index, value in fields.items()}
        table_bytes = 4 + sum(widths.values())
        vtable_bytes = 4 + 2 * (max(fields, default=-1) + 1)
        padding = -vtable_bytes % 4
        top = len(self.tail) + table_bytes
        body, offsets, position = b"", [0] * (max(fields, default=-1) + 1), 4
        for index, value in fields.items():
            offsets[index] = position
            body += struct.pack("<I", top - position - value) if isinstance(value, int) else value.ljust(widths[index], b"\0")
            position += widths[index]
        vtable = struct.pack(f"<HH{len(offsets)}H", vtable_bytes, table_bytes, *offsets) + bytes(padding)
        self._prepend(struct.pack("<i", vtable_bytes + padding) + body)
        place = len(self.tail)
        self._prepend(vtable)
        return place

    def file(self, root: int, magic: bytes) -> bytes:
        return struct.pack("<I", 8 + len(self.tail) - root) + magic + self.tail

    def _prepend(self, data: bytes) -> None:
        self.tail = data + self.tail


def tflite(weights: bytes = bytes(24), shape: Sequence[int] = (2, 3), buffer: int = 1) -> bytes:
    """Return a TensorFlow Lite model with one float32 tensor; buffer 0 is empty, as the format wants it."""
    writer = FlatbufferWriter()
    data = writer.vector(weights, len(weights))
    buffers = writer.references([writer.table({}), writer.table({0: data})])
    dims = writer.vector(struct.pack(f"<{len(shape)}i", *shape), len(shape))
    tensor = writer.table({0: dims, 1: bytes([TFLITE_FLOAT32]), 2: struct.pack("<I", buffer)})
    subgraph = writer.table({0: writer.references([tensor])})
    subgraphs = writer.references([subgraph])
    description = writer.text(b"by hand")
    return writer.file(writer.table({0: struct.pack("<I", 3), 2: subgraphs, 3: description, 4: buffers}), b"TFL3")


def ort(weights: bytes = bytes(24), dims: Sequence[int] = (2, 3)) -> bytes:
    """Return an ONNX Runtime model with one float32 initializer."""
    writer = FlatbufferWriter()
    data = writer.vector(weights, len(weights))
    shape = writer.vector(struct.pack(f"<{len(dims)}q", *dims), len(dims))
    tensor = writer.table({2: shape, 3: struct.pack("<I", 1), 4: data})
    graph = writer.table({0: writer.references([tensor])})
    producer = writer.text(b"by hand")
    model = writer.table({2: producer, 7: graph})
    version = writer.text(b"6")
    return writer.file(writer.table({0: version, 1: model}), b"ORTM")


def coreml_weights(*blobs: bytes) -> bytes:
    """Return the file of weights of a `.mlpackage`: a header, then each blob behind what is told of it."""
    out = struct.pack("<II56x", len(blobs), 2)
    for blob in blobs:
        out += bytes(-len(out) % 64)
        out += struct.pack("<IIQQ40x", 0xDEADBEEF, 1, len(blob), len(out) + 64) + blob
    return out


def keras_zip(
    config: Mapping[str, Any] | None = None, compression: int = zipfile.ZIP_STORED, weights: bytes | None = None
) -> bytes:
    """Return a `.keras` file, by default with an empty HDF5 file as weights."""
    members = {
        "metadata.json": json.dumps({"keras_version": "3.15.1", "date_saved": "2026-11-21@00:07:39"}).encode(),
        "config.json": json.dumps(config or {"class_name": "Sequential", "config": {"layers": []}}).encode(),
        "model.weights.h5": hdf5(b"vars") if weights is None else weights,
    }
    return zip_of(members, compression)


def hdf5(content: bytes, version: int = 0, end: int | None = None) -> bytes:
    """Return an HDF5 file with an empty root, and *content*; *end* is the end of file it claims, by default the true one."""
    head = b"\x89HDF\r\n\x1a\n" + bytes([version])
    head += bytes([0, 0, 0, 0, 8, 8, 0]) + bytes(8 + 4 * version) if version < 2 else bytes([8, 8, 0])
    root = len(head) + (72 if version < 2 else 36)
    data = struct.pack("<2BHI8x", 1, 0, 0, 1) + content
    end = root + len(data) if end is None else end
    if version < 2:
        return head + struct.pack("<QQQQ", 0, 2**64 - 1, end, 2**64 - 1) + struct.pack("<2Q24x", 0, root) + data
    return head + struct.pack("<QQQQ4x", 0, 2**64 - 1, end, root) + data


def pytorch_zip(members: Mapping[str, bytes] | None = None) -> bytes:
    """Return a PyTorch file as `torch.save` lays it out; the pickle is that of an empty dict."""
    inner = members or {"data.pkl": b"\x80\x02}q\x00.", "byteorder": b"little", "data/0": bytes(24), "data/1": bytes(8)}
    return zip_of({f"archive/{name}": data for name, data in {**inner, "version": b"3\n"}.items()})


def coreml(kind: int = 500) -> bytes:
    """Return a CoreML model: specification version 4, a description, and a model of *kind* with 300 bytes."""
    key = kind << 3 | 2
    return b"\x08\x04\x12\x02\x0a\x00" + bytes([key & 0x7F | 0x80, key >> 7, 0xAC, 0x02]) + bytes(300)


OPENVINO = b"""<?xml version="1.0"?>
<net name="two" version="11">
  <layers>
    <layer id="0" name="w" type="Const" version="opset1"><data element_type="f32" shape="2,3" offset="0" size="24" /></layer>
    <layer id="1" name="b" type="Const" version="opset1"><data element_type="f32" shape="2" offset="24" size="8" /></layer>
  </layers>
</net>
"""
"""A graph that needs 32 bytes of weights."""

LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    b"size 12345\n"
)


def tflite_custom(name: bytes, options: bytes = b"", texts: bytes | None = None, times: int = 1) -> bytes:
    """Return a TensorFlow Lite model with one custom operator and its *options*, used so many *times*; *texts* are the bytes of
    its one input, None for one that is computed.
    """
    writer = FlatbufferWriter()
    buffers = [writer.table({}), writer.table({} if texts is None else {0: writer.vector(texts, len(texts))})]
    tensor = writer.table({1: bytes([5]), 2: struct.pack("<I", 1)})
    operator = writer.table({1: writer.vector(struct.pack("<i", 0), 1), 5: writer.vector(options, len(options))})
    subgraph = writer.table({0: writer.references([tensor]), 3: writer.references([operator] * times)})
    code = writer.table({0: bytes([32]), 1: writer.text(name)})
    parts = {1: writer.references([code]), 2: writer.references([subgraph]), 4: writer.references(buffers)}
    return writer.file(writer.table({0: struct.pack("<I", 3), **parts}), b"TFL3")


def flex_options(operator: bytes, more: bytes = b"") -> bytes:
    """Return the options of an operator of TensorFlow's as converters write them: a FlexBuffer of its name and its NodeDef."""
    node = b"\x12" + bytes([len(operator)]) + operator + more
    texts = bytes([len(operator)]) + operator + b"\0" + bytes([len(node)]) + node + b"\0"
    return texts + bytes([2, len(texts), len(node) + 3]) + bytes([5 << 2, 5 << 2]) + bytes([4, 10 << 2, 1])


def tflite_texts(*texts: bytes) -> bytes:
    """Return the bytes of a tensor of texts."""
    places = [4 * (len(texts) + 2)]
    for one in texts:
        places.append(places[-1] + len(one))
    return struct.pack(f"<{len(texts) + 2}i", len(texts), *places) + b"".join(texts)
