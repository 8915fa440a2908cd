"""The types of columns that no database has by itself: any text, a moment in UTC, plain JSON.

Each is plain text in the database (`stored` says which), so that SQLite and PostgreSQL keep and compare the same.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import TypeDecorator

from worker.registry.stored import MOMENT_CHARS, json_text, original_text, stored_moment, stored_text


class AnyText(TypeDecorator[str]):
    """Text that may hold zero characters and lone surrogates, which PostgreSQL refuses in text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else stored_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else original_text(value)


class Moment(TypeDecorator[datetime]):
    """A moment in UTC as ISO 8601 of fixed width: it sorts as it should, and SQLite's own type would lose the time zone."""

    impl = String(MOMENT_CHARS)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else stored_moment(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class Json(TypeDecorator[Any]):
    """Plain JSON as ASCII text. Not a JSON column: PostgreSQL's refuses `\\u0000`, lone surrogates and NaN."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)
