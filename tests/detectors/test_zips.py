"""Zips as models are stored in: the same walk as for uploads (tests/worker/test_archive.py), over a window of a file.

The public zips are those with which PyPI tests its own checks, made by the project "malo".
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from struct import pack
from zipfile import ZIP_DEFLATED, ZipFile
from zlib import MAX_WBITS, decompress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import zips
from detectors.errors import MalformedModel, ModelError
from detectors.tree import MemoryTree
from detectors.wire import Window
from detectors.zips import AmbiguousZip, ClosedZip, CutOffZip, DamagedZip, ZipTree, entries_of, of_window
from tests.builders.zips import deflated, end, extra, stored, streamed, zipped

FOLDER = Path(os.environ.get("MODELPORT_HOSTILE", "/nowhere")) / "zip"

HIDES_BYTES = frozenset({"short_usize.zip", "short_usize_zip64.zip"})
"""PyPI's reader takes these two: a file of 51 bytes of which `zipfile` shows 9 and others all, with code in it
(docs/decisions/0025)."""


def opened(data: bytes) -> ZipTree:
    window = Window(MemoryTree({"m.keras": data}), "m.keras", len(data))
    return ZipTree(of_window(window), len(data), "m.keras")


def files_in(data: bytes) -> dict[str, bytes]:
    tree = opened(data)
    return {entry.path: tree.read(entry.path, 0, entry.size) for entry in tree.files()}


@pytest.mark.skipif(not FOLDER.exists(), reason="MODELPORT_HOSTILE does not name a folder with zips")
class TestPublicZips:
    def test_all_that_pypi_refuses_are_refused(self) -> None:
        refused = sorted((FOLDER / "reject").iterdir())
        assert len(refused) == 35
        for path in refused:
            with pytest.raises((AmbiguousZip, DamagedZip)):
                files_in(path.read_bytes())

    def test_all_that_pypi_takes_are_read_but_two_that_hide_bytes(self) -> None:
        taken = sorted((FOLDER / "accept").iterdir())
        assert len(taken) == 10
        for path in taken:
            if path.name in HIDES_BYTES:
                with pytest.raises((AmbiguousZip, DamagedZip)):
                    files_in(path.read_bytes())
            else:
                files_in(path.read_bytes())

    @pytest.mark.parametrize("name", sorted(HIDES_BYTES))
    def test_of_those_two_readers_see_different_files(self, name: str) -> None:
        """Who goes by the size that is told stops after 9 bytes, in silence; who goes by the data gets all of them."""
        data = (FOLDER / "accept" / name).read_bytes()
        with ZipFile(io.BytesIO(data)) as opened_by_python:
            (member,) = opened_by_python.infolist()
            assert opened_by_python.read(member) == b"# benign\n"
            assert opened_by_python.testzip() is None
        begin = 30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
        packed = data[begin : begin + member.compress_size]
        whole = decompress(packed, -MAX_WBITS) if member.compress_type == ZIP_DEFLATED else packed
        assert whole == b"# benign\nprint('malicious')\n# 12323013111123311000\n"
        with pytest.raises(AmbiguousZip):
            files_in(data)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100), st.binary(max_size=60))
def test_any_bytes_give_a_tree_or_a_model_error(before: bytes, behind: bytes) -> None:
    for data in (before + behind, before + zipped(stored(b"a")) + behind, before + behind + end(1, 46, len(before))):
        try:
            files_in(data)
        except ModelError:
            continue


def test_what_cannot_be_read_is_not_called_ambiguous() -> None:
    """Encrypted, and packed by a method of others: closed, which says nothing against it."""
    for member in (stored(b"a", flags=1), stored(b"a", method=12), stored(b"a", method=93)):
        with pytest.raises(ClosedZip) as caught:
            opened(zipped(member))
        assert not isinstance(caught.value, MalformedModel)


def test_a_zip_cut_off_anywhere_is_told_as_that() -> None:
    data = zipped(stored(b"a/data.pkl", b"0123456789"), deflated(b"b", bytes(5000)))
    commented = data[:-2] + pack("<H", 40) + b"a comment of forty bytes stands here...."
    for whole in (data, commented):
        for size in range(len(whole)):
            with pytest.raises(CutOffZip):
                opened(whole[:size])


def test_one_byte_that_was_changed_is_damage() -> None:
    """By the CRC, by the end of what is deflated, or by its size: nobody gets another file out of it."""
    data = bytearray(zipped(stored(b"a", b"0123456789")))
    data[31] ^= 1
    with pytest.raises(DamagedZip, match="expected bytes with CRC"):
        files_in(bytes(data))


def test_the_directory_alone_tells_names_sizes_and_places() -> None:
    data = zipped(stored(b"a/data.pkl", b"0123456789"), stored(b"empty", b""), deflated(b"b", bytes(5000)))
    reads: list[tuple[int, int]] = []

    class Counted(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            reads.append((start, stop))
            return super().read(path, start, stop)

    found = entries_of(Window(Counted({"z": data}), "z", len(data), 64))
    assert [(one.name, one.size, one.at) for one in found] == [("a/data.pkl", 10, 0), ("empty", 0, 50), ("b", 5000, 85)]
    assert min(start for start, _ in reads) > 85


def test_the_bytes_of_what_is_stored_need_not_be_read() -> None:
    """PyTorch stores tensors before it tells their size; looking for headers in them would read all weights."""
    hidden = streamed(stored(b"a", b"PK\x07\x08" * 4))
    data = zipped(hidden)
    window = Window(MemoryTree({"m.pt": data}), "m.pt", len(data))
    with pytest.raises(AmbiguousZip, match="something like a header lies in it"):
        ZipTree(of_window(window), len(data), "m.pt")
    tree = ZipTree(of_window(window), len(data), "m.pt", on_the_way=False)
    assert [(entry.path, entry.size) for entry in tree.files()] == [("a", 16)]


def test_pytorch_writes_wide_fields_behind_4_gb_that_nobody_asked_for() -> None:
    """In the own header, with its place, of a tensor whose sizes are told behind it; `miniz` writes them there, too."""
    behind = pack("<4sI2Q", b"PK\x07\x08", stored(b"a/data/0", bytes(8)).crc, 8, 8)
    wide = {"crc": 0, "packed": 0, "size": 0, "extra": extra(1, pack("<Q", 1 << 33)) + extra(0x4246, b"Z" * 20)}
    data = zipped(stored(b"a/data.pkl"), streamed(stored(b"a/data/0", bytes(8)), own=wide, behind=behind))
    window = Window(MemoryTree({"m.pt": data}), "m.pt", len(data))
    tree = ZipTree(of_window(window), len(data), "m.pt", on_the_way=False)
    assert tree.read("a/data/0", 0, 8) == bytes(8)
    with pytest.raises(AmbiguousZip, match="expected 0 wide numbers"):
        ZipTree(of_window(window), len(data), "m.pt")


def test_a_window_and_a_file_give_the_same() -> None:
    assert files_in(zipped(stored(b"a"), deflated(b"b", bytes(200_000)))) == {"a": b"abc", "b": bytes(200_000)}


def test_an_empty_zip_has_no_files() -> None:
    assert files_in(end(0, 0, 0)) == {}


def test_errors_name_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "MAX_FILES", 1)
    with pytest.raises(ModelError, match=r"m\.keras: the zip holds 2 files .*MAX_FILES"):
        opened(zipped(stored(b"a"), stored(b"b")))
