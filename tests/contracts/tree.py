"""The contract suite of `FileTree`: what every tree must do, whatever lies below it.

A tree joins by subclassing `TreeContract` and giving it a fixture `build`, which makes a tree of the given files.
A tree whose files can change under it subclasses `ChangingTreeContract` as well and gives it a fixture `change`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import pytest

from detectors.errors import TreeChanged
from detectors.tree import FileTree

Build = Callable[[Mapping[str, bytes]], FileTree]
Change = Callable[[str, bytes | None], None]
"""Gives the file at a path of the tree built last another content, or takes it away (None)."""

LONG = b"0123" + bytes(2 << 20)
"""A file of which no tree reads all when its beginning is asked for."""


class TreeContract:
    """The laws of any tree."""

    odd_names: ClassVar[tuple[str, ...]] = (
        "line\nbreak.onnx",
        " spaces at both ends ",
        "\udcff\udcfe.onnx",
        "модель/模型.onnx",
        "-rf",
        "back\\slash",
        "quote'\"`$(x)",
        ".hidden/.git",
        "n" * 255,
    )

    @pytest.fixture
    def build(self) -> Build:
        raise NotImplementedError("the subclass says how to build a tree")

    def test_the_listing_is_sorted_by_path(self, build: Build) -> None:
        tree = build({"b": b"", "a/z": b"", "a.b": b"", "a/b/c": b"", "B": b"", "a-b/x": b""})
        assert [entry.path for entry in tree.files()] == ["B", "a-b/x", "a.b", "a/b/c", "a/z", "b"]

    def test_the_listing_names_each_file_once(self, build: Build) -> None:
        tree = build({f"folder {i % 3}/file {i}": b"x" for i in range(50)})
        paths = [entry.path for entry in tree.files()]
        assert len(paths) == len(set(paths)) == 50

    def test_listing_twice_gives_the_same(self, build: Build) -> None:
        tree = build({"a": b"1", "b/c": b"22"})
        first = [(entry.path, entry.size, entry.version) for entry in tree.files()]
        assert first == [(entry.path, entry.size, entry.version) for entry in tree.files()]

    def test_the_listing_tells_sizes_in_bytes(self, build: Build) -> None:
        tree = build({"empty": b"", "three": b"abc", "large": b"x" * 70_000})
        assert {entry.path: entry.size for entry in tree.files()} == {"empty": 0, "three": 3, "large": 70_000}

    def test_an_empty_tree_lists_nothing(self, build: Build) -> None:
        assert list(build({}).files()) == []

    @pytest.mark.parametrize(
        ("start", "stop", "data"),
        [(0, 10, b"0123456789"), (0, 1, b"0"), (3, 7, b"3456"), (9, 10, b"9"), (4, 4, b""), (10, 10, b"")],
    )
    def test_a_range_is_half_open(self, build: Build, start: int, stop: int, data: bytes) -> None:
        assert _listed(build({"digits": b"0123456789"})).read("digits", start, stop) == data

    @pytest.mark.parametrize(
        ("start", "stop", "data"), [(8, 99, b"89"), (10, 11, b""), (50, 60, b""), (0, 1 << 62, b"0123456789")]
    )
    def test_a_read_is_short_only_at_the_end_of_the_file(self, build: Build, start: int, stop: int, data: bytes) -> None:
        assert _listed(build({"digits": b"0123456789"})).read("digits", start, stop) == data

    def test_a_large_range_is_read_in_full(self, build: Build) -> None:
        data = bytes(range(256)) * 20_000
        assert _listed(build({"large": data})).read("large", 1, 5_119_999) == data[1:-1]

    def test_an_empty_file_is_listed_and_read_as_nothing(self, build: Build) -> None:
        assert _listed(build({"empty": b""})).read("empty", 0, 100) == b""

    def test_odd_names_are_listed_and_read(self, build: Build) -> None:
        tree = build({name: name.encode("utf-8", "surrogateescape") for name in self.odd_names})
        assert [entry.path for entry in tree.files()] == sorted(self.odd_names)
        for name in self.odd_names:
            assert tree.read(name, 0, 4096) == name.encode("utf-8", "surrogateescape")

    @pytest.mark.parametrize(("start", "stop"), [(2, 1), (-1, 2), (-2, -1), (0, -1)])
    def test_a_reversed_or_negative_range_is_refused(self, build: Build, start: int, stop: int) -> None:
        tree = _listed(build({"file": b"0123"}))
        with pytest.raises(ValueError, match="not a range"):
            tree.read("file", start, stop)

    @pytest.mark.parametrize(
        "path", ["other", "folder", "", ".", "folder/../file", "./file", "/file", "file/", "folder/file\0"]
    )
    def test_a_file_that_was_never_listed_is_tree_changed(self, build: Build, path: str) -> None:
        tree = _listed(build({"file": b"0123", "folder/inner": b""}))
        with pytest.raises(TreeChanged):
            tree.read(path, 0, 1)


class ChangingTreeContract:
    """What is added for a tree whose files may change between listing and reading."""

    @pytest.fixture
    def change(self) -> Change:
        raise NotImplementedError("the subclass says how to change a file")

    @pytest.fixture
    def changing(self, build: Build) -> FileTree:
        return _listed(build({"file": b"0123456789", "long": LONG, "folder/inner": b"inner"}))

    @pytest.mark.parametrize("content", [b"9876543210", b"longer than before", b"short", b""])
    def test_a_file_that_changed_since_it_was_listed_is_tree_changed(
        self, changing: FileTree, change: Change, content: bytes
    ) -> None:
        """A file that changed since it was listed is TreeChanged, never other bytes."""
        change("file", content)
        with pytest.raises(TreeChanged):
            changing.read("file", 0, 10)

    def test_a_file_that_changed_between_two_reads_is_tree_changed(self, changing: FileTree, change: Change) -> None:
        assert changing.read("long", 0, 4) == b"0123"
        change("long", LONG[::-1])
        with pytest.raises(TreeChanged):
            changing.read("long", len(LONG) - 4, len(LONG))

    @pytest.mark.parametrize("path", ["file", "folder/inner"])
    def test_a_file_that_has_vanished_is_tree_changed(self, changing: FileTree, change: Change, path: str) -> None:
        change(path, None)
        with pytest.raises(TreeChanged):
            changing.read(path, 0, 1)

    def test_a_file_that_vanished_between_two_reads_is_tree_changed(self, changing: FileTree, change: Change) -> None:
        assert changing.read("long", 0, 4) == b"0123"
        change("long", None)
        with pytest.raises(TreeChanged):
            changing.read("long", len(LONG) - 4, len(LONG))

    def test_a_new_listing_makes_a_changed_file_readable(self, changing: FileTree, change: Change) -> None:
        change("file", b"abcdefghij")
        assert _listed(changing).read("file", 0, 3) == b"abc"

    def test_the_version_differs_once_the_content_may_differ(self, changing: FileTree, change: Change) -> None:
        before = {entry.path: entry.version for entry in changing.files()}
        change("file", b"abcdefghij")
        after = {entry.path: entry.version for entry in changing.files()}
        assert after["file"] != before["file"]
        assert after["folder/inner"] == before["folder/inner"]


def _listed(tree: FileTree) -> FileTree:
    """Return *tree* after it was listed: reading comes after listing."""
    assert list(tree.files())
    return tree
