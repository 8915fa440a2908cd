"""Checkpoints, read by TensorFlow and by us: names, shapes, dtypes and checksums must agree."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from detectors import bundle, checkpoint, tensor_slices
from detectors.block_checks import BlockChecks
from detectors.detection import Contents, detect
from detectors.errors import MalformedModel
from detectors.facts import State
from detectors.range_checks import RangeChecks
from detectors.sstable import read_handles
from detectors.tree import MemoryTree
from tests.builders import bundle as build

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

CORPUS = os.environ.get("MODELPORT_CORPUS")
FLIPS = 150


@pytest.fixture(scope="module")
def generated(tf, tmp_path_factory):
    """Checkpoints by TensorFlow itself, by what is special about each: name -> path prefix."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for kind in ("objects", "partitioned", "raw", "variants", "merged", "many"):
        (folder / kind).mkdir()
    return {
        "objects": _objects(tf, str(folder / "objects" / "ckpt")),
        "partitioned": _partitioned(tf, str(folder / "partitioned" / "model.ckpt")),
        "raw": _raw(tf, str(folder / "raw" / "model.ckpt")),
        "variants": _variants(tf, str(folder / "variants" / "model.ckpt")),
        "merged": _merged(tf, folder / "merged"),
        "many": _many(tf, str(folder / "many" / "model.ckpt")),
    }


def _objects(tf, prefix):
    root = tf.Module()
    root.kernel = tf.Variable(np.arange(6, dtype=np.float32).reshape(2, 3))
    root.words = tf.Variable(["a", "", "x" * 300])
    return tf.train.Checkpoint(root=root).write(prefix)


def _partitioned(tf, prefix):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for seed, name in enumerate("pq"):
            v1.get_variable(
                name,
                shape=(10, 4),
                initializer=v1.random_normal_initializer(seed=seed),
                partitioner=v1.fixed_size_partitioner(3),
                use_resource=False,
            )
        v1.train.get_or_create_global_step()
        session.run(v1.global_variables_initializer())
        return v1.train.Saver(sharded=True).save(session, prefix, global_step=7)


VALUES = {
    "bf16": ("bfloat16", (2, 2)),
    "bool": ("bool", (3,)),
    "complex": ("complex128", (2,)),
    "empty": ("float32", (0, 4)),
    "half": ("float16", (5,)),
    "scalar": ("int64", ()),
    "uint8": ("uint8", (7,)),
}


def _raw(tf, prefix):
    names = [*VALUES, "no words", "words"]
    tensors = [tf.cast(tf.ones(shape), dtype) for dtype, shape in VALUES.values()]
    tensors += [tf.constant([], tf.string), tf.constant([["é", ""], ["z" * 1000, "\0"]])]
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
    return prefix


def _variants(tf, prefix):
    """Lists of tensors, which are stored as variants: one alone, and two of different length in a tensor."""
    raw = tf.raw_ops
    empty = raw.EmptyTensorList(element_shape=tf.constant([2]), max_num_elements=5, element_dtype=tf.float32)
    one = raw.TensorListPushBack(input_handle=empty, tensor=tf.constant([1.0, 2.0]))
    two = raw.TensorListPushBack(input_handle=one, tensor=tf.constant([3.0, 4.0]))
    raw.SaveV2(prefix=prefix, tensor_names=["one", "pair"], shape_and_slices=["", ""], tensors=[one, tf.stack([one, two])])
    return prefix


def _merged(tf, folder):
    parts = [str(folder / f"part{number}") for number in range(3)]
    for number, part in enumerate(parts):
        value = tf.fill([number + 1, 5], float(number))
        tf.raw_ops.SaveV2(prefix=part, tensor_names=[f"w{number}"], shape_and_slices=[""], tensors=[value])
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=str(folder / "all"), delete_old_dirs=False)
    return str(folder / "all")


def _many(tf, prefix):
    """Enough entries for an index of several blocks."""
    names = [f"layer_{number}/a_long_scope_that_fills_blocks/kernel_{number * 7919}" for number in range(9000)]
    tensors = [tf.constant([float(number)]) for number in range(len(names))]
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
    return prefix


def listed(prefix):
    folder = Path(prefix).parent
    tree = MemoryTree({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    return Contents(tree, tree.files())


def read(prefix, contents=None):
    contents = contents or listed(prefix)
    return bundle.read_bundle(contents, contents.find(Path(prefix).name + ".index"))


def problems_of(contents, found):
    problems = []
    for shard in range(found.num_shards):
        checks = RangeChecks(bundle.sums_of(found)[shard])
        path = bundle.shard_name(found.prefix, shard, found.num_shards)
        data = contents.tree.read(path, 0, contents.find(path).size)
        for at in range(0, len(data), 777):
            checks.update(data[at : at + 777])
        problems += checks.problems()
    return problems


def as_tensorflow_sees_it(tf, prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    return {name: (dtypes[name].base_dtype.name, tuple(shapes[name])) for name in shapes}


def as_we_see_it(found):
    tensors = {tensor.name: (tensor.dtype, tensor.shape) for tensor in bundle.stored_tensors(found).tensors}
    graph = {"_CHECKPOINTABLE_OBJECT_GRAPH": ("string", ())} if found.has_object_graph else {}
    return tensors | graph


def can_read_all(tf, prefix):
    """Tell whether TensorFlow reads every tensor."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, ValueError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize("kind", ["objects", "partitioned", "raw", "variants", "merged", "many"])
def test_a_generated_checkpoint_is_read_as_tensorflow_reads_it(tf, generated, kind):
    contents = listed(generated[kind])
    found = read(generated[kind], contents)
    assert as_we_see_it(found) == as_tensorflow_sees_it(tf, generated[kind])
    assert bundle.completeness_of(contents, found).state is State.COMPLETE
    assert problems_of(contents, found) == []


def test_what_we_meant_to_generate_is_there(generated):
    """The cases hold what they are named after, so that none passes for want of it."""
    assert read(generated["merged"]).num_shards == 3
    assert sum(entry.is_slice for entry in read(generated["partitioned"]).entries) == 6
    assert as_we_see_it(read(generated["raw"]))["bf16"] == ("bfloat16", (2, 2))
    assert os.path.getsize(generated["many"] + ".index") > 300_000


def test_a_partitioned_variable_counts_once_and_is_trainable(generated):
    contents = listed(generated["partitioned"])
    ((_, detection),) = detect(contents, [checkpoint.DETECTOR])
    extraction = checkpoint.DETECTOR.extract(contents, detection)
    assert extraction.facts.parameters.stored == 81
    assert extraction.facts.parameters.distinct == 81
    assert extraction.facts.parameters.trainable == 80
    assert extraction.facts.framework.version.startswith("2.")
    assert extraction.facts.details["latest"] is True


def test_the_names_of_slices_are_those_of_their_variables(generated):
    assert {entry.name for entry in read(generated["partitioned"]).entries if entry.is_slice} == {"p", "q"}


def test_what_the_builder_writes_tensorflow_reads(tf, tmp_path):
    tensors = [
        build.Tensor("dense/kernel", build.FLOAT, (2, 3), np.arange(6, dtype=np.float32).tobytes()),
        build.Tensor("step", build.INT64, (), (7).to_bytes(8, "little"), shard=1),
        build.strings("words", [b"ab", b"", b"x" * 200], shard=1),
    ]
    for compress in (False, True):
        folder = tmp_path / str(compress)
        folder.mkdir()
        for name, data in build.Bundle(tensors, num_shards=2, compress=compress, per_block=2).files("m").items():
            (folder / name).write_bytes(data)
        reader = tf.train.load_checkpoint(str(folder / "m"))
        assert reader.get_tensor("dense/kernel").tolist() == [[0, 1, 2], [3, 4, 5]]
        assert reader.get_tensor("step") == 7
        assert reader.get_tensor("words").tolist() == [b"ab", b"", b"x" * 200]
        assert as_we_see_it(read(folder / "m")) == as_tensorflow_sees_it(tf, folder / "m")


@pytest.mark.parametrize("kind", ["objects", "partitioned", "raw"])
def test_a_flipped_bit_is_found_wherever_tensorflow_finds_it(tf, generated, kind, tmp_path):
    """We may refuse more than TensorFlow does, as it looks at no more than it needs; never less."""
    source = Path(generated[kind])
    files = {path.name: path.read_bytes() for path in source.parent.glob(source.name + ".*") if path.suffix != ".meta"}
    chance = random.Random(kind)
    for _ in range(FLIPS // 3):
        name = chance.choice(sorted(name for name in files if files[name]))
        flipped = bytearray(files[name])
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        changed = {**files, name: bytes(flipped)}
        for path, data in changed.items():
            (tmp_path / path).write_bytes(data)
        if _is_sound(changed, source.name):
            assert can_read_all(tf, tmp_path / source.name)


@pytest.mark.parametrize("kind", ["objects", "merged"])
def test_a_truncated_file_is_never_sound(generated, kind):
    source = Path(generated[kind])
    files = {path.name: path.read_bytes() for path in source.parent.glob(source.name + ".*")}
    for name, whole in files.items():
        for length in range(0, len(whole), max(1, len(whole) // 40)):
            assert not _is_sound({**files, name: whole[:length]}, source.name)


def _is_sound(files, name):
    tree = MemoryTree(files)
    contents = Contents(tree, tree.files())
    try:
        found = bundle.read_bundle(contents, contents.find(name + ".index"))
    except MalformedModel:
        return False
    return bundle.completeness_of(contents, found).state is State.COMPLETE and not problems_of(contents, found)


@pytest.fixture(scope="module", params=["", "sharded"])
def single_file(tf, request, tmp_path_factory):
    """A V1 checkpoint by TensorFlow itself: its folder."""
    v1 = tf.compat.v1
    folder = tmp_path_factory.mktemp("v1")
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", initializer=np.zeros((300, 400), np.float32), use_resource=False)
        v1.get_variable("n", initializer=np.arange(10, dtype=np.int64), use_resource=False, trainable=False)
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(write_version=v1.train.SaverDef.V1, sharded=bool(request.param))
        saver.save(session, str(folder / "model.ckpt"), global_step=3)
    return folder


def test_a_v1_checkpoint_is_read_as_tensorflow_reads_it(tf, single_file):
    contents = listed(single_file / "x")
    ((_, detection),) = detect(contents, [checkpoint.DETECTOR])
    facts = checkpoint.DETECTOR.extract(contents, detection).facts
    assert detection.root == "model.ckpt-3"
    assert facts.details["layout"] == "TF V1 checkpoint"
    assert facts.details["latest"] is True
    assert facts.dtypes == {"float32": 1, "int64": 1}
    assert (facts.parameters.stored, facts.parameters.trainable) == (120_010, 120_000)
    assert as_tensorflow_sees_it(tf, single_file / detection.main) == {"w": ("float32", (300, 400)), "n": ("int64", (10,))}


def test_a_flipped_bit_of_a_v1_checkpoint_is_told_wherever_its_tensors_lie(single_file):
    """The bytes that TensorFlow wrote pass; half of the flips hit the 480,000 bytes of the large tensor."""
    contents = listed(single_file / "x")
    ((_, detection),) = detect(contents, [checkpoint.DETECTOR])
    file = contents.find(detection.main)
    data = contents.tree.read(file.path, 0, file.size)
    handles = list(read_handles(contents.window(file)))
    chance = random.Random(1)
    for flip in [None, *(chance.randrange(handles[-1].offset + handles[-1].size) for _ in range(50))]:
        changed = bytearray(data)
        if flip is not None:
            changed[flip] ^= 1 << chance.randrange(8)
        checks = BlockChecks(tensor_slices.sums_of(contents, file))
        checks.update(bytes(changed))
        assert len(checks.problems()) == (flip is not None)


@pytest.mark.skipif(CORPUS is None, reason="MODELPORT_CORPUS names no folder of real models")
def test_every_index_of_the_corpus_is_read_as_tensorflow_reads_it(tf):
    agreed = refused = lacking = 0
    for path in sorted(Path(CORPUS).rglob("*.index")):
        prefix = str(path).removesuffix(".index")
        contents = listed(prefix)
        try:
            found = read(prefix, contents)
        except MalformedModel:
            with pytest.raises((tf.errors.OpError, ValueError)):
                as_tensorflow_sees_it(tf, prefix)
            refused += 1
            continue
        assert as_we_see_it(found) == as_tensorflow_sees_it(tf, prefix), path
        if bundle.completeness_of(contents, found).state is State.COMPLETE:
            assert problems_of(contents, found) == [], path
            assert can_read_all(tf, prefix)
        else:
            assert not can_read_all(tf, prefix)
            lacking += 1
        agreed += 1
    assert (agreed, refused, lacking) == (49, 10, 1)
