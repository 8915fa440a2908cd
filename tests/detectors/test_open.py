"""Opening what a person named: a folder, or a file with what belongs to it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from detectors.errors import TreeChanged, TreeUnavailable, Unreadable
from detectors.facts import ModelType
from detectors.local_tree import LocalTree
from detectors.open import open_path, scan_path
from detectors.scan import Verdict, scan
from tests.builders import onnx, saved_model

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


def names(path: Path) -> list[str]:
    with open_path(path) as tree:
        return [entry.path for entry in tree.files()]


def test_a_folder_is_its_tree(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"")
    assert names(tmp_path) == ["a/b"]


def test_a_lone_model_is_one_file_without_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx.model())
    (tmp_path / "n.onnx").write_bytes(onnx.model())
    assert names(tmp_path / "m.onnx") == ["m.onnx"]


def test_a_model_with_external_data_brings_it_along(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(24))
    (tmp_path / "other.bin").write_bytes(b"x")
    initializer = onnx.external_tensor(location="w.bin", offset="0", length="24")
    (tmp_path / "m.onnx").write_bytes(onnx.model(onnx.small_graph(initializers=[initializer])))
    assert names(tmp_path / "m.onnx") == ["m.onnx", "w.bin"]


def test_a_saved_model_file_brings_its_folder_along() -> None:
    assert names(EXAMPLE / "1767261900" / "saved_model.pb") == [
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]


def test_an_index_brings_its_shards_along() -> None:
    found = names(EXAMPLE / "digits" / "model.ckpt-900.index")
    assert "model.ckpt-900.data-00000-of-00001" in found
    assert not any(name.startswith("model.ckpt-1200") for name in found)


def test_a_file_of_no_model_is_itself(tmp_path: Path) -> None:
    (tmp_path / "notes.bin").write_bytes(b"nothing")
    (tmp_path / "m.onnx").write_bytes(onnx.model())
    assert names(tmp_path / "notes.bin") == ["notes.bin"]


def test_nothing_and_nonfiles_are_told(tmp_path: Path) -> None:
    with pytest.raises(TreeUnavailable, match="there is nothing at this path"), open_path(tmp_path / "missing"):
        pass
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Unreadable), open_path(tmp_path / "fifo"):
        pass


def test_a_lone_model_is_scanned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx.model())
    reads: list[tuple[int, int]] = []
    read = LocalTree.read

    def counted(tree: LocalTree, path: str, start: int, stop: int) -> bytes:
        reads.append((start, stop))
        return read(tree, path, start, stop)

    monkeypatch.setattr(LocalTree, "read", counted)
    found = scan_path(tmp_path / "m.onnx")
    assert len(found.models) == 1
    assert sum(stop - start for start, stop in reads) == found.read.bytes


@pytest.mark.parametrize("declared", [None, *ModelType])
@pytest.mark.parametrize("name", ["digits.onnx", "1767261900/saved_model.pb", "digits/model.ckpt-900.index", "digits"])
def test_a_path_is_scanned_as_it_is_opened(name: str, declared: ModelType | None) -> None:
    with open_path(EXAMPLE / name) as tree:
        expected = scan(tree, declared)
    found = scan_path(EXAMPLE / name, declared)
    assert replace(found, read=expected.read) == expected


def test_the_folder_of_a_lone_file_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(EXAMPLE / "digits.onnx", tmp_path / "digits.onnx")
    monkeypatch.chdir(tmp_path)
    assert names(Path("digits.onnx")) == ["digits.onnx"]


def outside_links(path: Path) -> list[str]:
    return [finding.path for finding in scan_path(path).findings if finding.rule == "link-outside"]


@pytest.mark.parametrize("link", ["link", "variables/link", "assets/deep/link"])
def test_a_saved_model_shows_the_same_links_by_its_file_and_by_its_folder(link: str, tmp_path: Path) -> None:
    model = tmp_path / "m"
    shutil.copytree(EXAMPLE / "1767261900", model)
    (model / link).parent.mkdir(parents=True, exist_ok=True)
    (model / link).symlink_to("/etc/passwd")
    assert outside_links(model) == outside_links(model / "saved_model.pb") == [link]
    assert scan_path(model / "saved_model.pb").verdict is scan_path(model).verdict is Verdict.FINDINGS


def test_a_saved_model_that_is_whole_without_its_folder_is_looked_at_with_it(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(saved_model.saved_model(saved_model.meta_graph()))
    (tmp_path / "variables").symlink_to("/etc")
    assert outside_links(tmp_path) == outside_links(tmp_path / "saved_model.pb") == ["variables"]


def test_links_beside_a_model_of_several_files_are_not_its_own_and_those_in_its_folders_are(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(bytes(24))
    for place in ("", "weights/", "other/"):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / f"{place}link").symlink_to("/etc/passwd")
    initializer = onnx.external_tensor(location="weights/w.bin", offset="0", length="24")
    (tmp_path / "m.onnx").write_bytes(onnx.model(onnx.small_graph(initializers=[initializer])))
    assert outside_links(tmp_path / "m.onnx") == ["weights/link"]


@pytest.mark.parametrize("name", ["m", "m/model.onnx", "m/part.onnx", "."])
def test_a_path_beneath_a_folder_is_opened_as_without_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "w.bin").write_bytes(bytes(24))
    (tmp_path / "m" / "model.onnx").write_bytes(onnx.model())
    initializer = onnx.external_tensor(location="w.bin", offset="0", length="24")
    (tmp_path / "m" / "part.onnx").write_bytes(onnx.model(onnx.small_graph(initializers=[initializer])))
    with open_path(tmp_path / name, beneath=str(tmp_path)) as tree:
        assert [entry.path for entry in tree.files()] == names(tmp_path / name)


@pytest.mark.parametrize("name", ["m", "m/model.onnx", "m/deep", "m/deep/model.onnx"])
def test_a_path_beneath_a_folder_is_not_reached_through_a_link(name: str, tmp_path: Path) -> None:
    """Whoever opens has resolved the links before; one that is there now was put there in between."""
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    for place in ("outside", "outside/deep"):
        (tmp_path / place / "model.onnx").write_bytes(onnx.model())
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "m").symlink_to("../outside")
    with pytest.raises((TreeChanged, Unreadable)), open_path(tmp_path / "root" / name, beneath=str(tmp_path / "root")):
        pass


def test_a_path_that_does_not_lie_beneath_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(Unreadable, match="lies outside"), open_path(tmp_path, beneath=str(tmp_path / "root")):
        pass


def test_a_folder_that_cannot_be_opened_beneath_another_leaves_no_handle(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for name in ("missing", "file/x"):
        (tmp_path / "file").write_text("")
        with pytest.raises((TreeUnavailable, TreeChanged)):
            LocalTree(tmp_path / name, beneath=str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before
