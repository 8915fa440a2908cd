"""The log of what people did, in a database."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.contracts.audit import LATER, NOON, lines, version_id
from worker.errors import RegistryUnavailable
from worker.records import Action
from worker.registry import audit
from worker.registry.sql import SqlRegistry

ROOT = Path(__file__).parents[3]


@pytest.fixture
def registry(build: Callable[..., SqlRegistry]) -> SqlRegistry:
    return build()


def test_a_change_whose_line_cannot_be_written_is_not_made(registry: SqlRegistry) -> None:
    version = version_id(registry)
    with registry.engine.begin() as connection:
        connection.execute(text("DROP TABLE audit_log"))
    with pytest.raises(RegistryUnavailable):
        registry.delete("default", version, LATER)
    assert registry.version("default", version) is not None


def test_nothing_changes_a_line_or_removes_one() -> None:
    """Who writes to the table is one function, and it inserts; `care` removes what is older than a setting says."""
    modules = (path for path in (ROOT / "worker").rglob("*.py") if "migrations" not in path.parts)
    named = {path.name for path in modules if re.search(r"\baudit_log\b", path.read_text(encoding="utf-8"))}
    assert named == {"audit.py", "care.py", "tables.py"}
    said = Path(audit.__file__).read_text(encoding="utf-8")
    assert re.findall(r"\b(insert|update|delete)\(", said) == ["insert"]


def test_a_line_with_a_word_of_a_later_release_is_passed_over(registry: SqlRegistry) -> None:
    version = version_id(registry)
    registry.tag("default", version, ["a"], [], NOON)
    registry.delete("default", version, NOON)
    with registry.engine.begin() as connection:
        connection.execute(text("UPDATE audit_log SET action = 'version.framed' WHERE action = 'version.tagged'"))
    assert [line.action for line in lines(registry)] == [Action.VERSION_DELETED]
