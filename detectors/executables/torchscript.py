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

BETWEEN = r"(?:[\s\\]++|#[^\n]*+\n){0,20}+"
"""What may stand between two words: blanks, ends of lines, comments."""

TOUCHING = re.compile(
    rf"\.{BETWEEN}({NAMES})\b(?!\s*=[^=])|\bgetattr{BETWEEN}\({BETWEEN}[\w.]{{1,100}}+{BETWEEN},{BETWEEN}['\"]({NAMES})['\"]"
)
"""An attribute with such a name, unless it is set: `self.load = x` is a field."""

MAX_SOURCE_BYTES = 4 << 20
"""Of one file of source; that of a large model has some hundred KB."""

MAX_ALL_SOURCE_BYTES = 16 << 20
"""Of all sources of a scan."""


def touching(source: bytes) -> list[str]:
    """Return the names of the operators that touch files, each once, in their order."""
    text = unescaped(source.decode("utf-8", "replace"))
    return list(dict.fromkeys(found[1] or found[2] for found in TOUCHING.finditer(text)))
