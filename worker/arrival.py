"""What differs between a version that arrives and the one before it of the same name, taken when it is registered. Pure.

In go the version before with its files, and what is to be registered; out comes plain JSON that is kept with the version: a
sentence, and the difference of `worker.compare` as far as a person reads it, with files as counts. `with` and `number` name
what it was compared with, so that it stays true whatever comes or goes later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detectors.metrics.sessions import headline
from worker.compare import compared
from worker.records import FileDigest, ModelVersion, NewVersion

MAX_LISTED = 100
"""Entries of each list that is kept; the sentence counts all that `compared` told."""

MOST_METRICS = 3
"""Metrics that the sentence names."""

SIGNATURES = {"same": "signature the same", "compatible": "signature compatible", "breaking": "signature breaking"}


def arrival(before: ModelVersion, files: Sequence[FileDigest], new: NewVersion) -> dict[str, Any]:
    """Return what differs in *new* from the version *before*, whose files are *files*."""
    difference = compared(json.loads(before.report), json.loads(new.report), files, new.files)
    counted = difference["files"]
    return {
        "with": before.id,
        "number": before.number,
        "says": f"against @{before.number}: {', '.join(_parts(difference))}",
        **difference,
        "signatureChanges": difference["signatureChanges"][:MAX_LISTED],
        "operators": dict(list(difference["operators"].items())[:MAX_LISTED]),
        "metrics": difference["metrics"][:MAX_LISTED],
        "findings": {side: found[:MAX_LISTED] for side, found in difference["findings"].items()},
        "files": {side: one if isinstance(one, int) else len(one) for side, one in counted.items()},
    }


def _parts(difference: Mapping[str, Any]) -> Iterator[str]:
    yield SIGNATURES[difference["signature"]]
    if difference["format"]:
        yield f"format {' → '.join(str(one) for one in difference['format'])}"
    yield from _metrics(difference["metrics"])
    for sign, side in (("+", "new"), ("−", "gone")):
        count = len(difference["findings"][side])
        if count:
            yield f"{sign}{count} finding{'' if count == 1 else 's'}"


def _metrics(changes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what became of the first metrics of the session that speaks for a run, and how many others changed."""
    session = headline(change["session"] for change in changes)
    told = [change for change in changes if change["session"] == session][:MOST_METRICS]
    for change in told:
        yield f"{change['name']} {_value(change['old'])} → {_value(change['new'])}"
    if len(changes) > len(told):
        yield f"{len(changes) - len(told)} more metric{'' if len(changes) == len(told) + 1 else 's'}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
