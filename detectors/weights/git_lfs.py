"""Git LFS pointers: three lines of text that stand where a model should be.

In goes the file, out come the digest and the size of what was not fetched. Such a model is incomplete: fetching it makes it
whole.

    version https://git-lfs.github.com/spec/v1
    oid sha256:<64 hexadecimal digits>
    size <bytes>

Source: git-lfs, docs/spec.md, "The Pointer".
"""

from __future__ import annotations

import re

from detectors.detection import LFS_POINTER, suffix
from detectors.facts import Completeness, Extraction, ModelFacts, Problem, State
from detectors.tree import FileEntry
from detectors.weights.single_file import FileFormat, piece
from detectors.wire import Window

START = LFS_POINTER + b"/v1\n"

FIRST_WORD = b"version "

MAX_POINTER_BYTES = 1024
"""Source: the same document, "less than 1024 bytes"."""

POINTER_NOTE = "a pointer to a file that is not here"

FORMAT_OF_SUFFIX = {
    ".onnx": "onnx", ".pb": "tensorflow", ".pbtxt": "tensorflow", ".ckpt": "tensorflow_checkpoint", ".keras": "keras",
    ".h5": "keras", ".hdf5": "keras", ".tflite": "tflite", ".ort": "ort", ".safetensors": "safetensors", ".gguf": "gguf",
    ".pt": "pytorch", ".pth": "pytorch", ".bin": "pytorch", ".pt2": "pytorch", ".pkl": "pickle", ".pickle": "pickle",
    ".joblib": "pickle", ".mlmodel": "coreml", ".xml": "openvino",
}  # fmt: skip

OID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
SIZE = re.compile(rb"^size (\d{1,18})$", re.MULTILINE)


def recognise(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of a pointer in place of a model; pointers to other files are nobody's business."""
    if not head.startswith(START) or entry.size >= MAX_POINTER_BYTES or suffix(entry.path) not in FORMAT_OF_SUFFIX:
        return None
    return "a Git LFS pointer"


def may_begin(window: Window) -> bool:
    """Tell whether a short file is the beginning of a pointer, as far as the word that says so."""
    return window.size >= len(FIRST_WORD) and START.startswith(window.bytes(0, window.size))


def read(window: Window) -> Extraction:
    """Return the digest and size that the pointer names, None where it lacks them. Reads the file, below 1 KB."""
    text = piece(window, 0, min(window.size, MAX_POINTER_BYTES))
    oid, size = OID.search(text), SIZE.search(text)
    details = {
        "note": POINTER_NOTE,
        "format_by_suffix": FORMAT_OF_SUFFIX.get(suffix(window.path)),
        "oid": f"sha256:{oid[1].decode()}" if oid else None,
        "size": int(size[1]) if size else None,
    }
    problem = Problem(window.path, "the file is a Git LFS pointer, the content was not fetched")
    return Extraction(ModelFacts(details=details), Completeness(State.INCOMPLETE, (problem,)))


FORMAT = FileFormat("git_lfs_pointer", recognise, read, frozenset(FORMAT_OF_SUFFIX), may_begin)
