"""What runs, told by its first bytes."""

from __future__ import annotations

import marshal
import py_compile
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.executables import kinds
from detectors.executables.kinds import Kind, is_promised, kind_of, promises_another
from tests.attacks.pickles import tar_of


@given(st.binary(max_size=600))
def test_any_bytes_have_a_kind_or_none(head: bytes) -> None:
    assert kind_of(head) is None or isinstance(kind_of(head), Kind)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x7fELF\x02\x01", kinds.ELF),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0", kinds.WINDOWS),
        (b"MZ is text", None),
        (b"\xcf\xfa\xed\xfe\x07", kinds.MACH),
        (b"\xca\xfe\xba\xbe\0\0\0\2", kinds.MACH),
        (b"\xca\xfe\xba\xbe\0\0\0\x41", kinds.JAVA),
        (b"\0asm\1\0\0\0", kinds.WASM),
        (b"#!/bin/sh\n", kinds.SCRIPT),
        (b"#! /usr/bin/env python3\n", kinds.SCRIPT),
        (b"#![feature(x)]\n", None),
        (b"# a comment\n", None),
        (b"RDX3\nX\n", kinds.R_DATA),
        (b"X\n\0\0\0\3\0", kinds.R_DATA),
        (b"7z\xbc\xaf\x27\x1c", kinds.SEVEN),
        (b"Rar!\x1a\x07\x01\0", kinds.RAR),
        (b"PK\3\4", kinds.ZIP),
        (b"\x1f\x8b\x08\0", kinds.GZIP),
        (b"x\x9c", None),
        (b"x\x9cabc", kinds.ZLIB),
        (tar_of({"a": b"b"})[:512], kinds.TAR),
        (b"", None),
        (b"\x08\x07\x12\x00", None),
        (b"call me\n", None),
        (bytes(4096), None),
    ],
)
def test_a_beginning_has_its_kind(head: bytes, kind: Kind | None) -> None:
    assert kind_of(head) is kind


def test_what_python_compiles_is_compiled_python(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("def f(x):\n    return x\n")
    made = py_compile.compile(str(source), cfile=str(tmp_path / "a.pyc"))
    assert made is not None
    assert kind_of(Path(made).read_bytes()[:4096]) is kinds.BYTE_CODE
    for text in ("1", "lambda x: x", "[x for x in y]"):
        assert kind_of(marshal.dumps(compile(text, "", "eval"))[:4096]) is kinds.BYTE_CODE


def test_the_running_python_is_a_program() -> None:
    with open(sys.executable, "rb") as file:
        assert kind_of(file.read(4096)) in (kinds.ELF, kinds.MACH)


def test_a_name_may_say_so_promise_another_or_say_nothing() -> None:
    assert is_promised(kinds.ELF, "lib/libx.so.1.2")
    assert not promises_another(kinds.ELF, "lib/libx.so.1.2")
    assert promises_another(kinds.ELF, "model.onnx")
    assert not promises_another(kinds.ELF, "model")
    assert not promises_another(kinds.ELF, "model.unheard")
    assert not is_promised(kinds.ELF, "model")
