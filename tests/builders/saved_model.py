"""SavedModels and graphs written field by field, so that tests depend on no library's idea of them.

files = saved_model(meta_graph(graph(node("x", "Placeholder")), tags=["serve"]))

Every function returns the bytes of one message. Field numbers are those of TensorFlow 2.21.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from tests.builders.bundle import FLOAT, STRING, length_delimited, varint, whole_number

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


def text_attr(*values: bytes | str, as_list: bool = False) -> bytes:
    """An attribute of one text, or of a list of them."""
    return field(1, b"".join(field(2, each) for each in values)) if as_list else field(2, values[0])


def func_attr(*names: str) -> bytes:
    """An attribute that names a function, or a list of them."""
    functions = [field(1, name) for name in names]
    return field(10, functions[0]) if len(names) == 1 else field(1, b"".join(field(9, each) for each in functions))


def const_text(name: str, *values: bytes | str, packed: bool = False) -> bytes:
    """A Const of texts: a scalar where there is one. *packed* writes them into tensor_content."""
    bodies = [value.encode() if isinstance(value, str) else value for value in values]
    sizes = shape([] if len(values) == 1 else [len(values)])
    held = b"".join(field(8, body) for body in bodies)
    if packed:
        held = field(4, b"".join(varint(len(body)) for body in bodies) + b"".join(bodies))
    tensor = whole_number(1, STRING) + field(2, sizes) + held
    return node(name, "Const", value=field(8, tensor), dtype=type_attr(STRING))


def function(
    name: str,
    *nodes: bytes,
    arguments: Iterable[str] = (),
    gives: Mapping[str, str] | None = None,
    attributes: Mapping[str, bytes] | None = None,
) -> bytes:
    """A FunctionDef; *gives* maps its outputs to tensors of its nodes."""
    signature = field(1, name) + b"".join(field(2, field(1, each)) for each in arguments)
    given = b"".join(entry(4, key, value.encode()) for key, value in (gives or {}).items())
    told = b"".join(entry(5, key, value) for key, value in (attributes or {}).items())
    return field(1, signature) + b"".join(field(3, each) for each in nodes) + given + told


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
    body = b"".join(child(name.lstrip("_"), place) for name, place in children.items())
    return body + field(4, field(1, identifier))


def child(name: str, place: int) -> bytes:
    """One child of a SavedObject, whatever its name."""
    return field(1, whole_number(1, place) + field(2, name))


def saved_function(*concrete: str) -> bytes:
    """A SavedObject that is a function."""
    return field(6, b"".join(field(1, name) for name in concrete))


def saved_asset(place: int) -> bytes:
    """A SavedObject that is the asset at *place* among the assets."""
    return field(5, whole_number(1, place))


def saved_constant(operation: str) -> bytes:
    """A SavedObject whose value is that of a node."""
    return field(9, field(1, operation))


def saves_by(save: int, restore: int, name: str = "VALUE") -> bytes:
    """What a SavedObject says of the objects that save and restore it."""
    return entry(11, name, whole_number(2, save) + whole_number(3, restore))


def object_graph(*nodes: bytes, bound: Mapping[str, Iterable[int]] | None = None) -> bytes:
    """A SavedObjectGraph; *bound* are the places of the objects that the last arguments of functions are bound to."""
    functions = {name: b"".join(whole_number(2, place) for place in places) for name, places in (bound or {}).items()}
    return b"".join(field(1, each) for each in nodes) + b"".join(entry(2, name, body) for name, body in functions.items())


def variable_def(name: str, whole: str = "") -> bytes:
    """A VariableDef; *whole* names the partitioned variable that it is a part of."""
    return field(1, f"{name}:0") + (field(4, field(1, whole)) if whole else b"")


def collection(name: str, *values: bytes) -> bytes:
    """An entry of collection_def."""
    return entry(4, name, field(2, b"".join(field(1, value) for value in values)))


def collection_of_nodes(name: str, *nodes: str) -> bytes:
    """An entry of collection_def that names nodes."""
    return entry(4, name, field(1, b"".join(field(1, each) for each in nodes)))


def asset(filename: bytes | str, tensor: str = "asset:0") -> bytes:
    return field(6, asset_file(filename, tensor))


def asset_file(filename: bytes | str, tensor: str = "asset:0") -> bytes:
    """An AssetFileDef."""
    return field(1, tensor_info(tensor, STRING)) + field(2, filename)


def saver(filename: str, save: str, restore: str) -> bytes:
    """The field saver_def of a MetaGraphDef."""
    return field(3, field(1, filename) + field(2, save) + field(3, restore))


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
