"""The members of a zip, without opening one."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import DetectorError, MalformedModel, ModelLimit
from detectors.tree import MemoryTree
from detectors.weights import zip_listing
from detectors.weights.single_file import EndsEarly
from detectors.weights.zip_listing import Member, list_members, read_member
from detectors.wire import Window
from tests.builders.weights import zip_of

MEMBERS = {"a/data.pkl": b"0123456789", "empty": b"", "große/Datei": b"x" * 5000}


def window(data: bytes) -> Window:
    return Window(MemoryTree({"z": data}), "z", len(data))


def test_members_are_listed_in_order_with_size_and_place() -> None:
    assert list_members(window(zip_of(MEMBERS))) == (
        Member("a/data.pkl", 0, 10, 10, 0),
        Member("empty", 0, 0, 0, 50),
        Member("große/Datei", 0, 5000, 5000, 85),
    )


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_is_read_as_it_was_written(compression: int) -> None:
    data = zip_of(MEMBERS, compression)
    found = {member.name: read_member(window(data), member, 5000) for member in list_members(window(data))}
    assert found == MEMBERS


@pytest.mark.parametrize("comment", [b"short", b"PK\5\6" * 1000, bytes(65535)])
def test_a_comment_does_not_hide_the_directory(comment: bytes) -> None:
    assert len(list_members(window(zip_of(MEMBERS, comment=comment)))) == 3


def test_a_directory_in_zip64_is_found() -> None:
    """PyTorch writes zip64 records whether or not the numbers need them."""
    data = zip_of({"a": b"xyz"})
    end = data.rfind(b"PK\5\6")
    count, place = struct.unpack("<II", data[end + 12 : end + 20])
    record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, count, place)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, end, 1)
    tail = data[end : end + 12] + b"\xff" * 8 + b"\0\0"
    assert [member.name for member in list_members(window(data[:end] + record + locator + tail))] == ["a"]


def test_sizes_beyond_32_bits_are_taken_from_the_extra_field() -> None:
    """A member that claims 5 GiB in its zip64 field reaches beyond the directory."""
    extra = b"\1\0\x10\0" + struct.pack("<QQ", 5 << 30, 5 << 30)
    entry = b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 45, 45, 0, 0, 0, 0, 0, 2**32 - 1, 2**32 - 1, 1, 20, 0, 0, 0, 0, 0)
    directory = entry + b"a" + extra
    data = bytes(40) + directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), 40, 0)
    with pytest.raises(EndsEarly, match="beyond the directory"):
        list_members(window(data))


def test_a_zip_cut_off_anywhere_is_never_listed() -> None:
    data = zip_of(MEMBERS)
    for size in range(len(data)):
        with pytest.raises(EndsEarly):
            list_members(window(data[:size]))


def test_a_directory_larger_than_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_listing, "MAX_DIRECTORY_BYTES", 20)
    with pytest.raises(ModelLimit):
        list_members(window(zip_of(MEMBERS)))


def test_more_members_than_the_limit_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_listing, "MAX_MEMBERS", 2)
    with pytest.raises(ModelLimit):
        list_members(window(zip_of(MEMBERS)))


def test_a_bomb_is_unpacked_no_further_than_it_promised() -> None:
    data = zip_of({"bomb": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    (member,) = list_members(window(data))
    with pytest.raises(ModelLimit):
        read_member(window(data), member, 1000)
    with pytest.raises(MalformedModel, match="expected 5 bytes, found 6"):
        read_member(window(data), Member("bomb", 8, member.packed, 5, 0), 100_000)


def test_an_unknown_compression_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", b"x" * 100)
    (member,) = list_members(window(out.getvalue()))
    with pytest.raises(MalformedModel, match="method 12"):
        read_member(window(out.getvalue()), member, 1000)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 4000), st.binary(min_size=1, max_size=8))
def test_any_bytes_give_members_or_a_detector_error(before: bytes, place: int, change: bytes) -> None:
    data = bytearray(before + zip_of({"a": b"x" * 50, "b": b""}))
    place %= len(data)
    data[place : place + len(change)] = change
    found = window(bytes(data))
    try:
        for member in list_members(found):
            read_member(found, member, 1000)
    except DetectorError:
        pass
