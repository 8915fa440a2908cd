"""Models that TensorFlow and Keras write, public ones, and what TensorFlow itself does with hostile ones.

Honest models must give nothing high and next to nothing below; and where a finding says that loading or calling runs an
operator, TensorFlow has to run it.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

from detectors import checkpoint, graph_def, saved_model
from detectors.detection import Contents, detect
from detectors.facts import Severity
from detectors.local_tree import LocalTree
from detectors.safety.tf_effects import listed
from detectors.scan import scan
from tests.builders.by_tensorflow import saved, write_more_models

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

CORPUS = os.environ.get("MODELPORT_CORPUS")
needs_corpus = pytest.mark.skipif(CORPUS is None, reason="MODELPORT_CORPUS names no folder of public models")

OWN_RULES = ("tf-file-", "tf-network", "tf-process", "tf-python", "tf-native", "tf-hidden", "tf-custom")


def findings_of(folder, *not_looked_at):
    """The findings of the rules here; *not_looked_at* are words of what is told as that, in order."""
    found = scan(LocalTree(str(folder)))
    reasons = [note.reason for note in found.coverage.inconclusive]
    assert len(reasons) == len(not_looked_at), (folder, reasons)
    assert all(words in reason for words, reason in zip(not_looked_at, reasons, strict=True)), reasons
    return [finding for finding in found.findings if finding.rule.startswith(OWN_RULES)]


def said(finding):
    return finding.rule, finding.severity.value, finding.place


# Honest models


@pytest.fixture(scope="module")
def honest(tf, by_tensorflow, tmp_path_factory):
    """Models of many kinds that TensorFlow and Keras write, by name -> folder."""
    folder = tmp_path_factory.mktemp("honest")
    write_more_models(tf, folder)
    return by_tensorflow | {path.name: path for path in sorted(folder.iterdir())}


EXPECTED = {
    "assets": [("tf-file-read", "info")],
    "tf1_table": [("tf-file-read", "info"), ("tf-file-read", "info")],
}
"""The findings of the honest models; all others give none."""


@pytest.mark.slow
def test_honest_models_give_notes_about_their_own_assets_and_nothing_else(honest):
    found = {name: findings_of(folder) for name, folder in honest.items()}
    assert {name: [said(finding)[:2] for finding in each] for name, each in found.items() if each} == EXPECTED


@needs_corpus
def test_the_public_models_give_nothing_above_low_and_few_of_those():
    contents = Contents(tree := LocalTree(CORPUS), tree.files())
    models = detect(contents, [saved_model.DETECTOR, checkpoint.DETECTOR, graph_def.DETECTOR])
    noisy, looked_at = [], 0
    for detector, detection in models:
        extraction = detector.extract(contents, detection)
        looked_at += 1
        found = [finding for finding in extraction.findings if finding.rule.startswith(OWN_RULES)]
        assert not [finding for finding in found if finding.severity not in (Severity.LOW, Severity.INFO)], found
        noisy += [detection.root for finding in found if finding.severity is Severity.LOW]
    assert looked_at == 64
    [name] = set(noisy)
    assert name.startswith("tensorflow+decision-forests"), "its operators are its library's own"


# Hostile models: what is said to run, TensorFlow runs


def writes(tf, path):
    tf.io.write_file(str(path), "owned")
    return tf.constant(1.0)


def test_what_a_signature_writes_is_told_and_written(tf, tmp_path):
    mark = tmp_path / "mark"
    saved(tf, str(tmp_path / "m"), lambda x: {"y": x + tf.function(lambda: writes(tf, mark))()}, tf.TensorSpec([], name="x"))
    [finding] = findings_of(tmp_path / "m")
    assert said(finding)[:2] == ("tf-file-write", "high")
    assert finding.place.startswith("signature serving_default → function __inference_signature_wrapper")
    assert not mark.exists()
    tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"](x=tf.constant(1.0))
    assert mark.read_text() == "owned"


def test_what_an_object_can_be_asked_to_write_is_told_and_written(tf, tmp_path):
    mark = tmp_path / "mark"
    module = tf.Module()
    module.harm = tf.function(lambda: writes(tf, mark), input_signature=[])
    saved(tf, str(tmp_path / "m"), lambda x: {"y": x}, tf.TensorSpec([], name="x"), module=module)
    [finding] = findings_of(tmp_path / "m", "whether anybody runs WriteFile, which no signature leads to")
    assert said(finding)[:2] == ("tf-file-write", "medium")
    assert finding.place.startswith("object harm → function __inference_")
    tf.saved_model.load(str(tmp_path / "m")).harm()
    assert mark.read_text() == "owned"


def test_what_calling_the_model_itself_writes_is_told_and_written(tf, tmp_path):
    mark = tmp_path / "mark"

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], name="x")])
        def __call__(self, x):
            return x + writes(tf, mark)

    saved(tf, str(tmp_path / "m"), lambda x: {"y": x}, tf.TensorSpec([], name="x"), module=Model())
    [finding] = findings_of(tmp_path / "m")
    assert said(finding)[:2] == ("tf-file-write", "high")
    assert finding.place.startswith("object __call__ → function __inference_")
    tf.saved_model.load(str(tmp_path / "m"))(tf.constant(1.0))
    assert mark.read_text() == "owned"


def test_a_name_that_a_signature_makes_up_of_a_constant_is_told_and_written(tf, tmp_path):
    mark = tmp_path / "mark"
    code = tf.io.encode_base64(str(mark)).numpy()

    def call(x):
        tf.io.write_file(tf.io.decode_base64(code), "owned")
        return {"y": x}

    saved(tf, str(tmp_path / "m"), call, tf.TensorSpec([], tf.string, name="x"))
    [finding] = findings_of(tmp_path / "m")
    assert said(finding)[:2] == ("tf-file-write", "high")
    tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"](x=tf.constant("a"))
    assert mark.read_text() == "owned"


@pytest.mark.parametrize("where", ["main op", "restore op"])
def test_what_loading_writes_is_told_and_written(tf, tmp_path, where):
    """The loaders of TensorFlow run the restore op like the main op, so neither may hide anything."""
    v1, mark = tf.compat.v1, tmp_path / "mark"
    with tf.Graph().as_default(), v1.Session() as session:
        x, w = v1.placeholder(tf.float32, [], name="x"), v1.get_variable("w", [])
        write = tf.io.write_file(str(mark), "owned")
        saver = v1.train.Saver()
        if where == "restore op":
            restore = session.graph.get_operation_by_name(saver.saver_def.restore_op_name)
            with tf.control_dependencies([write, restore]):
                saver.saver_def.restore_op_name = tf.no_op(name="restore_more").name
        session.run(v1.global_variables_initializer())
        builder, info = v1.saved_model.Builder(str(tmp_path / "m")), v1.saved_model.utils.build_tensor_info
        signature = v1.saved_model.build_signature_def({"x": info(x)}, {"y": info(x + w)}, "tensorflow/serving/predict")
        main_op = write if where == "main op" else None
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, main_op=main_op, saver=saver)
        builder.save()
    [finding] = findings_of(tmp_path / "m")
    assert said(finding) == ("tf-file-write", "critical", f"{'init op' if where == 'main op' else where} → node WriteFile")
    assert not mark.exists()
    with tf.Graph().as_default(), v1.Session() as session:
        v1.saved_model.load(session, ["serve"], str(tmp_path / "m"))
    assert mark.read_text() == "owned"


def test_a_data_set_kept_as_a_graph_reads_and_is_looked_into(tf, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("word\n")
    graph = tf.data.TextLineDataset([str(secret)])._as_serialized_graph().numpy()

    def call(x):
        chosen = tf.where(x == "never", "", graph)  # else TensorFlow tries to make a constant of the data set, and fails
        variant = tf.raw_ops.DatasetFromGraph(graph_def=chosen)
        first = tf.raw_ops.DatasetToSingleElement(dataset=variant, output_types=[tf.string], output_shapes=[[]])[0]
        return {"y": tf.strings.join([x, first])}

    saved(tf, str(tmp_path / "m"), call, tf.TensorSpec([], tf.string, name="x"))
    [finding] = findings_of(tmp_path / "m")
    assert said(finding)[:2] == ("tf-file-read", "high")
    assert " → graph in constant " in finding.place
    assert str(secret) in finding.message
    given = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"](x=tf.constant("a "))
    assert given["y"].numpy() == b"a word"


def test_a_name_packed_into_tensor_content_is_read_like_tensorflow_does(tf, tmp_path):
    """TensorFlow takes the packed form for texts as well, which no exporter writes."""
    from detectors.protos.tensorflow_pb2 import TensorProto
    from detectors.safety.tf_constants import strings_of

    theirs = tf.make_tensor_proto(["a", "bc"]).__class__(dtype=7, tensor_content=b"\x01\x02abc")
    theirs.tensor_shape.dim.add().size = 2
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        node = tf.compat.v1.NodeDef(name="c", op="Const")
        node.attr["dtype"].type = 7
        node.attr["value"].tensor.CopyFrom(theirs)
        [value] = tf.graph_util.import_graph_def(tf.compat.v1.GraphDef(node=[node]), return_elements=["c:0"])
        expected = tuple(session.run(value))
    assert strings_of(TensorProto.FromString(theirs.SerializeToString())) == expected == (b"a", b"bc")


def test_the_list_of_effects_is_made_from_the_operators_of_this_tensorflow(tf):
    made = runpy.run_path(str(Path(__file__).parents[3] / "scripts" / "make_tf_effects.py"))
    ops = made["registered"]().op
    lines = [line for line in made["lines"](ops, tf.__version__) if not line.startswith("#")]
    assert {name.encode(): words for name, _, words in (line.partition(" ") for line in lines)} == listed()


def test_a_new_operator_that_keeps_state_or_takes_a_path_stops_the_making(tf):
    made = runpy.run_path(str(Path(__file__).parents[3] / "scripts" / "make_tf_effects.py"))
    from tensorflow.core.framework.op_def_pb2 import OpDef

    ops = list(made["registered"]().op)
    for new in (
        OpDef(name="Teleport", is_stateful=True),
        OpDef(name="Peek", input_arg=[OpDef.ArgDef(name="filename", type=7)]),
        OpDef(name="Peek", attr=[OpDef.AttrDef(name="socket_path", type="string")]),
    ):
        with pytest.raises(ValueError, match=new.name):
            list(made["lines"]([*ops, new], tf.__version__))
    with pytest.raises(ValueError, match="ReadFile: is not registered"):
        list(made["lines"]([op for op in ops if op.name != "ReadFile"], tf.__version__))
