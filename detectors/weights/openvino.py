"""OpenVINO models: `NAME.xml` with the graph, and `NAME.bin` beside it with the weights.

In goes the pair, out comes its version, and whether both are whole: the XML must end as it should, and the weights must
reach as far as the XML says. The XML is searched for the few words needed and not parsed: entities and nesting are what
hostile XML is made of. One that was cut off before these words counts where weights lie beside it; by itself it is nobody's.

Source: OpenVINO, docs "IR as a set of XML and BIN files", IR versions 10 and 11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.detection import Contents, Detector
from detectors.facts import (
    Completeness,
    Detection,
    Evidence,
    Extraction,
    ModelFacts,
    ModelType,
    Problem,
    State,
)
from detectors.tree import FileEntry
from detectors.weights.single_file import NAME_NOTE

MAX_XML_BYTES = 32 << 20
"""Of the graph; 1,000 layers take about 1 MB."""

NET = re.compile(rb"""<net\s(?:[^<>]{0,2000}\s)?version\s*=\s*["'](\d{1,4})["']""")
BEGINNING = re.compile(rb"""\s*(?:<(?:\?[^>]*(?:>\s*(?:<(?:n(?:e(?:t(?:\s[^<>]*)?)?)?)?)?)?|n(?:e(?:t(?:\s[^<>]*)?)?)?)?)?""")
"""What may stand in a graph that ends before the version of `<net>` does."""

DATA = re.compile(rb"<data\s([^<>]{0,2000})>")
NUMBER = re.compile(rb"""\s(offset|size)\s*=\s*["'](\d{1,18})["']""")


def _match(contents: Contents) -> Iterator[Detection]:
    for entry in contents.free():
        if not entry.path.endswith(".xml") or (saw := _mark(contents, entry)) is None:
            continue
        weights = _weights_of(entry.path)
        files = (weights, entry.path) if contents.is_free(weights) else (entry.path,)
        yield Detection("openvino", ModelType.CUSTOM, entry.path, entry.path, (saw,), files)


def _mark(contents: Contents, entry: FileEntry) -> Evidence | None:
    """Return what shows that an XML file is a graph, or the beginning of one beside its weights; None where nothing does."""
    head = contents.head(entry)
    if found := NET.search(head):
        return Evidence(entry.path, found.start(), f"<net> of IR version {int(found[1])}")
    if len(head) == entry.size and contents.is_free(_weights_of(entry.path)) and BEGINNING.fullmatch(head):
        return Evidence(entry.path, 0, "the beginning of a graph, beside weights")
    return None


def _extract(contents: Contents, detection: Detection) -> Extraction:
    """Return the IR version and whether both files are whole. Reads the XML; of the weights only their length counts.

    Raises:
        ModelLimit: the XML is larger than `MAX_XML_BYTES`.
    """
    entry = contents.find(detection.main)
    assert entry is not None
    xml = contents.read_whole(entry, "MAX_XML_BYTES", MAX_XML_BYTES)
    version = NET.search(xml)
    weights = contents.find(_weights_of(entry.path))
    present = weights.size if weights is not None else None
    facts = ModelFacts(
        size_bytes=entry.size + (present or 0),
        details={"note": NAME_NOTE, "ir_version": int(version[1]) if version else None},
    )
    problems = tuple(_problems(entry.path, xml, present))
    return Extraction(facts, Completeness(State.INCOMPLETE, problems) if problems else Completeness())


def _problems(path: str, xml: bytes, present: int | None) -> Iterator[Problem]:
    """Yield what is missing, given the XML and how many bytes of weights there are, None without a file of them."""
    if not xml.rstrip().endswith(b"</net>"):
        yield Problem(path, "expected </net> at the end, found something else")
    needed = _needed_bytes(xml)
    if needed and present is None:
        yield Problem(_weights_of(path), "the weights are not there")
    elif present is not None and present < needed:
        yield Problem(_weights_of(path), f"the graph needs {needed} bytes of weights, the file holds {present}")


def _needed_bytes(xml: bytes) -> int:
    """Return how far into the weights the constants of the graph reach."""
    needed = 0
    for data in DATA.finditer(xml):
        numbers = {name: int(digits) for name, digits in NUMBER.findall(b" " + data[1])}
        if len(numbers) == 2:
            needed = max(needed, numbers[b"offset"] + numbers[b"size"])
    return needed


def _weights_of(path: str) -> str:
    return path[: -len(".xml")] + ".bin"


DETECTOR = Detector("openvino", _match, _extract)
