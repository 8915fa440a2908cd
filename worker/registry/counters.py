"""What each step of an ingestion adds to which counter; pure, and the same for every kind of registry.

In go an ingestion before a step and the step, out come amounts. Labels have few words, all of them known here: what a row may
hold besides is counted as `other`, so that no sender makes a counter of its own. Writing the amounts is left to the registry,
which does it in the transaction of the step.

Laws (each has a test of the same name):
    what was accepted or retried has ended or is in flight;
    the counters say how many ingestions stand in each state.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from worker.lifecycle import Move, is_end
from worker.records import NO_FORMAT, Count, Counted, Ingestion, IngestionState, Labels, NewVersion, Took

Key = tuple[Counted, Labels]

Amounts = Counter[Key]
"""How much is added to which counter; never nothing."""

REASONS = frozenset(
    "broken changed discarded experiment-canceled experiment-error experiment-failed incomplete inspector-lost interrupted"
    " kept-changing new-content not-settled nothing-found nothing-there registry-unavailable rejected-event rejected-location"
    " same-content same-listing source-unavailable storage-hangs store-unavailable tree-limit unforeseen unreadable"
    " worker-lost".split()
)
"""The reasons that this code ends and pauses ingestions with; a test compares with the code."""

FORMATS = frozenset(
    "coreml custom gguf git_lfs_pointer huggingface keras mlflow onnx openvino ort pickle pytorch safetensors"
    " tensorflow_checkpoint tensorflow_graphdef tensorflow_savedmodel tflite".split()
)
"""The formats that a version can have; a test compares with the reference of the report."""

SOUGHT_FORMATS = (*sorted(FORMATS), NO_FORMAT)
"""What ingestions can be sought by: the formats, and the word for none."""

OTHER = "other"

WORKER_LOST = "worker-lost"
"""The reason of the steps that `lifecycle.free` takes, and of no others."""

BOUNDS_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
"""The most seconds of each bucket of times; longer ones are in a bucket without a bound."""

NO_BOUND = "+Inf"


def of_step(before: Ingestion | None, move: Move, format: str | None = None) -> Amounts:
    """Return what *move* adds, taken from where the ingestion stood *before*, None for a new one.

    *format* is that of the version that it registered, None where it registered none.
    """
    return _summed(_of_step(before, move, format))


def of_content(version: NewVersion, is_new: bool) -> Amounts:
    """Return what reading the files of *version* adds; *is_new* tells whether it was registered."""
    outcome = IngestionState.REGISTERED if is_new else IngestionState.UNCHANGED
    return _summed([((Counted.BYTES, (("outcome", outcome.value),)), version.size_bytes)])


def of_steps(steps: Iterable[Took]) -> Amounts:
    """Return what *steps* of attempts add."""
    return _summed(
        amount
        for one in steps
        for amount in _timed(Counted.STEPPED, Counted.STEPPED_MICROSECONDS, one.seconds, (("step", one.step),))
    )


def counts(amounts: Mapping[Key, int]) -> list[Count]:
    """Return *amounts* as records, by name and labels."""
    return [Count(name, labels, amount) for (name, labels), amount in sorted(amounts.items())]


def labels_text(labels: Labels) -> str:
    """Return the text that is equal exactly for equal labels: JSON without blanks, sorted by name."""
    return json.dumps(dict(labels), sort_keys=True, separators=(",", ":"))


def labels_of(text: str) -> Labels:
    """Return the labels whose text is *text*."""
    return tuple(sorted(json.loads(text).items()))


def disagreements(counted: Iterable[Count], states: Mapping[IngestionState, int]) -> Iterator[str]:
    """Yield a sentence for each end, and for what is in flight, of which the counters say another number than *states*."""
    said = _standing(counted)
    there = {end.value: states.get(end, 0) for end in IngestionState if is_end(end)}
    there["in flight"] = sum(states.values()) - sum(there.values())
    for what, number in there.items():
        if said[what] != number:
            yield f"the counters say {said[what]} {what}, and there are {number}"


def _standing(counted: Iterable[Count]) -> Counter[str]:
    """Return how many ingestions stand at which end, and `in flight`, if the counters are right."""
    standing: Counter[str] = Counter()
    for one in counted:
        for what, sign in _shift(one):
            standing[what] += sign * one.value
    return standing


def _shift(one: Count) -> tuple[tuple[str, int], ...]:
    """Return where ingestions come to stand by what is counted here (1), and where they stood before (-1)."""
    failed, discarded = IngestionState.FAILED.value, IngestionState.DISCARDED.value
    if one.name is Counted.ACCEPTED:
        return (("in flight", 1),)
    if one.name is Counted.RETRIED:
        return ((failed, -1), ("in flight", 1))
    if one.name is Counted.ENDED:
        return (("in flight", -1), (dict(one.labels)["outcome"], 1))
    if one.name is Counted.PUT_AWAY:
        return ((failed, -1), (discarded, 1))
    return ()


def _of_step(before: Ingestion | None, move: Move, format: str | None) -> Iterator[tuple[Key, int]]:
    after, reason = move.ingestion, move.entry.reason
    trigger = (("trigger", after.event.trigger.value),)
    if before is None:
        yield (Counted.ACCEPTED, trigger), 1
    elif after.state is IngestionState.RECEIVED:
        yield (Counted.RETRIED, trigger), 1
    elif after.state is IngestionState.RUNNING:
        yield (Counted.CLAIMED, trigger), 1
        if before.state is IngestionState.RECEIVED:
            yield from _waited(before.updated, after.updated)
    elif is_end(after.state) and is_end(before.state):
        yield (Counted.PUT_AWAY, trigger), 1
    elif is_end(after.state):
        yield (Counted.ENDED, _labels_of_end(after, format)), 1
    if reason == WORKER_LOST:
        yield (Counted.FREED, trigger), 1


def _labels_of_end(ended: Ingestion, format: str | None) -> Labels:
    return (
        ("format", NO_FORMAT if format is None else _word(format, FORMATS)),
        ("outcome", ended.state.value),
        ("reason", _word(ended.reason, REASONS)),
        ("trigger", ended.event.trigger.value),
    )


def _waited(since: datetime, until: datetime) -> Iterator[tuple[Key, int]]:
    return _timed(Counted.WAITED, Counted.WAITED_MICROSECONDS, (until - since).total_seconds())


def _timed(bucket: Counted, total: Counted, seconds: float, labels: Labels = ()) -> Iterator[tuple[Key, int]]:
    """Yield the bucket of a time, and its length; clocks that disagree make none shorter than nothing."""
    seconds = max(seconds, 0.0)
    place = bisect_left(BOUNDS_SECONDS, seconds)
    bound = f"{BOUNDS_SECONDS[place]:g}" if place < len(BOUNDS_SECONDS) else NO_BOUND
    yield (bucket, (("le", bound), *labels)), 1
    yield (total, labels), round(seconds * 1_000_000)


def _word(word: str | None, known: frozenset[str]) -> str:
    return word if word in known else OTHER


def _summed(amounts: Iterable[tuple[Key, int]]) -> Amounts:
    summed: Amounts = Counter()
    for key, amount in amounts:
        if amount:
            summed[key] += amount
    return summed
