"""Content that runs, or may run when it is loaded, found by its bytes under any name: pickles, programs, byte code, scripts.

In goes a tree and which of its files belong to models; out come findings, files that nobody looked into, and notes. Names of
files only tell whether content is what it seems: a pickle called `.pt` is a habit, one called `.onnx` is an attack. Of each
file the head is read, of pickles the opcodes, of zips and tars the heads of what lies in them, of compressed files the
beginning. Nothing is unpickled, imported or run, and what runs is never called clean: a pickle counts as looked at only where
all that it imports is known to put data together.

    what                        its name says so                       its name says nothing       its name says something else
    a pickle that runs code     critical                               critical                    critical
    another pickle              low (data), medium; unknown: unlooked  medium, unlooked            high
    compiled code               in a model medium                      in a model medium, info     high
    a script                    in a model low                         in a model low, info        medium
    nobody knows what           unlooked                               nothing                     unlooked, of a model's format

The last line is about files that begin as nothing that is known here, such as a pickle behind some zeros. No loader unpickles
at such a place unless it is told to; under a name of pickles or of weights it may be, and nobody has looked at what it holds.
Under another name such a file is data like any other.

Laws (each has a test of the same name):
    a pickle under any name is never clean;
    the order of listing never matters;
    nothing that was found is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from detectors.detection import HEAD_BYTES, LFS_POINTER, NEVER_MODELS, Contents, suffix
from detectors.errors import ModelError, ModelLimit, Unreadable
from detectors.executables.containers import MAX_UNPACKED_BYTES, PACKED_BYTES, UNPACKING, TarTree, unpacked
from detectors.executables.kinds import (
    BZIP,
    LZMA,
    NUMPY,
    R_DATA,
    SCRIPT,
    TAR,
    XZ,
    ZIP,
    Kind,
    is_promised,
    kind_of,
    promises_another,
)
from detectors.executables.names import Grade, grade
from detectors.executables.numpy_files import read_header
from detectors.executables.pickles import MAX_OPCODES, End, Pickle, walk
from detectors.executables.torchscript import MAX_ALL_SOURCE_BYTES, MAX_SOURCE_BYTES, touching
from detectors.facts import Finding, Note, Severity
from detectors.tree import FileEntry, FileTree, MemoryTree
from detectors.wire import Window
from detectors.zips import END, END_MAGIC, MAX_COMMENT_BYTES, AmbiguousZip, DamagedZip, ZipTree, of_window

MAX_HEADS_BESIDES = 5_000
"""Files whose head nobody else reads (pictures, texts, files of large models) that are looked at here. Each is a request on
object storage. Others are told as not looked at."""

MAX_MEMBERS = 10_000
"""Files in archives whose heads are read, in one scan."""

MAX_MODEL_FILES, MAX_DATA_FILES = 10_000, 1_000
"""Files of an archive that is looked into: of one that may be a model, and of another. Each is a read, or two."""

MAX_ALL_PACKED_BYTES = 64 << 20
"""Compressed bytes that are read, in one scan, of files that begin as if they mattered."""

MAX_ALL_UNPACKED_BYTES = 256 << 20
"""What all compressed files of one scan may be unpacked to, with `DECODER_BYTES` for each time."""

DECODER_BYTES = 16 << 10
XZ_DECODER_BYTES = BZIP_DECODER_BYTES = 128 << 10
"""What it costs to begin: a decoder, of xz with its dictionary, of bzip2 with the table of its first block."""

BZIP_PRICE = 5
"""How many times a byte of bzip2 counts, packed or not: it takes 60 ns for a byte of noise and 15 to 26 for one that it makes
of less, where deflate takes 1 to 2 and xz 4."""

BZIP_BLOCK_BYTES = 900_000
"""What bzip2 makes at once before it gives the first byte."""

BEGUN_BYTES = 64 << 10
"""What a compressed file is unpacked to before it is known to matter."""

BEGUN_OPCODES = 1000
"""What is walked over of that; text and tables break off within a few."""

MAX_MEMBER_BYTES = 16 << 20
"""How far into a file of an archive is read. Everything before has to be unpacked."""

MAX_ALL_OPCODES = 1_000_000
"""Opcodes of pickles that are walked over in one scan: two seconds."""

LEAST_OPCODES = 100
"""What each file gets nevertheless: what is no pickle shows it within a few."""

MAX_DEPTH = 2
"""A zip in a zip is looked into, a third is not."""

MAX_PICKLES = 10
"""Pickles that follow one another in a file. PyTorch's old format has five."""

MAX_ARRAYS = 100
"""Arrays of numpy that follow one another in a file, as `numpy.save` writes them when it is called several times."""

STORAGE = re.compile(r"[^/]+/(?:data|constants|tensors|weights)/[0-9]+")
"""Where PyTorch's zips have the numbers of their tensors, which nothing unpickles; a large model has thousands."""

NO_STORAGE = frozenset({".npz", ".keras"})
"""Zips of which every file is read as what it is, however it is called."""

TORCHSCRIPT = re.compile(r"[^/]+/code/.*\.py")
"""Where PyTorch's zips have the source of TorchScript, which no Python runs."""

MEMBER_WINDOW_BYTES = 4096
SHOWN_NAMES = 5

PICKLE = Kind(
    "a pickle",
    frozenset(
        ".pkl .pickle .joblib .sav .pt .pth .bin .ckpt .model .p .pck .pcl .pk .pklz .dill .cloudpickle .th .tar .pyt .mar"
        " .nemo .skops".split()
    ),
)
SOURCES = frozenset({".py"})
SOURCE = Kind("source of Python, which some loaders run with the model", SOURCES)
OBJECTS = Kind("an array of pickled objects", frozenset({".npy"}))

MODEL_ZIPS = frozenset(".keras .npz .pt .pth .pt2 .ckpt .mar .nemo .skops .bin .model".split())
"""Suffixes of zips that are models: programs of several makers read them."""

MODEL_NAMES = (MODEL_ZIPS | PICKLE.suffixes | {".npy", ".onnx", ".h5", ".hdf5", ".pb", ".tflite", ".safetensors", ".gguf"}) - {
    ".tar"
}
"""Suffixes that, anywhere in a name, say that an archive has a model in it."""

UNPICKLED_NAMES = (PICKLE.suffixes | {".npy", ".npz", ".keras", ".pt2"}) - {".tar", ".model"}
"""Suffixes of files that programs unpickle, or may; a SentencePiece vocabulary and models of XGBoost are called `.model`."""

ARCHIVES = frozenset(".zip .jar .war .whl .egg .tar .gem .tgz .gz .bz2 .tbz .tbz2 .xz .txz .lzma .tlz .z".split())
"""Suffixes that say no more than that files were packed: one that is too large, or damaged, is nobody's model."""

WEIGHTS_NAMES = frozenset({".h5", ".hdf5", ".safetensors", ".gguf", ".tflite"})
"""Other suffixes that are used for weights alone."""

OTHERS_BEGIN = (b"\x89HDF\r\n\x1a\n", b"$FL2", b"$FL3", LFS_POINTER)
"""Beginnings of what has such a name and is no pickle: HDF5, tables of SPSS, the pointer in place of a file that is to come."""

EMPTY_ZIP = END_MAGIC + bytes(END.size - len(END_MAGIC))
"""What numpy writes where there is no array to save."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found; *unread* are files that nobody knows enough about to call them clean, by path, with the reason."""

    findings: tuple[Finding, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    notes: tuple[Note, ...] = ()


def look(contents: Contents, of_models: Iterable[str], unexplained: Iterable[str] = ()) -> Looked:
    """Return what runs among the files of the tree. *of_models* are the paths of the files that belong to models.

    *unexplained* are those of them whose model does not say what is in them: parts of a folder that is one model as a whole.

    Raises:
        TreeChanged, TreeUnavailable: as the tree.
    """
    return _Look(contents, frozenset(of_models), frozenset(unexplained)).run()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something lies: *path* in the tree, *within* is the way through archives, *name* the last name on it.

    is_false tells that an archive on the way has a name that promises another format. packs counts the compressions around it.
    """

    path: str
    name: str
    within: tuple[str, ...] = ()
    is_false: bool = False
    packs: int = 0

    def below(self, member: str, is_false: bool) -> _Place:
        return _Place(self.path, member, (*self.within, member), self.is_false or is_false, self.packs)

    def promises_another(self, kind: Kind) -> bool:
        return self.is_false or promises_another(kind, self.name)

    @property
    def shown(self) -> str:
        return " → ".join(self.within)


@dataclass(slots=True)
class _Look:
    contents: Contents
    of_models: frozenset[str]
    unexplained: frozenset[str]
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    opcodes: int = 0
    members: int = 0
    packed: int = 0
    unpacked: int = 0

    def run(self) -> Looked:
        for entry, head in self._heads():
            window = self.contents.window(entry)
            window.begin_with(head)
            self._at(window, head, _Place(entry.path, entry.path))
        return Looked(
            tuple(sorted(self.findings.values(), key=lambda found: (found.path, found.place, found.rule))),
            tuple(sorted(self.unread.items())),
            tuple(Note(path, reason) for path, reason in sorted(self.notes.items())),
        )

    def _heads(self) -> Iterator[tuple[FileEntry, bytes]]:
        """Yield the files with their first bytes, those of models first."""
        left, missed = MAX_HEADS_BESIDES, []
        for entry in sorted(self.contents.entries, key=lambda entry: entry.path not in self.of_models):
            if not entry.size or entry.path in self.contents.unread:
                continue
            head = self.contents.known_head(entry)
            if head is None:
                if not left:
                    missed.append(entry)
                    continue
                left -= 1
                head = self._head(entry)
            if head:
                yield entry, head
        data = [entry for entry in missed if suffix(entry.path) in NEVER_MODELS]
        others = [entry for entry in missed if suffix(entry.path) not in NEVER_MODELS]
        for told, entries in ((self.notes, data), (self.unread, others)):
            for entry in entries[:1]:
                told[entry.path] = (
                    f"not looked at for what runs: {len(entries)} files, of which this is the first (limit MAX_HEADS_BESIDES)"
                )

    def _head(self, entry: FileEntry) -> bytes:
        try:
            return self.contents.tree.read(entry.path, 0, min(HEAD_BYTES, entry.size))
        except Unreadable as exc:
            self.notes[entry.path] = f"not looked at for what runs: {exc.reason}"
            return b""

    def _at(self, window: Window, head: bytes, place: _Place) -> None:
        """Look at one file, in the tree or in an archive."""
        try:
            self._look_at(window, head, place)
        except ModelError as exc:
            self._not_looked_at(place, f"{exc.reason}")

    def _look_at(self, window: Window, head: bytes, place: _Place) -> None:
        kind = kind_of(head)
        if is_torchscript := bool(place.within) and TORCHSCRIPT.fullmatch(place.name) is not None:
            self._torchscript(window, place)
        if kind is not ZIP and suffix(place.name) in MODEL_ZIPS | ZIP.suffixes and _ends_as_zip(window):
            self._zip(window, place, is_behind=True)
        if kind is None or kind in UNPACKING or kind is SCRIPT:
            if head.startswith(NUMPY):
                self._arrays(window, place)
                return
            if found := self._walked(window):
                self._pickled(found, PICKLE, place)
                return
            if kind is None and suffix(place.name) in SOURCES and not is_torchscript:
                self._program(SOURCE, place)
            elif kind is None:
                self._unknown(window, head, place)
        if kind is ZIP:
            self._zip(window, place)
        elif kind is TAR:
            self._tar(window, place)
        elif kind in UNPACKING:
            self._compressed(window, kind, place)
        elif kind is not None and kind.runs:
            self._program(kind, place)
        elif kind is not None:
            self._unopened(kind, place)

    # --- pickles

    def _walked(self, window: Window, start: int = 0) -> list[Pickle]:
        """Return the walks over the pickles that follow one another from *start* on, none where there is none.

        Raises:
            ModelLimit: it may be one, and nobody knows; or too many were walked before.
        """
        found: list[Pickle] = []
        while len(found) < MAX_PICKLES and start < window.size:
            one = self._walk(window, start)
            if one.may_be_pickle:
                raise ModelLimit(window.path, one.stop, "MAX_OPCODES", "it begins as a pickle does, and nothing ends it")
            if not one.is_pickle:
                break
            found.append(one)
            if one.end is not End.STOPPED:
                break
            start = one.stop
        return found

    def _arrays(self, window: Window, place: _Place) -> None:
        """Look at what lies behind the numbers of numpy's arrays, one after the other, and at objects, which are pickled."""
        at = 0
        for _ in range(MAX_ARRAYS):
            array = read_header(window, at)
            at = array.stop if array.data_bytes is None else array.stop + array.data_bytes
            if array.data_bytes is not None and at >= window.size:
                return
            if window.bytes(at, min(at + len(NUMPY), window.size)) == NUMPY and array.data_bytes is not None:
                continue
            if found := self._walked(window, at):
                self._pickled(found, OBJECTS, place)
            elif array.data_bytes is None:
                self._not_looked_at(place, "an array of numpy that is not one of numbers, with no pickle behind its header")
            else:
                self._not_looked_at(place, f"{window.size - at} bytes behind the numbers of an array of numpy")
            return
        self._not_looked_at(place, f"more than {MAX_ARRAYS} arrays of numpy in one file (limit MAX_ARRAYS)")

    def _unknown(self, window: Window, head: bytes, place: _Place) -> None:
        """Say that nobody knows what lies in a file that has a name of pickles, or of weights, and begins as nothing known.

        A model of another format that it is a part of explains it; so does a pickle of plain data, which is nothing to tell.
        """
        is_part = place.path in self.of_models and not place.within
        if suffix(place.name) in UNPICKLED_NAMES:
            is_explained = is_part and place.path not in self.unexplained
        else:
            is_explained = is_part or suffix(place.name) not in WEIGHTS_NAMES
        if is_explained or head.startswith(OTHERS_BEGIN) or head == EMPTY_ZIP:
            return
        one = self._walk(window)
        if one.end is not End.STOPPED or one.stop != window.size:
            self._not_looked_at(place, f"it begins as nothing that is known here, and is called {suffix(place.name)}")

    def _pickled(self, found: list[Pickle], kind: Kind, place: _Place) -> None:
        """Say what the pickles in one file are worth."""
        worst = max(one.grade for one in found)
        names = [name for one in found for name in one.names]
        if worst is Grade.RUNS:
            running = [name for name in names if grade(*name) is Grade.RUNS] or names
            message = f"{kind.says} that imports {_listed(running)}: loading it runs what it was made to run"
            self._found("pickle-runs-code", Severity.CRITICAL, place, message)
        elif place.promises_another(kind):
            self._false_name(kind, place, Severity.HIGH)
        else:
            imported = f"; it imports {_listed(names)}" if names else ""
            severity = Severity.LOW if worst is Grade.PLAIN and is_promised(kind, place.name) else Severity.MEDIUM
            self._found("executable-content", severity, place, f"{kind.says}, not run{imported}")
        if reason := _unlooked(found, worst, is_promised(kind, place.name)):
            self._not_looked_at(place, f"{kind.says}, {reason}")

    # --- archives

    def _zip(self, window: Window, place: _Place, is_behind: bool = False) -> None:
        """Look at the files in a zip; *is_behind* tells that the file begins with something else."""
        matters = self._matters(place)
        reading = window if place.within or place.packs else self._small_window(window)
        try:
            tree = ZipTree(of_window(reading), window.size, window.path, on_the_way=False, max_files=self._max_files(place))
        except DamagedZip as exc:
            if not matters:
                self.notes.setdefault(place.path, f"a zip, not looked at: {exc.reason}")
            elif place.within or place.path not in self.of_models:  # else the model is incomplete or corrupt, and told so
                self._not_looked_at(place, f"a zip that was cut off or damaged: {exc.reason}")
            return
        except AmbiguousZip as exc:
            if matters:
                self._found(
                    "zip-ambiguous", Severity.HIGH, place, f"two readers may see different files in this zip: {exc.reason}"
                )
            else:
                self.notes.setdefault(place.path, f"a zip, not looked at: {exc.reason}")
            return
        except ModelError as exc:
            if not matters:
                self.notes.setdefault(place.path, f"a zip, not looked at: {exc.reason}")
                return
            raise
        self._members(tree, ZIP, place)

    def _small_window(self, window: Window) -> Window:
        """Return a window for headers that lie far apart."""
        return Window(self.contents.tree, window.path, window.size, MEMBER_WINDOW_BYTES)

    def _matters(self, place: _Place) -> bool:
        """Tell whether an archive may be a model: as a part of one, or by a name that does not say that it is an archive."""
        return suffix(place.name) not in ARCHIVES or place.path in self.of_models

    def _max_files(self, place: _Place) -> int:
        return MAX_MODEL_FILES if self._matters(place) else MAX_DATA_FILES

    def _tar(self, window: Window, place: _Place) -> None:
        try:
            tree = TarTree(window if place.within or place.packs else self._small_window(window), self._max_files(place))
        except ModelError as exc:
            if self._matters(place):
                raise
            self.notes.setdefault(place.path, f"a tar, not looked at: {exc.reason}")
            return
        self._members(tree, TAR, place)

    def _members(self, tree: FileTree, kind: Kind, place: _Place) -> None:
        """Look at the heads of the files in an archive."""
        if len(place.within) >= MAX_DEPTH:
            self._not_looked_at(place, f"{kind.says} in another archive (limit MAX_DEPTH)")
            return
        is_false = promises_another(kind, place.name)
        of_torch = _torch_roots(tree) if suffix(place.name) not in NO_STORAGE else frozenset()
        for entry in tree.files():
            if STORAGE.fullmatch(entry.path) and entry.path.partition("/")[0] in of_torch:
                continue
            self.members += 1
            if self.members > MAX_MEMBERS:
                self._not_looked_at(place, f"more than {MAX_MEMBERS} files in archives (limit MAX_MEMBERS)")
                return
            self._member(tree, entry, place.below(entry.path, is_false))

    def _member(self, tree: FileTree, entry: FileEntry, place: _Place) -> None:
        window = Window(_Beginning(tree), entry.path, entry.size, MEMBER_WINDOW_BYTES)
        try:
            head = tree.read(entry.path, 0, min(HEAD_BYTES, entry.size))
        except ModelError as exc:
            self._not_looked_at(place, exc.reason)
            return
        if head:
            window.begin_with(head)
            self._at(window, head, place)

    def _compressed(self, window: Window, kind: Kind, place: _Place) -> None:
        """Look at what a compressed file begins with; damaged bytes that only look compressed are none."""
        if place.packs >= MAX_DEPTH:
            self._not_looked_at(place, f"{kind.says} in another (limit MAX_DEPTH)")
            return
        try:
            data, is_all = self._unpacked(window, kind, HEAD_BYTES, BEGUN_BYTES)
            if not is_all and self._may_run(data, place):
                self.packed += min(window.size, PACKED_BYTES) * _price(kind)
                if self.packed > MAX_ALL_PACKED_BYTES:
                    self._not_looked_at(
                        place, f"{kind.says}: more than {MAX_ALL_PACKED_BYTES} bytes (limit MAX_ALL_PACKED_BYTES)"
                    )
                    return
                data, is_all = self._unpacked(window, kind, PACKED_BYTES, MAX_UNPACKED_BYTES)
        except ModelLimit:
            raise
        except ModelError:
            self._unknown(window, b"", place)
            return
        inner = place.name.rpartition(".")[0] if is_promised(kind, place.name) else place.name
        inside = Window(MemoryTree({place.name: data}), place.name, len(data))
        name = place.name if suffix(inner) in ("", ".tar") else inner
        below = _Place(place.path, name, place.within, place.is_false, place.packs + 1)
        what = kind_of(data[:HEAD_BYTES])
        if what is not None and what.runs:
            self._program(what, below)
        elif what is None and data.startswith(NUMPY):
            self._arrays(inside, below)
        elif (what is None or what in UNPACKING) and (found := self._walked(inside)):
            self._pickled(found, PICKLE, below)
        elif what in UNPACKING:
            self._compressed(inside, what, below)
        elif what in (ZIP, TAR) and is_all:
            self._zip(inside, below) if what is ZIP else self._members(TarTree(inside, MAX_MODEL_FILES), TAR, below)
        elif what is not None:
            self._unopened(what, below)
        elif not is_all and (place.path in self.of_models or self._walk(inside).end in (End.CUT, End.LIMIT)):
            self._not_looked_at(place, f"of the {kind.says} in it, only the first {len(data)} bytes were unpacked")
        else:
            self._unknown(inside, data, below)

    def _unpacked(self, window: Window, kind: Kind, packed_bytes: int, most: int) -> tuple[bytes, bool]:
        """Return what `unpacked` does, counted towards what all files of the scan may cost.

        Raises:
            ModelLimit: they cost more.
        """
        if self.unpacked >= MAX_ALL_UNPACKED_BYTES:
            reason = "a compressed file, after others that were unpacked to more than that"
            raise ModelLimit(window.path, None, "MAX_ALL_UNPACKED_BYTES", reason)
        self.unpacked += DECODERS.get(kind, DECODER_BYTES)
        try:
            data, is_all = unpacked(window, kind, packed_bytes, most)
        except ModelError:
            self.unpacked += _least(kind)
            raise
        self.unpacked += len(data) * _price(kind) if is_all or not data else max(len(data) * _price(kind), _least(kind))
        return data, is_all

    def _walk(self, window: Window, start: int = 0, most: int | None = None) -> Pickle:
        """Return a walk that counts towards those of the scan, of *most* opcodes or `MAX_OPCODES`."""
        wanted = MAX_OPCODES if most is None else most
        one = walk(window, start, max(LEAST_OPCODES, min(wanted, MAX_ALL_OPCODES - self.opcodes)))
        self.opcodes += one.opcodes
        return one

    def _may_run(self, data: bytes, place: _Place) -> bool:
        """Tell whether what a compressed file begins with is worth reading on: of a kind, or opcodes as far as it goes."""
        head = Window(MemoryTree({place.name: data}), place.name, len(data))
        return (
            place.path in self.of_models
            or kind_of(data) is not None
            or self._walk(head, 0, BEGUN_OPCODES).end is not End.BROKEN
        )

    def _unopened(self, kind: Kind, place: _Place) -> None:
        """Tell of an archive that nobody opens here: of a model, or with the name of one, it does not count as looked at."""
        names = {f".{part}" for part in place.name.rpartition("/")[2].lower().split(".")[1:]}
        if place.path in self.of_models or promises_another(kind, place.name) or names & MODEL_NAMES:
            self._not_looked_at(place, f"{kind.says}, an archive that is not opened")
        else:
            self.notes.setdefault(place.path, f"{_said(kind, place)}: an archive, not looked at")

    # --- programs

    def _is_in_model(self, place: _Place) -> bool:
        """Tell whether something belongs to a model, or lies in an archive whose name says that it is one."""
        return place.path in self.of_models or (bool(place.within) and suffix(place.path) in MODEL_ZIPS)

    def _program(self, kind: Kind, place: _Place) -> None:
        is_source = kind in (SCRIPT, SOURCE)
        if place.promises_another(kind):
            self._false_name(kind, place, Severity.MEDIUM if is_source else Severity.HIGH)
        elif kind is R_DATA or self._is_in_model(place):
            severity = Severity.LOW if is_source else Severity.MEDIUM
            self._found("executable-content", severity, place, f"{kind.says}, not run", kind.says)
        elif not is_promised(kind, place.name):
            self._found("executable-content", Severity.INFO, place, f"{kind.says}, not run", kind.says)

    def _torchscript(self, window: Window, place: _Place) -> None:
        """Look for operators that touch files in source of TorchScript.

        Raises:
            ModelLimit: it is larger than a named limit.
        """
        if window.size > MAX_SOURCE_BYTES:
            raise ModelLimit(place.path, None, "MAX_SOURCE_BYTES", f"source of TorchScript of {window.size} bytes")
        self.contents.spend(place.path, "MAX_ALL_SOURCE_BYTES", window.size, MAX_ALL_SOURCE_BYTES)
        if names := touching(window.bytes(0, window.size)):
            message = f"source of TorchScript that names operators which touch files: {', '.join(names[:SHOWN_NAMES])}"
            self._found("torchscript-touches-files", Severity.MEDIUM, place, message)
            self._not_looked_at(place, "which files its TorchScript touches")

    # --- what is said

    def _false_name(self, kind: Kind, place: _Place, severity: Severity) -> None:
        name = place.path if place.is_false else place.name
        message = f"holds {kind.says}, which its name ({suffix(name) or name}) does not say"
        if severity is Severity.HIGH:
            self._found("executable-false-name", Severity.HIGH, place, message)
        else:
            self._found("executable-false-name", Severity.MEDIUM, place, message)

    def _found(self, rule: str, severity: Severity, place: _Place, message: str, once: str = "") -> None:
        """Note a finding; of those in one file that say the same *once*, the first stands for all."""
        key = (rule, place.path, once or place.shown)
        self.findings.setdefault(key, Finding(rule, severity, place.path, place.shown, message))

    def _not_looked_at(self, place: _Place, reason: str) -> None:
        where = f"{place.shown}: " if place.within else ""
        self.unread.setdefault(place.path, f"not looked at: {where}{reason}")


class _Beginning:
    """The tree *inner*, of whose files only the beginning may be read: all before a place has to be unpacked to reach it."""

    def __init__(self, inner: FileTree) -> None:
        self._inner = inner

    def files(self) -> Iterator[FileEntry]:
        return self._inner.files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        if stop > MAX_MEMBER_BYTES:
            raise ModelLimit(path, stop, "MAX_MEMBER_BYTES", f"more than {MAX_MEMBER_BYTES} bytes of it to unpack")
        return self._inner.read(path, start, stop)


DECODERS = {XZ: XZ_DECODER_BYTES, LZMA: XZ_DECODER_BYTES, BZIP: BZIP_DECODER_BYTES}


def _price(kind: Kind) -> int:
    """Return how many times a byte counts that is unpacked."""
    return BZIP_PRICE if kind is BZIP else 1


def _least(kind: Kind) -> int:
    """Return what is counted for a file of which more was unpacked than it gave."""
    return BZIP_BLOCK_BYTES * BZIP_PRICE if kind is BZIP else 0


def _ends_as_zip(window: Window) -> bool:
    """Tell whether the file ends with the end of a zip, and perhaps a comment."""
    tail = window.bytes(max(0, window.size - END.size - MAX_COMMENT_BYTES), window.size)
    return END_MAGIC in tail[: len(tail) - END.size + len(END_MAGIC)]


def _torch_roots(tree: FileTree) -> frozenset[str]:
    """Return the folders at the top of an archive that PyTorch wrote: they have a `data.pkl`."""
    return frozenset(
        entry.path.partition("/")[0]
        for entry in tree.files()
        if entry.path.count("/") == 1 and entry.path.endswith("/data.pkl")
    )


def _unlooked(found: list[Pickle], worst: Grade, is_promised: bool) -> str:
    """Return why a file of pickles does not count as looked at, "" where it does."""
    last = found[-1]
    if last.end is End.LIMIT:
        return f"of which only the first {last.opcodes} opcodes were looked at (limit MAX_OPCODES)"
    if len(found) == MAX_PICKLES:
        return f"one of several, of which {MAX_PICKLES} were looked at (limit MAX_PICKLES)"
    if last.end in (End.BROKEN, End.CUT):
        return f"of which nothing behind byte {last.stop} was understood"
    unknown = [name for one in found for name in one.names if Grade.UNKNOWN <= grade(*name) < Grade.RUNS]
    if unknown:
        return f"with names that nobody knows here: {_listed(unknown)}"
    if any(one.computed for one in found):
        return "with names that are only known while it is loaded"
    return "" if is_promised or worst is Grade.RUNS else "in a file whose name does not say so"


def _listed(names: Iterable[tuple[str, str]]) -> str:
    found = list(dict.fromkeys(f"{module}.{name}" for module, name in names))
    more = f" and {len(found) - SHOWN_NAMES} more" if len(found) > SHOWN_NAMES else ""
    return ", ".join(name[:100] for name in found[:SHOWN_NAMES]) + more


def _said(kind: Kind, place: _Place) -> str:
    return f"{place.shown} holds {kind.says}" if place.within else f"holds {kind.says}"
