"""TensorFlow checkpoints: which files belong together, what they say, and whether they are whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.checkpoint import DETECTOR
from detectors.detection import Contents, detect
from detectors.errors import DetectorError, MalformedModel, Unreadable
from detectors.facts import Completeness, Evidence, Framework, ModelType, Parameters, Problem, State
from detectors.tree import MemoryTree
from tests.builders import bundle as build
from tests.builders.bundle import Bundle, Tensor

KERNEL = Tensor("dense/kernel", build.FLOAT, (2, 3), bytes(range(24)))
BIAS = Tensor("dense/bias", build.FLOAT, (3,), bytes(12))
STEP = Tensor("global_step", build.INT64, (), bytes(8))
ADAM = Tensor("dense/kernel/Adam", build.FLOAT, (2, 3), bytes(24))
OBJECTS = build.strings("_CHECKPOINTABLE_OBJECT_GRAPH", [b"graph"])
OBJECTS = Tensor(OBJECTS.name, OBJECTS.dtype, (), OBJECTS.body, crc=OBJECTS.crc)

FILES = Bundle([BIAS, KERNEL]).files("run/m")
DATA = "run/m.data-00000-of-00001"


def found_in(files, tree=MemoryTree):
    tree = tree(files)
    contents = Contents(tree, tree.files())
    return contents, [detection for _, detection in detect(contents, [DETECTOR])]


def only(files):
    contents, (detection,) = found_in(files)
    return detection, DETECTOR.extract(contents, detection)


def roots(files):
    return [detection.root for detection in found_in(files)[1]]


# What is one, and which files belong to it.


def test_a_checkpoint_is_told_by_its_index():
    detection, _ = only(FILES)
    assert (detection.format, detection.model_type) == ("tensorflow_checkpoint", ModelType.TENSORFLOW)
    assert (detection.root, detection.main) == ("run/m", "run/m.index")
    assert detection.files == (DATA, "run/m.index")
    assert detection.evidence == (
        Evidence("run/m.index", 0, "BundleHeaderProto under the empty key"),
        Evidence("run/m.index", len(FILES["run/m.index"]) - 8, "table magic 57fb808b247547db"),
    )


def test_a_snappy_index_is_told_too():
    index = Bundle([BIAS, KERNEL], compress=True).files("m")["m.index"]
    assert roots({"m.index": index}) == ["m"]


def test_each_prefix_is_a_checkpoint_of_its_own():
    assert roots(Bundle([BIAS]).files("m-1") | Bundle([BIAS]).files("m-10") | Bundle([BIAS]).files("a/m-1")) == [
        "a/m-1",
        "m-1",
        "m-10",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"0\n5\n9\n",
        bytes(100),
        build.table(build.block([(b"key", b"value")])),
        build.table(build.block([(b"", b"\x22value")])),
        build.table(),
    ],
    ids=["empty", "text", "zeros", "LevelDB table", "table of something else", "empty table"],
)
def test_a_foreign_index_is_passed_over(data):
    assert roots({"output.index": data}) == []


def test_an_index_without_any_data_file_is_incomplete():
    _, extraction = only({"m.index": Bundle([BIAS]).files("m")["m.index"]})
    assert extraction.completeness.problems == (Problem("m.data-00000-of-00001", "is missing"),)


def test_a_file_that_another_detector_took_is_left_alone():
    tree = MemoryTree(FILES)
    contents = Contents(tree, tree.files())
    contents.take(FILES)
    assert detect(contents, [DETECTOR]) == []


# The latest.

SAVED = {**Bundle([BIAS]).files("run/m-1"), **Bundle([BIAS]).files("run/m-2")}


def test_the_latest_is_the_one_that_the_text_file_names():
    contents, (first, second) = found_in({**SAVED, "run/checkpoint": b'model_checkpoint_path: "/home/x/m-2"\n'})
    assert "run/checkpoint" not in first.files
    assert "run/checkpoint" in second.files
    assert DETECTOR.extract(contents, first).facts.details["latest"] is False
    assert DETECTOR.extract(contents, second).facts.details["latest"] is True


@pytest.mark.parametrize("text", [b"", b"model_check", b'model_checkpoint_path: "m-'])
def test_a_text_file_that_was_cut_off_makes_the_last_checkpoint_incomplete(text):
    contents, (first, second) = found_in({**SAVED, "run/checkpoint": text})
    assert DETECTOR.extract(contents, first).completeness.state is State.COMPLETE
    extraction = DETECTOR.extract(contents, second)
    assert extraction.facts.details["latest"] is False
    reason = f"at byte {len(text)}: expected the path of a checkpoint in quotes, found the end of the file"
    assert extraction.completeness == Completeness(State.INCOMPLETE, (Problem("run/checkpoint", reason),))


def test_a_text_file_that_was_cut_off_behind_the_name_makes_the_named_one_incomplete():
    text = b'model_checkpoint_path: "m-1"\nall_model_checkpoint_paths: "m'
    contents, (first, second) = found_in({**SAVED, "run/checkpoint": text})
    assert DETECTOR.extract(contents, first).completeness.problems[0].path == "run/checkpoint"
    assert DETECTOR.extract(contents, first).facts.details["latest"] is True
    assert DETECTOR.extract(contents, second).completeness.state is State.COMPLETE


def test_without_the_text_file_nothing_is_the_latest():
    contents, found = found_in(SAVED)
    assert ["latest" in DETECTOR.extract(contents, one).facts.details for one in found] == [False, False]


def test_a_text_file_that_names_another_checkpoint_belongs_to_none():
    _, found = found_in({**SAVED, "run/checkpoint": b'model_checkpoint_path: "m-3"\n'})
    assert all("run/checkpoint" not in one.files for one in found)


def test_a_path_in_the_text_file_is_never_opened():
    paths = set()

    class Recording(MemoryTree):
        def read(self, path, start, stop):
            paths.add(path)
            return super().read(path, start, stop)

    files = {**SAVED, "run/checkpoint": b'model_checkpoint_path: "../secret"\n', "secret": b"x", "run/secret": b"y"}
    contents, found = found_in(files, Recording)
    for one in found:
        DETECTOR.extract(contents, one)
    assert "secret" not in paths


# Unfinished saves.


def test_data_files_without_an_index_are_an_interrupted_save():
    detection, extraction = only({DATA: FILES[DATA]})
    assert (detection.root, detection.main) == ("run/m", DATA)
    assert extraction.completeness.state is State.INCOMPLETE
    assert extraction.completeness.problems == (Problem("run/m.index", "is missing: its save has not finished"),)


def test_an_empty_index_beside_data_is_an_interrupted_save():
    """TensorFlow opens the index for writing before it has anything to write."""
    _, extraction = only({**FILES, "run/m.index": b""})
    assert extraction.completeness.state is State.INCOMPLETE
    assert extraction.completeness.problems == (Problem("run/m.index", "is empty: its save has not finished"),)


@pytest.mark.parametrize("folder", ["run/m_temp", "run/m_temp_0123456789abcdef"])
def test_parts_of_an_unfinished_save_are_no_checkpoint_of_their_own(folder):
    parts = Bundle([BIAS]).files(f"{folder}/part-00000-of-00001")
    detection, extraction = only(parts)
    assert detection.root == "run/m"
    assert detection.files == tuple(sorted(parts))
    assert extraction.completeness.state is State.INCOMPLETE
    assert [problem.path for problem in extraction.completeness.problems] == ["run/m.index", *sorted(parts)]


@pytest.mark.parametrize("leftover", ["run/m.index.tempstate12", "run/m_temp/part-00000-of-00001.data-00000-of-00001"])
def test_leftovers_beside_a_checkpoint_make_it_incomplete_and_belong_to_it(leftover):
    detection, extraction = only({**FILES, leftover: b"x"})
    assert leftover in detection.files
    assert extraction.completeness.problems == (Problem(leftover, "left by a save that has not finished"),)


def test_a_data_set_of_record_files_is_no_interrupted_save():
    length = (5).to_bytes(8, "little")
    record = length + build.masked(length).to_bytes(4, "little") + b"hello" + build.masked(b"hello").to_bytes(4, "little")
    assert roots({"train.data-00000-of-00002": record, "train.data-00001-of-00002": record}) == []


# Broken ones.


def test_a_checkpoint_that_lost_a_byte_of_its_index_or_its_data_is_never_complete():
    """An index without its end is corrupt, an empty one and short data incomplete."""
    for path, whole in FILES.items():
        for length in range(len(whole)):
            contents, (detection,) = found_in({**FILES, path: whole[:length]})
            if path.endswith(".index") and length:
                with pytest.raises(MalformedModel):
                    DETECTOR.extract(contents, detection)
            else:
                assert DETECTOR.extract(contents, detection).completeness.state is State.INCOMPLETE


@given(st.integers(0, len(FILES["run/m.index"]) * 8 - 1))
@settings(max_examples=200)
def test_a_flipped_bit_in_the_index_gives_the_same_facts_or_is_corrupt(bit):
    flipped = bytearray(FILES["run/m.index"])
    flipped[bit // 8] ^= 1 << bit % 8
    contents, (detection,) = found_in({**FILES, "run/m.index": bytes(flipped)})
    try:
        assert DETECTOR.extract(contents, detection) == only(FILES)[1]
    except MalformedModel:
        return


def test_an_index_that_may_not_be_read_is_passed_on_as_unreadable():
    class Forbidden(MemoryTree):
        def read(self, path, start, stop):
            if path.endswith(".index"):
                raise Unreadable(path, "permission denied")
            return super().read(path, start, stop)

    contents, (detection,) = found_in(FILES, Forbidden)
    with pytest.raises(Unreadable):
        DETECTOR.extract(contents, detection)


def test_an_index_that_may_not_be_read_and_stands_alone_is_told():
    class Forbidden(MemoryTree):
        def read(self, path, start, stop):
            raise Unreadable(path, "permission denied")

    contents, found = found_in({"m.index": FILES["run/m.index"]}, Forbidden)
    assert found == []
    assert contents.unread == {"m.index": "permission denied"}


# Facts.


def test_the_facts_of_a_tf1_checkpoint():
    files = Bundle([BIAS, KERNEL, STEP, ADAM]).files("m")
    _, extraction = only(files)
    facts = extraction.facts
    assert facts.parameters == Parameters(stored=16, distinct=16, trainable=None)
    assert facts.dtypes == {"float32": 3, "int64": 1}
    assert (facts.style, facts.framework) == ("graph", Framework("tensorflow", None))
    assert facts.size_bytes == sum(map(len, files.values()))
    assert facts.details == {"tensors": 4, "layout": "TF V2 checkpoint", "num_shards": 1, "estimated_model_parameters": 9}


def test_the_facts_of_an_object_checkpoint():
    _, extraction = only(Bundle([BIAS, KERNEL, OBJECTS], num_shards=2).files("m"))
    assert extraction.facts.style == "object_graph"
    assert extraction.facts.details == {"tensors": 2, "layout": "TF V2 checkpoint", "num_shards": 2}


def test_without_optimizer_variables_there_is_no_estimate():
    assert "estimated_model_parameters" not in only(FILES)[1].facts.details


def test_a_big_endian_checkpoint_is_told():
    assert only(Bundle([BIAS], big_endian=True).files("m"))[1].facts.details["byte_order"] == "big"


# The graph beside it.


def test_the_graph_tells_the_version_the_operators_and_what_is_trainable():
    meta = build.meta_graph("1.15.0", ["dense/kernel", "dense/bias"], ["MatMul", "Add", "Zap"], producer=134)
    detection, extraction = only({**Bundle([BIAS, KERNEL, STEP]).files("run/m"), "run/m.meta": meta})
    assert "run/m.meta" in detection.files
    facts = extraction.facts
    assert facts.framework == Framework("tensorflow", "1.15.0")
    assert facts.parameters == Parameters(stored=10, distinct=10, trainable=9)
    assert facts.operators == {"Add": 1, "MatMul": 1, "Zap": 1}
    assert facts.custom_operators == ("Zap",)
    assert facts.details["graph_producer"] == 134


def test_a_trainable_variable_that_is_not_stored_leaves_the_count_unknown():
    meta = build.meta_graph(trainable=["dense/kernel", "elsewhere"])
    assert only({**FILES, "run/m.meta": meta})[1].facts.parameters.trainable is None


def test_a_foreign_meta_is_left_alone():
    detection, extraction = only({**FILES, "run/m.meta": b"\x80\x02}q\x00."})
    assert "run/m.meta" not in detection.files
    assert extraction.completeness.state is State.COMPLETE


def test_a_truncated_graph_is_never_complete_and_the_other_facts_stay():
    """Cut inside a field it is corrupt, cut between two fields incomplete."""
    meta = build.meta_graph(trainable=["dense/kernel"], ops=["VariableV2"])
    for length in range(1, len(meta)):
        extraction = only({**FILES, "run/m.meta": meta[:length]})[1]
        assert extraction.facts.parameters.stored == 9
        assert extraction.completeness.state is (State.INCOMPLETE if length in ends_of_fields(meta) else State.CORRUPT)
    assert only({**FILES, "run/m.meta": meta})[1].completeness.state is State.COMPLETE


@pytest.mark.parametrize(
    ("meta", "problem"),
    [
        (build.length_delimited(1, b""), "holds no graph"),
        (build.length_delimited(1, b"") + build.length_delimited(2, b""), "holds a graph without the versions that end it"),
        (build.meta_graph(ops=["VarHandleOp"]), "holds variables and no collection of them"),
    ],
)
def test_a_graph_that_lacks_what_every_saver_writes_is_incomplete(meta, problem):
    completeness = only({**FILES, "run/m.meta": meta})[1].completeness
    assert completeness.state is State.INCOMPLETE
    assert completeness.problems == (Problem("run/m.meta", f"{problem}: its save has not finished, or it was cut off"),)


def test_an_empty_graph_beside_a_checkpoint_is_an_unfinished_save_of_it():
    detection, extraction = only({**FILES, "run/m.meta": b""})
    assert "run/m.meta" in detection.files
    problem = Problem("run/m.meta", "is empty: its save has not finished")
    assert (extraction.completeness.state, extraction.completeness.problems) == (State.INCOMPLETE, (problem,))
    assert extraction.facts.parameters.stored == 9


def test_a_graph_that_may_not_be_read_is_told():
    class Forbidden(MemoryTree):
        def read(self, path, start, stop):
            if path.endswith(".meta"):
                raise Unreadable(path, "permission denied")
            return super().read(path, start, stop)

    contents, _ = found_in({**FILES, "run/m.meta": build.meta_graph()}, Forbidden)
    assert contents.unread == {"run/m.meta": "permission denied"}


def ends_of_fields(meta):
    """Where a message may end and still parse: behind each of its fields, all shorter than 128 bytes."""
    ends, position = [], 0
    while position < len(meta):
        position += 2 + meta[position + 1]
        ends.append(position)
    return ends


def test_a_limit_in_the_graph_leaves_it_unread(monkeypatch):
    monkeypatch.setattr("detectors.wire.MAX_FIELDS", 100)
    extraction = only({**FILES, "run/m.meta": build.meta_graph(ops=["Const"] * 500)})[1]
    assert [path for path, _ in extraction.unread] == ["run/m.meta"]
    assert extraction.facts.parameters.stored == 9


# The older format.

TENSORS = [("w", build.FLOAT, (2, 3)), ("w/Momentum", build.FLOAT, (2, 3)), ("words", build.STRING, (4,))]


def test_a_v1_checkpoint_is_one_file():
    detection, extraction = only({"run/vgg.ckpt": build.single_file(TENSORS)})
    assert (detection.root, detection.main, detection.files) == ("run/vgg.ckpt", "run/vgg.ckpt", ("run/vgg.ckpt",))
    facts = extraction.facts
    assert facts.parameters == Parameters(stored=12, distinct=None, trainable=None)
    assert facts.dtypes == {"float32": 2, "string": 1}
    assert facts.details == {"tensors": 3, "layout": "TF V1 checkpoint", "num_shards": 1, "estimated_model_parameters": 6}
    assert extraction.completeness.state is State.COMPLETE


def test_a_v1_checkpoint_may_have_any_name_beside_its_graph():
    data = build.single_file(TENSORS)
    detection, extraction = only({"export": data, "export.meta": build.meta_graph(trainable=["w"])})
    assert detection.files == ("export", "export.meta")
    assert extraction.facts.parameters.trainable == 6


def test_a_v1_checkpoint_in_parts_is_one_and_needs_them_all():
    first, second = build.single_file(TENSORS[:1]), build.single_file(TENSORS[1:])
    parts = {"m.ckpt-00000-of-00002": first, "m.ckpt-00001-of-00002": second}
    detection, extraction = only({**parts, "checkpoint": b'model_checkpoint_path: "/x/m.ckpt-?????-of-00002"'})
    assert detection.root == "m.ckpt"
    assert extraction.facts.details["latest"] is True
    assert (extraction.facts.details["tensors"], extraction.completeness.state) == (3, State.COMPLETE)
    extraction = only({"m.ckpt-00000-of-00002": first})[1]
    assert extraction.completeness.problems == (Problem("m.ckpt-00001-of-00002", "is missing"),)


def test_many_missing_parts_of_a_v1_checkpoint_are_counted():
    problems = only({"m.ckpt-00000-of-00030": build.single_file(TENSORS)})[1].completeness.problems
    assert len(problems) == 21
    assert problems[-1] == Problem("m.ckpt-00020-of-00030", "and 9 more files after this one")


def test_a_truncated_v1_checkpoint_is_never_complete():
    whole = build.single_file(TENSORS)
    for length in range(len(whole)):
        contents, found = found_in({"m.ckpt": whole[:length]})
        for detection in found:
            with pytest.raises(MalformedModel):
                DETECTOR.extract(contents, detection)
    assert found


@pytest.mark.parametrize("data", [b"PK\x03\x04" + bytes(60), b"\x80\x02}q\x00.", build.table(build.block([(b"", b"x")]))])
def test_a_foreign_ckpt_is_passed_over(data):
    assert roots({"model.ckpt": data}) == []


# Cost.


def test_the_cost_does_not_grow_with_the_data_files():
    """Nothing of the data files is read when the index is sound."""

    class NoData(MemoryTree):
        def read(self, path, start, stop):
            assert ".data-" not in path
            return super().read(path, start, stop)

    contents, (detection,) = found_in(Bundle([BIAS, KERNEL], num_shards=3).files("m"), NoData)
    assert DETECTOR.extract(contents, detection).completeness.state is State.COMPLETE


# Anything.

NAMES = st.sampled_from(
    ["m.index", "m.data-00000-of-00001", "m.meta", "checkpoint", "m.ckpt", "m", "m_temp/part-00000-of-00001.index"]
)
BYTES = st.binary(max_size=80) | st.sampled_from([*FILES.values(), build.single_file(TENSORS), build.meta_graph(), b""])


@given(st.dictionaries(NAMES, BYTES))
@settings(max_examples=300)
def test_any_bytes_give_facts_or_a_detector_error(files):
    contents, found = found_in(files)
    for detection in found:
        assert set(detection.files) <= set(files)
        try:
            DETECTOR.extract(contents, detection)
        except DetectorError:
            continue


@given(st.dictionaries(NAMES, BYTES), st.randoms())
@settings(max_examples=50)
def test_the_order_of_listing_never_matters(files, random):
    shuffled = list(files.items())
    random.shuffle(shuffled)
    assert found_in(files)[1] == found_in(dict(shuffled))[1]


@given(st.dictionaries(NAMES, BYTES))
@settings(max_examples=100)
def test_a_file_belongs_to_one_detection_at_most(files):
    taken = [path for detection in found_in(files)[1] for path in detection.files]
    assert len(taken) == len(set(taken))
