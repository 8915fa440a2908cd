"""What differs between two versions: signatures first, because a client breaks by them, then operators, parameters, metrics,
findings and files. In go two scan reports and their files, out comes plain JSON. Pure.

A change of a signature is breaking where a call, or a reader of its answer, that was right before may be wrong now: an input
is there that was not, or is gone, or takes less than it took; an output is gone, or promises less than it did. Everything else
is compatible. An unknown size or rank takes everything, and promises nothing. Only the primary models are compared. The name
of a graph of ONNX is nothing to its callers, who name inputs and outputs alone, so it may change.

A finding is the same one where its rule and place are, and its path below the model: each export has a folder of its own.

Laws (each has a test of the same name):
    nothing differs from itself;
    what takes more and promises more is compatible, and the way back is breaking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from worker.manifest import file_json
from worker.records import FileDigest

Report = Mapping[str, Any]
Change = dict[str, Any]

MAX_LISTED = 1000
"""Entries of each list of differences."""


def compared(
    old: Report, new: Report, old_files: Sequence[FileDigest] | None, new_files: Sequence[FileDigest] | None
) -> dict[str, Any]:
    """Return what is different in *new*, beginning with whether its signatures are `same`, `compatible` or `breaking`.

    Files are compared where both sides have their digests, which None says they have not.
    """
    before, after = _facts(old), _facts(new)
    changes = list(_changes(*signatures(old, new)))
    return {
        "signature": "breaking" if any(one["breaking"] for one in changes) else "compatible" if changes else "same",
        "signatureChanges": changes[:MAX_LISTED],
        "format": _pair(_primary(old).get("format"), _primary(new).get("format")),
        "framework": _pair(before.get("framework"), after.get("framework")),
        "parameters": _pair(before.get("parameters"), after.get("parameters")),
        "sizeBytes": _pair(before.get("size_bytes"), after.get("size_bytes")),
        "operators": _counts(before.get("operators") or {}, after.get("operators") or {}),
        "metrics": _metrics(old, new)[:MAX_LISTED],
        "findings": {
            "new": list(_findings_only_in(new, old))[:MAX_LISTED],
            "gone": list(_findings_only_in(old, new))[:MAX_LISTED],
        },
        "files": None if old_files is None or new_files is None else _files(old_files, new_files),
    }


def _primary(report: Report) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next((model for model in report.get("models", ()) if model.get("primary")), {})
    return found


def _facts(report: Report) -> Mapping[str, Any]:
    facts: Mapping[str, Any] = _primary(report).get("facts") or {}
    return facts


def _pair(old: Any, new: Any) -> list[Any] | None:
    """Return both values, None where they are equal."""
    return None if old == new else [old, new]


def _counts(old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, list[int]]:
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name, 0) != new.get(name, 0)]
    return {name: [old.get(name, 0), new.get(name, 0)] for name in names[:MAX_LISTED]}


def signatures(old: Report, new: Report) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the signatures of both by the names that go together; graphs of ONNX do, and have the name of the new one."""
    before, after = ({one["name"]: one for one in _facts(side).get("signatures") or ()} for side in (old, new))
    are_graphs = all(_primary(side).get("format") == "onnx" for side in (old, new))
    if are_graphs and len(before) == len(after) == 1:
        before = dict(zip(after, before.values(), strict=True))
    return before, after


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Yield each change of a signature."""
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield _change(name, None, None, "removed", is_breaking=True)
        elif name not in old:
            yield _change(name, None, None, "added", is_breaking=False)
        else:
            yield from _tensors(name, "input", old[name]["inputs"], new[name]["inputs"])
            yield from _tensors(name, "output", old[name]["outputs"], new[name]["outputs"])


def _change(signature: str, side: str | None, tensor: str | None, what: str, is_breaking: bool, **more: Any) -> Change:
    return {"signature": signature, "side": side, "tensor": tensor, "change": what, "breaking": is_breaking, **more}


def _tensors(signature: str, side: str, old: Iterable[Any], new: Iterable[Any]) -> Iterator[Change]:
    """Yield each change of the inputs or outputs of a signature."""
    before, after = ({one["name"]: one for one in tensors} for tensors in (old, new))
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield _change(signature, side, name, "removed", is_breaking=True)
        elif name not in before:
            yield _change(signature, side, name, "added", is_breaking=side == "input")
        else:
            yield from _tensor(signature, side, before[name], after[name])


def _tensor(signature: str, side: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    name = old["name"]
    if old["dtype"] != new["dtype"]:
        yield _change(signature, side, name, "dtype", is_breaking=True, old=old["dtype"], new=new["dtype"])
    if old["shape"] != new["shape"]:
        wider, narrower = (new["shape"], old["shape"]) if side == "input" else (old["shape"], new["shape"])
        is_breaking = not _takes(wider, narrower)
        yield _change(signature, side, name, "shape", is_breaking, old=old["shape"], new=new["shape"])


def _takes(wider: Sequence[Any] | None, narrower: Sequence[Any] | None) -> bool:
    """Tell whether every tensor of the shape *narrower* is one of the shape *wider*."""
    if wider is None:
        return True
    if narrower is None or len(wider) != len(narrower):
        return False
    return all(not isinstance(wide, int) or wide == narrow for wide, narrow in zip(wider, narrower, strict=True))


def _metrics(old: Report, new: Report) -> list[Change]:
    """Return the last values that differ, by session and name."""
    before, after = (
        {(one["session"], one["name"]): one["value"] for one in report.get("metrics", {}).get("values", ())}
        for report in (old, new)
    )
    keys = sorted(before.keys() | after.keys())
    return [
        {"session": key[0], "name": key[1], "old": before.get(key), "new": after.get(key)}
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _findings_only_in(one: Report, other: Report) -> Iterator[Change]:
    """Yield the findings of *one* that *other* has not, as often as it lacks them."""
    theirs = Counter(_key_of(finding, other) for finding in other.get("findings", ()))
    for finding in one.get("findings", ()):
        key = _key_of(finding, one)
        if theirs[key]:
            theirs[key] -= 1
        else:
            yield {name: finding.get(name) for name in TOLD_OF_FINDINGS}


TOLD_OF_FINDINGS = ("rule", "severity", "path", "place", "message")


def _key_of(finding: Mapping[str, Any], report: Report) -> tuple[str, str | None, str]:
    """Return what a finding is told from others by: rule, place, and the path below the model that it is about."""
    path = finding["path"]
    roots = [f"{model.get('root', '')}/" for model in report.get("models", ())]
    root = max((root for root in roots if root != "/" and path.startswith(root)), key=len, default="")
    return finding["rule"], finding.get("place"), path.removeprefix(root)


def _files(old: Sequence[FileDigest], new: Sequence[FileDigest]) -> dict[str, Any]:
    before, after = ({file.path: file for file in files} for files in (old, new))
    added, removed = (sorted(one.keys() - other.keys()) for one, other in ((after, before), (before, after)))
    both = sorted(before.keys() & after.keys())
    changed = [path for path in both if before[path] != after[path]]
    return {
        "added": [file_json(after[path]) for path in added[:MAX_LISTED]],
        "removed": [file_json(before[path]) for path in removed[:MAX_LISTED]],
        "changed": [[file_json(before[path]), file_json(after[path])] for path in changed[:MAX_LISTED]],
        "same": len(both) - len(changed),
    }
