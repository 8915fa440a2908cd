"""SavedModels and graphs written field by field, so that tests depend on no library's idea of them.

files = saved_model(meta_graph(graph(node("x", "Placeholder")), tags=["serve"]))

Every function returns the bytes of one message. Field numbers are those of TensorFlow 2.21.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from tests.builders.bundle import FLOAT, length_delimited, whole_number

Shape = Iterable[int] | None


def field(number: int, body: bytes | str) -> bytes:
    return length_delimited(number, body.encode() if isinstance(body, str) else body)


def entry(number: int, key: bytes | str, value: bytes) -> bytes:
    """One entry of a map in field *number*."""
    return field(number, field(1, key) + field(2, value))


def shape(sizes: Shape) -> bytes:
    """A TensorShapeProto; None is an unknown rank, -1 an unknown size."""
    if sizes is None:
        return whole_number(3, 1)
    return b"".join(field(2, whole_number(1, size)) for size in sizes)


def type_attr(dtype: int) -> bytes:
    return whole_number(6, dtype)


def types_attr(*dtypes: int) -> bytes:
    return field(1, b"".join(whole_number(6, dtype) for dtype in dtypes))


def int_attr(value: int) -> bytes:
    return whole_number(3, value)


def shape_attr(sizes: Shape) -> bytes:
    return field(7, shape(sizes))


def shapes_attr(*sizes: Shape) -> bytes:
    return field(1, b"".join(field(7, shape(each)) for each in sizes))


def node(name: bytes | str, op: bytes | str, *inputs: str, **attributes: bytes) -> bytes:
    """A NodeDef."""
    body = field(1, name) + field(2, op) + b"".join(field(3, each) for each in inputs)
    return body + b"".join(entry(5, key, value) for key, value in attributes.items())


def placeholder(name: str, dtype: int = FLOAT, sizes: Shape = (-1, 2)) -> bytes:
    return node(name, "Placeholder", dtype=type_attr(dtype), shape=shape_attr(sizes))


def const(name: str, sizes: Iterable[int] = (), dtype: int = FLOAT, content: bytes = b"\0\0\0\0") -> bytes:
    tensor = whole_number(1, dtype) + field(2, shape(sizes)) + field(4, content)
    return node(name, "Const", value=field(8, tensor), dtype=type_attr(dtype))


def function(name: str, *nodes: bytes) -> bytes:
    """A FunctionDef."""
    return field(1, field(1, name)) + b"".join(field(3, each) for each in nodes)


def versions(producer: int) -> bytes:
    """The field `versions` of a GraphDef: what TensorFlow writes after the nodes."""
    return field(4, whole_number(1, producer))


def graph(*nodes: bytes, functions: Iterable[bytes] = (), end: bytes = versions(2000)) -> bytes:
    """A GraphDef."""
    library = b"".join(field(1, each) for each in functions)
    return b"".join(field(1, each) for each in nodes) + (field(2, library) if library else b"") + end


def tensor_info(name: str = "x:0", dtype: int = FLOAT, sizes: Shape = ()) -> bytes:
    return field(1, name) + whole_number(2, dtype) + field(3, shape(sizes))


def signature(inputs: Mapping[str, bytes], outputs: Mapping[str, bytes], method: str = "tensorflow/serving/predict") -> bytes:
    """A SignatureDef; its tensors in the order given."""
    tensors = [entry(1, key, info) for key, info in inputs.items()] + [entry(2, key, info) for key, info in outputs.items()]
    return b"".join(tensors) + field(3, method)


def saved_variable(name: str, sizes: Shape, trainable: bool = True, dtype: int = FLOAT) -> bytes:
    """A SavedObject that is a variable."""
    body = whole_number(1, dtype) + field(2, shape(sizes)) + (whole_number(3, 1) if trainable else b"") + field(6, name)
    return field(7, body)


def saved_object(identifier: str = "_generic_user_object", **children: int) -> bytes:
    """A SavedObject of a user's class; its children are places among the nodes."""
    body = b"".join(field(1, whole_number(1, place) + field(2, name.lstrip("_"))) for name, place in children.items())
    return body + field(4, field(1, identifier))


def object_graph(*nodes: bytes) -> bytes:
    return b"".join(field(1, each) for each in nodes)


def variable_def(name: str, whole: str = "") -> bytes:
    """A VariableDef; *whole* names the partitioned variable that it is a part of."""
    return field(1, f"{name}:0") + (field(4, field(1, whole)) if whole else b"")


def collection(name: str, *values: bytes) -> bytes:
    """An entry of collection_def."""
    return entry(4, name, field(2, b"".join(field(1, value) for value in values)))


def asset(filename: bytes | str) -> bytes:
    return field(6, field(1, tensor_info("asset:0", 7)) + field(2, filename))


def meta_graph(
    graph_def: bytes | None = None,
    tags: Iterable[str] = ("serve",),
    version: str = "2.21.0",
    signatures: Mapping[str, bytes] | None = None,
    objects: bytes | None = None,
    more: bytes = b"",
) -> bytes:
    """A MetaGraphDef; *more* are whole fields (`asset`, `collection`)."""
    info = b"".join(field(4, tag) for tag in tags) + field(5, version)
    body = field(1, info) + field(2, graph() if graph_def is None else graph_def)
    body += b"".join(entry(5, name, each) for name, each in (signatures or {}).items())
    return body + more + (field(7, objects) if objects is not None else b"")


def saved_model(*meta_graphs: bytes, schema: int = 1) -> bytes:
    return whole_number(1, schema) + b"".join(field(2, each) for each in meta_graphs)


def fingerprint(*hashes: int) -> bytes:
    """A FingerprintDef: the checksum, then the four hashes of the singleprint."""
    return b"".join(whole_number(number, value) for number, value in enumerate(hashes, start=1))


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)
