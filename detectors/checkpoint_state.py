"""The text file `checkpoint`, in which TensorFlow notes the latest checkpoint of a folder.

In goes a folder of a tree, out comes the prefix that the file names. The path in it is the one the writer used, often absolute
on another machine, so only its last component counts and always in the same folder; nothing is opened by it. Other tools
write files of the same name (orbax: msgpack); they name nothing here.

    model_checkpoint_path: "model.ckpt-1200"
    all_model_checkpoint_paths: "model.ckpt-1000"

A file that was cut off between two lines cannot be told from one that lists fewer checkpoints.

Source: tensorflow/python/training/checkpoint_state.proto, in protobuf's text format.
"""

from __future__ import annotations

import re

from detectors.detection import Contents
from detectors.errors import Unreadable

MAX_STATE_BYTES = 1 << 20
"""Bytes of the file; it lists every checkpoint that is kept."""

LATEST = re.compile(rb'^[ \t]*model_checkpoint_path[ \t]*:[ \t]*"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
BEGINNING = b"model_checkpoint_path:"
LINE = re.compile(rb'[ \t]*\w+[ \t]*:[ \t]*(?:"(?:[^"\\\n]|\\.)*"|[-+.\w]+)[ \t\r]*')
"""A key with a text in quotes or a number."""

ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)")
"""Octal for bytes that are not ASCII, else the character itself: what the text format writes in names of files."""

OCTAL_DIGITS = frozenset(b"%d" % digit for digit in range(8))

ALL_PARTS = re.compile(r"-\?{5}-of-\d{5}$")
"""How the old single-file format in several parts is named there: `model.ckpt-?????-of-00002`."""


def state_path(folder: str) -> str:
    """Return where the file of *folder* lies, whether it is there or not."""
    return _beside(folder, "checkpoint")


def latest_of(contents: Contents, folder: str) -> str | None:
    """Return the prefix that `checkpoint` in *folder* names as the latest, None where there is no such file or name.

    Reads at most `MAX_STATE_BYTES`; a longer file, or one that may not be read, names nothing.
    """
    data = _read(contents, folder)
    named = LATEST.search(data) if data is not None else None
    return _beside(folder, _last_component(named[1])) if named else None


def is_cut_off(contents: Contents, folder: str) -> bool:
    """Tell whether `checkpoint` in *folder* begins as TensorFlow writes it, or not at all, and ends inside a line.

    Reads as much as `latest_of`.
    """
    data = _read(contents, folder)
    if data is None or data[: len(BEGINNING)] != BEGINNING[: len(data)]:
        return False
    return LINE.fullmatch(data.rstrip(b"\n").rpartition(b"\n")[2]) is None


def _read(contents: Contents, folder: str) -> bytes | None:
    """Return the bytes of the file, None where there is none or it is not read, which is noted where it may not be."""
    state = contents.find(state_path(folder))
    if state is None or state.size > MAX_STATE_BYTES:
        return None
    try:
        return contents.tree.read(state.path, 0, state.size)
    except Unreadable as exc:
        contents.unread[state.path] = exc.reason
        return None


def _last_component(quoted: bytes) -> str:
    """Return the name of the file at the end of a path; a path of Windows has backslashes."""
    path = ESCAPE.sub(_unescaped, quoted).decode("utf-8", "surrogateescape")
    return ALL_PARTS.sub("", path.replace("\\", "/").rpartition("/")[2])


def _unescaped(found: re.Match[bytes]) -> bytes:
    is_octal = found[1][:1] in OCTAL_DIGITS
    return bytes([int(found[1], 8) & 0xFF]) if is_octal else found[1]


def _beside(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
