"""SavedModels and graphs, read by TensorFlow and by us: everything that both say must agree.

The models are the public ones of the corpus and some that TensorFlow and Keras write here.
"""

from __future__ import annotations

import os
import random
import re
import runpy
from collections import Counter
from pathlib import Path

import pytest

from detectors import graph_def, saved_model
from detectors.detection import Contents, detect
from detectors.errors import DetectorError
from detectors.facts import Parameters, State
from detectors.local_tree import LocalTree
from detectors.tf_ops import registered_ops
from detectors.tree import MemoryTree

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

CORPUS = os.environ.get("MODELPORT_CORPUS")
needs_corpus = pytest.mark.skipif(CORPUS is None, reason="MODELPORT_CORPUS names no folder of public models")

CUSTOM = {
    "tensorflow+decision-forests": (
        "SimpleMLCreateModelResource",
        "SimpleMLInferenceOpWithHandle",
        "SimpleMLLoadModelFromPathWithHandle",
    )
}
"""The custom operators of the corpus, by repository."""

MUTATIONS = 300


def look(files):
    tree = MemoryTree(files)
    contents = Contents(tree, tree.files())
    [(_, detection)] = detect(contents, [saved_model.DETECTOR])
    return saved_model.DETECTOR.extract(contents, detection)


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def parsed(folder):
    """The model of *folder* as TensorFlow's own messages."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    if (folder / "saved_model.pb").exists():
        return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return text_format.Parse((folder / "saved_model.pbtxt").read_text(), saved_model_pb2.SavedModel())


def assert_agrees(tf, facts, model):
    """Compare the facts with what the messages of TensorFlow say."""
    shown = next((each for each in model.meta_graphs if list(each.meta_info_def.tags) == ["serve"]), model.meta_graphs[0])
    graph = shown.graph_def
    assert facts.tags == tuple(tuple(sorted(each.meta_info_def.tags)) for each in model.meta_graphs)
    assert (facts.framework.version or "") == shown.meta_info_def.tensorflow_version
    assert (facts.style == "object_graph") == shown.HasField("object_graph_def")
    assert facts.details["schema_version"] == model.saved_model_schema_version
    assert facts.details["functions"] == len(graph.library.function)
    assert facts.details["assets"] == sorted({name for each in model.meta_graphs for name in their_assets(each)})
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert facts.operators == Counter(node.op for node in nodes)
    public = sorted(name for name in shown.signature_def if not name.startswith("__saved_model_"))
    assert [signature.name for signature in facts.signatures] == public
    for signature in facts.signatures:
        theirs = shown.signature_def[signature.name]
        assert signature.method == theirs.method_name
        assert [tensor_words(tensor) for tensor in signature.inputs] == their_words(tf, theirs.inputs)
        assert [tensor_words(tensor) for tensor in signature.outputs] == their_words(tf, theirs.outputs)


def their_assets(meta):
    """The assets of a graph as TensorFlow's loader finds them, without a folder."""
    from tensorflow.python.saved_model.loader_impl import get_asset_tensors

    return [Path(os.fsdecode(path)).name for path in get_asset_tensors("", meta).values()]


def tensor_words(tensor):
    return (tensor.name, tensor.dtype, None if tensor.shape is None else list(tensor.shape))


def their_words(tf, infos):
    return [(name, *their_tensor(tf, infos[name])) for name in sorted(infos)]


def their_tensor(tf, info):
    if info.WhichOneof("encoding") == "composite_tensor":
        return their_tensor(tf, info.composite_tensor.components[0])[0], None
    shape = tf.TensorShape(info.tensor_shape)
    known = info.HasField("tensor_shape") and shape.rank is not None  # TensorFlow 1.0 wrote none, which is not a scalar
    return tf.as_dtype(info.dtype).base_dtype.name, shape.as_list() if known else None


# Models that TensorFlow writes here


def test_everything_generated_agrees_and_is_complete(tf, by_tensorflow):
    for name, folder in by_tensorflow.items():
        extraction = look(files_of(folder))
        assert extraction.completeness.state is State.COMPLETE, name
        assert_agrees(tf, extraction.facts, parsed(folder))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("keras_export", Parameters(stored=2 * 47, distinct=47, trainable=41)),
        ("keras_saved", Parameters(stored=47 + 2 * 41 + 2, distinct=None, trainable=41)),
        ("module", Parameters(stored=37, distinct=10, trainable=36)),
        ("assets", Parameters(0, 0, 0)),
        ("tf1", Parameters(stored=3 * 10 + 3, distinct=None, trainable=10)),
    ],
)
def test_parameters_are_those_of_the_variables(by_tensorflow, name, expected):
    """Keras counts 47 parameters, 41 of them trainable. Adam keeps two slots, and TensorFlow 1 two powers and the step.

    How many of the slots are equal depends on the weights that the layers begin with.
    """
    found = look(files_of(by_tensorflow[name])).facts.parameters
    assert (found.distinct or 0) <= (found.stored or 0)
    assert (found.stored, found.trainable) == (expected.stored, expected.trainable)
    assert expected.distinct in (None, found.distinct)


def test_a_ragged_and_a_sparse_tensor(by_tensorflow):
    [signature] = look(files_of(by_tensorflow["composite"])).facts.signatures
    assert [tensor_words(tensor) for tensor in signature.outputs] == [("ragged", "int64", None), ("sparse", "int64", [None, 3])]


def test_the_fingerprint_is_the_one_of_tensorflow(tf, by_tensorflow):
    for name in ("module", "keras_export"):
        expected = tf.saved_model.experimental.read_fingerprint(str(by_tensorflow[name])).singleprint()
        assert look(files_of(by_tensorflow[name])).facts.fingerprint == expected


def test_without_any_file_but_the_fingerprint_it_is_not_complete(by_tensorflow):
    for folder in by_tensorflow.values():
        files = files_of(folder)
        for path in files.keys() - {"fingerprint.pb"}:
            rest = {other: data for other, data in files.items() if other != path}
            # TF2 writes an index even for a model without variables, so that one may be missed by nobody.
            optional = path.startswith("variables/") and look(files).facts.parameters.stored == 0 and "index" in path
            assert optional or look(rest).completeness.state is not State.COMPLETE, path


def test_a_prefix_is_never_complete(by_tensorflow):
    """Every prefix of a small model; of the model with two graphs those of the first, for it is whole between the two."""
    files = files_of(by_tensorflow["module"])
    data = files["saved_model.pb"]
    for stop in [*range(0, len(data), 7), len(data) - 1]:
        with pytest.raises(DetectorError):
            look(files | {"saved_model.pb": data[:stop]})


def test_mutated_models_give_facts_or_a_detector_error(by_tensorflow):
    chance = random.Random(1)
    files = files_of(by_tensorflow["keras_export"])
    for _ in range(MUTATIONS):
        path = chance.choice(["saved_model.pb", "variables/variables.index"])
        mutated = bytearray(files[path])
        for _ in range(chance.randint(1, 8)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        try:
            assert look(files | {path: bytes(mutated)}).facts.framework is not None
        except DetectorError:
            continue


def test_a_frozen_function_agrees_with_its_graph(tf, by_tensorflow):
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = tf.saved_model.load(str(by_tensorflow["module"]))
    call = loaded.signatures["serving_default"]
    assert_graph_agrees(tf, convert_variables_to_constants_v2(call).graph.as_graph_def().SerializeToString(), "frozen.pb")


def test_the_list_of_operators_is_the_one_of_tensorflow():
    made = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "make_tf_ops.py"))
    lines = [line.split(" ") for line in made["lines"]() if not line.startswith("#")]
    assert {name: " ".join(outputs) for name, *outputs in lines} == registered_ops()


# Public models


@pytest.fixture(scope="module")
def corpus():
    tree = LocalTree(CORPUS)
    contents = Contents(tree, tree.files())
    return contents, detect(contents, [saved_model.DETECTOR, graph_def.DETECTOR])


@needs_corpus
def test_every_public_saved_model_agrees(tf, corpus):
    contents, found = corpus
    compared = 0
    for detector, detection in found:
        if detector is saved_model.DETECTOR and re.search(r"saved_model\.pb(txt)?$", detection.main):
            facts = detector.extract(contents, detection).facts
            assert_agrees(tf, facts, parsed(Path(CORPUS) / detection.root))
            assert facts.custom_operators == CUSTOM.get(detection.root.partition("/")[0], ()), detection.root
            compared += 1
    assert compared == 38


@needs_corpus
def test_the_public_saved_models_that_lack_a_part_are_told_and_no_others(corpus):
    """One lacks its data file, one its saved_model file: the copies at hand leave out files over 5 MB. Two of TensorFlow
    Serving's, in folders called 00000123, were published without the asset that they name."""
    contents, found = corpus
    models = [(detector, detection) for detector, detection in found if detector is saved_model.DETECTOR]
    states = {detection.root: detector.extract(contents, detection).completeness.state for detector, detection in models}
    broken = {root.rpartition("/")[2]: state for root, state in states.items() if state is not State.COMPLETE}
    assert broken == dict.fromkeys(("1541117730", "01", "00000123"), State.INCOMPLETE)


@needs_corpus
def test_every_public_graph_agrees(tf, corpus):
    _, found = corpus
    graphs = [detection.main for detector, detection in found if detector is graph_def.DETECTOR]
    assert len(graphs) == 11
    for path in graphs:
        assert_graph_agrees(tf, (Path(CORPUS) / path).read_bytes(), path)


@needs_corpus
def test_the_public_graphs_without_a_version_at_their_end_are_incomplete_and_no_others(corpus):
    contents, found = corpus
    models = [(detector, detection) for detector, detection in found if detector is graph_def.DETECTOR]
    states = {detection.main: detector.extract(contents, detection).completeness.state for detector, detection in models}
    marked = {path: graph_def.GraphDef.FromString((Path(CORPUS) / path).read_bytes()).HasField("versions") for path in states}
    assert Counter(marked.values()) == {True: 3, False: 8}
    assert states == {path: State.COMPLETE if is_marked else State.INCOMPLETE for path, is_marked in marked.items()}


def assert_graph_agrees(tf, data, path):
    """Import the graph, and compare its placeholders, its ends and its constants."""
    tree = MemoryTree({path: data})
    contents = Contents(tree, tree.files())
    [(_, detection)] = detect(contents, [graph_def.DETECTOR])
    extraction = graph_def.DETECTOR.extract(contents, detection)
    message = tf.compat.v1.GraphDef.FromString(data)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(message, name="")
        operations = graph.get_operations()
    [signature] = extraction.facts.signatures
    placeholders = [each.outputs[0] for each in operations if each.type == "Placeholder"]
    assert {tensor_words(each) for each in signature.inputs if each.shape is None} == {
        (each.op.name, each.dtype.base_dtype.name, None) for each in placeholders if each.shape.rank is None
    }
    assert len(signature.inputs) == len(placeholders)
    fed_on = {
        name
        for each in operations
        for name in [*(one.op.name for one in each.inputs), *(one.name for one in each.control_inputs)]
    }
    sources = {"Const", "Placeholder", "VariableV2", "VarHandleOp"}
    ends = [each for each in operations if each.name not in fed_on and each.type not in sources]
    assert Counter((each.name, each.dtype) for each in signature.outputs) == Counter(
        (one.name.removesuffix(":0"), one.dtype.base_dtype.name) for each in ends for one in each.outputs
    )
    constants = [tf.make_ndarray(node.attr["value"].tensor) for node in message.node if node.op == "Const"]
    assert extraction.facts.parameters.stored == sum(each.size for each in constants if each.dtype != object)
    assert extraction.facts.operators == Counter(node.op for node in message.node)
    assert extraction.completeness.state is (State.COMPLETE if message.HasField("versions") else State.INCOMPLETE)
