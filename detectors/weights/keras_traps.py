"""What a configuration of Keras makes a loader do besides building layers, told from its JSON alone.

In goes a configuration, out come findings, and what in it nobody knows enough about to call it harmless. Nothing is built,
imported or unpickled; the code of a Lambda layer is only searched for names.

    trap                                                     since                            severity
    a Lambda layer, whose code lies in the file              CVE-2024-3660, CVE-2025-9905     medium; its names run: critical
    an object of a module that runs programs                 CVE-2025-1550                    critical
    an object of a module that is nobody's                   CVE-2025-1550                    medium
    a function of Keras that loads, fetches or unlocks       CVE-2025-8747, -9906, -12060     high
    one of TensorFlow that loads, touches files or runs      CVE-2025-1550                    high; others: medium
    TorchModuleWrapper, which unpickles                      CVE-2025-49655                   high
    TFSMLayer, which loads a SavedModel                      CVE-2026-1462                    medium; from outside: high
    KerasLayer of TensorFlow Hub, which fetches and loads    –                                medium
    an operation of TensorFlow as a layer (`keras_ops`)      CVE-2025-1550                    high; unknown: medium
    a vocabulary in a file (absolute, `..`, a URL)           CVE-2025-12058                   high; beside the model: low
    a name that leads out of the folder weights are read to  CVE-2026-12479                   high
    safe mode, switched off                                  CVE-2025-9906                    high

Law (has a test of the same name):
    any JSON gives findings.

Source: keras/src/saving/serialization_lib.py, keras/src/layers/core/lambda_layer.py, keras/src/utils/torch_utils.py and
keras/src/export/tfsm_layer.py, Keras 3.15; the advisories named above.
"""

from __future__ import annotations

import binascii
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from detectors.executables.names import RUNNING, RUNNING_BUILTINS, Grade, grade
from detectors.facts import Finding, Severity
from detectors.tree import readable
from detectors.weights.keras_ops import of_attribute, of_function, of_method, of_operator

MAX_FINDINGS = 100
"""Of one severity in one configuration; the first are told."""

HOLDING = (dict, list)
"""Values of JSON in which others lie."""

SHOWN_BYTES = 100

MAX_NAME = 512
"""Characters of a module with what is taken from it; longer ones are nobody's, and not looked at further."""

UNKNOWN = {
    "keras-lambda": "code that it brings along",
    "keras-foreign-object": "objects that are no part of Keras",
    "keras-loads-code": "a program that it loads",
    "keras-runs-function": "functions of TensorFlow that are not known here",
}
"""What nobody here knows the effect of, by rule."""

OPERATIONS = frozenset("TFOpLambda SlicingOpLambda ClassMethod InstanceProperty InstanceMethod TensorFlowOpLayer".split())
"""Layers in which Keras 2 keeps what TensorFlow does between two others (tf_keras/src/layers/core/tf_op_layer.py)."""

OWN = frozenset(
    "keras tf_keras tensorflow keras_hub keras_nlp keras_cv keras_tuner keras_core keras_contrib tensorflow_addons"
    " tensorflow_hub tensorflow_text tensorflow_probability tensorflow_decision_forests bayesflow".split()
)
"""Packages whose layers stand in honest configurations."""

LOADING_MODULES = re.compile(
    r"(?:tf_keras|keras|tensorflow\.keras|tensorflow\.python\.keras)(?:\.(?:src|api|_tf_keras|keras))*"
    r"\.(?:utils|saving|config|export|backend|distribution|models\.(?:model|cloning|sharpness)|legacy\.saving|legacy\.backend)(?:\..*)?"
)
"""Modules of Keras with functions that fetch, load, unpack, save or switch something."""

LOADING_NAMES = frozenset(
    "get_file load_model save_model load_weights save_weights load_model_from_hdf5 load_img save_img load_data model_from_json"
    " model_from_config deserialize_keras_object enable_unsafe_deserialization extract_archive extract_open_archive"
    " pickle_utils deserialize_model_from_bytecode set_backend import_module populate_dict_with_module_objects"
    " custom_object_scope register_keras_serializable".split()
)

BESIDE_KERAS = frozenset(package for package in OWN if package.startswith("tensorflow"))
"""Packages that hold much else than parts of models."""

PARTS = re.compile(
    r"\.keras\.(?:[a-z_]+\.)*(?:activations|initializers|regularizers|constraints|losses|metrics)(?:\.[a-z_]+)?$"
    r"|^tensorflow_addons\.(?:activations|losses|metrics)(?:\.[a-z_]+)?$"
)
"""Modules in which every function computes."""

COUNTING = re.compile(r"tensorflow(?:\.compat\.v[12])?(?:\.nn|\.math|\.python\.ops\.(?:gen_)?(?:nn|math|array)(?:_ops|_impl))?")

FUNCTIONS = frozenset(
    "relu relu6 leaky_relu elu selu gelu crelu silu swish softmax log_softmax softplus softsign sigmoid log_sigmoid tanh linear"
    " identity exp log sqrt rsqrt square abs sin cos erf add subtract multiply divide truediv matmul maximum minimum pow"
    " reduce_sum reduce_mean reduce_max reduce_min concat stack reshape transpose expand_dims squeeze cast l2_normalize".split()
)
"""Functions of TensorFlow that stand as activations and the like, in modules of `COUNTING`."""

TOUCHING = re.compile(
    r"\.(?:load\w*|\w*_load|save\w*|write_\w+|read_\w+|\w+_file|matching_files|delete\w*|remove|rename|copy|rmtree|mkdir|makedirs"
    r"|gfile|file_io|io|saved_model|lib|platform|loader\w*|py_func\w*|numpy_function|eager_py_func\w*|script_ops"
    r"|import_graph_def|wrap_function|train|data|summary|profiler|debugging|distribute|app|flags|resolve|module_v2|autograph)\."
)
"""What stands in the whole name of a function that loads programs, touches files or runs code."""

BUILTINS = frozenset({"builtins", "__builtin__"})

FILE_KEYS = frozenset({"vocabulary", "vocabulary_file", "vocab_file", "vocabulary_path", "sub_word_vocabulary"})

TABLE_KEYS = frozenset({"proto", "merges"})
"""Where tokenizers of keras_hub have a table itself, or the name of its file (keras_hub/src/tokenizers)."""

KEYS = FILE_KEYS | TABLE_KEYS | {"class_name", "safe_mode", "name"}
"""What is looked at in an object of a configuration; one that has none of them is passed by."""

MAX_FILE_NAME = 4096

TYPE_SPEC = "__typespec__"
TYPE_SPECS = frozenset("TensorSpec RaggedTensorSpec SparseTensorSpec NoneTensorSpec OptionalSpec VariableSpec".split())
"""What Keras keeps the types of tensors as (keras/src/saving/serialization_lib.py)."""

CODE_NAME = re.compile(rb"[\xda\xfa\x5a\x7a\x75\x61\x41\x74\xf4\xf5\xe1\xc1].{1,4}?([A-Za-z_][A-Za-z0-9_.]{1,40})", re.DOTALL)
"""A short text as `marshal` writes it: a letter, its length, its characters. What else looks so is no name that matters."""

RUNNING_IN_CODE = frozenset(name for name in (*RUNNING, *RUNNING_BUILTINS) if "." not in name and len(name) > 1) - frozenset(
    "map filter apply input help vars file code io exit quit codecs inspect".split()
)
"""Names that no layer needs. Those that are left out are common words, or names of variables."""


@dataclass(frozen=True, slots=True)
class Traps:
    """What one configuration holds. *unknown* says, in a few words each, what nobody here knows the effect of."""

    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()


def traps_of(config: Any, path: str, place: str) -> Traps:
    """Return the traps in *config*, any value that `parse_json` gives, which stands at *place* in the file *path*."""
    search = _Search(path, place)
    for part in _parts(config):
        if not KEYS.isdisjoint(part):
            search.look(part)
    return Traps(tuple(search.findings.values()), tuple(search.unknown))


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in *config*, however deep, outer ones first."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield value
            pending.extend(inner for inner in reversed(value.values()) if isinstance(inner, HOLDING))
        elif isinstance(value, list):
            pending.extend(inner for inner in reversed(value) if isinstance(inner, HOLDING))


@dataclass(slots=True)
class _Search:
    path: str
    place: str
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)
    told: Counter[Severity] = field(default_factory=Counter)

    def look(self, part: dict[str, Any]) -> None:
        """Look at one object of the configuration."""
        name, module, config = _text(part, "class_name"), _text(part, "module"), part.get("config")
        if name is not None:
            self._code(name, config)
            self._origin(module, _text(part, "spec_name") if name == TYPE_SPEC else name, config)
        if part.get("safe_mode") is False:
            self._found("keras-unsafe", Severity.HIGH, "safe_mode", "switches safe mode off, so that all else is loaded")
        self._files(part)
        self._name(_text(part, "name"))

    def _code(self, name: str, config: Any) -> None:
        """Look at layers that bring code along, or load it."""
        inner = config if isinstance(config, dict) else {}
        if name == "Lambda" or name == "__lambda__":
            running = sorted(set(_names_in(inner.get("code") if name == "__lambda__" else inner.get("function"))))
            if running:
                message = f"the code of a Lambda layer names {', '.join(running[:5])}, which layers do not need"
                self._found("keras-lambda", Severity.CRITICAL, "code", message)
            message = "a Lambda layer is Python code that runs when the model is loaded without safe mode"
            self._found("keras-lambda", Severity.MEDIUM, "", message)
        elif name == "TorchModuleWrapper":
            message = "TorchModuleWrapper unpickles a PyTorch module that lies in the configuration"
            self._found("keras-loads-code", Severity.HIGH, name, message)
        elif name == "TFSMLayer":
            file = _text(inner, "filepath") or ""
            severity = Severity.HIGH if leads_out(file) else Severity.MEDIUM
            message = f"TFSMLayer loads a SavedModel, which is a program, from {_shown(file)}"
            self._found("keras-loads-code", severity, f"{name} {file}", message)
        elif name == "KerasLayer" and (handle := _text(inner, "handle")):
            message = f"KerasLayer fetches and loads a SavedModel, which is a program, from {_shown(handle)}"
            self._found("keras-loads-code", Severity.MEDIUM, f"{name} {handle}", message)
        elif name in OPERATIONS:
            self._operation(name, inner)

    def _operation(self, name: str, config: dict[str, Any]) -> None:
        """Look at a layer that calls what TensorFlow has under a name."""
        operator = config.get("node_def")
        called, severity = "", None
        if max((len(text) for text in config.values() if isinstance(text, str)), default=0) > MAX_NAME:
            called, severity = "a name that is too long", Severity.MEDIUM
        elif function := _text(config, "function"):
            called, severity = f"tf.{function}", of_function(function)
        elif symbol := _text(config, "cls_symbol"):
            method = _text(config, "method_name") or ""
            called, severity = f"tf.{symbol}.{method}", of_method(symbol, method)
        elif attribute := _text(config, "attr_name"):
            called, severity = attribute, of_attribute(attribute)
        elif isinstance(operator, dict) and (op := _text(operator, "op")):
            called, severity = op, of_operator(op)
        elif operator is not None:
            called, severity = "an operator that is packed", Severity.MEDIUM
        if severity is Severity.HIGH:
            message = f"a layer ({name}) calls {_shown(called)}, which loads, touches files, connects or runs code"
            self._found("keras-runs-function", Severity.HIGH, called, message)
        elif severity is not None:
            message = f"a layer ({name}) calls {_shown(called)} of TensorFlow, and what that does is not known here"
            self._found("keras-runs-function", Severity.MEDIUM, called, message)

    def _origin(self, module: str | None, name: str | None, config: Any) -> None:
        """Look at where an object comes from: *module*, None where Keras looks the name up among its own."""
        called = config if isinstance(config, str) else name or ""
        whole = f"{module}.{called}" if module else called
        if module is not None and len(whole) > MAX_NAME:
            self._found("keras-foreign-object", Severity.MEDIUM, whole[:MAX_NAME], f"{_shown(whole)} is no part of Keras")
        elif called.rpartition(".")[2] in LOADING_NAMES or (
            module is not None and LOADING_MODULES.fullmatch(module) and not called[:1].isupper()
        ):
            message = f"{_shown(whole)} is a function of Keras that fetches, loads, unpacks or unlocks something"
            self._found("keras-runs-function", Severity.HIGH, whole, message)
        elif _touches(module, called):
            message = f"{_shown(whole)} is a function of TensorFlow that loads programs, touches files or runs code"
            self._found("keras-runs-function", Severity.HIGH, whole, message)
        elif module is None or _is_harmless(module, called):
            return
        elif grade(module, called) is Grade.RUNS:
            message = f"{_shown(whole)} runs programs or code, and is named as a part of the model"
            self._found("keras-foreign-object", Severity.CRITICAL, whole, message)
        else:
            message = f"{_shown(whole)} is no part of Keras; older versions import its module and call it"
            self._found("keras-foreign-object", Severity.MEDIUM, whole, message)

    def _files(self, part: dict[str, Any]) -> None:
        """Look at files that layers read when they are made."""
        for key in FILE_KEYS & part.keys():
            if not (file := _text(part, key)):
                continue
            severity = Severity.HIGH if leads_out(file) else Severity.LOW
            self._found(
                "keras-reads-file", severity, f"{key} {file}", f"a layer reads {_shown(file)} when it is loaded ({key})"
            )
        for key in TABLE_KEYS & part.keys():
            if len(file := _text(part, key) or "") <= MAX_FILE_NAME and leads_out(file):
                message = f"a layer reads {_shown(file)} when it is loaded ({key})"
                self._found("keras-reads-file", Severity.HIGH, f"{key} {file}", message)

    def _name(self, name: str | None) -> None:
        if name and leads_out(name):
            message = f"the name {_shown(name)} leads out of the folder that weights and assets are written to"
            self._found("keras-name-outside", Severity.HIGH, name, message)

    def _found(self, rule: str, severity: Severity, what: str, message: str) -> None:
        if (rule, what) not in self.findings:
            self.told[severity] += 1
            if self.told[severity] <= MAX_FINDINGS:
                self.findings[rule, what] = Finding(rule, severity, self.path, self.place, message)
        if severity is Severity.MEDIUM and rule in UNKNOWN:
            self.unknown.update({UNKNOWN[rule]: None})


def _touches(module: str | None, called: str) -> bool:
    """Tell whether a name of TensorFlow, or of what is built on it, is one that loads programs, touches files or runs code."""
    if module is None or module.partition(".")[0] not in BESIDE_KERAS:
        return False
    return not _is_class(called) and TOUCHING.search(f".{module}.{called}.") is not None


def _is_harmless(module: str, called: str) -> bool:
    """Tell whether an object is one of the parts that layers are made of."""
    if module in BUILTINS and called not in RUNNING_BUILTINS:
        return True
    package = module.partition(".")[0]
    if package not in OWN:
        return False
    if package == "tensorflow" and called in TYPE_SPECS:
        return True
    if package not in BESIDE_KERAS:
        return "." not in called and called not in RUNNING_IN_CODE
    if _is_class(called):
        return package != "tensorflow" or ".keras." in f"{module}."
    if "." in called or called in RUNNING_IN_CODE:
        return False
    return PARTS.search(module) is not None or (called in FUNCTIONS and COUNTING.fullmatch(module) is not None)


def _is_class(called: str) -> bool:
    return called[:1].isupper() and "." not in called


OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:[/\\]|[A-Za-z][A-Za-z0-9+.-]+:/")
"""What an absolute path or a URL begins with."""


def leads_out(path: str) -> bool:
    """Tell whether *path* is absolute, a URL, or leads above the folder that it is taken from."""
    return OUTSIDE.match(path) is not None or ".." in re.split(r"[/\\]", path) or path.startswith("~")


def _names_in(function: Any) -> Iterator[str]:
    """Yield the running names in the packed code of a function: a text in base64, alone, first in a list, or as `code`."""
    if isinstance(function, dict):
        inner = function.get("config")
        function = inner.get("code") if isinstance(inner, dict) else function.get("code")
    if isinstance(function, list):
        function = function[0] if function else None
    if not isinstance(function, str):
        return
    try:
        code = binascii.a2b_base64(function)
    except (binascii.Error, ValueError):
        code = function.encode("utf-8", "surrogateescape")
    for found in CODE_NAME.finditer(code):
        for start in range(3):
            word = found[1][start:].decode("ascii")
            if word in RUNNING_IN_CODE:
                yield word


def _text(part: dict[str, Any], key: str) -> str | None:
    value = part.get(key)
    return value if isinstance(value, str) else None


def _shown(text: str) -> str:
    return repr(readable(text[:SHOWN_BYTES]))
