"""Run folders that want to hang, fill, mislead or escape: each is scanned in bounded time, and told as what it is."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from detectors.local_tree import LocalTree
from detectors.report import scan_report, to_json
from detectors.scan import Scan, Verdict, scan
from tests.builders import onnx
from tests.worker.test_ingest import end_of, event, make_borders
from worker.ingest import ingest
from worker.locations import Places, resolve
from worker.records import IngestionState, Trigger
from worker.registry.memory import MemoryRegistry
from worker.storage.local import LocalStore

TERABYTE = 1 << 40
PATIENCE_SECONDS = 5.0


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return onnx.run_at(tmp_path / "run")


def look(folder: Path) -> Scan:
    """Scan within the patience, and print the report once, so that nothing in it is unprintable."""
    began = time.process_time()
    with LocalTree(folder) as tree:
        found = scan(tree)
    assert time.process_time() - began < PATIENCE_SECONDS
    assert to_json(scan_report(found, str(folder))).isascii()
    return found


def sparse(path: Path, size: int, head: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head)
    os.truncate(path, size)


def test_a_fifo_and_a_socket_are_told_and_not_waited_for(run: Path) -> None:
    os.mkfifo(run / "saved_model.pb")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(run / "events.out.tfevents.1"))
        found = look(run)
    assert [note.path for note in found.coverage.skipped] == ["events.out.tfevents.1", "saved_model.pb"]
    assert found.verdict is Verdict.CLEAN


def test_links_that_loop_lead_nowhere(run: Path) -> None:
    (run / "a").symlink_to("b")
    (run / "b").symlink_to("a")
    (run / "up").symlink_to("..")
    found = look(run)
    assert [finding.path for finding in found.findings] == ["a", "b", "up"]
    assert {finding.rule for finding in found.findings} == {"link-outside"}


def test_external_data_behind_a_link_is_not_opened(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    (run / "w.bin").symlink_to(tmp_path / "secret.bin")
    initializer = onnx.external_tensor(location="w.bin", offset="0", length="24")
    (run / "model.onnx").write_bytes(onnx.model(onnx.small_graph(initializers=[initializer])))
    found = look(run)
    assert found.primary is not None
    assert found.primary.detection.files == ("model.onnx",)
    assert found.verdict is Verdict.FINDINGS
    assert "link-outside" in {finding.rule for finding in found.findings}


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.onnx", b"new\nline.onnx", b"\x1b[31m.onnx", "模型.onnx".encode(), b"'; drop table.onnx"]
)
def test_odd_names_are_read_and_shown_safely(run: Path, name: bytes) -> None:
    with open(os.fsencode(run) + b"/" + name, "wb") as file:
        file.write(onnx.model())
    assert len(look(run).models) == 2


def test_files_without_a_byte_are_no_models_but_where_the_name_says_so(run: Path) -> None:
    for name in (
        "a.onnx",
        "saved_model.pb",
        "x.h5",
        "y.pkl",
        "noname",
        "events.out.tfevents.1",
        "gradient-model-metadata.json",
    ):
        (run / name).write_bytes(b"")
    found = look(run)
    assert found.verdict is Verdict.FINDINGS
    states = {model.detection.main: model.extraction.completeness.state.value for model in found.models}
    assert states["model.onnx"] == "complete"
    assert {state for main, state in states.items() if main != "model.onnx"} <= {"corrupt", "incomplete"}
    assert {"a.onnx", "saved_model.pb"} <= set(states)


HEADS: list[tuple[str, bytes]] = [
    ("big.onnx", onnx.model()),
    ("big/saved_model.pb", b"\x08\x01"),
    ("big/saved_model.pbtxt", b"saved_model_schema_version: 1"),
    ("big.index", b""),
    ("big.h5", b"\x89HDF\r\n\x1a\n"),
    ("big.pt", b"PK\x03\x04"),
    ("big.safetensors", b"\xff\xff\xff\xff\x00\x00\x00\x00{"),
    ("big.gguf", b"GGUF\x03\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00"),
    ("big.tflite", b"\x10\x00\x00\x00TFL3"),
    ("big.pkl", b"\x80\x04"),
    ("events.out.tfevents.1.big", b"\xff\xff\xff\xff\xff\xff\xff\x7f"),
    ("metrics.json", b"{"),
    ("gradient-model-metadata.json", b"["),
    ("metrics.csv", b"epoch,loss\n"),
    ("checkpoint", b"model_checkpoint_path"),
    ("MLmodel", b"flavors:"),
    ("config.json", b"{"),
]


@pytest.mark.parametrize(("name", "head"), HEADS, ids=[name for name, _ in HEADS])
def test_a_sparse_terabyte_under_any_name_costs_next_to_nothing(run: Path, name: str, head: bytes) -> None:
    sparse(run / name, TERABYTE, head)
    found = look(run)
    assert found.read.bytes < 100 << 20
    for model in found.models:
        if model.detection.main == name:
            assert model.extraction.completeness.state.value != "complete" or found.coverage.inconclusive or unproven(model)


def unproven(model: Any) -> bool:
    return model.extraction.facts.details.get("completeness_checked") is False or "note" in model.extraction.facts.details


def test_a_file_that_is_shorter_than_it_claims_does_not_end_the_scan(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As files of /sys are, which claim 4,096 bytes. What cannot be read of it is told, and the others are looked at."""
    (run / "liar.bin").write_bytes(bytes(5000))
    whole, liar = os.pread, (run / "liar.bin").stat().st_ino

    def pread(descriptor: int, count: int, start: int) -> bytes:
        data = whole(descriptor, count, start)
        return data[:4] if os.fstat(descriptor).st_ino == liar and not start else data if start == 0 else b""

    monkeypatch.setattr(os, "pread", pread)
    found = look(run)
    assert [model.detection.main for model in found.models] == ["model.onnx"]
    assert [(note.path, note.reason) for note in found.coverage.inconclusive] == [
        ("liar.bin", "claims 5000 bytes and ends at 4, though it did not change")
    ]
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_copy_that_has_no_room_is_refused_before_it_begins(run: Path, tmp_path: Path) -> None:
    sparse(run / "weights.bin", 1 << 43)
    borders = make_borders(MemoryRegistry(), LocalStore(tmp_path / "store"))
    outcome = ingest(event(run), borders)
    assert end_of(outcome) == (IngestionState.FAILED, "store-unavailable")
    assert "a copy takes 8796093022" in (outcome.ingestion.message or "")
    assert list((tmp_path / "store").rglob("*")) == []


def test_three_hundred_folders_deep_and_ten_thousand_files_wide(run: Path) -> None:
    deep = run
    for _ in range(300):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "model.onnx").write_bytes(onnx.model())
    wide = run / "wide"
    wide.mkdir()
    for number in range(10_000):
        (wide / f"{number}.txt").touch()
    found = look(run)
    assert len(found.models) == 2
    assert found.read.files == 2


def test_a_file_swapped_for_a_link_to_a_secret_is_never_copied(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"marker of a secret")

    def step(name: str) -> None:
        if name in ("detect", "store") and not (run / "model.onnx").is_symlink():
            (run / "model.onnx").unlink()
            (run / "model.onnx").symlink_to(secret)

    borders = replace(make_borders(MemoryRegistry(), LocalStore(tmp_path / "store")), step=step)
    outcome = ingest(event(run), borders)
    assert outcome.version is None
    kept = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert kept == []


@pytest.mark.parametrize("name", ["model", "missing", "current", "model/model.onnx", "model/model.onnx/x"])
def test_a_link_to_another_team_does_not_tell_what_that_has(tmp_path: Path, name: str) -> None:
    """A team links to another's folder and asks for names below it: each ends alike, at the first look."""
    onnx.run_at(tmp_path / "blue" / "model")
    (tmp_path / "blue" / "current").symlink_to("model")
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "peek").symlink_to(tmp_path / "blue")
    places = Places(roots=(str(tmp_path / "{team}"),))
    borders = make_borders(MemoryRegistry(), LocalStore(tmp_path / "store"))
    path = tmp_path / "red" / "peek" / name
    outcome = ingest(event(path, team="red", trigger=Trigger.RESCAN), replace(borders, resolve=partial(resolve, places=places)))
    assert end_of(outcome) == (IngestionState.FAILED, "rejected-location")
    assert outcome.ingestion.message == f"{path} leads through a link to a place outside the allowed root {tmp_path}/red"
