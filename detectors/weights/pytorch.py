"""PyTorch files and pickles: both may run code when they are loaded, and neither is loaded, or unpickled, here.

In goes the file, out comes the name of the format, for PyTorch's zip also how many tensors it stores in how many bytes.
A zip proves its end; a pickle only shows that its last byte is the opcode that ends one.

Source: pytorch/caffe2/serialize/inline_container.h, "ZIP-based serialization"; Python's pickletools.
"""

from __future__ import annotations

from collections.abc import Iterable

from detectors.detection import suffix
from detectors.errors import MalformedModel
from detectors.executables.pickles import End, walk
from detectors.facts import Completeness, Extraction, ModelFacts, Problem, State
from detectors.tree import FileEntry, MemoryTree
from detectors.weights.single_file import LISTED_NOTE, FileFormat, end_not_proven, number, piece
from detectors.wire import Window
from detectors.zips import LOCAL_MAGIC, entries_of

LEGACY_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")
"""The pickled number that began every file before PyTorch 1.6. Source: torch/serialization.py, MAGIC_NUMBER."""

TOP_MEMBERS = frozenset(
    "data.pkl data code extra constants constants.pkl version byteorder .data .format_version .storage_alignment"
    " archive_format archive_version models".split()
)
"""What stands right below the one folder of such a zip."""

PICKLE_SUFFIXES = frozenset(".pkl .pickle .joblib .sav .pt .pth .bin .ckpt .model .p".split())

ZIPS_ALONE = frozenset({".pt", ".pth", ".pt2"})

JOBLIB_COMPRESSION = {
    b"\x78": "zlib", b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"\x04\x22\x4d\x18": "lz4"
}  # fmt: skip
"""First bytes of what joblib compresses with."""

PICKLES_OF_OLD = frozenset({".pkl", ".pickle", ".joblib", ".sav"})
"""Those of them that are worth walking over opcodes for."""

MAX_HEAD_OPCODES = 5_000

PROTOCOLS = frozenset(bytes([0x80, protocol]) for protocol in range(2, 6))
"""First bytes of a pickle; protocols 0 and 1 begin with anything."""

STOP = b"."

NAME_START = 30
"""Where the name of a zip's first member starts. Source: APPNOTE.TXT 6.3.10, section 4.3.7."""


def recognise_zip(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of PyTorch's zip: the name of its first member."""
    name_bytes = int.from_bytes(head[26:28], "little")
    folder, _, rest = head[NAME_START : NAME_START + name_bytes].decode("utf-8", "replace").partition("/")
    if head[:4] != LOCAL_MAGIC or not folder or rest.split("/")[0] not in TOP_MEMBERS:
        return None
    return f"a zip that begins with {folder}/{rest}"


def may_begin_zip(window: Window) -> bool:
    """Tell whether a short file is a zip that was cut off before the name of its first member ends.

    What others use its suffix for, too, must show at least that it is a zip.
    """
    opening = window.bytes(0, min(window.size, len(LOCAL_MAGIC)))
    if not (opening == LOCAL_MAGIC or (suffix(window.path) in ZIPS_ALONE and LOCAL_MAGIC.startswith(opening))):
        return False
    return window.size < NAME_START or window.size < NAME_START + number(window, NAME_START - 4, 2)


def read_zip(window: Window) -> Extraction:
    """Return what kind of file it is, and how many tensors it stores. Reads the zip's directory.

    Raises:
        AmbiguousZip, ClosedZip, CutOffZip: as `entries_of`.
        MalformedModel: it has neither pickled data nor an exported program.
    """
    members = entries_of(window)
    names = [member.name.partition("/")[2] for member in members]
    kind = _kind(names)
    if kind is None:
        raise MalformedModel(window.path, None, "expected data.pkl or an exported program in the zip, found neither")
    stored = [member.size for member, name in zip(members, names, strict=True) if _is_storage(name)]
    details = {"note": LISTED_NOTE, "kind": kind, "storages": len(stored), "storage_bytes": sum(stored)}
    return Extraction(ModelFacts(details=details))


def _kind(names: Iterable[str]) -> str | None:
    """Return which of PyTorch's formats has members of these *names*, None for none of them."""
    tops = {name.partition("/")[0] for name in names}
    if "archive_format" in tops or "models" in tops:
        return "exported program"
    if "data.pkl" not in tops:
        return None
    return "torchscript" if "code" in tops else "state"


def _is_storage(name: str) -> bool:
    folder, _, rest = name.rpartition("/")
    return rest.isdigit() and folder in ("data", "constants", "tensors")


def recognise_legacy(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of a PyTorch file from before 1.6."""
    return "the magic number of PyTorch's old format" if head.startswith(LEGACY_MAGIC) else None


def read_legacy(window: Window) -> Extraction:
    """Return the name only: the tensors follow the pickles, and only these say how long they are."""
    return end_not_proven(kind="legacy")


def recognise_pickle(entry: FileEntry, head: bytes) -> str | None:
    """Return what was seen of a pickle, or of joblib's compression. The suffix must say so, too.

    Protocols 0 and 1 have no magic number: the opcodes in the head must make sense as far as it goes.
    """
    if suffix(entry.path) == ".joblib" and (packed := _compression(head)):
        return f"the suffix .joblib on {packed}"
    if suffix(entry.path) in PICKLE_SUFFIXES and head[:2] in PROTOCOLS:
        return f"a pickle of protocol {head[1]}"
    if suffix(entry.path) in PICKLES_OF_OLD and head and _is_old(entry, head):
        return "a pickle of protocol 0 or 1"
    return None


def _is_old(entry: FileEntry, head: bytes) -> bool:
    """Tell whether the head of a file is that of a pickle without a magic number: it ends well, or not before the head does."""
    found = walk(Window(MemoryTree({entry.path: head}), entry.path, len(head)), 0, MAX_HEAD_OPCODES)
    return found.end is not End.BROKEN and (found.end is End.STOPPED or len(head) < entry.size) and found.opcodes > 1


def may_begin_pickle(window: Window) -> bool:
    """Tell whether a short file was cut off before what a pickle, or a compression of joblib, begins with."""
    head = window.bytes(0, min(window.size, 6))
    packed = suffix(window.path) == ".joblib" and any(magic.startswith(head) for magic in JOBLIB_COMPRESSION)
    return packed or any(magic.startswith(head) for magic in PROTOCOLS)


def read_pickle(window: Window) -> Extraction:
    """Return the protocol or the compression. Reads the first bytes and the last one.

    Raises:
        EndsEarly: the file is shorter than two bytes.
    """
    head = piece(window, 0, max(2, min(6, window.size)))
    if packed := _compression(head):
        return end_not_proven(kind="joblib", compression=packed)
    found = end_not_proven(protocol=head[1]) if head[:2] in PROTOCOLS else end_not_proven()
    if piece(window, window.size - 1, 1) == STOP:
        return found
    problem = Problem(window.path, "expected the opcode that ends a pickle as the last byte, found another")
    return Extraction(found.facts, Completeness(State.INCOMPLETE, (problem,)))


def _compression(head: bytes) -> str | None:
    return next((name for magic, name in JOBLIB_COMPRESSION.items() if head.startswith(magic)), None)


ZIP = FileFormat("pytorch", recognise_zip, read_zip, ZIPS_ALONE | {".bin", ".ckpt"}, may_begin_zip)
FORMATS = (
    ZIP,
    FileFormat("pytorch", recognise_legacy, read_legacy),
    FileFormat(
        "pickle", recognise_pickle, read_pickle, frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth"}), may_begin_pickle
    ),
)
