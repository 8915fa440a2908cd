"""Attributes of the root of an HDF5 file, built by hand and written by h5py."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import MalformedModel, ModelError, ModelLimit
from detectors.tree import MemoryTree
from detectors.weights import hdf5
from detectors.weights.hdf5 import read_superblock, read_text, root_texts
from detectors.wire import Window
from detectors.wrapped_tree import CountingTree
from tests.attacks.keras import hdf5_of
from tests.detectors.weights.looked_at import look_at


def texts_of(data: bytes) -> dict[str, bytes]:
    window = Window(MemoryTree({"m.h5": data}), "m.h5", len(data))
    return {name: read_text(window, text) for name, text in root_texts(window, {*TEXTS, "a"}).items()}


TEXTS = {"keras_version": b"3", "model_config": b'{"class_name": "Sequential"}', "empty": b""}


def test_texts_are_read_from_their_heap() -> None:
    assert texts_of(hdf5_of(TEXTS)) == TEXTS


@given(st.binary(max_size=40), st.integers(0, 600))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_attributes_or_a_model_error(more: bytes, place: int) -> None:
    data = hdf5_of(TEXTS)
    for damaged in (data[:place] + more + data[place + len(more) :], data[:place], hdf5.MAGIC + more):
        try:
            texts_of(damaged)
        except ModelError:
            continue


def test_no_byte_can_be_changed_so_that_it_never_ends() -> None:
    data = hdf5_of(TEXTS)
    for place in range(len(data)):
        for byte in (0, 1, 0x10, 0x7F, 0xFF):
            try:
                texts_of(data[:place] + bytes([byte]) + data[place + 1 :])
            except ModelError:
                continue


def test_reading_does_not_grow_with_the_weights() -> None:
    data = hdf5_of(TEXTS, bytes(8_000_000))
    tree = CountingTree(MemoryTree({"m.h5": data}))
    window = Window(tree, "m.h5", len(data))
    assert read_text(window, root_texts(window, TEXTS)["model_config"]) == TEXTS["model_config"]
    assert tree.bytes < 100_000


def test_a_header_that_goes_on_in_itself_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its only message says that it continues where it is."""
    data = bytearray(hdf5_of({"a": b"b"}))
    data[112:120] = b"\x10\0\x10\0\0\0\0\0"
    data[120:136] = (112).to_bytes(8, "little") + (24).to_bytes(8, "little")
    data[104:112] = (24).to_bytes(8, "little")
    with pytest.raises(ModelLimit, match="MAX_BLOCKS"):
        texts_of(bytes(data))
    monkeypatch.setattr(hdf5, "MAX_TEXT_BYTES", 2)
    with pytest.raises(ModelLimit, match="MAX_TEXT_BYTES"):
        texts_of(hdf5_of({"a": b"bcd"}))


def test_a_name_that_stands_twice_is_malformed() -> None:
    with pytest.raises(MalformedModel, match="a second"):
        texts_of(hdf5_of({"model_config": b"{}", "model_confih": b"{}"}).replace(b"model_confih", b"model_config"))


@pytest.mark.parametrize(("version", "root"), [(0, 64), (1, 68), (2, 36), (3, 36)])
def test_the_superblock_tells_where_the_root_is(version: int, root: int) -> None:
    data = bytearray(100)
    data[:9] = hdf5.MAGIC + bytes([version])
    data[9 if version > 1 else 13] = data[10 if version > 1 else 14] = 8
    data[root] = 77
    block = read_superblock(Window(MemoryTree({"m.h5": bytes(data)}), "m.h5", len(data)))
    assert (block.root, block.offset_bytes, block.length_bytes) == (77, 8, 8)


class TestOfKeras:
    def test_what_cannot_be_read_is_not_looked_at(self) -> None:
        """Its header is no header; what looks like a configuration is told all the same."""
        data = hdf5_of({"keras_version": b"3", "model_config": b'{"class_name": "Lambda", "config": {}}'})
        _, extraction = look_at("m.h5", data[:96] + b"\x09" + data[97:])
        ((path, reason),) = extraction.unread
        assert path == "m.h5"
        assert "expected the header of the root" in reason
        assert [finding.rule for finding in extraction.findings] == ["keras-lambda"]

    def test_another_text_in_the_file_is_no_configuration(self) -> None:
        """A harmless one stands first, and the attribute leads to the other."""
        decoy = b'{"class_name": "Sequential", "config": {}}'
        data = hdf5_of({"keras_version": decoy, "model_config": b'{"class_name": "TorchModuleWrapper"}'})
        _, extraction = look_at("m.h5", data)
        assert [finding.rule for finding in extraction.findings] == ["keras-loads-code"]
        _, extraction = look_at("m.h5", hdf5_of({"keras_version": b'{"class_name": "Lambda"}', "model_config": decoy}))
        assert extraction.findings == ()

    def test_weights_alone_have_no_configuration(self) -> None:
        _, extraction = look_at("m.h5", hdf5_of({"keras_version": b"3", "layer_names": b"a"}))
        assert (extraction.findings, extraction.unread) == ((), ())

    def test_one_that_is_not_json_is_not_looked_at(self) -> None:
        _, extraction = look_at("m.h5", hdf5_of({"keras_version": b"3", "model_config": b"{nope"}))
        assert extraction.unread


@pytest.mark.oracle
class TestWhatH5pyWrites:
    @pytest.mark.parametrize("form", ["earliest", "latest", "v108"])
    @pytest.mark.parametrize("count", [0, 7, 20])
    def test_texts_are_read_or_told_as_not_read(self, form: str, count: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            h5py = pytest.importorskip("h5py")
        out, config = io.BytesIO(), b'{"a": "' + b"x" * 100_000 + b'"}'
        written: Any = h5py.File(out, "w", libver=form)
        with written as file:
            file.attrs["keras_version"] = b"3"
            for number in range(count):
                file.attrs[f"other {number}"] = [1, 2]
            file.attrs["model_config"] = config
            file.create_group("layers")
        if form == "earliest" or count < 7:
            assert texts_of(out.getvalue()) == {"keras_version": b"3", "model_config": config}
        else:
            with pytest.raises(MalformedModel, match="in a heap of their own"):
                texts_of(out.getvalue())
