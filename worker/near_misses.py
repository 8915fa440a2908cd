"""What among the files of a path nearly is a model, or looks as if somebody thought so. Pure; entries in, sentences out.

A sentence names a file, says why it is none, and what to do. They are guesses from names and sizes: what files hold was for
the detectors, who found no model in them.

Law (with a test of the same name):
    the order of listing never matters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import islice

from detectors.custom import METADATA_NAME
from detectors.detection import NEVER_MODELS, folder_of, suffix
from detectors.tree import FileEntry, readable

MOST = 10
"""Sentences at most; the nearest come first."""

UNFINISHED = re.compile(r"(.+?)(?:\.(?:tmp|temp|part|partial|crdownload|download|filepart|incomplete|swp)|~)$", re.IGNORECASE)
"""Names that programs give to files which they have not finished, after the one that they will have."""

ARCHIVES = re.compile(r"\.(?:zip|tar|tgz|tbz2?|txz|7z|rar|mar|nemo|(?:tar\.)?(?:gz|bz2|xz|zst))$", re.IGNORECASE)

FOREIGN = {
    ".engine": "an engine of TensorRT",
    ".plan": "an engine of TensorRT",
    ".pmml": "PMML",
    ".bst": "a model of XGBoost",
    ".ubj": "a model of XGBoost",
    ".cbm": "a model of CatBoost",
    ".params": "parameters of MXNet",
    ".pdmodel": "a model of PaddlePaddle",
    ".caffemodel": "a model of Caffe",
    ".mnn": "a model of MNN",
    ".rknn": "a model of RKNN",
    ".dlc": "a model of SNPE",
    ".orbax": "a checkpoint of Orbax",
    ".msgpack": "parameters of Flax",
    ".rds": "an object of R",
}
"""Suffixes of formats that are not recognised. Declared as Custom, they are kept as they are."""

SHARD = re.compile(r"(.+)\.data-\d{5}-of-\d{5}$")

GRAPHS = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
"""The files that make a folder a SavedModel. Source: TensorFlow, `constants.h` of cc/saved_model."""


def near_misses(entries: Iterable[FileEntry]) -> list[str]:
    """Return what nearly is a model among *entries*, in none of which one was found, the nearest first."""
    known = sorted(entries)
    return list(islice((sentence for rule in RULES for sentence in rule(known)), MOST))


def closest(name: str, names: Iterable[str]) -> list[str]:
    """Return at most three of *names* that a person may have meant by *name*, the nearest first."""
    by_folded = {other.casefold(): other for other in sorted(names, reverse=True)}
    return [by_folded[one] for one in get_close_matches(name.casefold(), sorted(by_folded), n=3, cutoff=0.6)]


def _unfinished(entries: Sequence[FileEntry]) -> Iterator[str]:
    for entry in entries:
        found = UNFINISHED.match(entry.path)
        if found:
            name = readable(found[1])
            yield f"{readable(entry.path)}: named like a file that is still being written; its writer would call it {name}"


def _graph_missing(entries: Sequence[FileEntry]) -> Iterator[str]:
    paths = {entry.path for entry in entries}
    for folder in sorted({folder_of(path) for path in paths if folder_of(path).rpartition("/")[2] in ("variables", "assets")}):
        above = folder_of(folder)
        if not any(_in(above, graph) in paths for graph in GRAPHS):
            yield f"{readable(folder)}: a folder of a SavedModel, but {readable(_in(above, GRAPHS[0]))} is missing"


def _misspelled(entries: Sequence[FileEntry]) -> Iterator[str]:
    for entry in entries:
        name = entry.path.rpartition("/")[2]
        letters = re.sub(r"[^a-z.]", "", re.sub(r"\(\d+\)", "", name.lower()))
        if letters in {graph.replace("_", "") for graph in GRAPHS} and name not in GRAPHS:
            yield f"{readable(entry.path)}: TensorFlow finds a SavedModel by its name, which is saved_model{suffix(name)}"


def _shards(entries: Sequence[FileEntry]) -> Iterator[str]:
    paths = {entry.path for entry in entries}
    stems = {found[1] for path in paths if (found := SHARD.match(path))}
    for stem in sorted(stems):
        if f"{stem}.index" not in paths:
            yield f"{readable(stem)}.data-…: a part of a checkpoint, but {readable(stem)}.index is missing"


def _deeper_metadata(entries: Sequence[FileEntry]) -> Iterator[str]:
    for entry in entries:
        if entry.path.endswith(f"/{METADATA_NAME}"):
            folder = readable(folder_of(entry.path))
            yield f"{readable(entry.path)}: makes a Custom model of the folder that it lies in; give {folder}"


def _pointers(entries: Sequence[FileEntry]) -> Iterator[str]:
    for entry in entries:
        if suffix(entry.path) == ".dvc":
            yield f"{readable(entry.path)}: a pointer of DVC; its file is fetched with `dvc pull`"


def _foreign(entries: Sequence[FileEntry]) -> Iterator[str]:
    for entry in entries:
        if suffix(entry.path) in FOREIGN:
            what = FOREIGN[suffix(entry.path)]
            yield f"{readable(entry.path)}: {what} is not recognised; declared as Custom it would be kept"


def _archives(entries: Sequence[FileEntry]) -> Iterator[str]:
    for entry in entries:
        if ARCHIVES.search(entry.path):
            yield f"{readable(entry.path)}: an archive; no model is looked for inside, unpack it"


def _others(entries: Sequence[FileEntry]) -> Iterator[str]:
    """Yield how many files were opened and are of no known format, and how many were not opened for their suffix, by suffix."""
    passed = Counter(suffix(entry.path) for entry in entries if suffix(entry.path) in NEVER_MODELS)
    opened = Counter(
        suffix(entry.path) or "no suffix" for entry in entries if entry.size and suffix(entry.path) not in NEVER_MODELS
    )
    if opened:
        yield f"opened, and of no known format: {_counted(opened)}"
    if passed:
        yield f"not opened, since no model has such a suffix: {_counted(passed)}"


def _counted(found: Counter[str]) -> str:
    """Return the most frequent of *found* with their numbers."""
    ranked = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    told = ", ".join(f"{count} × {word}" for word, count in ranked[:5])
    return told if len(ranked) <= 5 else f"{told} and others"


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


RULES: tuple[Callable[[Sequence[FileEntry]], Iterator[str]], ...] = (
    _unfinished,
    _graph_missing,
    _misspelled,
    _shards,
    _deeper_metadata,
    _pointers,
    _foreign,
    _archives,
    _others,
)
"""What is looked for, the nearest first."""
