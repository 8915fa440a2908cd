"""Trees made of many small files, or of long names, that want more time than their size explains."""

from __future__ import annotations

import bz2
import random
import time
import zipfile

import pytest

from detectors.report import scan_report, to_json
from detectors.scan import Verdict, scan
from detectors.tree import MemoryTree
from tests.attacks.keras import hdf5_of
from tests.builders import events, onnx, saved_model
from tests.builders.weights import zip_of

MAX_SECONDS = 8.0
"""Of processor time; what is told here took up to fourteen before, and takes two now."""

MAX_REPORT_CHARACTERS = 16 << 20


def texts_of_graphs() -> dict[str, bytes]:
    return {f"g{n:05d}.pbtxt": b'node { name: "a" op: "Const" }\n' for n in range(4_000)}


def long_locations() -> dict[str, bytes]:
    places = ("a/" * 2_000 + str(n) for n in range(1_200))
    tensors = [onnx.external_tensor(name="w", location=place, offset="0", length="24") for place in places]
    return {"m.onnx": onnx.model(onnx.small_graph(initializers=tensors)), "x.txt": b"a"}


def nested_models() -> dict[str, bytes]:
    folders = ["a/" * depth for depth in range(1_500)]
    configs = {folder + "config.json": b'{"model_type":"x"}' for folder in folders}
    weights = {folder + "model.bin": b"" for folder in folders}
    return configs | weights | {"a/" * 1_500 + str(n): b"" for n in range(5_000)}


def nested_exports() -> dict[str, bytes]:
    models = {"assets/" * depth + "saved_model.pb": b"" for depth in range(400)}
    return models | {"assets/" * 400 + str(n): b"" for n in range(5_000)}


def deep_metadata() -> dict[str, bytes]:
    return {"gradient-model-metadata.json": b"[" * 199 + b",".join([b"0"] * 990_000) + b"]" * 199}


def long_metric_names() -> dict[str, bytes]:
    metric = b'{"name": "' + "\u1234".encode() * 4_600 + b'", "numberValue": 1}'
    return {"gradient-model-metadata.json": b'{"metrics": [' + b",".join([metric] * 1_000) + b"]}"}


def texts_for_the_slow_parser() -> dict[str, bytes]:
    """A parser in plain Python: six of these took 19 s."""
    text = b"".join(b'node { name: "n%d" op: "Const" input: "a" }\n' % number for number in range(40_000))
    return {f"g{number}.pbtxt": text for number in range(6)}


def graph_without_end() -> dict[str, bytes]:
    nodes = b"".join(saved_model.field(1, saved_model.node(f"n{number}", "Relu")) for number in range(1_000_000))
    return {"g.pb": nodes + saved_model.versions(2000)}


def table_of_nothing() -> dict[str, bytes]:
    return {"metrics.csv": b"step,loss\n" + b"\n" * 15_000_000}


def tables() -> dict[str, bytes]:
    rows = b"".join(b"%d,1\n" % number for number in range(200_000))
    return {f"{number}/metrics.csv": b"step,loss\n" + rows for number in range(30)}


def json_files() -> dict[str, bytes]:
    rows = b",".join(b'{"step":%d,"loss":1}' % number for number in range(100_000))
    return {f"{number}/trainer_state.json": b'{"log_history":[' + rows + b"]}" for number in range(20)}


def lines_of_nothing() -> dict[str, bytes]:
    return {f"mlruns/0/r/metrics/m{number}": b"x\n" * 2_000_000 for number in range(10)}


def tags_without_end() -> dict[str, bytes]:
    values = [events.simple(f"t{number}", 1.0) for number in range(1_000_000)]
    records = [events.record(events.event(events.summary(*values[at : at + 500]), 1, 2.0)) for at in range(0, 1_000_000, 500)]
    return {"events.out.tfevents.1": events.event_file(*records)}


def noise_in_bzip2() -> dict[str, bytes]:
    """The decoder that takes longest for a byte: these took 6 s."""
    packed = bz2.compress(random.Random(1).randbytes(400_000))
    return {f"m{number}.joblib": packed for number in range(300)}


def blocks_of_bzip2() -> dict[str, bytes]:
    """Each makes 900 KB of 3 KB before it gives a byte."""
    packed = bz2.compress(random.Random(2).randbytes(1_000) * 900)
    return {f"m{number}.joblib": packed for number in range(2_000)}


def damaged_blocks_of_bzip2() -> dict[str, bytes]:
    """Each makes as much, and only then is found to be damaged."""
    packed = bytearray(bz2.compress(random.Random(2).randbytes(500) * 1_800))
    packed[10] ^= 1
    return {f"m{number}.joblib": bytes(packed) for number in range(2_000)}


def configurations_of_keras() -> dict[str, bytes]:
    config = b'{"class_name":"a","config":[' + b'{"a":1},' * 200_000 + b"1]}"
    packed = zip_of({"metadata.json": b"{}", "config.json": config}, zipfile.ZIP_DEFLATED)
    attribute = hdf5_of({"keras_version": b"3", "model_config": config})
    return {**{f"{number}.keras": packed for number in range(20)}, **{f"{number}.h5": attribute for number in range(20)}}


@pytest.mark.parametrize("build", [noise_in_bzip2, blocks_of_bzip2, damaged_blocks_of_bzip2, configurations_of_keras])
def test_what_takes_long_for_each_byte_counts_more(build) -> None:  # type: ignore[no-untyped-def]
    tree = MemoryTree(build())
    begun = time.process_time()
    found = scan(tree)
    assert time.process_time() - begun < MAX_SECONDS / 2
    assert any("limit MAX_ALL_" in note.reason for note in (*found.coverage.inconclusive, *found.coverage.skipped))
    assert found.verdict is not Verdict.CLEAN


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        texts_for_the_slow_parser,
        graph_without_end,
        table_of_nothing,
        tables,
        json_files,
        lines_of_nothing,
        tags_without_end,
    ],
)
def test_what_a_scan_spends_is_bounded_and_told(build) -> None:  # type: ignore[no-untyped-def]
    tree = MemoryTree(build())
    begun = time.process_time()
    found = scan(tree)
    assert time.process_time() - begun < MAX_SECONDS
    told = [note.reason for note in (*found.coverage.inconclusive, *found.coverage.skipped)]
    assert any("limit MAX_" in reason for reason in told)
    assert found.verdict is not Verdict.CLEAN


@pytest.mark.parametrize(
    "build", [texts_of_graphs, long_locations, nested_models, nested_exports, deep_metadata, long_metric_names]
)
def test_the_time_and_the_report_are_in_proportion(build) -> None:  # type: ignore[no-untyped-def]
    tree = MemoryTree(build())
    begun = time.process_time()
    text = to_json(scan_report(scan(tree), "run"))
    assert time.process_time() - begun < MAX_SECONDS
    assert len(text) < MAX_REPORT_CHARACTERS
