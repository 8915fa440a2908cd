"""SavedModels written byte by byte: where they are found, what they say, and whether they are whole."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import saved_model
from detectors.detection import LFS_POINTER, Contents, detect
from detectors.errors import DetectorError, MalformedModel, ModelLimit, TreeUnavailable
from detectors.facts import Detection, Extraction, Parameters, Problem, Severity, State, TensorSpec
from detectors.saved_model import DETECTOR
from detectors.tree import MemoryTree
from detectors.wrapped_tree import CountingTree, FlakyTree
from tests.builders import saved_model as sm
from tests.builders.bundle import FLOAT, INT64, STRING, Bundle, Tensor

MATMUL = sm.graph(
    sm.placeholder("x"),
    sm.node("w", "VarHandleOp", dtype=sm.type_attr(FLOAT)),
    sm.node("w/read", "ReadVariableOp", "w", dtype=sm.type_attr(FLOAT)),
    sm.node("y", "MatMul", "x", "w/read", T=sm.type_attr(FLOAT)),
)
PREDICT = sm.signature({"x": sm.tensor_info("x:0", FLOAT, (-1, 2))}, {"y": sm.tensor_info("y:0", FLOAT, (-1, 3))})
ADAM = Bundle(
    [
        Tensor("w/.ATTRIBUTES/VARIABLE_VALUE", FLOAT, (2, 3), sm.floats(1, 2, 3, 4, 5, 6)),
        Tensor("w/m/.ATTRIBUTES/VARIABLE_VALUE", FLOAT, (2, 3), bytes(24)),
        Tensor("w/v/.ATTRIBUTES/VARIABLE_VALUE", FLOAT, (2, 3), bytes(24)),
        Tensor("step/.ATTRIBUTES/VARIABLE_VALUE", INT64, (), bytes(8)),
    ]
)


def small(**options: object) -> dict[str, bytes]:
    """A whole SavedModel of one MatMul, whose variable and Adam slots are stored."""
    meta = sm.meta_graph(MATMUL, signatures={"serving_default": PREDICT}, **options)  # type: ignore[arg-type]
    return {"saved_model.pb": sm.saved_model(meta)} | ADAM.files("variables/variables")


def without_variables(meta: bytes) -> dict[str, bytes]:
    return {"saved_model.pb": sm.saved_model(meta)}


def below(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{path}": data for path, data in files.items()}


def contents_of(files: Mapping[str, bytes]) -> Contents:
    tree = MemoryTree(files)
    return Contents(tree, tree.files())


def found_in(files: Mapping[str, bytes]) -> list[Detection]:
    return [detection for _, detection in detect(contents_of(files), [DETECTOR])]


def look(files: Mapping[str, bytes]) -> Extraction:
    contents = contents_of(files)
    [(_, detection)] = detect(contents, [DETECTOR])
    return DETECTOR.extract(contents, detection)


# Where it lies


def test_a_folder_at_any_depth_is_found_with_its_own_files_and_none_of_its_neighbours() -> None:
    neighbours = {"runs/a/eval/events.out.tfevents.1.h": b"x", "runs/a/saved_model.onnx": b"x", "runs/b/variables.txt": b"x"}
    own = below("runs/a", small() | {"assets/v.txt": b"a", "assets.extra/w": b"b", "debug/saved_model_debug_info.pb": b""})
    own |= below("runs/a", {"fingerprint.pb": b"", "keras_metadata.pb": b"", "saved_model.pb.tmp0f": b""})
    [detection] = found_in(own | neighbours)
    assert (detection.format, detection.root, detection.main) == ("tensorflow_savedmodel", "runs/a", "runs/a/saved_model.pb")
    assert detection.files == tuple(sorted(own))


def test_the_root_of_the_tree_is_the_empty_string() -> None:
    [detection] = found_in(small())
    assert (detection.root, detection.main) == ("", "saved_model.pb")


def test_the_evidence_is_the_meta_graph_and_its_offset() -> None:
    [detection] = found_in(small())
    assert (detection.evidence[0].offset, detection.evidence[0].saw) == (
        2,
        "MetaGraphDef with meta_info_def, graph_def, signature_def",
    )


def test_each_version_folder_is_a_model() -> None:
    files = below("m/1", small()) | below("m/00000002", small())
    assert [detection.root for detection in found_in(files)] == ["m/00000002", "m/1"]


def test_a_model_among_the_assets_of_another_is_part_of_it() -> None:
    assert [detection.root for detection in found_in(small() | below("assets/inner", small()))] == [""]


def test_the_binary_file_is_taken_before_the_text() -> None:
    [detection] = found_in(small() | {"saved_model.pbtxt": b"garbage"})
    assert detection.main == "saved_model.pb"


def test_names_that_only_resemble_are_foreign() -> None:
    assert found_in({"my_saved_model.pb": b"x", "saved_model.pb.txt": b"x", "saved_model/x": b"x", "variables/v": b"x"}) == []


# What it says


def test_signatures_are_sorted_and_internal_ones_left_out() -> None:
    init = sm.signature({}, {"__saved_model_init_op": sm.tensor_info("NoOp", 0, None)})
    meta = sm.meta_graph(signatures={"z": PREDICT, "__saved_model_init_op": init, "a": PREDICT})
    assert [signature.name for signature in look(without_variables(meta)).facts.signatures] == ["a", "z"]


def test_inputs_and_outputs_are_sorted_with_dtypes_and_shapes() -> None:
    inputs = {
        "b": sm.tensor_info("b:0", INT64, (-1, 2)),
        "a": sm.tensor_info("a:0", STRING, None),
        "c": sm.tensor_info("c:0", 97, ()),
        "d": sm.field(1, "d:0") + sm.whole_number(2, FLOAT + 100),
    }
    meta = sm.meta_graph(signatures={"s": sm.signature(inputs, {}, "m")})
    [signature] = look(without_variables(meta)).facts.signatures
    assert signature.method == "m"
    assert signature.inputs == (
        TensorSpec("a", "string", None),
        TensorSpec("b", "int64", (None, 2)),
        TensorSpec("c", "dtype_97", ()),
        TensorSpec("d", "float32", None),
    )


def test_a_ragged_tensor_has_the_dtype_of_its_values_and_no_shape() -> None:
    values, splits = sm.tensor_info("v:0", STRING, (-1,)), sm.tensor_info("s:0", INT64, (-1,))
    ragged = sm.field(5, sm.field(2, values) + sm.field(2, splits))
    [signature] = look(without_variables(sm.meta_graph(signatures={"s": sm.signature({"r": ragged}, {})}))).facts.signatures
    assert signature.inputs == (TensorSpec("r", "string", None),)


def test_a_sparse_tensor_has_its_dense_shape() -> None:
    sparse = sm.field(4, sm.field(1, "v:0")) + sm.whole_number(2, FLOAT) + sm.field(3, sm.shape((-1, 5)))
    [signature] = look(without_variables(sm.meta_graph(signatures={"s": sm.signature({"r": sparse}, {})}))).facts.signatures
    assert signature.inputs == (TensorSpec("r", "float32", (None, 5)),)


def test_the_graph_tagged_serve_is_shown_and_all_tags_are_told() -> None:
    train = sm.meta_graph(sm.graph(sm.node("t", "Add")), tags=["train", "serve"], version="1.0")
    serve = sm.meta_graph(sm.graph(sm.node("s", "Mul")), tags=["serve"], version="2.0")
    facts = look({"saved_model.pb": sm.saved_model(train, serve)}).facts
    assert (facts.tags, dict(facts.operators)) == ((("serve", "train"), ("serve",)), {"Mul": 1})
    assert facts.framework is not None
    assert facts.framework.version == "2.0"


def test_without_a_serve_graph_the_first_is_shown() -> None:
    first = sm.meta_graph(sm.graph(sm.node("t", "Add")), tags=["train"])
    second = sm.meta_graph(sm.graph(sm.node("s", "Mul")), tags=[])
    facts = look({"saved_model.pb": sm.saved_model(first, second)}).facts
    assert (dict(facts.operators), facts.tags) == ({"Add": 1}, (("train",), ()))


def test_equal_sets_of_tags_are_a_finding() -> None:
    model = sm.saved_model(sm.meta_graph(tags=["a", "b"]), sm.meta_graph(tags=["b", "a"]))
    [finding] = look({"saved_model.pb": model}).findings
    assert (finding.rule, finding.severity) == ("tf-equal-tags", Severity.INFO)


def test_two_joined_files_are_a_finding() -> None:
    model = sm.saved_model(sm.meta_graph(tags=["a"])) + sm.saved_model(sm.meta_graph(tags=["b"]))
    [finding] = look({"saved_model.pb": model}).findings
    assert finding.rule == "tf-duplicate-field"


def test_an_empty_version_is_none() -> None:
    framework = look(without_variables(sm.meta_graph(version=""))).facts.framework
    assert framework is not None
    assert (framework.name, framework.version) == ("tensorflow", None)


@pytest.mark.parametrize(("objects", "style"), [(None, "graph"), (b"", "object_graph")])
def test_the_style_tells_whether_objects_were_saved(objects: bytes | None, style: str) -> None:
    assert look(without_variables(sm.meta_graph(objects=objects))).facts.style == style


def test_operators_are_counted_in_functions_too() -> None:
    called = sm.function("f", sm.node("a", "MatMul"), sm.node("b", "MatMul"))
    meta = sm.meta_graph(sm.graph(sm.node("c", "StatefulPartitionedCall"), sm.node("m", "MatMul"), functions=[called]))
    assert dict(look(without_variables(meta)).facts.operators) == {"MatMul": 3, "StatefulPartitionedCall": 1}


def test_an_operator_that_tensorflow_lacks_is_custom_and_a_function_is_not() -> None:
    called = sm.function("__inference_f_7", sm.node("z", "ZeroOut"))
    meta = sm.meta_graph(sm.graph(sm.node("c", "__inference_f_7"), sm.node("m", "MatMul"), functions=[called]))
    assert look(without_variables(meta)).facts.custom_operators == ("ZeroOut",)


def test_names_that_are_not_utf_8_cost_one_character_not_the_model() -> None:
    meta = sm.meta_graph(sm.graph(sm.node(b"\xff", b"Mat\xffMul"), sm.node(b"n", b"Mat\xfeMul")))
    assert dict(look(without_variables(meta)).facts.operators) == {"Mat\ufffdMul": 2}


def test_the_folder_name_of_an_estimator_is_the_time_of_export() -> None:
    facts = look(below("export/1557442950", small())).facts
    assert (facts.created, facts.details["version_folder"]) == ("2019-05-09T23:02:30Z", 1557442950)


@pytest.mark.parametrize(
    ("folder", "version"),
    [("00000123", 123), ("0000000123", 123), ("20240131123000", 20240131123000), ("v1", None), ("9" * 30, None)],
)
def test_other_numbers_are_versions_and_no_times(folder: str, version: int | None) -> None:
    facts = look(below(f"m/{folder}", small())).facts
    assert (facts.created, facts.details["version_folder"]) == (None, version)


def test_the_fingerprint_is_the_singleprint() -> None:
    assert look(small() | {"fingerprint.pb": sm.fingerprint(9, 2, 3, 4, 2**64 - 1)}).facts.fingerprint == f"2/3/4/{2**64 - 1}"


def test_sizes_are_summed_over_all_files() -> None:
    files = small() | {"assets/a": b"12345"}
    assert look(files | {"neighbour.txt": b"1"}).facts.size_bytes == sum(map(len, files.values()))


def test_details_are_plain_values() -> None:
    objects = sm.object_graph(sm.saved_object("_tf_keras_sequential"), sm.saved_object("_tf_keras_layer"))
    meta = sm.meta_graph(sm.graph(sm.const("c", (2, 3)), sm.const("s", (4,), STRING)), objects=objects, more=sm.asset("v.txt"))
    assert look(without_variables(meta) | {"assets/v.txt": b""}).facts.details == {
        "schema_version": 1,
        "meta_graphs": 1,
        "version_folder": None,
        "assets": ["v.txt"],
        "functions": 0,
        "constants": {"tensors": 2, "elements": 6},
        "collections": [],
        "objects": {"_tf_keras_layer": 1, "_tf_keras_sequential": 1},
        "git_version": None,
    }


def test_the_order_of_fields_never_matters() -> None:
    """Some writers put the highest field number first, and leave out schema version and tags."""
    info = sm.field(5, "2.21.0")
    meta = sm.entry(5, "serving_default", PREDICT) + sm.field(2, MATMUL) + sm.field(1, info)
    facts = look({"saved_model.pb": sm.field(2, meta)} | ADAM.files("variables/variables")).facts
    assert (facts.signatures[0].name, facts.operators["MatMul"], facts.tags) == ("serving_default", 1, ((),))


# How many numbers


def test_slots_and_counters_are_stored_and_not_trainable() -> None:
    objects = sm.object_graph(
        sm.saved_object(w=1, step=2), sm.saved_variable("w", (2, 3)), sm.saved_variable("step", (), False)
    )
    facts = look(small(objects=objects)).facts
    assert facts.parameters == Parameters(stored=19, distinct=13, trainable=6)
    assert dict(facts.dtypes) == {"float32": 3, "int64": 1}


def test_two_variables_of_one_name_and_shape_are_two() -> None:
    """`tf.Variable` calls itself "Variable" unless told otherwise."""
    twice = [sm.saved_variable("Variable", (2, 3)), sm.saved_variable("Variable", (2, 3))]
    assert look(small(objects=sm.object_graph(sm.saved_object(a=1, b=2), *twice))).facts.parameters.trainable == 12


def test_the_list_of_the_root_decides_what_is_trainable() -> None:
    """A Keras 3 export has two objects for every variable, and lists one of them."""
    root = sm.saved_object(variables=1, trainable_variables=2, all=3)
    lists = [sm.saved_object(_0=4, _1=5), sm.saved_object(_0=4), sm.saved_object(_0=6, _1=7)]
    variables = [sm.saved_variable("w", (2, 3)), sm.saved_variable("mean", (2,), False)] * 2
    assert look(small(objects=sm.object_graph(root, *lists, *variables))).facts.parameters.trainable == 6


def test_a_list_that_names_what_is_not_there_does_not_decide() -> None:
    root = sm.saved_object(trainable_variables=1)
    objects = sm.object_graph(root, sm.saved_object(_0=99), sm.saved_variable("w", (2, 3)))
    assert look(small(objects=objects)).facts.parameters.trainable == 6


@pytest.mark.parametrize("objects", [sm.object_graph(sm.saved_object()), sm.object_graph(sm.saved_variable("w", (-1,)))])
def test_trainable_is_none_where_the_objects_do_not_say(objects: bytes) -> None:
    assert look(small(objects=objects)).facts.parameters == Parameters(stored=19, distinct=13, trainable=None)


TF1 = Bundle(
    [Tensor("w", FLOAT, (2, 3), bytes(24)), Tensor("w/Adam", FLOAT, (2, 3), bytes(24)), Tensor("b", FLOAT, (3,), bytes(12))]
)


def tf1(*values: bytes) -> dict[str, bytes]:
    meta = sm.meta_graph(MATMUL, more=sm.collection("trainable_variables", *values))
    return without_variables(meta) | TF1.files("variables/variables")


def test_the_collection_of_a_tf1_graph_says_what_is_trainable() -> None:
    parameters = look(tf1(sm.variable_def("w"), sm.variable_def("b"))).facts.parameters
    assert parameters == Parameters(stored=15, distinct=9, trainable=9)


def test_the_parts_of_a_partitioned_variable_are_one() -> None:
    parts = [sm.variable_def("w/part_0", "w"), sm.variable_def("w/part_1", "w")]
    assert look(tf1(*parts)).facts.parameters.trainable == 6


@pytest.mark.parametrize("value", [sm.variable_def("elsewhere"), b"\xff"])
def test_a_collection_that_cannot_be_matched_says_nothing(value: bytes) -> None:
    assert look(tf1(sm.variable_def("w"), value)).facts.parameters.trainable is None


def test_a_graph_without_variables_has_none() -> None:
    assert look(without_variables(sm.meta_graph())).facts.parameters == Parameters(0, 0, 0)


# Whether it is whole


def state(files: Mapping[str, bytes]) -> State:
    return look(files).completeness.state


def problems(files: Mapping[str, bytes]) -> tuple[Problem, ...]:
    return look(files).completeness.problems


def test_all_parts_there_is_complete() -> None:
    assert look(small()).completeness.problems == ()
    assert state(small()) is State.COMPLETE


def test_a_missing_or_short_data_file_is_incomplete() -> None:
    shard = "variables/variables.data-00000-of-00001"
    files = small()
    assert problems(files | {shard: files[shard][:-1]})[0].path == shard
    del files[shard]
    assert (state(files), problems(files)) == (State.INCOMPLETE, (Problem(shard, "is missing"),))


def test_data_without_index_is_incomplete() -> None:
    files = small()
    del files["variables/variables.index"]
    expected = Problem("variables/variables.index", "is missing, its data files are there")
    assert (state(files), problems(files)) == (State.INCOMPLETE, (expected,))


def test_variables_in_the_graph_and_none_beside_it_is_incomplete() -> None:
    files = below("m", {"saved_model.pb": small()["saved_model.pb"]})
    expected = Problem("m/variables/variables.index", "is missing, the graph has 1 variables")
    assert (state(files), problems(files)) == (State.INCOMPLETE, (expected,))


def test_a_broken_index_is_corrupt_and_says_where() -> None:
    files = small() | {"variables/variables.index": b"\0" * 60}
    assert state(files) is State.CORRUPT
    assert problems(files)[0].path == "variables/variables.index"
    assert look(files).facts.parameters == Parameters()


@pytest.mark.parametrize(
    "leftover",
    ["saved_model.pb.tmp1a2b", "fingerprint.pb.tmp1a2b", "variables/variables_temp/part-00000-of-00001.index"],
)
def test_what_an_export_left_behind_is_incomplete(leftover: str) -> None:
    files = below("m", small() | {leftover: b"x"})
    assert state(files) is State.INCOMPLETE
    assert [problem.path for problem in problems(files)] == [f"m/{leftover}"]


def test_the_temporary_folder_of_an_estimator_is_incomplete() -> None:
    assert problems(below("export/temp-1557442950", small())) == (
        Problem("export/temp-1557442950", "is the temporary folder of an export that has not finished"),
    )


def test_an_asset_must_be_there() -> None:
    files = small(more=sm.asset("vocab.txt") + sm.asset("sub/a.txt")) | {"assets/sub/a.txt": b""}
    assert problems(files) == (Problem("assets/vocab.txt", "is missing, the graph names it as an asset"),)
    assert state(files | {"assets/vocab.txt": b"a"}) is State.COMPLETE


def test_many_missing_assets_are_counted() -> None:
    found = problems(small(more=b"".join(sm.asset(f"{number:02}") for number in range(25))))
    assert (len(found), found[-1]) == (21, Problem("assets", "lacks 5 more assets"))


@pytest.mark.parametrize(
    "name", ["../../outside.txt", "/etc/passwd", "a/../../b", "..", "..\\x", "\\\\host\\x", "C:\\x", "a\\..\\..\\b"]
)
def test_an_asset_outside_is_a_finding_and_is_never_looked_up(name: str) -> None:
    extraction = look(below("m", small(more=sm.asset(name))) | {"outside.txt": b"", "b": b""})
    assert extraction.completeness.state is State.COMPLETE
    assert [(one.rule, one.severity, one.path) for one in extraction.findings] == [
        ("tf-asset-outside", Severity.HIGH, "m/saved_model.pb")
    ]


def test_many_assets_outside_are_counted() -> None:
    findings = look(small(more=b"".join(sm.asset(f"../{number:02}") for number in range(25)))).findings
    assert (len(findings), findings[-1].message) == (21, "names 5 more assets outside its folder")


def test_a_broken_fingerprint_is_corrupt() -> None:
    files = small() | {"fingerprint.pb": b"\x08"}
    assert (state(files), problems(files)) == (State.CORRUPT, (Problem("fingerprint.pb", "is not a fingerprint"),))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", ""),
        (b"\x08\x01", "found none"),
        (b"\x08\x01\x12\x00", "found none"),
        (b"\0\0\0\0", "field number"),
        (b"GIF89a, surely no model", ""),
    ],
)
def test_a_broken_file_of_that_name_is_detected_and_corrupt(data: bytes, reason: str) -> None:
    files = {"m/saved_model.pb": data}
    assert [detection.root for detection in found_in(files)] == ["m"]
    with pytest.raises(MalformedModel) as caught:
        look(files)
    assert caught.value.path == "m/saved_model.pb"
    assert reason in caught.value.reason


def test_a_node_without_operator_is_corrupt() -> None:
    with pytest.raises(MalformedModel, match="no operator"):
        look(without_variables(sm.meta_graph(sm.graph(sm.node("a", "")))))


def test_a_prefix_of_a_saved_model_pb_with_one_graph_is_never_complete() -> None:
    files = small()
    model = files["saved_model.pb"]
    for stop in range(len(model)):
        with pytest.raises(MalformedModel):
            look(files | {"saved_model.pb": model[:stop]})


@pytest.mark.parametrize("path", ["variables/variables.index", "variables/variables.data-00000-of-00001"])
def test_a_prefix_of_a_variables_file_is_never_complete(path: str) -> None:
    files = small()
    for stop in range(len(files[path])):
        assert state(files | {path: files[path][:stop]}) is not State.COMPLETE


def test_without_any_one_of_its_files_it_is_never_complete() -> None:
    files = small(more=sm.asset("vocab.txt")) | {"assets/vocab.txt": b"a"}
    for path in files:
        assert state({other: data for other, data in files.items() if other != path}) is not State.COMPLETE


# Exports that were interrupted


def test_variables_without_a_saved_model_file_are_an_interrupted_export() -> None:
    files = below("m", ADAM.files("variables/variables"))
    [detection] = found_in(files)
    assert (detection.root, detection.main, detection.files) == ("m", "m/variables/variables.index", tuple(sorted(files)))
    extraction = look(files)
    assert extraction.completeness.state is State.INCOMPLETE
    assert extraction.completeness.problems[0].path == "m/saved_model.pb"
    assert extraction.facts.parameters == Parameters(stored=19, distinct=13, trainable=None)


@pytest.mark.parametrize(
    "path",
    [
        "m/variables/variables_temp/part-00000-of-00001.data-00000-of-00001",
        "m/saved_model.pb.tmp12",
        "m/variables/variables.data-00000-of-00001",
    ],
)
def test_any_trace_of_an_export_is_an_interrupted_one(path: str) -> None:
    extraction = look({path: b"x"})
    assert (extraction.completeness.state, extraction.facts.parameters) == (State.INCOMPLETE, Parameters())


def test_checkpoints_that_a_training_loop_keeps_in_such_a_folder_are_no_export() -> None:
    files = ADAM.files("variables/variables") | {"variables/checkpoint": b'model_checkpoint_path: "variables"\n'}
    assert found_in(files) == []


# Split models


def test_a_split_model_is_named_and_not_parsed() -> None:
    extraction = look({"m/saved_model.cpb": bytes.fromhex("83af70d10d884a3f") + bytes(56)})
    assert extraction.facts.details["note"] == "split SavedModel, not parsed"
    assert extraction.completeness.state is State.COMPLETE


def test_a_split_model_without_its_signature_is_corrupt() -> None:
    with pytest.raises(MalformedModel, match="Riegeli"):
        look({"m/saved_model.cpb": b"no"})


# Text


def test_a_model_as_text_says_the_same() -> None:
    text = b"""
    saved_model_schema_version: 1
    meta_graphs {
      meta_info_def { tags: "serve" tensorflow_version: "1.11.0" stripped_op_list { op { name: "MatMul" } } }
      graph_def { node { name: "m" op: "MatMul" attr { key: "T" value { type: DT_FLOAT } } } versions { producer: 27 } }
      signature_def { key: "s" value { inputs { key: "x"
        value { name: "x:0" dtype: DT_INT64 tensor_shape { dim { size: -1 } } } } } }
    }
    """
    facts = look({"saved_model.pbtxt": text}).facts
    assert (dict(facts.operators), facts.tags) == ({"MatMul": 1}, (("serve",),))
    assert facts.signatures[0].inputs == (TensorSpec("x", "int64", (None,)),)


def test_a_cut_text_is_corrupt() -> None:
    text = b'saved_model_schema_version: 1 meta_graphs { graph_def { node { name: "m" op: "MatMul" } } }'
    assert state({"saved_model.pbtxt": text}) is State.COMPLETE
    for stop in range(len(text) - 1):
        with pytest.raises(MalformedModel):
            look({"saved_model.pbtxt": text[:stop]})


# Untrusted bytes


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["saved_model.pb", "saved_model.pbtxt", "saved_model.cpb"]))
def test_any_bytes_give_facts_or_a_detector_error(data: bytes, name: str) -> None:
    with suppress(DetectorError):
        assert look({name: data}).facts.size_bytes == len(data)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["pb", "pbtxt"]), st.sampled_from(["", "runs/a"]))
def test_a_file_named_saved_model_is_a_saved_model_whole_or_broken(data: bytes, suffix: str, root: str) -> None:
    """It is never another format's, or nobody's: a stub of a large file and a page of a web server are broken SavedModels."""
    path = f"{root}/saved_model.{suffix}".removeprefix("/")
    for content in (data, LFS_POINTER + data, b"<html>" + data):
        [detection] = found_in({path: content, "notes.txt": data})
        assert (detection.format, detection.root, detection.main) == ("tensorflow_savedmodel", root, path)
        with suppress(MalformedModel, ModelLimit):
            assert look({path: content}).facts.size_bytes == len(content)


MUTABLE = small(
    objects=sm.object_graph(sm.saved_object(w=1), sm.saved_variable("w", (2, 3))),
    more=sm.asset("v.txt") + sm.collection("trainable_variables", sm.variable_def("w")),
) | {"assets/v.txt": b"a", "fingerprint.pb": sm.fingerprint(1, 2, 3, 4, 5)}


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_models_give_facts_or_a_detector_error(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(["saved_model.pb", "variables/variables.index", "fingerprint.pb"]))
    mutated = bytearray(MUTABLE[path])
    for _ in range(data.draw(st.integers(1, 3))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DetectorError):
        assert look(MUTABLE | {path: bytes(mutated)}).facts.framework is not None


def test_the_cost_does_not_grow_with_the_constants() -> None:
    weights = sm.graph(*(sm.const(f"c{number}", (4_000_000,), content=bytes(16_000_000)) for number in range(4)))
    tree = CountingTree(MemoryTree(without_variables(sm.meta_graph(weights))))
    contents = Contents(tree, tree.files())
    [(_, detection)] = detect(contents, [DETECTOR])
    facts = DETECTOR.extract(contents, detection).facts
    assert facts.details["constants"] == {"tensors": 4, "elements": 16_000_000}
    assert tree.bytes < 300_000


def test_a_read_that_fails_is_never_taken_for_a_fact() -> None:
    files = small() | {"fingerprint.pb": sm.fingerprint(1, 2, 3, 4, 5)}
    counting = CountingTree(MemoryTree(files))
    read_all = Contents(counting, counting.files())
    [(_, detection)] = detect(read_all, [DETECTOR])
    DETECTOR.extract(read_all, detection)
    for number in range(1, counting.reads + 1):
        flaky = FlakyTree(MemoryTree(files), number, TreeUnavailable("", "no answer"))
        contents = Contents(flaky, MemoryTree(files).files())
        with pytest.raises(TreeUnavailable):
            DETECTOR.extract(contents, detect(contents, [DETECTOR])[0][1])


def test_models_inside_each_other_are_one_and_its_files_are_gathered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[str] = []
    files_of = saved_model.files_of
    monkeypatch.setattr(saved_model, "files_of", lambda contents, root: gathered.append(root) or files_of(contents, root))
    found = found_in({"assets/" * depth + "saved_model.pb": b"" for depth in range(50)})
    assert [(one.root, len(one.files)) for one in found] == [("", 50)]
    assert gathered == [""]
