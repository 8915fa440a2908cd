"""Code that the texts beside a model name, and that its loader imports, loads or renders.

In goes a tree, out come findings, and the files of which nobody knows what they make a loader run. Files are found by their
names alone; each that has one of these is read, within the limits of the scan, and no other. Nothing is imported or rendered.

    config.json, tokenizer_config.json, …   {"auto_map": {"AutoModel": "modeling_x.Class"}}, or "owner/name--modeling_x.Class"
                                            {"custom_pipelines": {"task": {"impl": "module.Class"}}}
    modules.json                            [{"type": "module.Class"}]
    router_config.json, config.json         {"types": {"name": "module.Class"}}, {"activation_function": "module.Class"}
    adapter_config.json                     {"auto_mapping": {"parent_library": "module"}}
    model_index.json                        {"part": ["module", "Class"]}
    modular_model_index.json                {"part": ["module", "Class", {"type_hint": ["module", "Class"]}]}
    chat_template.json, *.jinja and others  {"chat_template": "…"}: `detectors.chat_templates`
    genai_config.json                       {"custom_ops_library": "library.so"} and other options, anywhere inside
    MLmodel                                 flavors: python_function: loader_module: a module that MLflow imports,
                                            or model_code_path: source that it runs
    pickle_module_info.txt, keras_module.txt    a module that MLflow imports

transformers and sentence-transformers take a module beside the model, or out of another repository, when they are told to
trust remote code; MLflow and onnxruntime-genai do not ask.

Source: transformers, `dynamic_module_utils.get_class_from_dynamic_module` and `utils/__init__.py`, 4.57; sentence-transformers,
`SentenceTransformer._load_sbert_model`, 5; diffusers, `modular_pipelines/modular_pipeline.py`, 0.39; onnxruntime-genai,
`src/config.cpp`; mlflow/pyfunc/__init__.py, MLflow 3.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from detectors import chat_templates
from detectors.detection import Contents, folder_of
from detectors.errors import ModelError, Unreadable
from detectors.escapes import unescaped
from detectors.facts import Finding, Severity
from detectors.json_text import parse_json
from detectors.tree import FileEntry, readable
from detectors.weights.keras_traps import leads_out

CONFIGURATION = re.compile(
    r"config\.json|(?:modular|tokenizer|processor|preprocessor|image_processor|video_preprocessor|feature_extractor"
    r"|audio_tokenizer|generation)_config\.json|tokenizer(?:\.[\w.-]+)?_config\.json|chat_template[\w.-]*\.json"
)
"""But for those that transformers takes for one of its versions, which have `config.`, and `.json` anywhere behind it."""

MODULES = "modules.json"
ROUTER = "router_config.json"
ADAPTER = "adapter_config.json"
PIPELINE = "model_index.json"
MODULAR_PIPELINE = "modular_model_index.json"
MODULAR_BLOCKS = "modular_config.json"
GENAI = "genai_config.json"
MLMODEL = "MLmodel"
JINJA = ".jinja"

MAX_TEXT_BYTES = 16 << 20
"""Of one such file; a tokenizer with a hundred thousand added tokens has that."""

MAX_NAMED_BYTES = 64 << 20
MAX_PARSED_BYTES = 32 << 20
"""Of all such files of a scan, and of those with one of the words that matter; a second for 5 MB of the densest JSON."""

MAX_SEARCHED_BYTES = 2 << 20
"""Of all chat templates and `MLmodel` of a scan; one has some KB, and a MB of the worst takes a second."""

MAX_NAMED_FILES = 2_000
"""Such files in one scan; each is a request on object storage."""

MAX_REFERENCES = 100_000
"""Names and templates in all such files of a scan: a second."""

MAX_NAMES = 20
"""Names of code in one file that are told one by one, and one more where that is worse."""

TEMPLATE = "chat_template"
IMPORTING = frozenset({"auto_map", "custom_pipelines"})
"""Keys below which every text is a class in a module, but for the model classes of a pipeline."""

PIPELINE_CLASSES = frozenset({"pt", "tf", "type", "default"})
"""Keys of a pipeline that name classes of transformers, a kind, and models."""

OWN_MODULES = "sentence_transformers."
OF_TORCH = "torch."
SENTENCES = "sentence-transformers imports"
ACTIVATIONS = frozenset({"activation_function", "activation_fn", "sbert_ce_default_activation_function"})
"""Keys that have a class in a module in sentence-transformers, and a name without a dot in others."""

LIBRARY = "parent_library"
LIBRARIES_OF_MODELS = frozenset(
    "__main__ accelerate diffusers onnxruntime peft sentence_transformers timm torch torchaudio torchvision "
    "transformers".split()
)
"""First parts of the modules that adapters and pipelines have their classes from."""

OF_DIFFUSERS = frozenset(
    "ace_step alt_diffusion audioldm2 blip_diffusion controlnet deepfloyd_if flux flux2 ideogram4 kandinsky kolors "
    "latent_diffusion ltx ltx2 musicldm paint_by_example shap_e stable_audio stable_cascade stable_diffusion "
    "stable_diffusion_safe unclip unidiffuser versatile_diffusion wuerstchen".split()
)
"""Folders of diffusers that have classes which a pipeline may name; one that lacks them takes a file beside the model."""


IMPORTS = "model-imports-code"

PLUGINS = "trt_extra_plugin_lib_paths"
PACKAGES = "op_packages"
LIBRARIES = frozenset({"custom_ops_library", "backend_path", PLUGINS, PACKAGES})
FILES = frozenset({"filename", "config_filename", "adapter_filename"})
"""Keys of genai_config.json with libraries, and with other files that the runtime reads."""

OF_QUALCOMM = re.compile(r"(?:lib)?Qnn\w+\.(?:dll|so)", re.IGNORECASE)
"""Libraries that come with the runtime of Qualcomm's devices, which its configurations name."""

LOADER = "loader_module"
CODE_PATH = "model_code_path"
NEXT_KEY = r"[ \t]*\r?$(?=\n {0,4}\w+:(?:[ \r\n]|\Z)|\n?\Z)"
"""What ends a line of MLflow's: a value may go on in the next, but where that is a key."""

OWN_LINES = {
    LOADER: re.compile(rf"^    loader_module: mlflow(?:\.\w+)*{NEXT_KEY}", re.MULTILINE),
    CODE_PATH: re.compile(rf"^    model_code_path: null{NEXT_KEY}", re.MULTILINE),
}
"""The only way in which MLflow writes where its own loaders are, and that there is no source to run."""

OF_MLFLOW = {
    "pickle_module_info.txt": re.compile(r"pickle|cloudpickle|mlflow\.pytorch\.pickle_module"),
    "keras_module.txt": re.compile(r"(?:keras|tf_keras|tensorflow)(?:\.\w+)*"),
}
"""Files of one name of a module each, and the names that MLflow writes there."""

NAMED_LOADER = re.compile(r"loader_module['\"]?[ \t]*:[ \t]*['\"]?([\w.]+)")

SHOWN = 200


@dataclass(slots=True)
class _Seen:
    """What one file, *path*, makes its loaders do."""

    contents: Contents
    path: str
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)

    def found(self, rule: str, severity: Severity, place: str, message: str, path: str | None = None) -> None:
        where = path or self.path
        if len(self.findings) < MAX_NAMES + (severity is Severity.HIGH):
            self.findings.setdefault((where, message), Finding(rule, severity, where, place, message))
        else:
            self.unknown[f"names more code than is told one by one (limit MAX_NAMES, {MAX_NAMES})"] = None

    def count(self) -> None:
        """Count a name or a template.

        Raises:
            ModelLimit: there are more in this scan than `MAX_REFERENCES`.
        """
        self.contents.spend(self.path, "MAX_REFERENCES", 1, MAX_REFERENCES)


def look(contents: Contents) -> tuple[tuple[Finding, ...], dict[str, str]]:
    """Return what the texts make a loader run, and by path why a file does not count as looked at.

    Raises:
        TreeChanged, TreeUnavailable: as the tree.
    """
    findings: dict[Finding, None] = {}
    unread: dict[str, str] = {}
    for entry in contents.entries:
        name = entry.path.rpartition("/")[2]
        if not entry.size or not _is_named(name):
            continue
        seen = _Seen(contents, entry.path)
        try:
            _look_at(seen, name, _read(contents, entry))
        except (ModelError, Unreadable) as exc:
            seen.unknown[f"not looked at: {exc.reason}"] = None
        findings.update(dict.fromkeys(seen.findings.values()))
        if seen.unknown:
            unread[entry.path] = "; ".join(seen.unknown)
    return tuple(findings), unread


def _is_named(name: str) -> bool:
    if name in (MODULES, ROUTER, ADAPTER, PIPELINE, MODULAR_PIPELINE, GENAI, MLMODEL, *OF_MLFLOW) or name.endswith(JINJA):
        return True
    return CONFIGURATION.fullmatch(name) is not None or ".json" in name.partition("config.")[2]


def _read(contents: Contents, entry: FileEntry) -> bytes:
    """Return a file, counted towards what all of them may cost.

    Raises:
        ModelLimit: it is larger than a named limit, or the last of too many.
    """
    contents.spend(entry.path, "MAX_NAMED_FILES", 1, MAX_NAMED_FILES)
    if entry.size <= MAX_TEXT_BYTES:
        contents.spend(entry.path, "MAX_NAMED_BYTES", entry.size, MAX_NAMED_BYTES)
    return contents.read_whole(entry, "MAX_TEXT_BYTES", MAX_TEXT_BYTES)


def _look_at(seen: _Seen, name: str, data: bytes) -> None:
    if name == MLMODEL:
        _mlmodel(seen, data.decode("utf-8", "replace"))
    elif name in OF_MLFLOW:
        _module(seen, data.decode("utf-8", "replace"), OF_MLFLOW[name])
    elif name.endswith(JINJA):
        _template(seen, data.decode("utf-8", "replace"), "")
    elif name == MODULES:
        _modules(seen, _parsed(seen, data, {"type"}))
    elif name == ROUTER:
        _routes(seen, _parsed(seen, data, {"types"}))
    elif name == ADAPTER:
        _adapter(seen, _parsed(seen, data, {LIBRARY}))
    elif name in (PIPELINE, MODULAR_PIPELINE):
        _pipeline(seen, _parsed(seen, data, {"["}), is_modular=name == MODULAR_PIPELINE)
    elif name == GENAI:
        _genai(seen, _parsed(seen, data, LIBRARIES | FILES))
    else:
        _configuration(seen, _parsed(seen, data, {TEMPLATE, "structure", *IMPORTING, *ACTIVATIONS}))


def _parsed(seen: _Seen, data: bytes, words: Collection[str]) -> Any:
    """Return the value of a JSON text, None where none of *words* can be in it: JSON writes letters plainly, or as `\\u`.

    Raises:
        JsonError: it is no JSON.
        ModelLimit: it is beyond a limit, or all of them together are beyond `MAX_PARSED_BYTES`.
    """
    if b"\\u" not in data and not any(word.encode() in data for word in words):
        return None
    seen.contents.spend(seen.path, "MAX_PARSED_BYTES", len(data), MAX_PARSED_BYTES)
    value, notes = parse_json(data, seen.path)
    if seen.path.rpartition("/")[2] == GENAI:  # its reader is not Python's: of a key that stands twice it takes both
        seen.unknown.update({f"read in another way by others: {note.reason}": None for note in notes})
    return value


# --- Hugging Face


def _configuration(seen: _Seen, value: Any) -> None:
    loader = "diffusers" if seen.path.rpartition("/")[2] == MODULAR_BLOCKS else "transformers"
    for key, inner in _keys(value, {TEMPLATE, *IMPORTING}):
        if key in IMPORTING:
            for place, reference in _texts(inner, key):
                _imported(seen, f"{loader}, where it is told to trust remote code, imports", place, reference)
        else:
            for place, template in _texts(inner, key):
                _template(seen, template, place)
    for key, inner in _keys(value, ACTIVATIONS):
        if isinstance(inner, str) and not inner.startswith(OF_TORCH):
            _imported(seen, SENTENCES, key, inner)
    if isinstance(value, dict) and "structure" in value:
        _routes(seen, value)


def _routes(seen: _Seen, value: Any) -> None:
    types = value.get("types") if isinstance(value, dict) else None
    for name, kind in types.items() if isinstance(types, dict) else ():
        if isinstance(kind, str) and not kind.startswith(OWN_MODULES):
            _imported(seen, SENTENCES, f"types {readable(name[:SHOWN])}", kind)


def _adapter(seen: _Seen, value: Any) -> None:
    for place, library in _keys(value, {LIBRARY}):
        if isinstance(library, str) and library.partition(".")[0] not in LIBRARIES_OF_MODELS:
            _imported(seen, "PEFT imports", place, f"{library}.*")


def _pipeline(seen: _Seen, value: Any, is_modular: bool) -> None:
    """Look at each part of a pipeline: a library and a class of it, or a file in the folder of the part and its class.

    A modular one takes no file from that folder; but a library may lie where the pipeline does.
    """
    for part, told in value.items() if isinstance(value, dict) else ():
        folder = "" if is_modular or part.startswith("_") else f"{part}/"
        for library, named in _classes(told):
            if library.partition(".")[0] in LIBRARIES_OF_MODELS:
                continue
            if library not in OF_DIFFUSERS or seen.contents.find(_beside(seen.path, library, folder)):
                _imported(seen, "diffusers imports", readable(part[:SHOWN]), f"{library}.{named}", folder)


def _classes(told: Any) -> Iterator[tuple[str, str]]:
    """Yield the module and the class of a part, and those that a modular pipeline expects there.

    It unpacks what it expects: of an object that gives the keys, of a text its letters.
    """
    if not isinstance(told, list):
        return
    source = told[2] if len(told) == 3 else None
    hint = source.get("type_hint") if isinstance(source, dict) else None
    can_be_unpacked = isinstance(hint, list | dict) or (isinstance(hint, str) and len(hint) == 2)
    for pair in (told, list(hint or ()) if can_be_unpacked else []):
        if len(pair) > 1 and isinstance(pair[0], str):
            yield pair[0], pair[1] if isinstance(pair[1], str) else "*"


def _modules(seen: _Seen, value: Any) -> None:
    for number, one in enumerate(value if isinstance(value, list) else ()):
        kind = one.get("type") if isinstance(one, dict) else None
        if isinstance(kind, str) and not kind.startswith(OWN_MODULES):
            _imported(seen, SENTENCES, f"module {number}", kind)


def _imported(seen: _Seen, who: str, place: str, reference: str, folder: str = "") -> None:
    """Tell of a class that a loader imports: `module.Class`, or `owner/name--module.Class`; *folder* is where modules lie."""
    seen.count()
    repository, dashes, named = reference.rpartition("--")
    module = named.rpartition(".")[0]
    if not module:
        return  # transformers wants a dot between module and class
    path = _beside(seen.path, module, folder)
    if leads_out(repository) or leads_out(module):
        seen.found(IMPORTS, Severity.HIGH, place, f"{who} {_shown(reference)}, which leads out of the model")
    elif dashes:
        message = f"{who} {_shown(named)} out of another repository, {_shown(repository)}"
        seen.found(IMPORTS, Severity.MEDIUM, place, message)
        seen.unknown["names code in another repository, which was not looked at"] = None
    elif seen.contents.find(path) is None:
        seen.found(IMPORTS, Severity.MEDIUM, place, f"{who} {_shown(named)}, which is not beside the model")
        seen.unknown["names code that is not beside it, and was not looked at"] = None
    else:
        seen.found(IMPORTS, Severity.MEDIUM, place, f"{who} {_shown(named)} from {_shown(path)}")
        source = f"source of Python, which {seen.path.rpartition('/')[2]} names and loaders run with the model; not opened"
        seen.found("executable-content", Severity.LOW, "", source, path)
        seen.unknown["names code beside it, which was not looked at"] = None


def _beside(path: str, module: str, below: str) -> str:
    """Return where a loader looks for a module that the file *path* names: a dot leads into a folder."""
    folder = folder_of(path)
    file = f"{below}{module.replace('.', '/')}.py"
    return f"{folder}/{file}" if folder else file


def _template(seen: _Seen, template: str, place: str) -> None:
    seen.count()
    seen.contents.spend(seen.path, "MAX_SEARCHED_BYTES", len(template), MAX_SEARCHED_BYTES)
    if finding := chat_templates.look(template, seen.path, place):
        seen.found(finding.rule, finding.severity, place, finding.message)
        if finding.severity is Severity.MEDIUM:
            seen.unknown[chat_templates.ONLY_THEN] = None


# --- others


def _genai(seen: _Seen, value: Any) -> None:
    for key, text in _keys(value, LIBRARIES | FILES):
        seen.count()
        if not isinstance(text, str) or not text:
            continue
        if key in LIBRARIES:
            for file in _files_of(key, text):
                _library(seen, key, file)
        elif leads_out(text):
            message = f"the runtime reads the file {_shown(text)} ({key}), which leads out of the model"
            seen.found("model-loads-library", Severity.MEDIUM, key, message)
            seen.unknown["names a file outside of the model, which was not looked at"] = None


def _files_of(key: str, text: str) -> Iterator[str]:
    """Yield the libraries that an option names: `a;b`, or `operator:library:symbol,…`, or one."""
    if key == PLUGINS:
        yield from filter(None, text.split(";"))
    elif key == PACKAGES:
        yield from (one.partition(":")[2] or one for one in text.split(",") if one)
    else:
        yield text


def _library(seen: _Seen, key: str, file: str) -> None:
    seen.count()
    if leads_out(file):
        message = f"the runtime loads the library {_shown(file)} ({key}), which leads out of the model"
        seen.found("model-loads-library", Severity.HIGH, key, message)
    elif not (key == "backend_path" and OF_QUALCOMM.fullmatch(file)):
        name = file.partition(":")[0] if key == PACKAGES else file
        folder = folder_of(seen.path)
        is_beside = seen.contents.find(f"{folder}/{name}" if folder else name) is not None
        where = "which lies beside it" if is_beside else "which is not beside the model"
        message = f"the runtime loads the library {_shown(file)} ({key}), {where}"
        seen.found("model-loads-library", Severity.MEDIUM, key, message)
        seen.unknown[f"names a library, {_shown(file)}, which is machine code and was not looked at"] = None


def _mlmodel(seen: _Seen, text: str) -> None:
    """Look at each place that names a loader. YAML writes a name in many ways, MLflow in one: every other is told."""
    seen.contents.spend(seen.path, "MAX_SEARCHED_BYTES", len(text), MAX_SEARCHED_BYTES)
    meant = unescaped(text)  # only what is in quotes: a line of MLflow's own has none, and stands in *text* itself
    named = {word for word, own in OWN_LINES.items() if meant.count(word) > len(own.findall(text))}
    if LOADER in named:
        foreign = [module for module in NAMED_LOADER.findall(meant) if module.partition(".")[0] != "mlflow"]
        what = _shown(foreign[0]) if foreign else "a module, written as MLflow does not write it"
        message = f"MLflow imports {what} to load the model, which is none of its own"
        seen.found(IMPORTS, Severity.MEDIUM, LOADER, message)
        seen.unknown["names a loader of its own, which is code and was not looked at"] = None
    if CODE_PATH in named:
        seen.found(IMPORTS, Severity.MEDIUM, CODE_PATH, "MLflow runs source beside the model to load it")
        seen.unknown["names source that makes the model, which was not looked at"] = None


def _module(seen: _Seen, text: str, honest: re.Pattern[str]) -> None:
    """Look at a file whose whole text is the name of a module that MLflow imports."""
    if not honest.fullmatch(text.strip()):
        seen.found(IMPORTS, Severity.MEDIUM, "", f"MLflow imports {_shown(text)} to load the model")
        seen.unknown["names a module that loads the model, which is code and was not looked at"] = None


# --- JSON


def _keys(value: Any, wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield the keys of *wanted* in a JSON *value* with what stands behind each, into which nobody looks for others."""
    inner = [value]
    while inner:
        one = inner.pop()
        if isinstance(one, dict):
            yield from ((key, below) for key, below in one.items() if key in wanted)
            inner.extend(below for key, below in one.items() if key not in wanted)
        elif isinstance(one, list):
            inner.extend(one)


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield every text in a JSON *value* with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, one in value.items():
            if key not in PIPELINE_CLASSES or place.count(" ") != 1 or not place.startswith("custom_pipelines"):
                yield from _texts(one, f"{place} {readable(key[:SHOWN])}")
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, place)


def _shown(text: str) -> str:
    return repr(readable(text[:SHOWN]))
