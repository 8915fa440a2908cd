"""The files that a SavedModel's graph names as its assets.

Loaders take them from the field `asset_file_def`, and where that is empty from a collection, into which TensorFlow 1 writes
them (tensorflow/python/saved_model/loader_impl.py, get_asset_tensors). Here both count.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from detectors.protos.tensorflow_pb2 import AssetFileDef, MetaGraphDef

COLLECTION = b"saved_model_assets"
"""tensorflow/python/saved_model/constants.py, ASSETS_KEY; of `Any`, each an AssetFileDef."""


def asset_files(meta: MetaGraphDef) -> list[AssetFileDef]:
    """Return the assets of *meta*; what is none in the collection is left out."""
    packed = [one.value for entry in meta.collection_def if entry.key == COLLECTION for one in entry.value.any_list.value]
    return [*meta.asset_file_def, *(found for value in packed if (found := _parsed(value)) is not None)]


def _parsed(value: bytes) -> AssetFileDef | None:
    try:
        return AssetFileDef.FromString(value)
    except DecodeError:
        return None
