"""Trees in memory, on disk and around each other: the contract suite for each, and what only some of them do."""

from __future__ import annotations

import errno
import gc
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import beneath, local_tree
from detectors.errors import TreeChanged, TreeLimit, TreeUnavailable, Unreadable
from detectors.local_tree import LocalTree
from detectors.tree import FileTree, MemoryTree, Passed, PassedOver, RemarksOnListing, readable
from detectors.wrapped_tree import CountingTree, FlakyTree, SubTree
from tests.contracts.tree import Build, Change, ChangingTreeContract, TreeContract


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Callable[[Mapping[str, bytes]], LocalTree]]:
    """Builds trees below `tmp_path / "root"` and closes them."""
    trees = []

    def build(files: Mapping[str, bytes]) -> LocalTree:
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        write_files(root, files)
        trees.append(LocalTree(root))
        return trees[-1]

    yield build
    for tree in trees:
        tree.close()


@pytest.fixture
def change_on_disk(tmp_path: Path) -> Change:
    """Replaces a file by rename, as careful writers do, or removes it."""

    def change(path: str, content: bytes | None) -> None:
        if content is None:
            (tmp_path / "root" / path).unlink()
        else:
            (tmp_path / "new").write_bytes(content)
            (tmp_path / "new").rename(tmp_path / "root" / path)

    return change


class TestMemoryTree(TreeContract):
    @pytest.fixture
    def build(self) -> Build:
        return MemoryTree


class TestLocalTree(TreeContract, ChangingTreeContract):
    @pytest.fixture
    def build(self, on_disk: Build) -> Build:
        return on_disk

    @pytest.fixture
    def change(self, change_on_disk: Change) -> Change:
        return change_on_disk


class TestLocalTreeWithoutOpenat2(TestLocalTree):
    """The same where the kernel, or the filter of a container, has no `openat2`."""

    @pytest.fixture(autouse=True)
    def no_openat2(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)


class TestCountingTree(TreeContract, ChangingTreeContract):
    @pytest.fixture
    def build(self, on_disk: Build) -> Build:
        return lambda files: CountingTree(on_disk(files))

    @pytest.fixture
    def change(self, change_on_disk: Change) -> Change:
        return change_on_disk


class TestFlakyTreeThatDoesNotFail(TreeContract):
    @pytest.fixture
    def build(self) -> Build:
        return lambda files: FlakyTree(MemoryTree(files), 0, TreeUnavailable("", "never"))


class TestSubTree(TreeContract, ChangingTreeContract):
    @pytest.fixture
    def build(self, on_disk: Build) -> Build:
        return lambda files: SubTree(on_disk({**files, "other": b"not chosen"}), files)

    @pytest.fixture
    def change(self, change_on_disk: Change) -> Change:
        return change_on_disk


class TestWrappers:
    def test_counting_tells_calls_bytes_and_files(self) -> None:
        tree = CountingTree(MemoryTree({"a": b"0123456789", "b": b"xyz"}))
        tree.read("a", 0, 4)
        tree.read("a", 8, 99)
        tree.read("b", 0, 0)
        assert (tree.reads, tree.bytes, tree.files_read) == (3, 6, 2)

    @pytest.mark.parametrize("fail_at", [1, 2, 3])
    def test_the_chosen_call_fails_once_and_the_others_work(self, fail_at: int) -> None:
        tree = FlakyTree(MemoryTree({"a": b"x"}), fail_at, TreeUnavailable("a", "does not answer"))
        results = []
        for call in (lambda: next(tree.files()).path, lambda: tree.read("a", 0, 1), lambda: tree.read("a", 0, 1)):
            try:
                results.append(call())
            except TreeUnavailable:
                results.append("failed")
        assert results == ["failed" if n == fail_at else ok for n, ok in enumerate(["a", b"x", b"x"], 1)]

    def test_wrappers_hand_on_what_was_passed_over(self, on_disk: Build, tmp_path: Path) -> None:
        inner = on_disk({"a": b"x"})
        (tmp_path / "root/link").symlink_to("a")
        for tree in (CountingTree(inner), FlakyTree(inner, 0, TreeUnavailable("", "never"))):
            assert isinstance(tree, RemarksOnListing)
            list(tree.files())
            assert tree.passed_over == (PassedOver("link", Passed.LINK_INSIDE, "a link to a"),)

    def test_wrappers_of_a_tree_without_remarks_have_none(self) -> None:
        assert CountingTree(MemoryTree({})).passed_over == ()


class TestRoot:
    def test_a_missing_root_is_said_so(self, tmp_path: Path) -> None:
        with pytest.raises(TreeUnavailable, match="nowhere: expected a folder, found nothing"):
            LocalTree(tmp_path / "nowhere")

    def test_a_file_as_root_is_said_so(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"x")
        with pytest.raises(Unreadable, match=r"model\.onnx: expected a folder, found a file"):
            LocalTree(tmp_path / "model.onnx")

    @pytest.mark.parametrize("root", ["nul\0byte", ""])
    def test_a_root_that_is_no_name_is_said_so(self, root: str) -> None:
        with pytest.raises(TreeUnavailable, match="found nothing"):
            LocalTree(root)

    def test_the_root_itself_may_be_a_link(self, tmp_path: Path) -> None:
        write_files(tmp_path / "real", {"a": b"x"})
        (tmp_path / "link").symlink_to("real")
        with LocalTree(str(tmp_path / "link")) as tree:
            assert [entry.path for entry in tree.files()] == ["a"]

    def test_the_root_may_be_renamed_while_it_is_read(self, on_disk: Build, tmp_path: Path) -> None:
        tree = on_disk({"a": b"x"})
        list(tree.files())
        (tmp_path / "root").rename(tmp_path / "moved")
        assert tree.read("a", 0, 1) == b"x"

    def test_the_tree_of_a_file_holds_nothing_else(self, tmp_path: Path) -> None:
        write_files(tmp_path, {"model.onnx": b"0123", "other": b"x", "folder/more": b"y"})
        with LocalTree.of_file(tmp_path / "model.onnx") as tree:
            assert [(entry.path, entry.size) for entry in tree.files()] == [("model.onnx", 4)]
            assert tree.read("model.onnx", 1, 3) == b"12"
            with pytest.raises(TreeChanged):
                tree.read("other", 0, 1)

    def test_the_tree_of_a_file_in_the_working_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_files(tmp_path, {"model.onnx": b"0123"})
        monkeypatch.chdir(tmp_path)
        with LocalTree.of_file("model.onnx") as tree:
            assert [entry.path for entry in tree.files()] == ["model.onnx"]


class TestListing:
    def test_hidden_files_and_folders_are_listed(self, on_disk: Build) -> None:
        tree = on_disk({".git/HEAD": b"", ".guild/attrs/id": b"", ".hidden": b""})
        assert [entry.path for entry in tree.files()] == [".git/HEAD", ".guild/attrs/id", ".hidden"]

    def test_an_entry_tells_when_the_file_last_changed_whatever_its_owner_says(self, on_disk: Build, tmp_path: Path) -> None:
        """A restored or forged modification time is old; the time of the change is the storage's own."""
        tree = on_disk({"file": b"x"})
        os.utime(tmp_path / "root/file", (1, 1))
        (entry,) = tree.files()
        assert entry.changed == (tmp_path / "root/file").stat().st_ctime > 1_000_000_000

    def test_empty_folders_are_nothing(self, on_disk: Build, tmp_path: Path) -> None:
        tree = on_disk({})
        (tmp_path / "root/a/b").mkdir(parents=True)
        assert list(tree.files()) == []

    def test_passed_over_tells_links_and_special_files_sorted_by_path(self, on_disk: Build, tmp_path: Path) -> None:
        tree = on_disk({"data/weights": b"x"})
        root = tmp_path / "root"
        os.mkfifo(root / "fifo")
        (root / "data/up").symlink_to("../data/weights")
        (root / "away").symlink_to("../elsewhere")
        (root / "dangling").symlink_to("data/gone")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(root / "socket"))
        assert [entry.path for entry in tree.files()] == ["data/weights"]
        assert tree.passed_over == (
            PassedOver("away", Passed.LINK_OUTSIDE, "a link to ../elsewhere, which leaves the tree"),
            PassedOver("dangling", Passed.LINK_OUTSIDE, "a link to data/gone, which leads nowhere (No such file or directory)"),
            PassedOver("data/up", Passed.LINK_INSIDE, "a link to ../data/weights"),
            PassedOver("fifo", Passed.SPECIAL, "is a FIFO, a socket or a device"),
            PassedOver("socket", Passed.SPECIAL, "is a FIFO, a socket or a device"),
        )

    def test_a_file_with_a_name_outside_is_shared(self, on_disk: Build, tmp_path: Path) -> None:
        tree = on_disk({"alone": b"1", "here": b"2", "far": b"3", "both": b"4"})
        root = tmp_path / "root"
        (root / "here again").hardlink_to(root / "here")
        (tmp_path / "elsewhere").hardlink_to(root / "far")
        (tmp_path / "elsewhere too").hardlink_to(root / "both")
        (root / "both again").hardlink_to(root / "both")
        shared = {entry.path: entry.is_shared for entry in tree.files()}
        assert [path for path, is_shared in shared.items() if is_shared] == ["both", "both again", "far"]
        assert len(shared) == 6

    def test_a_link_to_a_folder_inside_is_a_link_inside(self, on_disk: Build, tmp_path: Path) -> None:
        tree = on_disk({"1/model": b"x"})
        (tmp_path / "root/latest").symlink_to("./1/")
        assert [entry.path for entry in tree.files()] == ["1/model"]
        assert tree.passed_over == (PassedOver("latest", Passed.LINK_INSIDE, "a link to ./1/"),)

    def test_a_link_through_another_link_is_resolved_from_where_that_one_lies(self, on_disk: Build, tmp_path: Path) -> None:
        tree = on_disk({"a/b/model": b"x"})
        (tmp_path / "root/a/here").symlink_to("b")
        (tmp_path / "root/deep").symlink_to("a/here/../b/model")
        list(tree.files())
        assert [(passed.path, passed.why) for passed in tree.passed_over] == [
            ("a/here", Passed.LINK_INSIDE),
            ("deep", Passed.LINK_INSIDE),
        ]

    def test_an_absolute_path_is_told_of_the_link_or_of_where_it_leads(self, on_disk: Build, tmp_path: Path) -> None:
        tree = on_disk({"model": b"x"})
        (tmp_path / "root/away").symlink_to("/etc/passwd")
        (tmp_path / "root/two").symlink_to("away")
        list(tree.files())
        assert [passed.reason for passed in tree.passed_over] == [
            "a link to /etc/passwd, which is an absolute path",
            "a link to away, which leads to an absolute path",
        ]

    def test_links_beyond_the_limit_of_look_ups_count_as_outside(
        self, on_disk: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree = on_disk({"model": b"x"})
        (tmp_path / "root/link").symlink_to("model")
        monkeypatch.setattr(local_tree, "MAX_LINK_STEPS", 0)
        list(tree.files())
        assert tree.passed_over[0].why is Passed.LINK_OUTSIDE
        assert "limit MAX_LINK_STEPS" in tree.passed_over[0].reason

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
    def test_a_folder_that_may_not_be_listed_is_remarked_on(self, on_disk: Build, tmp_path: Path) -> None:
        tree = on_disk({"open/a": b"x", "shut/b": b"y"})
        (tmp_path / "root/shut").chmod(0)
        assert [entry.path for entry in tree.files()] == ["open/a"]
        assert tree.passed_over == (PassedOver("shut", Passed.UNREADABLE, "may not be listed (Permission denied)"),)
        (tmp_path / "root/shut").chmod(0o700)

    def test_a_folder_that_is_refused_is_remarked_on(self, on_disk: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same as above for those who run the tests as root, who is refused nothing."""
        tree = on_disk({"open/a": b"x", "shut/b": b"y"})
        fail_on(monkeypatch, "shut", errno.EACCES)
        assert [entry.path for entry in tree.files()] == ["open/a"]
        assert tree.passed_over == (PassedOver("shut", Passed.UNREADABLE, "may not be listed (Permission denied)"),)

    @pytest.mark.parametrize("code", [errno.ENOENT, errno.ENOTDIR, errno.ELOOP])
    def test_a_folder_that_vanishes_while_listing_is_not_listed(
        self, on_disk: Build, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        tree = on_disk({"stays/a": b"x", "goes/b": b"y"})
        fail_on(monkeypatch, "goes", code)
        assert [entry.path for entry in tree.files()] == ["stays/a"]
        assert tree.passed_over == ()

    @pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EMFILE])
    def test_storage_that_does_not_answer_is_tree_unavailable(
        self, on_disk: Build, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        tree = on_disk({"folder/a": b"x"})
        fail_on(monkeypatch, "folder", code)
        with pytest.raises(TreeUnavailable):
            tree.files()

    def test_more_files_than_allowed_is_tree_limit(self, on_disk: Build, tmp_path: Path) -> None:
        on_disk({f"{n}": b"" for n in range(4)})
        with LocalTree(tmp_path / "root", max_files=4) as tree:
            assert len(list(tree.files())) == 4
        with LocalTree(tmp_path / "root", max_files=3) as tree, pytest.raises(TreeLimit, match="more than 3 files"):
            tree.files()

    def test_more_folders_than_allowed_is_tree_limit(self, on_disk: Build, tmp_path: Path) -> None:
        on_disk({})
        for n in range(7):
            (tmp_path / f"root/{n}").mkdir()
        with LocalTree(tmp_path / "root", max_files=3) as tree, pytest.raises(TreeLimit, match="more than 6 names"):
            tree.files()

    def test_paths_that_take_more_than_the_limit_together_is_tree_limit(
        self, on_disk: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree = on_disk({"abc": b"", "def": b""})
        monkeypatch.setattr(local_tree, "MAX_PATH_BYTES", 6)
        assert len(list(tree.files())) == 2
        monkeypatch.setattr(local_tree, "MAX_PATH_BYTES", 5)
        with pytest.raises(TreeLimit, match="MAX_PATH_BYTES"):
            tree.files()

    def test_a_listing_that_fails_leaves_the_last_one_in_force(self, on_disk: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        tree = on_disk({"folder/a": b"x"})
        list(tree.files())
        with monkeypatch.context() as patch:
            fail_on(patch, "folder", errno.EIO)
            with pytest.raises(TreeUnavailable):
                tree.files()
        assert tree.read("folder/a", 0, 1) == b"x"


class TestReading:
    @pytest.mark.parametrize(
        ("code", "error"),
        [
            (errno.ENOENT, TreeChanged),
            (errno.ELOOP, TreeChanged),
            (errno.EXDEV, TreeChanged),
            (errno.EACCES, Unreadable),
            (errno.EPERM, Unreadable),
            (errno.ENXIO, Unreadable),
            (errno.EIO, TreeUnavailable),
            (errno.ESTALE, TreeUnavailable),
            (errno.ENOTCONN, TreeUnavailable),
            (errno.EMFILE, TreeUnavailable),
        ],
    )
    def test_what_an_error_of_the_system_means(
        self, on_disk: Build, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
    ) -> None:
        tree = on_disk({"file": b"x"})
        list(tree.files())
        fail_on(monkeypatch, "file", code)
        with pytest.raises(error, match=r"^file: "):
            tree.read("file", 0, 1)

    def test_an_error_in_the_middle_of_a_file_is_tree_unavailable(
        self, on_disk: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree = on_disk({"file": b"x"})
        list(tree.files())
        monkeypatch.setattr(os, "pread", lambda *_: raise_error(errno.EIO))
        with pytest.raises(TreeUnavailable):
            tree.read("file", 0, 1)

    def test_a_short_answer_of_the_system_is_asked_again(self, on_disk: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        tree = on_disk({"file": b"0123456789"})
        list(tree.files())
        pread = os.pread
        monkeypatch.setattr(os, "pread", lambda fd, count, offset: pread(fd, min(count, 3), offset))
        assert tree.read("file", 1, 10) == b"123456789"

    def test_a_file_that_ends_early_without_other_signs_is_unreadable(
        self, on_disk: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree = on_disk({"file": b"0123456789"})
        list(tree.files())
        pread = os.pread
        monkeypatch.setattr(os, "pread", lambda fd, count, offset: pread(fd, min(count, 4 - offset), offset))
        with pytest.raises(Unreadable, match="claims 10 bytes and ends at 4, though it did not change"):
            tree.read("file", 0, 10)

    def test_a_write_in_the_middle_of_a_read_is_tree_changed(
        self, on_disk: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree = on_disk({"file": b"0123456789"})
        list(tree.files())
        pread = os.pread

        def written_to(fd: int, count: int, offset: int) -> bytes:
            with (tmp_path / "root/file").open("ab") as file:
                file.write(b"more")
            return pread(fd, count, offset)

        monkeypatch.setattr(os, "pread", written_to)
        with pytest.raises(TreeChanged):
            tree.read("file", 0, 10)

    @pytest.mark.parametrize("content", [b"9876543210", b"0123456789"])
    def test_a_write_in_place_is_tree_changed_even_at_the_same_size(
        self, on_disk: Build, tmp_path: Path, content: bytes
    ) -> None:
        tree = on_disk({"file": b"0123456789"})
        list(tree.files())
        os.utime(tmp_path / "root/file", (1, 1))
        list(tree.files())
        (tmp_path / "root/file").write_bytes(content)
        with pytest.raises(TreeChanged):
            tree.read("file", 0, 10)

    def test_reading_before_listing_is_tree_changed(self, on_disk: Build) -> None:
        with pytest.raises(TreeChanged, match="not in the listing"):
            on_disk({"file": b"x"}).read("file", 0, 1)

    def test_a_read_far_beyond_the_end_allocates_nothing(self, on_disk: Build) -> None:
        tree = on_disk({"file": b"x"})
        list(tree.files())
        assert tree.read("file", 0, 1 << 60) == b"x"


class TestDescriptors:
    def test_a_tree_keeps_at_most_max_open_files_files_open_and_none_after_close(self, on_disk: Build) -> None:
        before = open_descriptors()
        tree = on_disk({f"{n}": b"x" for n in range(40)})
        for entry in list(tree.files()):
            tree.read(entry.path, 0, 1)
        assert open_descriptors() == before + 1 + local_tree.MAX_OPEN_FILES
        tree.close()
        assert open_descriptors() == before

    def test_failed_reads_leave_nothing_open(self, on_disk: Build, tmp_path: Path) -> None:
        before = open_descriptors()
        tree = on_disk({f"{n}/file": b"x" for n in range(5)})
        list(tree.files())
        for n in range(5):
            (tmp_path / f"root/{n}/file").write_bytes(b"changed")
            with pytest.raises(TreeChanged):
                tree.read(f"{n}/file", 0, 1)
        assert open_descriptors() == before + 1

    def test_a_forgotten_tree_closes_itself(self, tmp_path: Path) -> None:
        before = open_descriptors()
        write_files(tmp_path, {"file": b"x"})
        tree: LocalTree | None = LocalTree(tmp_path)
        assert tree is not None
        list(tree.files())
        tree.read("file", 0, 1)
        tree = None
        gc.collect()
        assert open_descriptors() == before

    def test_a_closed_tree_refuses_to_work_and_closes_twice(self, on_disk: Build) -> None:
        tree = on_disk({"file": b"x"})
        list(tree.files())
        tree.close()
        tree.close()
        with pytest.raises(ValueError, match="closed"):
            tree.files()
        with pytest.raises(ValueError, match="closed"):
            tree.read("file", 0, 1)


class TestBeneath:
    @pytest.mark.parametrize(
        "path", ["file", "folder/inner", "missing", "folder", "link", "way/inner", "file/x", "loop/x", "f" * 256]
    )
    def test_both_ways_open_the_same_files_and_refuse_the_same_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        write_files(tmp_path, {"file": b"file", "folder/inner": b"inner"})
        (tmp_path / "link").symlink_to("file")
        (tmp_path / "way").symlink_to("folder")
        (tmp_path / "loop").symlink_to("loop")
        if not beneath._has_openat2():
            pytest.skip("this kernel has no openat2")
        by_one_call = opened(tmp_path, path)
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)
        assert opened(tmp_path, path) == by_one_call

    def test_openat2_is_in_use_on_linux(self) -> None:
        """A probe that quietly said no would leave the faster way untested."""
        if os.uname().sysname != "Linux" or tuple(int(n) for n in os.uname().release.split(".")[:2]) < (5, 6):
            pytest.skip("openat2 came with Linux 5.6")
        assert beneath._has_openat2()


def test_readable_shows_what_is_not_utf8_backslash_escaped() -> None:
    assert readable("a\udcffb/模") == "a\\xffb/模"


def opened(root: Path, path: str) -> bytes | str:
    """Return the content of *path* below *root*, or in one word why not."""
    folder = os.open(root, os.O_RDONLY)
    try:
        descriptor = beneath.open_beneath(folder, path, beneath.FILE_FLAGS)
    except OSError as exc:
        return "gone" if exc.errno in local_tree.GONE else errno.errorcode[exc.errno or 0]
    finally:
        os.close(folder)
    try:
        return os.pread(descriptor, 100, 0)
    except IsADirectoryError:
        return "folder"
    finally:
        os.close(descriptor)


def fail_on(monkeypatch: pytest.MonkeyPatch, path: str, code: int) -> None:
    """Make the opening of *path* below any tree fail with *code*."""
    real = local_tree.open_beneath
    monkeypatch.setattr(
        local_tree,
        "open_beneath",
        lambda folder, name, flags: raise_error(code) if name == path else real(folder, name, flags),
    )


def raise_error(code: int) -> int:
    raise OSError(code, os.strerror(code))


def open_descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def _all_are_trees(memory: MemoryTree, disk: LocalTree, counting: CountingTree) -> tuple[FileTree, ...]:
    """Checked by the type checker alone: the classes fit the protocol."""
    return memory, disk, counting


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_string_is_readable_as_utf8(path: str) -> None:
    shown = readable(path)
    assert readable(shown.encode("utf-8").decode("utf-8")) == shown


@given(st.text())
def test_what_is_unicode_is_shown_as_it_is(path: str) -> None:
    assert readable(path) == path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("w\udcff.bin", "w\\xff.bin"),
        ("\ud800.bin", "\\ud800.bin"),
        ("\udbff\udc7f", "\\udbff\\udc7f"),
        ("\udd00", "\\udd00"),
        ("\udc80", "\\x80"),
    ],
)
def test_half_a_surrogate_pair_is_escaped(path: str, shown: str) -> None:
    assert readable(path) == shown


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EACCES])
def test_a_name_that_cannot_be_looked_up_is_remarked_on_and_the_rest_is_listed(
    on_disk: Build, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    tree = on_disk({"a": b"", "odd": b"", "z": b""})
    stat_of = os.stat

    def stat(name: str, **how: object) -> os.stat_result:
        if name == "odd":
            raise OSError(code, os.strerror(code), name)
        return stat_of(name, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(local_tree.os, "stat", stat)
    assert [entry.path for entry in tree.files()] == ["a", "z"]
    assert tree.passed_over == (PassedOver("odd", Passed.UNREADABLE, f"may not be listed ({os.strerror(code)})"),)


def test_a_folder_that_cannot_be_opened_is_remarked_on_and_the_rest_is_listed(
    on_disk: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = on_disk({"a": b"", "odd/b": b""})
    opening = local_tree.open_beneath

    def open_or_refuse(root: int, path: str, flags: int) -> int:
        if path == "odd":
            raise OSError(errno.EINVAL, "Invalid argument", path)
        return opening(root, path, flags)

    monkeypatch.setattr(local_tree, "open_beneath", open_or_refuse)
    assert [entry.path for entry in tree.files()] == ["a"]
    assert tree.passed_over == (PassedOver("odd", Passed.UNREADABLE, "may not be listed (Invalid argument)"),)


def test_a_file_that_the_system_will_not_read_is_unreadable(on_disk: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = on_disk({"a": b"1234"})
    list(tree.files())

    def refuse(*_: object) -> bytes:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(local_tree.os, "pread", refuse)
    with pytest.raises(Unreadable, match="Invalid argument"):
        tree.read("a", 0, 4)
