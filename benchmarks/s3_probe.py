"""`python -m benchmarks.s3_probe NAME PLACE FOLDER`: one piece of work between object storage and this disk, and its cost.

As `benchmarks.probe`, with an `s3://` URL and a folder: an empty one to download to, or the one that goes up. The address of
the server is in `AWS_ENDPOINT_URL`, for both sides alike. boto3 is imported before the work, and its client made in the work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from benchmarks.probe import Work, expect, tell_cost
from worker.s3_url import S3Url, parse_s3


def scan(place: S3Url, folder: Path) -> Work:
    """Our scan of a prefix, which reads ranges; nothing is written to *folder*."""
    import boto3  # noqa: F401 - ours imports it as late as in the work

    from detectors.scan import scan
    from worker.storage.s3.client import S3Connection
    from worker.storage.s3.open import open_s3

    def work() -> object:
        with open_s3(S3Connection(os.environ["AWS_ENDPOINT_URL"]), place) as tree:
            return expect(scan(tree).models, f"no model in {place}")

    return work


def onnx_load(place: S3Url, folder: Path) -> Work:
    """Download and the onnx library."""
    import onnx

    download = _download(place, folder)

    def work() -> object:
        download()
        return onnx.load(folder / "model.onnx").graph.node[0]

    return work


def tensorflow_load(place: S3Url, folder: Path) -> Work:
    """Download and TensorFlow's way to the signatures of a SavedModel."""
    import tensorflow as tf

    download = _download(place, folder)

    def work() -> object:
        download()
        return tf.saved_model.load(str(folder)).signatures["serving_default"]

    return work


def tensorflow_checkpoint(place: S3Url, folder: Path) -> Work:
    """Download and TensorFlow's way to the shapes of a checkpoint."""
    import tensorflow as tf

    download = _download(place, folder)

    def work() -> object:
        download()
        shapes = tf.train.load_checkpoint(str(folder / "model.ckpt")).get_variable_to_shape_map()
        return expect(shapes, f"no variable in {place}")

    return work


def _download(place: S3Url, folder: Path) -> Callable[[], None]:
    """Return what downloads all objects below *place*, each with boto3's own parts and threads."""
    import boto3

    def download() -> None:
        client = boto3.client("s3")
        for one in client.list_objects_v2(Bucket=place.bucket, Prefix=f"{place.key}/")["Contents"]:
            target = folder / one["Key"].removeprefix(f"{place.key}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(place.bucket, one["Key"], str(target))

    return download


def store(place: S3Url, folder: Path) -> Work:
    """Our copy: each byte read once, hashed, sent, and checked against what the server took."""
    import boto3  # noqa: F401 - ours imports it as late as in the work

    from detectors.local_tree import LocalTree
    from worker.manifest import read_once
    from worker.records import StoreKey
    from worker.storage.s3.client import S3Connection
    from worker.storage.s3.store import S3Store

    def work() -> object:
        target = S3Store(S3Connection(os.environ["AWS_ENDPOINT_URL"]), place)
        with LocalTree(folder) as tree, target.writing(StoreKey("bench", "bench", None, "mobench")) as open_sink:
            manifest, _ = read_once(tree, tree.files(), open_sink, lambda entry: None, lambda count: None)
        return expect(manifest.files, f"no file in {folder}")

    return work


def upload_file(place: S3Url, folder: Path) -> Work:
    """boto3's own upload of each file, as it comes."""
    import boto3

    def work() -> object:
        client = boto3.client("s3")
        files = [path for path in folder.rglob("*") if path.is_file()]
        for path in files:
            client.upload_file(str(path), place.bucket, f"{place.key}/{path.relative_to(folder)}")
        return expect(files, f"no file in {folder}")

    return work


PROBES: Mapping[str, Callable[[S3Url, Path], Work]] = MappingProxyType(
    {probe.__name__: probe for probe in (scan, onnx_load, tensorflow_load, tensorflow_checkpoint, store, upload_file)}
)


def main(name: str, place: str, folder: str) -> None:
    """Print what the work of the probe *name* between *place* and *folder* cost."""
    tell_cost(PROBES[name](parse_s3(place), Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
