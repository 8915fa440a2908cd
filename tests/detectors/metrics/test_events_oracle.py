"""Event files, read by TensorFlow, by TensorBoard and by us: tags, counts, steps, wall times and values must agree."""

import os
import random
from pathlib import Path

import pytest

from detectors.detection import Contents
from detectors.local_tree import LocalTree
from detectors.metrics.sessions import read_sessions
from detectors.tree import MemoryTree

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

CORPUS = os.environ.get("MODELPORT_CORPUS")
DAMAGED_FILES = 600


@pytest.fixture(scope="module")
def generated(tf, tmp_path_factory) -> Path:
    """A folder with one session for each way to write scalars."""
    folder = tmp_path_factory.mktemp("events")
    _tensorflow_1(tf, folder / "v1")
    _tensorflow_2(tf, folder / "v2")
    _tensorboard(folder / "tensorboard")
    return folder


def _tensorflow_1(tf, folder: Path) -> None:
    """Merged summaries as an Estimator writes them, with a graph, a large image and a histogram."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session() as session:
        loss, noise = v1.placeholder(tf.float32), tf.random.uniform([1, 150, 150, 3], seed=1)
        merged = v1.summary.merge(
            [v1.summary.scalar("loss", loss), v1.summary.image("image", noise), v1.summary.histogram("weights", noise)]
        )
        alone = v1.summary.scalar("alone", loss)
        writer = v1.summary.FileWriter(str(folder), graph)
        for step in range(30):
            writer.add_summary(session.run(alone, {loss: step / 7}), step * 100_000)
            if step % 10 == 0:
                writer.add_summary(session.run(merged, {loss: float("nan") if step == 10 else 1 / (step + 1)}), step)
        path = v1.Summary.Value(tag="checkpoint_path", tensor=tf.make_tensor_proto("model.ckpt-30"))
        simple = [v1.Summary.Value(tag=f"eval/{name}", simple_value=value) for name, value in (("a", 0.5), ("b", float("inf")))]
        writer.add_summary(v1.Summary(value=[*simple, path]), 30)
        writer.close()


def _tensorflow_2(tf, folder: Path) -> None:
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step in range(40):
            tf.summary.scalar("loss", 1 / (step + 1), step=step - 3)
            tf.summary.scalar("described", step, step=step, description="a number")
            if step % 10 == 0:
                tf.summary.text("text", "words", step=step)
                tf.summary.histogram("weights", [1.0, 2.0, float(step)], step=step)
                tf.summary.image("image", tf.random.uniform([1, 200, 200, 3], seed=step), step=step)
    writer.close()


def _tensorboard(folder: Path) -> None:
    """Simple values as PyTorch's writer makes them, and tensors whose number stands in float_val."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.scalar.summary import pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step in range(20):
        simple = Summary(value=[Summary.Value(tag="torch", simple_value=step / 3)])
        writer.add_event(Event(step=step, wall_time=1500000000.25 + step, summary=simple))
        writer.add_event(
            Event(
                step=step, wall_time=1500000000.5 + step, summary=Summary.FromString(pb("tensor", step / 5).SerializeToString())
            )
        )
    writer.close()


def event_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*tfevents*") if path.is_file())


def iterated(tf, path: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Return (step, wall time, value) of each scalar by tag in the order of the file, as TensorFlow reads it up to damage."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    plugins: dict[str, str] = {}
    try:
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                plugin = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, event.wall_time, value.simple_value))
                elif value.HasField("tensor") and plugin == "scalars":
                    found.setdefault(value.tag, []).append((event.step, event.wall_time, float(tf.make_ndarray(value.tensor))))
    except tf.errors.DataLossError:
        pass
    return found


def read(path: Path):
    tree = MemoryTree({path.name: path.read_bytes()})
    return read_sessions(Contents(tree, tree.files()))


def by_step(points: list[tuple[int, float, float]]) -> list[tuple[int, list[float]]]:
    steps: dict[int, list[float]] = {}
    for step, _, value in points:
        steps.setdefault(step, []).append(value)
    return sorted(steps.items())


def assert_agrees(tf, path: Path) -> int:
    """Compare all that is kept of the scalars of *path* with what TensorFlow reads; return how many tags there are."""
    series, notes = read(path)
    wanted = iterated(tf, path)
    assert notes == ()
    assert {item.name for item in series} == set(wanted)
    for item in series:
        points = wanted[item.name]
        last = max(reversed(points), key=lambda point: point[0])
        assert item.count == len(points)
        assert repr((item.last.step, item.last.wall_time or 0.0, item.last.value)) == repr(last)
        assert repr([(kept.step, list(kept.values)) for kept in item.checkpoints]) == repr(by_step(points))
    return len(series)


def test_generated_files_agree_with_tensorflow(tf, generated):
    assert [assert_agrees(tf, path) for path in event_files(generated)] == [2, 4, 2]


def test_generated_files_agree_with_tensorboard(tf, generated):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tree = LocalTree(generated)
    series = {(item.folder, item.name): item for item in read_sessions(Contents(tree, tree.files()))[0]}
    compared = 0
    for folder in ("tensorboard", "v1", "v2"):
        board = EventAccumulator(str(generated / folder), size_guidance={"scalars": 0, "tensors": 0}, purge_orphaned_data=False)
        board.Reload()
        for tag in board.Tags()["scalars"]:
            last = max(reversed(board.Scalars(tag)), key=lambda point: point.step)
            ours = series.pop((folder, tag))
            assert ours.count == len(board.Scalars(tag))
            assert repr((ours.last.step, ours.last.wall_time, ours.last.value)) == repr((last.step, last.wall_time, last.value))
            compared += 1
        for tag in set(board.Tags()["tensors"]) & {name for at, name in series if at == folder}:
            last = max(reversed(board.Tensors(tag)), key=lambda point: point.step)
            ours = series.pop((folder, tag))
            assert ours.count == len(board.Tensors(tag))
            assert (ours.last.step, ours.last.wall_time) == (last.step, last.wall_time)
            assert ours.last.value == float(tf.make_ndarray(last.tensor_proto))
            compared += 1
    assert (compared, series) == (8, {})


def test_large_records_are_among_the_generated(generated):
    """Else the agreement would say nothing about records that are passed over or condensed."""
    assert [path.stat().st_size > 100_000 for path in event_files(generated)] == [False, True, True]


def test_damaged_files_give_what_tensorflow_reads_before_the_damage(tf, generated, tmp_path):
    """Where the damage lies in an image that we do not read, we may read on, and then nothing but what was written."""
    rng = random.Random(20261120)
    originals = [(path, iterated(tf, path)) for path in event_files(generated)]
    equal = 0
    for _ in range(DAMAGED_FILES):
        path, written = rng.choice(originals)
        damaged = tmp_path / "events.out.tfevents.damaged"
        damaged.write_bytes(_damage(rng, path.read_bytes()))
        wanted = {tag: by_step(points) for tag, points in iterated(tf, damaged).items()}
        ours = {item.name: [(kept.step, list(kept.values)) for kept in item.checkpoints] for item in read(damaged)[0]}
        if repr(sorted(ours.items())) == repr(sorted(wanted.items())):
            equal += 1
            continue
        for tag, kept in ours.items():
            assert repr(wanted.get(tag, []))[1:-1] in repr(kept)
            assert repr(kept)[1:-1] in repr(by_step(written[tag]))
        assert set(wanted) <= set(ours)
    assert equal > DAMAGED_FILES * 2 // 3


def _damage(rng: random.Random, data: bytes) -> bytes:
    """Cut the file, or change one byte: mostly near its beginning, where the small records are."""
    place = rng.randrange(min(len(data), rng.choice([2_000, 10_000_000])))
    if rng.random() < 0.3:
        return data[:place]
    return data[:place] + bytes([data[place] ^ rng.randrange(1, 256)]) + data[place + 1 :]


@pytest.mark.skipif(not CORPUS, reason="MODELPORT_CORPUS does not name a folder of real models")
def test_real_files_agree_with_tensorflow(tf):
    found = event_files(Path(CORPUS))
    assert len(found) >= 8
    assert sum(assert_agrees(tf, path) for path in found) > 0
