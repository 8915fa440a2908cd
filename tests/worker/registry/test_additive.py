"""Each revision leaves older code its tables: it takes nothing away, and asks nothing of rows that older code writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.registry import migrate
from worker.registry.migrate import REVISIONS

FOLDER = Path(migrate.__file__).parent / "migrations" / "versions"
SINCE = "0010"
"""The last revision that no older code has worked beside: releases are upgraded without a pause since then."""

TAKES_AWAY = frozenset("drop_table drop_column rename_table alter_column create_check_constraint create_foreign_key".split())
NEWER = [path for path in sorted(FOLDER.glob("[!_]*_*.py")) if path.name[:4] > SINCE and path.name[:4].isdecimal()]


def spoils(source: str) -> Iterator[str]:
    """Yield the operations in *source* that older code could not work beside."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        words = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if node.func.attr in TAKES_AWAY:
            yield node.func.attr
        if node.func.attr == "add_column":
            column = node.args[-1]
            assert isinstance(column, ast.Call)
            said = {word.arg: ast.unparse(word.value) for word in column.keywords}
            if said.get("nullable") == "False" and "server_default" not in said:
                yield f"add_column {ast.unparse(column.args[0])}"
        if node.func.attr in ("create_index", "create_unique_constraint") and words.get("unique") == "True":
            yield "a unique index"


def test_a_revision_only_adds() -> None:
    """One that does more begins a new series, and its release is no rolling upgrade (`worker.registry.migrate`)."""
    found = {path.stem: list(spoils(path.read_text(encoding="utf-8"))) for path in NEWER}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    ("operation", "found"),
    [
        ("op.drop_column('ingestions', 'reason')", ["drop_column"]),
        ("batch.alter_column('reason', nullable=False)", ["alter_column"]),
        ("op.add_column('t', sa.Column('new', sa.Integer, nullable=False))", ["add_column 'new'"]),
        ("op.add_column('t', sa.Column('new', sa.Integer, nullable=False, server_default='0'))", []),
        ("op.add_column('t', sa.Column('new', sa.Integer))", []),
        ("op.create_index('i', 't', ['a'], unique=True)", ["a unique index"]),
        ("op.create_index('i', 't', ['a'])", []),
        ("op.create_table('t', sa.Column('a', sa.Integer, nullable=False))", []),
    ],
)
def test_what_older_code_could_not_work_beside_is_seen(operation: str, found: list[str]) -> None:
    assert list(spoils(operation)) == found


def test_the_first_revision_that_is_held_to_it_comes_after_those_of_today() -> None:
    assert SINCE in REVISIONS
