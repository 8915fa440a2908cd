"""What the core imports: the standard library without what reaches out or runs code, two small libraries, and itself.

import-linter holds a list of what is forbidden; here is the list of what is allowed, so that a library nobody thought of does
not get in.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import detectors

MODULES = sorted(Path(detectors.__path__[0]).rglob("*.py"))

LIBRARIES = ("detectors", "google.protobuf", "google._upb", "google_crc32c", "urllib.parse")
"""`google._upb` is protobuf's own C module; `urllib.parse` reaches nothing."""

RUNS_CODE = "code codeop importlib marshal multiprocessing pickle pty runpy shelve subprocess venv zipimport"
REACHES_OUT = "asyncio ftplib http imaplib poplib select selectors smtplib socket socketserver ssl urllib webbrowser xmlrpc"
WRITES = "dbm shutil sqlite3 tempfile"

STANDARD = sys.stdlib_module_names - set(f"{RUNS_CODE} {REACHES_OUT} {WRITES}".split())


def imported(source: str) -> Iterator[str]:
    """Yield the modules that *source* imports anywhere, in functions too, and calls of `__import__`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"google.{alias.name}" for alias in node.names) if module == "google" else (module,)
        elif isinstance(node, ast.Name) and node.id == "__import__":
            yield node.id


def is_allowed(module: str) -> bool:
    return module.split(".")[0] in STANDARD or any(f"{module}.".startswith(f"{one}.") for one in LIBRARIES)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_of_the_core_imports_only_what_the_core_may(path: Path) -> None:
    assert [module for module in imported(path.read_text(encoding="utf-8")) if not is_allowed(module)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import structlog, fastapi, watchdog", ["structlog", "fastapi", "watchdog"]),
        ("from worker.records import Team", ["worker.records"]),
        ("def read():\n    import subprocess", ["subprocess"]),
        ("from urllib.request import urlopen", ["urllib.request"]),
        ("from google import genai", ["google.genai"]),
        ("import google.cloud.storage", ["google.cloud.storage"]),
        ("import detectors_of_others", ["detectors_of_others"]),
        ("__import__('numpy')", ["__import__"]),
        ("from . import tree", ["."]),
        ("import re\nfrom google.protobuf import text_format\nfrom detectors.tree import FileTree", []),
    ],
)
def test_anything_else_would_be_noticed(source: str, found: list[str]) -> None:
    assert [module for module in imported(source) if not is_allowed(module)] == found
