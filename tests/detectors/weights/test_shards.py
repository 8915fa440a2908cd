"""Which files stand together by their names, and which of them are missing."""

from __future__ import annotations

import time

import pytest

from detectors.weights.shards import ShardSet, missing_shards, shard_set_of


def missing(*paths: str) -> list[str]:
    return [problem.path for problem in missing_shards(paths)]


def test_a_name_tells_its_set() -> None:
    assert shard_set_of("m/model-00001-of-00003.safetensors") == ShardSet("m/model", 3, ".safetensors")


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "model-1-of-3.bin", "model-00004-of-00003.bin", "m-00000-of-00000.bin", "w.data-00000-of-00001"],
)
def test_another_name_is_part_of_none(name: str) -> None:
    assert shard_set_of(name) is None


def test_the_others_of_a_set_are_named() -> None:
    assert missing("m/a-00002-of-00003.gguf") == ["m/a-00001-of-00003.gguf", "m/a-00003-of-00003.gguf"]


def test_a_set_that_is_there_misses_nothing() -> None:
    assert missing("a-00001-of-00002.bin", "a-00002-of-00002.bin", "b.bin") == []


def test_a_writer_may_count_from_nought() -> None:
    assert missing("a-00000-of-00002.bin", "a-00001-of-00002.bin") == []
    assert missing("a-00000-of-00002.bin") == ["a-00001-of-00002.bin"]


def test_folders_and_suffixes_are_sets_of_their_own() -> None:
    assert missing("x/a-00001-of-00002.bin", "y/a-00002-of-00002.bin", "x/a-00002-of-00002.pt") == [
        "x/a-00002-of-00002.bin", "x/a-00001-of-00002.pt", "y/a-00001-of-00002.bin"
    ]  # fmt: skip


def test_of_many_the_first_are_named_and_the_rest_is_counted() -> None:
    problems = list(missing_shards(["a-00001-of-99999.bin"]))
    assert len(problems) == 51
    assert (problems[0].path, problems[0].problem) == (
        "a-00002-of-99999.bin",
        "is one of 99999 files by their names, it is not there",
    )
    assert (problems[50].path, problems[50].problem) == ("a-00051-of-99999.bin", "and 99948 more files after this one")


def test_many_sets_of_many_files_are_answered_in_time() -> None:
    begun = time.process_time()
    count = sum(1 for _ in missing_shards(f"{i}-00001-of-99999.bin" for i in range(2000)))
    assert count == 2000 * 51
    assert time.process_time() - begun < 5
