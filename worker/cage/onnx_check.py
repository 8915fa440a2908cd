"""Runs in the cage: onnxruntime loads an ONNX model and runs it once, on made-up inputs.

What is told of the outputs are names, dtypes and shapes; no value leaves the cage.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from worker.cage.made_up import FILLINGS, Filling, size_of

numpy: Any = None
runtime: Any = None

DTYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "object",
    "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64",
    "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
    "complex64": "complex64", "complex128": "complex128",
}  # fmt: skip
"""What onnxruntime calls the elements of a tensor, and numpy's word for them."""


def prepare() -> None:
    """Import onnxruntime.

    Raises:
        ImportError: it is not installed.
    """
    global numpy, runtime
    import numpy as imported_numpy
    import onnxruntime as imported  # type: ignore[import-untyped,unused-ignore]

    numpy, runtime = imported_numpy, imported


def look(model: Mapping[str, Any]) -> dict[str, Any]:
    """Load the model at `path`, run it once, and say how it went."""
    began = time.monotonic()
    answer = {"framework": f"onnxruntime {runtime.__version__}", "loads": False, "load_seconds": 0.0, "error": ""}
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(model["path"], options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is told
        return answer | {"error": _told(exc), "signatures": []}
    seconds = time.monotonic() - began
    return answer | {"loads": True, "load_seconds": seconds, "signatures": [_run(session)]}


def _run(session: Any) -> dict[str, Any]:
    """Run *session* on the first filling that it takes."""
    name, error = session.get_modelmeta().graph_name, "its inputs are too large to be made up"
    inputs, outputs = session.get_inputs(), session.get_outputs()
    for filling in FILLINGS:
        if sum(size_of(_axes(one), filling) for one in inputs) > filling.most_elements:
            continue
        try:
            given = {one.name: _made(one, filling) for one in inputs}
            began = time.monotonic()
            values = session.run(None, given)
            seconds = time.monotonic() - began
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is told
            error = error if error.startswith("on ") else f"on {filling.told}: {_told(exc)}"
            continue
        seen = [_seen(one.name, value) for one, value in zip(outputs, values, strict=True)]
        return {"name": name, "runs": True, "seconds": seconds, "filled": filling.told, "error": "", "outputs": seen}
    return {"name": name, "runs": False, "seconds": 0.0, "filled": "", "error": error, "outputs": []}


def _axes(one: Any) -> list[int | str | None]:
    return list(one.shape or ())


def _made(one: Any, filling: Filling) -> Any:
    kind = one.type.removeprefix("tensor(").removesuffix(")")
    if kind not in DTYPES:
        raise TypeError(f"no input can be made up for {one.type}")
    fill = filling.text if kind == "string" else filling.number
    return numpy.full(filling.sizes(_axes(one)), fill, dtype=DTYPES[kind])


def _seen(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, numpy.ndarray):
        return {"name": name, "dtype": type(value).__name__, "shape": None}
    dtype = "string" if value.dtype.kind in "OUS" else value.dtype.name
    return {"name": name, "dtype": dtype, "shape": list(value.shape)}


def _told(exc: BaseException) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())[:1500]
