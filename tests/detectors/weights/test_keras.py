"""Keras models as a zip and as HDF5, built by hand and saved by Keras itself."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path

import pytest

from detectors.errors import MalformedModel, ModelLimit
from detectors.facts import Framework
from detectors.scan import Verdict, scan
from detectors.tree import MemoryTree
from detectors.weights import keras
from tests.attacks.keras import as_hdf5, layer
from tests.builders.weights import hdf5, keras_zip, zip_of
from tests.detectors.weights.looked_at import formats, look_at, problem, state

LAMBDA = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense"}, {"class_name": "Lambda"}]}}


class TestZip:
    @pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_version_and_class_are_told(self, compression: int) -> None:
        detection, extraction = look_at("model.keras", keras_zip(compression=compression))
        assert (detection.format, detection.model_type.value) == ("keras", "Custom")
        assert extraction.facts.framework == Framework("keras", "3.15.1")
        assert extraction.facts.details == {
            "note": "its configuration was read; weights not opened",
            "date_saved": "2026-11-21@00:07:39",
            "class_name": "Sequential",
            "weights": ["model.weights.h5"],
        }
        assert extraction.completeness.state == "complete"
        assert extraction.findings == ()

    def test_the_names_of_the_members_are_enough(self) -> None:
        assert formats({"model": keras_zip()}) == ["keras"]

    def test_a_file_cut_off_anywhere_is_incomplete(self) -> None:
        data = keras_zip()
        assert {state("m.keras", data[:size]) for size in range(4, len(data))} == {"incomplete"}

    def test_a_text_of_more_values_than_are_read_is_not_called_corrupt(self) -> None:
        with pytest.raises(ModelLimit, match="MAX_NODES"):
            look_at("m.keras", keras_zip({"a": [0] * 1_000_001}))

    def test_a_text_whose_bytes_are_not_those_that_were_packed_is_malformed(self) -> None:
        data = keras_zip(compression=zipfile.ZIP_STORED)
        with pytest.raises(MalformedModel, match="expected bytes with CRC"):
            look_at("m.keras", data.replace(b"Sequential", b"Sequestial", 1))

    def test_a_zip_that_two_readers_see_differently_is_not_called_corrupt(self) -> None:
        """Nobody knows which of its files a loader takes: neither whole nor damaged, and the place of a finding."""
        found = scan(MemoryTree({"m.keras": keras_zip().replace(b"model.weights.h5", b"./del.weights.h5")}))
        assert [one.rule for one in found.findings] == ["zip-ambiguous"]
        assert [model.extraction.completeness.state for model in found.models] == ["complete"]
        assert found.verdict is not Verdict.CLEAN

    def test_a_lambda_layer_is_a_finding(self) -> None:
        _, extraction = look_at("m.keras", keras_zip(LAMBDA))
        (finding,) = extraction.findings
        assert (finding.rule, finding.severity, finding.path, finding.place) == (
            "keras-lambda",
            "medium",
            "m.keras",
            "config.json",
        )

    @pytest.mark.parametrize(
        "members",
        [
            {"metadata.json": b"{}"},
            {"config.json": b"{}"},
            {"metadata.json": b"{}", "config.json": b"not JSON"},
            {"metadata.json": b"[]", "config.json": b"{}"},
            {},
        ],
    )
    def test_a_zip_without_its_two_texts_is_malformed(self, members: dict[str, bytes]) -> None:
        with pytest.raises(MalformedModel):
            look_at("m.keras", zip_of(members) if members else zip_of({"other": b""}))

    def test_a_text_beyond_the_limit_is_not_unpacked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keras, "MAX_JSON_BYTES", 20)
        with pytest.raises(ModelLimit, match="limit MAX_JSON_BYTES"):
            look_at("m.keras", keras_zip())


class TestHdf5:
    @pytest.mark.parametrize("version", [0, 1, 2, 3])
    def test_the_superblock_proves_the_end(self, version: int) -> None:
        data = hdf5(b"keras_version" + bytes(100), version)
        assert state("m.h5", data) == "complete"
        assert state("m.h5", data[:-1]) == "incomplete"

    def test_the_problem_names_both_sizes(self) -> None:
        _, extraction = look_at("m.h5", hdf5(b"keras_version", end=1000))
        assert problem(extraction) == "the superblock says 1000 bytes, the file ends at 125"

    @pytest.mark.parametrize(("version", "place"), [(4, 8), (0, 8)])
    def test_a_superblock_that_hdf5_does_not_have_is_malformed(self, version: int, place: int) -> None:
        data = bytearray(hdf5(b"keras_version"))
        data[8], data[13] = version, 3
        with pytest.raises(MalformedModel):
            look_at("m.h5", bytes(data))

    @pytest.mark.parametrize(
        ("path", "content", "found"),
        [
            ("m.h5", b"keras_version", ["keras"]),
            ("m.hdf5", b"layer_names", ["keras"]),
            ("m.weights.h5", b"vars", ["keras"]),
            ("train.h5", b"images", []),
            ("m.dat", b"keras_version", []),
        ],
    )
    def test_only_files_that_keras_has_marked_are_models(self, path: str, content: bytes, found: list[str]) -> None:
        assert formats({path: hdf5(content)}) == found

    def test_a_lambda_layer_is_a_finding(self) -> None:
        data = hdf5(b'keras_version {"class_name": "Lambda", "config"')
        _, extraction = look_at("m.h5", data[:96] + b"\x09" + data[97:])
        assert [finding.rule for finding in extraction.findings] == ["keras-lambda"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What Keras and the TensorFlow Lite converter write for one model of 58 parameters, and for one with a Lambda layer."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = tmp_path_factory.mktemp("keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        real = pytest.importorskip("keras")
        plain = real.Sequential([real.Input((4,)), real.layers.Dense(8, activation="relu"), real.layers.Dense(2)])
        code = real.Sequential([real.Input((4,)), real.layers.Lambda(lambda x: x * 2)])
        plain.save(folder / "plain.keras")
        plain.save(folder / "plain.h5")
        plain.save_weights(folder / "plain.weights.h5")
        code.save(folder / "code.keras")
        code.save(folder / "code.h5")
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.oracle
class TestWhatKerasWrites:
    def test_every_file_is_recognised_and_whole(self, saved: dict[str, bytes]) -> None:
        assert formats(saved) == ["keras"] * 5
        assert {state(path, data) for path, data in saved.items()} == {"complete"}

    def test_every_file_cut_off_is_incomplete(self, saved: dict[str, bytes]) -> None:
        for path, data in saved.items():
            sizes = (4096, len(data) // 2, len(data) - 1)
            assert {state(path, data[:size]) for size in sizes} == {"incomplete"}, path

    def test_the_version_is_that_of_keras(self, saved: dict[str, bytes]) -> None:
        import keras as real

        assert look_at("m.keras", saved["plain.keras"])[1].facts.framework == Framework("keras", real.__version__)

    @pytest.mark.parametrize(("name", "rules"), [("plain", []), ("code", ["keras-lambda"])])
    @pytest.mark.parametrize("end", ["keras", "h5"])
    def test_lambda_layers_are_found_where_they_are(
        self, saved: dict[str, bytes], name: str, rules: list[str], end: str
    ) -> None:
        _, extraction = look_at(f"m.{end}", saved[f"{name}.{end}"])
        assert [finding.rule for finding in extraction.findings] == rules

    def test_nothing_is_found_in_what_keras_writes_of_a_plain_model(self, saved: dict[str, bytes]) -> None:
        for name, data in saved.items():
            found = scan(MemoryTree({name: data}))
            if name.startswith("plain"):
                assert (found.verdict, found.findings) == (Verdict.CLEAN, ()), name
            else:
                assert found.verdict is Verdict.INCONCLUSIVE, name

    def test_other_hdf5_files_are_not_models(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            h5py = pytest.importorskip("h5py")
        out = io.BytesIO()
        with h5py.File(out, "w") as file:
            file["images"] = [1, 2, 3]
        assert formats({"train.h5": out.getvalue()}) == []


@pytest.mark.parametrize(
    ("name", "data", "most"),
    [
        ("m.keras", keras_zip(), 200),
        ("m.h5", as_hdf5(layer("Dense")), 400),
        ("m.h5", as_hdf5(layer("Dense")).replace(b"GCOL", b"GC0L"), 1500),
    ],
)
def test_what_all_configurations_unpack_to_is_bounded(
    name: str, data: bytes, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{number}/{name}": data for number in range(4)}
    assert "MAX_ALL_JSON_BYTES" not in str(scan(MemoryTree(files)).coverage.inconclusive)
    monkeypatch.setattr(keras, "MAX_ALL_JSON_BYTES", most)
    unread = scan(MemoryTree(files)).coverage.inconclusive
    refused = [note for note in unread if "MAX_ALL_JSON_BYTES" in note.reason]
    assert 0 < len(refused) < 4
