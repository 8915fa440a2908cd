"""The rules of the scanner: what each finding says in general, why it matters, and what to do about it.

In go names, out come records; whoever finds something raises a `Finding` with one of these names and tells what is special to
its place. docs/reference/findings.md is made from here.

Laws (each has a test of the same name):
    every finding has a rule;
    a rule says how bad it may be, why, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from detectors.facts import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. *severities* are all that its findings may have, worst first. *says* completes "the scanner found that"; *why*
    is what may come of it; *advice* is what a person does next. *since* is the version of the rules (`scan.RULES_VERSION`) in
    which it last began to find something else.
    """

    name: str
    severities: tuple[Severity, ...]
    says: str
    why: str
    advice: str
    since: int = 1


def rule(name: str) -> Rule:
    """Return the rule called *name*.

    Raises:
        KeyError: there is none. Reports of other versions may name rules that this one does not have: `advice_on`.
    """
    return RULES[name]


def advice_on(name: str) -> str:
    """Return what to do about findings of the rule *name*, "" where it is none of this version."""
    found = RULES.get(name)
    return found.advice if found is not None else ""


CRITICAL, HIGH, MEDIUM, LOW, INFO = Severity

ABOUT_THE_PATH = (
    Rule(
        "hard-link-outside",
        (MEDIUM,),
        "external data of an ONNX model are a file that has another name, a hard link, outside the path",
        "it may be a file of somebody else, given out as weights: onnxruntime reads it, `onnx` refuses it; but snapshots and "
        "caches share files in the same way",
        "put a copy there",
        since=2,
    ),
    Rule(
        "link-outside",
        (HIGH,),
        "a symbolic link is absolute, leaves the path, dangles or loops; it was not followed, and is not kept",
        "what it leads to is not part of the model, may be secret, and is another file on each machine",
        "put the file itself there, or remove the link",
    ),
    Rule(
        "odd-name",
        (HIGH,),
        "the key of an object is no path that a file can have (`../`, an empty part, a name with others below it); it was not "
        "read, and is not kept",
        "who downloads the keys as files would write outside the folder, or lose one file to another",
        "store it under a key whose parts are plain names",
    ),
    Rule(
        "type-mismatch",
        (MEDIUM,),
        "the declared type and the detected one differ",
        "who trusts what was declared would load it with the wrong program",
        "declare what it is",
    ),
)

ABOUT_TENSORFLOW = (
    Rule(
        "tf-asset-outside",
        (HIGH,),
        "an asset is said to lie outside `assets/`; it was not looked up",
        "TensorFlow opens whatever the path says when the model is loaded, also `../` and absolute ones",
        "export again",
        since=2,
    ),
    Rule(
        "tf-custom-operator",
        (LOW, INFO),
        "an operator is not TensorFlow's; `info` where nothing in the model runs it, or only a function that somebody may "
        "choose",
        "the library that brings it decides what it does, and without it the model does not load",
        "find out which library that is, and whether the server shall have it",
        since=2,
    ),
    Rule(
        "tf-duplicate-field",
        (MEDIUM,),
        "a field that may stand once stands several times: two files were joined, or a node has an attribute twice",
        "readers merge such fields or take the last, so two of them may see different models",
        "export again",
        since=2,
    ),
    Rule(
        "tf-equal-tags",
        (INFO,),
        "two meta graphs have the same tags; a loader takes the first",
        "nobody can load the other by its tags",
        "export with different tags",
    ),
    Rule(
        "tf-file-read",
        (HIGH, MEDIUM, LOW, INFO),
        "an operator reads files: `high` where the path is absolute, leads upwards or to another machine; `medium` where "
        "the caller or the graph itself makes up the name; `low` for a relative path; `info` for the model's own assets and "
        "for what nothing in the model runs. One less where only a function that somebody may choose runs it",
        "the file of a server may be secret, and a caller of the model may get to see it",
        "export again with the file as an asset, or ask who made the model what it is for",
        since=2,
    ),
    Rule(
        "tf-file-write",
        (CRITICAL, HIGH, MEDIUM, LOW, INFO),
        "an operator writes files: `high` where the path is absolute, leads upwards or to another machine, `critical` where "
        "loading the model does so; `medium` for every other path, `high` where loading writes there; `info` for what "
        "nothing in the model runs. One less where only a function that somebody may choose runs it, or no signature is there",
        "a file that a server reads later may be replaced, and with it what the server does",
        "do not load it outside a sandbox, and ask who made the model what it is for",
        since=2,
    ),
    Rule(
        "tf-graph-not-frozen",
        (LOW,),
        "a graph has variables, whose values are not in the file",
        "the file alone cannot be served",
        "export a SavedModel",
    ),
    Rule(
        "tf-hidden-graph",
        (MEDIUM, LOW, INFO),
        "an operator runs a graph that is not written in the model, or not so that it could be looked into",
        "what it does is not known before it runs",
        "ask who made the model what it is for",
        since=2,
    ),
    Rule(
        "tf-native-code",
        (MEDIUM, LOW, INFO),
        "an operator calls machine code by name; `low` where it runs a program that was compiled from a model, `info` for what "
        "nothing in the model runs",
        "what it does is not written in the graph, and depends on the machine",
        "find out what it was compiled from, and whether the server shall have that",
        since=2,
    ),
    Rule(
        "tf-network",
        (CRITICAL, HIGH, MEDIUM, LOW, INFO),
        "an operator connects to other processes: `high` where it says to which, `critical` where loading the model does "
        "so, else `medium`; `info` for what nothing in the model runs. One less where only a function that somebody may "
        "choose runs it",
        "data may leave the server, and whoever answers decides what the model gives",
        "export the model without what served training, or ask what it is for",
        since=2,
    ),
    Rule(
        "tf-process",
        (CRITICAL, HIGH, MEDIUM, INFO),
        "an operator ends the process that it runs in, or changes its settings; `critical` where loading the model does so, "
        "`medium` where only a function that somebody may choose does, `info` where nothing in the model does",
        "one call stops the server for everybody, or makes it look for files elsewhere",
        "do not load it, and ask who made the model what it is for",
        since=2,
    ),
    Rule(
        "tf-python-code",
        (CRITICAL, HIGH, MEDIUM, INFO),
        "an operator calls a Python function of the process that it runs in; `critical` where loading the model does so, "
        "`medium` where only a function that somebody may choose does, `info` where nothing in the model does",
        "the function is not in the model: it fails elsewhere, or finds another one under its name",
        "export again without `py_function` and `numpy_function`",
        since=2,
    ),
    Rule(
        "tf-too-large",
        (MEDIUM,),
        "more than 2 GiB in `saved_model.pb`: no runtime can parse it",
        "nobody can load it",
        "keep the constants in variables",
    ),
)

ABOUT_ONNX = (
    Rule(
        "onnx-custom-operator",
        (LOW, INFO),
        "nodes have operators that neither ONNX defines nor the model; `low` where it is not known which library does",
        "whoever runs the model has to load that library, which is code of its own",
        "see where the library comes from; export to ONNX's own operators where that is possible",
        since=2,
    ),
    Rule(
        "onnx-duplicate-field",
        (MEDIUM,),
        "a field that may stand once stands several times, as where two files were joined, or a tensor has its values twice",
        "readers merge such fields or take one, so two of them may see different models",
        "write the model again",
        since=2,
    ),
    Rule(
        "onnx-external-data-key",
        (HIGH, MEDIUM, LOW),
        "external data have a key that the format does not know, or one several times; `high` where it looks like an attribute "
        "of Python, `medium` where the several differ",
        "readers have set such keys as attributes of their own objects (CVE-2026-34445), and take one of several",
        "write the model again with a current `onnx`",
        since=2,
    ),
    Rule(
        "onnx-external-data-name",
        (MEDIUM, LOW),
        "external data have a name that no writer gives: `medium` where readers that decode, expand or normalise it may follow "
        "it out of the model's folder",
        "two readers may open different files, one of them outside",
        "save the data under a plain name",
        since=2,
    ),
    Rule(
        "onnx-external-data-outside",
        (HIGH,),
        "external data are said to lie outside the model's folder; they were not opened",
        "a reader that follows them takes any file of the machine for weights, and may give it away",
        "save the data beside the model",
        since=2,
    ),
    Rule(
        "onnx-network-operator",
        (MEDIUM,),
        "a node sends its inputs to a server (`OpenAIAudioToText` and others of onnxruntime-extensions)",
        "data of whoever runs the model leave the machine, with a token to pay for it, and the server decides what comes back",
        "ask whoever made the model whether that is meant, and look at the `model_uri` of the node",
        since=2,
    ),
    Rule(
        "onnx-opset-missing",
        (MEDIUM,),
        "nodes use a domain whose opset is not imported",
        "a runtime may refuse the model, or take another version of the operators",
        "export again",
    ),
    Rule(
        "onnx-over-2gib",
        (HIGH,),
        "more than 2 GiB in one file: no runtime can load it",
        "nobody can load it",
        "save the weights as external data",
    ),
    Rule(
        "onnx-oversized-field",
        (MEDIUM,),
        "a name or another short text has more than 64 KiB; it was not looked at",
        "nobody names anything so, and what other readers make of it is not known",
        "write the model again",
        since=2,
    ),
    Rule(
        "onnx-precompiled-operator",
        (MEDIUM,),
        "a node (`EPContext`) holds or names a program that was compiled for one device; it was not looked at",
        "a driver takes the program as it is, so nobody can see what it does, and it may not be what the graph was",
        "compile it from the model itself on the machine that runs it",
        since=2,
    ),
    Rule(
        "onnx-python-operator",
        (HIGH,),
        "a node (`PyOp`, `PythonOp`) names a Python module or function for the runtime to call",
        "whoever runs the model with such a runtime runs that code",
        "do not run it; export it without operators of your own",
        since=2,
    ),
)

ABOUT_OTHERS = (
    Rule(
        "hdf5-data-outside",
        (HIGH, MEDIUM),
        "an HDF5 file takes data from other files (external storage, an external link, a virtual dataset), which were not "
        "opened; `high` where a name is absolute, leads upwards or is a URL",
        "who loads the weights reads that file, any file that the process may read, and may give it away with them",
        "save the weights in one file",
        since=2,
    ),
    Rule(
        "keras-foreign-object",
        (CRITICAL, MEDIUM),
        "a Keras configuration names an object that is no part of Keras; `critical` where it runs programs or code",
        "versions before 3.9 import any module that is named so, and call what they find there (CVE-2025-1550)",
        "load it only where that module is yours, with safe mode on",
        since=2,
    ),
    Rule(
        "keras-lambda",
        (CRITICAL, MEDIUM),
        "a Keras configuration holds a layer with code of its own; `critical` where the code names what runs programs or code",
        "loading it may run that code; HDF5 files are loaded without safe mode (CVE-2024-3660, CVE-2025-9905)",
        "look at the code before anybody loads the model",
    ),
    Rule(
        "keras-loads-code",
        (HIGH, MEDIUM),
        "a layer loads a program: a pickled PyTorch module, or a SavedModel; `medium` where that lies beside the model, and "
        "where TensorFlow Hub fetches it by its handle",
        "what it loads runs (CVE-2025-49655, CVE-2026-1462)",
        "save what it wraps as a model of its own",
        since=2,
    ),
    Rule(
        "keras-name-outside",
        (HIGH,),
        "the name of a layer is absolute, or holds `..`",
        "names become paths: loading or saving the weights may write outside their folder (CVE-2026-12479)",
        "rename the layer, and ask who named it so",
        since=2,
    ),
    Rule(
        "keras-reads-file",
        (HIGH, LOW),
        "a layer reads a file when it is loaded; `low` where it lies beside the model",
        "it reads any file of the machine, or fetches a URL, and keeps what it found (CVE-2025-12058)",
        "save the model with its vocabulary in it",
        since=2,
    ),
    Rule(
        "keras-runs-function",
        (HIGH, MEDIUM),
        "a configuration names a function of Keras or TensorFlow that fetches, loads, writes, runs or unlocks something; "
        "`medium` where a layer calls one of TensorFlow that is not known here",
        "with such functions a configuration gets around safe mode (CVE-2025-8747, CVE-2025-9906, CVE-2025-12060)",
        "ask who made it; nobody saves a model so",
        since=2,
    ),
    Rule(
        "keras-unsafe",
        (HIGH,),
        "a configuration switches safe mode off",
        "what it holds besides is then loaded without a question (CVE-2025-9906)",
        "ask who made it; nobody saves a model so",
        since=2,
    ),
    Rule(
        "chat-template-escape",
        (HIGH, MEDIUM),
        "a chat template, in a text beside the model or in GGUF, reaches for the insides of Python (`__globals__`, "
        "`__class__`); `medium` where it puts such a name together, or asks for an attribute by a name that it makes",
        "programs that render it outside of a sandbox, or in one with a hole, run what it names (CVE-2024-34359, "
        "CVE-2024-56326, CVE-2025-27516)",
        "do not load it, and ask who made it; no conversation needs that",
        since=2,
    ),
    Rule(
        "model-imports-code",
        (HIGH, MEDIUM),
        "a text beside the model names Python for its loader to import (`auto_map` of transformers, `modules.json` of "
        "sentence-transformers, the library of an adapter of PEFT or of a part of diffusers' pipelines, a `loader_module` or "
        "`model_code_path` that is none of MLflow's); `high` where it leads out of the model",
        "whoever loads the model with that loader, MLflow or `trust_remote_code`, runs that code; what lies in another "
        "repository may change after somebody looked",
        "look at the code before anybody loads the model, or load it without; keep a copy of what lies elsewhere",
        since=2,
    ),
    Rule(
        "model-loads-library",
        (HIGH, MEDIUM),
        "`genai_config.json` names a library for onnxruntime-genai to load, `high` where it leads out of the model; or a "
        "model that lies outside of its folder",
        "a library is machine code, and runs as soon as the model is loaded; nobody looked at a model from elsewhere",
        "find out where it comes from, and whether the server shall have it",
        since=2,
    ),
    Rule(
        "executable-content",
        (MEDIUM, LOW, INFO),
        "a file runs, or may run something when it is loaded (a pickle, a program, compiled code, a script); nothing of it was "
        "run; `low` for a script, and for a pickle that only imports what puts data together, `info` outside of models",
        "whoever loads it trusts whoever made it",
        "keep weights in a format that only holds data (safetensors, ONNX), or load it where it may do no harm",
        since=2,
    ),
    Rule(
        "executable-false-name",
        (HIGH, MEDIUM),
        "a file holds a pickle or a program under a name that promises another format; `medium` for a script",
        "programs that go by what a file holds load it all the same, and scanners that go by its name never look",
        "ask who made it; nobody calls a file so by habit",
        since=2,
    ),
    Rule(
        "pickle-runs-code",
        (CRITICAL,),
        "a pickle imports what runs programs or code, opens files or connections, or unpickles again",
        "loading it runs what whoever made it wanted, with the rights of whoever loads it",
        "load it nowhere, and ask who made it",
        since=2,
    ),
    Rule(
        "torchscript-touches-files",
        (MEDIUM,),
        "source of TorchScript in a PyTorch file names operators that read or write files (`torch.from_file`, `torch.save`)",
        "the model reads or overwrites files of the machine that runs it, with the rights of whoever does",
        "look at the source in the zip, below `code/`, or ask who made the model what it is for",
        since=2,
    ),
    Rule(
        "zip-ambiguous",
        (HIGH,),
        "two readers may see different files in a zip (`.keras`, `.npz`, PyTorch), or a name in it leaves the folder",
        "what was scanned need not be what is loaded",
        "save the model again; no library writes such zips",
        since=2,
    ),
)

ABOUT_SIGNATURES = (
    Rule(
        "signature-matches",
        (INFO,),
        "a trusted key signed exactly these files",
        "they are the ones that the owner of the key meant",
        "nothing has to be done",
        since=2,
    ),
    Rule(
        "signature-mismatch",
        (HIGH,),
        "a trusted key signed other files than these, or its signature was changed",
        "somebody changed, added or removed files after they were signed, or the copy is damaged",
        "fetch the model again from where it was signed, or let it be signed anew",
        since=2,
    ),
    Rule(
        "signature-not-checked",
        (INFO,),
        "there is a signature, and no trusted key made it, or it is of a kind that is not checked",
        "it says nothing about the files as long as nobody trusts its key",
        "name the key in `MODELPORT_SIGNING_KEYS` where it is to be trusted",
        since=2,
    ),
)

RULES: Mapping[str, Rule] = MappingProxyType(
    {one.name: one for group in (ABOUT_THE_PATH, ABOUT_TENSORFLOW, ABOUT_ONNX, ABOUT_OTHERS, ABOUT_SIGNATURES) for one in group}
)
"""Every rule by its name."""
