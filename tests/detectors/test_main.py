"""`python -m detectors`: what a person sees who names a path that is nothing, odd or hostile."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.__main__ import main
from tests.builders import onnx


def test_what_a_terminal_must_not_see_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/nowhere/\x1b[2J\nmodelport: all is well\udcff"]) == 2
    told = capsys.readouterr().err
    assert told == "detectors: /nowhere/\\x1b[2J\\nmodelport: all is well\\xff: there is nothing at this path\n"


def loop(folder: Path) -> str:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    return str(folder / "a")


@pytest.mark.parametrize(
    "name",
    [lambda folder: "a\0b", lambda folder: "a" * 300, lambda folder: "a/" * 5000, loop, lambda folder: ""],
    ids=["NUL", "long name", "long path", "loop", "empty"],
)
def test_a_path_that_the_system_refuses_is_told(name, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main([name(tmp_path)]) == 2
    assert "there is nothing at this path" in capsys.readouterr().err


def test_the_verdict_is_the_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx.model())
    assert (main([str(tmp_path)]), main([]), main(["--unknown"])) == (0, 4, 4)
    assert "modelport.scan/1" in capsys.readouterr().out


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert (main(["--help"]), main(["-h"])) == (0, 0)
    assert capsys.readouterr() == ("usage: python -m detectors PATH\n" * 2, "")
