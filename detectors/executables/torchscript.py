"""Source of TorchScript, which PyTorch's zips keep below `code/`: no Python runs it, and beyond numbers it can do little.

In goes the source, out come the operators in it that touch files: `torch.from_file` maps any file of the machine as a tensor,
and writes to it where it is shared, `torch.save` writes one; torchvision and torchaudio bring readers and writers of their own.
They run with the model, on whichever machine loads it. Nothing is compiled; names count wherever a call could take them from.

Source: aten/src/ATen/native/native_functions.yaml and torch/csrc/jit/runtime/register_prim_ops_fulljit.cpp, PyTorch 2.9;
torchvision/csrc/io/image/image.cpp, 0.24; torchaudio, `sox_io` and `ffmpeg`, 2.5.
"""

from __future__ import annotations

import re

from detectors.escapes import unescaped

NAMES = (
    "from_file|save|load|read_file|write_file|save_to_file|load_from_file|load_audio_file|save_audio_file"
    "|sox_io_load_audio_file|sox_io_save_audio_file|sox_io_get_info|sox_effects_apply_effects_file|get_info_file"
    "|load_library|import_ir_module|read_video|read_video_from_file|probe_video_from_file"
)

QUOTED = "|".join(
    rf"{quote}{{3}}(?:[^{quote}\\]|\\.|{quote}(?!{quote}{quote}))*+(?:{quote}{{3}})?|{quote}(?:[^{quote}\\\n]|\\.)*+{quote}?"
    for quote in "'\""
)

COMMENT = re.compile(rf"({QUOTED})|#[^\n]*+", re.DOTALL)
"""A comment, or a text in quotes, which may hold what looks like one. Without its end it counts, too: nothing is read twice."""

MAYBE_COMMENT = re.compile(r"#[^\n]*+")

BLANKS = re.compile(r"[\s\\]++")

TOUCHING = re.compile(rf"\. ?({NAMES})\b(?! ?=[^=])|\bgetattr ?\( ?[\w.]{{1,100}}+ ?, ?['\"]({NAMES})['\"]")
"""An attribute with such a name, unless it is set: `self.load = x` is a field. One blank stands for any number of them."""

PLAIN_GETATTR = re.compile(
    rf"\bgetattr ?\( ?(?:[\w. ]|\(_\)){{1,100}}+, ?(?!['\"](?:{NAMES})['\"])"
    rf"(?:'[^'\"\\(]{{0,200}}+'|\"[^'\"\\(]{{0,200}}+\") ?\)"
)
"""How PyTorch writes a field whose name is no word: `getattr(self.layers, "0")`."""

MAX_NESTED = 8
"""Of such calls, each the first argument of the next; another stands for one that is not plain."""

MAX_SOURCE_BYTES = 4 << 20
"""Of one file of source; that of a large model has some hundred KB."""

MAX_ALL_SOURCE_BYTES = 16 << 20
"""Of all sources of a scan."""


def touching(source: bytes) -> list[str]:
    """Return the names of the operators that touch files, each once, in their order; `getattr` where its name is not plain.

    Comments are left out in two ways, and once not at all: quotes may hide them, and they may hide quotes.
    """
    text = source.decode("utf-8", "replace")
    code = COMMENT.sub(_string, text)
    seen = [BLANKS.sub(" ", unescaped(one)) for one in (text, code, MAYBE_COMMENT.sub(" ", text))]
    names = [found[1] or found[2] for one in seen for found in TOUCHING.finditer(one)]
    return list(dict.fromkeys([*names, *(["getattr"] if "getattr" in code and _asks_for_more(code) else [])]))


def _string(found: re.Match[str]) -> str:
    return found[1] or " "


def _asks_for_more(code: str) -> bool:
    """Whether *code* has a `getattr` of other than names, and one plain literal that names no operator that touches files."""
    for _ in range(MAX_NESTED):
        code, plain = PLAIN_GETATTR.subn("_", code)
        if not plain:
            break
    return re.search(r"\bgetattr\b", COMMENT.sub("''", code)) is not None
