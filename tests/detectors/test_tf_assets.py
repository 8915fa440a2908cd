"""Assets that a SavedModel names, in its own field and in the collection of TensorFlow 1."""

from __future__ import annotations

from detectors.facts import State
from detectors.protos.tensorflow_pb2 import MetaGraphDef
from detectors.scan import Scan, scan
from detectors.tf_assets import asset_files
from detectors.tree import MemoryTree
from tests.builders import saved_model as sm


def collected(*values: bytes) -> bytes:
    packed = b"".join(
        sm.field(1, sm.field(1, "type.googleapis.com/tensorflow.AssetFileDef") + sm.field(2, one)) for one in values
    )
    return sm.entry(4, "saved_model_assets", sm.field(5, packed))


def look(more: bytes, **files: bytes) -> Scan:
    return scan(MemoryTree({"saved_model.pb": sm.saved_model(sm.meta_graph(more=more)), **files}))


def test_assets_of_the_field_and_of_the_collection_are_named() -> None:
    more = sm.asset("a.txt") + collected(sm.asset_file("b.txt"), b"\xff")
    found = asset_files(MetaGraphDef.FromString(sm.meta_graph(more=more)))
    assert [one.filename for one in found] == [b"a.txt", b"b.txt"]


def test_an_asset_of_the_collection_that_is_missing_makes_the_model_incomplete() -> None:
    [model] = look(collected(sm.asset_file("b.txt"))).models
    assert model.extraction.completeness.state is State.INCOMPLETE
    [model] = look(collected(sm.asset_file("b.txt")), **{"assets/b.txt": b""}).models
    assert model.extraction.completeness.state is State.COMPLETE


def test_an_asset_of_the_collection_that_leads_outside_is_told() -> None:
    for name in (b"../x", b"/x", b"x\0y"):
        [finding] = look(collected(sm.asset_file(name))).findings
        assert finding.rule == "tf-asset-outside"
