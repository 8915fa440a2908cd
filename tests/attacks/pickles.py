"""Pickles that run something when they are loaded, under every name: one maker for each idea. None is ever loaded.

What they would run is `true`. They are written opcode by opcode where Python's own pickler would not write them so.

Source: CPython's pickletools; the ideas are those of picklescan's advisories (CVE-2025-1716, -1889, -1944, -1945, -10155 to
-10157) and of arXiv 2508.19774.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from struct import pack

from detectors.executables import pickles
from tests.builders.weights import pytorch_zip, zip_of

MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""The first of the five pickles in PyTorch's old format."""


def short(text: str) -> bytes:
    """Return the opcode that pushes a short text."""
    return b"\x8c" + bytes([len(text.encode())]) + text.encode()


def call(module: str, name: str, *arguments: str) -> bytes:
    """Return opcodes of protocol 4 that call *name* of *module* with texts."""
    return short(module) + short(name) + b"\x93(" + b"".join(map(short, arguments)) + b"tR"


def protocol_0(module: str = "os", name: str = "system") -> bytes:
    return f"c{module}\n{name}\n(S'true'\ntR.".encode()


def of_protocol(number: int) -> bytes:
    """Return the call as the pickler of protocol *number* writes it."""
    if number < 2:
        return protocol_0("posix") if number == 0 else b"cposix\nsystem\nq\x00(X\x04\x00\x00\x00trueq\x01tq\x02Rq\x03."
    if number < 4:
        return bytes([0x80, number]) + b"cposix\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03."
    body = short("posix") + b"\x94" + short("system") + b"\x94\x93\x94" + short("true") + b"\x94\x85\x94R\x94."
    return bytes([0x80, number]) + b"\x95" + pack("<Q", len(body)) + body


def framed(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


LONG = "more opcodes before than anybody looks at"

OBJECTS = (
    "'O'", "'|O8'", "'object'", "'object_'", "'(2,)O'", "'f4,O'", "'O,f4'", r"'\x4f'", "'ob' 'ject'", "[('a', '|O')]",
    "[('a', '<f4'), ('b', [('c', 'object')])]", "{'names': ['a'], 'formats': ['O']}", "'<f4', 'descr': '|O'",
)  # fmt: skip
"""Spellings of a type with objects in it, all of which numpy understands."""


def spelling(spelled: str) -> Callable[[], bytes]:
    return lambda: array_of_objects(of_protocol(3), spelled)


IDEAS: dict[str, Callable[[], bytes]] = {
    **{f"protocol {number}": lambda number=number: of_protocol(number) for number in range(6)},  # type: ignore[misc]
    "INST": lambda: b"(S'true'\nios\nsystem\n.",
    "OBJ": lambda: b"(cos\nsystem\nS'true'\no.",
    "names without the first opcode": lambda: call("os", "system", "true") + b".",
    "names out of the memo": lambda: framed(
        short("os") + b"\x94" + short("system") + b"\x9400h\x00h\x01\x93" + short("true") + b"\x85R"
    ),
    "names out of the memo, by line": lambda: b"Vsystem\np7\n0Vos\ng7\n\x93(Vtrue\ntR.",
    "a name in parts": lambda: framed(call("collections", "abc.sys.modules.get", "os")),
    "a name that is made while loading": lambda: framed(
        short("os") + call("_codecs", "encode", "system", "ascii") + b"\x93" + short("true") + b"\x85R"
    ),
    "a name by its number": lambda: framed(b"\x82\x01" + short("true") + b"\x85R"),
    "eval": lambda: framed(call("builtins", "eval", "1")),
    "exec of Python 2": lambda: protocol_0("__builtin__", "exec"),
    "import": lambda: framed(call("importlib", "import_module", "antigravity")),
    "an import alone": lambda: b"cantigravity\nfly\n.",
    "subprocess": lambda: framed(call("subprocess", "Popen", "true")),
    "pty": lambda: framed(call("pty", "spawn", "true")),
    "runpy": lambda: framed(call("runpy", "run_path", "x.py")),
    "pip": lambda: framed(call("pip", "main", "install")),
    "a module of numpy's tests": lambda: framed(call("numpy.testing._private.utils", "runstring", "1")),
    "a module of numpy's tests, split elsewhere": lambda: framed(call("numpy", "testing._private.utils.runstring", "1")),
    "torch.hub, split elsewhere": lambda: framed(call("torch", "hub.load", "a/b", "c")),
    "eval by its method": lambda: framed(call("builtins", "eval.__call__", "1")),
    "a module that a known one imports": lambda: framed(call("torch.nn.modules.module", "torch._C.PyTorchFileReader", "/x")),
    "a distribution that runs its state": lambda: framed(
        short("statsmodels.distributions.discrete") + short("DiscretizedCount") + b"\x93)\x81}"
        + short("_parse_arg_template") + short("import os; os.system('true')") + b"sb"
    ),
    "a file that a known module imports": lambda: framed(call("sklearn.datasets._kddcup99", "GzipFile", "/tmp/x", "wb")),
    "a frozen distribution": lambda: framed(call("scipy.stats._distn_infrastructure", "rv_continuous_frozen", "x")),
    "a program of gensim": lambda: framed(call("gensim.models.wrappers.ldamallet", "LdaMallet", "true;")),
    "a program of older gensim": lambda: framed(call("gensim.models", "DtmModel", "true")),
    "a module of many parts": lambda: framed(
        b"X" + pack("<I", 40_001) + b"a." * 20_000 + b"a" + short("run") + b"\x93)R"
    ),
    "a long way to a name": lambda: b"\x80\x04cos\n" + b"path.os." * 100 + b"system\n(S'true'\ntR.",
    "a long way to a name, without the first opcode": lambda: b"cos\n" + b"path.os." * 100 + b"system\n(S'true'\ntR.",
    "a long module": lambda: b"c" + b"a." * 20_000 + b"a\nrun\n)R.",
    "a long way to an INST": lambda: b"(S'true'\nios\n" + b"path.os." * 100 + b"system\n.",
    "torch.hub": lambda: framed(call("torch.hub", "load", "a/b", "c")),
    "timeit": lambda: framed(call("timeit", "timeit", "1")),
    "a network connection": lambda: framed(call("urllib.request", "urlopen", "http://127.0.0.1:9/")),
    "a file": lambda: framed(call("io", "open", "/etc/hostname")),
    "a library": lambda: framed(call("ctypes", "CDLL", "libc.so.6")),
    "a second unpickling": lambda: framed(call("_pickle", "loads", "N.")),
    "code of its own": lambda: framed(
        short("marshal") + short("loads") + b"\x93C\x01N\x85R" + b"0" + short("types") + short("FunctionType") + b"\x93)R"
    ),
    "a function of cloudpickle": lambda: framed(call("cloudpickle.cloudpickle", "_make_function", "x")),
    "a function of dill": lambda: framed(call("dill._dill", "_create_function", "x")),
    "getattr to everything": lambda: framed(
        short("builtins") + short("getattr") + b"\x93" + short("collections") + short("OrderedDict") + b"\x93"
        + short("__globals__") + b"\x86R"
    ),
    "a module that nobody knows": lambda: framed(call("evil_package", "run", "true")),
    "BUILD with a state": lambda: b"\x80\x02ccollections\nOrderedDict\n)\x81}X\x03\x00\x00\x00runcevil_package\nstate\nsb.",
    "something broken behind the call": lambda: protocol_0()[:-1] + b"\xff\xff not a pickle any more",
    "no end": lambda: framed(call("os", "system", "true"))[:-1],
    "a long text before": lambda: b"S'" + b"a" * 10_000 + b"'\n0" + protocol_0(),
    "long bytes before": lambda: framed(b"B" + pack("<I", 100_000) + bytes(100_000) + b"0" + call("os", "system", "true")),
    "many opcodes before": lambda: b"N0" * 10_000 + protocol_0(),
    LONG: lambda: b"N0" * (pickles.MAX_OPCODES // 2 + 1) + protocol_0(),
    "a harmless pickle before": lambda: b"\x80\x02}." + framed(call("os", "system", "true")),
    "PyTorch's old format": lambda: MAGIC + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + of_protocol(2) + b"\x80\x02].",
    "gzip": lambda: gzip.compress(of_protocol(4), mtime=0),
    "bzip2": lambda: bz2.compress(of_protocol(4)),
    "xz": lambda: lzma.compress(of_protocol(4)),
    "zlib": lambda: zlib.compress(of_protocol(4)),
    "gzip behind an empty one": lambda: gzip.compress(b"", mtime=0) + gzip.compress(of_protocol(4), mtime=0),
    "gzip in two streams": lambda: gzip.compress(of_protocol(4)[:2], mtime=0) + gzip.compress(of_protocol(4)[2:], mtime=0),
    "bzip2 behind an empty one": lambda: bz2.compress(b"") + bz2.compress(of_protocol(4)),
    "xz behind an empty one": lambda: lzma.compress(b"") + lzma.compress(of_protocol(4)),
    "more streams than are unpacked": lambda: gzip.compress(b"", mtime=0) * 30 + gzip.compress(of_protocol(4), mtime=0),
    "lzma without a container": lambda: lzma.compress(of_protocol(4), format=lzma.FORMAT_ALONE),
    "gzip in gzip": lambda: gzip.compress(gzip.compress(of_protocol(4), mtime=0), mtime=0),
    "gzip in gzip in gzip": lambda: gzip.compress(gzip.compress(gzip.compress(of_protocol(4), mtime=0), mtime=0), mtime=0),
    "a zip in gzip": lambda: gzip.compress(pytorch_zip({"data.pkl": of_protocol(2)}), mtime=0),
    "an old tar": lambda: old_tar(tar_of({"model.pt": of_protocol(2)})),
    "a packed old tar": lambda: gzip.compress(old_tar(tar_of({"model.pt": of_protocol(2)})), mtime=0),
    "a tar of a sparse file": lambda: sparse_tar(tar_of({"model.pt": of_protocol(2)})),
    "a zip with a name of tensors": lambda: zip_of({"x/data/0": of_protocol(2)}),
    "a zip of arrays with a name of tensors": lambda: zip_of({"a.npy": array_of_numbers(), "x/data/0": of_protocol(2)}),
    "gzip of an old one": lambda: gzip.compress(protocol_0(), mtime=0),
    "an array of objects": lambda: array_of_objects(of_protocol(3)),
    **{
        f"an array of objects spelled {spelled}": spelling(spelled)
        for spelled in OBJECTS
    },
    "an array of objects, packed": lambda: gzip.compress(array_of_objects(of_protocol(3)), mtime=0),
    "numbers, and a pickle behind them": lambda: array_of_numbers() + of_protocol(4),
    "numbers, and objects behind them": lambda: array_of_numbers() * 3 + array_of_objects(of_protocol(3)),
    "numbers, and zeros and a pickle behind them": lambda: array_of_numbers() + bytes(16) + of_protocol(4),
    "more arrays than are looked at": lambda: array_of_numbers() * 200 + of_protocol(4),
    "a zip of arrays": lambda: zip_of({"a.npy": array_of_numbers(), "b.npy": array_of_objects(of_protocol(3))}),
    "PyTorch's zip": lambda: pytorch_zip({"data.pkl": of_protocol(2), "data/0": bytes(8)}),
    "PyTorch's zip, packed": lambda: zip_of({"a/data.pkl": of_protocol(2), "a/version": b"3\n"}, zipfile.ZIP_DEFLATED),
    "a zip with another name in it": lambda: zip_of({"weights.json": of_protocol(2)}),
    "a zip in a zip": lambda: zip_of({"inner.pt": pytorch_zip({"data.pkl": of_protocol(2)})}),
    "a tar": lambda: tar_of({"model.pt": of_protocol(2)}),
    "a packed tar": lambda: gzip.compress(tar_of({"model.pt": of_protocol(2)}), mtime=0),
}  # fmt: skip
"""What runs something, or may, when it is loaded by what loads such files."""

BEHIND: dict[str, Callable[[], bytes]] = {
    "zeros": lambda: bytes(16) + of_protocol(4),
    "a mark of byte order": lambda: b"\xef\xbb\xbf" + protocol_0(),
    "text": lambda: b"weights\n" + of_protocol(2),
    "a pickle of nothing": lambda: b"N." + protocol_0(),
    "a pickle that breaks off": lambda: b"\x80\x04\xff" + of_protocol(4),
    "what looks like zlib": lambda: b"\x78\x9c" + bytes(16) + of_protocol(4),
    "zeros, packed": lambda: gzip.compress(bytes(16) + of_protocol(4), mtime=0),
    "zeros, packed, and much behind": lambda: gzip.compress(bytes(16) + of_protocol(4) + bytes(3 << 20), mtime=0),
}
"""A pickle behind something else, where only who is told to looks for it: nobody knows what the file begins as."""

LOADED_NAMES = (
    "model.pkl", "model.joblib", "model.sav", "model.pt", "model.pth", "model.bin", "model.ckpt", "model.npy", "model.npz",
    "model.keras", "model.safetensors", "model.h5", "hf/pytorch_model.bin",
)  # fmt: skip
"""Names under which something is loaded that is unpickled, or may be, or is never anything but weights."""

NAMES = (
    "model.pkl", "model.pickle", "model.joblib", "model.pt", "model.bin", "model.ckpt", "model.sav", "model", "model.dat",
    "model.pb", "saved_model.pb", "model.onnx", "model.json", "model.npz", "model.npy", "model.keras", "model.h5", "model.hdf5",
    "model.txt", "README.md", "train.py", "metrics.csv", "image.png", "config.yaml", "model.safetensors", "model.gguf",
    "model.tflite", "assets/vocab.txt", "variables.index", ".hidden",
)  # fmt: skip
"""True names, no names, and false ones."""


def array_of_objects(pickled: bytes, spelled: str = "'|O'") -> bytes:
    return _array(b"{'descr': %s, 'fortran_order': False, 'shape': (1,), }" % spelled.encode()) + pickled


def array_of_numbers() -> bytes:
    return _array(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }") + bytes(8)


def _array(header: bytes) -> bytes:
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + pack("<H", len(header)) + header


def tar_of(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def old_tar(data: bytes) -> bytes:
    """Return a tar of one file as before POSIX: without a mark, so that its checksum alone tells what it is."""
    return _summed(data[:257] + bytes(8) + data[265:])


def sparse_tar(data: bytes) -> bytes:
    """Return a tar of one file as GNU marks one with holes; Python reads it as any other."""
    return _summed(data[:156] + b"S" + data[157:])


def _summed(data: bytes) -> bytes:
    total = sum(data[:148] + b" " * 8 + data[156:512])
    return data[:148] + b"%06o\0 " % total + data[156:]


def names_for(idea: str) -> tuple[str, ...]:
    """Return the names that *idea* is given: all, or few where each takes half a second."""
    return ("model.pkl", "model.onnx", "model") if idea == LONG else NAMES


def attacks() -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """Yield every idea under every name, each as what it is and the files of a run."""
    for idea, build in IDEAS.items():
        data = build()
        for name in names_for(idea):
            yield f"{idea}, as {name}", {name: data}
