"""An error that nobody foresaw in one reader: never clean, told with its place, and the readers beside it go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from detectors import executables, named_code
from detectors import scan as looking
from detectors.detection import Contents
from detectors.errors import MalformedModel, TreeChanged
from detectors.facts import Detection, Extraction
from detectors.report import scan_report
from detectors.scan import DETECTORS, Scan, Verdict, scan
from detectors.tree import MemoryTree
from detectors.unforeseen import MOST_CALLS, Readers
from detectors.weights import keras_texts
from detectors.wrapped_tree import CountingTree
from tests.builders import onnx, weights

pytestmark = pytest.mark.errs_on_purpose

RUN = Path(__file__).parents[2] / "examples" / "digits"
FILES = {path.relative_to(RUN).as_posix(): path.read_bytes() for path in RUN.rglob("*") if path.is_file()}
FILES["other.onnx"] = onnx.model()
FILES["w/model.safetensors"] = weights.safetensors({"w": ("F32", [1], 4)})
READING = {
    "tensorflow_savedmodel": {"tensorflow_savedmodel"},
    "tensorflow_checkpoint": {"tensorflow_checkpoint"},
    "onnx": {"onnx"},
    "weights": {"safetensors"},
}
"""Readers of which the tree has models, with their formats."""
ERRORS = (KeyError("x"), RecursionError("too deep"), MemoryError())


def formats(found: Scan) -> set[str]:
    return {model.detection.format for model in found.models}


def replaced(monkeypatch: pytest.MonkeyPatch, name: str, **parts: Any) -> None:
    """Give the detector called *name* other *parts*."""
    table = tuple(replace(one, **parts) if one.name == name else one for one in DETECTORS)
    monkeypatch.setattr(looking, "DETECTORS", table)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", [detector.name for detector in DETECTORS])
def test_an_error_in_one_reader_is_never_clean_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    """An error in one reader is never clean, and stops no other."""
    whole = scan(MemoryTree(FILES))
    assert (whole.verdict, whole.unforeseen) == (Verdict.CLEAN, ())
    replaced(monkeypatch, name, match=raising(error))
    found = scan(MemoryTree(FILES))
    assert [(one.reader, one.path) for one in found.unforeseen] == [(name, ".")]
    assert found.verdict is Verdict.INCONCLUSIVE
    unread = [note for note in found.coverage.inconclusive if "begins as nothing that is known" not in note.reason]
    assert [note.reason for note in unread] == [found.unforeseen[0].reason]  # weights that nobody knew then are told besides
    assert found.unforeseen[0].reason.startswith(f"error in the reader of {name}: {type(error).__name__}")
    assert found.unforeseen[0].calls[-1].endswith("in fail")
    assert len(formats(found)) >= len(formats(whole)) - 1
    assert found.metrics == whole.metrics


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", READING)
def test_an_error_while_a_model_is_read_leaves_it_unchecked_and_the_others_as_they_are(
    monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    whole = scan(MemoryTree(FILES))
    hit = [model for model in whole.models if model.detection.format in READING[name]]
    assert hit
    replaced(monkeypatch, name, extract=raising(error))
    found = scan(MemoryTree(FILES))
    assert sorted((one.reader, one.path) for one in found.unforeseen) == sorted((name, one.detection.main) for one in hit)
    assert found.verdict is Verdict.INCONCLUSIVE
    unchecked = {model.detection.root for model in hit}
    for model in found.models:
        assert (model.extraction.facts.details == {"completeness_checked": False}) == (model.detection.root in unchecked)
    rest = {model.detection.root: model.extraction for model in whole.models if model not in hit}
    assert {one.detection.root: one.extraction for one in found.models if one.detection.root not in unchecked} == rest
    told = scan_report(found, "run")["coverage"]["inconclusive"]
    assert {one["reason"].split(":")[0] for one in told} == {f"error in the reader of {name}"}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("reader", "module", "function"),
    [
        ("the metrics", looking, "read_metrics"),
        ("the custom metadata", looking, "read_metadata"),
        ("what runs", executables, "look"),
        ("what Keras loads", keras_texts, "look"),
        ("what texts name", named_code, "look"),
    ],
)
def test_an_error_beside_the_models_leaves_them_read_and_the_verdict_open(
    monkeypatch: pytest.MonkeyPatch, reader: str, module: ModuleType, function: str, error: Exception
) -> None:
    whole = scan(MemoryTree(FILES))
    monkeypatch.setattr(module, function, raising(error))
    found = scan(MemoryTree(FILES))
    assert found.models == whole.models
    assert found.verdict is Verdict.INCONCLUSIVE
    assert [one.reader for one in found.unforeseen] == [reader]


def test_what_a_model_is_wrong_in_is_no_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(contents: Contents, detection: Detection) -> Extraction:
        raise MalformedModel(detection.main, 3, "expected a tag")

    replaced(monkeypatch, "onnx", extract=broken)
    found = scan(MemoryTree({"m.onnx": FILES["other.onnx"]}))
    assert (found.verdict, found.unforeseen) == (Verdict.FINDINGS, ())


class Odd(MemoryTree):
    """A tree whose bytes raise what no tree should."""

    def read(self, path: str, start: int, stop: int) -> bytes:
        raise error_of_tree


error_of_tree = LookupError("the lease is lost")


def test_what_the_tree_raises_passes_as_it_is() -> None:
    with pytest.raises(LookupError) as caught:
        scan(Odd(FILES))
    assert caught.value is error_of_tree
    readers = Readers(CountingTree(MemoryTree({})))
    with pytest.raises(TreeChanged), readers.guarded("onnx"):
        raise TreeChanged("x", "changed")


def test_an_error_that_tells_much_is_told_in_bounds() -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError("x" * 100_000)

    readers = Readers(CountingTree(MemoryTree({})))
    assert readers.read("onnx", lambda: deep(60), "other") == "other"  # type: ignore[arg-type,return-value]
    (told,) = readers.failed
    assert len(told.calls) == MOST_CALLS
    assert len(told.says) < 2000
