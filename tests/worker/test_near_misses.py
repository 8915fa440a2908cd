"""What is nearly a model: nearest first, few, and the same for every order of listing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detectors.tree import FileEntry
from worker.near_misses import MOST, closest, near_misses

PATHS = (
    *("1/variables/a.txt", "2/assets/b.txt", "a.onnx.tmp", "b.dvc", "c.zip", "d.engine", "saved_model (2).pb", "weights"),
    *("run/gradient-model-metadata.json", "model.data-00000-of-00002", "notes.md"),
)


def entries(*paths: str) -> list[FileEntry]:
    return [FileEntry(path, 1, "1") for path in paths]


@given(st.permutations(PATHS))
def test_the_order_of_listing_never_matters(paths: list[str]) -> None:
    assert near_misses(entries(*paths)) == near_misses(entries(*PATHS))


def test_the_nearest_comes_first_and_not_all_are_told() -> None:
    found = near_misses(entries(*(f"{number:02}.zip" for number in range(20)), "z.onnx.part"))
    assert len(found) == MOST
    assert found[0] == "z.onnx.part: named like a file that is still being written; its writer would call it z.onnx"


def test_a_checkpoint_whose_index_is_missing_is_told_once() -> None:
    found = near_misses(entries("m.data-00000-of-00002", "m.data-00001-of-00002"))
    assert found[0] == "m.data-\u2026: a part of a checkpoint, but m.index is missing"
    assert sum("m.index" in sentence for sentence in found) == 1


def test_a_name_that_is_not_utf8_is_told_readably() -> None:
    assert near_misses(entries("a\udcff.zip"))[0].startswith("a\\xff.zip: an archive")


def test_what_may_have_been_meant_is_found_whatever_its_case() -> None:
    names = ["MNIST-7", "mnist-9", "other"]
    assert closest("mnist-8", names) == ["mnist-9", "MNIST-7"]
    assert closest("zzz", names) == []
