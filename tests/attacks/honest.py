"""ONNX models that nobody made to harm, as (name, files): the other side of `tests.attacks.onnx`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

Files = Mapping[str, bytes]


def of_the_backend() -> Iterator[tuple[str, Files]]:
    """Yield the models with which onnx tests its backends: those that it makes anew, and those that it ships."""
    import onnx
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    for case in cases:
        if case.model is not None:
            yield case.name, {"m.onnx": case.model.SerializeToString()}
    yield from _below(Path(onnx.__file__).parent / "backend" / "test" / "data")


def of_the_corpus() -> Iterator[tuple[str, Files]]:
    """Yield the ONNX models of public projects."""
    yield from _below(Path(os.environ["MODELPORT_CORPUS"]))


def _below(folder: Path) -> Iterator[tuple[str, Files]]:
    """Yield each model below *folder* with the files beside it, which may hold its external data, but for other models."""
    for path in sorted(folder.rglob("*.onnx")):
        files = [path, *(other for other in path.parent.iterdir() if other.is_file() and other.suffix != ".onnx")]
        yield path.relative_to(folder).as_posix(), {file.name: file.read_bytes() for file in files}
