"""The way to a path whose links stay inside one folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from detectors import beneath
from detectors.follow import MAX_NAMES, follow


@pytest.fixture(params=["openat2", "openat"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `real`, with `m/model.onnx` in it, reached by the link `root`; both ways of opening are tried."""
    if request.param == "openat":
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)
    (tmp_path / "real" / "m").mkdir(parents=True)
    (tmp_path / "real" / "m" / "model.onnx").write_bytes(b"model")
    (tmp_path / "outside" / "m").mkdir(parents=True)
    (tmp_path / "root").symlink_to("real")
    return tmp_path / "root"


def code_of(root: Path, way: str) -> str:
    """Return the name of the error that *way* ends with."""
    with pytest.raises(OSError, match="Errno") as caught:
        follow(str(root), way)
    return errno.errorcode[caught.value.errno or 0]


@pytest.mark.parametrize("way", [".", "", "m", "m/model.onnx", "./m//model.onnx"])
def test_a_way_without_links_is_itself_below_the_real_folder(root: Path, way: str) -> None:
    assert follow(str(root), way) == os.path.normpath(root.parent / "real" / way)


@pytest.mark.parametrize("target", ["m", "./m/", "m/../m", "{root}/m", "{real}/m", "{real}//./m/"])
def test_a_link_inside_is_followed_whether_relative_or_absolute(root: Path, target: str) -> None:
    (root / "link").symlink_to(target.format(root=root, real=root.parent / "real"))
    assert follow(str(root), "link/model.onnx") == str(root.parent / "real" / "m" / "model.onnx")


def test_a_link_in_a_deeper_folder_is_seen_from_there(root: Path) -> None:
    (root / "m" / "up").symlink_to("../m/model.onnx")
    (root / "first").symlink_to("m/up")
    assert follow(str(root), "first") == str(root.parent / "real" / "m" / "model.onnx")


@pytest.mark.parametrize("behind", ["", "/m", "/missing", "/m/../missing", "/link", "/dangling"])
@pytest.mark.parametrize(
    "way_out", ["{base}/outside", "../outside", "m/../../outside", "/proc/self/cwd", "/", "../real", "{base}"]
)
def test_what_a_link_that_leads_out_names_makes_no_difference(root: Path, way_out: str, behind: str) -> None:
    (root.parent / "outside" / "link").symlink_to("m")
    (root.parent / "outside" / "dangling").symlink_to("missing")
    (root / "peek").symlink_to(way_out.format(base=root.parent))
    assert code_of(root, "peek" + behind) == "EXDEV"


def test_a_link_that_leads_out_and_in_again_is_refused_before_it_is_out(root: Path) -> None:
    """Else its being followed would tell that there is a folder `outside`."""
    for name in ("outside", "missing"):
        (root / name).symlink_to(f"{root.parent}/{name}/../real/m")
        assert code_of(root, name) == "EXDEV"


def test_a_name_that_only_begins_like_the_folder_is_outside(root: Path) -> None:
    (root.parent / "realm").mkdir()
    (root / "link").symlink_to(root.parent / "realm")
    assert code_of(root, "link") == "EXDEV"


@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("missing", "ENOENT"),
        ("dangling", "ENOENT"),
        ("m/model.onnx/x", "ENOTDIR"),
        ("n" * 300, "ENAMETOOLONG"),
        ("loop", "ELOOP"),
    ],
)
def test_what_is_missing_inside_is_said_as_the_system_says_it(root: Path, way: str, code: str) -> None:
    (root / "dangling").symlink_to("m/missing")
    (root / "loop").symlink_to("loop")
    assert code_of(root, way) == code


def test_a_way_is_followed_for_so_many_names(root: Path) -> None:
    ups = "/".join(["m", ".."] * 200)
    for number in range(30):
        (root / f"l{number}").symlink_to(f"{ups}/l{number + 1}")
    (root / "l30").symlink_to("m")
    assert MAX_NAMES < 30 * 400
    assert code_of(root, "l0") == "ENAMETOOLONG"
    assert follow(str(root), "l29") == str(root.parent / "real" / "m")


def test_a_folder_swapped_for_a_link_on_the_way_leads_nowhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readlink = os.readlink

    def look_and_swap(name: str, *, dir_fd: int | None = None) -> str:
        try:
            return readlink(name, dir_fd=dir_fd)
        finally:
            if name == "m":
                (root / "m").rename(root / "moved")
                (root / "m").symlink_to("../outside")

    monkeypatch.setattr(os, "readlink", look_and_swap)
    assert code_of(root, "m/m") in ("ELOOP", "ENOTDIR")
