"""`python -m benchmarks.inputs FOLDER KIND:SIZE…`: make the inputs of the benchmarks with the real tools.

One process makes all of them, because TensorFlow takes seconds to import. Models of one kind have the same structure whatever
their size: only the weights grow. Numbers are random with a fixed seed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from benchmarks.case import Input

if TYPE_CHECKING:
    from onnx import ModelProto

ROWS = 1024
"""One side of every weight; the other follows from the size."""

INITIALIZERS = 200
VARIABLES = 64
SHARDS = 40

TAGS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "learning_rate", "grad_norm", "epoch_time", "samples")

SIMPLE_EVENT_BYTES = 50
TENSOR_EVENT_BYTES = 71
"""What a record of one scalar takes, as `tf.compat.v1.summary` and `tf.summary` write it with these tags."""

STEPS_AT_ONCE = 50
"""Steps that one compiled function writes, which is many times faster than one by one."""

FILES_IN_FOLDER = 1000


def onnx(path: Path, size: int) -> None:
    """Write a chain of products with *size* bytes of weights inside the file."""
    from onnx import save

    save(_chain(size), path)


def onnx_external(path: Path, size: int) -> None:
    """Write a folder with the same chain, its weights in one file beside the model."""
    from onnx import save

    path.mkdir()
    save(_chain(size), path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)


def _chain(size: int) -> ModelProto:
    import numpy
    from onnx import TensorProto, helper

    random = numpy.random.default_rng(0)
    columns = _columns(size, INITIALIZERS)
    shapes = [(ROWS, columns) if number % 2 == 0 else (columns, ROWS) for number in range(INITIALIZERS)]
    arrays = (random.standard_normal(shape, numpy.float32) for shape in shapes)
    weights = [
        helper.make_tensor(f"w{number}", TensorProto.FLOAT, array.shape, array.tobytes(), raw=True)
        for number, array in enumerate(arrays)
    ]
    nodes = [helper.make_node("MatMul", [f"x{number}", f"w{number}"], [f"x{number + 1}"]) for number in range(INITIALIZERS)]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", ROWS])] for name in ("x0", f"x{INITIALIZERS}")]
    return helper.make_model(helper.make_graph(nodes, "chain", ends[0], ends[1], weights))


def saved_model(path: Path, size: int) -> None:
    """Write a chain of products with *size* bytes of variables."""
    import tensorflow as tf

    columns = _columns(size, VARIABLES)
    random = tf.random.Generator.from_seed(0)
    model = tf.Module()
    model.weights = [
        tf.Variable(random.normal((ROWS, columns) if number % 2 == 0 else (columns, ROWS)), name=f"w{number}")
        for number in range(VARIABLES)
    ]

    @tf.function(input_signature=[tf.TensorSpec((None, ROWS), tf.float32, "x")])
    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        for weight in model.weights:
            x = x @ weight
        return {"y": x}

    model.serve = serve
    tf.saved_model.save(model, str(path), signatures=serve)


def checkpoint(path: Path, size: int) -> None:
    """Write *size* bytes of variables in shards, one of each, as the devices of a cluster save them."""
    import tensorflow as tf

    (path / "parts").mkdir(parents=True)
    random = tf.random.Generator.from_seed(0)
    prefixes = [str(path / "parts" / f"shard-{number}") for number in range(SHARDS)]
    for number, prefix in enumerate(prefixes):
        weight = random.normal((ROWS, _columns(size, SHARDS)))
        tf.raw_ops.SaveV2(prefix=prefix, tensor_names=[f"w{number}"], shape_and_slices=[""], tensors=[weight])
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=str(path / "model.ckpt"))


def simple_events(path: Path, size: int) -> None:
    """Write about *size* bytes of scalars as TensorFlow 1 did, one value a record."""
    import tensorflow as tf

    summary = tf.compat.v1.Summary
    with tf.Graph().as_default():
        writer = tf.compat.v1.summary.FileWriter(str(path))
        for number in range(size // SIMPLE_EVENT_BYTES):
            tag = TAGS[number % len(TAGS)]
            writer.add_summary(summary(value=[summary.Value(tag=tag, simple_value=1 / (number + 1))]), number // len(TAGS))
        writer.close()


def tensor_events(path: Path, size: int) -> None:
    """Write about *size* bytes of scalars as TensorFlow 2 does, each a tensor with its metadata."""
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(path))

    @tf.function
    def write(first: tf.Tensor) -> None:
        with writer.as_default():
            for step in range(STEPS_AT_ONCE):
                for tag in TAGS:
                    tf.summary.scalar(tag, 1 / (first + step + 1), step=first + step)

    for first in range(0, size // TENSOR_EVENT_BYTES // len(TAGS), STEPS_AT_ONCE):
        write(tf.constant(first, tf.int64))
    writer.close()


def files(path: Path, count: int) -> None:
    """Write *count* small files, a thousand to a folder."""
    for number in range(count):
        folder = path / f"{number // FILES_IN_FOLDER:04}"
        if number % FILES_IN_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"part-{number:06}.txt").write_bytes(b"x")


KINDS: Mapping[str, Callable[[Path, int], None]] = MappingProxyType(
    {kind.__name__: kind for kind in (onnx, onnx_external, saved_model, checkpoint, simple_events, tensor_events, files)}
)


def _columns(size: int, weights: int) -> int:
    return max(1, size // weights // ROWS // 4)


def main(folder: str, wanted: list[str]) -> None:
    """Make each input of *wanted*, as KIND:SIZE, in *folder*."""
    for word in wanted:
        kind, size = word.split(":")
        made = Input(kind, int(size))
        KINDS[kind](Path(folder, made.name), made.size)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
