"""The readers of foreign bytes, each as a function of bytes, with the bytes to begin with and the errors that are answers.

Whatever else a reader raises is a mistake of ours. A whole scan has no errors to declare: any bytes give one.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from detectors import sstable
from detectors.detection import Contents
from detectors.errors import DetectorError, ModelError
from detectors.facts import Metadata
from detectors.json_text import parse_json
from detectors.metrics import read_metrics
from detectors.onnx import LAYOUT as ONNX
from detectors.protos import onnx_pb2
from detectors.report import scan_report, to_json
from detectors.scan import scan
from detectors.snappy import CorruptSnappy, decode
from detectors.tree import MemoryTree
from detectors.weights.hdf5_links import links_outside
from detectors.wire import Window, parse, skeleton
from tests.attacks import keras, named_code, pickles
from tests.builders import bundle, events, onnx, saved_model, zips
from tests.builders.weights import flex_options, tflite_custom, tflite_texts
from tests.detectors.weights.test_weights import WHOLE
from worker import signatures
from worker.archive import ZipTree
from worker.errors import RejectedEvent, RejectedUpload
from worker.events import completion_from_cloudevent, completion_from_json, rescan_from_json
from worker.gate_files import yaml_value
from worker.gates import evaluate, parse_gates
from worker.records import FileDigest
from worker.s3_events import RunsBelow, hints_from_json
from worker.signing_keys import PrivateEcKey, PublicEcKey

MAX_SEED_BYTES = 32 << 10
MOST_SEEDS = 200
"""How much of the corpus of real models a fuzzer begins with: small files, since it changes them anywhere."""

CORPUS = "MODELPORT_CORPUS"


@dataclass(frozen=True, slots=True)
class Target:
    """One reader. *answers* are the errors that it may raise; seeds are called once, at the start."""

    name: str
    read: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    answers: tuple[type[Exception], ...] = ()

    def feed(self, data: bytes) -> None:
        """Let the reader have *data*.

        Raises:
            Exception: what it must not raise.
        """
        with suppress(*self.answers):
            self.read(data)


def _scanned(files: Mapping[str, bytes]) -> str:
    """Return the whole report on *files*, as text: whatever they are, there is one.

    Raises:
        AssertionError: a reader raised what nobody foresaw, which a scan keeps and tells.
    """
    found = scan(MemoryTree(files))
    assert found.unforeseen == (), found.unforeseen
    return to_json(scan_report(found, "run"))


def _alone(path: str) -> Callable[[bytes], object]:
    return lambda data: _scanned({path: data})


def _real(*suffixes: str) -> Iterable[bytes]:
    """Yield small real files of these suffixes, where there are any on this machine."""
    root = os.environ.get(CORPUS)
    found = (path for path in sorted(Path(root).rglob("*")) if path.suffix in suffixes) if root else iter(())
    small = (path for path in found if path.is_file() and path.stat().st_size <= MAX_SEED_BYTES)
    return (path.read_bytes() for path in islice(small, MOST_SEEDS))


def _saved_models() -> Iterable[bytes]:
    graph = saved_model.graph(
        saved_model.placeholder("x"),
        saved_model.const("c"),
        saved_model.node("y", "MatMul", "x", "c"),
        functions=[saved_model.function("f", saved_model.node("r", "ReadFile", "x"))],
    )
    info = saved_model.tensor_info()
    served = saved_model.signature({"x": info}, {"y": saved_model.tensor_info("y:0")})
    yield saved_model.saved_model(saved_model.meta_graph(graph, signatures={"serving_default": served}))
    yield from _real(".pb")


def _onnx_models() -> Iterable[bytes]:
    yield onnx.model(onnx.small_graph(initializers=[onnx.tensor(), onnx.external_tensor(location="w.bin", offset="0")]))
    yield from _real(".onnx")


def _graphs() -> Iterable[bytes]:
    yield saved_model.graph(saved_model.placeholder("x"), saved_model.const("c"), saved_model.node("y", "Relu", "x"))
    yield from _real(".pb")


CHECKPOINT = bundle.Bundle([bundle.Tensor("w", bundle.FLOAT, (2, 3), bytes(24))]).files("model.ckpt-1")
INDEX, META = "model.ckpt-1.index", "model.ckpt-1.meta"


def _indexes() -> Iterable[bytes]:
    yield CHECKPOINT[INDEX]
    yield from _real(".index")


def _event_files() -> Iterable[bytes]:
    yield events.event_file(events.file_version(), events.scalar("loss", 0.5, 1), events.scalar("loss", 0.25, 2))
    yield events.event_file(events.event(events.summary(events.scalar_tensor("accuracy", 0.9)), step=3))


def _texts() -> Iterable[bytes]:
    yield b'node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }\nversions { producer: 27 }'
    yield from _real(".pbtxt")


def _json_texts() -> Iterable[bytes]:
    yield b'{"a": [1, 2.5e3, "\\u00e9", null, true], "b": {"c": "x"}}'
    yield from _real(".json")


def _metrics(data: bytes) -> object:
    """Read *data* as the metrics of a run in each of the shapes that tools write."""
    names = ("metrics.json", "metrics.jsonl", "metrics.csv", "trainer_state.json", "history.json", "results.csv")
    tree = MemoryTree(dict.fromkeys(names, data))
    return read_metrics(Contents(tree, tree.files()), Metadata())


def _metric_texts() -> Iterable[bytes]:
    yield b'{"loss": 0.5, "accuracy": {"mean": 0.9}}'
    yield b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'
    yield b"epoch,loss,accuracy\n0,0.5,0.8\n1,0.25,0.9\n"
    yield b'{"log_history": [{"loss": 0.5, "step": 10, "epoch": 1.0}]}'


def _by_name(data: bytes) -> object:
    """Scan the file that the first byte names, one of the formats that are told by name."""
    names = sorted(WHOLE)
    return _scanned({names[data[0] % len(names)]: data[1:]}) if data else None


def _named() -> Iterable[bytes]:
    names = sorted(WHOLE)
    flex = tflite_custom(b"FlexReadFile", flex_options(b"ReadFile"), tflite_texts(b"/tmp/x"))
    yield bytes([names.index("m.tflite")]) + flex
    yield from (bytes([place]) + WHOLE[name] for place, name in enumerate(names))


NAMING = tuple(
    "config.json modules.json router_config.json model_index.json modular_model_index.json genai_config.json MLmodel "
    "chat.jinja".split()
)
"""Names of texts that are searched for code that they name."""


def _naming(data: bytes) -> object:
    """Scan the text that the first byte names, beside weights that it is about."""
    return _scanned({NAMING[data[0] % len(NAMING)]: data[1:], "model.safetensors": named_code.WEIGHTS}) if data else None


def _naming_texts() -> Iterable[bytes]:
    for files, _, _ in named_code.IDEAS.values():
        for path, data in files.items():
            name = path.rpartition("/")[2]
            if name in NAMING:
                yield bytes([NAMING.index(name)]) + data


RUNS = ("m.bin", "m.pkl", "m.npz", "m.npy", "m.keras", "m.h5", "m.tar.gz", "m.pt", "keras_metadata.pb")
"""Names under which files are searched for what runs, and for what Keras would load."""


def _executable(data: bytes) -> object:
    """Scan the file that the first byte names; an honest model lies beside it, so that what runs counts."""
    return _scanned({RUNS[data[0] % len(RUNS)]: data[1:], "beside.onnx": onnx.model()}) if data else None


def _executables() -> Iterable[bytes]:
    made = (files for attacks in (pickles.attacks(), keras.attacks()) for _, files in attacks)
    contents = {data for files in made for data in files.values() if len(data) <= MAX_SEED_BYTES}
    return (bytes([place % len(RUNS)]) + data for place, data in enumerate(sorted(contents)))


def _gates(data: bytes) -> object:
    """Read *data* as a file of gates, and judge by what it says."""
    gates = parse_gates(yaml_value(data, "gates.yaml"))
    return evaluate(gates, {"loss": {"scalar": "loss", "result": {"mean": 0.5}}}, Metadata(value={"f1": [0.9]}))


def _gate_files() -> Iterable[bytes]:
    yield b'{"checks": {"tensorflow:loss": {"target": "0.0..0.5", "aggregate": "mean", "precision": 2, "round": "up"}}}'
    yield b"checks:\n  custom:f1: {target: 0.9.., aggregate: /f1/0, if-not-found: success}\n  defaults: {precision: 3}\n"


FILES = (FileDigest("m.onnx", 3, "00" * 32),)
KEY = ec.derive_private_key(7, ec.SECP256R1())


def _bundles() -> Iterable[bytes]:
    yield signatures.signed_bundle(FILES, "m", PrivateEcKey(KEY)).encode()


def _upload(data: bytes) -> object:
    with ZipTree(io.BytesIO(data)) as tree:
        return [tree.read(entry.path, 0, min(entry.size, 1 << 20)) for entry in tree.files()]


def _zips() -> Iterable[bytes]:
    yield zips.zipped(zips.stored(b"a/model.onnx"), zips.deflated(b"b.txt", b"abc" * 100), zips.folder(b"c/"))
    yield zips.zipped(zips.streamed(zips.deflated(b"b.txt")))
    root = os.environ.get("MODELPORT_HOSTILE")
    found = sorted(Path(root, "zip").rglob("*.zip")) if root else []
    yield from (path.read_bytes() for path in found if path.stat().st_size <= MAX_SEED_BYTES)


def _messages(data: bytes) -> None:
    """Read *data* as each body that the API takes from senders."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):  # the web framework's answer to these is 400
        return
    runs = [RunsBelow("s3://bucket/runs/{experiment_id}", None, None)]
    for read in (
        lambda: completion_from_json(body, "team"),
        lambda: completion_from_cloudevent(body, "team"),
        lambda: rescan_from_json(body, "team", "id"),
        lambda: hints_from_json(body, "team", runs, 5.0),
    ):
        with suppress(RejectedEvent):
            read()


def _bodies() -> Iterable[bytes]:
    event = {"id": "e1", "source": "lab", "experimentId": "x", "state": "stopped", "modelPath": "/artifacts"}
    yield json.dumps(event | {"files": [{"path": "m.onnx", "size": 3, "sha256": "00" * 32}]}).encode()
    attributes = {"specversion": "1.0", "type": "experiment.completed", "id": "e2", "source": "lab"}
    yield json.dumps(attributes | {"data": event}).encode()
    yield b'{"path": "s3://bucket/runs/x"}'
    created = {"eventName": "ObjectCreated:Put", "eventTime": "2026-01-01T00:00:00.000Z", "eventSource": "aws:s3"}
    s3 = {"bucket": {"name": "bucket"}, "object": {"key": "runs/x/m.onnx"}}
    yield json.dumps({"Records": [created | {"s3": s3}]}).encode()


def _links(data: bytes) -> object:
    return list(links_outside(Window(MemoryTree({"f": data}), "f", len(data))))


TARGETS = {
    target.name: target
    for target in (
        Target("saved-model", _alone("saved_model.pb"), _saved_models),
        Target("onnx", _alone("m.onnx"), _onnx_models),
        Target("graph-def", _alone("g.pb"), _graphs),
        Target("graph-text", _alone("saved_model.pbtxt"), _texts),
        Target("checkpoint", lambda data: _scanned({**CHECKPOINT, INDEX: data}), _indexes),
        Target("meta-graph", lambda data: _scanned({**CHECKPOINT, META: data}), lambda: [*_saved_models(), *_real(".meta")]),
        Target("events", lambda data: _scanned({"events.out.tfevents.1": data}), _event_files),
        Target("metrics", _metrics, _metric_texts),
        Target("metadata", lambda data: _scanned({"gradient-model-metadata.json": data, "m.bin": b"x"}), _json_texts),
        Target("by-name", _by_name, _named),
        Target("naming", _naming, _naming_texts),
        Target(
            "wire",
            lambda data: parse(skeleton(Window(MemoryTree({"f": data}), "f", len(data)), ONNX), onnx_pb2.ModelProto()),
            _onnx_models,
            (ModelError,),
        ),
        Target(
            "table",
            lambda data: list(sstable.read_table(Window(MemoryTree({"f": data}), "f", len(data)))),
            _indexes,
            (DetectorError,),
        ),
        Target("hdf5-links", _links, lambda: [weights for weights, _ in keras.WEIGHTS.values()], (ModelError,)),
        Target("snappy", lambda data: decode(data, 1 << 20), lambda: [bundle.snappy(b"abc" * 100)], (CorruptSnappy,)),
        Target("json", parse_json, _json_texts, (ModelError,)),
        Target("executable", _executable, _executables),
        Target("gates", _gates, _gate_files, (RejectedEvent,)),
        Target("signature", lambda data: signatures.check(data, FILES, {"ours": PublicEcKey(KEY.public_key())}), _bundles),
        Target("upload", _upload, _zips, (RejectedUpload,)),
        Target("messages", _messages, _bodies),
    )
}
"""Every fuzzer by its name."""
