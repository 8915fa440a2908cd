"""The contract suite of `Inspector`: what every inspector must do, wherever it parses.

An inspector joins by subclassing `InspectorContract` and giving it a fixture `inspector`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

from detectors.errors import TreeChanged, TreeError, TreeLimit, TreeUnavailable, Unreadable
from detectors.facts import ModelType
from detectors.local_tree import LocalTree
from detectors.scan import Read, Scan, Verdict, scan
from detectors.tree import FileEntry, FileTree, MemoryTree
from detectors.wrapped_tree import CountingTree, FlakyTree
from tests.builders import onnx
from worker.errors import LeaseLost
from worker.ports import Inspector

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
MODEL = {"model.onnx": onnx.model()}

ODD_JSON = (
    b'{"a": NaN, "b": [-Infinity, 1e308, 1e309, 12345678901234567890123], "\\u0000": {"\\u0000": "NaN"}, "half": "\\ud800",'
    b' "metrics": [{"name": "auc", "numberValue": NaN}], "a": [[], {}, null, true, ""]}'
)


def inspect(inspector: Inspector, tree: FileTree, declared: ModelType | None = None, team: str = "red") -> Scan:
    return inspector.inspect(tree, declared, tuple(tree.files()), team)


def timeless(found: Scan) -> object:
    """Return all that *found* says but for the time it took, so that equal scans compare as equal, NaN in them or not."""
    return plainest({"read": (found.read.files, found.read.bytes), "scan": replace(found, read=Read(0, 0, 0.0))})


def plainest(value: object) -> object:
    if isinstance(value, float) and math.isnan(value):
        return "not a number"
    if isinstance(value, Mapping):
        return {key: plainest(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plainest(item) for item in value]
    if is_dataclass(value):
        return (type(value), {field.name: plainest(getattr(value, field.name)) for field in fields(value)})
    return (type(value), value)


class SwappedTree:
    """A tree that lists *files* and, when it is read, raises *error* for the path `bad`."""

    def __init__(self, files: dict[str, bytes], error: Exception) -> None:
        self._tree = MemoryTree(files)
        self._error = error

    def files(self) -> Iterator[FileEntry]:
        return self._tree.files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        if path.startswith("bad"):
            raise self._error
        return self._tree.read(path, start, stop)


class InspectorContract:
    """The laws of any inspector."""

    @pytest.fixture
    def inspector(self) -> Inspector:
        raise NotImplementedError("the subclass says which inspector")

    @pytest.mark.parametrize(
        "files",
        [
            {},
            {"readme.txt": b"hello"},
            MODEL,
            {'\udcff\nodd, "name".onnx': onnx.model(), "модель.onnx": onnx.model()},
            {"model.onnx": onnx.model()[:-3]},
            {"model.onnx": b"\x08\x08" + b"\x00" * 5000},
            {**MODEL, "gradient-model-metadata.json": ODD_JSON},
            {**MODEL, "gradient-model-metadata.json": b"[" * 199 + b"]" * 199},
            {"metrics.csv": b"step,loss\n1,nan\n2,inf\n3,0.25\n", **MODEL},
            {"model.safetensors": b"\x02\0\0\0\0\0\0\0{}", "weights.gguf": b"GGUF" + b"\xff" * 40},
        ],
        ids=["nothing", "no model", "model", "odd names", "cut", "zeros", "odd metadata", "deep metadata", "nan", "others"],
    )
    def test_the_scan_is_that_of_the_detectors(self, inspector: Inspector, files: dict[str, bytes]) -> None:
        tree = MemoryTree(files)
        assert timeless(inspect(inspector, tree)) == timeless(scan(tree))

    def test_a_real_run_is_seen_whole(self, inspector: Inspector) -> None:
        with LocalTree(EXAMPLE) as tree:
            found = inspect(inspector, tree)
            assert timeless(found) == timeless(scan(tree))
        assert len(found.models) >= 4
        assert found.metrics.detail
        assert found.read.bytes > 10_000

    def test_what_the_listing_passed_over_is_told(self, inspector: Inspector, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(onnx.model())
        os.symlink("/etc/passwd", tmp_path / "leak")
        os.symlink("model.onnx", tmp_path / "again")
        with LocalTree(tmp_path) as tree:
            found = inspect(inspector, tree)
        assert [(finding.rule, finding.path) for finding in found.findings] == [("link-outside", "leak")]
        assert [note.path for note in found.coverage.skipped] == ["again"]

    def test_the_declared_type_counts(self, inspector: Inspector) -> None:
        found = inspect(inspector, MemoryTree(MODEL), ModelType.TENSORFLOW)
        assert [finding.rule for finding in found.findings] == ["type-mismatch"]

    def test_the_cost_is_that_of_the_reads(self, inspector: Inspector) -> None:
        found = inspect(inspector, MemoryTree(MODEL))
        assert (found.read.files, found.read.bytes) == (1, 2 * len(MODEL["model.onnx"]))
        assert 0 < found.read.seconds < 60

    def test_a_large_file_is_read_in_full(self, inspector: Inspector) -> None:
        raw = b'{"text": "' + b"a,[" * 3_000_000 + b'"}'
        found = inspect(inspector, MemoryTree({**MODEL, "gradient-model-metadata.json": raw}))
        assert found.metadata.raw == raw
        assert found.metadata.value == {"text": "a,[" * 3_000_000}

    @pytest.mark.parametrize(
        "error",
        [
            TreeChanged("bad.onnx", "has 3 bytes now"),
            TreeUnavailable("bad.onnx", "input/output error \udcff"),
            TreeLimit("", "too many"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_trouble_with_the_tree_comes_out_as_it_is(self, inspector: Inspector, error: TreeError) -> None:
        with pytest.raises(type(error)) as raised:
            inspect(inspector, SwappedTree({"bad.onnx": onnx.model()}, error))
        assert (raised.value.path, raised.value.reason) == (error.path, error.reason)
        assert inspect(inspector, MemoryTree(MODEL)).verdict is Verdict.CLEAN

    def test_a_file_that_may_not_be_read_is_never_clean(self, inspector: Inspector) -> None:
        tree = SwappedTree({"bad.onnx": onnx.model(), **MODEL}, Unreadable("bad.onnx", "permission denied"))
        found = inspect(inspector, tree)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert [(note.path, note.reason) for note in found.coverage.inconclusive] == [("bad.onnx", "permission denied")]

    @pytest.mark.parametrize("error", [LeaseLost("another owns it"), ZeroDivisionError("a bug"), KeyboardInterrupt()])
    def test_whatever_else_the_tree_raises_comes_out_as_it_is(self, inspector: Inspector, error: BaseException) -> None:
        with pytest.raises(type(error)) as raised:
            inspect(inspector, SwappedTree({"bad.onnx": onnx.model()}, error))  # type: ignore[arg-type]
        assert raised.value is error
        assert inspect(inspector, MemoryTree(MODEL)).verdict is Verdict.CLEAN

    def test_whichever_read_fails_the_error_comes_out(self, inspector: Inspector) -> None:
        tree = MemoryTree({**MODEL, "gradient-model-metadata.json": b"{}", "metrics.json": b'{"a": 1}'})
        scan(counting := CountingTree(tree))
        for read in range(counting.reads):
            with pytest.raises(TreeUnavailable):
                inspect(inspector, FlakyTree(tree, read + 2, TreeUnavailable("x", "input/output error")))  # the 1st call lists
        inspect(inspector, FlakyTree(tree, counting.reads + 2, TreeUnavailable("x", "input/output error")))
        assert counting.reads >= 3

    def test_several_threads_may_ask_at_once(self, inspector: Inspector) -> None:
        def ask(number: int) -> Sequence[str]:
            found = inspect(inspector, MemoryTree({f"{number}.onnx": onnx.model()}), team=f"team {number % 3}")
            return [model.detection.main for model in found.models]

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(ask, range(40))) == [[f"{number}.onnx"] for number in range(40)]

    def test_closing_twice_is_harmless(self, inspector: Inspector) -> None:
        inspect(inspector, MemoryTree(MODEL))
        inspector.close()
        inspector.close()

    def test_the_scan_of_nothing_costs_nothing(self, inspector: Inspector) -> None:
        assert replace(inspect(inspector, MemoryTree({})).read, seconds=0.0) == Read(0, 0, 0.0)
