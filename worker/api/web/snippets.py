"""Commands and lines of code to copy, made for one version: how it is served, loaded and downloaded.

In go names and paths from outside, out comes text that a shell or Python reads as nothing else than them. Pure.

Laws (each has a test of the same name):
    a name in a command is one word of it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from worker.api.web.wording import in_lines
from worker.records import ModelVersion

ARRAYS = frozenset("float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split())
"""What numpy calls by the same name."""

MOST_INPUTS = 6
"""Inputs that an example names; of more it would be longer than what it shows."""

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Snippet:
    """Something to copy, and what it is for."""

    label: str
    text: str

    @property
    def shown(self) -> Markup:
        """The text as it stands on a page, line by line."""
        return in_lines(self.text)


def snippets(version: ModelVersion, primary: Mapping[str, Any] | None) -> list[Snippet]:
    """Return what to do with a version; *primary* is the model of its report that speaks for it, None where there is none."""
    name = folder_name(version)
    return [*(() if primary is None else _serving(version, name, primary)), *_downloads(version, name)]


def folder_name(version: ModelVersion) -> str:
    """Return a name for a folder that needs no quotes: the model's own, where it is one."""
    found = re.sub(r"[^A-Za-z0-9_.-]+", "-", version.model_name).strip("-.")[:60]
    return found or version.id


def _serving(version: ModelVersion, name: str, primary: Mapping[str, Any]) -> Iterator[Snippet]:
    if primary["completeness"]["state"] != "complete":
        return
    root = primary["root"]
    if primary["format"] == "tensorflow_savedmodel" and _is_mountable(root):
        lines = (
            "docker run -p 8501:8501 \\",
            f'  -v "$PWD"/{shlex.quote(name + ("/" + root if root else ""))}:/models/{name}/{version.number} \\',
            f"  -e MODEL_NAME={name} tensorflow/serving",
        )
        yield Snippet("Serve with TF Serving, once it is downloaded", "\n".join(lines))
    if primary["format"] == "onnx":
        yield Snippet("Run with onnxruntime, once it is downloaded", _onnxruntime(name, primary))


def _is_mountable(root: str) -> bool:
    """Tell whether docker takes a folder of this name: a colon would end it, and what is escaped is another name on disk."""
    return root.isprintable() and not set(root) & set(":\\")


def _onnxruntime(name: str, primary: Mapping[str, Any]) -> str:
    path = f"{name}/{primary['root']}" if primary["root"] else f"{name}/{_file_of(primary)}"
    signatures = (primary.get("facts") or {}).get("signatures") or [{"inputs": []}]
    lines = ["import numpy\nimport onnxruntime\n", f"session = onnxruntime.InferenceSession({path!a})"]
    inputs = ", ".join(f"{one['name']!a}: {_array(one)}" for one in signatures[0]["inputs"][:MOST_INPUTS])
    more = ", ..." if len(signatures[0]["inputs"]) > MOST_INPUTS else ""
    return "\n".join((*lines, f"session.run(None, {{{inputs}{more}}})"))


def _file_of(primary: Mapping[str, Any]) -> str:
    evidence: Sequence[Mapping[str, Any]] = primary.get("evidence") or ()
    return str(evidence[0]["path"]) if evidence else "model.onnx"


def _array(tensor: Mapping[str, Any]) -> str:
    """Return an array of zeros that an input takes; dots where numpy has no such one."""
    if tensor["dtype"] not in ARRAYS or tensor["shape"] is None:
        return "..."
    sizes = [str(size) if isinstance(size, int) else "1" for size in tensor["shape"]]
    shape = f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
    return f"numpy.zeros({shape}, {tensor['dtype']!a})"


def _downloads(version: ModelVersion, name: str) -> Iterator[Snippet]:
    address = f'"$MODELPORT_API_URL/v1/versions/{version.id}/archive"'
    curl = (
        "curl --fail \\",
        '  -H "X-API-Key: $MODELPORT_TOKEN" \\',
        f"  -o {name}.zip \\",
        f"  {address}",
        f"unzip -d {name} {name}.zip",
    )
    yield Snippet("Download with curl, where the variables hold this address and a token", "\n".join(curl))
    gradient = f"gradient models download \\\n  --id {version.id} --destinationDir {name}"
    yield Snippet("Download with gradient, where it knows this server", gradient)
