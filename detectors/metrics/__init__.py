"""What a run reported about itself: numbers with their source, and their summary in the shape of Gradient.

In go the listing of a tree and its custom metadata; out comes one `facts.Metrics`. Event files speak first; only where
they hold no scalar is the summary made of the other files. `values` has every number, whatever it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from detectors.detection import Contents
from detectors.facts import Metadata, Metric, Metrics, Note
from detectors.metadata import metadata_metrics
from detectors.metrics.files import read_files
from detectors.metrics.gradient import detail_of, summary_of
from detectors.metrics.series import MAX_CHECKPOINTS, Series
from detectors.metrics.sessions import read_sessions, session_names

__all__ = ["read_metrics"]


def read_metrics(contents: Contents, metadata: Metadata | None = None) -> Metrics:
    """Return all that the run reported below one path, the numbers of *metadata* that counts among them.

    `values` holds the last value of each name in each session and file: event files first, then the other files, both by
    path, then the metadata. See `sessions`, `files` and `metadata` for what is read; whatever cannot be is a note.

    Raises:
        TreeChanged: a listed file is no longer what was listed.
        TreeUnavailable: the storage did not answer.
    """
    in_events, event_notes = read_sessions(contents)
    in_files, file_notes = read_files(contents)
    names = session_names(item.folder for item in (*in_events, *in_files))
    speaking = in_events or in_files
    return Metrics(
        (*_values((*in_events, *in_files), names), *(metadata_metrics(metadata) if metadata is not None else ())),
        summary_of(speaking),
        detail_of(speaking, names),
        (*event_notes, *file_notes, *_cut_notes(speaking)),
    )


def _values(series: Iterable[Series], names: dict[str, str]) -> Iterator[Metric]:
    for item in series:
        last = item.last
        yield Metric(item.name, last.value, last.step, names[item.folder], item.source, last.wall_time)


def _cut_notes(series: Iterable[Series]) -> Iterator[Note]:
    cut = sum(item.is_cut for item in series)
    if cut:
        yield Note("", f"{cut} scalars keep their last checkpoints only, at most {MAX_CHECKPOINTS} (limit MAX_CHECKPOINTS)")
