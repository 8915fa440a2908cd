"""Genuine ONNX bytes, written field by field, so that tests depend on no library's idea of them.

Every function returns the bytes of one message; `field` and `number` put one into another. Field numbers are those of
onnx/onnx.proto, onnx 1.23.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FLOAT, UINT8, INT8, STRING, FLOAT16, INT64, UINT4, INT4, UINT2 = 1, 2, 3, 8, 10, 7, 21, 22, 25


def varint(value: int) -> bytes:
    """Return *value* as a varint; a negative one takes ten bytes, as an int64 does."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, body: bytes | str) -> bytes:
    """Return a length-delimited field."""
    body = body.encode() if isinstance(body, str) else body
    return varint(number << 3 | 2) + varint(len(body)) + body


def number(number: int, value: int) -> bytes:
    """Return a varint field."""
    return varint(number << 3) + varint(value)


def tensor(
    name: str = "w", dims: Iterable[int] = (2, 3), dtype: int = FLOAT, raw: bytes | None = bytes(24), more: bytes = b""
) -> bytes:
    """Return a TensorProto: by default two by three floats of zero."""
    body = b"".join(number(1, dim) for dim in dims) + number(2, dtype) + field(8, name)
    return body + (field(9, raw) if raw is not None else b"") + more


def typed_tensor(number: int, values: bytes, dims: Iterable[int] = (2, 3), dtype: int = FLOAT) -> bytes:
    """Return a TensorProto with packed *values* in field *number*: 4 float_data, 5 int32_data, 7 int64_data, 10 double_data, 11
    uint64_data; with one string in 6."""
    return tensor("w", dims, dtype, None, field(number, values))


def external_tensor(name: str = "w", dims: Iterable[int] = (2, 3), dtype: int = FLOAT, **keys: str | bytes) -> bytes:
    """Return a TensorProto whose data lies in another file: `location="w.bin", offset="0", length="24"`."""
    return tensor(name, dims, dtype, None, external(*keys.items()))


def external(*pairs: tuple[str, str | bytes]) -> bytes:
    """Return the fields of a TensorProto that say where its data lies."""
    return b"".join(field(13, field(1, key) + field(2, value)) for key, value in pairs) + number(14, 1)


def node(op_type: str = "Relu", attributes: Iterable[bytes] = (), domain: str = "", name: str = "") -> bytes:
    """Return a NodeProto from x to y."""
    body = field(1, "x") + field(2, "y") + (field(3, name) if name else b"") + field(4, op_type)
    return body + b"".join(field(5, attribute) for attribute in attributes) + (field(7, domain) if domain else b"")


def attribute(name: str, **carried: bytes) -> bytes:
    """Return an AttributeProto that carries a tensor `t`, a graph `g`, `tensors`, `graphs`, `sparse_tensor(s)`, or an `i`."""
    numbers = {"i": 3, "t": 5, "g": 6, "tensors": 10, "graphs": 11, "sparse_tensor": 22, "sparse_tensors": 23}
    return field(1, name) + b"".join(field(numbers[key], body) for key, body in carried.items())


def sparse(values: bytes, indices: bytes, dims: Iterable[int]) -> bytes:
    """Return a SparseTensorProto."""
    return field(1, values) + field(2, indices) + b"".join(number(3, dim) for dim in dims)


def value(name: str, dtype: int = FLOAT, dims: Iterable[int | str | None] | None = (2, 3)) -> bytes:
    """Return a ValueInfoProto of a tensor; a dimension may be a size, a name or unknown, *dims* None is an unknown rank."""
    shape = b"" if dims is None else field(2, b"".join(field(1, _dimension(dim)) for dim in dims))
    return field(1, name) + field(2, field(1, number(1, dtype) + shape))


def _dimension(dim: int | str | None) -> bytes:
    if dim is None:
        return b""
    return number(1, dim) if isinstance(dim, int) else field(2, dim)


def graph(
    nodes: Iterable[bytes] = (),
    initializers: Iterable[bytes] = (),
    inputs: Iterable[bytes] = (),
    outputs: Iterable[bytes] = (),
    name: str = "g",
    more: bytes = b"",
) -> bytes:
    """Return a GraphProto."""
    parts = ((1, nodes), (2, [name.encode()]), (5, initializers), (11, inputs), (12, outputs))
    return b"".join(field(key, body) for key, bodies in parts for body in bodies) + more


def small_graph(**parts: Iterable[bytes]) -> bytes:
    """Return the graph y = Relu(x) of two by three floats, with *parts* in place of its own."""
    own: dict[str, Iterable[bytes]] = {"nodes": [node()], "inputs": [value("x")], "outputs": [value("y")]}
    return graph(**{**own, **parts})  # type: ignore[arg-type]


def opset(version: int = 17, domain: str = "") -> bytes:
    """Return an OperatorSetIdProto."""
    return (field(1, domain) if domain else b"") + number(2, version)


def model(graph: bytes | None = None, ir: int = 8, opsets: Iterable[bytes] = (opset(),), more: bytes = b"") -> bytes:
    """Return a ModelProto, by default of `small_graph`, written by "hand 1.0"."""
    body = number(1, ir) + field(2, "hand") + field(3, "1.0") + field(7, small_graph() if graph is None else graph)
    return body + b"".join(field(8, body) for body in opsets) + more


def run_at(folder: Path) -> Path:
    """Make *folder*, the run of an experiment that left `model` there as `model.onnx`; return it."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model())
    return folder
