"""`python -m benchmarks.probe NAME PATH`: do one piece of work in a fresh process and print what it alone cost.

A probe is a function that imports what it needs and returns the work. Only the work is measured, so that an import that costs
seconds is not held against a library that is used for hours; the cost of the whole process is measured from outside.
Printed is a JSON object with the fields `work_cpu`, `work_wall` and `read` of `benchmarks.case.Cost`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

Work = Callable[[], object]


def scan(path: str) -> Work:
    """Our scan of a file or folder."""
    from detectors.open import scan_path

    return lambda: expect(scan_path(path).models, f"no model in {path}")


def metrics(path: str) -> Work:
    """Our reader of everything that a run reported."""
    from detectors.detection import Contents
    from detectors.metrics import read_metrics
    from detectors.open import open_path

    def work() -> object:
        with open_path(path) as tree:
            return expect(read_metrics(Contents(tree, tree.files())).values, f"no metric in {path}")

    return work


def listing(path: str) -> Work:
    """Our listing of a folder with size and version of each file."""
    from detectors.local_tree import LocalTree

    def work() -> object:
        with LocalTree(path) as tree:
            return expect(list(tree.files()), f"no file in {path}")

    return work


def onnx_load(path: str) -> Work:
    """The onnx library's way to a model's structure."""
    import onnx

    return lambda: onnx.load(path).graph.node[0]


def tensorflow_load(path: str) -> Work:
    """TensorFlow's way to the signatures of a SavedModel."""
    import tensorflow as tf

    return lambda: tf.saved_model.load(path).signatures["serving_default"]


def tensorflow_events(path: str) -> Work:
    """TensorFlow's way through event files, with the last value of each tag and nothing more."""
    import tensorflow as tf

    summary_iterator = tf.compat.v1.train.summary_iterator

    def work() -> object:
        last = {}
        for file in Path(path).iterdir():
            for event in summary_iterator(str(file)):
                for value in event.summary.value:
                    last[value.tag] = (event.step, event.wall_time, value.simple_value or value.tensor)
        return expect(last, f"no event in {path}")

    return work


def tensorboard_events(path: str) -> Work:
    """TensorBoard's way through event files where it is installed alone, with its usual sample of the points."""
    sys.modules["tensorboard.compat.notf"] = ModuleType("notf")  # TensorBoard's own switch for builds without TensorFlow
    return _accumulate(path)


def tensorboard_with_tensorflow(path: str) -> Work:
    """The same where TensorFlow is installed too: TensorBoard then takes the records with TensorFlow's reader."""
    import tensorflow  # noqa: F401 - TensorBoard would import it as late as in the work

    return _accumulate(path)


def _accumulate(path: str) -> Work:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def work() -> object:
        events = EventAccumulator(path)
        events.Reload()
        return expect(events.Tags()["scalars"] or events.Tags()["tensors"], f"no event in {path}")

    return work


PROBES: Mapping[str, Callable[[str], Work]] = MappingProxyType(
    {
        probe.__name__: probe
        for probe in (
            scan,
            metrics,
            listing,
            onnx_load,
            tensorflow_load,
            tensorflow_events,
            tensorboard_events,
            tensorboard_with_tensorflow,
        )
    }
)


def expect(value: object, otherwise: str) -> object:
    """Return *value*; a probe that found nothing was quick for the wrong reason."""
    if not value:
        raise SystemExit(otherwise)
    return value


def _bytes_read() -> int:
    """Return how many bytes this process took from files so far (`rchar` of proc(5)); -1 where the system does not say."""
    try:
        return int(Path("/proc/self/io").read_text().split()[1])
    except OSError:
        return -1


def main(name: str, path: str) -> None:
    """Print what the work of the probe *name* on *path* cost."""
    tell_cost(PROBES[name](path))


def tell_cost(work: Work) -> None:
    """Do *work*, and print what it cost."""
    read, wall, cpu = _bytes_read(), time.perf_counter(), time.process_time()
    result = work()
    cost = {"work_cpu": time.process_time() - cpu, "work_wall": time.perf_counter() - wall, "read": _bytes_read() - read}
    del result
    print(json.dumps(cost))


if __name__ == "__main__":
    main(*sys.argv[1:])
