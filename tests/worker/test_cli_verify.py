"""`modelport verify`: real models, really loaded by onnxruntime and TensorFlow, in whichever cage this machine allows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.builders import onnx
from tests.builders.saved_model import graph, meta_graph, node, placeholder, saved_model, signature, tensor_info, type_attr
from tests.servers.process import skip_without
from tests.servers.s3 import S3Server
from tests.worker.cage.seat import BUBBLEWRAP, find
from tests.worker.conftest import json_of
from worker.cage import ladder, view
from worker.cage.ladder import Cage
from worker.cli import run
from worker.verification import Rung

pytestmark = pytest.mark.usefixtures("home", "a_cage")

MARKER = "what lies outside is secret"


@pytest.fixture(scope="module")
def a_cage() -> None:
    skip_without(lambda: find(*Rung), "WITHOUT_LANDLOCK")


@pytest.fixture
def model(tmp_path: Path) -> str:
    return written(tmp_path / "model.onnx")


def written(path: Path, **parts: Any) -> str:
    path.write_bytes(onnx.model(onnx.small_graph(**parts)))
    return str(path)


def test_a_model_that_loads_and_runs_is_verified(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = json_of(capsys, "verify", model)
    (one,) = report["models"]
    assert (report["schema"], report["outcome"]) == ("modelport.verification/1", "verified")
    assert (one["outcome"], one["loads"], one["ended"], one["tried"]) == ("verified", True, "answered", [])
    assert one["framework"].startswith("onnxruntime ")
    assert one["runs"][0]["outputs"] == [{"name": "y", "dtype": "float32", "shape": [2, 3]}]
    assert 0 < one["seconds"] < 60
    assert 20e6 < one["peakBytes"] < 500e6


def test_a_person_reads_what_happened(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", model]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "model.onnx  (onnx)"
    assert lines[1].startswith("  ✓ loads in ")
    assert lines[2].startswith("  ✓ runs g in ")
    assert lines[3] == "  ✓ outputs are those that its signatures declare"
    assert lines[-1] == "  · blocked: nothing, it tried nothing"


def test_a_registered_version_is_named_as_everywhere(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    version = json_of(capsys, "ingest", model, "--name", "net")["version"]["id"]
    for name in (version, "net", "net@1"):
        assert json_of(capsys, "verify", name)["outcome"] == "verified"
    assert run(["verify", "nobody"]) == 2
    assert "no such model" in capsys.readouterr().err


def test_what_a_version_came_to_is_kept_and_shown(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    version = json_of(capsys, "ingest", model, "--name", "net")["version"]["id"]
    assert json_of(capsys, "models", "show", "net")["verification"] is None
    report = json_of(capsys, "verify", "net", "--seconds", "60")
    kept = json_of(capsys, "models", "show", version)["verification"]
    assert kept.pop("dtVerified").endswith("Z")
    assert kept.pop("path") == "net@1"
    assert kept == {key: value for key, value in report.items() if key != "path"}
    assert run(["models", "show", version]) == 0
    said = capsys.readouterr().out
    assert "Load check of 20" in said
    assert "  ✓ outputs are those that its signatures declare" in said


def test_a_model_with_external_data_finds_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_external(tmp_path / "m", "weights.bin")
    (tmp_path / "m" / "weights.bin").write_bytes(bytes(24))
    assert json_of(capsys, "verify", str(tmp_path / "m"))["outcome"] == "verified"
    assert json_of(capsys, "verify", str(tmp_path / "m" / "model.onnx"))["outcome"] == "verified"


def write_external(folder: Path, location: str) -> None:
    """Write a model that gives out the six floats of its external data, which are above zero."""
    folder.mkdir()
    weights = onnx.external_tensor("x", location=location, offset="0", length="24")
    written(folder / "model.onnx", initializers=[weights], inputs=[])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_hard_link_leaks_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bare, onnxruntime gives the bytes of the file outside out; what is verified never sees them."""
    import onnxruntime

    (tmp_path / "secret").write_text(MARKER[:24])
    write_external(tmp_path / "m", "weights.bin")
    os.link(tmp_path / "secret", tmp_path / "m" / "weights.bin")
    session = onnxruntime.InferenceSession(str(tmp_path / "m" / "model.onnx"), providers=["CPUExecutionProvider"])
    assert session.run(None, {})[0].tobytes() == MARKER[:24].encode()

    report = json_of(capsys, "verify", str(tmp_path / "m"), status=2)
    (one,) = report["models"]
    assert one["withheld"] == [
        {"path": "weights.bin", "reason": "it is a hard link, and its other names lie outside the model"}
    ]
    assert one["outcome"] == "not-verified"
    assert one["why"].endswith("1 of its files were withheld")
    assert MARKER[:10] not in json.dumps(report)


@pytest.mark.parametrize("location", ["../secret", "{folder}/secret"])
def test_a_path_that_leads_out_leads_nowhere(location: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text(MARKER)
    write_external(tmp_path / "m", location.format(folder=tmp_path))
    report = json_of(capsys, "verify", str(tmp_path / "m"), status=1)
    assert report["models"][0]["loads"] is False
    assert MARKER not in json.dumps(report)


def test_what_its_files_declare_must_come_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reshaped = written(tmp_path / "wrong.onnx", outputs=[onnx.value("y", dims=[2, 4])])
    report = json_of(capsys, "verify", reshaped, status=1)
    assert report["models"][0]["mismatches"] == ["output y of signature g: declared with shape [2, 4], [2, 3] came out"]


def test_an_operator_that_nobody_knows_does_not_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = written(tmp_path / "custom.onnx", nodes=[onnx.node("Nobody", domain="example")])
    assert run(["verify", unknown]) == 1
    said = capsys.readouterr().out
    assert "✗ it does not load: " in said
    assert "Nobody" in said


def test_what_cannot_be_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.")
    assert run(["verify", str(tmp_path)]) == 3
    assert capsys.readouterr().out.startswith("There is no model here that can be loaded")


def test_without_a_cage_nothing_is_loaded(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ladder, "find_cage", lambda: Cage(None, {Rung.LANDLOCK: "the kernel has none"}))
    assert run(["verify", model]) == 2
    assert "? not verified (no sandbox): landlock: the kernel has none" in capsys.readouterr().out


def test_without_the_framework_it_says_what_to_install(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(view, "sites", list)
    assert run(["verify", model]) == 2
    said = capsys.readouterr().out
    assert "pip install 'modelport[verify]' brings it" in said
    assert "what it tried" not in said


@pytest.mark.parametrize("memory", ["1M", "32M", "64M"])
def test_where_the_framework_gets_too_little_memory_nothing_is_said_of_the_model(
    memory: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it is ended from outside, or gets no more: neither was the model opened, nor is it unknown what it tried."""
    (one,) = json_of(capsys, "verify", model, "--memory", memory, status=2)["models"]
    assert (one["outcome"], one["ended"], one["begun"], one["tried"]) == ("not-verified", "memory", False, [])
    began = "not verified: its limit of memory is too small for Python and the framework to start, and nothing of the model"
    assert one["why"].startswith(f"{began} was opened: ")
    assert run(["verify", model, "--memory", memory]) == 2
    assert "listen" not in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--memory", "much"], ["--memory", "0"], ["--seconds", "0"], ["--seconds", "x"]])
def test_limits_must_be_numbers(words: list[str], model: str) -> None:
    assert run(["verify", model, *words]) == 4


def test_a_place_on_object_storage_is_verified(
    moto: S3Server, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.secret_key)
    monkeypatch.setenv("MODELPORT_S3_ENDPOINT_URL", moto.url)
    bucket = moto.new_bucket()
    moto.client().put_object(Bucket=bucket, Key="run/a/model.onnx", Body=onnx.model())
    assert json_of(capsys, "verify", f"s3://{bucket}/run")["outcome"] == "verified"


def test_several_may_be_verified_at_once(model: str) -> None:
    statuses: list[int] = []
    command = [sys.executable, "-c", "import sys; from worker.cli import run; sys.exit(run(sys.argv[1:]))", "verify", model]

    def one() -> None:
        statuses.append(subprocess.run(command, check=False, capture_output=True, timeout=60).returncode)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0, 0]


WRITE_MODELS = """
import sys
import tensorflow as tf
folder, outside = sys.argv[1:]

class Reader(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def serve(self, x):
        secret = tf.io.read_file(outside + "/secret")
        with tf.control_dependencies([tf.io.write_file(outside + "/writable/mark", secret)]):
            return {"y": x + tf.cast(tf.strings.length(secret), tf.float32)}

class Honest(tf.Module):
    def __init__(self):
        self.w = tf.Variable(2.0)
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32), tf.TensorSpec([None], tf.string)])
    def serve(self, x, s):
        return {"y": x * self.w, "n": tf.strings.length(s)}

for name, module in (("reader", Reader()), ("honest", Honest())):
    tf.saved_model.save(module, f"{folder}/{name}", signatures=module.serve)

graph = tf.Graph()
with graph.as_default():
    x = tf.compat.v1.placeholder(tf.float32, [None, 2], name="x")
    tf.identity(x * 3.0, name="y")
tf.io.write_graph(graph.as_graph_def(), folder, "frozen.pb", as_text=False)
print(tf.saved_model.load(f"{folder}/reader").signatures["serving_default"](tf.zeros([1]))["y"].numpy()[0])
"""
"""Writes three models, and runs that which reads and writes outside once, bare."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that TensorFlow wrote, beside a folder that all may write, in which a secret lies."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "outside" / "writable").mkdir(parents=True)
    (folder / "outside" / "writable").chmod(0o777)
    (folder / "outside" / "secret").write_text(MARKER)
    read = python("-c", WRITE_MODELS, str(folder), str(folder / "outside"))
    assert float(read) == len(MARKER)
    return folder


def python(*words: str) -> str:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    said = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert said.returncode == 0, said.stderr
    return said.stdout


@pytest.mark.slow
def test_a_saved_model_that_reads_and_writes_outside_leaves_no_mark(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = saved / "outside" / "writable" / "mark"
    assert mark.read_text() == MARKER  # bare it does what it wants
    mark.unlink()

    report = json_of(capsys, "verify", str(saved / "reader"), status=1)
    (one,) = report["models"]
    assert not mark.exists()
    assert one["loads"] is True
    assert [run["runs"] for run in one["runs"]] == [False]
    assert {"what": "read", "target": str(saved / "outside" / "secret")}.items() <= one["tried"][0].items()
    assert MARKER not in json.dumps(report)


@pytest.mark.slow
def test_an_honest_saved_model_is_verified_in_bubblewrap(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BUBBLEWRAP.cage()
    report = json_of(capsys, "verify", str(saved / "honest"))
    (one,) = report["models"]
    assert (one["sandbox"].partition("-")[0], one["tried"]) == ("bubblewrap", [])
    outputs = one["runs"][0]["outputs"]
    assert [(output["name"], output["dtype"], output["shape"]) for output in outputs] == [
        ("n", "int32", [1]),
        ("y", "float32", [1, 3]),
    ]


@pytest.mark.slow
def test_a_saved_model_is_verified_without_bubblewrap(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ladder.shutil, "which", lambda name, path=None: None)
    report = json_of(capsys, "verify", str(saved / "honest"))
    assert (report["models"][0]["sandbox"], report["models"][0]["tried"]) == ("landlock", [])


@pytest.mark.slow
def test_a_frozen_graph_is_verified(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json_of(capsys, "verify", str(saved / "frozen.pb"))
    assert report["models"][0]["runs"][0]["outputs"] == [{"name": "y", "dtype": "float32", "shape": [1, 2]}]


@pytest.mark.slow
def test_what_todays_loader_refuses_is_loaded_as_servers_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An input whose name is a word of Python was common with TensorFlow 1, and `tf.saved_model.load` takes none."""
    placed = graph(placeholder("x", sizes=(-1, 2)), node("y", "Identity", "x", T=type_attr(1)))
    told = signature({"in": tensor_info("x:0", sizes=(-1, 2))}, {"out": tensor_info("y:0", sizes=(-1, 2))})
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "saved_model.pb").write_bytes(saved_model(meta_graph(placed, signatures={"serve": told})))
    (one,) = json_of(capsys, "verify", str(tmp_path / "m"))["models"]
    assert one["framework"].endswith(", by the loader of TensorFlow 1")
    assert one["runs"][0]["outputs"] == [{"name": "out", "dtype": "float32", "shape": [1, 2]}]
    assert one["tried"] == []
