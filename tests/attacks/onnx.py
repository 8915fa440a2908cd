"""External data of ONNX models: every place where a tensor can stand, every way to name a file, every fault in what is said.

Each case is one model that should not pass in silence, in a folder of its own. Beside the folders lie the files that the names
lead to: whoever follows one reads `MARKER`.

    for case in cases(str(above)):
        write(above, case)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from detectors.facts import Severity
from tests.builders import onnx as build

MARKER = b"what lies outside stays "
"""24 bytes: all that the tensor of a case takes."""

WHOLE, SHORT, GONE, LINKED = "whole.bin", "short.bin", "gone.bin", "linked.bin"
OUTSIDE = {WHOLE: MARKER, SHORT: MARKER[:-1], f"{LINKED}.{WHOLE}": bytes(24), f"{LINKED}.{SHORT}": bytes(23)}
"""Files beside the folders of the cases. Those with `LINKED` are given a second name inside, so their bytes belong to both."""

MAIN = "m.onnx"


@dataclass(frozen=True, slots=True)
class SymbolicLink:
    """A file of a case that is a link to *target*, relative to its folder."""

    target: str


@dataclass(frozen=True, slots=True)
class HardLink:
    """A file of a case that is another name of the file *target*, relative to its folder."""

    target: str


Files = Mapping[str, bytes | SymbolicLink | HardLink]


class Told(NamedTuple):
    """A finding that a case must give, at the place of its tensor."""

    rule: str
    severity: Severity


class Position(NamedTuple):
    """Where a model can hold a tensor: what puts one there, and the place that a finding names."""

    model_with: Callable[[bytes], bytes]
    place: str


class Form(NamedTuple):
    """A way to name the file *name*, which lies *above* (an absolute path) the folder of the model, or inside.

    inside tells what there is in the folder under that name if the file is there: its bytes in most cases.
    """

    location: Callable[[str, str], str]
    told: Told | None
    inside: Callable[[str, bytes], Files] = lambda name, data: {}


class Fault(NamedTuple):
    """What else is wrong: the file that is named, and what the keys after the location say."""

    name: str
    told: Told | None
    keys: tuple[tuple[str, str], ...] = (("offset", "0"), ("length", "24"))


@dataclass(frozen=True, slots=True)
class Case:
    """A hostile model with all its files. *told* are the findings that it must give at *place*; is_complete tells whether
    nothing else may be said of it."""

    name: str
    position: str
    form: str
    fault: str
    files: Files
    place: str
    told: tuple[Told, ...]
    is_complete: bool


def branching(body: bytes, op_type: str = "If", name: str = "then_branch") -> bytes:
    return build.small_graph(nodes=[build.node(op_type, [build.attribute(name, g=body)])])


def holding(tensor: bytes) -> bytes:
    return build.small_graph(initializers=[tensor])


def nested(tensor: bytes) -> bytes:
    return branching(branching(branching(holding(tensor), "Scan", "body"), "Loop", "body"))


def with_attribute(**carried: bytes) -> bytes:
    return build.small_graph(nodes=[build.node("Constant", [build.attribute("value", **carried)])])


def function(**parts: bytes) -> bytes:
    body = build.field(1, "f") + build.field(9, build.opset()) + build.field(10, "own")
    numbers = {"node": 7, "attribute_proto": 11}
    return build.field(25, body + b"".join(build.field(numbers[part], data) for part, data in parts.items()))


def training(number: int, tensor: bytes) -> bytes:
    return build.field(20, build.field(number, holding(tensor)))


OTHER = build.tensor("o", [6], build.INT64, bytes(48))


def sparse_values(tensor: bytes) -> bytes:
    return build.sparse(tensor, OTHER, [9])


def sparse_indices(tensor: bytes) -> bytes:
    return build.sparse(build.tensor("o"), tensor, [9])


POSITIONS = {
    "initializer": Position(lambda tensor: build.model(holding(tensor)), "graph → initializer w"),
    "sparse values": Position(
        lambda tensor: build.model(build.small_graph(more=build.field(15, sparse_values(tensor)))),
        "graph → sparse_initializer → values w",
    ),
    "sparse indices": Position(
        lambda tensor: build.model(build.small_graph(more=build.field(15, sparse_indices(tensor)))),
        "graph → sparse_initializer → indices w",
    ),
    "attribute t": Position(
        lambda tensor: build.model(with_attribute(t=tensor)), "graph → node Constant → attribute t → tensor w"
    ),
    "attribute tensors": Position(
        lambda tensor: build.model(with_attribute(tensors=tensor)), "graph → node Constant → attribute tensors → tensor w"
    ),
    "attribute sparse_tensor": Position(
        lambda tensor: build.model(with_attribute(sparse_tensor=sparse_values(tensor))),
        "graph → node Constant → attribute sparse_tensor → values w",
    ),
    "attribute sparse_tensors": Position(
        lambda tensor: build.model(with_attribute(sparse_tensors=sparse_indices(tensor))),
        "graph → node Constant → attribute sparse_tensors → indices w",
    ),
    "attribute g": Position(
        lambda tensor: build.model(branching(holding(tensor))), "graph → node If → attribute g → initializer w"
    ),
    "attribute graphs": Position(
        lambda tensor: build.model(with_attribute(graphs=holding(tensor))),
        "graph → node Constant → attribute graphs → initializer w",
    ),
    "nested bodies": Position(
        lambda tensor: build.model(nested(tensor)),
        "graph → node If → attribute g → node Loop → attribute g → node Scan → attribute g → initializer w",
    ),
    "function node": Position(
        lambda tensor: build.model(more=function(node=build.node("Constant", [build.attribute("value", t=tensor)]))),
        "function f → node Constant → attribute t → tensor w",
    ),
    "function default": Position(
        lambda tensor: build.model(more=function(attribute_proto=build.attribute("value", t=tensor))),
        "function f → default → attribute t → tensor w",
    ),
    "training initialization": Position(
        lambda tensor: build.model(more=training(1, tensor)), "training initialization → initializer w"
    ),
    "training algorithm": Position(
        lambda tensor: build.model(more=training(2, tensor)), "training algorithm → initializer w"
    ),
}  # fmt: skip

LEADS_OUTSIDE = Told("onnx-external-data-outside", Severity.HIGH)
MAY_LEAD_OUTSIDE = Told("onnx-external-data-name", Severity.MEDIUM)
ODD = Told("onnx-external-data-name", Severity.LOW)
HARD_LINK = Told("hard-link-outside", Severity.MEDIUM)


def literally(location: Callable[[str], str], told: Told | None) -> Form:
    """Return the form whose name is also that of a file in the folder, to the letter."""
    return Form(lambda above, name: location(name), told, lambda name, data: {location(name): data})


FORMS = {
    "parent": Form(lambda above, name: f"../{name}", LEADS_OUTSIDE),
    "parent after a folder": Form(lambda above, name: f"a/../../{name}", LEADS_OUTSIDE),
    "absolute": Form(lambda above, name: f"{above}/{name}", LEADS_OUTSIDE),
    "file URL": Form(lambda above, name: f"file://{above}/{name}", LEADS_OUTSIDE),
    "http URL": Form(lambda above, name: f"http://127.0.0.1:9/{name}", LEADS_OUTSIDE),
    "backslash": Form(lambda above, name: f"..\\{name}", LEADS_OUTSIDE),
    "drive": Form(lambda above, name: f"C:\\{name}", LEADS_OUTSIDE),
    "share": Form(lambda above, name: f"\\\\host\\share\\{name}", LEADS_OUTSIDE),
    "NUL": Form(lambda above, name: f"{name}\0.txt", LEADS_OUTSIDE),
    "very long": Form(lambda above, name: "a/" * 5000 + name, LEADS_OUTSIDE),
    "empty": Form(lambda above, name: "", LEADS_OUTSIDE),
    "dot": Form(lambda above, name: ".", LEADS_OUTSIDE),
    "process": Form(lambda above, name: "/proc/self/environ", LEADS_OUTSIDE),
    "symbolic link": Form(
        lambda above, name: "link.bin", LEADS_OUTSIDE, lambda name, data: {"link.bin": SymbolicLink(f"../{name}")}
    ),
    "hard link": Form(
        lambda above, name: "hard.bin", HARD_LINK, lambda name, data: {"hard.bin": HardLink(f"../{LINKED}.{name}")}
    ),
    "slash at the end": Form(lambda above, name: f"{name}/", None, lambda name, data: {name: data}),
    "folder": Form(lambda above, name: name, None, lambda name, data: {f"{name}/inside": data}),
    "percent": literally(lambda name: f"%2e%2e/{name}", MAY_LEAD_OUTSIDE),
    "look-alike": literally(lambda name: f"\u2024\u2024/{name}", MAY_LEAD_OUTSIDE),
    "home": literally(lambda name: f"~/{name}", MAY_LEAD_OUTSIDE),
    "spaces": literally(lambda name: f" {name} ", ODD),
    "newline": literally(lambda name: f"a\n{name}", ODD),
    "not UTF-8": literally(lambda name: f"\udcff{name}", ODD),
}

FAULTS = {
    "missing": Fault(GONE, None),
    "short": Fault(SHORT, None),
    "negative offset": Fault(WHOLE, None, (("offset", "-24"), ("length", "24"))),
    "huge length": Fault(WHOLE, None, (("offset", "0"), ("length", str(2**62)))),
    "duplicate key": Fault(
        WHOLE, Told("onnx-external-data-key", Severity.MEDIUM), (("offset", "9"), ("offset", "0"), ("length", "24"))
    ),
    "unknown key": Fault(WHOLE, Told("onnx-external-data-key", Severity.LOW), (("length", "24"), ("colour", "red"))),
    "dunder key": Fault(WHOLE, Told("onnx-external-data-key", Severity.HIGH), (("length", "24"), ("__class__", "x"))),
}

CONTRADICTORY = ("negative offset", "huge length")
"""Faults that are told whether the file is looked for or not."""

NEVER_THERE = ("slash at the end", "folder")
"""Forms that name no file, without leading outside."""


def cases(above: str) -> Iterator[Case]:
    """Yield every position with every form of a name and every fault; *above* is the folder that theirs will lie in."""
    for position in POSITIONS:
        yield from cases_at(position, above)


def cases_at(position: str, above: str) -> Iterator[Case]:
    """Yield the cases of one position."""
    for form in FORMS:
        for fault in FAULTS:
            yield case(position, form, fault, above)


def case(position: str, form: str, fault: str, above: str) -> Case:
    """Return one case."""
    held, named, wrong = POSITIONS[position], FORMS[form], FAULTS[fault]
    location = os.fsencode(named.location(above, wrong.name))
    tensor = build.tensor(raw=None, more=build.external(("location", location), *wrong.keys))
    is_there = wrong.name != GONE or form == "symbolic link"
    inside = named.inside(wrong.name, bytes(23 if wrong.name == SHORT else 24)) if is_there else {}
    is_sound = fault not in CONTRADICTORY if named.told is LEADS_OUTSIDE else wrong.told is not None
    told = [named.told if is_there or named.told is not HARD_LINK else None, wrong.told]
    return Case(
        name=f"{position}, {form}, {fault}",
        position=position,
        form=form,
        fault=fault,
        files={MAIN: held.model_with(tensor), **inside},
        place=held.place,
        told=tuple(one for one in told if one is not None),
        is_complete=is_sound and form not in NEVER_THERE,
    )


def honest_files(position: str) -> Files:
    """Return a model of the same kind with nothing wrong."""
    tensor = build.external_tensor(location="data/w.bin", offset="0", length="24")
    return {MAIN: POSITIONS[position].model_with(tensor), "data/w.bin": bytes(24)}


def write_outside(above: Path) -> None:
    """Write what lies beside the folders of the cases."""
    for name, data in OUTSIDE.items():
        (above / name).write_bytes(data)


def write(above: Path, name: str, files: Files) -> Path:
    """Write the *files* of a case into the folder *name* and return it."""
    folder = above / name
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif isinstance(content, SymbolicLink):
            file.symlink_to(content.target)
        else:
            file.hardlink_to(folder / content.target)
    return folder
