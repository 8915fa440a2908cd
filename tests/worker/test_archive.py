"""A stranger's zip as a tree: what is taken is what every reader sees in it; all else is refused, with a reason."""

from __future__ import annotations

import io
import shutil
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from struct import pack, unpack
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import zips
from detectors.errors import TreeChanged
from detectors.tree import FileTree
from tests.attacks.zips import DATA, HOSTILE, LATER
from tests.builders.zips import (
    Member,
    deflated,
    end,
    extra,
    folder,
    local,
    stored,
    streamed,
    wide_end,
    zipped,
    zipped_wide,
)
from tests.contracts.tree import Build, TreeContract
from worker.archive import ZipTree
from worker.errors import RejectedUpload
from worker.manifest import chunks_of


def opened(data: bytes) -> ZipTree:
    return ZipTree(io.BytesIO(data))


def files_in(data: bytes) -> dict[str, bytes]:
    with opened(data) as tree:
        return {entry.path: b"".join(chunks_of(tree, entry)) for entry in tree.files()}


def refusal(data: bytes) -> str:
    """Return why *data* are not taken: at once, or when their files are read."""
    with pytest.raises(RejectedUpload) as caught:
        files_in(data)
    return str(caught.value)


class NotSeekable(io.RawIOBase):
    """A pipe: what Python's zipfile writes into it has data descriptors."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += data  # type: ignore[arg-type]
        return len(data)  # type: ignore[arg-type]


def zip_of(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED, stream: bool = False, wide: bool = False) -> bytes:
    """Return the zip that Python writes of *files*."""
    pipe, file = NotSeekable(), io.BytesIO()
    with zipfile.ZipFile(pipe if stream else file, "w", method) as out:
        for path, data in files.items():
            with out.open(
                zipfile.ZipInfo(path) if method == zipfile.ZIP_STORED else info_of(path, method), "w", force_zip64=wide
            ) as one:
                one.write(data)
    return bytes(pipe.data) if stream else file.getvalue()


def info_of(path: str, method: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path)
    info.compress_type = method
    return info


names = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\:"), min_size=1, max_size=8).filter(
    lambda it: it not in (".", "..")
)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
contents = st.one_of(st.binary(max_size=60), st.sampled_from([bytes(70_000), b"PK\x03\x04PK\x07\x08" * 20]))
harmless = st.one_of(st.binary(max_size=60).filter(lambda it: b"PK" not in it), st.just(bytes(70_000)))


def is_tree(files: Mapping[str, bytes]) -> bool:
    return not any(str(above) in files for path in files for above in PurePosixPath(path).parents)


def trees(contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[dict[str, bytes]]:
    return st.dictionaries(paths, contents, min_size=1, max_size=5).filter(is_tree)


METHODS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])


class TestTree(TreeContract):
    odd_names: ClassVar[tuple[str, ...]] = tuple(
        name for name in TreeContract.odd_names if "\\" not in name and "\udcff" not in name
    )

    @pytest.fixture
    def build(self) -> Build:
        def build(files: Mapping[str, bytes]) -> FileTree:
            return opened(zip_of(files, zipfile.ZIP_DEFLATED))

        return build

    def test_an_empty_tree_lists_nothing(self, build: Build) -> None:
        """There is no such zip: who sends one has sent nothing."""
        with pytest.raises(RejectedUpload, match="the zip holds no file"):
            build({})

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_ranges_are_read_in_any_order(self, method: int) -> None:
        data = bytes(range(256)) * 300
        with opened(zip_of({"a": data, "b": data[::-1]}, method)) as tree:
            for path, start, stop in [
                ("a", 5, 9),
                ("a", 9, 9),
                ("a", 70_000, 90_000),
                ("b", 0, 10),
                ("a", 0, 3),
                ("b", 10, 76_800),
            ]:
                assert tree.read(path, start, stop) == (data if path == "a" else data[::-1])[start:stop]

    def test_the_version_is_the_crc(self) -> None:
        assert [(it.path, it.size, it.version) for it in opened(zipped(stored(b"a", b"123456789"))).files()] == [
            ("a", 9, "cbf43926")
        ]

    def test_the_file_stays_open(self) -> None:
        file = io.BytesIO(zipped(stored(b"a")))
        with ZipTree(file) as tree:
            tree.read("a", 0, 3)
        assert not file.closed

    def test_a_folder_is_only_a_name(self) -> None:
        assert files_in(zipped(folder(b"d/"), stored(b"d/a"), folder(b"e/", method=8, data=b"\x03\0"))) == {"d/a": b"abc"}


class TestRoundTrip:
    @settings(max_examples=40, deadline=None)
    @given(trees(contents), METHODS, st.booleans())
    def test_what_python_writes_to_a_file_is_read(self, files: dict[str, bytes], method: int, wide: bool) -> None:
        assert files_in(zip_of(files, method, wide=wide)) == files

    @settings(max_examples=40, deadline=None)
    @given(trees(harmless), METHODS, st.booleans())
    def test_what_python_writes_to_a_pipe_is_read(self, files: dict[str, bytes], method: int, wide: bool) -> None:
        data = zip_of(files, method, stream=True, wide=wide)
        assert files_in(data) == files

    def test_a_folder_as_python_zips_it_is_read(self, tmp_path: Path) -> None:
        """With entries of its folders, empty ones too."""
        (tmp_path / "model/variables").mkdir(parents=True)
        (tmp_path / "model/assets").mkdir()
        (tmp_path / "model/variables/é").write_bytes(DATA)
        made = shutil.make_archive(str(tmp_path / "model"), "zip", tmp_path / "model")
        assert files_in(Path(made).read_bytes()) == {"variables/é": DATA}

    @pytest.mark.slow
    def test_a_zip_of_more_files_than_the_old_form_can_count_is_read(self) -> None:
        data = zipped_wide(*(Member(b"%d" % number, b"") for number in range(65_537)))
        assert len(list(opened(data).files())) == 65_537

    @pytest.mark.parametrize("comment", [b"!", b"made by hand", b"\0" * 65_535])
    def test_a_comment_behind_it_is_passed_over(self, comment: bytes) -> None:
        assert files_in(zipped(stored(b"a"))[:-2] + pack("<H", len(comment)) + comment) == {"a": b"abc"}
        wide = zipped_wide(stored(b"a"))
        assert files_in(wide[:-2] + pack("<H", len(comment)) + comment) == {"a": b"abc"}

    def test_a_descriptor_as_go_and_java_write_it_is_read(self) -> None:
        assert files_in(zipped(streamed(deflated(b"a")), folder(b"d/"), streamed(deflated(b"d/b", b"")))) == {
            "a": b"abc",
            "d/b": b"",
        }

    def test_offsets_may_be_wide(self) -> None:
        one, other = (
            stored(b"a"),
            stored(b"b", extra=extra(1, pack("<Q", len(local(stored(b"a"))))), place=0xFFFFFFFF, own={"extra": b""}),
        )
        assert files_in(zipped_wide(one, other)) == {"a": b"abc", "b": b"abc"}

    def test_sizes_may_be_said_twice_in_the_own_header(self) -> None:
        """As Python before 3.11.4 (gh-103861) writes them of a file that could become large, into a file and into a pipe."""
        known = stored(b"a", own={"extra": extra(1, pack("<2Q", 3, 3))})
        behind = pack("<4sI2Q", b"PK\x07\x08", known.crc, 3, 3)
        told_later = streamed(
            known, own={"crc": 0, "packed": 0, "size": 0, "extra": extra(1, pack("<2Q", 0, 0))}, behind=behind
        )
        assert files_in(zipped(known)) == files_in(zipped(told_later)) == {"a": b"abc"}

    def test_names_that_differ_by_case_or_unicode_form_are_two_files(self) -> None:
        """As in a folder on Linux, and in the store: what is one there is for whoever downloads it to a Mac to see."""
        files = {"A": b"1", "a": b"2", "\u00e9": b"3", "e\u0301": b"4"}
        assert files_in(zip_of(files)) == files


# --- what two readers may see differently


def seen_by_directory(data: bytes) -> dict[str, bytes]:
    """Return what Python's zipfile sees, from the end."""
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        return {info.filename: found.read(info) for info in found.infolist() if not info.is_dir()}


def seen_on_the_way(data: bytes) -> dict[str, bytes]:
    """Return what a reader of a pipe sees: header after header, what is told behind the data being looked for there."""
    found: dict[str, bytes] = {}
    at = 0
    while data[at : at + 4] == b"PK\x03\x04":
        _, flags, method, _, _, _, packed, size, name_bytes, extra_bytes = unpack("<5H3I2H", data[at + 4 : at + 30])
        name, more = data[at + 30 :][:name_bytes].decode(), data[at + 30 + name_bytes :][:extra_bytes]
        begin = at + 30 + name_bytes + extra_bytes
        wide = more[:2] == b"\1\0"
        if wide and size == 0xFFFFFFFF:
            size, packed = unpack("<2Q", more[4:20])
        if method == 8:
            inflating = zlib.decompressobj(-15)
            content = inflating.decompress(data[begin:])
            at = len(data) - len(inflating.unused_data)
        else:
            at = data.index(b"PK\x07\x08", begin) if flags & 8 else begin + packed
            content = data[begin:at]
        at += (24 if wide else 16) if flags & 8 else 0
        if not name.endswith("/"):
            found[name] = content
    assert data[at : at + 4] == b"PK\x01\x02"
    return found


def check_all_readers_agree(data: bytes) -> None:
    try:
        found = files_in(data)
    except RejectedUpload:
        return
    assert found == seen_by_directory(data) == seen_on_the_way(data)


@st.composite
def damaged_zips(draw: st.DrawFn) -> bytes:
    """Real zips of a few small files, with bytes changed, cut, put before, behind, between, or two put together."""
    data = zip_of(draw(trees(st.binary(max_size=12))), draw(METHODS), draw(st.booleans()), draw(st.booleans()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        more = draw(st.one_of(st.binary(max_size=4), st.sampled_from([data, b"PK\x05\x06" + bytes(18), b"PK\x07\x08"])))
        data = data[:at] + more + data[at + draw(st.sampled_from([0, 1, len(more), 30])) :]
    return data


class TestLaws:
    @settings(max_examples=150, deadline=None)
    @given(st.one_of(st.binary(max_size=300), damaged_zips(), st.binary(max_size=90).map(lambda it: it + end(1, 46, 31))))
    def test_any_bytes_give_a_tree_or_a_rejected_upload(self, data: bytes) -> None:
        try:
            files_in(data)
        except RejectedUpload:
            return

    @settings(max_examples=150, deadline=None)
    @given(damaged_zips())
    def test_a_zip_that_two_readers_may_see_differently_is_refused(self, data: bytes) -> None:
        check_all_readers_agree(data)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_no_byte_can_be_changed_so_that_readers_disagree(self, method: int, stream: bool) -> None:
        """Every byte of a zip in turn is one more, one less, and turned round."""
        data = zip_of({"ab": b"some bytes", "c/d": b""}, method, stream)
        for at, byte in enumerate(data):
            for other in (byte + 1, byte - 1, byte ^ 0xFF):
                check_all_readers_agree(data[:at] + bytes([other & 0xFF]) + data[at + 1 :])

    def test_no_cut_of_a_zip_is_one(self) -> None:
        data = zip_of({"a": b"some bytes", "b/c": b""}, zipfile.ZIP_DEFLATED)
        for at in range(len(data)):
            refusal(data[:at])
            if at:
                refusal(data[at:])

    @given(st.lists(st.sampled_from(["", ".", "..", "a", "b", "C:", "\\", "c:x"]), min_size=1, max_size=4).map("/".join))
    def test_no_name_leaves_the_folder(self, name: str) -> None:
        data = zipped(stored(name.encode(), mode=0)) if not name.endswith("/") else zipped(folder(name.encode()), stored(b"z"))
        try:
            (path, *_) = files_in(data)
        except RejectedUpload:
            return
        assert not {"", ".", ".."} & set(path.split("/"))
        assert "\\" not in path
        assert ":" not in path[:2]


class TestHostile:
    @pytest.mark.parametrize(("build", "why"), HOSTILE.values(), ids=HOSTILE)
    def test_it_is_refused_with_its_reason(self, build: Callable[[], bytes], why: str) -> None:
        with pytest.raises(RejectedUpload, match=why):
            files_in(build())

    def test_too_many_files_are_refused_before_they_are_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zips, "MAX_FILES", 2)
        assert files_in(zipped(folder(b"d/"), stored(b"a"))) == {"a": b"abc"}
        assert "holds 3 files and folders; at most 2" in refusal(zipped(folder(b"d/"), stored(b"a"), LATER))

    def test_a_directory_of_gigabytes_is_refused_before_it_is_read(self) -> None:
        class Huge(io.BytesIO):
            """Eight gigabytes, most of them announced as the directory."""

            def seek(self, at: int, whence: int = 0) -> int:
                return 8 << 30 if whence == 2 else super().seek(max(0, at - (8 << 30) + 98), 0)

        length = (8 << 30) - 98 - 34
        with pytest.raises(RejectedUpload, match="a directory of 8589934460 bytes"):
            ZipTree(Huge(wide_end(1, length, 34, (8 << 30) - 98) + end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)))

    def test_a_reason_names_files_as_text(self) -> None:
        """However long the name, and whatever is in it."""
        assert len(refusal(zipped(stored(b"\xff" * 65_535)))) < 500
        assert refusal(zipped(stored(b"a\0b"))).isprintable() is False

    def test_after_a_refusal_others_can_be_read(self) -> None:
        tree = opened(zipped(deflated(b"a", DATA, crc=1), stored(b"b")))
        for _ in range(2):
            with pytest.raises(RejectedUpload):
                tree.read("a", 0, 10)
        assert tree.read("b", 0, 3) == b"abc"
        with pytest.raises(TreeChanged):
            tree.read("c", 0, 1)

    def test_after_a_refusal_the_beginning_can_be_read_again(self) -> None:
        tree = opened(zipped(deflated(b"a", DATA, size=12)))
        assert tree.read("a", 0, 2) == b"01"
        for _ in range(2):
            with pytest.raises(RejectedUpload):
                tree.read("a", 11, 12)
        assert tree.read("a", 0, 2) == b"01"

    def test_a_broken_disk_is_not_blamed_on_the_sender(self) -> None:
        class Broken(io.BytesIO):
            def read(self, count: int | None = -1) -> bytes:
                raise OSError("input/output error")

        with pytest.raises(OSError, match="input/output error"):
            ZipTree(Broken(zipped(stored(b"a"))))


class TestCost:
    def test_memory_stays_flat(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """200 MB of zeros go by, a few chunks are held."""
        monkeypatch.setattr(zips, "MAX_RATIO", 2000)
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        size, crc, parts = 200 << 20, 0, []
        for _ in range(200):
            parts.append(packer.compress(bytes(1 << 20)))
            crc = zlib.crc32(bytes(1 << 20), crc)
        data = zipped(deflated(b"a", b"", data=b"".join(parts) + packer.flush(), size=size, crc=crc))
        tracemalloc.start()
        with opened(data) as tree:
            (entry,) = tree.files()
            assert sum(len(chunk) for chunk in chunks_of(tree, entry)) == size
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20

    def test_many_small_files_are_opened_and_read_in_seconds(self) -> None:
        data = zipped(*(deflated(b"folder %d/%d" % (n % 100, n)) for n in range(20_000)))
        begin = time.process_time()
        assert len(files_in(data)) == 20_000
        assert time.process_time() - begin < 8

    def test_small_reads_in_a_row_are_cheap(self) -> None:
        """Each read of 100 bytes goes on where the last one ended."""
        data = zipped(deflated(b"a", bytes(2_000_000)))
        begin = time.process_time()
        with opened(data) as tree:
            assert all(len(tree.read("a", at, at + 100)) == 100 for at in range(0, 2_000_000, 100))
        assert time.process_time() - begin < 8
