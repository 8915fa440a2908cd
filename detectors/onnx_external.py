"""The files beside an ONNX model that hold its large tensors.

In go the tensors of a model and the listing of the tree; out come the files they name, how far into them the tensors reach,
what is missing, and which names lead where a model has no business. A name is judged as text and then looked up in the
listing, which holds regular files alone: nothing is opened here, so no name can make us read anything. The optional
checksums are left to whoever reads the weights.

    external_data of a TensorProto:  location (relative path), offset, length (decimal; bytes), checksum (SHA-1)

Several tensors may share a file, also the same bytes of it: overlaps are counted, not refused. What lies outside is raw data,
which strings never are: such a tensor has no values that a reader takes, whatever its file holds.

Source: onnx/docs/ExternalData.md of onnx 1.23. Runtimes have followed such names out of the folder again and again
(CVE-2022-25882, CVE-2024-27318, CVE-2026-34446, CVE-2026-34447).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple

from detectors.bounds import MAX_NAMES, check_count
from detectors.detection import Contents, folder_of
from detectors.facts import Finding, Problem, Severity, worst_of
from detectors.onnx_inventory import EXTERNAL, Held, elements_of
from detectors.onnx_names import Odd, odd_name, why_outside
from detectors.onnx_types import NEVER_RAW, dtype_name, raw_bytes_of
from detectors.onnx_values import SIZES, VALUE_FIELDS
from detectors.tree import RemarksOnListing, readable
from detectors.wire import text

MAX_LISTED = 1000
"""Files, problems and findings of external data that one model may have told in full; of findings the worst."""

MAX_SHOWN = 200
"""Characters of a hostile name that a message repeats."""

MAX_NAME_BYTES = 8 << 20
"""Characters of all names of one model together; the files of the largest models have some thousand names of fifty."""

HELD_VALUES = SIZES | frozenset(VALUE_FIELDS)
"""Fields of a tensor that hold its values in the model itself."""

KNOWN_KEYS = frozenset({b"location", b"offset", b"length", b"checksum"})

NUMBER = re.compile(rb"[0-9]{1,19}", re.ASCII)

Barrier = tuple[str, str]
"""The path of something that was passed over, with a slash behind it, and why."""

Keys = dict[bytes, list[bytes]]
"""What `external_data` of one tensor says: the values of each key, in order. Readers take the last."""


class NamedBy(NamedTuple):
    """The tensors that name one location: the first of them, and the bytes that each takes."""

    first: Held
    ranges: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Part:
    """A location with the ranges [start, stop) that tensors take of it, and the first of these tensors.

    outside tells why the name may not be followed, None where it may. size is that of the listed file at path, None where
    there is none; then is_folder tells whether the name is that of a folder. is_shared is as in `FileEntry`.
    """

    location: str
    named_by: NamedBy
    path: str
    size: int | None
    outside: str | None = None
    is_folder: bool = False
    is_shared: bool = False

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Return the bytes that each of the tensors takes."""
        return self.named_by.ranges

    @property
    def place(self) -> str:
        """Return a readable path to the first tensor that names it."""
        return self.named_by.first.place

    @property
    def start(self) -> int:
        """Return the first byte that a tensor takes."""
        return min(start for start, _ in self.ranges)

    @property
    def stop(self) -> int:
        """Return how many bytes the file must have."""
        return max(stop for _, stop in self.ranges)


@dataclass(frozen=True, slots=True)
class ExternalData:
    """What the external tensors of a model come to.

    files are the listed files they name, with their sizes. contradictory problems make the model corrupt, missing ones
    incomplete. unread is what keeps it from being known as whole, as in `Extraction`: data outside, which nobody looks for.
    """

    files: dict[str, int]
    details: tuple[dict[str, Any], ...]
    contradictory: tuple[Problem, ...]
    missing: tuple[Problem, ...]
    findings: tuple[Finding, ...]
    unread: tuple[tuple[str, str], ...]


def examine(contents: Contents, main: str, tensors: Iterable[Held]) -> ExternalData:
    """Return what the external ones among *tensors* of the model file *main* name. Nothing is read.

    Raises:
        ModelLimit: they name more than `MAX_NAMES` files.
    """
    external = [(held, _keys(held)) for held in tensors if held.tensor.data_location == EXTERNAL]
    parts = list(_parts(contents, main, external))
    findings = chain(
        _outside_findings(main, parts),
        _name_findings(main, parts),
        _key_findings(main, external),
        _double_findings(main, external),
    )
    return ExternalData(
        files={part.path: part.size for part in parts if part.size is not None},
        details=tuple(_details(part) for part in parts[:MAX_LISTED]),
        contradictory=tuple(islice(_contradictory(main, external), MAX_LISTED)),
        missing=tuple(islice(_missing(main, parts), MAX_LISTED)),
        findings=tuple(worst_of(findings, MAX_LISTED)),
        unread=tuple(_not_looked_for(main, parts)),
    )


def files_named(contents: Contents, main: str, tensors: Iterable[Held]) -> list[str]:
    """Return the listed files that the external ones among *tensors* of the model file *main* name. Nothing is read.

    Raises:
        ModelLimit: they name more than `MAX_NAMES` files.
    """
    external = (held for held in tensors if held.tensor.data_location == EXTERNAL)
    named = {
        _name(entry.value): NamedBy(held, [])
        for held in external
        for entry in held.tensor.external_data
        if entry.key == b"location"
    }
    return [part.path for part in _located(contents, main, named) if part.size is not None]


def _keys(held: Held) -> Keys:
    keys: Keys = {}
    for entry in held.tensor.external_data:
        keys.setdefault(entry.key, []).append(entry.value)
    return keys


def _parts(contents: Contents, main: str, external: Iterable[tuple[Held, Keys]]) -> Iterator[Part]:
    """Return what is named, sorted by name. A location that is given twice counts both times: readers may take either."""
    named: dict[str, NamedBy] = {}
    for held, keys in external:
        for location in keys.get(b"location", ()):
            named.setdefault(_name(location), NamedBy(held, [])).ranges.append(_range(held, keys))
    return _located(contents, main, named)


def _name(location: bytes) -> str:
    return location.decode("utf-8", "surrogateescape")


def _located(contents: Contents, main: str, named: dict[str, NamedBy]) -> Iterator[Part]:
    """Yield the parts that *named* locations come to, sorted by name; raises ModelLimit where they are too many."""
    check_count(main, "names of external data", len(named), MAX_NAMES, "MAX_NAMES")
    check_count(main, "characters of names of external data", sum(map(len, named)), MAX_NAME_BYTES, "MAX_NAME_BYTES")
    folder = folder_of(main)
    barriers = _barriers(contents, folder)
    for location in sorted(named):
        yield _locate(contents, barriers, folder, location, named[location])


def _range(held: Held, keys: Keys) -> tuple[int, int]:
    """Return the bytes that a tensor takes; empty where neither its length nor its dimensions tell."""
    start, length = _number(keys, b"offset") or 0, _number(keys, b"length")
    return start, start + (length if length is not None else _expected_bytes(held) or 0)


def _number(keys: Keys, key: bytes) -> int | None:
    value = keys.get(key, [b""])[-1]
    return int(value) if NUMBER.fullmatch(value) else None


def _expected_bytes(held: Held) -> int | None:
    elements = elements_of(held.tensor)
    return None if elements is None else raw_bytes_of(held.tensor.data_type, elements)


def _locate(contents: Contents, barriers: tuple[Barrier, ...], folder: str, location: str, named_by: NamedBy) -> Part:
    outside = why_outside(location)
    if outside:
        return Part(location, named_by, "", None, outside)
    path = "/".join([*([folder] if folder else []), *_segments(location)])
    entry = contents.find(path)
    if location.endswith(("/", "/.")) or (entry is None and contents.below(path)):
        return Part(location, named_by, path, None, is_folder=True)
    if entry is not None:
        return Part(location, named_by, path, entry.size, is_shared=entry.is_shared)
    return Part(location, named_by, path, None, _why_not_regular(barriers, path))


def _segments(location: str) -> list[str]:
    return [segment for segment in location.split("/") if segment and segment != "."]


def _barriers(contents: Contents, folder: str) -> tuple[Barrier, ...]:
    """Return what the listing passed over below *folder*: the path with a slash and the reason, sorted, none inside another."""
    remarks = contents.tree.passed_over if isinstance(contents.tree, RemarksOnListing) else ()
    inside = folder and folder + "/"
    found = sorted((one.path + "/", str(one.why)) for one in remarks if one.path.startswith(inside))
    barriers: list[Barrier] = []
    for path, why in found:
        if not barriers or not path.startswith(barriers[-1][0]):
            barriers.append((path, why))
    return tuple(barriers)


def _why_not_regular(barriers: tuple[Barrier, ...], path: str) -> str | None:
    """Return why a name that is not listed never will be: the listing passed it, or a folder on the way to it, over.

    As no barrier lies inside another, only the last one that does not sort after *path* can be on its way.
    """
    place = bisect_right(barriers, path + "/", key=itemgetter(0))
    if place and (path + "/").startswith(barriers[place - 1][0]):
        return f"it leads through what is not a regular file ({barriers[place - 1][1]})"
    return None


def _contradictory(main: str, external: Iterable[tuple[Held, Keys]]) -> Iterator[Problem]:
    for held, keys in external:
        reason = _contradiction(held, keys)
        if reason:
            yield Problem(main, f"{held.place}: {reason}")


def _contradiction(held: Held, keys: Keys) -> str | None:
    """Return why the external data of one tensor cannot be right whatever the file holds."""
    if b"location" not in keys:
        return "expected a location of its external data, found none"
    if held.tensor.data_type in NEVER_RAW:
        return f"expected no external data of {dtype_name(held.tensor.data_type)}, which raw data cannot hold, found some"
    for key in (b"offset", b"length"):
        if key in keys and _number(keys, key) is None:
            return f"expected a number of bytes as {key.decode()}, found {keys[key][-1][:MAX_SHOWN]!r}"
    length, expected = _number(keys, b"length"), _expected_bytes(held)
    if length is None or expected is None or length == expected:
        return None
    shape, dtype = list(held.tensor.dims[:8]), dtype_name(held.tensor.data_type)
    return f"{shape} of {dtype} take {expected} bytes, its external data has {length}"


def _missing(main: str, parts: Iterable[Part]) -> Iterator[Problem]:
    for part in parts:
        if part.outside is not None:
            continue  # whether it is there is not known, and waiting for it would not help
        if part.size is None:
            what_is_wrong = "is the name of a folder" if part.is_folder else "is not there"
            yield Problem(part.path, f"named as external data by {readable(main)} ({part.place}), {what_is_wrong}")
        elif part.size < part.stop:
            found = f"expected at least {part.stop} bytes of external data, found {part.size}"
            yield Problem(part.path, f"{found}; named by {readable(main)} ({part.place})")


def _not_looked_for(main: str, parts: Iterable[Part]) -> Iterator[tuple[str, str]]:
    """Yield why the model is not known to be whole: for the first part that lies outside, since a file has one reason."""
    for part in parts:
        if part.outside is not None:
            yield main, f"external data {_shown(part.location)!r} of {part.place} were not looked for: {part.outside}"
            return


def _outside_findings(main: str, parts: Iterable[Part]) -> Iterator[Finding]:
    for part in parts:
        if part.outside is not None:
            message = f"names external data {_shown(part.location)!r}: {part.outside}; it was not opened"
            yield Finding("onnx-external-data-outside", Severity.HIGH, main, part.place, message)


def _name_findings(main: str, parts: Iterable[Part]) -> Iterator[Finding]:
    for part in parts:
        odd = None if part.outside is not None else odd_name(part.location)
        if odd is not None:
            message = f"names external data {_shown(part.location)!r}, which {odd.reason}"
            yield Finding("onnx-external-data-name", odd.severity, main, part.place, message)
        if part.is_shared:
            message = f"names external data {_shown(part.location)!r}, a file with other names (hard links) outside the path"
            yield Finding("hard-link-outside", Severity.MEDIUM, main, part.place, message)


def _key_findings(main: str, external: Iterable[tuple[Held, Keys]]) -> Iterator[Finding]:
    """Yield one finding for each key that no writer of external data uses, and for keys given twice."""
    told: set[bytes] = set()
    for held, keys in external:
        for key, values in keys.items():
            odd = _odd_key(key, values)
            if odd is not None and key not in told:
                told.add(key)
                yield Finding("onnx-external-data-key", odd.severity, main, held.place, f"external data has {odd.reason}")


def _odd_key(key: bytes, values: list[bytes]) -> Odd | None:
    shown = text(key)[:MAX_SHOWN]
    if key.startswith(b"_"):
        what_for = "which readers have taken for one of their own attributes (CVE-2026-34445)"
        return Odd(Severity.HIGH, f"the key {shown!r}, {what_for}")
    if key not in KNOWN_KEYS:
        return Odd(Severity.LOW, f"the unknown key {shown!r}")
    if len(values) == 1:
        return None
    if len(set(values)) == 1:
        return Odd(Severity.LOW, f"the key {shown!r} {len(values)} times")
    return Odd(Severity.MEDIUM, f"the key {shown!r} {len(values)} times with other values: readers take the first or the last")


def _double_findings(main: str, external: Iterable[tuple[Held, Keys]]) -> Iterator[Finding]:
    """Yield a finding for each tensor whose values stand in the model as well: readers take these or those."""
    for held, _ in external:
        if any(value and descriptor.number in HELD_VALUES for descriptor, value in held.tensor.ListFields()):
            message = "has values in the model and external data as well: readers take the ones or the others"
            yield Finding("onnx-duplicate-field", Severity.MEDIUM, main, held.place, message)


def _details(part: Part) -> dict[str, Any]:
    return {
        "location": _shown(part.location),
        "tensors": len(part.ranges),
        "offset": part.start,
        "length": part.stop - part.start,
        "size": part.size,
        "overlapping": _overlapping(part.ranges),
    }


def _overlapping(ranges: Iterable[tuple[int, int]]) -> int:
    """Return how many ranges begin before an earlier one has ended."""
    count = reached = 0
    for start, stop in sorted(ranges):
        count += start < reached
        reached = max(reached, stop)
    return count


def _shown(location: str) -> str:
    return readable(location)[:MAX_SHOWN]
