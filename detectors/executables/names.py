"""What the names that a pickle imports can do: from plain data to running a program.

In goes a module and a name in it, out comes a `Grade`. What is not listed is unknown, never harmless: lists of what is bad are
always too short, so the list that decides is that of what only puts data together again.

A name with dots in it is followed through the attributes of its module, and so through all that the module imports: a module
vouches for its own names only. How a name is split into module and name changes nothing of what runs.

Laws (each has a test of the same name):
    a name that is not listed is unknown;
    no name of a module that runs programs is plain or known;
    a name with dots in it is never known;
    a name that is too long is unknown at once.

Source: the names that Python, numpy, torch and scikit-learn write (`torch/_weights_only_unpickler.py`, torch 2.9); the
gadgets that picklescan and its advisories name (CVE-2025-1716, -1889, -1944, -10155 and others).
"""

from __future__ import annotations

import re
from enum import IntEnum


class Grade(IntEnum):
    """What importing and calling a name may do, harmless first."""

    PLAIN = 0
    """It makes containers, numbers, text, arrays or tensors of what is given."""
    KNOWN = 1
    """It is a class of a well-known library, whose objects are made of what is given; its code is that of the library."""
    UNKNOWN = 2
    """It is nobody's that is known here: importing it runs its module, calling it does whatever it does."""
    CODE = 3
    """It makes functions or classes of code that the pickle brings along."""
    RUNS = 4
    """It runs programs or code, imports by name, opens files or connections, or unpickles again."""


def grade(module: str, name: str) -> Grade:
    """Return what importing *name* of *module*, and calling it, may do."""
    if len(module) > MAX_NAME_LENGTH or len(name) > MAX_NAME_LENGTH:
        return Grade.UNKNOWN
    whole = f"{module}.{name}"
    if _runs(module, name):
        return Grade.PLAIN if whole in PLAIN else Grade.RUNS
    if whole in PLAIN or (module in BUILTINS and name in PLAIN_BUILTINS) or PLAIN_FORM.fullmatch(whole):
        return Grade.PLAIN
    if _is_below(module, CARRYING):
        return Grade.CODE
    is_known = "." not in name and name not in BORROWED and (KNOWN_FORM.fullmatch(whole) or whole in KNOWN)
    return Grade.KNOWN if is_known else Grade.UNKNOWN


def _runs(module: str, name: str) -> bool:
    """Tell whether *name* of *module* runs programs, or is reached through what does."""
    first, dot, _ = name.partition(".")
    if module in BUILTINS and first in RUNNING_BUILTINS:
        return True
    if any(part in RUNNING for part in name.split(".")[:-1]) or (dot and _is_below(name, ALL_RUNNING)):
        return True
    return _is_below(f"{module}.{name}", ALL_RUNNING)


def _is_below(name: str, names: frozenset[str]) -> bool:
    """Tell whether *name* is one of *names*, or lies in one."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in names for count in range(1, len(parts) + 1))


MAX_NAME_LENGTH = 512
"""Characters of a module, and of a name in it, that are looked at: no honest one is longer."""

BUILTINS = frozenset({"builtins", "__builtin__", "__builtins__"})

PLAIN_BUILTINS = frozenset(
    "set frozenset list dict tuple bytearray bytes int long float complex bool str unicode object slice range xrange"
    " Ellipsis NotImplemented".split()
)

RUNNING_BUILTINS = frozenset(
    "eval exec execfile compile open file __import__ input raw_input breakpoint globals locals vars delattr setattr apply map"
    " filter reload help exit quit memoryview __build_class__".split()
)
"""`getattr` is not among them: bound methods and members of enumerations are pickled with it. It is unknown."""

RUNNING = frozenset(
    "os posix nt subprocess _posixsubprocess sys shutil pty tty commands popen2 platform socket _socket socketserver ssl"
    " asyncio asyncore asynchat multiprocessing _multiprocessing billiard threading _thread thread concurrent signal resource"
    " runpy importlib _frozen_importlib _frozen_importlib_external imp pkgutil zipimport zipapp pip setuptools distutils"
    " ensurepip venv pkg_resources site sysconfig code codeop ctypes _ctypes cffi pickle _pickle cPickle pickletools marshal"
    " shelve dbm sqlite3 _sqlite3 inspect gc webbrowser antigravity urllib urllib2 urllib3 requests aiohttp httpx httplib http"
    " ftplib smtplib telnetlib poplib imaplib nntplib xmlrpc xmlrpclib bdb pdb ipdb cProfile profile _lsprof trace timeit"
    " doctest unittest pytest nose pydoc idlelib lib2to3 tempfile fileinput linecache glob cmd cgi getpass io _io codecs mmap"
    " fcntl rlcompleter readline faulthandler atexit logging.config logging.handlers wsgiref paramiko fabric psutil pexpect"
    " invoke IPython numpy.testing numpy.f2py numpy.distutils numpy.ctypeslib torch.hub torch.utils.cpp_extension"
    " torch.utils.collect_env torch.utils.bottleneck torch.utils._config_module torch.distributed.rpc torch._dynamo"
    " torch._inductor torch.jit.unsupported_tensor_ops tensorflow.python.lib.io tensorflow.io pandas.io.pickle"
    " pandas.core.computation joblib.memory joblib.externals.loky scipy.weave jinja2".split()
)
"""Modules, with all that lies below them, that honest models have no name of, but for those in `PLAIN`."""

RUNNING_NAMES = frozenset(
    "operator.methodcaller numpy.load numpy.loadtxt numpy.genfromtxt numpy.fromfile"
    " numpy.lib.npyio.load numpy.lib._npyio_impl.load numpy.memmap numpy.lib.npyio.NpzFile torch.load torch.save"
    " torch.serialization.load torch.jit.load torch.package.PackageImporter torch.ops.load_library torch.classes.load_library"
    " torch.compile joblib.load joblib.numpy_pickle.load pandas.read_pickle pandas.eval pandas.read_csv dill.load dill.loads"
    " dill._dill.load dill._dill.loads cloudpickle.load cloudpickle.loads cloudpickle.cloudpickle.load"
    " cloudpickle.cloudpickle.loads functools.reduce logging.FileHandler pathlib.Path.write_text pathlib.Path.read_text"
    " pathlib.Path.unlink pathlib.Path.write_bytes pathlib.Path.open keras.utils.get_file tensorflow.keras.utils.get_file"
    " keras.src.utils.file_utils.get_file sympy.sympify sympy.core.sympify.sympify".split()
)

ALL_RUNNING = RUNNING | RUNNING_NAMES

CARRYING = frozenset("cloudpickle dill types _types joblib.externals.cloudpickle jsonpickle marshmallow".split())
"""Modules with which pickles bring code of their own."""

PLAIN = frozenset(
    "copyreg._reconstructor copy_reg._reconstructor copyreg.__newobj__ copy_reg.__newobj__ _codecs.encode"
    " collections.OrderedDict collections.defaultdict collections.deque collections.Counter datetime.datetime datetime.date"
    " datetime.time datetime.timedelta datetime.timezone decimal.Decimal fractions.Fraction uuid.UUID uuid.SafeUUID"
    " argparse.Namespace types.SimpleNamespace types.NoneType pathlib.PosixPath pathlib.WindowsPath pathlib.PurePosixPath"
    " pathlib.PureWindowsPath pathlib.Path pathlib._local.PosixPath pathlib._local.WindowsPath"
    " io.BytesIO _io.BytesIO io.StringIO _io.StringIO array._array_reconstructor"
    " array.array numpy.dtype numpy.ndarray numpy.core.multiarray._reconstruct numpy._core.multiarray._reconstruct"
    " numpy.core.multiarray.scalar numpy._core.multiarray.scalar numpy.core.numeric._frombuffer"
    " numpy._core.numeric._frombuffer numpy.random._pickle.__randomstate_ctor numpy.random._pickle.__generator_ctor"
    " numpy.random._pickle.__bit_generator_ctor numpy.random.__RandomState_ctor numpy.ma.core._mareconstruct"
    " numpy.ma.core.MaskedArray scipy.sparse._csr.csr_matrix torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2"
    " torch._utils._rebuild_tensor_v3 torch._utils._rebuild_parameter torch._utils._rebuild_parameter_with_state"
    " torch._utils._rebuild_qtensor torch._utils._rebuild_sparse_tensor torch._utils._rebuild_sparse_csr_tensor"
    " torch._utils._rebuild_nested_tensor torch._utils._rebuild_device_tensor_from_numpy"
    " torch._utils._rebuild_device_tensor_from_cpu_tensor torch._utils._rebuild_meta_tensor_no_storage"
    " torch._utils._rebuild_wrapper_subclass torch._tensor._rebuild_from_type_v2 torch._tensor._rebuild_from_type"
    " torch.nn.parameter.Parameter torch.nn.parameter.Buffer torch.Tensor torch.Size torch.device torch.dtype"
    " torch.serialization._get_layout torch.storage.UntypedStorage torch.storage.TypedStorage torch.storage._UntypedStorage"
    " torch.storage._TypedStorage torch.Generator torch.jit._pickle.build_intlist torch.jit._pickle.build_doublelist"
    " torch.jit._pickle.build_boollist torch.jit._pickle.build_tensorlist torch.jit._pickle.restore_type_tag"
    " torch.jit._pickle.build_tensor_from_id".split()
)
"""Whole names that only make data of what they are given."""

PLAIN_FORM = re.compile(
    r"numpy\.(?:u?int|float|complex|bool|str|bytes|void|object|datetime|timedelta|unicode|longdouble|longlong)\d{0,3}_?"
    r"|numpy\.dtypes\.[A-Z]\w*DType"
    r"|torch\.(?:cuda\.|sparse\.)?[A-Z][A-Za-z0-9]*(?:Storage|Tensor)"
    r"|torch\.(?:u?int|q?u?int|float|complex|bfloat|bool|half|double|long|short|float8_e\dm\d\w*)\d{0,3}(?:_\w+)?"
    r"|scipy\.sparse\.(?:_?[a-z]+\.)?[a-z]{3}_(?:matrix|array)"
)

KNOWN = frozenset(
    "joblib.numpy_pickle.NumpyArrayWrapper joblib.numpy_pickle.ZNDArrayWrapper joblib.numpy_pickle.NDArrayWrapper"
    " sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper sklearn.externals.joblib.numpy_pickle.ZNDArrayWrapper"
    " sklearn.externals.joblib.numpy_pickle.NDArrayWrapper sklearn.datasets.base.Bunch sklearn.datasets._base.Bunch"
    " pandas._libs.internals._unpickle_block pandas.core.indexes.base._new_Index pandas.core.internals.managers.BlockManager"
    " pandas._libs.arrays.__pyx_unpickle_NDArrayBacked pandas.core.internals.blocks.new_block"
    " sklearn.neighbors._kd_tree.newObj sklearn.neighbors._ball_tree.newObj sklearn.metrics._dist_metrics.newObj".split()
)

BORROWED = frozenset(
    "GzipFile BZ2File LZMAFile ZipFile TarFile NamedTemporaryFile TemporaryFile TemporaryDirectory SpooledTemporaryFile Popen"
    " FileIO FileHandler RotatingFileHandler Request Thread Timer Process ThreadPool ThreadPoolExecutor ProcessPoolExecutor"
    " CDLL PyDLL WinDLL LibraryLoader DataSource NpzFile Unpickler Pickler Memory MemmappingPool".split()
)
"""Classes that open, run or unpickle, which many modules import under their own name: a name of a known module is theirs."""

KNOWN_FORM = re.compile(
    r"(?:sklearn(?!\.(?:datasets|externals)\b)|xgboost|lightgbm|catboost|torch\.nn\.modules|torch\.optim|torchvision\.models|scipy\.(?:sparse|spatial"
    r"|interpolate)|pandas\.core|transformers\.(?:training_args|trainer_utils|models(?!\.rag\b)|configuration_utils)|accelerate"
    r"|gensim\.models\.(?:word2vec|keyedvectors|doc2vec|fasttext|ldamodel|ldamulticore|lsimodel|tfidfmodel|hdpmodel|phrases|nmf"
    r"|rpmodel|logentropy_model|normmodel|atmodel|ldaseqmodel|poincare)|imblearn|category_encoders|numpy\.random)"
    r"(?:\.\w+)*\.[A-Z][A-Za-z0-9]*"
)
"""Classes, which begin with a capital letter, of libraries whose objects are pickled every day.

Distributions of SciPy, and of statsmodels, are not among them: they run a text of their state as they are loaded
(scipy/stats/_distn_infrastructure.py, rv_generic.__setstate__). Nor are the classes of gensim that start a program whose path
is in their state (gensim/models/wrappers, and older releases beside it), nor what unpickles an index that it is told of
(transformers/models/rag/retrieval_rag.py, LegacyIndex), nor what of scikit-learn fetches data or is another
library.
"""
