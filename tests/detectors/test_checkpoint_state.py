"""The text file `checkpoint`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import checkpoint_state
from detectors.checkpoint_state import is_cut_off, latest_of
from detectors.detection import Contents
from detectors.errors import Unreadable
from detectors.tree import MemoryTree


def latest(data, folder="run"):
    tree = MemoryTree({f"{folder}/checkpoint" if folder else "checkpoint": data})
    return latest_of(Contents(tree, tree.files()), folder)


@pytest.mark.parametrize(
    ("line", "prefix"),
    [
        (b'model_checkpoint_path: "model.ckpt-12"', "run/model.ckpt-12"),
        (b'  model_checkpoint_path:"ckpt"', "run/ckpt"),
        (b'model_checkpoint_path: "/home/ann/run7/model.ckpt-12"', "run/model.ckpt-12"),
        (b'model_checkpoint_path: "../../etc/passwd"', "run/passwd"),
        (rb'model_checkpoint_path: "C:\\models\\model.ckpt-12"', "run/model.ckpt-12"),
        (rb'model_checkpoint_path: "mod\303\251l \"a\""', 'run/modél "a"'),
        (rb'model_checkpoint_path: "a\8b\9\0519"', "run/a8b9)9"),  # 8 and 9 are no octal digits
        (b'model_checkpoint_path: "model.ckpt-?????-of-00003"', "run/model.ckpt"),
        (b'all_model_checkpoint_paths: "a"\nmodel_checkpoint_path: "b"\nall_model_checkpoint_paths: "b"', "run/b"),
    ],
)
def test_the_last_component_of_the_path_counts_in_the_same_folder(line, prefix):
    assert latest(line + b"\n") == prefix


def test_the_folder_may_be_the_tree_itself():
    assert latest(b'model_checkpoint_path: "a/m"', "") == "m"


@pytest.mark.parametrize(
    "data",
    [b"", b"\x82\xa4step\x01", b'all_model_checkpoint_paths: "a"', b'model_checkpoint_path: "a', b"model_checkpoint_path: a"],
)
def test_another_file_of_that_name_names_nothing(data):
    assert latest(data) is None


def cut_off(data):
    tree = MemoryTree({"run/checkpoint": data})
    return is_cut_off(Contents(tree, tree.files()), "run")


def test_a_file_is_cut_off_wherever_a_line_of_it_does_not_end():
    text = b'model_checkpoint_path: "a"\nall_model_checkpoint_paths: "a"\nlast_preserved_timestamp: 1.5\n'
    ends = [size for size in range(len(text) + 1) if not cut_off(text[:size])]
    after_a_line, inside_the_number = [26, 27, 58, 59], [86, 87, 88, 89]
    assert ends == after_a_line + inside_the_number


@pytest.mark.parametrize("data", [b"\x82\xa4step\x01", b"hello", b'all_model_checkpoint_paths: "a'])
def test_another_file_of_that_name_is_not_cut_off(data):
    assert not cut_off(data)


def test_a_folder_without_the_file_names_nothing():
    assert latest_of(Contents(MemoryTree({}), ()), "run") is None


def test_a_file_beyond_the_limit_is_not_read(monkeypatch):
    monkeypatch.setattr(checkpoint_state, "MAX_STATE_BYTES", 10)
    assert latest(b'model_checkpoint_path: "a"') is None


def test_a_file_that_may_not_be_read_names_nothing_and_is_told():
    class Forbidden(MemoryTree):
        def read(self, path, start, stop):
            raise Unreadable(path, "permission denied")

    tree = Forbidden({"run/checkpoint": b"x"})
    contents = Contents(tree, tree.files())
    assert latest_of(contents, "run") is None
    assert contents.unread == {"run/checkpoint": "permission denied"}


@given(st.binary(max_size=60))
def test_any_name_gives_a_path_in_the_folder(name):
    found = latest(b'model_checkpoint_path: "' + name + b'"')
    assert found is None or (found.startswith("run/") and "/" not in found[4:])
