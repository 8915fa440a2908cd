"""What leads from an HDF5 file to other files, built by hand and written by h5py."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import ModelError
from detectors.tree import MemoryTree
from detectors.weights import hdf5_links, keras_links
from detectors.weights.hdf5 import MAGIC
from detectors.weights.hdf5_links import Outside, data_outside, links_outside
from detectors.wire import Window
from detectors.wrapped_tree import CountingTree
from detectors.zips import entries_of
from tests.attacks.keras import WEIGHTS, hdf5_at, header, link, linked_weights, stored_weights, virtual_weights
from tests.builders.weights import keras_zip, zip_of
from tests.detectors.weights.looked_at import look_at


def window_on(data: bytes) -> Window:
    return Window(MemoryTree({"m.h5": data}), "m.h5", len(data))


def outside(data: bytes) -> list[Outside]:
    return list(links_outside(window_on(data)))


def reason(data: bytes) -> str:
    """Return why it is not known where the links of a file lead; it names none."""
    findings, (only,) = data_outside(window_on(data))
    assert findings == []
    return only


def test_what_leads_out_is_named_with_its_place() -> None:
    assert outside(linked_weights("/x.h5")) == [Outside("/d", "an external link", ("/x.h5",))]
    assert outside(stored_weights("a", "b")) == [Outside("/d", "external storage", ("a", "b"))]
    assert outside(virtual_weights(".", "a", "a", "b")) == [Outside("/d", "a virtual dataset", ("a", "b"))]
    assert outside(virtual_weights(".", ".")) == []
    assert outside(hdf5_at(header(link("soft", 1, pack("<H", 2) + b"/x")))) == []


def test_of_a_long_path_the_end_is_told() -> None:
    below = 96
    groups = []
    for _ in range(1_000):
        below += len(header(link("g", 0, bytes(8))))
        groups.append(header(link("g", 0, pack("<Q", below))))
    (only,) = outside(hdf5_at(groups[0], *groups[1:], header(link("d", 64, pack("<H", 8) + b"\0/x.h5\0\0"))))
    assert only.place == "…" + "/g" * 100 + "/d"


@given(st.binary(max_size=40), st.integers(0, 500), st.sampled_from(sorted(WEIGHTS)))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_links_or_a_model_error(more: bytes, place: int, idea: str) -> None:
    data, _ = WEIGHTS[idea]
    for damaged in (data[:place] + more + data[place + len(more) :], data[:place], MAGIC + more):
        try:
            outside(damaged)
        except ModelError:
            continue


@pytest.mark.parametrize("behind", [8_000_000, 80_000_000])
def test_reading_for_links_does_not_grow_with_the_weights(behind: int) -> None:
    data = stored_weights("/x") + bytes(behind)
    tree = CountingTree(MemoryTree({"m.h5": data}))
    assert list(links_outside(Window(tree, "m.h5", len(data))))
    assert (tree.reads, tree.bytes) == (1, 16 << 10)


def test_groups_that_hold_each_other_end() -> None:
    assert outside(hdf5_at(header(link("itself", 0, pack("<Q", 96)), link("again", 0, pack("<Q", 96))))) == []


def test_what_overlaps_is_not_walked_twice() -> None:
    """Each header begins 8 bytes behind the one before, and goes on to the end of the file."""
    count = 400
    root = header(*(link(f"{number:03}", 0, pack("<Q", 96)) for number in range(count)))
    start = 96 + len(root)
    root = header(*(link(f"{number:03}", 0, pack("<Q", start + 16 * number)) for number in range(count)))
    rows = b"".join(pack("<2BHI", 1, 0, 8, 1) + pack("<I4x", 16 * (count - number - 1)) for number in range(count))
    assert "overlap" in reason(hdf5_at(root, rows))


@pytest.mark.parametrize(
    ("limit", "data"),
    [
        ("MAX_OBJECTS", stored_weights("/x")),
        ("MAX_PARTS", hdf5_at(header(link("a", 1, pack("<H", 1) + b"/"), link("b", 1, pack("<H", 1) + b"/")))),
        ("MAX_PAGES", hdf5_at(header(link("far", 0, pack("<Q", 20_096))), bytes(19_960), header())),
        ("MAX_SOURCES", virtual_weights(".", ".")),
    ],
)
def test_each_limit_is_told(monkeypatch: pytest.MonkeyPatch, limit: str, data: bytes) -> None:
    assert data_outside(window_on(virtual_weights("."))) == ([], [])
    monkeypatch.setattr(hdf5_links, limit, 1)
    assert limit in reason(data)


def test_so_many_findings_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    value = pack("<H", 4) + b"\0/\0\0"
    data = hdf5_at(header(link("a", 64, value), link("b", 64, value)))
    assert len(data_outside(window_on(data))[0]) == 2
    monkeypatch.setattr(hdf5_links, "MAX_FINDINGS", 1)
    findings, reasons = data_outside(window_on(data))
    assert len(findings) == 1
    assert "MAX_FINDINGS" in reasons[1]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (hdf5_at(header(link("a", 65, pack("<H", 0)))), "a link of type 65"),
        (hdf5_at(header(link("a", 0, pack("<Q", 97)))), "expected the header of an object"),
        (hdf5_at(header(link("a", 0, pack("<Q", 2**63)))), "found the end of the file"),
        (hdf5_at(header(link("a" * 200, 0, b""))), "goes beyond its message"),
        (virtual_weights("a").replace(b"\0x\0\x03", b"\0x\0\x07"), "chosen in an unknown way"),
    ],
)
def test_what_is_not_understood_is_not_looked_at(data: bytes, says: str) -> None:
    assert says in reason(data)


class TestInsideAZip:
    def test_weights_are_read_where_they_lie(self) -> None:
        data = keras_zip(weights=stored_weights("/x") + bytes(8_000_000))
        tree = CountingTree(MemoryTree({"m.keras": data}))
        keras_links.with_links_inside(lambda window: look_at("m.keras", keras_zip())[1])(Window(tree, "m.keras", len(data)))
        assert tree.bytes < 100_000

    def test_what_is_packed_and_large_is_not_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = keras_zip(compression=zipfile.ZIP_DEFLATED, weights=stored_weights("/x") + bytes(1000))
        assert look_at("m.keras", data)[1].findings
        monkeypatch.setattr(keras_links, "MAX_MEMBER_BYTES", 1000)
        _, extraction = look_at("m.keras", data)
        assert extraction.findings == ()
        assert "MAX_MEMBER_BYTES" in extraction.unread[0][1]

    def test_more_files_than_the_limit_are_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keras_links, "MAX_MEMBERS", 0)
        assert "1 more files of weights" in look_at("m.keras", keras_zip())[1].unread[0][1]

    def test_weights_that_are_no_hdf5_are_not_looked_at(self) -> None:
        _, extraction = look_at("m.keras", keras_zip(weights=b"PK" * 50))
        assert "model.weights.h5: not looked at" in extraction.unread[0][1]

    def test_all_that_is_unpacked_is_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        members = {"a.h5": bytes(3), "b.h5": bytes(2000), "c.txt": bytes(7)}
        packed = zip_of(members, zipfile.ZIP_DEFLATED)
        monkeypatch.setattr(keras_links, "MAX_MEMBER_BYTES", 1000)
        entries = entries_of(Window(MemoryTree({"z": packed}), "z", len(packed)))
        assert keras_links.unpacked_bytes(entries) == 3


def test_a_file_that_was_cut_off_is_incomplete_and_no_more() -> None:
    _, extraction = look_at("m.weights.h5", stored_weights("/x")[:150])
    assert (extraction.completeness.state, extraction.unread) == ("incomplete", ())


@pytest.mark.oracle
def test_what_is_built_by_hand_leads_h5py_out() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        h5py = pytest.importorskip("h5py")
    with h5py.File(io.BytesIO(linked_weights("/x.h5"))) as file:
        assert file.get("d", getlink=True).filename == "/x.h5"
    with h5py.File(io.BytesIO(stored_weights("/x", "../y"))) as file:
        assert file["d"].external == [("/x", 0, 16), ("../y", 0, 16)]


def written(form: str, is_ordered: bool, fill: Callable[[Any, Any], None]) -> tuple[bytes, list[str]]:
    """Return a file of h5py, and the paths of all groups and datasets in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        h5py = pytest.importorskip("h5py")
    out, names = io.BytesIO(), list[str]()
    file: Any = h5py.File(out, "w", libver=form, track_order=is_ordered)
    with file:
        fill(h5py, file)
        file.visit(names.append)
    return out.getvalue(), names


@pytest.mark.oracle
@pytest.mark.parametrize("form", ["earliest", "latest", "v108"])
class TestWhatH5pyWrites:
    @pytest.mark.parametrize("is_ordered", [False, True])
    @pytest.mark.parametrize("count", [0, 8, 9, 40, 1500])
    def test_all_objects_are_met_and_nothing_is_said(
        self, form: str, is_ordered: bool, count: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fill(h5py: Any, file: Any) -> None:
            for number in range(count):
                name = f"layer_{number}" * (1 + number % 5)
                if number % 100:
                    file.create_dataset(name, data=[1.0, 2.0])
                else:
                    file.create_group(name, track_order=is_ordered).create_dataset("kernel", data=[1.0])
                    file[name]["soft"] = h5py.SoftLink("/nowhere")

        data, names = written(form, is_ordered, fill)
        met: list[str] = []
        real = hdf5_links._Walk._object
        monkeypatch.setattr(
            hdf5_links._Walk, "_object", lambda walk, at, trail: met.append(hdf5_links._path(trail)) or real(walk, at, trail)
        )
        assert data_outside(window_on(data)) == ([], [])
        assert sorted(met) == sorted(["/", *(f"/{name}" for name in names)])

    def test_everything_that_leads_out_is_told(self, form: str) -> None:
        def fill(h5py: Any, file: Any) -> None:
            file.create_dataset("own", data=[1.0] * 4)
            file.create_dataset("a/stored", (4,), "<f4", external=[("w.bin", 0, 8), ("/etc/passwd", 0, 8)])
            file["a/link"] = h5py.ExternalLink("../w.h5", "/")
            layout = h5py.VirtualLayout((4,), "<f4")
            layout[0:4:2] = h5py.VirtualSource(".", "own", (4,))[0:2]
            layout[1:2] = h5py.VirtualSource("/w.h5", "x", (1,))
            file.create_virtual_dataset("a/virtual", layout)
            for number in range(300):
                file[f"many/{number}"] = h5py.ExternalLink("w.h5", "/") if number == 77 else h5py.SoftLink("/own")

        assert sorted(outside(written(form, False, fill)[0]), key=lambda found: found.place) == [
            Outside("/a/link", "an external link", ("../w.h5",)),
            Outside("/a/stored", "external storage", ("w.bin", "/etc/passwd")),
            Outside("/a/virtual", "a virtual dataset", ("/w.h5",)),
            Outside("/many/77", "an external link", ("w.h5",)),
        ]
