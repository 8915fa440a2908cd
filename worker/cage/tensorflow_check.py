"""Runs in the cage: TensorFlow loads a SavedModel or a frozen graph and runs what it offers once, on made-up inputs.

What is told of the outputs are names, dtypes and shapes; no value leaves the cage.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from worker.cage.made_up import FILLINGS, Filling, size_of

tf: Any = None
numpy: Any = None


def prepare() -> None:
    """Import TensorFlow, and let it do once what it does once.

    Raises:
        ImportError: it is not installed.
    """
    global tf, numpy
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
    import numpy as imported_numpy
    import tensorflow as imported  # type: ignore[import-untyped,unused-ignore]

    tf, numpy = imported, imported_numpy
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    tf.function(lambda x: x + 1)(tf.zeros([1])).numpy()
    tf.saved_model.load  # noqa: B018 - loaded lazily otherwise


def look(model: Mapping[str, Any]) -> dict[str, Any]:
    """Load the model at `path`, a SavedModel with `tags` or a `graph`, run each signature once, and say how it went."""
    began = time.monotonic()
    answer: dict[str, Any] = {"framework": f"tensorflow {tf.__version__}", "loads": False, "load_seconds": 0.0, "error": ""}
    try:
        functions, loader = _loaded(model)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is told
        return answer | {"error": _told(exc), "signatures": []}
    seconds = time.monotonic() - began
    runs = [_run(name, function, specs) for name, (function, specs) in functions.items()]
    told = {"framework": answer["framework"] + loader, "loads": True, "load_seconds": seconds}
    return answer | told | {"signatures": runs}


_Offered = dict[str, tuple[Callable[..., Any], dict[str, Any]]]


BY_FIRST = ", by the loader of TensorFlow 1"


def _loaded(model: Mapping[str, Any]) -> tuple[_Offered, str]:
    """Return what the model offers, and by which other loader. A SavedModel that today's refuses is loaded as a graph alone, as
    servers do it.
    """
    if model["kind"] == "graph":
        return _frozen(model), ""
    try:
        return _saved(model), ""
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is told
        try:
            return _in_session(model), BY_FIRST
        except Exception:  # noqa: BLE001 - what today's loader said tells more
            raise exc from None


def _saved(model: Mapping[str, Any]) -> _Offered:
    loaded = tf.saved_model.load(model["path"], tags=model["tags"] or None)
    _saved.kept = loaded  # type: ignore[attr-defined]  # its variables die with it
    return {name: (function, function.structured_input_signature[1]) for name, function in sorted(loaded.signatures.items())}


INTERNAL_PREFIX = "__saved_model_"
"""How TensorFlow's own signatures begin."""


def _in_session(model: Mapping[str, Any]) -> _Offered:
    """Return the signatures of a SavedModel that is loaded as a graph, and run in a session."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta = tf.compat.v1.saved_model.loader.load(session, model["tags"], model["path"])

    def tensors(infos: Mapping[str, Any]) -> dict[str, Any]:
        return {key: session.graph.get_tensor_by_name(info.name) for key, info in infos.items()}

    def offered(signature: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
        feeds, fetches = tensors(signature.inputs), tensors(signature.outputs)

        def run(**given: Any) -> Any:
            return session.run(fetches, {feeds[key]: value.numpy() for key, value in given.items()})

        return run, {key: tf.TensorSpec(feed.shape, feed.dtype) for key, feed in feeds.items()}

    signatures = sorted(meta.signature_def.items())
    return {name: offered(signature) for name, signature in signatures if not name.startswith(INTERNAL_PREFIX)}


def _frozen(model: Mapping[str, Any]) -> _Offered:
    """Return the graph as one function from the tensors in `inputs` to those in `outputs`."""
    with open(model["path"], "rb") as file:
        graph_def = tf.compat.v1.GraphDef.FromString(file.read())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph_def, name=""), [])
    feeds = {name: wrapped.graph.get_tensor_by_name(_tensor(name)) for name in model["inputs"]}
    fetches = {name: wrapped.graph.get_tensor_by_name(_tensor(name)) for name in model["outputs"]}
    pruned = wrapped.prune(list(feeds.values()), fetches)
    specs = {name: tf.TensorSpec(feed.shape, feed.dtype) for name, feed in feeds.items()}
    return {"graph": (lambda **given: pruned(*(given[name] for name in feeds)), specs)}


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _run(name: str, function: Callable[..., Any], specs: Mapping[str, Any]) -> dict[str, Any]:
    """Run *function* on the first filling that it takes."""
    error = "its inputs are too large to be made up"
    for filling in FILLINGS:
        if sum(size_of(_axes(spec), filling) for spec in specs.values()) > filling.most_elements:
            continue
        try:
            outputs, seconds, told = _run_on(function, specs, filling)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is told
            error = error if error.startswith("on ") else f"on {filling.told}: {_told(exc)}"
            continue
        seen = [_seen(key, value) for key, value in sorted(_by_name(outputs).items())]
        return {"name": name, "runs": True, "seconds": seconds, "filled": told, "error": "", "outputs": seen}
    return {"name": name, "runs": False, "seconds": 0.0, "filled": "", "error": error, "outputs": []}


REQUIRED = re.compile(r"Feature: (.+?) \(data type: (\w+)\) is required but could not be found")
WRONG_COUNT = re.compile(
    r"Key: (.+?)\.  Number of \w+ values != expected\.  [Vv]alues size:? ?\d+ but output shape: \[([\d,]*)\]"
)
MAX_FEATURES = 100


def _run_on(function: Callable[..., Any], specs: Mapping[str, Any], filling: Filling) -> tuple[Any, float, str]:
    """Return what *function* gives for *filling*, the seconds that it took, and what it ran on.

    Where it takes texts for examples (`tf.train.Example`) and says which feature one lacks, it gets one.
    """
    features: dict[str, tuple[str, int]] = {}
    while True:
        text = _example(features, filling) if features else filling.text
        given = {key: _made(spec, filling, text) for key, spec in specs.items()}
        began = time.monotonic()
        try:
            outputs = function(**given)
        except tf.errors.InvalidArgumentError as exc:
            if len(features) == MAX_FEATURES or not _learns(features, str(exc)):
                raise
            continue
        told = f"{filling.told}, texts are examples of {', '.join(features)}" if features else filling.told
        return outputs, time.monotonic() - began, told[:250]


def _learns(features: dict[str, tuple[str, int]], error: str) -> bool:
    """Add to *features* the one that *error* asks for; tell whether it asks for any."""
    if lacks := REQUIRED.search(error):
        features[lacks[1]] = (lacks[2], 1)
        return True
    counted = WRONG_COUNT.search(error)
    if counted is None or counted[1] not in features:
        return False
    count = math.prod(int(size) for size in counted[2].split(",") if size)
    was = features[counted[1]]
    features[counted[1]] = (was[0], min(count, 1 << 20))
    return features[counted[1]] != was


def _example(features: Mapping[str, tuple[str, int]], filling: Filling) -> bytes:
    """Return a serialized example in which each of *features* has as many values as it must."""
    made = {}
    for name, (dtype, count) in features.items():
        if dtype == "string":
            made[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[filling.text.encode()] * count))
        elif dtype == "float":
            made[name] = tf.train.Feature(float_list=tf.train.FloatList(value=[filling.number] * count))
        else:
            made[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[filling.number] * count))
    example: bytes = tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()
    return example


def _by_name(outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, dict):
        return outputs
    values = outputs if isinstance(outputs, (list, tuple)) else [] if outputs is None else [outputs]
    return {f"output_{place}": value for place, value in enumerate(values)}


def _axes(spec: Any) -> list[int | str | None]:
    shape = tf.TensorShape(spec.shape)
    return [1] if shape.rank is None else shape.as_list()


def _made(spec: Any, filling: Filling, text: str | bytes) -> Any:
    if not isinstance(spec, tf.TensorSpec):
        raise TypeError(f"no input can be made up for a {type(spec).__name__}")
    sizes = filling.sizes(_axes(spec))
    if spec.dtype == tf.string:
        return tf.fill(sizes, text)
    return tf.cast(tf.fill(sizes, filling.number), spec.dtype)


def _seen(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        return {"name": name, "dtype": "string" if value.dtype.kind in "OSU" else value.dtype.name, "shape": list(value.shape)}
    if isinstance(value, bytes):
        return {"name": name, "dtype": "string", "shape": []}
    if not tf.is_tensor(value) or not hasattr(value, "numpy"):
        return {"name": name, "dtype": getattr(getattr(value, "dtype", None), "name", ""), "shape": None}
    return {"name": name, "dtype": value.dtype.name, "shape": value.shape.as_list()}


def _told(exc: BaseException) -> str:
    """Return the error as one line, without the places in our own code that TensorFlow lists."""
    lines = (line.strip() for line in f"{type(exc).__name__}: {exc}".splitlines())
    return " ".join(line for line in lines if line and not line.startswith(('File "', "Detected at node")))[:1500]
