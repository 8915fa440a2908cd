"""Numbers in the small files that training tools and people leave beside a model: JSON, CSV, MLflow's file store.

In goes the listing; out come series, one for each name in each file, by path.

    metrics.json, summary.json, scores.json, (all|train|eval|test|predict)_results.json, dvclive/metrics.json
        numbers, nested ones with dotted names; a whole number `step` or `global_step` at the top is the step of the others
    trainer_state.json (Hugging Face)
        log_history, a list of objects with a step; best_metric
    dvclive/plots/metrics/NAME.tsv; metrics.csv (Lightning); any .csv or .log whose first column is `epoch` (Keras, YOLO)
        a table with a column `step` or `epoch`; a column may be sparse, its last number counts
    mlruns/EXPERIMENT/RUN/metrics/NAME (MLflow)
        lines of milliseconds, value, step

YAML and SQLite are not read: the core stays small and safe. A file that is not what its name says is a note, never an error.
A convention is known by names that people also give to other things, so only numbers are taken and nothing else is judged.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from detectors.detection import Contents, folder_of, suffix
from detectors.errors import ModelError, ModelLimit, Unreadable
from detectors.facts import Note
from detectors.json_text import as_number, parse_json
from detectors.metrics.series import GrowingSeries, Point, Room, Series
from detectors.tree import FileEntry

MAX_JSON_BYTES = 8 << 20
"""Size of a JSON file; the trainer state of a long run has some megabytes."""

MAX_TABLE_BYTES = 16 << 20
"""Size of a CSV or TSV file."""

MAX_MLFLOW_BYTES = 4 << 20
"""Size of one file of MLflow's store, which holds one metric."""

MAX_ALL_BYTES = 64 << 20
"""Bytes read of all these files in one scan."""

MAX_CELLS = 1_500_000
"""Rows and cells of tables, lines, and values of JSON that are looked at in one scan; one costs a microsecond or two."""

CELLS_PER_JSON_VALUE = 4
"""What a value of JSON counts: it is counted, parsed, and told by a name made of several."""

MAX_FILES = 5_000
"""Files opened in one scan, those among them that turn out to be something else."""

MAX_NAMES = 1_000
"""Names taken from one file."""

MAX_NAME_LENGTH = 1_024
"""Characters of a name with its dots; a longer one is passed over."""

MAX_NESTING = 8
"""Objects inside each other below which numbers are looked for."""

MAX_COLUMNS = 1_000
"""Columns of a table."""

FOLD_POINTS = 20_000
"""Points that may lie unfolded in the lists of the series of one file."""

HEADER_BYTES = 4 << 10
"""Read of a table under any name to see whether its first column is `epoch`."""

EXACT_STEPS = ("step", "global_step")
STEP_NAMES = (*EXACT_STEPS, "epoch")
"""Names that tell the step, the most exact first; none of them is a metric."""

_FLAT = re.compile(r"(metrics|summary|scores|(all|train|eval|test|predict)_results)\.json")
_MLFLOW = re.compile(r"(?P<folder>(?:.*/)?mlruns/[^/]+/[^/]+)/metrics/(?P<name>.+)")
_DVCLIVE_TABLE = re.compile(r"(?P<folder>(?:.*/)?dvclive)/plots/metrics/(?P<name>.+)\.tsv")
_EPOCH_FIRST = re.compile(rb'(\xef\xbb\xbf)?\s*"?epoch"?\s*,')


def read_files(contents: Contents) -> tuple[tuple[Series, ...], tuple[Note, ...]]:
    """Return the series of all files that follow a known convention, and what could not be read.

    Each such file is read whole, within its size limit; of other tables the first `HEADER_BYTES`.
    """
    reading = _Reading(contents)
    for entry in contents.entries:
        if (reader := _reader_for(entry.path)) is not None:
            reading.take(entry, reader)
    return tuple(reading.series), tuple(reading.told())


def flat_numbers(value: Any, prefix: str = "", depth: int = 1) -> Iterator[tuple[str, float]]:
    """Yield the numbers of nested objects by dotted name, down to `MAX_NESTING`; lists, texts and truth values have none."""
    if not isinstance(value, dict) or depth > MAX_NESTING:
        return
    for key, inner in value.items():
        name = prefix + key
        if len(name) > MAX_NAME_LENGTH:
            continue
        number = as_number(inner)
        if number is not None:
            yield name, number
        yield from flat_numbers(inner, name + ".", depth + 1)


def number_in(cell: str | None) -> float | None:
    """Return the number that a cell of a table holds, `nan` and `inf` included; None for anything else."""
    try:
        return float(cell) if cell and "_" not in cell else None
    except ValueError:
        return None


def step_in(number: float | None) -> int | None:
    """Return *number* as a step, None unless it is whole and fits 64 bits."""
    if number is None or not math.isfinite(number) or number != int(number) or abs(number) >= 1 << 63:
        return None
    return int(number)


class CellsSpent(ModelLimit):
    """The limit of the whole scan is reached: what was taken of the file before stays."""

    def __init__(self, path: str) -> None:
        super().__init__(path, None, "MAX_CELLS", f"more than {MAX_CELLS} cells and values in all files together")


@dataclass(slots=True)
class Cells:
    """How many cells of all files may still be looked at."""

    left: int = MAX_CELLS


class Points:
    """The points of one file, by name, in the order of the file. Files of one *folder* are one session."""

    def __init__(self, path: str, folder: str, room: Room, cells: Cells) -> None:
        self._path = path
        self._cells = cells
        self._folder = folder
        self._room = room
        self._series: dict[str, GrowingSeries] = {}
        self._pending = 0
        self.left_out = 0

    def look(self, count: int) -> None:
        """Count so many cells that are about to be looked at.

        Raises:
            CellsSpent: fewer are left; then none are for any file after this one.
        """
        self._cells.left -= count
        if self._cells.left < 0:
            raise CellsSpent(self._path)

    def look_at_json(self, data: bytes) -> None:
        """Count the values of the JSON text *data*, by what stands between them.

        Raises:
            CellsSpent: fewer are left; smaller files after this one may still have room.
        """
        cells = CELLS_PER_JSON_VALUE * sum(map(data.count, (b",", b"[", b"{")))
        if cells > self._cells.left:
            raise CellsSpent(self._path)
        self._cells.left -= cells

    def add(self, name: str, step: int | None, value: float, wall_time: float = 0.0) -> None:
        """Take one point, if there is room for its name. A wall time of 0 is none."""
        series = self._series.get(name) or self._begin(name)
        if series is None:
            self.left_out += 1
        elif step is None:
            series.stepless = Point(None, value, wall_time or None)
        else:
            series.add(step, value, wall_time)
            self._pending += 1
            if self._pending >= FOLD_POINTS:
                self._fold()

    def series(self) -> Iterator[Series]:
        """Yield the series of the file, in the order of their first points."""
        for growing in self._series.values():
            growing.close_file(self._path)
            if (closed := growing.close()) is not None:
                yield closed

    def _begin(self, name: str) -> GrowingSeries | None:
        if len(self._series) >= MAX_NAMES or len(name) > MAX_NAME_LENGTH:
            return None
        series = self._room.grow(name, self._folder)
        if series is not None:
            series.source = self._path
            self._series[name] = series
        return series

    def _fold(self) -> None:
        self._pending = 0
        for series in self._series.values():
            series.fold(self._path)


Reader = Callable[[bytes, str, Points], Iterable[Note]]
"""Given the bytes of a file and its path, add its points and return notes. May raise `ModelError`."""


class _Reading:
    """One pass over the files: what came, and what is left of the limits."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._room = Room()
        self._cells = Cells()
        self._files = 0
        self._bytes = 0
        self._not_read = 0
        self._notes: list[Note] = []
        self.series: list[Series] = []

    def take(self, entry: FileEntry, reader: tuple[Reader, str, int]) -> None:
        """Add the series of *entry*, or a note."""
        read, limit, max_bytes = reader
        if self._files >= MAX_FILES or self._bytes + min(entry.size, max_bytes) > MAX_ALL_BYTES:
            self._not_read += 1
            return
        self._files += 1
        points = Points(entry.path, _session_folder(entry.path), self._room, self._cells)
        try:
            if read is _epochs and not self._has_epochs(entry):
                return
            data = self._contents.read_whole(entry, limit, max_bytes)
            self._bytes += len(data)
            self._notes.extend(read(data, entry.path, points))
        except CellsSpent as exc:
            self._notes.append(Note(entry.path, f"not read to its end: {exc.reason}"))
        except ModelError as exc:
            self._notes.append(Note(entry.path, f"no metrics taken: {exc}"))
        except Unreadable as exc:
            self._notes.append(Note(entry.path, f"not read: {exc.reason}"))
        self.series.extend(points.series())
        if points.left_out:
            self._notes.append(Note(entry.path, f"{points.left_out} numbers are left out (limits MAX_NAMES, MAX_SERIES)"))

    def told(self) -> list[Note]:
        """Return the notes of the pass."""
        if self._not_read:
            self._notes.append(Note("", f"{self._not_read} files with metrics are not read (limits MAX_FILES, MAX_ALL_BYTES)"))
        return self._notes

    def _has_epochs(self, entry: FileEntry) -> bool:
        head = self._contents.tree.read(entry.path, 0, min(entry.size, HEADER_BYTES))
        return _EPOCH_FIRST.match(head) is not None


def _reader_for(path: str) -> tuple[Reader, str, int] | None:
    """Return how the file *path* is read, with the limit of its size by name and in bytes; None where no convention fits."""
    name = path.rpartition("/")[2]
    if _MLFLOW.fullmatch(path):
        return _mlflow, "MAX_MLFLOW_BYTES", MAX_MLFLOW_BYTES
    if name == "trainer_state.json":
        return _trainer_state, "MAX_JSON_BYTES", MAX_JSON_BYTES
    if _FLAT.fullmatch(name):
        return _flat, "MAX_JSON_BYTES", MAX_JSON_BYTES
    if _DVCLIVE_TABLE.fullmatch(path):
        return _dvclive_table, "MAX_TABLE_BYTES", MAX_TABLE_BYTES
    if name == "metrics.csv":
        return _table, "MAX_TABLE_BYTES", MAX_TABLE_BYTES
    if suffix(path) in (".csv", ".log"):
        return _epochs, "MAX_TABLE_BYTES", MAX_TABLE_BYTES
    return None


def _session_folder(path: str) -> str:
    """Return the folder of the session: the run of MLflow's store, the folder of DVCLive, else where the file lies."""
    found = _MLFLOW.fullmatch(path) or _DVCLIVE_TABLE.fullmatch(path)
    return found["folder"] if found else folder_of(path)


def _flat(data: bytes, path: str, points: Points) -> Iterable[Note]:
    points.look_at_json(data)
    value, notes = parse_json(data, path)
    step = _own_step(value)
    for name, number in flat_numbers(value):
        if step is None or name not in EXACT_STEPS:
            points.add(name, step, number)
    return notes


def _trainer_state(data: bytes, path: str, points: Points) -> Iterable[Note]:
    """Take the history of a Hugging Face trainer. Its `epoch` is a fraction beside the exact step, and not a metric."""
    points.look_at_json(data)
    value, notes = parse_json(data, path)
    state = value if isinstance(value, dict) else {}
    history = state.get("log_history")
    for row in history if isinstance(history, list) else ():
        step = _own_step(row)
        for name, number in flat_numbers(row):
            if name not in STEP_NAMES:
                points.add(name, step, number)
    best = as_number(state.get("best_metric"))
    if best is not None:
        points.add("best_metric", None, best)
    return notes


def _own_step(value: Any) -> int | None:
    """Return the step that an object tells of itself."""
    if not isinstance(value, dict):
        return None
    steps = (step_in(as_number(value.get(name))) for name in EXACT_STEPS)
    return next((step for step in steps if step is not None), None)


def _table(data: bytes, path: str, points: Points) -> Iterable[Note]:
    return _columns(data, path, ",", points.add, points.look)


def _epochs(data: bytes, path: str, points: Points) -> Iterable[Note]:
    return _columns(data, path, ",", points.add, points.look)


def _dvclive_table(data: bytes, path: str, points: Points) -> Iterable[Note]:
    """Take the one metric of a DVCLive plot, named by its path below `plots/metrics` with dots, as in metrics.json."""
    full_name = _DVCLIVE_TABLE.sub(r"\g<name>", path).replace("/", ".")
    column = path.rpartition("/")[2].removesuffix(".tsv")

    def add(name: str, step: int | None, value: float) -> None:
        if name == column:
            points.add(full_name, step, value)

    return _columns(data, path, "\t", add, points.look)


def _columns(
    data: bytes, path: str, delimiter: str, add: Callable[[str, int | None, float], None], look: Callable[[int], None]
) -> Iterable[Note]:
    """Hand the numbers of each column to *add*, row by row, but those that tell the step. Rows may be short or long.

    *look* is told how many cells there are before they are looked at, the row itself as one more.
    """
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(rows, [])[:MAX_COLUMNS]]
        step_column = next((names.index(name) for name in STEP_NAMES if name in names), None)
        if step_column is None:
            return (Note(path, "no metrics taken: a table without a column step or epoch"),)
        for row in rows:
            look(1 + len(row))
            step = step_in(number_in(row[step_column] if step_column < len(row) else None))
            for name, cell in zip(names, row, strict=False):
                number = number_in(cell)
                if number is not None and name and name not in STEP_NAMES:
                    add(name, step, number)
    except csv.Error as exc:
        return (Note(path, f"cut off: not a table from line {rows.line_num} on: {exc}"),)
    return ()


def _mlflow(data: bytes, path: str, points: Points) -> Iterable[Note]:
    """Take the one metric of a file in MLflow's store; its name is the path below `metrics`."""
    name, bad = _MLFLOW.sub(r"\g<name>", path), 0
    for line in data.decode("utf-8", "replace").splitlines():
        points.look(1)
        cells = line.split()
        numbers = [number_in(cell) for cell in cells]
        if len(numbers) not in (2, 3) or numbers[0] is None or numbers[1] is None:
            bad += bool(cells)
            continue
        points.add(name, step_in(numbers[2]) if len(numbers) == 3 else None, numbers[1], numbers[0] / 1000)
    return (Note(path, f"{bad} lines are not milliseconds, value and step"),) if bad else ()
