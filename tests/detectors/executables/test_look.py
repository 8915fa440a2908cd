"""What runs among the files of a tree: by its bytes, graded by what it does and by what its name says."""

from __future__ import annotations

import gzip
import lzma
import random
import zipfile
import zlib
from collections.abc import Callable, Mapping

import pytest

from detectors import executables
from detectors.detection import Contents
from detectors.errors import Unreadable
from detectors.executables import Looked, containers, look
from detectors.scan import Verdict, scan
from detectors.tree import MemoryTree
from detectors.wrapped_tree import CountingTree
from tests.attacks.pickles import array_of_numbers, call, framed, of_protocol, tar_of
from tests.builders import onnx, saved_model
from tests.builders.weights import keras_zip, pytorch_zip, zip_of
from tests.builders.zips import stored, streamed, zipped

ELF = b"\x7fELF\x02\x01\x01" + bytes(100)
SCRIPT = b"#!/bin/sh\ntrue\n"
DATA = b"\x80\x02}q\x00."
UNKNOWN = framed(call("their_package", "Model"))
KNOWN = framed(call("sklearn.linear_model._base", "LinearRegression"))


def looked(files: Mapping[str, bytes], of_models: tuple[str, ...] = ()) -> Looked:
    tree = MemoryTree(files)
    return look(Contents(tree, tree.files()), of_models)


def told(files: Mapping[str, bytes], of_models: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(finding.rule, finding.severity.value) for finding in looked(files, of_models).findings]


class TestPickles:
    @pytest.mark.parametrize(
        ("name", "data", "severity", "is_unread"),
        [
            ("m.pkl", DATA, "low", False),
            ("m.pkl", KNOWN, "medium", False),
            ("m.pkl", UNKNOWN, "medium", True),
            ("m.dat", DATA, "medium", True),
            ("m", KNOWN, "medium", True),
        ],
    )
    def test_content_that_runs_is_told_and_what_nobody_knows_is_not_looked_at(
        self, name: str, data: bytes, severity: str, is_unread: bool
    ) -> None:
        assert told({name: data}) == [("executable-content", severity)]
        assert bool(looked({name: data}).unread) is is_unread

    @pytest.mark.parametrize("name", ["m.onnx", "m.pb", "m.json", "m.txt", "m.npy"])
    def test_under_a_false_name_it_is_high_whatever_it_holds(self, name: str) -> None:
        for data in (DATA, KNOWN, UNKNOWN):
            assert told({name: data}) == [("executable-false-name", "high")]

    def test_a_zip_with_pickles_under_a_false_name_is_high(self) -> None:
        assert told({"m.onnx": pytorch_zip()}) == [("executable-false-name", "high")]
        assert told({"m.pt": pytorch_zip()}) == [("executable-content", "low")]

    def test_a_zip_that_two_readers_may_see_differently_matters_under_every_name_of_pickles(self) -> None:
        doubled = zipped(stored(b"a"), stored(b"a"))
        for name in ("m.pkl", "m.pth", "m.joblib", "m.npz"):
            assert told({name: doubled}) == [("zip-ambiguous", "high")], name
        assert told({"m.zip": doubled}) == []

    def test_a_place_names_the_way_through_archives(self) -> None:
        inner = zip_of({"inner.pt": pytorch_zip({"data.pkl": of_protocol(2)})})
        (finding,) = looked({"m.zip": inner}).findings
        assert (finding.path, finding.place) == ("m.zip", "inner.pt → archive/data.pkl")

    def test_the_numbers_of_tensors_are_not_read(self) -> None:
        """PyTorch writes them stored, told behind; their bytes may look like anything."""
        members = [stored(b"a/data.pkl", DATA), streamed(stored(b"a/data/0", of_protocol(2) * 100_000))]
        tree = CountingTree(MemoryTree({"m.pt": zipped(*members)}))
        found = look(Contents(tree, tree.files()), ["m.pt"])
        assert [finding.severity for finding in found.findings] == ["low"]
        assert tree.bytes < 400_000

    def test_what_follows_the_limit_is_not_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(executables, "MAX_OPCODES", 50)
        ((path, reason),) = looked({"m.pkl": b"\x80\x02" + b"N0" * 100 + b"}."}).unread
        assert path == "m.pkl"
        assert "MAX_OPCODES" in reason

    def test_a_compressed_one_is_seen_as_far_as_it_is_unpacked(self) -> None:
        assert told({"m.joblib": gzip.compress(of_protocol(4))}) == [("pickle-runs-code", "critical")]
        cut = gzip.compress(framed(b"B" + (2 << 20).to_bytes(4, "little") + bytes(2 << 20) + b"0" + call("os", "system")))
        assert looked({"m.joblib": cut}).unread
        assert looked({"m.gz": cut}).unread
        assert looked({"m.csv.gz": gzip.compress(b"a,b\n1,2\n" * 500_000)}) == Looked()


class TestPrograms:
    def test_under_their_own_names_they_matter_inside_of_models(self) -> None:
        files = {"lib.so": ELF, "run.sh": SCRIPT, "tool": ELF}
        assert told(files) == [("executable-content", "info")]
        assert told(files, tuple(files)) == [
            ("executable-content", "medium"),
            ("executable-content", "low"),
            ("executable-content", "medium"),
        ]

    def test_under_a_false_name_a_program_is_high_and_a_script_medium(self) -> None:
        assert told({"m.onnx": ELF}) == told({"notes.txt": ELF}) == [("executable-false-name", "high")]
        assert told({"m.json": SCRIPT}) == [("executable-false-name", "medium")]

    def test_one_in_a_zip_or_a_tar_is_found(self) -> None:
        for data in (zip_of({"weights.json": ELF}), tar_of({"weights.json": ELF})):
            assert told({"m.bin": data}) == [("executable-false-name", "high")]

    def test_a_library_in_a_saved_model_is_found(self) -> None:
        files = {"saved_model.pb": saved_model.saved_model(saved_model.meta_graph()), "assets.extra/op.so": ELF}
        assert ("executable-content", "medium") in [(f.rule, f.severity) for f in scan(MemoryTree(files)).findings]

    def test_source_matters_inside_of_models_alone(self) -> None:
        files = {"code/model.py": b"import os\n", "train.py": b"import os\n"}
        assert told(files, ("code/model.py",)) == [("executable-content", "low")]
        assert told({"m.mar": zip_of({"handler.py": b"import os\n"})}) == [("executable-content", "low")]

    def test_the_source_of_torchscript_is_none(self) -> None:
        files = {"m.pt": pytorch_zip({"data.pkl": DATA, "code/__torch__.py": b"class M(Module):\n"})}
        assert [finding.place for finding in looked(files, ("m.pt",)).findings] == ["archive/data.pkl"]

    @pytest.mark.parametrize("data", [b"RDX3\nX\n", gzip.compress(b"X\n\0\0\0\3\0\4\2\0")], ids=["text", "gzip"])
    def test_objects_of_r_are_told(self, data: bytes) -> None:
        assert told({"model.rds": data}) == [("executable-content", "medium")]
        assert told({"model.onnx": data}) == [("executable-false-name", "high")]


class TestArchives:
    @pytest.mark.parametrize("head", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x00", b"\x28\xb5\x2f\xfd"])
    def test_one_that_nobody_opens_is_a_note_and_never_called_looked_at(self, head: bytes) -> None:
        found = looked({"model.7z": head + bytes(100)})
        assert [note.path for note in found.notes] == ["model.7z"]
        assert "not looked at" in found.notes[0].reason
        assert not found.findings

    @pytest.mark.parametrize("head", [b"7z\xbc\xaf\x27\x1c", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd"])
    def test_one_of_a_model_that_nobody_opens_does_not_count_as_looked_at(self, head: bytes) -> None:
        data = head + bytes(100)
        for name in ("model.joblib", "model.pkl.zst", "model.pt.lz4", "model.onnx", "MODEL.PKL.7z"):
            assert looked({name: data}).unread
        assert looked({"m/assets/a.7z": data}, ("m/assets/a.7z",)).unread
        assert not looked({"table.csv.zst": data}).unread

    @pytest.mark.parametrize("comment", [b"", b"hello", b"x" * 60_000])
    @pytest.mark.parametrize("name", ["m.pt", "m.keras", "m.zip"])
    def test_a_zip_behind_other_bytes_is_told_whatever_its_comment(self, name: str, comment: bytes) -> None:
        data = b"JUNKJUNK" + zip_of({"a.pkl": of_protocol(2)})
        data = data[:-2] + len(comment).to_bytes(2, "little") + comment
        assert looked({name: data}) != Looked()
        assert told({name: data}, (name,)) == [("zip-ambiguous", "high")]

    def test_what_all_compressed_files_unpack_to_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        files = {f"{number}.xz": lzma.compress(b"\x80\x04" + b"N0" * 10_000) for number in range(9)}
        assert not looked(files).unread
        monkeypatch.setattr(executables, "MAX_ALL_UNPACKED_BYTES", 1 << 19)
        unread = looked(files).unread
        assert 0 < len(unread) < 9
        assert all("MAX_ALL_UNPACKED_BYTES" in reason for _, reason in unread)

    def test_a_decoder_that_takes_too_much_memory_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(containers, "MAX_DECODER_BYTES", 1 << 20)
        for form in (lzma.FORMAT_XZ, lzma.FORMAT_ALONE):
            ((_, reason),) = looked({"m.pkl.xz": lzma.compress(of_protocol(2), form)}).unread
            assert "MAX_DECODER_BYTES" in reason

    def test_an_honest_array_and_an_honest_keras_model_say_nothing(self) -> None:
        files = {"a.npy": array_of_numbers(), "a.npz": zip_of({"a.npy": array_of_numbers()}), "m.keras": keras_zip()}
        assert looked(files, ("m.keras",)) == Looked()

    def test_a_zip_that_is_no_model_may_be_odd(self) -> None:
        files = {"data.zip": zipped(stored(b"a"), stored(b"a"))}
        found = looked(files)
        assert not found.findings
        assert "two of this name" in found.notes[0].reason

    def test_zips_in_zips_end_somewhere(self) -> None:
        inner = zip_of({"a.pkl": of_protocol(2)})
        for _ in range(4):
            inner = zip_of({"b.zip": inner})
        ((_, reason),) = looked({"c.zip": inner}).unread
        assert "MAX_DEPTH" in reason

    def test_too_many_files_in_archives_are_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(executables, "MAX_MEMBERS", 3)
        ((_, reason),) = looked({"c.npz": zip_of({f"{n}.npy": array_of_numbers() for n in range(5)})}).unread
        assert "MAX_MEMBERS" in reason


class TestHidden:
    """What `numpy.load` and `gzip.open` read on, whatever the file is called, and however the archive is laid out."""

    @pytest.mark.parametrize(
        "data",
        [
            zipped(stored(b"z.npy", of_protocol(2), comment=b"hi")),
            zip_of({"z.npy": of_protocol(2)}, zipfile.ZIP_LZMA),
            zip_of({"z.npy": of_protocol(2), **{f"{n}.txt": b"x" for n in range(1_001)}}),
            zip_of({"z.npy": of_protocol(2)})[:-1],
        ],
        ids=["comment", "lzma", "many files", "cut off"],
    )
    def test_a_zip_whose_name_does_not_say_so_is_never_passed_by(self, data: bytes) -> None:
        found = looked({"extra.dat": data})
        assert found.findings or found.unread
        assert looked({"extra.zip": data}).notes or told({"extra.zip": data})

    @pytest.mark.parametrize("pack", [lambda data: gzip.compress(data, mtime=0), zlib.compress], ids=["gzip", "zlib"])
    @pytest.mark.parametrize("at", [-1, -3])
    def test_what_comes_before_damage_counts_though_it_is_the_sum_at_the_end(
        self, pack: Callable[[bytes], bytes], at: int
    ) -> None:
        data = bytearray(pack(of_protocol(2)))
        data[at] ^= 1
        assert told({"x.pkl.gz": bytes(data)}) == [("pickle-runs-code", "critical")]


class TestHeads:
    def test_files_that_nobody_opens_are_looked_at_up_to_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        files = {f"{n:02}.txt": b"text" for n in range(9)} | {"zz.txt": of_protocol(2)}
        assert told(files) == [("pickle-runs-code", "critical")]
        monkeypatch.setattr(executables, "MAX_HEADS_BESIDES", 4)
        found = looked(files)
        assert not found.findings
        assert [note.path for note in found.notes] == ["04.txt"]
        assert "6 files" in found.notes[0].reason

    def test_files_that_promise_nothing_are_never_clean_behind_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(executables, "MAX_HEADS_BESIDES", 4)
        found = looked({f"{n:02}": b"text" for n in range(9)} | {"zz.txt": b"text"})
        assert [path for path, _ in found.unread] == ["04"]
        assert "5 files" in found.unread[0][1]
        assert [note.path for note in found.notes] == ["zz.txt"]

    def test_files_of_models_come_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(executables, "MAX_HEADS_BESIDES", 1)
        files = {f"{n:02}.txt": b"text" for n in range(9)} | {"zz.txt": of_protocol(2)}
        assert told(files, ("zz.txt",)) == [("pickle-runs-code", "critical")]

    def test_one_that_may_not_be_read_is_told(self) -> None:
        class Closed(MemoryTree):
            def read(self, path: str, start: int, stop: int) -> bytes:
                raise Unreadable(path, "permission denied")

        tree = Closed({"a.txt": b"text"})
        assert [note.reason for note in look(Contents(tree, tree.files()), ()).notes] == [
            "not looked at for what runs: permission denied"
        ]


def test_the_order_of_listing_never_matters() -> None:
    files = {
        "a.txt": of_protocol(2),
        "b.pkl": UNKNOWN,
        "c.onnx": ELF,
        "d.7z": b"7z\xbc\xaf\x27\x1c",
        "e.npz": zip_of({"x": DATA}),
    }
    expected = looked(files)
    for seed in range(5):
        names = list(files)
        random.Random(seed).shuffle(names)
        assert looked({name: files[name] for name in names}) == expected


def test_an_array_with_a_damaged_header_is_not_looked_at() -> None:
    for data in (b"\x93NUMPY\x01", b"\x93NUMPY\x01\x00\xff\xff{}", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}"):
        assert scan(MemoryTree({"a.npy": data, "m.onnx": onnx.model()})).verdict is Verdict.INCONCLUSIVE


def test_without_a_model_what_was_not_looked_at_is_a_note() -> None:
    """There is nothing that could be called clean, and the run has not failed."""
    found = scan(MemoryTree({"data.dat": UNKNOWN}))
    assert (found.verdict, found.coverage.inconclusive) == (Verdict.NOTHING, ())
    assert [note.path for note in found.coverage.skipped] == ["data.dat"]
