"""Texts beside a model that make its loader run what they name: one maker for each idea. None is loaded or rendered.

Source: the loaders that `detectors.named_code` tells, and the advisories that the names tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.builders.weights import gguf, gguf_pair, gguf_text, pytorch_zip, safetensors

WEIGHTS = safetensors({"w": ("F32", [2], 8)})
SOURCE = b"import os\nos.system('true')\n"
ESCAPE = "{{ cycler.__init__.__globals__.os.popen('true').read() }}"

Files = Mapping[str, bytes]


def hugging_face(files: Files | None = None, **config: Any) -> Files:
    return {"config.json": as_json({"model_type": "bert", **config}), "model.safetensors": WEIGHTS, **(files or {})}


def with_template(template: Any) -> Files:
    return hugging_face({"tokenizer_config.json": as_json({"chat_template": template})})


def with_modules(kind: str) -> Files:
    return hugging_face({"modules.json": as_json([{"idx": 0, "name": "0", "path": "", "type": kind}])})


def with_adapter(library: str) -> Files:
    mapping = {"base_model_class": "Model", "parent_library": library}
    return {"adapter_config.json": as_json({"auto_mapping": mapping}), "adapter_model.safetensors": WEIGHTS}


def with_pipeline(**parts: Any) -> Files:
    return {"model_index.json": as_json({"_class_name": "Pipeline", **parts}), "unet/model.safetensors": WEIGHTS}


def with_modular_pipeline(unet: Any, **config: Any) -> Files:
    """Return a pipeline of blocks, its weights and its source; *config* is that of the blocks."""
    return {
        "modular_model_index.json": as_json({"_class_name": "ModularPipeline", "unet": unet}),
        "modular_config.json": as_json({"_class_name": "Blocks", **config}),
        "unet/model.safetensors": WEIGHTS,
    }


def hinted(hint: Any) -> list[Any]:
    """Return what a pipeline of blocks says of a part that it has not loaded, and of which it expects the class *hint*."""
    return [None, None, {"repo": "owner/name", "subfolder": "unet", "variant": None, "type_hint": hint}]


def mlflow(loader: str) -> Files:
    """Return a model whose flavor has the line *loader*, with source beside it."""
    text = f"artifact_path: model\nflavors:\n  python_function:\n    code: code\n{loader}\nmlflow_version: 3.1.0\nrun_id: a\n"
    return {
        "MLmodel": (text + "utc_time_created: '2026-01-01 00:00:00.000000'\n").encode(),
        "code/their_loader.py": SOURCE,
    }


def with_mlflow(name: str, module: str) -> Files:
    """Return a model with source beside it, whose file *name* is the name of a module."""
    return {**mlflow("    loader_module: mlflow.pytorch"), f"data/{name}": module.encode()}


def genai(text: str | None = None, **session: Any) -> Files:
    config = as_json({"model": {"decoder": {"session_options": session}}}) if text is None else text.encode()
    return hugging_face({"genai_config.json": config})


def gguf_with(*templates: str, key: str = "tokenizer.chat_template") -> bytes:
    pairs = [gguf_pair(f"{key}{'.' * bool(n)}{n or ''}", 8, gguf_text(text)) for n, text in enumerate(templates)]
    return gguf({"w": ((3,), 0, 0)}, 12, pairs)


def torchscript(source: bytes, name: str = "code/__torch__/m.py") -> bytes:
    return pytorch_zip({"data.pkl": b"\x80\x02}q\x00.", name: source, "constants.pkl": b"\x80\x02)."})


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


MEDIUM = ("model-imports-code", "medium")
OTHER = "their/repository--modeling_x.Model"
LONG = "{% for m in messages %}{{ m['content'] }}{% endfor %}"

IDEAS: dict[str, tuple[Files, str, str]] = {
    "a class in another repository": (hugging_face(auto_map={"AutoModel": OTHER}), "model-imports-code", "medium"),
    "one of several tokenizers": (
        hugging_face({"tokenizer_config.json": as_json({"auto_map": {"AutoTokenizer": [None, OTHER]}})}),
        "model-imports-code",
        "medium",
    ),
    "a class in a folder of the machine": (
        hugging_face(auto_map={"AutoModel": "/tmp/modeling_x.Model"}),
        "model-imports-code",
        "high",
    ),
    "a repository above the model": (
        hugging_face(auto_map={"AutoModel": "../other--modeling_x.Model"}),
        "model-imports-code",
        "high",
    ),
    "a module that is not there": (hugging_face(auto_map={"AutoModel": "modeling_x.Model"}), "model-imports-code", "medium"),
    "deeper in the configuration": (hugging_face(text_config={"auto_map": {"A": OTHER}}), "model-imports-code", "medium"),
    "under a name in escapes": (
        hugging_face({"config.json": b'{"model_type": "x", "auto\\u005fmap": {"A": "a/b--c.D"}}'}),
        "model-imports-code",
        "medium",
    ),
    "a configuration for one version": (
        hugging_face({"config.4.0.0.json": as_json({"auto_map": {"A": OTHER}})}),
        "model-imports-code",
        "medium",
    ),
    "a pipeline": (
        hugging_face(custom_pipelines={"task": {"impl": OTHER, "pt": ["AutoModel"], "type": "text"}}),
        "model-imports-code",
        "medium",
    ),
    "a module of sentence-transformers": (with_modules("their_package.Transformer"), "model-imports-code", "medium"),
    **{
        f"a configuration called {name}": (hugging_face({name: as_json({"auto_map": {"A": OTHER}})}), *MEDIUM)
        for name in ("my_config.4.0.0.json", "config.4.0.0+a.json", "config.4.0.0.json.txt")
    },
    **{
        f"a pipeline called {name}": (hugging_face(custom_pipelines={name: {"impl": OTHER}}), *MEDIUM)
        for name in ("pt", "tf", "type", "default")
    },
    "a module without a path": (hugging_face({"modules.json": as_json([{"type": "evil.Act"}])}), *MEDIUM),
    "a route": (hugging_face({"router_config.json": as_json({"types": {"query_0": "evil.Act"}})}), *MEDIUM),
    "an older route": (
        hugging_face({"0_Asym/config.json": as_json({"types": {"a": "evil.Act"}, "structure": {"query": ["a"]}})}),
        *MEDIUM,
    ),
    **{
        f"a function of sentence-transformers, {key}": (
            hugging_face({"2_Dense/config.json": as_json({key: "evil.Act"})}),
            *MEDIUM,
        )
        for key in ("activation_function", "activation_fn", "sbert_ce_default_activation_function")
    },
    "a library of an adapter": (with_adapter("evil"), *MEDIUM),
    "a library of an adapter that begins like one": (with_adapter("transformers_modules.evil"), *MEDIUM),
    "a library of a pipeline": (with_pipeline(unet=["evil", "UNet"]), *MEDIUM),
    "a part of a pipeline that is called like one of diffusers": (
        {**with_pipeline(unet=["flux", "UNet"]), "unet/flux.py": SOURCE},
        *MEDIUM,
    ),
    "a part of a pipeline without a class": (with_pipeline(unet=["evil", None]), *MEDIUM),
    "a library of a modular pipeline": (with_modular_pipeline(["evil", "UNet", {"type_hint": None}]), *MEDIUM),
    "a library that a modular pipeline expects": (with_modular_pipeline(hinted(["evil", "UNet"])), *MEDIUM),
    "a library that a modular pipeline expects in the keys of an object": (
        with_modular_pipeline(hinted({"evil": 0, "UNet": 0})),
        *MEDIUM,
    ),
    "a library that a modular pipeline expects in two letters": (with_modular_pipeline(hinted("ab")), *MEDIUM),
    "a library called like a folder of diffusers, where a modular pipeline lies": (
        {**with_modular_pipeline(hinted(["unclip", "UNet"])), "unclip.py": SOURCE},
        *MEDIUM,
    ),
    "blocks of a modular pipeline": (
        {
            **with_modular_pipeline(hinted(["diffusers", "UNet"]), auto_map={"ModularPipelineBlocks": "block.Blocks"}),
            "block.py": SOURCE,
        },
        *MEDIUM,
    ),
    "a pipeline of its own": (with_pipeline(_class_name=["pipeline", "Pipeline"]), *MEDIUM),
    "a loader of MLflow": (mlflow("    loader_module: their_loader"), "model-imports-code", "medium"),
    "a loader in quotes": (mlflow('    "loader_module": "their_loader"'), "model-imports-code", "medium"),
    "a loader in escapes": (mlflow('    "loader\\x5fmodule": their_loader'), "model-imports-code", "medium"),
    "a loader over two lines": (mlflow('    ? "loader_\\\n      module"\n    : their_loader'), "model-imports-code", "medium"),
    "a loader behind an alias": (
        mlflow("    a: &k loader_module\n    *k : their_loader\n    b: mlflow.sklearn"),
        "model-imports-code",
        "medium",
    ),
    "a loader beside one of MLflow": (
        mlflow("    loader_module: mlflow.sklearn\n    loader_module : their_loader"),
        "model-imports-code",
        "medium",
    ),
    **{
        f"a loader over two lines, {line_end!r}": (
            mlflow(f'    ? "loader_\\{line_end}      module"\n    : their_loader'),
            "model-imports-code",
            "medium",
        )
        for line_end in ("\r", "\r\n", "\x85", "\u2028", "\u2029")
    },
    **{
        f"a loader whose name goes on, {loader!r}": (mlflow(f"    loader_module: {loader}"), *MEDIUM)
        for loader in (
            "mlflow\n      evil",
            "mlflow\n\n      evil",
            "mlflow\n    evil",
            "mlflow\r      evil",
            "mlflow\\x2eevil",
        )
    },
    "source of MLflow": (mlflow("    loader_module: mlflow.pyfunc.model\n    model_code_path: agent.py"), *MEDIUM),
    "source of MLflow, in escapes": (
        mlflow('    loader_module: mlflow.pyfunc.model\n    "model\\x5fcode_path": agent.py'),
        *MEDIUM,
    ),
    "a pickler of MLflow": (with_mlflow("pickle_module_info.txt", "their_loader"), *MEDIUM),
    "a Keras of MLflow": (with_mlflow("keras_module.txt", "their_loader"), *MEDIUM),
    "a library beside the model": (genai(custom_ops_library="lib.so"), "model-loads-library", "medium"),
    "a library of the machine": (genai(custom_ops_library="/tmp/lib.so"), "model-loads-library", "high"),
    "a library above the model": (genai(custom_ops_library="../lib.so"), "model-loads-library", "high"),
    "a library on another machine": (genai(custom_ops_library="\\\\host\\lib.dll"), "model-loads-library", "high"),
    "a backend of a device": (genai(provider_options=[{"qnn": {"backend_path": "../x.so"}}]), "model-loads-library", "high"),
    **{
        f"libraries of a provider, {key} {text}": (
            genai(provider_options=[{"x": {key: text}}]),
            "model-loads-library",
            severity,
        )
        for key, text, severity in (
            ("trt_extra_plugin_lib_paths", "lib.so", "medium"),
            ("trt_extra_plugin_lib_paths", "lib.so;/tmp/lib.so", "high"),
            ("op_packages", "Op:lib.so:symbol", "medium"),
            ("op_packages", "Op:lib.so:symbol:CPU,Op:/tmp/lib.so:symbol", "high"),
            ("op_packages", "Op:C:\\lib.dll:symbol", "high"),
        )
    },
    "a model above the model": (genai(filename="../../x.onnx"), "model-loads-library", "medium"),
    "CVE-2024-34359, in the tokenizer": (with_template(ESCAPE), "chat-template-escape", "high"),
    "CVE-2024-34359, in one of several": (
        with_template([{"name": "default", "template": LONG}, {"name": "tool_use", "template": ESCAPE}]),
        "chat-template-escape",
        "high",
    ),
    "CVE-2024-34359, behind one that is less": (
        with_template([{"name": "a", "template": "{{ m|attr(n) }}"}, {"name": "b", "template": ESCAPE}]),
        "chat-template-escape",
        "high",
    ),
    "CVE-2024-34359, in a file of its own": (
        hugging_face({"chat_template.jinja": ESCAPE.encode()}),
        "chat-template-escape",
        "high",
    ),
    "CVE-2024-34359, among others": (
        hugging_face({"additional_chat_templates/tool_use.jinja": ESCAPE.encode()}),
        "chat-template-escape",
        "high",
    ),
    "CVE-2024-34359, in JSON of its own": (
        hugging_face({"chat_template.json": as_json({"chat_template": ESCAPE})}),
        "chat-template-escape",
        "high",
    ),
    "CVE-2024-34359, in GGUF": ({"m.gguf": gguf_with(ESCAPE)}, "chat-template-escape", "high"),
    "CVE-2024-34359, in the second of GGUF": ({"m.gguf": gguf_with(LONG, ESCAPE)}, "chat-template-escape", "high"),
    **{
        f"a template with {template}": (with_template(f"{{{{ {template} }}}}"), "chat-template-escape", severity)
        for template, severity in {
            "''.__class__.__mro__[1].__subclasses__()": "high",
            "x['__class__']": "high",
            'x[ "__custom__"]': "high",
            "x|attr('__class__')": "high",
            "x|attr ( '__own__' )": "high",
            "[x]|map(attribute='__class__')|list": "high",
            "'{0.__class__}'.format(x)": "high",
            r"x['\x5f\x5fclass\x5f\x5f']": "high",
            r"x['\137\137cl\u0061ss\137\137']": "high",
            r"x['__\N{LOW LINE}'[:2] ~ 'y']": "high",
            "self._TemplateReference__context": "high",
            "lipsum.func_globals": "high",
            "(x for y in z).gi_frame.f_back": "high",
            "x|attr('_' ~ '_class_' ~ '_')": "medium",
            "x[('__' ~ 'globals') ~ '__']": "medium",
            "x|attr(name)": "medium",
            "x|attr('format')": "medium",
            "x[['_', '_', 'class']|join]": "medium",
            "x['_' * 2]": "medium",
            r"x['\N{Low Line}\N{Low Line}init\N{Low Line}\N{Low Line}']": "high",
            "'}}' ~ x.__init__": "high",
            "{'a': {'b': x}}.__init__": "high",
            "y }}{# {{ '#}{{ x.__init__": "high",
            "y }}{% raw %}{#{% endraw %}{{ '#}' ~ x.__init__": "high",
            "y -}}{%- set n %}__init__{% endset %}{{ x[n]": "high",
            "y }}{% macro n() %}__init__{% endmacro %}{{ x[n()]": "high",
            "y }}{% for i in [1] recursive %}__init__{% endfor %}{{ y": "high",
            "x['%c%cinit%c%c'|format(95,95,95,95)]": "medium",
            "x[ ('_ _init_ _')|replace(' ','')]": "medium",
            "x[y[0] ~ 'init']": "medium",
            "x['_' '_init_' '_']": "medium",
            "[x]|map(attribute=n)|list": "medium",
            "[x]|map(attribute = 'a' ~ n)|list": "medium",
            "[x]|map('attr', n)|list": "medium",
            "[x]|groupby(n)": "medium",
        }.items()
    },
    "a template with an underscore that it cut out": (
        with_template("{% set u='a_b'[1]*2 %}{{ cycler[u~'init'~u] }}"),
        "chat-template-escape",
        "medium",
    ),
    **{
        f"TorchScript with {call}": ({"m.pt": torchscript(f"class M(Module):\n  y = {call}\n".encode())}, TOUCHES, "medium")
        for TOUCHES in ("torchscript-touches-files",)
        for call in (
            'torch.from_file("/etc/passwd", True, 100)',
            'torch.save(x, "/tmp/x")',
            'ops.aten.save(x, "/tmp/x")',
            'ops.aten.from_file("/etc/passwd", True, 100)',
            'torch.load("/tmp/x")',
            'ops.image.write_file("/tmp/x", x)',
            'torch.\\\n    save(x, "/tmp/x")',
            '(torch.  # here\n    save)(x, "/tmp/x")',
            'getattr(torch, "sa\\x76e")(x, "/tmp/x")',
            "(torch." + "#\n" * 30 + 'save)(x, "/tmp/x")',
            'f("#", (torch.  # here\n    save)(x, "/tmp/x"))',
            'getattr((torch), "save")(x, "/tmp/x")',
            'getattr(torch, "sa" "ve")(x, "/tmp/x")',
            'getattr(torch, """save""")(x, "/tmp/x")',
            'getattr(getattr(self.a, "0"), "sa" "ve")(x, "/tmp/x")',
            '(getattr)(torch, "sa" "ve")(x, "/tmp/x")',
        )
    },
}
"""Files, the rule that must tell of them, and how bad it is."""


def attacks() -> Iterator[tuple[str, Files]]:
    """Yield every idea by its name."""
    yield from ((idea, files) for idea, (files, _, _) in IDEAS.items())
