"""The laws in the docstrings of modules have the tests that they promise.

A module says "Law (has a test of the same name): …" or lists "Laws (each has a test of the same name): …; …". The test is a
function whose name says the law, or whose docstring does, word for word but for case and signs. It stands in a file that
imports the module, or in a contract suite that such a file imports.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for package in ("detectors", "worker") for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

LAWS = re.compile(r"^Laws? \([^)]*\btest[^)]*\):(.*?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)


def dotted(path: Path) -> str:
    """Return the name that the module at *path* is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def letters(text: str) -> str:
    """Return what is compared of *text*: letters and digits, so that `DetectorError` is detector_error."""
    return "".join(re.findall(r"[a-z0-9]+", text.lower()))


def laws_of(module: Path) -> list[str]:
    found = LAWS.search(ast.get_docstring(parsed(module)) or "")
    return [" ".join(law.split()).rstrip(".") for law in re.split(r";\n|;\Z", found[1].strip())] if found else []


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Return the modules that *path* imports, and the names that it takes from them, which may be modules too."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return frozenset(found)


@cache
def said_in(path: Path) -> frozenset[str]:
    """Return what the names and the docstrings of the tests in *path* say."""
    return frozenset(letters(text) for test in checks_in(path) for text in (test.name[len("test") :], first_sentence(test)))


def checks_in(path: Path) -> Iterator[ast.FunctionDef]:
    functions = (node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef))
    return (function for function in functions if function.name.startswith("test_"))


def first_sentence(test: ast.FunctionDef) -> str:
    return re.split(r"(?<=\w)\.(?:\s|\Z)", ast.get_docstring(test) or "")[0]


def files_about(module: str) -> Iterator[Path]:
    """Yield the test files that import *module*, and the contract suites that those import."""
    for path in TESTS:
        if module in imports_of(path):
            yield path
            yield from (other for other in TESTS if other.parent.name == "contracts" and dotted(other) in imports_of(path))


PROMISED = [(dotted(module), law) for module in MODULES for law in laws_of(module)]


@pytest.mark.parametrize(("module", "law"), PROMISED)
def test_a_law_has_a_test_of_the_same_name(module: str, law: str) -> None:
    assert any(letters(law) in said_in(path) for path in files_about(module)), f"{module}: {law}"


def test_no_law_is_overlooked() -> None:
    """Whoever speaks of a law in another form does not escape."""
    for module in MODULES:
        text = ast.get_docstring(parsed(module)) or ""
        assert bool(re.search(r"^Laws?\b", text, re.MULTILINE)) is bool(laws_of(module)), module
    assert len(PROMISED) > 80
