"""What a file is by its first bytes, as far as it can run: programs, libraries, byte code, scripts, and archives of anything.

In goes the beginning of a file, out comes a `Kind`, or None. Names do not matter here; whether a name promises something else
is `is_promised`'s to tell. Pickles, which have no sure beginning, are told by `detectors.executables.pickles`.

Law (has a test of the same name):
    any bytes have a kind or none.

Source: the formats' own specifications, and the list of magic numbers in file(1) 5.44.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from detectors.detection import NEVER_MODELS, suffix

PROMISING = NEVER_MODELS | frozenset(
    ".pb .pbtxt .onnx .ort .json .jsonl .npz .npy .keras .h5 .hdf5 .hdf .tflite .lite .safetensors .gguf .ggml .mlmodel .xml"
    " .yaml .yml .parquet .arrow .feather .tfrecord .tfevents .index .meta .vocab .spm .msgpack .ico .tif .tiff .ttf .flac .ogg"
    " .avi .mov .mkv .doc .docx .xls .xlsx .ppt .pptx .properties .conf .sql .proto".split()
)
"""Suffixes that promise a format of their own. A name with another one, or with none, promises nothing."""

SCRIPTS = frozenset(
    ".sh .bash .zsh .ksh .csh .fish .py .pyw .pl .pm .rb .lua .awk .tcl .r .php .js .ts .mjs .cgi .command .run .in .bat .ps1"
    " .ipynb .scm .groovy .kts .swift .jl .nu .tmpl .template .j2 .service .log .md .rst".split()
)
"""Names under which a first line `#!` is no surprise."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of content: *says* what it is, in words that complete "holds"; *suffixes* are those that say so themselves.

    runs tells that it is something that a processor or an interpreter runs; the others are archives, which are not.
    """

    says: str
    suffixes: frozenset[str]
    runs: bool = True


def _kind(says: str, suffixes: str, runs: bool = True) -> Kind:
    return Kind(says, frozenset(suffixes.split()), runs)


ELF = _kind("a program or library (ELF)", ".so .o .ko .elf .axf .run .out .bin .appimage .debug .node .pyd .mod")
WINDOWS = _kind("a program or library (Windows)", ".exe .dll .pyd .sys .mui .ocx .scr .com .efi .cpl .node")
MACH = _kind("a program or library (macOS)", ".dylib .so .bundle .o .node")
JAVA = _kind("a Java class", ".class")
WASM = _kind("WebAssembly", ".wasm")
DEX = _kind("Android byte code", ".dex .odex .vdex .apk")
LLVM = _kind("LLVM bitcode", ".bc .o .ll")
LUA = _kind("compiled Lua", ".lua .luac .out")
SCRIPT = Kind("a script (its first line names an interpreter)", SCRIPTS)
BYTE_CODE = _kind("compiled Python", ".pyc .pyo .marshal")
R_DATA = _kind("an object that R saved, which may hold code", ".rds .rda .rdata .rdb")

ZIP = _kind("a zip", ".zip .jar .war .whl .egg .mar .nemo .skops .pt .pth .pt2 .ckpt .bin .model .keras .npz", runs=False)
TAR = _kind("a tar", ".tar .nemo .mar .gem .model .pt .pth", runs=False)
SEVEN = _kind("a 7z archive", ".7z", runs=False)
RAR = _kind("a RAR archive", ".rar", runs=False)
CAB = _kind("a cabinet", ".cab", runs=False)
AR = _kind("an archive of object files or a Debian package", ".a .lib .deb", runs=False)
GZIP = _kind("gzip", ".gz .tgz .joblib .rds .rda .rdata .nemo .z .pkl .svgz", runs=False)
BZIP = _kind("bzip2", ".bz2 .tbz .tbz2 .joblib .rds .rda .rdata", runs=False)
XZ = _kind("xz", ".xz .txz .lzma .joblib .rds .rda .rdata", runs=False)
LZMA = _kind("lzma", ".lzma .tlz .joblib .xz", runs=False)
ZSTD = _kind("Zstandard", ".zst .zstd", runs=False)
LZ4 = _kind("LZ4", ".lz4 .joblib", runs=False)
ZLIB = _kind("zlib", ".z .zlib .joblib .pkl", runs=False)

NUMPY = b"\x93NUMPY"

BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"\x7fELF", ELF),
    (b"\xfe\xed\xfa\xce", MACH),
    (b"\xfe\xed\xfa\xcf", MACH),
    (b"\xce\xfa\xed\xfe", MACH),
    (b"\xcf\xfa\xed\xfe", MACH),
    (b"\0asm", WASM),
    (b"dex\n0", DEX),
    (b"BC\xc0\xde", LLVM),
    (b"\x1bLua", LUA),
    (b"RDX2\n", R_DATA),
    (b"RDX3\n", R_DATA),
    (b"RDA2\n", R_DATA),
    (b"RDA3\n", R_DATA),
    (b"X\n\0\0\0\2", R_DATA),
    (b"X\n\0\0\0\3", R_DATA),
    (b"PK\3\4", ZIP),
    (b"7z\xbc\xaf\x27\x1c", SEVEN),
    (b"Rar!\x1a\x07", RAR),
    (b"MSCF\0\0\0\0", CAB),
    (b"!<arch>\n", AR),
    (b"\x1f\x8b\x08", GZIP),
    (b"BZh", BZIP),
    (b"\xfd7zXZ\0", XZ),
    (b"\x28\xb5\x2f\xfd", ZSTD),
    (b"\x04\x22\x4d\x18", LZ4),
)

INTERPRETER = re.compile(rb"#![ \t]*/[\w./+-]+")
"""Rust and others begin files with `#![…]`, which is none."""

PE_PLACE = 0x3C
MAX_FAT_PARTS = 30
"""Java's class files begin as those of macOS for several processors; theirs goes on with a version of 45 and more."""


def kind_of(head: bytes) -> Kind | None:
    """Return the kind of a file that begins with *head*, None for none that is listed."""
    for beginning, kind in BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head.startswith(b"MZ"):
        place = int.from_bytes(head[PE_PLACE : PE_PLACE + 4], "little")
        return WINDOWS if head[place : place + 4] == b"PE\0\0" else None
    if head.startswith(b"\xca\xfe\xba\xbe"):
        return MACH if int.from_bytes(head[4:8], "big") <= MAX_FAT_PARTS else JAVA
    if head[257:262] == b"ustar":
        return TAR
    if INTERPRETER.match(head):
        return SCRIPT
    if _is_old_tar(head):
        return TAR
    if _is_lzma(head):
        return LZMA
    if _is_byte_code(head):
        return BYTE_CODE
    is_zlib = head[:1] == b"\x78" and len(head) > 2 and int.from_bytes(head[:2], "big") % 31 == 0 and not head[1] & 0x20
    return ZLIB if is_zlib else None


def _is_old_tar(head: bytes) -> bool:
    """Tell whether *head* begins a tar by its checksum, the sum of a header's bytes with its own place as spaces."""
    digits = head[148:156].strip(b" \0")
    if len(head) < 512 or not head[0] or not digits or not all(0x30 <= digit < 0x38 for digit in digits):
        return False
    others = head[:148] + b" " * 8 + head[156:512]
    signed = sum(byte - 256 if byte > 127 else byte for byte in others)
    return int(digits, 8) in (sum(others), signed)


def _is_lzma(head: bytes) -> bool:
    """Tell whether *head* may begin lzma without a container, by what liblzma asks of one that it is to recognise.

    u8 properties | u32 size of the dictionary, 2^n or 2^n + 2^(n-1) | u64 bytes unpacked, or none | a zero
    """
    dictionary, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    bits = dictionary.bit_count() if dictionary != 0xFFFF_FFFF else 1
    is_round = bits == 1 or (bits == 2 and dictionary & (dictionary >> 1) != 0)
    return head[13:14] == b"\0" and head[0] < 225 and is_round and (0 < size < 1 << 38 or size == (1 << 64) - 1)


CODE, BYTES = (b"\x63", b"\xe3"), (b"\x73", b"\xf3")
"""Letters of `marshal` for a code object and for bytes, each alone and with the bit that lets others refer to it."""

FIRST_MAGIC, LAST_MAGIC, LAST_FLAG = 3000, 4000, 3
"""Python 3.0 has 3000, and 3.14 has 3627."""

MAX_SMALL = 0xFFFF


def _is_byte_code(head: bytes) -> bool:
    """Tell whether *head* begins compiled Python: a `.pyc`, or a code object as `marshal` writes it.

    A code object has some small numbers (of arguments, of the stack, flags), then its instructions as bytes.
    """
    magic, flags = int.from_bytes(head[:2], "little"), int.from_bytes(head[4:8], "little")
    if head[2:4] == b"\r\n" and FIRST_MAGIC <= magic <= LAST_MAGIC:
        return (flags <= LAST_FLAG and head[16:17] in CODE) or head[12:13] in CODE
    if head[:1] not in CODE:
        return False
    return any(
        _are_small(head[1 : 1 + 4 * count], count) and head[1 + 4 * count : 2 + 4 * count] in BYTES for count in (4, 5, 6)
    )


def _are_small(data: bytes, count: int) -> bool:
    """Tell whether *data* are *count* numbers, none of which is large but for the last, the flags."""
    numbers = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    return len(data) == 4 * count and max(numbers[:-1]) <= MAX_SMALL


def is_promised(kind: Kind, path: str) -> bool:
    """Tell whether the name *path* says that its file is of this *kind*."""
    name = path.rpartition("/")[2].lower()
    return suffix(path) in kind.suffixes or (kind is ELF and ".so." in name)


def promises_another(kind: Kind, path: str) -> bool:
    """Tell whether the name *path* promises another format than *kind*."""
    return not is_promised(kind, path) and suffix(path) in PROMISING
