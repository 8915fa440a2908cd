"""Hugging Face models: a folder with `config.json` and weights, or with an index that spreads the weights over shards.

In goes the folder, out come architecture and type, the parameters where the weights are safetensors, and whether every file
of the model is there and whole. Shards are those that an index names, else those that their own names tell of. Files of
other formats in the same folder stay free for their own detectors.

JSON that ends early is told by its grammar; of a file larger than `MAX_TEXT_BYTES` by its last bytes, which a cut right
behind an inner bracket may leave as they were. Vocabularies as text and of SentencePiece have no end that could be proven.

    config.json                   {"architectures": ["BertModel"], "model_type": "bert", "transformers_version": "4.57.1", …}
    model.safetensors.index.json  {"metadata": {"total_size": 3}, "weight_map": {"tensor": "model-00001-of-00002.safetensors"}}

Source: transformers, `PretrainedConfig.to_dict` and `utils/hub.py`, 4.57.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from detectors.detection import HEAD_BYTES, Contents, Detector, folder_of, suffix
from detectors.errors import MalformedModel, ModelLimit, Unreadable
from detectors.facts import (
    Completeness,
    Detection,
    Evidence,
    Extraction,
    Framework,
    ModelFacts,
    ModelType,
    Parameters,
    Problem,
    State,
)
from detectors.json_text import BYTE_ORDER_MARK, JsonError, parse_json
from detectors.tree import FileEntry
from detectors.weights import keras, pytorch, safetensors
from detectors.weights.folders import below
from detectors.weights.shards import missing_shards
from detectors.weights.single_file import TEXTS_NOTE, FileFormat, identify, read_file
from detectors.zips import LOCAL_MAGIC

CONFIG = "config.json"
MAX_CONFIG_BYTES = 1 << 20
MAX_INDEX_BYTES = 16 << 20
"""An index has a line per tensor; 100,000 tensors take about 10 MB."""

MAX_SHARDS = 2000
"""Files of weights in one folder that are looked into."""

MAX_PROBLEMS = 50
"""Missing shards that are named one by one."""

MAX_TEXT_BYTES = 2 << 20
"""Of a JSON file beside the weights that is read as a whole; a vocabulary may be larger."""

MAX_TEXTS_BYTES = 64 << 20
"""Of all such files of one scan together."""

ENDING_BYTES = 64
"""Read from the end of a larger one: more than the blanks behind the last bracket."""

WEIGHTS = re.compile(
    r"(?:model|pytorch_model|tf_model|flax_model|diffusion_pytorch_model)[\w.-]*\.(?:safetensors|bin|h5|msgpack)"
)
INDEX = re.compile(r"[\w.-]+\.(?:safetensors|bin|h5)\.index\.json")
BESIDES = re.compile(
    r"config\.json|generation_config\.json|.*token.*\.json|vocab\.(?:json|txt)|merges\.txt|preprocessor_config\.json"
    r"|.*\.model|special_tokens_map\.json|training_args\.bin|optimizer\.(?:pt|bin)|scheduler\.pt|scaler\.pt|rng_state.*\.pth"
    r"|chat_template\.\w+"
)
"""What belongs to such a model and is no model itself. `*.model` is a SentencePiece vocabulary."""

TEXTS = frozenset(
    "generation_config.json tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.json"
    " preprocessor_config.json".split()
)
"""Those of them that are one JSON value."""

TEMPLATE = ".jinja"
"""A chat template, of which any text is a whole one."""

CLOSING = {b"{": b"}", b"[": b"]"}

STATES = frozenset({".bin", ".pt", ".pth"})
"""Suffixes of those that PyTorch writes."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """The files right inside one folder that play a part."""

    config: FileEntry | None
    indexes: tuple[FileEntry, ...]
    weights: tuple[FileEntry, ...]
    besides: tuple[FileEntry, ...]


def detector(formats: tuple[FileFormat, ...]) -> Detector:
    """Return the detector; *formats* are those in which weights may be stored."""

    def match(contents: Contents) -> Iterator[Detection]:
        texts = (entry for entry in contents.free() if entry.path.endswith(".json"))
        named = (entry for entry in texts if _name(entry) == CONFIG or INDEX.fullmatch(_name(entry)))
        for root in sorted({folder_of(entry.path) for entry in named}):
            yield from _detect(contents, root)

    def extract(contents: Contents, detection: Detection) -> Extraction:
        return _extract(formats, contents, detection)

    return Detector("huggingface", match, extract)


def _detect(contents: Contents, root: str) -> Iterator[Detection]:
    """Yield the model in the folder *root*, where it is one: an index counts by itself, a config only with weights.

    Each counts too where it was cut off, so that nothing of it can be read.
    """
    folder = _folder(contents, root)
    if found := _mark(contents, folder):
        main, saw = found
        files = {entry.path for entry in (main, *folder.indexes, *folder.weights, *folder.besides)}
        yield Detection("huggingface", ModelType.CUSTOM, root, main.path, (Evidence(main.path, 0, saw),), tuple(sorted(files)))


def _mark(contents: Contents, folder: _Folder) -> tuple[FileEntry, str] | None:
    """Return the file that makes the folder a model, and what was seen in it; None where none does."""
    if folder.config is not None and (folder.weights or folder.indexes):
        if (config := _config(contents, folder.config)) is not None:
            return folder.config, f"model_type {str(config.get('model_type'))[:100]}"
        if _cut_off(contents, folder.config):
            return folder.config, "a config that was cut off, beside weights"
    for index in folder.indexes[:MAX_SHARDS]:
        if "weight_map" in (_object(contents, index, "MAX_INDEX_BYTES", MAX_INDEX_BYTES) or {}):
            return index, "weight_map of an index"
        if _cut_off(contents, index):
            return index, "an index that was cut off"
    return None


def _folder(contents: Contents, root: str) -> _Folder:
    inside = [one for one in contents.children(root) if contents.is_free(one.path)]
    return _Folder(
        config=next((one for one in inside if _name(one) == CONFIG), None),
        indexes=tuple(one for one in inside if INDEX.fullmatch(_name(one))),
        weights=tuple(one for one in inside if WEIGHTS.fullmatch(_name(one))),
        besides=tuple(one for one in inside if BESIDES.fullmatch(_name(one))),
    )


def _config(contents: Contents, entry: FileEntry | None) -> dict[str, Any] | None:
    """Return the config where it is one of transformers, else None."""
    found = None if entry is None else _object(contents, entry, "MAX_CONFIG_BYTES", MAX_CONFIG_BYTES)
    return found if found is not None and ("model_type" in found or "architectures" in found) else None


def _extract(formats: tuple[FileFormat, ...], contents: Contents, detection: Detection) -> Extraction:
    """Return what config and headers say. Reads config, indexes and the header of each file of weights.

    Raises:
        ModelLimit: more than `MAX_SHARDS` files of weights, or a limit of their format.
    """
    entries = [entry for path in detection.files if (entry := contents.find(path))]
    weights = [entry for entry in entries if WEIGHTS.fullmatch(_name(entry))]
    if len(weights) > MAX_SHARDS:
        raise ModelLimit(detection.main, None, "MAX_SHARDS", f"more than {MAX_SHARDS} files of weights")
    config = _config(contents, contents.find(below(detection.root, CONFIG))) or {}
    read = [_read_weights(formats, contents, entry) for entry in weights]
    besides = [_read_beside(formats, contents, entry) for entry in entries if entry not in weights]
    missing = tuple(_missing(contents, detection.root, (one for one in entries if INDEX.fullmatch(_name(one))), weights))
    completeness = Completeness(State.INCOMPLETE, missing) if missing else Completeness()
    for one in (*read, *besides):
        completeness = completeness.and_also(one.completeness.state, *one.completeness.problems)
    return Extraction(
        _facts(config, read, besides, sum(entry.size for entry in entries)),
        completeness,
        tuple(finding for one in read for finding in one.findings),
        tuple(reason for one in read for reason in one.unread),
    )


def _facts(config: dict[str, Any], read: list[Extraction], besides: list[Extraction], size_bytes: int) -> ModelFacts:
    stored = [one.facts.parameters.stored for one in read]
    dtypes: Counter[str] = Counter()
    for one in read:
        dtypes.update(one.facts.dtypes)
    version = config.get("transformers_version")
    return ModelFacts(
        size_bytes=size_bytes,
        parameters=Parameters(stored=sum(one or 0 for one in stored) if stored and None not in stored else None),
        dtypes=dict(dtypes),
        framework=Framework("transformers", version[:100] if isinstance(version, str) else None),
        details={
            "note": TEXTS_NOTE,
            "completeness_checked": all(one.facts.details.get("completeness_checked", True) for one in (*read, *besides)),
            "architectures": _texts(config.get("architectures")),
            "model_type": _text(config.get("model_type")),
            "dtype": _text(config.get("dtype", config.get("torch_dtype"))),
        },
    )


def _read_weights(formats: tuple[FileFormat, ...], contents: Contents, entry: FileEntry) -> Extraction:
    """Return what the header of one file of weights says; a format that nobody knows is only not checked."""
    if entry.size == 0:
        return _incomplete(entry, "is empty")
    found = identify(formats, contents, entry)
    one = found[0] if found else _by_name(contents, entry)
    if one is None:
        return Extraction(ModelFacts(details={"completeness_checked": False}))
    try:
        return read_file(one, contents, entry)
    except MalformedModel as exc:
        return Extraction(ModelFacts(), Completeness(State.CORRUPT, (Problem(exc.path, exc.reason),)))


def _by_name(contents: Contents, entry: FileEntry) -> FileFormat | None:
    """Return the format that a file must have by its name though it does not begin so: it may have been cut off before it does.

    None for `.bin` that is no zip, and for msgpack: they may be anything.
    """
    match suffix(entry.path):
        case ".safetensors":
            return safetensors.FORMAT
        case ".h5":
            return keras.HDF5
        case one if one in STATES and (entry.size < len(LOCAL_MAGIC) or contents.head(entry).startswith(LOCAL_MAGIC)):
            return pytorch.ZIP
    return None


def _read_beside(formats: tuple[FileFormat, ...], contents: Contents, entry: FileEntry) -> Extraction:
    """Return whether one file that holds no weights is whole, as far as its format tells.

    Raises:
        ModelLimit: the texts beside all weights have more than `MAX_TEXTS_BYTES`.
    """
    name = _name(entry)
    if INDEX.fullmatch(name):
        return Extraction(ModelFacts())  # `_missing` tells of it.
    if name == CONFIG or name in TEXTS:
        reason = _wrong_text(contents, entry)
        return _incomplete(entry, reason) if reason else Extraction(ModelFacts())
    if entry.size and suffix(name) == TEMPLATE:
        return Extraction(ModelFacts())
    if entry.size == 0 or suffix(name) in STATES:
        return _read_weights(formats, contents, entry)
    return Extraction(ModelFacts(details={"completeness_checked": False}))


def _incomplete(entry: FileEntry, reason: str) -> Extraction:
    return Extraction(ModelFacts(), Completeness(State.INCOMPLETE, (Problem(entry.path, reason),)))


def _missing(contents: Contents, root: str, indexes: Iterable[FileEntry], weights: Iterable[FileEntry]) -> Iterator[Problem]:
    """Yield a problem for each shard that is not there, though an index names it, or without one the names of others."""
    told: set[str] = set()
    for index in indexes:
        found = _object(contents, index, "MAX_INDEX_BYTES", MAX_INDEX_BYTES)
        shards = found.get("weight_map") if found else None
        if not isinstance(shards, dict):
            yield Problem(index.path, _wrong_json(contents, index) or "expected an index with a weight_map")
            continue
        told.add(suffix(_name(index).removesuffix(".index.json")))
        names = sorted({shard for shard in shards.values() if isinstance(shard, str)})
        absent = [below(root, name) for name in names if contents.find(below(root, name)) is None]
        yield from (Problem(path, "the index names it, it is not there") for path in absent[:MAX_PROBLEMS])
        if len(absent) > MAX_PROBLEMS:
            yield Problem(index.path, f"{len(absent)} of {len(names)} shards are not there")
    yield from missing_shards(entry.path for entry in weights if suffix(entry.path) not in told)


def _cut_off(contents: Contents, entry: FileEntry) -> bool:
    """Tell whether a file holds nothing, or begins as a JSON object and is none."""
    begins = contents.head(entry).removeprefix(BYTE_ORDER_MARK).lstrip()[:1]
    is_empty = not begins and entry.size <= HEAD_BYTES and entry.path not in contents.unread
    return is_empty or (begins == b"{" and _wrong_json(contents, entry) is not None)


def _wrong_text(contents: Contents, entry: FileEntry) -> str | None:
    """Return why a JSON file is not whole, None where it is. Of more than `MAX_TEXT_BYTES` only both ends are read."""
    if entry.size <= MAX_TEXT_BYTES:
        contents.spend(entry.path, "MAX_TEXTS_BYTES", entry.size, MAX_TEXTS_BYTES)
        return _wrong_json(contents, entry)
    head, window = contents.head(entry), contents.window(entry)
    ending = window.bytes(entry.size - ENDING_BYTES, entry.size).rstrip()
    closing = CLOSING.get(head[:1], b"") if head[1:2] not in b"\r\n" else b"\n" + CLOSING.get(head[:1], b"")
    if ending.endswith(closing):
        return None
    return f"at byte {entry.size}: expected {closing.strip().decode()} as the end of JSON, found {ending[-8:]!r}"


def _wrong_json(contents: Contents, entry: FileEntry) -> str | None:
    """Return why a file is no JSON, None where it is, or where it may not be read, which is noted."""
    if entry.size == 0:
        return "expected a JSON object, found an empty file"
    try:
        parse_json(contents.read_whole(entry, "MAX_INDEX_BYTES", MAX_INDEX_BYTES), entry.path)
    except (Unreadable, ModelLimit) as exc:
        contents.unread[entry.path] = exc.reason
    except JsonError as exc:
        place = "" if exc.offset is None else f"at byte {exc.offset}: "
        return f"{place}expected a whole JSON object; {exc.reason}"
    return None


def _object(contents: Contents, entry: FileEntry, limit: str, max_bytes: int) -> dict[str, Any] | None:
    """Return the JSON object in a file; None where it is none, or too large or not readable, which is noted."""
    try:
        value, _ = parse_json(contents.read_whole(entry, limit, max_bytes), entry.path)
    except (Unreadable, ModelLimit) as exc:
        contents.unread[entry.path] = exc.reason
        return None
    except JsonError:
        return None
    return value if isinstance(value, dict) else None


def _texts(value: Any) -> list[str]:
    return [str(one)[:100] for one in value[:20]] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value[:100] if isinstance(value, str) else None


def _name(entry: FileEntry) -> str:
    return entry.path.rpartition("/")[2]
