"""What texts beside a model make a loader import, load or render, told without doing it."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import pytest

from detectors import chat_templates, executables, named_code
from detectors.detection import Contents
from detectors.executables import torchscript as source
from detectors.facts import Note
from detectors.scan import Scan, Verdict, scan
from detectors.tree import MemoryTree
from detectors.weights import gguf as gguf_module
from detectors.wrapped_tree import CountingTree
from tests.attacks.named_code import (
    ESCAPE,
    IDEAS,
    LONG,
    SOURCE,
    WEIGHTS,
    Files,
    as_json,
    genai,
    gguf_with,
    hinted,
    hugging_face,
    mlflow,
    torchscript,
    with_adapter,
    with_mlflow,
    with_modular_pipeline,
    with_modules,
    with_pipeline,
    with_template,
)
from tests.builders.weights import gguf, gguf_pair, gguf_text

MINE = {"chat-template-escape", "model-imports-code", "model-loads-library", "torchscript-touches-files"}


def told(found: Scan) -> list[tuple[str, str]]:
    return [(one.rule, one.severity.value) for one in found.findings if one.rule in MINE]


@pytest.mark.parametrize("idea", IDEAS)
def test_each_idea_is_told(idea: str) -> None:
    files, rule, severity = IDEAS[idea]
    found = scan(MemoryTree(files))
    assert (rule, severity) in told(found)
    assert found.verdict is (Verdict.FINDINGS if severity == "high" else Verdict.INCONCLUSIVE)


def test_source_beside_the_model_is_told_with_its_name() -> None:
    found = scan(MemoryTree(hugging_face({"modeling_x.py": SOURCE}, auto_map={"AutoModel": "modeling_x.Model"})))
    assert [(one.rule, one.severity.value, one.path, one.place) for one in found.findings] == [
        ("model-imports-code", "medium", "config.json", "auto_map AutoModel"),
        ("executable-content", "low", "modeling_x.py", ""),
    ]
    assert "'modeling_x.py'" in found.findings[0].message
    assert found.verdict is Verdict.INCONCLUSIVE


def test_source_in_a_folder_that_is_called_code_is_no_torchscript() -> None:
    model = {f"run/{name}": data for name, data in mlflow("    loader_module: mlflow.sklearn").items()}
    found = scan(MemoryTree(model))
    assert [(one.rule, one.severity.value, one.path) for one in found.findings] == [
        ("executable-content", "low", "run/code/their_loader.py")
    ]


HONEST_TEMPLATE = """{%- set ns = namespace(found=false) -%}{# a comment #}
{%- for message in messages | selectattr('role', 'equalto', 'user') | rejectattr("hidden") -%}
{%- if message['role'] not in ['user', 'system'] %}{{ raise_exception('role_' ~ message.role) }}{% endif -%}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim | replace('_', ' ') + '<|im_end|>\\n' }}
{%- set t = tools | map(attribute='function') | list %}{{ (t[loop.index0 - 1] | tojson)[1:-1] }}{{ key ~ '_' ~ loop.index }}
{{ tool_call.name.split('__')[0] if '__' in tool_call.name else text | join('_') }}{% endfor %}<__media__>"""

TEXT_TEMPLATES = [
    "{{bos}}You are a helpful assistant.\n\n__Important__: answer in English.{% for m in messages %}{{m.content}}{% endfor %}",
    "{% if system %}Write classes with def __init__(self){% else %}no.__x__{% endif %}{# of __init__ #}{{ m }}",
    "{% set ns.a, b = 1, 2 %}Call __init__{{ {'a': {'b': 1}} }} or __call__",
]

CODE = (
    "class M(Module):\n  def f(self, x):\n    # type: (Tensor) -> Tensor\n"
    '    _0 = getattr(self.layers, "0")\n    _1 = (getattr((getattr(self.layers, "0")).b, "1")).forward(x, )\n'
    '    return getattr(getattr(getattr(_0, "a b"), "1").c, "2")\n'
)

MANY, MOST_SECONDS = 200_000, 2.0
"""Bytes, and what they may take: what grows with the square takes minutes."""

ONE_TEXT = struct.pack("<IQ", 8, 1) + gguf_text("rag")

HONEST: dict[str, Files] = {
    "a configuration": hugging_face(architectures=["BertModel"]),
    "a tokenizer with a template": with_template("{{ '_start_' }}" + LONG),
    "templates with names": with_template([{"name": "default", "template": LONG}, {"name": "rag", "template": LONG}]),
    "a template in a file": hugging_face({"chat_template.jinja": LONG.encode()}),
    "modules": with_modules("sentence_transformers.models.Transformer"),
    "a flavor of MLflow": mlflow("    loader_module: mlflow.pyfunc.model"),
    "a flavor of MLflow that ends the file": {"MLmodel": b"flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"},
    "a flavor of MLflow without source": mlflow("    loader_module: mlflow.langchain\r\n    model_code_path: null"),
    "a pickler of MLflow": with_mlflow("pickle_module_info.txt", "mlflow.pytorch.pickle_module"),
    "a Keras of MLflow": with_mlflow("keras_module.txt", "keras.api._v2.keras"),
    "a module of torch": hugging_face({"2_Dense/config.json": as_json({"activation_function": "torch.nn.modules.Tanh"})}),
    "an activation": hugging_face(activation_function="gelu_new", activation_fn="geglu", types=["a.b"]),
    "a route": hugging_face({"router_config.json": as_json({"types": {"a": "sentence_transformers.models.Pooling"}})}),
    "an adapter": with_adapter("transformers.models.bert.modeling_bert"),
    "an adapter without a library": with_adapter(""),
    "pipelines": hugging_face(
        custom_pipelines={"task": {"pt": ["m.AutoModel"], "default": {"model": {"pt": ["a/b.c", "1.0"]}}}}
    ),
    "a pipeline of diffusers": with_pipeline(
        unet=["diffusers", "UNet2DConditionModel"],
        text_encoder=["transformers", "CLIPTextModel"],
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=[None, None],
    ),
    "a modular pipeline": with_modular_pipeline(hinted(["diffusers", "UNet2DConditionModel"])),
    "a modular pipeline with its parts": with_modular_pipeline(["diffusers", "UNet", hinted(["diffusers", "UNet"])[2]]),
    "genai with files": genai(filename="model.onnx", config_filename="", trt_extra_plugin_lib_paths="", op_packages=""),
    "genai": genai(provider_options=[{"qnn": {"backend_path": "QnnHtp.dll"}}]),
    "genai without": genai(custom_ops_library="", log_id="x"),
    "gguf": {"m.gguf": gguf_with(LONG, LONG)},
    "gguf with a list of its templates": {"m.gguf": gguf({}, 0, [gguf_pair("tokenizer.chat_templates", 9, ONE_TEXT)])},
    "TorchScript": {"m.pt": torchscript(b"class M(Module):\n  loader : int\n  def f(self, x):\n    return torch.add(x, x)\n")},
}


@pytest.mark.parametrize("name", HONEST)
def test_what_honest_tools_write_is_not_told(name: str) -> None:
    found = scan(MemoryTree(HONEST[name]))
    assert told(found) == []
    assert found.verdict is Verdict.CLEAN


def test_source_in_the_folder_of_a_part_is_told_with_its_name() -> None:
    found = scan(MemoryTree({**with_pipeline(unet=["my_unet", "UNet"]), "unet/my_unet.py": SOURCE}))
    assert [(one.rule, one.severity.value, one.path, one.place) for one in found.findings] == [
        ("model-imports-code", "medium", "model_index.json", "unet"),
        ("executable-content", "low", "unet/my_unet.py", ""),
    ]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("their_unet.py", "diffusers imports 'their_unet.UNet' from 'their_unet.py'"),
        ("unet/their_unet.py", "diffusers imports 'their_unet.UNet', which is not beside the model"),
    ],
)
def test_a_modular_pipeline_takes_modules_from_where_it_lies_and_not_from_the_folder_of_a_part(source: str, told: str) -> None:
    found = scan(MemoryTree({**with_modular_pipeline(hinted(["their_unet", "UNet"])), source: SOURCE}))
    assert found.findings[0].message == told


def test_the_blocks_of_a_modular_pipeline_are_imported_by_diffusers() -> None:
    files = with_modular_pipeline(hinted(None), auto_map={"ModularPipelineBlocks": "block.Blocks"})
    assert scan(MemoryTree(files)).findings[0].message.startswith("diffusers, where it is told to trust remote code, imports")


def test_a_part_of_a_pipeline_with_a_long_name_and_many_hints_costs_no_more_than_its_bytes() -> None:
    parts = {"p" * MANY: [None, None, *[{"type_hint": ["evil", "UNet"]}] * 20_000]}
    begun = time.process_time()
    scan(MemoryTree({"modular_model_index.json": as_json(parts), "unet/model.safetensors": WEIGHTS}))
    assert time.process_time() - begun < MOST_SECONDS


def test_what_honest_templates_do_is_never_high() -> None:
    without_pieces = HONEST_TEMPLATE.replace("{{ tool_call.name.split('__')[0] if '__' in tool_call.name else ", "{{ ")
    found = chat_templates.look(HONEST_TEMPLATE, "m", "")
    assert found is not None
    assert found.severity.value == "medium"
    assert chat_templates.look(without_pieces.replace("key ~ '_' ~ loop", "key ~ '-' ~ loop"), "m", "") is None


@pytest.mark.parametrize("text", TEXT_TEMPLATES)
def test_what_stands_outside_of_tags_is_text(text: str) -> None:
    assert chat_templates.look(text, "m", "") is None
    found = chat_templates.look(text + "{{ x.__init__ }}", "m", "")
    assert found is not None
    assert found.severity.value == "high"


@pytest.mark.parametrize(
    "tag",
    [
        "{{ messages[messages | length - 1]['role'] }}",
        "{{ messages[(messages | selectattr('role', 'equalto', 'x') | list | length) - 1] }}",
        "{% if m.role in ['a' ~ b, c | trim] %}{% endif %}",
        "{{ m['<|im_end|>'][1:] | trim }}{{ m.content.split('</think>')[-1].lstrip('\\n') }}",
        "{{ tools | map(attribute='name') | map('upper') | join('|') }}{{ '<a attribute=' ~ n }}",
    ],
)
def test_honest_subscripts_are_quiet(tag: str) -> None:
    assert chat_templates.look(tag, "m", "") is None


def test_honest_torchscript_is_quiet() -> None:
    assert source.touching(CODE.encode()) == []


@pytest.mark.parametrize(
    "text",
    [".#", "getattr(", "getattr(a", "'\\", "\\'", '"""\'', "#\n", ".\\ ", "getattr(_,'a')", "(_)", "getattr(" + "(_)" * 33],
)
def test_source_of_any_sort_takes_linear_time(text: str) -> None:
    assert seconds(lambda: source.touching((text * MANY).encode()[:MANY])) < MOST_SECONDS


@pytest.mark.parametrize(
    "text", ["{{", "{{'", "{%", "{#", "{% raw %}", "{{a[b|", "{{ '\\", "{{x}}", "{% set a", "{% for", "{{ map(", "{{[", "'"]
)
def test_templates_of_any_sort_take_linear_time(text: str) -> None:
    assert seconds(lambda: chat_templates.look((text * MANY)[:MANY], "m", "")) < MOST_SECONDS


def seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


class TestLimits:
    @pytest.mark.parametrize(
        ("limit", "most", "files"),
        [
            ("MAX_TEXT_BYTES", 30, with_template(LONG)),
            ("MAX_NAMED_BYTES", 60, with_template(LONG)),
            ("MAX_PARSED_BYTES", 60, with_template(LONG)),
            ("MAX_SEARCHED_BYTES", 30, with_template(LONG)),
            ("MAX_SEARCHED_BYTES", 30, mlflow("    loader_module: mlflow.sklearn")),
            ("MAX_NAMED_FILES", 1, with_template(LONG)),
            ("MAX_REFERENCES", 1, hugging_face({"a.py": SOURCE, "b.py": SOURCE}, auto_map={"A": "a.A", "B": "b.B"})),
            ("MAX_NAMES", 1, hugging_face({"a.py": SOURCE, "b.py": SOURCE}, auto_map={"A": "a.A", "B": "b.B"})),
        ],
    )
    def test_what_is_beyond_one_is_never_clean(
        self, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, files: Files
    ) -> None:
        assert not [note for note in unread(scan(MemoryTree(files))) if limit in note.reason]
        monkeypatch.setattr(named_code, limit, most)
        found = scan(MemoryTree(files))
        assert found.verdict is Verdict.INCONCLUSIVE
        assert [limit in note.reason for note in unread(found)] == [True]

    def test_what_is_worse_is_told_behind_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(named_code, "MAX_NAMES", 1)
        files = hugging_face(auto_map={"A": "a.A", "B": "b.B", "C": "/c.C", "D": "/d.D"})
        assert [severity for _, severity in told(scan(MemoryTree(files)))] == ["high", "medium"]

    def test_templates_of_gguf_have_theirs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        long = {"m.gguf": gguf_with("x" * (gguf_module.MAX_TEXT_BYTES + 1) + ESCAPE)}
        assert [note.reason.rpartition(" ")[2] for note in unread(scan(MemoryTree(long)))] == ["MAX_TEXT_BYTES)"]
        monkeypatch.setattr(gguf_module, "MAX_TEMPLATES", 1)
        found = scan(MemoryTree({"m.gguf": gguf_with(LONG, ESCAPE)}))
        assert (found.verdict, len(unread(found))) == (Verdict.INCONCLUSIVE, 1)

    @pytest.mark.parametrize("limit", ["MAX_SOURCE_BYTES", "MAX_ALL_SOURCE_BYTES"])
    def test_source_of_torchscript_has_its_own(self, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
        assert getattr(executables, limit) == getattr(source, limit)
        monkeypatch.setattr(executables, limit, 10)
        assert scan(MemoryTree(HONEST["TorchScript"])).verdict is Verdict.INCONCLUSIVE


def unread(found: Scan) -> tuple[Note, ...]:
    return found.coverage.inconclusive


def test_what_is_no_json_is_not_called_clean_where_it_names_code() -> None:
    files = hugging_face({"processor_config.json": b'{"auto_map": {"A": "a/b--c.D"}, }'})
    assert scan(MemoryTree(files)).verdict is Verdict.INCONCLUSIVE


def test_a_key_twice_is_not_looked_at_where_its_reader_takes_both() -> None:
    twice = genai('{"model": {"custom_ops_library": "lib.so"}, "model": {}}')
    assert scan(MemoryTree(twice)).verdict is Verdict.INCONCLUSIVE


def test_only_files_with_such_names_are_read() -> None:
    tree = CountingTree(MemoryTree({**hugging_face(), "a.json": as_json({"auto_map": {}}), "b.yaml": b"x", "c.py": SOURCE}))
    named_code.look(Contents(tree, tree.files()))
    assert [path for path in ("a.json", "b.yaml", "c.py", "config.json") if tree.was_read(path)] == ["config.json"]
