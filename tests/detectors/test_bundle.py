"""A checkpoint's index: entries, data files, counts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import bundle
from detectors.detection import Contents
from detectors.errors import DetectorError, MalformedModel, ModelLimit
from detectors.facts import Parameters, Problem, State
from detectors.range_checks import RangeChecks
from detectors.tree import MemoryTree
from tests.builders import bundle as build
from tests.builders.bundle import Bundle, Tensor

KERNEL = Tensor("dense/kernel", build.FLOAT, (2, 3), bytes(range(24)))
BIAS = Tensor("dense/bias", build.FLOAT, (3,), bytes(12))
STEP = Tensor("global_step", build.INT64, (), bytes(8))


def contents(files):
    tree = MemoryTree(files)
    return Contents(tree, tree.files())


def read(files, index="m.index"):
    listed = contents(files)
    return bundle.read_bundle(listed, listed.find(index))


def completeness(files):
    return bundle.completeness_of(contents(files), read(files))


def index_of(entries):
    return {"m.index": build.table(build.block(entries))}


def test_an_entry_tells_where_a_tensor_lies():
    found = read(Bundle([BIAS, KERNEL]).files("m"))
    assert (found.prefix, found.num_shards, found.big_endian) == ("m", 1, False)
    assert found.entries[1] == bundle.BundleEntry(
        key=b"dense/kernel",
        dtype=1,
        shape=(2, 3),
        shard=0,
        offset=12,
        size=24,
        crc32c=build.masked(bytes(range(24))),
        is_slice=False,
        has_slices=False,
    )
    assert found.entries[1].name == "dense/kernel"


def test_a_snappy_index_reads_the_same():
    assert read(Bundle([BIAS, KERNEL], compress=True).files("m")) == read(Bundle([BIAS, KERNEL]).files("m"))


def test_an_index_of_several_blocks_reads_the_same():
    assert read(Bundle([BIAS, KERNEL, STEP], per_block=1).files("m")) == read(Bundle([BIAS, KERNEL, STEP]).files("m"))


def test_the_prefix_keeps_the_folder():
    files = Bundle([BIAS]).files("run/model.ckpt-12")
    assert read(files, "run/model.ckpt-12.index").prefix == "run/model.ckpt-12"


def test_a_data_file_is_named_by_its_number_and_their_count():
    assert bundle.shard_name("run/m", 3, 12) == "run/m.data-00003-of-00012"


def test_the_bytes_of_a_big_endian_writer_are_told():
    assert read(Bundle([BIAS], big_endian=True).files("m")).big_endian


def test_an_object_graph_is_told_and_is_no_tensor():
    found = read(Bundle([BIAS, Tensor("_CHECKPOINTABLE_OBJECT_GRAPH", build.STRING, (), *string_parts(b"graph"))]).files("m"))
    assert found.has_object_graph
    assert [tensor.name for tensor in bundle.stored_tensors(found).tensors] == ["dense/bias"]


def string_parts(value):
    body, crc = build.string_bytes([value])
    return body, 0, crc


def test_a_name_that_is_not_utf_8_keeps_its_key():
    entry = read(Bundle([Tensor(b"w\xff", build.FLOAT, (3,), bytes(12))]).files("m")).entries[0]
    assert (entry.key, entry.name) == (b"w\xff", "w\ufffd")


# Completeness.

WHOLE = Bundle([BIAS, KERNEL, Tensor("far", build.FLOAT, (2,), bytes(8), shard=1)], num_shards=2).files("m")


def test_all_data_files_there_and_long_enough_is_complete():
    assert completeness(WHOLE).state is State.COMPLETE


def test_a_data_file_longer_than_needed_is_complete():
    assert completeness({**WHOLE, "m.data-00001-of-00002": bytes(100)}).state is State.COMPLETE


@pytest.mark.parametrize("missing", ["m.data-00000-of-00002", "m.data-00001-of-00002"])
def test_a_missing_data_file_is_incomplete(missing):
    files = {path: data for path, data in WHOLE.items() if path != missing}
    assert completeness(files).problems == (Problem(missing, "is missing"),)
    assert completeness(files).state is State.INCOMPLETE


def test_an_empty_data_file_that_no_entry_names_must_exist_too():
    files = Bundle([BIAS], num_shards=2).files("m")
    del files["m.data-00001-of-00002"]
    assert completeness(files).state is State.INCOMPLETE


def test_a_data_file_that_is_missing_or_short_is_never_complete():
    for path in ("m.data-00000-of-00002", "m.data-00001-of-00002"):
        for length in range(len(WHOLE[path])):
            assert completeness({**WHOLE, path: WHOLE[path][:length]}).state is State.INCOMPLETE


def test_a_short_data_file_tells_both_lengths():
    problem = completeness({**WHOLE, "m.data-00001-of-00002": bytes(7)}).problems[0]
    assert problem == Problem("m.data-00001-of-00002", "has 7 bytes, the index names bytes up to 8")


def test_a_data_file_of_another_count_does_not_stand_in():
    files = {"m.index": WHOLE["m.index"], "m.data-00000-of-00001": bytes(100)}
    assert len(completeness(files).problems) == 2


@pytest.mark.parametrize(
    "leftover",
    [
        "m_temp/part-00000-of-00001.data-00000-of-00001",
        "m_temp_0123abcd/part-00001-of-00002.index",
        "m.index.tempstate123",
        "m.data-00000-of-00002.tempstate9876543210",
        "m.tempstate1",
    ],
)
def test_what_an_unfinished_save_left_is_incomplete(leftover):
    found = completeness({**WHOLE, leftover: b""})
    assert found.state is State.INCOMPLETE
    assert found.problems == (Problem(leftover, "left by a save that has not finished"),)


@pytest.mark.parametrize(
    "other",
    [
        "m2_temp/part-00000-of-00001.index",
        "m_temperature/part-00000-of-00001.index",
        "m_temp/part-00000.csv",
        "m_temp/notes",
        "m.index.tempstate",
        "m.meta",
        "m_temp_xyz/part-00000-of-00001.index",
        "a/m_temp/part-00000-of-00001.index",
    ],
)
def test_a_file_of_another_name_is_no_leftover(other):
    assert completeness({**WHOLE, other: b""}).state is State.COMPLETE


def test_many_missing_files_are_told_by_a_few_and_a_count():
    problems = completeness({"m.index": build.table(build.block([(b"", build.header_proto(100_000))]))}).problems
    assert len(problems) == 21
    assert problems[-1] == Problem("m.data-99999-of-100000", "and 99980 more files up to this one")


# Counts.


def test_parameters_count_numbers_and_tell_equal_tensors_apart():
    same = Tensor("copy", build.FLOAT, (2, 3), bytes(range(24)))
    reshaped = Tensor("reshaped", build.FLOAT, (6,), bytes(range(24)))
    stored = bundle.stored_tensors(
        read(Bundle([KERNEL, same, reshaped, STEP, build.strings("names", [b"a", b"b"])]).files("m"))
    )
    assert stored.parameters == Parameters(stored=19, distinct=13, trainable=None)
    assert stored.dtypes == {"float32": 3, "int64": 1, "string": 1}


def test_a_tensor_without_elements_counts_nothing():
    stored = bundle.stored_tensors(read(Bundle([Tensor("none", build.FLOAT, (0, 5))]).files("m")))
    assert stored.parameters == Parameters(stored=0, distinct=0)


def partitioned(name, body, rows=(2, 2)):
    """A variable [4] of float32 in slices, as TensorFlow writes it: one entry without bytes, one per slice."""
    start, slices = 0, []
    for row in rows:
        key = build.slice_key(name.encode(), [(start, row)])
        slices.append(Tensor(key, build.FLOAT, (row,), body[start * 4 : (start + row) * 4]))
        start += row
    return [Tensor(name, build.FLOAT, (4,), slices=len(rows)), *slices]


def test_a_partitioned_variable_is_one_tensor():
    found = read(Bundle(partitioned("w", bytes(16))).files("m"))
    assert [(entry.name, entry.is_slice, entry.has_slices) for entry in found.entries] == [
        ("w", True, False),
        ("w", True, False),
        ("w", False, True),
    ]
    stored = bundle.stored_tensors(found)
    assert [(tensor.name, tensor.shape) for tensor in stored.tensors] == [("w", (4,))]
    assert stored.parameters.stored == 4


@pytest.mark.parametrize(("other", "distinct"), [(bytes(range(16)), 4), (bytes(16), 8)])
def test_partitioned_variables_are_equal_when_their_slices_are(other, distinct):
    found = read(Bundle([*partitioned("a", bytes(range(16))), *partitioned("b", other)]).files("m"))
    assert bundle.stored_tensors(found).parameters == Parameters(stored=8, distinct=distinct)


def test_the_name_of_a_slice_is_unescaped():
    name = b"\x00a\xff\xff\x01"
    entry = read(Bundle([Tensor(build.slice_key(name, [(0, 1)]), build.FLOAT, (1,), bytes(4))]).files("m")).entries[0]
    assert entry.name == name.decode("utf-8", "replace")


def test_a_variable_that_lacks_a_slice_is_refused():
    whole, first, _ = partitioned("w", bytes(16))
    with pytest.raises(MalformedModel, match="w lists 2 slices, the index has 1"):
        read(Bundle([whole, first]).files("m"))


# Checks.


def test_the_data_files_pass_their_checks():
    tensors = [KERNEL, BIAS, build.strings("s", [b"a", b""], shard=1), *partitioned("w", bytes(range(16)))]
    files = Bundle(tensors, num_shards=2).files("m")
    for shard in range(2):
        checks = RangeChecks(bundle.sums_of(read(files))[shard])
        checks.update(files[bundle.shard_name("m", shard, 2)])
        assert checks.problems() == ()


def test_every_flipped_bit_of_the_data_is_a_problem_in_its_file():
    files = Bundle([KERNEL, build.strings("s", [b"a", b""])]).files("m")
    found, path = read(files), "m.data-00000-of-00001"
    for position in range(len(files[path])):
        for bit in range(8):
            flipped = bytearray(files[path])
            flipped[position] ^= 1 << bit
            checks = RangeChecks(bundle.sums_of(found)[0])
            checks.update(bytes(flipped))
            assert [problem.path for problem in checks.problems()] == [path]


# What is refused.


def test_a_truncated_index_is_never_a_bundle():
    whole = Bundle([BIAS, KERNEL, STEP], per_block=2).files("m")["m.index"]
    for length in range(len(whole)):
        with pytest.raises(MalformedModel):
            read({"m.index": whole[:length]})


HEADER = (b"", build.header_proto(1))


def entry(dtype=build.FLOAT, shape=(1,), shard=0, offset=0, size=4):
    return build.entry_proto(dtype, shape, shard, offset, size, 1)


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="no header"),
        pytest.param([(b"a", entry())], id="no empty key"),
        pytest.param([(b"", b"\xff")], id="header that does not parse"),
        pytest.param([(b"", b"")], id="no shards"),
        pytest.param([(b"", build.header_proto(-1))], id="negative shards"),
        pytest.param([(b"", build.header_proto(1) + build.whole_number(2, 7))], id="unknown endianness"),
        pytest.param([HEADER, (b"a", b"\xff")], id="entry that does not parse"),
        pytest.param([HEADER, (b"a", entry(shard=1))], id="shard that is not there"),
        pytest.param([HEADER, (b"a", entry(shard=-1))], id="negative shard"),
        pytest.param([HEADER, (b"a", entry(offset=-4))], id="negative offset"),
        pytest.param([HEADER, (b"a", entry(offset=(1 << 63) - 4))], id="end beyond 64 bits"),
        pytest.param([HEADER, (b"a", entry(size=-4))], id="negative size"),
        pytest.param([HEADER, (b"a", entry(size=5))], id="size unlike its shape"),
        pytest.param([HEADER, (b"a", entry(shape=(-1,), size=0))], id="negative axis"),
        pytest.param([HEADER, (b"a", entry(dtype=97, shape=(1 << 40, 1 << 40)))], id="too many elements"),
        pytest.param([HEADER, (b"a", entry(shape=(1,) * 255))], id="too many axes"),
        pytest.param([HEADER, (b"a", entry(build.STRING, (3,), size=6))], id="strings without room for lengths"),
        pytest.param([HEADER, *((k, entry(97, (1 << 62,))) for k in (b"a", b"b"))], id="more elements than 64 bits count"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(entries):
    with pytest.raises(MalformedModel):
        read(index_of(entries))


@pytest.mark.parametrize(
    ("limit", "value", "entries"),
    [
        ("MAX_INDEX_BYTES", 20, [HEADER]),
        ("MAX_ENTRIES", 1, [HEADER, (b"a", entry()), (b"b", entry())]),
        ("MAX_ENTRY_BYTES", 5, [(b"", build.header_proto(1) + build.whole_number(9, 1 << 20))]),
        ("MAX_SHARDS", 100_000, [(b"", build.header_proto(100_001))]),
    ],
)
def test_each_limit_stops_the_reading_by_its_name(monkeypatch, limit, value, entries):
    monkeypatch.setattr(bundle, limit, value)
    with pytest.raises(ModelLimit) as caught:
        read(index_of(entries))
    assert caught.value.limit == limit


@given(st.binary(max_size=40), st.binary(max_size=60), st.binary(max_size=10))
@settings(max_examples=300)
def test_any_bytes_give_a_bundle_or_a_detector_error(header, value, key):
    """Also where all checksums are right and only the messages are made up."""
    for entries in ([(b"", header)], [HEADER, (b"a" + key, value)], [HEADER, (b"\0" + key, entry()), (b"a", value)]):
        files = index_of(entries)
        try:
            found = read(files)
        except DetectorError:
            continue
        bundle.completeness_of(contents(files), found)
        bundle.stored_tensors(found)
        RangeChecks(bundle.sums_of(found)[0]).problems()


@given(st.data())
@settings(max_examples=150)
def test_a_flipped_bit_in_the_index_is_refused_or_changes_nothing(data):
    files = Bundle([BIAS, KERNEL, STEP]).files("m")
    flipped = bytearray(files["m.index"])
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert read({"m.index": bytes(flipped)}) == read(files)
    except MalformedModel:
        return


def test_nothing_but_the_index_is_read():
    class OnlyIndex(MemoryTree):
        def read(self, path, start, stop):
            assert path == "m.index"
            return super().read(path, start, stop)

    tree = OnlyIndex(WHOLE)
    listed = Contents(tree, tree.files())
    bundle.completeness_of(listed, bundle.read_bundle(listed, listed.find("m.index")))


def test_offsets_beyond_32_bits_are_read():
    found = read(index_of([HEADER, (b"a", entry(offset=1 << 40))]))
    assert found.entries[0].offset == 1 << 40
