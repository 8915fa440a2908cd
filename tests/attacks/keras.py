"""Configurations of Keras that do more than build layers, and weights that lie in other files: one maker for each idea, in each
file that Keras keeps them in.
None is loaded.

Source: the advisories that the names tell.
"""

from __future__ import annotations

import base64
import json
import marshal
from collections.abc import Callable, Iterable, Iterator, Mapping
from struct import pack
from typing import Any
from zipfile import ZIP_DEFLATED

from tests.builders.weights import keras_zip


def packed(source: str) -> str:
    """Return the code of *source* as a Lambda layer keeps it; it is compiled, never run."""
    return base64.b64encode(marshal.dumps(compile(source, "<lambda>", "eval"))).decode()


def layer(name: str, module: str | None = "keras.layers", registered: str | None = None, /, **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def function(module: str, name: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def operation(symbol: str, name: str = "TFOpLambda") -> dict[str, Any]:
    """Return what Keras 2 saves where TensorFlow computes between two layers."""
    return {"class_name": name, "config": {"name": "op", "trainable": True, "dtype": "float32", "function": symbol}}


def lambda_layer(source: str) -> dict[str, Any]:
    code = {"class_name": "__lambda__", "config": {"code": packed(source), "defaults": None, "closure": None}}
    return layer("Lambda", name="lambda", function=code)


IDEAS: dict[str, tuple[dict[str, Any], str, str]] = {
    "CVE-2024-3660, code of a Lambda layer": (lambda_layer("lambda x: x * 2"), "keras-lambda", "medium"),
    "CVE-2024-3660, code that runs a program": (
        lambda_layer("lambda x: __import__('os').system('true')"),
        "keras-lambda",
        "critical",
    ),
    "CVE-2025-9905, code as Keras 2 keeps it": (
        {
            "class_name": "Lambda",
            "config": {"function": [packed("lambda x: eval('1')"), None, None], "function_type": "lambda"},
        },
        "keras-lambda",
        "critical",
    ),
    "CVE-2025-1550, a module that runs programs": (
        layer("Dense", activation=function("subprocess", "Popen")),
        "keras-foreign-object",
        "critical",
    ),
    "CVE-2025-1550, a class of os": (
        {"module": "os", "class_name": "system", "config": {}},
        "keras-foreign-object",
        "critical",
    ),
    "CVE-2025-1550, eval": (function("builtins", "eval"), "keras-foreign-object", "critical"),
    "CVE-2025-1550, a module of nobody": (layer("Layer", "evil_package.layers"), "keras-foreign-object", "medium"),
    **{
        f"CVE-2025-1550, {module}.{name}": (function(module, name), "keras-runs-function", "high")
        for module, name in (
            ("tensorflow", "load_op_library"),
            ("tensorflow", "load_library"),
            ("tensorflow", "py_function"),
            ("tensorflow", "io.write_file"),
            ("tensorflow.io", "write_file"),
            ("tensorflow.io.gfile", "rmtree"),
            ("tensorflow.saved_model", "load"),
            ("tensorflow.python.framework.load_library", "load_op_library"),
            ("tensorflow.python.lib.io.file_io", "delete_recursively_v2"),
            ("tensorflow.python.ops.script_ops", "eager_py_func"),
            ("tensorflow.python.platform.app", "run"),
            ("tensorflow_hub", "load"),
        )
    },
    "CVE-2025-1550, a class name that is a function of TensorFlow": (
        {"module": "tensorflow", "class_name": "load_op_library", "config": {}},
        "keras-runs-function",
        "high",
    ),
    "CVE-2025-1550, a function of TensorFlow that nobody knows": (
        function("tensorflow", "some_function"),
        "keras-foreign-object",
        "medium",
    ),
    "CVE-2025-1550, a module that Keras has imported": (
        function("keras.src.trainers.trainer", "os"),
        "keras-foreign-object",
        "medium",
    ),
    "CVE-2025-1550, a way through modules of Keras": (
        function("keras", "src.layers.layer.os.system"),
        "keras-foreign-object",
        "critical",
    ),
    **{
        f"CVE-2025-1550, a layer that calls {symbol}": (operation(symbol), "keras-runs-function", "high")
        for symbol in (
            "io.write_file",
            "io.read_file",
            "compat.v1.write_file",
            "io.matching_files",
            "raw_ops.WriteFile",
            "py_function",
            "numpy_function",
            "compat.v1.py_func",
            "load_library",
            "load_op_library",
            "io.gfile.rmtree",
            "compat.v1.gfile.Open",
            "saved_model.load",
            "data.experimental.save",
            "import_graph_def",
            "raw_ops.PyFunc",
            "raw_ops.RpcCall",
            "keras.utils.get_file",
            "keras.models.load_model",
            "lite.experimental.load_delegate",
            "rpc_server",
        )
    },
    "CVE-2025-1550, a layer that calls a slice that is none": (
        operation("io.write_file", "SlicingOpLambda"),
        "keras-runs-function",
        "high",
    ),
    "CVE-2025-1550, a layer that calls what nobody knows": (operation("xla_custom_call"), "keras-runs-function", "medium"),
    "CVE-2025-1550, a layer that calls a method of a class for files": (
        {"class_name": "ClassMethod", "config": {"cls_symbol": "io.gfile.GFile", "method_name": "write"}},
        "keras-runs-function",
        "high",
    ),
    "CVE-2025-1550, a layer that reaches for all classes": (
        {"class_name": "ClassMethod", "config": {"cls_symbol": "RaggedTensor", "method_name": "__subclasses__"}},
        "keras-runs-function",
        "high",
    ),
    "CVE-2025-1550, a layer that reaches behind its input": (
        {"class_name": "InstanceMethod", "config": {"attr_name": "__reduce_ex__"}},
        "keras-runs-function",
        "high",
    ),
    "CVE-2025-1550, an operator as a layer": (
        {"class_name": "TensorFlowOpLayer", "config": {"node_def": {"name": "w", "op": "WriteFile", "input": ["a", "b"]}}},
        "keras-runs-function",
        "high",
    ),
    "CVE-2025-1550, an operator as a layer, packed": (
        {"class_name": "TensorFlowOpLayer", "config": {"node_def": "\n\u0001w\u0012\tWriteFile"}},
        "keras-runs-function",
        "medium",
    ),
    "CVE-2025-1550, a program from TensorFlow Hub": (
        layer("KerasLayer", "tensorflow_hub.keras_layer", handle="https://example.org/module/1"),
        "keras-loads-code",
        "medium",
    ),
    "CVE-2025-1550, a program from the machine by TensorFlow Hub": (
        {"class_name": "KerasLayer", "config": {"handle": "/tmp/module"}},
        "keras-loads-code",
        "medium",
    ),
    "CVE-2025-8747, a download": (function("keras.utils", "get_file"), "keras-runs-function", "high"),
    "CVE-2025-12060, a download that unpacks": (
        layer(
            "Dense",
            activation=function("keras.src.utils.file_utils", "get_file"),
            origin="http://127.0.0.1:9/a.tar",
            extract=True,
        ),
        "keras-runs-function",
        "high",
    ),
    "CVE-2025-9906, safe mode off by a function": (
        function("keras.config", "enable_unsafe_deserialization"),
        "keras-runs-function",
        "high",
    ),
    "CVE-2025-9906, safe mode off by a flag": (layer("Dense", safe_mode=False), "keras-unsafe", "high"),
    "CVE-2025-49655, a pickled module of PyTorch": (
        layer("TorchModuleWrapper", module={"class_name": "__torch__", "config": "gAJ9Lg=="}),
        "keras-loads-code",
        "high",
    ),
    "CVE-2026-1462, a SavedModel from elsewhere": (
        layer("TFSMLayer", filepath="/tmp/other", call_endpoint="serve"),
        "keras-loads-code",
        "high",
    ),
    "CVE-2026-1462, a SavedModel beside": (layer("TFSMLayer", filepath="inner"), "keras-loads-code", "medium"),
    "CVE-2025-12058, a file as vocabulary": (layer("StringLookup", vocabulary="/etc/passwd"), "keras-reads-file", "high"),
    "CVE-2025-12058, an address as vocabulary": (
        layer("TextVectorization", vocabulary="http://169.254.169.254/latest/meta-data"),
        "keras-reads-file",
        "high",
    ),
    "CVE-2025-12058, a file above as vocabulary": (
        layer("IntegerLookup", vocabulary="../../secret"),
        "keras-reads-file",
        "high",
    ),
    "a table of a tokenizer from outside": (
        layer("SentencePieceTokenizer", "keras_hub.tokenizers", proto="/etc/passwd"),
        "keras-reads-file",
        "high",
    ),
    "a type that is none": (
        {"class_name": "__typespec__", "module": "os", "spec_name": "system", "config": []},
        "keras-foreign-object",
        "critical",
    ),
    "machines that are connected to": (function("keras.distribution", "initialize"), "keras-runs-function", "high"),
    "CVE-2026-12479, a name that leads out": (layer("Dense", name="../../../tmp/x"), "keras-name-outside", "high"),
    "CVE-2026-12479, an absolute name": (layer("Dense", name="/tmp/x"), "keras-name-outside", "high"),
}
"""What stands as a layer, and the finding that it must give."""


def config_of(inner: Mapping[str, Any]) -> dict[str, Any]:
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": [inner]}, "registered_name": None}


def as_hdf5(inner: Mapping[str, Any]) -> bytes:
    """Return an HDF5 file with the configuration where `h5py` puts it for Keras."""
    return hdf5_of({"keras_version": b"3.15.1", "model_config": json.dumps(config_of(inner)).encode()})


def hdf5_of(texts: Mapping[str, bytes], behind: bytes = bytes(64)) -> bytes:
    """Return an HDF5 file whose root has *texts* as attributes of variable length, and *behind* nothing else."""
    root = 96
    messages = b"".join(attribute(name, len(text), 0, number) for number, (name, text) in enumerate(texts.items(), 1))
    heap = root + 16 + len(messages)
    messages = b"".join(attribute(name, len(text), heap, number) for number, (name, text) in enumerate(texts.items(), 1))
    objects = b"".join(
        pack("<2H4xQ", number, 1, len(text)) + text + bytes(-len(text) % 8) for number, text in enumerate(texts.values(), 1)
    )
    data = (
        pack("<2BHIQ", 1, 0, len(texts), 1, len(messages))
        + messages
        + b"GCOL\x01\0\0\0"
        + pack("<Q", 16 + len(objects))
        + objects
    )
    head = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + pack("<2HI", 4, 16, 0)
    addresses = pack("<4Q", 0, 2**64 - 1, root + len(data) + len(behind), 2**64 - 1)
    return head + addresses + pack("<2Q2I16x", 0, root, 0, 0) + data + behind


def attribute(name: str, length: int, heap: int, number: int) -> bytes:
    """Return the message of an attribute of version 1: a scalar text of variable length, which lies in *heap*."""
    raw = name.encode() + b"\0"
    kind = bytes([0x19, 1, 0, 0]) + pack("<I", 16) + bytes([0x10, 0, 0, 0]) + pack("<I2H", 1, 0, 8)
    body = pack("<2B3H", 1, 0, len(raw), len(kind), 8) + raw + bytes(-len(raw) % 8) + kind + bytes(-len(kind) % 8)
    body += bytes([1, 0, 0, 0]) + bytes(4) + pack("<IQI", length, heap, number)
    return pack("<2HB3x", 0x0C, len(body), 0) + body


def message(kind: int, body: bytes) -> bytes:
    """Return a message of a header of version 1."""
    body += bytes(-len(body) % 8)
    return pack("<2HB3x", kind, len(body), 0) + body


def header(*messages: bytes) -> bytes:
    """Return the header of an object, of version 1."""
    data = b"".join(messages)
    return pack("<2BH2I4x", 1, 0, len(messages), 1, len(data)) + data


def link(name: str, kind: int, value: bytes) -> bytes:
    """Return the message of a link; *value* is an address where *kind* is 0, and else has its length before it."""
    return message(0x06, pack("<4B", 1, 8, kind, len(name)) + name.encode() + value)


def group(*links: bytes) -> bytes:
    """Return the header of a group of the new form, which has no heap."""
    return header(message(0x02, bytes(2) + b"\xff" * 16), message(0x0A, bytes(2)), *links)


def hdf5_at(root: bytes, *behind: bytes) -> bytes:
    """Return an HDF5 file with a header for its root at byte 96, and other parts behind it."""
    data = root + b"".join(behind)
    head = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + pack("<2HI", 4, 16, 0)
    return head + pack("<4Q", 0, 2**64 - 1, 96 + len(data), 2**64 - 1) + pack("<2Q24x", 0, 96) + data


def linked_weights(file: str) -> bytes:
    """Return an HDF5 file with a link to a group of *file*."""
    value = b"\0" + file.encode() + b"\0/\0"
    return hdf5_at(group(link("d", 64, pack("<H", len(value)) + value)))


FLOATS = b"\x11\x20\x1f\0" + pack("<I2H4BI", 4, 0, 32, 23, 8, 0, 23, 127)


def dataset_weights(count: int, places: Iterable[bytes], behind: Callable[[int], bytes]) -> bytes:
    """Return an HDF5 file with one dataset of *count* numbers. *places* are messages that tell where these lie, with 0x77… for
    the address of what is *behind* them."""
    at = 96 + len(group(link("d", 0, bytes(8))))
    root = group(link("d", 0, pack("<Q", at)))
    own = header(
        message(0x01, pack("<3B5xQ", 1, 1, 0, count)), message(0x03, FLOATS), message(0x05, bytes([2, 2, 2, 0])), *places
    )
    return hdf5_at(root, own.replace(b"\x77" * 8, pack("<Q", at + len(own))), behind(at + len(own)))


def stored_weights(*files: str) -> bytes:
    """Return an HDF5 file with a dataset of which 16 bytes lie in each of *files*."""
    names = b"\0" * 8 + b"".join(file.encode() + b"\0" for file in files)
    names += bytes(-len(names) % 8)
    places = [names.index(file.encode()) for file in files]
    slots = b"".join(pack("<3Q", place, 0, 16) for place in places)
    body = pack("<B3x2H", 1, len(files), len(files)) + b"\x77" * 8 + slots
    storage = message(0x08, pack("<2B2Q", 3, 1, 2**64 - 1, 16 * len(files))), message(0x07, body)
    return dataset_weights(4 * len(files), storage, lambda at: b"HEAP" + pack("<4x3Q", len(names), 1, at + 32) + names)


EVERYTHING = pack("<2I8x", 3, 1)
REGULAR = pack("<2I2BI4I", 2, 3, 1, 4, 1, 0, 2, 2, 1)


def virtual_weights(*files: str, choice: bytes = EVERYTHING) -> bytes:
    """Return an HDF5 file with a dataset that is put together from datasets of *files*."""
    sources = b"".join(file.encode() + b"\0x\0" + choice + EVERYTHING for file in files)
    block = pack("<BQ", 0, len(files)) + sources
    heap = b"GCOL\1\0\0\0" + pack("<Q", 32 + len(block)) + pack("<2H4xQ", 1, 1, len(block)) + block
    return dataset_weights(4, [message(0x08, pack("<2B", 4, 3) + b"\x77" * 8 + pack("<I", 1))], lambda at: heap)


def two_in_one(first: bytes, second: bytes) -> bytes:
    """Return an HDF5 file that is *first* to who counts from the signature, *second* to who counts from the base address."""
    size = max(len(first), len(second))
    data = bytearray(first.ljust(size, b"\0"))
    data[24:32], data[40:48] = pack("<Q", size), pack("<Q", 2 * size)
    return bytes(data) + second.ljust(size, b"\0")


WEIGHTS: dict[str, tuple[bytes, str]] = {
    **{
        f"weights in {file}, {how}": (make(file), severity)
        for how, make in (
            ("a link", linked_weights),
            ("external storage", stored_weights),
            ("a virtual dataset", virtual_weights),
        )
        for file, severity in (
            ("/etc/passwd", "high"),
            ("../../secret", "high"),
            ("https://example.org/w.h5", "high"),
            ("C:\\secret", "high"),
            ("beside.h5", "medium"),
        )
    },
    "weights in several files, external storage": (stored_weights("a.bin", "/etc/passwd"), "high"),
    "weights in several files, a virtual dataset": (virtual_weights(".", "a.h5", "/etc/x.h5"), "high"),
    "weights in several files, a part of each": (virtual_weights("a.h5", "/etc/x.h5", choice=REGULAR), "high"),
}
"""HDF5 files that take data from other files, and how bad that is."""


def weights_of(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "model.h5", data + b"keras_version"
    yield "model.weights.h5", data
    yield "model.keras", keras_zip(weights=data)
    yield "packed.keras", keras_zip(compression=ZIP_DEFLATED, weights=data)


def as_metadata(inner: Mapping[str, Any]) -> bytes:
    """Return a `keras_metadata.pb` with one node, as tf_keras lays it out."""
    text = json.dumps(inner).encode()
    node = b"\x10\x01\x1a\x04root\x2a" + varint(len(text)) + text
    return b"\x0a" + varint(len(node)) + node


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def files_of(inner: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    yield "model.keras", keras_zip(config_of(inner))
    yield "model.h5", as_hdf5(inner)
    yield "keras_metadata.pb", as_metadata(inner)
    yield "model.json", json.dumps(config_of(inner)).encode()


def attacks() -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """Yield every idea in every format, each as what it is and the files of a run."""
    for idea, (inner, _, _) in IDEAS.items():
        for name, data in files_of(inner):
            yield f"{idea}, in {name}", {name: data}
    for idea, (weights, _) in WEIGHTS.items():
        for name, data in weights_of(weights):
            yield f"{idea}, in {name}", {name: data}
