"""The table of comparisons: ours, theirs, and what is wanted. One place to see what modelport promises about cost."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.case import AtMost, Case, Command, Figure, Goal, Input, TimesLess, Within

MB, GB = 10**6, 10**9

TOOLS = Path(sys.executable).parent
MODELSCAN = Path(__file__).parents[1] / ".venv-modelscan" / "bin" / "modelscan"

WITHOUT_IMPORTS = TimesLess(150)
MOST_MEMORY = AtMost(25 * MB)
FLAT_CPU, FLAT_READ = Within(2), Within(1.25)
"""What "does not grow" means for a hundred times the weights: the processor takes milliseconds, which are noisy. The smallest
model is one whose tensors are jumped over; below 1 MB a model is parsed as it is, which takes half the time.
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the inputs are, in bytes; listed in files, jobs in models, versions in those of a registry."""

    model: int = GB
    middle: int = 64 * MB
    small: int = 8 * MB
    command: int = 256 * MB
    events: int = 100 * MB
    ingest: int = 2 * GB
    listed: int = 100_000
    jobs: int = 1_000
    s3: int = GB
    versions: int = 1_000_000


FULL = Sizes()
QUICK = Sizes(4 * MB, 2 * MB, MB, MB, 200_000, 4 * MB, 1_000, 30, 4 * MB, 20_000)


def cases(sizes: Sizes = FULL) -> tuple[Case, ...]:
    """Return all comparisons, in the order of the table."""
    return (
        *_structure(sizes),
        *_metrics(sizes),
        *_commands(sizes),
        *_ingest(sizes),
        *_listing(sizes),
        *_growth(sizes),
        *_start(),
    )


def _structure(sizes: Sizes) -> tuple[Case, ...]:
    goals = (Goal(Figure.WORK_CPU, WITHOUT_IMPORTS), Goal(Figure.CPU), Goal(Figure.PEAK, MOST_MEMORY))
    return (
        Case(
            "onnx",
            f"Structure of an ONNX model, {_size(sizes.model)} of weights in 200 initializers",
            Input("onnx", sizes.model),
            _probe("scan"),
            _probe("onnx_load", "`onnx.load`"),
            goals,
            repeats=15,
        ),
        Case(
            "saved-model",
            f"Structure of a SavedModel, {_size(sizes.model)} of variables",
            Input("saved_model", sizes.model),
            _probe("scan"),
            _probe("tensorflow_load", "`tf.saved_model.load`"),
            goals,
            repeats=15,
        ),
    )


def _metrics(sizes: Sizes) -> tuple[Case, ...]:
    others = (
        (_probe("tensorflow_events", "`summary_iterator` of TensorFlow"), TimesLess(2), 3),
        (_probe("tensorboard_events", "`EventAccumulator` of TensorBoard alone"), TimesLess(10), 1),
        (_probe("tensorboard_with_tensorflow", "`EventAccumulator` of TensorBoard with TensorFlow"), None, 1),
    )
    return tuple(
        Case(
            "metrics",
            f"Metrics of {_size(sizes.events)} of events, scalars as TensorFlow {version} writes them",
            Input(kind, sizes.events),
            _probe("metrics"),
            theirs,
            (Goal(Figure.WORK_CPU, wanted), Goal(Figure.CPU)),
            repeats=repeats,
        )
        for version, kind in ((1, "simple_events"), (2, "tensor_events"))
        for theirs, wanted, repeats in others
    )


def _commands(sizes: Sizes) -> tuple[Case, ...]:
    show = Command("`saved_model_cli show --all`", (str(TOOLS / "saved_model_cli"), "show", "--dir", "{input}", "--all"))
    modelscan = Command("`modelscan`", (str(MODELSCAN), "-p", "{input}"), needs=MODELSCAN)
    return tuple(
        Case(
            "command",
            f"`modelport scan --format {format}` of a SavedModel with {_size(sizes.command)} of variables",
            Input("saved_model", sizes.command),
            _modelport("scan", "{input}", "--format", format),
            theirs,
            (Goal(Figure.CPU, TimesLess(8)),),
        )
        for format in ("text", "json")
        for theirs in (show, modelscan)
    )


def _ingest(sizes: Sizes) -> tuple[Case, ...]:
    by_hand = 'sha256sum "$1"/*.pb "$1"/variables/* && cp -r "$1" "$2/copy"'
    return (
        Case(
            "ingest",
            f"`modelport ingest` of a SavedModel with {_size(sizes.ingest)} of variables",
            Input("saved_model", sizes.ingest),
            _modelport("ingest", "{input}", MODELPORT_HOME="{scratch}/home", MODELPORT_SETTLE_SECONDS="0"),
            Command("`sha256sum` and `cp`", ("sh", "-c", by_hand, "sh", "{input}", "{scratch}")),
            (Goal(Figure.WALL, Within(1.3)), Goal(Figure.CPU)),
            repeats=3,
        ),
    )


def _listing(sizes: Sizes) -> tuple[Case, ...]:
    what = f"Listing {sizes.listed:,} files with size and version"
    goals = (Goal(Figure.WORK_WALL, AtMost(1.0)),)
    return (Case("listing", what, Input("files", sizes.listed), _probe("listing"), None, goals),)


def _growth(sizes: Sizes) -> tuple[Case, ...]:
    return tuple(
        Case(
            "growth",
            f"{name}, {_size(large)} of weights beside {_size(sizes.small)}",
            Input(kind, large),
            _probe("scan"),
            _probe("scan", f"modelport, {_size(sizes.small)}"),
            (Goal(Figure.WORK_CPU, FLAT_CPU), Goal(Figure.READ, FLAT_READ)),
            other=Input(kind, sizes.small),
            repeats=15,
        )
        for name, kind in (("Scan of an ONNX model", "onnx"), ("Scan of a SavedModel", "saved_model"))
        for large in (sizes.middle, sizes.model)
    )


def _start() -> tuple[Case, ...]:
    goals = (Goal(Figure.CPU, AtMost(0.3)),)
    nothing = Input("files", 1)
    return tuple(
        Case("start", f"`modelport {flag}`", nothing, _modelport(flag), None, goals) for flag in ("--version", "--help")
    )


def _probe(name: str, label: str = "modelport") -> Command:
    return Command(label, (sys.executable, "-m", "benchmarks.probe", name, "{input}"), is_probe=True)


def _modelport(*arguments: str, **environment: str) -> Command:
    return Command("modelport", (str(TOOLS / "modelport"), *arguments), needs=TOOLS / "modelport", environment=environment)


def _size(count: int) -> str:
    return f"{count / GB:g} GB" if count >= GB else f"{count / MB:g} MB"
