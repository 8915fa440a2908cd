"""The manifest, its two digests, and the pass that reads each byte once."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.errors import TreeChanged, TreeUnavailable
from detectors.facts import Problem
from detectors.local_tree import LocalTree
from detectors.tree import FileEntry, MemoryTree
from detectors.wrapped_tree import FlakyTree
from tests.contracts.store import KEY, is_visible
from tests.contracts.store import read as read_back
from worker import manifest
from worker.manifest import Manifest, Takes, content_digest, oms_digest, read_once
from worker.records import FileDigest
from worker.storage.local import LocalStore
from worker.storage.memory import MemoryStore

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""FIPS 180-4, examples."""

paths = st.text(st.sampled_from("ab./\n\0\udcffé1"), min_size=1, max_size=6)
digests = st.sampled_from([EMPTY_SHA256, ABC_SHA256])
listings = st.lists(st.builds(FileDigest, paths, st.integers(0, 300), digests), unique_by=lambda file: file.path, max_size=5)


def file(path: str, sha256: str = ABC_SHA256, size: int = 3) -> FileDigest:
    return FileDigest(path, size, sha256)


def read(files: Mapping[str, bytes]) -> Manifest:
    tree = MemoryTree(files)
    return read_once(tree, tree.files(), None, no_checks, ignore)[0]


def no_checks(entry: FileEntry) -> None:
    return None


def ignore(count: int) -> None:
    return None


# --- the manifest and the content digest


def test_a_manifest_is_sorted_by_path() -> None:
    assert [it.path for it in Manifest((file("b"), file("a/c"), file("a.b"))).files] == ["a.b", "a/c", "b"]


def test_a_path_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'a' stands in the manifest twice"):
        Manifest((file("a"), file("b"), file("a", EMPTY_SHA256)))


@given(listings, st.randoms(use_true_random=False))
def test_the_manifest_does_not_depend_on_the_order_of_the_listing(files: list[FileDigest], random: object) -> None:
    shuffled = list(files)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = Manifest(tuple(files)), Manifest(tuple(shuffled))
    assert one == other
    assert content_digest(one) == content_digest(other)


@given(listings, paths)
def test_a_renamed_file_is_another_content(files: list[FileDigest], path: str) -> None:
    if path in {it.path for it in files}:
        return
    before = Manifest((*files, file("before it was renamed")))
    assert content_digest(before) != content_digest(Manifest((*files, file(path))))


@given(listings, listings)
def test_two_manifests_have_the_same_content_digest_only_if_they_are_equal(
    one: list[FileDigest], other: list[FileDigest]
) -> None:
    """Two manifests have the same content digest only if they are equal, whatever their file names hold."""
    first, second = Manifest(tuple(one)), Manifest(tuple(other))
    assert (content_digest(first) == content_digest(second)) == (first == second)


def test_no_file_name_forges_another_listing() -> None:
    """The bytes that stand for "a", and the name "b", are put into one name, before the size and digest of "b"."""

    def record(path: bytes) -> bytes:
        parts = (path, b"3", bytes.fromhex(ABC_SHA256))
        return b"".join(len(part).to_bytes(8, "big") + part for part in parts)

    two = Manifest((file("a"), file("b")))
    forged = record(b"a")[8:] + record(b"b")[:9]
    one = Manifest((file(forged.decode("utf-8", "surrogateescape")),))
    assert content_digest(one) != content_digest(two)


def test_the_content_digest_is_what_its_docstring_says() -> None:
    spelled = b"modelport manifest 1\n" + b"\0\0\0\0\0\0\0\x03a/\xff" + b"\0\0\0\0\0\0\0\x0212" + b"\0\0\0\0\0\0\0\x20"
    expected = hashlib.sha256(spelled + bytes.fromhex(ABC_SHA256)).hexdigest()
    assert content_digest(Manifest((file("a/\udcff", size=12),))) == f"sha256:{expected}"


def test_the_content_digest_never_changes_between_releases() -> None:
    model = Manifest((file("saved_model.pb"), file("variables/é", EMPTY_SHA256, 0)))
    assert content_digest(model) == "sha256:0565ce2a329424250153757b0af6a65675b7a1973cb4b63aa46c24797d5d295f"


# --- the root digest of OpenSSF Model Signing


def test_the_root_digest_leaves_paths_out() -> None:
    assert oms_digest(Manifest((file("a"),))) == oms_digest(Manifest((file("b"),)))


def test_the_root_digest_of_one_file_is_the_digest_of_its_digest() -> None:
    """The double SHA-256 of "abc"."""
    expected = "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"
    assert oms_digest(Manifest((file("a"),))) == f"sha256:{expected}"


MODELS = {
    "one file": {"model.onnx": b"abc"},
    "one empty file": {"empty": b""},
    "nothing": {},
    "folders before dots": {"a/b": b"1", "a.b": b"2", "a-b/c": b"3", "A": b"4"},
    "deep": {"saved_model.pb": b"g", "variables/variables.index": b"i", "variables/variables.data-00000-of-00001": b"d"},
    "repository": {".gitignore": b"1", ".git/config": b"2", "sub/.gitignore": b"3", ".gitattributes": b"4", ".github/x": b"5"},
    "hidden": {".gitfoo": b"1", ".a": b"2", "..b": b"3"},
    "odd": {"new\nline": b"1", "модель": b"2", "-rf": b"3", "n" * 255: b"4", " ": b"5", "\U0001f600": b"6", "\ue000": b"7"},
    "large": {"large": bytes(range(256)) * 9_000},
}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("files", MODELS.values(), ids=MODELS.keys())
def test_the_root_digest_is_the_one_of_the_signing_library(tmp_path: Path, files: Mapping[str, bytes]) -> None:
    from model_signing import hashing
    from model_signing._signing.signing import Payload

    write_files(tmp_path / "model", files)
    signed = Payload(hashing.hash(tmp_path / "model")).statement.pb.subject[0].digest["sha256"]
    assert oms_digest(read(files)) == f"sha256:{signed}"


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_the_root_digest_goes_on_where_the_signing_library_cannot_name_a_file(tmp_path: Path) -> None:
    """A name that is not UTF-8 is hashed in the library's order, though it cannot write its statement."""
    from model_signing import hashing

    files = {"\udcff": b"1", "\udcfe/x": b"2", "z": b"3", "\uffff": b"4"}
    write_files(tmp_path / "model", files)
    resources = hashing.hash(tmp_path / "model").resource_descriptors()
    root = hashlib.sha256(b"".join(resource.digest.digest_value for resource in resources)).hexdigest()
    assert oms_digest(read(files)) == f"sha256:{root}"


# --- the pass


class Recorder:
    """A check that remembers what it was fed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fed: list[bytes] = []

    def update(self, chunk: bytes) -> None:
        self.fed.append(chunk)

    def problems(self) -> tuple[Problem, ...]:
        return (Problem(self.path, f"{len(b''.join(self.fed))} bytes"),)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "CHUNK_BYTES", 4)


@pytest.mark.usefixtures("small_chunks")
def test_sizes_and_digests_are_those_of_the_bytes() -> None:
    found = read({"abc": b"abc", "empty": b"", "four": b"abcd", "nine": b"123456789"})
    assert found.files[:2] == (FileDigest("abc", 3, ABC_SHA256), FileDigest("empty", 0, EMPTY_SHA256))
    assert [(it.path, it.size, it.sha256) for it in found.files[2:]] == [
        ("four", 4, "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589"),
        ("nine", 9, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    ]


@pytest.mark.usefixtures("small_chunks")
def test_every_byte_goes_to_the_sink_the_check_and_the_progress_in_order() -> None:
    files = {"a": b"0123456789", "b/c": b"", "d": b"abcd"}
    tree, store, told = MemoryTree(files), MemoryStore(), []
    checks = {"a": Recorder("a"), "b/c": Recorder("b/c")}
    with store.writing(KEY) as open_sink:
        found, problems = read_once(tree, tree.files(), open_sink, lambda entry: checks.get(entry.path), told.append)
    assert read_back(store, store.url(KEY)) == files
    assert checks["a"].fed == [b"0123", b"4567", b"89"]
    assert problems == (Problem("a", "10 bytes"), Problem("b/c", "0 bytes"))
    assert told == [4, 4, 2, 0, 4]
    assert found == read(files)


def test_each_byte_is_read_once(small_chunks: None) -> None:
    class Noting(MemoryTree):
        ranges: ClassVar[list[tuple[str, int, int]]] = []

        def read(self, path: str, start: int, stop: int) -> bytes:
            self.ranges.append((path, start, stop))
            return super().read(path, start, stop)

    tree = Noting({"a": b"0123456789", "b": b"1"})
    read_once(tree, tree.files(), None, no_checks, ignore)
    assert tree.ranges == [("a", 0, 4), ("a", 4, 8), ("a", 8, 10), ("b", 0, 1)]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("listed", "there"), [(3, b"ab"), (4, b""), (8, b"0123"), (9, b"01234567"), (6, b"01234")])
def test_a_file_shorter_than_listed_is_tree_changed(listed: int, there: bytes) -> None:
    with pytest.raises(TreeChanged, match=f"was listed with {listed} bytes, found {len(there)}"):
        read_once(MemoryTree({"a": there}), [FileEntry("a", listed, "1")], None, no_checks, ignore)


def test_a_listed_file_that_is_gone_is_tree_changed_even_if_empty() -> None:
    with pytest.raises(TreeChanged):
        read_once(MemoryTree({}), [FileEntry("a", 0, "1")], None, no_checks, ignore)


@pytest.mark.usefixtures("small_chunks")
def test_any_read_that_fails_comes_out_and_leaves_nothing_in_the_store(tmp_path: Path) -> None:
    files = {"a": b"0123456789", "b/c": b"x", "d": b"abcd"}
    store, entries = LocalStore(tmp_path), tuple(MemoryTree(files).files())
    for nth in range(1, 6):
        tree = FlakyTree(MemoryTree(files), nth, TreeUnavailable("a", "not now"))
        with pytest.raises(TreeUnavailable), store.writing(KEY) as open_sink:
            read_once(tree, entries, open_sink, no_checks, ignore)
        assert not is_visible(store, KEY)


def test_a_sink_that_fails_stops_the_pass() -> None:
    @contextmanager
    def open_sink(entry: FileEntry) -> Iterator[Takes]:
        raise OSError("full")
        yield

    refused: AbstractContextManager[object] = pytest.raises(OSError, match="full")
    with refused:
        read_once(MemoryTree({"a": b"1"}), [FileEntry("a", 1, "1")], open_sink, no_checks, ignore)


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """A hundred chunks go by, a few are held."""
    (tmp_path / "model").mkdir()
    with open(tmp_path / "model/large", "wb") as large:
        os.ftruncate(large.fileno(), 100 * manifest.CHUNK_BYTES)
    with LocalTree(tmp_path / "model") as tree:
        entries = list(tree.files())
        tracemalloc.start()
        with LocalStore(tmp_path / "store").writing(KEY) as open_sink:
            read_once(tree, entries, open_sink, no_checks, ignore)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * manifest.CHUNK_BYTES
