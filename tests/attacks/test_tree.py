"""Hostile trees on disk: whatever lies below the root, nothing outside is read and nothing hangs."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from detectors import beneath
from detectors.errors import DetectorError, TreeChanged, TreeLimit, Unreadable
from detectors.local_tree import LocalTree
from detectors.tree import Passed
from worker.storage.folders import opened_folder, remove_folder

MARKER = b"this lies outside the tree"


@pytest.fixture(params=["openat2", "part by part"])
def way_of_opening(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attack is tried on both ways of opening a file."""
    if request.param == "part by part":
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)


@pytest.fixture
def root(tmp_path: Path, way_of_opening: None) -> Iterator[Path]:
    """A folder with one honest file, beside a secret. Emptied afterwards without recursion, which pytest's own way is not."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(MARKER)
    (tmp_path / "root/folder").mkdir(parents=True)
    (tmp_path / "root/honest").write_bytes(b"honest")
    yield tmp_path / "root"
    with opened_folder(tmp_path) as above:
        remove_folder(above, "root")


@pytest.fixture
def tree(root: Path) -> Iterator[LocalTree]:
    with LocalTree(root) as tree:
        yield tree


def listed(tree: LocalTree) -> list[str]:
    return [entry.path for entry in tree.files()]


def only_remark(tree: LocalTree) -> Passed:
    """Return why the one thing was passed over, after checking that only the honest file is listed."""
    assert listed(tree) == ["honest"]
    (passed,) = tree.passed_over
    return passed.why


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/etc/passwd", id="an absolute link to a file that everybody has"),
        pytest.param("/", id="an absolute link to everything"),
        pytest.param("../outside/secret", id="a relative link out of the tree"),
        pytest.param("../outside", id="a link to a folder outside"),
        pytest.param("folder/../../outside/secret", id="a link that goes in before it goes out"),
        pytest.param("../root/honest", id="a link that goes out before it comes in"),
        pytest.param("link", id="a link to itself"),
        pytest.param("link/deeper", id="a link to something below itself"),
        pytest.param("missing", id="a link to nothing"),
        pytest.param("honest/", id="a link through a file"),
        pytest.param("honest/../../outside/secret", id="a link out through a file"),
        pytest.param("/proc/self/root/etc/passwd", id="a link through a magic link"),
        pytest.param("/proc/self/fd/0", id="a link to an open descriptor"),
        pytest.param("../" * 1000 + "etc/passwd", id="a link far above the root"),
    ],
)
def test_a_link_that_leads_out_or_nowhere_is_named_and_not_followed(root: Path, tree: LocalTree, target: str) -> None:
    (root / "link").symlink_to(target)
    assert only_remark(tree) is Passed.LINK_OUTSIDE
    with pytest.raises(TreeChanged):
        tree.read("link", 0, 100)


def test_a_link_to_the_tree_itself_does_not_make_the_listing_endless(root: Path, tree: LocalTree) -> None:
    (root / "folder/again").symlink_to("..")
    assert only_remark(tree) is Passed.LINK_INSIDE


def test_two_links_to_each_other_are_told_apart_from_links_inside(root: Path, tree: LocalTree) -> None:
    (root / "ping").symlink_to("pong")
    (root / "pong").symlink_to("ping")
    assert listed(tree) == ["honest"]
    assert [passed.why for passed in tree.passed_over] == [Passed.LINK_OUTSIDE, Passed.LINK_OUTSIDE]


def test_a_chain_of_100_links_is_given_up_where_the_kernel_gives_up(root: Path, tree: LocalTree) -> None:
    """Link n leads through n others; the kernel follows 40."""
    (root / "link000").symlink_to("honest")
    for n in range(1, 100):
        (root / f"link{n:03}").symlink_to(f"link{n - 1:03}")
    assert listed(tree) == ["honest"]
    assert [passed.why for passed in tree.passed_over] == [Passed.LINK_INSIDE] * 40 + [Passed.LINK_OUTSIDE] * 60


def test_links_that_double_at_each_step_cost_no_more_than_the_limit(root: Path, tree: LocalTree) -> None:
    """Each link names the next one many times over, so that following them naively takes 10 ** 30 steps."""
    for n in range(10):
        (root / f"bomb{n}").symlink_to(f"bomb{n + 1}/.." + f"/bomb{n + 1}/.." * 300)
    (root / "bomb10").symlink_to("folder")
    begun = time.process_time()
    assert listed(tree) == ["honest"]
    assert time.process_time() - begun < 10


def test_a_fifo_is_passed_over_and_never_waited_for(root: Path, tree: LocalTree) -> None:
    os.mkfifo(root / "fifo")
    assert only_remark(tree) is Passed.SPECIAL


@pytest.mark.parametrize("has_writer", [False, True])
def test_reading_never_waits_for_anything_but_the_disk(root: Path, tree: LocalTree, has_writer: bool) -> None:
    """A file became a FIFO after listing: opening one without a writer waits, and so does reading one that is empty."""
    listed(tree)
    (root / "honest").unlink()
    os.mkfifo(root / "honest")
    ends = [os.open(root / "honest", mode | os.O_NONBLOCK) for mode in (os.O_RDONLY, os.O_WRONLY) if has_writer]
    begun = time.monotonic()
    with pytest.raises(Unreadable):
        tree.read("honest", 0, 1)
    assert time.monotonic() - begun < 1
    for end in ends:
        os.close(end)


def test_a_file_that_becomes_a_socket_after_listing_is_refused(root: Path, tree: LocalTree) -> None:
    listed(tree)
    (root / "honest").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "honest"))
    with pytest.raises(Unreadable):
        tree.read("honest", 0, 1)


def test_a_file_that_becomes_a_folder_after_listing_is_refused(root: Path, tree: LocalTree) -> None:
    listed(tree)
    (root / "honest").unlink()
    (root / "honest").mkdir()
    with pytest.raises(Unreadable):
        tree.read("honest", 0, 1)


def test_a_device_is_passed_over_and_one_that_takes_the_place_of_a_file_is_refused(root: Path, tree: LocalTree) -> None:
    """/dev/zero as a model: a file without an end."""
    try:
        os.mknod(root / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")
    assert only_remark(tree) is Passed.SPECIAL
    os.rename(root / "zero", root / "honest")
    with pytest.raises(Unreadable):
        tree.read("honest", 0, 1)


def test_a_sparse_file_of_a_tebibyte_costs_what_is_read_of_it(root: Path, tree: LocalTree) -> None:
    (root / "sparse").touch()
    os.truncate(root / "sparse", 1 << 40)
    assert {entry.path: entry.size for entry in tree.files()}["sparse"] == 1 << 40
    assert tree.read("sparse", (1 << 40) - 3, 1 << 41) == b"\0\0\0"


def test_names_that_are_not_utf8_or_very_long_are_listed_and_read(root: Path, tree: LocalTree) -> None:
    names = [b"\xff\xfe\x80.onnx", b"\n\r\t\x1b[31m", b"n" * 255, b"\xed\xa0\x80"]
    for name in names:
        (root / os.fsdecode(name)).write_bytes(name)
    assert listed(tree) == sorted(["honest", *map(os.fsdecode, names)])
    for name in names:
        assert tree.read(os.fsdecode(name), 0, 300) == name


def test_paths_longer_than_a_system_call_takes_are_listed_and_read(root: Path, tree: LocalTree) -> None:
    """40 folders with names of 200 bytes: 8,000 bytes of path, where the kernel takes 4,095."""
    with deep_folder(root, 40, "d" * 200) as descriptor:
        os.close(os.open("model", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    deep = "/".join(["d" * 200] * 40) + "/model"
    assert listed(tree) == [deep, "honest"]
    assert tree.read(deep, 0, 1) == b""


def test_a_thousand_folders_inside_each_other_are_listed(root: Path, tree: LocalTree) -> None:
    """Neither the stack of calls nor the number of open descriptors grows with the depth."""
    limit = sys.getrecursionlimit()
    with deep_folder(root, 1000, "d") as descriptor:
        os.close(os.open("model", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    sys.setrecursionlimit(200)
    try:
        assert listed(tree) == ["d/" * 1000 + "model", "honest"]
    finally:
        sys.setrecursionlimit(limit)


def test_many_files_end_at_the_limit_and_not_in_memory(root: Path) -> None:
    for n in range(50):
        (root / f"folder/{n}").touch()
    with LocalTree(root, max_files=20) as tree, pytest.raises(TreeLimit):
        tree.files()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permissions_is_listed_and_unreadable(root: Path, tree: LocalTree) -> None:
    (root / "honest").chmod(0)
    assert listed(tree) == ["honest"]
    with pytest.raises(Unreadable):
        tree.read("honest", 0, 1)


def test_a_file_replaced_by_a_link_after_listing_is_never_followed(root: Path, tree: LocalTree) -> None:
    listed(tree)
    (root / "honest").unlink()
    (root / "honest").symlink_to("../outside/secret")
    with pytest.raises(TreeChanged):
        tree.read("honest", 0, 100)


def test_a_folder_replaced_by_a_link_after_listing_is_never_followed(root: Path, tree: LocalTree) -> None:
    """The last part of the path is an honest file name; the swapped link is in the middle of it."""
    (root / "folder/secret").write_bytes(b"x" * len(MARKER))
    listed(tree)
    (root / "folder").rename(root / "moved")
    (root / "folder").symlink_to("../outside")
    with pytest.raises(TreeChanged):
        tree.read("folder/secret", 0, 100)


def test_a_hard_link_to_another_file_in_place_of_the_listed_one_is_tree_changed(root: Path, tree: LocalTree) -> None:
    listed(tree)
    (root / "honest").unlink()
    os.link(root.parent / "outside/secret", root / "honest")
    with pytest.raises(TreeChanged):
        tree.read("honest", 0, 100)


def test_no_byte_from_outside_the_root_is_ever_read(root: Path, tree: LocalTree) -> None:
    """No byte from outside the root is ever read, whatever is swapped for a link in the meantime.

    One thread swaps a file and a folder 10,000 times for links to a secret; another lists and reads them.
    """
    (root / "folder/secret").write_bytes(b"inside")
    swapper = threading.Thread(target=swap, args=(root, 5_000), daemon=True)
    swapper.start()
    seen, refused = set(), 0
    while swapper.is_alive():
        for entry in tree.files():
            try:
                seen.add(tree.read(entry.path, 0, 100))
            except DetectorError:
                refused += 1
    assert seen <= {b"inside", b"honest"}
    assert refused, "the race was never met, so nothing was tried"


def swap(root: Path, times: int) -> None:
    """Replace `honest` and `folder` by links and put them back."""
    os.symlink("../outside/secret", root / ".link-file")
    os.symlink("../outside", root / ".link-folder")
    for _ in range(times):
        for name, link in (("honest", ".link-file"), ("folder", ".link-folder")):
            os.rename(root / name, root / f".{name}")
            os.rename(root / link, root / name)
            os.rename(root / name, root / link)
            os.rename(root / f".{name}", root / name)


@contextlib.contextmanager
def deep_folder(root: Path, depth: int, name: str) -> Iterator[int]:
    """Make *depth* folders inside each other and yield the descriptor of the innermost."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        deeper = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    try:
        yield here
    finally:
        os.close(here)
