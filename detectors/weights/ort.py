"""ONNX models in ONNX Runtime's own format: a FlatBuffer with the letters `ORTM`.

In goes the file, out come the number of stored weights and whether all of them lie inside. The graph is left to the runtime.

    InferenceSession  0 format version, string | 1 model
    Model             2 producer name | 7 graph
    Graph             0 initializers
    Tensor            2 dims [i64] | 3 type i32 | 4 raw data [u8]

Source: onnxruntime/core/flatbuffers/schema/ort.fbs, format version 6.
"""

from __future__ import annotations

from collections import Counter

from detectors.facts import Extraction
from detectors.tree import FileEntry
from detectors.weights.flatbuffer import Flatbuffer
from detectors.weights.single_file import EndsEarly, FileFormat, begins
from detectors.wire import Window

MAGIC = b"ORTM"

TYPES = (
    "undefined float32 uint8 int8 uint16 int16 int32 int64 string bool float16 float64 uint32 uint64 complex64 complex128"
    " bfloat16 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz"
).split()
"""Source: TensorDataType in the same schema, from 0."""


def recognise(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of a model in ONNX Runtime's format."""
    return "FlatBuffer ORTM" if head[4:8] == MAGIC else None


def read(window: Window) -> Extraction:
    """Return the stored weights of the model. Reads the tables of the initializers, never their data.

    Raises:
        EndsEarly: a table or a tensor does not fit into the file, or the file ends before the model begins.
        ModelLimit: more than `MAX_ITEMS` initializers.
    """
    flat = Flatbuffer(window)
    session = flat.root()
    model = flat.inner(session, 1)
    graph = None if model is None else flat.inner(model, 7)
    if model is None or graph is None:
        raise EndsEarly(window.path, session, "expected a model with a graph, found none")
    dtypes: Counter[str] = Counter()
    stored = 0
    for tensor in flat.tables(graph, 0):
        code = flat.value(tensor, 3, 4)
        flat.vector(tensor, 4, 1)
        dtypes[TYPES[code] if code < len(TYPES) else f"type {code}"] += 1
        stored += flat.product(tensor, 2, 8)
    return flat.told(stored, dict(dtypes), ort_format=flat.text(session, 0), producer=flat.text(model, 2))


FORMAT = FileFormat("ort", recognise, read, frozenset({".ort"}), begins(MAGIC, 4))
