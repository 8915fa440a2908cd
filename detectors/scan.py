"""Look at a tree once, from top to bottom: list, detect, extract, read metrics and metadata, judge what was seen.

In goes a `FileTree`, out comes a `Scan`: a frozen value that says what is there, how whole it is, what was found, and what
was not looked at. Nothing is loaded, imported or executed, and nothing is written. Whether to register is left to the worker.

Laws (each has a test of the same name):
    the order of listing never matters;
    any bytes give a scan;
    what was not read is never "clean";
    an error in one reader is never clean, and stops no other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from types import MappingProxyType
from typing import Any

from detectors import checkpoint, custom, executables, graph_def, named_code, onnx, saved_model, weights
from detectors.detection import Contents, Detector, detect
from detectors.errors import MalformedModel, ModelLimit, Unreadable
from detectors.facts import (
    SERIOUS,
    SEVERITIES,
    Completeness,
    CutOff,
    Detection,
    Extraction,
    Finding,
    Metadata,
    Metrics,
    ModelFacts,
    ModelType,
    Note,
    Problem,
    Severity,
    State,
)
from detectors.metadata import read_metadata
from detectors.metrics import read_metrics
from detectors.tree import FileEntry, FileTree, Passed, PassedOver, RemarksOnListing
from detectors.unforeseen import Readers, Unforeseen
from detectors.weights import keras_texts
from detectors.wrapped_tree import CountingTree

RULES_VERSION = "2"
"""Raised in the change after which the same bytes may give another report: other facts, completeness, findings, metrics,
metadata or notes. A listing that did not change is looked at again only then, and what was registered is judged anew; without a
raise, old facts are left standing.

A test pins the reports of a few runs to this number.
"""

DETECTORS: tuple[Detector, ...] = (
    saved_model.DETECTOR,
    checkpoint.DETECTOR,
    *weights.DETECTORS,
    onnx.DETECTOR,
    graph_def.DETECTOR,
    custom.DETECTOR,
)
"""The table of formats, in order: an earlier detector takes its files from the later ones."""


class Verdict(StrEnum):
    """What a scan says in one word."""

    CLEAN = "clean"
    """All of the models that decides was read, and nothing speaks against it. What a run reported is no part of a model:
    metrics and metadata that could not be read are told in the coverage."""
    FINDINGS = "findings"
    """Something of severity high or above, or a model that is incomplete or corrupt."""
    INCONCLUSIVE = "inconclusive"
    """A file of a model could not be read, a limit stopped the reading, or a reader met what nobody foresaw."""
    NOTHING = "nothing"
    """There is no model."""


EXIT_STATUS = {Verdict.CLEAN: 0, Verdict.FINDINGS: 1, Verdict.INCONCLUSIVE: 2, Verdict.NOTHING: 3}
"""What a program that prints a scan ends with; 2 also stands for an error, 4 for wrong usage."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model below the path. *primary* is the one that the version is named after and that serving would take."""

    detection: Detection
    extraction: Extraction
    primary: bool


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was looked at: *scanned* counts files of models; *skipped* are notes, *inconclusive* is what is not known."""

    scanned: int
    skipped: tuple[Note, ...]
    inconclusive: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """The cost: files opened, bytes read, seconds taken."""

    files: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Scan:
    """All that one look at a tree gave. The first model is the primary one, where there is any. unforeseen are mistakes of ours
    that the look brought to light: the coverage names them, and whoever looks is to log where they came from.
    """

    models: tuple[Model, ...]
    metrics: Metrics
    metadata: Metadata
    findings: tuple[Finding, ...]
    coverage: Coverage
    read: Read
    verdict: Verdict
    unforeseen: tuple[Unforeseen, ...] = ()

    @property
    def primary(self) -> Model | None:
        """Return the primary model, None where there is no model."""
        return self.models[0] if self.models else None


MAX_PROBES = 10_000
"""Files of models, not read otherwise, that are tried; a second on a local disk. A model has some thousands at the most."""

FOLDERS = frozenset({"custom", "huggingface", "mlflow", "pickle"})
"""Formats that do not say what is in each of their files: folders that are one model as a whole; and a pickle, which has no
sure beginning."""

NO_TRAPS: tuple[tuple[Finding, ...], dict[str, str]] = ((), {})

UNSEEN = Scan((), Metrics(), Metadata(), (), Coverage(0, (), ()), Read(0, 0, 0.0), Verdict.INCONCLUSIVE)
"""The scan of a path that was never looked at."""


def scan(
    tree: FileTree,
    declared: ModelType | None = None,
    entries: Iterable[FileEntry] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Scan:
    """Return what lies in *tree*.

    *declared* is the type that the sender named, None where none was. *entries* is the listing where the caller has made it
    already. Reads heads of files, the structure of models, and the run's metrics; never the weights.

    Raises:
        TreeChanged: a listed file changed or vanished meanwhile.
        TreeUnavailable: the storage did not answer.
        TreeLimit: there are more files than a tree may hold.
    """
    began = clock()
    counting = CountingTree(tree)
    contents = Contents(counting, tree.files() if entries is None else entries)
    passed_over = tree.passed_over if isinstance(tree, RemarksOnListing) else ()
    readers = Readers(counting)
    detected = detect(contents, _table(declared), readers.guarded)
    looked_at = [_look(detector, contents, found, readers) for detector, found in detected]
    models = _with_primary([_without_the_unknown(model, passed_over) for model in looked_at], declared)
    _probe(contents, counting, models)
    of_models = [path for model in models for path in model.detection.files]
    unexplained = [path for model in models if model.detection.format in FOLDERS for path in model.detection.files]
    looked = readers.read("what runs", lambda: executables.look(contents, of_models, unexplained), executables.Looked())
    keras_findings, keras_unread = readers.read("what Keras loads", lambda: keras_texts.look(contents), NO_TRAPS)
    named_findings, named_unread = readers.read("what texts name", lambda: named_code.look(contents), NO_TRAPS)
    unlooked = {**dict(looked.unread), **keras_unread, **named_unread}
    if models:
        contents.unread = {**unlooked, **contents.unread}
    apart = () if models else tuple(Note(path, reason) for path, reason in unlooked.items())  # no model is called clean by them
    metadata = readers.read(
        "the custom metadata",
        lambda: read_metadata(contents, declared, _detected_type(models)),
        Metadata(why="not known: see the coverage"),
    )
    metrics = readers.read("the metrics", lambda: read_metrics(contents, metadata), Metrics())
    findings = (
        *_name_findings(passed_over),
        *_type_findings(models, declared),
        *(finding for model in models for finding in model.extraction.findings),
        *looked.findings,
        *keras_findings,
        *named_findings,
    )
    notes = (*metrics.notes, *metadata.notes, *looked.notes, *apart)
    coverage = _coverage(contents, models, passed_over, notes, readers.failed)
    return Scan(
        models=models,
        metrics=metrics,
        metadata=metadata,
        findings=tuple(sorted(findings, key=_worst_first)),
        coverage=coverage,
        read=Read(counting.files_read, counting.bytes, clock() - began),
        verdict=judge(models, findings, coverage),
        unforeseen=tuple(readers.failed),
    )


def with_problems(found: Scan, problems: Iterable[Problem]) -> Scan:
    """Return *found* after every byte was read: a problem makes the model that its file belongs to corrupt.

    Where its files only end too early, as `CutOff` says, it is incomplete.
    """
    problems = tuple(problems)
    if not problems:
        return found
    models = tuple(_with_problems(model, problems) for model in found.models)
    return replace(found, models=models, verdict=judge(models, found.findings, found.coverage))


def _with_problems(model: Model, problems: tuple[Problem, ...]) -> Model:
    mine = [problem for problem in problems if problem.path in model.detection.files]
    if not mine:
        return model
    state = State.INCOMPLETE if all(isinstance(problem, CutOff) for problem in mine) else State.CORRUPT
    completeness = model.extraction.completeness.and_also(state, *mine)
    return replace(model, extraction=replace(model.extraction, completeness=completeness))


def worst_state(found: Scan) -> State:
    """Return the worst completeness of all models; a tree without models is complete."""
    order = list(State)
    return max((model.extraction.completeness.state for model in found.models), key=order.index, default=State.COMPLETE)


def judge(models: Iterable[Model], findings: Iterable[Finding], coverage: Coverage) -> Verdict:
    """Return the verdict: findings outweigh what is not known, and what is not known is never clean."""
    models = tuple(models)
    bad = any(finding.severity in SERIOUS for finding in findings)
    if bad or any(model.extraction.completeness.state is not State.COMPLETE for model in models):
        return Verdict.FINDINGS
    if coverage.inconclusive:
        return Verdict.INCONCLUSIVE
    return Verdict.CLEAN if models else Verdict.NOTHING


def _table(declared: ModelType | None) -> tuple[Detector, ...]:
    return DETECTORS if declared is not ModelType.CUSTOM else (*DETECTORS, custom.DECLARED)


def _look(detector: Detector, contents: Contents, detection: Detection, readers: Readers) -> Model:
    """Extract one model. What is wrong with it stays its own: corrupt, or inconclusive, with its place."""
    extraction = _unextracted(contents, detection, NOT_CHECKED)
    with readers.guarded(detector.name, detection.main):
        try:
            extraction = detector.extract(contents, detection)
        except MalformedModel as exc:
            place = exc.reason if exc.offset is None else f"at byte {exc.offset}: {exc.reason}"
            broken = _unextracted(contents, detection)
            extraction = replace(broken, completeness=Completeness(State.CORRUPT, (Problem(exc.path, place),)))
        except (ModelLimit, Unreadable) as exc:
            extraction = replace(extraction, unread=((exc.path, exc.reason),))
    return Model(detection, extraction, primary=False)


NOT_CHECKED = {"completeness_checked": False}
"""What the details say of a model that nobody could look into: nothing speaks against its being whole, and nothing for it."""


def _probe(contents: Contents, counting: CountingTree, models: Iterable[Model]) -> None:
    """Read one byte of each model's files of which nothing was read, so that one that may not be read is not taken for read."""
    unread = (path for model in models for path in model.detection.files if not counting.was_read(path))
    for path in islice(unread, MAX_PROBES):
        try:
            counting.read(path, 0, 1)
        except Unreadable as exc:
            contents.unread[path] = exc.reason


def _without_the_unknown(model: Model, passed_over: Iterable[PassedOver]) -> Model:
    """Return *model* without what is called missing only because its folder may not be listed: that is not known."""
    closed = tuple(f"{one.path}/" for one in passed_over if one.why is Passed.UNREADABLE)
    completeness = model.extraction.completeness
    if not closed or completeness.state is not State.INCOMPLETE:
        return model
    known = tuple(problem for problem in completeness.problems if not f"{problem.path}/".startswith(closed))
    what_is_known = replace(completeness, problems=known) if known else Completeness()
    return replace(model, extraction=replace(model.extraction, completeness=what_is_known))


def _unextracted(contents: Contents, detection: Detection, details: Mapping[str, Any] = MappingProxyType({})) -> Extraction:
    entries = (contents.find(path) for path in detection.files)
    return Extraction(ModelFacts(size_bytes=sum(entry.size for entry in entries if entry), details=dict(details)))


def principal(found: Scan) -> tuple[Model, ...]:
    """Return the models that the run may be about: the primary one, and those that might stand before it, were they whole.

    Not those of a format that resumes beside one that serves, of an older version folder, or of a deeper folder.
    """
    if found.primary is None:
        return ()
    first = _place(found.primary)
    return tuple(model for model in found.models if _place(model) <= first)


def _place(model: Model) -> tuple[int, int, int]:
    root = model.detection.root
    return PREFERENCE.get(model.detection.format, 5), -_version_folder(root), root.count("/") + bool(root)


def _with_primary(models: list[Model], declared: ModelType | None) -> tuple[Model, ...]:
    """Return the models with the primary one first and marked.

    The declared type wins, then a format that serves over one that resumes, then the newest version folder, whole or not
    (it is the one that serving would take), then a whole model over a broken one, then the shorter path.
    """
    if not models:
        return ()
    ranked = sorted(models, key=lambda model: _rank(model, declared))
    return (replace(ranked[0], primary=True), *ranked[1:])


PREFERENCE = {"tensorflow_savedmodel": 0, "onnx": 1, "tensorflow_graphdef": 2, "tensorflow_checkpoint": 9}
"""Which format speaks for a run that left several: what serves before what resumes; the others stand between."""


def _rank(model: Model, declared: ModelType | None) -> tuple[object, ...]:
    detection = model.detection
    return (
        declared is not None and detection.model_type is not declared,
        PREFERENCE.get(detection.format, 5),
        -_version_folder(detection.root),
        model.extraction.completeness.state is not State.COMPLETE,
        not model.extraction.facts.details.get("latest", False),
        detection.root.count("/"),
        detection.root,
    )


def _version_folder(root: str) -> int:
    """Return the number of a version or timestamp folder, -1 where *root* is none. TensorFlow Serving allows leading zeros."""
    name = root.rpartition("/")[2]
    return int(name) if name.isascii() and name.isdigit() and len(name) <= 20 else -1


def _detected_type(models: tuple[Model, ...]) -> ModelType | None:
    return models[0].detection.model_type if models else None


def _type_findings(models: tuple[Model, ...], declared: ModelType | None) -> Iterable[Finding]:
    if declared is None or not models or any(model.detection.model_type is declared for model in models):
        return
    found = models[0].detection
    message = f"declared {declared.value}, detected {found.model_type.value} ({found.format})"
    yield Finding("type-mismatch", Severity.MEDIUM, found.main, "", message)


NAME_ADVICE = "if it belongs to the model, store it under a key whose parts are plain names"
LINK_ADVICE = "if it belongs to the model, put the file itself here"


def _name_findings(passed_over: Iterable[PassedOver]) -> Iterable[Finding]:
    for one in passed_over:
        if one.why is Passed.LINK_OUTSIDE:
            yield Finding("link-outside", Severity.HIGH, one.path, "", f"left out: {one.reason}; {LINK_ADVICE}")
        elif one.why is Passed.ODD_NAME:
            yield Finding("odd-name", Severity.HIGH, one.path, "", f"left out: {one.reason}; {NAME_ADVICE}")


INSIDE = "which is looked at where it lies"


def _coverage(
    contents: Contents,
    models: tuple[Model, ...],
    passed_over: tuple[PassedOver, ...],
    notes: tuple[Note, ...],
    failed: Iterable[Unforeseen],
) -> Coverage:
    unread = dict(contents.unread)
    for model in models:
        unread.update(model.extraction.unread)
    unread.update((one.path, one.reason) for one in passed_over if one.why in (Passed.UNREADABLE, Passed.UNFINISHED))
    skipped = [Note(one.path, one.reason) for one in passed_over if one.why is Passed.SPECIAL]
    skipped += [Note(one.path, f"left out: {one.reason}, {INSIDE}") for one in passed_over if one.why is Passed.LINK_INSIDE]
    skipped += [
        Note(model.detection.main, str(model.extraction.facts.details["note"]))
        for model in models
        if "note" in model.extraction.facts.details
    ]
    return Coverage(
        scanned=sum(len(model.detection.files) for model in models),
        skipped=tuple(sorted((*skipped, *notes), key=lambda note: (note.path, note.reason))),
        inconclusive=tuple(Note(*told) for told in sorted([*unread.items(), *((one.path, one.reason) for one in failed)])),
    )


def _worst_first(finding: Finding) -> tuple[object, ...]:
    return (SEVERITIES.index(finding.severity), finding.rule, finding.path, finding.place)
