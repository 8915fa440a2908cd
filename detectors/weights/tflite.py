"""TensorFlow Lite models: a FlatBuffer with the letters `TFL3`.

In goes the file, out come the number of stored weights and whether every buffer lies inside. Operators and signatures are
left to the interpreter.

    Model     0 version u32 | 1 operator codes | 2 subgraphs | 3 description | 4 buffers | 6 metadata | 7 signatures
    SubGraph  0 tensors | 1 inputs [i32] | 2 outputs [i32] | 3 operators | 4 name
    Tensor    0 shape [i32] | 1 type u8 | 2 buffer u32 | 3 name
    Buffer    0 data [u8] | 1 offset u64 | 2 size u64      (the latter two for data after the FlatBuffer, beyond 2 GB)
    OperatorCode  1 custom code     Metadata  0 name     SignatureDef  0 inputs | 1 outputs | 2 key     TensorMap  0 name

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from detectors.errors import MalformedModel
from detectors.facts import Extraction
from detectors.tree import FileEntry
from detectors.weights.flatbuffer import Flatbuffer
from detectors.weights.single_file import EndsEarly, FileFormat, begins
from detectors.weights.tflite_custom import custom_operators
from detectors.wire import Window, shown

MAGIC = b"TFL3"

TYPES = (
    "float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64 complex128 uint64 resource variant uint32"
    " uint16 int4 bfloat16"
).split()
"""Source: TensorType in the same schema, from 0."""

DATA_OUTSIDE = 1
"""An offset up to this means that the buffer's data is in its vector. Source: comment at Buffer in the same schema."""


def recognise(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of a TensorFlow Lite model."""
    return "FlatBuffer TFL3" if head[4:8] == MAGIC else None


def read(window: Window) -> Extraction:
    """Return the stored weights of the model. Reads the tables of tensors and buffers, never their data.

    Raises:
        EndsEarly: a buffer or a table does not fit into the file.
        MalformedModel: a tensor names a buffer that is not there.
        ModelLimit: more than `MAX_ITEMS` tables.
    """
    flat = Flatbuffer(window)
    model = flat.root()
    sizes = [_stored_bytes(flat, buffer, window) for buffer in flat.tables(model, 4)]
    dtypes: Counter[str] = Counter()
    elements: dict[int, int] = {}
    for subgraph in flat.tables(model, 2):
        for tensor in flat.tables(subgraph, 0):
            buffer = flat.value(tensor, 2, 4)
            if buffer >= max(len(sizes), 1):
                raise MalformedModel(window.path, tensor, f"a tensor names buffer {buffer} of {len(sizes)}")
            if sizes and sizes[buffer]:
                dtypes[_type_name(flat.value(tensor, 1, 1))] += 1
                elements[buffer] = flat.product(tensor, 0, 4)
    custom = custom_operators(flat, model, window)
    _see_the_rest(flat, model)
    found = flat.told(
        sum(elements.values()), dict(dtypes), schema_version=flat.value(model, 0, 4), description=flat.text(model, 3)
    )
    return replace(
        found,
        facts=replace(found.facts, custom_operators=tuple(map(shown, custom.names))),
        findings=tuple(custom.findings),
        unread=tuple((window.path, reason) for reason in custom.unread),
    )


def _see_the_rest(flat: Flatbuffer, model: int) -> None:
    """Make sure of what holds no weights: writers put some of it at the very end of the file."""
    for metadata in flat.tables(model, 6):
        flat.text(metadata, 0)
    for signature in flat.tables(model, 7):
        flat.text(signature, 2)
        for named in (*flat.tables(signature, 0), *flat.tables(signature, 1)):
            flat.text(named, 0)
    for subgraph in flat.tables(model, 2):
        flat.text(subgraph, 4)
        flat.vector(subgraph, 1, 4)
        flat.vector(subgraph, 2, 4)


def _stored_bytes(flat: Flatbuffer, buffer: int, window: Window) -> int:
    """Return how many bytes a buffer holds, after making sure that they are there."""
    offset, size = flat.value(buffer, 1, 8), flat.value(buffer, 2, 8)
    if offset <= DATA_OUTSIDE:
        return flat.vector(buffer, 0, 1)[1]
    if offset + size > window.size:
        raise EndsEarly(window.path, offset, f"a buffer goes up to {offset + size}, the file ends at {window.size}")
    flat.reach = max(flat.reach, offset + size)
    return size


def _type_name(code: int) -> str:
    return TYPES[code] if code < len(TYPES) else f"type {code}"


FORMAT = FileFormat("tflite", recognise, read, frozenset({".tflite"}), begins(MAGIC, 4))
