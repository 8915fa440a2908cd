"""Write `detectors/tf_ops.txt`: every operator that TensorFlow registers, with the dtypes of what it gives.

    python scripts/make_tf_ops.py > detectors/tf_ops.txt

Run it with the TensorFlow whose operators shall count as known; the scan itself never imports TensorFlow.
How a line is written is told in `detectors.tf_ops`, which reads it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session


def registered() -> op_def_pb2.OpList:
    """Return the definitions of all operators that this TensorFlow registers, internal ones included."""
    ops = op_def_pb2.OpList()
    ops.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return ops


def line_of(op: op_def_pb2.OpDef) -> str:
    """Return the line of *op*: its name and a word for each output."""
    defaults = {attr.name: attr.default_value for attr in op.attr if attr.HasField("default_value")}
    return " ".join([op.name, *(word_of(output, defaults) for output in op.output_arg)])


def word_of(output: op_def_pb2.OpDef.ArgDef, defaults: dict[str, object]) -> str:
    """Return the word of one output: its dtype or the attribute that holds it, and the attribute that holds how many."""
    if output.type_list_attr:
        return f"*:{output.type_list_attr}"
    count = f"{output.number_attr}*" if output.number_attr else ""
    if not output.type_attr:
        return count + tf.as_dtype(output.type).base_dtype.name
    default = defaults.get(output.type_attr)
    return f"{count}:{output.type_attr}" + (f"={tf.as_dtype(default.type).name}" if default is not None else "")


def lines() -> Iterator[str]:
    """Yield the file: a heading, then the operators sorted by name."""
    yield f"# Operators of TensorFlow {tf.__version__}, written by scripts/make_tf_ops.py"
    yield from sorted(line_of(op) for op in registered().op)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines())
