"""The files that scanners are compared on: attacks, of which none may pass for clean, and honest models, of which none may be
called dangerous.

A set writes its samples below a folder, each in one of its own, or names where they lie already.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from detectors.local_tree import LocalTree
from detectors.scan import scan
from tests.attacks import honest, keras, named_code, onnx, pickles, tensorflow, zips
from tests.builders import by_tensorflow

CORPUS, HOSTILE = "MODELPORT_CORPUS", "MODELPORT_HOSTILE"


Told = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One model, or what passes for one: its *name*, and the *path* of a file or folder to be scanned. *told* is the rule and
    the place of the finding that its maker wants; None where any answer does."""

    name: str
    path: Path
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class SampleSet:
    """*what* is in it; *is_honest* tells whether a scanner should keep quiet. write puts the samples below an empty folder;
    needs is the variable that names where its files are, "" for none.
    """

    what: str
    is_honest: bool
    write: Callable[[Path], Iterator[Sample]]
    needs: str = ""

    @property
    def is_there(self) -> bool:
        """Tell whether what it needs is named."""
        return not self.needs or self.needs in os.environ


def _made(
    make: Callable[[], Iterable[tuple[str, Mapping[str, bytes]]]], told: Callable[[str], Told | None] = lambda name: None
) -> Callable[[Path], Iterator[Sample]]:
    """Return what writes the (name, files) that *make* yields; *told* is given the name."""

    def write(folder: Path) -> Iterator[Sample]:
        for number, (name, files) in enumerate(make()):
            place = folder / f"{number:05}"
            for path, data in files.items():
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                (place / path).write_bytes(data)
            yield Sample(name, place, told(name))

    return write


def _external_data(folder: Path) -> Iterator[Sample]:
    onnx.write_outside(folder)
    for number, case in enumerate(onnx.cases(str(folder))):
        yield Sample(case.name, onnx.write(folder, f"{number:05}", case.files))


def _refused_zips() -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """Yield the zips that PyPI refuses, as models of Keras."""
    for path in sorted(Path(os.environ[HOSTILE], "zip", "reject").iterdir()):
        yield path.name, {"model.keras": path.read_bytes()}


def _corpus(folder: Path) -> Iterator[Sample]:
    """Yield every model in the corpus where it lies: what modelport recognises in it, by file or folder. What is several files
    with one beginning, as a checkpoint, is its folder.
    """
    for project in sorted(path for path in Path(os.environ[CORPUS]).iterdir() if path.is_dir()):
        with LocalTree(project) as tree:
            found = scan(tree)
        roots = {project / model.detection.root for model in found.models}
        for path in sorted({root if root.exists() else root.parent for root in roots}):
            yield Sample(path.relative_to(project.parent).as_posix(), path)


def _by_tensorflow(folder: Path) -> Iterator[Sample]:
    """Yield models of many kinds that TensorFlow and Keras write."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as library

    by_tensorflow.write_models(library, folder)
    by_tensorflow.write_more_models(library, folder)
    yield from (Sample(path.name, path) for path in sorted(folder.iterdir()))


_RISKY = _made(tensorflow.risky_models, tensorflow.told_of_risky)
_UNKNOWN = _made(tensorflow.unknown_models, lambda name: tensorflow.TOLD_OF_UNKNOWN)
_ASSETS = _made(tensorflow.asset_models, lambda name: tensorflow.TOLD_OF_ASSET)

SETS = (
    SampleSet("Risky operators of TensorFlow, each at every position", False, _RISKY),
    SampleSet("Graphs of TensorFlow that hide what they run", False, _made(tensorflow.evasive_models)),
    SampleSet("Operators that no TensorFlow has", False, _UNKNOWN),
    SampleSet("Assets of TensorFlow outside the model", False, _ASSETS),
    SampleSet("External data of ONNX, positions x names x faults", False, _external_data),
    SampleSet("Executable content under every name", False, _made(pickles.attacks)),
    SampleSet("Traps in configurations of Keras", False, _made(keras.attacks)),
    SampleSet("Texts beside a model that name code", False, _made(named_code.attacks)),
    SampleSet("Zips that two readers see differently, as models", False, _made(zips.as_models)),
    SampleSet("Zips that PyPI refuses, as models of Keras", False, _made(_refused_zips), HOSTILE),
    SampleSet("The risky operators where only saving runs them", True, _made(tensorflow.harmless_models)),
    SampleSet("Models of public projects", True, _corpus, CORPUS),
    SampleSet("Models that TensorFlow and Keras write", True, _by_tensorflow),
    SampleSet("Models that onnx tests runtimes with", True, _made(honest.of_the_backend)),
)


def first(samples: Iterable[Sample], most: int | None) -> list[Sample]:
    """Return all *samples*, or the first *most* of them."""
    return list(islice(samples, most))
