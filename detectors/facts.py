"""The records that reading a tree gives: frozen, and valid once they exist.

What goes in: plain values from the detectors. What comes out: values to compare, store and print.
How they are printed is left to `detectors.report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import nsmallest
from types import MappingProxyType
from typing import Any

Dimension = int | str | None
"""One axis: a size, a symbolic name, or None for an unknown size."""

Shape = tuple[Dimension, ...] | None
"""Axes in order; None for an unknown rank."""

EMPTY: Mapping[str, Any] = MappingProxyType({})


def _empty() -> Mapping[str, Any]:
    """Return `EMPTY`: Python 3.11 takes a mapping proxy for a mutable default, so a field gets it from here."""
    return EMPTY


class ModelType(StrEnum):
    """The three kinds of model that the repository knows."""

    TENSORFLOW = "Tensorflow"
    ONNX = "ONNX"
    CUSTOM = "Custom"


class State(StrEnum):
    """Whether all the parts that a model names are there."""

    COMPLETE = "complete"
    """Every named part is there and long enough."""
    INCOMPLETE = "incomplete"
    """A named part is missing; it may still come."""
    CORRUPT = "corrupt"
    """Bytes that are there contradict each other; waiting will not help."""


class Severity(StrEnum):
    """How much a finding matters, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


SEVERITIES = tuple(Severity)

SERIOUS = (Severity.CRITICAL, Severity.HIGH)
"""Severities that make the verdict `findings`, and of which somebody should hear."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named input or output: `dtype` in the words of numpy (`float32`, `string`, `bfloat16`)."""

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Signature:
    """A callable of the model, as a serving system would offer it. *method* may be empty."""

    name: str
    method: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Three counts of numbers, never mixed; None where a count cannot be known from the files.

    stored: elements of every stored tensor, optimizer slots and duplicates included.
    distinct: the same with tensors of equal content, shape and dtype counted once.
    trainable: elements of the variables that the model itself marks as trainable.
    """

    stored: int | None = None
    distinct: int | None = None
    trainable: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen, and where: *offset* in bytes from the start of the file at *path*."""

    path: str
    offset: int
    saw: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a model is not complete: the path that is missing, short or contradictory."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class CutOff(Problem):
    """A problem of a file whose bytes are as promised as far as they go: it ends too early, and the rest may still come."""


@dataclass(frozen=True, slots=True)
class Completeness:
    """The proof, or what speaks against it. No problems means complete.

    has_end is false where the only problem is that nothing tells where the model ends: nothing that it names is missing, and
    nobody need ever write more.
    """

    state: State = State.COMPLETE
    problems: tuple[Problem, ...] = ()
    has_end: bool = True

    def and_also(self, state: State, *problems: Problem) -> Completeness:
        """Return this completeness with *problems* added; the worse of the two states wins."""
        order = [State.COMPLETE, State.INCOMPLETE, State.CORRUPT]
        has_end = self.has_end or bool(problems)
        return Completeness(max(self.state, state, key=order.index), self.problems + problems, has_end)


@dataclass(frozen=True, slots=True)
class Finding:
    """A named observation. *rule* is stable; *place* is a readable path inside the file, or empty."""

    rule: str
    severity: Severity
    path: str
    place: str
    message: str


def worst_of(findings: Iterable[Finding], most: int) -> list[Finding]:
    """Return the *most* that matter most, so that many small ones hide no large one; of equals the first."""
    return nsmallest(most, findings, key=lambda finding: SEVERITIES.index(finding.severity))


@dataclass(frozen=True, slots=True)
class Framework:
    """The framework a model was written with; *version* is None where the file does not say."""

    name: str
    version: str | None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model says of itself. Every field has a neutral value for "the format does not say".

    operators counts nodes of the graph, its functions and subgraphs by type, `domain::Op` outside the default domains.
    dtypes counts stored tensors by dtype. created is ISO 8601 in UTC.
    details holds what only one format knows, as plain JSON values (see docs/reference/scan-report.md).
    """

    signatures: tuple[Signature, ...] = ()
    parameters: Parameters = Parameters()
    size_bytes: int = 0
    framework: Framework | None = None
    producer: str | None = None
    style: str | None = None
    tags: tuple[tuple[str, ...], ...] = ()
    opset_imports: Mapping[str, int] = field(default_factory=_empty)
    operators: Mapping[str, int] = field(default_factory=_empty)
    custom_operators: tuple[str, ...] = ()
    dtypes: Mapping[str, int] = field(default_factory=_empty)
    fingerprint: str | None = None
    created: str | None = None
    details: Mapping[str, Any] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class Detection:
    """A model was recognised: *format* at *root*, because of *evidence*.

    root is the folder (or the file) that the model is, relative to the tree, "" for the tree itself.
    main is the file that was recognised. files are all the listed files that belong to the model, sorted.
    """

    format: str
    model_type: ModelType
    root: str
    main: str
    evidence: tuple[Evidence, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TensorRange:
    """Bytes [start, stop) of a file hold *elements* elements of the tensor *name*; *crc32c* is masked, as stored.

    dtype is TensorFlow's number (`tf_dtypes`).
    """

    start: int
    stop: int
    crc32c: int
    name: str
    dtype: int
    elements: int


@dataclass(frozen=True, slots=True)
class FileSums:
    """The checksums that a checkpoint keeps of the file *path*; whoever reads all its bytes can verify them (`checks`).

    tensors are ranges whose checksums stand in an index, written in the byte order of the machine that saved them. blocks are
    (offset, bytes) of blocks that have their checksum behind them, in order and none before the end of another.
    """

    path: str
    tensors: tuple[TensorRange, ...] = ()
    big_endian: bool = False
    blocks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Extraction:
    """What `extract` gives for one detection.

    unread names files of the model that a limit or a refusal kept unread, as (path, reason): never "clean".
    """

    facts: ModelFacts
    completeness: Completeness = Completeness()
    findings: tuple[Finding, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    sums: tuple[FileSums, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that the run reported.

    step is the training step, None where the source has none. session is the folder of an event file ("" at the root).
    wall_time is in seconds since 1970, None where the source does not say. source is the path of the file.
    """

    name: str
    value: float
    step: int | None
    session: str
    source: str
    wall_time: float | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something a reader should know about one file that is neither a finding nor an error."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Metrics:
    """All that the run reported. summary and detail have the Gradient shape (`detectors.metrics.gradient`)."""

    values: tuple[Metric, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=_empty)
    detail: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Metadata:
    """Custom metadata of the run: *value* is plain JSON, *raw* its bytes as found, *used* whether it counts, *why* the rule."""

    value: Any = None
    source: str | None = None
    raw: bytes | None = None
    used: bool = False
    why: str = "no gradient-model-metadata.json"
    notes: tuple[Note, ...] = field(default=())
