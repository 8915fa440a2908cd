"""PyTorch's files and pickles: told by name, never loaded."""

from __future__ import annotations

import gzip
import os
import pickle
import zlib
from pathlib import Path

import pytest

from detectors.errors import MalformedModel
from tests.builders.weights import pytorch_zip, zip_of
from tests.detectors.weights.looked_at import formats, look_at, state

LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e8002 4de9032e")


class TestZip:
    def test_a_state_tells_its_storages(self) -> None:
        detection, extraction = look_at("model.pt", pytorch_zip())
        assert (detection.format, detection.evidence[0].saw) == ("pytorch", "a zip that begins with archive/data.pkl")
        assert extraction.facts.details == {
            "note": "told by what the zip lists; weights not opened",
            "kind": "state",
            "storages": 2,
            "storage_bytes": 32,
        }
        assert extraction.completeness.state == "complete"
        assert extraction.findings == ()

    @pytest.mark.parametrize(
        ("members", "kind"),
        [
            ({"data.pkl": b"", "code/__torch__.py": b"", "constants.pkl": b""}, "torchscript"),
            ({"archive_format": b"pt2", "models/model.json": b"{}"}, "exported program"),
            ({"data/0": b"x", "data.pkl": b""}, "state"),
        ],
    )
    def test_the_kind_is_told_by_the_members(self, members: dict[str, bytes], kind: str) -> None:
        assert look_at("m", pytorch_zip(members))[1].facts.details["kind"] == kind

    def test_a_file_cut_off_anywhere_is_incomplete(self) -> None:
        data = pytorch_zip()
        assert {state("m.pt", data[:size]) for size in range(60, len(data))} == {"incomplete"}

    def test_a_zip_without_data_is_malformed(self) -> None:
        with pytest.raises(MalformedModel, match=r"data\.pkl"):
            look_at("m.pt", pytorch_zip({"byteorder": b"little"}))

    @pytest.mark.parametrize("name", ["word/document.xml", "data.pkl", "a/b/data.pkl", "weights.npy"])
    def test_other_zips_are_not_mistaken_for_it(self, name: str) -> None:
        assert formats({"m.pt": zip_of({name: b"x"})}) == []


class TestLegacy:
    def test_the_old_format_is_told_by_its_magic_number(self) -> None:
        detection, extraction = look_at("model.pt", LEGACY)
        assert (detection.format, extraction.facts.details["kind"]) == ("pytorch", "legacy")
        assert extraction.facts.details["completeness_checked"] is False


class TestPickle:
    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_a_pickle_is_told_by_protocol_and_suffix(self, protocol: int) -> None:
        detection, extraction = look_at("model.pkl", pickle.dumps({"w": [1.0, 2.0]}, protocol))
        assert detection.format == "pickle"
        assert extraction.facts.details == {
            "note": "told by its name or its beginning; weights not opened",
            "completeness_checked": False,
            "protocol": protocol,
        }
        assert extraction.completeness.state == "complete"

    def test_a_pickle_without_its_last_opcode_is_incomplete(self) -> None:
        data = pickle.dumps({"w": "abc"}, 4)
        assert {state("m.pkl", data[:size]) for size in range(3, len(data))} == {"incomplete"}

    @pytest.mark.parametrize("path", ["data_batch_1", "cache.dat", "x.npy"])
    def test_a_pickle_with_another_suffix_is_no_model(self, path: str) -> None:
        assert formats({path: pickle.dumps([1], 4)}) == []

    @pytest.mark.parametrize("protocol", [0, 1])
    def test_one_without_a_magic_number_is_told_by_its_opcodes(self, protocol: int) -> None:
        data = pickle.dumps({"a": [1, 2.5, "x" * 9_000]}, protocol)
        detection, extraction = look_at("m.pkl", data)
        assert detection.evidence[0].saw == "a pickle of protocol 0 or 1"
        assert extraction.completeness.state == "complete"
        assert state("m.pkl", data[:-1]) == "incomplete"

    def test_text_is_none(self) -> None:
        assert formats({"a.pkl": b"(a) text\n", "b.pkl": b"import os\n", "c.pkl": b".", "d.txt": b"(dp0\n."}) == []

    @pytest.mark.parametrize("data", [b"\x80\x06.", b"\x80\x01.", b"\x7f"])
    def test_other_first_bytes_are_no_pickle(self, data: bytes) -> None:
        assert formats({"m.pkl": data}) == []

    @pytest.mark.parametrize(
        ("data", "compression"),
        [(zlib.compress(b"x"), "zlib"), (gzip.compress(b"x", mtime=0), "gzip"), (b"\x04\x22\x4d\x18...", "lz4")],
    )
    def test_joblib_tells_its_compression(self, data: bytes, compression: str) -> None:
        _, extraction = look_at("m.joblib", data)
        assert extraction.facts.details["compression"] == compression
        assert extraction.facts.details["completeness_checked"] is False

    def test_a_hostile_pickle_does_nothing(self, tmp_path: Path) -> None:
        """Unpickling this makes a folder."""

        class Attack:
            def __reduce__(self) -> tuple[object, ...]:
                return os.mkdir, (str(tmp_path / "made"),)

        for path in ("m.pkl", "m.pt", "m.joblib"):
            assert look_at(path, pickle.dumps(Attack()))[0].format == "pickle"
        assert look_at("m.pt", pytorch_zip({"data.pkl": pickle.dumps(Attack())}))[0].format == "pytorch"
        assert not (tmp_path / "made").exists()
