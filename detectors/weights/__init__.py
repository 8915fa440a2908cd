"""Formats that are told by name, or by a short header: everything but TensorFlow and ONNX.

In goes a tree, out come detections of the type Custom with their format named, and proof that the files are whole where
their end can be proven cheaply. Nothing is unpickled, parsed as YAML or XML, or unpacked beyond two small JSON members.

    format            recognised by                                           its end is proven by
    mlflow            MLmodel with flavors                                    the files that the flavors name
    coreml            .mlpackage with a manifest; .mlmodel                    the parts named; the fields at the top
    openvino          .xml with <net version>                                 </net>, and length of the .bin beside it
    huggingface       config.json and weights, or an index                    shards of the index, headers of the weights
    git_lfs_pointer   the words of a pointer, the suffix of a model           never whole
    tflite, ort       letters TFL3, ORTM                                      a walk over tensors and buffers
    gguf              letters GGUF                                            end of the last tensor
    safetensors       length of the header, then JSON                         the tensors fill the file
    keras             zip with metadata.json and config.json; marked HDF5     the zip's directory; the superblock
    pytorch           zip with data.pkl; magic number of the old format       the zip's directory; not proven
    pickle            protocol 2 to 5, or joblib's compression, and a suffix  its last byte; not proven

A file that ends before its own figures say is `incomplete`, since a copy that still runs looks the same; so is one that ends
before anything of it shows, where its suffix is of models alone. Figures that contradict each other are `corrupt`. Where
nothing proves the end, `details` says `completeness_checked: false`. Files that are shards of one set by their names are one
model. A format by itself is no finding; `details["note"]` says how little was opened.

Laws (each has a test of the same name):
    any bytes give facts or a DetectorError;
    a file that was cut off is never complete where its end can be proven;
    a file that was cut off is never passed over where its suffix tells what it was;
    reading does not grow with the weights.
"""

from __future__ import annotations

from detectors.detection import Detector
from detectors.weights import coreml, gguf, git_lfs, huggingface, keras, mlflow, openvino, ort, pytorch, safetensors, tflite
from detectors.weights.single_file import FileFormat, single_files

FORMATS: tuple[FileFormat, ...] = (
    git_lfs.FORMAT,
    tflite.FORMAT,
    ort.FORMAT,
    gguf.FORMAT,
    safetensors.FORMAT,
    *keras.FORMATS,
    *pytorch.FORMATS,
    coreml.FORMAT,
)
"""Formats of one file, the unmistakable ones first."""

DETECTORS: tuple[Detector, ...] = (
    mlflow.DETECTOR,
    coreml.PACKAGES,
    openvino.DETECTOR,
    huggingface.detector(FORMATS),
    single_files("weights", FORMATS),
)
"""Folders before files, so that a folder's files are not models of their own."""
