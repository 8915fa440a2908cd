"""TensorFlow's first checkpoint format."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import tensor_slices
from detectors.bundle import StoredTensor
from detectors.detection import Contents
from detectors.errors import MalformedModel, ModelError, ModelLimit
from detectors.tree import MemoryTree
from tests.builders import bundle as build

TENSORS = [("dense/kernel", build.FLOAT, (2, 3)), ("step", build.INT64, ()), ("words", build.STRING, (4,))]


def read(data):
    tree = MemoryTree({"m": data})
    contents = Contents(tree, tree.files())
    return tensor_slices.read_tensors(contents, contents.find("m"))


@pytest.mark.parametrize("compress", [False, True])
def test_the_list_of_tensors_is_read(compress):
    assert read(build.single_file(TENSORS, compress)) == (
        StoredTensor("dense/kernel", "float32", (2, 3), True),
        StoredTensor("step", "int64", (), True),
        StoredTensor("words", "string", (4,), False),
    )


@pytest.mark.parametrize("compress", [False, True])
def test_its_first_bytes_tell_it(compress):
    assert tensor_slices.may_list_tensors(build.single_file(TENSORS, compress)[:4096])


@pytest.mark.parametrize("head", [b"", b"\0", b"\0\0", b"\0\0\x05", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_foreign_bytes_are_not_told_as_one(head):
    assert not tensor_slices.may_list_tensors(head)


def test_an_index_is_not_told_as_one():
    files = build.Bundle([build.Tensor("w", build.FLOAT, (1,), bytes(4))]).files("m")
    assert not tensor_slices.may_list_tensors(files["m.index"])


def table_of(key, value):
    return build.table(build.block([(key, value)]))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(table_of(b"a", b""), id="no empty key"),
        pytest.param(table_of(b"", b"\x0a\x05"), id="list cut off"),
        pytest.param(table_of(b"", build.length_delimited(1, b"\x0a\x05")), id="tensor cut off"),
        pytest.param(table_of(b"", build.length_delimited(1, build.length_delimited(1, b"\x12\x01\xff"))), id="shape broken"),
        pytest.param(build.single_file([("w", 1, (-1,))]), id="negative axis"),
    ],
)
def test_a_list_that_does_not_parse_is_refused(data):
    with pytest.raises(MalformedModel):
        read(data)


@pytest.mark.parametrize(("limit", "value"), [("MAX_LIST_BYTES", 10), ("MAX_TENSORS", 2)])
def test_a_limit_stops_the_reading_by_its_name(monkeypatch, limit, value):
    monkeypatch.setattr(tensor_slices, limit, value)
    with pytest.raises(ModelLimit) as caught:
        read(build.single_file(TENSORS))
    assert caught.value.limit == limit


@pytest.mark.parametrize(("path", "prefix"), [("a/m", "a/m"), ("a/m-00001-of-00002", "a/m"), ("a/m-1-of-2", "a/m-1-of-2")])
def test_a_part_has_the_prefix_of_the_whole(path, prefix):
    assert tensor_slices.prefix_of(path) == prefix


def test_the_parts_that_are_missing_are_named():
    assert tensor_slices.missing_parts(["m-00001-of-00003"]) == (("m-00000-of-00003", "m-00002-of-00003"), 2)
    assert tensor_slices.missing_parts(["m-00000-of-00001"]) == ((), 0)
    assert tensor_slices.missing_parts(["m"]) == ((), 0)


def test_a_part_beyond_the_count_does_not_stand_in_for_one():
    assert tensor_slices.missing_parts(["m-00000-of-00002", "m-00002-of-00002"]) == (("m-00001-of-00002",), 1)


def test_many_missing_parts_are_counted_without_naming_each():
    """Eighty names promise some eight million files."""
    names, count = tensor_slices.missing_parts([f"m-00000-of-{99_999 - number}" for number in range(80)])
    assert (len(names), names[0], count) == (20, "m-00001-of-99920", sum(99_998 - number for number in range(80)))


@given(st.binary(max_size=60))
@settings(max_examples=200)
def test_any_bytes_as_a_list_give_tensors_or_a_model_error(value):
    for data in (value, table_of(b"", value), table_of(b"", build.length_delimited(1, build.length_delimited(1, value)))):
        tensor_slices.may_list_tensors(data)
        try:
            read(data)
        except ModelError:
            continue
