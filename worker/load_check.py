"""The load check: each model of a tree is loaded and run once in a cage, and what happened is compared with what it declares.

In go a scan, where its files lie, and a cage; out come checks. It informs: whether a model is registered, served or trusted is
decided elsewhere.

Only the files that the scan lists are shown to the model: regular ones, inside the tree. A hard link whose other names lie
outside is withheld, since its bytes are those of another file.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from detectors.facts import Signature
from detectors.scan import Model, Scan
from worker.verification import LoadCheck, Outcome, Seen, Withheld, judge

MAX_MODELS = 20
"""Models of one tree that are loaded: each may take minutes."""

MAX_FILES = 2000
"""Files of one model: each is shown by itself."""

FORMATS = ("tensorflow_savedmodel", "onnx", "tensorflow_graphdef")
"""Formats that can be loaded, as detections name them."""

EXTRA = "verify"
"""What `pip install modelport[…]` brings the frameworks with."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run for one model: the *module* that loads it, what it is told, the files that it is shown."""

    root: str
    format: str
    module: str
    model: Mapping[str, Any]
    files: tuple[str, ...]
    declared: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """Where the files of a model lie that it is shown, by their paths in it, and those that are withheld."""

    files: Mapping[str, str]
    withheld: tuple[Withheld, ...] = ()


def plans(found: Scan) -> tuple[Plan, ...]:
    """Return what can be run for the models in *found*, the primary one first; those of other formats are left out."""
    models = sorted(found.models, key=lambda model: not model.primary)
    return tuple(plan for model in models for plan in _plan(model))


def _plan(model: Model) -> Iterator[Plan]:
    detection, facts = model.detection, model.extraction.facts
    told: dict[str, Any]
    saved_model, onnx, graph = FORMATS
    if detection.format == saved_model:
        told = {"kind": "saved", "path": os.path.dirname(detection.main), "tags": list(facts.tags[0]) if facts.tags else []}
        module = "worker.cage.tensorflow_check"
    elif detection.format == onnx:
        told, module = {"path": detection.main}, "worker.cage.onnx_check"
    elif detection.format == graph and not detection.main.endswith("txt"):
        told, module = {"kind": "graph", "path": detection.main, **_ends(facts.signatures)}, "worker.cage.tensorflow_check"
    else:
        return
    yield Plan(detection.root, detection.format, module, told, tuple(detection.files), facts.signatures)


def _ends(signatures: Sequence[Signature]) -> dict[str, list[str]]:
    """Return the names of what goes into a graph and of what comes out."""
    return {
        "inputs": [tensor.name for signature in signatures for tensor in signature.inputs],
        "outputs": [tensor.name for signature in signatures for tensor in signature.outputs],
    }


Show = Callable[[Sequence[str]], AbstractContextManager[Shown]]
"""Gives the files at these paths of the tree on this disk, readable for who is in the cage."""

RunPlan = Callable[[Plan, Mapping[str, str]], Seen]
"""Runs a plan on files, by their paths in the tree, in a cage."""


def check_models(found: Scan, show: Show, run: RunPlan) -> tuple[LoadCheck, ...]:
    """Return the checks of the models in *found*, made one after the other. One more stands for all beyond `MAX_MODELS`."""
    return _of_each(found, lambda plan: _check(plan, show, run))


def _of_each(found: Scan, check: Callable[[Plan], LoadCheck]) -> tuple[LoadCheck, ...]:
    every = plans(found)
    return (*map(check, every[:MAX_MODELS]), *_beyond(every[MAX_MODELS:]))


def _beyond(left: Sequence[Plan]) -> Iterator[LoadCheck]:
    """Yield the check that stands for those that are *left* out, at the first of them; nothing where none are."""
    if left:
        others = f", as are {len(left) - 1} more" if left[1:] else ""
        why = f"not verified: it is left out{others} (limit {MAX_MODELS} models)"
        yield LoadCheck(left[0].root, left[0].format, Outcome.NOT_VERIFIED, why)


def _check(plan: Plan, show: Show, run: RunPlan) -> LoadCheck:
    if len(plan.files) > MAX_FILES:
        why = f"not verified: it consists of {len(plan.files)} files (limit {MAX_FILES})"
        return LoadCheck(plan.root, plan.format, Outcome.NOT_VERIFIED, why)
    with show(plan.files) as shown:
        if not shown.files:
            why = "not verified: all of its files are withheld"
            return LoadCheck(plan.root, plan.format, Outcome.NOT_VERIFIED, why, withheld=shown.withheld)
        seen = run(plan, shown.files)
        return judge(plan.root, plan.format, plan.declared, seen, EXTRA, shown.withheld)


def refused(found: Scan, why: str) -> tuple[LoadCheck, ...]:
    """Return the checks of the models in *found* where no cage can be had: none is loaded, and each says *why*."""
    return _of_each(found, lambda plan: LoadCheck(plan.root, plan.format, Outcome.NOT_VERIFIED, why))


def on_disk(folder: str, paths: Iterable[str]) -> Shown:
    """Return the files at *paths* in *folder*, without what is no regular file and what other names outside share."""
    sources = {path: os.path.join(folder, path) for path in paths}
    status = {path: os.lstat(source) for path, source in sources.items()}
    names = Counter((each.st_dev, each.st_ino) for each in status.values())
    withheld = []
    for path, each in status.items():
        if not stat.S_ISREG(each.st_mode):
            withheld.append(Withheld(path, "it is no regular file"))
        elif each.st_nlink > names[each.st_dev, each.st_ino]:
            withheld.append(Withheld(path, "it is a hard link, and its other names lie outside the model"))
    hidden = {one.path for one in withheld}
    return Shown({path: source for path, source in sources.items() if path not in hidden}, tuple(withheld))
