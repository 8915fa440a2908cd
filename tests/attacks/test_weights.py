"""Hostile files of the formats told by name: each ends in facts or a DetectorError, in seconds, within memory."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import tracemalloc
import zipfile

import pytest

from detectors.detection import Contents, detect
from detectors.errors import DetectorError
from detectors.tree import MemoryTree
from detectors.weights import DETECTORS
from tests.attacks.keras import hdf5_of
from tests.builders.weights import FlatbufferWriter, gguf, gguf_pair, gguf_text, keras_zip, safetensors_of, zip_of

MAX_SECONDS = 10
MAX_EXTRA_BYTES = 100 << 20


def many_tensors() -> bytes:
    entry = b'{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    return safetensors_of(b"{" + b",".join(b'"%d":%s' % (n, entry) for n in range(150_000)) + b"}", 0)


def many_strings() -> bytes:
    strings = struct.pack("<IQ", 8, 1_900_000) + bytes(8) * 1_900_000
    return gguf({}, 0, [gguf_pair("tokens", 9, strings)])


def many_members() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(20_000):
            archive.writestr(zipfile.ZipInfo(f"archive/data/{n}"), b"")
    return out.getvalue()


def one_table_many_times() -> bytes:
    """A vector of references that all lead to the same table, which looks like a million buffers."""
    writer = FlatbufferWriter()
    table = writer.table({0: writer.vector(bytes(4), 4)})
    buffers = writer.references([table] * 45_000)
    return writer.file(writer.table({0: struct.pack("<I", 3), 4: buffers}), b"TFL3")


def endless_vector() -> bytes:
    writer = FlatbufferWriter()
    writer.tail = struct.pack("<I", 0xFFFF_FFFF)
    return writer.file(writer.table({4: 4}), b"TFL3")


def keras_bomb() -> bytes:
    """A config.json of 7 MB of brackets that packs into some KB."""
    config = b'{"class_name": "Sequential", "config": ' + b"[" * 3_500_000 + b"]" * 3_500_000 + b"}"
    return zip_of({"metadata.json": b"{}", "config.json": config}, zipfile.ZIP_DEFLATED)


def many_attributes() -> bytes:
    """4,000 texts in one heap, each of which is found by walking over those before."""
    return hdf5_of({"keras_version": b"3", **{f"a{number:04d}": b"" for number in range(4_000)}})


def never_closed() -> bytes:
    """20,000 beginnings of a configuration, none of which ends within 8 MB, where the root cannot be read."""
    return hdf5_of({"model_config": b"{}"}, b'{"name":' * 20_000 + b" " * 9_000_000).replace(b"GCOL", b"GC0L")


FLAVORS = b"flavors:\n  a:\n    data: x\n"

HOSTILE = {
    "a header with 150,000 empty tensors": ("m.safetensors", many_tensors()),
    "a header nested 10 million times": ("m.safetensors", safetensors_of(b'{"a":' + b"[" * 10_000_000, 0)),
    "a vocabulary of 1.9 million empty strings": ("m.gguf", many_strings()),
    "a string of 2**63 bytes": ("m.gguf", gguf({}, 0, [struct.pack("<Q", 1 << 63)])),
    "a key of 2**16 bytes, 1,000 times": ("m.gguf", gguf({}, 0, [gguf_pair("k" * 65_536, 8, gguf_text("x"))] * 1000)),
    "20,000 members": ("m.pt", many_members()),
    "a comment full of directory ends": ("m.pt", zip_of({"a/data.pkl": b"."}, comment=b"PK\5\6" * 16_000)),
    "one table referred to 45,000 times": ("m.tflite", one_table_many_times()),
    "a vector of 2**32 items": ("m.tflite", endless_vector()),
    "a root table outside": ("m.tflite", b"\xff\xff\xff\xffTFL3" + bytes(50)),
    "a table that is its own vtable": ("m.tflite", b"\x08\0\0\0TFL3" + bytes(50)),
    "a config that unpacks to brackets": ("m.keras", keras_bomb()),
    "a config that is not what its size says": ("m.keras", keras_zip().replace(b"\x3f\0\0\0", b"\x04\0\0\0")),
    "a configuration that never closes": ("m.h5", never_closed()),
    "4,000 attributes": ("m.h5", many_attributes()),
    "5 million fields of two bytes": ("m.mlmodel", b"\x08\x04\x12\x00" + b"\x1a\x00" * 5_000_000),
    "a graph of 6 million <net": ("m.xml", b"<net version='1'>" + b"<net " * 6_000_000),
    "a graph of 5 million <data": ("m.xml", b"<net version='1'>" + b"<data " * 5_000_000),
    "attributes of 30 MB": ("m.xml", b"<net version='1'><data " + b"a " * 15_000_000),
    "a line of 250,000 blanks": ("MLmodel", FLAVORS + b"run_id: x" + b" " * 250_000 + b"y"),
    "250,000 empty lines": ("MLmodel", FLAVORS + b"\n" * 250_000 + b"y"),
    "50,000 flavors": ("MLmodel", b"flavors:\n" + b"  a:\n" * 50_000),
    "15,000 parts that are not there": ("MLmodel", b"flavors:\n" + b"".join(b"    data: %d\n" % n for n in range(15_000))),
    "an index of 150,000 shards": (
        "model.safetensors.index.json",
        b'{"weight_map":{' + b",".join(b'"%d":"%d.safetensors"' % (n, n) for n in range(150_000)) + b"}}",
    ),
    "an index that leads out of the folder": (
        "model.safetensors.index.json",
        b'{"weight_map": {"a": "../../etc/passwd", "b": "/etc/passwd", "c": 1, "d": null}}',
    ),
    "a manifest that leads out of the folder": (
        "m.mlpackage/Manifest.json",
        b'{"itemInfoEntries": {"1": {"path": "../../../etc/passwd"}, "2": {"path": 3}, "3": 4}}',
    ),
}


@pytest.mark.parametrize("idea", HOSTILE)
def test_a_hostile_file_is_answered_in_time(idea: str) -> None:
    begun = time.process_time()
    look(*HOSTILE[idea])
    assert time.process_time() - begun < MAX_SECONDS


@pytest.mark.parametrize(
    "idea",
    ["a header nested 10 million times", "a config that unpacks to brackets", "attributes of 30 MB", "250,000 empty lines"],
)
def test_a_hostile_file_is_answered_within_memory(idea: str) -> None:
    tracemalloc.start()
    try:
        look(*HOSTILE[idea])
        assert tracemalloc.get_traced_memory()[1] < MAX_EXTRA_BYTES
    finally:
        tracemalloc.stop()


def look(path: str, data: bytes) -> None:
    """Do all that a scan does with one file; a DetectorError is an answer, too."""
    tree = MemoryTree({path: data})
    contents = Contents(tree, tree.files())
    for detector, detection in detect(contents, DETECTORS):
        with contextlib.suppress(DetectorError):
            detector.extract(contents, detection)
