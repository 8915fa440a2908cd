"""Runs whose model is of no format we know: the sender says so, or left `gradient-model-metadata.json`.

The whole tree is then one Custom model. Nothing is said of its parts but their sizes.
"""

from __future__ import annotations

from collections.abc import Iterator

from detectors.detection import Contents, Detector
from detectors.facts import Detection, Evidence, Extraction, ModelFacts, ModelType

METADATA_NAME = "gradient-model-metadata.json"


def match(contents: Contents) -> Iterator[Detection]:
    """Yield the tree as one Custom model where it holds the metadata file and nothing else was recognised."""
    if contents.find(METADATA_NAME) and not contents.has_taken:
        yield _whole_tree(contents, Evidence(METADATA_NAME, 0, "custom metadata of a run, and no format that is known"))


def match_declared(contents: Contents) -> Iterator[Detection]:
    """Yield the tree as one Custom model where the sender declared it so and nothing else was recognised."""
    if contents.entries and not contents.has_taken:
        yield _whole_tree(contents, Evidence(contents.entries[0].path, 0, "files of a model declared as Custom"))


def extract(contents: Contents, detection: Detection) -> Extraction:
    """Return the sizes; nothing is read."""
    return Extraction(ModelFacts(size_bytes=sum(entry.size for entry in contents.entries)))


def _whole_tree(contents: Contents, evidence: Evidence) -> Detection:
    files = tuple(entry.path for entry in contents.entries)
    return Detection("custom", ModelType.CUSTOM, "", evidence.path, (evidence,), files)


DETECTOR = Detector("custom", match, extract)
DECLARED = Detector("custom", match_declared, extract)
