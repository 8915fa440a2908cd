"""What lies in tars and compressed files, without unpacking them to anywhere."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import MalformedModel, ModelError, ModelLimit, TreeChanged
from detectors.executables import containers
from detectors.executables.containers import TarTree, unpacked
from detectors.executables.kinds import BZIP, GZIP, LZMA, XZ, ZLIB, Kind
from detectors.tree import MemoryTree
from detectors.wire import Window
from tests.attacks.pickles import tar_of


def window(data: bytes) -> Window:
    return Window(MemoryTree({"a": data}), "a", len(data))


def test_a_tar_is_read_as_tar_reads_it() -> None:
    tree = TarTree(window(tar_of({"b/c": b"x" * 700, "a": b"", "d": b"123"})), 9)
    assert [(entry.path, entry.size) for entry in tree.files()] == [("a", 0), ("b/c", 700), ("d", 3)]
    assert tree.read("d", 1, 9) == b"23"
    assert tree.read("b/c", 690, 700) == b"x" * 10
    assert tree.read("a", 0, 5) == b""
    with pytest.raises(TreeChanged):
        tree.read("e", 0, 1)


@given(st.binary(max_size=60), st.integers(0, 2_000))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_a_tree_or_a_model_error(more: bytes, place: int) -> None:
    data = tar_of({"a": b"x" * 600, "b": b"y"})
    for damaged in (more, data[:place] + more + data[place + len(more) :], data[:place]):
        try:
            tree = TarTree(window(damaged), 100)
        except ModelError:
            continue
        for entry in tree.files():
            tree.read(entry.path, 0, min(entry.size, 100))


def test_a_size_beyond_the_end_is_damage() -> None:
    data = tar_of({"a": b"x"})
    for size in (b"77777777777\0", b"\x80" + bytes(3) + b"\xff" * 8, b"9\0\0\0\0\0\0\0\0\0\0\0"):
        with pytest.raises(MalformedModel):
            TarTree(window(data[:124] + size + data[136:]), 9)


def test_a_tar_of_more_files_than_are_wanted_is_a_limit() -> None:
    with pytest.raises(ModelLimit, match="MAX_FILES"):
        TarTree(window(tar_of({"a": b"", "b": b""})), 2)


PACKERS: list[tuple[Kind, Callable[[bytes], bytes]]] = [
    (GZIP, gzip.compress),
    (BZIP, bz2.compress),
    (XZ, lzma.compress),
    (ZLIB, zlib.compress),
    (LZMA, lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
]


@pytest.mark.parametrize(("kind", "pack"), PACKERS)
def test_the_beginning_is_unpacked(kind: Kind, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    assert unpacked(window(pack(b"abc" * 9)), kind) == (b"abc" * 9, True)
    assert unpacked(window(pack(b"abc" * 9)[:-1]), kind)[1] is False
    monkeypatch.setattr(containers, "MAX_UNPACKED_BYTES", 1000)
    data, is_all = unpacked(window(pack(bytes(10_000_000))), kind)
    assert (len(data), is_all) == (1000, False)


@pytest.mark.parametrize(("kind", "pack"), PACKERS)
def test_streams_that_follow_one_another_are_one_file(kind: Kind, pack: Callable[[bytes], bytes]) -> None:
    data = pack(b"") + pack(b"ab") + pack(b"c")
    assert unpacked(window(data), kind) == (b"abc", True)
    assert unpacked(window(data), kind, len(data) - 1)[1] is False
    assert unpacked(window(data + b"something else"), kind) == (b"abc", True)
    assert unpacked(window(pack(b"a") * (containers.MAX_STREAMS + 1)), kind) == (b"a" * containers.MAX_STREAMS, False)


def test_what_comes_before_damage_counts() -> None:
    packed = gzip.compress(random.Random(0).randbytes(50_000), mtime=0)
    data, is_all = unpacked(window(packed[:-8] + bytes(8)), GZIP)
    assert len(data) > 40_000
    assert not is_all


@pytest.mark.parametrize("kind", [GZIP, BZIP, XZ, ZLIB])
def test_damaged_bytes_are_malformed(kind: Kind) -> None:
    with pytest.raises(MalformedModel):
        unpacked(window(b"\x1f\x8b\x08\xff" + b"\xff" * 50), kind)
