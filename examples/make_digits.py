"""Make the example experiment that lies beside this script: a small classifier of drawn digits, trained for real.

What comes out below OUT (by default `examples/digits`), as a TensorFlow Estimator leaves it behind:
    <unix time>/                  two exports in TensorFlow's SavedModel format; the newest number is the one to serve
    digits/                       checkpoints, the graph as text, event files of the training and, in `eval/`, of the evaluation
    digits.onnx                   the newest export as ONNX, written from the trained weights and compared with TensorFlow
Estimators are gone from TensorFlow; the same files are written here with `tf.compat.v1`, which wrote them then.

Needs tensorflow 2.21, onnx 1.23 and numpy 2 (the `test` extra) and takes about ten seconds on one core, no download.
Times and names of machines are fixed, so that nothing of the machine that runs this is kept; OUT must not exist.

    python examples/make_digits.py [OUT]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

v1 = tf.compat.v1

SIDE = 8  # pixels of an image, each way
STEPS, LOG_EVERY, SAVE_EVERY, EXPORT_EVERY = 1200, 50, 300, 600
BATCH, EVAL_PARTS, EVAL_PART_SIZE = 64, 4, 250
LEARNING_RATE, MOMENTUM = 0.05, 0.9
HIDDEN, DIGITS = 32, 10
STARTED = 1767261600  # seconds since 1970: 2026-01-01 10:00:00 UTC
SECONDS_PER_STEP = 0.25
MACHINE = "example"

GLYPHS = """
### .#. ### ### #.# ### ### ### ### ###
#.# ##. ..# ..# #.# #.. #.. ..# #.# #.#
#.# .#. ### ### ### ### ### ..# ### ###
#.# .#. #.. ..# ..# ..# #.# ..# #.# ..#
### ### ### ### ..# ### ### ..# ### ###
"""


def draw_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return *count* noisy images (float32, count × 8 × 8) and the digit on each (int64).

    numpy has frozen the stream of `RandomState`, so the same seed draws the same images with any version.
    """
    rows = [line.split() for line in GLYPHS.split("\n") if line]
    glyphs = np.array([[[pixel == "#" for pixel in row[digit]] for row in rows] for digit in range(DIGITS)], np.float32)
    random = np.random.RandomState(seed)
    labels = random.randint(0, DIGITS, count)
    images = random.normal(0.0, 0.2, (count, SIDE, SIDE))
    for image, label in zip(images, labels, strict=True):
        top, left = random.randint(1, 3), random.randint(2, 4)
        image[top : top + 5, left : left + 3] += glyphs[label] * random.uniform(0.7, 1.0)
    return images.astype(np.float32), labels.astype(np.int64)


def draw_eval_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images and digits of the evaluation, never trained on."""
    return draw_digits(EVAL_PARTS * EVAL_PART_SIZE, seed=2)


def eval_parts() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the evaluation's data in equal parts, so that each step has several values to take statistics over."""
    images, labels = draw_eval_digits()
    return zip(np.split(images, EVAL_PARTS), np.split(labels, EVAL_PARTS), strict=True)


def network() -> SimpleNamespace:
    """Add the classifier to the current graph and return its tensors."""
    image = v1.placeholder(tf.float32, [None, SIDE, SIDE], "image")
    hidden = tf.nn.relu(dense(tf.reshape(image, [-1, SIDE * SIDE]), HIDDEN, "hidden"))
    logits = tf.identity(dense(hidden, DIGITS, "output"), "logits")
    return SimpleNamespace(image=image, logits=logits, probabilities=tf.nn.softmax(logits, name="probabilities"))


def dense(inputs: tf.Tensor, units: int, name: str) -> tf.Tensor:
    """Return inputs × kernel + bias, with variables of their own."""
    with v1.variable_scope(name):
        kernel = v1.get_variable("kernel", [inputs.shape[1], units], initializer=v1.initializers.glorot_uniform(seed=3))
        bias = v1.get_variable("bias", [units], initializer=v1.initializers.zeros())
        return tf.matmul(inputs, kernel) + bias


class EventFile:
    """An event file named as TensorFlow names it, with the times of the story instead of this machine's."""

    def __init__(self, folder: Path, started: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{started:.0f}.{MACHINE}"))
        self._write(v1.Event(wall_time=started, file_version="brain.Event:2"))

    def graph(self, graph: tf.Graph) -> None:
        self._write(v1.Event(wall_time=STARTED, graph_def=graph.as_graph_def().SerializeToString(deterministic=True)))

    def scalars(self, step: int, **values: float) -> None:
        summary = v1.Summary(value=[v1.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._write(v1.Event(wall_time=clock(step), step=step, summary=summary))

    def _write(self, event: v1.Event) -> None:
        self._writer.write(event.SerializeToString(deterministic=True))
        self._writer.flush()


def clock(step: int) -> float:
    """Return the time of a training step, in seconds since 1970."""
    return STARTED + step * SECONDS_PER_STEP


def train(out: Path) -> None:
    """Train the classifier; save and evaluate it every `SAVE_EVERY` steps, export it every `EXPORT_EVERY`."""
    job = out / "digits"
    images, labels = draw_digits(STEPS * BATCH, seed=1)
    training, evaluation = EventFile(job, STARTED), EventFile(job / "eval", clock(SAVE_EVERY))
    with tf.Graph().as_default() as graph, v1.Session() as session:
        net = network()
        label = v1.placeholder(tf.int64, [None], "label")
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(label, net.logits), name="loss")
        hits = tf.equal(tf.argmax(net.logits, 1), label)
        scores = {"accuracy": tf.reduce_mean(tf.cast(hits, tf.float32), name="accuracy"), "loss": loss}
        global_step = v1.train.get_or_create_global_step()
        update = v1.train.MomentumOptimizer(LEARNING_RATE, MOMENTUM).minimize(loss, global_step)
        saver = v1.train.Saver(max_to_keep=2, save_relative_paths=True)
        session.run(v1.global_variables_initializer())
        tf.io.write_graph(graph, str(job), "graph.pbtxt")
        training.graph(graph)
        for step in range(1, STEPS + 1):
            batch = slice((step - 1) * BATCH, step * BATCH)
            _, value = session.run([update, loss], {net.image: images[batch], label: labels[batch]})
            if step % LOG_EVERY == 0:
                training.scalars(step, loss=value)
            if step % SAVE_EVERY == 0:
                saver.save(session, str(job / "model.ckpt"), global_step, strip_default_attrs=True)
                for some_images, some_labels in eval_parts():
                    evaluation.scalars(step, **session.run(scores, {net.image: some_images, label: some_labels}))
            if step % EXPORT_EVERY == 0:
                export(out, step)


def export(out: Path, step: int) -> None:
    """Write the checkpoint of *step* as a SavedModel with two signatures, in a folder named by the time."""
    with tf.Graph().as_default(), v1.Session() as session:
        net = network()
        v1.train.get_or_create_global_step()
        v1.train.Saver().restore(session, str(out / "digits" / f"model.ckpt-{step}"))
        predict = v1.saved_model.predict_signature_def
        signatures = {
            "serving_default": predict({"image": net.image}, {"probabilities": net.probabilities}),
            "predict": predict({"image": net.image}, {"logits": net.logits, "probabilities": net.probabilities}),
        }
        builder = v1.saved_model.Builder(str(out / f"{clock(step):.0f}"))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures, strip_default_attrs=True)
        builder.save()


def export_onnx(out: Path, step: int) -> None:
    """Write the SavedModel of *step* as `digits.onnx`, with the step in its metadata."""
    weights = tf.train.load_checkpoint(str(out / f"{clock(step):.0f}" / "variables" / "variables"))
    nodes = [
        ("Flatten", "image", "pixels"),
        ("MatMul", "pixels hidden/kernel", "hidden/product"),
        ("Add", "hidden/product hidden/bias", "hidden/sum"),
        ("Relu", "hidden/sum", "hidden"),
        ("MatMul", "hidden output/kernel", "output/product"),
        ("Add", "output/product output/bias", "logits"),
        ("Softmax", "logits", "probabilities"),
    ]
    names = ["hidden/kernel", "hidden/bias", "output/kernel", "output/bias"]
    graph = helper.make_graph(
        [helper.make_node(operator, inputs.split(), [output]) for operator, inputs, output in nodes],
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", SIDE, SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", DIGITS])],
        [numpy_helper.from_array(weights.get_tensor(name), name) for name in names],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, producer_name="make_digits.py", ir_version=8, opset_imports=opsets)
    helper.set_model_props(model, {"training_step": str(step)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(out / "digits.onnx"))


def largest_difference(out: Path, step: int) -> float:
    """Return how far the probabilities of the ONNX model are from TensorFlow's, at most, on the evaluation's images."""
    images, _ = draw_eval_digits()
    serve = tf.saved_model.load(str(out / f"{clock(step):.0f}")).signatures["serving_default"]
    expected = serve(image=tf.constant(images))["probabilities"].numpy()
    (found,) = ReferenceEvaluator(str(out / "digits.onnx")).run(None, {"image": images})  # onnx's own reading of its operators
    return float(np.abs(found - expected).max())


def main(out: Path) -> None:
    """Make the experiment below *out*."""
    out.mkdir(parents=True)
    train(out)
    export_onnx(out, STEPS)
    if (difference := largest_difference(out, STEPS)) > 1e-5:
        raise SystemExit(f"the ONNX model differs from TensorFlow by {difference}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "digits")
