"""The listing that detectors see, and the loop over them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.detection import Contents, may_be_model, suffix
from detectors.errors import ModelLimit, Unreadable
from detectors.scan import DETECTORS, scan
from detectors.tree import FileEntry, MemoryTree
from detectors.wrapped_tree import CountingTree, FlakyTree
from tests.builders import onnx

PATHS = st.lists(st.text("ab/.0-", min_size=1, max_size=6), unique=True, max_size=12)


def contents_of(*paths: str) -> Contents:
    tree = MemoryTree(dict.fromkeys(paths, b"x"))
    return Contents(tree, tree.files())


def test_below_a_folder_are_its_files_and_no_neighbours() -> None:
    contents = contents_of("a", "a-b/x", "a.b", "a/1", "a/b/2", "a0", "ab/3")
    assert [entry.path for entry in contents.below("a")] == ["a/1", "a/b/2"]
    assert len(contents.below("")) == 7


@given(PATHS, st.text("ab/.0-", min_size=1, max_size=4))
def test_below_is_what_starts_with_the_folder(paths: list[str], folder: str) -> None:
    found = [entry.path for entry in contents_of(*paths).below(folder)]
    assert found == sorted(path for path in paths if path.startswith(folder + "/"))


def test_children_of_a_folder_are_what_lies_right_inside() -> None:
    contents = contents_of("a/1", "a/b/2", "a-b", "ab/3", "z")
    assert [entry.path for entry in contents.children("a")] == ["a/1"]
    assert [entry.path for entry in contents.children("")] == ["a-b", "z"]
    assert contents.children("nowhere") == ()


def test_a_head_is_read_once() -> None:
    tree = CountingTree(MemoryTree({"a": b"x" * 10_000}))
    contents = Contents(tree, tree.files())
    (entry,) = contents.entries
    assert contents.head(entry) == contents.head(entry) == b"x" * 4096
    assert tree.reads == 1


def test_a_head_that_may_not_be_read_is_noted() -> None:
    tree = FlakyTree(MemoryTree({"a": b"x"}), 2, Unreadable("a", "may not be read"))
    contents = Contents(tree, tree.files())
    assert contents.head(contents.entries[0]) == b""
    assert contents.unread == {"a": "may not be read"}


def test_reading_whole_is_bounded_by_a_named_limit() -> None:
    contents = contents_of("a")
    with pytest.raises(ModelLimit, match=r"^a: expected at most 0 bytes, found 1 \(limit MAX_NOTHING\)$"):
        contents.read_whole(contents.entries[0], "MAX_NOTHING", 0)


def test_text_and_pictures_are_not_opened_to_look_for_models() -> None:
    assert not may_be_model(FileEntry("a/notes.TXT", 5, ""))
    assert not may_be_model(FileEntry("a/empty", 0, ""))
    assert may_be_model(FileEntry("a/model", 5, ""))
    assert suffix("a.b/.hidden") == ""


def test_a_file_belongs_to_one_detection_at_most() -> None:
    tree = MemoryTree({"a.onnx": onnx.model(), "b/model.onnx": onnx.model(), "c": b"nothing"})
    files = [path for model in scan(tree).models for path in model.detection.files]
    assert sorted(files) == ["a.onnx", "b/model.onnx"]


def test_the_order_of_listing_never_matters() -> None:
    files = {f"{folder}/{name}": onnx.model() for folder in "abc" for name in ("m.onnx", "n.onnx")}
    tree = MemoryTree(files)
    entries = list(tree.files())
    random.Random(7).shuffle(entries)
    assert scan(tree, entries=entries, clock=lambda: 0.0) == scan(tree, clock=lambda: 0.0)


def test_no_two_detectors_share_a_name() -> None:
    names = [detector.name for detector in DETECTORS]
    assert len(names) == len(set(names))
